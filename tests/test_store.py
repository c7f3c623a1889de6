"""Checkpoints on disk: what is saved comes back, and what is damaged is refused in one line."""

import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import small_config
from trm_cli.config import MIXERS
from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights import catalogue
from trm_cli.weights import tensors as tensors_module
from trm_cli.weights.card import card, write_card
from trm_cli.weights.catalogue import find_by_name, find_model, of_checkpoint
from trm_cli.weights.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Checkpoint, bundled_checkpoints, read_config
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


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else in the place of a file."""

    def replace(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return replace


def terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def add_bytes(folder: Path) -> None:
    with (folder / WEIGHTS_FILE).open("ab") as weights:
        weights.write(b"more")


def write_header(header: object) -> Callable[[Path], None]:
    text = json.dumps(header).encode()
    return lambda folder: write_weights(folder, len(text).to_bytes(8, "little") + text + bytes(64))


def write_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS_FILE).write_bytes(content)


def write_text(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


PLACES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "terabyte": terabyte,
    "loop": lambda path: path.symlink_to(path),
}
DAMAGES |= {
    f"{what} as {name}": (instead(name, make), rf"{name}: (a|larger|cannot)")
    for name in (CONFIG_FILE, WEIGHTS_FILE)
    for what, make in PLACES.items()
}
DAMAGES |= {
    "training null": (edit_config(training=None), "training: expected an object, got null"),
    "measured a list": (edit_config(measured=[1]), "measured: expected an object"),
    "half a character": (edit_config(training={"note": "\ud800"}), "half a character"),
    "nested": (write_text("[" * 100_000), "nested too deeply"),
    "no number": (write_text('{"format": NaN}'), "NaN is no number"),
    "digits": (write_text(f'{{"format": {"9" * 5000}}}'), "too many digits"),
    "format 1.5": (edit_config(format=1.5), "format: expected a whole number"),
    "model null": (
        write_text('{"format": 1, "name": "a", "task": "sudoku", "model": null}'),
        "model: expected an object",
    ),
    "no float": (edit_config(model={"rotary_base": 10**400}), "model.rotary_base: expected a number"),
    "T": (edit_config(model={"T": 1 << 20}), "calls the net 3,145,728 times; at most 1,024"),
    "n": (edit_config(model={"n": 1 << 20}), "calls the net 2,097,154 times; at most 1,024"),
    "N_sup": (edit_config(model={"N_sup": 1 << 20}), "model.N_sup"),
    "layers": (edit_config(model={"num_layers": 1 << 20}), "model.num_layers"),
    "symbols": (edit_config(model={"vocab_size": 1 << 20}), "1,048,576, sudoku on a board of 16 cells needs 6"),
    "other boxes": (edit_config(model={"box_height": 4, "box_width": 1}), "model.box_height is 4"),
    "no square": (edit_config(model={"height": 8}), "a Sudoku has 16, .* cells, not 32"),
    "endless solving": (edit_config(solving={"attempts": 10**6, "max_steps": 10**6}), "up to 1,000,000,000,000 steps"),
    "unknown setting": (edit_config(solving={"colour": 1}), "unknown setting colour; update trm"),
    "setting a list": (edit_config(solving={"views": [1]}), r"views: expected a whole number.*, got \[1\]"),
    "bytes behind": (add_bytes, "its tensors end at byte"),
    "header a list": (write_header([1]), "expected an object"),
    "header null": (write_header({"a": None}), "a: expected an object, got null"),
    "header negative": (write_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 64]}}), "shape"),
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


def test_weights_of_another_shape_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_path: Path) -> str:
        raise AssertionError

    monkeypatch.setattr(tensors_module, "sha256_of", read)
    monkeypatch.setattr(tensors_module, "load_file", read)
    edit_config(model={"hidden_size": 32})(folder)
    with pytest.raises(ModelError, match="its architecture says"):
        load_checkpoint(folder)


def test_sums_that_are_no_text_are_named(tmp_path: Path) -> None:
    bundled = bundled_checkpoints()["sudoku-4x4"]
    (tmp_path / bundled.name).symlink_to(bundled)
    (tmp_path / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="SHA256SUMS: not UTF-8 text at byte 0; install trm again"):
        load_checkpoint(tmp_path / bundled.name, source="bundled")


def test_a_name_too_long_for_a_file_is_no_model() -> None:
    for name in ("a" * 300, f"{'a' * 300}/", "a\0b"):
        with pytest.raises(ModelError, match="no model"):
            find_by_name(name)


def test_a_folder_without_permission_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "bundled_checkpoints", dict)  # the checkout itself may be closed to other users
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name) / "closed"
        closed.mkdir()
        Path(name).chmod(0o755)
        closed.chmod(0)
        user = os.geteuid()
        if not user:
            os.seteuid(65534)  # for root nothing is closed
        try:
            with pytest.raises(ModelError, match=r"config\.json: cannot be read \(Permission denied\)"):
                find_by_name(str(closed))
        finally:
            os.seteuid(user)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything stands in a value of JSON, itself included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, one in inside for place in leaves(one, (*path, name)))]


STRANGE: tuple[Any, ...] = (None, True, -1, 1.5, 10**30, "", "\x1b[2J", [], [[]], {}, {"a": 1})


@pytest.mark.parametrize("name", ["sudoku-6x6", "maze"])
def test_whatever_is_told_of_a_network_is_shown_or_refused(name: str, tmp_path: Path) -> None:
    text = (bundled_checkpoints()[name] / CONFIG_FILE).read_text()
    (tmp_path / WEIGHTS_FILE).touch()
    places = [
        place for part in ("training", "measured", "solving") for place in leaves(json.loads(text)[part], (part,))
    ]
    draw, refusals = random.Random(0), []
    for place in draw.sample(places, 60):
        known = json.loads(text)
        holder = known
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = draw.choice(STRANGE)
        (tmp_path / CONFIG_FILE).write_text(json.dumps(known))
        try:
            assert "\x1b" not in card(read_config(tmp_path))
            of_checkpoint("it", "cached", tmp_path, "here")
        except ModelError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert "\n" not in "".join(refusals)


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
