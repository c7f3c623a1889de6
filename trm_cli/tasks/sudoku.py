"""Sudoku: grids of 4x4, 6x6 or 9x9 cells in which no row, column or box repeats a digit.

53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
534678912672195348198342567859761423426853791713924856961537284287419635345286179

Token 1 is a blank and token d + 1 the digit d, as in the official code.
Spellings: 81 characters a line (`.sdm`), nine lines of nine (`.sdk`), grids with borders of `|`,
`+`, `-`, `*` or box lines (`.ss`), CSV with a `question`, `puzzle` or `quizzes` column; `0 . _ *`
for a blank; `#` comments; 4x4 and 6x6 grids in the same spellings.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import (
    BLANK,
    FIRST_SYMBOL,
    Dataset,
    Generator,
    Option,
    Progress,
    Puzzle,
    Rules,
    Seed,
    Symmetries,
    Task,
    Tokens,
    Transforms,
    Violation,
    Wanted,
    read_range,
)
from trm_cli.tasks.sudoku_generator import BOXES, WantedSudokus, generate_sudokus, unit_name, units
from trm_cli.tasks.tables import QUESTION_COLUMNS, read_column

SIDE_OF = {side * side: side for side in BOXES}  # number of cells: side
VALUES = {**dict.fromkeys("0._*", 0), **{str(digit): digit for digit in range(1, 10)}}
LINES = "|│┃║"
IGNORED = set(" \t\r\n" + LINES)  # between cells
BORDER = set("-+=: \t" + LINES + "─━═┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝┏┳┓┣╋┫┗┻┛╟╢╫╤╧╪")
CORNERS = set("*.'")  # also found in borders, but only in those with a run of dashes
SECTION = re.compile(r"\[([A-Za-z ]+)\]")  # of an .sdk file


@dataclass
class Grid:
    """One grid as read: its side, its digits (0 blank) and the place of each, counted from 1."""

    side: int
    digits: bytes
    places: list[tuple[int, int]]  # line and column of each cell


@dataclass
class _Rows:
    """The rows of a grid that is not complete yet."""

    side: int = 0
    digits: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.places) // self.side if self.side else 0


def read_grids(lines: Iterable[str], source: str) -> Iterator[Grid]:
    """Yield the grids of a text; raises PuzzleError where something is no grid."""
    rows, found, section = _Rows(), False, ""
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        text = line.split("#", 1)[0].rstrip("\r\n")
        heading = SECTION.fullmatch(text.strip())
        section = heading[1].lower() if heading else section
        if heading or section == "state":  # the state is a player's progress, not a puzzle
            continue
        if not text.strip():
            _refuse_gap(rows, source)
        elif _is_border(text):
            pass
        elif not rows.side and _is_csv(text):
            rest = (line for _, line in numbered)
            for one in read_column(line, rest, number, source, noun="puzzle", has_comments=True, is_row=_is_grid):
                yield read_one(one.text, one.line, source, one.before)
            return
        else:
            found = True
            digits, places = _read_cells(text, number, source)
            if len(digits) in SIDE_OF and not rows.side:
                yield _checked(Grid(SIDE_OF[len(digits)], digits, places), source)
                continue
            _add_row(rows, digits, places, source)
            if len(rows) == rows.side:
                yield _checked(Grid(rows.side, bytes(rows.digits), rows.places), source)
                rows = _Rows()
    if rows.side:
        _refuse_incomplete(rows, source)
    if not found:
        raise PuzzleError(f"{source}:1: no puzzle in it; write 81 digits a line, 0 or . for blanks")


def read_one(text: str, number: int, source: str, offset: int = 0) -> Grid:
    """The grid in one cell of a table, on line `number`, after `offset` characters."""
    digits, places = _read_cells(text, number, source, offset)
    if len(digits) not in SIDE_OF:
        raise PuzzleError(
            f"{source}:{number}:{offset + 1}: expected 81 cells, got {len(digits)}; write 0 or . for a blank"
        )
    return _checked(Grid(SIDE_OF[len(digits)], digits, places), source)


def _is_border(text: str) -> bool:
    characters = set(text)
    return characters <= BORDER or ("--" in text and characters <= BORDER | CORNERS)


def _is_csv(text: str) -> bool:
    return "," in text or text.strip(' "').lower() in QUESTION_COLUMNS


def _is_grid(text: str) -> bool:
    return set(text) <= set(VALUES)


def _read_cells(text: str, number: int, source: str, offset: int = 0) -> tuple[bytes, list[tuple[int, int]]]:
    digits, places = bytearray(), []
    for column, character in enumerate(text, start=offset + 1):
        value = VALUES.get(character)
        if value is not None:
            digits.append(value)
            places.append((number, column))
        elif character not in IGNORED:
            _refuse_character(f"{source}:{number}:{column}", character)
    return bytes(digits), places


def _refuse_character(place: str, character: str) -> NoReturn:
    shown = repr(character) if character.isprintable() else f"character U+{ord(character):04X}"
    raise PuzzleError(f"{place}: {shown} is no digit; write 1 to 9, and 0 or . for a blank")


def _add_row(rows: _Rows, digits: bytes, places: list[tuple[int, int]], source: str) -> None:
    number, column = places[-1]
    if not rows.side:
        if len(digits) not in BOXES:
            raise PuzzleError(
                f"{source}:{number}:{column}: expected 81 cells on a line (or 9 for a row), "
                f"got {len(digits)}; write 0 or . for a blank"
            )
        rows.side = len(digits)
    if len(digits) != rows.side:
        raise PuzzleError(
            f"{source}:{number}:{column}: expected {rows.side} cells, got {len(digits)}; "
            f"row {len(rows) + 1} of the grid that starts at line {rows.places[0][0]} must be "
            "as long as the first"
        )
    rows.digits += digits
    rows.places += places


def _refuse_gap(rows: _Rows, source: str) -> None:
    """Refuse a blank line inside a grid, unless it parts two bands."""
    if rows.side and len(rows) % BOXES[rows.side][0]:
        _refuse_incomplete(rows, source)


def _refuse_incomplete(rows: _Rows, source: str) -> NoReturn:
    raise PuzzleError(
        f"{source}:{rows.places[-1][0]}: the grid that starts at line {rows.places[0][0]} has "
        f"{len(rows)} rows of {rows.side}; add the missing ones"
    )


def _checked(grid: Grid, source: str) -> Grid:
    """The grid itself; raises PuzzleError for a digit above its side."""
    if max(grid.digits) > grid.side:
        cell = max(range(len(grid.digits)), key=lambda c: grid.digits[c])
        line, column = grid.places[cell]
        raise PuzzleError(
            f"{source}:{line}:{column}: {grid.digits[cell]} in a {grid.side}x{grid.side} grid; "
            f"write 1 to {grid.side}, and 0 or . for a blank"
        )
    return grid


USUAL_GIVENS = {4: (5, 8), 6: (10, 16), 9: (24, 34)}  # side: fewest and most
TOKEN_OF = np.zeros(128, np.uint8)  # ASCII: token; 0 where a character is no cell
TOKEN_OF[[ord(character) for character in VALUES]] = [v + BLANK for v in VALUES.values()]

# Minimal ones of `trm data sudoku --generate 150 --minimal --seed 11`: those that take the bundled
# network the most steps.
EXAMPLES = """\
45..6......2....58......1..9.....7.5...5...8.....19.6...6.73..25.....6.93...2..1.
......51...4.8...73.65...8..4...1.2......5..3..26.34...8.........14..2...2....7..
...1.4.63.1....2..69.......5...9...8.24......1...27.......4.8...5...2.3.2..5...71
48.1.6...3..7.......65......9.........3.1..7.6..9..125..4..7.16......2...37..24..
7.6..9.......32.6.5...4...8....9..87..4..6...1.2...4.....4.3...6.......1...2..8..
2.......1.7...9..8....742...698..7.........4..3.....1..13.4..5......1.......98..3
..9.2.....1...38..23..4.1........7..94.8...6...7....928....1.43.9.4......2.6....1
.6.2.1...13....54..2....9..7.....38.....6.......9.3.....981....2..7...3...5...4..
16.954..........8.7.....1...5..6...8.....93....61.......5....9..7.2......4..8..62
"""


def _read_givens(text: str) -> dict[str, Any]:
    least, most = read_range(text, "24-34")
    return {"least_givens": least, "most_givens": most}


DATA_OPTIONS = (
    Option(
        "--givens",
        "Fewest and most givens; a number in between is drawn.",
        _read_givens,
        metavar="N-M",
        default="24-34 on 9x9",
    ),
    Option(
        "--minimal", "Puzzles from which no given can be taken away.", lambda _: {"minimal": True}, excludes="--givens"
    ),
)


class Sudoku(Task, Rules, Symmetries, Generator):
    """The rules, spellings and symmetries of Sudoku."""

    name = "sudoku"
    usual_size = 9
    published_n = 6
    examples = EXAMPLES
    data_options = DATA_OPTIONS
    rating_starts = (0, 1, 10, 50, 100, 300)
    givens_starts = (0, 17, 18, 22, 25, 29, 38)

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (_puzzle(grid, source) for grid in read_grids(lines, source))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return _puzzle(read_one(text, line, source), source)

    def read_plain(self, texts: list[str]) -> Tokens | None:
        num_cells = len(texts[0])
        side = SIDE_OF.get(num_cells)
        whole = "".join(texts)
        is_even = all(len(text) == num_cells for text in texts)
        if side is None or not is_even or not whole.isascii():
            return None
        tokens = TOKEN_OF[np.frombuffer(whole.encode(), np.uint8)].reshape(-1, num_cells)
        return tokens if ((tokens > 0) & (tokens <= side + BLANK)).all() else None

    def write(self, tokens: Tokens) -> str:
        return "".join("." if token <= BLANK else str(token - BLANK) for token in tokens)

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        side = self.boxes(answers.shape[1])[0]
        keeps_givens = ((puzzles == answers) | (puzzles == BLANK)).all(1)
        in_units = np.sort(answers[:, units(side)], axis=2)  # [N, 3 * side, side]
        every_digit = np.arange(FIRST_SYMBOL, FIRST_SYMBOL + side)
        holds: NDArray[np.bool_] = keeps_givens & (in_units == every_digit).all((1, 2))
        return holds

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return self.rules_hold(answers, answers)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        side = self.boxes(len(answer))[0]
        rules: dict[int, str] = {}
        for cell in np.flatnonzero((puzzle != BLANK) & (puzzle != answer)):
            rules[int(cell)] = f"the given {puzzle[cell] - BLANK} was changed"
        for cell in np.flatnonzero((answer < FIRST_SYMBOL) | (answer > side + BLANK)):
            rules.setdefault(int(cell), "no digit")
        for first, second, unit in repeats(answer, side):
            rules.setdefault(first, f"{answer[first] - BLANK} twice in {unit}")
            rules.setdefault(second, f"{answer[second] - BLANK} twice in {unit}")
        return [Violation(cell // side + 1, cell % side + 1, rules[cell]) for cell in sorted(rules)]

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
        side, _, height, width = self.boxes(num_cells)
        grid = np.arange(num_cells).reshape(side, side)
        cells = np.empty((count, num_cells), dtype=np.int64)
        symbols = np.tile(np.arange(side + FIRST_SYMBOL, dtype=np.uint8), (count, 1))
        for row in range(count):
            moved = grid[_shuffled_bands(side, height, rng)][:, _shuffled_bands(side, width, rng)]
            transposes = height == width and rng.random() < 0.5
            cells[row] = (moved.T if transposes else moved).reshape(-1)
            symbols[row, FIRST_SYMBOL:] = FIRST_SYMBOL + rng.permutation(side)
        return Transforms(cells, symbols)

    def usual(self, size: int) -> Wanted:
        least, most = USUAL_GIVENS.get(size, USUAL_GIVENS[self.usual_size])
        return WantedSudokus(least_givens=least, most_givens=most)

    def generate(self, wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
        assert isinstance(wanted, WantedSudokus)
        return generate_sudokus(wanted, size=size, seed=seed, progress=progress)

    def vocab_size(self, num_cells: int) -> int:
        return FIRST_SYMBOL + self.boxes(num_cells)[0]

    def size_of_vocabulary(self, vocab_size: int) -> int | None:
        side = vocab_size - FIRST_SYMBOL
        return side if side in BOXES else None

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = round(num_cells**0.5)
        if side * side != num_cells or side not in BOXES:
            raise PuzzleError(f"a Sudoku has 16, 36 or 81 cells, not {num_cells}")
        return (side, side, *BOXES[side])


def _puzzle(grid: Grid, source: str) -> Puzzle:
    """A grid as tokens; raises PuzzleError where a given is repeated."""
    tokens = np.frombuffer(grid.digits, dtype=np.uint8) + np.uint8(BLANK)
    for first, second, unit in repeats(tokens, grid.side):
        line, column = grid.places[second]
        other_line, other_column = grid.places[first]
        raise PuzzleError(
            f"{source}:{line}:{column}: {unit} has the given {tokens[second] - BLANK} twice, "
            f"first at {other_line}:{other_column}; correct one of them"
        )
    return Puzzle(tokens, grid.side, grid.side, source, grid.places[0][0])


def repeats(tokens: Tokens, side: int) -> Iterator[tuple[int, int, str]]:
    """Pairs of cells of a grid [L] that share a unit and a digit, with the unit's name."""
    grid_units = units(side)
    in_units = tokens[grid_units]
    is_digit = in_units >= FIRST_SYMBOL
    ordered = np.sort(np.where(is_digit, in_units, 255 - np.arange(side, dtype=np.uint8)), axis=1)
    for unit in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1)):
        for first, second in combinations(range(side), 2):
            if is_digit[unit, first] and in_units[unit, first] == in_units[unit, second]:
                yield (int(grid_units[unit, first]), int(grid_units[unit, second]), unit_name(int(unit), side))


def _shuffled_bands(side: int, height: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order of lines that keeps those of one band together."""
    bands = rng.permutation(side // height)
    return np.concatenate([band * height + rng.permutation(height) for band in bands])
