"""Search: the attempts at a puzzle, what is tried next, and which attempt gives the answer.

A puzzle whose attempt 0 ends without an answer that is taken is tried again, each time otherwise:
from another start of z, with noise on z, in another symmetric view, or with blanks filled by
guesses: what the network itself believed. Its answer is checked against the puzzle as it was given.
If the puzzle is found to be at fault (no solution, or several), it is not tried again.
What a further attempt is follows from the puzzle and its earlier attempts alone, so that it is the
same in any batch. Further attempts come before new puzzles; where neither fills the batch, later
attempts at the puzzles in it are begun ahead of their turn, if they depend on no result, and
dropped if an earlier one succeeds.
Shapes: R answers, L cells, V tokens.

How guesses are made (`--search`):
none        not at all
flat        one in each further attempt, all from what attempt 0 believed: see `rank_guesses`
best-first  a tree. Each attempt is a node: the puzzle with a set of guesses filled in. A node that fails
            is branched: its guesses and one more, for every legal symbol of one blank (see `branch`).
            A guess costs the negative logarithm of what the network believed in it; the cheapest node
            is tried next. Rules drop symbols that a given or a guess forbids and do no more; every
            other symbol has its branch, so that a solution is found if the budget is large enough.

Which attempt gives a puzzle's answer (`--select`):
verified  the first attempt whose answer keeps the givens and every rule; if there is none, as q
q         the largest halt logit at the last step
margin    the largest mean, over cells, of the best logit less the second best, at the last step
residual  the smallest change that the last step made to y: the root of its mean square
mode      the answer that most attempts gave, cell for cell
Ties go to the earlier attempt.
"""

import hashlib
import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Finding, Symmetries, Task, Tokens

Beliefs = NDArray[np.float32]  # [L, V] shares that add up to 1 for every cell
Cells = NDArray[np.float32]  # [R, L]
Examine = Callable[[Tokens], Finding]  # looks at a puzzle [L]; see `Rules.examine`
Legal = Callable[[Tokens, int], NDArray[np.bool_]]  # of a puzzle [L] and V: [L, V]; see `Rules.legal_tokens`
NEGLIGIBLE = 0.05  # share of a cell that is not worth another guess
TINY = 1e-9  # keeps the logarithm of a share finite
LEAST_BELIEF = 1e-4  # in a legal symbol, so that the network's no is never final
DRAWN_FOR_ONE = 8  # symmetries drawn for each view wanted: some tasks have few, and draw them twice
KEY_BYTES = 7  # so that the number of a step can be added and the sum still is a seed


@dataclass(frozen=True)
class Guess:
    """A symbol for a blank."""

    cell: int
    token: int


@dataclass(frozen=True, order=True)
class Node:
    """A set of guesses to try: the puzzle with them filled in."""

    cost: float  # sum of the negative logarithms of the beliefs in them; the cheapest node comes first
    place: int  # among the nodes of a puzzle, in the order in which they were found
    guesses: tuple[Guess, ...] = field(compare=False)
    parent: int = field(compare=False)  # number of the attempt that was branched


def rank_guesses(puzzle: Tokens, beliefs: Beliefs, count: int) -> list[Guess]:
    """Up to `count` guesses for the blanks of a puzzle [L], all different, best first.

    The cell that the beliefs are most divided on comes first, with its symbols from the likeliest
    down, until what is left of its shares is negligible; then the next cell.
    """
    blanks = np.flatnonzero(puzzle == BLANK)
    shares = beliefs[blanks, FIRST_SYMBOL:].astype(np.float64)
    entropy = -(shares * np.log(shares + TINY)).sum(1)
    guesses: list[Guess] = []
    for index in np.argsort(-entropy, kind="stable"):
        left = 1.0
        for symbol in np.argsort(-shares[index], kind="stable"):
            if left < NEGLIGIBLE or len(guesses) == count:
                break
            guesses.append(Guess(int(blanks[index]), int(symbol) + FIRST_SYMBOL))
            left -= shares[index, symbol]
    return guesses


def branch(shown: Tokens, beliefs: Beliefs, legal: NDArray[np.bool_]) -> list[tuple[float, Guess]]:
    """A guess for every legal symbol of one blank, with its cost: the blank on which the beliefs are most divided.

    shown  [L] the puzzle with the guesses so far.
    legal  [L, V] what givens and guesses allow. A blank that they leave nothing is a dead end: no guess.
    Beliefs in one cell count among its legal symbols, none of them less than LEAST_BELIEF.
    """
    blanks = np.flatnonzero(shown == BLANK)
    allowed = legal[blanks, FIRST_SYMBOL:]
    if not len(blanks) or not allowed.any(1).all():
        return []
    shares = np.where(allowed, np.maximum(beliefs[blanks, FIRST_SYMBOL:].astype(np.float64), LEAST_BELIEF), 0.0)
    shares /= shares.sum(1, keepdims=True)
    entropy = -(shares * np.log(shares + TINY)).sum(1)
    chosen = int(entropy.argmax())
    symbols = np.flatnonzero(allowed[chosen])
    return [(-math.log(shares[chosen, s]), Guess(int(blanks[chosen]), int(s) + FIRST_SYMBOL)) for s in symbols]


