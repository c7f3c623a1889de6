import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import small_config
from tests.test_step import WAITS, Operations
from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.model.machine import Reading
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving import engine
from trm_cli.solving.engine import batch_size_for, run, solve_stream
from trm_cli.solving.search import Outcome
from trm_cli.tasks.base import Dataset, Tokens
from trm_cli.tasks.sudoku import Sudoku


def solve(network: TinyRecursiveModel, task: Sudoku, puzzles: Tokens, settings: SolveConfig) -> list[Outcome]:
    """All puzzles in one batch."""
    size = len(puzzles)
    return list(solve_stream(network, task, puzzles, batch_size=size, settings=settings))


class RowOfEach(torch.nn.Module):
    """Embeds a puzzle as its row in a data set, in every place of the state."""

    def __init__(self, data: Dataset, state_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.known = torch.from_numpy(data.puzzles).long()
        self.state_shape = state_shape

    def forward(self, tokens: Tensor) -> Tensor:
        rows = (tokens[:, None] == self.known[None]).all(2).float().argmax(1)
        return rows.view(-1, 1, 1, 1).expand(-1, *self.state_shape).float()


class ScriptedNetwork(TinyRecursiveModel):
    """A network that fires and answers right from the steps that it is told, per row."""

    def __init__(self, data: Dataset, fires_at: list[int], right_at: list[int]) -> None:
        super().__init__(small_config())
        self.data = data
        self.fires_at, self.right_at = torch.tensor(fires_at), torch.tensor(right_at)
        self.embed = RowOfEach(data, self.state_shape)  # type: ignore[assignment] # scripted

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = x[:, 0, 0, 0].long()
        step = 1 + (y[:, 0, 0, 0] - self.y_init[0]).round().long()
        answers = torch.from_numpy(self.data.answers).long()[rows]
        answers = torch.where((step >= self.right_at[rows])[:, None], answers, 2)
        logits = torch.nn.functional.one_hot(answers, 6).float()
        halt = torch.where(step >= self.fires_at[rows], 3.0, -3.0)
        return y + 1, z, logits, halt


@pytest.fixture
def four(small_data: Dataset) -> Dataset:
    return small_data.head(4)


def steps_taken(data: Dataset, halt: str, fires_at: list[int], right_at: list[int]) -> list[int]:
    network = ScriptedNetwork(data, fires_at, right_at)
    solutions = solve(network, Sudoku(), data.puzzles, SolveConfig(halt, max_steps=6))
    return [solution.chosen.steps for solution in solutions]


def test_each_puzzle_halts_by_itself_when_the_head_fires_and_the_rules_hold(four: Dataset) -> None:
    assert steps_taken(four, "verified", [1, 3, 9, 2], [2, 1, 1, 9]) == [2, 3, 6, 6]


def test_with_q_the_head_alone_decides_and_with_never_nobody(four: Dataset) -> None:
    assert steps_taken(four, "q", [1, 3, 9, 2], [2, 1, 1, 9]) == [1, 3, 6, 2]
    assert steps_taken(four, "never", [1, 3, 9, 2], [2, 1, 1, 9]) == [6, 6, 6, 6]


def test_solved_is_the_word_of_the_rules_and_never_the_head_s(four: Dataset) -> None:
    network = ScriptedNetwork(four, [1, 1, 9, 9], [9, 1, 1, 9])
    solutions = solve(network, Sudoku(), four.puzzles, SolveConfig("q", max_steps=3))
    assert [solution.solved for solution in solutions] == [False, True, True, False]
    assert [solution.chosen.halt_probability > 0.5 for solution in solutions] == [True, True, False, False]


def test_halted_puzzles_leave_the_batch(four: Dataset) -> None:
    network = ScriptedNetwork(four, [1, 3, 2, 2], [1, 1, 1, 1])
    steps = run(network, Sudoku(), four.puzzles, batch_size=4, settings=SolveConfig())
    assert [[attempt.row for attempt in step.attempts] for step in steps] == [[0, 1, 2, 3], [1, 2, 3], [1]]


def test_the_next_puzzle_takes_the_place_of_one_that_halted(four: Dataset) -> None:
    network = ScriptedNetwork(four, [1, 3, 2, 2], [1, 1, 1, 1])
    steps = run(network, Sudoku(), four.puzzles, batch_size=2, settings=SolveConfig())
    told = [[(attempt.row, attempt.steps) for attempt in step.attempts] for step in steps]
    assert told == [[(0, 1), (1, 1)], [(1, 2), (2, 1)], [(1, 3), (2, 2)], [(3, 1)], [(3, 2)]]


def test_solutions_come_in_order_though_later_puzzles_halt_first(four: Dataset) -> None:
    network = ScriptedNetwork(four, [6, 1, 1, 2], [1, 1, 9, 1])
    settings = SolveConfig(max_steps=6)
    solutions = solve_stream(network, Sudoku(), four.puzzles, batch_size=2, settings=settings)
    assert [(s.chosen.steps, s.solved) for s in solutions] == [(6, True), (1, True), (6, False), (2, True)]


def test_halting_early_and_refilling_costs_the_steps_taken_and_no_more(four: Dataset) -> None:
    network = ScriptedNetwork(four, [1, 3, 2, 2], [1, 1, 1, 1])
    done = [
        sum(
            len(step.attempts)
            for step in run(network, Sudoku(), four.puzzles, batch_size=2, settings=SolveConfig(halt, max_steps=16))
        )
        for halt in ("verified", "never")
    ]
    assert done == [8, 64]


@pytest.mark.parametrize("mixer", ["mlp", "attention", "equivariant", "units"])
def test_a_batch_gives_the_answers_of_one_by_one(mixer: str, small_data: Dataset) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config(mixer)).eval()
    settings = SolveConfig("never", max_steps=2)
    together = solve(network, Sudoku(), small_data.puzzles, settings)
    for size in (1, 7):
        alone = solve_stream(network, Sudoku(), iter(small_data.puzzles), batch_size=size, settings=settings)
        for first, second in zip(together, alone, strict=True):
            assert np.array_equal(first.answer, second.answer)
            assert first.chosen.halt_probability == pytest.approx(second.chosen.halt_probability, abs=1e-5)


