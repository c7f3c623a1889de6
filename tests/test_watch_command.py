"""`trm watch` on a pipe: whole outputs, exit codes, one line for what cannot be."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.test_cli import Finished, trm
from tests.watched import HEADER, HEADER_OF_TWO, run_of_one, run_of_two
from trm_cli.cli.app import app
from trm_cli.solving.trace import trace_lines

EXAMPLE = Path(__file__).parents[1] / "examples/4x4.txt"
PLAIN = """\
trm watch sudoku   ! violation   * changed since the step before
puzzle 1 of 1  puzzles.txt:1
1..4..1..1..4..1

step 1 of 4  attempt 1 of 2  0.12 s
halt probability 1.0%  confidence 62.5%
changed 10  violations 9
change of y 1.500  change of z 1.000
┌─────┬─────┐
│ 1 3!│ 3!4!│
│ 3!4*│ 1 2*│
├─────┼─────┤
│ 3!1 │ 2!4!│
│ 4 2!│ 2!1 │
└─────┴─────┘

step 2 of 4  attempt 1 of 2  0.25 s
halt probability 25.0%  confidence 75.0%
changed 1  violations 8
change of y 0.750  change of z 0.500
┌─────┬─────┐
│ 1 2!│ 3 4!│
│ 3!4 │ 1 2 │
├─────┼─────┤
│ 3!1 │ 2!4!│
│ 4 2!│ 2!1 │
└─────┴─────┘

step 3 of 4  attempt 1 of 2  0.38 s
halt probability 90.0%  confidence 87.5%
changed 4  violations 0
change of y 0.500  change of z 0.333
┌─────┬─────┐
│ 1 2 │ 3 4 │
│ 3 4 │ 1 2 │
├─────┼─────┤
│ 2*1 │ 4*3*│
│ 4 3*│ 2 1 │
└─────┴─────┘
solved in 3 steps

