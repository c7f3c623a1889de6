"""The lean net: the plain one's numbers, and nothing that it was given overwritten."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.conftest import small_config
from trm_cli.config import MIXERS, ModelConfig, SolveConfig
from trm_cli.model import number_types, slices
from trm_cli.model.lean import LeanNet, LeanTwoNets, lean
from trm_cli.model.network import TinyRecursiveModel, compile_network
from trm_cli.model.number_types import compute_in
from trm_cli.solving import engine
from trm_cli.tasks import get_task
from trm_cli.tasks.base import generator_of
from trm_cli.weights.checkpoint import bundled_checkpoints
from trm_cli.weights.tensors import load_checkpoint

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two nets": {"num_nets": 2},
    "single z": {"recursion": "single_z"},
    "multi z": {"recursion": "multi_z"},
    "one layer": {"num_layers": 1},
    "normalised": {"glu": "normalised"},
    "damped": {"damping": 0.5},
    "oblong boxes": {"height": 6, "width": 6, "box_height": 2, "box_width": 3, "vocab_size": 8},
}


def network_of(config: ModelConfig) -> TinyRecursiveModel:
    torch.manual_seed(0)
    return TinyRecursiveModel(config).eval().requires_grad_(False)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mixer", MIXERS)
@torch.inference_mode()
def test_a_step_comes_to_the_same_and_its_input_stays(mixer: str, variant: str) -> None:
    config = small_config(mixer, **VARIANTS[variant])
    plain = network_of(config)
    fast = lean(plain)
    assert isinstance(fast.net, LeanTwoNets if config.num_nets == 2 else LeanNet)
    given = [plain.embed(torch.randint(1, config.vocab_size, (3, config.num_cells)))]
    given += [torch.randn(3, *shape) for shape in (plain.state_shape, plain.z_shape)]
    before = [tensor.clone() for tensor in given]
    for found, expected in zip(fast(*given), plain(*given), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    for tensor, copy in zip(given, before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("mixer", MIXERS)
@torch.inference_mode()
def test_a_net_in_bfloat16_is_as_near_to_one_in_float32_as_the_plain_one(mixer: str) -> None:
    exact = network_of(small_config(mixer))
    plain = network_of(small_config(mixer)).bfloat16()
    fast = lean(plain)
    assert isinstance(fast.net, LeanNet)
    h = torch.randn(8, *plain.state_shape)
    errors = [
        (net(h.to(dtype)).float() - exact.net(h)).square().mean().sqrt().item()
        for net, dtype in ((fast.net, torch.bfloat16), (plain.net, torch.bfloat16))
    ]
    assert errors[0] < 1.2 * errors[1]
    assert errors[1] < 0.02


@pytest.mark.parametrize("rotary", ["none", "1d", "2d"])
@torch.inference_mode()
def test_positions_are_turned_alike(rotary: str) -> None:
    plain = network_of(small_config("attention", rotary=rotary))
    h = torch.randn(2, *plain.state_shape)
    torch.testing.assert_close(lean(plain).net(h), plain.net(h))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_has_nothing_to_gain_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_types, "gain_of", lambda *_: 2.0)
    network = network_of(small_config())
    assert lean(network).net is not network.net
    assert lean(network).embed is network.embed
    assert isinstance(network.net, type(network_of(small_config()).net))
    in_int8 = network_of(small_config())
    compute_in(in_int8, torch.int8)
    assert lean(in_int8) is in_int8
    compiled = network_of(small_config())
    compile_network(compiled)
    assert lean(compiled) is compiled


@pytest.mark.parametrize("name", ["sudoku-small", "sudoku-mlp", "sudoku-6x6", "sudoku-large-boards", "maze"])
def test_bundled_networks_take_the_same_steps_to_the_same_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_checkpoint(bundled_checkpoints()[name])
    task, side = get_task(loaded.checkpoint.task), min(loaded.network.config.height, 16)
    if loaded.network.config.num_cells != side * side:
        loaded = load_checkpoint(bundled_checkpoints()[name], num_cells=side * side)
    wanted = replace(generator_of(task).usual(side), puzzles=8)
    puzzles = list(generator_of(task).generate(wanted, size=side, seed=5).puzzles)

    def solved() -> list[tuple[bytes, int]]:
        found = engine.solve_stream(loaded.network, task, puzzles, batch_size=4, settings=SolveConfig())
        return [(outcome.chosen.answer.tobytes(), outcome.chosen.steps) for outcome in found]

    with_lean = solved()
    monkeypatch.setattr(slices, "lean", lambda network: network)
    assert solved() == with_lean
