"""Files that appear whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from trm_cli.cli.options import writing
from trm_cli.errors import UsageError
from trm_cli.files import write_whole


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, b"old")
    write_whole(path, b"new", lasting=True)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(path, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    wanted = pytest.raises(UsageError, match=r"out: cannot be written .No space left on device.")
    with wanted, writing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(BrokenPipeError), writing(tmp_path / "out"):
        raise BrokenPipeError


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trm_cli.files.flush", fail)
    (tmp_path / "kept").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "kept", b"after", lasting=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"before")]
