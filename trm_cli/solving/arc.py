"""Answering an ARC task: each test in every way that the network knows the task, then a vote."""

from collections.abc import Callable

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.predicting import predict
from trm_cli.solving.voting import Ballot
from trm_cli.tasks.arc_files import ArcTask
from trm_cli.tasks.arc_grid import encode
from trm_cli.weights.puzzles import TaskRows

Progress = Callable[[int], None]


def refuse_large(task: ArcTask, side: int) -> None:
    """Raise PuzzleError where a grid of a task does not fit on a network's boards."""
    if task.largest > side:
        raise PuzzleError(
            f"{task.source}: task {task.name}: a grid with a side of {task.largest}; this model's "
            f"boards are {side}x{side}, choose another with --model"
        )


def vote(network: TinyRecursiveModel, task: ArcTask, known: TaskRows, *, batch_size: int,
         progress: Progress | None = None) -> list[Ballot]:  # fmt: skip
    """The votes on each test of a task.

    known     the rows by which the network knows the task, and the way in which each redraws it.
    progress  called with the number of boards that were looked at since the last call.
    """
    side = network.config.height
    ballots = [Ballot() for _ in task.tests]
    looks = [(test, row) for test in range(len(ballots)) for row in range(len(known.ways))]
    for begin in range(0, len(looks), batch_size):
        chosen = looks[begin : begin + batch_size]
        seen = [known.ways[row].apply(task.tests[test]) for test, row in chosen]
        boards = np.stack([encode(grid, side=side) for grid in seen])
        predictions = predict(network, boards, known.rows[[row for _, row in chosen]])
        for (test, row), prediction in zip(chosen, predictions, strict=True):
            ballots[test].add(prediction.answer, known.ways[row], prediction.halt_probability)
        if progress:
            progress(len(chosen))
    return ballots
