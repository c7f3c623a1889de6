"""`from trm_cli import TRM`, cards, the list of models, and what a config may not say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from tests.conftest import small_config
from trm_cli import TRM
from trm_cli.cli.app import app
from trm_cli.errors import ModelError
from trm_cli.weights.card import card
from trm_cli.weights.checkpoint import Checkpoint, bundled_checkpoints, read_config
from trm_cli.weights.hub import known_models

OURS = bundled_checkpoints()["sudoku-4x4"]
FILES = {path.name: path.read_bytes() for path in OURS.iterdir()}


def stranger(folder: Path, **changes: Any) -> Path:
    """A checkpoint whose config.json says something else; `model` is merged."""
    config = json.loads(FILES["config.json"])
    changes["model"] = config["model"] | changes.get("model", {})
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "model.safetensors").write_bytes(FILES["model.safetensors"])
    return folder


def test_a_network_in_python_is_saved_loaded_and_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = TRM.from_pretrained("sudoku-4x4")
    model.save_pretrained(tmp_path)
    again = TRM.from_pretrained(tmp_path)
    assert again.checkpoint == model.checkpoint
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    x, (y, z) = again.embed(torch.ones(2, 16, dtype=torch.int64)), again.starting_state(2)
    assert again(x, y, z)[2].shape == (2, 16, 6)
    (tmp_path / "model.safetensors").write_bytes(FILES["model.safetensors"][:-8])
    with pytest.raises(ModelError, match="damaged"):
        TRM.from_pretrained(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_a_new_network_is_saved_for_the_task_of_its_board(tmp_path: Path) -> None:
    for name, box, task in (("a", 2, "sudoku"), ("b", 1, "maze")):
        config = small_config(box_height=box, box_width=box)
        TRM(config).save_pretrained(tmp_path / name)
        assert TRM.from_pretrained(tmp_path / name).checkpoint == Checkpoint("trm", task, config)
    assert TRM(small_config(vocab_size=99)).checkpoint.task == "unknown"


@pytest.mark.parametrize(
    "change",
    [
        {"halt_head.bias": None},
        {"extra": torch.ones(1)},
        {"halt_head.bias": torch.full((1,), float("nan"))},
        {"halt_head.bias": torch.ones(1, dtype=torch.int64)},
    ],
)
def test_a_missing_an_unexpected_and_a_damaged_tensor_are_errors(
    change: dict[str, torch.Tensor | None], tmp_path: Path
) -> None:
    from safetensors.torch import load, save_file

    tensors = load(FILES["model.safetensors"]) | change
    stranger(tmp_path)
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=next(iter(change))):
        TRM.from_pretrained(tmp_path)


def test_a_run_s_folder_means_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    stranger(tmp_path / "checkpoint")
    (tmp_path / "config.json").write_text("{}")
    assert TRM.from_pretrained(tmp_path).checkpoint.name == "sudoku-4x4"


def test_bundled_weights_of_another_hash_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sudoku-4x4"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    sums = (OURS.parent / "SHA256SUMS").read_text()
    (tmp_path / "SHA256SUMS").write_text(sums)
    monkeypatch.setattr("trm_cli.weights.catalogue.bundled_checkpoints", lambda: {"s": folder})
    TRM.from_pretrained("s")
    changed = bytearray(FILES["model.safetensors"])
    changed[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(changed))
    with pytest.raises(ModelError, match="its SHA-256 is not the one in SHA256SUMS"):
        TRM.from_pretrained("s")


def test_every_bundled_checkpoint_has_the_hash_that_is_listed() -> None:
    for name in bundled_checkpoints():
        TRM.from_pretrained(name)
    listed = (OURS.parent / "SHA256SUMS").read_text().splitlines()
    assert {line.split()[1] for line in listed} == {f"{name}/model.safetensors" for name in bundled_checkpoints()}


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a\\b", "\x1b[2J", "", 3])
@pytest.mark.parametrize("field", ["name", "task"])
def test_a_config_with_a_path_in_it_is_refused(field: str, name: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no plain name|expected a text"):
        TRM.from_pretrained(stranger(tmp_path, **{field: name}))


@pytest.mark.parametrize(
    "change", [{"height": 1 << 20, "box_height": 1}, {"num_layers": 1 << 20}, {"hidden_size": 1 << 20}]
)
def test_a_config_that_asks_for_a_terabyte_is_refused(change: dict[str, int], tmp_path: Path) -> None:
    message = (
        "more than these weights are for|num_layers: expected a whole number from 1 to 1,024|its architecture says"
    )
    with pytest.raises(ModelError, match=message):
        TRM.from_pretrained(stranger(tmp_path, model=change))
    for command in ("show", "pull"):
        done = CliRunner().invoke(app, ["models", command, str(tmp_path)])
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (3, "", 1)


FACTS = (
    {"training": [1]},
    {"training": {"data": 3}},
    {"training": {"converted_from": 1}},
    {"measured": {"x": {"groups": [{"kind": "all"}]}}},
    {"measured": 3},
)


@pytest.mark.parametrize("facts", FACTS)
def test_facts_that_are_not_told_as_ours_are_refused_in_one_line(facts: dict[str, Any], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "show", str(stranger(tmp_path, **facts))])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (3, "", 1)


def test_no_escape_sequence_of_a_stranger_reaches_the_terminal(tmp_path: Path) -> None:
    training = json.loads(FILES["config.json"])["training"] | {"command": "\x1b[2J\x9b2J"}
    stranger(tmp_path, training=training)
    shown = CliRunner().invoke(app, ["models", "show", str(tmp_path)])
    assert shown.exit_code == 0
    stranger(tmp_path, model={"\x1b[2J": 1})
    refused = CliRunner().invoke(app, ["models", "show", str(tmp_path)])
    assert refused.exit_code == 3
    assert all(line.isprintable() for line in (shown.stdout + refused.stderr).split("\n"))


def test_the_card_for_the_hub_holds_every_measurement_with_its_command() -> None:
    checkpoint = read_config(bundled_checkpoints()["sudoku"])
    data: Any = ModelCard(card(checkpoint, "me/mine")).data
    assert {"library_name": "trm-cli", "license": "apache-2.0"}.items() <= data.to_dict().items()
    assert "sudoku" in data.tags
    expected = [
        (name, metric, round(entry["groups"][0][field] * 100, 4), f"measured by {entry['command']}")
        for name, entry in checkpoint.measured.items()
        for metric, field in (("exact_match", "exact"), ("rules_hold", "verified"))
    ]
    results = [(r.dataset_name, r.metric_type, r.metric_value, r.metric_args["command"]) for r in data.eval_results]
    assert results == expected
    assert len(checkpoint.measured) > 1
    assert "--model me/mine`" in card(checkpoint, "me/mine")
    assert "model-index" not in card(checkpoint)


def test_the_list_names_every_model() -> None:
    listed = CliRunner().invoke(app, ["models", "list"]).stdout
    assert max(map(len, listed.splitlines())) <= 100
    bundled, known = listed.split("\n\n")
    assert bundled.startswith("Bundled\n")
    assert all(f"\n{name} " in bundled for name in bundled_checkpoints())
    assert known.startswith("On the Hub")
    assert all(f"\n{alias} " in known for alias in known_models())
    rows = [json.loads(line) for line in CliRunner().invoke(app, ["models", "list", "--json"]).stdout.splitlines()]
    assert {row["name"] for row in rows if not row["tried"]} == set(known_models())


def test_show_prints_the_card_or_all_that_is_known() -> None:
    shown = CliRunner().invoke(app, ["models", "show", "sudoku-4x4"])
    assert shown.stdout == FILES["README.md"].decode()
    known = json.loads(CliRunner().invoke(app, ["models", "show", "sudoku-4x4", "--json"]).stdout)
    assert (known["source"], known["model"]["height"]) == ("bundled", 4)


def test_bundled_models_and_folders_cannot_be_removed(tmp_path: Path) -> None:
    for name in ("sudoku", str(tmp_path)):
        done = CliRunner().invoke(app, ["models", "remove", name])
        assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert tmp_path.is_dir()


def test_the_package_imports_torch_when_it_is_asked_for_the_network_and_sympy_never() -> None:
    code = (
        "import sys, trm_cli; assert 'torch' not in sys.modules\n"
        "trm_cli.TRM.from_pretrained('sudoku'); trm_cli.TRM.from_pretrained('sudoku-mlp')\n"
        "assert 'torch' in sys.modules; assert 'sympy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
