"""One answer from many: a task is looked at in many ways, and its grids are put to a vote.

The grid that most ways agree on comes first; among as many, the one whose halt head was surer on
average. Source: evaluators/arc.py of github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from trm_cli.tasks.arc_files import ArcTask
from trm_cli.tasks.arc_grid import Grid, Way, decode, key
from trm_cli.tasks.base import Tokens

PASSES = (1, 2, 5, 10, 100, 1000)  # K of pass@K
ATTEMPTS = 2  # that ARC Prize takes
NO_GRID = [[0]]  # in a submission, which must say something

Submission = dict[str, list[dict[str, list[list[int]]]]]


@dataclass(frozen=True)
class Candidate:
    """A grid that was voted for."""

    grid: Grid
    votes: int
    halt_probability: float  # mean over its votes


@dataclass
class Ballot:
    """The votes on one test of a task.

    malformed  predictions with a grid that lacks some of its end markers; they count.
    empty      predictions without any grid; they cannot.
    """

    grids: dict[bytes, Grid] = field(default_factory=dict)
    probabilities: dict[bytes, list[float]] = field(default_factory=dict)
    malformed: int = 0
    empty: int = 0

    def add(self, answer: Tokens, way: Way, halt_probability: float) -> None:
        """Count what a network said of the test redrawn in a way."""
        decoded = decode(answer)
        if decoded.grid is None:
            self.empty += 1
            return
        self.malformed += not decoded.is_whole
        grid = way.undo(decoded.grid)
        self.grids[key(grid)] = grid
        self.probabilities.setdefault(key(grid), []).append(halt_probability)

    @property
    def predictions(self) -> int:
        """How many were counted."""
        return self.empty + sum(len(given) for given in self.probabilities.values())

    def ranked(self) -> list[Candidate]:
        """The candidates, best first; those that nothing tells apart as they came."""
        found = [Candidate(self.grids[name], len(given), fmean(given))
                 for name, given in self.probabilities.items()]  # fmt: skip
        return sorted(found, key=lambda one: (one.votes, one.halt_probability), reverse=True)

    def attempts(self) -> list[Candidate]:
        """The candidates that are tried, best first; fewer where there are no more."""
        return self.ranked()[:ATTEMPTS]

    def place_of(self, answer: Grid) -> int | None:
        """The place of an answer among the candidates, from 1; None where nothing said it."""
        ranked = enumerate(self.ranked(), 1)
        return next((place for place, one in ranked if key(one.grid) == key(answer)), None)


@dataclass(frozen=True)
class ArcScores:
    """What came of evaluation tasks; shares are 0 to 1."""

    tasks: int  # of which an answer is known
    tests: int
    predictions: int
    malformed: int
    empty: int
    passes: dict[int, float]  # by K: the mean over tasks of the share of their tests answered


def score_votes(voted: Iterable[tuple[ArcTask, list[Ballot]]]) -> ArcScores:
    """Count tasks with the votes on their tests; tests without a known answer are not scored."""
    ballots: list[Ballot] = []
    shares: list[dict[int, float]] = []
    for task, of_task in voted:
        ballots += of_task
        if known := passes(task, of_task):
            shares.append(known)
    means = {most: fmean(share[most] for share in shares) for most in PASSES} if shares else {}
    return ArcScores(len(shares), len(ballots), sum(b.predictions for b in ballots),
                     sum(b.malformed for b in ballots), sum(b.empty for b in ballots),
                     means)  # fmt: skip


def passes(task: ArcTask, ballots: list[Ballot]) -> dict[int, float]:
    """For each K, the share of a task's tests whose answer is among the first K candidates.

    Empty where no answer is known.
    """
    places = [ballot.place_of(answer)
              for ballot, answer in zip(ballots, task.answers, strict=True)
              if answer is not None]  # fmt: skip
    if not places:
        return {}
    return {most: sum(place is not None and place <= most for place in places) / len(places)
            for most in PASSES}  # fmt: skip


def submission(voted: Iterable[tuple[ArcTask, list[Ballot]]]) -> Submission:
    """What submission.json holds: for each task, two attempts at each of its tests.

    Where all agree, the one candidate is given twice.
    """
    return {task.name: [_attempts(ballot) for ballot in ballots] for task, ballots in voted}


def _attempts(ballot: Ballot) -> dict[str, list[list[int]]]:
    best = [one.grid.tolist() for one in ballot.attempts()] or [NO_GRID]
    filled = best + best[:1] * (ATTEMPTS - len(best))
    return {f"attempt_{number}": grid for number, grid in enumerate(filled, 1)}
