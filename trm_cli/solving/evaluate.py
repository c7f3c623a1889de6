"""How good a network is on questions with known answers: counts, scores, comparison.

Exact: every cell equals the label. Valid: the rules hold within the answer. Verified: the givens
are kept, too, which for a puzzle with one solution is the same as exact and needs no label.
Precision: of the puzzles whose halt head fired in attempt 0, the share that was right at that
moment. What is counted is whole numbers and sums, so that an evaluation can be interrupted.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate, islice, tee
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from trm_cli.config import FURTHER, SolveConfig
from trm_cli.errors import FileError, ModelError, UsageError
from trm_cli.files import MEBIBYTE, read_text, write_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.schema import checked, parse_json, sealed, unsealed
from trm_cli.solving.engine import Stops, never, unseen
from trm_cli.solving.search import Outcome, choose
from trm_cli.solving.statistics import mcnemar, wilson
from trm_cli.solving.workers import Solver
from trm_cli.tasks.base import FIRST_SYMBOL, UNRATED, Dataset, Task, Tokens, rules_of
from trm_cli.weights.card import write_card
from trm_cli.weights.checkpoint import write_config
from trm_cli.weights.facts import Group
from trm_cli.weights.tensors import LoadedModel

FORMAT = 4  # of the file that keeps counts; before 4 it had no types, before 3 no budgets
KINDS = ("all", "source", "rating", "givens")  # of groups, in the order of a report
LARGEST_KEPT = 16 * MEBIBYTE  # of that file: counts, and a character for each puzzle and network
USUAL_TYPE = "float32"  # which goes without saying
NUM_BINS = 10  # of the halt head's probability
CURVES = (  # that a card shows
    *("solved_within_steps", "solved_within_attempts", "steps_within_attempts"),
    *("budgets", "solved_within_budgets", "steps_within_budgets"),
)


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
    solved_at: list[int] = field(default_factory=list)  # puzzles whose attempt 0 stopped, right, at step 1, 2, ..

    @property
    def solved_first(self) -> int:
        """How many puzzles attempt 0 solved."""
        return sum(self.solved_at)

    @property
    def halts_at_several_steps(self) -> bool:
        """Whether the puzzles that attempt 0 solved differ in their steps."""
        return sum(map(bool, self.solved_at)) > 1

    @property
    def mean_solving_steps(self) -> float | None:
        """Supervision steps of attempt 0, where it solved the puzzle; None if it never did."""
        taken = sum(step * count for step, count in enumerate(self.solved_at, 1))
        return taken / self.solved_first if self.solved_first else None

    def solving_steps(self, percent: int) -> int | None:
        """Fewest steps within which attempt 0 solved this share of what it solved; None if it solved nothing."""
        within = enumerate(accumulate(self.solved_at), 1)
        enough = (step for step, solved in within if solved and 100 * solved >= percent * self.solved_first)
        return next(enough, None)

    def add(self, question: Question, solution: Outcome, *, valid: bool) -> None:
        """Count one puzzle."""
        right = solution.answer == question.answer
        self.puzzles += 1
        self.cells += right.size
        self.right_cells += int(right.sum())
        self.exact += bool(right.all())
        self.valid += valid
        self.verified += solution.solved
        self.steps += solution.total_steps
        first = solution.attempts[0]
        course = zip(first.halt_probabilities, first.holds, strict=True)
        right_when_fired = next((holds for probability, holds in course if probability > 0.5), None)
        self.fired += right_when_fired is not None
        self.right_when_fired += bool(right_when_fired)
        self.solved_at = self.solved_at or [0] * first.max_steps
        if first.solved:
            self.solved_at[first.steps - 1] += 1


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
    solved_within_attempts: list[int] = field(default_factory=list)  # with 1, 2, .. attempts; none of a tree
    steps_within_attempts: list[int] = field(default_factory=list)  # steps that these took
    budgets: list[int] = field(default_factory=list)  # of steps, all attempts at a puzzle together
    solved_within_budgets: list[int] = field(default_factory=list)  # puzzles that each of these suffices for
    steps_within_budgets: list[int] = field(default_factory=list)  # steps of all puzzles if it is where they end
    bins: Annotated[list[Bin], NUM_BINS] = field(default_factory=lambda: [Bin() for _ in range(NUM_BINS)])
    squared_error: float = 0.0  # of the halt head's probability, summed over steps
    misfired: int = 0  # puzzles whose halt head ever fired on a wrong answer, in attempt 0
    untouched: int = 0  # puzzles that no step was made on, for lack of time
    seconds: float = 0.0  # spent
    waited: float = 0.0  # sum, over puzzles, of the time that each was in the batch
    solved: bytearray = field(default_factory=bytearray)  # 1 or 0 a puzzle; only to compare

    @property
    def whole(self) -> Counts:
        """Of all puzzles so far."""
        return self.groups.get("all", {}).get("all", Counts())

    @property
    def by_budget(self) -> list[tuple[int, int, int]]:
        """Numbers of steps, the puzzles that each suffices for, and the steps that are taken then."""
        return list(zip(self.budgets, self.solved_within_budgets, self.steps_within_budgets, strict=True))

    def add(self, question: Question, solution: Outcome, task: Task, select: str) -> None:
        """Count one puzzle in the groups that it belongs to; `select` is how its attempt was chosen."""
        valid = bool(rules_of(task).valid(question.puzzle[None], solution.answer[None])[0])
        for kind, (order, name) in groups_of(question, task).items():
            self.orders[f"{kind} {name}"] = order
            counts = self.groups.setdefault(kind, {}).setdefault(name, Counts())
            counts.add(question, solution, valid=valid)
        self.waited += solution.seconds
        for made in range(len(self.solved_within_attempts)):
            tried = solution.attempts[: made + 1]
            self.solved_within_attempts[made] += choose(tried, select).solved
            self.steps_within_attempts[made] += sum(attempt.steps for attempt in tried)
        for place, budget in enumerate(self.budgets):
            self.solved_within_budgets[place] += solution.solved and solution.total_steps <= budget
            self.steps_within_budgets[place] += min(solution.total_steps, budget)
        if not solution.total_steps:
            self.untouched += 1
            return

        first = solution.attempts[0]
        for steps in range(len(self.solved_within_steps)):
            self.solved_within_steps[steps] += first.holds[min(steps, first.steps - 1)]
        misfired = False
        for probability, right in zip(first.halt_probabilities, first.holds, strict=True):
            chosen = self.bins[min(int(probability * NUM_BINS), NUM_BINS - 1)]
            chosen.steps += 1
            chosen.right += right
            chosen.probability += probability
            self.squared_error += (probability - right) ** 2
            misfired |= probability > 0.5 and not right
        self.misfired += misfired


def groups_of(question: Question, task: Task) -> dict[str, tuple[float, str]]:
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
    most = min((start - 1 for start in starts if start > least), default=None)
    if most is None:
        return least, f"{least} and more"
    return least, str(least) if most == least else f"{least} to {most}"


@dataclass(frozen=True)
class _Version:
    """The format of a file of counts, which says what else is in it."""

    format: int


@dataclass(frozen=True)
class _Kept(_Version):
    """What a file of counts holds: `subject`, and a tally of each network."""

    data_sha256: str
    networks: list[Any]
    tallies: list[dict[str, Any]]


@dataclass(frozen=True)
class Scores(Group):
    """Accuracies of one group of puzzles, and how sure they are."""

    @property
    def verified_interval(self) -> tuple[float, float]:
        """95 % interval of the verified share."""
        return wilson(round(self.verified * self.puzzles), self.puzzles)


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation of one network."""

    name: str  # of the data set's file
    data_sha256: str
    model: str  # its name
    model_sha256: str
    settings: SolveConfig
    tally: Tally
    dtype: str = USUAL_TYPE  # that it was computed in

    @property
    def puzzles(self) -> int:
        """How many were evaluated."""
        return self.tally.whole.puzzles

    @property
    def groups(self) -> list[Scores]:
        """Scores of the whole set, then by source, by rating and by number of givens."""
        return [scores_of(counts, kind, name) for kind in KINDS for name, counts in self.counts_by(kind)]

    def counts_by(self, kind: str) -> list[tuple[str, Counts]]:
        """Names and counts of the groups of one kind, in the order of a report."""
        named, orders = self.tally.groups.get(kind, {}), self.tally.orders
        return sorted(named.items(), key=lambda group: (orders[f"{kind} {group[0]}"], group[0]))


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


