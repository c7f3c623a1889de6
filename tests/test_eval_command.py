"""`trm eval` and the options of attempts, as their users see them."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import ANSWER, PUZZLE
from tests.test_cli import trm

# Of the forum's hardest: the bundled network needs a guess for it.
HARD = ".....78.........95..3..5.6..7.....46.5.1..3..2.4..9...5..4....89...6..2......86.."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve 4x4 puzzles, for networks that solve in moments."""
    path = tmp_path_factory.mktemp("data") / "d.csv"
    assert trm("data", "sudoku", "--generate", 12, "--size", 4, "-o", path).returncode == 0
    return path


def test_a_report_is_written_as_its_name_ends(data: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    evaluate = (
        "eval",
        "sudoku",
        "--data",
        data,
        "--resume",
        counts,
        "--attempts",
        3,
        "--starts",
        "random",
        "--search",
        "flat",
    )
    reports = {kind: tmp_path / f"report.{kind}" for kind in ("md", "html", "svg", "png", "json")}
    for kind, path in reports.items():
        done = trm(*evaluate, "-o", path)
        assert (done.returncode, kind in done.stdout) == (0, False)
        assert done.stdout.startswith(
            "sudoku-4x4 solves 100.00% of d.csv (12 of 12, 95% interval 75.8–100.0%) in at most 3 "
        )
        assert (done.stdout.count("\n"), done.stderr) == (4, f"report: {path}\n")
    markdown = reports["md"].read_text()
    assert markdown.startswith("# sudoku-4x4 on d.csv, 12 puzzles\n\nMeasured by `trm eval sudoku")
    assert "| all | 12 | 100.00% | 100.00% | 100.00% | 100.00% | 75.8–100.0% |" in markdown
    headings = ("## Verified with so many attempts", "## Halt head: ", "## Speed")
    assert all(heading in markdown for heading in headings)
    page = reports["html"].read_text()
    assert page.count("<table>") == 7
    for drawing in (reports["svg"].read_text(), re.findall("<svg.*</svg>", page, re.DOTALL)[0]):
        root = ElementTree.fromstring(drawing)
        panels = [group for group in root.findall(".//{*}g") if (group.get("id") or "").startswith("axes_")]
        assert len(panels) >= 2
    assert reports["png"].read_bytes().startswith(b"\x89PNG")
    described = json.loads(reports["json"].read_text())
    assert described["models"][0]["groups"][0]["verified"] == 1.0
    assert described["command"].startswith("trm eval sudoku")
    assert len(described["models"][0]["by_attempts"]) == 3
    assert len(described["models"][0]["by_steps"]) == 16
    done = trm(*evaluate, "-o", reports["md"])
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    done = trm(*evaluate, "-o", tmp_path / "report.pdf")
    assert (done.returncode, "name the report *.md" in done.stderr) == (2, True)
    done = trm(*evaluate, "--attempts", 4)
    assert (done.returncode, "other networks, number types or settings" in done.stderr) == (2, True)


def test_two_models_are_compared_puzzle_by_puzzle(tmp_path: Path, untrained: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"question,answer\n{PUZZLE},{ANSWER}\n{ANSWER},{ANSWER}\n")
    evaluate = ("eval", "sudoku", "--data", path, "--attempts", 1, "--compare", untrained)
    found = json.loads(trm(*evaluate, "--json").stdout)
    assert found["comparison"] == {"both": 0, "first_only": 2, "second_only": 0, "neither": 0, "mcnemar_p": 0.5}
    assert [model["name"] for model in found["models"]] == ["sudoku", "untrained"]
    lines = trm(*evaluate, "-q").stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "sudoku solves 100.00% of d.csv",
        "untrained solves 0.00% of d.csv",
        "sudoku alone solves 2 puzzles, untrained alone 0: p = 0.5 if both are equally good",
    ]
    assert "solved by sudoku alone" in trm(*evaluate, "--full").stdout
    refused = trm(*evaluate, "--full", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_an_interrupted_evaluation_keeps_its_counts_and_goes_on(tmp_path: Path) -> None:
    path, counts = tmp_path / "d.csv", tmp_path / "counts.json"
    path.write_text("question,answer\n" + f"{PUZZLE},{ANSWER}\n" * 400)
    command = [
        sys.executable,
        "-m",
        "trm_cli",
        "eval",
        "sudoku",
        "--data",
        path,
        "--model",
        "sudoku-small",
        "--resume",
        counts,
        "--halt",
        "never",
        "--batch-size",
        2,
    ]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    while not counts.exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "trm: interrupted")
    tally = json.loads(counts.read_text())["tallies"][0]
    assert 0 < tally["groups"]["all"]["all"]["puzzles"] < 400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_evaluation_ends_though_no_puzzle_does(number: int, tmp_path: Path) -> None:
    path, counts = tmp_path / "d.csv", tmp_path / "counts.json"
    path.write_text(f"question,answer\n{PUZZLE},{ANSWER}\n")
    endless = ["--halt", "never", "--max-steps", "1000000", "--attempts", "1", "--resume", str(counts)]
    command = [sys.executable, "-m", "trm_cli", "eval", "sudoku", "--data", str(path), *endless]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not counts.exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "trm: interrupted")


