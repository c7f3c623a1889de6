"""Search: what is tried next at a puzzle whose first attempt was not enough.

A puzzle whose attempt 0 ends without an answer that is taken is tried again, each time otherwise:
from another start of z, with noise on z, in another symmetric view, or with a blank filled by a
guess: what the network itself believed. Its answer is checked against the puzzle as it was given.
What a further attempt is follows from the puzzle and its attempt 0 alone, so that it is the same in
any batch. Further attempts come before new puzzles; where neither fills the batch, later attempts
at the puzzles in it are begun ahead of their turn, and dropped if an earlier one succeeds.
Shapes: R answers, L cells, V tokens.
"""

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trm_cli.config import SolveSettings
from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Symmetries, Task, Tokens, Transforms

Beliefs = NDArray[np.float32]  # [L, V] shares that add up to 1 for every cell
NEGLIGIBLE = 0.05  # share of a cell that is not worth another guess
TINY = 1e-9  # keeps the logarithm of a share finite


@dataclass(frozen=True)
class Guess:
    """A symbol for a blank."""

    cell: int
    token: int


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


def filled(puzzle: Tokens, guess: Guess | None) -> Tokens:
    """The puzzle [L] with a guess in its place."""
    if guess is None:
        return puzzle
    shown: Tokens = puzzle.copy()
    shown[guess.cell] = guess.token
    return shown


Cells = NDArray[np.float32]  # [R, L]
DRAWN_FOR_ONE = 8  # symmetries drawn for each view wanted: some tasks have few, and draw them twice


class Views:
    """Up to `wanted` different views of puzzles of one size; the seed decides them."""

    def __init__(self, task: Task, num_cells: int, *, wanted: int, seed: int) -> None:
        self.count = 1  # views that there are: a maze has no more than eight
        if wanted > 1:
            rng = np.random.default_rng(seed)
            if not isinstance(task, Symmetries):
                raise UsageError(f"--views {wanted}: puzzles of {task.name} have no symmetric views; drop it")
            drawn = task.symmetries(num_cells, count=wanted * DRAWN_FOR_ONE, rng=rng)
            drawn.cells[0], drawn.symbols[0] = (np.arange(num_cells), np.arange(len(drawn.symbols[0])))
            self._there = drawn.rows(_different(drawn)[:wanted])
            self._back = self._there.inverse()
            self.count = len(self._there.cells)

    def show(self, puzzle: Tokens, view: int) -> Tokens:
        """A puzzle [L] as it looks in a view."""
        if self.count == 1:
            return puzzle
        shown: Tokens = self._there.rows(np.array([view])).apply(puzzle[None])[0]
        return shown

    def of(self, views: Sequence[int]) -> "SeenIn":
        """The way back from the views [R] of R attempts."""
        return SeenIn(None if self.count == 1 else self._back.rows(np.array(views)))


@dataclass(frozen=True)
class SeenIn:
    """The way back from the views of R attempts to their puzzles as they are."""

    back: Transforms | None  # None where there is one view

    def undo(self, answers: Tokens) -> Tokens:
        """Answers [R, L], each given in its view, as answers to the puzzles as they are."""
        return answers if self.back is None else self.back.apply(answers)

    def place(self, values: Cells) -> Cells:
        """What was read off the cells of views [R, L], at the cells as they are."""
        if self.back is None:
            return values
        return np.take_along_axis(values, self.back.cells, axis=1)


def _different(symmetries: Transforms) -> NDArray[np.int64]:
    """The first row of each symmetry, in the order drawn."""
    both = np.concatenate([symmetries.cells, symmetries.symbols.astype(np.int64)], axis=1)
    rows: NDArray[np.int64] = np.sort(np.unique(both, axis=0, return_index=True)[1])
    return rows


KEY_BYTES = 7  # so that the number of a step can be added and the sum still is a seed


@dataclass(frozen=True)
class Attempt:
    """One try at one puzzle."""

    row: int  # the puzzle's place in the stream
    number: int  # 0 is the first
    puzzle: Tokens  # [L] as it was given: what the answer is checked against
    shown: Tokens  # [L] as the network sees it: the guess filled in, then in its view
    view: int
    guess: Guess | None
    max_steps: int
    key: int  # seeds its draws: the same for the same puzzle and attempt, wherever it stands

    @classmethod
    def first(cls, row: int, puzzle: Tokens, settings: SolveSettings) -> "Attempt":
        """The plain one that every puzzle gets."""
        return cls(row, 0, puzzle, puzzle, 0, None, settings.steps_of(0), _key(settings.seed, 0, puzzle))


