"""`trm data`: make data sets, from a task's generator or from files of its problems."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Argument, Option

from trm_cli.cli import options
from trm_cli.cli.commands import Command
from trm_cli.cli.help import DATA
from trm_cli.errors import TRMError, UsageError
from trm_cli.files import write_whole

if TYPE_CHECKING:
    from trm_cli.tasks import base

MOST_PUZZLES = 10**8  # as in tasks/base.py, which needs numpy


class DataCommand(Command):
    """Adds the options of the task that is named first: `trm data TASK -h` shows them."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse with the options of the task; one that does not exist has none, and the command says so."""
        from trm_cli.tasks import get_task, task_names

        try:
            named = next((word for word in args if word in task_names()), None)
            added = get_task(named).data_options if named else ()
        except TRMError:
            added = ()
        if not added:
            return super().make_context(info_name, args, parent, **extra)
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(cls=Command)(options.with_options(typed=[_parameter(option) for option in added])(make_data))
        command: Any = typer.main.get_command(app)
        return command.make_context(info_name, args, parent, **extra)


def _parameter(option: "base.Option") -> Any:
    """An option of a task as a parameter of the command."""
    kind: Any = (list[str] if option.repeats else str) if option.metavar else bool
    return options.option(
        _name(option),
        kind,
        option.default or False,
        option.help,
        *filter(None, (option.flag, option.short)),
        default=None if option.metavar else False,
        metavar=option.metavar or None,
        rich_help_panel=DATA,
    )


def _name(option: "base.Option") -> str:
    return option.flag.strip("-").replace("-", "_")


def make_data(
    task: options.TaskName,
    sources: Optional[list[Path]] = Argument(
        None,
        metavar="[SOURCE...]",
        show_default=False,
        help="For a task that is learned from demonstrations: files of its problems, or folders of them. All their "
        "pairs are trained on.",
    ),
    generate: Optional[int] = Option(
        None, min=1, max=MOST_PUZZLES, metavar="N", help="Make N puzzles.", show_default=False, rich_help_panel=DATA
    ),
    size: Optional[int] = Option(
        None, min=1, metavar="N", show_default="the task's usual one", help="Cells a side.", rich_help_panel=DATA
    ),
    output: options.Output = None,
    force: options.Force = False,
    seed: Optional[int] = Option(
        None,
        min=0,
        max=options.LARGEST_SEED,
        metavar="N",
        show_default="the task's own, or 0",
        help="Same seed, same bytes.",
        rich_help_panel=DATA,
    ),
    quiet: options.Quiet = False,
    typed: Any = options.GROUP,
) -> None:
    """Generate puzzles, or make training data from files of problems.

    Puzzles come as CSV with their answers, training data as a folder.

    The same seed gives the same bytes. A task has options of its own: `trm data TASK -h` shows them.

    Example: trm data sudoku --generate 100 --givens 24-34 --seed 0 -o puzzles.csv
    """
    from trm_cli.tasks import get_task
    from trm_cli.tasks.base import generator_of
    from trm_cli.tasks.problems import Demonstrated

    puzzle_task = get_task(task)
    fields = _read_options(puzzle_task.data_options, typed)
    if not isinstance(puzzle_task, Demonstrated):
        generator = generator_of(puzzle_task)
        if sources:
            raise UsageError(f"{sources[0]}: {task} puzzles are generated, not made from files; leave it out")
        if generate is None:
            raise UsageError("how many puzzles? Give --generate N")
        options.refuse_existing(output, force)

        from trm_cli.display.console import ProgressBar
        from trm_cli.tasks.tables import dataset_bytes

        side = size or puzzle_task.usual_size
        wanted = replace(generator.usual(side), puzzles=generate, **fields)
        with ProgressBar("generating", generate, quiet=quiet) as bar:
            dataset = generator.generate(wanted, size=side, seed=seed or 0, progress=bar.reach)
        content = dataset_bytes(dataset, puzzle_task, gzipped=output is not None and output.suffix == ".gz")
        if output is None or options.is_stdout(output):
            typer.echo(content, nl=False)
        else:
            with options.writing(output):
                write_whole(output, content, replaces=force)
        return
    for flag, value in (("--generate", generate), ("--size", size)):
        if value is not None:
            raise UsageError(f"{flag}: {task} is made from files of problems; name them instead")
    if not sources and not fields.get("evaluation"):
        raise UsageError("data of what? Name files of problems, or folders of them")
    if output is None:
        raise UsageError("where to? Name a new folder with --output FOLDER")
    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name")

    from trm_cli.display.console import ProgressBar, remarks_console

    own_seed = puzzle_task.usual_seed if seed is None else seed
    with options.writing(output), ProgressBar("building", 1, quiet=quiet) as bar:
        said = puzzle_task.build_data(sources or [], output, fields, seed=own_seed, progress=bar.reach)
    remarks_console(quiet).print(f"{output}: {said}")


data = options.with_options(typed=[])(make_data)


def _read_options(added: "tuple[base.Option, ...]", typed: dict[str, Any]) -> dict[str, Any]:
    """The fields that a task's options mean; raises UsageError that says what to write instead."""
    fields: dict[str, Any] = {}
    chosen = [option for option in added if typed.get(_name(option))]
    flags = {option.flag for option in chosen}
    for option in chosen:
        if option.excludes in flags:
            raise UsageError(f"{option.flag} and {option.excludes} exclude each other; drop one")
        value = typed[_name(option)]
        for text in value if option.repeats else [str(value)]:
            try:
                found = option.read(text)
            except ValueError as error:
                raise UsageError(f"{option.flag} {text}: {error}") from error
            for name, read in found.items():
                fields[name] = [*fields.get(name, []), *read] if option.repeats else read
    return fields
