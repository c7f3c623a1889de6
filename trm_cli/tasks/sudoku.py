"""Sudoku: grids of 4x4, 6x6 or 9x9 cells in which no row, column or box repeats a digit.

53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
534678912672195348198342567859761423426853791713924856961537284287419635345286179

Token 1 is a blank and token d + 1 the digit d, as in the official code.
Spellings: 81 characters a line (`.sdm`), nine lines of nine (`.sdk`), grids with borders of `|`,
`+`, `-`, `*` or box lines (`.ss`), CSV with a `question`, `puzzle` or `quizzes` column; `0 . _ *`
for a blank; cells parted by commas, semicolons or tabs, with nothing between two for a blank; `#`
comments; 4x4 and 6x6 grids in the same spellings.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks import base
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Finding, Option, Puzzle, Tokens, Violation, Wanted
from trm_cli.tasks.sudoku_generator import BOXES, WantedSudokus, count_solutions, generate_sudokus, units
from trm_cli.tasks.tables import QUESTION_COLUMNS, plain_tokens, printable, read_column

SIDE_OF = {side * side: side for side in BOXES}  # number of cells: side
USUAL_GIVENS = {4: (5, 8), 6: (10, 16), 9: (24, 34)}  # side: fewest and most
TOKENS = {**dict.fromkeys("0._*", BLANK), **{str(digit): BLANK + digit for digit in range(1, 10)}}
LINES = "|│┃║"
IGNORED = set(" \t\r\n" + LINES)  # between cells
BORDER = set("-+=: \t" + LINES + "─━═┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝┏┳┓┣╋┫┗┻┛╟╢╫╤╧╪")
CORNERS = set("*.'")  # also found in borders, but only in those with a run of dashes
SEPARATORS = ",;\t"  # between the cells of a row
QUOTES = set("\"'")  # around a cell
SYMBOL = re.compile(r"\s*[\"']?([1-9A-Pa-p]|1\d|2[0-5]|[0._*]?)[\"']?\s*")  # in a cell of a grid of up to 25x25
LARGE = re.compile(r"[A-Pa-p]|\d\d")  # one of a grid larger than 9x9
LARGE_SIDES = {16: 16, 25: 25, 256: 16, 625: 25}  # by cells of a line: a row, or a whole grid
SIZES = "the grids known are " + ", ".join(f"{side}x{side}" for side in BOXES)
SECTION = re.compile(r"\[([A-Za-z ]+)\]")  # of an .sdk file

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


@dataclass
class Grid:
    """A grid as far as it is read: its cells as tokens, and the line and column of each, from 1."""

    source: str
    side: int = 0  # that its first row gives it
    cells: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list)

    def place(self, cell: int) -> str:
        """Where a cell stands, for messages."""
        line, column = self.places[cell]
        return f"{self.source}:{line}:{column}"

    def add_line(self, text: str, number: int, before: int = 0) -> int:
        """Add the cells of a line, or of a field of it with `before` characters before it; returns how many."""
        count = len(self.cells)
        for column, letter in enumerate(text, start=before + 1):
            if letter in TOKENS:
                self.cells.append(TOKENS[letter])
                self.places.append((number, column))
            elif letter not in IGNORED:
                raise PuzzleError(
                    f"{self.source}:{number}:{column}: {printable(letter)} is no digit; "
                    "write 1 to 9, and 0 or . for a blank"
                )
        return len(self.cells) - count

    def add_row(self, text: str, number: int) -> None:
        """Add a line, which must be a row as long as the first, or a whole grid."""
        row = len(self.cells) // self.side if self.side else 0
        count = self.add_line(text, number)
        if not self.side:
            if count not in BOXES and count not in SIDE_OF:
                raise PuzzleError(
                    f"{self.place(-1)}: expected 81 cells on a line (or 9 for a row), "
                    f"got {count}; write 0 or . for a blank"
                )
            self.side = SIDE_OF.get(count, count)
        elif count != self.side:
            raise PuzzleError(
                f"{self.place(-1)}: expected {self.side} cells, got {count}; row {row + 1} of the grid "
                f"that starts at line {self.places[0][0]} must be as long as the first"
            )

    def refuse_gap(self, rows: int) -> None:
        """Raise PuzzleError where the grid ends here, but not after a multiple of so many rows."""
        if self.side and len(self.cells) % (rows * self.side):
            raise PuzzleError(
                f"{self.source}:{self.places[-1][0]}: the grid that starts at line {self.places[0][0]} has "
                f"{len(self.cells) // self.side} rows of {self.side}; add the missing ones"
            )

    def puzzle(self) -> Puzzle:
        """The whole grid; raises PuzzleError for a digit above its side and for a repeated one."""
        tokens = np.frombuffer(self.cells, np.uint8).copy()
        side, highest = SIDE_OF[len(tokens)], int(tokens.argmax())
        if tokens[highest] > side + BLANK:
            raise PuzzleError(
                f"{self.place(highest)}: {tokens[highest] - BLANK} in a {side}x{side} grid; "
                f"write 1 to {side}, and 0 or . for a blank"
            )
        for first, second, unit in repeats(tokens, side):
            line, column = self.places[first]
            raise PuzzleError(
                f"{self.place(second)}: {unit} has the given {tokens[second] - BLANK} twice, "
                f"first at {line}:{column}; correct one of them"
            )
        return Puzzle(tokens, side, side, self.source, self.places[0][0])


def _joined(text: str) -> str:
    """A row without what parts its cells, and with a dot where nothing stands between two; any other as it is."""
    for separator in filter(text.__contains__, SEPARATORS):
        fields = [field.strip(" \"'\r\n") for field in text.split(separator)]
        if len(fields) in (*BOXES, *SIDE_OF) and all(field == "" or field in TOKENS for field in fields):
            return "".join(field or "." for field in fields)
    return text


def _refuse_large(text: str, place: str) -> None:
    """Raise PuzzleError where a grid begins with a row of 16x16 or 25x25, or with all its rows on a line."""
    parted = next((text.split(separator) for separator in SEPARATORS if separator in text), text.split())
    symbols = parted if len(parted) in LARGE_SIDES else [letter for letter in text if letter not in IGNORED]
    side = LARGE_SIDES.get(len(symbols))
    if side is None or not all(map(SYMBOL.fullmatch, symbols)):
        return
    if len(symbols) > side or any(map(LARGE.search, symbols)):
        raise PuzzleError(f"{place}: a Sudoku of {side}x{side}; {SIZES}")


def _is_border(text: str) -> bool:
    characters = set(text)
    return characters <= BORDER or ("--" in text and characters <= BORDER | CORNERS)


def repeats(tokens: Tokens, side: int) -> Iterator[tuple[int, int, str]]:
    """Pairs of cells of a grid [L] that share a unit and a digit, with the unit's name: row 1, column 4, box 9."""
    grid_units = units(side)
    in_units = tokens[grid_units]
    is_digit = in_units >= FIRST_SYMBOL
    ordered = np.sort(np.where(is_digit, in_units, 255 - np.arange(side, dtype=np.uint8)), axis=1)
    for unit in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1)).tolist():
        name = f"{('row', 'column', 'box')[unit // side]} {unit % side + 1}"
        for first, second in combinations(range(side), 2):
            if is_digit[unit, first] and in_units[unit, first] == in_units[unit, second]:
                yield int(grid_units[unit, first]), int(grid_units[unit, second]), name


