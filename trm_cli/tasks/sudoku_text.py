"""Reading Sudoku as people write it.

Taken: 81 characters a line (`.sdm`), nine lines of nine (`.sdk`), grids with borders of `|`, `+`,
`-`, `*` or box lines (`.ss`), CSV with a `question`, `puzzle` or `quizzes` column; `0 . _ *` for a
blank; `#` comments; 4x4 and 6x6 grids in the same spellings.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NoReturn

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import QUESTION_COLUMNS
from trm_cli.tasks.sudoku_grid import BOXES
from trm_cli.tasks.tables import TableLines

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
            yield from _read_csv(line, (line for _, line in numbered), number, source)
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
            f"{source}:{number}:{offset + 1}: expected 81 cells, got {len(digits)}; "
            "write 0 or . for a blank"
        )
    return _checked(Grid(SIDE_OF[len(digits)], digits, places), source)


def _is_border(text: str) -> bool:
    characters = set(text)
    return characters <= BORDER or ("--" in text and characters <= BORDER | CORNERS)


def _is_csv(text: str) -> bool:
    return "," in text or text.strip(' "').lower() in QUESTION_COLUMNS


def _read_cells(
    text: str, number: int, source: str, offset: int = 0
) -> tuple[bytes, list[tuple[int, int]]]:
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


def _read_csv(header: str, rest: Iterator[str], number: int, source: str) -> Iterator[Grid]:
    """Yield the grids of a table whose first line is line `number`."""
    names = [name.strip().lower() for name in next(csv.reader([header]))]
    chosen = [names.index(name) for name in QUESTION_COLUMNS if name in names]
    column = chosen[0] if chosen else 0
    if not chosen and not set(names[0]) <= set(VALUES):
        raise PuzzleError(
            f"{source}:{number}: the CSV header has no column named question, puzzle or quizzes; "
            "name one"
        )
    lines = TableLines(rest, number) if chosen else TableLines(chain([header], rest), number - 1)
    found = False
    try:
        for row in csv.reader(lines):
            if row:
                found = True
                yield _cell(row, column, lines, source)
    except csv.Error as error:
        raise PuzzleError(f"{source}:{lines.number}: not CSV ({error}); correct it") from error
    if not found:
        raise PuzzleError(f"{source}:{number}: a CSV header and no puzzle; add rows below it")


def _cell(row: list[str], column: int, lines: TableLines, source: str) -> Grid:
    if len(row) <= column:
        raise PuzzleError(
            f"{source}:{lines.number}: expected {column + 1} fields or more, got {len(row)}"
        )
    return read_one(row[column], lines.number, source, _offset(lines.line, column))


def _offset(line: str, column: int) -> int:
    """Characters before a field's text: commas inside quotes part no fields."""
    field_index, quoted = 0, False
    for position, character in enumerate(line):
        if field_index == column and not quoted:
            return position + (line[position] == '"')
        quoted ^= character == '"'
        field_index += character == "," and not quoted
    return 0
