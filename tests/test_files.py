"""Files that appear whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trm_cli.cli.options import writing
from trm_cli.errors import FileError, UsageError
from trm_cli.files import (
    locked,
    making_folder,
    partial_name,
    read_text,
    read_whole,
    remove_partials,
    write_whole,
    writing_whole,
)


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


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert (read_whole(path, 6), read_text(path, 6)) == (b"\xef\xbb\xbfabc", "abc")
    with pytest.raises(FileError, match="larger than 5 bytes"):
        read_whole(path, 5)
    path.write_bytes(b"ab\xff")
    with pytest.raises(FileError, match="not UTF-8 text at byte 2"):
        read_text(path)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "folder", "none", "null\0", "n" * 300])
def test_what_is_no_file_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match=r"a device or a pipe|a folder|cannot be read|no name of a file"):
        read_whole(tmp_path / name)


def test_a_link_and_the_rights_of_a_file_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to(path)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), making_folder(path) as partial:
        (partial / "a").write_bytes(b"a" * (1 // 0))
    assert not list(tmp_path.iterdir())
    with making_folder(path) as partial:
        (partial / "a").write_bytes(b"a")
        assert not path.exists()
    assert [str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")] == ["folder", "folder/a"]


def test_what_others_call_partial_is_theirs(tmp_path: Path) -> None:
    theirs = tmp_path / ".a.partial"
    theirs.mkdir()
    (theirs / "precious").write_text("theirs")
    write_whole(tmp_path / "a", b"new")
    with making_folder(tmp_path / "a.folder") as partial:
        (partial / "a").write_bytes(b"a")
    assert (theirs / "precious").read_text() == "theirs"


def test_a_folder_in_the_place_of_a_file_leaves_all_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "other").write_text("old")
    making = making_folder(tmp_path)
    partial = making.__enter__()
    for name in ("other", "taken"):
        (partial / name).write_text("new")
    with pytest.raises(IsADirectoryError):
        making.__exit__(None, None, None)
    assert (tmp_path / "other").read_text() == "old"


@pytest.mark.parametrize("has_links", [True, False])
def test_what_another_process_made_meanwhile_stays(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *_: os.stat(tmp_path / "nowhere"))  # raises OSError
    write_whole(tmp_path / "a", b"ours", replaces=False)
    writing_b = writing_whole(tmp_path / "b", replaces=False)
    writing_b.__enter__().write(b"ours")
    (tmp_path / "b").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        writing_b.__exit__(None, None, None)
    with pytest.raises(FileExistsError), making_folder(tmp_path, replaces=False) as partial:
        (partial / "b").write_bytes(b"ours")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"ours", "b": b"theirs"}


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with writing_whole(path) as first:
        first.write(b"first")
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_what_killed_processes_left_goes(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    partial_name(tmp_path / "state" / "a").write_bytes(b"half")
    partial_name(tmp_path / "b").mkdir()
    (tmp_path / "whole").write_bytes(b"whole")
    remove_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["state", "whole"]


def test_a_lock_keeps_others_out_names_its_process_and_goes(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path):
        with pytest.raises(FileError, match=f"^process {os.getpid()}$"), locked(path):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path):
        pass


def test_a_lock_that_a_killed_process_left_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    program = "import os, pathlib, sys\nfrom trm_cli.files import locked\n"
    program += "with locked(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() != str(os.getpid())
    with locked(path):
        assert path.read_text() == str(os.getpid())


def test_who_waits_for_a_lock_gets_it_afterwards(tmp_path: Path) -> None:
    path, order = tmp_path / ".lock", list[str]()

    def wait() -> None:
        with locked(path, waits=True):
            order.append("waited" if path.exists() else "for a file that is gone")

    thread = threading.Thread(target=wait)
    with locked(path):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "waited"]
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_lock_is_no_pipe_and_no_link_to_elsewhere(tmp_path: Path) -> None:
    path, other = tmp_path / ".lock", tmp_path / "mine.txt"
    other.write_text("kept")
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"), locked(path):
        pass
    assert other.read_text() == "kept"