class Views:
    """Up to `wanted` different symmetric views of puzzles of one size; the seed decides them.

    View 0 is the puzzle as it is. Raises UsageError where more are wanted of a task without symmetries.
    """

    def __init__(self, task: Task, num_cells: int, *, wanted: int, seed: int) -> None:
        self.count = 1  # views that there are: a maze has no more than eight
        if wanted == 1:
            return
        if not isinstance(task, Symmetries):
            raise UsageError(f"--views {wanted}: puzzles of {task.name} have no symmetric views; drop it")
        rng = np.random.default_rng(seed)
        drawn = task.symmetries(num_cells, count=wanted * DRAWN_FOR_ONE, rng=rng)
        drawn.cells[0], drawn.symbols[0] = np.arange(num_cells), np.arange(len(drawn.symbols[0]))
        both = np.concatenate([drawn.cells, drawn.symbols.astype(np.int64)], axis=1)
        different = np.sort(np.unique(both, axis=0, return_index=True)[1])  # in the order drawn
        self.there = drawn.rows(different[:wanted])
        self._back = self.there.inverse()
        self.count = len(self.there.cells)

    def show(self, puzzle: Tokens, view: int) -> Tokens:
        """A puzzle [L] as it looks in a view."""
        if self.count == 1:
            return puzzle
        shown: Tokens = self.there.rows(np.array([view])).apply(puzzle[None])[0]
        return shown

    def undo(self, answers: Tokens, views: Sequence[int]) -> Tokens:
        """Answers [R, L], each given in its view [R], as answers to the puzzles as they are."""
        return answers if self.count == 1 else self._back.rows(np.array(views)).apply(answers)

    def undo_beliefs(self, beliefs: Beliefs, view: int) -> Beliefs:
        """Beliefs [L, V] about a puzzle in a view, as those about the puzzle as it is."""
        if self.count == 1:
            return beliefs
        back, names = self._back.cells[view], self.there.symbols[view]
        undone: Beliefs = beliefs[back][:, names]
        return undone

    def place(self, values: Cells, views: Sequence[int]) -> Cells:
        """What was read off the cells of views [R, L], at the cells as they are."""
        return values if self.count == 1 else np.take_along_axis(values, self._back.cells[np.array(views)], axis=1)


@dataclass(eq=False)
class Attempt:
    """One try at one puzzle, and what has come of it so far."""

    row: int  # the puzzle's place in the stream
    number: int  # 0 is the first
    puzzle: Tokens  # [L] as it was given: what the answer is checked against
    shown: Tokens  # [L] as the network sees it: the guesses filled in, then in its view
    max_steps: int
    key: int  # seeds its draws: the same for the same puzzle and attempt, wherever it stands
    answer: Tokens  # [L] after the latest step, whatever the view; the puzzle itself before the first
    view: int = 0
    node: Node | None = None  # the guesses that it fills in; None where it makes none
    is_running: bool = True  # until it ends, or an earlier one at its puzzle succeeds
    score: float = 0.0  # what `--select` compares at the latest step; the largest is best
    holds: list[bool] = field(default_factory=list)  # after each step: givens kept, and the rules hold
    halt_probabilities: list[float] = field(default_factory=list)  # after each step

    @classmethod
    def begin(cls, row: int, puzzle: Tokens, settings: SolveConfig, number: int = 0) -> "Attempt":
        """An attempt before its first step, at the puzzle as it is."""
        name = f"{settings.seed} {number} ".encode() + puzzle.tobytes()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=KEY_BYTES).digest(), "big")
        return cls(row, number, puzzle, puzzle, settings.steps_of(number), key, answer=puzzle)

    def note(self, answer: Tokens, *, holds: bool, halt_probability: float, score: float) -> None:
        """Add a step."""
        self.answer, self.score = answer, score
        self.holds.append(holds)
        self.halt_probabilities.append(halt_probability)

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """The blanks that it fills in, in the order in which they were guessed."""
        return self.node.guesses if self.node else ()

    @property
    def filled(self) -> Tokens:
        """The puzzle [L] with its guesses."""
        tokens: Tokens = self.puzzle.copy()
        for guess in self.guesses:
            tokens[guess.cell] = guess.token
        return tokens

    @property
    def steps(self) -> int:
        """Supervision steps taken."""
        return len(self.holds)

    @property
    def solved(self) -> bool:
        """Whether the answer keeps the givens and every rule."""
        return bool(self.holds) and self.holds[-1]

    @property
    def halt_probability(self) -> float:
        """What the halt head said at the latest step; 0 before the first."""
        return self.halt_probabilities[-1] if self.halt_probabilities else 0.0


