"""`trm eval arc` with a network that gives known answers, and without one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from tests.arc_tasks import save_untrained, small_data
from trm_cli.cli.app import app
from trm_cli.errors import UsageError
from trm_cli.solving import voting as arc
from trm_cli.solving.voting import Prediction, register_of
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_dataset import open_data
from trm_cli.tasks.arc_grids import as_json
from trm_cli.tasks.problems import ProblemData
from trm_cli.weights.checkpoint import TABLE_FILE, read_config
from trm_cli.weights.puzzle_table import save_table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="module")
def model(data: ProblemData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("model"), data)


def evaluate(data: ProblemData, model: Path, *words: object) -> Result:
    return CliRunner().invoke(
        app, ["eval", "arc", "--data", str(data.folder), "--model", str(model), "--device", "cpu", *map(str, words)]
    )


def answering(data: ProblemData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every board of the data set's tests answered as its label says, the plain ones not."""
    assert data.test is not None
    part, plain = data.test, set(data.test.group_indices[:-1].tolist())
    label_of: dict[bytes, np.ndarray] = {}
    for example, puzzle in enumerate(part.puzzles_of_examples().tolist()):
        label = np.zeros_like(part.labels[0]) if puzzle in plain else part.labels[example]
        label_of.setdefault(part.inputs[example].tobytes(), label)

    def predict(network: Any, boards: np.ndarray, rows: torch.Tensor) -> list[Prediction]:
        assert rows.shape == (len(boards), network.config.hidden_size)
        return [(label_of[board.tobytes()][None], [0.5]) for board in boards]

    monkeypatch.setattr(arc, "predict", predict)