def test_the_seed_decides_the_random_start(small_data: Dataset) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config()).eval()
    answers = [
        [s.answer.tobytes() for s in solve(network, Sudoku(), small_data.puzzles, SolveConfig("never", 1, seed))]
        for seed in (0, 0, 1)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_an_unknown_way_to_halt_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of verified, q, never"):
        SolveConfig("soon")


BRANCHING = SolveConfig(attempts=20, step_limit=40, retry_steps=2, max_steps=2, search="best-first")


def test_a_step_reads_back_once_and_asks_for_no_value_alone(
    small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TinyRecursiveModel(small_config()).eval()
    reads: list[int] = []

    class Counted(Reading):
        def __init__(self, tensors: Sequence[Tensor]) -> None:
            super().__init__(tensors)
            reads.append(len(tensors))

    monkeypatch.setattr(engine, "Reading", Counted)
    with Operations() as operations:
        steps = list(run(network, Sudoku(), iter(small_data.puzzles[:4]), batch_size=8, settings=BRANCHING))
    assert 0 < len(reads) <= len(steps)
    assert not {name for name in operations.names if name in WAITS}


WAYS_ON = [
    SolveConfig(attempts=1),
    SolveConfig(attempts=6, noise=0.5, retry_steps=4),
    SolveConfig(attempts=6, views=4, select="mode"),
    SolveConfig(attempts=6, search="flat", starts="fixed"),
    SolveConfig(attempts=20, search="best-first", step_limit=60, retry_steps=3, max_steps=4),
]


@pytest.mark.parametrize("settings", WAYS_ON, ids=lambda settings: f"{settings.search}-{settings.attempts}")
def test_batches_that_take_turns_come_to_what_one_does(
    settings: SolveConfig, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TinyRecursiveModel(small_config()).eval()
    begun: list[tuple[int, int]] = []  # the batch, and its attempts

    class Counted(engine.Batch):
        def begin(self) -> engine.Begun:
            begun.append((id(self), len(self.attempts)))
            return super().begin()

    monkeypatch.setattr(engine, "Batch", Counted)
    found = []
    for wanted, size in ((1, 7), (2, 7), (2, 1)):
        begun.clear()
        monkeypatch.setattr(engine, "num_batches", lambda _, wanted=wanted: wanted)
        solved = solve_stream(network, Sudoku(), iter(small_data.puzzles[:20]), batch_size=size, settings=settings)
        found.append([(one.answer.tolist(), one.total_steps, one.depth, one.solved) for one in solved])
        count = min(wanted, size)
        assert len({batch for batch, _ in begun}) == count
        assert max(attempts for _, attempts in begun) == math.ceil(size / count)
    assert found[0] == found[1] == found[2]


def test_a_gpu_gets_as_many_puzzles_as_its_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TinyRecursiveModel(small_config()).eval()
    assert batch_size_for(network) == engine.CPU_BATCH
    widest = 4 * 16 * 2 * 32 * 4  # bytes: symbols, cells, gate and up, channels, of a number
    on_gpu = SimpleNamespace(
        y_init=SimpleNamespace(device=torch.device("cuda"), itemsize=4),
        state_shape=network.state_shape,
        config=network.config,
    )
    for free, expected in ((10**12, engine.ACCELERATOR_BATCH), (100 * engine.ALIVE * widest * 2, 64), (0, 1)):
        monkeypatch.setattr(engine, "free_memory", lambda _, free=free: free)
        assert batch_size_for(cast(TinyRecursiveModel, on_gpu)) == expected


@pytest.mark.gpu
def test_on_cuda_a_step_waits_where_it_reads_back_and_nowhere_else(small_data: Dataset) -> None:
    network = TinyRecursiveModel(small_config()).eval().cuda()
    puzzles = small_data.puzzles[:4]
    first = solve(network, Sudoku(), puzzles, BRANCHING)
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = solve(network, Sudoku(), puzzles, BRANCHING)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [one.answer.tolist() for one in again] == [one.answer.tolist() for one in first]
