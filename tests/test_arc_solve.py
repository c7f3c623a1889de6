"""`trm solve arc`: known tasks, new ones with and without `--adapt`, and mistakes."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from tests.arc_tasks import save_untrained, small_data
from tests.hub_server import HubServer
from tests.test_cli import trm
from tests.test_faults import fail
from trm_cli.cli.app import app
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_grids import as_json, parse_problems
from trm_cli.tasks.problems import ProblemData
from trm_cli.training.problems import Adaptation, adapt
from trm_cli.training.recipes import PAPER_ARC_TRAIN
from trm_cli.weights.checkpoint import TABLE_FILE, WEIGHTS_FILE, read_config, write_config
from trm_cli.weights.puzzle_table import PuzzleTable
from trm_cli.weights.tensors import load_checkpoint

ALWAYS_BLACK = [[0, 0], [0, 0]]
NEW: dict[str, Any] = {
    "train": [{"input": [[n, 0], [0, n]], "output": ALWAYS_BLACK} for n in (1, 3, 4)],
    "test": [{"input": [[5, 0], [0, 5]], "output": ALWAYS_BLACK}],
}
CPU = torch.device("cpu")
PROGRAM = """
import contextlib
from trm_cli.__main__ import main
with contextlib.suppress(SystemExit):  # 1: not solved
    main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="module")
def model(data: ProblemData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("model"), data)


@pytest.fixture
def new_task(tmp_path: Path) -> Path:
    path = tmp_path / "new.json"
    path.write_text(json.dumps(NEW))
    return path


def solve(*words: object) -> Result:
    return CliRunner().invoke(app, ["solve", "arc", "--device", "cpu", *map(str, words)])


def known_task(data: ProblemData, folder: Path) -> Path:
    path = folder / "known.json"
    path.write_text(json.dumps(as_json(data.tests[0])))
    return path


def test_a_task_that_the_model_cannot_know_is_refused_with_what_to_type(new_task: Path, model: Path) -> None:
    done = trm("solve", "arc", new_task, "--model", model)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"trm: {new_task}: task new: this model was not trained on its demonstrations, so it "
        f"cannot know it; let it learn: trm solve arc {new_task} --model {model} --adapt 500\n"
    )


def test_a_new_task_is_learned_from_its_demonstrations_then_answered(new_task: Path, model: Path) -> None:
    before = (model / WEIGHTS_FILE).read_bytes()
    done = solve(new_task, "--model", model, "--adapt", 150, "--train-network", "--augment", 3, "--json")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    (test,) = told.pop("tests")
    assert (told["schema"], told["task"], told["index"], told["name"]) == (1, "arc", 0, "new")
    assert told["adapted"]["steps"] == 150
    assert told["adapted"]["cell_accuracy"] > 0.9
    assert told["model"]["source"] == str(model)
    assert (test["attempt_1"], test["solved"], test["predictions"]) == (ALWAYS_BLACK, True, 4)
    assert test["votes"][0] > 2
    assert "learned in 150 steps" in done.stderr
    assert (model / WEIGHTS_FILE).read_bytes() == before


def test_without_the_network_only_the_rows_are_trained(model: Path) -> None:
    (task,) = parse_problems(json.dumps(NEW), "new.json", "new")
    network = load_checkpoint(model, source="here", device=CPU).network
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps = []
    for trains_network in (False, True):
        how = Adaptation(3, 2, trains_network, 0)
        learned = adapt(network, Arc(), task, how, PAPER_ARC_TRAIN, lambda: steps.append(1))
        changed = [
            name for name, tensor in learned.network.state_dict().items() if not torch.equal(tensor, weights[name])
        ]
        assert bool(changed) == trains_network
        assert all(torch.equal(t, weights[n]) for n, t in network.state_dict().items())
        assert learned.known.rows.shape == (3, network.config.hidden_size)
        assert learned.known.rows.any(1).all()
    assert len(steps) == 6


