"""Light Up (Akari): place bulbs so that every open cell is lit.

    #...      #-o-
    ..3.  ->  o-3o
    ....      --o-
    ..2#      -o2#

A bulb lights its row and its column as far as the next wall. No bulb may light another one, and
a wall with a number has that many bulbs beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import ConfigError, PuzzleError, UsageError
from trm_cli.tasks.base import (
    BLANK,
    EMPTY,
    Cell,
    Dataset,
    Generator,
    Option,
    Progress,
    Puzzle,
    Role,
    Rules,
    Sections,
    Seed,
    Symmetries,
    Task,
    Tokens,
    Transforms,
    Violation,
    Wanted,
    read_range,
)
from trm_cli.tasks.tables import Rows, Spelling

WALL, ZERO, BULB, LIT = 2, 3, 8, 9  # 3 to 7 are walls with a number, 0 to 4; 0 is padding, 1 an open cell
LETTERS = "?.#01234o-"  # of each token
IN_PUZZLES = {letter: token for token, letter in enumerate(LETTERS) if BLANK <= token < BULB}
IN_ANSWERS = {letter: token for token, letter in enumerate(LETTERS) if token > BLANK}
SPELLING = Spelling(
    noun="puzzle",
    sides=range(4, 13),
    meant="write . for an open cell, # for a wall and 0 to 4 for a wall with a number",
    is_whole=lambda line: len(line) > 12,
    remedies={"o": "'o' is a bulb of an answer; write . in a puzzle"},
)

STONE, BEAM, WHITE = (0x6E, 0x76, 0x81), (0xC9, 0xA2, 0x27), (0xFF, 0xFF, 0xFF)
ROLES = {
    "wall": Role("#6e7681 on #6e7681", STONE, STONE, fills=True),
    "number": Role("bold #ffffff on #6e7681", STONE, WHITE, fills=True),
    "bulb": Role(),  # in the colour of the network's confidence
    "lit": Role("#c9a227", BEAM, BEAM),
    "empty": EMPTY,
}
CELLS = (  # what a cell shows, by its token
    Cell("", "empty"),
    Cell("", "empty"),
    Cell("#", "wall"),
    *(Cell(number, "number") for number in "01234"),
    Cell("o", "bulb"),
    Cell("", "lit"),
)


def broken(puzzles: Tokens, answers: Tokens) -> dict[str, NDArray[np.bool_]]:
    """The cells [N, L] that break each rule."""
    side = round(answers.shape[1] ** 0.5)
    bulbs, is_open = answers == BULB, puzzles == BLANK
    lit = beams(bulbs.reshape(-1, side, side), ~is_open.reshape(-1, side, side)).reshape(bulbs.shape)
    beside = neighbours(bulbs.reshape(-1, side, side)).reshape(bulbs.shape)
    is_number = (puzzles >= ZERO) & (puzzles < BULB)
    return {
        "this wall was changed": ~is_open & (answers != puzzles),
        "neither a bulb nor lit": is_open & ~bulbs & (answers != LIT),
        "another bulb lights this one": is_open & bulbs & lit,
        "no bulb lights this cell": is_open & (answers == LIT) & ~lit,
        "another number of bulbs beside it": is_number & (answers == puzzles) & (beside != puzzles - ZERO),
    }


def beams(bulbs: NDArray[np.bool_], walls: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells of boards [N, H, W] that a bulb elsewhere lights."""
    lit = np.zeros_like(bulbs)
    for turns in range(4):
        bulb, wall = np.rot90(bulbs, turns, (1, 2)), np.rot90(walls, turns, (1, 2))
        beam = np.zeros_like(bulb)
        for row in range(1, beam.shape[1]):
            beam[:, row] = (beam[:, row - 1] | bulb[:, row - 1]) & ~wall[:, row]
        lit |= np.rot90(beam, -turns, (1, 2))
    return lit


