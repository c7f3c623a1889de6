"""Data sets: CSV files of questions with their answers, plain or gzipped.

source,question,answer,rating
puzzles2_17_clue,...8.1..........435............7.8...,237841569186795243594326718...,0
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import (
    ANSWER_COLUMNS,
    QUESTION_COLUMNS,
    UNRATED,
    Dataset,
    Task,
    Tokens,
    digest,
)
from trm_cli.tasks.tables import TableLines

GZIP_MAGIC = b"\x1f\x8b"


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


def read_dataset(path: Path, task: Task) -> Dataset:
    """Read a CSV of questions and answers, each answer checked against the rules.

    Raises PuzzleError naming the file, the line and what is wrong with it.
    """
    questions, answers, sources, ratings, lines = [], [], [], [], []
    with open_text(path) as text:
        table = TableLines(text)
        rows = csv.DictReader(table)
        names = [name.strip().lower() for name in rows.fieldnames or []]
        rows.fieldnames = names
        question = _choose(names, QUESTION_COLUMNS, path)
        answer = _choose(names, ANSWER_COLUMNS, path)
        for row in rows:
            line = table.number
            questions.append(_tokens(row, question, line, path, task))
            answers.append(_tokens(row, answer, line, path, task))
            if len(questions[0]) != len(questions[-1]) or len(questions[-1]) != len(answers[-1]):
                raise PuzzleError(f"{path}:{line}: differs in size from the rest; correct the line")
            sources.append(row.get("source") or "")
            ratings.append(_rating(row.get("rating"), f"{path}:{line}"))
            lines.append(line)
    if not questions:
        raise PuzzleError(f"{path}: no rows below the header; add puzzles")
    puzzles, solutions = np.stack(questions), np.stack(answers)
    _refuse_wrong_answers(puzzles, solutions, task, path, lines)
    return Dataset(puzzles, solutions, sources, np.array(ratings), digest(puzzles, solutions))


def _choose(names: list[str], choices: tuple[str, ...], path: Path) -> str:
    for choice in choices:
        if choice in names:
            return choice
    raise PuzzleError(f"{path}:1: no column named {' or '.join(choices)}; name one in the header")


def _tokens(row: dict[str, str], column: str, line: int, path: Path, task: Task) -> Tokens:
    if not row[column]:
        raise PuzzleError(f"{path}:{line}: no {column} in this row; add it or remove the line")
    return task.read_one(row[column], line, str(path)).tokens


def _refuse_wrong_answers(
    puzzles: Tokens, answers: Tokens, task: Task, path: Path, lines: list[int]
) -> None:
    for row in np.flatnonzero(~task.rules_hold(puzzles, answers)):
        broken = task.violations(puzzles[row], answers[row])[0]
        raise PuzzleError(
            f"{path}:{lines[row]}: the answer is wrong at row {broken.row}, column "
            f"{broken.column}: {broken.rule}; correct or remove the line"
        )


def _rating(text: str | None, place: str) -> int:
    if not text:
        return UNRATED
    if not text.strip().isdecimal():
        raise PuzzleError(f"{place}: the rating {text!r} is no whole number from 0 up")
    return int(text)


def dataset_bytes(data: Dataset, task: Task, *, gzipped: bool) -> bytes:
    """The CSV that `read_dataset` takes; the same data set gives the same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["source", "question", "answer", "rating"])
    for source, puzzle, answer, rating in zip(
        data.sources, data.puzzles, data.answers, data.ratings, strict=True
    ):
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
