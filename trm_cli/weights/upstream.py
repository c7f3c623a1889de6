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

from torch import Tensor, zeros

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError

HALT_ROWS = 2  # halt and continue; nano-trm has the first
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
    tensors: dict[str, Tensor], *, height: int, width: int, n: int, T: int, num_prefix: int,
    num_heads: int,
) -> tuple[ModelConfig, dict[str, Tensor]]:  # fmt: skip
    """Architecture and weights in our names, from a state dict of the official layout.

    tensors  named from the network on, without what wrappers put before that; of a puzzle
             embedding one row will do.
    What shapes cannot tell is given: the grid, n, T, and for attention the number of heads.
    Raises ModelError for a tensor that the layout does not have.
    """
    config = _config(tensors, height, width, n, T, num_prefix, num_heads)
    ours = {} if config.num_puzzles else {"embed.prefix": zeros(num_prefix, config.hidden_size)}
    for name, tensor in tensors.items():
        if name in NAMES:
            ours[NAMES[name]] = tensor.float()
        elif name.startswith(LAYER):
            index, _, part = name.removeprefix(LAYER).partition(".")
            if part not in PARTS:
                raise ModelError(f"tensor {name:.60} is not of the official TRM layout")
            ours[f"net.blocks.{index}.{PARTS[part]}"] = tensor.float()
        elif name.startswith("q_head.") and len(tensor) <= HALT_ROWS:
            ours[name.replace("q_head", "halt_head")] = tensor[:1].float()
        else:
            raise ModelError(f"tensor {name:.60} is not of the official TRM layout")
    return config, ours


def _config(tensors: dict[str, Tensor], height: int, width: int, n: int, T: int, num_prefix: int,
            num_heads: int) -> ModelConfig:  # fmt: skip
    first = f"{LAYER}0."
    try:
        vocab_size, hidden_size = tensors["embed_tokens.embedding_weight"].shape
        channel_width = tensors[f"{first}mlp.down_proj.weight"].shape[1]
    except KeyError as error:
        raise ModelError(f"lacks tensor {error} of the official TRM layout") from error
    mixes_tokens = f"{first}mlp_t.down_proj.weight" in tensors
    token_width = tensors[f"{first}mlp_t.down_proj.weight"].shape[1] if mixes_tokens else 1
    layers = {name.removeprefix(LAYER).split(".")[0] for name in tensors if name.startswith(LAYER)}
    return ModelConfig(
        height=height, width=width, box_height=1, box_width=1, vocab_size=vocab_size,
        mixer="mlp" if mixes_tokens else "attention", hidden_size=hidden_size,
        num_layers=len(layers), num_heads=num_heads, rotary="none" if mixes_tokens else "1d",
        token_width=token_width, channel_width=channel_width, num_prefix=num_prefix, n=n, T=T,
        num_puzzles=len(tensors["puzzle_emb.weights"]) if "puzzle_emb.weights" in tensors else 0,
    )  # fmt: skip
