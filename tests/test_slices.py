"""A batch in slices: as many puzzles together as the cache holds, shared out among threads, with the same results."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import small_config
from trm_cli.model import machine
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.slices import SlicedNetwork, rows_in_cache

THREADS = 2
LARGE = {"hidden_size": 256, "channel_width": 1024}  # more than a million weights
Call = tuple[int, int, int]  # of the net: puzzles, the thread, and how many threads share a product in it


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def network_of(**changes: Any) -> TinyRecursiveModel:
    torch.manual_seed(0)
    return TinyRecursiveModel(small_config("units", **changes)).eval().requires_grad_(False)


def computed(
    network: TinyRecursiveModel, count: int, **how: Any
) -> tuple[list[Call], tuple[Tensor, ...], SlicedNetwork]:
    """What calls of the net were made of that many puzzles, and what they came to, compared with one call for all."""
    x = network.embed(torch.randint(1, network.config.vocab_size, (count, network.config.num_cells)))
    y, z = (torch.randn_like(x) for _ in range(2))
    sliced = SlicedNetwork(network, **how)
    calls: list[Call] = []
    hook = sliced.network.net.register_forward_hook(
        lambda _, streams, out: calls.append((len(out), threading.get_ident(), torch.get_num_threads()))
    )
    found = sliced(x, y, z)
    hook.remove()
    for one, expected in zip(found, network(x, y, z), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)
    return calls, found, sliced


def test_a_cpu_computes_as_many_puzzles_together_as_its_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CACHE_FILE", "")  # nothing says how large it is
    network = network_of()
    widest = 4 * 16 * 2 * 32 * 4  # bytes: symbols, cells, gate and up, channels, of a number
    assert rows_in_cache(network) == 4 * 2**19 // widest
    assert rows_in_cache(network_of(channel_width=2**15)) == 1
    monkeypatch.setattr("trm_cli.model.slices.second_level_cache", lambda: widest // 2)
    assert {count for count, *_ in computed(network, 7)[0]} == {1, 2}
    assert {count for count, *_ in computed(network, 7, whole=True)[0]} == {7}


def test_threads_share_the_slices_and_each_computes_alone() -> None:
    calls, *_ = computed(network_of(), 5)
    assert {(count, inside) for count, _, inside in calls} == {(3, 1), (2, 1)}
    assert threading.get_ident() not in {thread for _, thread, _ in calls}
    assert torch.get_num_threads() == THREADS  # here as before


def test_a_large_network_has_all_threads_for_a_puzzle_alone_a_small_one_has_one() -> None:
    for changes, expected in ((LARGE, THREADS), ({}, 1)):
        assert {(count, inside) for count, _, inside in computed(network_of(**changes), 1)[0]} == {(1, expected)}


def test_memory_that_runs_out_in_a_thread_halves_the_slices(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "trm_cli")  # which a quiet command may have changed
    network = network_of()
    sliced = SlicedNetwork(network)

    def fail(_: Any, streams: tuple[Tensor, ...]) -> None:
        if len(streams[0]) > 1:
            raise MemoryError

    sliced.network.net.register_forward_pre_hook(fail)
    x = torch.randn(8, *network.state_shape)
    found = sliced(x, x, x)
    torch.testing.assert_close(found, network(x, x, x), rtol=1e-4, atol=1e-4)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 4 puzzles together; goes on with 2",
        "out of memory with 2 puzzles together; goes on with 1",
    ]


def test_the_size_of_a_cache_is_read_or_a_usual_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for text, expected in (("2048K\n", 2**21), ("much\n", 2**19)):
        (tmp_path / "size").write_text(text)
        monkeypatch.setattr(machine, "CACHE_FILE", str(tmp_path / "size"))
        assert machine.second_level_cache() == expected
