"""`trm bench`: how fast this machine is at what the other commands do."""

import io
import json as json_module
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.commands import Command, Group
from trm_cli.cli.completion import complete_recipes
from trm_cli.cli.help import HARDWARE, RECIPE, RUN
from trm_cli.config import SolveConfig, parse_duration
from trm_cli.errors import TRMError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.model.network import TinyRecursiveModel
    from trm_cli.solving.benchmark import Pair
    from trm_cli.solving.benchmark import Speed as SolvingSpeed
    from trm_cli.solving.trace import Header, Moment
    from trm_cli.tasks.base import Puzzle
    from trm_cli.training.benchmark import Speed
    from trm_cli.training.recipes import Recipe

NUM_WATCHED = 9  # examples that `trm bench watch` solves
SOLVE_SECONDS = 1.6  # that `trm bench start` allows a puzzle; importing torch is most of it
LIST_SECONDS = 0.4  # and a command that needs no network
HELP_SECONDS = 0.15
GIGA, TERA = 1e9, 1e12
BAR_WIDTH = 12  # columns

bench = typer.Typer(cls=Group, help="Measure speed on this machine.", rich_markup_mode=None)


@bench.command("train", cls=Command)
@options.with_options(machine=options.DEVICE)
def bench_train(
    task: options.TaskName,
    recipe: str = Option(
        "fast",
        "--recipe",
        "-r",
        metavar="NAME",
        help="A named set of numbers, as in `trm train`.",
        rich_help_panel=RECIPE,
        autocompletion=complete_recipes,
    ),
    settings: options.Settings = None,
    batch_sizes: str = Option(
        "16,64,256", metavar="N,N", help="Puzzles in the rolling batch, with commas between.", rich_help_panel=RUN
    ),
    seconds: str = Option(
        "5s",
        "--time",
        metavar="DURATION",
        help="How long to train at each batch size, puzzles and first steps apart: 5s, 1m.",
        rich_help_panel=RUN,
    ),
    machine: Any = options.GROUP,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a recipe for a few seconds at several batch sizes.

    Example: trm bench train sudoku --batch-sizes 32,64 --set train.compile=true
    """
    from trm_cli.display.console import remarks_console
    from trm_cli.training.benchmark import measure

    resolved = _recipe_with(task, recipe, settings)
    sizes = _numbers("--batch-sizes", batch_sizes)
    from trm_cli.model.machine import choose_machine

    device, _ = choose_machine(**machine)
    measured = measure(resolved, sizes, seconds=parse_duration(seconds) or 0.0, device=device)
    speeds: list[Speed] = []
    try:
        with remarks_console(quiet).status("") as status:
            for size in sizes:
                status.update(f"measuring a batch of {size:,}")
                speeds.append(next(measured))
                if json:
                    typer.echo(json_module.dumps(asdict(speeds[-1])))
    finally:  # a batch that does not fit into memory leaves what was measured before
        if speeds and not json:
            _show_speeds(speeds, f"trm train {task} --recipe {recipe} on {device}")


def _numbers(flag: str, text: str) -> list[int]:
    """Whole numbers from 1 up, with commas between; raises UsageError that names the option."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9]\d{0,6}", word, re.ASCII) for word in words):
        raise UsageError(f"{flag} {text}: write whole numbers with commas between: 16,64")
    return [int(word) for word in words]


def _rate(flops_per_second: float) -> str:
    scale, unit = (TERA, "TFLOP/s") if flops_per_second >= TERA else (GIGA, "GFLOP/s")
    return f"{flops_per_second / scale:.1f} {unit}"


def _show_speeds(speeds: "list[Speed]", title: str) -> None:
    """Draw one row for each batch size on stdout."""
    from rich.filesize import decimal
    from rich.table import Table

    from trm_cli.display.console import answers_console

    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("batch", "steps/s", "pairs/s", "puzzles/s", "arithmetic", "of peak", "memory", "first step"):
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in speeds:
        table.add_row(
            f"{speed.batch_size:,}",
            f"{speed.steps_per_second:.3g}",
            f"{speed.pairs_per_second:,.0f}",
            f"{speed.puzzles_per_second:,.1f}",
            _rate(speed.flops_per_second),
            f"{speed.peak_share:.0%}",
            "–" if speed.memory is None else decimal(speed.memory),
            f"{speed.first_step_seconds:.1f} s",
        )
    answers_console().print(table)


