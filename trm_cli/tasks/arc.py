"""ARC as a task among the others: what training and networks must know of its boards.

ARC has no rules that an answer could be checked by, and its symmetries are part of its data sets
(arc_builder.py); how its tasks are read, learned and answered is told by the files beside this one.
"""

import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.arc_files import parse_tasks
from trm_cli.tasks.arc_grid import SIDE, VOCAB_SIZE, decode, encode, side_of
from trm_cli.tasks.base import Dataset, Puzzle, Seed, Symmetries, Task, Tokens, Violation, Wanted

NOT_MADE = "arc: tasks are not generated; give --data FOLDER, made by `trm data arc`"


class Arc(Task):
    """Grids of up to 30x30 in ten colours, on a square board."""

    name = "arc"
    usual_size = SIDE
    has_blanks = False
    has_comments = False

    def __init__(self, side: int = SIDE) -> None:
        self.side = side

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """The tests of the tasks in a JSON text."""
        return (
            Puzzle(encode(test, side=self.side), self.side, self.side, source, 1)
            for task in parse_tasks("".join(lines), source, "task") for test in task.tests
        )  # fmt: skip

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return next(iter(self.read([text], f"{source}:{line}")))

    def write(self, tokens: Tokens) -> str:
        grid = decode(tokens).grid
        return json.dumps(None if grid is None else grid.tolist())

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer is a grid with all its end markers: no more can be said of it."""
        return np.array([decode(answer).is_whole for answer in answers], bool)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        if decode(answer).is_whole:
            return []
        return [Violation(1, 1, "no grid with end markers at its rows and columns begins here")]

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Symmetries:
        """The one that changes nothing: tasks are redrawn when a data set is made."""
        cells = np.tile(np.arange(num_cells), (count, 1))
        return Symmetries(cells, np.tile(np.arange(VOCAB_SIZE, dtype=np.uint8), (count, 1)))

    def usual(self, size: int) -> Wanted:
        raise UsageError(NOT_MADE)

    def generate(self, wanted: Wanted, *, size: int, seed: Seed,
                 progress: Callable[[int, int], None] | None = None) -> Dataset:  # fmt: skip
        raise UsageError(NOT_MADE)

    def vocab_size(self, num_cells: int) -> int:
        return VOCAB_SIZE

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = side_of(num_cells)
        if side * side != num_cells:
            raise UsageError(f"an ARC board is square; {num_cells} cells are not")
        return (side, side, 1, 1)