def _read_givens(text: str) -> dict[str, Any]:
    least, most = base.read_range(text, "24-34")
    return {"least_givens": least, "most_givens": most}


class Sudoku(base.Task, base.Rules, base.Symmetries, base.Generator):
    """The rules, spellings and symmetries of Sudoku."""

    name = "sudoku"
    usual_size = 9
    published_n = 6
    examples = EXAMPLES
    rating_starts = (0, 1, 10, 50, 100, 300)
    givens_starts = (0, 17, 18, 22, 25, 29, 38)
    data_options = (
        Option(
            "--givens",
            "Fewest and most givens; a number in between is drawn.",
            _read_givens,
            metavar="N-M",
            default="24-34 on 9x9",
        ),
        Option(
            "--minimal",
            "Puzzles from which no given can be taken away.",
            lambda _: {"minimal": True},
            excludes="--givens",
        ),
    )

    generate = staticmethod(generate_sudokus)

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        grid, found, section = Grid(source), False, ""
        numbered = enumerate(lines, start=1)
        for number, line in numbered:
            text = line.split("#", 1)[0].rstrip("\r\n")
            heading = SECTION.fullmatch(text.strip())
            section = heading[1].lower() if heading else section
            if heading or section == "state":  # the state is a player's progress, not a puzzle
                continue
            if not text.strip():
                grid.refuse_gap(BOXES[grid.side][0] if grid.side else 1)  # a blank line may part two bands
                continue
            if _is_border(text):
                continue
            row = _joined(text)
            if not grid.side and len(row) != max(SIDE_OF):  # of most files, every line is a whole grid
                _refuse_large(text, f"{source}:{number}")
            if not grid.side and (text.strip(' "').lower() in QUESTION_COLUMNS or "," in row):
                rest = (line for _, line in numbered)
                for one, at, before in read_column(
                    line, rest, number, source, noun="puzzle", has_comments=True, is_row=set(TOKENS).issuperset
                ):
                    yield self.read_one(one, at, source, before)
                return
            found = True
            grid.add_row(row, number)
            if len(grid.cells) == grid.side**2:
                yield grid.puzzle()
                grid = Grid(source)
        grid.refuse_gap(grid.side)
        if not found:
            raise PuzzleError(f"{source}:1: no puzzle in it; write 81 digits a line, 0 or . for blanks")

    def recognises(self, text: str) -> bool:
        lines = (line.split("#", 1)[0] for line in text.splitlines())
        letters = "".join(line for line in lines if not SECTION.fullmatch(line.strip()))
        spelled = TOKENS.keys() | IGNORED | BORDER | CORNERS | set(SEPARATORS) | QUOTES
        cells = [letter for letter in letters if letter in TOKENS]
        is_grid = len(cells) in SIDE_OF or (len(cells) > min(SIDE_OF) and any(map(str.isdigit, cells)))
        return is_grid and set(letters) <= spelled

    def read_one(self, text: str, line: int, source: str, before: int = 0) -> Puzzle:
        grid = Grid(source)
        count = grid.add_line(text, line, before)
        if count not in SIDE_OF:
            place = f"{source}:{line}:{before + 1}"
            raise PuzzleError(f"{place}: expected 81 cells, got {count}; write 0 or . for a blank")
        return grid.puzzle()

    def read_plain(self, texts: list[str]) -> Tokens | None:
        tokens = plain_tokens(texts, TOKENS)
        if tokens is None or tokens.shape[1] not in SIDE_OF:
            return None
        most = SIDE_OF[tokens.shape[1]] + BLANK
        return tokens if ((tokens > 0) & (tokens <= most)).all() else None

    def write(self, tokens: Tokens) -> str:
        return "".join("." if token <= BLANK else str(token - BLANK) for token in tokens)

    def as_array(self, tokens: Tokens) -> NDArray[Any]:
        """Digits, and 0 for a blank."""
        side = self.boxes(len(tokens))[0]
        digits: NDArray[np.uint8] = np.maximum(tokens, BLANK) - np.uint8(BLANK)
        return digits.reshape(side, side)

    def examine(self, puzzle: Tokens, *, seconds: float) -> Finding:
        found = count_solutions(puzzle, most=2, seconds=seconds)
        if found is None:
            return Finding.UNKNOWN
        return (Finding.NO_SOLUTION, Finding.ONE_SOLUTION, Finding.SEVERAL_SOLUTIONS)[found]

    def legal_tokens(self, puzzle: Tokens, vocab_size: int) -> NDArray[np.bool_]:
        """A digit is legal in a cell if no other cell of its row, column or box holds it."""
        filled = np.eye(vocab_size, dtype=bool)[puzzle] & (puzzle >= FIRST_SYMBOL)[:, None]
        taken = np.zeros_like(filled)
        for cells in units(self.boxes(len(puzzle))[0]):
            taken[cells] |= filled[cells].any(0)
        return ~taken

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

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> base.Transforms:
        side, _, height, width = self.boxes(num_cells)
        grid = np.arange(num_cells).reshape(side, side)
        cells = np.empty((count, num_cells), dtype=np.int64)
        symbols = np.tile(np.arange(side + FIRST_SYMBOL, dtype=np.uint8), (count, 1))
        for row in range(count):
            moved = grid[_shuffled_bands(side, height, rng)][:, _shuffled_bands(side, width, rng)]
            transposes = height == width and rng.random() < 0.5
            cells[row] = (moved.T if transposes else moved).reshape(-1)
            symbols[row, FIRST_SYMBOL:] = FIRST_SYMBOL + rng.permutation(side)
        return base.Transforms(cells, symbols)

    def usual(self, size: int) -> Wanted:
        least, most = USUAL_GIVENS.get(size, USUAL_GIVENS[self.usual_size])
        return WantedSudokus(least_givens=least, most_givens=most)

    def vocab_size(self, num_cells: int) -> int:
        return FIRST_SYMBOL + self.boxes(num_cells)[0]

    def size_of_vocabulary(self, vocab_size: int) -> int | None:
        side = vocab_size - FIRST_SYMBOL
        return side if side in BOXES else None

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        if num_cells not in SIDE_OF:
            raise PuzzleError(f"a Sudoku has 16, 36 or 81 cells, not {num_cells}")
        side = SIDE_OF[num_cells]
        return (side, side, *BOXES[side])


def _shuffled_bands(side: int, height: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order of lines that keeps those of one band together."""
    bands = rng.permutation(side // height)
    return np.concatenate([band * height + rng.permutation(height) for band in bands])
