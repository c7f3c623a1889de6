"""The network against the official code: same weights, same logits, step after step.

golden/official.npz holds what the official implementation computes in float32 on seeded weights;
golden/make_official.py wrote it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.official import NETWORKS, STEPS, official_weights
from trm_cli.errors import ModelError
from trm_cli.weights.convert import Given, Source, convert, recognise
from trm_cli.weights.tensors import load_checkpoint

GOLDEN = np.load(Path(__file__).parent / "golden" / "official.npz")
FIRST, LATER = 1e-5, 1e-3  # tolerances: rounding grows from step to step
COMPARED = dict.fromkeys(NETWORKS, STEPS) | {"sudoku-multi-z": 8}  # steps; in chaos, rounding doubles in each


def weights(name: str) -> dict[str, Tensor]:
    """What the official code was given, without what stands before the names of its tensors."""
    named = official_weights(json.loads(str(GOLDEN[f"{name}_shapes"])))
    return {key.removeprefix("inner."): tensor for key, tensor in named.items()}


def given(name: str) -> Given:
    """What no shape tells."""
    official = NETWORKS[name]
    size = None if official.mixes_tokens else official.side
    return Given(official.task, size, 6 if official.n == 6 else None, None, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_converted_network_s_logits_equal_the_official_ones_at_every_step(name: str, tmp_path: Path) -> None:
    torch.save({f"model.inner.{key}": value for key, value in weights(name).items()}, tmp_path / "w")
    convert(Source(tmp_path / "w", "w"), given(name), tmp_path / "ours")
    network = load_checkpoint(tmp_path / "ours", source="", device=torch.device("cpu")).network
    logits, halts = GOLDEN[f"{name}_logits"], GOLDEN[f"{name}_halt"]
    assert len(logits) == STEPS == network.config.N_sup
    table = recognise(weights(name), given(name)).table
    for board, puzzle in enumerate(NETWORKS[name].identifiers()):
        row = None if table is None else table[puzzle : puzzle + 1]
        x = network.embed(NETWORKS[name].tokens()[board : board + 1], row)
        y, z = network.starting_state(1)
        for step in range(COMPARED[name]):
            y, z, answer, halt = network(x, y, z)
            tolerance = FIRST if step == 0 else LATER
            np.testing.assert_allclose(answer[0], logits[step, board], atol=tolerance, rtol=0)
            np.testing.assert_allclose(halt[0], halts[step, board], atol=tolerance, rtol=0)
            if NETWORKS[name].is_hierarchical:
                go_on = network.read_continue(y)[0]
                np.testing.assert_allclose(go_on, GOLDEN[f"{name}_continue"][step, board], atol=tolerance, rtol=0)


def test_the_golden_logits_tell_steps_boards_and_networks_apart() -> None:
    for name in NETWORKS:
        logits = GOLDEN[f"{name}_logits"]
        assert np.abs(np.diff(logits, axis=0)).max((1, 2, 3)).min() > LATER
        assert np.abs(logits[:, 0] - logits[:, 1]).max() > 0.1


def test_a_foreign_tensor_is_refused_by_name() -> None:
    foreign = weights("sudoku-mlp") | {"M_init": torch.zeros(1)}
    with pytest.raises(ModelError, match="tensor M_init is not of the official TRM layout"):
        recognise(foreign, given("sudoku-mlp"))
