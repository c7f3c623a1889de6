"""The engine: supervision steps over a rolling batch, each attempt halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. An attempt that halts leaves the batch,
and the next one takes its place: at the same puzzle or at another (see solving/search.py).
Shapes: R attempts running at a time, L cells, V tokens.

Which attempt gives a puzzle's answer:
verified  the first attempt whose answer keeps the givens and every rule; if there is none, as q
q         the largest halt logit at the last step
margin    the largest mean, over cells, of the best logit less the second best, at the last step
residual  the smallest change that the last step made to y: the root of its mean square
mode      the answer that most attempts gave, cell for cell
Ties go to the earlier attempt.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.config import SolveSettings
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.search import Attempt, Attempts, Guess, SeenIn, Views
from trm_cli.tasks.base import Task, Tokens, rules_of


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    attempt: int
    view: int
    guess: Guess | None  # what was filled in beforehand
    answer: Tokens  # [L] tokens, whatever the view
    holds: tuple[bool, ...]  # after each step: the givens are kept and the rules hold
    halt_probabilities: tuple[float, ...]  # after each step
    score: float  # what `select` compares; the largest is best

    @property
    def solved(self) -> bool:
        """Whether the answer keeps the givens and every rule."""
        return bool(self.holds) and self.holds[-1]

    @property
    def steps(self) -> int:
        """Supervision steps taken."""
        return len(self.holds)

    @property
    def first_fired(self) -> int:
        """The step at which the halt head first fired; 0 never."""
        fired = (step for step, p in enumerate(self.halt_probabilities, 1) if p > 0.5)
        return next(fired, 0)


@dataclass(frozen=True)
class Solution:
    """How one puzzle ended: with the answer of one of its attempts."""

    answer: Tokens  # [L] tokens
    solved: bool  # the givens are kept and the rules hold
    attempt: int  # whose answer it is
    steps: int  # supervision steps that this attempt took
    total_steps: int  # of all attempts that were needed
    view: int  # that this attempt saw the puzzle in; 0 as it is
    guess: Guess | None  # blank that was filled for it, with a belief of the network
    halted: bool  # the halt head fired at the attempt's last step
    halt_probability: float  # at that step
    first_fired: int  # step of attempt 0 at which the head first fired; 0 never
    right_when_fired: bool  # the rules held at that step
    seconds: float  # from its entry into the batch to the end of its last attempt
    outcomes: tuple[Outcome, ...]  # of its attempts, in order


def choose(outcomes: Sequence[Outcome], select: str) -> Outcome:
    """The outcome that a way to select takes, of one or more."""
    if select == "verified":
        solved = next((outcome for outcome in outcomes if outcome.solved), None)
        if solved:
            return solved
    if select == "mode":
        counts = Counter(outcome.answer.tobytes() for outcome in outcomes)
        return max(outcomes, key=lambda outcome: counts[outcome.answer.tobytes()])
    return max(outcomes, key=lambda outcome: outcome.score)


def conclude(outcomes: Sequence[Outcome], select: str, seconds: float) -> Solution:
    """The solution of a puzzle whose attempts, in order, ended like this."""
    chosen, first = choose(outcomes, select), outcomes[0]
    probability = chosen.halt_probabilities[-1] if chosen.steps else 0.0
    fired = first.first_fired
    return Solution(
        answer=chosen.answer,
        solved=chosen.solved,
        attempt=chosen.attempt,
        steps=chosen.steps,
        total_steps=sum(outcome.steps for outcome in outcomes),
        view=chosen.view,
        guess=chosen.guess,
        halted=probability > 0.5,
        halt_probability=probability,
        first_fired=fired,
        right_when_fired=fired > 0 and first.holds[fired - 1],
        seconds=seconds,
        outcomes=tuple(outcomes),
    )


class Draws:
    """Starts and noise for one network."""

    def __init__(self, network: TinyRecursiveModel, settings: SolveSettings) -> None:
        self.settings = settings
        self.shape = network.state_shape
        self.generator = torch.Generator(network.y_init.device)
        self.y, self.z = network.starting_state(1, self.generator.manual_seed(settings.seed))

    def start(self, attempt: Attempt) -> Tensor:
        """The z [1, *state] that an attempt starts from."""
        if attempt.number == 0 or self.settings.starts == "fixed":
            return self.z
        return self._normal(attempt.key)

    def noise(self, attempts: list[Attempt], steps: NDArray[np.int64]) -> Tensor | None:
        """What to add to z [R, *state] before a step; None where that is nothing.

        steps  [R] the number of the step that each attempt is about to take, from 1.
        """
        scale = self.settings.noise
        if not scale or not any(attempt.number for attempt in attempts):
            return None
        rows = [
            self._normal(attempt.key + int(step)) * scale if attempt.number else self.z * 0
            for attempt, step in zip(attempts, steps, strict=True)
        ]
        return torch.cat(rows)

    def _normal(self, key: int) -> Tensor:
        self.generator.manual_seed(key)
        drawn = torch.randn((1, *self.shape), generator=self.generator, device=self.z.device)
        return drawn.to(self.z)


class Batch:
    """Attempts come in, take steps together, and leave."""

    def __init__(self, network: TinyRecursiveModel, settings: SolveSettings) -> None:
        self.network = network
        self.draws = Draws(network, settings)
        self.attempts: list[Attempt] = []
        self.numbers = np.empty(0, np.int64)  # [R] steps that each attempt has had
        self.x = self.y = self.z = self.draws.y[:0]

    def add(self, fresh: list[Attempt]) -> None:
        """Let attempts in, each at its start."""
        if not fresh:
            return
        shown = torch.from_numpy(np.stack([attempt.shown for attempt in fresh]).astype(np.int64))
        x = self.network.embed(shown.to(self.z.device))
        self.x = torch.cat([self.x, x])
        self.y = torch.cat([self.y, self.draws.y.expand_as(x)])
        self.z = torch.cat([self.z, *(self.draws.start(attempt) for attempt in fresh)])
        self.attempts = self.attempts + fresh
        self.numbers = np.concatenate([self.numbers, np.zeros(len(fresh), np.int64)])

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One supervision step of all: logits [R, L, V], halt logits [R] and y's change [R]."""
        self.numbers = self.numbers + 1
        before, noise = self.y, self.draws.noise(self.attempts, self.numbers)
        z = self.z if noise is None else self.z + noise
        self.y, self.z, logits, halt = self.network(self.x, self.y, z)
        return logits, halt, root_mean_square(self.y - before)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Let all attempts out but the chosen ones [R]."""
        if chosen.all():
            return
        rows = np.flatnonzero(chosen)
        kept = torch.from_numpy(rows).to(self.z.device)
        self.x, self.y, self.z = self.x[kept], self.y[kept], self.z[kept]
        self.attempts, self.numbers = [self.attempts[row] for row in rows], self.numbers[rows]


def root_mean_square(state: Tensor) -> Tensor:
    """Of each attempt's numbers, [R], from [R, *state]."""
    numbers = state.flatten(1).float()
    norms: Tensor = torch.linalg.vector_norm(numbers, dim=1)
    return norms / math.sqrt(numbers.shape[1])


