"""The engine: supervision steps over a rolling batch, each attempt halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. An attempt that halts leaves the batch,
and the next one takes its place: at the same puzzle or at another (see solving/attempts.py).
Shapes: R attempts running at a time, L cells, V tokens.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.attempts import Attempt, Attempts
from trm_cli.solving.batch import Batch
from trm_cli.solving.outcomes import Outcome, Solution, conclude
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.views import SeenIn, Views
from trm_cli.tasks.base import Task, Tokens

__all__ = ["Solution", "SolveSettings", "Step", "run", "solve_stream"]
Stops = Callable[[], bool]


@dataclass(frozen=True)
class Details:
    """What only a watcher asks of a step."""

    confidence: NDArray[np.float32]  # [R, L] softmax of the decoded token
    change_y: NDArray[np.float32]  # [R] norm of the change in y, over the norm of the new y
    change_z: NDArray[np.float32]  # [R] the same of z


@dataclass(frozen=True)
class Step:
    """What one supervision step left in the attempts that were running."""

    attempts: list[Attempt]  # [R]
    rows: NDArray[np.int64]  # [R] their puzzles' places in the stream
    numbers: NDArray[np.int64]  # [R] supervision steps that each attempt has had
    answers: Tokens  # [R, L] to the puzzles as they were given, whatever the view
    halt_probability: NDArray[np.float64]  # [R]
    scores: NDArray[np.float64]  # [R] what `--select` compares; the largest is best
    holds: NDArray[np.bool_]  # [R] the rules hold
    halted: NDArray[np.bool_]  # [R] the halt criterion is met
    leaves: NDArray[np.bool_]  # [R] halted, out of steps or needless: not there in the next step
    finishes: NDArray[np.bool_]  # [R] ended as the last attempt that its puzzle needed
    details: Details | None = None  # if they were asked for


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
        before_y, before_z = batch.y, batch.z
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
        told = _details(logits, (before_y, batch.y), (before_z, batch.z), seen) if details else None
        yield Step(batch.attempts, rows, batch.numbers, answers, probability,
                   _scores(settings.select, logits, halt, change), holds, halted,
                   ends | needless, finishes, told)  # fmt: skip
        batch.keep(~(ends | needless))


def _details(logits: Tensor, y: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor],
             seen: SeenIn) -> Details:  # fmt: skip
    """Of logits [R, L, V], and of y and z before and after a step."""
    confidence = seen.place(logits.softmax(-1).amax(-1).float().cpu().numpy())
    changes = [
        (new - old).flatten(1).float().norm(dim=1) / new.flatten(1).float().norm(dim=1)
        for old, new in (y, z)
    ]
    return Details(confidence, *(change.cpu().numpy() for change in changes))


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


@dataclass
class _Trail:
    """What is remembered of one attempt while it runs."""

    attempt: Attempt
    answer: Tokens
    score: float = 0.0
    holds: list[bool] = field(default_factory=list)
    halt_probabilities: list[float] = field(default_factory=list)

    def outcome(self) -> Outcome:
        return Outcome(
            self.attempt.number, self.attempt.view, self.attempt.guess, self.answer,
            tuple(self.holds), tuple(self.halt_probabilities), self.score,
        )  # fmt: skip


def solve_stream(network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *,
                 batch_size: int, settings: SolveSettings, stops: Stops = never,
                 ) -> Iterator[Solution]:  # fmt: skip
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order.

    stops  once it says yes, the rest gets no further step: what was begun is given with what its
           attempts have come to, what was not comes back as it was, unsolved, after 0 steps.
    """
    waiting = iter(puzzles)
    entered: dict[int, float] = {}  # row: the time at which it came in
    trails: dict[int, dict[int, _Trail]] = {}  # row: its attempts by number
    done: dict[int, Solution] = {}  # solutions that wait for an earlier puzzle's
    following = 0  # the next row to yield

    def finish(row: int) -> Solution:
        outcomes = _needed(trails.pop(row), settings.select)
        return conclude(outcomes, settings.select, time.perf_counter() - entered.pop(row))

    before = time.perf_counter()
    steps = run(network, task, waiting, batch_size=batch_size, settings=settings, stops=stops)
    for step in steps:
        for row in step.rows.tolist():
            entered.setdefault(row, before)
        _follow(step, trails)
        for row in step.rows[step.finishes].tolist():
            done[row] = finish(row)
        while following in done:
            yield done.pop(following)
            following += 1
        before = time.perf_counter()
    for row in sorted({*done, *trails}):
        yield done.pop(row) if row in done else finish(row)
    for puzzle in waiting:
        untouched = _Trail(Attempt.first(0, puzzle, settings), puzzle).outcome()
        yield conclude([untouched], settings.select, 0.0)


def _follow(step: Step, trails: dict[int, dict[int, _Trail]]) -> None:
    """Add a step to the trails of its attempts."""
    for index, attempt in enumerate(step.attempts):
        of_puzzle = trails.setdefault(attempt.row, {})
        trail = of_puzzle.setdefault(attempt.number, _Trail(attempt, step.answers[index]))
        trail.answer, trail.score = step.answers[index], float(step.scores[index])
        trail.holds.append(bool(step.holds[index]))
        trail.halt_probabilities.append(float(step.halt_probability[index]))


def _needed(trails: dict[int, _Trail], select: str) -> list[Outcome]:
    """Outcomes of the attempts in order; with `verified`, none after one that succeeded."""
    outcomes = [trails[number].outcome() for number in sorted(trails)]
    if select == "verified":
        solved = next((i for i, outcome in enumerate(outcomes) if outcome.solved), len(outcomes))
        return outcomes[: solved + 1]
    return outcomes
