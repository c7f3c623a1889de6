"""Layouts of others are recognised from names and shapes alone, whatever a file is called."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.test_upstream import weights
from trm_cli.errors import ModelError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.checkpoint import TABLE_FILE, WEIGHTS_FILE, read_config
from trm_cli.weights.convert import Given, Source, convert, converted, read_tensors, recognise

MLP, MULTI, HRM = weights("sudoku-mlp"), weights("sudoku-multi-z"), weights("sudoku-hrm")
PREFIXES = (
    "_orig_mod.model.inner.",
    "model.inner.",
    "module.",
    "module._orig_mod.model.inner.",
    "_orig._mod.model.inner.",
    ".",
)
FILES: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "a.pt": lambda tensors, path: torch.save(OrderedDict(tensors), path),
    "pytorch_model.bin": lambda tensors, path: torch.save({"model": tensors}, path),
    "step_9": lambda tensors, path: torch.save(tensors, path),
    "maze.safetensors": save_file,
}


def attention(vocab_size: int, num_puzzles: int = 1) -> dict[str, Tensor]:
    """A network of the official layout with that many tokens and puzzles."""
    tensors = weights("sudoku-attention")
    width = tensors["embed_tokens.embedding_weight"].shape[1]
    for name in ("embed_tokens.embedding_weight", "lm_head.weight"):
        tensors[name] = torch.randn(vocab_size, width)
    return tensors | {"puzzle_emb.weights": torch.randn(num_puzzles, width)}


def as_nano(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under nano-trm's names, the halt head of one row."""
    names = {"embed_tokens.": "input_embedding.", "L_level.": "lenet.", "H_init": "z_H_init", "L_init": "z_L_init"}
    theirs = {}
    for name, tensor in official.items():
        for before, after in names.items():
            name = name.replace(before, after) if name.startswith(before) else name
        theirs[name] = tensor[:1] if name.startswith("q_head") else tensor
    return theirs


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("file", FILES)
def test_prefix_container_and_file_name_make_no_difference(prefix: str, file: str, tmp_path: Path) -> None:
    FILES[file]({prefix + name: tensor for name, tensor in MLP.items()}, tmp_path / file)
    found, plain = recognise(read_tensors(tmp_path / file), Given()), recognise(MLP, Given())
    assert (found.layout, found.task, found.config) == ("official", "sudoku", plain.config)
    assert found.tensors.keys() == plain.tensors.keys()
    assert all(torch.equal(found.tensors[name], plain.tensors[name]) for name in plain.tensors)


@pytest.mark.parametrize(
    ("count", "puzzles", "task", "side", "box", "n"),
    [(11, 1, "sudoku", 9, 3, 6), (8, 1, "sudoku", 6, 2, 6), (6, 1, "maze", 30, 1, 4), (12, 7, "arc", 30, 1, 4)],
)
def test_the_task_is_seen_from_the_vocabulary(count: int, puzzles: int, task: str, side: int, box: int, n: int) -> None:
    found = recognise(attention(count, puzzles), Given(num_heads=4))
    config = found.config
    assert (found.task, config.height, config.box_height, config.n) == (task, side, box, n)
    assert (config.mixer, config.rotary, config.T) == ("attention", "1d", 3)
    TinyRecursiveModel(config).load_state_dict(found.tensors)


def test_what_is_given_stands_above_what_a_layout_implies() -> None:
    given = Given("sudoku", 4, 2, 5, 4)
    config = recognise(weights("sudoku-attention"), given).config
    assert (config.height, config.n, config.T, config.num_heads) == (4, 2, 5, 4)
    assert recognise(weights("sudoku-attention"), Given(num_heads=4)).task == "maze"  # 6 tokens


