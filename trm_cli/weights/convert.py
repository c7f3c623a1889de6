"""Weights made by others: read safely, recognised by names and shapes, converted into a checkpoint.

Nothing in such a file is run, and memory is bounded. A file is either safetensors, or what
torch.save writes since torch 1.6: a zip of one pickle and of one record for each storage. The
pickle goes through torch's own reader of weights only; what that reader does not bound is checked
before it is opened. Layouts:

    official   TinyRecursiveModels and its forks, under whatever prefix (torch.compile, loss heads,
               data parallel); one latent fewer in its single-z variant, several in its multi-z one
    hrm        the Hierarchical Reasoning Model, two nets, H_level and L_level
    nano       olivkoch/nano-trm inside a Lightning checkpoint: other names, one halt row, perhaps
               no prefix, and in its Sudoku a vocabulary with a separator after the padding

The only place with upstream's names: NAMES and PARTS have theirs and ours; H_cycles and L_cycles are
T and n, z_H and z_L are y and z.

Sources of the layouts: github.com/SamsungSAILMontreal/TinyRecursiveModels, github.com/sapientinc/HRM.
"""

import hashlib
import os
import pickle
import pickletools
import re
import struct
import tempfile
import warnings
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from io import FileIO
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, cat, stack, zeros

from trm_cli import __version__
from trm_cli.config import OF_HRM, ModelConfig
from trm_cli.errors import ConfigError, FileError, ModelError, PuzzleError
from trm_cli.files import GIBIBYTE, MEBIBYTE, open_regular, sha256_of, size_in_words
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task, loadable_tasks
from trm_cli.tasks.base import Task
from trm_cli.tasks.problems import Demonstrated
from trm_cli.weights.card import write_card
from trm_cli.weights.checkpoint import CONFIG_FILE, Checkpoint
from trm_cli.weights.hub import UNSTATED, Known, known_models
from trm_cli.weights.puzzle_table import save_table
from trm_cli.weights.tensors import (
    FLOATS,
    LENGTH,
    read_header,
    read_safetensors,
    refuse_misfit,
    refuse_no_numbers,
    refuse_strange,
    save_checkpoint,
)

