"""Data sets: CSV files of questions with their answers, plain or gzipped.

    source,question,answer,rating
    puzzles2_17_clue,...8.1..........435............7.8...,237841569186795243594326718...,0
"""

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import Task, Tokens

GZIP_MAGIC = b"\x1f\x8b"
ANSWER_COLUMNS = ("answer", "solution", "solutions")
QUESTION_COLUMNS = ("question", "puzzle", "quizzes")
UNRATED = -1


@dataclass(frozen=True)
class Dataset:
    """N questions with their answers."""

    puzzles: Tokens  # [N, L]
    answers: Tokens  # [N, L]
    sources: list[str]  # where each comes from; empty where the file does not say
    ratings: np.ndarray  # [N] int64; UNRATED where the file does not say
    sha256: str  # of the puzzles and answers, whatever the file's spelling or compression

    def __len__(self) -> int:
        return len(self.puzzles)

    def rows(self, chosen: np.ndarray) -> "Dataset":
        """The chosen rows, as a data set of their own."""
        puzzles, answers = self.puzzles[chosen], self.answers[chosen]
        sources = [self.sources[row] for row in chosen]
        return Dataset(puzzles, answers, sources, self.ratings[chosen], digest(puzzles, answers))


def digest(puzzles: Tokens, answers: Tokens) -> str:
    """SHA-256 of tokens [N, L] and their answers, in hexadecimal."""
    return hashlib.sha256(puzzles.tobytes() + answers.tobytes()).hexdigest()


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text file for reading, gzipped or not; raises PuzzleError where that cannot be."""
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stream = gzip.open(path, "rb") if gzipped else path.open("rb")
        with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:  # type: ignore[type-var]
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
    with open_text(path) as text:
        rows = csv.DictReader(text)
        names = [name.strip().lower() for name in rows.fieldnames or []]
        rows.fieldnames = names
        question = _column(names, QUESTION_COLUMNS, path)
        answer = _column(names, ANSWER_COLUMNS, path)
        questions, answers, sources, ratings = [], [], [], []
        for row in rows:
            questions.append(row[question])
            answers.append(row[answer])
            sources.append(row.get("source") or "")
            ratings.append(int(row.get("rating") or UNRATED))
    if not questions:
        raise PuzzleError(f"{path}: no rows below the header; add puzzles")
    puzzles, solutions = _tokens(questions, path, task), _tokens(answers, path, task)
    if puzzles.shape != solutions.shape:
        raise PuzzleError(f"{path}: questions and answers differ in size")
    wrong = np.flatnonzero(~task.rules_hold(puzzles, solutions))
    if len(wrong):
        broken = task.violations(puzzles[wrong[0]], solutions[wrong[0]])[0]
        raise PuzzleError(
            f"{path}:{wrong[0] + 2}: the answer is wrong at row {broken.row}, column "
            f"{broken.column}: {broken.rule}; correct or remove the line"
        )
    return Dataset(puzzles, solutions, sources, np.array(ratings), digest(puzzles, solutions))


def join(datasets: list[Dataset]) -> Dataset:
    """One data set after another; raises PuzzleError where their sizes differ."""
    if len({dataset.puzzles.shape[1] for dataset in datasets}) > 1:
        raise PuzzleError("the data sets hold puzzles of different sizes; train on one size")
    puzzles = np.concatenate([dataset.puzzles for dataset in datasets])
    answers = np.concatenate([dataset.answers for dataset in datasets])
    sources = [source for dataset in datasets for source in dataset.sources]
    ratings = np.concatenate([dataset.ratings for dataset in datasets])
    return Dataset(puzzles, answers, sources, ratings, digest(puzzles, answers))


def _column(names: list[str], choices: tuple[str, ...], path: Path) -> str:
    for choice in choices:
        if choice in names:
            return choice
    raise PuzzleError(f"{path}:1: no column named {' or '.join(choices)}; name one in the header")


def _tokens(texts: list[str], path: Path, task: Task) -> Tokens:
    rows = [puzzle.tokens for puzzle in task.read(texts, str(path))]
    if len(rows) != len(texts) or len({len(row) for row in rows}) > 1:
        raise PuzzleError(f"{path}: every row must hold one puzzle of the same size")
    return np.stack(rows)