def test_a_test_s_answer_is_never_learned_from(model: Path) -> None:
    secret = json.loads(json.dumps(NEW))
    secret["test"][0]["output"] = [[9]]
    rows = []
    for known in (NEW, secret):
        (task,) = parse_problems(json.dumps(known), "new.json", "new")
        network = load_checkpoint(model, source="here", device=CPU).network
        rows.append(adapt(network, Arc(), task, Adaptation(3, 2, False, 0), PAPER_ARC_TRAIN, lambda: None).known.rows)
    assert torch.equal(*rows)


def test_a_known_task_is_drawn_in_digits_on_a_pipe(data: ProblemData, model: Path, tmp_path: Path) -> None:
    path = known_task(data, tmp_path)
    done = trm("solve", "arc", path, "--model", model)
    lines = done.stdout.splitlines()
    assert lines[0] == "task known"
    assert lines[2].startswith("demonstration 1")
    assert any(line.startswith("test 1") for line in lines)
    assert set(done.stdout) <= set("0123456789 \n→:;,abcdefghijklmnopqrstuvwxyz")
    piped = trm("solve", "arc", "-", "--model", model, stdin=path.read_text())
    assert piped.stdout == done.stdout.replace("task known", "task stdin")
    output = tmp_path / "out.txt"
    assert solve(path, "--model", model, "-o", output).stdout == ""
    assert output.read_text(encoding="utf-8") == done.stdout


