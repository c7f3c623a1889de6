"""The figures of an evaluation: a table, or JSON lines."""

import json

from rich import box
from rich.table import Table
from rich.text import Text

from trm_cli.display.console import answers_console
from trm_cli.solving.evaluate import Evaluated, Scores

COLUMNS = ("puzzles", "cells", "exact", "verified", "steps", "halts", "rightly")


def show_scores(evaluated: Evaluated, *, as_json: bool) -> None:
    """Print the scores of every group on stdout."""
    console = answers_console()
    if as_json:
        for scores in evaluated.groups:
            console.file.write(json.dumps({"data": evaluated.name, **scores.as_dict()}) + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{evaluated.name}, {evaluated.settings.max_steps} steps")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    kind = evaluated.groups[0].kind
    for scores in evaluated.groups:
        if scores.kind != kind:
            table.add_section()
            table.add_row(Text(f"by {scores.kind}", style="dim"))
            kind = scores.kind
        table.add_row(Text(scores.group), *score_cells(scores))
    console.print(table)
    console.print(
        "halts: the halt head fired; rightly: of those, the answer was right when it first did",
        style="dim",
    )


def score_cells(scores: Scores) -> list[str]:
    """One group's figures as text, in the order of COLUMNS."""
    precision = "–" if scores.precision is None else f"{scores.precision:.2%}"
    return [
        f"{scores.puzzles:,}",
        f"{scores.cell:.2%}",
        f"{scores.exact:.2%}",
        f"{scores.verified:.2%}",
        f"{scores.mean_steps:.1f}",
        f"{scores.fired:.2%}",
        precision,
    ]
