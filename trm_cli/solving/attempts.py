"""What a network works on next: first and further attempts at a stream of puzzles.

A puzzle whose attempt 0 ends without an answer that is taken is tried again, each time otherwise:
from another start of z, with noise on z, in another view, or with a blank filled by a guess. What a
further attempt is follows from the puzzle and its attempt 0 alone, so that it is the same in any
batch. Further attempts come before new puzzles; where neither fills the batch, later attempts at
the puzzles in it are begun ahead of their turn, and dropped if an earlier one succeeds.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from trm_cli.solving.guesses import Beliefs, Guess, filled, rank_guesses
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.views import Views
from trm_cli.tasks.base import Tokens

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
        return cls(
            row, 0, puzzle, puzzle, 0, None, settings.steps_of(0), _key(settings.seed, 0, puzzle)
        )


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

    def __init__(self, puzzles: Iterable[Tokens], views: Views, settings: SolveSettings, *,
                 ahead: bool = True) -> None:  # fmt: skip
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
            (retried.following, row)
            for row, retried in self._retried.items()
            if retried.following < retried.needed
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
            row=row, number=number, puzzle=retried.puzzle,
            shown=self._views.show(filled(retried.puzzle, guess), view), view=view,
            guess=guess,
            max_steps=self.settings.steps_of(number),
            key=_key(self.settings.seed, number, retried.puzzle),
        )  # fmt: skip


def _key(seed: int, number: int, puzzle: Tokens) -> int:
    name = f"{seed} {number} ".encode() + puzzle.tobytes()
    return int.from_bytes(hashlib.blake2b(name, digest_size=KEY_BYTES).digest(), "big")
