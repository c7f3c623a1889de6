"""`trm data`: make data sets, from a task's generator or from files of its problems."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from trm_cli.cli.options import (
    Force,
    Output,
    Quiet,
    TaskName,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
    with_options,
    writing,
)
from trm_cli.errors import TRMError, UsageError

if TYPE_CHECKING:
    from trm_cli.tasks.base import Generator, Option, Task
    from trm_cli.tasks.problems import Demonstrated

MOST_PUZZLES = 10**8


class DataCommand(TyperCommand):
    """Adds the options of the task that is named first: `trm data TASK -h` shows them."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse with the options of the task; one that does not exist has none, and the command says so."""
        from trm_cli.tasks import get_task, task_names

        try:
            named = next((word for word in args if word in task_names()), None)
            options = get_task(named).data_options if named else ()
        except TRMError:
            options = ()
        if not options:
            return super().make_context(info_name, args, parent, **extra)
        app = typer.Typer(
            rich_markup_mode=None,
            add_completion=False,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        app.command()(_with_options(options))
        command: Any = typer.main.get_command(app)
        return command.make_context(info_name, args, parent, **extra)


def _with_options(options: "tuple[Option, ...]") -> Callable[..., Any]:
    """The command with the options of a task."""
    by_name = {option.flag.strip("-").replace("-", "_"): option for option in options}

    def run(chosen: dict[str, Any], **given: Any) -> None:
        with user_errors():
            _make(**given, typed={by_name[name]: value for name, value in chosen.items() if value})

    own = inspect.signature(data)
    chosen = inspect.Parameter("chosen", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), chosen])  # type: ignore[attr-defined]
    run.__doc__ = data.__doc__
    return with_options(chosen=[_parameter(name, option) for name, option in by_name.items()])(run)


def _parameter(name: str, option: "Option") -> inspect.Parameter:
    """An option of a task as a parameter of the command."""
    kind: Any = bool
    if option.metavar:
        kind = Optional[list[str]] if option.repeats else Optional[str]
    names = [option.flag] + ([option.short] if option.short else [])
    about = typer.Option(*names, help=option.help, metavar=option.metavar or None, show_default=option.default or False)
    default = None if option.metavar else False
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=Annotated[kind, about]
    )


def data(
    task: TaskName,
    sources: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="[SOURCE...]",
            show_default=False,
            help="For a task that is learned from demonstrations: files of its problems, or folders of them. All "
            "their pairs are trained on.",
        ),
    ] = None,
    generate: Annotated[
        Optional[int],
        typer.Option("--generate", min=1, max=MOST_PUZZLES, metavar="N", help="Make N puzzles.", show_default=False),
    ] = None,
    size: Annotated[
        Optional[int], typer.Option("--size", min=1, show_default="the task's usual one", help="Cells a side.")
    ] = None,
    output: Output = None,
    force: Force = False,
    seed: Annotated[
        Optional[int],
        typer.Option(
            "--seed", min=0, max=2**63 - 1, show_default="the task's own, or 0", help="Same seed, same bytes."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Generate puzzles with their answers as CSV, or make a folder of training data from files of problems.

    The same seed gives the same bytes. A task has options of its own: `trm data TASK -h` shows them.

    Example: trm data sudoku --generate 100 --givens 24-34 --seed 0 -o puzzles.csv
    """
    with user_errors():
        _make(task, sources, generate, size, output, force, seed, quiet, typed={})


def _make(
    task: str,
    sources: list[Path] | None,
    generate: int | None,
    size: int | None,
    output: Path | None,
    force: bool,
    seed: int | None,
    quiet: bool,
    *,
    typed: "dict[Option, Any]",
) -> None:
    from trm_cli.tasks import get_task
    from trm_cli.tasks.base import generator_of
    from trm_cli.tasks.problems import Demonstrated

    puzzle_task = get_task(task)
    fields = _read_options(typed)
    if isinstance(puzzle_task, Demonstrated):
        for flag, value in (("--generate", generate), ("--size", size)):
            if value is not None:
                raise UsageError(f"{flag}: {task} is made from files of problems; name them instead")
        _build(puzzle_task, sources or [], output, fields, seed=seed, quiet=quiet)
        return
    generator = generator_of(puzzle_task)
    if sources:
        raise UsageError(f"{sources[0]}: {task} puzzles are generated, not made from files; leave it out")
    if generate is None:
        raise UsageError("how many puzzles? Give --generate N")
    refuse_existing(output, force)
    side = size or puzzle_task.usual_size
    _generate(puzzle_task, generator, generate, side, output, fields, seed=seed or 0, quiet=quiet)


def _read_options(typed: "dict[Option, Any]") -> dict[str, Any]:
    """The fields that a task's options mean; raises UsageError that says what to write instead."""
    fields: dict[str, Any] = {}
    flags = {option.flag for option in typed}
    for option, value in typed.items():
        if option.excludes in flags:
            raise UsageError(f"{option.flag} and {option.excludes} exclude each other; drop one")
        for text in value if option.repeats else [str(value)]:
            try:
                found = option.read(text)
            except ValueError as error:
                raise UsageError(f"{option.flag} {text}: {error}") from error
            for name, read in found.items():
                fields[name] = [*fields.get(name, []), *read] if option.repeats else read
    return fields


def _generate(
    task: "Task",
    generator: "Generator",
    count: int,
    size: int,
    output: Path | None,
    fields: dict[str, Any],
    *,
    seed: int,
    quiet: bool,
) -> None:
    from trm_cli.display.console import ProgressBar
    from trm_cli.tasks.tables import dataset_bytes

    wanted = replace(generator.usual(size), puzzles=count, **fields)
    with ProgressBar("generating", count, quiet=quiet) as bar:
        dataset = generator.generate(wanted, size=size, seed=seed, progress=bar.reach)
    content = dataset_bytes(dataset, task, gzipped=output is not None and output.suffix == ".gz")
    if is_stdout(output):
        typer.echo(content, nl=False)
        return
    with opened(output, "wb") as sink:
        sink.write(content)


def _build(
    task: "Demonstrated",
    sources: list[Path],
    output: Path | None,
    fields: dict[str, Any],
    *,
    seed: int | None,
    quiet: bool,
) -> None:
    from trm_cli.display.console import ProgressBar, remarks_console

    if not sources and not fields.get("evaluation"):
        raise UsageError("data of what? Name files of problems, or folders of them")
    if output is None:
        raise UsageError("where to? Name a new folder with --output FOLDER")
    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name")
    chosen = task.usual_seed if seed is None else seed
    with writing(output), ProgressBar("building", 1, quiet=quiet) as bar:
        said = task.build_data(sources, output, fields, seed=chosen, progress=bar.reach)
    remarks_console(quiet).print(f"{output}: {said}")
