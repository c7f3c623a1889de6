"""What `trm models` prints: models by where they are, cards, what goes up, what was converted."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from trm_cli.display.console import answers_console, remarks_console
from trm_cli.errors import printable
from trm_cli.weights.listing import Entry
from trm_cli.weights.push import Pushed
from trm_cli.weights.store import Checkpoint

HEADINGS = {
    "bundled": "Bundled",
    "cached": "In the cache",
    "known": "On the Hub, accuracy as published",
}
UNTESTED = ", untested here"


def show_listing(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print models on stdout, two lines each, or one JSON object a model."""
    out = answers_console().file
    lines = (json.dumps(asdict(entry)) for entry in entries) if as_json else _listed(entries)
    for line in lines:
        out.write(f"{line}\n")


def _listed(entries: Sequence[Entry]) -> Iterator[str]:
    rows = {entry: (entry.name, entry.task, entry.size, entry.accuracy) for entry in entries}
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    licence_width = max(len(entry.licence) for entry in entries)
    for number, ((where, tried), group) in enumerate(
        groupby(sorted(entries, key=_place), lambda entry: (entry.where, entry.tried))
    ):
        yield "\n" * (number > 0) + HEADINGS[where] + ("" if tried else UNTESTED)
        for entry in group:
            name, task, size, accuracy = rows[entry]
            yield printable(
                f"  {name:{widths[0]}}  {task:{widths[1]}}  {size:>{widths[2]}}  {accuracy}"
            )
            yield printable(f"    {entry.licence:{licence_width}}  {entry.source}")


def _place(entry: Entry) -> tuple[int, bool]:
    return list(HEADINGS).index(entry.where), not entry.tried


def show_card(text: str) -> None:
    """Print a model's card on stdout."""
    for line in text.splitlines():
        answers_console().file.write(f"{printable(line)}\n")


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
