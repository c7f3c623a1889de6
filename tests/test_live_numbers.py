"""What a page computes, in a real browser: the numbers of torch, for every mixer and ablation."""

import base64
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
import wasmtime

from tests.live_pages import BROWSER, READY, Open, as_shipped, for_board, generated, in_worker, opening, task_of
from trm_cli.config import OF_HRM, ModelConfig
from trm_cli.display.page import WEB
from trm_cli.model.network import TinyRecursiveModel, resized

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
CLOSE = 1e-3  # of y and the halt logit, both near 1
SHOWN = 7  # every so many numbers of y are compared: all channels and cells over the puzzles


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    with opening(tmp_path_factory.mktemp("pages")) as open_it:
        yield open_it


PUZZLES = [
    ("sudoku", 9, 50),
    ("sudoku-small", 9, 50),
    ("sudoku-mlp", 9, 50),
    ("sudoku-6x6", 6, 50),
    ("sudoku-4x4", 4, 50),
    ("sudoku-large-boards", 6, 40),
    ("sudoku-large-boards", 12, 10),
    ("maze", 15, 40),
    ("maze", 30, 10),
]


@pytest.mark.parametrize(("name", "size", "count"), PUZZLES)
def test_the_numbers_are_those_of_torch(open_page: Open, name: str, size: int, count: int) -> None:
    page = open_page(name).page
    loaded = as_shipped(name)
    task, puzzles = task_of(name), generated(name, count, size, seed=3)
    network = for_board(loaded, size * size)
    for first in range(0, count, 10):
        some = puzzles[first : first + 10]
        told = in_worker(
            page,
            f"""async (texts) => {{
                {READY}
                const task = TASKS[shipped.task];
                return texts.map((text) => {{
                  const {{ tokens }} = task.readOne(text, 1, ""), network = networkFor(task, tokens.length);
                  const x = network.embed(tokens), shown = [], halts = [];
                  let [y, z] = network.startingState(), digits;
                  for (let step = 0; step < 16; step++) {{
                    [y, z] = network.step(x, y, z);
                    digits = [...likeliest(network.readAnswer(y), network.config.vocab_size)];
                    if (step >= 4) continue;
                    shown.push(...y.filter((_, i) => i % {SHOWN} === 0));
                    halts.push(network.readHalt(y));
                  }}
                  const bytes = new Uint8Array(Float32Array.from(shown).buffer);
                  return {{ y: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")), halts, digits }};
                }});
            }}""",
            [task.write(puzzle) for puzzle in some],
        )
        with torch.inference_mode():
            x = network.embed(torch.from_numpy(some.astype(np.int64)))
            y, z = network.starting_state(len(some), torch.Generator().manual_seed(0))
            z = z[:1].expand_as(z)
            ys, halts = [], []
            for step in range(16):
                y, z, logits, halt = network(x, y, z)
                if step < 4:
                    ys.append(y.flatten(1)[:, ::SHOWN].numpy())
                    halts.append(halt.numpy())
        theirs = np.stack([np.frombuffer(base64.b64decode(one["y"]), np.float32) for one in told])
        assert np.abs(np.concatenate(ys, 1) - theirs).max() < CLOSE
        assert np.abs(np.stack(halts, 1) - np.array([one["halts"] for one in told])).max() < CLOSE
        assert [one["digits"] for one in told] == logits.argmax(-1).tolist()


TINY = ModelConfig(hidden_size=12, num_layers=2, num_heads=2, token_width=20, channel_width=20, num_prefix=3, n=2, T=2)
FIELDS: dict[str, Any] = {"num_prefix": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "normalised": {"glu": "normalised"},
    "attention": {"mixer": "attention"},
    "attention, 1d": {"mixer": "attention", "rotary": "1d"},
    "attention, 2d": {"mixer": "attention", "rotary": "2d"},
    "equivariant": {"mixer": "equivariant", **FIELDS},
    "units": {"mixer": "units", **FIELDS},
    "convolution": {"mixer": "convolution", **FIELDS},
    "one puzzle embedding": {"num_puzzles": 1},
    "fixed start": {"start": "fixed"},
    "random start": {"start": "random"},
    "damped": {"damping": 0.3},
    "single z": {"recursion": "single_z"},
    "multi z": {"recursion": "multi_z"},
    "multi z, random": {"recursion": "multi_z", "start": "random"},
    "HRM": OF_HRM,
}


