"""Puzzles from a file or from stdin, all of them checked before any model loads."""

import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOBase
from itertools import islice
from pathlib import Path

import numpy as np

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks.base import Puzzle, Task
from trm_cli.tasks.problems import Demonstrated, Problem
from trm_cli.tasks.tables import as_text, open_text, translated


class PuzzleList:
    """Puzzles of one size from one source: a byte a cell and a number a puzzle."""

    def __init__(self, first: Puzzle) -> None:
        self.height, self.width = first.height, first.width
        self.num_cells = self.height * self.width
        self.source = first.source
        self._tokens = bytearray()
        self._lines = array("Q")

    def append(self, puzzle: Puzzle) -> None:
        """Add a puzzle; raises PuzzleError if it is of another size."""
        if (puzzle.height, puzzle.width) != (self.height, self.width):
            raise PuzzleError(
                f"{puzzle.place}: a {puzzle.height}x{puzzle.width} grid after "
                f"{self.height}x{self.width} ones; give each size a file of its own"
            )
        self._tokens += puzzle.tokens.tobytes()
        self._lines.append(puzzle.line)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Puzzle]:
        tokens = np.frombuffer(bytes(self._tokens), np.uint8).reshape(-1, self.num_cells)
        for row, line in zip(tokens, self._lines, strict=True):
            yield Puzzle(row, self.height, self.width, self.source, line)


def read_puzzles(task: Task, file: Path | None) -> PuzzleList:
    """Read and check every puzzle of a file or of stdin.

    Raises PuzzleError or UsageError with what is wrong, where, and what to do.
    """
    if file is not None and str(file) != "-":
        with open_text(file) as text:
            return _collect(task.read(text, str(file)), str(file))
    with _stdin(file) as text:
        return _collect(task.read(text, "stdin"), "stdin")


def read_example(task: Task, count: int) -> PuzzleList:
    """The first puzzles of those that come with the task; raises UsageError where none do."""
    if not task.examples:
        raise UsageError(f"no {task.name} comes with trm: give a file of puzzles")
    return _collect(islice(task.read(task.examples.splitlines(), "example"), count), "example")


def _collect(coming: Iterable[Puzzle], source: str) -> PuzzleList:
    puzzles = None
    for puzzle in coming:
        puzzles = puzzles or PuzzleList(puzzle)
        puzzles.append(puzzle)
    if puzzles is None:
        raise PuzzleError(f"{source}: no puzzle in it")
    return puzzles


def read_problems(task: Demonstrated, file: Path | None) -> list[Problem]:
    """The problems of a file, or of stdin; raises PuzzleError where they are none."""
    if file is not None and str(file) != "-":
        return task.read_problems(file)
    with _stdin(file) as text:
        return task.parse_problems(text.read(), "stdin", "stdin")


@contextmanager
def _stdin(file: Path | None) -> Iterator[TextIOBase]:
    """What is piped in; raises UsageError where nothing is, and no dash asks for typing."""
    if sys.stdin is None or (file is None and sys.stdin.isatty()):
        raise UsageError("no puzzles: give a file, or - to type them in (end with Ctrl-D)")
    with translated("stdin"), as_text(sys.stdin.buffer) as text:  # type: ignore[arg-type] # buffered
        yield text
