"""The figures of an evaluation on stdout: tables, or one JSON object."""

import json

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trm_cli.display.console import answers_console
from trm_cli.display.report_json import described
from trm_cli.display.sections import Section, comparison, manner, sections
from trm_cli.solving.evaluate import Evaluated


def show_scores(evaluated: list[Evaluated], *, as_json: bool) -> None:
    """Print one network's figures, or two networks' and how they compare."""
    console = answers_console()
    if as_json:
        console.file.write(json.dumps(described(evaluated)) + "\n")
        return
    for one in evaluated:
        tables = sections(one)
        _show(console, tables[0])
        console.print(manner(one.settings), style="dim")
        for section in tables[1:]:
            _show(console, section)
    if len(evaluated) == 2:
        _show(console, comparison(*evaluated))


def _show(console: Console, section: Section) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=section.heading, title_justify="left",
                  title_style="bold")  # fmt: skip
    table.add_column(section.columns[0])
    for column in section.columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for row in section.rows:
        if len(row) == 1:
            table.add_section()
            table.add_row(Text(row[0], style="dim"))
        else:
            table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    if section.note:
        console.print(section.note, style="dim")
