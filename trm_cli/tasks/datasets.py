"""Data sets: CSV files of questions with their answers, plain or gzipped.

source,question,answer,rating
puzzles2_17_clue,...8.1..........435............7.8...,237841569186795243594326718...,0
"""

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks.base import UNRATED, Dataset, Task, Tokens, digest

GZIP_MAGIC = b"\x1f\x8b"
ANSWER_COLUMNS = ("answer", "solution", "solutions")
QUESTION_COLUMNS = ("question", "puzzle", "quizzes")


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text file for reading, gzipped or not; raises PuzzleError where that cannot be."""
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        with (
            gzip.open(path, "rb") if gzipped else path.open("rb") as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text,
        ):
            yield text
    except UnicodeDecodeError as error:
        raise PuzzleError(f"{path}: not a text file; save it as UTF-8 text") from error
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PuzzleError(f"{path}: cannot be read ({reason}); check the path") from error


def read_dataset(path: Path, task: Task) -> Dataset:
    """Read a CSV of questions and answers, each answer checked against the rules.

    Raises PuzzleError naming the file, the line and what is wrong with it.
    """
    questions, answers, sources, ratings = _Column(), _Column(), [], []
    with open_text(path) as text:
        rows = csv.DictReader(text)
        names = [name.strip().lower() for name in rows.fieldnames or []]
        rows.fieldnames = names
        question = _choose(names, QUESTION_COLUMNS, path)
        answer = _choose(names, ANSWER_COLUMNS, path)
        for row in rows:
            place = f"{path}:{rows.line_num}"
            questions.add(rows.line_num, row[question], f"{place}: no {question}")
            answers.add(rows.line_num, row[answer], f"{place}: no {answer}")
            sources.append(row.get("source") or "")
            ratings.append(_rating(row.get("rating"), place))
    if not sources:
        raise PuzzleError(f"{path}: no rows below the header; add puzzles")
    puzzles, solutions = questions.tokens(path, task), answers.tokens(path, task)
    _refuse_wrong_answers(puzzles, solutions, task, [f"{path}:{n}" for n in questions.numbers])
    return Dataset(puzzles, solutions, sources, np.array(ratings), digest(puzzles, solutions))


class _Column:
    """The cells of one column, each on the line where the file has it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[int] = []

    def add(self, number: int, cell: str | None, complaint: str) -> None:
        if not cell:
            raise PuzzleError(f"{complaint} in this row; add it or remove the line")
        self.lines += [""] * (number - 1 - len(self.lines)) + [cell]
        self.numbers.append(number)

    def tokens(self, path: Path, task: Task) -> Tokens:
        rows = [puzzle.tokens for puzzle in task.read(self.lines, str(path))]
        if len(rows) != len(self.numbers) or len({len(row) for row in rows}) > 1:
            raise PuzzleError(f"{path}: every row must hold one puzzle of the same size")
        return np.stack(rows)


def _refuse_wrong_answers(puzzles: Tokens, answers: Tokens, task: Task, places: list[str]) -> None:
    if puzzles.shape != answers.shape:
        raise PuzzleError(f"{places[0]}: question and answer differ in size; correct the line")
    for row in np.flatnonzero(~task.rules_hold(puzzles, answers)):
        broken = task.violations(puzzles[row], answers[row])[0]
        raise PuzzleError(
            f"{places[row]}: the answer is wrong at row {broken.row}, column {broken.column}: "
            f"{broken.rule}; correct or remove the line"
        )


def _rating(text: str | None, place: str) -> int:
    if not text:
        return UNRATED
    try:
        return int(text)
    except ValueError as error:
        raise PuzzleError(f"{place}: the rating {text!r} is no whole number") from error


def write_dataset(data: Dataset, task: Task, path: Path | None) -> None:
    """Write a CSV that `read_dataset` takes, to a file or to stdout; gzipped if so named.

    The same data set gives the same bytes. Raises UsageError where the file cannot be written.
    """
    rows = ["source,question,answer,rating\n"]
    for source, puzzle, answer, rating in zip(
        data.sources, data.puzzles, data.answers, data.ratings, strict=True
    ):
        rated = "" if rating == UNRATED else str(rating)
        rows.append(f"{source},{task.write(puzzle)},{task.write(answer)},{rated}\n")
    content = "".join(rows).encode()
    if path is None:
        sys.stdout.write(content.decode())
        return
    try:
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error


def join(datasets: list[Dataset]) -> Dataset:
    """One data set after another; raises PuzzleError where their sizes differ."""
    if len({dataset.puzzles.shape[1] for dataset in datasets}) > 1:
        raise PuzzleError("the data sets hold puzzles of different sizes; train on one size")
    puzzles = np.concatenate([dataset.puzzles for dataset in datasets])
    answers = np.concatenate([dataset.answers for dataset in datasets])
    sources = [source for dataset in datasets for source in dataset.sources]
    ratings = np.concatenate([dataset.ratings for dataset in datasets])
    return Dataset(puzzles, answers, sources, ratings, digest(puzzles, answers))


def _choose(names: list[str], choices: tuple[str, ...], path: Path) -> str:
    for choice in choices:
        if choice in names:
            return choice
    raise PuzzleError(f"{path}:1: no column named {' or '.join(choices)}; name one in the header")
