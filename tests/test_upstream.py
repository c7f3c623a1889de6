"""The network against the official code: same weights, same logits.

golden/official.npz holds logits of the official implementation (TinyRecursiveModels, commit
e7b6871) in float32 on seeded random weights, after one and after two supervision steps.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.upstream import from_official

GOLDEN = Path(__file__).parent / "golden" / "official.npz"
N = {"mlp": 6, "attention": 4}


def official_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The seeded weights that the official code was given."""
    rng = np.random.RandomState(7)
    tensors = {}
    for name in sorted(shapes):
        std = 1.0 if name.endswith("_init") else 1 / np.sqrt(shapes[name][-1])
        values = (rng.standard_normal(shapes[name]) * std).astype(np.float32)
        tensors[name] = torch.from_numpy(values)
    return tensors


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.model."])
def test_logits_equal_the_official_ones(mixer: str, prefix: str) -> None:
    golden = np.load(GOLDEN)
    weights = official_weights(json.loads(str(golden[f"{mixer}_shapes"])))
    weights = {prefix + name: tensor for name, tensor in weights.items()}
    config, tensors = from_official(weights, height=4, width=4, n=N[mixer], T=3, num_heads=4)
    network = TinyRecursiveModel(config)
    network.load_state_dict(tensors)
    tokens = torch.from_numpy(np.random.RandomState(3).randint(1, 7, (2, 16)))
    with torch.no_grad():
        x = network.embed(tokens)
        y, z = network.starting_state(2)
        for step in range(2):
            y, z, logits, halt = network(x, y, z)
            expected = torch.from_numpy(golden[f"{mixer}_logits"][step])
            # The recursion is chaotic on random weights: rounding grows from step to step.
            tolerance = 1e-5 if step == 0 else 1e-3
            torch.testing.assert_close(logits, expected, atol=tolerance, rtol=0)
            expected = torch.from_numpy(golden[f"{mixer}_halt"][step])
            torch.testing.assert_close(halt, expected, atol=tolerance, rtol=0)


def test_a_foreign_tensor_is_refused_by_name() -> None:
    golden = np.load(GOLDEN)
    weights = official_weights(json.loads(str(golden["mlp_shapes"])))
    weights["H_level.layers.0.mlp.down_proj.weight"] = torch.zeros(1)
    with pytest.raises(ModelError, match=r"H_level\.layers\.0"):
        from_official(weights, height=4, width=4, n=6, T=3)
