"""The `trm` command: its sub-commands and its version."""

from typing import Annotated, Optional

import typer

from trm_cli import __version__
from trm_cli.cli.bench import bench
from trm_cli.cli.commands import Command, Group
from trm_cli.cli.data import DataCommand, data
from trm_cli.cli.doctor import doctor
from trm_cli.cli.evaluate import evaluate_command
from trm_cli.cli.help import WIDEST
from trm_cli.cli.models import models
from trm_cli.cli.solve import solve
from trm_cli.cli.study import study
from trm_cli.cli.train import TrainCommand, train
from trm_cli.cli.watch import watch

USE, TRAIN, MANAGE = "Solve", "Train", "Models and machine"  # headings over the commands
NEXT = """
trm COMMAND -h            what a command does, its options, an example
trm doctor                whether all works here, and what to do if not
trm --install-completion  completion for your shell
README.md, docs/          guides, accuracy, file formats
"""

app = typer.Typer(
    name="trm",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    rich_markup_mode=None,  # drawing help with Rich would double the time it takes to appear
    pretty_exceptions_enable=False,
)
app.command(cls=Command, rich_help_panel=USE)(solve)
app.command(cls=Command, rich_help_panel=USE)(watch)
app.command(cls=TrainCommand, rich_help_panel=TRAIN)(train)
app.command("eval", cls=Command, rich_help_panel=TRAIN)(evaluate_command)
app.command("data", cls=DataCommand, rich_help_panel=TRAIN)(data)
app.command(cls=Command, rich_help_panel=TRAIN)(study)
app.add_typer(models, name="models", rich_help_panel=MANAGE)
app.add_typer(bench, name="bench", rich_help_panel=MANAGE)
app.command(cls=Command, rich_help_panel=MANAGE)(doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trm {__version__}")
        raise typer.Exit


@app.callback(epilog=NEXT)
def main(
    version: Annotated[
        Optional[bool],
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = None,
) -> None:
    """Solve puzzles with Tiny Recursive Models, watch them think, and train them.

    Examples:
    trm watch sudoku                     # an example, solved step by step
    trm solve sudoku examples/easy.txt   # every puzzle of a file
    trm train sudoku --recipe tiny       # a network of your own, in minutes
    """