ZIP = b"PK\x03\x04"
LARGEST_FILE = 16 * GIBIBYTE  # with a table of puzzles; the largest published one has three
LARGEST_DIRECTORY = 8 * MEBIBYTE  # of the list of records in a zip
LARGEST_PICKLE = 2 * MEBIBYTE  # a Lightning checkpoint's settings fit many times
MOST_RECORDS = 100_000
MOST_NESTED = 3  # dictionaries around the state dict
WRAPPERS = ("ema_state_dict", "ema", "state_dict", "model_state_dict", "model", "module", "weights")
WEIGHT = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter|parameter_with_state)|_codecs\.encode"
    r"|torch\.(\w+Storage|u?int\d+|b?float\d+|bool|complex\d+|Size|device)"
    r"|torch\.storage\.\w+Storage|collections\.(OrderedDict|defaultdict|Counter)|(builtins|__builtin__)\.set"
)  # what a pickle of named tensors and of plain settings beside them calls
REBUILDS = re.compile(r"torch\._utils\._rebuild_\w+")  # a view of a record
MOST_COPIED = 16 * MEBIBYTE  # of a pickle's letters; as objects they take ten times as much
BROKEN = (struct.error, zipfile.BadZipFile, EOFError, LookupError, ArithmeticError)
UNREADABLE = (*BROKEN, AssertionError, AttributeError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU, mapped; raises ModelError for what is not to be trusted.

    Whether they are numbers is not looked at: that would read all of the file.
    """
    head, size = _begin(path)
    if head.startswith(ZIP):
        tensors = _state_dict(_unpickled(path, size), path)
    elif head[LENGTH:] == b"{":
        try:
            read_header(path, LARGEST_FILE)
        except FileError as error:
            raise ModelError(f"{path}: {error}; download it again") from error
        tensors = read_safetensors(path)
    else:
        kind = "a bare pickle, which may run programs" if head[:1] == b"\x80" else "no weights"
        raise ModelError(f"{path}: {kind}; what can be read is safetensors, or what torch.save writes")
    refuse_strange(tensors, path, FLOATS)
    return tensors


def _begin(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file, and its size; raises ModelError where it can be none of weights."""
    try:
        with open_regular(path) as file:
            head, size = file.read(LENGTH + 1), os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise FileError(f"larger than {size_in_words(LARGEST_FILE)}, more than any file of this kind has")
    except FileError as error:
        raise ModelError(f"{path}: {error}; give a file of weights") from error
    return head, size


class _Directory(FileIO):
    """A file whose list of records is not read where it is too long to be one of weights."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most as much as such a list may have."""
        if size is None or size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile
        return super().read(size)


def _unpickled(path: Path, size: int) -> Any:
    """What torch.save put into a file of that size, read as weights only, its storages mapped, not copied."""
    try:
        with _Directory(path) as file, zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            total = sum(record.file_size for record in records)
            packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
            if packed or total > size or len(records) > MOST_RECORDS:
                raise ModelError(
                    f"{path}: refused: its {len(records):,} records unpack to {total:,} bytes, the "
                    f"file has {size:,}; torch.save packs nothing"
                )
            pickles = [record for record in records if record.filename.endswith(".pkl")]
            if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
                raise ModelError(f"{path}: refused: weights come with one pickle, and a small one")
            _check_calls(archive.read(pickles[0]), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its own types of storage
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # whose words advise to load it unsafely
        raise ModelError(f"{path}: its pickle holds more than weights; ask its author for safetensors") from error
    except UNREADABLE as error:
        raise ModelError(f"{path}: damaged; download it again") from error


def _check_calls(content: bytes, path: Path) -> None:
    """Raise ModelError where a pickle calls for more than weights need; nothing of it is run.

    What takes arguments and is no tensor may copy them, and a few letters repeat that: there may be few such calls.
    """
    stack: list[str] = []  # names of what may be called; what else there is has none
    memo: dict[Any, str] = {}
    copies = 0
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            name = str(argument).replace(" ", ".") if argument else "names made up as it runs"
            if not WEIGHT.fullmatch(name):
                raise ModelError(
                    f"{path}: its pickle needs {name:.60}, which is no weight: it may run programs "
                    "or fill the memory; ask its author for safetensors"
                )
            stack.append(name)
        elif "PUT" in operation.name:
            memo[argument] = stack[-1]
        elif "GET" in operation.name:
            stack.append(memo[argument])
        elif operation.name in ("MARK", "EMPTY_TUPLE"):
            stack.append(operation.name)
        elif operation.name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            copies += arguments != "EMPTY_TUPLE" and not REBUILDS.fullmatch(called)
            if copies * len(content) > MOST_COPIED:
                raise ModelError(f"{path}: its pickle copies too much; ask its author for safetensors")
            stack.append("")
        else:
            taken = operation.stack_before
            if pickletools.markobject in taken:
                while stack.pop() != "MARK":
                    pass
                taken = taken[: taken.index(pickletools.markobject)]
            del stack[len(stack) - len(taken) :]
            stack += [""] * len(operation.stack_after)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors, or the one inside under a customary name.

    A callback of Lightning may keep averaged weights beside it, under the same names; they stand for its own.
    """
    averages: dict[Any, Any] = {}
    for _ in range(MOST_NESTED):
        if not isinstance(content, dict):
            break
        if any(isinstance(value, Tensor) for value in content.values()):
            found = content | {name: averages[name] for name in content.keys() & averages.keys()}
            for name, value in found.items():
                if not isinstance(name, str) or not isinstance(value, Tensor):
                    raise ModelError(f"{path}: {name!r:.60} is no named tensor; is it a state dict?")
            return found
        callbacks = content.get("callbacks")
        states = callbacks.values() if isinstance(callbacks, dict) else ()
        shadows = (state.get("shadow") for state in states if isinstance(state, dict))
        averages = averages or next((shadow for shadow in shadows if isinstance(shadow, dict)), {})
        content = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
    raise ModelError(f"{path}: holds no dictionary of tensors; is it a checkpoint?")


EMBEDDING, PUZZLES = "embed_tokens.embedding_weight", "puzzle_emb.weights"
MOST_NUMBERS = 1 << 26  # of a network without its table of puzzles; published ones have less than half
LAYER, LAYER_OF_H = "L_level.layers.", "H_level.layers."
LATENT = re.compile(r"L(\d{1,3})_init")  # of the multi-z variant
MIXER, CHANNELS = f"{LAYER}0.mlp_t.down_proj.weight", f"{LAYER}0.mlp.down_proj.weight"  # [P+L, width], [D, width]
NAMES = {
    "H_init": "y_init",
    "L_init": "z_init",
    EMBEDDING: "embed.tokens",
    PUZZLES: "embed.puzzles",
    "lm_head.weight": "output_head.weight",
}
PARTS = {
    "mlp_t.gate_up_proj.weight": "token_mlp.gate_up.weight",
    "mlp_t.down_proj.weight": "token_mlp.down.weight",
    "self_attn.qkv_proj.weight": "qkv.weight",
    "self_attn.o_proj.weight": "out.weight",
    "mlp.gate_up_proj.weight": "channel_mlp.gate_up.weight",
    "mlp.down_proj.weight": "channel_mlp.down.weight",
}
NANO = {"input_embedding.": "embed_tokens.", "lenet.": "L_level.", "z_H_init": "H_init", "z_L_init": "L_init"}
NANO_EMBEDDING = "input_embedding.embedding_weight"
HALT_ROWS = 2  # halt and continue; nano-trm has the first
HEAD_SIZE = 64  # channels of an attention head in every published network
PREFIX = 16  # positions that a puzzle embedding takes in every published network
PUBLISHED_T = 3  # recursions in a supervision step of every published network
HRM_PREFIX = 1  # of HRM's networks


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
    if (total := sum(tensor.numel() for name, tensor in bare.items() if name != PUZZLES)) > MOST_NUMBERS:
        raise ModelError(f"has {total:,} weights; a network of at most {MOST_NUMBERS:,} can be converted")
    for name, tensor in bare.items():  # weights are matrices, biases and starts vectors, none empty
        if tensor.dim() != (1 if name.endswith(("_init", ".bias")) else 2) or not tensor.numel():
            raise ModelError(f"tensor {name:.60} is of shape {list(tensor.shape)}")
    if layout == "nano":
        bare = _without_separator(bare)
    single = "H_init" not in bare and "L_init" in bare
    latents = sorted(int(found[1]) for name in bare if (found := LATENT.fullmatch(name)))
    if latents:
        starts = [bare.pop(f"L{number}_init") for number in latents]
        sizes = {len(start) for start in starts}
        if latents != [*range(1, len(latents) + 1)] or len(sizes) > 1 or "L_init" in bare:
            raise ModelError(f"has latents {latents}; a network with one for each update has L1_init to Ln_init")
        if given.n not in (None, len(latents)):
            raise ModelError(f"has {len(latents)} latents, so that n cannot be {given.n}")
        bare = bare | {"L_init": stack(starts)}
    elif single:
        bare = bare | {"H_init": bare["L_init"], "L_init": zeros(bare["L_init"].shape)}
    table = bare.pop(PUZZLES, None)  # may be larger than all the rest a hundred times
    vocab_size, hidden_size = bare[EMBEDDING].shape
    if table is not None and table.shape[1] != hidden_size:
        raise ModelError(f"{PUZZLES} is not as wide as the network; that cannot be loaded")
    if CHANNELS not in bare:
        raise ModelError(f"lacks tensor {CHANNELS!r} of the official TRM layout")
    mixes_tokens = MIXER in bare
    if not (given.num_heads or mixes_tokens) and hidden_size % HEAD_SIZE:  # no shape tells the number
        raise ModelError(f"has {hidden_size} channels; say how many attention heads with `trm models convert --heads`")
    num_prefix = 0 if table is None else HRM_PREFIX if layout == "hrm" else PREFIX
    task, side = _board(bare, num_prefix, given)
    try:
        *_, box_height, box_width = task.boxes(side * side)
        config = ModelConfig(
            height=side,
            width=side,
            box_height=box_height,
            box_width=box_width,
            vocab_size=vocab_size,
            mixer="mlp" if mixes_tokens else "attention",
            hidden_size=hidden_size,
            num_layers=len({name.split(".")[2] for name in bare if name.startswith(LAYER)}),
            num_heads=given.num_heads or (1 if mixes_tokens else hidden_size // HEAD_SIZE),
            rotary="none" if mixes_tokens else "1d",
            token_width=bare[MIXER].shape[1] if mixes_tokens else 1,
            channel_width=bare[CHANNELS].shape[1],
            num_prefix=num_prefix,
            num_puzzles=0 if table is None else len(table),
            n=given.n or len(latents) or task.published_n,
            T=given.T or PUBLISHED_T,
            recursion="single_z" if single else "multi_z" if latents else "y_and_z",
        )
        if layout == "hrm":
            said = {"n": given.n, "T": given.T}
            config = replace(config, **OF_HRM | {name: number for name, number in said.items() if number})
    except (ConfigError, PuzzleError) as error:
        raise ModelError(f"cannot be: {error}") from error
    nets = {LAYER: "net.f_L", LAYER_OF_H: "net.f_H"} if layout == "hrm" else {LAYER: "net"}
    ours = {}
    for name, tensor in bare.items():
        stem = next((stem for stem in nets if name.startswith(stem)), "")
        index, _, part = name.removeprefix(stem).partition(".")
        if name in NAMES:
            ours[NAMES[name]] = tensor.float()
        elif stem and part in PARTS:
            ours[f"{nets[stem]}.blocks.{index}.{PARTS[part]}"] = tensor.float()
        elif name.startswith("q_head.") and len(tensor) <= HALT_ROWS:
            rows = HALT_ROWS if config.halting == "q_learning" else 1
            ours[name.replace("q_head", "halt_head")] = tensor[:rows].float()
        else:
            raise ModelError(f"tensor {name:.60} is not of the official TRM layout")
    if table is None:
        ours["embed.prefix"] = zeros(num_prefix, hidden_size)
    elif not config.looks_up_puzzles:
        ours[NAMES[PUZZLES]] = table.float()
        table = None
    variant = " single-z" if single else " multi-z" if latents else ""
    return Network(layout + variant, task.name, config, ours, table)


def _bare(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors under the official names, without what stands before them; and the layout."""
    layout = "nano" if any(name.endswith(NANO_EMBEDDING) for name in tensors) else "official"
    mark = NANO_EMBEDDING if layout == "nano" else EMBEDDING
    found = [name.removesuffix(mark) for name in tensors if name.endswith(mark)]
    if len(found) != 1:
        raise ModelError("no layout of a Tiny Recursive Model that is known: no token embedding")
    bare = {}
    for name, tensor in tensors.items():
        if not name.startswith(found[0]):
            raise ModelError(f"tensor {name!r:.60} stands outside the network {found[0]!r:.60}")
        official = name.removeprefix(found[0])
        theirs = next((start for start in NANO if layout == "nano" and official.startswith(start)), None)
        bare[official if theirs is None else official.replace(theirs, NANO[theirs], 1)] = tensor
    return bare, "hrm" if any(name.startswith(LAYER_OF_H) for name in bare) else layout


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


def _board(bare: dict[str, Tensor], num_prefix: int, given: Given) -> tuple[Task, int]:
    """Task and side of the board, from the vocabulary and, if it mixes tokens, its positions.

    Where several tasks have as many tokens, it is one whose usual size it is.
    """
    vocab_size, side = len(bare[EMBEDDING]), given.size
    if MIXER in bare:
        num_cells = len(bare[MIXER]) - num_prefix
        side = isqrt(max(num_cells, 0))
        if side * side != num_cells or side == 0:
            raise ModelError(f"mixes {num_cells + num_prefix} positions: {num_prefix} and no square board")
        if given.size not in (None, side):
            raise ModelError(f"is for boards of {side}x{side}, not {given.size}x{given.size}")
    if given.task:
        task = get_task(given.task)
        return task, side or task.size_of_vocabulary(vocab_size) or task.usual_size
    sizes = [(task, task.size_of_vocabulary(vocab_size)) for task in loadable_tasks()]
    fitting = [(size == (side or task.usual_size), task, side or size) for task, size in sizes if size is not None]
    if not fitting:
        raise ModelError(f"knows {vocab_size} tokens, which is no task that is known here")
    _, task, side = max(fitting, key=lambda one: one[0])
    expected = None
    with suppress(PuzzleError):
        expected = task.vocab_size(side * side)
    if expected != vocab_size:
        raise ModelError(f"knows {vocab_size} tokens; {task.name} on {side}x{side} cells has {expected}")
    return task, side


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
    refuse_no_numbers(tensors, source.path)
    refuse_misfit({name: tensor.shape for name, tensor in network.tensors.items()}, network.config, source.path)
    model = TinyRecursiveModel(network.config)
    model.load_state_dict(network.tensors)
    facts = {
        "origin": source.origin,
        "revision": source.revision,
        "layout": network.layout,
        "sha256": sha256_of(source.path),
        "trm": __version__,
        "licence": source.known.licence if source.known else UNSTATED,
        **({"published": source.known.accuracy} if source.known else {}),
    }
    checkpoint = Checkpoint(source.name, network.task, network.config, {"converted_from": facts})
    save_checkpoint(folder, checkpoint, model)
    if (table := network.table) is not None:  # which row is whose is for a data set to say
        save_table(folder, table)
    write_card(folder, checkpoint)
    return checkpoint


def converted(source: Source, root: Path) -> Path:
    """The folder below `root` that holds the file as a checkpoint of ours, converted once.

    It appears whole or not at all.
    """
    _begin(source.path)  # else hashing it might not end
    asked = repr([LAYOUT_VERSION, __version__, source.origin, source.revision])
    try:
        folder = root / f"{sha256_of(source.path)}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
        if (folder / CONFIG_FILE).is_file():
            return folder
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as name:
            partial = Path(name) / "whole"
            convert(source, Given(), partial)
            try:
                partial.rename(folder)
            except OSError:
                if not (folder / CONFIG_FILE).is_file():  # else: another process did the same
                    raise
    except OSError as error:
        raise ModelError(
            f"{source.path}: cannot be converted into {root} ({error.strerror}); free space or set HF_HOME"
        ) from error
    return folder
