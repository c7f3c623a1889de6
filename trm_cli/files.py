"""Files that appear whole or not at all, and stay through a power cut where that matters."""

import hashlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes, *, lasting: bool = False) -> None:
    """Write a file beside its place, then put it there; what was there stays until then.

    A device or a pipe is written to as it is.
    lasting  have the disk keep it before anything that follows from it is written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        if lasting:
            flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # of a disk that is full


def flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while piece := content.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
