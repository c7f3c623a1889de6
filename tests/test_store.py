"""Checkpoints on disk: what is saved comes back, and what is damaged is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import small_config
from trm_cli.config import MIXERS
from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.card import write_card
from trm_cli.weights.catalogue import find_model
from trm_cli.weights.checkpoint import Checkpoint, bundled_checkpoints, read_config
from trm_cli.weights.tensors import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = small_config()
    save_checkpoint(tmp_path, Checkpoint("small", "sudoku", config), TinyRecursiveModel(config))
    return tmp_path


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_saved_network_computes_the_same_when_loaded(mixer: str, tmp_path: Path) -> None:
    network = TinyRecursiveModel(small_config(mixer)).eval()
    checkpoint = Checkpoint("small", "sudoku", network.config, {"steps": 3}, {"a": {"b": 1}})
    save_checkpoint(tmp_path, checkpoint, network)
    loaded = load_checkpoint(tmp_path, source="here", device=CPU)
    assert loaded.checkpoint == checkpoint
    x, (y, z) = network.embed(torch.randint(1, 6, (2, 16))), network.starting_state(2)
    assert torch.equal(network(x, y, z)[2], loaded.network(x, y, z)[2])


def test_saving_again_leaves_no_partial_file(folder: Path) -> None:
    config = small_config()
    save_checkpoint(folder, Checkpoint("small", "sudoku", config), TinyRecursiveModel(config))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}


def edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        known = json.loads((folder / "config.json").read_text())
        known.update({k: v for k, v in changes.items() if k != "model"})
        known["model"].update(changes.get("model", {}))
        (folder / "config.json").write_text(json.dumps(known))

    return edit


def edit_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json: cannot be read"),
    "not json": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "expected an object"),
    "huge config": (lambda f: (f / "config.json").write_bytes(b" " * (2 << 20)), "larger than"),
    "other format": (edit_config(format=99), "format 99"),
    "unknown field": (edit_config(model={"colour": 1}), "unknown model.colour"),
    "wrong type": (edit_config(model={"hidden_size": "a"}), "model.hidden_size"),
    "endless network": (edit_config(model={"hidden_size": 10**9}), "model.hidden_size"),
    "1 TB network": (edit_config(model={"hidden_size": 10**6}), "its architecture says"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
    "truncated": (truncate, "damaged"),
    "not weights": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "damaged"),
    "lacking": (edit_tensors(lambda t: t.pop("y_init")), "lacks tensor y_init"),
    "extra": (edit_tensors(lambda t: t.update(q=torch.ones(1))), "unexpected tensor q"),
    "other shape": (edit_tensors(lambda t: t.update(y_init=torch.ones(3))), r"y_init is \[3\]"),
    "int8 vector": (
        edit_tensors(lambda t: t.update(y_init=torch.ones(9).char(), **{"y_init.scale": torch.ones(9, 1)})),
        "scale",
    ),
    "nan": (edit_tensors(lambda t: t["y_init"].fill_(float("nan"))), "'y_init' holds values"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_refused_in_one_line(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_checkpoint(folder, source="here", device=CPU)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_model_is_found_by_folder_by_weights_file_and_by_bundled_name(folder: Path) -> None:
    for name in (str(folder), str(folder / "model.safetensors")):
        assert find_model(name, task="sudoku", num_cells=16).folder == folder
    bundled = find_model("sudoku", task="sudoku", num_cells=81)
    assert (bundled.source, bundled.checkpoint.name) == ("bundled", "sudoku")
    assert find_model(None, task="sudoku", num_cells=81) == bundled


def test_a_model_that_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="is for grids of 4x4 cells"):
        find_model(str(folder), task="sudoku", num_cells=81)
    with pytest.raises(ModelError, match="is for sudoku, not for maze"):
        find_model(str(folder), task="maze", num_cells=16)
    with pytest.raises(ModelError, match="no model 'nobody'"):
        find_model("nobody", task="sudoku", num_cells=81)
    with pytest.raises(ModelError, match="no bundled maze model"):
        find_model(None, task="maze", num_cells=961)


@pytest.mark.parametrize("name", sorted(bundled_checkpoints()))
def test_a_bundled_checkpoint_loads_is_small_and_its_card_is_up_to_date(name: str, tmp_path: Path) -> None:
    folder = bundled_checkpoints()[name]
    checkpoint = read_config(folder)
    assert checkpoint.name == name
    assert (folder / "model.safetensors").stat().st_size < 16 << 20
    assert load_checkpoint(folder, source="bundled", device=CPU).checkpoint == checkpoint
    write_card(tmp_path, checkpoint)
    assert (folder / "README.md").read_text() == (tmp_path / "README.md").read_text()
