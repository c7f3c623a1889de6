"""Problems: puzzles that share a rule which is shown by demonstrations, not known in advance.

A network knows a problem by rows of a table that were trained on its demonstrations: one row for
each view, a way to redraw the problem. No rules decide whether an answer is right, so a test is
looked at in all views and the answers are put to a vote.
Shapes: E examples, P puzzles (a problem in one view), G problems, L cells, W digits of a view.
"""

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.base import Progress, Puzzle, Task, Tokens

Grid = NDArray[np.uint8]  # [height, width] colours
Pair = tuple[Grid, Grid]  # input and output

TRAIN, TEST = "train", "test"  # parts of a data set
INDICES = ("puzzle_identifiers", "puzzle_indices", "group_indices")


def key(grid: Grid) -> bytes:
    """The same bytes for equal grids, others for others."""
    return bytes(grid.shape) + grid.tobytes()


def refuse_unchecked(task: Task, checks: bool) -> None:
    """Raise UsageError where someone asks for no count of solutions, and nothing is counted anyway."""
    if not checks:
        raise UsageError(f"--no-check: answers to {task.name} are voted on, no solutions are counted; drop it")


def refuse_learning(task: Task, adapt: int | None, augment: int | None, train_network: bool) -> None:
    """Raise UsageError where puzzles that need no learning are to be learned."""
    for flag, typed in (("--adapt", adapt), ("--augment", augment), ("--train-network", train_network or None)):
        if typed is not None:
            raise UsageError(f"{flag}: {task.name} needs no learning before it is solved; drop it")


class View(Protocol):
    """A way to redraw the grids of a problem."""

    def apply(self, grid: Grid) -> Grid:
        """Redraw a grid."""

    def undo(self, grid: Grid) -> Grid:
        """The grid that `apply` makes this one of."""


@dataclass(frozen=True)
class Decoded:
    """A grid read off a board."""

    grid: Grid | None  # None where the first cell holds no colour
    is_whole: bool  # whether end markers stand at each of its rows and columns, as they should


@dataclass(frozen=True)
class Problem:
    """Pairs that show a rule, and inputs to which the rule is to be applied."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Grid, ...]
    answers: tuple[Grid | None, ...]  # one for each test; None where the file does not say
    source: str  # the file
    tests_come_first: bool = False  # in the file

    @property
    def answered(self) -> list[Pair]:
        """The tests whose answers are known."""
        pairs = zip(self.tests, self.answers, strict=True)
        return [(test, answer) for test, answer in pairs if answer is not None]

    @property
    def largest(self) -> int:
        """The longest side of its grids, in cells."""
        grids = chain(self.tests, *self.demonstrations, *self.answered)
        return max(int(max(grid.shape)) for grid in grids)

    def without_answers(self) -> "Problem":
        """The same problem, as one who has to solve it sees it."""
        return replace(self, answers=(None,) * len(self.tests))

    @property
    def digest(self) -> str:
        """SHA-256 of the demonstrations, in hexadecimal: what a network can know of the problem."""
        whole = b"".join(key(grid) for pair in self.demonstrations for grid in pair)
        return hashlib.sha256(whole).hexdigest()


@dataclass(frozen=True)
class ProblemPart:
    """One part of a data set; inputs and labels may stay on the disk until they are looked at."""

    inputs: Tokens  # [E, L]
    labels: Tokens  # [E, L]
    puzzle_identifiers: NDArray[np.int32]  # [P] rows of the table
    puzzle_indices: NDArray[np.int32]  # [P+1] where the examples of each puzzle begin
    group_indices: NDArray[np.int32]  # [G+1] where the puzzles of each problem begin: plain, then redrawn

    def puzzles_of_examples(self) -> NDArray[np.int64]:
        """The place of each example's puzzle, [E]."""
        counts = np.diff(self.puzzle_indices)
        return np.repeat(np.arange(len(counts)), counts)


@dataclass(frozen=True)
class ProblemData:
    """A data set as it lies in its folder."""

    folder: Path
    train: ProblemPart
    test: ProblemPart | None  # of evaluation problems
    names: list[str]  # of the rows; the first is nobody's
    tests: list[Problem]  # the evaluation problems
    facts: dict[str, Any]  # how it was made; empty where another builder wrote the folder

    @property
    def side(self) -> int:
        """Of its boards."""
        return math.isqrt(self.train.inputs.shape[1])

    @property
    def sha256(self) -> str:
        """Of the training arrays; of another builder's folder, of its index arrays alone."""
        known = self.facts.get("sha256", {}).get(TRAIN)
        indices = (getattr(self.train, name).tobytes() for name in INDICES)
        return str(known or hashlib.sha256(b"".join(indices)).hexdigest())


class Demonstrated(Task):
    """A task whose puzzles come in problems; a network learns each from its demonstrations."""

    usual_seed: ClassVar[int] = 0  # that data sets are built with if nothing is said

    @abstractmethod
    def read_problems(self, path: Path) -> list[Problem]:
        """The problems of a file or folder; raises PuzzleError naming the file and what is wrong."""

    @abstractmethod
    def parse_problems(self, text: str, source: str, name: str) -> list[Problem]:
        """The problems of a text; `name` is for the one that does not say its own."""

    @abstractmethod
    def encode(self, grid: Grid, *, side: int) -> Tokens:
        """A grid as tokens [side * side]."""

    @abstractmethod
    def decode(self, tokens: Tokens) -> Decoded:
        """The grid on a board [L]."""

    @abstractmethod
    def views_of(self, digits: NDArray[np.uint8]) -> list[View]:
        """Views from their digits [K, W], as a table of puzzles keeps them; raises FileError where they are none."""

    @abstractmethod
    def split_names(self, names: list[str]) -> tuple[list[str], NDArray[np.uint8]]:
        """Of the names of a table's rows [P]: the problem that each is of, and its view, [P, W].

        Raises FileError where a name says nothing of the kind.
        """

    @abstractmethod
    def judged_by_answers(self, problem: Problem, side: int) -> Task:
        """The task for one problem alone: where all its answers are known, they are its rules."""

    def tests_of(self, problem: Problem, side: int) -> list[Puzzle]:
        """The tests of a problem, on boards."""
        boards = [self.encode(test, side=side) for test in problem.tests]
        return [Puzzle(board, side, side, problem.source, number) for number, board in enumerate(boards, 1)]

    @abstractmethod
    def draw_views(self, problem: Problem, *, views: int, seed: int, side: int) -> tuple[ProblemPart, list[View]]:
        """Demonstrations in the plain view and up to `views` drawn ones, to learn them; and the views."""

    @abstractmethod
    def build_data(
        self, sources: list[Path], folder: Path, options: Mapping[str, Any], *, seed: int, progress: Progress
    ) -> str:
        """Write the data set of files of problems into a new folder; returns what it holds, in words.

        options  by name, as the task's `data_options` read them.
        Raises UsageError where nothing is left to train on.
        """

    @abstractmethod
    def open_data(self, folder: Path) -> ProblemData:
        """Open a data set; raises UsageError where the folder holds none, or a damaged one."""

    @abstractmethod
    def measure_data(self, folder: Path) -> tuple[int, int]:
        """Rows of a data set's table and side of its boards: what an architecture must know of it."""