@pytest.mark.parametrize(
    ("tensors", "given", "message"),
    [
        (attention(152), Given(num_heads=4), "knows 152 tokens"),
        (attention(11), Given(), "trm models convert --heads"),
        (attention(11), Given(num_heads=3), "even multiple of model.num_heads"),
        (attention(11), Given("chess", num_heads=4), "choose from"),
        (MLP, Given(size=5), "boards of 4x4, not 5x5"),
        (MLP | {"L1_init": MLP["H_init"]}, Given(), "L1_init to Ln_init"),
        (
            {name: start for name, start in MULTI.items() if name != "L3_init"},
            Given(),
            r"has latents \[1, 2, 4, 5, 6\]",
        ),
        (MULTI | {"L3_init": torch.ones(1)}, Given(), "L1_init to Ln_init"),
        (MULTI, Given(n=4), "has 6 latents, so that n cannot be 4"),
        (HRM | {"H_level.norm": torch.ones(1, 1)}, Given("sudoku", 4, num_heads=4), "H_level.norm is not"),
        (MLP | {"embed_pos.embedding_weight": torch.ones(1, 1)}, Given(), "embed_pos"),
        ({"a.b": torch.ones(1)}, Given(), "no token embedding"),
        (
            {f"x.{name}": tensor for name, tensor in MLP.items()} | {"b": torch.ones(1)},
            Given(),
            "'b' stands outside the network",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_its_reason(
    tensors: dict[str, Tensor], given: Given, message: str
) -> None:
    with pytest.raises((ModelError, UsageError), match=message):
        recognise(tensors, given)


@pytest.mark.parametrize("name", MLP)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (3, 5), (2, 2, 2)])
def test_a_tensor_of_another_shape_is_never_a_crash(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    save_file(MLP | {name: torch.ones(shape)}, tmp_path / "w")
    with pytest.raises(ModelError):
        convert(Source(tmp_path / "w", "w"), Given(), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("name", MLP)
def test_a_missing_tensor_is_an_error(name: str, tmp_path: Path) -> None:
    save_file({key: tensor for key, tensor in MLP.items() if key != name}, tmp_path / "w")
    if name == "H_init":  # what is left is the layout of one latent
        assert recognise(read_tensors(tmp_path / "w"), Given()).layout == "official single-z"
    elif name == "puzzle_emb.weights":  # 32 positions without a prefix are no square board
        with pytest.raises(ModelError, match="no square board"):
            recognise(read_tensors(tmp_path / "w"), Given())
    else:
        with pytest.raises(ModelError, match=r"lacks tensor|no token embedding|heads"):
            convert(Source(tmp_path / "w", "w"), Given(), tmp_path / "ours")


def lightning(weights: dict[str, Tensor], **others: Any) -> dict[str, Any]:
    return {"epoch": 3, "state_dict": weights, "hyper_parameters": {"n": 1}, **others}


def test_a_lightning_checkpoint_of_nano_trm_loses_its_separator(tmp_path: Path) -> None:
    theirs = as_nano(attention(12))
    torch.save(lightning(theirs), tmp_path / "a.ckpt")
    found = recognise(read_tensors(tmp_path / "a.ckpt"), Given(num_heads=4))
    assert (found.layout, found.task, found.config.vocab_size) == ("nano", "sudoku", 11)
    expected = theirs["lm_head.weight"][[0, *range(2, 12)]]
    assert torch.equal(found.tensors["output_head.weight"], expected)
    assert torch.equal(found.tensors["halt_head.bias"], theirs["q_head.bias"])


def test_averages_beside_the_weights_of_a_lightning_checkpoint_are_preferred(tmp_path: Path) -> None:
    theirs = as_nano(attention(12))
    average = torch.randn_like(theirs["lm_head.weight"])
    callbacks = {"EMACallback": {"shadow": {"lm_head.weight": average}, "decay": 0.999}}
    torch.save(lightning(theirs, callbacks=callbacks), tmp_path / "a.ckpt")
    found = read_tensors(tmp_path / "a.ckpt")
    assert torch.equal(found["lm_head.weight"], average)
    assert torch.equal(found["q_head.bias"], theirs["q_head.bias"])


def test_a_network_without_a_puzzle_embedding_has_no_prefix() -> None:
    tensors = attention(11)
    del tensors["puzzle_emb.weights"]
    found = recognise(tensors, Given(num_heads=4))
    network = TinyRecursiveModel(found.config)
    network.load_state_dict(found.tensors)
    x = network.embed(torch.ones(1, 81, dtype=torch.int64))
    assert found.table is None
    assert x.shape == (1, 81, found.config.hidden_size)


def test_a_table_of_puzzles_goes_beside_the_network(tmp_path: Path) -> None:
    torch.save(attention(12, 1000), tmp_path / "w")
    found = recognise(read_tensors(tmp_path / "w"), Given(num_heads=4))
    assert found.table is not None
    assert found.table.shape == (1000, found.config.hidden_size)
    assert "embed.puzzles" not in found.tensors
    checkpoint = convert(Source(tmp_path / "w", "w"), Given(num_heads=4), tmp_path / "ours")
    assert checkpoint.model.num_puzzles == 1000
    (kept,) = load_file(tmp_path / "ours" / TABLE_FILE).values()
    assert torch.equal(kept, found.table)


def test_a_file_is_converted_into_the_cache_once(tmp_path: Path) -> None:
    torch.save(MLP, tmp_path / "step_9")
    source = Source(tmp_path / "step_9", "step_9")
    first = converted(source, tmp_path / "cache")
    stamp = (first / WEIGHTS_FILE).stat().st_mtime_ns
    assert converted(source, tmp_path / "cache") == first
    assert (first / WEIGHTS_FILE).stat().st_mtime_ns == stamp
    assert read_config(first).name == "step_9"
    assert "Trained by others" in (first / "README.md").read_text()
    assert "license: unknown" in (first / "README.md").read_text()
    torch.save(MLP | {"H_init": MLP["L_init"]}, tmp_path / "step_9")
    assert converted(source, tmp_path / "cache") != first
    assert [path.name[0] for path in first.parent.iterdir()].count(".") == 0
