"""Weights made by others: read safely, recognised by names and shapes, converted into a checkpoint.

Nothing in such a file is run, and memory is bounded. A file is either safetensors, or what
torch.save writes since torch 1.6: a zip of one pickle and of one record for each storage. The
pickle goes through torch's own reader of weights only; what that reader does not bound is checked
before it is opened. Layouts:

    official   TinyRecursiveModels and its forks, under whatever prefix (torch.compile, loss heads,
               data parallel); one latent fewer in its single-z variant
    nano       olivkoch/nano-trm inside a Lightning checkpoint: other names, one halt row, perhaps
               no prefix, and in its Sudoku a vocabulary with a separator after the padding

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

import hashlib
import pickle
import pickletools
import re
import struct
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, cat, zeros

from trm_cli import __version__
from trm_cli.config import ModelConfig
from trm_cli.errors import ConfigError, ModelError, PuzzleError
from trm_cli.files import sha256_of
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task, loadable_tasks
from trm_cli.tasks.base import Task
from trm_cli.tasks.problems import Demonstrated
from trm_cli.weights.card import write_card
from trm_cli.weights.checkpoint import CONFIG_FILE, Checkpoint
from trm_cli.weights.hub import UNSTATED, Known, known_models
from trm_cli.weights.puzzle_table import DTYPES, chunks_of, save_table
from trm_cli.weights.tensors import (
    FLOATS,
    LENGTH,
    first_line,
    read_safetensors,
    refuse_damage,
    refuse_misfit,
    save_checkpoint,
)

ZIP = b"PK\x03\x04"
LARGEST_PICKLE = 4 << 20  # bytes; a Lightning checkpoint's settings fit many times
MOST_RECORDS = 100_000
MOST_NESTED = 3  # dictionaries around the state dict
WRAPPERS = ("ema_state_dict", "ema", "state_dict", "model_state_dict", "model", "module", "weights")
WEIGHT = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter|parameter_with_state)|_codecs\.encode"
    r"|torch\.(\w+Storage|u?int\d+|b?float\d+|bool|complex\d+|Size|device)"
    r"|torch\.storage\.\w+Storage|collections\.(OrderedDict|defaultdict|Counter)|(builtins|__builtin__)\.set"
)  # what a pickle of named tensors and of plain settings beside them calls
UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    MemoryError,
    OverflowError,
    ArithmeticError,
    struct.error,
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU; raises ModelError for what is not to be trusted."""
    try:
        with path.open("rb") as file:
            head = file.read(LENGTH + 1)
        size = path.stat().st_size
        tensors = _state_dict(_unpickled(path, size), path) if head.startswith(ZIP) else _safetensors(path, head)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    refuse_damage(tensors, path, FLOATS)
    return tensors


def _safetensors(path: Path, head: bytes) -> dict[str, Tensor]:
    if head[LENGTH:] != b"{":
        kind = "a bare pickle, which may run programs" if head[:1] == b"\x80" else "no weights"
        raise ModelError(f"{path}: {kind}; what can be read is safetensors, or what torch.save writes")
    return read_safetensors(path)


def _unpickled(path: Path, size: int) -> Any:
    """What torch.save put into a file, read as weights only, its storages mapped, not copied."""
    try:
        _check_zip(path, size)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RecursionError as error:
        raise ModelError(f"{path}: nested too deeply to be weights") from error
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: damaged ({first_line(error)}); download it again") from error


def _check_zip(path: Path, size: int) -> None:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        total = sum(record.file_size for record in records)
        pickles = [record for record in records if record.filename.endswith(".pkl")]
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        if packed or total > size or len(records) > MOST_RECORDS:
            raise ModelError(
                f"{path}: refused: its {len(records):,} records unpack to {total:,} bytes, the "
                f"file has {size:,}; torch.save packs nothing"
            )
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise ModelError(f"{path}: refused: weights come with one pickle, and a small one")
        _check_calls(archive.read(pickles[0]), path)


