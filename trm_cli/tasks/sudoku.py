"""Sudoku: grids of 4x4, 6x6, 9x9, 12x12 or 16x16 cells in which no row, column or box repeats a symbol.

53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
534678912672195348198342567859761423426853791713924856961537284287419635345286179

Token 1 is a blank and token d + 1 the digit d, as in the official code.
Spellings: 81 characters a line (`.sdm`), nine lines of nine (`.sdk`), grids with borders of `|`,
`+`, `-`, `*` or box lines (`.ss`), CSV with a `question`, `puzzle` or `quizzes` column; `0 . _ *`
for a blank; cells parted by commas, semicolons or tabs, with nothing between two for a blank; `#`
comments; smaller and larger grids in the same spellings. Above 9, symbols are letters from A on or
numbers from 10 on; in a grid that has other blanks and lacks its last symbol, 0 stands for that.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from math import isqrt
from string import ascii_uppercase, digits
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks import base
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Finding, Option, Puzzle, Tokens, Violation, Wanted
from trm_cli.tasks.sudoku_generator import BOXES, WantedSudokus, count_solutions, generate_sudokus, units
from trm_cli.tasks.tables import MOST_BLANKS, QUESTION_COLUMNS, plain_tokens, printable, read_column

SIDE_OF = {side * side: side for side in BOXES}  # number of cells: side
USUAL_GIVENS = {4: (5, 8), 6: (10, 16), 9: (24, 34), 12: (56, 100), 16: (110, 180)}  # side: fewest and most
SYMBOLS = digits[1:] + ascii_uppercase
TOKENS = {**dict.fromkeys("0._*", BLANK), **{str(digit): BLANK + digit for digit in range(1, 10)}}
DIGITS = 9  # symbols that are digits, and the side of the largest grid that has no others
NUMBERS = {str(number): SYMBOLS[number - 1] for number in range(DIGITS + 1, max(BOXES) + 1)}
LETTERS = {
    letter: FIRST_SYMBOL + SYMBOLS.index(symbol) for symbol in NUMBERS.values() for letter in (symbol, symbol.lower())
}
ZERO = 255  # token of a 0 in a large grid, until all of it is read
LARGE_TOKENS = {**TOKENS, **LETTERS, "0": ZERO}
LINES = "|│┃║"
IGNORED = set(" \t\r\n" + LINES)  # between cells
NO_LINES = str.maketrans(LINES, " " * len(LINES))
NUMBERS_APART = re.compile(rf"(?:^|[\s{LINES}])1[0-6](?:$|[\s{LINES}])")
ROWS_AHEAD = 40  # lines that hold the rest of a grid of 16x16, with borders
BORDER = set("-+=: \t" + LINES + "─━═┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝┏┳┓┣╋┫┗┻┛╟╢╫╤╧╪")
CORNERS = set("*.'")  # also found in borders, but only in those with a run of dashes
SEPARATORS = ",;\t"  # between the cells of a row
QUOTES = set("\"'")  # around a cell
SYMBOL = re.compile(r"\s*[\"']?([1-9A-Pa-p]|1\d|2[0-5]|[0._*]?)[\"']?\s*")  # in a cell of a grid of up to 25x25
LARGE = re.compile(r"[A-Pa-p]|\d\d")  # one of a grid larger than 9x9
LONGEST_ROW = 1 << 16  # characters of a line that are looked at
TOO_LARGE = (25, 25 * 25)  # cells of a line: a row, or a whole grid
SIZES = "the grids known are " + ", ".join(f"{side}x{side}" for side in BOXES)
SECTION = re.compile(r"\[([A-Za-z ]+)\]")  # of an .sdk file
PLAIN = re.compile(r"[0-9._*]{81}\r?\n?")  # a line that is a whole grid, and nothing else
TOGETHER = 1024  # grids that are read together

# Of `trm data sudoku --generate 1500 --minimal --seed 11`, some that take the bundled network the most steps; the last
# two need its search.
EXAMPLES = """\
..7......53.29...61.......9............8.3.929.2..18.......2.7..741..........4.58
8....1.........3.1...3..75.........317........6.8..5.97.9.1.....26.....4.8..26...
...7.13...86...27..5....9.....812.4.2....57.3.....78....5..4.....1.98....23...4..
23.17..9.4.........1.6...82964.3..7....9....5....1....7...5.13........2...1..8...
1.....4....6.3.....2...1..75....9.4...1.4.3.......79..2....47....5.7..6.34.68...1
1....4.6.8.67.........1.2.9618........7..13.8.....9........3....3.59.7.....6...4.
........65.9.......42.1.9......2.6.1....79..8...6...2....1....2.8..93...37..8..5.
....13.4.......6....4..7.29....8....57.9...........367..92..8..........632...49..
..13.7..45.....27....25.....74.9..2..6.4....31.....5..............73..1...3581...
"""


class Ahead(Iterator[tuple[int, str]]):
    """Lines with their numbers, of which the next ones can be looked at before they come."""

    def __init__(self, numbered: Iterator[tuple[int, str]]) -> None:
        self.numbered = numbered
        self.seen: deque[tuple[int, str]] = deque()

    def __next__(self) -> tuple[int, str]:
        return self.seen.popleft() if self.seen else next(self.numbered)

    def take_plain(self) -> Iterator[tuple[str, int, int]]:
        """Take the next lines, while they are plain, and at most so many as are read together; 0 characters before."""
        for _ in range(TOGETHER - 1):
            if not PLAIN.fullmatch("".join(self.ahead(1)[:1])):
                return
            number, line = next(self)
            yield line, number, 0

    def ahead(self, count: int) -> list[str]:
        """The next lines, at most so many."""
        self.seen.extend(islice(self.numbered, max(0, count - len(self.seen))))
        return [line for _, line in self.seen]


def in_blocks(grids: Iterable[tuple[str, int, int]]) -> Iterator[list[tuple[str, int, int]]]:
    """As many as are read together at a time; those before an error come before it."""
    block: list[tuple[str, int, int]] = []
    try:
        for grid in grids:
            block.append(grid)
            if len(block) == TOGETHER:
                yield block
                block = []
    except PuzzleError:
        yield block
        raise
    yield block


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
        if len(text) > LONGEST_ROW:
            raise PuzzleError(
                f"{self.source}:{number}: {len(text):,} characters are no grid; "
                "write 81 digits a line, 0 or . for a blank"
            )
        count = len(self.cells)
        side = self.side or _side_of_line(text)
        tokens = LARGE_TOKENS if side > DIGITS else TOKENS
        for column, letter in enumerate(text, start=before + 1):
            if letter in tokens:
                self.cells.append(tokens[letter])
                self.places.append((number, column))
            elif letter not in IGNORED:
                what = f"{printable(letter)} is no {'symbol' if side > DIGITS else 'digit'}"
                raise PuzzleError(f"{self.source}:{number}:{column}: {what}; {_how_to_write(max(side, DIGITS))}")
        return len(self.cells) - count

    def add_row(self, text: str, number: int) -> None:
        """Add a line, which must be a row as long as the first, or a whole grid."""
        row = len(self.cells) // self.side if self.side else 0
        count = self.add_line(text, number)
        if not row and count != self.side:
            if count not in BOXES and count not in SIDE_OF:
                raise PuzzleError(f"{self.place(-1)}: {_no_grid(count, '81 cells on a line (or 9 for a row)')}")
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
        side = SIDE_OF[len(tokens)]
        if (zeros := tokens == ZERO).any():
            has_blanks, last = (tokens == BLANK).any() or zeros.sum() == side, side + BLANK
            tokens[zeros] = last if has_blanks and last not in tokens else BLANK
        highest = int(tokens.argmax())
        if tokens[highest] > side + BLANK:
            symbol = symbol_of(tokens[highest])
            raise PuzzleError(f"{self.place(highest)}: {symbol} in a {side}x{side} grid; {_how_to_write(side)}")
        for first, second, unit in repeats(tokens, side):
            line, column = self.places[first]
            raise PuzzleError(
                f"{self.place(second)}: {unit} has the given {symbol_of(tokens[second])} twice, "
                f"first at {line}:{column}; correct one of them"
            )
        return Puzzle(tokens, side, side, self.source, self.places[0][0])


def symbol_of(token: int) -> str:
    """A symbol as people write it: a digit, or a letter above 9."""
    return SYMBOLS[token - FIRST_SYMBOL]


def _how_to_write(side: int) -> str:
    """What the cells of a grid are written with, for messages."""
    last = f"9 and A to {SYMBOLS[side - 1]}" if side > DIGITS else str(side)
    return f"write 1 to {last}, and 0 or . for a blank"


def _no_grid(count: int, usual: str) -> str:
    """What is wrong with so many cells: those of another square, or most likely a 9x9 with some left out."""
    side = isqrt(count)
    if count == side * side:
        return f"{count} cells are a grid of {side}x{side}; {SIZES}"
    return f"expected {usual}, got {count}; write 0 or . for a blank"


def _side_of_line(text: str) -> int:
    """Side of the grid all of whose cells, or one row, a line could be; 0 if of none."""
    count = sum(letter not in IGNORED for letter in text)
    return SIDE_OF.get(count, count if count in BOXES else 0)


def _joined(text: str) -> str:
    """A row without what parts its cells, and with a dot where nothing stands between two; any other as it is.

    Numbers from 10 on become letters.
    """
    for separator in (*filter(text.__contains__, SEPARATORS), *([None] if NUMBERS_APART.search(text) else [])):
        bare = text if separator else text.translate(NO_LINES)
        fields = [field.strip(" \"'\r\n") for field in bare.split(separator)]
        if len(fields) in (*BOXES, *SIDE_OF) and all(
            field == "" or field in LARGE_TOKENS or field in NUMBERS for field in fields
        ):
            return "".join(NUMBERS.get(field, field) or "." for field in fields)
    return text


def _refuse_too_large(text: str, place: str) -> None:
    """Raise PuzzleError where a grid begins with a row of 25x25, or with all its rows on a line."""
    parted = next((text.split(separator) for separator in SEPARATORS if separator in text), text.split())
    symbols = parted if len(parted) in TOO_LARGE else [letter for letter in text if letter not in IGNORED]
    side = TOO_LARGE[0]
    if len(symbols) not in TOO_LARGE or not all(map(SYMBOL.fullmatch, symbols)):
        return
    if len(symbols) > side or any(map(LARGE.search, symbols)):
        raise PuzzleError(f"{place}: a Sudoku of {side}x{side}; {SIZES}")


def _begins_large(row: str, following: Iterable[str]) -> bool:
    """Whether a line of 16 cells is the first row of 16x16, not a whole 4x4: its letters say so, or what follows."""
    side, rows = max(BOXES), [row]
    for line in following:
        text = line.split("#", 1)[0].strip()
        if text and not _is_border(text) and len(rows) < side:
            rows.append(_joined(text))
    is_whole = len(rows) == side and all(_side_of_line(one) == SIDE_OF[side] for one in rows)
    small = {letter for letter, token in LARGE_TOKENS.items() if token in range(SIDE_OF[side] + FIRST_SYMBOL)} | {"0"}
    beyond = LARGE_TOKENS.keys() - small
    return not LETTERS.keys().isdisjoint(row) or (is_whole and not beyond.isdisjoint("".join(rows)))


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


def without_repeats(grids: Tokens, side: int) -> NDArray[np.bool_]:
    """Which of K grids [K, L] have no unit with a digit twice, [K]: the sum of bits is the same as their union."""
    bits = np.where(grids >= FIRST_SYMBOL, 1 << grids.astype(np.int32), 0)[:, units(side)]  # [K, units, side]
    return np.equal(bits.sum(2), np.bitwise_or.reduce(bits, axis=2)).all(1)  # type: ignore[no-any-return] # numpy's


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
    givens_starts = (0, 17, 18, 22, 25, 29, 38, 50, 60, 70, 80, 100, 110, 120, 140, 160)
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
        numbered, last = Ahead(enumerate(lines, start=1)), 0
        for number, line in numbered:
            if not grid.side and section != "state" and PLAIN.fullmatch(line):
                plain = [(line, number, 0), *numbered.take_plain()]
                yield from self._read_together(plain, source)
                found, last = True, number + len(plain) - 1
                continue
            if number - last > MOST_BLANKS:
                raise PuzzleError(f"{source}:{number}: {MOST_BLANKS:,} lines without a puzzle; leave them out")
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
            if not grid.side and len(row) != self.usual_size**2:  # of most files, every line is a whole grid
                _refuse_too_large(text, f"{source}:{number}")
                if _side_of_line(row) == SIDE_OF[max(BOXES)] and _begins_large(row, numbered.ahead(ROWS_AHEAD)):
                    grid.side = max(BOXES)
            if not grid.side and (text.strip(' "').lower() in QUESTION_COLUMNS or "," in row):
                rest = (line for _, line in numbered)
                is_row = set(LARGE_TOKENS).issuperset
                column = read_column(line, rest, number, source, noun="puzzle", has_comments=True, is_row=is_row)
                for grids in in_blocks(column):
                    yield from self._read_together(grids, source)
                return
            found, last = True, number
            grid.add_row(row, number)
            if len(grid.cells) == grid.side**2:
                yield grid.puzzle()
                grid = Grid(source)
        grid.refuse_gap(grid.side)
        if not found:
            raise PuzzleError(f"{source}:1: no puzzle in it; write 81 digits a line, 0 or . for blanks")

    def _read_together(self, grids: Sequence[tuple[str, int, int]], source: str) -> Iterator[Puzzle]:
        """The puzzles of whole grids, each with its line and the characters before it."""
        texts = [text.rstrip("\r\n") for text, *_ in grids]
        tokens = self.read_plain(texts) if texts and all(map(PLAIN.fullmatch, texts)) else None
        is_right = [False] * len(grids) if tokens is None else without_repeats(tokens, DIGITS).tolist()
        for row, (text, line, before) in enumerate(grids):
            if tokens is not None and is_right[row]:
                yield Puzzle(tokens[row], DIGITS, DIGITS, source, line)
            else:
                yield self.read_one(text, line, source, before)  # which says what is wrong

    def recognises(self, text: str) -> bool:
        lines = (line.split("#", 1)[0] for line in text.splitlines())
        letters = "".join(line for line in lines if not SECTION.fullmatch(line.strip()))
        spelled = LARGE_TOKENS.keys() | IGNORED | BORDER | CORNERS | set(SEPARATORS) | QUOTES
        cells = [letter for letter in letters if letter in LARGE_TOKENS]
        has_digits, has_letters = any(map(str.isdigit, cells)), not LETTERS.keys().isdisjoint(cells)
        is_grid = len(cells) in SIDE_OF or (len(cells) > min(SIDE_OF) and has_digits)
        return is_grid and set(letters) <= spelled and (has_digits or not has_letters)

    def read_one(self, text: str, line: int, source: str, before: int = 0) -> Puzzle:
        grid = Grid(source)
        count = grid.add_line(text, line, before)
        if count not in SIDE_OF:
            place = f"{source}:{line}:{before + 1}"
            raise PuzzleError(f"{place}: {_no_grid(count, '81 cells')}")
        return grid.puzzle()

    def read_plain(self, texts: list[str]) -> Tokens | None:
        is_large = len(texts[0]) > DIGITS**2  # where the rest of a grid decides what a 0 is
        tokens = plain_tokens(texts, {**LARGE_TOKENS, "0": 0} if is_large else TOKENS)
        if tokens is None or tokens.shape[1] not in SIDE_OF:
            return None
        most = SIDE_OF[tokens.shape[1]] + BLANK
        return tokens if ((tokens > 0) & (tokens <= most)).all() else None

    def write(self, tokens: Tokens) -> str:
        return "".join("." if token <= BLANK else symbol_of(token) for token in tokens)

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
            rules[int(cell)] = f"the given {symbol_of(puzzle[cell])} was changed"
        for cell in np.flatnonzero((answer < FIRST_SYMBOL) | (answer > side + BLANK)):
            rules.setdefault(int(cell), "no digit")
        for first, second, unit in repeats(answer, side):
            rules.setdefault(first, f"{symbol_of(answer[first])} twice in {unit}")
            rules.setdefault(second, f"{symbol_of(answer[second])} twice in {unit}")
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
            raise PuzzleError(f"a Sudoku has {', '.join(map(str, SIDE_OF))} cells, not {num_cells}")
        side = SIDE_OF[num_cells]
        return (side, side, *BOXES[side])


def _shuffled_bands(side: int, height: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order of lines that keeps those of one band together."""
    bands = rng.permutation(side // height)
    return np.concatenate([band * height + rng.permutation(height) for band in bands])
