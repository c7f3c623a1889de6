"""Which public layout a set of named tensors is, and what it says: from names and shapes alone.

    official   TinyRecursiveModels and its forks, under whatever prefix (torch.compile, loss heads,
               data parallel); one latent fewer in its single-z variant
    nano       olivkoch/nano-trm inside a Lightning checkpoint: other names, one halt row, perhaps
               no prefix, and in its Sudoku a vocabulary with a separator after the padding

A file's name plays no part. What no shape tells is what its layout implies, unless it is given.
"""

from dataclasses import dataclass, replace
from math import isqrt

from torch import Tensor, cat, zeros

from trm_cli.config import ModelConfig
from trm_cli.errors import ConfigError, ModelError
from trm_cli.weights.upstream import from_official

NANO = {
    "input_embedding.": "embed_tokens.",
    "lenet.": "L_level.",
    "z_H_init": "H_init",
    "z_L_init": "L_init",
}
EMBEDDING = "embed_tokens.embedding_weight"
PUZZLES, TABLE = "puzzle_emb.weights", "embed.puzzles"  # in their names, and in ours
MIXER = "L_level.layers.0.mlp_t.down_proj.weight"  # [P+L, width]
HEAD_SIZE = 64  # channels of an attention head in every published network
PREFIX = 16  # positions that a puzzle embedding takes in every published network
T = 3
USUAL_N = {"sudoku": 6, "maze": 4, "arc": 4}
USUAL_SIDE = {"sudoku": 9, "maze": 30, "arc": 30}
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}  # of a Sudoku, by its side
MAZE_VOCABULARY, ARC_VOCABULARY = 6, 12


@dataclass(frozen=True)
class Given:
    """What the user says about a file instead of leaving it to its shapes."""

    task: str | None = None
    size: int | None = None  # side of the board, in cells
    n: int | None = None
    T: int | None = None
    num_heads: int | None = None


@dataclass(frozen=True)
class Network:
    """A foreign network in our names."""

    layout: str
    task: str
    config: ModelConfig
    tensors: dict[str, Tensor]
    table: Tensor | None  # [P, D] of puzzle embeddings, as in the file, which may map it


def recognise(tensors: dict[str, Tensor], given: Given) -> Network:
    """Our architecture and our tensors; raises ModelError for a layout that is not known."""
    bare, layout = _bare(tensors)
    _refuse_shapes(bare)
    bare = _without_separator(bare) if layout == "nano" else bare
    if single := "H_init" not in bare and "L_init" in bare:
        bare = bare | {"H_init": bare["L_init"], "L_init": zeros(bare["L_init"].shape)}
    table = _table(bare)
    if table is not None:
        bare = bare | {PUZZLES: table[:1]}
    prefix = PREFIX if table is not None else 0
    task, side = _board(bare, prefix, given)
    hidden_size = bare[EMBEDDING].shape[-1]
    height, width = BOXES.get(side, (1, 1)) if task == "sudoku" else (1, 1)
    try:
        config, ours = from_official(
            bare, height=side, width=side, n=given.n or USUAL_N[task], T=given.T or T,
            num_prefix=prefix, num_heads=_heads(bare, hidden_size, given),
        )  # fmt: skip
        config = replace(config, box_height=height, box_width=width,
                         num_puzzles=0 if table is None else len(table),
                         recursion="single_z" if single else "y_and_z")  # fmt: skip
    except ConfigError as error:
        raise ModelError(f"cannot be: {error}") from error
    if not config.looks_up_puzzles:
        table = None
    else:
        del ours[TABLE]
    return Network(f"{layout}{' single-z' if single else ''}", task, config, ours, table)