def random_network(config: ModelConfig) -> tuple[TinyRecursiveModel, list[dict[str, Any]]]:
    """A network of random weights, and its config and weights for the worker."""
    torch.manual_seed(1)
    network = TinyRecursiveModel(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.15)
    state = network.state_dict().items()
    tensors = {name: {"shape": list(tensor.shape), "data": tensor.flatten().tolist()} for name, tensor in state}
    return network, [asdict(config), tensors]


GIVEN = f"{READY} for (const tensor of Object.values(tensors)) tensor.data = Float32Array.from(tensor.data);"


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_mixer_and_ablation_is_that_of_torch(open_page: Open, variant: dict[str, Any]) -> None:
    page = open_page("sudoku-4x4").page
    network, given = random_network(replace(TINY, **variant))
    puzzle = generated("sudoku", 1, 9, seed=5)
    told = in_worker(
        page,
        f"""async ([config, tensors, tokens]) => {{
            {GIVEN}
            const network = new TinyRecursiveModel(kernels, config, tensors, 7), x = network.embed(tokens);
            let [y, z] = network.startingState();
            [y, z] = network.step(x, y, z);
            const latents = Array.isArray(z) ? z.flatMap((one) => [...one]) : [...z];
            return {{ y: [...y], z: latents, logits: [...network.readAnswer(y)], halt: network.readHalt(y) }};
        }}""",
        [*given, puzzle[0].tolist()],
    )
    with torch.inference_mode():
        x = network.embed(torch.from_numpy(puzzle.astype(np.int64)))
        y, z = network.starting_state(1, torch.Generator().manual_seed(7))
        y, z, logits, halt = network(x, y, z)
    for name, tensor in {"y": y, "z": z, "logits": logits, "halt": halt}.items():
        theirs = np.array(told[name]).reshape(-1)
        np.testing.assert_allclose(theirs, tensor.flatten().numpy(), atol=CLOSE, rtol=0, err_msg=name)


@pytest.mark.parametrize("count", [16, 23, 1000])
def test_normal_numbers_are_those_that_torch_draws(open_page: Open, count: int) -> None:
    page = open_page("sudoku-4x4").page
    for seed in (0, 5, 2**32 + 5, 2**63 - 1):
        told = in_worker(page, "([count, seed]) => [...randomNormal(count, Number(seed))]", [count, str(seed % 2**32)])
        ours = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(np.array(told), ours.numpy(), atol=1e-5)


def test_the_kernels_are_what_their_text_says() -> None:
    assert wasmtime.wat2wasm((WEB / "kernels.wat").read_text(encoding="utf-8")) == (WEB / "kernels.wasm").read_bytes()


@pytest.mark.parametrize("mixer", ["units", "convolution"])
def test_smaller_mazes_are_those_of_torch(open_page: Open, mixer: str) -> None:
    page = open_page("sudoku-4x4").page
    board: dict[str, Any] = {"box_height": 1, "box_width": 1, "vocab_size": 6, "smallest": 5 * (mixer == "units")}
    network, given = random_network(replace(TINY, mixer=mixer, num_prefix=0, **board))
    puzzle = generated("maze", 1, 7, seed=5)
    told = in_worker(
        page,
        f"""async ([config, tensors, tokens]) => {{
            {GIVEN}
            const before = [shipped, weights];
            [shipped, weights] = [{{ config, settings: {{ seed: 0 }} }}, tensors];
            const network = networkFor(TASKS.maze, tokens.length);
            [shipped, weights] = before;
            delete networks[network.config.height];
            const [y] = network.step(network.embed(tokens), ...network.startingState());
            return [...y];
        }}""",
        [*given, puzzle[0].tolist()],
    )
    smaller = resized(network, replace(network.config, height=7, width=7, smallest=0))
    with torch.inference_mode():
        y, *_ = smaller(smaller.embed(torch.from_numpy(puzzle.astype(np.int64))), *smaller.starting_state(1))
    np.testing.assert_allclose(np.array(told), y.flatten().numpy(), atol=CLOSE, rtol=0)
