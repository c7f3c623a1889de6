"""`trm watch arc`: the tests of one task that a network knows, drawn as it thinks about them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.cli.arc_models import new_task_line, open_arc_model
from trm_cli.cli.attempts import complete_settings
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.solving.trace import Trace

ARC = "arc"  # the task


def arc_trace(file: Path | None, shape: tuple[int, int], *, model: str | None,
              revision: str | None, chosen: dict[str, Any], inner: bool, where: "torch.device",
              dtype: "torch.dtype") -> "Trace":  # fmt: skip
    """Everything that is to be computed of one task, as it is, not one step of it done yet.

    A network takes all its steps, as it does when tests are put to a vote.
    """
    from trm_cli.solving.arc import refuse_large
    from trm_cli.solving.trace import Trace
    from trm_cli.solving.watching import header_of, moments
    from trm_cli.tasks.arc import Arc
    from trm_cli.tasks.arc_files import read_tasks

    if file is None:
        raise UsageError("no arc task comes with trm: give a file of one")
    tasks = read_tasks(file)
    if len(tasks) > 1:
        raise UsageError(f"{file}: {len(tasks)} tasks; watch one at a time, from a file of its own")
    (task,) = tasks
    known = open_arc_model(model, revision, device=where, dtype=dtype)
    refuse_large(task, known.side)
    if known.unknown(tasks):
        raise ModelError(new_task_line(task, file, model))
    network = known.loaded.network
    network.recall(known.table.rows(known.rows_of(task, 1)))
    arc = Arc.of(task, known.side)
    settings = complete_settings(known.loaded.checkpoint.solving,
                                 {"max_steps": network.config.N_sup, **chosen})  # fmt: skip
    settings = replace(settings, halt="never")
    puzzles = arc.tests_of(task)
    header = header_of(known.loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    return Trace(replace(header, task=arc),
                 moments(network, arc, puzzles, settings=settings, at_once=shape[0] * shape[1],
                         inner=inner))  # fmt: skip
