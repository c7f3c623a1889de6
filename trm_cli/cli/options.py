"""What every command shares: options spelled once, the machine, outputs, and how errors end."""

import inspect
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import InitVar, asdict, dataclass
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer import Argument, Option

from trm_cli.cli.commands import ENDING
from trm_cli.cli.completion import complete_first_task, complete_models, complete_tasks, complete_words
from trm_cli.cli.help import HARDWARE, INPUT_OUTPUT, MODEL, OWN, RECIPE, SEARCH
from trm_cli.cli.streams import open_for_lines
from trm_cli.config import MOST_TOGETHER, SolveConfig, given_settings, solve_config, words_of
from trm_cli.errors import UsageError, printable
from trm_cli.tasks import BUILT_IN

if TYPE_CHECKING:
    import torch

    from trm_cli.solving.voting import Voter
    from trm_cli.tasks.problems import Demonstrated
    from trm_cli.weights.tensors import LoadedModel

logger = logging.getLogger("trm_cli")
LARGEST_SEED = 2**63 - 1
KIND_OF_PUZZLE = f"Kind of puzzle: {', '.join(BUILT_IN)}, or one that a package adds."
A_MODEL = "A bundled name, a folder or file of weights, or OWNER/NAME[:PATH] on the Hub"


class _Remarks(logging.Handler):
    """Writes what is logged on stderr, through a progress bar that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"trm: {printable(record.getMessage())}", err=True)


def _be_quiet(ctx: typer.Context, quiet: bool) -> bool:
    """Have the Hub's client draw no bars; it reads this when it is imported."""
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        _refuse_both(ctx, "verbose")
    return quiet


def _be_verbose(ctx: typer.Context, verbose: bool) -> bool:
    """Have what the package logs shown on stderr."""
    logger.handlers = [_Remarks()]
    logger.setLevel(logging.INFO if verbose else logging.ERROR if ctx.params.get("quiet") else logging.WARNING)
    if verbose:
        _refuse_both(ctx, "quiet")
    return verbose


def _refuse_both(ctx: typer.Context, other: str) -> None:
    if ctx.params.get(other):  # whichever of the two is read last sees the first
        raise UsageError("--quiet and --verbose exclude each other; drop one")


TaskName = Annotated[
    str, Argument(metavar="TASK", show_default=False, help=KIND_OF_PUZZLE, autocompletion=complete_tasks)
]


def words_argument(metavar: str, then: str) -> Any:
    """The words of a command: the task, if it is said, and puzzles."""
    return Argument(
        metavar=metavar, show_default=False, help=f"{KIND_OF_PUZZLE} Then {then}", autocompletion=complete_first_task
    )


