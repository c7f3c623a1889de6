"""`trm train` as a process: every recipe on a CPU, data of the Hub, generated puzzles kept."""

import json
import os
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import THEIRS, HubServer, Repo
from tests.test_cli import SMALL, Finished, trm
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes

GENERATED = [*SMALL, *(f"--set=data.{s}" for s in ("puzzles=40", "least_givens=5", "most_givens=8"))]


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text())
    return config


@pytest.mark.parametrize("recipe", ["paper", "fast", "hrm"])
def test_the_large_recipes_run_on_a_cpu(recipe: str, tmp_path: Path) -> None:
    data, run = tmp_path / "d.csv", tmp_path / "run"
    assert trm("data", "sudoku", "--generate", 5, "--givens", "50-60", "-o", data).returncode == 0
    small = ("--set=train.batch_size=2", "--set=train.validation=1", "--set=model.N_sup=2")
    done = trm("train", "sudoku", "--recipe", recipe, "--max-steps", 2, "--data", data, *small, "--run", run)
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [(entry["kind"], entry["step"]) for entry in log] == [("report", 1), ("report", 2), ("evaluation", 2)]
    assert (run / "curves.svg").read_text().startswith("<svg")
    solved = trm("solve", "sudoku", data, "--model", run / "checkpoint", "--max-steps", 1)
    assert solved.returncode == 1, solved.stderr  # two steps teach nothing
    assert solved.stdout.count("not solved") == 5


def test_a_data_set_of_the_hub_is_trained_on_and_named_with_its_commit(
    small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(THEIRS)]:
        monkeypatch.delenv(name)  # such as HF_HUB_OFFLINE
    content = dataset_bytes(small_data, Sudoku(), gzipped=False)
    repo = Repo("owner/puzzles", {"train.csv": content, "README.md": b"# Puzzles"})
    run = tmp_path / "run"
    words = (
        "train",
        "sudoku",
        "-r",
        "tiny",
        *GENERATED,
        "--data",
        "hub:owner/puzzles",
        "--subsample",
        20,
        "--run",
        run,
        "--max-steps",
        2,
    )
    with HubServer([repo]) as hub:
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        done = trm(*words, **variables)
    assert done.returncode == 0, done.stderr
    facts = config_of(run)["training"]
    assert facts["data"][0].startswith("hub:owner/puzzles (train.csv of commit ")
    assert facts["puzzles"] == 20
    assert len(facts["puzzles_sha256"]) == 64
    again = trm("train", "sudoku", "--resume", run, "--max-steps", 3, **variables, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    other = trm(*words[:-4], "--run", tmp_path / "other", "--max-steps", 1, **variables, HF_HUB_OFFLINE="1")
    assert other.returncode == 0, other.stderr  # both from the cache


def test_generated_puzzles_are_kept_for_the_call_that_resumes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = trm("train", "sudoku", "-r", "tiny", *GENERATED, "--run", run, "--max-steps", 2)
    assert first.returncode == 0, first.stderr
    assert "generating puzzles" in first.stderr
    again = trm("train", "sudoku", "--resume", run, "--max-steps", 4)
    assert again.returncode == 0, again.stderr
    assert "generating" not in again.stderr
    assert f"resuming     {run} at step 2" in again.stderr


def printed(done: Finished, label: str) -> list[str]:
    """The command on the line with this label, as a shell would split it."""
    (line,) = [line.removeprefix(label) for line in done.stderr.splitlines() if line.startswith(label)]
    return shlex.split(line)


def test_the_lines_that_training_ends_with_can_be_run(tmp_path: Path) -> None:
    run = tmp_path / "my runs" / "it's tiny"
    words = ["train", "sudoku", "-r", "tiny", *GENERATED, "--set=train.steps=3", "--run", run]
    stopped = trm(*words, "--max-steps", 2)
    assert stopped.returncode == 0, stopped.stderr
    command, *watch = printed(stopped, "try it")
    shown = trm(*watch)
    assert (command, watch[:2], shown.returncode in (0, 1)) == ("trm", ["watch", "sudoku"], True), shown.stderr
    assert shown.stdout.count("┌─────┬─────┐") > 1  # a puzzle of the network's size, and answers
    finished = trm(*printed(stopped, "go on with")[1:])
    assert finished.returncode == 0, finished.stderr
    assert printed(finished, "try it") == [command, *watch]
    assert "go on with" not in finished.stderr


def test_a_call_whose_time_is_over_before_it_trains_says_where_it_went(tmp_path: Path) -> None:
    late = ("train", "sudoku", "-r", "tiny", "--max-time", "0.01s", "--run", tmp_path / "run")
    done = trm(*late)
    assert (done.returncode, (tmp_path / "run").exists()) == (2, False)
    assert re.search(
        r"trm: --max-time was over when [1-9]\d? of 3,000 puzzles were generated; give more time", done.stderr
    )


def test_a_schedule_over_the_time_of_a_call_ends_with_it(tmp_path: Path) -> None:
    timed = ("--set=train.decay_by=time", "--set=train.steps=1000000", "--max-time", "12s", "--set=train.validation=2")
    began = time.monotonic()
    done = trm("train", "sudoku", "-r", "tiny", *GENERATED, *timed, "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "go on with" not in done.stderr
    assert time.monotonic() - began < 24
    assert 0 < config_of(tmp_path / "run")["recipe"]["train"]["minutes"] < 0.2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["kind"] == "evaluation"


def test_more_gpus_than_there_are_and_unknown_trackers_are_refused(tmp_path: Path) -> None:
    def refusal(done: Finished) -> str:
        assert done.returncode == 2
        return done.stderr

    words = ("train", "sudoku", "-r", "tiny", "--run", tmp_path / "run")
    many = refusal(trm(*words, "--gpus", 99))
    assert many.startswith("trm: --gpus 99: torch finds ")
    odd = refusal(trm(*words, "--gpus", 3, "--device", "cpu", "--set", "train.batch_size=16"))
    assert odd == ("trm: train.batch_size is 16, which 3 workers cannot share evenly; give --set train.batch_size=15\n")
    assert "choose tensorboard or wandb" in refusal(trm(*words, "--log-to", "paper"))
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [False, True])
def test_on_cuda_a_network_is_trained_resumed_evaluated_and_solves(graphs: bool, tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "d.csv"
    assert trm("data", "sudoku", "--size", 4, "--generate", 20, "-o", data).returncode == 0
    compiled = ("compile=true", "compile_unit=step", "cuda_graphs=true") if graphs else ()
    device = ("--device", "cuda")
    words = ("train", "sudoku", "-r", "tiny", *GENERATED, *(f"--set=train.{one}" for one in compiled), *device)
    begun = trm(*words, "--set=train.steps=6", "--max-steps", 3, "--run", run)
    resumed = trm("train", "sudoku", "--resume", run, *device)
    counted = trm("eval", "sudoku", "--data", data, "-m", run / "checkpoint", *device, "--json")
    solved = trm("solve", "sudoku", data, "-m", run / "checkpoint", *device, "--json")
    assert (begun.returncode, resumed.returncode, counted.returncode) == (0, 0, 0), begun.stderr + resumed.stderr
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 6
    assert json.loads(counted.stdout)["models"][0]["groups"][0]["puzzles"] == 20
    assert (solved.returncode in (0, 1), len(solved.stdout.splitlines())) == (True, 20), solved.stderr
