"""Puzzles from wherever a user has them: typed, in files, piped in, in arrays; all checked before a model loads.

Beside the spellings of its task, every puzzle may come as JSON: a list of puzzles, a list of rows, objects with
a `puzzle`, `question` or `quizzes` field, one object or one a line, such as `trm solve --json` writes.
"""

import json
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from math import isqrt
from pathlib import Path
from string import ascii_uppercase
from string import digits as DIGITS
from typing import Any

import numpy as np

from trm_cli.config import ModelConfig
from trm_cli.errors import FileError, PuzzleError, UsageError, did_you_mean
from trm_cli.schema import parse_json
from trm_cli.tasks import get_task, loadable_tasks, task_names
from trm_cli.tasks.base import Generator, Puzzle, Task, Tokens
from trm_cli.tasks.problems import Demonstrated, Problem
from trm_cli.tasks.tables import QUESTION_COLUMNS, open_text, read_column, read_document

STDIN = "-"  # what stands for it among files
SAMPLE = 1 << 16  # characters of a text that show what it is
MOST_BYTES = 1_000_000_000  # of the puzzles of a source: eleven million Sudokus
MOST_CELLS = 1 << 16  # of a puzzle that comes as rows of JSON
DIGITS_OF_A_CELL = 6
LARGEST_CELL = len(DIGITS) + len(ascii_uppercase) - 1  # that a letter stands for
LONGEST_NAME = 200  # characters of a word that could be a file's name
IS_TRACE = re.compile(r'\s*\{"trace": \d')  # the first line of what `trm watch --save` writes
IS_JSON = re.compile(r'\s*(?:\{|\[\s*(?:[\[{"\d\]]|null|$))')  # not [Puzzle], the first line of an .sdk file


@dataclass(frozen=True)
class Source:
    """Where puzzles stand: in a file, on stdin (neither path nor text), or in a text that was typed."""

    name: str  # in messages
    path: Path | None = None
    text: str | None = None
    may_wait: bool = False  # on stdin, for someone to type

    @contextmanager
    def lines(self) -> Iterator[Iterator[str]]:
        """Its lines; raises PuzzleError where they cannot be read, UsageError where nothing is piped in."""
        if self.text is not None:
            yield iter(self.text.splitlines(keepends=True))
            return
        if self.path is None and (sys.stdin is None or (not self.may_wait and sys.stdin.isatty())):
            raise UsageError("no puzzles: give a puzzle or a file, or - to type them in (end with Ctrl-D)")
        with open_text(self.path) as lines:
            yield lines


@dataclass(frozen=True)
class PuzzleList:
    """Puzzles of one size from one source: a byte a cell and a number a puzzle."""

    first: Puzzle
    tokens: Tokens  # [count, L]
    lines: "array[int]"  # where each starts

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Puzzle]:
        for row, line in zip(self.tokens, self.lines, strict=True):
            yield replace(self.first, tokens=row, line=line)

    @property
    def num_cells(self) -> int:
        """L, cells of each puzzle."""
        return self.first.tokens.size


def find_source(word: str, *, noun: str = "a puzzle") -> Source:
    """What a word means: - is stdin; else a file of that name; else a puzzle itself.

    noun  what it could have been but for a file.
    Raises PuzzleError, with the nearest name of a file, where it is none of them.
    """
    if word == STDIN:
        return Source("stdin", may_wait=True)
    if not word:
        raise PuzzleError(f"an empty word is no file, and not {noun}; name one, or - for stdin")
    path = Path(word)
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # too long for a name, or a null character in it
        is_there = False
    if is_there:
        return Source(word, path)
    if "\n" in word or len(word) > LONGEST_NAME or IS_JSON.match(word) or tasks_of(word):
        return Source("puzzle", text=word)
    folder = path.parent if path.parent.is_dir() else Path()
    others: set[str] = set()
    with suppress(OSError):  # of a folder that nobody may look into
        others = {other.name for other in folder.iterdir()} - {path.name}
    near = did_you_mean(path.name, others)
    if near and folder != Path():
        near = near.replace("mean ", f"mean {folder}/")
    raise PuzzleError(f"{word}: no such file, and not {noun}{near or '; check the path'}")


def find_sources(words: list[str]) -> tuple[Task | None, list[Source]]:
    """The task, if the first word names one, and what the others mean; without others, stdin.

    Raises UsageError or PuzzleError where a word means nothing.
    """
    if not words:
        return None, [Source("stdin")]
    first, *rest = words
    if first in task_names():
        return get_task(first), [find_source(word) for word in rest] or [Source("stdin")]
    is_name = first.isidentifier() and len(first) <= LONGEST_NAME  # of a task, if it is no file's
    if is_name and not Path(first).exists() and not tasks_of(first):
        get_task(first)  # raises: it is none
    return None, [find_source(word, noun="a task or a puzzle") for word in words]