TaskAndPuzzles = Annotated[
    Optional[list[str]],
    words_argument(
        "[TASK] [PUZZLE|FILE|-]...", "puzzles, or files of them: text, CSV or JSON; - or nothing reads stdin."
    ),
]
TaskAndPuzzle = Annotated[
    Optional[list[str]],
    words_argument(
        "[TASK] [PUZZLE|FILE|-]", "a puzzle, or a file as text, CSV or JSON; - reads stdin; nothing: an example."
    ),
]
ModelName = Annotated[
    Optional[str],
    Option(
        "--model",
        "-m",
        metavar="MODEL",
        show_default="the task's own",
        help=f"{A_MODEL}; see `trm models list`.",
        rich_help_panel=MODEL,
        autocompletion=complete_models,
    ),
]
Revision = Annotated[
    Optional[str],
    Option(
        metavar="NAME", show_default="main", help="Branch, tag or commit of a model of the Hub.", rich_help_panel=MODEL
    ),
]
BatchSize = Annotated[
    Optional[int],
    Option(
        min=1,
        max=MOST_TOGETHER,
        metavar="N",
        show_default="8 on a CPU, 512 elsewhere",
        help="Puzzles solved together.",
        rich_help_panel=HARDWARE,
    ),
]
Gpus = Annotated[
    Optional[int],
    Option(
        min=1,
        metavar="N",
        show_default="1 where there is one",
        help="Workers, one for each GPU; with --device cpu, processes.",
        rich_help_panel=HARDWARE,
    ),
]
Compile = Annotated[
    bool,
    Option(
        "--compile",
        help="Compile the net first: a minute that pays off on thousands of puzzles.",
        rich_help_panel=HARDWARE,
    ),
]
Check = Annotated[
    bool,
    Option(
        "--check/--no-check",
        help="Count the solutions of a puzzle that the first attempt fails at, and say why it fails.",
        rich_help_panel=SEARCH,
    ),
]
Settings = Annotated[
    Optional[list[str]],
    Option("--set", metavar="NAME=VALUE", help="Override one number; may be repeated.", rich_help_panel=RECIPE),
]
Output = Annotated[
    Optional[Path],
    Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default="stdout",
        help="Write to this file.",
        rich_help_panel=INPUT_OUTPUT,
    ),
]
Json = Annotated[bool, Option("--json", help="One JSON object per line.", rich_help_panel=INPUT_OUTPUT)]
Force = Annotated[bool, Option("--force", help="Overwrite the output file.", rich_help_panel=INPUT_OUTPUT)]
Quiet = Annotated[bool, Option("--quiet", "-q", callback=_be_quiet, help="No progress, no remarks.")]
Verbose = Annotated[
    bool, Option("--verbose", "-v", callback=_be_verbose, help="Say on stderr what is used: model, device, settings.")
]


def option(
    name: str, kind: Any, shown: str | bool, help_text: str, *flags: str, default: Any = None, **about: Any
) -> inspect.Parameter:
    """An option as a parameter of a command.

    shown    the default in words; True shows the value of `default`, False shows none.
    default  its value; without one the option is None where it is not typed.
    """
    flags = flags or (f"--{name.replace('_', '-')}",)
    annotation: Any = Annotated[
        Optional[kind] if default is None else kind, Option(*flags, show_default=shown, help=help_text, **about)
    ]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def choice(name: str, words: tuple[str, ...], shown: str | bool, help_text: str, **about: Any) -> inspect.Parameter:
    """An option that takes one of a few words."""
    return option(name, str, shown, help_text, metavar="|".join(words), autocompletion=complete_words(*words), **about)


def search_option(name: str, kind: Any, shown: str | bool, help_text: str, *flags: str, **about: Any) -> Any:
    """An option of SolveConfig, by its name there; words are those that the field allows."""
    about["rich_help_panel"] = SEARCH
    if kind is str:
        return choice(name, words_of(SolveConfig, name), shown, help_text, **about)
    return option(name, kind, shown, help_text, *flags, metavar=None if kind is bool else "N", **about)


GROUP: Any = None  # stands for a group of options in the signature of a command
DEVICES, DTYPES = ("auto", "cpu", "cuda", "mps"), ("auto", "float32", "bfloat16", "int8")
MACHINE = [
    choice("device", DEVICES, True, "Where to compute.", default="auto", rich_help_panel=HARDWARE),
    choice(
        "dtype",
        DTYPES,
        True,
        "In which number type; int8 gains most with --compile.",
        default="auto",
        rich_help_panel=HARDWARE,
    ),
    option("threads", int, "all", "CPU threads.", min=1, max=4096, metavar="N", rich_help_panel=HARDWARE),
]
DEVICE = [one for one in MACHINE if one.name != "dtype"]  # of commands that leave the number type to something else
SOLVING = [  # the options of SolveConfig
    search_option("attempts", int, f"{OWN}, or 1", "Attempts at an unsolved puzzle, at most.", min=1),
    search_option("max_steps", int, f"{OWN}, or 16", "Supervision steps of the first attempt, at most.", min=1),
    search_option(
        "retry_steps", int, f"{OWN}, or --max-steps", "Supervision steps of each further attempt, at most.", min=1
    ),
    search_option("step_limit", int, False, "Supervision steps of all attempts together, at most.", min=1),
    search_option(
        "search",
        str,
        f"{OWN}, or none",
        "How further attempts fill blanks with guesses of the network: as a tree, one each, or not.",
    ),
    search_option("starts", str, f"{OWN}, or random", "Where z starts in further attempts."),
    search_option("noise", float, f"{OWN}, or 0", "Standard deviation of noise on z in further attempts.", min=0),
    search_option(
        "views", int, f"{OWN}, or 1; all in a vote", "Symmetric views of the puzzle that further attempts use.", min=1
    ),
    search_option(
        "select",
        str,
        f"{OWN}, or verified",
        "The answer to take: the first whose rules hold, or the best of all by a score.",
    ),
    search_option(
        "halt",
        str,
        True,
        "Stop when the halt head fires and the rules hold; when it fires; never before --max-steps.",
        default="verified",
    ),
    search_option("seed", int, True, "Same seed, same result.", default=0, min=0, max=LARGEST_SEED),
]
TIMED_SOLVING = [
    *SOLVING,
    option(
        "time_limit", str, False, "Stop solving after 90s, 9m or 1h30m.", metavar="DURATION", rich_help_panel=SEARCH
    ),
]