def test_attempts_solve_what_one_run_does_not_and_tell_how(tmp_path: Path) -> None:
    path = tmp_path / "hard.txt"
    path.write_text(HARD + "\n")
    once = trm("solve", "sudoku", path, "--attempts", 1, "--json")
    tried = [trm("solve", "sudoku", path, "--json", "--batch-size", size) for size in (1, 8)]
    assert (once.returncode, tried[0].returncode, tried[1].returncode) == (1, 0, 0)
    first, second = (json.loads(done.stdout) for done in tried)
    assert first["attempt"] == second["attempt"] > 0
    assert first["answer"] == second["answer"]
    assert first["guesses"] == second["guesses"] != []
    assert first["guess"] == first["guesses"][-1]
    for guess in first["guesses"]:
        cell = 9 * (guess["row"] - 1) + guess["column"] - 1
        assert (HARD[cell], first["answer"][cell]) == (".", guess["symbol"])
    assert first["puzzle"] == HARD
    assert first["depth"] >= len(first["guesses"])
    assert first["nodes"] == first["attempts"] == first["attempt"] + 1
    assert first["total_steps"] == 16 + 6 * (first["attempt"] - 1) + first["steps"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--attempts", 1, "--noise", 0.3), "--noise is for further attempts; add --attempts"),
        (("--attempts", 3, "--search", "none"), "every attempt would be the same; add --starts random"),
        (("--attempts", 1, "--select", "mode"), "--select is for further attempts"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: tuple[object, ...], message: str) -> None:
    done = trm("solve", "sudoku", *options, stdin=PUZZLE)
    assert (done.returncode, message in done.stderr) == (2, True)


def test_when_the_time_is_up_every_puzzle_is_printed_still(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text((HARD + "\n") * 300)
    done = trm("solve", "sudoku", path, "--time-limit", "4s")
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (1, 300)
    assert lines[-1] == f"{HARD} # not solved: no time was left for it"


def test_the_checkpoint_says_how_it_is_best_run_and_options_go_before(
    tmp_path: Path, data: Path, untrained: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(untrained, folder)
    config = json.loads((folder / "config.json").read_text())
    config["solving"] = {"attempts": 3, "max_steps": 2, "noise": 0.5}
    (folder / "config.json").write_text(json.dumps(config))
    own = json.loads(trm("solve", "sudoku", "-m", folder, "--json", stdin=PUZZLE).stdout)
    assert (own["attempts"], own["total_steps"]) == (3, 6)
    given = ("--attempts", 2, "--max-steps", 1)
    other = json.loads(trm("solve", "sudoku", "-m", folder, "--json", *given, stdin=PUZZLE).stdout)
    assert (other["attempts"], other["total_steps"]) == (2, 2)
    config["solving"] = {"patience": 3}
    (folder / "config.json").write_text(json.dumps(config))
    done = trm("solve", "sudoku", "-m", folder, stdin=PUZZLE)
    assert (done.returncode, "`solving` in the model's config.json" in done.stderr) == (3, True)
