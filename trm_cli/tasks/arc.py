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

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks.base import PADDING, Dataset, Puzzle, Seed, Symmetries, Task, Tokens, Violation, Wanted
from trm_cli.tasks.tables import open_text

Grid = NDArray[np.uint8]  # [height, width] colours 0 to 9
Pair = tuple[Grid, Grid]  # input and output

SIDE = 30  # of the usual board, and the most that a grid may have
NUM_COLOURS = 10
END = 1
FIRST_COLOUR = 2
VOCAB_SIZE = FIRST_COLOUR + NUM_COLOURS
NUM_TURNS = 8
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
class Way:
    """One way to redraw a task: a turn or a reflection, and a renaming of its colours."""

    turn: int  # place in TURNS
    colours: Grid  # [10]; colour c becomes colours[c]

    @classmethod
    def plain(cls) -> "Way":
        """The way that changes nothing."""
        return cls(0, np.arange(NUM_COLOURS, dtype=np.uint8))

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> "Way":
        """A random way; black stays black."""
        turn = int(rng.randint(0, NUM_TURNS))
        others = rng.permutation(np.arange(1, NUM_COLOURS, dtype=np.uint8))
        return cls(turn, np.concatenate([np.zeros(1, np.uint8), others]))

    @classmethod
    def of_name(cls, name: str) -> tuple[str, "Way"]:
        """A task's own name, and the way in which the task of that whole name is redrawn."""
        if SEPARATOR not in name:
            return name, cls.plain()
        task, turn, colours = name.split(SEPARATOR)
        return task, cls(int(turn[1:]), np.array([int(colour) for colour in colours], np.uint8))

    def name_of(self, task: str) -> str:
        """What a task is called when it is redrawn in this way."""
        return SEPARATOR.join([task, f"t{self.turn}", "".join(map(str, self.colours.tolist()))])

    def apply(self, grid: Grid) -> Grid:
        """Redraw a grid."""
        return TURNS[self.turn](self.colours[grid])

    def undo(self, grid: Grid) -> Grid:
        """The grid that `apply` makes this one of."""
        back: Grid = np.argsort(self.colours).astype(np.uint8)
        return back[TURNS[TURN_BACK[self.turn]](grid)]


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


def side_of(num_cells: int) -> int:
    """The side of a square board of that many cells."""
    return math.isqrt(num_cells)


@dataclass(frozen=True)
class Decoded:
    """A grid read off a board."""

    grid: Grid | None  # None where the first cell holds no colour
    is_whole: bool  # whether end markers stand at each of its rows and columns, as they should


def decode(tokens: Tokens) -> Decoded:
    """The largest rectangle of colours at the first cell of a square board [L]."""
    side = side_of(len(tokens))
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


def key(grid: Grid) -> bytes:
    """The same bytes for equal grids, others for others."""
    return bytes(grid.shape) + grid.tobytes()


def canonical(pair: Pair) -> bytes:
    """The same bytes for a pair and for all its turns and renamings of colours but black."""
    return min(_renumbered(TURNS[turn](pair[0]), TURNS[turn](pair[1])) for turn in range(NUM_TURNS))


def _renumbered(first: Grid, second: Grid) -> bytes:
    """A pair whose colours are numbered in the order in which they appear."""
    cells = np.concatenate([first.ravel(), second.ravel()])
    colours, places = np.unique(cells, return_index=True)
    places = np.where(colours == 0, -1, places)  # black comes first, if it is there
    ranks = np.empty(NUM_COLOURS, np.uint8)
    ranks[colours[np.argsort(places)]] = np.arange(len(colours)) + (0 not in colours)
    renumbered: bytes = ranks[cells].tobytes()
    return bytes(first.shape) + bytes(second.shape) + renumbered


CHALLENGES, SOLUTIONS = "_challenges", "_solutions"
SUFFIXES = (".gz", ".json")


@dataclass(frozen=True)
class ArcTask:
    """One task: pairs that show its rule, and inputs to which the rule is to be applied."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Grid, ...]
    answers: tuple[Grid | None, ...]  # one for each test; None where the file does not say
    source: str  # the file
    tests_come_first: bool = False  # in the file

    @property
    def largest(self) -> int:
        """The longest side of its grids, in cells."""
        given = [grid for pair in self.demonstrations for grid in pair]
        known = [answer for answer in self.answers if answer is not None]
        return max(int(max(grid.shape)) for grid in [*given, *self.tests, *known])

    def without_answers(self) -> "ArcTask":
        """The same task, as one who has to solve it sees it."""
        return replace(self, answers=(None,) * len(self.tests))

    @property
    def digest(self) -> str:
        """SHA-256 of the demonstrations, in hexadecimal: what a network can know of the task."""
        whole = b"".join(key(grid) for pair in self.demonstrations for grid in pair)
        return hashlib.sha256(whole).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The task as its file spells it, tests without answers where there are none."""
        train = [{"input": a.tolist(), "output": b.tolist()} for a, b in self.demonstrations]
        test = [
            {"input": test.tolist()} | ({} if answer is None else {"output": answer.tolist()})
            for test, answer in zip(self.tests, self.answers, strict=True)
        ]
        if self.tests_come_first:
            return {"test": test, "train": train}
        return {"train": train, "test": test}