def with_options(**groups: list[inspect.Parameter]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put groups of options in the place of a command's parameter of that name, which is given a dictionary."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command)
        parameters = [one for name, typed in own.parameters.items() for one in groups.get(name, [typed])]

        @wraps(command)
        def run(**given: Any) -> Any:
            for name, group in groups.items():
                given[name] = {parameter.name: given.pop(parameter.name) for parameter in group}
            return command(**given)

        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # of every function
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


@contextmanager
def stop_on_signals(*, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a wish to stop; the second ends at once.

    patient  no second signal ends anything: whoever starts workers passes signals on to them that
             the terminal has sent them already.
    Gives the function that says whether the wish was made.
    """
    wishes: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        wishes.append(number)
        if not patient:
            restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    noted = [number for number in (signal.SIGINT, *ENDING) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in noted}
    try:
        yield lambda: bool(wishes)
    finally:
        restore()


def refuse_existing(output: Path | None, force: bool) -> None:
    """Raise UsageError if the output file may not be overwritten, or has no folder to lie in."""
    from trm_cli.model.ranks import own_rank

    if output is None or is_stdout(output) or own_rank():  # the first of several workers writes
        return
    if os.path.exists(output) and not force:
        raise UsageError(f"{output}: exists already; choose another name or add --force")
    if not os.path.isdir(output.parent):
        raise UsageError(f"{output}: there is no folder {output.parent}; make it first")


def refuse_full(path: Path, force: bool) -> None:
    """Raise UsageError if something would be overwritten, or cannot be written there; an empty folder may be filled."""
    if is_stdout(path):
        raise UsageError("--output -: cannot go to stdout; name a path")
    if not path.is_dir() or any(path.iterdir()):
        refuse_existing(path, force)


def is_stdout(output: Path | None) -> bool:
    """Whether answers go to stdout: no file was named, or a dash."""
    return output is None or str(output) == "-"


@contextmanager
def opened(output: Path | None, force: bool) -> Iterator[IO[str]]:
    """An output to write text to, a file of whole lines or stdout; raises UsageError where that cannot be."""
    if is_stdout(output):
        yield sys.stdout
    else:
        with writing(output), open_for_lines(Path(str(output)), replaces=force) as sink:
            yield sink


@contextmanager
def writing(output: Path | None) -> Iterator[None]:
    """Raise UsageError where an output, a file or a folder, cannot be written."""
    try:
        yield
    except BrokenPipeError:  # of stdout, not of the output
        raise
    except FileExistsError as error:  # another process made it since it was looked for
        raise UsageError(f"{output}: exists by now; choose another name or add --force") from error
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror}); choose another") from error


def log_model(loaded: "LoadedModel") -> None:
    """Say which model is used, where it lies, and where it computes."""
    import torch

    from trm_cli.model.number_types import name_of_type

    what = (loaded.checkpoint.name, loaded.source, loaded.folder, loaded.sha256)
    logger.info("model %s (%s), in %s, SHA-256 %s", *what)
    device, kind = loaded.network.y_init.device, name_of_type(loaded.network)
    logger.info("device %s, %s, threads %d, torch %s", device, kind, torch.get_num_threads(), torch.__version__)


def as_typed() -> str:
    """The command line, with the variables that stand for options, and the allocator's, which change a run's speed."""
    variables = [f"{name}={value}" for name, value in os.environ.items() if "MALLOC" in name or name[:4] == "TRM_"]
    return " ".join([*sorted(variables), shlex.join(["trm", *sys.argv[1:]])])


@dataclass
class Request:
    """What was typed of the options that `solve`, `watch` and `eval` share; its clock starts when it is made.

    Raises UsageError where a setting, or the time limit, cannot be.
    """

    model: str | None
    revision: str | None
    chosen: InitVar[dict[str, Any]]  # of SOLVING
    machine: dict[str, Any]
    quiet: bool
    batch_size: int | None = None
    compiles: bool = False
    gpus: int | None = None

    def __post_init__(self, chosen: dict[str, Any]) -> None:
        self.settings, self.end = given_settings(chosen)

    def stops(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.end

    def open(self, task: str, num_cells: int) -> "LoadedModel":
        """The network for puzzles of a task."""
        from trm_cli.weights.catalogue import open_model

        device, dtype = self.place()
        loaded = open_model(
            self.model,
            task=task,
            num_cells=num_cells,
            device=device,
            dtype=dtype,
            compiles=self.compiles,
            revision=self.revision,
        )
        log_model(loaded)
        return loaded

    def place(self) -> "tuple[torch.device, torch.dtype | None]":
        """Where this process computes, and in which number type; None is what the network is fastest in."""
        from trm_cli.model.ranks import own_machine

        return own_machine(**self.machine, gpus=self.gpus)

    def launch(self) -> None:
        """Have several workers run this command, if that is wished and this is none of them, and end as they do."""
        from trm_cli.model.ranks import is_worker

        if self.gpus is None or self.gpus == 1 or is_worker():
            return
        from trm_cli.training.distributed import launch

        raise typer.Exit(launch(self.gpus, sys.argv[1:]))

    def refuse_workers(self, why: str) -> None:
        """Raise UsageError where there are several."""
        from trm_cli.model.ranks import is_worker

        if is_worker() or (self.gpus or 1) > 1:
            raise UsageError(f"--gpus: {why}")

    def open_voter(self, task: "Demonstrated") -> "Voter":
        """The network and the table of the problems that it knows."""
        from trm_cli.model.machine import choose_machine
        from trm_cli.solving.voting import Voter

        device, dtype = choose_machine(**self.machine)
        voter = Voter.open(task, self.model, self.revision, device=device, dtype=dtype)
        log_model(voter.loaded)
        return voter

    def refuse_attempts(self, task: "Demonstrated", **others: Any) -> None:
        """Raise UsageError where something was typed that says nothing about a vote, as all about attempts does."""
        from trm_cli.solving.voting import refuse_attempts

        refuse_attempts(task, self.settings | {name: value for name, value in others.items() if value})

    def batch_size_for(self, loaded: "LoadedModel") -> int:
        """Puzzles to solve together."""
        from trm_cli.solving.engine import batch_size_for

        return self.batch_size or batch_size_for(loaded.network)

    def settings_for(self, loaded: "LoadedModel") -> "SolveConfig":
        """The user's settings, the rest as the checkpoint's own."""
        settings = solve_config(loaded.checkpoint.solving, self.settings)
        plain = asdict(SolveConfig())
        used = [f"{name} {value}{'*' * (value != plain[name])}" for name, value in asdict(settings).items()]
        logger.info("settings: %s (* not the default of trm)", ", ".join(used))
        return settings
