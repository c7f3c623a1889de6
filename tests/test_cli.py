"""The command line as its users see it: whole outputs, exit codes, no traceback, no escape byte."""

import atexit
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ANSWER, PUZZLE
from tests.forked import TRAINING, Forked
from trm_cli import __version__
from trm_cli.weights.checkpoint import read_config

Finished = subprocess.CompletedProcess[str]
SMALL = [  # a Sudoku of 4x4, trained on a few
    *(f"--set=model.{s}" for s in ("height=4", "width=4", "box_width=2", "vocab_size=6")),
    *(f"--set=train.{s}" for s in ("batch_size=16", "validation=8")),
]


@cache
def forked(**environment: str) -> Forked:
    """The Python that commands fork off, one for all tests of a process."""
    made = Forked(TRAINING, **environment)
    atexit.register(made.__exit__)
    return made


def trm(*arguments: object, stdin: str = "", **environment: str) -> Finished:
    """Run `trm` as a process of its own, one thread, no colours forced.

    It forks off a Python that has imported torch, and was told what is said to Python itself.
    """
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    for name in ("TRM_MODEL", "FORCE_COLOR"):
        if name not in environment:
            variables.pop(name, None)
    words = [*map(str, arguments)]
    told = {name: value for name, value in environment.items() if name.startswith("PYTHON")}
    ended = forked(**told).run(words, folder=Path.cwd(), variables=variables, stdin=stdin)
    done = subprocess.CompletedProcess(words, *ended[:3])
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


@pytest.fixture
def puzzle_file(tmp_path: Path) -> Path:
    path = tmp_path / "puzzle.txt"
    path.write_text(PUZZLE + "\n")
    return path


def test_a_puzzle_in_its_answer_out(puzzle_file: Path) -> None:
    done = trm("solve", "sudoku", puzzle_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, ANSWER + "\n", "")


def test_stdin_is_read_with_and_without_a_dash() -> None:
    assert trm("solve", "sudoku", "-", stdin=PUZZLE).stdout == ANSWER + "\n"
    assert trm("solve", "sudoku", stdin="\ufeff" + PUZZLE + "\r\n").stdout == ANSWER + "\n"


def test_bytes_from_a_pipe_are_read_once_and_gzip_is_unpacked(puzzle_file: Path) -> None:
    puzzle_file.write_text((PUZZLE + "\n") * 120)  # more than is read at a time
    command = f"exec {sys.executable} -m trm_cli solve sudoku -m sudoku-small -q"
    for source in (f"<(cat {puzzle_file})", f"<(gzip -c {puzzle_file})"):
        done = subprocess.run(
            ["bash", "-c", f"{command} {source}"], capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode, done.stdout) == (0, (ANSWER + "\n") * 120)


def test_stdin_that_is_no_text_is_one_line() -> None:
    command = f"printf '\\377\\376' | {sys.executable} -m trm_cli solve sudoku"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == "trm: stdin:1:1: not a text file; save it as UTF-8 text\n"
    assert done.returncode == 2