def distinct_names(first: Evaluated, second: Evaluated) -> tuple[str, str]:
    """What two networks are called beside each other."""
    if first.model != second.model:
        return first.model, second.model
    return f"{first.model} (first)", f"{second.model} (second)"


def evaluate(
    network: TinyRecursiveModel,
    task: Task,
    chunks: Iterable[Dataset],
    tally: Tally,
    *,
    batch_size: int,
    settings: SolveConfig,
    stops: Stops = never,
    keeps_solved: bool = False,
    searching: Callable[[int], None] = unseen,
    solver: Solver | None = None,
) -> Iterator[Outcome]:
    """Solve the puzzles of a data set and count them, from where the tally stands.

    chunks        the whole data set in order, in parts of any size: what was counted is skipped.
    keeps_solved  remember for each puzzle whether it was solved, for `compare`.
    searching     as in `solve_stream`.
    solver        of several workers, who all have one tally at the start; the first one counts.
    Yields each solution once it is counted, so that the tally can be written down between two.
    """
    if not tally.whole.puzzles:
        max_steps, attempts = settings.steps_of(0), settings.num_attempts
        tally.solved_within_steps = [0] * max_steps
        if not settings.searches_tree:  # of which attempts are the nodes of a tree
            tally.solved_within_attempts, tally.steps_within_attempts = [0] * attempts, [0] * attempts
        tally.budgets = budgets_of(settings) if attempts > 1 else []
        tally.solved_within_budgets, tally.steps_within_budgets = ([0] * len(tally.budgets) for _ in range(2))
    solver = solver or Solver()
    questions = islice(_questions(chunks), tally.whole.puzzles, None)
    counted, ahead = tee(questions) if solver.is_first else (iter(()), questions)
    puzzles = (question.puzzle for question in ahead)
    solutions = solver.solve(
        network, task, puzzles, batch_size=batch_size, settings=settings, stops=stops, searching=searching
    )
    before = time.perf_counter()
    for solution, question in zip(solutions, counted, strict=True):
        tally.add(question, solution, task, settings.select)
        if keeps_solved:
            tally.solved.append(solution.solved)
        now = time.perf_counter()
        tally.seconds += now - before
        before = now
        yield solution


