"""Puzzles from a file or from stdin, all of them checked before any model loads."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task
from trm_cli.tasks.datasets import open_text


class PuzzleList:
    """Puzzles of one size, kept as bytes: about a hundred of them a puzzle."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.num_cells = height * width
        self._tokens = bytearray()
        self._places: list[str] = []

    def append(self, puzzle: Puzzle) -> None:
        """Add a puzzle; raises PuzzleError if it is of another size."""
        if (puzzle.height, puzzle.width) != (self.height, self.width):
            raise PuzzleError(
                f"{puzzle.place}: a {puzzle.height}x{puzzle.width} grid after "
                f"{self.height}x{self.width} ones; give each size a file of its own"
            )
        self._tokens += puzzle.tokens.tobytes()
        self._places.append(puzzle.place)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Puzzle]:
        tokens = np.frombuffer(bytes(self._tokens), np.uint8).reshape(-1, self.num_cells)
        for row, place in zip(tokens, self._places, strict=True):
            yield Puzzle(row, self.height, self.width, place)


def read_puzzles(task_name: str, file: Path | None) -> tuple[Task, PuzzleList]:
    """Read and check every puzzle of a file or of stdin.

    Raises PuzzleError or UsageError with what is wrong, where, and what to do.
    """
    task = get_task(task_name)
    if file is None or str(file) == "-":
        return task, _collect(task, _stdin(file is None), "stdin")
    with open_text(file) as text:
        return task, _collect(task, text, str(file))


def _collect(task: Task, lines: io.TextIOBase, source: str) -> PuzzleList:
    puzzles = None
    for puzzle in task.read(lines, source):
        if puzzles is None:
            puzzles = PuzzleList(puzzle.height, puzzle.width)
        puzzles.append(puzzle)
    if puzzles is None:
        raise PuzzleError(f"{source}: no puzzle in it")
    return puzzles


def _stdin(unasked: bool) -> io.TextIOBase:
    if unasked and sys.stdin.isatty():
        raise UsageError("no puzzles: give a file, or - to type them in (end with Ctrl-D)")
    return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
