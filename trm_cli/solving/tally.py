"""What an evaluation counts while puzzles are solved: a few numbers, however many puzzles.

Everything here is a whole number or a sum, so that it can be written down and gone on from.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trm_cli.solving.outcomes import Outcome, Solution, choose
from trm_cli.tasks.base import FIRST_SYMBOL, UNRATED, Task, Tokens

Groups = dict[str, tuple[float, str]]
KINDS = ("all", "source", "rating", "givens")  # of groups, in the order of a report
NUM_BINS = 10  # of the halt head's probability


@dataclass(frozen=True)
class Question:
    """One row of a data set."""

    puzzle: Tokens  # [L]
    answer: Tokens  # [L]
    source: str
    rating: int


@dataclass
class Counts:
    """Of one group of puzzles."""

    puzzles: int = 0
    cells: int = 0
    right_cells: int = 0
    exact: int = 0  # every cell equals the label
    valid: int = 0  # the rules hold within the answer, whether or not it keeps the givens
    verified: int = 0  # the givens are kept and the rules hold
    steps: int = 0  # supervision steps of all attempts
    fired: int = 0  # puzzles whose halt head fired in attempt 0
    right_when_fired: int = 0  # of those, right when it first did

    def add(self, question: Question, solution: Solution, *, valid: bool) -> None:
        """Count one puzzle."""
        right = solution.answer == question.answer
        self.puzzles += 1
        self.cells += right.size
        self.right_cells += int(right.sum())
        self.exact += bool(right.all())
        self.valid += valid
        self.verified += solution.solved
        self.steps += solution.total_steps
        self.fired += solution.first_fired > 0
        self.right_when_fired += solution.right_when_fired


@dataclass
class Bin:
    """Steps of attempt 0 after which the halt head's probability was in one range."""

    steps: int = 0
    right: int = 0  # the rules held
    probability: float = 0.0  # sum


@dataclass
class Tally:
    """Everything that is counted of one network on one data set."""

    groups: dict[str, dict[str, Counts]] = field(default_factory=dict)  # by kind and name
    orders: dict[str, float] = field(default_factory=dict)  # of the names, where they are shown
    solved_within_steps: list[int] = field(default_factory=list)  # attempt 0 at 1, 2, .. steps
    halted_at: list[int] = field(default_factory=list)  # puzzles that attempt 0 solved, by steps
    solved_within_attempts: list[int] = field(default_factory=list)  # with 1, 2, .. attempts
    steps_within_attempts: list[int] = field(default_factory=list)  # steps that these took
    bins: list[Bin] = field(default_factory=lambda: [Bin() for _ in range(NUM_BINS)])
    squared_error: float = 0.0  # of the halt head's probability, summed over steps
    misfired: int = 0  # puzzles whose halt head ever fired on a wrong answer, in attempt 0
    untouched: int = 0  # puzzles that no step was made on, for lack of time
    seconds: float = 0.0  # spent
    waited: float = 0.0  # sum, over puzzles, of the time that each was in the batch
    solved: bytearray = field(default_factory=bytearray)  # 1 or 0 a puzzle; only to compare

    @property
    def puzzles(self) -> int:
        """How many were counted."""
        return sum(counts.puzzles for counts in self.groups.get("all", {}).values())

    @property
    def verified(self) -> int:
        """How many of them were solved."""
        return sum(counts.verified for counts in self.groups.get("all", {}).values())

    def add(self, question: Question, solution: Solution, *, valid: bool, select: str,
            groups: Groups) -> None:  # fmt: skip
        """Count one puzzle in the groups that it belongs to."""
        for kind, (order, name) in groups.items():
            self.orders[f"{kind} {name}"] = order
            counts = self.groups.setdefault(kind, {}).setdefault(name, Counts())
            counts.add(question, solution, valid=valid)
        self.waited += solution.seconds
        self.untouched += not solution.total_steps
        self._add_first(solution.outcomes[0])
        self._add_attempts(solution.outcomes, select)

    def start(self, max_steps: int, attempts: int) -> None:
        """Make room for the curves of so many steps and attempts."""
        self.solved_within_steps = [0] * max_steps
        self.halted_at = [0] * max_steps
        self.solved_within_attempts = [0] * attempts
        self.steps_within_attempts = [0] * attempts

    def _add_first(self, first: Outcome) -> None:
        if not first.steps:
            return
        for steps in range(len(self.solved_within_steps)):
            self.solved_within_steps[steps] += first.holds[min(steps, first.steps - 1)]
        self.halted_at[first.steps - 1] += first.solved
        for probability, right in zip(first.halt_probabilities, first.holds, strict=True):
            chosen = self.bins[min(int(probability * NUM_BINS), NUM_BINS - 1)]
            chosen.steps += 1
            chosen.right += right
            chosen.probability += probability
            self.squared_error += (probability - right) ** 2
        course = zip(first.halt_probabilities, first.holds, strict=True)
        self.misfired += any(probability > 0.5 and not right for probability, right in course)

    def _add_attempts(self, outcomes: tuple[Outcome, ...], select: str) -> None:
        for made in range(1, len(self.solved_within_attempts) + 1):
            tried = outcomes[:made]
            self.solved_within_attempts[made - 1] += choose(tried, select).solved
            self.steps_within_attempts[made - 1] += sum(outcome.steps for outcome in tried)

    def as_dict(self) -> dict[str, Any]:
        """The same, for a file that `from_dict` reads."""
        return {**asdict(self), "solved": "".join(map(str, self.solved))}

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> "Tally":
        """A tally that was written down; raises TypeError, KeyError or AttributeError if not."""
        groups = {kind: {name: Counts(**counts) for name, counts in named.items()}
                  for kind, named in known["groups"].items()}  # fmt: skip
        bins = [Bin(**one) for one in known["bins"]]
        solved = bytearray(map(int, known["solved"]))
        return cls(**{**known, "groups": groups, "bins": bins, "solved": solved})


def groups_of(question: Question, task: Task) -> Groups:
    """The groups that a puzzle counts in: by kind, where it stands among others, and its name."""
    groups = {"all": (0.0, "all")}
    if question.source:
        groups["source"] = (0.0, question.source)
    if question.rating != UNRATED and task.rating_starts:
        groups["rating"] = _range(question.rating, task.rating_starts)
    if task.givens_starts:
        givens = int(np.count_nonzero(question.puzzle >= FIRST_SYMBOL))
        groups["givens"] = _range(givens, task.givens_starts)
    return groups


def _range(value: int, starts: tuple[int, ...]) -> tuple[float, str]:
    """The range that a value falls into, each reaching to the start of the next."""
    least = max(start for start in starts if start <= value)
    following = [start for start in starts if start > least]
    if not following:
        return least, f"{least} and more"
    most = following[0] - 1
    return least, str(least) if most == least else f"{least} to {most}"
