"""Puzzles in text files: boards of letters, and CSV tables with answers or without, plain or gzipped.

source,question,answer,rating
puzzles2_17_clue,...8.1..........435............7.8...,237841569186795243594326718...,0
"""

import csv
import gzip
import hashlib
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import UNRATED, Dataset, Rules, Task, Tokens, digest

QUESTION_COLUMNS = ("question", "puzzle", "quizzes")  # of a CSV, the first that it has
ANSWER_COLUMNS = ("answer", "solution", "solutions")
GZIP_MAGIC = b"\x1f\x8b"
MOST_DIGITS = 18  # of a rating
NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what stands for a byte that is no part of a character
LONGEST_LINE = LONGEST_DOCUMENT = 1 << 23  # characters; what JSON says in them takes up to thirty times as many bytes
MOST_BLANKS = 1 << 16  # lines in a row
LONGEST_TEXT = 1 << 34  # characters of a file, of which a part at a time is in memory
ROWS_AT_ONCE = 1 << 16  # that are kept as text before they become tokens


@contextmanager
def open_text(path: Path | None) -> Iterator[Iterator[str]]:
    """The lines of a file, or of what is piped in: UTF-8 text, gzipped or not; a byte order mark is dropped.

    Raises PuzzleError that names the file where anything goes wrong, and where the text is longer than any:
    what has no end is not waited for.
    """
    source, is_gzip = str(path or "stdin"), False
    try:
        with path.open("rb") if path else nullcontext(sys.stdin.buffer) as found:
            raw: Any = found  # buffered, be it a file or stdin
            is_gzip = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
            with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield _limited_lines(text, source)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PuzzleError(f"{source}: a damaged gzip file ({error}); make or download it again") from error
    except OSError as error:
        raise PuzzleError(f"{source}: cannot be read ({error.strerror or error}); check the path") from error


def _limited_lines(text: io.TextIOBase, source: str) -> Iterator[str]:
    length = blanks = 0
    for number in count(1):
        line = text.readline(LONGEST_LINE + 1)
        length += len(line)
        blanks = blanks + 1 if line.isspace() else 0
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise PuzzleError(f"{source}:{number}: more than {LONGEST_LINE:,} characters on a line; write shorter ones")
        if blanks > MOST_BLANKS:
            raise PuzzleError(f"{source}:{number}: more than {MOST_BLANKS:,} empty lines in a row; leave them out")
        if length > LONGEST_TEXT:
            raise PuzzleError(f"{source}:{number}: more than {LONGEST_TEXT:,} characters; split the file")
        if not line.isascii() and (wrong := NOT_UTF_8.search(line)):
            place = f"{source}:{number}:{wrong.start() + 1}"
            raise PuzzleError(f"{place}: not a text file; save it as UTF-8 text")
        yield line


def read_document(lines: Iterable[str], place: str) -> str:
    """The rest of a text that can only be read as a whole, such as JSON; raises PuzzleError where it is too long."""
    taken = io.StringIO()
    for line in lines:
        if taken.tell() + len(line) > LONGEST_DOCUMENT:
            raise PuzzleError(f"{place}: more than {LONGEST_DOCUMENT:,} characters in one piece; split the file")
        taken.write(line)
    return taken.getvalue()


class TableLines:
    """Lines from line `first` on, without the `#` comments between them; `number` and `line` are those last given.

    has_comments  false where a line may start with # and mean it.
    """

    def __init__(self, lines: Iterable[str], first: int = 1, *, has_comments: bool) -> None:
        self.numbered = enumerate(lines, first)
        self.has_comments = has_comments
        self.number, self.line = first, ""

    def __iter__(self) -> Iterator[str]:
        for number, line in self.numbered:
            if number - self.number > MOST_BLANKS:
                raise csv.Error(f"{MOST_BLANKS:,} lines without a row")
            if self.has_comments and line.lstrip().startswith("#"):
                continue
            self.number, self.line = number, line
            yield line

    @contextmanager
    def named(self, source: str) -> Iterator[None]:
        """What is no CSV becomes a PuzzleError that says where."""
        try:
            yield
        except csv.Error as error:
            raise PuzzleError(f"{source}:{self.number}: not CSV ({error}); correct it") from error