@dataclass(frozen=True)
class Outcome:
    """How one puzzle ended: with the answer of one of its attempts."""

    attempts: tuple[Attempt, ...]  # that had a step, in order; none after one that succeeded
    chosen: Attempt  # whose answer it is
    seconds: float  # from its entry into the batch to the end of its last attempt
    finding: Finding | None = None  # why it is not solved; None where it is, or where nobody looked

    @property
    def answer(self) -> Tokens:
        """Tokens, [L]."""
        return self.chosen.answer

    @property
    def solved(self) -> bool:
        """Whether the givens are kept and the rules hold."""
        return self.chosen.solved

    @property
    def why(self) -> str | None:
        """Why it is not solved, in a word for programs: of a Finding, or no_time; None where it is."""
        if self.solved or not self.total_steps:
            return None if self.solved else "no_time"
        return (self.finding or Finding.UNKNOWN).name.lower()

    @property
    def reason(self) -> str | None:
        """The same in a sentence, with the budget that was spent; None where nobody looked."""
        if not self.total_steps:
            return "no time was left for it"
        if not self.finding or self.finding.is_hopeless or len(self.attempts) == 1:
            return self.finding.value if self.finding else None
        return f"{self.finding.value} ({len(self.attempts):,} attempts, {self.total_steps:,} steps)"

    @property
    def depth(self) -> int:
        """The most guesses that one of its attempts filled in."""
        return max(len(attempt.guesses) for attempt in self.attempts)

    @property
    def total_steps(self) -> int:
        """Supervision steps of all attempts."""
        return sum(attempt.steps for attempt in self.attempts)


def choose(attempts: Sequence[Attempt], select: str) -> Attempt:
    """The attempt that a way to select takes, of one or more."""
    if select == "verified" and (solved := next((attempt for attempt in attempts if attempt.solved), None)):
        return solved
    if select == "mode":
        counts = Counter(attempt.answer.tobytes() for attempt in attempts)
        return max(attempts, key=lambda attempt: counts[attempt.answer.tobytes()])
    return max(attempts, key=lambda attempt: attempt.score)


@dataclass
class _UnderWay:
    """A puzzle that is being attempted."""

    since: float  # the time at which it came in, in seconds
    attempts: list[Attempt]  # that were begun, in order
    nodes: list[Node] = field(default_factory=list)  # that are to be tried: in a search that is best-first, a heap
    found: int = 0  # nodes so far
    needed: int = 1  # attempts, unless one of them succeeds: then those up to it
    finding: Finding | None = None