def find_puzzles(words: list[str]) -> tuple[Task, list[Source]]:
    """What words mean, and of which task the puzzles are, be it said or seen in them.

    Raises UsageError or PuzzleError where that cannot be told.
    """
    task, sources = find_sources(words)
    if task is None:
        inferred = [infer_task(source) for source in sources]
        task, sources = inferred[0][0], [source for _, source in inferred]
        for other, source in inferred:
            if other.name != task.name:
                raise UsageError(
                    f"{source.name}: holds a {other.name}, {sources[0].name} a {task.name}; solve them one by one"
                )
    return task, sources


def tasks_of(text: str) -> list[Task]:
    """The tasks that a text could hold a puzzle of."""
    samples = [text, *_first_question(text)]
    return [task for task in loadable_tasks() if any(map(task.recognises, samples))]


def infer_task(source: Source) -> tuple[Task, Source]:
    """The task that the puzzles of a source are of, and the source, which can be read from its beginning.

    Raises UsageError where it cannot be told.
    """
    with source.lines() as lines:
        if source.path is None and source.text is None:
            source = replace(source, text=read_document(lines, source.name))
        sample = source.text[:SAMPLE] if source.text is not None else _sample(lines)
    if not sample.strip():
        raise PuzzleError(f"{source.name}: no puzzle in it")
    _refuse_trace(sample, source.name)
    found = tasks_of(sample)
    if len(found) == 1:
        return found[0], source
    choices = " or ".join(task.name for task in found) or f"one of {', '.join(task_names())}"
    raise UsageError(f"{source.name}: which kind of puzzle is this? Name it before the file: {choices}")


def _refuse_trace(text: str, name: str) -> None:
    if IS_TRACE.match(text):
        raise PuzzleError(f"{name}: a recorded run, not a puzzle; show it with trm watch --replay {name}")


def _sample(lines: Iterator[str]) -> str:
    """The beginning of a text, in whole lines where they are not longer than all of it."""
    taken: list[str] = []
    length = 0
    for line in lines:
        taken.append(line)
        length += len(line)
        if length > SAMPLE:
            break
    return "".join(taken)


def _first_question(text: str) -> list[str]:
    """The first puzzle in a text that is JSON or a table with a header; nothing where it is neither, or damaged."""
    lines = text.splitlines(keepends=True)
    header = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if header is None:
        return []
    try:
        if IS_JSON.match(text):
            with suppress(PuzzleError):
                return [next(_json_questions(iter(lines), ""))[0]]
            first, _ = json.JSONDecoder().raw_decode(text.lstrip()[1:].lstrip())  # of a list without its end
            return [next(_questions(first, ""))]
        if {name.strip(' "\r\n').lower() for name in lines[header].split(",")} & set(QUESTION_COLUMNS):
            rest = iter(lines[header + 1 :])
            return [next(read_column(lines[header], rest, 1, "", noun="puzzle", has_comments=True))[0]]
    except (PuzzleError, StopIteration, ValueError, RecursionError):
        pass
    return []


def read_puzzles(task: Task, source: Source) -> PuzzleList:
    """Read and check every puzzle of a source.

    Raises PuzzleError or UsageError with what is wrong, where, and what to do; and, where the text is of
    another task, which.
    """
    name = source.name
    seen: list[str] = []
    with source.lines() as lines:
        coming = _noting(lines, seen)
        blanks, line = 0, next(coming, "")
        while line and not line.strip():
            blanks, line = blanks + 1, next(coming, "")
        text = chain(repeat("\n", blanks), [line] * bool(line), coming)
        _refuse_trace(line, name)
        if IS_JSON.match(line):
            questions = _json_questions(text, name)
            puzzles: Iterator[Puzzle] = (task.read_one(question, line, name) for question, line in questions)
        else:
            puzzles = task.read(text, name)
        try:
            return _collect(puzzles, name)
        except PuzzleError as error:
            others = tasks_of("".join(seen) + _sample(lines))
            if len(others) != 1 or others[0].name == task.name:
                raise
            other = others[0].name
            raise PuzzleError(
                f"{name}: this looks like {'an' if other[0] in 'aeiou' else 'a'} {other}, not a {task.name}; "
                f"write trm solve {other} {name if source.path else ''}".rstrip()
            ) from error


def _noting(lines: Iterable[str], seen: list[str]) -> Iterator[str]:
    """Give lines on, and note the first of them."""
    left = SAMPLE
    for line in lines:
        if left > 0:
            seen.append(line)
            left -= len(line)
        yield line


def read_example(task: Task, count: int, network: ModelConfig | None = None) -> PuzzleList:
    """The first puzzles of those that come with the task.

    network  which they are for; generated puzzles take their place where its boards have another size.
    Raises UsageError where there are none.
    """
    if task.examples:
        known = _collect(islice(task.read(task.examples.splitlines(), "example"), count), "example")
        if network is None or network.fits(known.num_cells):
            return known
    if network is None or not isinstance(task, Generator):
        raise UsageError(f"no {task.name} comes with trm that could be shown: give a file of puzzles")
    side = network.height
    made = task.generate(replace(task.usual(side), puzzles=count), size=side, seed=0)
    texts = map(task.write, made.puzzles)
    return _collect((task.read_one(text, line, "example") for line, text in enumerate(texts, 1)), "example")


