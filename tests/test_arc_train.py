"""`trm train arc`: every recipe, a run's folder, an exact resume, and what is refused."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from tests.arc_tasks import small_data
from trm_cli.cli.app import app
from trm_cli.tasks.problems import ProblemData
from trm_cli.training.records import read_log
from trm_cli.weights.checkpoint import TABLE_FILE, WEIGHTS_FILE, read_config
from trm_cli.weights.puzzle_table import PuzzleTable

SMALLER = [
    "--set",
    "model.hidden_size=16",
    "--set",
    "model.N_sup=2",
    "--set",
    "train.batch_size=4",
    "--set",
    "train.report_every=1",
    "--set",
    "train.steps=6",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", "arc", "--device", "cpu", *map(str, words)])


@pytest.mark.parametrize("recipe", ["tiny", "paper"])  # paper-2 differs in two numbers
def test_a_recipe_takes_a_step_on_a_data_set_of_any_size(recipe: str, data: ProblemData, tmp_path: Path) -> None:
    done = train(
        "--recipe",
        recipe,
        "--data",
        data.folder,
        "--run",
        tmp_path / "run",
        "--max-steps",
        1,
        "--set",
        "train.batch_size=2",
        "--set",
        "model.N_sup=1",
        "--set",
        "train.validation=1",
    )
    assert done.exit_code == 0, done.stderr
    model = read_config(tmp_path / "run" / "checkpoint").model
    assert (model.num_puzzles, model.height) == (len(data.names), data.side)


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in read_log(folder) if entry["kind"] == "report"]


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(data: ProblemData, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    begin = ["--recipe", "tiny", "--data", data.folder, *SMALLER]
    assert train(*begin, "--run", whole).exit_code == 0
    assert train(*begin, "--run", parts, "--max-steps", 3).exit_code == 0
    assert train("--resume", parts).exit_code == 0
    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 6
    for checkpoint in ("checkpoint", "checkpoint-raw"):
        tables = [PuzzleTable(run / checkpoint / TABLE_FILE).whole() for run in (whole, parts)]
        assert torch.equal(*tables)
        assert tables[0].any()
    start = ["--init", whole / "checkpoint", "--run", tmp_path / "again", "--max-steps", 1]
    assert train(*begin, *start).exit_code == 0
    began = PuzzleTable(tmp_path / "again" / "checkpoint" / TABLE_FILE).whole()
    assert (began != tables[0]).any(1).sum() <= 4  # what one step touches


def test_the_table_lies_in_a_file_of_its_own(data: ProblemData, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoint"
    done = train("--recipe", "tiny", "--data", data.folder, *SMALLER, "--max-steps", 1, "--run", tmp_path / "run")
    assert done.exit_code == 0
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", WEIGHTS_FILE, TABLE_FILE}
    assert PuzzleTable(folder / TABLE_FILE).num_rows == len(data.names)
    assert b"puzzles" not in (folder / WEIGHTS_FILE).read_bytes()[:4096]


def test_what_does_not_fit_is_one_line(data: ProblemData, tmp_path: Path) -> None:
    for words, line in (
        (["--recipe", "tiny"], "arc: give --data FOLDER, one folder made by `trm data arc`"),
        ([], "'fast' is not a recipe of arc; choose from: paper, paper-2, tiny"),
        (
            ["--recipe", "tiny", "--data", data.folder, "--subsample", 3],
            "--subsample: of ARC, make a smaller data set with `trm data arc --limit`",
        ),
        (
            ["--recipe", "tiny", "--set", "data.puzzles=3"],
            "--set data.puzzles=3: there is no [data] in this recipe; leave data.puzzles out",
        ),
    ):
        done = train(*words, "--run", tmp_path / "run")
        assert (done.exit_code, done.stderr) == (2, f"trm: {line}\n")
    assert not (tmp_path / "run").exists()


def test_what_a_run_is_judged_by_is_said(data: ProblemData, tmp_path: Path) -> None:
    done = train("--recipe", "tiny", "--data", data.folder, *SMALLER, "--max-steps", 1, "--run", tmp_path / "run")
    assert "ARC tests: solved 0.00%" in done.stdout + done.stderr
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert "### tests of evaluation tasks, each way by itself, no vote, step 1" in card
    assert "held out" not in card
    assert "one for each task that it was trained on" in card
