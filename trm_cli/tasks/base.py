"""What a puzzle says about itself, so that everything else can serve it.

`Task` is what every puzzle has: sizes, tokens, text in and out, how a cell is drawn. What only some have
is a capability, a class that a task also inherits from: `Rules`, `Symmetries`, `Generator`. Commands ask
`isinstance(task, Generator)`; they never ask for a name.

Tokens: 0 padding, 1 and up what a cell can hold; in puzzles that are filled in, 1 is a blank and
2 and up are the symbols. L cells, N puzzles, V tokens.
This floor is numpy only; it knows nothing of networks.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import ConfigError, PuzzleError, UsageError

Tokens = NDArray[np.uint8]
Seed = int | Sequence[int]
Colour = tuple[int, int, int]
Sections = Mapping[str, Mapping[str, Any]]  # what a recipe changes, as in the TOML of its sections
Progress = Callable[[int, int], None]  # called with what is done and what is wanted

PADDING = 0
BLANK = 1
FIRST_SYMBOL = 2
UNRATED = -1
HELD_OUT = "held out"  # from the training data
MOST_PUZZLES = 10**8  # to generate; more do not fit in memory


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
class Transforms:
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

    def inverse(self) -> "Transforms":
        """The ways back: `t.inverse().apply(t.apply(tokens))` is `tokens`."""
        return Transforms(np.argsort(self.cells, axis=1), np.argsort(self.symbols, axis=1).astype(np.uint8))

    def rows(self, chosen: NDArray[np.int64]) -> "Transforms":
        """The chosen ways [M]."""
        return Transforms(self.cells[chosen], self.symbols[chosen])

    @classmethod
    def identity(cls, num_cells: int, vocab_size: int, count: int = 1) -> "Transforms":
        """The way that changes nothing, `count` times."""
        cells = np.tile(np.arange(num_cells, dtype=np.int64), (count, 1))
        return cls(cells, np.tile(np.arange(vocab_size, dtype=np.uint8), (count, 1)))


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

    @classmethod
    def generated(cls, puzzles: Tokens, answers: Tokens, ratings: NDArray[np.int64] | None = None) -> "Dataset":
        """What a generator made."""
        if ratings is None:
            ratings = np.full(len(puzzles), UNRATED, np.int64)
        return cls(puzzles, answers, ["trm_generated"] * len(puzzles), ratings, digest(puzzles, answers))

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


def as_rows(tokens: Tokens) -> np.ndarray:
    """Tokens [N, L] as N values that can be compared with one another."""
    return np.ascontiguousarray(tokens).view(f"V{tokens.shape[1]}").ravel()


@dataclass(frozen=True)
class Role:
    """How cells of one kind are drawn.

    A cell is a glyph, or a block of colour where it `fills` its place. Where `style` or `colour` is
    None, the network's confidence decides: from grey, a guess, to blue.
    """

    style: str | None = None  # of the glyph on a terminal, in Rich's words
    colour: Colour | None = None  # of a block, and of a cell that is no more than a dot
    ink: Colour | None = None  # of the glyph on a page; None is the page's own
    fills: bool = False  # the whole place of the cell takes the colour
    joins: bool = False  # a line joins it to its neighbours that join, too


EMPTY = Role("dim", (0x30, 0x36, 0x3D))
FILL_IN_ROLES: Mapping[str, Role] = {"given": Role("bold", (0xB4, 0xBA, 0xC2)), "filled": Role(), "empty": EMPTY}


@dataclass(frozen=True)
class Cell:
    """What one cell of an answer shows."""

    glyph: str  # one letter or digit; empty for a cell with nothing in it
    role: str  # one of the task's roles


class Layout(Enum):
    """How the cells of a board are laid out."""

    GRID = "grid"  # a glyph each, with lines between the boxes
    PATH = "path"  # walls as blocks, and a line through the cells that join
    BLOCKS = "blocks"  # a block of colour each


@dataclass(frozen=True)
class Option:
    """An option of `trm data` that a task adds for its generator or its data sets.

    read     turns what was typed into fields; raises ValueError that says what to write instead.
    metavar  what stands for the value in help; a switch, which has no value, has none.
    """

    flag: str  # --givens
    help: str
    read: Callable[[str], dict[str, Any]]
    short: str = ""  # -g
    metavar: str = ""
    default: str = ""  # in the words of the help
    repeats: bool = False  # may be given more than once
    excludes: str = ""  # the flag of an option that contradicts it


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
    """A kind of puzzle: its sizes and tokens, how it is written, how it is drawn."""

    name: ClassVar[str]
    usual_size: ClassVar[int]  # side of the board that is meant if nothing is said
    published_n: ClassVar[int] = 4  # latent updates in a recursion of the published networks
    has_blanks: ClassVar[bool] = True  # whether puzzles are filled in, so that one can guess
    has_comments: ClassVar[bool] = True  # whether a line that starts with # is one
    rating_starts: ClassVar[tuple[int, ...]] = ()  # of the ranges that ratings are grouped by
    givens_starts: ClassVar[tuple[int, ...]] = ()  # of the ranges that givens are grouped by
    praise: str = "solved"  # what an answer is whose rules hold
    examples: ClassVar[str] = ""  # a few puzzles as `read` takes them, to watch without a file
    data_options: ClassVar[tuple[Option, ...]] = ()  # that it adds to `trm data`
    recipes: ClassVar[Mapping[str, Sections]] = {}  # that it adds to `trm train`; see training/recipes.py
    layout: ClassVar[Layout] = Layout.GRID
    roles: ClassVar[Mapping[str, Role]] = FILL_IN_ROLES  # how each kind of cell is drawn

    @abstractmethod
    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """Yield the puzzles of a text, in order.

        Raises PuzzleError naming source, line, column and remedy where one cannot be right.
        """

    def recognises(self, text: str) -> bool:
        """Whether a text, or the beginning of one, looks like a puzzle of this kind, be it right or wrong.

        Where a task does not say what its puzzles are spelled with: whether the first one can be read.
        """
        try:
            return next(iter(self.read(text.splitlines(), "")), None) is not None
        except PuzzleError:
            return False

    @abstractmethod
    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        """The puzzle in one cell of a table; raises PuzzleError as `read` does."""

    def is_puzzle(self, tokens: Tokens) -> bool:
        """Whether tokens [L] of the vocabulary are a puzzle; if not said, whether it can be read as it is written."""
        try:
            return bool(np.array_equal(self.read_one(self.write(tokens), 1, "").tokens, tokens))
        except PuzzleError:
            return False

    def read_plain(self, texts: list[str]) -> Tokens | None:
        """Many puzzles of one size, [N, L], cells not compared; None where one is spelled as `read_one` alone knows."""
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

    def as_array(self, tokens: Tokens) -> NDArray[Any]:
        """One puzzle or answer [L] as people write it in an array [height, width]; if not said, of letters."""
        height, width, *_ = self.boxes(len(tokens))
        return np.array(list(self.write(tokens))).reshape(height, width)

    @abstractmethod
    def vocab_size(self, num_cells: int) -> int:
        """How many tokens there are on a board of `num_cells` cells, padding included."""

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        """Height and width of a grid of `num_cells` cells, then of one of its boxes; if not said, a square and 1 and 1.

        Raises PuzzleError where no board has so many cells.
        """
        side = isqrt(num_cells)
        if side * side != num_cells:
            raise PuzzleError(f"a board of {self.name} is square; {num_cells} cells are not")
        return side, side, 1, 1

    def size_of_vocabulary(self, vocab_size: int) -> int | None:
        """Side of the board that a network of that vocabulary is for; None where it is not for this task."""
        size = self.usual_size
        return size if self.vocab_size(size * size) == vocab_size else None

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        """What each cell of an answer [L] shows, rule-breaking or not."""
        roles = np.where(puzzle > BLANK, "given", np.where(answer > BLANK, "filled", "empty"))
        letters = zip(self.write(answer), answer, roles.tolist(), strict=True)
        return [Cell(letter if token > BLANK else "", role) for letter, token, role in letters]

    def details(self, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
        """What else the JSON of an answer [L] says; nothing for most tasks."""
        return {}


class Finding(Enum):
    """What counting the solutions of a puzzle found; the count says nothing of what they are."""

    NO_SOLUTION = "no solution exists"
    SEVERAL_SOLUTIONS = "several solutions exist"
    ONE_SOLUTION = "one solution exists, the network did not find it"
    SOME_SOLUTION = "a solution exists, the network did not find it"  # of a puzzle that may have several
    UNKNOWN = "the network found no solution, whether one exists is unknown"

    @property
    def is_hopeless(self) -> bool:
        """Whether the puzzle is at fault, so that further attempts would be in vain."""
        return self in (Finding.NO_SOLUTION, Finding.SEVERAL_SOLUTIONS)


class Rules(ABC):
    """A task whose answers can be checked."""

    def examine(self, puzzle: Tokens, *, seconds: float) -> Finding:
        """Count the solutions of a puzzle [L] that was not solved, as far as `seconds` allow."""
        return Finding.UNKNOWN

    def legal_tokens(self, puzzle: Tokens, vocab_size: int) -> NDArray[np.bool_]:
        """Which tokens may stand in each blank of a puzzle [L] beside what is filled in already, [L, V].

        If a task does not say, every token may. It looks at filled cells only and draws no conclusions.
        """
        return np.ones((len(puzzle), vocab_size), bool)

    @abstractmethod
    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer [N, L] keeps its puzzle's givens and every rule, [N]."""

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer [N, L] keeps the rules of an answer, [N], but for some: a path may be too long."""
        return self.rules_hold(puzzles, answers)

    @abstractmethod
    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        """Every cell of an answer [L] that breaks a rule; empty exactly where the rules hold."""


class Symmetries(ABC):
    """A task whose puzzles can be redrawn so that their rules stay."""

    @abstractmethod
    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
        """`count` random ways to redraw puzzles of `num_cells` cells."""


class Generator(ABC):
    """A task that can make puzzles."""

    @abstractmethod
    def usual(self, size: int) -> Wanted:
        """What the generator is asked for on a board of that side if nothing is said."""

    @abstractmethod
    def generate(self, wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
        """Different puzzles with their answers; the same arguments give the same puzzles.

        size      side of the board.
        progress  called with the number of puzzles done and wanted, as they come.
        Raises UsageError for numbers that do not exist or can hardly be found.
        """


class NoRules(Rules):
    """Of a task that cannot check answers: none is ever verified, none violates a rule."""

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.zeros(len(answers), bool)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        return []


def rules_of(task: Task) -> Rules:
    """What checks the answers of a task."""
    return task if isinstance(task, Rules) else NoRules()


def generator_of(task: Task) -> Generator:
    """What makes puzzles of a task; raises UsageError where nothing does."""
    if not isinstance(task, Generator):
        raise UsageError(f"{task.name}: puzzles of this kind are not generated; give data with --data")
    return task


def board_of(task: Task, num_cells: int) -> dict[str, int]:
    """What an architecture for a task's puzzles of that many cells must say."""
    names = ("height", "width", "box_height", "box_width")
    return {**dict(zip(names, task.boxes(num_cells), strict=True)), "vocab_size": task.vocab_size(num_cells)}


def draw_transforms(task: Task, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
    """`count` random ways to redraw puzzles; where a task has no symmetries, the one that changes nothing."""
    if isinstance(task, Symmetries):
        return task.symmetries(num_cells, count=count, rng=rng)
    return Transforms.identity(num_cells, task.vocab_size(num_cells), count)


def read_range(text: str, example: str) -> tuple[int, int]:
    """Fewest and most, from `24-34` or `30`; raises ValueError where it is neither."""
    least, _, most = text.partition("-")
    if not (least.isdecimal() and (most or least).isdecimal()):
        raise ValueError(f"write a number or a range such as {example}")
    return int(least), int(most or least)