def _collect(coming: Iterable[Puzzle], source: str) -> PuzzleList:
    first, tokens, lines = None, bytearray(), array("Q")
    for puzzle in coming:
        first = first or puzzle
        if (puzzle.height, puzzle.width) != (first.height, first.width):
            raise PuzzleError(
                f"{puzzle.place}: a {puzzle.height}x{puzzle.width} grid after "
                f"{first.height}x{first.width} ones; give each size a file of its own"
            )
        tokens += puzzle.tokens.tobytes()
        lines.append(puzzle.line)
        if len(tokens) + lines.itemsize * len(lines) > MOST_BYTES:
            raise PuzzleError(f"{puzzle.place}: more than {len(lines) - 1:,} puzzles; split the file")
    if first is None:
        raise PuzzleError(f"{source}: no puzzle in it")
    return PuzzleList(first, np.frombuffer(tokens, np.uint8).reshape(len(lines), -1), lines)


def read_problems(task: Demonstrated, source: Source) -> list[Problem]:
    """The problems of a source, which may be a folder; raises PuzzleError where they are none."""
    if source.path is not None:
        return task.read_problems(source.path)
    with source.lines() as lines:
        return task.parse_problems(read_document(lines, source.name), source.name, source.name)


def _json_questions(lines: Iterator[str], source: str) -> Iterator[tuple[str, int]]:
    """The puzzles of a JSON text, each on one line, and the line of the text that each begins on.

    Raises PuzzleError where the text is not JSON, or holds no puzzles.
    """
    number, rest = 1, ""
    for number, line in enumerate(lines, 1):
        try:
            value = parse_json(line) if line.strip() else []
        except FileError:
            rest = line + read_document(lines, f"{source}:{number}")
            break
        for text in _questions(value, f"{source}:{number}"):
            yield text, number
    if rest:
        try:
            value = parse_json(rest)
        except FileError as error:
            raise PuzzleError(f"{source}:{number}: {error}; correct the file") from error
        for text in _questions(value, source):
            yield text, number


def _questions(value: Any, place: str) -> Iterator[str]:
    """The puzzles in a value of JSON: an object, a text, rows of one puzzle, or a list of any of these."""
    if isinstance(value, dict):
        name = next((name for name in (*QUESTION_COLUMNS, f"{QUESTION_COLUMNS[1]}s") if name in value), None)
        if name is None:
            raise PuzzleError(f"{place}: an object without a field named {' or '.join(QUESTION_COLUMNS)}; add one")
        yield from _questions(value[name], place)
    elif isinstance(value, str):
        yield "".join(value.splitlines())
    elif isinstance(value, list):
        is_rows = bool(value) and all(isinstance(row, list) and not any(map(_is_list, row)) for row in value)
        lengths = {len(row) if isinstance(row, str) else None for row in value}
        if is_rows or (lengths == {len(value)} and not tasks_of(str(value[0]))):
            yield rows_as_text(value, place)
            return
        for item in value:
            if not isinstance(item, (dict, str, list)):
                raise PuzzleError(f"{place}: {json.dumps(item)[:20]} where a puzzle should be; write text or rows")
            yield from _questions(item, place)
    else:
        raise PuzzleError(f"{place}: {json.dumps(value)[:20]} is no puzzle; write text or rows")


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def rows_as_text(rows: Iterable[Sequence[Any]], place: str) -> str:
    """Rows of cells as one line: digits and letters as they are, nothing (None, NaN, an empty text) as a blank.

    Numbers from 10 up to the side of the board are letters.
    Raises PuzzleError for a cell that is more than one letter or digit.
    """
    whole = list(rows)
    count = sum(map(len, whole))
    if count > MOST_CELLS:
        raise PuzzleError(f"{place}: more than {MOST_CELLS:,} cells in one puzzle")
    return "".join(map(partial(_cell_as_text, place=place, highest=isqrt(count)), chain.from_iterable(whole)))


def _cell_as_text(cell: Any, place: str, highest: int) -> str:
    shown = ""  # where that is not its text
    if cell is None or cell is np.ma.masked:
        text = ""
    elif isinstance(cell, str):
        text = cell
    elif isinstance(cell, (int, float, np.integer, np.floating)) and not isinstance(cell, bool):
        is_whole = -MOST_CELLS <= cell <= MOST_CELLS and cell == int(cell)
        text = str(int(cell)) if is_whole else "" if cell != cell else "many digits"
        shown = "" if is_whole or isinstance(cell, (int, np.integer)) else repr(str(cell))
    else:
        text, shown = "no cell", json.dumps(cell) if isinstance(cell, bool) else f"a {type(cell).__name__}"
    if not text:
        return "."
    if text.isdecimal() and len(text) < DIGITS_OF_A_CELL and len(DIGITS) <= int(text) <= min(highest, LARGEST_CELL):
        return ascii_uppercase[int(text) - len(DIGITS)]
    if len(text) != 1:
        raise PuzzleError(f"{place}: {shown or repr(text[:20])} in one cell; write one digit or letter a cell")
    return text
