"""What every command shares: options spelled once, the machine, outputs, and how errors end."""

import inspect
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer import Argument, Option

from trm_cli.errors import TRMError, UsageError, printable
from trm_cli.tasks import BUILT_IN

if TYPE_CHECKING:
    from trm_cli.config import SolveConfig
    from trm_cli.solving.voting import Voter
    from trm_cli.tasks.problems import Demonstrated
    from trm_cli.weights.tensors import LoadedModel

INTERRUPTED, BROKEN_PIPE = 130, 141  # exit codes
LARGEST_SEED = 2**63 - 1
KIND_OF_PUZZLE = f"Kind of puzzle: {', '.join(BUILT_IN)}, or one that a package adds."
A_MODEL = "A bundled name, a folder or file of weights, or OWNER/NAME[:PATH] on the Hub"


def _hide_download_bars(quiet: bool) -> bool:
    """Have the Hub's client draw no bars; it reads this when it is imported."""
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    return quiet


TaskName = Annotated[str, Argument(metavar="TASK", show_default=False, help=KIND_OF_PUZZLE)]
TaskAndPuzzles = Annotated[
    Optional[list[str]],
    Argument(
        metavar="[TASK] [PUZZLE|FILE|-]...",
        show_default=False,
        help=f"{KIND_OF_PUZZLE} Then puzzles, or files of them: text, CSV or JSON; - or nothing reads stdin.",
    ),
]
TaskAndPuzzle = Annotated[
    Optional[list[str]],
    Argument(
        metavar="[TASK] [PUZZLE|FILE|-]",
        show_default=False,
        help=f"{KIND_OF_PUZZLE} Then a puzzle, or a file as text, CSV or JSON; - reads stdin; nothing: an example.",
    ),
]
ModelName = Annotated[
    Optional[str],
    Option(
        "--model", "-m", envvar="TRM_MODEL", show_default="the task's own", help=f"{A_MODEL}; see `trm models list`."
    ),
]
Revision = Annotated[
    Optional[str], Option(metavar="BRANCH|TAG|COMMIT", show_default="main", help="Which version of a model of the Hub.")
]
BatchSize = Annotated[
    Optional[int], Option(min=1, show_default="8 on a CPU, 512 elsewhere", help="Puzzles solved together.")
]
Compile = Annotated[
    bool, Option("--compile", help="Compile the net first: a minute that pays off on thousands of puzzles.")
]
Check = Annotated[
    bool,
    Option(
        "--check/--no-check",
        help="Count the solutions of a puzzle that the first attempt fails at: it says why, and is not tried again if "
        "the puzzle is at fault.",
    ),
]
Settings = Annotated[
    Optional[list[str]], Option("--set", metavar="NAME=VALUE", help="Override one number; may be repeated.")
]
Output = Annotated[Optional[Path], Option("--output", "-o", show_default="stdout", help="Write to this file.")]
Json = Annotated[bool, Option("--json", help="One JSON object per line.")]
Quiet = Annotated[bool, Option("--quiet", "-q", callback=_hide_download_bars, help="No progress, no remarks.")]
Force = Annotated[bool, Option("--force", help="Overwrite the output file.")]


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