"""


def shown(*words: object, stdin: str = "") -> Finished:
    """Run `trm` in this process, which has imported torch already."""
    done = CliRunner().invoke(app, list(map(str, words)), input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return Finished([*map(str, words)], done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(trace_lines(HEADER, run_of_one())))
    return path


def test_a_pipe_gets_one_plain_frame_a_step(trace: Path) -> None:
    done = trm("watch", "--replay", trace)
    assert (done.returncode, done.stdout, done.stderr) == (0, PLAIN, "")
    assert trm("watch", "--replay", trace, FORCE_COLOR="1").stdout == PLAIN
    plainest = trm("watch", "--replay", trace, PYTHONIOENCODING="ascii").stdout
    assert plainest == PLAIN.translate(str.maketrans("─│┌┬┐├┼┤└┴┘", "-|+++++++++"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_name_that_a_terminal_cannot_write_ends_nothing(encoding: str, trace: Path) -> None:
    trace.write_text(trace.read_text().replace("puzzles.txt", "\\u6f22\\ud83d\\ude00.txt"))
    done = trm("watch", "--replay", trace, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\npuzzle 1 of 1  ??.txt:1\n" in done.stdout


def test_several_puzzles_are_printed_side_by_side_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    path.write_text("\n".join(trace_lines(HEADER_OF_TWO, run_of_two())))
    done = shown("watch", "--replay", path)
    frame = done.stdout.split("\n\n")[2].splitlines()
    assert frame[0].split() == ["puzzle", "1", "puzzle", "2"]
    assert frame[5].split() == ["┌─────┬─────┐", "┌─────┬─────┐"]
    assert frame[-1] == "solved in 2 steps"
    assert done.stdout.endswith("solved in 3 steps\n\n2 of 2 solved\n")


def test_a_replay_says_what_the_run_said(tmp_path: Path) -> None:
    saved = tmp_path / "run.jsonl"
    run = shown("watch", "sudoku", EXAMPLE, "--inner", "--save", saved)
    assert run.returncode == 0
    again = shown("watch", "--replay", saved)
    assert (again.returncode, again.stdout) == (0, run.stdout)
    assert run.stdout.count("\nsolved in ") == 5
    assert run.stdout.endswith("\n5 of 5 solved\n")
    header = json.loads(saved.read_text().splitlines()[0])
    calls = header["T"] * (header["n"] + 1)
    frames = re.findall(r"^step (\d+) of 16  node 1  recursion", run.stdout, re.MULTILINE)
    steps = [int(count) for count in re.findall(r"^solved in (\d+) step", run.stdout, re.MULTILINE)]
    assert len(frames) == calls * sum(steps)


def test_an_unsolved_puzzle_ends_with_1_and_a_plain_verdict(untrained: Path) -> None:
    done = shown("watch", "sudoku", "-m", untrained, "--max-steps", 2)
    assert done.returncode == 1
    assert done.stdout.endswith("\nnot solved in 2 steps: one solution exists, the network did not find it\n\n")
    unchecked = shown("watch", "sudoku", "-m", untrained, "--max-steps", 2, "--no-check")
    assert re.search(r"\nnot solved: \d+ violations after 2 steps\n\n$", unchecked.stdout)


def test_without_a_file_there_is_an_example_and_a_grid_takes_more_of_them(untrained: Path) -> None:
    one = shown("watch", "sudoku", "-m", untrained, "--max-steps", 1)
    assert "puzzle 1 of 1  example:1\n" in one.stdout
    nine = shown("watch", "sudoku", "-m", untrained, "--max-steps", 1, "--grid", "3x3", "-q")
    assert (nine.returncode, nine.stdout) == (1, "0 of 9 solved\n")


def test_nothing_and_a_puzzle_alone_are_enough(untrained: Path) -> None:
    nothing = shown("watch", "-m", untrained, "--max-steps", 1)
    assert "puzzle 1 of 1  example:1\n" in nothing.stdout
    puzzle = shown("watch", "." * 80 + "1", "-m", untrained, "--max-steps", 1)
    assert "puzzle 1 of 1  puzzle:1\n" in puzzle.stdout
    assert "not solved in 1 step: several solutions exist\n" in puzzle.stdout


def test_a_dash_reads_stdin(untrained: Path) -> None:
    done = trm("watch", "sudoku", "-", "-m", untrained, "--max-steps", 1, stdin="." * 81)
    assert "puzzle 1 of 1  stdin:1\n" in done.stdout


ONES = "1" * 5000
REFUSED = {
    "two puzzles": (
        ("sudoku", "." * 81, "." * 80 + "1"),
        "puzzle: one file or puzzle at a time can be watched; put them in one file",
    ),
    "both": (
        ("sudoku", "--replay", "TRACE"),
        "--replay: the trace names its task and puzzles; leave out TASK and FILE",
    ),
    "grid": (("sudoku", "--grid", "3"), "--grid 3: write rows and columns from 1 to 8: 3x3"),
    "large grid": (("sudoku", "--grid", "9x9"), "--grid 9x9: write rows and columns from 1 to 8: 3x3"),
    "endless grid": (("--grid", f"{ONES}x1"), f"--grid {ONES}x1: write rows and columns from 1 to 8: 3x3"),
    "one file twice": (
        ("sudoku", "--save", "w.svg", "--tree", "w.svg"),
        "w.svg: named twice for an output; give each a name of its own",
    ),
    "kind of file": (
        ("sudoku", "--save", "run.png"),
        "--save run.png: name a file ending in .jsonl, .gif, .svg, .html",
    ),
    "existing": (("sudoku", "--save", "TRACE"), "TRACE: exists already; choose another name or add --force"),
    "no trace": (("--replay", "none.jsonl"), "none.jsonl: cannot be read (No such file or directory); check the path"),
    "task": (("chess",), "'chess' is not a task; choose from: arc, maze, sudoku, or install the package that adds it"),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_one_line_and_2(trace: Path, words: tuple[str, ...], message: str) -> None:
    done = shown("watch", *(str(trace) if word == "TRACE" else word for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"trm: {message.replace('TRACE:', f'{trace}:')}\n"


def test_help_is_fast_and_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom trm_cli.cli.app import app\napp(['watch', '-h'])"
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 2  # seconds; torch: more
    assert done.stdout.startswith("Usage: ")
    for option in ("--inner", "--grid", "--fps", "--pause", "--save", "--replay"):
        assert option in done.stdout


def test_the_benchmark_says_what_drawing_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_cli.cli.bench.NUM_WATCHED", 1)
    done = shown("bench", "watch", "sudoku", "--rounds", 1, "--json")
    measured = json.loads(done.stdout)
    assert list(measured) == ["steps", "draws", "unseen", "slower", "slower_cpu"]
    assert measured["steps"] > 0
