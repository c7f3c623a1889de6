"""`trm eval arc`: votes on the tests of evaluation tasks, pass@K, and a submission."""

import json as json_module
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.arc_models import (
    ArcBatchSize,
    ArcModel,
    ArcViews,
    arc_batch_size,
    open_arc_model,
)
from trm_cli.cli.common import (
    DeviceName,
    DtypeName,
    Force,
    Json,
    ModelName,
    Quiet,
    Revision,
    Threads,
    choose_device,
    choose_dtype,
    opened,
    refuse_existing,
    user_errors,
)
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.solving.voting import Ballot
    from trm_cli.tasks.arc_files import ArcTask


@user_errors()
def arc_eval(
    data: Annotated[Path, typer.Option(
        "--data", help="Folder made by `trm data arc` with evaluation tasks (-e).",
        show_default=False)],
    model: ModelName = None,
    revision: Revision = None,
    output: Annotated[Optional[Path], typer.Option(
        "--output", "-o", metavar="FILE", show_default="none",
        help="Write two attempts at each test as ARC Prize takes them: submission.json.")] = None,
    limit: Annotated[Optional[int], typer.Option(
        "--limit", min=1, show_default="all", help="Evaluate the first tasks only.")] = None,
    views: ArcViews = None,
    batch_size: ArcBatchSize = None,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Look at every test of the evaluation tasks in all known ways, vote, and count.

    Example: trm eval arc --data data/arc1 --model runs/arc/paper-1/checkpoint -o submission.json
    """
    from trm_cli.display.arc_answers import scores_json, show_scores
    from trm_cli.display.console import answers_console
    from trm_cli.solving.voting import score_votes, submission
    from trm_cli.tasks.arc_data import read_data
    from trm_cli.training.arc_sources import register_of

    refuse_existing(output, force)
    found = read_data(data)
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
    voted = list(_votes(known, tasks, most=views, quiet=quiet,
                        batch_size=arc_batch_size(batch_size, chosen)))  # fmt: skip
    if output is not None:
        with opened(output, "w") as sink:
            sink.write(json_module.dumps(submission(voted)))
    scores = score_votes(voted)
    if json:
        typer.echo(scores_json(scores, known.loaded, str(data)))
    else:
        show_scores(answers_console(), scores)


def _votes(known: ArcModel, tasks: "list[ArcTask]", *, most: int | None, batch_size: int,
           quiet: bool) -> "Iterator[tuple[ArcTask, list[Ballot]]]":  # fmt: skip
    """The votes on each task."""
    from trm_cli.display.steps import StepsBar
    from trm_cli.solving.arc import refuse_large, vote

    for task in tasks:
        refuse_large(task, known.side)
    registered = [known.rows_of(task, most) for task in tasks]
    looks = sum(rows.count * len(task.tests) for task, rows in zip(tasks, registered, strict=True))
    with StepsBar("evaluating", looks, quiet=quiet) as bar:
        for task, rows in zip(tasks, registered, strict=True):
            yield task, vote(known.loaded.network, task, known.table.read(rows),
                             batch_size=batch_size, progress=bar.add)  # fmt: skip