@dataclass
class _Retried:
    """A puzzle whose attempt 0 was not enough."""

    puzzle: Tokens
    guesses: list[Guess]
    needed: int  # attempts, unless one of them succeeds: then those up to it
    following: int = 1  # number of the next attempt
    running: set[int] = field(default_factory=set)

    @property
    def is_finished(self) -> bool:
        return self.following >= self.needed and not self.running


class Attempts:
    """The queue that the batch is filled from."""

    def __init__(self, puzzles: Iterable[Tokens], views: Views, settings: SolveSettings, *, ahead: bool = True) -> None:
        self.settings = settings
        self._ahead = ahead  # whether a puzzle may have several attempts running
        self._views = views
        self._fresh = enumerate(puzzles)
        self._retried: dict[int, _Retried] = {}  # by row
        self._due: list[tuple[int, int]] = []  # heap of (rank, row): none of its attempts runs

    def take(self, count: int) -> list[Attempt]:
        """Up to `count` attempts to begin with; none when all puzzles are done or under way."""
        sources = [self._begin_due, self._begin_fresh]
        if self.settings.breadth_first:
            sources.reverse()
        if self._ahead:
            sources.append(self._begin_ahead)
        taken: list[Attempt] = []
        for begin in sources:
            while len(taken) < count and (attempt := begin()):
                taken.append(attempt)
        return taken

    def end(self, attempt: Attempt, *, holds: bool, beliefs: Beliefs | None) -> bool:
        """Note how an attempt ended; returns whether it was its puzzle's last.

        holds    the rules hold.
        beliefs  [L, V] shares of attempt 0; needed where there are to be guesses.
        """
        row, number = attempt.row, attempt.number
        succeeds = holds and self.settings.select == "verified"
        if number == 0:
            if succeeds or self.settings.num_attempts == 1:
                return True
            guesses: list[Guess] = []
            if self.settings.guess and beliefs is not None:
                guesses = rank_guesses(attempt.puzzle, beliefs, self.settings.num_attempts - 1)
            needed = self.settings.num_attempts
            if self.settings.varies_guess_alone:
                needed = min(needed, 1 + len(guesses))
            self._retried[row] = _Retried(attempt.puzzle, guesses, needed)
        retried = self._retried[row]
        retried.running.discard(number)
        if succeeds:
            retried.needed = number + 1
            retried.running = {other for other in retried.running if other < number}
        if retried.is_finished:
            del self._retried[row]
            return True
        if not retried.running:
            rank = retried.following if self.settings.breadth_first else 0
            heapq.heappush(self._due, (rank, row))
        return False

    def is_needed(self, attempt: Attempt) -> bool:
        """Whether a running attempt still matters: no earlier one at its puzzle succeeded."""
        retried = self._retried.get(attempt.row)
        return attempt.number == 0 or (retried is not None and attempt.number in retried.running)

    def _begin_due(self) -> Attempt | None:
        return self._further(heapq.heappop(self._due)[1]) if self._due else None

    def _begin_fresh(self) -> Attempt | None:
        row, puzzle = next(self._fresh, (-1, None))
        return None if puzzle is None else Attempt.first(row, puzzle, self.settings)

    def _begin_ahead(self) -> Attempt | None:
        ranks = [
            (retried.following, row) for row, retried in self._retried.items() if retried.following < retried.needed
        ]
        return self._further(min(ranks)[1]) if ranks else None

    def _further(self, row: int) -> Attempt:
        retried = self._retried[row]
        number = retried.following
        retried.following += 1
        retried.running.add(number)
        guess = retried.guesses[(number - 1) % len(retried.guesses)] if retried.guesses else None
        view = number % self._views.count
        return Attempt(
            row=row,
            number=number,
            puzzle=retried.puzzle,
            shown=self._views.show(filled(retried.puzzle, guess), view),
            view=view,
            guess=guess,
            max_steps=self.settings.steps_of(number),
            key=_key(self.settings.seed, number, retried.puzzle),
        )


def _key(seed: int, number: int, puzzle: Tokens) -> int:
    name = f"{seed} {number} ".encode() + puzzle.tobytes()
    return int.from_bytes(hashlib.blake2b(name, digest_size=KEY_BYTES).digest(), "big")
