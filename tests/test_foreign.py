"""Files of strangers: layouts are recognised, and what is not to be trusted is refused."""

import io
import json
import pickle
import resource
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.test_upstream import GOLDEN, official_weights
from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.converted import Source, convert, converted
from trm_cli.weights.foreign import read_tensors
from trm_cli.weights.layouts import Given, recognise
from trm_cli.weights.store import load_checkpoint

CPU = torch.device("cpu")


def weights(mixer: str = "mlp") -> dict[str, Tensor]:
    """The official tensors of a 4x4 Sudoku network, as the golden logits were computed with."""
    named = official_weights(json.loads(str(np.load(GOLDEN)[f"{mixer}_shapes"])))
    return {name.removeprefix("inner."): tensor for name, tensor in named.items()}


def vocabulary(count: int, num_puzzles: int = 1, mixer: str = "attention") -> dict[str, Tensor]:
    """The same for another task: that many tokens, that many puzzles."""
    tensors = weights(mixer)
    width = tensors["embed_tokens.embedding_weight"].shape[1]
    for name in ("embed_tokens.embedding_weight", "lm_head.weight"):
        tensors[name] = torch.randn(count, width)
    return tensors | {"puzzle_emb.weights": torch.randn(num_puzzles, width)}


PREFIXES = (
    "",
    "_orig_mod.model.inner.",
    "model.inner.",
    "module.",
    "module._orig_mod.model.inner.",
)


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("file", ["a.pt", "pytorch_model.bin", "step_9", "w.safetensors"])
def test_a_file_of_the_official_layout_gives_the_official_logits(
    mixer: str, prefix: str, file: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    tensors = {prefix + name: tensor for name, tensor in weights(mixer).items()}
    if file.endswith("safetensors"):
        save_file(tensors, path)
    else:
        torch.save(OrderedDict(tensors), path)
    given = Given("sudoku", 4, 4 if mixer == "attention" else None, None, 4)
    checkpoint = convert(Source(path, file), given, tmp_path / "ours")
    assert (checkpoint.task, checkpoint.model.box_height) == ("sudoku", 2)
    network = load_checkpoint(tmp_path / "ours", source="here", device=CPU).network
    golden = np.load(GOLDEN)
    tokens = torch.from_numpy(np.random.RandomState(3).randint(1, 7, (2, 16)))
    tokens_known = tokens.clamp(max=checkpoint.model.vocab_size - 1)
    assert torch.equal(tokens, tokens_known)
    y, z = network.starting_state(2)
    with torch.no_grad():
        y, z, logits, halt = network(network.embed(tokens), y, z)
    expected = torch.from_numpy(golden[f"{mixer}_logits"][0])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        halt, torch.from_numpy(golden[f"{mixer}_halt"][0]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("count", "puzzles", "task", "side", "n"),
    [(11, 1, "sudoku", 9, 6), (8, 1, "sudoku", 6, 6), (6, 1, "maze", 30, 4), (12, 7, "arc", 30, 4)],
)
def test_the_task_is_seen_from_the_vocabulary(
    count: int, puzzles: int, task: str, side: int, n: int
) -> None:
    network = recognise(vocabulary(count, puzzles), Given(num_heads=4))
    assert (network.task, network.config.height, network.config.n) == (task, side, n)
    assert network.config.num_puzzles == puzzles
    TinyRecursiveModel(network.config).load_state_dict(network.tensors)


def test_an_unknown_vocabulary_or_number_of_heads_is_refused() -> None:
    with pytest.raises(ModelError, match="knows 152 tokens"):
        recognise(vocabulary(152), Given(num_heads=4))
    with pytest.raises(ModelError, match="give the number of attention heads"):
        recognise(vocabulary(11), Given())


def test_a_lightning_checkpoint_of_nano_trm_loses_its_separator(tmp_path: Path) -> None:
    names = {"embed_tokens.": "input_embedding.", "L_level.": "lenet.",
             "H_init": "z_H_init", "L_init": "z_L_init"}  # fmt: skip
    theirs = {}
    for name, tensor in vocabulary(12).items():
        for official, nano in names.items():
            name = name.replace(official, nano) if name.startswith(official) else name
        theirs[name] = tensor[:1] if name.startswith("q_head") else tensor
    torch.save(
        {"epoch": 3, "state_dict": theirs, "hyper_parameters": {"n": 1}}, tmp_path / "a.ckpt"
    )
    network = recognise(read_tensors(tmp_path / "a.ckpt"), Given(num_heads=4))
    assert (network.layout, network.task, network.config.vocab_size) == ("nano", "sudoku", 11)
    expected = theirs["lm_head.weight"][[0, *range(2, 12)]]
    assert torch.equal(network.tensors["output_head.weight"], expected)
    assert torch.equal(network.tensors["halt_head.bias"], theirs["q_head.bias"])


def test_a_single_z_network_keeps_one_state() -> None:
    tensors = weights()
    del tensors["H_init"]
    found = recognise(tensors, Given("sudoku", n=2, T=1))
    assert found.layout == "official single-z"
    network = TinyRecursiveModel(found.config)
    network.load_state_dict(found.tensors)
    x = network.embed(torch.ones(1, 16, dtype=torch.int64))
    state = found.tensors["y_init"].expand(x.shape)
    with torch.no_grad():
        expected = network.net(network.net(network.net(state, x), x))
        y, _, logits, _ = network(x, *network.starting_state(1))
    assert torch.equal(y, expected)
    assert torch.equal(logits, network.read_answer(expected))


def test_a_hierarchical_reasoning_model_is_refused_by_name() -> None:
    tensors = weights() | {"H_level.layers.0.mlp.down_proj.weight": torch.zeros(1)}
    with pytest.raises(ModelError, match="Hierarchical Reasoning Model"):
        recognise(tensors, Given())


def test_a_missing_tensor_is_an_error(tmp_path: Path) -> None:
    tensors = weights()
    del tensors["lm_head.weight"]
    save_file(tensors, tmp_path / "w")
    with pytest.raises(ModelError, match="lacks tensor output_head"):
        convert(Source(tmp_path / "w", "w"), Given("sudoku"), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_file_is_converted_into_the_cache_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    torch.save(weights(), tmp_path / "step_9")
    first = converted(Source(tmp_path / "step_9", "step_9"), Given("sudoku"))
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert converted(Source(tmp_path / "step_9", "step_9"), Given("sudoku")) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert "Trained by others" in (first / "README.md").read_text()
    assert "license: unknown" in (first / "README.md").read_text()


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def evil(path: Path) -> None:
    torch.save({"a.b": Evil(path.with_name("executed"))}, path)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(path.with_name("executed"))))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(64 << 20))


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Rewrite the records of a file of torch.save."""
    buffer = io.BytesIO()
    torch.save({"a.b": torch.ones(64, 64)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def short_storage(path: Path) -> None:
    repacked(path, lambda name, content: content[:8] if "data/0" in name else content)


def huge_view(path: Path) -> None:
    torch.save({"a.b": torch.ones(1).expand(1 << 20, 1 << 20)}, path)


def written(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def header(length: int) -> Callable[[Path], None]:
    return written(length.to_bytes(8, "little") + b"{" + bytes(99))


def terabyte(path: Path) -> None:
    text = json.dumps({"a.b": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}})
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(64))


def truncated(path: Path) -> None:
    torch.save(weights(), path)
    path.write_bytes(path.read_bytes()[:-2000])


def not_a_number(path: Path) -> None:
    torch.save({"a.b": torch.full((3,), float("nan"))}, path)


def meta(path: Path) -> None:
    torch.save({"a.b": torch.empty(1 << 20, 1 << 20, device="meta")}, path)


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "malicious pickle": (evil, "which is no weight and may run programs"),
    "bare pickle": (bare_pickle, "a bare pickle, which may run programs"),
    "zip bomb": (zip_bomb, "torch.save packs nothing"),
    "short storage": (short_storage, "damaged"),
    "1 TB view": (huge_view, "would take"),
    "no storage": (meta, "no plain tensor"),
    "2 GB header": (header(2 << 30), "a header of 2,147,483,648 bytes"),
    "1 TB tensor": (terabyte, "damaged"),
    "truncated": (truncated, "damaged"),
    "nan": (not_a_number, "holds values that are no numbers"),
    "empty": (written(b""), "no weights"),
    "text": (written(b"hello world, here I am"), "no weights"),
    "list": (lambda path: torch.save([1, 2], path), "holds no dictionary of tensors"),
    "mixed": (lambda path: torch.save({"a.b": torch.ones(1), "c": 1}, path), "no named tensor"),
    "deep": (lambda path: torch.save({"model": {"model": {"model": {}}}}, path), "no dictionary"),
}


@pytest.mark.parametrize(("attack", "message"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_file_that_is_not_to_be_trusted_is_refused_in_one_line(
    attack: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    attack(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
    with pytest.raises(ModelError, match=message) as caught:
        convert(Source(path, "weights"), Given("sudoku"), tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
