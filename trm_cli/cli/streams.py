"""The three streams as a caller may leave them: closed, full, broken; and a file that answers stream to."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


class _Patient(io.FileIO):
    """A stream that takes everything; what cannot be written is dropped, as nobody reads it."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(memoryview(content))


class _WholeWrites(io.FileIO):
    """A file that takes all of what is written at once, or nothing of it."""

    def write(self, content: Any) -> int:
        """Write all; raises OSError, with the file as it was, where the disk takes no more."""
        end, left = self.tell(), memoryview(content)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError:
            self.truncate(end)
            self.seek(end)
            raise
        return len(memoryview(content))


def open_for_lines(path: Path, *, replaces: bool = True) -> IO[str]:
    """A new text file that never holds a part of what was written at once; a device or a pipe takes what it takes.

    replaces  a file that is there by now; else that raises FileExistsError.
    """
    if path.exists() and not path.is_file():
        return path.open("w", encoding="utf-8")
    return io.TextIOWrapper(_WholeWrites(path, "w" if replaces else "x"), encoding="utf-8", write_through=True)


def mend_streams() -> None:
    """Put something in the place of closed streams, and let no remark on stderr end a command.

    Nothing comes from a closed stdin; to write to a closed stdout fails as it does on a full disk.
    No file that is opened later gets their numbers.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    elif isinstance(raw := getattr(sys.stdout, "buffer", None), io.RawIOBase):  # with PYTHONUNBUFFERED
        # Such a stream may take a part of what is written and say nothing.
        encoding = sys.stdout.encoding
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # of a name, letters that the terminal does not know
    how = {} if sys.stderr is None else {"encoding": sys.stderr.encoding}
    patient = io.BufferedWriter(_Patient(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(patient, errors="backslashreplace", line_buffering=True, write_through=True, **how)


def drop_stdout() -> None:
    """Keep Python from flushing into a pipe or disk that takes no more when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
