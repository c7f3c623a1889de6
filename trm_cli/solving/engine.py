"""The engine: supervision steps over a rolling batch, each attempt halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. An attempt that halts leaves the batch,
and the next one takes its place: at the same puzzle or at another (see solving/search.py).
Shapes: R attempts running at a time, L cells, V tokens.

Which attempt gives a puzzle's answer (`--select`):
verified  the first attempt whose answer keeps the givens and every rule; if there is none, as q
q         the largest halt logit at the last step
margin    the largest mean, over cells, of the best logit less the second best, at the last step
residual  the smallest change that the last step made to y: the root of its mean square
mode      the answer that most attempts gave, cell for cell
Ties go to the earlier attempt.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.search import Attempt, Ended, Guess, Search, Views, WayBack
from trm_cli.tasks.base import Task, Tokens, rules_of

Stops = Callable[[], bool]


def never() -> bool:
    """No reason to stop early."""
    return False


@dataclass(frozen=True)
class Solution:
    """How one puzzle ended: with the answer of one of its attempts."""

    attempts: tuple[Attempt, ...]  # that were needed, in order
    chosen: Attempt  # whose answer it is
    seconds: float  # from its entry into the batch to the end of its last attempt

    @property
    def answer(self) -> Tokens:
        """Tokens, [L]."""
        return self.chosen.answer

    @property
    def solved(self) -> bool:
        """Whether the givens are kept and the rules hold."""
        return self.chosen.solved

    @property
    def guess(self) -> Guess | None:
        """The blank that was filled for the chosen attempt, with a belief of the network."""
        return self.chosen.guess

    @property
    def total_steps(self) -> int:
        """Supervision steps of all attempts."""
        return sum(attempt.steps for attempt in self.attempts)

    @property
    def halted(self) -> bool:
        """Whether the halt head fired at the chosen attempt's last step."""
        return self.chosen.halt_probability > 0.5


def choose(attempts: Sequence[Attempt], select: str) -> Attempt:
    """The attempt that a way to select takes, of one or more."""
    if select == "verified" and (solved := next((attempt for attempt in attempts if attempt.solved), None)):
        return solved
    if select == "mode":
        counts = Counter(attempt.answer.tobytes() for attempt in attempts)
        return max(attempts, key=lambda attempt: counts[attempt.answer.tobytes()])
    return max(attempts, key=lambda attempt: attempt.score)


@dataclass(frozen=True)
class Details:
    """What only a watcher asks of a step."""

    confidence: NDArray[np.float32]  # [R, L] softmax of the decoded token
    change_y: NDArray[np.float32]  # [R] norm of the change in y, over the norm of the new y
    change_z: NDArray[np.float32]  # [R] the same of z
    way_back: WayBack  # from the views that the attempts see


@dataclass(frozen=True)
class Step:
    """What one supervision step left: the attempts that took it know their answers."""

    attempts: list[Attempt]  # [R]
    halted: NDArray[np.bool_]  # [R] the halt criterion is met
    solutions: dict[int, Solution] = field(default_factory=dict)  # of the puzzles that ended in it, by row
    details: Details | None = None  # if they were asked for


class Batch:
    """Attempts come in, take steps together, and leave; their x, y and z, [R, *state] each.

    What is drawn by lot follows from the seed, the puzzle, the attempt and the step alone: the same
    puzzle gets the same draws in any batch and at any place of a file.
    """

    def __init__(self, network: TinyRecursiveModel, settings: SolveConfig) -> None:
        self.network, self.settings = network, settings
        self.generator = torch.Generator(network.y_init.device)
        self.start = network.starting_state(1, self.generator.manual_seed(settings.seed))  # [1, *state] each
        self.attempts: list[Attempt] = []
        self.x = self.y = self.z = self.start[0][:0]

    def add(self, fresh: list[Attempt]) -> None:
        """Let attempts in, each at its start."""
        if not fresh:
            return
        shown = torch.from_numpy(np.stack([attempt.shown for attempt in fresh]).astype(np.int64))
        x = self.network.embed(shown.to(self.z.device))
        self.x = torch.cat([self.x, x])
        self.y = torch.cat([self.y, self.start[0].expand_as(x)])
        is_random = self.settings.starts == "random"
        starts = [self._normal(a.key) if a.number and is_random else self.start[1] for a in fresh]
        self.z = torch.cat([self.z, *starts])
        self.attempts = self.attempts + fresh

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One supervision step of all: logits [R, L, V], halt logits [R] and y's change [R]."""
        before, z, scale = self.y, self.z, self.settings.noise
        if scale and any(attempt.number for attempt in self.attempts):  # the first attempt has none
            still = torch.zeros_like(self.start[1])
            noise = [self._normal(a.key + a.steps + 1) * scale if a.number else still for a in self.attempts]
            z = z + torch.cat(noise)
        self.y, self.z, logits, halt = self.network(self.x, self.y, z)
        return logits, halt, root_mean_square(self.y - before)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Let all attempts out but the chosen ones [R]."""
        if chosen.all():
            return
        rows = np.flatnonzero(chosen)
        kept = torch.from_numpy(rows).to(self.z.device)
        self.x, self.y, self.z = self.x[kept], self.y[kept], self.z[kept]
        self.attempts = [self.attempts[row] for row in rows]

    def _normal(self, key: int) -> Tensor:
        self.generator.manual_seed(key)
        shape = (1, *self.network.state_shape)
        return torch.randn(shape, generator=self.generator, device=self.z.device).to(self.z)


def root_mean_square(state: Tensor) -> Tensor:
    """Of each attempt's numbers, [R], from [R, *state]."""
    numbers = state.flatten(1).float()
    norms: Tensor = torch.linalg.vector_norm(numbers, dim=1)
    return norms / math.sqrt(numbers.shape[1])


