"""The engine: supervision steps over a rolling batch, each attempt halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. An attempt that halts leaves the batch,
and the next one takes its place: at the same puzzle or at another (see solving/attempts.py).
Shapes: R attempts running at a time, L cells, V tokens.
"""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.attempts import Attempt, Attempts
from trm_cli.solving.batch import Batch, root_mean_square
from trm_cli.solving.outcomes import Solution
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.steps import Details, Step, Trails
from trm_cli.solving.views import SeenIn, Views
from trm_cli.tasks.base import Task, Tokens

__all__ = ["Solution", "SolveSettings", "run", "solve_stream"]
Stops = Callable[[], bool]


def never() -> bool:
    """No reason to stop early."""
    return False


@torch.inference_mode()
def run(network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *, batch_size: int,
        settings: SolveSettings, stops: Stops = never, details: bool = False,
        ahead: bool = True) -> Iterator[Step]:  # fmt: skip
    """Yield the steps of a rolling batch until every puzzle [L] of the stream is done.

    stops    asked before every step; once it says yes, no more are made.
    details  have every step carry its details, which cost a little.
    ahead    begin a puzzle's later attempts while an earlier one runs, where there is room.
    """
    if settings.guess and not task.has_blanks:
        raise UsageError(f"--guess fills blanks, and a {task.name} has none; drop it")
    views = Views(task, network.config.num_cells, wanted=settings.views, seed=settings.seed)
    queue, batch = Attempts(puzzles, views, settings, ahead=ahead), Batch(network, settings)
    while not stops():
        batch.add(queue.take(batch_size - len(batch.attempts)))
        if not batch.attempts:
            return
        before_z = batch.z
        logits, halt, change = batch.step()
        seen = views.of([attempt.view for attempt in batch.attempts])
        answers = seen.undo(logits.argmax(-1).to("cpu", torch.uint8).numpy())
        probability = halt.float().cpu().double().sigmoid().numpy()
        holds = task.rules_hold(np.stack([a.puzzle for a in batch.attempts]), answers)
        halted = _halts(settings.halt, probability > 0.5, holds)
        most_steps = np.array([attempt.max_steps for attempt in batch.attempts])
        ends = halted | (batch.numbers >= most_steps)
        finishes = _note_ends(queue, batch.attempts, ends, holds, logits)
        needless = np.array([not queue.is_needed(attempt) for attempt in batch.attempts])
        rows = np.array([attempt.row for attempt in batch.attempts])
        told = _details(logits, batch, before_z, change, seen) if details else None
        yield Step(batch.attempts, rows, batch.numbers, answers, probability,
                   _scores(settings.select, logits, halt, change), holds, halted,
                   ends | needless, finishes, told)  # fmt: skip
        batch.keep(~(ends | needless))


def _details(logits: Tensor, batch: Batch, before_z: Tensor, change: Tensor,
             seen: SeenIn) -> Details:  # fmt: skip
    """Of logits [R, L, V], the batch after a step, z before it, and y's change [R] in it."""
    confidence = seen.place(logits.softmax(-1).amax(-1).float().cpu().numpy())
    change_y = change / root_mean_square(batch.y)
    change_z = root_mean_square(batch.z - before_z) / root_mean_square(batch.z)
    return Details(confidence, change_y.cpu().numpy(), change_z.cpu().numpy(), seen)


def _halts(halt: str, fires: NDArray[np.bool_], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if halt == "verified":
        return fires & holds
    return fires if halt == "q" else np.zeros_like(fires)


def _note_ends(queue: Attempts, attempts: list[Attempt], ends: NDArray[np.bool_],
               holds: NDArray[np.bool_], logits: Tensor) -> NDArray[np.bool_]:  # fmt: skip
    """Tell the queue which attempts end [R]; returns which of them finish their puzzle [R]."""
    finishes = np.zeros_like(ends)
    for index in np.flatnonzero(ends):
        if queue.is_needed(attempts[index]):
            beliefs = None
            if attempts[index].number == 0 and queue.settings.guess:
                beliefs = logits[index].softmax(-1).cpu().numpy()
            finishes[index] = queue.end(
                attempts[index], holds=bool(holds[index]), beliefs=beliefs
            )  # fmt: skip
    return finishes


def _scores(select: str, logits: Tensor, halt: Tensor, change: Tensor) -> NDArray[np.float64]:
    """What a way to select compares, [R]; see solving/outcomes.py."""
    scores = halt
    if select == "residual":
        scores = -change
    elif select == "margin":
        best = logits.topk(2, dim=-1).values
        scores = (best[..., 0] - best[..., 1]).mean(-1)
    return scores.float().cpu().double().numpy()


def solve_stream(network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *,
                 batch_size: int, settings: SolveSettings, stops: Stops = never,
                 ) -> Iterator[Solution]:  # fmt: skip
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order.

    stops  once it says yes, the rest gets no further step: what was begun is given with what its
           attempts have come to, what was not comes back as it was, unsolved, after 0 steps.
    """
    waiting = iter(puzzles)
    entered: dict[int, float] = {}  # row: the time at which it came in
    trails = Trails(settings)
    done: dict[int, Solution] = {}  # solutions that wait for an earlier puzzle's
    following = 0  # the next row to yield

    def finish(row: int) -> Solution:
        return trails.conclude(row, time.perf_counter() - entered.pop(row))

    before = time.perf_counter()
    steps = run(network, task, waiting, batch_size=batch_size, settings=settings, stops=stops)
    for step in steps:
        for row in step.rows.tolist():
            entered.setdefault(row, before)
        trails.follow(step)
        for row in step.rows[step.finishes].tolist():
            done[row] = finish(row)
        while following in done:
            yield done.pop(following)
            following += 1
        before = time.perf_counter()
    for row in sorted({*done, *trails.rows}):
        yield done.pop(row) if row in done else finish(row)
    for puzzle in waiting:
        yield trails.untouched(puzzle)
