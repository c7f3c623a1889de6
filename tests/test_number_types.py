"""Number types: 8-bit integers come close to float32, and each type is chosen only where it is faster."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import small_config, sudokus
from trm_cli import TRM
from trm_cli.config import MIXERS
from trm_cli.errors import UsageError
from trm_cli.model import machine, number_types
from trm_cli.model.layers import Linear
from trm_cli.model.machine import choose_machine, peak_flops
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.number_types import Int8Linear, compute_in, fastest_type, gain_of, type_of
from trm_cli.model.slices import rows_in_cache

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor may have no arithmetic for 8-bit integers, which they are right without."""
    monkeypatch.setattr(number_types, "gain_of", lambda *_: 2.0)


def network_of(mixer: str = "units") -> TinyRecursiveModel:
    torch.manual_seed(0)
    return TinyRecursiveModel(small_config(mixer)).eval().requires_grad_(False)


@torch.inference_mode()
def test_a_linear_map_of_integers_is_what_rounding_says() -> None:
    linear = Linear(24, 10)
    with torch.no_grad():
        linear.weight[3] = 0.0
    h = torch.randn(2, 5, 24) * torch.logspace(-4, 4, 5)[:, None]  # rows of every size
    h[1, 2] = 0.0
    rows, weight = h.numpy().reshape(-1, 24), linear.weight.numpy()
    row_scale = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-12) / 127
    weight_scale = np.maximum(np.abs(weight).max(1), 1e-12) / 127
    rounded = np.rint(rows / row_scale) @ np.rint(weight / weight_scale[:, None]).T
    found = Int8Linear(linear)(h)
    np.testing.assert_allclose(found.numpy().reshape(-1, 10), rounded * row_scale * weight_scale, rtol=1e-5)
    error = (found - linear(h)).square().mean(-1).sqrt() / h.square().mean(-1).sqrt().clamp(min=1e-9)
    assert error.max() < 0.02


@pytest.mark.parametrize("mixer", MIXERS)
@torch.inference_mode()
def test_the_wide_products_of_a_net_are_integers_and_the_rest_is_not(mixer: str) -> None:
    plain, network = network_of(mixer), network_of(mixer)
    compute_in(network, torch.int8)
    assert (type_of(plain), type_of(network)) == (torch.float32, torch.int8)
    names = {name.split(".", 2)[-1] for name, part in network.net.named_modules() if isinstance(part, Int8Linear)}
    assert {"channel_mlp.gate_up", "channel_mlp.down"} <= names
    assert ("qkv" in names) == (mixer == "attention")
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert rows_in_cache(network) == 1
    h = torch.randn(4, *network.state_shape)
    found, expected = network.net(h), plain.net(h)
    assert (found - expected).square().mean().sqrt() < 0.05  # of states whose root mean square is one
    assert not torch.equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_bundled_network_solves_in_every_number_type(dtype: str) -> None:
    model = TRM.from_pretrained("sudoku-4x4", dtype=dtype)
    assert str(type_of(model)) == f"torch.{dtype}"
    boards = [board.reshape(4, 4).astype(int) - 1 for board in sudokus(40, side=4, seed=3).puzzles]
    assert sum(solution.solved for solution in model.solve(boards, attempts=1)) >= 39


def test_auto_takes_bfloat16_where_the_products_of_the_network_are_much_faster_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = network_of()
    for gain, expected in ((1.7, torch.bfloat16), (1.1, torch.float32), (0.1, torch.float32)):
        gains = {(torch.bfloat16, 16, 2 * 32): gain}
        monkeypatch.setattr(number_types, "gain_of", lambda *what, gains=gains: gains[what])
        assert fastest_type(network) == expected
        compute_in(network, None)
        assert type_of(network) == expected


def test_a_number_type_that_would_be_slower_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_types, "gain_of", lambda *_: 0.9)
    with pytest.raises(UsageError, match="--dtype int8: slower than float32 on this processor; leave it out"):
        compute_in(network_of(), torch.int8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UsageError, match="--dtype int8: is for CPUs"):
        choose_machine("cuda", None, "int8")
    assert choose_machine("cpu", None, "int8") == (CPU, torch.int8)
    assert choose_machine("cpu") == (CPU, None)


def test_the_gain_of_a_number_type_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = {torch.float32: 3.0, torch.int8: 1.0}
    tries: list[torch.dtype] = []
    clock = [0.0]
    for name, dtype in (("matmul", torch.float32), ("_int_mm", torch.int8)):
        real = getattr(torch, name)

        def timed(first: torch.Tensor, second: torch.Tensor, real=real, dtype=dtype) -> torch.Tensor:  # type: ignore[no-untyped-def]
            assert first.dtype == second.dtype == dtype
            clock[0] += ticks[dtype]
            tries.append(dtype)
            product: torch.Tensor = real(first, second)
            return product

        monkeypatch.setattr(torch, name, timed)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert gain_of(torch.int8, 8, 16) == 3.0
    ticks[torch.int8] = 3000.0
    tries.clear()
    assert gain_of(torch.int8, 8, 16) == 0.001
    assert tries == [torch.float32] * 8 + [torch.int8] * 2
    monkeypatch.setattr(machine, "CPU_MATRIX", 8)
    assert peak_flops(torch.int8, CPU) == 2 * 8**3 / 3000


def test_rounded_weights_are_not_saved_as_if_they_were_the_model(tmp_path: Path) -> None:
    model = TRM.from_pretrained("sudoku-4x4", dtype="int8")
    with pytest.raises(UsageError, match="rounded to 8-bit integers; save a model of float32"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