def _check_calls(content: bytes, path: Path) -> None:
    """Raise ModelError where a pickle calls for more than weights need; nothing of it is run."""
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            name = str(argument).replace(" ", ".") if argument else "names made up as it runs"
            if not WEIGHT.fullmatch(name):
                raise ModelError(
                    f"{path}: its pickle needs {name:.60}, which is no weight: it may run programs "
                    "or fill the memory; ask its author for safetensors"
                )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors, or the one inside under a customary name."""
    averages: dict[Any, Any] = {}
    for _ in range(MOST_NESTED):
        if not isinstance(content, dict):
            break
        if any(isinstance(value, Tensor) for value in content.values()):
            known = {name: averages[name] for name in content.keys() & averages.keys()}
            return _tensors_of(content | known, path)
        averages = averages or _averages(content.get("callbacks"))
        inside = next((name for name in WRAPPERS if isinstance(content.get(name), dict)), None)
        content = content.get(inside)
    raise ModelError(f"{path}: holds no dictionary of tensors; is it a checkpoint?")


def _averages(callbacks: Any) -> dict[Any, Any]:
    """The averaged weights that a callback of Lightning keeps beside the state dict, or none."""
    states = callbacks.values() if isinstance(callbacks, dict) else ()
    found = (state.get("shadow") for state in states if isinstance(state, dict))
    return next((shadow for shadow in found if isinstance(shadow, dict)), {})


def _tensors_of(content: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: {name!r:.60} is no named tensor; is it a state dict?")
    return dict(content)


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
    tensors: dict[str, Tensor], *, height: int, width: int, n: int, T: int, num_prefix: int, num_heads: int
) -> tuple[ModelConfig, dict[str, Tensor]]:
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


def _config(
    tensors: dict[str, Tensor], height: int, width: int, n: int, T: int, num_prefix: int, num_heads: int
) -> ModelConfig:
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
        height=height,
        width=width,
        box_height=1,
        box_width=1,
        vocab_size=vocab_size,
        mixer="mlp" if mixes_tokens else "attention",
        hidden_size=hidden_size,
        num_layers=len(layers),
        num_heads=num_heads,
        rotary="none" if mixes_tokens else "1d",
        token_width=token_width,
        channel_width=channel_width,
        num_prefix=num_prefix,
        n=n,
        T=T,
        num_puzzles=len(tensors["puzzle_emb.weights"]) if "puzzle_emb.weights" in tensors else 0,
    )


NANO = {"input_embedding.": "embed_tokens.", "lenet.": "L_level.", "z_H_init": "H_init", "z_L_init": "L_init"}
EMBEDDING = "embed_tokens.embedding_weight"
PUZZLES, TABLE = "puzzle_emb.weights", "embed.puzzles"  # in their names, and in ours
MIXER = "L_level.layers.0.mlp_t.down_proj.weight"  # [P+L, width]
HEAD_SIZE = 64  # channels of an attention head in every published network
PREFIX = 16  # positions that a puzzle embedding takes in every published network
T = 3


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
    try:
        *_, height, width = task.boxes(side * side)
        config, ours = from_official(
            bare,
            height=side,
            width=side,
            n=given.n or task.published_n,
            T=given.T or T,
            num_prefix=prefix,
            num_heads=_heads(bare, hidden_size, given),
        )
        config = replace(
            config,
            box_height=height,
            box_width=width,
            num_puzzles=0 if table is None else len(table),
            recursion="single_z" if single else "y_and_z",
        )
    except (ConfigError, PuzzleError) as error:
        raise ModelError(f"cannot be: {error}") from error
    if not config.looks_up_puzzles:
        table = None
    else:
        del ours[TABLE]
    return Network(f"{layout}{' single-z' if single else ''}", task.name, config, ours, table)


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
    """Nano's tokens of what is filled in are padding, separator, blank, symbols; ours have no separator."""
    rows = bare[EMBEDDING].shape[0]
    learned = PUZZLES in bare and len(bare[PUZZLES]) > 1
    for task in loadable_tasks():
        is_of_kind = learned or not isinstance(task, Demonstrated)
        if not task.has_blanks and is_of_kind and task.size_of_vocabulary(rows):
            return bare
    kept = {name: cat((bare[name][:1], bare[name][2:])) for name in (EMBEDDING, "lm_head.weight") if name in bare}
    return bare | kept


def _table(bare: dict[str, Tensor]) -> Tensor | None:
    """The puzzle embedding, which may be larger than all the rest a hundred times."""
    table = bare.get(PUZZLES)
    if table is not None and table.shape[1] != bare[EMBEDDING].shape[1]:
        raise ModelError(f"{PUZZLES} is not as wide as the network; that cannot be loaded")
    return table


def _board(bare: dict[str, Tensor], prefix: int, given: Given) -> tuple[Task, int]:
    """Task and side of the board, from the vocabulary and, if it mixes tokens, its positions."""
    vocabulary = bare[EMBEDDING].shape[0]
    cells = bare[MIXER].shape[0] - prefix if MIXER in bare else None
    side = isqrt(max(cells, 0)) if cells is not None else given.size
    if cells is not None and side is not None and (side * side != cells or side == 0):
        raise ModelError(f"mixes {cells + prefix} positions: {prefix} and no square board")
    if given.size and given.size != side:
        raise ModelError(f"is for boards of {side}x{side}, not {given.size}x{given.size}")
    if given.task:
        task = get_task(given.task)
        return task, side or task.size_of_vocabulary(vocabulary) or task.usual_size
    return _task(vocabulary, side)