@dataclass(frozen=True)
class Details:
    """What only a watcher asks of a step."""

    confidence: NDArray[np.float32]  # [R, L] softmax of the decoded token
    change_y: NDArray[np.float32]  # [R] norm of the change in y, over the norm of the new y
    change_z: NDArray[np.float32]  # [R] the same of z
    seen: SeenIn  # the way back from the views that the attempts see


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
            self.attempt.number,
            self.attempt.view,
            self.attempt.guess,
            self.answer,
            tuple(self.holds),
            tuple(self.halt_probabilities),
            self.score,
        )


class Trails:
    """Every attempt at the puzzles that are under way, as the steps left them."""

    def __init__(self, settings: SolveSettings) -> None:
        self.settings = settings
        self._of_row: dict[int, dict[int, _Trail]] = {}  # its attempts by number

    @property
    def rows(self) -> Iterable[int]:
        """Puzzles that have had a step and are not concluded."""
        return self._of_row.keys()

    def follow(self, step: Step) -> None:
        """Add a step to the trails of its attempts."""
        for index, attempt in enumerate(step.attempts):
            of_puzzle = self._of_row.setdefault(attempt.row, {})
            trail = of_puzzle.setdefault(attempt.number, _Trail(attempt, step.answers[index]))
            trail.answer, trail.score = step.answers[index], float(step.scores[index])
            trail.holds.append(bool(step.holds[index]))
            trail.halt_probabilities.append(float(step.halt_probability[index]))

    def conclude(self, row: int, seconds: float) -> Solution:
        """What has come of a puzzle, which is then forgotten."""
        trails, select = self._of_row.pop(row), self.settings.select
        outcomes = [trails[number].outcome() for number in sorted(trails)]
        if select == "verified":  # none after one that succeeded
            solved = next((i for i, outcome in enumerate(outcomes) if outcome.solved), None)
            outcomes = outcomes if solved is None else outcomes[: solved + 1]
        return conclude(outcomes, select, seconds)

    def untouched(self, puzzle: Tokens) -> Solution:
        """What has come of a puzzle that had no step."""
        trail = _Trail(Attempt.first(0, puzzle, self.settings), puzzle)
        return conclude([trail.outcome()], self.settings.select, 0.0)


