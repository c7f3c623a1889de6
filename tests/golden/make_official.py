"""Write official.npz: logits of the official code on seeded weights, step by step.

python tests/golden/make_official.py CHECKOUT, CHECKOUT being a copy of
github.com/SamsungSAILMontreal/TinyRecursiveModels at commit e7b6871; needs pydantic and einops.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.official import NETWORKS, STEPS, Official, official_weights  # noqa: E402

CONFIG = {
    "batch_size": 2,
    "H_cycles": 3,
    "H_layers": 0,
    "L_layers": 2,
    "hidden_size": 32,
    "puzzle_emb_ndim": 32,
    "expansion": 4,
    "num_heads": 4,
    "halt_max_steps": STEPS,
    "halt_exploration_prob": 0.1,
    "forward_dtype": "float32",
    "puzzle_emb_len": 16,
}


def model_of(name: str, official: Official) -> Any:
    """The official network, in their code, with our weights."""
    module = importlib.import_module(f"models.recursive_reasoning.{official.module}")
    model = module.TinyRecursiveReasoningModel_ACTV1(
        CONFIG
        | {
            "seq_len": official.side**2,
            "vocab_size": official.vocab_size,
            "L_cycles": official.n,
            "num_puzzle_identifiers": official.num_puzzles,
            "mlp_t": official.mixes_tokens,
            "pos_encodings": "none" if official.mixes_tokens else "rope",
        }
    )
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(official_weights(shapes))
    return model.eval()


@torch.no_grad()
def golden(name: str, official: Official) -> dict[str, Any]:
    """Shapes of the weights, then logits [steps, B, L, V] and both halt logits [steps, B]."""
    model = model_of(name, official)
    batch = {"inputs": official.tokens(), "puzzle_identifiers": official.identifiers()}
    carry, logits, halts = model.initial_carry(batch), [], []
    for _ in range(STEPS):
        carry, outputs = model(carry, batch)
        logits.append(outputs["logits"].numpy())
        halts.append(outputs["q_halt_logits"].numpy())
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    return {f"{name}_shapes": json.dumps(shapes), f"{name}_logits": np.stack(logits), f"{name}_halt": np.stack(halts)}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    found = [golden(name, official) for name, official in NETWORKS.items()]
    np.savez_compressed(HERE / "official.npz", **{k: v for part in found for k, v in part.items()})
