"""Puzzles from a file or from stdin, all of them checked before any model loads."""

import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import TextIOBase
from itertools import islice
from pathlib import Path

import numpy as np

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks.base import Puzzle, Task, Tokens
from trm_cli.tasks.problems import Demonstrated, Problem
from trm_cli.tasks.tables import open_text


@dataclass(frozen=True)
class PuzzleList:
    """Puzzles of one size from one source: a byte a cell and a number a puzzle."""

    first: Puzzle
    tokens: Tokens  # [count, L]
    lines: "array[int]"  # where each starts

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Puzzle]:
        for row, line in zip(self.tokens, self.lines, strict=True):
            yield replace(self.first, tokens=row, line=line)

    @property
    def num_cells(self) -> int:
        """L, cells of each puzzle."""
        return self.first.tokens.size


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
    first, tokens, lines = None, bytearray(), array("Q")
    for puzzle in coming:
        first = first or puzzle
        if (puzzle.height, puzzle.width) != (first.height, first.width):
            raise PuzzleError(
                f"{puzzle.place}: a {puzzle.height}x{puzzle.width} grid after "
                f"{first.height}x{first.width} ones; give each size a file of its own"
            )
        tokens += puzzle.tokens.tobytes()
        lines.append(puzzle.line)
    if first is None:
        raise PuzzleError(f"{source}: no puzzle in it")
    return PuzzleList(first, np.frombuffer(tokens, np.uint8).reshape(len(lines), -1), lines)


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
    with open_text(None) as text:
        yield text
