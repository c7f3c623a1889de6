"""`trm train`: train a network, with a bar or plain lines, into a run folder."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from trm_cli.cli.common import (
    INTERRUPTED,
    DeviceName,
    Quiet,
    Seed,
    TaskName,
    Threads,
    as_typed,
    choose_device,
    parse_duration,
    stop_on_signals,
    user_errors,
)


@user_errors()
def train(
    task: TaskName,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="tiny, fast or mlp.")] = "fast",
    data: Annotated[Optional[list[Path]], typer.Option(
        "--data", show_default="generated puzzles",
        help="CSV or CSV.gz with question and answer columns; may be repeated.")] = None,
    settings: Annotated[Optional[list[str]], typer.Option(
        "--set", metavar="NAME=VALUE", help="Override one number of the recipe.")] = None,
    print_config: Annotated[bool, typer.Option(
        "--print-config", help="Print the resolved recipe as JSON and exit.")] = False,
    run: Annotated[Optional[Path], typer.Option(
        "--run", show_default="runs/TASK/RECIPE-N", help="Folder of the run; a new one.")] = None,
    max_steps: Annotated[Optional[int], typer.Option(
        "--max-steps", min=1, help="Stop after this many optimizer steps.")] = None,
    max_time: Annotated[Optional[str], typer.Option(
        "--max-time", help="Stop after this long: 90s, 9m, 1h30m.")] = None,
    init: Annotated[Optional[str], typer.Option(
        "--init", help="Start from this checkpoint's weights.")] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Train a network on puzzles.

    Example: trm train sudoku --recipe tiny --max-time 10m
    """
    from dataclasses import asdict

    from trm_cli.training.recipes import get_recipe, override

    resolved = override(get_recipe(task, recipe), settings or [])
    if print_config:
        typer.echo(json.dumps(asdict(resolved), indent=2))
        return

    import torch

    from trm_cli.display.training import TrainingDisplay
    from trm_cli.training.data import gather
    from trm_cli.training.loop import Limits
    from trm_cli.training.run import RunRequest, new_run_folder, refuse_misfits
    from trm_cli.training.run import run as start_run
    from trm_cli.weights.catalogue import open_model

    chosen = choose_device(device, threads)
    folder = new_run_folder(task, recipe, run)
    limits = Limits(max_steps, parse_duration(max_time))
    start = open_model(init, task=task, num_cells=resolved.model.num_cells, device=chosen,
                       dtype=torch.float32) if init else None  # fmt: skip
    refuse_misfits(resolved, limits, start)
    with TrainingDisplay(resolved, limits, quiet=quiet) as display:
        dataset, names = gather(resolved, data or [], seed, display.generating)
        with stop_on_signals() as stopped:
            request = RunRequest(resolved, dataset, names, folder, chosen, seed, limits,
                                 as_typed(), start, stopped)  # fmt: skip
            for event in start_run(request):
                display.show(event)
    display.finished(folder)
    if stopped():
        raise typer.Exit(INTERRUPTED)
