"""Mazes on the command line: what is refused, written and drawn."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
import torch

from tests.conftest import small_config
from tests.test_cli import on_a_terminal, trm
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.tensors import save_checkpoint

MAZE = "#S  #\n# # #\n#   #\n## ##\n#  G#\n"


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A checkpoint with random weights for mazes of up to 30x30."""
    torch.manual_seed(0)
    config = small_config("convolution", height=30, width=30, box_height=1, box_width=1)
    save_checkpoint(tmp_path, Checkpoint("any", "maze", config), TinyRecursiveModel(config))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: no maze in it; write # for a wall, a space or . for an open cell, S and G"),
        (MAZE.replace("## ##", "#####"), "1:1: no way leads from S to G; open a wall"),
        (MAZE.replace("G", "S"), "5:4: a second S, the first is at 1:2; keep one"),
        (MAZE.replace("# # #", "#\t# #"), "2:2: a tab; write spaces, one for each open cell"),
        (f"{MAZE}\n#S#\n# #\n#G#\n", "7: a 3x3 grid after 5x5 ones; give each size a file of its own"),
    ],
    ids=["empty", "walled in", "two starts", "tab", "two sizes"],
)
def test_bad_mazes_get_one_line_and_2_before_any_model_loads(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.txt").write_text(text)
    done = trm("solve", "maze", tmp_path / "m.txt", "-m", "nowhere")
    separator = "" if message.startswith(" ") else ":"
    assert done.stderr == f"trm: {tmp_path}/m.txt{separator}{message}\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_maze_too_large_for_the_network_is_refused_in_one_line(untrained: Path) -> None:
    rows = ["S" + "." * 30, *["." * 31] * 29, "." * 30 + "G"]
    done = trm("solve", "maze", "-m", untrained, stdin="\n".join(rows))
    assert done.stderr == (
        "trm: model 'any' is for grids of up to 30x30 cells, the puzzles have 961 cells; choose another with --model\n"
    )
    assert done.returncode == 3


def test_an_unsolved_maze_is_written_in_rows_and_marked(untrained: Path) -> None:
    done = trm("solve", "maze", "-m", untrained, stdin=MAZE)
    *rows, remark = done.stdout.rstrip("\n").splitlines()
    assert [len(row) for row in rows] == [5] * 5
    assert remark.startswith("not solved: ")
    assert done.returncode == 1
    described = json.loads(trm("solve", "maze", "-m", untrained, "--json", stdin=MAZE).stdout)
    assert (described["solved"], described["valid"], described["path"]) == (False, False, None)
    assert (described["moves"], described["shortest"]) == (None, 6)


def test_a_maze_is_drawn_on_a_terminal_with_the_model_that_solved_it(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text(MAZE)
    drawn = on_a_terminal("solve", "maze", tmp_path / "m.txt", NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn).replace("\r\n", "\n")
    assert "▒▒S     ▒▒\n▒▒┃ ▒▒  ▒▒\n▒▒┗━┓   ▒▒\n▒▒▒▒┃ ▒▒▒▒\n▒▒  ┗━G ▒▒\n" in plain
    assert re.search(r"^solved .* model maze$", plain, flags=re.MULTILINE)


def test_mazes_are_solved_by_the_bundled_network() -> None:
    done = trm("solve", "maze", stdin=f"{MAZE}\n{MAZE}")
    solved = "#S  #\n#o# #\n#oo #\n##o##\n# oG#\n\n"
    assert (done.returncode, done.stdout) == (0, solved * 2)
    told = json.loads(trm("solve", "maze", "--json", stdin=MAZE).stdout)
    assert (told["solved"], told["moves"], told["model"]["name"]) == (True, 6, "maze")
    assert told["path"] == [[1, 2], [2, 2], [3, 2], [3, 3], [4, 3], [5, 3], [5, 4]]


def test_a_maze_larger_than_any_bundled_network_knows_is_refused() -> None:
    rows = ["S" + "." * 30, *["." * 31] * 29, "." * 30 + "G"]
    done = trm("solve", "maze", stdin="\n".join(rows))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "trm: no bundled maze model for puzzles of 961 cells, only maze (up to 30x30); train one "
        "with `trm train maze` and give its folder with --model\n"
    )


def test_mazes_are_generated_as_wanted() -> None:
    arguments = ("data", "maze", "--size", 7, "--generate", 20, "--min-path", 9)
    done = trm(*arguments, "--walls", "35-45", "--seed", 3)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (done.returncode, len(rows)) == (0, 20)
    assert all(int(row["rating"]) >= 9 == len(row["question"]) // 7 + 2 for row in rows)
    assert done.stdout == trm(*arguments, "--walls", "35-45", "--seed", 3).stdout
    refusals = {
        ("maze", "--walls", "50-30"): "--walls 50-30: write 0 to 99 percent, fewest first",
        ("maze", "--walls", "few"): "--walls few: write a number or a range such as 30-50",
        ("maze", "--size", "65"): "no maze of 65x65; choose a size of 3 to 64",
    }
    for wrong, message in refusals.items():
        done = trm("data", *wrong, "--generate", 1)
        assert (done.returncode, done.stderr) == (2, f"trm: {message}\n")
    for task, flag in (("maze", "--givens"), ("sudoku", "--min-path")):
        done = trm("data", task, flag, "5", "--generate", 1)
        assert (done.returncode, f"no such option: {flag}" in done.stderr) == (2, True)