class Search:
    """The queue that the batch is filled from: first and further attempts at a stream of puzzles."""

    def __init__(
        self,
        puzzles: Iterable[Tokens],
        views: Views,
        settings: SolveConfig,
        legal: Legal,
        *,
        examine: Examine | None = None,
        ahead: bool = True,
    ) -> None:
        self.settings = settings
        self._legal = legal
        self._examine = examine  # asked once attempt 0 has not solved a puzzle
        self._ahead = ahead and not settings.searches_tree  # whether a puzzle may have several attempts running
        self._views = views
        self._fresh = enumerate(puzzles)
        self._under_way: dict[int, _UnderWay] = {}  # by row
        self._due: list[tuple[int, int]] = []  # heap of (rank, row): none of its attempts runs

    @property
    def searched(self) -> int:
        """Puzzles under way that are tried again."""
        return sum(len(puzzle.attempts) > 1 for puzzle in self._under_way.values())

    def take(self, count: int) -> list[Attempt]:
        """Up to `count` attempts to begin with; none when all puzzles are done or under way."""
        sources = [self._begin_due, self._begin_fresh]
        if self.settings.breadth_first:
            sources.reverse()
        if self._ahead:
            sources.append(self._begin_ahead)
        begun = (attempt for begin in sources for attempt in iter(begin, None))
        return list(islice(begun, count))

    def wants_beliefs(self, attempt: Attempt) -> bool:
        """Whether guesses follow from what the network believed at the end of an attempt."""
        return self.settings.searches_tree or (self.settings.guesses and attempt.number == 0)

    def end(self, attempt: Attempt, beliefs: Beliefs | None) -> Outcome | None:
        """Note that an attempt ended; returns how its puzzle ended if it needs no other.

        beliefs  [L, V] shares at its last step, in its view; needed where guesses follow from them.
        """
        if not attempt.is_running:
            return None
        puzzle = self._under_way[attempt.row]
        attempt.is_running = False
        if attempt.solved and self.settings.select == "verified":
            puzzle.needed = attempt.number + 1
            for later in puzzle.attempts[puzzle.needed :]:
                later.is_running = False
        else:
            if attempt.number == 0:
                self._begin_search(puzzle, attempt)
            if beliefs is not None and puzzle.needed > len(puzzle.attempts):
                self._note_nodes(puzzle, attempt, self._views.undo_beliefs(beliefs, attempt.view))
        if any(other.is_running for other in puzzle.attempts):
            return None
        if len(puzzle.attempts) >= puzzle.needed:
            return self._conclude(attempt.row)
        rank = len(puzzle.attempts) if self.settings.breadth_first else 0
        heapq.heappush(self._due, (rank, attempt.row))
        return None

    def give_up(self) -> dict[int, Outcome]:
        """End every puzzle that has had a step, as it stands; by row."""
        rows = [row for row, puzzle in self._under_way.items() if puzzle.attempts[0].steps]
        return {row: self._conclude(row) for row in rows}

    def _begin_search(self, puzzle: _UnderWay, first: Attempt) -> None:
        """Say how many attempts a puzzle needs now that the first has not settled it."""
        puzzle.needed = self.settings.num_attempts
        if self._examine and not first.solved:
            puzzle.finding = self._examine(first.puzzle)
            puzzle.needed = 1 if puzzle.finding.is_hopeless else puzzle.needed

    def _note_nodes(self, puzzle: _UnderWay, attempt: Attempt, beliefs: Beliefs) -> None:
        """Add the nodes that follow from what the network believed; where none is left, that was all."""
        if self.settings.searches_tree:
            cost = attempt.node.cost if attempt.node else 0.0
            shown = attempt.filled
            for more, guess in branch(shown, beliefs, self._legal(shown, beliefs.shape[1])):
                guesses = (*attempt.guesses, guess)
                heapq.heappush(puzzle.nodes, Node(cost + more, puzzle.found, guesses, attempt.number))
                puzzle.found += 1
            if not puzzle.nodes:
                puzzle.needed = len(puzzle.attempts)
            return
        ranked = rank_guesses(attempt.puzzle, beliefs, puzzle.needed - 1)
        puzzle.nodes = [Node(0.0, place, (guess,), attempt.number) for place, guess in enumerate(ranked)]
        if self.settings.varies_guesses_alone:
            puzzle.needed = min(puzzle.needed, 1 + len(ranked))

    def _conclude(self, row: int) -> Outcome:
        puzzle, select = self._under_way.pop(row), self.settings.select
        made = [attempt for attempt in puzzle.attempts if attempt.steps]
        if select == "verified":
            needed = next((place for place, attempt in enumerate(made, 1) if attempt.solved), len(made))
            made = made[:needed]
        chosen = choose(made, select)
        finding = None if chosen.solved else puzzle.finding
        return Outcome(tuple(made), chosen, time.perf_counter() - puzzle.since, finding)

    def _begin_due(self) -> Attempt | None:
        return self._further(heapq.heappop(self._due)[1]) if self._due else None

    def _begin_fresh(self) -> Attempt | None:
        row, tokens = next(self._fresh, (-1, None))
        if tokens is None:
            return None
        attempt = Attempt.begin(row, tokens, self.settings)
        self._under_way[row] = _UnderWay(time.perf_counter(), [attempt])
        return attempt

    def _begin_ahead(self) -> Attempt | None:
        ranks = [(len(p.attempts), row) for row, p in self._under_way.items() if len(p.attempts) < p.needed]
        return self._further(min(ranks)[1]) if ranks else None

    def _further(self, row: int) -> Attempt:
        puzzle = self._under_way[row]
        number, tokens = len(puzzle.attempts), puzzle.attempts[0].puzzle
        attempt = Attempt.begin(row, tokens, self.settings, number)
        if self.settings.searches_tree:
            attempt.node = heapq.heappop(puzzle.nodes)
        elif puzzle.nodes:
            attempt.node = puzzle.nodes[(number - 1) % len(puzzle.nodes)]
        attempt.view = number % self._views.count
        attempt.shown = self._views.show(attempt.filled, attempt.view)
        puzzle.attempts.append(attempt)
        return attempt
