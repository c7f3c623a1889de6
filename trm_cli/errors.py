"""What can go wrong for a user; each kind knows its exit code."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 200  # characters of what an error of a library says


class TRMError(Exception):
    """A user's mistake or a failure outside our control: one line, no traceback."""

    exit_code = 2


class PuzzleError(TRMError):
    """The input cannot be read as a puzzle, or no answer to it can exist."""


class UsageError(TRMError):
    """Options that do not fit together, or a file that must not be overwritten."""


class ConfigError(UsageError):
    """A configuration that contradicts itself, or a value that cannot be."""


class ModelError(TRMError):
    """A checkpoint that is missing, damaged, or made for another task or size."""

    exit_code = 3


class TrainingError(TRMError):
    """A training run that cannot go on."""

    exit_code = 3


class FileError(ValueError):
    """What is wrong with a file, in words without its name; who reads the file makes it an error of a user's."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to put behind a message about an unknown word, or nothing where no known one is like it."""
    by_lower_case = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]}?" if close else ""


def printable(text: str) -> str:
    """One line without control characters, which names in a stranger's file may hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def first_line(error: BaseException) -> str:
    """What an error says first, short enough for a message."""
    line = next(iter(str(error).splitlines()), "")
    return printable(line if len(line) <= SHOWN else f"{line[:SHOWN]}…") or "no reason given"
