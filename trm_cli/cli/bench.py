"""`trm bench`: how fast this machine is at what the other commands do."""

import json as json_module
from dataclasses import asdict
from typing import Annotated, Optional

import typer

from trm_cli.cli.common import (
    DeviceName,
    Json,
    Quiet,
    TaskName,
    Threads,
    choose_device,
    parse_duration,
    user_errors,
)
from trm_cli.errors import UsageError

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True,
                    rich_markup_mode=None)  # fmt: skip


@bench.callback()
def main() -> None:
    """Measure speed on this machine."""


@bench.command("train")
@user_errors()
def bench_train(
    task: TaskName,
    recipe: Annotated[str, typer.Option(
        "--recipe", "-r", help="A named set of numbers, as in `trm train`.")] = "fast",
    settings: Annotated[Optional[list[str]], typer.Option(
        "--set", metavar="NAME=VALUE", help="Override one number; may be repeated.")] = None,
    batch_sizes: Annotated[str, typer.Option(
        "--batch-sizes", help="Puzzles in the rolling batch, with commas between.")] = "16,64,256",
    seconds: Annotated[str, typer.Option(
        "--time", help="How long to train at each batch size: 5s, 1m.")] = "5s",
    device: DeviceName = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Train a recipe for a few seconds at several batch sizes, on generated puzzles.

    Example: trm bench train sudoku --recipe fast --batch-sizes 32,64 --set train.compile=true
    """
    from trm_cli.display.speeds import announced, show_speeds
    from trm_cli.training.benchmark import Speed, measure
    from trm_cli.training.overrides import override
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


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"--batch-sizes {text}: write whole numbers with commas between: 16,64")
    return [int(word) for word in words]
