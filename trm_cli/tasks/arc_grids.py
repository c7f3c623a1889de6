"""ARC: grids of up to 30x30 in ten colours; a task shows its rule by demonstrations.

    3 0      5 2 1 0 ...     a colour c is the token c + 2; 1 marks the end of each row and column
    0 3      2 5 1 0 ...     (not the corner); 0 is nothing, before the grid and after it
             1 1 0 0 ...
             0 0 0 0 ...

{"train": [{"input": [[0, 7], [7, 7]], "output": [[7]]}, ...], "test": [{"input": [[0, 0]]}]}
{"007bbfb7": {"train": ..., "test": ...}, ...}     many; outputs of tests may stand in a file of
                                                   their own, X_solutions.json beside X_challenges

Layout of the tokens and numbers of the turns as in github.com/SamsungSAILMontreal/
TinyRecursiveModels, so that its checkpoints read what is written here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import FileError, PuzzleError, printable
from trm_cli.schema import checked, parse_json, shown
from trm_cli.tasks.base import PADDING, Tokens
from trm_cli.tasks.problems import Decoded, Grid, Pair, Problem
from trm_cli.tasks.tables import open_text, read_document

SIDE = 30  # of the usual board, and the most that a grid may have
NUM_COLOURS = 10
END = 1
FIRST_COLOUR = 2
VOCAB_SIZE = FIRST_COLOUR + NUM_COLOURS
PLAIN = "0" + "".join(map(str, range(NUM_COLOURS)))  # the digits of the view that changes nothing
CHALLENGES, SOLUTIONS = "_challenges", "_solutions"  # in the names of files that belong together
LONGEST_NAME = 60  # characters of a task's name in a message
SEPARATOR = "|||"  # in the name of an augmented task: 007bbfb7|||t3|||0312456789

TURNS: tuple[Callable[[Grid], Grid], ...] = (
    lambda grid: grid,
    lambda grid: np.rot90(grid, 1),
    lambda grid: np.rot90(grid, 2),
    lambda grid: np.rot90(grid, 3),
    np.fliplr,
    np.flipud,
    lambda grid: grid.T,
    lambda grid: np.fliplr(np.rot90(grid, 1)),
)
TURN_BACK = (0, 3, 2, 1, 4, 5, 6, 7)  # the turn that undoes each


@dataclass(frozen=True)
class ArcView:
    """One way to redraw a problem: a turn or a reflection, and a renaming of its colours."""

    turn: int  # place in TURNS
    colours: Grid  # [10]; colour c becomes colours[c]

    @classmethod
    def plain(cls) -> "ArcView":
        """The view that changes nothing."""
        return cls(0, np.arange(NUM_COLOURS, dtype=np.uint8))

    @classmethod
    def of_digits(cls, digits: NDArray[np.uint8]) -> "ArcView":
        """The view of 11 digits that `are_views` allows: the turn, then the colours."""
        return cls(int(digits[0]), digits[1:])

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> "ArcView":
        """A random view; black stays black."""
        turn = int(rng.randint(0, len(TURNS)))
        return cls(turn, np.append(np.uint8(0), rng.permutation(np.arange(1, NUM_COLOURS, dtype=np.uint8))))

    def name_of(self, problem: str) -> str:
        """What a problem is called in this view."""
        return SEPARATOR.join([problem, f"t{self.turn}", "".join(map(str, self.colours.tolist()))])

    def apply(self, grid: Grid) -> Grid:
        """Redraw a grid."""
        return TURNS[self.turn](self.colours[grid])

    def undo(self, grid: Grid) -> Grid:
        """The grid that `apply` makes this one of."""
        back: Grid = np.argsort(self.colours).astype(np.uint8)
        return back[TURNS[TURN_BACK[self.turn]](grid)]


def are_views(digits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether digits [K, W] are views, as `ArcView.of_digits` takes them, [K]."""
    if digits.shape[1:] != (len(PLAIN),):
        return np.zeros(len(digits), bool)
    renames: NDArray[np.bool_] = (np.sort(digits[:, 1:], axis=1) == np.arange(NUM_COLOURS)).all(1)
    return renames & (digits[:, 0] < len(TURNS))


