"""Puzzles in text files: boards of letters, and CSV tables with answers or without, plain or gzipped.

source,question,answer,rating
puzzles2_17_clue,...8.1..........435............7.8...,237841569186795243594326718...,0
"""

import csv
import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from math import isqrt
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import UNRATED, Dataset, NoRules, Task, Tokens, digest, rules_of

QUESTION_COLUMNS = ("question", "puzzle", "quizzes")  # of a CSV, the first that it has
ANSWER_COLUMNS = ("answer", "solution", "solutions")


class TableLines:
    """Lines without the `#` comments between them; `number` and `line` are those last given.

    has_comments  false where a line may start with # and mean it.
    """

    def __init__(self, lines: Iterable[str], number: int = 0, *, has_comments: bool = True) -> None:
        self._lines = iter(lines)
        self.number = number
        self.has_comments = has_comments
        self.line = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            self.line = next(self._lines)
            self.number += 1
            if not (self.has_comments and self.line.lstrip().startswith("#")):
                return self.line


@dataclass(frozen=True)
class Field:
    """One cell of a column of a table, and where it stands."""

    text: str
    line: int
    before: int  # characters before it on its line


def read_column(
    header: str,
    rest: Iterator[str],
    number: int,
    source: str,
    *,
    noun: str,
    has_comments: bool,
    is_row: Callable[[str], bool] = lambda _: False,
) -> Iterator[Field]:
    """Yield the questions of a table whose first line is line `number`.

    noun    what a question is called in a message.
    is_row  whether the first field of the first line is a question already, as there is no header.
    Raises PuzzleError where there is no column of questions, or nothing in it.
    """
    names = [name.strip().lower() for name in next(csv.reader([header]))]
    chosen = [names.index(name) for name in QUESTION_COLUMNS if name in names]
    column = chosen[0] if chosen else 0
    if not chosen and not is_row(names[0]):
        raise PuzzleError(
            f"{source}:{number}: the CSV header has no column named question, puzzle or quizzes; name one"
        )
    lines, first = (rest, number) if chosen else (chain([header], rest), number - 1)
    table = TableLines(lines, first, has_comments=has_comments)
    found = False
    try:
        for row in csv.reader(table):
            if row and len(row) <= column:
                raise PuzzleError(f"{source}:{table.number}: expected {column + 1} fields or more, got {len(row)}")
            if row:
                found = True
                yield Field(row[column], table.number, _offset(table.line, column))
    except csv.Error as error:
        raise PuzzleError(f"{source}:{table.number}: not CSV ({error}); correct it") from error
    if not found:
        raise PuzzleError(f"{source}:{number}: a CSV header and no {noun}; add rows below it")


def _offset(line: str, column: int) -> int:
    """Characters before a field's text: commas inside quotes separate no fields."""
    index, quoted = 0, False
    for position, character in enumerate(line):
        if index == column and not quoted:
            return position + (line[position] == '"')
        quoted ^= character == '"'
        index += character == "," and not quoted
    return 0


@dataclass
class Rows:
    """A board as read: its rows, and the line and column where each begins, from 1."""

    source: str
    rows: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def place(self, row: int, column: int) -> str:
        """Where a cell stands, for messages; row and column count from 0."""
        line, before = self.places[row]
        return f"{self.source}:{line}:{before + column}"


