"""The rolling batch: drawing, refilling, halting, noise."""

from dataclasses import replace

import numpy as np
import torch

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import BLANK, Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.batches import Examples, RollingBatch

CPU = torch.device("cpu")
TINY = TrainConfig(batch_size=8)


def make_batch(data: Dataset, **changes: object) -> tuple[TinyRecursiveModel, RollingBatch]:
    network = TinyRecursiveModel(small_config())
    pool = Sudoku().symmetries(16, count=32, rng=np.random.default_rng(0))
    examples = Examples.on_device(data.puzzles, data.answers, pool, CPU)
    config = replace(TINY, **changes)  # type: ignore[arg-type] # values of mixed types
    generator = torch.Generator().manual_seed(0)
    return network, RollingBatch(network, examples, config, config.batch_size, generator)


def test_drawn_examples_keep_their_rules_under_symmetries_and_hints(small_data: Dataset) -> None:
    _, batch = make_batch(small_data, batch_size=200, hint_share=0.5)
    puzzles, answers = (t.numpy().astype(np.uint8) for t in batch.draw())
    assert Sudoku().rules_hold(puzzles, answers).all()
    known = {row.tobytes() for row in small_data.puzzles}
    assert sum(row.tobytes() in known for row in puzzles) < 20


def test_hints_fill_blanks_of_some_puzzles_and_none_without_hints(small_data: Dataset) -> None:
    most = int((small_data.puzzles > BLANK).sum(1).max())
    _, plain = make_batch(small_data, batch_size=300, hint_share=0.0)
    _, hinted = make_batch(small_data, batch_size=300, hint_share=0.5, max_hints=1.0)
    assert int((plain.draw()[0] > BLANK).sum(1).max()) == most
    more = ((hinted.draw()[0] > BLANK).sum(1) > most).float().mean().item()
    assert 0.1 < more < 0.5


def test_only_halted_slots_are_refilled(small_data: Dataset) -> None:
    network, batch = make_batch(small_data, exploration=0.0)
    batch.refill(network)
    before = batch.puzzles.clone()
    halt = torch.tensor([True, False] * 4)
    batch.carry(batch.y + 1, batch.z + 1, halt)
    assert batch.halted.tolist() == [True, False] * 4
    kept = batch.z[1].clone()
    batch.refill(network)
    assert batch.steps.tolist() == [0, 1] * 4
    assert (batch.puzzles[1::2] == before[1::2]).all()
    assert (batch.z[1] == kept).all()
    assert (batch.puzzles[::2] != before[::2]).any(1).all()


def test_exploration_holds_back_from_halting_but_never_past_the_ceiling(small_data: Dataset) -> None:
    network, batch = make_batch(small_data, exploration=1.0, batch_size=64)
    eager = torch.ones(64, dtype=torch.bool)
    batch.refill(network)
    batch.carry(batch.y, batch.z, eager)
    assert not batch.halted.any()  # every slot explores, for two steps at least
    for _ in range(small_config().N_sup - 1):
        batch.carry(batch.y, batch.z, eager)
    assert batch.halted.all()


def test_noise_moves_z_alone_by_a_deviation_of_each_puzzle_s_own(small_data: Dataset) -> None:
    network, batch = make_batch(small_data, batch_size=64, latent_noise=0.5)
    batch.refill(network)
    deviations = batch.noise.clone()
    assert 0 < deviations.min() < 0.1 < 0.4 < deviations.max() < 0.5
    batch.carry(batch.y, torch.zeros_like(batch.z), torch.zeros(64, dtype=torch.bool))
    y = batch.y.clone()
    batch.refill(network)
    torch.testing.assert_close(batch.z.flatten(1).std(1), deviations, rtol=0.2, atol=0)
    assert (batch.noise == deviations).all()
    assert (batch.y == y).all()
