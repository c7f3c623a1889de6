"""How good a network is on questions with known answers.

Exact: every cell equals the label. Valid: the rules hold within the answer. Verified: the givens
are kept, too, which for a puzzle with one solution is the same as exact and needs no label.
Precision: of the puzzles whose halt head fired in attempt 0, the share that was right at that
moment.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Solution, SolveSettings, Stops, never, solve_stream
from trm_cli.solving.statistics import Interval, mcnemar, wilson
from trm_cli.solving.tally import KINDS, Counts, Question, Tally, groups_of
from trm_cli.tasks.base import Dataset, Task, Tokens


@dataclass(frozen=True)
class Scores:
    """Accuracies of one group of puzzles; shares are 0 to 1."""

    kind: str  # what the group is formed by: all, source, rating or givens
    group: str
    puzzles: int
    cell: float
    exact: float
    verified: float
    mean_steps: float  # supervision steps of all attempts
    fired: float  # share of puzzles whose halt head fired
    precision: float | None  # of the halt head when it first fired; None if it never did
    valid: float | None = None  # None where it was not measured

    def as_dict(self) -> dict[str, object]:
        """The same, for JSON."""
        return asdict(self)

    @property
    def verified_interval(self) -> Interval:
        """95 % interval of the verified share."""
        return wilson(round(self.verified * self.puzzles), self.puzzles)


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation of one network."""

    name: str  # of the data set's file
    data_sha256: str
    model: str  # its name
    model_sha256: str
    settings: SolveSettings
    tally: Tally

    @property
    def puzzles(self) -> int:
        """How many were evaluated."""
        return self.tally.puzzles

    @property
    def groups(self) -> list[Scores]:
        """Scores of the whole set, then by source, by rating and by number of givens."""
        groups = self.tally.groups
        return [
            scores_of(kind, name, groups[kind][name])
            for kind in KINDS
            for _, name in sorted((self.tally.orders[f"{kind} {name}"], name)
                                  for name in groups.get(kind, ()))
        ]  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """How many puzzles two networks solved, and whether they differ."""

    both: int
    first_only: int
    second_only: int
    neither: int
    mcnemar_p: float  # how likely so unequal counts are if both are equally good


def compare(first: Evaluated, second: Evaluated) -> Comparison:
    """Two networks that were evaluated on the same puzzles with `keeps_solved`."""
    pairs = Counter(zip(first.tally.solved, second.tally.solved, strict=True))
    only = pairs[1, 0], pairs[0, 1]
    return Comparison(pairs[1, 1], *only, pairs[0, 0], mcnemar(*only))


def evaluate(network: TinyRecursiveModel, task: Task, chunks: Iterable[Dataset], tally: Tally, *,
             batch_size: int, settings: SolveSettings, stops: Stops = never,
             keeps_solved: bool = False) -> Iterator[Solution]:  # fmt: skip
    """Solve the puzzles of a data set and count them, from where the tally stands.

    chunks        the whole data set in order, in parts of any size: what was counted is skipped.
    keeps_solved  remember for each puzzle whether it was solved, for `compare`.
    Yields each solution once it is counted, so that the tally can be written down between two.
    """
    if not tally.puzzles:
        tally.start(settings.steps_of(0), settings.num_attempts)
    under_way: deque[Question] = deque()
    following = islice(_questions(chunks), tally.puzzles, None)

    def puzzles() -> Iterator[Tokens]:
        for question in following:
            under_way.append(question)
            yield question.puzzle

    before = time.perf_counter()
    for solution in solve_stream(network, task, puzzles(), batch_size=batch_size,
                                 settings=settings, stops=stops):  # fmt: skip
        question = under_way.popleft()
        valid = bool(task.valid(question.puzzle[None], solution.answer[None])[0])
        tally.add(question, solution, valid=valid, select=settings.select,
                  groups=groups_of(question, task))  # fmt: skip
        if keeps_solved:
            tally.solved.append(solution.solved)
        now = time.perf_counter()
        tally.seconds += now - before
        before = now
        yield solution


def _questions(chunks: Iterable[Dataset]) -> Iterator[Question]:
    for chunk in chunks:
        for row, source in enumerate(chunk.sources):
            yield Question(chunk.puzzles[row], chunk.answers[row], source, int(chunk.ratings[row]))


def score(data: Dataset, solutions: list[Solution]) -> Scores:
    """Compare solutions with the answers of a data set, row by row."""
    counts = Counts()
    for question, solution in zip(_questions([data]), solutions, strict=True):
        counts.add(question, solution, valid=solution.solved)
    return replace(scores_of("all", "all", counts), valid=None)


def scores_of(kind: str, group: str, counts: Counts) -> Scores:
    """Shares of what was counted of a group."""
    return Scores(
        kind=kind,
        group=group,
        puzzles=counts.puzzles,
        cell=counts.right_cells / counts.cells,
        exact=counts.exact / counts.puzzles,
        verified=counts.verified / counts.puzzles,
        mean_steps=counts.steps / counts.puzzles,
        fired=counts.fired / counts.puzzles,
        precision=counts.right_when_fired / counts.fired if counts.fired else None,
        valid=counts.valid / counts.puzzles,
    )
