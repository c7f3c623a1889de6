"""Models for other programs: ONNX, and smaller storages with what they cost."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import small_config
from trm_cli import TRM
from trm_cli.cli.app import app
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task
from trm_cli.tasks.base import generator_of
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.tensors import save_checkpoint

NAME = "sudoku-4x4"
PUZZLES = 100


def test_without_its_extra_onnx_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_cli.weights.export.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["models", "export", NAME, "-o", str(tmp_path / "a.onnx")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'trm-cli[onnx]'" in done.stderr


def test_the_start_beside_a_graph_is_never_overwritten_unasked(tmp_path: Path) -> None:
    start = tmp_path / "a.onnx.npz"
    start.write_text("precious")
    done = CliRunner().invoke(app, ["models", "export", NAME, "-o", str(tmp_path / "a.onnx")])
    assert (done.exit_code, done.stderr) == (2, f"trm: {start}: exists already; choose another name or add --force\n")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("mixer", ["bundled", "mlp"])
def test_the_onnx_graph_gives_the_same_logits_at_every_step(mixer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path, name = tmp_path / "step.onnx", NAME
    if mixer != "bundled":
        config = small_config(mixer, start="fixed")
        save_checkpoint(tmp_path, Checkpoint("small", "sudoku", config), TinyRecursiveModel(config))
        name = str(tmp_path)
    done = CliRunner().invoke(app, ["models", "export", name, "--format", "onnx", "-o", str(path)])
    assert done.exit_code == 0, done.stderr
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    model, task = TRM.from_pretrained(name), get_task("sudoku")
    size = model.config.height
    puzzles = (
        generator_of(task).generate(replace(generator_of(task).usual(size), puzzles=PUZZLES), size=size, seed=1).puzzles
    )
    tokens = torch.from_numpy(puzzles.astype(np.int64))
    with np.load(f"{path}.npz") as start:
        y, z = (np.repeat(start[key][None], PUZZLES, axis=0) for key in ("y", "z"))
    own = [torch.from_numpy(y), torch.from_numpy(z)]
    for _ in range(model.config.N_sup):
        given = {"tokens": tokens, "y": own[0], "z": own[1]}
        found = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
        expected = model(model.embed(tokens), *own)
        for graph, torchs in zip(found, expected, strict=True):
            np.testing.assert_allclose(graph, torchs, atol=1e-3)
        own = list(expected[:2])


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
def test_a_storage_says_what_it_costs_in_the_card(storage: str, tmp_path: Path) -> None:
    command = ["models", "export", "sudoku-4x4", "--format", "trm", "--storage", storage]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "small"), "--puzzles", "20"])
    assert done.exit_code == 0, done.stderr
    card = (tmp_path / "small" / "README.md").read_text()
    numbers = re.search(
        rf"Weights kept in {storage}. On 20 generated puzzles, 16 steps each, it solves (\d+), the "
        r"original (\d+); ([\d.]+)% of the cells are equal. After one step the logits are within "
        r"([\d.e-]+). Measured by `",
        card,
    )
    assert numbers
    assert done.stderr.strip() in card.replace(" Measured", "\nMeasured")
    assert abs(int(numbers[1]) - int(numbers[2])) <= 1
    assert (float(numbers[4]) == 0) == (storage == "float32")
    whole, small = TRM.from_pretrained("sudoku-4x4"), TRM.from_pretrained(tmp_path / "small")
    sizes = {"float32": 1.0, "bfloat16": 0.7, "int8": 0.5}
    bundled = whole.state_dict()
    weights = sum(tensor.numel() * 4 for tensor in bundled.values())
    assert (tmp_path / "small" / "model.safetensors").stat().st_size < sizes[storage] * weights + 4e3
    for name, tensor in bundled.items():
        assert (tensor - small.state_dict()[name]).abs().max() <= tensor.abs().max() / 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "gguf"], "choose onnx, trm or html"),
        (["--storage", "int4", "--format", "trm"], "choose float32, bfloat16, int8"),
        (["--storage", "int8"], "is for --format trm"),
    ],
)
def test_what_cannot_be_exported_is_refused(options: list[str], words: str, tmp_path: Path) -> None:
    command = ["models", "export", "sudoku-4x4", *options, "-o", str(tmp_path / "new")]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
    assert not (tmp_path / "new").exists()


def test_outputs_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for path in (tmp_path / "full", tmp_path / "full" / "file", tmp_path / "no" / "folder"):
        for command in (["export", "sudoku-4x4"], ["convert", str(tmp_path / "full" / "file")]):
            done = CliRunner().invoke(app, ["models", *command, "-o", str(path)])
            assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "full" / "file").read_text() == "mine"
