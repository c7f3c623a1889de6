"""What `trm models` prints: a table of models, what goes up to the Hub, what was converted."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trm_cli.display.console import answers_console, remarks_console
from trm_cli.weights.listing import Entry
from trm_cli.weights.push import Pushed
from trm_cli.weights.store import Checkpoint

COLUMNS = ("MODEL", "WHERE", "TASK", "SIZE", "ACCURACY", "LICENCE", "SOURCE")
UNTESTED = " (untested)"


def show_listing(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print one line a model on stdout, in columns, or one JSON object a model."""
    out = answers_console().file
    if as_json:
        for entry in entries:
            out.write(json.dumps(asdict(entry)) + "\n")
        return
    rows = [COLUMNS, *(_cells(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write("  ".join(cells).rstrip() + "\n")


def _cells(entry: Entry) -> tuple[str, ...]:
    where = entry.where + (UNTESTED if not entry.tried else "")
    cells = (entry.name, where, entry.task, entry.size, entry.accuracy, entry.licence, entry.source)
    return tuple(_printable(cell) for cell in cells)


def show_pushed(pushed: Pushed) -> None:
    """Print what went up on stderr, and on stdout its address, or the card that would go up."""
    remarks, out = remarks_console(), answers_console().file
    for name, size in pushed.sizes.items():
        remarks.print(f"{name}  {size:,} bytes")
    if pushed.commit:
        out.write(f"{pushed.url}\n")
    else:
        remarks.print(f"nothing went up; to {pushed.repo} would go the files above and this card:")
        out.write(pushed.card)


def show_network(checkpoint: Checkpoint, folder: Path) -> None:
    """Say on stderr what a converted file turned out to be, and on stdout where it is now."""
    model = checkpoint.model
    facts = checkpoint.training["converted_from"]
    remarks_console().print(
        f"{facts['layout']} layout: {checkpoint.task} on {model.height}x{model.width} cells, mixer "
        f"{model.mixer}, {model.num_layers} layers of D = {model.hidden_size}, n = {model.n}, "
        f"T = {model.T}"
    )
    answers_console().file.write(f"{folder}\n")


def _printable(text: str) -> str:
    """Without the control characters that a stranger's file may hold."""
    return "".join(character for character in text if character.isprintable())
