"""The `trm` command: its sub-commands and its version."""

from typing import Annotated, Optional

import typer

from trm_cli import __version__
from trm_cli.cli.bench import bench
from trm_cli.cli.data import DataCommand, data
from trm_cli.cli.evaluate import evaluate_command
from trm_cli.cli.models import models
from trm_cli.cli.solve import solve
from trm_cli.cli.study import study
from trm_cli.cli.train import TrainCommand, train
from trm_cli.cli.watch import watch

app = typer.Typer(
    name="trm",
    help="Solve puzzles with Tiny Recursive Models, watch them think, and train them.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,  # drawing help with Rich would double the time it takes to appear
    pretty_exceptions_enable=False,
)
app.command()(solve)
app.command()(watch)
app.command(cls=TrainCommand)(train)
app.command("eval")(evaluate_command)
app.command()(study)
app.command("data", cls=DataCommand)(data)
app.add_typer(bench, name="bench")
app.add_typer(models, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trm {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        Optional[bool],
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = None,
) -> None:
    """Solve puzzles with Tiny Recursive Models, watch them think, and train them."""
