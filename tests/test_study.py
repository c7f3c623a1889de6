"""A study: its arms, each trained, saved and solved with; killed and resumed; its statistics and its table."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import small_config
from tests.small_runs import SmallRun, small_run
from tests.test_cli import Finished, trm
from trm_cli.config import override
from trm_cli.display.study import StudyDisplay, described, markdown, write_results
from trm_cli.errors import UsageError
from trm_cli.model.network import count_parameters
from trm_cli.solving.statistics import two_shares
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.training.recipes import get_recipe
from trm_cli.training.run import Plan
from trm_cli.training.study import PRESETS, Arm, Study, StudyRun, results, vary

PAPER = PRESETS["paper"]
BOARD = [
    f"--set=model.{size}"
    for size in ("height=4", "width=4", "box_width=2", "vocab_size=6", "hidden_size=8", "num_heads=2", "token_width=16")
]
FEW = [f"--set=data.{s}" for s in ("puzzles=60", "least_givens=5", "most_givens=8")]
SHORT = [f"--set=train.{s}" for s in ("batch_size=8", "validation=20", "report_every=5", "save_minutes=0")]
SUDOKU = ["study", "sudoku", *BOARD, *FEW, *SHORT, "--threads", "1"]
STUDY = [*SUDOKU, "--vary", "model.mixer=mlp,attention", "--seeds", "2"]


def ablated(run: SmallRun, arm: Arm) -> SmallRun:
    """The run with an arm's settings."""
    recipe = replace(run.plan.recipe, model=small_config("mlp", num_heads=2))
    return replace(run, plan=replace(run.plan, recipe=override(recipe, list(arm.settings))))


@pytest.mark.parametrize("arm", PAPER, ids=lambda arm: arm.folder)
def test_every_ablation_of_the_paper_is_trained_saved_and_solved_with(
    arm: Arm, small_data: Dataset, tmp_path: Path
) -> None:
    run = ablated(small_run(small_data, tmp_path / "run", steps=4, evaluate_every=4), arm)
    losses = [event.loss for event in run.events() if hasattr(event, "loss")]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    (tmp_path / "p.csv").write_bytes(dataset_bytes(small_data.rows(np.arange(2)), Sudoku(), gzipped=False))
    solved = trm("solve", "sudoku", tmp_path / "p.csv", "-m", tmp_path / "run/checkpoint", "--max-steps", 2, "--json")
    assert solved.returncode in (0, 1), solved.stderr
    answers = [json.loads(line) for line in solved.stdout.splitlines()]
    assert [answer["steps"] for answer in answers] == [2, 2] or any(answer["verified"] for answer in answers)


def test_the_arms_of_the_paper_differ_from_the_first_in_what_they_are_called_after() -> None:
    recipe = replace(get_recipe("sudoku", "tiny"), model=small_config("mlp"))
    first, *others = (override(recipe, list(arm.settings)) for arm in PAPER)
    assert (first.model.T, first.model.n, first.model.effective_depth) == (3, 6, 42)
    assert len({json.dumps(described_numbers(one)) for one in (first, *others)}) == len(PAPER)
    by_name = dict(zip([arm.name for arm in PAPER[1:]], others, strict=True))
    assert by_name["HRM"].model.effective_depth == 24
    assert by_name["HRM"].train.ema_decay == by_name["no EMA"].train.ema_decay == 0
    assert by_name["4 layers, n=3"].model.effective_depth == 48
    assert (by_name["single z"].model.recursion, by_name["one z for each update"].model.recursion) == (
        "single_z",
        "multi_z",
    )
    assert count_parameters(by_name["two nets, f_L and f_H"].model) > 1.5 * count_parameters(first.model)


def described_numbers(recipe: Any) -> dict[str, Any]:
    return {**vars(recipe.model), **vars(recipe.train)}


def test_vary_makes_every_combination() -> None:
    arms = vary(["model.n=2,3", "train.ema_decay=0,0.9"])
    assert [arm.settings for arm in arms] == [
        ("model.n=2", "train.ema_decay=0"),
        ("model.n=2", "train.ema_decay=0.9"),
        ("model.n=3", "train.ema_decay=0"),
        ("model.n=3", "train.ema_decay=0.9"),
    ]
    assert arms[1].name == "n=2, ema_decay=0.9"


