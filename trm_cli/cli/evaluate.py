"""`trm eval`: how accurate a checkpoint is on puzzles with known answers."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from trm_cli.cli.attempts import (
    Guess,
    Halt,
    MaxSteps,
    Noise,
    NumAttempts,
    NumViews,
    RetrySteps,
    Select,
    Starts,
    StepLimit,
    TimeLimit,
    chosen_settings,
    deadline,
)
from trm_cli.cli.common import (
    BatchSize,
    Compile,
    DeviceName,
    DtypeName,
    Force,
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
    refuse_existing,
    refuse_read_only,
    user_errors,
)


@user_errors()
def evaluate(
    context: typer.Context,
    task: TaskName,
    data: Annotated[Path, typer.Option(
        "--data", help="CSV or CSV.gz with question and answer columns.", show_default=False)],
    model: ModelName = None,
    revision: Revision = None,
    compare: Annotated[Optional[str], typer.Option(
        "--compare", metavar="MODEL", show_default="none",
        help="A second model, put beside the first with a paired test.")] = None,
    limit: Annotated[Optional[int], typer.Option(
        "--limit", min=1, show_default="all", help="Evaluate the first rows only.")] = None,
    attempts: NumAttempts = None,
    max_steps: MaxSteps = None,
    retry_steps: RetrySteps = None,
    step_limit: StepLimit = None,
    guess: Guess = None,
    starts: Starts = None,
    noise: Noise = None,
    views: NumViews = None,
    select: Select = None,
    halt: Halt = "verified",
    time_limit: TimeLimit = None,
    batch_size: BatchSize = None,
    compile_net: Compile = False,
    output: Annotated[Optional[Path], typer.Option(
        "--output", "-o", show_default="none",
        help="Write a report, too: .md, .html (with figures), .svg (figures) or .json.")] = None,
    resume: Annotated[Optional[Path], typer.Option(
        "--resume", show_default="none", metavar="FILE",
        help="Keep the counts in this file, and go on from it if it exists.")] = None,
    record: Annotated[bool, typer.Option(
        "--record", help="Write the figures into the checkpoint's config.json and card.")] = False,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Measure a checkpoint: cells, exact, verified, steps, attempts, calibration, speed.

    Example: trm eval sudoku --data puzzles.csv.gz
    """
    from trm_cli.display.reports import check_format

    stops = deadline(time_limit)
    chosen = chosen_settings(context.params)
    check_format(output)
    refuse_existing(output, force)

    from trm_cli.cli.measuring import Measurement, open_both
    from trm_cli.display.reports import write_report
    from trm_cli.display.scores import show_scores
    from trm_cli.solving.record import record_scores

    hide_download_bars(quiet)
    where = choose_device(device, threads)
    measurement = Measurement(task, data, limit, chosen)
    loaded = open_both(model, compare, task=task, num_cells=measurement.survey.num_cells,
                       device=where, dtype=choose_dtype(dtype, where),
                       compiles=compile_net, revision=revision)  # fmt: skip
    if record:
        refuse_read_only(loaded[0].folder)
    evaluated = measurement.run(loaded, batch_size=choose_batch_size(batch_size, where),
                                kept=resume, stops=stops, quiet=quiet)  # fmt: skip
    show_scores(evaluated, as_json=json)
    if output:
        write_report(output, evaluated, as_typed())
    if record:
        record_scores(loaded[0], evaluated[0], as_typed())
