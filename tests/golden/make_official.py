"""Write official.npz: logits of the official code on seeded weights, step by step.

python tests/golden/make_official.py TRM HRM, copies of github.com/SamsungSAILMontreal/TinyRecursiveModels
at commit e7b6871 and of github.com/sapientinc/HRM at commit 42410da; needs pydantic and einops. HRM's
attention, which asks for a GPU, is replaced by torch's own.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

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
OF_HRM = {"H_cycles": 2, "H_layers": 4, "L_layers": 4}


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """What flash_attn_func computes, [B, L, heads, D/heads]."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).contiguous()


def model_of(name: str, official: Official) -> Any:
    """The official network, in their code, with our weights."""
    module = importlib.import_module(f"models.{official.module}")
    kind = "HierarchicalReasoningModel" if official.is_hierarchical else "TinyRecursiveReasoningModel"
    model = getattr(module, f"{kind}_ACTV1")(
        CONFIG
        | (OF_HRM if official.is_hierarchical else {})
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
    """Shapes of the weights, logits [steps, B, L, V], halt logits [steps, B]; and of HRM, those of going on."""
    model = model_of(name, official)
    batch = {"inputs": official.tokens(), "puzzle_identifiers": official.identifiers()}
    carry, logits, halts, go_on = model.initial_carry(batch), [], [], []
    for _ in range(STEPS):
        carry, outputs = model(carry, batch)
        logits.append(outputs["logits"].numpy())
        halts.append(outputs["q_halt_logits"].numpy())
        go_on.append(outputs["q_continue_logits"].numpy())
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    found = {"logits": np.stack(logits), "halt": np.stack(halts)}
    if official.is_hierarchical:
        found["continue"] = np.stack(go_on)
    return {f"{name}_shapes": json.dumps(shapes), **{f"{name}_{key}": value for key, value in found.items()}}


if __name__ == "__main__":
    flash = ModuleType("flash_attn_interface")
    flash.flash_attn_func = attend  # type: ignore[attr-defined] # a module made here
    sys.modules["flash_attn_interface"] = flash
    found = []
    for checkout, is_hierarchical in zip(sys.argv[1:], (False, True), strict=True):
        sys.path.insert(0, checkout)
        found += [golden(name, one) for name, one in NETWORKS.items() if one.is_hierarchical == is_hierarchical]
        for name in [name for name in sys.modules if name.partition(".")[0] == "models"]:
            del sys.modules[name]  # the other repository has modules of the same names
    np.savez_compressed(HERE / "official.npz", **{k: v for part in found for k, v in part.items()})