def neighbours(bulbs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many bulbs stand beside each cell of boards [N, H, W]."""
    board = np.pad(bulbs, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    counts: NDArray[np.uint8] = board[:, :-2, 1:-1] + board[:, 2:, 1:-1] + board[:, 1:-1, :-2] + board[:, 1:-1, 2:]
    return counts


class Board:
    """Where bulbs may stand on a board [side, side]; a set of cells is an integer, a bit a cell."""

    def __init__(self, walls: NDArray[np.bool_]) -> None:
        side = len(walls)
        self.open_cells = [int(cell) for cell in np.flatnonzero(~walls)]
        alone = np.eye(side * side, dtype=bool).reshape(-1, side, side)
        seen = beams(alone, np.broadcast_to(walls, alone.shape)) | alone
        self.sees = [as_bits(board) for board in seen]  # by cell: itself and all that a bulb there lights
        self.beside = [as_bits((neighbours(board[None])[0] > 0) & ~walls) for board in alone]

    def solutions(self, numbers: dict[int, int]) -> Iterator[int]:
        """Every set of bulbs that keeps the rules, for the numbers of some walls."""
        return self._search(numbers, bulbs=0, allowed=sum(1 << cell for cell in self.open_cells))

    def _search(self, numbers: dict[int, int], bulbs: int, allowed: int) -> Iterator[int]:
        for wall, number in numbers.items():
            placed, possible = bulbs & self.beside[wall], (bulbs | allowed) & self.beside[wall]
            if not placed.bit_count() <= number <= possible.bit_count():
                return
        dark = [cell for cell in self.open_cells if not self.sees[cell] & bulbs]
        if not dark:
            yield bulbs
            return
        choices = min((self.sees[cell] & allowed for cell in dark), key=int.bit_count)
        for cell in self.open_cells:
            if choices >> cell & 1:
                yield from self._search(numbers, bulbs | 1 << cell, allowed & ~self.sees[cell])
                allowed &= ~(1 << cell)  # what follows is without a bulb here


def as_bits(cells: NDArray[np.bool_]) -> int:
    """A set of cells as an integer."""
    return sum(1 << int(cell) for cell in np.flatnonzero(cells))


@dataclass(frozen=True)
class WantedLightUps(Wanted):
    """Puzzles with exactly one solution, and the share of their cells that are walls."""

    least_walls: float = 0.2
    most_walls: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.least_walls <= self.most_walls < 1:
            raise ConfigError(f"walls: expected 0 to 99 percent, fewest first, got {self.walls}")

    @property
    def walls(self) -> str:
        """In percent."""
        return f"{self.least_walls:.0%} to {self.most_walls:.0%}"

    def described(self, size: int) -> str:
        return f"puzzles of {size}x{size}, {self.walls} walls"


MOST_MISSES = 1000  # drawings in a row that give no new puzzle, before a wish is called impossible


def draw_puzzle(side: int, share: float, rng: np.random.Generator) -> tuple[Tokens, Tokens] | None:
    """A puzzle and its answer [L], or nothing where the walls drawn leave more than one solution."""
    walls = rng.random((side, side)) < share
    board = Board(walls)
    bulbs = 0
    for cell in rng.permutation(board.open_cells).tolist():
        if not board.sees[cell] & bulbs:
            bulbs |= 1 << cell
    numbers = {int(wall): (board.beside[wall] & bulbs).bit_count() for wall in np.flatnonzero(walls)}
    if not has_one_solution(board, numbers):
        return None
    for wall in rng.permutation(list(numbers)).tolist():  # leave out every number that is not needed
        fewer = {other: number for other, number in numbers.items() if other != wall}
        if has_one_solution(board, fewer):
            numbers = fewer
    puzzle = np.where(walls, WALL, BLANK).astype(np.uint8).reshape(-1)
    for wall, number in numbers.items():
        puzzle[wall] = ZERO + number
    is_bulb = np.array([bulbs >> cell & 1 for cell in range(side * side)], bool)
    return puzzle, np.where(puzzle != BLANK, puzzle, np.where(is_bulb, BULB, LIT)).astype(np.uint8)


def has_one_solution(board: Board, numbers: dict[int, int]) -> bool:
    """Whether there is one set of bulbs that keeps the rules."""
    return len(list(islice(board.solutions(numbers), 2))) == 1


def read_walls(text: str) -> dict[str, Any]:
    """What `--walls` was given, in percent, as fields of WantedLightUps."""
    least, most = read_range(text, "20-30")
    return {"least_walls": least / 100, "most_walls": most / 100}


# Of `trm data light-up --generate 300 --seed 7`, those that took the network of docs/new-task.md most steps.
EXAMPLES = """\
...#..#..0......1#01..###...###......1.11.#......
......11..2.#...2....#..........#.#..3........2..
.....1..1#.2#..0....2.....#.....2..........1#...#
.2..1..#....##..2...##.##..1.......1#.2.....##.0.
"""


class LightUp(Task, Rules, Symmetries, Generator):
    """The rules, spelling, symmetries and generator of Light Up."""

    name = "light-up"
    usual_size = 7
    has_comments = False  # a line may start with #, a wall
    roles = ROLES
    examples = EXAMPLES
    recipes: ClassVar[Mapping[str, Sections]] = {
        "fast": {
            "model": {"mixer": "convolution", "num_prefix": 0, "hidden_size": 32, "channel_width": 96, "n": 4},
            "train": {"steps": 10_000, "batch_size": 32, "muon_lr": 0.02, "evaluate_every": 500},
            "data": {"puzzles": 4_000},
        }
    }
    data_options = (
        Option("--walls", "Fewest and most walls, in percent.", read_walls, metavar="N-M", default="20-30"),
    )

    def vocab_size(self, num_cells: int) -> int:
        return len(LETTERS)

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = round(num_cells**0.5)
        if side * side != num_cells or side not in SPELLING.sides:
            raise PuzzleError(f"a puzzle of Light Up has 4x4 to 12x12 cells, not {num_cells}")
        return side, side, 1, 1

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (self._puzzle(rows) for rows in SPELLING.read(lines, source))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return self._puzzle(SPELLING.split(text, line, source))

    def read_answer(self, text: str, line: int, source: str) -> Tokens:
        return SPELLING.tokens(SPELLING.split(text, line, source), IN_ANSWERS)

    def _puzzle(self, rows: Rows) -> Puzzle:
        tokens, side = SPELLING.tokens(rows, IN_PUZZLES), len(rows.rows)
        room = neighbours((tokens == BLANK).reshape(1, side, side)).reshape(-1)
        for cell in np.flatnonzero((tokens >= ZERO) & (room < tokens.astype(int) - ZERO)).tolist():
            place, number = rows.place(*divmod(cell, side)), tokens[cell] - ZERO
            raise PuzzleError(f"{place}: a {number} with room for {room[cell]} bulbs beside it; correct the number")
        return Puzzle(tokens, side, side, rows.source, rows.places[0][0])

    def write(self, tokens: Tokens) -> str:
        return "".join(LETTERS[token] for token in tokens)

    def write_rows(self, tokens: Tokens) -> str:
        side, text = self.boxes(len(tokens))[0], self.write(tokens)
        return "\n".join(text[at : at + side] for at in range(0, len(text), side)) + "\n"

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        return [CELLS[token] for token in answer.tolist()]

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        holds: NDArray[np.bool_] = ~np.any(list(broken(puzzles, answers).values()), axis=(0, 2))
        return holds

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        side = self.boxes(len(answer))[0]
        found = broken(puzzle[None], answer[None])
        rules = {int(cell): rule for rule, cells in found.items() for cell in np.flatnonzero(cells)}
        return [Violation(cell // side + 1, cell % side + 1, rules[cell]) for cell in sorted(rules)]

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
        side = self.boxes(num_cells)[0]
        grid = np.arange(num_cells).reshape(side, side)
        ways = np.stack([np.rot90(board, turns).reshape(-1) for board in (grid, grid.T) for turns in range(4)])
        symbols = np.tile(np.arange(len(LETTERS), dtype=np.uint8), (count, 1))  # each stays what it is
        return Transforms(ways[rng.integers(len(ways), size=count)], symbols)

    def usual(self, size: int) -> WantedLightUps:
        return WantedLightUps()

    def generate(self, wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
        assert isinstance(wanted, WantedLightUps)
        if size not in SPELLING.sides:
            raise UsageError(f"no puzzle of {size}x{size}; choose a size of 4 to 12")
        rng = np.random.default_rng(seed)
        found: dict[bytes, Tokens] = {}  # puzzle: answer
        misses = 0
        while len(found) < wanted.puzzles:
            drawn = draw_puzzle(size, rng.uniform(wanted.least_walls, wanted.most_walls), rng)
            if drawn is None or drawn[0].tobytes() in found:
                misses += 1
                if misses > MOST_MISSES:
                    raise UsageError(f"found only {len(found)} of {wanted.puzzles} puzzles; allow more walls")
                continue
            misses, found[drawn[0].tobytes()] = 0, drawn[1]
            if progress:
                progress(len(found), wanted.puzzles)
        puzzles = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1)
        return Dataset.generated(puzzles, np.stack(list(found.values())))
