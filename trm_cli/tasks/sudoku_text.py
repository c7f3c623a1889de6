"""Reading Sudoku as people write it.

Taken: 81 characters a line (`.sdm`), nine lines of nine (`.sdk`), grids with `|`, `+` and `-`
borders (`.ss`), CSV with a `question`, `puzzle` or `quizzes` column; `0 . _ *` for a blank;
`#` comments; 4x4 and 6x6 grids in the same spellings.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from trm_cli.errors import PuzzleError

SIDES = (4, 6, 9)
CELL_COUNTS = {side * side: side for side in SIDES}
BLANKS = "0._*"
IGNORED = " \t|"
BORDER = set("-+=|: \t")
QUESTION_COLUMNS = ("question", "puzzle", "quizzes")
VALUES = {**dict.fromkeys(BLANKS, 0), **{str(digit): digit for digit in range(1, 10)}}


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


def read_grids(lines: Iterable[str], source: str) -> Iterator[Grid]:
    """Yield the grids of a text; raises PuzzleError where something is no grid."""
    rows = _Rows()
    numbered = enumerate(lines, start=1)
    found = False
    for number, line in numbered:
        line = line.split("#", 1)[0].rstrip("\r\n")
        if not line.strip() or line.lstrip().startswith("[") or set(line) <= BORDER:
            continue
        if "," in line and not rows.side:
            yield from _read_csv(line, number, numbered, source)
            return
        found = True
        digits, places = _read_cells(line, number, source)
        if len(digits) in CELL_COUNTS and not rows.side:
            yield _whole(Grid(CELL_COUNTS[len(digits)], digits, places), source)
            continue
        _add_row(rows, digits, places, source)
        if len(rows.places) == rows.side**2:
            yield _whole(Grid(rows.side, bytes(rows.digits), rows.places), source)
            rows = _Rows()
    if rows.side:
        first, last = rows.places[0][0], rows.places[-1][0]
        raise PuzzleError(
            f"{source}:{last}: the grid that starts at line {first} has "
            f"{len(rows.places) // rows.side} rows of {rows.side}; add the missing ones"
        )
    if not found:
        raise PuzzleError(f"{source}:1: no puzzle in it; write 81 digits a line, 0 or . for blanks")


def _read_cells(line: str, number: int, source: str) -> tuple[bytes, list[tuple[int, int]]]:
    digits, places = bytearray(), []
    for column, character in enumerate(line, start=1):
        value = VALUES.get(character)
        if value is not None:
            digits.append(value)
            places.append((number, column))
        elif character not in IGNORED:
            _refuse(f"{source}:{number}:{column}", character)
    return bytes(digits), places


def _refuse(place: str, character: str) -> NoReturn:
    shown = repr(character) if character.isprintable() else f"character U+{ord(character):04X}"
    raise PuzzleError(f"{place}: {shown} is no digit; write 1 to 9, and 0 or . for a blank")


def _add_row(rows: _Rows, digits: bytes, places: list[tuple[int, int]], source: str) -> None:
    number, column = places[-1]
    if not rows.side:
        if len(digits) not in SIDES:
            raise PuzzleError(
                f"{source}:{number}:{column}: expected 81 cells on a line (or 9 for a row), "
                f"got {len(digits)}; write 0 or . for a blank"
            )
        rows.side = len(digits)
    if len(digits) != rows.side:
        raise PuzzleError(
            f"{source}:{number}:{column}: expected {rows.side} cells, got {len(digits)}; "
            f"row {len(rows.places) // rows.side + 1} of the grid that starts at line "
            f"{rows.places[0][0]} must be as long as the first"
        )
    rows.digits += digits
    rows.places += places


def _whole(grid: Grid, source: str) -> Grid:
    """The grid itself; raises PuzzleError for a digit above its side."""
    if max(grid.digits) > grid.side:
        cell = max(range(len(grid.digits)), key=lambda c: grid.digits[c])
        line, column = grid.places[cell]
        raise PuzzleError(
            f"{source}:{line}:{column}: {grid.digits[cell]} in a {grid.side}x{grid.side} grid; "
            f"write 1 to {grid.side}, and 0 or . for a blank"
        )
    return grid


def _read_csv(
    header: str, number: int, numbered: Iterable[tuple[int, str]], source: str
) -> Iterator[Grid]:
    names = [name.strip().lower() for name in next(csv.reader([header]))]
    chosen = [names.index(name) for name in QUESTION_COLUMNS if name in names]
    column = chosen[0] if chosen else 0
    if not chosen:
        if not set(names[0]) <= set(VALUES):
            raise PuzzleError(
                f"{source}:{number}: the CSV header has no column named question, puzzle or "
                "quizzes; name one"
            )
        yield _csv_cell(header, number, column, source)
    found = not chosen
    for line_number, line in numbered:
        if line.strip():
            found = True
            yield _csv_cell(line, line_number, column, source)
    if not found:
        raise PuzzleError(f"{source}:{number}: a CSV header and no puzzle; add rows below it")


def _csv_cell(line: str, number: int, column: int, source: str) -> Grid:
    row = next(csv.reader([line]))
    if len(row) <= column:
        raise PuzzleError(
            f"{source}:{number}: expected {column + 1} fields or more, got {len(row)}"
        )
    digits, _ = _read_cells(row[column], number, source)
    offset = line.find(row[column]) + 1
    if len(digits) not in CELL_COUNTS:
        raise PuzzleError(
            f"{source}:{number}:{offset}: expected 81 cells, got {len(digits)}; "
            "write 0 or . for a blank"
        )
    places = [(number, offset + cell) for cell in range(len(digits))]
    return _whole(Grid(CELL_COUNTS[len(digits)], digits, places), source)