@bench.command("solve", cls=Command)
def bench_solve(
    task: options.TaskName,
    model: options.ModelName = None,
    recipe: Optional[str] = Option(
        None,
        "--recipe",
        "-r",
        metavar="NAME",
        show_default=False,
        help="A network with random weights instead of a trained one: the recipe's of `trm train`.",
        rich_help_panel=RECIPE,
        autocompletion=complete_recipes,
    ),
    settings: options.Settings = None,
    batch_sizes: str = Option(
        "1,8,64", metavar="N,N", help="Puzzles solved together, with commas between.", rich_help_panel=RUN
    ),
    seconds: str = Option(
        "3s", "--time", metavar="DURATION", help="How long to measure each: 3s, 1m.", rich_help_panel=RUN
    ),
    against: Optional[Path] = Option(
        None,
        metavar="CHECKOUT",
        show_default=False,
        help="A checkout of the official code, which takes the same steps with the same random weights in turn.",
        rich_help_panel=RUN,
    ),
    device: str = Option("auto", metavar="auto|cpu|cuda|mps", help="Where to compute.", rich_help_panel=HARDWARE),
    dtypes: str = Option(
        "auto",
        "--dtype",
        metavar="NAME,NAME",
        help="Number types, with commas between: float32,bfloat16.",
        rich_help_panel=HARDWARE,
    ),
    threads: str = Option("1", metavar="N,N", help="CPU threads, with commas between: 1,2.", rich_help_panel=HARDWARE),
    compiles: options.Compile = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Take supervision steps for a few seconds at several batch sizes.

    Examples:
      trm bench solve sudoku --batch-sizes 1,32
      trm bench solve sudoku --recipe paper --against TinyRecursiveModels
    """
    from trm_cli.display.console import remarks_console
    from trm_cli.solving.benchmark import measure_all, official_pair, random_network
    from trm_cli.tasks import get_task
    from trm_cli.weights.catalogue import open_model

    for words, needed, is_there in (
        ("--set: changes a recipe; name one with --recipe", settings, recipe),
        ("--against: compares networks of a recipe; add --recipe paper", against, recipe),
        ("--recipe: makes a network of its own; leave --model out", recipe and model, False),
    ):
        if needed and not is_there:
            raise UsageError(words)
    config = _recipe_with(task, recipe, settings).model if recipe else None

    def build(where: "torch.device", number_type: "torch.dtype | None") -> "Pair":
        if config is None:
            opened = open_model(model, task=task, device=where, dtype=number_type, compiles=compiles)
            return opened.network, None
        if against is None:
            return random_network(config, where, number_type, compiles=compiles), None
        return official_pair(against, config, task, where, number_type, compiles=compiles)

    speeds: list[SolvingSpeed] = []
    measured = measure_all(
        build,
        get_task(task),
        device=device,
        dtypes=[dtype.strip() for dtype in dtypes.split(",")],
        threads=_numbers("--threads", threads),
        batch_sizes=_numbers("--batch-sizes", batch_sizes),
        seconds=parse_duration(seconds) or 0.0,
    )
    try:
        with remarks_console(quiet).status("measuring"):
            for speed in measured:
                speeds.append(speed)
                if json:
                    typer.echo(json_module.dumps(asdict(speed)))
    finally:  # a batch that does not fit into memory leaves what was measured before
        if speeds and not json:
            _show_solving(speeds, f"trm solve {task} with {recipe or model or 'its own model'}")


def _recipe_with(task: str, recipe: str, settings: list[str] | None) -> "Recipe":
    from trm_cli.config import override
    from trm_cli.training.recipes import get_recipe

    return override(get_recipe(task, recipe), settings or [])


def _show_solving(speeds: "list[SolvingSpeed]", title: str) -> None:
    """Draw one row for each measurement on stdout, a bar of its speed at the end."""
    from rich.bar import Bar
    from rich.filesize import decimal
    from rich.table import Table

    from trm_cli.display.console import answers_console

    columns: dict[str, Callable[[SolvingSpeed], str]] = {
        "batch": lambda speed: f"{speed.batch_size:,}",
        "threads": lambda speed: f"{speed.threads:,}",
        "dtype": lambda speed: speed.dtype,
        "steps/s": lambda speed: f"{speed.steps_per_second:,.4g}",
        "ms/step": lambda speed: f"{1000 / speed.steps_per_second:.3g}",
        "arithmetic": lambda speed: _rate(speed.flops_per_second),
        "of peak": lambda speed: f"{speed.peak_share:.0%}",
        "memory": lambda speed: "–" if speed.memory is None else decimal(speed.memory),
        "x official": lambda speed: "" if speed.official_ratio is None else f"{speed.official_ratio:.2f}",
    }
    for name in ("threads", "dtype", "x official"):  # told once where all are alike
        first, *others = {columns[name](speed) for speed in speeds}
        if not others:
            del columns[name]
            title += f", {name} {first}" if first else ""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", width=BAR_WIDTH)
    fastest = max(speed.steps_per_second for speed in speeds)
    for speed in speeds:
        bar = Bar(fastest, 0, speed.steps_per_second, width=BAR_WIDTH)
        table.add_row(*[write(speed) for write in columns.values()], bar)
    answers_console().print(table)


@bench.command("watch", cls=Command)
@options.with_options(machine=options.DEVICE)
def bench_watch(
    task: options.TaskName,
    model: options.ModelName = None,
    rounds: int = Option(
        7, min=1, max=1000, metavar="N", help="How often the examples are solved and watched.", rich_help_panel=RUN
    ),
    machine: Any = options.GROUP,
    json: options.Json = False,
) -> None:
    """Measure what drawing costs: solve the examples unseen and watched.

    Example: trm bench watch sudoku
    """
    from statistics import median

    from trm_cli.solving.engine import header_of
    from trm_cli.tasks import get_task
    from trm_cli.tasks.inputs import read_example

    puzzles = read_example(get_task(task), NUM_WATCHED)
    loaded = options.Request(model, None, {}, machine, quiet=False).open(task, puzzles.num_cells)
    header = header_of(loaded, SolveConfig(), num_puzzles=len(puzzles))
    _watch_round(loaded.network, header, list(puzzles))  # to warm up
    done = [_watch_round(loaded.network, header, list(puzzles)) for _ in range(rounds)]
    measured = done[0] | {name: median(one[name] for one in done) for name in done[0] if name != "steps"}
    if json:
        typer.echo(json_module.dumps(measured))
        return
    typer.echo(
        "{steps} steps take {unseen:.2f} s unseen; watched, with {draws:.0f} screens drawn, {slower:+.1%} by the clock "
        "and {slower_cpu:+.1%} of processor time".format_map(measured)
    )


def _watch_round(network: "TinyRecursiveModel", header: "Header", puzzles: "list[Puzzle]") -> dict[str, float]:
    """Solve the puzzles one by one, unseen; then watch the same as fast as it goes, on a terminal in memory.

    Returns `steps` and `draws` (supervision steps, screens), `unseen` (seconds), and how much longer it took watched
    (0.05 is 5 %): `slower` by the clock, `slower_cpu` in the time of all threads.
    """
    from rich.console import Console

    from trm_cli.display.boards import Look
    from trm_cli.display.watch import Keys, Player
    from trm_cli.solving.engine import moments, run

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
    player = Player(timed(), header, Look(), console, pause=0.0, keys=Keys(are_read=False))
    began_cpu = time.process_time()
    player.play()
    watched_cpu = time.process_time() - began_cpu
    slower, slower_cpu = watched[0] / unseen - 1, watched_cpu / unseen_cpu - 1
    return {"steps": steps, "draws": player.num_draws, "unseen": unseen, "slower": slower, "slower_cpu": slower_cpu}


@bench.command("start", cls=Command)
def bench_start(
    runs: int = Option(
        5, min=1, max=1000, metavar="N", help="Processes started for each command.", rich_help_panel=RUN
    ),
    json: options.Json = False,
) -> None:
    """Time small commands as whole processes, against their targets.

    Example: trm bench start
    """
    from statistics import median  # which help does without

    from trm_cli.tasks import get_task, task_names
    from trm_cli.tasks.inputs import read_example

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