@torch.inference_mode()
def run(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveConfig,
    stops: Stops = never,
    details: bool = False,
    ahead: bool = True,
) -> Iterator[Step]:
    """Yield the steps of a rolling batch until every puzzle [L] of the stream is done.

    stops    asked before every step; once it says yes, a last, empty step ends what was begun.
    details  have every step carry its details, which cost a little.
    ahead    begin a puzzle's later attempts while an earlier one runs, where there is room.
    """
    if settings.guess and not task.has_blanks:
        raise UsageError(f"--guess fills blanks, and a {task.name} has none; drop it")
    rules = rules_of(task)
    views = Views(task, network.config.num_cells, wanted=settings.views, seed=settings.seed)
    search, batch = Search(puzzles, views, settings, ahead=ahead), Batch(network, settings)
    while not stops():
        batch.add(search.take(batch_size - len(batch.attempts)))
        if not batch.attempts:
            return
        before_z = batch.z
        logits, halt, change = batch.step()
        way_back = views.of([attempt.view for attempt in batch.attempts])
        answers = way_back.undo(logits.argmax(-1).to("cpu", torch.uint8).numpy())
        probability = halt.float().cpu().double().sigmoid().numpy()
        holds = rules.rules_hold(np.stack([attempt.puzzle for attempt in batch.attempts]), answers)
        scores = _scores(settings.select, logits, halt, change)
        for row, attempt in enumerate(batch.attempts):
            attempt.note(
                answers[row], holds=bool(holds[row]), halt_probability=float(probability[row]), score=float(scores[row])
            )
        fires = probability > 0.5
        halted = {"verified": fires & holds, "q": fires, "never": np.zeros_like(fires)}[settings.halt]
        ends = halted | np.array([attempt.steps >= attempt.max_steps for attempt in batch.attempts])
        told = _details(logits, batch, before_z, change, way_back) if details else None
        yield Step(batch.attempts, halted, _end(search, batch.attempts, ends, logits), told)
        batch.keep(~ends & np.array([search.is_needed(attempt) for attempt in batch.attempts]))
    yield Step([], np.empty(0, bool), {ended.row: _conclude(ended, settings) for ended in search.give_up()})


def _end(search: Search, attempts: list[Attempt], ends: NDArray[np.bool_], logits: Tensor) -> dict[int, Solution]:
    """Tell the search which attempts end [R]; returns the solutions of the puzzles that are done."""
    solutions = {}
    for index in np.flatnonzero(ends):
        attempt, beliefs = attempts[index], None
        if not search.is_needed(attempt):
            continue
        if attempt.number == 0 and search.settings.guess:
            beliefs = logits[index].softmax(-1).cpu().numpy()
        if ended := search.end(attempt, beliefs):
            solutions[ended.row] = _conclude(ended, search.settings)
    return solutions


def _conclude(ended: Ended, settings: SolveConfig) -> Solution:
    return Solution(tuple(ended.attempts), choose(ended.attempts, settings.select), ended.seconds)


def _details(logits: Tensor, batch: Batch, before_z: Tensor, change: Tensor, way_back: WayBack) -> Details:
    """Of logits [R, L, V], the batch after a step, z before it, and y's change [R] in it."""
    confidence = way_back.place(logits.softmax(-1).amax(-1).float().cpu().numpy())
    change_y = change / root_mean_square(batch.y)
    change_z = root_mean_square(batch.z - before_z) / root_mean_square(batch.z)
    return Details(confidence, change_y.cpu().numpy(), change_z.cpu().numpy(), way_back)


def _scores(select: str, logits: Tensor, halt: Tensor, change: Tensor) -> NDArray[np.float64]:
    """What a way to select compares, [R]; the largest is best."""
    if select == "margin":
        best = logits.topk(2, dim=-1).values
        scores = (best[..., 0] - best[..., 1]).mean(-1)
    else:
        scores = -change if select == "residual" else halt
    return scores.float().cpu().double().numpy()


def solve_stream(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveConfig,
    stops: Stops = never,
) -> Iterator[Solution]:
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order.

    stops  once it says yes, the rest gets no further step: what was begun is given with what its
           attempts have come to, what was not comes back as it was, unsolved, after 0 steps.
    """
    waiting = iter(puzzles)
    done: dict[int, Solution] = {}  # solutions that wait for an earlier puzzle's
    following = 0  # the next row to yield
    for step in run(network, task, waiting, batch_size=batch_size, settings=settings, stops=stops):
        done |= step.solutions
        while following in done:
            yield done.pop(following)
            following += 1
    for puzzle in waiting:
        untouched = Attempt.first(following, puzzle, settings)
        yield Solution((untouched,), untouched, 0.0)
