"""Reading mazes as people write them.

Taken: rows of `#` (or `█`) for a wall, a space or `.` for an open cell, one `S` and one `G`, with
an empty line between two mazes; a whole maze on one line, row after row; CSV with a `question`,
`puzzle` or `quizzes` column. In answers `o` marks the path. There are no comments: `#` is a wall.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isqrt
from typing import NoReturn

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import QUESTION_COLUMNS
from trm_cli.tasks.maze_grid import GOAL, LONGEST_SIDE, OPEN, PATH, SHORTEST_SIDE, START, WALL
from trm_cli.tasks.tables import TableLines

TOKENS = {"#": WALL, "█": WALL, " ": OPEN, ".": OPEN, "S": START, "G": GOAL}
ANSWER_TOKENS = {**TOKENS, "o": PATH}
LETTERS = "?# SGo"  # of each token
MEANT = "write # for a wall, a space or . for an open cell, S and G"


@dataclass
class Rows:
    """A maze as read: its rows, and the line and column where each begins, from 1."""

    source: str
    rows: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def place(self, row: int, column: int) -> str:
        """Where a cell stands, for messages; row and column count from 0."""
        line, before = self.places[row]
        return f"{self.source}:{line}:{before + column}"


def read_mazes(lines: Iterable[str], source: str) -> Iterator[Rows]:
    """Yield the mazes of a text; raises PuzzleError where something is no maze."""
    rows, found = Rows(source), False
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        text = line.rstrip("\r\n")
        if not found and not rows.rows and _is_csv(text):
            yield from _read_csv(line, (line for _, line in numbered), number, source)
            return
        if text.strip() or (rows.rows and len(text) == len(rows.rows[0])):
            if rows.rows and _is_whole(rows.rows[-1]) and _is_whole(text):
                yield _split(rows.rows[0], rows.places[0][0], source)
                rows, found = Rows(source), True
            rows.rows.append(text)
            rows.places.append((number, 1))
        elif rows.rows:
            yield _finished(rows)
            rows, found = Rows(source), True
    if rows.rows:
        yield _finished(rows)
    elif not found:
        raise PuzzleError(f"{source}:1: no maze in it; {MEANT}")


def read_one(text: str, number: int, source: str, *, before: int = 0) -> Rows:
    """The maze in one cell of a table, on line `number`, after `before` characters."""
    return _split(text, number, source, before)


def tokens_of(rows: Rows, letters: dict[str, int]) -> bytes:
    """A maze as tokens; raises PuzzleError for ragged rows and letters that mean nothing."""
    width = len(rows.rows[0])
    for number, row in enumerate(rows.rows):
        for column, letter in enumerate(row):
            if letter not in letters:
                _refuse_letter(rows.place(number, column), letter)
        if len(row) != width:
            raise PuzzleError(
                f"{rows.place(number, len(row))}: {len(row)} cells in a row, {width} in the first; "
                "make the rows of a maze equally long (. is an open cell that editors keep)"
            )
    if len(rows.rows) != width:
        raise PuzzleError(
            f"{rows.place(0, 0)}: a maze of {len(rows.rows)}x{width}; mazes are square: "
            f"add {'rows' if len(rows.rows) < width else 'columns'} of #"
        )
    if not SHORTEST_SIDE <= width <= LONGEST_SIDE:
        raise PuzzleError(
            f"{rows.place(0, 0)}: a maze of {width}x{width}; give one of {SHORTEST_SIDE} to "
            f"{LONGEST_SIDE} cells a side"
        )
    return bytes(letters[letter] for row in rows.rows for letter in row)


def _is_whole(text: str) -> bool:
    """Whether a line holds a whole maze: its start and its goal."""
    return "S" in text and "G" in text


def _finished(rows: Rows) -> Rows:
    alone = len(rows.rows) == 1 and _is_whole(rows.rows[0])
    return _split(rows.rows[0], rows.places[0][0], rows.source) if alone else rows


def _split(text: str, number: int, source: str, before: int = 0) -> Rows:
    """A maze that stands on one line, cut into its rows."""
    side = isqrt(len(text))
    if not text or side * side != len(text):
        raise PuzzleError(
            f"{source}:{number}:{before + 1}: {len(text)} cells on a line are no square maze; "
            "write a row a line, or all rows of a square maze one after another"
        )
    starts = range(0, len(text), side)
    return Rows(source, [text[at : at + side] for at in starts],
                [(number, before + at + 1) for at in starts])  # fmt: skip


def _refuse_letter(place: str, letter: str) -> NoReturn:
    if letter == "\t":
        raise PuzzleError(f"{place}: a tab; write spaces, one for each open cell")
    if letter == "o":
        raise PuzzleError(f"{place}: 'o' marks the path of an answer; write a space in a puzzle")
    shown = repr(letter) if letter.isprintable() else f"character U+{ord(letter):04X}"
    raise PuzzleError(f"{place}: {shown} is no cell of a maze; {MEANT}")


def _is_csv(text: str) -> bool:
    names = [name.strip(' "').lower() for name in text.split(",")]
    return any(name in QUESTION_COLUMNS for name in names)


def _read_csv(header: str, rest: Iterator[str], number: int, source: str) -> Iterator[Rows]:
    """Yield the mazes of a table whose header is line `number`."""
    names = [name.strip().lower() for name in next(csv.reader([header]))]
    column = next(names.index(name) for name in QUESTION_COLUMNS if name in names)
    lines = TableLines(rest, number, has_comments=False)
    found = False
    try:
        for row in csv.reader(lines):
            if not row:
                continue
            if len(row) <= column:
                raise PuzzleError(
                    f"{source}:{lines.number}: expected {column + 1} fields or more, got {len(row)}"
                )
            found = True
            before = lines.line.find(row[column])
            yield _split(row[column], lines.number, source, max(before, 0))
    except csv.Error as error:
        raise PuzzleError(f"{source}:{lines.number}: not CSV ({error}); correct it") from error
    if not found:
        raise PuzzleError(f"{source}:{number}: a CSV header and no maze; add rows below it")
