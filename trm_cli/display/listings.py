"""What `trm models` and `trm bench` print: models by where they are, cards, speeds."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table

from trm_cli.display.console import answers_console, remarks_console
from trm_cli.errors import printable
from trm_cli.weights.catalogue import Entry
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.hub import Pushed

if TYPE_CHECKING:
    from trm_cli.training.benchmark import Speed

HEADINGS = {"bundled": "Bundled", "cached": "In the cache", "known": "On the Hub, accuracy as published"}
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
            yield printable(f"  {name:{widths[0]}}  {task:{widths[1]}}  {size:>{widths[2]}}  {accuracy}")
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


GIGA, TERA = 1e9, 1e12


def announced(speeds: Iterable["Speed"], sizes: list[int], *, quiet: bool) -> Iterator["Speed"]:
    """The speeds as they come, saying on a terminal which batch size is being measured."""
    coming = iter(speeds)
    with remarks_console(quiet).status("") as status:
        for size in sizes:
            status.update(f"measuring a batch of {size:,}")
            yield next(coming)


def show_speeds(speeds: list["Speed"], title: str) -> None:
    """Draw one row for each batch size on stdout."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("batch", "steps/s", "pairs/s", "puzzles/s", "arithmetic", "of peak", "memory", "first step"):
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in speeds:
        table.add_row(
            f"{speed.batch_size:,}",
            f"{speed.steps_per_second:.3g}",
            f"{speed.pairs_per_second:,.0f}",
            f"{speed.puzzles_per_second:,.1f}",
            _per_second(speed.flops_per_second),
            f"{speed.peak_share:.0%}",
            "–" if speed.memory is None else decimal(speed.memory),
            f"{speed.first_step_seconds:.1f} s",
        )
    answers_console().print(table)


def _per_second(flops: float) -> str:
    if flops >= TERA:
        return f"{flops / TERA:.1f} TFLOP/s"
    return f"{flops / GIGA:.1f} GFLOP/s"
