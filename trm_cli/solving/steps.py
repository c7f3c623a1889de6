"""What the engine tells of every step, and what is remembered of the attempts between steps.

Shapes: R attempts running at a time, L cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trm_cli.solving.attempts import Attempt
from trm_cli.solving.outcomes import Outcome, Solution, conclude
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.views import SeenIn
from trm_cli.tasks.base import Tokens


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
            self.attempt.number, self.attempt.view, self.attempt.guess, self.answer,
            tuple(self.holds), tuple(self.halt_probabilities), self.score,
        )  # fmt: skip


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
