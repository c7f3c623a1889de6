"""Speed: arithmetic counted from shapes, and the command that prints it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from trm_cli.cli.app import app
from trm_cli.cli.bench import _time_process
from trm_cli.errors import TrainingError, TRMError
from trm_cli.model.machine import peak_flops
from trm_cli.solving import benchmark as solving
from trm_cli.training.benchmark import Speed, step_flops
from trm_cli.training.recipes import get_recipe
from trm_cli.weights.checkpoint import bundled_checkpoints, read_config


def test_the_paper_s_forward_pass_has_the_operations_that_its_shapes_say() -> None:
    recipe = get_recipe("sudoku", "paper")
    model = recipe.model
    positions, D = model.num_prefix + model.num_cells, model.hidden_size
    tokens = 3 * D * positions * model.token_width  # gate, up and down
    channels = 3 * positions * D * model.channel_width
    net = 2 * model.num_layers * (tokens + channels)
    without, differentiated = (model.T - 1) * (model.n + 1), model.n + 1
    expected = net * (without + 3 * differentiated)  # backward is twice the forward
    assert abs(step_flops(recipe) / expected - 1) < 0.02  # the heads are the rest


def test_hrm_takes_a_second_forward_pass_and_differentiates_two_calls() -> None:
    recipe = get_recipe("sudoku", "hrm")
    model = recipe.model
    positions, D = model.num_prefix + model.num_cells, model.hidden_size
    matrices = positions * D * (4 * D + 3 * model.channel_width)
    net = 2 * model.num_layers * (matrices + 2 * positions**2 * D)
    expected = net * (2 * model.T * (model.n + 1) + 2 * 2)  # backward is twice the forward, of two calls
    assert abs(step_flops(recipe) / expected - 1) < 0.02


def test_more_latent_updates_are_more_work() -> None:
    recipe = get_recipe("sudoku", "fast")
    more = replace(recipe, model=replace(recipe.model, n=recipe.model.n * 2 + 1))
    assert 1.9 < step_flops(more) / step_flops(recipe) < 2.1


def test_the_peak_is_a_plausible_number() -> None:
    assert 1e8 < peak_flops(torch.float32, torch.device("cpu")) < 1e15


def test_the_command_prints_a_line_for_each_batch_size() -> None:
    words = ["bench", "train", "sudoku", "-r", "tiny", "--batch-sizes", "2,4", "--time", "0.2s"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    speeds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [speed["batch_size"] for speed in speeds] == [2, 4]
    for speed in speeds:
        assert speed["pairs_per_second"] == speed["steps_per_second"] * speed["batch_size"]
        assert speed["puzzles_per_second"] * 16 == speed["pairs_per_second"]
        assert 0 < speed["peak_share"] < 1
    drawn = CliRunner().invoke(app, words)
    assert drawn.stdout.splitlines()[0].strip() == "trm train sudoku --recipe tiny on cpu"
    assert "GFLOP/s" in drawn.stdout


def test_what_was_measured_is_shown_though_a_later_batch_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object, **__: object) -> Iterator[Speed]:
        yield Speed(2, 1.0, 2.0, 0.1, 1e9, 0.5, None, 1.0)
        raise TrainingError("out of memory")

    monkeypatch.setattr("trm_cli.training.benchmark.measure", measure)
    done = CliRunner().invoke(app, ["bench", "train", "sudoku", "--batch-sizes", "2,4"])
    assert done.exit_code == 3
    assert done.stderr == "trm: out of memory\n"
    assert "1.0 GFLOP/s" in done.stdout


def test_batch_sizes_that_are_no_numbers_are_refused() -> None:
    done = CliRunner().invoke(app, ["bench", "train", "sudoku", "--batch-sizes", "8,many"])
    assert done.exit_code == 2
    assert done.stderr == ("trm: --batch-sizes 8,many: write whole numbers with commas between: 16,64\n")


def test_the_start_of_each_command_is_timed_against_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.1, 0.3, 0.2] * 10)
    asked = []

    def time_process(command: str, arguments: list[str], stdin: str) -> float:
        asked.append((command, arguments, stdin))
        return next(seconds)

    monkeypatch.setattr("trm_cli.cli.bench._time_process", time_process)
    drawn = CliRunner().invoke(app, ["bench", "start", "--runs", "3"]).stdout.splitlines()
    assert drawn[1].split() == ["import", "trm_cli", "0.20", "s", "0.10", "s", "–"]
    assert drawn[2].split() == ["trm", "--help", "0.20", "s", "0.10", "s", "0.15", "s", "missed"]
    assert drawn[3].split() == ["trm", "models", "list", "0.20", "s", "0.10", "s", "0.40", "s"]
    lines = CliRunner().invoke(app, ["bench", "start", "--runs", "3", "--json"]).stdout.splitlines()
    starts = [json.loads(line) for line in lines]
    assert starts[1] == {"command": "trm --help", "runs": 3, "median": 0.2, "fastest": 0.1, "target": 0.15}
    assert [start["target"] for start in starts] == [None, 0.15, 0.4, 0.4, 1.6]
    assert asked[-1][0] == "trm solve sudoku"
    assert len(asked[-1][2].strip()) == 81


def test_a_command_that_fails_is_not_timed() -> None:
    assert 0 < _time_process("python", ["-c", "input()"], "a line") < 60
    with pytest.raises(TRMError, match=r"^trm nonsense: failed with exit code 3 \(no such thing\); run it"):
        _time_process("trm nonsense", ["-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"], "")


def test_solving_is_measured_for_each_batch_thread_and_type() -> None:
    words = ["bench", "solve", "sudoku", "-m", "sudoku-4x4", "--batch-sizes", "1,3", "--time", "0.1s", "--threads", "1"]
    done = CliRunner().invoke(app, [*words, "--dtype", "float32,bfloat16", "--json"])
    assert done.exit_code == 0, done.output
    speeds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(speed["dtype"], speed["batch_size"]) for speed in speeds] == [
        *(("float32", 1), ("float32", 3)),
        *(("bfloat16", 1), ("bfloat16", 3)),
    ]
    for speed in speeds:
        work = speed["flops_per_second"] / speed["steps_per_second"]
        assert work == pytest.approx(solving.step_flops(read_config(bundled_checkpoints()["sudoku-4x4"]).model))
        assert 0 < speed["peak_share"] < 1
        assert speed["official_ratio"] is None


def test_solving_is_drawn_as_a_table_of_a_recipe_s_network() -> None:
    words = ["bench", "solve", "maze", "--recipe", "tiny", "--batch-sizes", "2", "--time", "0.05s", "-q"]
    done = CliRunner().invoke(app, [*words, "--set", "model.n=1"])
    assert done.exit_code == 0, done.output
    assert "trm solve maze with tiny" in done.stdout
    assert "█" in done.stdout
    assert "official" not in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--against .", "--against: compares networks of a recipe; add --recipe paper"),
        ("--set model.n=1", "--set: changes a recipe; name one with --recipe"),
        ("--recipe tiny --model sudoku", "--recipe: makes a network of its own; leave --model out"),
        ("--batch-sizes 0", "--batch-sizes 0: write whole numbers with commas between: 16,64"),
        ("--dtype int4", "--dtype int4: choose auto, float32, bfloat16, int8"),
        ("--recipe paper --against .", "--against: the official code cannot be loaded: . is no checkout of it"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", "solve", "sudoku", *words.split()])
    assert (done.exit_code, done.stderr) == (2, f"trm: {line}\n")


def test_a_step_of_the_paper_s_network_has_the_operations_that_its_shapes_say() -> None:
    model = get_recipe("sudoku", "paper").model
    assert solving.step_flops(model) / 25.63e9 == pytest.approx(1, abs=1e-3)
    assert solving.step_flops(replace(model, T=2 * model.T)) / solving.step_flops(model) == pytest.approx(2, abs=1e-3)
