"""Streams that are closed, full or broken, disks that are full, and signals: no traceback, and nothing lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the devices of Linux")
TRM = f"{sys.executable} -m trm_cli"
MAKE = f"{TRM} data sudoku --generate 1 --size 4"


def bash(command: str, folder: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = ["bash", "-c", f"set -o pipefail; {command}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=variables, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "code", "stderr"),
    [
        (f"{MAKE} >&-", 2, "trm: stdout: Bad file descriptor\n"),
        (f"{MAKE} >/dev/full", 2, "trm: stdout: No space left on device\n"),
        (f"{MAKE} | true", 141, ""),
        (f"{TRM} -h >/dev/full", 2, "trm: stdout: No space left on device\n"),
        (f"{TRM} solve -h >&-", 2, "trm: stdout: Bad file descriptor\n"),
        (f"{TRM} -h | true", 141, ""),
        (f"{TRM} solve sudoku nowhere.txt 2>/dev/full", 2, ""),
        (f"{TRM} solve sudoku nowhere.txt <&- >&- 2>&-", 2, ""),
        (f"{TRM} solve sudoku <&-", 2, "trm: stdin:1: no puzzle in it; write 81 digits a line, 0 or . for blanks\n"),
    ],
)
def test_a_stream_that_takes_nothing_is_told_in_one_line(command: str, code: int, stderr: str) -> None:
    assert bash(command) == (code, "", stderr)


def test_an_answer_goes_to_a_file_whatever_the_streams_are(tmp_path: Path) -> None:
    for streams in ("<&- >&- 2>&-", ">/dev/full 2>/dev/full"):
        code, *_ = bash(f"{TRM} solve ....21.....4.4.1 -o answer.txt --force {streams}", tmp_path)
        assert (code, (tmp_path / "answer.txt").read_text()) == (0, "4312214312343421\n")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    for name in ("old.csv", "old.csv.gz"):
        (tmp_path / name).write_bytes(b"precious")
        code, _, said = bash(f"ulimit -f 2; {TRM} data sudoku --generate 500 --size 4 -o {name} --force -q", tmp_path)
        assert (code, said) == (2, f"trm: {name}: cannot be written (File too large); choose another\n")
        assert (tmp_path / name).read_bytes() == b"precious"
    code, _, said = bash(f"ulimit -f 2; {TRM} models export sudoku-4x4 --format trm -o folder", tmp_path)
    assert (code, said) == (2, "trm: folder: cannot be written (File too large); choose another\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.csv", "old.csv.gz"]


def test_answers_on_a_full_disk_are_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "puzzles.txt").write_text("....21.....4.4.1\n" * 20)
    code, _, said = bash(f"ulimit -f 2; {TRM} solve puzzles.txt --json -o answers.jsonl", tmp_path)
    assert (code, said) == (2, "trm: answers.jsonl: cannot be written (File too large); choose another\n")
    lines = (tmp_path / "answers.jsonl").read_text().splitlines(keepends=True)
    assert lines
    assert all(line.startswith('{"schema"') and line.endswith("}\n") for line in lines)


def test_an_interrupt_before_a_command_begins_is_no_traceback() -> None:
    code = (
        "import os, signal, trm_cli.cli.streams as streams, trm_cli.__main__ as program;"
        "streams.mend_streams = lambda: os.kill(os.getpid(), signal.SIGINT); program.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_command_leaves_nothing_half_done(number: int, tmp_path: Path) -> None:
    code = (
        "import os, signal, trm_cli.files as files, trm_cli.__main__ as program;"
        f"signal.signal({int(number)}, signal.SIG_DFL);"
        f"files.flush = lambda path: os.kill(os.getpid(), {int(number)});"
        "whole = files.writing_whole;"
        "files.writing_whole = lambda path, **how: whole(path, **how | {'lasting': True});"
        "program.main()"
    )
    command = [sys.executable, "-c", code, "data", "sudoku", "--generate", "1", "-o", "puzzles.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (128 + number, 0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    gone = bash(f"cd gone; rmdir ../gone; {TRM} solve ....21.....4.4.1", tmp_path)
    assert gone == (2, "", "trm: the current folder is no longer there; change to another\n")


@pytest.mark.parametrize("kilobytes", [300_000, 600_000])
def test_too_little_memory_is_one_line(kilobytes: int) -> None:
    code, _, said = bash(f"ulimit -v {kilobytes}; {TRM} solve ....21.....4.4.1")
    assert code == 3
    assert said.count("\n") == 1
    assert "memory" in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_stdout_takes_only_in_part_is_an_error(unbuffered: str, tmp_path: Path) -> None:
    many = f"export PYTHONUNBUFFERED={unbuffered}; {TRM} data sudoku --generate 2500 --size 4 -q"
    assert bash(f"(ulimit -f 20; {many} > out.csv)", tmp_path) == (2, "", "trm: stdout: File too large\n")
    assert bash(f"{many} | head -c 10", tmp_path) == (141, "source,que", "")
