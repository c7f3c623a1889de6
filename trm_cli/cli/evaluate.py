"""`trm eval`: how accurate a checkpoint is on puzzles with known answers."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from trm_cli.cli.common import (
    BatchSize,
    Compile,
    DeviceName,
    DtypeName,
    Json,
    ModelName,
    Quiet,
    Revision,
    Seed,
    TaskName,
    Threads,
    as_typed,
    choose_batch_size,
    choose_device,
    choose_dtype,
    hide_download_bars,
    refuse_read_only,
    user_errors,
)


@user_errors()
def evaluate(
    task: TaskName,
    data: Annotated[Path, typer.Option(
        "--data", help="CSV or CSV.gz with question and answer columns.", show_default=False)],
    model: ModelName = None,
    revision: Revision = None,
    limit: Annotated[Optional[int], typer.Option(
        "--limit", min=1, show_default="all", help="Evaluate the first rows only.")] = None,
    halt: Annotated[str, typer.Option(
        "--halt", help="When to stop: verified, q or never (see `trm solve -h`).")] = "verified",
    max_steps: Annotated[int, typer.Option(
        "--max-steps", min=1, help="Supervision steps at most.")] = 16,
    batch_size: BatchSize = None,
    compile_net: Compile = False,
    record: Annotated[bool, typer.Option(
        "--record", help="Write the figures into the checkpoint's config.json and card.")] = False,
    json: Json = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Measure a checkpoint: cells, exact, verified, steps, precision of the halt head.

    Example: trm eval sudoku --data puzzles.csv.gz
    """
    from trm_cli.display.scores import show_scores
    from trm_cli.display.solving import SolvingDisplay
    from trm_cli.solving.engine import SolveSettings, check_halt, solve_stream
    from trm_cli.solving.evaluate import Evaluated, score_groups
    from trm_cli.solving.record import record_scores
    from trm_cli.tasks import get_task
    from trm_cli.tasks.datasets import read_dataset
    from trm_cli.weights.catalogue import open_model

    puzzle_task = get_task(task)
    settings = SolveSettings(check_halt(halt), max_steps, seed)
    dataset = read_dataset(data, puzzle_task).head(limit)
    hide_download_bars(quiet)
    chosen = choose_device(device, threads)
    loaded = open_model(model, task=task, num_cells=dataset.puzzles.shape[1], device=chosen,
                        dtype=choose_dtype(dtype, chosen), compiles=compile_net,
                        revision=revision)  # fmt: skip
    if record:
        refuse_read_only(loaded.folder)
    with SolvingDisplay(len(dataset), quiet=quiet) as display:
        solutions = []
        size = choose_batch_size(batch_size, chosen)
        for solution in solve_stream(loaded.network, puzzle_task, dataset.puzzles,
                                     batch_size=size, settings=settings):  # fmt: skip
            solutions.append(solution)
            display.show(solution)
    evaluated = Evaluated(data.name, dataset, settings, score_groups(dataset, solutions))
    show_scores(evaluated, as_json=json)
    if record:
        record_scores(loaded, evaluated, as_typed())
