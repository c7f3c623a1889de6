"""ARC: grids of up to 30x30 in ten colours; each problem shows its rule by demonstrations.

Grids, views and the JSON of problems stand in arc_grids.py, data sets in arc_dataset.py. There are
no rules that an answer could be checked by, and the symmetries are part of the data sets.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import FileError
from trm_cli.tasks import arc_dataset, arc_grids
from trm_cli.tasks.arc_grids import FIRST_COLOUR, SIDE, ArcView, decode, encode
from trm_cli.tasks.base import EMPTY, PADDING, Cell, Layout, Option, Progress, Puzzle, Role, Rules, Tokens, Violation
from trm_cli.tasks.problems import Demonstrated, Problem, View

# Of the colours 0 to 9, as the official viewer draws them.
HEX = "000000 0074D9 FF4136 2ECC40 FFDC00 AAAAAA F012BE FF851B 7FDBFF 870C25"
INKS = tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, HEX.split()))
COLOUR_ROLES = tuple(f"colour{number}" for number in range(len(INKS)))
ROLES = {**{role: Role(None, ink, fills=True) for role, ink in zip(COLOUR_ROLES, INKS, strict=True)}, "empty": EMPTY}


def _whole(name: str, least: int, most: int, text: str) -> dict[str, Any]:
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
        partial(_whole, "augmentations", 0, 100_000),
        metavar="N",
        default="1000",
    ),
    Option(
        "--limit",
        "Take the first tasks of each source.",
        partial(_whole, "limit", 1, 10**9),
        metavar="N",
        default="all",
    ),
    Option(
        "--board",
        "Cells across and down; tasks with larger grids are left out. Smaller boards are learned faster.",
        partial(_whole, "side", 1, SIDE),
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

    read_problems = staticmethod(arc_grids.read_problems)
    parse_problems = staticmethod(arc_grids.parse_problems)
    split_names = staticmethod(arc_grids.split_names)
    encode = staticmethod(encode)
    decode = staticmethod(decode)
    draw_views = staticmethod(arc_dataset.draw_views)
    open_data = staticmethod(arc_dataset.open_data)
    measure_data = staticmethod(arc_dataset.measure_data)

    def __init__(self, side: int = SIDE, answers: dict[bytes, Tokens] | None = None) -> None:
        self.side = side
        self.answers = answers or {}
        self.praise = "solved" if answers else "well-formed"

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        """The tests of the problems in a JSON text."""
        problems = self.parse_problems("".join(lines), source, "task")
        return (puzzle for problem in problems for puzzle in self.tests_of(problem, self.side))

    def recognises(self, text: str) -> bool:
        return text.lstrip().startswith("{") and '"train"' in text

    def as_array(self, tokens: Tokens) -> NDArray[Any]:
        """The colours of the grid at the first cell; empty, [0, 0], without one."""
        grid = decode(tokens).grid
        return np.zeros((0, 0), np.uint8) if grid is None else grid

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return next(iter(self.read([text], f"{source}:{line}")))

    def is_puzzle(self, tokens: Tokens) -> bool:
        grid, side = decode(tokens).grid, isqrt(len(tokens))
        return grid is not None and side <= SIDE and np.array_equal(encode(grid, side=side), tokens)

    def write(self, tokens: Tokens) -> str:
        grid = decode(tokens).grid
        return json.dumps(None if grid is None else grid.tolist())

    def vocab_size(self, num_cells: int) -> int:
        return arc_grids.VOCAB_SIZE

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        """Digit and colour of each cell of the grid at the first cell; without one, of all that have a colour."""
        side, grid = isqrt(len(answer)), decode(answer).grid
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
            side = isqrt(len(known))
            wrong = np.flatnonzero((known != PADDING) & (answer != known)).tolist()
            return [Violation(cell // side + 1, cell % side + 1, "not as the file's answer") for cell in wrong]
        if decode(answer).is_whole:
            return []
        return [Violation(1, 1, "no grid with end markers at its rows and columns begins here")]

    def views_of(self, digits: NDArray[np.uint8]) -> list[View]:
        if not arc_grids.are_views(digits).all():
            raise FileError("views that are no turn and colours")
        return [ArcView.of_digits(view) for view in digits]

    def judged_by_answers(self, problem: Problem, side: int) -> "Arc":
        boards = ([encode(grid, side=side) for grid in pair] for pair in problem.answered)
        answers = {test.tobytes(): answer for test, answer in boards}
        return Arc(side, answers if len(answers) == len(problem.tests) else None)

    def build_data(
        self, sources: list[Path], folder: Path, options: Mapping[str, Any], *, seed: int, progress: Progress
    ) -> str:
        return arc_dataset.build_from_files(sources, folder, **options, seed=seed, progress=progress)