def read_column(
    header: str,
    rest: Iterator[str],
    number: int,
    source: str,
    *,
    noun: str,
    has_comments: bool,
    is_row: Callable[[str], bool] = lambda _: False,
) -> Iterator[tuple[str, int, int]]:
    """Yield the questions of a table whose first line is line `number`: text, line, and characters before it there.

    noun    what a question is called in a message.
    is_row  whether the first field of the first line is a question already, as there is no header.
    Raises PuzzleError where there is no column of questions, or nothing in it.
    """
    with TableLines([], number, has_comments=has_comments).named(source):
        names = _column_names(next(csv.reader([header])), f"{source}:{number}")
    chosen = [names.index(name) for name in QUESTION_COLUMNS if name in names]
    column = chosen[0] if chosen else 0
    if not chosen and not is_row(names[0]):
        raise PuzzleError(
            f"{source}:{number}: the CSV header has no column named question, puzzle or quizzes; name one"
        )
    lines, first = (rest, number + 1) if chosen else (chain([header], rest), number)
    table = TableLines(lines, first, has_comments=has_comments)
    found = False
    with table.named(source):
        for row in filter(None, csv.reader(table, strict=True)):
            if len(row) <= column:
                raise PuzzleError(f"{source}:{table.number}: expected {column + 1} fields or more, got {len(row)}")
            found = True
            yield row[column], table.number, _offset(table.line, column)
    if not found:
        raise PuzzleError(f"{source}:{number}: a CSV header and no {noun}; add rows below it")


def _column_names(header: Sequence[str], place: str) -> list[str]:
    """The names in a header; raises PuzzleError where one of ours is there twice."""
    names = [name.strip().lower() for name in header]
    if twice := next((name for name in (*QUESTION_COLUMNS, *ANSWER_COLUMNS) if names.count(name) > 1), None):
        raise PuzzleError(f"{place}: two columns named {twice}; rename one")
    return names


def _offset(line: str, column: int) -> int:
    """Characters before a field's text: commas inside quotes separate no fields."""
    index, quoted = 0, False
    for position, character in enumerate(line):
        if index == column and not quoted:
            return position + (line[position] == '"')
        quoted ^= character == '"'
        index += character == "," and not quoted
    return 0


def printable(letter: str) -> str:
    """A letter as messages show it."""
    return repr(letter) if letter.isprintable() else f"character U+{ord(letter):04X}"


def plain_tokens(texts: list[str], letters: Mapping[str, int]) -> Tokens | None:
    """ASCII texts of one length as tokens [N, L], 0 for a letter that means nothing; None for other texts."""
    whole = "".join(texts)
    if not whole.isascii() or any(len(text) != len(texts[0]) for text in texts):
        return None
    token_of = np.zeros(128, np.uint8)
    for letter in filter(str.isascii, letters):
        token_of[ord(letter)] = letters[letter]
    return token_of[np.frombuffer(whole.encode(), np.uint8)].reshape(len(texts), -1)


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
            in_board = bool(rows.rows)
            names = (name.strip(' "').lower() for name in text.split(","))
            if not found and not in_board and any(name in QUESTION_COLUMNS for name in names):
                rest = (line for _, line in numbered)
                for one, at, before in read_column(line, rest, number, source, noun=self.noun, has_comments=False):
                    yield self.split(one, at, source, before)
                return
            is_row = text.strip() or (in_board and len(text) == len(rows.rows[0]))
            if in_board and (not is_row or (self.is_whole(rows.rows[-1]) and self.is_whole(text))):
                yield self._finished(rows)
                rows, found = Rows(source), True
            if is_row:
                if len(rows.rows) == self.sides[-1] and not self.is_whole(text):
                    raise PuzzleError(
                        f"{source}:{number}: more than {self.sides[-1]} rows of a {self.noun}; "
                        f"give one of {self.sides[0]} to {self.sides[-1]} cells a side"
                    )
                rows.rows.append(text)
                rows.places.append((number, 1))
        if rows.rows:
            yield self._finished(rows)
        elif not found:
            raise PuzzleError(f"{source}:1: no {self.noun} in it; {self.meant}")

    def _finished(self, rows: Rows) -> Rows:
        alone = len(rows.rows) == 1 and self.is_whole(rows.rows[0])
        return self.split(rows.rows[0], rows.places[0][0], rows.source) if alone else rows

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
        height, width = len(rows.rows), len(rows.rows[0])
        for number, row in enumerate(rows.rows):
            for column, letter in enumerate(row):
                if letter not in letters:
                    what = self.remedies.get(letter, f"{printable(letter)} is no cell of a {self.noun}; {self.meant}")
                    raise PuzzleError(f"{rows.place(number, column)}: {what}")
            if len(row) != width:
                raise PuzzleError(
                    f"{rows.place(number, len(row))}: {len(row)} cells in a row, {width} in the first; make the "
                    f"rows of a {self.noun} equally long (. is an open cell that editors keep)"
                )
        if height != width or width not in self.sides:
            remedy = f"give one of {self.sides[0]} to {self.sides[-1]} cells a side"
            if height != width:
                remedy = f"{self.noun}s are square: add {'rows' if height < width else 'columns'} of #"
            raise PuzzleError(f"{rows.place(0, 0)}: a {self.noun} of {height}x{width}; {remedy}")
        return np.frombuffer(bytes(letters[letter] for row in rows.rows for letter in row), np.uint8)