def encode(grid: Grid, corner: tuple[int, int] = (0, 0), *, side: int = SIDE) -> Tokens:
    """A grid as tokens [side * side], its first cell at a row and column of the board."""
    (top, left), (height, width) = corner, grid.shape
    bottom, right = top + height, left + width
    board = np.full((side, side), PADDING, np.uint8)
    board[top:bottom, left:right] = grid + FIRST_COLOUR
    if bottom < side:
        board[bottom, left:right] = END
    if right < side:
        board[top:bottom, right] = END
    return board.reshape(-1)


def decode(tokens: Tokens) -> Decoded:
    """The largest rectangle of colours at the first cell of a square board [L]."""
    side = isqrt(len(tokens))
    board = tokens.reshape(side, side)
    coloured = (board >= FIRST_COLOUR) & (board < VOCAB_SIZE)
    lengths = np.where(coloured.all(1), side, coloured.argmin(1))  # of colours in each row
    widths = np.minimum.accumulate(lengths)
    height = int((widths * np.arange(1, side + 1)).argmax()) + 1
    width = int(widths[height - 1])
    if not width:
        return Decoded(None, False)
    ends_below = height == side or (board[height, :width] == END).all()
    ends_right = width == side or (board[:height, width] == END).all()
    return Decoded(board[:height, :width] - FIRST_COLOUR, bool(ends_below and ends_right))


def canonical(pair: Pair) -> bytes:
    """The same bytes for a pair and for all its turns and renamings of colours but black."""
    return min(_renumbered(turn(pair[0]), turn(pair[1])) for turn in TURNS)


def _renumbered(first: Grid, second: Grid) -> bytes:
    """A pair whose colours are numbered in the order in which they appear, black being 0."""
    cells = np.concatenate([[0], first.ravel(), second.ravel()])
    colours, places = np.unique(cells, return_index=True)
    ranks = np.empty(NUM_COLOURS, np.uint8)
    ranks[colours[np.argsort(places)]] = np.arange(len(colours))
    return b"".join((bytes(first.shape), bytes(second.shape), ranks[cells[1:]].tobytes()))