REFUSED = {
    "nothing": ([], "give either --vary SECTION.NAME=VALUE,VALUE or --preset paper"),
    "both": (["--preset", "paper", "--vary", "model.n=1,2"], "give either --vary"),
    "preset": (["--preset", "page"], "--preset page: choose from: paper"),
    "one arm": (["--vary", "model.n=2"], "one arm is nothing to compare"),
    "no value": (["--vary", "model.n=2,"], "--vary model.n=2,: write SECTION.NAME=VALUE,VALUE"),
    "a name": (["--vary", "model.m=1,2"], "arm 'm=1': --set model.m=1: no model.m; did you mean"),
    "a value": (["--vary", "model.mixer=mlp,magic"], "arm 'mixer=magic': --set: model.mixer: expected one of"),
    "twice": (["--vary", "model.n=2,2"], "two arms are called 'n=2'"),
    "an arm": (["--preset", "paper", "--only", "HRN"], "--only HRN: choose from: TRM; "),
    "one twice": (["--vary", "model.n=1,2", "--vary", "model.n=3,4"], "--vary model.n: given twice"),
    "data": (["--vary", "model.n=1,2", "--data", "none.csv"], "none.csv: cannot be read"),
    "time": (["--vary", "model.n=1,2", "--max-time", "soon"], "'soon' is no duration"),
    "forever": (["--vary", "model.n=1,2", "-r", "large"], "recipe large follows the time"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_compared_is_refused_in_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    done = trm("study", "sudoku", *options, "-o", tmp_path / "s")
    assert done.returncode == 2
    assert message.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()


def finished(done: Finished) -> None:
    assert done.returncode == 0, done.stderr


def told(folder: Path) -> Any:
    """What results.json says, without clocks and the command."""
    found = json.loads((folder / "results.json").read_text())
    del found["command"]
    for arm in found["arms"]:
        del arm["seconds"]
        for run in arm["runs"]:
            del run["seconds"]
    return found


def test_a_study_that_is_killed_and_resumed_ends_with_the_same_table(tmp_path: Path) -> None:
    finished(trm(*STUDY, "--max-steps", 16, "-o", tmp_path / "whole"))
    words = [sys.executable, "-m", "trm_cli", *STUDY, "--max-steps", "16", "-o", str(tmp_path / "parts")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number, place in ((signal.SIGKILL, "mixer=mlp/seed-0"), (signal.SIGINT, "mixer=attention/seed-1")):
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        states = tmp_path / "parts" / place / "state"
        until = time.monotonic() + 120
        while not any(int(step.name[-8:]) >= 5 for step in states.glob("step-*[0-9]")) and time.monotonic() < until:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
        assert number == signal.SIGKILL or "all runs are saved; the same command goes on" in err
    again = trm(*STUDY, "--max-steps", 16, "-o", tmp_path / "parts")
    finished(again)
    assert "goes on where it was left" in again.stderr
    assert "mixer=mlp, seed 0" not in again.stderr  # was over
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert len(told(tmp_path / "whole")["arms"][0]["runs"]) == 2
    for name in ("table.md", "accuracy.svg", "data.csv.gz"):
        assert (tmp_path / "parts" / name).stat().st_size > 100
    other = trm(*STUDY, "--max-steps", 17, "-o", tmp_path / "parts")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "was begun with other recipe" in other.stderr


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    words = [*SUDOKU, "--vary", "train.adamw_lr=1e-3,1e30", "--jobs", "2", "--json"]
    done = trm(*words, "--set", "train.optimizer=adamw", "--max-steps", 20, "-o", tmp_path / "s")
    assert done.returncode == 3
    assert "adamw_lr=1e30, seed 0: the loss is no number" in done.stderr
    good, bad = json.loads(done.stdout)["arms"]
    assert (len(good["runs"]), bad["runs"], bad["exact"]) == (1, [], None)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    study = Study(Plan(get_recipe("sudoku", "tiny"), Sudoku(), []), vary(["model.n=1,2"]), 1, tmp_path)
    with pytest.raises(UsageError, match="holds something else"):
        study.begin()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["[]", "{", '"x"', "[1]"])
def test_a_damaged_study_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    study = Study(Plan(get_recipe("sudoku", "tiny"), Sudoku(), []), vary(["model.n=1,2"]), 1, tmp_path)
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(UsageError, match=r"study.json: no study: .*; choose another folder for --output"):
        study.begin()


def test_a_damaged_log_is_refused_with_its_folder(tmp_path: Path) -> None:
    study = a_study(tmp_path, {"first": [0.5], "second": [0.5]})
    (tmp_path / "second/seed-0/log.jsonl").write_text('{"step": 3, "seconds": "soon", "kind": "evaluation"}\n')
    with pytest.raises(UsageError, match=r"second/seed-0: its log is damaged \(seconds: expected a number"):
        results(study)


def a_study(folder: Path, exact: dict[str, list[float]], published: tuple[float, ...] = ()) -> Study:
    """A study whose runs were all evaluated at two steps, with these shares at the end."""
    arms = tuple(
        Arm(name, (f"model.n={number}",), published[number - 1] if published else None)
        for number, name in enumerate(exact, 1)
    )
    recipe = get_recipe("sudoku", "tiny")
    recipe = replace(recipe, train=replace(recipe.train, steps=100))
    seeds = len(next(iter(exact.values())))
    study = Study(Plan(recipe, Sudoku(), []), arms, seeds, folder)
    for run in study.runs:
        run.folder.mkdir(parents=True)
        share = exact[run.arm.name][run.seed]
        scores = {"exact": share, "cell": 0.9, "mean_steps": 4.0, "puzzles": 200}
        half = {"kind": "evaluation", "step": 50, "seconds": 3.0, "scores": {**scores, "exact": share / 2}}
        end = {"kind": "evaluation", "step": 100, "seconds": 6.0, "scores": scores}
        (run.folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (half, end)))
    return study


def test_the_table_says_how_far_apart_arms_are_and_whether_the_paper_agrees(tmp_path: Path) -> None:
    exact = {"first": [0.80, 0.82, 0.81], "worse": [0.5, 0.52, 0.51], "like it": [0.7, 0.9, 0.8], "better": [0.9] * 3}
    study = a_study(tmp_path, exact, published=(87.4, 74.7, 73.7, 56.5))
    found = results(study)
    assert [result.agrees(found[0]) for result in found] == [None, "agrees", "cannot tell", "disagrees"]
    assert [round(result.exact or 0, 2) for result in found] == [0.81, 0.51, 0.8, 0.9]
    assert dict(found[0].course) == pytest.approx({50: 0.405, 100: 0.81})
    table = markdown(study, found, "trm study").splitlines()
    assert table[0] == "## sudoku 6x6, recipe tiny, 100 optimizer steps each, 3 seeds"
    assert list(found[3].interval or ()) == pytest.approx([0.8506, 0.9344], abs=2e-4)  # Wilson: all seeds alike
    worse = next(line for line in table if line.startswith("| worse"))
    cells = [cell.strip() for cell in worse.split("|")[1:-1]]
    assert cells[:3] == ["worse", "51.0%", "48.5–53.5%"]  # 0.51 +- 4.303 * 0.01 / sqrt(3)
    assert cells[4:] == ["90.0%", "4.0", "6", "1", f"{found[1].parameters:,}", "6", "74.7", "agrees"]
    write_results(study, found, "trm study", draws=True)
    chart = (tmp_path / "accuracy.svg").read_text()
    assert all(name in chart for name in exact)
    assert described(study, found, "")["arms"][1]["verdict"] == "agrees"


def test_with_one_seed_the_puzzles_are_the_sample(tmp_path: Path) -> None:
    found = results(a_study(tmp_path, {"first": [0.45], "second": [0.3]}))
    assert list(found[1].interval or ()) == pytest.approx([0.2408, 0.3668], abs=1e-3)  # Wilson, 60 of 200
    assert found[1].p == pytest.approx(two_shares(90, 200, 60, 200))
    assert found[0].agrees(found[0]) is None


def test_the_live_table_has_a_line_an_arm_and_fits(tmp_path: Path) -> None:
    study = a_study(tmp_path, {"first": [0.5, 0.7], "second arm": [0.25, 0.25]})
    (StudyRun(study, study.arms[1], 1).folder / "log.jsonl").write_text(
        json.dumps({"kind": "report", "step": 30, "seconds": 2.0}) + "\n"
    )
    display = StudyDisplay(study, quiet=True)
    display.symbols = ("=", "-")
    head, *rows = display.lines(60, 24).plain.split("\n")
    assert head.startswith("sudoku tiny: 2 arms, 2 seeds   82%")
    assert rows[0] == "first       ==============----------  60.0%    2/2"
    assert rows[1] == "second arm  ======------------------  25.0%    1/2   30%"
    assert max(map(len, rows)) <= 60


def test_the_paper_s_table_is_made_by_one_command(tmp_path: Path) -> None:
    done = trm(*SUDOKU, "--preset", "paper", "--max-steps", 3, "-o", tmp_path / "s")
    finished(done)
    table = (tmp_path / "s/table.md").read_text()
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")][2:] == [
        arm.name for arm in PAPER
    ]
    assert done.stderr.count(", 3 steps in ") == len(PAPER)