class _Row(NamedTuple):
    """A row of a table, and the line that it ends on."""

    question: str
    answer: str
    source: str
    rating: int
    line: int


def read_dataset(path: Path, task: Task) -> Dataset:
    """Read a CSV of questions and answers, each answer checked against the rules.

    Raises PuzzleError naming the file, the line and what is wrong with it.
    """
    return join(list(read_chunks(path, task)))


def read_chunks(path: Path, task: Task, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[Dataset]:
    """The same in parts, in order, so that a file of any size takes little memory."""
    num_cells = None
    coming = _read_rows(path, has_comments=task.has_comments)
    while rows := list(islice(coming, rows_at_once)):
        puzzles, answers = _tokens(rows, task, path)
        if num_cells not in (None, puzzles.shape[1]):
            raise PuzzleError(f"{path}: puzzles of different sizes; keep one size to a file")
        num_cells = puzzles.shape[1]
        ratings = np.array([row.rating for row in rows])
        yield Dataset(puzzles, answers, [row.source for row in rows], ratings, digest(puzzles, answers))
    if num_cells is None:
        raise PuzzleError(f"{path}: no rows below the header; add puzzles")


def _read_rows(path: Path, *, has_comments: bool) -> Iterator[_Row]:
    with open_text(path) as text, (table := TableLines(text, has_comments=has_comments)).named(str(path)):
        reader = csv.DictReader(table, strict=True)
        reader.fieldnames = names = _column_names(reader.fieldnames or [], f"{path}:1")
        columns = []
        for choices in (QUESTION_COLUMNS, ANSWER_COLUMNS):
            known = [name for name in choices if name in names]
            if not known:
                raise PuzzleError(f"{path}:1: no column named {' or '.join(choices)}; name one in the header")
            columns.append(known[0])
        for row in reader:
            place, rating = f"{path}:{table.number}", row.get("rating") or ""
            for column in columns:
                if not row[column]:
                    raise PuzzleError(f"{place}: no {column} in this row; add it or remove the line")
            if rating and not (rating.strip().isdecimal() and len(rating) <= MOST_DIGITS):
                raise PuzzleError(f"{place}: the rating {rating!r} is no whole number from 0 up")
            question, answer = (row[column] for column in columns)
            source, rated = sys.intern(row.get("source") or ""), int(rating) if rating else UNRATED
            yield _Row(question, answer, source, rated, table.number)


def _tokens(rows: list[_Row], task: Task, path: Path) -> tuple[Tokens, Tokens]:
    """Questions and answers [N, L]; raises PuzzleError naming the line of a wrong one."""

    def read(row: _Row) -> tuple[Tokens, Tokens]:
        question = task.read_one(row.question, row.line, str(path)).tokens
        return question, task.read_answer(row.answer, row.line, str(path))

    puzzles, answers = task.read_plain([row.question for row in rows]), task.read_plain([row.answer for row in rows])
    if puzzles is None or answers is None or puzzles.shape != answers.shape:
        found = []
        for row in rows:
            found.append(read(row))
            if {len(tokens) for tokens in found[-1]} != {len(found[0][0])}:
                raise PuzzleError(f"{path}:{row.line}: differs in size from the rest; correct the line")
        puzzles, answers = (np.stack(tokens) for tokens in zip(*found, strict=True))
    if isinstance(task, Rules):
        for wrong in np.flatnonzero(~task.rules_hold(puzzles, answers)):
            read(rows[wrong])  # may have more to say
            broken = task.violations(puzzles[wrong], answers[wrong])[0]
            raise PuzzleError(
                f"{path}:{rows[wrong].line}: the answer is wrong at row {broken.row}, column "
                f"{broken.column}: {broken.rule}; correct or remove the line"
            )
    return puzzles, answers


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


def join(datasets: list[Dataset]) -> Dataset:
    """One data set after another; raises PuzzleError where their sizes differ."""
    if len({dataset.puzzles.shape[1] for dataset in datasets}) > 1:
        raise PuzzleError("the data sets hold puzzles of different sizes; train on one size")
    puzzles = np.concatenate([dataset.puzzles for dataset in datasets])
    answers = np.concatenate([dataset.answers for dataset in datasets])
    sources = [source for dataset in datasets for source in dataset.sources]
    ratings = np.concatenate([dataset.ratings for dataset in datasets])
    return Dataset(puzzles, answers, sources, ratings, digest(puzzles, answers))


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
