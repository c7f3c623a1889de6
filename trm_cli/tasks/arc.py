"""ARC as a task among the others: what training and networks must know of its boards.

ARC has no rules that an answer could be checked by, and its symmetries are part of its data sets
(arc_builder.py); how its tasks are read is told by arc_files.py and arc_grid.py.
"""

import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.arc_files import ArcTask, parse_tasks
from trm_cli.tasks.arc_grid import SIDE, VOCAB_SIZE, decode, encode, side_of
from trm_cli.tasks.base import (
    PADDING,
    Dataset,
    Puzzle,
    Seed,
    Symmetries,
    Task,
    Tokens,
    Violation,
    Wanted,
)

NOT_MADE = "arc: tasks are not generated; give --data FOLDER, made by `trm data arc`"


class Arc(Task):
    """Grids of up to 30x30 in ten colours, on a square board.

    answers  of tests whose answers are known, by their boards: what these are judged by. Of all
             others no more can be said than that a grid is whole.
    """

    name = "arc"
    usual_size = SIDE
    has_blanks = False
    has_comments = False

    def __init__(self, side: int = SIDE, answers: dict[bytes, Tokens] | None = None) -> None:
        self.side = side
        self.answers = answers or {}
        self.praise = "solved" if answers else "a whole grid"

    @classmethod
    def of(cls, task: ArcTask, side: int) -> "Arc":
        """What judges the tests of one task; all of its answers are known, or none counts."""
        answers = {
            encode(test, side=side).tobytes(): encode(answer, side=side)
            for test, answer in zip(task.tests, task.answers, strict=True) if answer is not None
        }  # fmt: skip
        return cls(side, answers if len(answers) == len(task.tests) else None)

    def tests_of(self, task: ArcTask) -> list[Puzzle]:
        """The tests of a task, on boards."""
        return [Puzzle(encode(test, side=self.side), self.side, self.side, task.source, number)
                for number, test in enumerate(task.tests, 1)]  # fmt: skip

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """The tests of the tasks in a JSON text."""
        tasks = parse_tasks("".join(lines), source, "task")
        return (puzzle for task in tasks for puzzle in self.tests_of(task))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return next(iter(self.read([text], f"{source}:{line}")))

    def write(self, tokens: Tokens) -> str:
        grid = decode(tokens).grid
        return json.dumps(None if grid is None else grid.tolist())

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer is the known one, or else a grid with all its end markers, [N]."""
        pairs = zip(puzzles, answers, strict=True)
        return np.array([not self.violations(puzzle, answer) for puzzle, answer in pairs], bool)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        known = self.answers.get(puzzle.tobytes())
        if known is not None:
            side = side_of(len(known))
            wrong = np.flatnonzero((known != PADDING) & (answer != known)).tolist()
            return [Violation(cell // side + 1, cell % side + 1, "not as the file's answer")
                    for cell in wrong]  # fmt: skip
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
