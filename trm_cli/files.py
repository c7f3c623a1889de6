"""Files that are read up to a limit, appear whole or not at all, and keep other processes out."""

import errno
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trm_cli.errors import FileError

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
LONGEST_NAME = 40  # characters of a file's name that the name of its partial one repeats
LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LOCKED_BYTE = 1 << 30  # that stands for a lock on Windows; the others can be read
SECONDS_TO_WAIT = 0.1  # between two looks at a lock, on Windows


def read_whole(path: Path, most: int = MEBIBYTE) -> bytes:
    """The content of a regular file of at most so many bytes.

    A device or a pipe, which may never end or begin, is not opened. Raises FileError with the reason.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FileError(f"larger than {size_in_words(most)}, more than any file of this kind has")
    return content


def read_text(path: Path, most: int = MEBIBYTE) -> str:
    """The same as text in UTF-8, without a byte order mark."""
    try:
        return read_whole(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"not UTF-8 text at byte {error.start:,}") from error


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file to read from; raises FileError where it cannot be read or is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileError("a folder, not a file" if path.is_dir() else "a device or a pipe, not a file")
        file = path.open("rb")
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # a null character in it
        raise FileError("no name of a file") from error
    with file:
        try:
            yield file
        except OSError as error:
            raise FileError(f"cannot be read ({error.strerror or error})") from error


def size_in_words(num_bytes: int) -> str:
    """A number of bytes as people say it: 16 MB."""
    for unit, name in ((GIBIBYTE, "GB"), (MEBIBYTE, "MB"), (1 << 10, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.3g} {name}"
    return f"{num_bytes} bytes"


def write_whole(path: Path, content: bytes, *, lasting: bool = False, replaces: bool = True) -> None:
    """Write a file beside its place, then put it there; what was there stays until then.

    A device or a pipe is written to as it is.
    lasting   have the disk keep it before anything that follows from it is written.
    replaces  as in `writing_whole`.
    """
    with writing_whole(path, lasting=lasting, replaces=replaces) as sink:
        sink.write(content)


@contextmanager
def writing_whole(path: Path, *, lasting: bool = False, replaces: bool = True) -> Iterator[BinaryIO]:
    """A file to write to that appears under its name at the end, if nothing went wrong until then.

    replaces  what is there by then; else that raises FileExistsError.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as sink:
            yield sink
        return
    path = Path(os.path.realpath(path))  # a link stays one
    partial = partial_name(path)
    try:
        with partial.open("xb") as sink:
            yield sink
        if path.exists():
            shutil.copymode(path, partial)
        if lasting:
            flush(partial)
        _put(partial, path, replaces=replaces)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)  # of a disk that is full


@contextmanager
def making_folder(path: Path, *, replaces: bool = True) -> Iterator[Path]:
    """A folder to fill that appears under its name at the end, if nothing went wrong until then.

    Where there is a folder of that name, its files are replaced, and others stay in it.
    replaces  what is in a folder that is there by then; else that raises FileExistsError.
    """
    path = Path(os.path.realpath(path))
    partial = partial_name(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        names = [file.name for file in partial.iterdir()]
        for taken in (path / name for name in names if path.is_dir()):
            if taken.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(taken))
            if taken.exists() and not replaces:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(taken))
        if path.is_dir():
            for name in names:
                (partial / name).replace(path / name)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_name(path: Path) -> Path:
    """Where what is not whole yet lies: beside it, hidden, under a name that nobody else has."""
    return path.with_name(f".{path.name[-LONGEST_NAME:]}.{os.urandom(4).hex()}.partial")


def remove_partials(folder: Path) -> None:
    """Remove what processes that were killed left in a folder that nobody writes to."""
    for left in [*folder.rglob(".*.partial")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _put(partial: Path, path: Path, *, replaces: bool) -> None:
    """Give what is whole now its name."""
    if not replaces:
        try:
            os.link(partial, path)  # fails where something is there, as renaming does not
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        else:
            return
    partial.replace(path)


@contextmanager
def locked(path: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which is made for it and goes afterwards.

    The lock is the operating system's: of a process that is killed, only the file stays. Where a file
    system knows no locks, nobody is kept out.
    waits  until another process lets go of it.
    Raises FileError that names the process which holds it, OSError where the file cannot be made.
    """
    descriptor = _open_locked(path, waits=waits)
    try:
        with suppress(OSError):  # of a disk that is full: then it is a lock without a name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is ours
        os.close(descriptor)


def _open_locked(path: Path, *, waits: bool) -> int:
    """The descriptor of a lock's file, which is still there when the lock is ours."""
    while True:
        descriptor = os.open(path, LOCK_FLAGS, 0o644)
        try:
            if not _lock(descriptor, waits=waits):
                raise FileError(_holder(descriptor))
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it took the file away


def _lock(descriptor: int, *, waits: bool) -> bool:
    """Whether an open file's lock is ours now."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        while True:
            with suppress(OSError):
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return True
            if not waits:
                return False
            time.sleep(SECONDS_TO_WAIT)
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        return not isinstance(error, BlockingIOError)  # the file system has no locks
    return True


def _holder(descriptor: int) -> str:
    """Who holds a lock, in words."""
    with suppress(OSError):
        if (number := os.read(descriptor, LONGEST_NAME)).isdigit():
            return f"process {number.decode()}"
    return "another process"


def flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read piece by piece."""
    import hashlib  # takes longer than all else that the help needs of this module

    digest = hashlib.sha256()
    with path.open("rb") as content:
        while piece := content.read(MEBIBYTE):
            digest.update(piece)
    return digest.hexdigest()