def _bare(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors under the official names, without what stands before them."""
    nano_embedding = EMBEDDING.replace("embed_tokens", "input_embedding")
    layout = "nano" if any(name.endswith(nano_embedding) for name in tensors) else "official"
    mark = nano_embedding if layout == "nano" else EMBEDDING
    found = [name.removesuffix(mark) for name in tensors if name.endswith(mark)]
    if any("H_level." in name for name in tensors):
        raise ModelError(
            "a Hierarchical Reasoning Model (HRM: two networks, H_level and L_level); only Tiny "
            "Recursive Models can be loaded"
        )
    if any(name.endswith("L1_init") for name in tensors):
        raise ModelError("a network with several latents (L1_init, ...); that cannot be loaded")
    if len(found) != 1:
        raise ModelError("no layout of a Tiny Recursive Model that is known: no token embedding")
    bare = {}
    for name, tensor in tensors.items():
        if not name.startswith(found[0]):
            raise ModelError(f"tensor {name!r:.60} stands outside the network {found[0]!r:.60}")
        bare[_official_name(name.removeprefix(found[0]), layout)] = tensor
    return bare, layout


def _refuse_shapes(bare: dict[str, Tensor]) -> None:
    """Raise ModelError unless weights are matrices, biases and starts vectors, and none empty."""
    for name, tensor in bare.items():
        dimensions = 1 if name.endswith(("_init", ".bias")) else 2
        if tensor.dim() != dimensions or not tensor.numel():
            raise ModelError(f"tensor {name:.60} is of shape {list(tensor.shape)}")


def _official_name(name: str, layout: str) -> str:
    if layout == "nano":
        for theirs, official in NANO.items():
            if name.startswith(theirs):
                return name.replace(theirs, official, 1)
    return name


def _without_separator(bare: dict[str, Tensor]) -> dict[str, Tensor]:
    """Nano's Sudoku tokens are padding, separator, blank, digits; ours have no separator."""
    rows = bare[EMBEDDING].shape[0]
    num_puzzles = len(bare[PUZZLES]) if PUZZLES in bare else 1
    if rows == MAZE_VOCABULARY or (rows == ARC_VOCABULARY and num_puzzles > 1):
        return bare
    kept = {name: cat((bare[name][:1], bare[name][2:]))
            for name in (EMBEDDING, "lm_head.weight") if name in bare}  # fmt: skip
    return bare | kept


def _table(bare: dict[str, Tensor]) -> Tensor | None:
    """The puzzle embedding, which may be larger than all the rest a hundred times."""
    table = bare.get(PUZZLES)
    if table is not None and table.shape[1] != bare[EMBEDDING].shape[1]:
        raise ModelError(f"{PUZZLES} is not as wide as the network; that cannot be loaded")
    return table


def _board(bare: dict[str, Tensor], prefix: int, given: Given) -> tuple[str, int]:
    """Task and side of the board, from the vocabulary and, if it mixes tokens, its positions."""
    vocabulary = bare[EMBEDDING].shape[0]
    cells = bare[MIXER].shape[0] - prefix if MIXER in bare else None
    side = isqrt(max(cells, 0)) if cells is not None else given.size
    if cells is not None and side is not None and (side * side != cells or side == 0):
        raise ModelError(f"mixes {cells + prefix} positions: {prefix} and no square board")
    if given.size and given.size != side:
        raise ModelError(f"is for boards of {side}x{side}, not {given.size}x{given.size}")
    task = given.task or _task(vocabulary, side)
    if task not in USUAL_N:
        raise ModelError(f"cannot be of task {task!r}; choose {', '.join(USUAL_N)}")
    side = side or (vocabulary - 2 if task == "sudoku" else USUAL_SIDE[task])
    expected = {"sudoku": side + 2, "maze": MAZE_VOCABULARY, "arc": ARC_VOCABULARY}[task]
    if vocabulary != expected and not given.task:
        raise ModelError(f"knows {vocabulary} tokens; {task} on {side}x{side} cells has {expected}")
    return task, side


def _task(vocabulary: int, side: int | None) -> str:
    if vocabulary - 2 in BOXES and side in (None, vocabulary - 2) and (
        vocabulary != MAZE_VOCABULARY or side
    ):  # fmt: skip
        return "sudoku"
    known = {MAZE_VOCABULARY: "maze", ARC_VOCABULARY: "arc"}
    if vocabulary not in known:
        raise ModelError(f"knows {vocabulary} tokens, which is no task that is known here")
    return known[vocabulary]


def _heads(bare: dict[str, Tensor], hidden_size: int, given: Given) -> int:
    """Attention heads: no shape tells them, but all published ones have the same size."""
    if given.num_heads or MIXER in bare:
        return given.num_heads or 1
    if hidden_size % HEAD_SIZE:
        raise ModelError(
            f"has {hidden_size} channels; say how many attention heads with `trm models convert "
            "--heads`"
        )
    return hidden_size // HEAD_SIZE
