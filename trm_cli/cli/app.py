"""The `trm` command: its sub-commands and its version."""

from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from trm_cli import __version__
from trm_cli.cli.bench import bench
from trm_cli.cli.data import DataCommand, data
from trm_cli.cli.evaluate import arc_eval, evaluate_command
from trm_cli.cli.models import models
from trm_cli.cli.solve import arc_solve, solve
from trm_cli.cli.train import TrainCommand, train
from trm_cli.cli.watch import watch


def by_task(**others: Callable[..., Any]) -> type[TyperCommand]:
    """A command class that hands over to another command where its name is the first argument."""

    class TaskCommand(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            if args and args[0] in others:
                other = _command(others[args[0]])
                return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
            context = super().make_context(info_name, args, parent, **extra)
            if (task := context.params.get("task")) in others:
                context.fail(f"write {task} before any option: trm {info_name} {task} ...")
            return context

    return TaskCommand


def _command(function: Callable[..., Any]) -> Any:
    app = typer.Typer(
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(function)
    return typer.main.get_command(app)


app = typer.Typer(
    name="trm",
    help="Solve puzzles with Tiny Recursive Models, watch them think, and train them.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,  # drawing help with Rich would double the time it takes to appear
    pretty_exceptions_enable=False,
)
app.command(cls=by_task(arc=arc_solve))(solve)
app.command()(watch)
app.command(cls=TrainCommand)(train)
app.command("eval", cls=by_task(arc=arc_eval))(evaluate_command)
app.command(cls=DataCommand)(data)
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
