"""What a puzzle has to say about itself so that everything else can serve it.

Tokens: 0 padding, 1 and up what a cell can hold; in puzzles that are filled in, 1 is a blank and
2 and up are the symbols. L cells, N puzzles, V tokens.
This floor is numpy only; it knows nothing of networks.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import ConfigError

Tokens = NDArray[np.uint8]
Seed = int | Sequence[int]

PADDING = 0
BLANK = 1
FIRST_SYMBOL = 2
UNRATED = -1
HELD_OUT = "held out"  # from the training data
MOST_PUZZLES = 10**8  # to generate; more do not fit in memory
QUESTION_COLUMNS = ("question", "puzzle", "quizzes")  # of a CSV, the first that it has
ANSWER_COLUMNS = ("answer", "solution", "solutions")


@dataclass(frozen=True)
class Puzzle:
    """One question, as tokens, and where it was found."""

    tokens: Tokens  # [L]
    height: int
    width: int
    source: str  # the file, or stdin
    line: int  # where it starts there, from 1

    @property
    def place(self) -> str:
        """Where it was found, for messages."""
        return f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Violation:
    """A cell that breaks a rule; rows and columns count from 1."""

    row: int
    column: int
    rule: str  # one line: which rule, and with which other cell


@dataclass(frozen=True)
class Symmetries:
    """M ways to redraw a puzzle so that it keeps its rules.

    cells    [M, L] int64: new cell i shows old cell cells[m, i].
    symbols  [M, V] uint8: token t becomes symbols[m, t].
    """

    cells: NDArray[np.int64]
    symbols: NDArray[np.uint8]

    def apply(self, tokens: Tokens) -> Tokens:
        """Redraw row m of tokens [M, L] in way m."""
        moved = np.take_along_axis(tokens, self.cells, axis=1)
        renamed: Tokens = np.take_along_axis(self.symbols, moved.astype(np.int64), axis=1)
        return renamed

    def inverse(self) -> "Symmetries":
        """The ways back: `s.inverse().apply(s.apply(tokens))` is `tokens`."""
        return Symmetries(
            cells=np.argsort(self.cells, axis=1), symbols=np.argsort(self.symbols, axis=1).astype(np.uint8)
        )


@dataclass(frozen=True)
class Dataset:
    """N questions with their answers."""

    puzzles: Tokens  # [N, L]
    answers: Tokens  # [N, L]
    sources: list[str]  # where each comes from; empty where the file does not say
    ratings: NDArray[np.int64]  # [N]; UNRATED where the file does not say
    sha256: str  # of the puzzles and answers, whatever the file's spelling or compression

    def __len__(self) -> int:
        return len(self.puzzles)

    @property
    def role(self) -> str:
        """What it is to a run that is judged by it."""
        return HELD_OUT

    def head(self, count: int | None) -> "Dataset":
        """The first rows, or all of them."""
        return self if count is None or count >= len(self) else self.rows(np.arange(count))

    def rows(self, chosen: NDArray[np.int64]) -> "Dataset":
        """The chosen rows, as a data set of their own."""
        puzzles, answers = self.puzzles[chosen], self.answers[chosen]
        sources = [self.sources[row] for row in chosen]
        return Dataset(puzzles, answers, sources, self.ratings[chosen], digest(puzzles, answers))


def digest(puzzles: Tokens, answers: Tokens) -> str:
    """SHA-256 of tokens [N, L] and their answers, in hexadecimal."""
    return hashlib.sha256(puzzles.tobytes() + answers.tobytes()).hexdigest()


@dataclass(frozen=True)
class Wanted:
    """What a generator is asked for; each task adds numbers of its own."""

    puzzles: int = 20_000

    def __post_init__(self) -> None:
        if not 1 <= self.puzzles <= MOST_PUZZLES:
            raise ConfigError(f"data.puzzles: expected 1 to {MOST_PUZZLES:,}, got {self.puzzles}")

    def described(self, size: int) -> str:
        """What the puzzles are, after their number."""
        return f"puzzles of {size}x{size}"


class Task(ABC):
    """A kind of puzzle: how it is written, what its rules are, how it may be redrawn."""

    name: ClassVar[str]
    usual_size: ClassVar[int]  # side of the board that is meant if nothing is said
    has_blanks: ClassVar[bool] = True  # whether puzzles are filled in, so that one can guess
    has_comments: ClassVar[bool] = True  # whether a line that starts with # is one
    rating_starts: ClassVar[tuple[int, ...]] = ()  # of the ranges that ratings are grouped by
    givens_starts: ClassVar[tuple[int, ...]] = ()  # of the ranges that givens are grouped by
    praise: str = "solved"  # what an answer is whose rules hold

    @abstractmethod
    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """Yield the puzzles of a text, in order.

        Raises PuzzleError naming source, line, column and remedy where one cannot be right.
        """

    @abstractmethod
    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        """The puzzle in one cell of a table; raises PuzzleError as `read` does."""

    def read_plain(self, texts: list[str]) -> Tokens | None:
        """Many puzzles of one size at once, [N, L], their cells not compared with one another.

        Returns None where one is spelled in any but the task's plainest way; `read_one` knows all.
        """
        return None

    def read_answer(self, text: str, line: int, source: str) -> Tokens:
        """The answer [L] in one cell of a table; raises PuzzleError where it can be none."""
        return self.read_one(text, line, source).tokens

    @abstractmethod
    def write(self, tokens: Tokens) -> str:
        """One puzzle or answer [L] on one line, as `read` takes it."""

    def write_rows(self, tokens: Tokens) -> str:
        """The same as people write it in a text file, which may take several lines."""
        return self.write(tokens)

    @abstractmethod
    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer [N, L] keeps its puzzle's givens and every rule, [N]."""

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer [N, L] keeps the rules of an answer, though perhaps not all, [N].

        What it leaves out is the task's to say: a Sudoku may change its givens, a maze's path may
        be longer than it must.
        """
        return self.rules_hold(puzzles, answers)

    @abstractmethod
    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        """Every cell of an answer [L] that breaks a rule; empty exactly where the rules hold."""

    def details(self, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
        """What else the JSON of an answer [L] says; nothing for most tasks."""
        return {}

    @abstractmethod
    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Symmetries:
        """`count` random ways to redraw puzzles of `num_cells` cells."""

    @abstractmethod
    def usual(self, size: int) -> Wanted:
        """What the generator is asked for on a board of that side if nothing is said."""

    @abstractmethod
    def generate(
        self, wanted: Wanted, *, size: int, seed: Seed, progress: Callable[[int, int], None] | None = None
    ) -> Dataset:
        """Different puzzles with their answers; the same arguments give the same puzzles.

        size      side of the board.
        progress  called with the number of puzzles done and wanted, as they come.
        Raises UsageError for numbers that do not exist or can hardly be found.
        """

    @abstractmethod
    def vocab_size(self, num_cells: int) -> int:
        """How many tokens there are on a board of `num_cells` cells, padding included."""

    @abstractmethod
    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        """Height and width of a grid of `num_cells` cells, then of one of its boxes, or 1 and 1."""
