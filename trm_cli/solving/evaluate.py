"""How good a network is on questions with known answers.

Exact: every cell equals the label. Verified: the rules hold, which for a puzzle with one solution
is the same thing and needs no label. Precision: of the puzzles whose halt head fired, the share
that was right at that moment.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from trm_cli.solving.engine import Solution, SolveSettings
from trm_cli.tasks.base import FIRST_SYMBOL, UNRATED, Dataset


@dataclass(frozen=True)
class Scores:
    """Accuracies of one group of puzzles; shares are 0 to 1."""

    kind: str  # what the group is formed by: all, source, rating or givens
    group: str
    puzzles: int
    cell: float
    exact: float
    verified: float
    mean_steps: float  # supervision steps until the halt, or all of them
    fired: float  # share of puzzles whose halt head fired
    precision: float | None  # of the halt head when it first fired; None if it never did

    def as_dict(self) -> dict[str, object]:
        """The same, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation: what was solved, how, and the scores of every group."""

    name: str  # of the data set's file
    data: Dataset
    settings: SolveSettings
    groups: list[Scores]  # the whole set first


def score(
    data: Dataset, solutions: list[Solution], kind: str = "all", group: str = "all"
) -> Scores:
    """Compare solutions with the answers of a data set, row by row."""
    given = np.stack([solution.answer for solution in solutions])
    right = given == data.answers
    fired = [solution for solution in solutions if solution.first_fired]
    right_when_fired = sum(solution.right_when_fired for solution in fired)
    return Scores(
        kind=kind,
        group=group,
        puzzles=len(solutions),
        cell=float(right.mean()),
        exact=float(right.all(1).mean()),
        verified=float(np.mean([solution.solved for solution in solutions])),
        mean_steps=float(np.mean([solution.steps for solution in solutions])),
        fired=len(fired) / len(solutions),
        precision=right_when_fired / len(fired) if fired else None,
    )


def score_groups(data: Dataset, solutions: list[Solution]) -> list[Scores]:
    """Scores of the whole set, then by source, by rating and by number of givens."""
    groups = [score(data, solutions)]
    for kind, name_of in GROUPINGS.items():
        groups += _by(kind, name_of, data, solutions)
    return groups


GroupName = Callable[[Dataset, int], tuple[float, str] | None]  # its order and its name


def _by(kind: str, name_of: GroupName, data: Dataset, solutions: list[Solution]) -> list[Scores]:
    members: dict[tuple[float, str], list[int]] = {}
    for row in range(len(data)):
        key = name_of(data, row)
        if key is not None:
            members.setdefault(key, []).append(row)
    return [
        score(data.rows(np.array(rows)), [solutions[row] for row in rows], kind, key[1])
        for key, rows in sorted(members.items())
    ]


def _source(data: Dataset, row: int) -> tuple[float, str] | None:
    return (0, data.sources[row]) if data.sources[row] else None


def _rating(data: Dataset, row: int) -> tuple[float, str] | None:
    rating = int(data.ratings[row])
    return None if rating == UNRATED else _range(rating, (0, 1, 10, 50, 100, 300))


def _givens(data: Dataset, row: int) -> tuple[float, str] | None:
    givens = int((data.puzzles[row] >= FIRST_SYMBOL).sum())
    return _range(givens, (0, 17, 18, 22, 25, 29, 38))


def _range(value: int, starts: tuple[int, ...]) -> tuple[float, str]:
    """The range that a value falls into, each reaching to the start of the next."""
    least = max(start for start in starts if start <= value)
    following = [start for start in starts if start > least]
    if not following:
        return least, f"{least} and more"
    most = following[0] - 1
    return least, str(least) if most == least else f"{least} to {most}"


GROUPINGS: dict[str, GroupName] = {"source": _source, "rating": _rating, "givens": _givens}