@dataclass(frozen=True)
class Spelling:
    """Square boards of letters: a row a line with empty lines between boards, a board a line, or CSV."""

    noun: str  # what a board is called in messages
    sides: range  # that a board can have
    meant: str  # in messages: what to write
    is_whole: Callable[[str], bool]  # whether a line holds a whole board, not one of its rows
    remedies: Mapping[str, str] = field(default_factory=dict)  # letter that is none: what to write instead

    def read(self, lines: Iterable[str], source: str) -> Iterator[Rows]:
        """Yield the boards of a text; raises PuzzleError where something is none."""
        rows, found = Rows(source), False
        numbered = enumerate(lines, start=1)
        for number, line in numbered:
            text = line.rstrip("\r\n")
            if not found and not rows.rows and _has_header(text):
                rest = (line for _, line in numbered)
                for one in read_column(line, rest, number, source, noun=self.noun, has_comments=False):
                    yield self.split(one.text, one.line, source, one.before)
                return
            if text.strip() or (rows.rows and len(text) == len(rows.rows[0])):
                if rows.rows and self.is_whole(rows.rows[-1]) and self.is_whole(text):
                    yield self._finished(rows)
                    rows, found = Rows(source), True
                rows.rows.append(text)
                rows.places.append((number, 1))
            elif rows.rows:
                yield self._finished(rows)
                rows, found = Rows(source), True
        if rows.rows:
            yield self._finished(rows)
        elif not found:
            raise PuzzleError(f"{source}:1: no {self.noun} in it; {self.meant}")

    def split(self, text: str, number: int, source: str, before: int = 0) -> Rows:
        """The board that stands on one line, cut into its rows; raises PuzzleError where it is not square."""
        side = isqrt(len(text))
        if not text or side * side != len(text):
            raise PuzzleError(
                f"{source}:{number}:{before + 1}: {len(text)} cells on a line are no square {self.noun}; "
                f"write a row a line, or all rows of a square {self.noun} one after another"
            )
        starts = range(0, len(text), side)
        return Rows(source, [text[at : at + side] for at in starts], [(number, before + at + 1) for at in starts])

    def tokens(self, rows: Rows, letters: Mapping[str, int]) -> Tokens:
        """A board as tokens [L]; raises PuzzleError for ragged rows and letters that mean nothing."""
        width = len(rows.rows[0])
        for number, row in enumerate(rows.rows):
            for column, letter in enumerate(row):
                if letter not in letters:
                    raise PuzzleError(f"{rows.place(number, column)}: {self._refusal(letter)}")
            if len(row) != width:
                raise PuzzleError(
                    f"{rows.place(number, len(row))}: {len(row)} cells in a row, {width} in the first; make the "
                    f"rows of a {self.noun} equally long (. is an open cell that editors keep)"
                )
        if len(rows.rows) != width:
            raise PuzzleError(
                f"{rows.place(0, 0)}: a {self.noun} of {len(rows.rows)}x{width}; {self.noun}s are square: "
                f"add {'rows' if len(rows.rows) < width else 'columns'} of #"
            )
        if width not in self.sides:
            raise PuzzleError(
                f"{rows.place(0, 0)}: a {self.noun} of {width}x{width}; "
                f"give one of {self.sides[0]} to {self.sides[-1]} cells a side"
            )
        return np.frombuffer(bytes(letters[letter] for row in rows.rows for letter in row), np.uint8)

    def _finished(self, rows: Rows) -> Rows:
        alone = len(rows.rows) == 1 and self.is_whole(rows.rows[0])
        return self.split(rows.rows[0], rows.places[0][0], rows.source) if alone else rows

    def _refusal(self, letter: str) -> str:
        shown = repr(letter) if letter.isprintable() else f"character U+{ord(letter):04X}"
        return self.remedies.get(letter, f"{shown} is no cell of a {self.noun}; {self.meant}")


def _has_header(text: str) -> bool:
    """Whether a line is the header of a table of questions."""
    return any(name.strip(' "').lower() in QUESTION_COLUMNS for name in text.split(","))


GZIP_MAGIC = b"\x1f\x8b"
MOST_DIGITS = 18  # of a rating
ROWS_AT_ONCE = 1 << 16  # that are kept as text before they become tokens


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text file for reading, gzipped or not; raises PuzzleError where that cannot be."""
    with translated(str(path)), path.open("rb") as raw, as_text(raw) as text:
        yield text


@contextmanager
def as_text(raw: io.BufferedReader) -> Iterator[io.TextIOBase]:
    """Read bytes as UTF-8 text, unpacking gzip on the way; a byte order mark is dropped."""
    gzipped = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    stream: BinaryIO = gzip.GzipFile(fileobj=raw) if gzipped else raw  # type: ignore[assignment] # reads bytes
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        yield text


@contextmanager
def translated(source: str) -> Iterator[None]:
    """Turn what can go wrong while reading into one line that names the source."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise PuzzleError(f"{source}: not a text file; save it as UTF-8 text") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PuzzleError(f"{source}: cannot be read ({reason}); check the path") from error
    except csv.Error as error:
        raise PuzzleError(f"{source}: not CSV ({error}); correct the file") from error


@dataclass
class _Rows:
    """Rows of a table as they are read, until they are turned into tokens together."""

    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    ratings: list[int] = field(default_factory=list)


def read_dataset(path: Path, task: Task) -> Dataset:
    """Read a CSV of questions and answers, each answer checked against the rules.

    Raises PuzzleError naming the file, the line and what is wrong with it.
    """
    return join(list(read_chunks(path, task)))