def budgets_of(settings: SolveConfig) -> list[int]:
    """Numbers of steps to stop at: from the first attempt's up, each twice the one before, to all that there are."""
    budgets = [settings.steps_of(0)]
    while 2 * budgets[-1] < settings.most_steps:
        budgets.append(2 * budgets[-1])
    return [*budgets, settings.most_steps]


def _questions(chunks: Iterable[Dataset]) -> Iterator[Question]:
    for chunk in chunks:
        yield from map(Question, chunk.puzzles, chunk.answers, chunk.sources, chunk.ratings.tolist())


def score(judged: list[tuple[Dataset, list[Outcome]]]) -> Scores:
    """Compare solutions with the answers of their data sets, row by row."""
    counts = Counts()
    for data, solutions in judged:
        for question, solution in zip(_questions([data]), solutions, strict=True):
            counts.add(question, solution, valid=solution.solved)
    return replace(scores_of(counts), valid=None)


def scores_of(counts: Counts, kind: str = "all", group: str = "all") -> Scores:
    """Shares of what was counted of a group."""
    cell, steps = counts.right_cells / counts.cells, counts.steps / counts.puzzles
    precision = counts.right_when_fired / counts.fired if counts.fired else None
    shares = {name: getattr(counts, name) / counts.puzzles for name in ("exact", "valid", "verified", "fired")}
    return Scores(kind, group, counts.puzzles, cell=cell, mean_steps=steps, precision=precision, **shares)


def subject(data_sha256: str, networks: list[tuple[str, str, SolveConfig]]) -> dict[str, Any]:
    """What an evaluation measures: its data, and each network's weights, the type it computes in, and settings."""
    return {
        "data_sha256": data_sha256,
        "networks": [{"sha256": sha256, "dtype": dtype, **asdict(settings)} for sha256, dtype, settings in networks],
    }