def _task(vocabulary: int, side: int | None) -> tuple[Task, int]:
    """The task of so many tokens; where several have as many, one whose usual size it is."""
    known = []
    for task in loadable_tasks():
        size = task.size_of_vocabulary(vocabulary)
        if size is not None:
            known.append((size == (side or task.usual_size), task, side or size))
    if not known:
        raise ModelError(f"knows {vocabulary} tokens, which is no task that is known here")
    _, task, side = max(known, key=lambda one: one[0])
    if _tokens(task, side) != vocabulary:
        raise ModelError(f"knows {vocabulary} tokens; {task.name} on {side}x{side} cells has {_tokens(task, side)}")
    return task, side


def _tokens(task: Task, side: int) -> int | None:
    with suppress(PuzzleError):
        return task.vocab_size(side * side)
    return None


def _heads(bare: dict[str, Tensor], hidden_size: int, given: Given) -> int:
    """Attention heads: no shape tells them, but all published ones have the same size."""
    if given.num_heads or MIXER in bare:
        return given.num_heads or 1
    if hidden_size % HEAD_SIZE:
        raise ModelError(f"has {hidden_size} channels; say how many attention heads with `trm models convert --heads`")
    return hidden_size // HEAD_SIZE


LAYOUT_VERSION = 1  # of what is written into the cache
UNPLAIN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Source:
    """A file of weights and what is known of where it comes from."""

    path: Path
    origin: str  # as the user wrote it
    revision: str | None = None

    @property
    def known(self) -> Known | None:
        """Its entry in the registry."""
        named = (known for known in known_models().values() if self.origin in (known.alias, known.source))
        return next(named, None)

    @property
    def name(self) -> str:
        """A plain name for what becomes of it."""
        last = self.known.alias if self.known else self.path.stem
        return UNPLAIN.sub("-", last).strip("-")[:80] or "converted"


def convert(source: Source, given: Given, folder: Path) -> Checkpoint:
    """Write a checkpoint of ours from a file of any public layout; returns what it says.

    A table of puzzle embeddings, which may be larger than all the rest a hundred times, is copied
    chunk by chunk from the file, which is mapped.
    Raises ModelError for a file that is unsafe, damaged or of no layout that is known.
    """
    tensors = read_tensors(source.path)
    try:
        network = recognise(tensors, given)
    except ModelError as error:
        raise ModelError(f"{source.path}: {error}") from error
    refuse_misfit(network.tensors, network.config, source.path)
    model = TinyRecursiveModel(network.config)
    model.load_state_dict(network.tensors)
    facts = {
        "origin": source.origin,
        "revision": source.revision,
        "layout": network.layout,
        "sha256": sha256_of(source.path),
        "trm": __version__,
        **_published(source.known),
    }
    checkpoint = Checkpoint(source.name, network.task, network.config, {"converted_from": facts})
    save_checkpoint(folder, checkpoint, model)
    if network.table is not None:
        _save_table(folder, network.table)
    write_card(folder, checkpoint)
    return checkpoint


def _save_table(folder: Path, table: Tensor) -> None:
    """Write a table beside its network; which row is whose is for a data set to say."""
    shape = (table.shape[0], table.shape[1])
    dtype = table.dtype if table.dtype in DTYPES else torch.float32
    save_table(folder, chunks_of(table), shape=shape, dtype=dtype)


def _published(known: Known | None) -> dict[str, Any]:
    if known is None:
        return {"licence": UNSTATED}
    return {"licence": known.licence, "published": known.accuracy}


def converted(source: Source, root: Path) -> Path:
    """The folder below `root` that holds the file as a checkpoint of ours, converted once."""
    asked = repr([LAYOUT_VERSION, __version__, source.origin, source.revision])
    name = hashlib.sha256(asked.encode()).hexdigest()[:8]
    try:
        folder = root / f"{sha256_of(source.path)}-{name}"
        if not (folder / CONFIG_FILE).is_file():
            _convert_whole(source, folder)
    except OSError as error:
        raise ModelError(
            f"{source.path}: cannot be converted into {root} ({error.strerror}); free space or set HF_HOME"
        ) from error
    return folder


def _convert_whole(source: Source, folder: Path) -> None:
    """Convert into a folder that appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as name:
        partial = Path(name) / "whole"
        convert(source, Given(), partial)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / CONFIG_FILE).is_file():  # else: another process did the same
                raise
