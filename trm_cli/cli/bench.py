"""`trm bench`: how fast this machine is at what the other commands do."""

import io
import json as json_module
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.options import (
    DeviceName,
    Json,
    ModelName,
    Quiet,
    TaskName,
    Threads,
    choose_device,
    choose_dtype,
    parse_duration,
    user_errors,
)
from trm_cli.config import SolveConfig
from trm_cli.errors import TRMError, UsageError

if TYPE_CHECKING:
    from trm_cli.model.network import TinyRecursiveModel
    from trm_cli.solving.trace import Header, Moment
    from trm_cli.tasks.base import Puzzle

NUM_WATCHED = 9  # examples that `trm bench watch` solves
SOLVE_SECONDS = 1.6  # that `trm bench start` allows a puzzle; importing torch is most of it
LIST_SECONDS = 0.4  # and a command that needs no network
HELP_SECONDS = 0.15

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)


@bench.callback()
def main() -> None:
    """Measure speed on this machine."""


@bench.command("train")
@user_errors()
def bench_train(
    task: TaskName,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A named set of numbers, as in `trm train`.")] = "fast",
    settings: Annotated[
        Optional[list[str]], typer.Option("--set", metavar="NAME=VALUE", help="Override one number; may be repeated.")
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option("--batch-sizes", help="Puzzles in the rolling batch, with commas between.")
    ] = "16,64,256",
    seconds: Annotated[str, typer.Option("--time", help="How long to train at each batch size: 5s, 1m.")] = "5s",
    device: DeviceName = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe for a few seconds at several batch sizes, on generated puzzles.

    Example: trm bench train sudoku --recipe fast --batch-sizes 32,64 --set train.compile=true
    """
    from trm_cli.config import override
    from trm_cli.display.listings import announced, show_speeds
    from trm_cli.training.benchmark import Speed, measure
    from trm_cli.training.recipes import get_recipe

    resolved = override(get_recipe(task, recipe), settings or [])
    sizes = _sizes(batch_sizes)
    chosen = choose_device(device, threads)
    lapse = parse_duration(seconds) or 0.0
    speeds: list[Speed] = []
    try:
        measured = measure(resolved, sizes, seconds=lapse, device=chosen)
        for speed in announced(measured, sizes, quiet=quiet):
            speeds.append(speed)
            if json:
                typer.echo(json_module.dumps(asdict(speed)))
    finally:  # a batch that does not fit into memory leaves what was measured before
        if speeds and not json:
            show_speeds(speeds, f"trm train {task} --recipe {recipe} on {chosen}")


@bench.command("watch")
@user_errors()
def bench_watch(
    task: TaskName,
    model: ModelName = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, max=1000, help="How often the examples are solved and watched.")
    ] = 7,
    device: DeviceName = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Solve the bundled examples unseen and watched in turn, to see what drawing costs.

    Example: trm bench watch sudoku
    """
    from trm_cli.cli.inputs import read_example
    from trm_cli.solving.watching import header_of
    from trm_cli.tasks import get_task
    from trm_cli.weights.catalogue import open_model

    puzzles = read_example(get_task(task), NUM_WATCHED)
    chosen = choose_device(device, threads)
    loaded = open_model(
        model, task=task, num_cells=puzzles.num_cells, device=chosen, dtype=choose_dtype("auto", chosen)
    )
    header = header_of(loaded, SolveConfig(), num_puzzles=len(puzzles))
    _watch_round(loaded.network, header, list(puzzles))  # to warm up
    done = [asdict(_watch_round(loaded.network, header, list(puzzles))) for _ in range(rounds)]
    measured = Overhead(done[0]["steps"], **{name: median(one[name] for one in done) for name in MEDIANS})
    if json:
        typer.echo(json_module.dumps(asdict(measured)))
        return
    typer.echo(
        f"{measured.steps} steps take {measured.unseen:.2f} s unseen; watched, with "
        f"{measured.draws:.0f} screens drawn, {measured.slower:+.1%} by the clock and "
        f"{measured.slower_cpu:+.1%} of processor time"
    )


@dataclass(frozen=True)
class Overhead:
    """What watching costs: of one round, or the medians of several."""

    steps: int  # supervision steps of a round
    draws: float  # screens drawn in a round
    unseen: float  # seconds of a round, unseen
    slower: float  # how much longer it took watched, by the clock: 0.05 is 5 %
    slower_cpu: float  # how much more the processor had to do, all threads


MEDIANS = ("draws", "unseen", "slower", "slower_cpu")


def _watch_round(network: "TinyRecursiveModel", header: "Header", puzzles: "list[Puzzle]") -> Overhead:
    """Solve the puzzles one by one, unseen; then watch the same as fast as it goes, on a terminal in memory."""
    from rich.console import Console

    from trm_cli.display.boards import Look
    from trm_cli.display.watch import NoKeys, Pace, Player
    from trm_cli.solving.engine import run
    from trm_cli.solving.watching import moments

    settings = SolveConfig()
    began, began_cpu = time.perf_counter(), time.process_time()
    steps = 0
    for puzzle in puzzles:
        steps += sum(1 for _ in run(network, header.task, [puzzle.tokens], batch_size=1, settings=settings))
    unseen, unseen_cpu = time.perf_counter() - began, time.process_time() - began_cpu

    watched: list[float] = []  # seconds from when the first moment was asked for to the end of the last

    def timed() -> "Iterator[Moment]":
        began = time.perf_counter()
        yield from moments(network, header.task, puzzles, settings=settings)
        watched.append(time.perf_counter() - began)

    memory = io.StringIO()
    console = Console(
        file=memory, force_terminal=True, color_system="truecolor", width=80, height=24, legacy_windows=False
    )
    player = Player(timed(), header, pace=Pace(0.0), look=Look(), console=console, keys=NoKeys())
    began_cpu = time.process_time()
    player.play()
    watched_cpu = time.process_time() - began_cpu
    return Overhead(steps, player.num_draws, unseen, watched[0] / unseen - 1, watched_cpu / unseen_cpu - 1)


@bench.command("start")
@user_errors()
def bench_start(
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="Processes started for each command.")] = 5,
    json: Json = False,
) -> None:
    """Time small commands as whole processes, against the seconds that they may take.

    Example: trm bench start
    """
    from trm_cli.cli.inputs import read_example
    from trm_cli.tasks import get_task, task_names

    name = task_names()[0]
    task = get_task(name)
    (puzzle,) = read_example(task, 1)
    question = task.write_rows(puzzle.tokens)
    trm = ["-m", "trm_cli"]
    starts = {
        "import trm_cli": (["-c", "import trm_cli"], None),
        "trm --help": ([*trm, "--help"], HELP_SECONDS),
        "trm models list": ([*trm, "models", "list"], LIST_SECONDS),
        f"trm train {name} --print-config": ([*trm, "train", name, "--print-config"], LIST_SECONDS),
        f"trm solve {name}": ([*trm, "solve", name, "-"], SOLVE_SECONDS),
    }
    if not json:
        typer.echo(f"{'command':34}{'median':>9}{'fastest':>9}{'target':>9}")
    for command, (arguments, target) in starts.items():
        seconds = [_time_process(command, arguments, question) for _ in range(runs)]
        typical, fastest = median(seconds), min(seconds)
        if json:
            line = {"command": command, "runs": runs, "median": typical, "fastest": fastest, "target": target}
            typer.echo(json_module.dumps(line))
            continue
        limit, verdict = ("–", "") if target is None else (f"{target:.2f} s", " missed" * (typical > target))
        typer.echo(f"{command:34}{typical:>7.2f} s{fastest:>7.2f} s{limit:>9}{verdict}")


def _time_process(command: str, arguments: list[str], stdin: str) -> float:
    """Seconds from starting a fresh Python to its end; raises TRMError where it fails."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], input=stdin, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise TRMError(f"{command}: failed with exit code {done.returncode} ({said[-1]}); run it by itself to see why")
    return seconds


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"--batch-sizes {text}: write whole numbers with commas between: 16,64")
    return [int(word) for word in words]