def test_a_full_disk_is_one_line(puzzle_file: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trm_cli", "solve", "sudoku", str(puzzle_file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "trm: stdout: No space left on device\n")


def test_json_has_one_object_per_puzzle_of_the_documented_shape(puzzle_file: Path) -> None:
    puzzle_file.write_text(f"{PUZZLE}\n{ANSWER}\n")
    done = trm("solve", "sudoku", puzzle_file, "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert list(first) == [
        "schema",
        "task",
        "index",
        "puzzle",
        "answer",
        "solved",
        "why",
        "violations",
        "steps",
        "halted",
        "halt_probability",
        "attempt",
        "seconds",
        "model",
        "view",
        "guess",
        "guesses",
        "depth",
        "nodes",
        "attempts",
        "total_steps",
        "source",
        "line",
    ]
    assert (first["puzzle"], first["answer"], first["solved"]) == (PUZZLE, ANSWER, True)
    assert (first["index"], second["index"], second["puzzle"]) == (0, 1, ANSWER)
    assert list(first["model"]) == ["name", "source", "sha256"]
    assert first["model"]["source"] == "bundled"
    assert done.stderr.startswith("2 of 2 solved")


def test_an_unsolved_puzzle_is_printed_marked_and_ends_with_1(puzzle_file: Path, untrained: Path) -> None:
    done = trm("solve", "sudoku", puzzle_file, "-m", untrained)
    assert done.returncode == 1
    answer, mark = done.stdout.rstrip("\n").split(" # not solved: ")
    assert len(answer) == 81
    reason, broken = mark.split("; ")
    assert reason == "one solution exists, the network did not find it"
    assert broken.endswith(" violations")
    described = json.loads(trm("solve", "sudoku", puzzle_file, "-m", untrained, "--json").stdout)
    assert described["solved"] is False
    assert described["why"] == "one_solution"
    assert len(described["violations"]) == int(broken.split()[0])
    assert set(described["violations"][0]) == {"row", "column", "rule"}


def test_the_model_may_come_from_the_environment(puzzle_file: Path, untrained: Path) -> None:
    assert trm("solve", "sudoku", puzzle_file, TRM_MODEL=str(untrained)).returncode == 1


def test_output_goes_to_a_file_that_is_never_overwritten_unasked(puzzle_file: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.txt"
    assert trm("solve", "sudoku", puzzle_file, "-o", answers).stdout == ""
    assert answers.read_text() == ANSWER + "\n"
    answers.write_text("precious")
    done = trm("solve", "sudoku", puzzle_file, "-o", answers)
    assert (done.returncode, answers.read_text()) == (2, "precious")
    assert done.stderr == f"trm: {answers}: exists already; choose another name or add --force\n"
    assert trm("solve", "sudoku", puzzle_file, "-o", answers, "--force").returncode == 0
    assert trm("solve", "sudoku", puzzle_file, "-o", "-").stdout == ANSWER + "\n"
    done = trm("solve", "sudoku", puzzle_file, "-o", tmp_path / "no" / "a.txt")
    assert (done.returncode, "there is no folder" in done.stderr) == (2, True)
    assert answers.read_text() == ANSWER + "\n"


BAD_INPUTS = {
    "empty": (b"", "f.txt:1: no puzzle in it; write 81 digits a line, 0 or . for blanks"),
    "short": (
        PUZZLE[:80].encode(),
        "f.txt:1:80: expected 81 cells on a line (or 9 for a row), got 80; write 0 or . for a blank",
    ),
    "letter": (b"x" + PUZZLE[1:].encode(), "f.txt:1:1: 'x' is no digit; write 1 to 9, and 0 or . for a blank"),
    "repeated": (
        b"55" + PUZZLE[2:].encode(),
        "f.txt:1:2: row 1 has the given 5 twice, first at 1:1; correct one of them",
    ),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "f.txt:1:1: not a text file; save it as UTF-8 text"),
    "two sizes": (
        PUZZLE.encode() + b"\n1..4........4..1\n",
        "f.txt:2: a 4x4 grid after 9x9 ones; give each size a file of its own",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_bad_input_gets_one_line_and_2_before_any_model_loads(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.txt").write_bytes(content)
    # The model named here does not exist: had it been looked for, the exit code would be 3.
    done = trm("solve", "sudoku", tmp_path / "f.txt", "-m", "nowhere")
    assert done.stderr == f"trm: {tmp_path}/{message}\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_file_a_directory_and_an_unknown_task_are_one_line_each(tmp_path: Path) -> None:
    done = trm("solve", "sudoku", tmp_path / "none.txt")
    assert done.returncode == 2
    assert done.stderr == f"trm: {tmp_path}/none.txt: no such file, and not a puzzle; check the path\n"
    done = trm("solve", "sudoku", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"trm: {tmp_path}: cannot be read (Is a directory); check the path\n"
    done = trm("solve", "chess", tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "trm: 'chess' is not a task; choose from: arc, maze, sudoku, or install the package that adds it\n",
    )


def test_a_missing_model_ends_with_3(puzzle_file: Path) -> None:
    done = trm("solve", "sudoku", puzzle_file, "--model", "nowhere")
    assert done.returncode == 3
    assert done.stderr.startswith("trm: no model 'nowhere': neither a folder nor one of the")


@pytest.mark.parametrize(
    "options",
    [
        ("--device", "tpu"),
        ("--dtype", "int3"),
        ("--batch-size", "9223372036854775808"),
        ("--views", "5000"),
        ("--halt", "soon"),
        ("--max-steps", "0"),
        ("--select", "best"),
        ("--starts", "warm"),
        ("--noise", "-1"),
        ("--views", "0"),
        ("--time-limit", "soon"),
    ],
)
def test_a_wrong_option_ends_with_2(puzzle_file: Path, options: tuple[str, str]) -> None:
    done = trm("solve", "sudoku", puzzle_file, *options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_a_terminal_gets_a_drawn_grid_and_no_color_takes_the_colours_away(puzzle_file: Path) -> None:
    solve = ("solve", "sudoku", puzzle_file, "-m", "sudoku-small")
    plain = on_a_terminal(*solve, NO_COLOR="1")
    assert "┌───────┬───────┬───────┐" in plain
    assert "solved" in plain
    assert "\x1b[36m" not in plain  # cyan
    coloured = on_a_terminal(*solve, NO_COLOR="")
    assert "\x1b[36m" in coloured
    assert "\x1b" not in on_a_terminal(*solve, TERM="dumb")
    assert trm(*solve, FORCE_COLOR="1").stdout == ANSWER + "\n"
    ascii_only = on_a_terminal(*solve, PYTHONIOENCODING="ascii")
    assert "+-------+-------+-------+" in ascii_only


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """What `trm` writes when stdout is a terminal."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", **environment}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_cli", *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=variables,
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return b"".join(chunks).decode()


def test_a_reader_that_leaves_early_is_no_disaster(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text((PUZZLE + "\n") * 3000)
    command = f"{sys.executable} -m trm_cli solve sudoku {path} --batch-size 4 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == ANSWER + "\n"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_generated_data_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    arguments = ("data", "sudoku", "--generate", "5", "--givens", "30-34", "--seed", "7")
    first, second = trm(*arguments), trm(*arguments)
    assert first.stdout == second.stdout
    assert first.stdout.startswith("source,question,answer,rating\n")
    assert len(first.stdout.splitlines()) == 6
    for name in ("a.csv.gz", "b.csv.gz"):
        assert trm(*arguments, "-o", tmp_path / name).returncode == 0
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert trm(*arguments, "--minimal").returncode == 2
    assert "write a number or a range" in trm(*arguments, "--givens", "few").stderr


def test_train_then_solve_then_eval_then_record(tmp_path: Path) -> None:
    data, run = tmp_path / "d.csv", tmp_path / "run"
    assert trm("data", "sudoku", "--generate", 40, "--size", 4, "-o", data).returncode == 0
    train = ("train", "sudoku", "--recipe", "tiny", "--data", data, *SMALL, "--max-steps", 3)
    done = trm(*train, "--run", run)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"trm watch sudoku --model {run}\n" in done.stderr
    again = trm(*train, "--run", run)
    assert (again.returncode, again.stderr.startswith(f"trm: {run}: exists already")) == (2, True)
    done = trm("solve", "sudoku", "-m", run / "checkpoint", stdin="1..4........4..1")
    assert done.returncode == ("not solved" in done.stdout)
    shutil.copytree(run / "checkpoint", tmp_path / "rounded")
    done = trm(
        "eval", "sudoku", "--data", data, "-m", tmp_path / "rounded", "--dtype", "bfloat16", "--json", "--record"
    )
    assert json.loads(done.stdout)["models"][0]["dtype"] == "bfloat16"
    assert re.search(r"^### .* at most \d+ steps, .*bfloat16$", (tmp_path / "rounded" / "README.md").read_text(), re.M)
    done = trm("eval", "sudoku", "--data", data, "-m", run / "checkpoint", "--json", "--record")
    scores = json.loads(done.stdout)["models"][0]["groups"][0]
    assert (scores["group"], scores["puzzles"]) == ("all", 40)
    assert "### d.csv, 40 puzzles, at most 16 steps" in (run / "checkpoint/README.md").read_text()
    warm = trm(*train, "--run", tmp_path / "warm", "--init", run / "checkpoint")
    assert warm.returncode == 0


def test_the_resolved_recipe_is_printed_and_nothing_is_trained(tmp_path: Path) -> None:
    done = trm("train", "sudoku", "--print-config", "--set", "model.n=5")
    assert "n = 5" in done.stdout.splitlines()
    (tmp_path / "my.toml").write_text(done.stdout)
    again = trm("train", "sudoku", "--print-config", "--config", str(tmp_path / "my.toml"))
    assert again.stdout == done.stdout
    assert trm("train", "sudoku", "--recipe", "huge").returncode == 2
    for duration in ("soon", "0", "1h30"):
        assert "no duration" in trm("train", "sudoku", "--max-time", duration).stderr
    tall = ("--set=model.box_height=3", "--set=model.box_width=2")
    boxes = trm("train", "sudoku", "--recipe", "tiny", *tall)
    assert boxes.returncode == 2
    assert "model.box_height is 3, but sudoku of 36 cells needs 2" in boxes.stderr


def test_version_and_help() -> None:
    assert trm("--version").stdout == f"trm {__version__}\n"
    for command in ((), ("solve",), ("train",), ("eval",), ("data",)):
        assert trm(*command, "-h").stdout.startswith("Usage: trm")


def test_verbose_says_what_is_used_and_in_how_many_attempts(puzzle_file: Path) -> None:
    done = trm("solve", "sudoku", puzzle_file, "-v", "--attempts", "3", TRM_SOLVE_SEED="5")
    model, device, settings, puzzle = done.stderr.splitlines()
    assert done.stdout == ANSWER + "\n"
    assert re.fullmatch(r"trm: model sudoku \(bundled\), in .*/sudoku, SHA-256 [0-9a-f]{64}", model)
    assert re.match("trm: device cpu, (float32|bfloat16), threads 1, torch ", device)  # whichever is faster here
    assert {"attempts 3*", "seed 5*", "halt verified", "search best-first*"} <= set(settings[5:].split(", ")) | {
        "halt verified"
    }
    assert re.fullmatch(r"trm: puzzle 1: solved, attempts 1, steps \d+", puzzle)


def test_an_interrupted_run_keeps_its_weights_and_ends_with_130(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--recipe", "tiny", *SMALL, "--set=data.puzzles=40"]
    command = [sys.executable, "-m", "trm_cli", "train", "sudoku", *options, "--run", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert read_config(run / "checkpoint").training["steps"] >= 1