def read_tasks(path: Path) -> list[ArcTask]:
    """The tasks of a file, or of every JSON file of a folder, in the order of their names there.

    Raises PuzzleError naming the file, the task and what is wrong with it.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if ".json" in file.suffixes)
        files = [file for file in files if SOLUTIONS not in file.name]
        if not files:
            raise PuzzleError(f"{path}: no JSON file in it; give a folder of ARC tasks")
        return [task for file in files for task in read_tasks(file)]
    with open_text(path) as text:
        tasks = parse_tasks(text.read(), str(path), stem(path))
    beside = path.with_name(path.name.replace(CHALLENGES, SOLUTIONS))
    return _answered(tasks, beside) if beside != path and beside.is_file() else tasks


def stem(path: Path) -> str:
    """The name of a file without .json and .gz."""
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def parse_tasks(text: str, source: str, name: str) -> list[ArcTask]:
    """The tasks of a JSON text.

    name  of the task, where the text is one task and does not say it.
    """
    known = _json(text, source)
    if isinstance(known, dict) and "train" in known:
        known = {name: known}
    if not isinstance(known, dict) or not known:
        raise PuzzleError(f'{source}: no ARC task; expected an object with "train" and "test"')
    return [_task(task, value, source) for task, value in known.items()]


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PuzzleError(f"{source}: not JSON ({error}); correct the file") from error


def _task(name: str, known: Any, source: str) -> ArcTask:
    where = f"{source}: task {name}"
    for part in ("train", "test"):
        if not isinstance(known, dict) or not isinstance(known.get(part), list):
            raise PuzzleError(f'{where}: no list "{part}"; a task has "train" and "test"')
        if not known[part]:
            raise PuzzleError(f'{where}: "{part}" is empty; add a pair')
    pairs = []
    for number, pair in enumerate(known["train"], 1):
        here = f"{where}, train {number}"
        pairs.append((_side(pair, "input", here), _side(pair, "output", here)))
    tests, answers = [], []
    for number, pair in enumerate(known["test"], 1):
        here = f"{where}, test {number}"
        tests.append(_side(pair, "input", here))
        answers.append(_side(pair, "output", here) if "output" in pair else None)
    tests_come_first = next(part for part in known if part in ("train", "test")) == "test"
    return ArcTask(name, tuple(pairs), tuple(tests), tuple(answers), source, tests_come_first)


def _side(pair: Any, side: str, where: str) -> Grid:
    if not isinstance(pair, dict) or side not in pair:
        raise PuzzleError(f'{where}: no "{side}"; add the grid')
    return grid_of(pair[side], f"{where}, {side}")


def grid_of(rows: Any, where: str) -> Grid:
    """A grid from lists of colours; raises PuzzleError where it is none."""
    if not (isinstance(rows, list) and rows and all(isinstance(r, list) and r for r in rows)):
        raise PuzzleError(f"{where}: expected rows of colours, such as [[0, 3], [3, 0]]")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise PuzzleError(
                f"{where}, row {number}: {len(row)} cells after rows of {len(rows[0])}; make all rows as long"
            )
        for column, colour in enumerate(row, 1):
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:
                raise PuzzleError(
                    f"{where}, row {number}, column {column}: {json.dumps(colour)} is no colour; "
                    f"colours are 0 to {NUM_COLOURS - 1}"
                )
    if len(rows) > SIDE or len(rows[0]) > SIDE:
        raise PuzzleError(f"{where}: {len(rows)}x{len(rows[0])} cells; a grid has at most {SIDE}x{SIDE}")
    return np.array(rows, np.uint8)


def _answered(tasks: list[ArcTask], path: Path) -> list[ArcTask]:
    """The tasks with the answers of a file of solutions: a list of grids for each task."""
    with open_text(path) as text:
        known = _json(text.read(), str(path))
    found = []
    for task in tasks:
        grids = known.get(task.name) if isinstance(known, dict) else None
        if not isinstance(grids, list) or len(grids) != len(task.tests):
            raise PuzzleError(
                f"{path}: task {task.name}: expected a list of {len(task.tests)} grids, as many as "
                f"{task.source} has tests"
            )
        places = [f"{path}: task {task.name}, test {n}" for n in range(1, len(grids) + 1)]
        answers = tuple(grid_of(grid, place) for grid, place in zip(grids, places, strict=True))
        found.append(replace(task, answers=answers))
    return found


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
            for test, answer in zip(task.tests, task.answers, strict=True)
            if answer is not None
        }
        return cls(side, answers if len(answers) == len(task.tests) else None)

    def tests_of(self, task: ArcTask) -> list[Puzzle]:
        """The tests of a task, on boards."""
        return [
            Puzzle(encode(test, side=self.side), self.side, self.side, task.source, number)
            for number, test in enumerate(task.tests, 1)
        ]

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
            return [Violation(cell // side + 1, cell % side + 1, "not as the file's answer") for cell in wrong]
        if decode(answer).is_whole:
            return []
        return [Violation(1, 1, "no grid with end markers at its rows and columns begins here")]

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Symmetries:
        """The one that changes nothing: tasks are redrawn when a data set is made."""
        cells = np.tile(np.arange(num_cells), (count, 1))
        return Symmetries(cells, np.tile(np.arange(VOCAB_SIZE, dtype=np.uint8), (count, 1)))

    def usual(self, size: int) -> Wanted:
        raise UsageError(NOT_MADE)

    def generate(
        self, wanted: Wanted, *, size: int, seed: Seed, progress: Callable[[int, int], None] | None = None
    ) -> Dataset:
        raise UsageError(NOT_MADE)

    def vocab_size(self, num_cells: int) -> int:
        return VOCAB_SIZE

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = side_of(num_cells)
        if side * side != num_cells:
            raise UsageError(f"an ARC board is square; {num_cells} cells are not")
        return (side, side, 1, 1)