def test_right_answers_in_every_way_are_undone_voted_for_and_submitted(
    data: ProblemData, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(data, monkeypatch)
    output = tmp_path / "submission.json"
    done = evaluate(data, model, "-o", output, "--json", "--batch-size", 3)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert data.test is not None
    tests = sum(len(task.tests) for task in data.tests)
    assert told["pass"] == dict.fromkeys(("1", "2", "5", "10", "100", "1000"), 1.0)
    assert (told["tasks"], told["tests"]) == (2, tests)
    assert told["predictions"] == len(data.test.inputs)
    assert (told["malformed"], told["empty"]) == (0, tests)  # the plain way says nothing
    answers = {task.name: task.answers for task in data.tests}
    assert json.loads(output.read_text()) == {
        name: [
            {f"attempt_{n}": answer.tolist() for n in (1, 2)}  # type: ignore[union-attr] # known
            for answer in of_task
        ]
        for name, of_task in answers.items()
    }
    again = evaluate(data, model, "-o", output)
    assert (again.exit_code, again.stderr) == (
        2,
        f"trm: {output}: exists already; choose another name or add --force\n",
    )


def test_the_figures_are_lines_to_read(data: ProblemData, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(data, monkeypatch)
    done = evaluate(data, model, "--limit", 1, "--views", 2)
    tests = len(data.tests[0].tests)
    assert done.stdout.splitlines() == [
        "pass@1     100.00%",
        "pass@2     100.00%",
        "pass@5     100.00%",
        "pass@10    100.00%",
        "pass@100   100.00%",
        "pass@1000  100.00%",
        f"1 tasks with known answers, {tests} tests; {2 * tests} predictions, of which 0 lack end "
        f"markers and {tests} hold no grid",
    ]


def test_an_untrained_network_is_evaluated_without_a_crash(data: ProblemData, model: Path) -> None:
    done = evaluate(data, model, "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["pass"]["1000"] < 1


def test_a_table_without_names_takes_those_of_the_data_set(
    data: ProblemData, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(data, monkeypatch)
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = torch.zeros(len(data.names), 8)
    save_table(tmp_path, rows)
    done = evaluate(data, tmp_path, "--json")
    assert json.loads(done.stdout)["pass"]["1"] == 1.0


def test_a_model_of_other_tasks_is_refused(data: ProblemData, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    whole = (folder / "puzzles.safetensors").read_bytes()
    digest = data.tests[0].digest.encode()
    (folder / "puzzles.safetensors").write_bytes(whole.replace(digest, b"0" * 64))
    done = evaluate(data, folder)
    assert (done.exit_code, done.stderr) == (
        3,
        f"trm: {folder}: was not trained on the demonstrations of 1 of 2 tasks, such as "
        f"{data.tests[0].name}; give the data set of its training\n",
    )
    done = evaluate(data, model, "--device", "cpu", "--data", tmp_path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


VIEWS_OF_NONE = {
    "no turn": lambda views: views.index_fill(1, torch.tensor(0), 8),
    "no digits": lambda views: views.index_fill(1, torch.tensor(3), 255),
    "the same colour twice": lambda views: views.index_fill(1, torch.tensor(3), 0),
    "a digit less": lambda views: views[:, :-1].contiguous(),
}


@pytest.mark.parametrize("change", VIEWS_OF_NONE.values(), ids=VIEWS_OF_NONE.keys())
def test_views_that_are_none_end_every_command_with_one_line(
    change: Callable[[torch.Tensor], torch.Tensor], data: ProblemData, model: Path, tmp_path: Path
) -> None:
    table, puzzle, hostile = model / TABLE_FILE, tmp_path / "task.json", tmp_path / "model"
    puzzle.write_text(json.dumps(as_json(data.tests[0])))
    shutil.copytree(model, hostile)
    tensors = load_file(table)
    with safe_open(table, "pt") as file:
        metadata = file.metadata()
    save_file({**tensors, "ways": change(tensors["ways"])}, hostile / TABLE_FILE, metadata)
    line = f"trm: {hostile / TABLE_FILE}: views that are no turn and colours; download or train it again\n"
    for words in (("solve", "arc", puzzle), ("watch", "arc", puzzle), ("eval", "arc", "--data", data.folder)):
        done = CliRunner().invoke(app, [*map(str, words), "--model", str(hostile), "--device", "cpu"])
        assert (done.exit_code, done.stdout, done.stderr) == (3, "", line)


def test_a_table_of_another_width_does_not_begin_a_run(data: ProblemData, model: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "model"
    shutil.copytree(model, hostile)
    config = read_config(model).model
    save_table(hostile, torch.ones(config.num_puzzles, 9), register_of(Arc(), data))
    settings = [
        f"model.{name}={getattr(config, name)}" for name in ("hidden_size", "channel_width", "num_heads", "n", "T")
    ]
    words = ["train", "arc", "--data", data.folder, "--recipe", "tiny", "--init", hostile, "--run", tmp_path / "run"]
    sets = [word for setting in (*settings, "model.N_sup=1") for word in ("--set", setting)]
    done = CliRunner().invoke(app, [*map(str, words), *sets, "--max-steps", "1", "--device", "cpu"])
    told = f"{config.num_puzzles}x9, the network's config says {config.num_puzzles}x8; download or train it again"
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (3, f"trm: {hostile / TABLE_FILE}: {told}")


@pytest.mark.parametrize("words", [("eval", "arc"), ("train", "arc", "--recipe", "tiny")])
def test_a_damaged_data_set_ends_a_command_with_one_line(
    words: tuple[str, ...], data: ProblemData, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(data.folder, folder)
    (folder / "train" / "all__inputs.npy").write_bytes(b"x")
    done = CliRunner().invoke(app, [*words, "--data", str(folder), "--device", "cpu"])
    reason = "not an array of numpy with 36 tokens in a row"
    told = f"{folder}/train/all__inputs.npy: no ARC data set ({reason}); make one with `trm data arc`"
    assert (done.exit_code, done.stdout, done.stderr.splitlines()[-1]) == (2, "", f"trm: {told}")


def test_names_that_tell_no_rows_apart_are_one_line(data: ProblemData, tmp_path: Path) -> None:
    known = (data.folder / "identifiers.json").read_text()
    for names, reason in (
        ([*data.names[:-1], "x|||y"], f"name {len(data.names) - 1} (x|||y) is that of no view"),
        ([*data.names[:-1], data.names[1]], f"the puzzles of task {data.names[1]} do not lie together"),
    ):
        (data.folder / "identifiers.json").write_text(json.dumps(names))
        with pytest.raises(UsageError) as caught:
            register_of(Arc(), open_data(data.folder))
        (data.folder / "identifiers.json").write_text(known)
        assert str(caught.value) == f"{data.folder}: {reason}; make the data set again"
