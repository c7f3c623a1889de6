"""Importing weights of the official TinyRecursiveModels layout.

The only place with upstream's names. Theirs and ours:

    H_cycles, L_cycles            T, n
    z_H, z_L                      y, z
    H_init, L_init                y_init, z_init
    embed_tokens.embedding_weight embed.tokens
    puzzle_emb.weights            embed.puzzles
    L_level.layers.I.mlp_t        net.blocks.I.token_mlp
    L_level.layers.I.self_attn    net.blocks.I (qkv, out)
    L_level.layers.I.mlp          net.blocks.I.channel_mlp
    lm_head, q_head (first row)   output_head, halt_head

Source of the layout: github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

from torch import Tensor

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError

PREFIXES = ("_orig_mod.model.inner.", "model.inner.", "inner.")
LAYER = "L_level.layers."
PARTS = {
    "mlp_t.gate_up_proj.weight": "token_mlp.gate_up.weight",
    "mlp_t.down_proj.weight": "token_mlp.down.weight",
    "self_attn.qkv_proj.weight": "qkv.weight",
    "self_attn.o_proj.weight": "out.weight",
    "mlp.gate_up_proj.weight": "channel_mlp.gate_up.weight",
    "mlp.down_proj.weight": "channel_mlp.down.weight",
}
NAMES = {
    "H_init": "y_init",
    "L_init": "z_init",
    "embed_tokens.embedding_weight": "embed.tokens",
    "puzzle_emb.weights": "embed.puzzles",
    "lm_head.weight": "output_head.weight",
}


def from_official(
    tensors: dict[str, Tensor], *, height: int, width: int, n: int, T: int, num_prefix: int = 16,
    num_heads: int = 8,
) -> tuple[ModelConfig, dict[str, Tensor]]:  # fmt: skip
    """Architecture and weights in our names, from a state dict of the official layout.

    What shapes cannot tell is given: the grid, n, T, and for attention the number of heads.
    Raises ModelError for a tensor that the layout does not have.
    """
    bare = {_without_prefix(name): tensor.float() for name, tensor in tensors.items()}
    config = _config(bare, height, width, n, T, num_prefix, num_heads)
    ours: dict[str, Tensor] = {}
    for name, tensor in bare.items():
        if name in NAMES:
            ours[NAMES[name]] = tensor
        elif name.startswith(LAYER):
            index, _, part = name.removeprefix(LAYER).partition(".")
            if part not in PARTS:
                raise ModelError(f"tensor {name} is not of the official TRM layout")
            ours[f"net.blocks.{index}.{PARTS[part]}"] = tensor
        elif name.startswith("q_head."):
            ours[name.replace("q_head", "halt_head")] = tensor[:1]
        else:
            raise ModelError(f"tensor {name} is not of the official TRM layout")
    return config, ours


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _config(bare: dict[str, Tensor], height: int, width: int, n: int, T: int, num_prefix: int,
            num_heads: int) -> ModelConfig:  # fmt: skip
    first = f"{LAYER}0."
    try:
        vocab_size, hidden_size = bare["embed_tokens.embedding_weight"].shape
        channel_width = bare[f"{first}mlp.down_proj.weight"].shape[1]
    except KeyError as error:
        raise ModelError(f"not the official TRM layout: it lacks {error}") from error
    mixes_tokens = f"{first}mlp_t.down_proj.weight" in bare
    token_width = bare[f"{first}mlp_t.down_proj.weight"].shape[1] if mixes_tokens else 1
    layers = {name.removeprefix(LAYER).split(".")[0] for name in bare if name.startswith(LAYER)}
    return ModelConfig(
        height=height, width=width, box_height=1, box_width=1, vocab_size=vocab_size,
        mixer="mlp" if mixes_tokens else "attention", hidden_size=hidden_size,
        num_layers=len(layers), num_heads=num_heads, rotary="none" if mixes_tokens else "1d",
        token_width=token_width, channel_width=channel_width, num_prefix=num_prefix, n=n, T=T,
        num_puzzles=len(bare["puzzle_emb.weights"]) if "puzzle_emb.weights" in bare else 0,
    )  # fmt: skip