def read_chunks(path: Path, task: Task, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[Dataset]:
    """The same in parts, in order, so that a file of any size takes little memory."""
    num_cells = None
    for rows in _read_rows(path, rows_at_once, has_comments=task.has_comments):
        puzzles, answers = _tokens(rows, task, path)
        chunk = Dataset(puzzles, answers, rows.sources, np.array(rows.ratings), digest(puzzles, answers))
        if num_cells not in (None, chunk.puzzles.shape[1]):
            raise PuzzleError(f"{path}: puzzles of different sizes; keep one size to a file")
        num_cells = chunk.puzzles.shape[1]
        yield chunk
    if num_cells is None:
        raise PuzzleError(f"{path}: no rows below the header; add puzzles")


def _read_rows(path: Path, rows_at_once: int, *, has_comments: bool) -> Iterator[_Rows]:
    rows = _Rows()
    with open_text(path) as text:
        table = TableLines(text, has_comments=has_comments)
        reader = csv.DictReader(table)
        names = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        question = _choose(names, QUESTION_COLUMNS, path)
        answer = _choose(names, ANSWER_COLUMNS, path)
        for row in reader:
            place = f"{path}:{table.number}"
            rows.questions.append(_cell(row, question, place))
            rows.answers.append(_cell(row, answer, place))
            rows.lines.append(table.number)
            rows.sources.append(sys.intern(row.get("source") or ""))
            rows.ratings.append(_rating(row.get("rating"), place))
            if len(rows.lines) == rows_at_once:
                yield rows
                rows = _Rows()
    if rows.lines:
        yield rows


@dataclass(frozen=True)
class Survey:
    """What a data set holds, learned by reading it through without keeping it."""

    puzzles: int
    num_cells: int
    sha256: str  # as of a Dataset


def survey(path: Path, task: Task, limit: int | None = None) -> Survey:
    """Read and check a data set, or its first rows; raises PuzzleError as `read_dataset` does."""
    if path.is_fifo():
        raise PuzzleError(f"{path}: a pipe can be read once only; save it to a file first")
    puzzles, num_cells, sha256 = 0, 0, hashlib.sha256()
    for chunk in first_rows(read_chunks(path, task), limit):
        puzzles, num_cells = puzzles + len(chunk), chunk.puzzles.shape[1]
        sha256.update(chunk.puzzles.tobytes())
    for chunk in first_rows(read_chunks(path, task), limit):
        sha256.update(chunk.answers.tobytes())
    return Survey(puzzles, num_cells, sha256.hexdigest())


def first_rows(chunks: Iterator[Dataset], limit: int | None) -> Iterator[Dataset]:
    """The chunks' first rows, or all of them."""
    left = limit
    for chunk in chunks:
        yield chunk.head(left)
        if left is not None:
            left -= len(chunk)
            if left <= 0:
                return


def _choose(names: list[str], choices: tuple[str, ...], path: Path) -> str:
    for choice in choices:
        if choice in names:
            return choice
    raise PuzzleError(f"{path}:1: no column named {' or '.join(choices)}; name one in the header")


def _cell(row: dict[str, str], column: str, place: str) -> str:
    if not row[column]:
        raise PuzzleError(f"{place}: no {column} in this row; add it or remove the line")
    return row[column]


def _tokens(rows: _Rows, task: Task, path: Path) -> tuple[Tokens, Tokens]:
    """Questions and answers [N, L]; raises PuzzleError naming the line of a wrong one."""
    puzzles, answers = task.read_plain(rows.questions), task.read_plain(rows.answers)
    if puzzles is None or answers is None or puzzles.shape != answers.shape:
        puzzles, answers = _one_by_one(rows, task, path)
    rules = rules_of(task)
    if isinstance(rules, NoRules):
        return puzzles, answers
    for wrong in np.flatnonzero(~rules.rules_hold(puzzles, answers)):
        line = rows.lines[wrong]
        task.read_one(rows.questions[wrong], line, str(path))  # may have more to say
        task.read_answer(rows.answers[wrong], line, str(path))
        broken = rules.violations(puzzles[wrong], answers[wrong])[0]
        raise PuzzleError(
            f"{path}:{line}: the answer is wrong at row {broken.row}, column "
            f"{broken.column}: {broken.rule}; correct or remove the line"
        )
    return puzzles, answers


def _one_by_one(rows: _Rows, task: Task, path: Path) -> tuple[Tokens, Tokens]:
    """The same for puzzles that are spelled in any way the task knows."""
    found: list[tuple[Tokens, Tokens]] = []
    for question, answer, line in zip(rows.questions, rows.answers, rows.lines, strict=True):
        pair = (task.read_one(question, line, str(path)).tokens, task.read_answer(answer, line, str(path)))
        if {len(tokens) for tokens in pair} != {len(found[0][0] if found else pair[0])}:
            raise PuzzleError(f"{path}:{line}: differs in size from the rest; correct the line")
        found.append(pair)
    return np.stack([puzzle for puzzle, _ in found]), np.stack([answer for _, answer in found])


def _rating(text: str | None, place: str) -> int:
    if not text:
        return UNRATED
    if not (text.strip().isdecimal() and len(text) <= MOST_DIGITS):
        raise PuzzleError(f"{place}: the rating {text!r} is no whole number from 0 up")
    return int(text)


def dataset_bytes(data: Dataset, task: Task, *, gzipped: bool) -> bytes:
    """The CSV that `read_dataset` takes; the same data set gives the same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["source", "question", "answer", "rating"])
    for source, puzzle, answer, rating in zip(data.sources, data.puzzles, data.answers, data.ratings, strict=True):
        rated = "" if rating == UNRATED else int(rating)
        rows.writerow([source, task.write(puzzle), task.write(answer), rated])
    content = text.getvalue().encode()
    return gzip.compress(content, mtime=0) if gzipped else content


def join(datasets: list[Dataset]) -> Dataset:
    """One data set after another; raises PuzzleError where their sizes differ."""
    if len({dataset.puzzles.shape[1] for dataset in datasets}) > 1:
        raise PuzzleError("the data sets hold puzzles of different sizes; train on one size")
    puzzles = np.concatenate([dataset.puzzles for dataset in datasets])
    answers = np.concatenate([dataset.answers for dataset in datasets])
    sources = [source for dataset in datasets for source in dataset.sources]
    ratings = np.concatenate([dataset.ratings for dataset in datasets])
    return Dataset(puzzles, answers, sources, ratings, digest(puzzles, answers))