def write_kept(path: Path, measured: dict[str, Any], tallies: list[Tally]) -> None:
    """Write the counts of each network; raises UsageError where that cannot be."""
    counted = [{**asdict(tally), "solved": "".join(map(str, tally.solved))} for tally in tallies]
    content = sealed({"format": FORMAT, **measured, "tallies": counted})
    try:
        write_whole(path, json.dumps(content).encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error


def read_kept(path: Path, measured: dict[str, Any]) -> list[Tally] | None:
    """The counts of each network, or None where there is no such file.

    Raises UsageError where it is no file of ours, or where something else was measured.
    """
    if not path.exists():
        return None
    try:
        content = parse_json(read_text(path, LARGEST_KEPT))
        if checked(content, _Version).format != FORMAT:
            raise UsageError(f"{path}: was written by another version of trm; choose another name")
        kept = checked(unsealed(content), _Kept)
        for name, value in measured.items():
            if getattr(kept, name) != value:
                what = {"data_sha256": "data"}.get(name, "networks, number types or settings")
                raise UsageError(f"{path}: was measured with other {what}; choose another name")
        networks, tallies = measured["networks"], kept.tallies
        if len(tallies) != len(networks):
            raise FileError(f"counts of {len(tallies)} networks, not of {len(networks)}")
        return [_kept_tally(*both, compares=len(networks) > 1) for both in zip(tallies, networks, strict=True)]
    except FileError as error:
        raise UsageError(f"{path}: keeps no evaluation: {error}; choose another name") from error


def _kept_tally(kept: dict[str, Any], network: dict[str, Any], *, compares: bool) -> Tally:
    """A tally as it was written down; raises FileError where its counts contradict each other, or the settings.

    network   as `subject` says it.
    compares  whether it was remembered of each puzzle whether it was solved.
    """
    solved = checked(kept.get("solved"), str, "solved")
    tally = checked({name: value for name, value in kept.items() if name != "solved"}, Tally)
    puzzles = tally.whole.puzzles
    if not puzzles:
        return Tally()
    settings = SolveConfig(**{name: value for name, value in network.items() if name not in ("sha256", "dtype")})
    steps, tried = settings.steps_of(0), 0 if settings.searches_tree else settings.num_attempts
    budgets = budgets_of(settings) if settings.num_attempts > 1 else []
    series = {
        "solved_within_steps": steps,
        "solved_within_attempts": tried,
        "steps_within_attempts": tried,
        "solved_within_budgets": len(budgets),
        "steps_within_budgets": len(budgets),
        "solved": puzzles if compares or solved else 0,
    }
    tally.solved = bytearray(letter == "1" for letter in solved)
    for name, length in series.items():
        if len(getattr(tally, name)) != length:
            raise FileError(f"{name}: expected {length:,} figures, got {len(getattr(tally, name)):,}")
    groups = [(f"{kind} {name}", counts) for kind, named in tally.groups.items() for name, counts in named.items()]
    shares = [
        *((one, puzzles) for name in series if name.startswith("solved") for one in getattr(tally, name)),
        *((one.right, one.steps) for one in tally.bins),
        *((one, puzzles) for one in (tally.misfired, tally.untouched)),
    ]
    for name, counts in groups:
        if name not in tally.orders or len(counts.solved_at) != steps:
            raise FileError(f"{name:.40}: no group of an evaluation")
        of_puzzles = (counts.exact, counts.valid, counts.verified, counts.fired, counts.solved_first)
        shares += [(one, counts.puzzles) for one in of_puzzles] + [(counts.puzzles, min(puzzles, counts.cells))]
        shares += [(counts.right_cells, counts.cells), (counts.right_when_fired, counts.fired), (1, counts.puzzles)]
    if set(solved) - {"0", "1"} or tally.budgets != budgets or any(part > whole for part, whole in shares):
        raise FileError("counts that contradict each other")
    return tally


def record_scores(loaded: LoadedModel, evaluated: Evaluated, command: str) -> None:
    """Write scores into the checkpoint's config.json and card; an older entry is replaced.

    command  what measured them, so that a reader can repeat it.
    Raises ModelError where the checkpoint's folder cannot be written.
    """
    entry = {
        "command": command,
        "data_sha256": evaluated.data_sha256,
        "groups": [asdict(scores) for scores in evaluated.groups],
        **{name: getattr(evaluated.tally, name) for name in CURVES},
    }
    checkpoint = loaded.checkpoint
    updated = replace(checkpoint, measured={**checkpoint.measured, _key(evaluated): entry})
    try:
        write_config(loaded.folder, updated)
        write_card(loaded.folder, updated)
    except OSError as error:
        raise ModelError(f"{loaded.folder}: cannot be written ({error.strerror})") from error


def _key(evaluated: Evaluated) -> str:
    """What the card heads the figures with: data, steps, and all that is not as usual."""
    settings = evaluated.settings
    parts = [evaluated.name, f"{evaluated.puzzles:,} puzzles", f"at most {settings.max_steps} steps"]
    parts += [trials(settings)] if settings.attempts > 1 else []
    parts += unusual(settings)
    return ", ".join([*parts, *([evaluated.dtype] if evaluated.dtype != USUAL_TYPE else [])])


def trials(settings: SolveConfig) -> str:
    """How many attempts there are, or what a search for sets of guesses may spend."""
    if settings.searches_tree:
        return f"best-first search of at most {settings.most_steps:,} steps"
    return f"{settings.num_attempts} attempts"


def unusual(settings: SolveConfig) -> list[str]:
    """Other settings than `trials` and the steps of an attempt that are not as usual, as options."""
    plain, flags = asdict(SolveConfig()), []
    told = ("attempts", "max_steps", *(("search", "step_limit") if settings.searches_tree else ()))
    for name, value in asdict(settings).items():
        is_heeded = name not in told and (settings.attempts > 1 or name not in FURTHER)
        if is_heeded and value != plain[name]:
            flag = name.replace("_", "-")
            flags.append(f"--{flag}" if value is True else f"--{flag} {value}")
    return flags
