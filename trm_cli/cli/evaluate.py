"""`trm eval`: how accurate a checkpoint is on puzzles with known answers."""

import json as json_module
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.inputs import ArcBatchSize, ArcModel, ArcViews, arc_batch_size, open_arc_model
from trm_cli.cli.options import (
    BatchSize,
    Compile,
    DeviceName,
    DtypeName,
    Force,
    Guess,
    Halt,
    Json,
    MaxSteps,
    ModelName,
    Noise,
    NumAttempts,
    NumViews,
    Quiet,
    RetrySteps,
    Revision,
    Seed,
    Select,
    Starts,
    StepLimit,
    TaskName,
    Threads,
    TimeLimit,
    as_typed,
    choose_batch_size,
    choose_device,
    choose_dtype,
    chosen_settings,
    deadline,
    hide_download_bars,
    opened,
    refuse_existing,
    refuse_read_only,
    user_errors,
)
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.solving.voting import Ballot
    from trm_cli.tasks.problems import Problem


@user_errors()
def arc_eval(
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder made by `trm data arc` with evaluation tasks (-e).", show_default=False),
    ],
    model: ModelName = None,
    revision: Revision = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default="none",
            help="Write two attempts at each test as ARC Prize takes them: submission.json.",
        ),
    ] = None,
    limit: Annotated[
        Optional[int], typer.Option("--limit", min=1, show_default="all", help="Evaluate the first tasks only.")
    ] = None,
    views: ArcViews = None,
    batch_size: ArcBatchSize = None,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Look at every test of the evaluation tasks in all known ways, vote, and count.

    Example: trm eval arc --data data/arc1 --model runs/arc/paper-1/checkpoint -o submission.json
    """
    from trm_cli.display.answers import scores_json, show_scores
    from trm_cli.display.console import answers_console
    from trm_cli.solving.voting import score_votes, submission
    from trm_cli.tasks.arc_dataset import open_data
    from trm_cli.training.data import register_of

    refuse_existing(output, force)
    found = open_data(data)
    tasks = found.tests[:limit]
    if not tasks:
        raise UsageError(f"{data}: no evaluation tasks in it; make it with `trm data arc ... -e`")
    chosen = choose_device(device, threads)
    known = open_arc_model(model, revision, device=chosen, dtype=choose_dtype(dtype, chosen))
    if not known.table.tasks:
        known.table.adopt(register_of(found))
    if unknown := known.unknown(tasks):
        raise ModelError(
            f"{known.loaded.source}: was not trained on the demonstrations of {len(unknown)} of "
            f"{len(tasks)} tasks, such as {unknown[0].name}; give the data set of its training"
        )
    voted = list(_votes(known, tasks, most=views, quiet=quiet, batch_size=arc_batch_size(batch_size, chosen)))
    if output is not None:
        with opened(output, "w") as sink:
            sink.write(json_module.dumps(submission(voted)))
    scores = score_votes(voted)
    if json:
        typer.echo(scores_json(scores, known.loaded, str(data)))
    else:
        show_scores(answers_console(), scores)


def _votes(
    known: ArcModel, tasks: "list[Problem]", *, most: int | None, batch_size: int, quiet: bool
) -> "Iterator[tuple[Problem, list[Ballot]]]":
    """The votes on each task."""
    from trm_cli.display.console import StepsBar
    from trm_cli.solving.voting import refuse_large, vote

    for task in tasks:
        refuse_large(task, known.side)
    registered = [known.rows_of(task, most) for task in tasks]
    looks = sum(rows.count * len(task.tests) for task, rows in zip(tasks, registered, strict=True))
    with StepsBar("evaluating", looks, quiet=quiet) as bar:
        for task, rows in zip(tasks, registered, strict=True):
            yield (
                task,
                vote(known.loaded.network, task, known.table.read(rows), batch_size=batch_size, progress=bar.add),
            )


@user_errors()
def evaluate_command(
    context: typer.Context,
    task: TaskName,
    data: Annotated[
        Path, typer.Option("--data", help="CSV or CSV.gz with question and answer columns.", show_default=False)
    ],
    model: ModelName = None,
    revision: Revision = None,
    compare: Annotated[
        Optional[str],
        typer.Option(
            "--compare",
            metavar="MODEL",
            show_default="none",
            help="A second model, put beside the first with a paired test.",
        ),
    ] = None,
    limit: Annotated[
        Optional[int], typer.Option("--limit", min=1, show_default="all", help="Evaluate the first rows only.")
    ] = None,
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
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            show_default="none",
            help="Write a report, too: .md, .html (with figures), .svg (figures) or .json.",
        ),
    ] = None,
    resume: Annotated[
        Optional[Path],
        typer.Option(
            "--resume",
            show_default="none",
            metavar="FILE",
            help="Keep the counts in this file, and go on from it if it exists.",
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the figures into the checkpoint's config.json and card.")
    ] = False,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Measure a checkpoint: cells, exact, verified, steps, attempts, calibration, speed.

    Example: trm eval sudoku --data puzzles.csv.gz
    """
    from trm_cli.display.report import check_format

    stops = deadline(time_limit)
    chosen = chosen_settings(context.params)
    check_format(output)
    refuse_existing(output, force)

    from trm_cli.cli.measuring import Measurement, open_both
    from trm_cli.display.report import show_scores, write_report
    from trm_cli.solving.evaluate import record_scores

    hide_download_bars(quiet)
    where = choose_device(device, threads)
    measurement = Measurement(task, data, limit, chosen)
    loaded = open_both(
        model,
        compare,
        task=task,
        num_cells=measurement.survey.num_cells,
        device=where,
        dtype=choose_dtype(dtype, where),
        compiles=compile_net,
        revision=revision,
    )
    if record:
        refuse_read_only(loaded[0].folder)
    evaluated = measurement.run(
        loaded, batch_size=choose_batch_size(batch_size, where), kept=resume, stops=stops, quiet=quiet
    )
    show_scores(evaluated, as_json=json)
    if output:
        write_report(output, evaluated, as_typed())
    if record:
        record_scores(loaded[0], evaluated[0], as_typed())