__all__ = ["Solution", "SolveSettings", "run", "solve_stream"]
Stops = Callable[[], bool]


def never() -> bool:
    """No reason to stop early."""
    return False


@torch.inference_mode()
def run(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveSettings,
    stops: Stops = never,
    details: bool = False,
    ahead: bool = True,
) -> Iterator[Step]:
    """Yield the steps of a rolling batch until every puzzle [L] of the stream is done.

    stops    asked before every step; once it says yes, no more are made.
    details  have every step carry its details, which cost a little.
    ahead    begin a puzzle's later attempts while an earlier one runs, where there is room.
    """
    if settings.guess and not task.has_blanks:
        raise UsageError(f"--guess fills blanks, and a {task.name} has none; drop it")
    views = Views(task, network.config.num_cells, wanted=settings.views, seed=settings.seed)
    rules = rules_of(task)
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
        holds = rules.rules_hold(np.stack([a.puzzle for a in batch.attempts]), answers)
        halted = _halts(settings.halt, probability > 0.5, holds)
        most_steps = np.array([attempt.max_steps for attempt in batch.attempts])
        ends = halted | (batch.numbers >= most_steps)
        finishes = _note_ends(queue, batch.attempts, ends, holds, logits)
        needless = np.array([not queue.is_needed(attempt) for attempt in batch.attempts])
        rows = np.array([attempt.row for attempt in batch.attempts])
        told = _details(logits, batch, before_z, change, seen) if details else None
        yield Step(
            batch.attempts,
            rows,
            batch.numbers,
            answers,
            probability,
            _scores(settings.select, logits, halt, change),
            holds,
            halted,
            ends | needless,
            finishes,
            told,
        )
        batch.keep(~(ends | needless))


def _details(logits: Tensor, batch: Batch, before_z: Tensor, change: Tensor, seen: SeenIn) -> Details:
    """Of logits [R, L, V], the batch after a step, z before it, and y's change [R] in it."""
    confidence = seen.place(logits.softmax(-1).amax(-1).float().cpu().numpy())
    change_y = change / root_mean_square(batch.y)
    change_z = root_mean_square(batch.z - before_z) / root_mean_square(batch.z)
    return Details(confidence, change_y.cpu().numpy(), change_z.cpu().numpy(), seen)


def _halts(halt: str, fires: NDArray[np.bool_], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if halt == "verified":
        return fires & holds
    return fires if halt == "q" else np.zeros_like(fires)


def _note_ends(
    queue: Attempts, attempts: list[Attempt], ends: NDArray[np.bool_], holds: NDArray[np.bool_], logits: Tensor
) -> NDArray[np.bool_]:
    """Tell the queue which attempts end [R]; returns which of them finish their puzzle [R]."""
    finishes = np.zeros_like(ends)
    for index in np.flatnonzero(ends):
        if queue.is_needed(attempts[index]):
            beliefs = None
            if attempts[index].number == 0 and queue.settings.guess:
                beliefs = logits[index].softmax(-1).cpu().numpy()
            finishes[index] = queue.end(attempts[index], holds=bool(holds[index]), beliefs=beliefs)
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


def solve_stream(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveSettings,
    stops: Stops = never,
) -> Iterator[Solution]:
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
