"""`trm bench`: how fast this machine is at what the other commands do."""

import json as json_module
import subprocess
import sys
import time
from dataclasses import asdict
from statistics import median
from typing import Annotated, Optional

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
from trm_cli.config import SolveSettings
from trm_cli.errors import TRMError, UsageError

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
    from trm_cli.display.overhead import measure_overhead, overhead_line
    from trm_cli.solving.watching import header_of
    from trm_cli.tasks import get_task
    from trm_cli.weights.catalogue import open_model

    puzzles = read_example(get_task(task), NUM_WATCHED)
    chosen = choose_device(device, threads)
    loaded = open_model(
        model, task=task, num_cells=puzzles.num_cells, device=chosen, dtype=choose_dtype("auto", chosen)
    )
    header = header_of(loaded, SolveSettings(), num_puzzles=len(puzzles))
    measured = measure_overhead(loaded.network, header, list(puzzles), rounds=rounds)
    typer.echo(json_module.dumps(asdict(measured)) if json else overhead_line(measured))


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
