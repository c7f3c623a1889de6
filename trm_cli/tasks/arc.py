"""ARC: grids of up to 30x30 in ten colours; each problem shows its rule by demonstrations.

Grids, views and the JSON of problems stand in arc_grids.py, data sets in arc_dataset.py. There are
no rules that an answer could be checked by, and the symmetries are part of the data sets.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks import arc_dataset
from trm_cli.tasks.arc_grids import (
    FIRST_COLOUR,
    NUM_COLOURS,
    SIDE,
    VOCAB_SIZE,
    ArcView,
    decode,
    encode,
    parse_problems,
    read_problems,
    side_of,
    split_names,
)
from trm_cli.tasks.base import EMPTY, PADDING, Cell, Layout, Option, Progress, Puzzle, Role, Rules, Tokens, Violation
from trm_cli.tasks.problems import Decoded, Demonstrated, Grid, Problem, ProblemData, ProblemPart, ProblemSize, View

INKS = (  # of the colours 0 to 9, as the official viewer draws them
    (0x00, 0x00, 0x00),
    (0x00, 0x74, 0xD9),
    (0xFF, 0x41, 0x36),
    (0x2E, 0xCC, 0x40),
    (0xFF, 0xDC, 0x00),
    (0xAA, 0xAA, 0xAA),
    (0xF0, 0x12, 0xBE),
    (0xFF, 0x85, 0x1B),
    (0x7F, 0xDB, 0xFF),
    (0x87, 0x0C, 0x25),
)
COLOUR_ROLES = tuple(f"colour{number}" for number in range(NUM_COLOURS))

ROLES = {**{role: Role(None, ink, fills=True) for role, ink in zip(COLOUR_ROLES, INKS, strict=True)}, "empty": EMPTY}


def _read_whole(name: str, least: int, most: int, text: str) -> dict[str, Any]:
    if not (text.isdecimal() and least <= int(text) <= most):
        raise ValueError(f"write a whole number from {least:,} to {most:,}")
    return {name: int(text)}


DATA_OPTIONS = (
    Option(
        "--evaluation",
        "One of the sources, or one more, of evaluation tasks: only their demonstrations are trained on. "
        "May be repeated.",
        lambda text: {"evaluation": [Path(text)]},
        short="-e",
        metavar="SOURCE",
        default="none",
        repeats=True,
    ),
    Option(
        "--augment",
        "Views of each task at most, beside the plain one: turned, reflected, colours renamed.",
        partial(_read_whole, "augmentations", 0, 100_000),
        metavar="N",
        default="1000",
    ),
    Option(
        "--limit",
        "Take the first tasks of each source.",
        partial(_read_whole, "limit", 1, 10**9),
        metavar="N",
        default="all",
    ),
    Option(
        "--board",
        "Cells across and down; tasks with larger grids are left out. Smaller boards are learned faster.",
        partial(_read_whole, "side", 1, SIDE),
        metavar="SIDE",
        default="30",
    ),
    Option(
        "--keep-leaks",
        "Train also on pairs that an evaluation task asks for, where another task has them; the official builder does.",
        lambda _: {"keep_leaks": True},
    ),
)


class Arc(Demonstrated, Rules):
    """Grids of up to 30x30 in ten colours, on a square board.

    answers  of tests whose answers are known, by their boards: what these are judged by. Of all
             others no more can be said than that a grid is whole.
    """

    name = "arc"
    usual_size = SIDE
    usual_seed = 42  # the official builder's
    has_blanks = False
    has_comments = False
    data_options = DATA_OPTIONS
    layout = Layout.BLOCKS
    roles = ROLES

    def __init__(self, side: int = SIDE, answers: dict[bytes, Tokens] | None = None) -> None:
        self.side = side
        self.answers = answers or {}
        self.praise = "solved" if answers else "a whole grid"

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """The tests of the problems in a JSON text."""
        problems = self.parse_problems("".join(lines), source, "task")
        return (puzzle for problem in problems for puzzle in self.tests_of(problem, self.side))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return next(iter(self.read([text], f"{source}:{line}")))

    def write(self, tokens: Tokens) -> str:
        grid = decode(tokens).grid
        return json.dumps(None if grid is None else grid.tolist())

    def vocab_size(self, num_cells: int) -> int:
        return VOCAB_SIZE

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = side_of(num_cells)
        if side * side != num_cells:
            raise PuzzleError(f"an ARC board is square; {num_cells} cells are not")
        return (side, side, 1, 1)

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        """Digit and colour of each cell of the grid at the first cell; without one, of all that have a colour."""
        side, grid = side_of(len(answer)), decode(answer).grid
        inside = (answer >= FIRST_COLOUR).reshape(side, side)
        if grid is not None:
            inside = np.zeros((side, side), bool)
            inside[: grid.shape[0], : grid.shape[1]] = True
        return [
            Cell(str(token - FIRST_COLOUR), COLOUR_ROLES[token - FIRST_COLOUR]) if is_inside else Cell("", "empty")
            for token, is_inside in zip(answer.tolist(), inside.ravel().tolist(), strict=True)
        ]

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer is the known one, or else a grid with all its end markers, [N]."""
        pairs = zip(puzzles, answers, strict=True)
        return np.array([not self.violations(puzzle, answer) for puzzle, answer in pairs], bool)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        known = self.answers.get(puzzle.tobytes())
        if known is not None:
            side = side_of(len(known))
            wrong = np.flatnonzero((known != PADDING) & (answer != known)).tolist()
            return [Violation(cell // side + 1, cell % side + 1, "not as the file's answer") for cell in wrong]
        if decode(answer).is_whole:
            return []
        return [Violation(1, 1, "no grid with end markers at its rows and columns begins here")]

    def read_problems(self, path: Path) -> list[Problem]:
        return read_problems(path)

    def parse_problems(self, text: str, source: str, name: str) -> list[Problem]:
        return parse_problems(text, source, name)

    def encode(self, grid: Grid, *, side: int) -> Tokens:
        return encode(grid, side=side)

    def decode(self, tokens: Tokens) -> Decoded:
        return decode(tokens)

    def views_of(self, digits: NDArray[np.uint8]) -> list[View]:
        return [ArcView.of_digits(view) for view in digits]

    def split_names(self, names: list[str]) -> tuple[list[str], NDArray[np.uint8]]:
        return split_names(names)

    def judged_by_answers(self, problem: Problem, side: int) -> "Arc":
        answers = {
            encode(test, side=side).tobytes(): encode(answer, side=side)
            for test, answer in zip(problem.tests, problem.answers, strict=True)
            if answer is not None
        }
        return Arc(side, answers if len(answers) == len(problem.tests) else None)

    def tests_of(self, problem: Problem, side: int) -> list[Puzzle]:
        return [
            Puzzle(encode(test, side=side), side, side, problem.source, number)
            for number, test in enumerate(problem.tests, 1)
        ]

    def draw_views(self, problem: Problem, *, views: int, seed: int, side: int) -> tuple[ProblemPart, list[View]]:
        return arc_dataset.draw_views(problem, augmentations=views, seed=seed, side=side)

    def build_data(
        self,
        sources: list[Path],
        folder: Path,
        options: Mapping[str, Any],
        *,
        seed: int,
        progress: Progress | None = None,
    ) -> str:
        return arc_dataset.build_from_files(sources, folder, **options, seed=seed, progress=progress)

    def open_data(self, folder: Path) -> ProblemData:
        return arc_dataset.open_data(folder)

    def measure_data(self, folder: Path) -> ProblemSize:
        return arc_dataset.measure_data(folder)