def read_problems(path: Path) -> list[Problem]:
    """The tasks of a file, or of every JSON file of a folder, in the order of their names there.

    Raises PuzzleError naming the file, the task and what is wrong with it.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if ".json" in file.suffixes)
        files = [file for file in files if SOLUTIONS not in file.name]
        if not files:
            raise PuzzleError(f"{path}: no JSON file in it; give a folder of ARC tasks")
        return [task for file in files for task in read_problems(file)]
    with open_text(path) as lines:
        tasks = parse_problems(read_document(lines, str(path)), str(path), stem(path))
    beside = path.with_name(path.name.replace(CHALLENGES, SOLUTIONS))
    return _answered(tasks, beside) if beside != path and beside.is_file() else tasks


def stem(path: Path) -> str:
    """The name of a file without .json and .gz."""
    return path.name.removesuffix(".gz").removesuffix(".json")


def parse_problems(text: str, source: str, name: str) -> list[Problem]:
    """The tasks of a JSON text.

    name  of the task, where the text is one task and does not say it.
    """
    known = _json(text, source)
    if isinstance(known, dict) and "train" in known:
        known = {name: known}
    if not isinstance(known, dict) or not known:
        raise PuzzleError(f'{source}: no ARC task; expected an object with "train" and "test"')
    try:
        checked([*known], list[str], "names of tasks")
    except FileError as error:
        raise PuzzleError(f"{source}: {error}; correct the file") from error
    return [_problem(task, value, source) for task, value in known.items()]


def _json(text: str, source: str) -> Any:
    try:
        return parse_json(text)
    except FileError as error:
        raise PuzzleError(f"{source}: {error}; correct the file") from error


def _problem(name: str, known: Any, source: str) -> Problem:
    where = f"{source}: task {printable(name[:LONGEST_NAME])}"
    for part in ("train", "test"):
        if not isinstance(known, dict) or not isinstance(known.get(part), list):
            raise PuzzleError(f'{where}: no list "{part}"; a task has "train" and "test"')
        if not known[part]:
            raise PuzzleError(f'{where}: "{part}" is empty; add a pair')
    shown = [
        (_side(pair, "input", f"{where}, train {number}"), _side(pair, "output", f"{where}, train {number}"))
        for number, pair in enumerate(known["train"], 1)
    ]
    tests, answers = [], []
    for number, pair in enumerate(known["test"], 1):
        tests.append(_side(pair, "input", f"{where}, test {number}"))
        answers.append(_side(pair, "output", f"{where}, test {number}") if "output" in pair else None)
    tests_come_first = next(part for part in known if part in ("train", "test")) == "test"
    return Problem(name, tuple(shown), tuple(tests), tuple(answers), source, tests_come_first)


def _side(pair: Any, side: str, where: str) -> Grid:
    if not isinstance(pair, dict) or side not in pair:
        raise PuzzleError(f'{where}: no "{side}"; add the grid')
    return grid_of(pair[side], f"{where}, {side}")


def grid_of(rows: Any, where: str) -> Grid:
    """A grid from lists of colours; raises PuzzleError where it is none."""
    if not (isinstance(rows, list) and rows and all(isinstance(r, list) and r for r in rows)):
        raise PuzzleError(f"{where}: expected rows of colours, such as [[0, 3], [3, 0]]")
    for number, row in enumerate(rows, 1):
        here = f"{where}, row {number}"
        if len(row) != len(rows[0]):
            raise PuzzleError(f"{here}: {len(row)} cells after rows of {len(rows[0])}; make all rows as long")
        for column, colour in enumerate(row, 1):
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:
                what = f"{shown(colour)} is no colour; colours are 0 to {NUM_COLOURS - 1}"
                raise PuzzleError(f"{here}, column {column}: {what}")
    if len(rows) > SIDE or len(rows[0]) > SIDE:
        raise PuzzleError(f"{where}: {len(rows)}x{len(rows[0])} cells; a grid has at most {SIDE}x{SIDE}")
    return np.array(rows, np.uint8)


def _answered(tasks: list[Problem], path: Path) -> list[Problem]:
    """The tasks with the answers of a file of solutions: a list of grids for each task."""
    with open_text(path) as lines:
        known = _json(read_document(lines, str(path)), str(path))
    found = []
    for task in tasks:
        where, count = f"{path}: task {printable(task.name[:LONGEST_NAME])}", len(task.tests)
        grids = known.get(task.name) if isinstance(known, dict) else None
        if not isinstance(grids, list) or len(grids) != count:
            raise PuzzleError(f"{where}: expected a list of {count} grids, as many as {task.source} has tests")
        answers = [grid_of(grid, f"{where}, test {number}") for number, grid in enumerate(grids, 1)]
        found.append(replace(task, answers=tuple(answers)))
    return found


def as_json(problem: Problem) -> dict[str, Any]:
    """A problem as its file spells it, tests without answers where there are none."""
    train = [{"input": first.tolist(), "output": second.tolist()} for first, second in problem.demonstrations]
    test = [
        {"input": test.tolist()} | ({} if answer is None else {"output": answer.tolist()})
        for test, answer in zip(problem.tests, problem.answers, strict=True)
    ]
    return {"test": test, "train": train} if problem.tests_come_first else {"train": train, "test": test}


def split_names(names: list[str]) -> tuple[list[str], NDArray[np.uint8]]:
    """Of names such as 007bbfb7|||t3|||0312456789: the problem of each, and its view, [P, 11].

    Raises FileError where a name is that of no view.
    """
    problems, digits = [], []
    for name in names:
        problem, _, view = name.partition(SEPARATOR)
        problems.append(problem)
        digits.append(view.removeprefix("t").replace(SEPARATOR, "") or PLAIN)
    strange = next((place for place, view in enumerate(digits) if len(view) != len(PLAIN) or not view.isascii()), None)
    if strange is None:
        whole = (np.frombuffer("".join(digits).encode(), np.uint8) - ord("0")).reshape(len(names), len(PLAIN))
        fits = are_views(whole)
        if fits.all():
            return problems, whole
        strange = int(fits.argmin())
    raise FileError(f"name {strange:,} ({printable(names[strange][:LONGEST_NAME])}) is that of no view")