GROUP: Any = None  # stands for a group of options in the signature of a command
MACHINE = [
    option("device", str, True, "auto, cpu, cuda or mps.", default="auto"),
    option("dtype", str, True, "auto, float32 or bfloat16.", default="auto"),
    option("threads", int, "all cores", "CPU threads.", min=1, max=4096),
]
DEVICE = [one for one in MACHINE if one.name != "dtype"]  # of commands that leave the number type to something else
OWN = "the model's own, or"  # the default of an option whose value the checkpoint knows best
SOLVING = [  # the options of SolveConfig, each by its name
    option("attempts", int, f"{OWN} 1", "How often an unsolved puzzle is tried in all, each time otherwise.", min=1),
    option("max_steps", int, f"{OWN} 16", "Supervision steps of the first attempt at most.", min=1),
    option("retry_steps", int, f"{OWN} --max-steps", "Supervision steps of each further attempt at most.", min=1),
    option("step_limit", int, "none", "Supervision steps of all attempts at a puzzle together, at most.", min=1),
    option(
        "guess",
        bool,
        f"{OWN} no",
        "Each further attempt fills a blank with what the network believed.",
        "--guess/--no-guess",
    ),
    option("starts", str, f"{OWN} random", "Where z starts in further attempts: fixed (as in the first) or random."),
    option("noise", float, f"{OWN} 0", "Deviation of the noise on z before each step of further attempts.", min=0),
    option(
        "views",
        int,
        f"{OWN} 1; all in a vote",
        "Symmetric views of the puzzle that further attempts go through; in a vote, the views that are looked at.",
        min=1,
    ),
    option(
        "select",
        str,
        f"{OWN} verified",
        "Which attempt's answer is taken: verified (the first whose rules hold), or after all attempts the best by q, "
        "mode, margin or residual.",
    ),
    option(
        "halt",
        str,
        True,
        "When an attempt stops: verified (the halt head fires and the rules hold), q (the head fires), never (always "
        "--max-steps).",
        default="verified",
    ),
    option("seed", int, True, "Same seed, same result.", default=0, min=0, max=LARGEST_SEED),
]
TIMED_SOLVING = [
    *SOLVING,
    option(
        "time_limit",
        str,
        "none",
        "Stop solving after 90s, 9m or 1h30m; puzzles that are left stay unsolved.",
        metavar="DURATION",
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
def user_errors() -> Iterator[None]:
    """End a command on a user's error: one line on stderr, the error's exit code, no traceback."""
    try:
        yield
        sys.stdout.flush()
    except TRMError as error:
        typer.echo(f"trm: {printable(str(error))}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("trm: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        # Keep Python from flushing into a pipe or disk that takes no more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader went away: leave quietly
            raise typer.Exit(BROKEN_PIPE) from None
        typer.echo(f"trm: {error.filename or 'stdout'}: {error.strerror}", err=True)
        raise typer.Exit(UsageError.exit_code) from None


@contextmanager
def stop_on_signals(*, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a wish to stop; the second SIGINT ends at once.

    patient  no second signal ends anything: whoever starts workers passes signals on to them that
             the terminal has sent them already.
    Gives the function that says whether the wish was made.
    """
    wishes: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        wishes.append(number)
        if not patient:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def refuse_existing(output: Path | None, force: bool) -> None:
    """Raise UsageError if the output file may not be overwritten, or has no folder to lie in."""
    if output is None or is_stdout(output):
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
def opened(output: Path | None) -> Iterator[IO[str]]:
    """An output to write text to, a file or stdout; raises UsageError where that cannot be."""
    if is_stdout(output):
        yield sys.stdout
    else:
        with writing(output), open(str(output), "w", encoding="utf-8") as sink:
            yield sink


@contextmanager
def writing(output: Path | None) -> Iterator[None]:
    """Raise UsageError where an output, a file or a folder, cannot be written."""
    try:
        yield
    except BrokenPipeError:  # of stdout, not of the output
        raise
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror}); choose another") from error


def as_typed() -> str:
    """The command line, with the allocator's variables that change a run's speed."""
    variables = [f"{name}={value}" for name, value in os.environ.items() if "MALLOC" in name]
    return " ".join([*sorted(variables), shlex.join(["trm", *sys.argv[1:]])])


@dataclass
class Request:
    """What was typed of the options that `solve`, `watch` and `eval` share; its clock starts when it is made.

    Where there is a time limit, every puzzle is tried once before any is tried again.
    Raises UsageError where a setting, or the limit, cannot be.
    """

    model: str | None
    revision: str | None
    chosen: InitVar[dict[str, Any]]  # of SOLVING
    machine: dict[str, Any]
    quiet: bool
    batch_size: int | None = None
    compiles: bool = False

    def __post_init__(self, chosen: dict[str, Any]) -> None:
        from trm_cli.config import SolveConfig, parse_duration

        self.settings = {name: value for name, value in chosen.items() if value is not None}
        limit = self.settings.pop("time_limit", None)
        if limit is not None:
            self.settings["breadth_first"] = True
        SolveConfig(**self.settings)
        try:
            seconds = parse_duration(limit)
        except UsageError as error:
            raise UsageError(f"--time-limit: {error}") from error
        self.end = math.inf if seconds is None else time.monotonic() + seconds

    def stops(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.end

    def open(self, task: str, num_cells: int) -> "LoadedModel":
        """The network for puzzles of a task."""
        from trm_cli.model.network import choose_machine
        from trm_cli.weights.catalogue import open_model

        device, dtype = choose_machine(**self.machine)
        return open_model(
            self.model,
            task=task,
            num_cells=num_cells,
            device=device,
            dtype=dtype,
            compiles=self.compiles,
            revision=self.revision,
        )

    def open_voter(self, task: "Demonstrated") -> "Voter":
        """The network and the table of the problems that it knows."""
        from trm_cli.model.network import choose_machine
        from trm_cli.solving.voting import Voter

        device, dtype = choose_machine(**self.machine)
        return Voter.open(task, self.model, self.revision, device=device, dtype=dtype)

    def refuse_attempts(self, task: "Demonstrated", **others: Any) -> None:
        """Raise UsageError where something was typed that says nothing about a vote, as all about attempts does."""
        from trm_cli.solving.voting import refuse_attempts

        refuse_attempts(task, self.settings | {name: value for name, value in others.items() if value})

    def batch_size_for(self, loaded: "LoadedModel") -> int:
        """Puzzles to solve together."""
        from trm_cli.solving.engine import batch_size_on

        return self.batch_size or batch_size_on(loaded.network.y_init.device)

    def settings_for(self, loaded: "LoadedModel") -> "SolveConfig":
        """The user's settings, the rest as the checkpoint's own."""
        from trm_cli.config import solve_config

        return solve_config(loaded.checkpoint.solving, self.settings)