def test_only_the_rows_of_the_task_are_read(
    data: ProblemData, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = PuzzleTable._part

    def note(table: PuzzleTable, name: str, known: Any) -> torch.Tensor:
        asked.append((name, known))
        return read(table, name, known)

    monkeypatch.setattr(PuzzleTable, "_part", note)
    monkeypatch.setattr(PuzzleTable, "whole", lambda table: pytest.fail("all rows were read"))
    done = solve(known_task(data, tmp_path), "--model", model, "--json")
    known = PuzzleTable(model / TABLE_FILE).of_digest(data.tests[0].digest)
    assert sorted(asked, key=str) == [("puzzles", known), ("ways", known)]
    answers = json.loads(done.stdout)["tests"]
    assert known is not None
    assert [test["predictions"] for test in answers] == [known.count] * len(data.tests[0].tests)
    done = solve(known_task(data, tmp_path), "--model", model, "--json", "--views", 2)
    assert {test["predictions"] for test in json.loads(done.stdout)["tests"]} == {2}


def task_with_input(rows: list[list[int]]) -> str:
    """A task whose first demonstration has this input, as JSON."""
    return json.dumps({"train": [{"input": rows, "output": [[0]]}], "test": [{"input": [[0]]}]})


BAD = {
    "{": "not JSON (Expecting property name enclosed in double quotes, line 1, column 2); correct the file",
    "[1]": 'no ARC task; expected an object with "train" and "test"',
    '{"test": []}': 'task test: no list "train"; a task has "train" and "test"',
    task_with_input([[11]]): "task bad, train 1, input, row 1, column 1: 11 is no colour; colours are 0 to 9",
    task_with_input([[1, 2], [3]]): "task bad, train 1, input, row 2: 1 cells after rows of 2; make all rows as long",
    json.dumps(
        {"train": [{"input": [[0]], "output": [[0]]}], "test": [{"input": [[0]] * 31}]}
    ): "task bad, test 1, input: 31x1 cells; a grid has at most 30x30",
    json.dumps(
        {"train": [{"input": [[0]], "output": [[0]]}], "test": [{"input": [[0]] * 7}]}
    ): "task bad: a grid with a side of 7; this model's boards are 6x6, choose another with --model",
}


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_a_mistake_in_a_file_is_one_line(text: str, message: str, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    done = solve(path, "--model", model)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"trm: {path}: {message}\n")


def test_a_wrong_file_and_a_wrong_model_are_one_line(new_task: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    done = solve(missing, "--model", tmp_path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert str(missing) in done.stderr
    done = solve(new_task)
    assert (done.exit_code, done.stderr) == (
        3,
        "trm: no arc model is bundled; train one with `trm train arc` and give its folder with --model\n",
    )
    done = solve(new_task, "--model", "sudoku")
    assert (done.exit_code, done.stderr) == (3, "trm: model 'sudoku' is for sudoku, not for arc\n")


def test_options_that_say_something_about_attempts_are_refused_in_a_vote(new_task: Path, model: Path) -> None:
    for option in (["--search", "flat"], ["--attempts", "3"], ["--halt", "q"], ["--time-limit", "9s"]):
        flag = option[0]
        done = CliRunner().invoke(app, ["solve", "arc", str(new_task), "--model", str(model), *option])
        assert (done.exit_code, done.stderr) == (
            2,
            f"trm: {flag}: answers to arc are voted on, in all views; drop it\n",
        )


def test_learning_before_solving_is_for_problems(tmp_path: Path) -> None:
    puzzle = tmp_path / "puzzle.txt"
    puzzle.write_text("." * 81)
    done = CliRunner().invoke(app, ["solve", "sudoku", str(puzzle), "--adapt", "5"])
    assert (done.exit_code, done.stderr) == (2, "trm: --adapt: sudoku needs no learning before it is solved; drop it\n")


def test_a_model_goes_to_the_hub_and_comes_back_with_its_table(data: ProblemData, model: Path, tmp_path: Path) -> None:
    plain = Path(copytree(model, tmp_path / "plain"))
    write_config(plain, replace(read_config(model), training={}))
    push = ("models", "push", str(plain), "me/arc")
    words = ("solve", "arc", str(known_task(data, tmp_path)), "--model", "me/arc", "--json")
    with HubServer([]) as server:
        server.run(
            "from trm_cli.__main__ import main; main()",
            *push,
            home=tmp_path / "mine",
            HF_TOKEN="hf_secret",
            HF_HUB_DISABLE_XET="1",
        )
        told = server.run(PROGRAM, *words, home=tmp_path / "theirs")
    assert server.repos["model", "me/arc"].files[TABLE_FILE] == (model / TABLE_FILE).read_bytes()
    assert json.loads(told[0])["model"]["source"] == "me/arc"


@pytest.mark.parametrize("told", [{"train": [1]}, {"train": {"batch_size": "x"}}, {"train": {"clip": -1}}])
def test_a_record_of_training_that_cannot_be_is_the_models_fault(
    told: dict[str, Any], new_task: Path, model: Path, tmp_path: Path
) -> None:
    other = Path(copytree(model, tmp_path / "other"))
    write_config(other, replace(read_config(model), training=told))
    words = ["solve", "arc", str(new_task), "--model", str(other), "--adapt", "1", "--augment", "0"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert "config.json: training.train" in done.stderr


def test_too_little_memory_for_a_vote_is_one_line(
    data: ProblemData, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, MemoryError())
    done = CliRunner().invoke(app, ["solve", "arc", str(known_task(data, tmp_path)), "--model", str(model)])
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == "trm: out of memory; give a smaller --batch-size, or a smaller model\n"


@pytest.mark.parametrize(
    ("board", "words"),
    [({"height": 60, "width": 60}, "a board of arc has 30"), ({"width": 5, "box_width": 1}, "30 cells are not")],
)
def test_a_board_that_no_problem_has_is_refused(
    board: dict[str, Any], words: str, data: ProblemData, model: Path, tmp_path: Path
) -> None:
    other = Path(copytree(model, tmp_path / "other"))
    checkpoint = read_config(model)
    write_config(other, replace(checkpoint, model=replace(checkpoint.model, **board)))
    done = CliRunner().invoke(app, ["solve", "arc", str(known_task(data, tmp_path)), "--model", str(other)])
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert words in done.stderr
