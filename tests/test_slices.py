"""A batch in slices: as many puzzles together as the cache holds, shared out among threads, with the same results."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import small_config
from trm_cli.model import machine, slices
from trm_cli.model.network import TinyRecursiveModel, compile_network
from trm_cli.model.slices import RecordedNetwork, SlicedNetwork, recorded_rows, rows_in_cache

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


class Replayed:
    """Stands for a recording: launches what a GPU would launch again by itself."""

    def __init__(self, compute: Callable[[], None]) -> None:
        self.compute, self.times = compute, 0

    def replay(self) -> None:
        self.times += 1
        self.compute()


def test_a_recording_serves_any_number_of_puzzles_up_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Replayed, Any]] = []

    def imitate(compute: Callable[[], None], beside: Any) -> Replayed:
        made.append((Replayed(compute), beside))
        return made[-1][0]

    monkeypatch.setattr(slices, "record", imitate)
    for mixer in ("units", "mlp"):
        made.clear()
        torch.manual_seed(0)
        network = TinyRecursiveModel(small_config(mixer)).eval().requires_grad_(False)
        recorded = RecordedNetwork(network)
        for count in (7, 8, 5, 6, 3, 4, 4, 4, 70, 8):
            x = network.embed(torch.randint(1, network.config.vocab_size, (count, network.config.num_cells)))
            y, z = torch.randn_like(x), torch.randn(count, *network.z_shape)
            for one, expected in zip(recorded(x, y, z), network(x, y, z), strict=True):
                torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)
        (first, none), (second, beside) = made  # of eight from the third time on, of four from its own third
        assert (first.times, second.times) == (2, 2)
        assert none is None
        assert beside is first  # whose memory it may use
        assert recorded.recordings == {}  # all of them given up for larger buffers


def test_a_step_that_cannot_be_recorded_is_computed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "trm_cli")
    tries: list[str] = []

    def fail(_compute: Callable[[], None], _beside: Any) -> None:
        tries.append("operation not permitted when stream is capturing")
        raise RuntimeError(tries[-1])

    monkeypatch.setattr(slices, "record", fail)
    network = network_of()
    recorded = RecordedNetwork(network)
    x = torch.randn(3, *network.state_shape)
    for _ in range(5):
        for one, expected in zip(recorded(x, x, x), network(x, x, x), strict=True):
            torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)
    assert [record.getMessage() for record in caplog.records] == [
        f"a step cannot be recorded here ({tries[0]}); goes on without"
    ]
    assert len(tries) == 1

    def lack(_compute: Callable[[], None], _beside: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(slices, "record", lack)
    recorded = RecordedNetwork(network)
    recorded(x, x, x)
    recorded(x, x, x)
    with pytest.raises(torch.OutOfMemoryError):  # which a smaller slice answers
        recorded(x, x, x)


def test_recordings_are_of_few_sizes() -> None:
    for count, rows in ((1, 1), (2, 2), (3, 4), (33, 64), (64, 64), (65, 128), (128, 128), (129, 192), (500, 512)):
        assert recorded_rows(count) == rows
    assert len({recorded_rows(count) for count in range(1, 513)}) == 14


@pytest.mark.gpu
@pytest.mark.parametrize("compiles", [False, True])
def test_on_cuda_recordings_compute_what_the_network_does(compiles: bool) -> None:
    network = network_of().cuda()
    plain = network_of().cuda()
    if compiles:
        compile_network(network)
    sliced = SlicedNetwork(network)
    assert isinstance(sliced.step, RecordedNetwork)
    for count in (5, 8, 7, 6, 3, 3, 4, 4, 5, 70, 70, 70, 70, 65):
        x = network.embed(torch.randint(1, 6, (count, 16), device="cuda"))
        y, z = torch.randn_like(x), torch.randn_like(x)
        for one, expected in zip(sliced(x, y, z), plain(x, y, z), strict=True):
            torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-3)
    assert sliced.step.recordings.keys() == {128}
