"""What every command shares: options spelled once, devices, and how errors end."""

import inspect
import math
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Any, Optional

import typer

from trm_cli.errors import ModelError, TRMError, UsageError, printable
from trm_cli.tasks import BUILT_IN

if TYPE_CHECKING:
    import torch

    from trm_cli.config import SolveConfig


INTERRUPTED = 130
BROKEN_PIPE = 141
CPU_BATCH, ACCELERATOR_BATCH = 8, 512  # puzzles solved together if nothing is said
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK", show_default=False, help=f"Kind of puzzle: {', '.join(BUILT_IN)}, or one that a package adds."
    ),
]
PuzzleFile = Annotated[
    Optional[Path],
    typer.Argument(
        metavar="[FILE|-]",
        help="Puzzles as text or CSV, problems as JSON; - or nothing reads stdin.",
        show_default=False,
    ),
]
ModelName = Annotated[
    Optional[str],
    typer.Option(
        "--model",
        "-m",
        envvar="TRM_MODEL",
        show_default="the task's own",
        help="A bundled name, a folder or file of weights, or OWNER/NAME[:PATH] on the Hub; see `trm models list`.",
    ),
]
Revision = Annotated[
    Optional[str],
    typer.Option(
        "--revision", metavar="BRANCH|TAG|COMMIT", show_default="main", help="Which version of a model of the Hub."
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
DtypeName = Annotated[str, typer.Option("--dtype", help="auto, float32 or bfloat16.")]
Threads = Annotated[
    Optional[int], typer.Option("--threads", min=1, max=4096, show_default="all cores", help="CPU threads.")
]
BatchSize = Annotated[
    Optional[int],
    typer.Option("--batch-size", min=1, show_default="8 on a CPU, 512 elsewhere", help="Puzzles solved together."),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the net first: a minute that pays off on thousands of puzzles.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Same seed, same result.")]
Output = Annotated[Optional[Path], typer.Option("--output", "-o", show_default="stdout", help="Write to this file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]


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
    except BrokenPipeError:  # the reader went away: leave quietly
        _abandon_stdout()
        raise typer.Exit(BROKEN_PIPE) from None
    except OSError as error:
        _abandon_stdout()
        typer.echo(f"trm: {error.filename or 'stdout'}: {error.strerror}", err=True)
        raise typer.Exit(UsageError.exit_code) from None


def _abandon_stdout() -> None:
    """Keep Python from flushing into a pipe or disk that takes no more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def hide_download_bars(quiet: bool) -> None:
    """Have the Hub's client draw no bars; it reads this when it is imported."""
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def refuse_existing(output: Path | None, force: bool) -> None:
    """Raise UsageError if the output file may not be overwritten, or has no folder to lie in."""
    if output is None or is_stdout(output):
        return
    if os.path.exists(output) and not force:
        raise UsageError(f"{output}: exists already; choose another name or add --force")
    if not os.path.isdir(output.parent):
        raise UsageError(f"{output}: there is no folder {output.parent}; make it first")


def refuse_full(path: Path, force: bool) -> None:
    """Raise UsageError if something would be overwritten, or cannot be written there."""
    if str(path) == "-":
        raise UsageError("--output -: cannot go to stdout; name a path")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name or add --force")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")


def refuse_read_only(folder: Path) -> None:
    """Raise UsageError where a folder that is to be written to cannot be."""
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: cannot be written; copy the checkpoint and give --model COPY")


def is_stdout(output: Path | None) -> bool:
    """Whether answers go to stdout: no file was named, or a dash."""
    return output is None or str(output) == "-"


@contextmanager
def opened(output: Path | None, mode: str) -> Iterator[IO[Any]]:
    """Open an output file for writing; raises UsageError where that cannot be."""
    text = {} if "b" in mode else {"encoding": "utf-8"}
    with writing(output), open(str(output), mode, **text) as sink:  # type: ignore[call-overload] # mode varies
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


def choose_device(name: str, threads: int | None) -> "torch.device":
    """The torch device of that name; `auto` prefers cuda, then mps, then cpu."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(n for n in ("cuda", "mps", "cpu") if there[n]))
    if name not in there:
        raise UsageError(f"--device {name}: choose auto, cpu, cuda or mps")
    if not there[name]:
        raise UsageError(f"--device {name}: torch finds no such device here; use --device auto")
    return torch.device(name)


def choose_batch_size(wanted: int | None, device: "torch.device") -> int:
    """Puzzles to solve together: few on a CPU, where a batch should stay in its cache."""
    return wanted or (CPU_BATCH if device.type == "cpu" else ACCELERATOR_BATCH)


def choose_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """The number type to compute in; `auto` is bfloat16 on cuda and float32 elsewhere."""
    import torch

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in kinds:
        raise UsageError(f"--dtype {name}: choose auto, float32 or bfloat16")
    return kinds[name]


def parse_duration(text: str | None) -> float | None:
    """Seconds in a duration such as 90s, 9m, 1h30m or 45 (seconds)."""
    if text is None:
        return None
    text = text.strip()
    is_number = text.replace(".", "", 1).isdecimal()
    match = DURATION.fullmatch(text + "s" if is_number else text)
    if not match or not any(float(part or 0) for part in match.groups()):
        raise UsageError(f"{text!r} is no duration; write 90s, 9m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def as_typed() -> str:
    """The command line, with the allocator's variables that change a run's speed."""
    variables = [f"{name}={value}" for name, value in os.environ.items() if "MALLOC" in name]
    return " ".join([*sorted(variables), shlex.join(["trm", *sys.argv[1:]])])


FURTHER = ("retry_steps", "guess", "starts", "noise", "views", "select")  # nothing without more
OWN = "the model's own"  # the default of an option whose value the checkpoint knows best


def _parameter(name: str, kind: Any, default: Any, help_text: str, flag: str = "", **about: Any) -> inspect.Parameter:
    """An option as a parameter of a command.

    default  its value; or words in parentheses that say what nothing typed, which gives None, means.
    """
    in_words = isinstance(default, str) and default.startswith("(")
    show: Any = default.strip("()") if in_words else True
    told = typer.Option(flag or f"--{name.replace('_', '-')}", show_default=show, help=help_text, **about)
    annotation: Any = Annotated[Optional[kind] if in_words else kind, told]
    value = None if in_words else default
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=annotation)


SOLVING = [  # the options of SolveConfig, each by its name
    _parameter(
        "attempts", int, f"({OWN}, or 1)", "How often an unsolved puzzle is tried in all, each time otherwise.", min=1
    ),
    _parameter("max_steps", int, f"({OWN}, or 16)", "Supervision steps of the first attempt at most.", min=1),
    _parameter(
        "retry_steps", int, f"({OWN}, or --max-steps)", "Supervision steps of each further attempt at most.", min=1
    ),
    _parameter("step_limit", int, "(none)", "Supervision steps of all attempts at a puzzle together, at most.", min=1),
    _parameter(
        "guess",
        bool,
        f"({OWN}, or no)",
        "Each further attempt fills a blank with what the network believed.",
        "--guess/--no-guess",
    ),
    _parameter(
        "starts", str, f"({OWN}, or random)", "Where z starts in further attempts: fixed (as in the first) or random."
    ),
    _parameter(
        "noise", float, f"({OWN}, or 0)", "Deviation of the noise on z before each step of further attempts.", min=0
    ),
    _parameter(
        "views",
        int,
        f"({OWN}, or 1; all in a vote)",
        "Symmetric views of the puzzle that further attempts go through; in a vote, the views that are looked at.",
        min=1,
    ),
    _parameter(
        "select",
        str,
        f"({OWN}, or verified)",
        "Which attempt's answer is taken: verified (the first whose rules hold), or after all attempts the best by q, "
        "mode, margin or residual.",
    ),
    _parameter(
        "halt",
        str,
        "verified",
        "When an attempt stops: verified (the halt head fires and the rules hold), q (the head fires), never (always "
        "--max-steps).",
    ),
    _parameter("seed", int, 0, "Same seed, same result.", min=0, max=2**63 - 1),
]
TIME_LIMIT = _parameter(
    "time_limit",
    str,
    "(none)",
    "Stop solving after 90s, 9m or 1h30m; puzzles that are left stay unsolved.",
    metavar="DURATION",
)
GROUP: Any = None  # stands for a group of options in the signature of a command
MACHINE = [
    inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
    for name, kind, default in (
        ("device", DeviceName, "auto"),
        ("dtype", DtypeName, "auto"),
        ("threads", Threads, None),
    )
]


def with_options(**groups: list[inspect.Parameter]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put groups of options in the place of a command's parameter of that name, which is given a dictionary."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command)
        parameters = []
        for parameter in own.parameters.values():
            parameters += groups.get(parameter.name, [parameter])

        @wraps(command)
        def run(**given: Any) -> Any:
            for name, group in groups.items():
                given[name] = {parameter.name: given.pop(parameter.name) for parameter in group}
            return command(**given)

        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # of every function
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def choose_machine(machine: dict[str, Any]) -> "tuple[torch.device, torch.dtype]":
    """Where to compute, and in which number type, of what was typed for MACHINE."""
    device = choose_device(machine["device"], machine["threads"])
    return device, choose_dtype(machine["dtype"], device)


def chosen_settings(given: dict[str, Any]) -> dict[str, Any]:
    """What was typed of the options of SolveConfig; raises UsageError where it cannot be.

    Where there is a time limit, every puzzle is tried once before any is tried again.
    """
    from trm_cli.config import SolveConfig

    chosen = {name: value for name, value in given.items() if name != "time_limit" and value is not None}
    if given.get("time_limit") is not None:
        chosen["breadth_first"] = True
    SolveConfig(**chosen)
    return chosen


def chosen_of_attempts(chosen: dict[str, Any]) -> list[str]:
    """The names of what was chosen that says something about attempts, and so nothing about a vote."""
    from trm_cli.config import SolveConfig

    plain = SolveConfig()
    return [name for name in chosen if name not in ("views", "seed") and chosen[name] != getattr(plain, name)]


def deadline(time_limit: str | None) -> Callable[[], bool]:
    """A clock that starts now: whether the time is up; raises UsageError where it is no time."""
    try:
        seconds = parse_duration(time_limit)
    except UsageError as error:
        raise UsageError(f"--time-limit: {error}") from error
    end = math.inf if seconds is None else time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def complete_settings(own: dict[str, Any], chosen: dict[str, Any]) -> "SolveConfig":
    """The user's settings, the rest as the checkpoint's own.

    Raises UsageError where they do not fit together, ModelError where the checkpoint's cannot be.
    """
    from trm_cli.config import SolveConfig

    try:
        SolveConfig(**own)
    except (TypeError, UsageError) as error:
        raise ModelError(f"`solving` in the model's config.json: {error}; correct it") from error
    plain, settings = SolveConfig(), SolveConfig(**{**own, **chosen})
    idle = [name for name in FURTHER if chosen.get(name, getattr(plain, name)) != getattr(plain, name)]
    if settings.attempts == 1 and idle:
        flag = idle[0].replace("_", "-")
        raise UsageError(f"--{flag} is for further attempts; add --attempts 8, say")
    if settings.attempts > 1 and not settings.varies:
        raise UsageError(
            f"--attempts {settings.attempts}: every attempt would be the same; add --starts "
            "random, --noise, --views or --guess"
        )
    return settings
