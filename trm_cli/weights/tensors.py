"""The weights of a checkpoint: read safely, kept as float32, bfloat16 or int8, made into a network.

In int8 every matrix NAME is kept as NAME, int8 [rows, columns], and NAME.scale, float32 [rows, 1];
what has less than two dimensions, and the embeddings, stay in bfloat16. Networks always compute
with what is unpacked.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trm_cli.config import ModelConfig
from trm_cli.errors import FileError, ModelError, PuzzleError, UsageError
from trm_cli.files import GIBIBYTE, MEBIBYTE, open_regular, read_text, sha256_of, size_in_words, write_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.schema import checked, parse_json
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Task, board_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.weights.checkpoint import BUNDLED, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, read_config, write_config

CPU = torch.device("cpu")
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
STORAGES = ("float32", "bfloat16", "int8")
SCALE = ".scale"
STEPS = 127  # of int8, on either side of zero
NOT_IN_INT8 = ("embed.", "halt_head.")
SUMS_FILE = "SHA256SUMS"  # beside the folders of the bundled checkpoints
MOST_TOKENS = 1 << 8  # of any task: an answer is kept in bytes
MOST_POSITIONS = 1 << 16  # of a board with its prefix: 256x256 cells; memory grows with them
LENGTH = 8  # bytes that tell how long the header of a safetensors file is
LARGEST_HEADER = 4 * MEBIBYTE  # of safetensors; a table of 30,000 tensors fits
LARGEST_WEIGHTS = 4 * GIBIBYTE  # of a checkpoint of ours: a thousand million float32 numbers
Shapes = Mapping[str, Sequence[int]]
SHARED = 2  # bytes of all tensors over bytes of the file, where tensors share their storage


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory, ready to run, and where it came from."""

    checkpoint: Checkpoint
    network: TinyRecursiveModel
    folder: Path
    source: str  # bundled, or the folder as the user wrote it
    sha256: str  # of the weights file


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, network: TinyRecursiveModel, *, storage: str = "float32"
) -> None:
    """Write config and weights; each file appears whole or not at all.

    storage  how the numbers are kept: float32, bfloat16 or int8; UsageError for any other.
    """
    if storage not in STORAGES:
        raise UsageError(f"--storage {storage}: choose {', '.join(STORAGES)}")
    kept = {}
    for name, tensor in network.state_dict().items():
        whole = tensor.detach().float().cpu().contiguous()
        if storage == "int8" and whole.dim() == 2 and not name.startswith(NOT_IN_INT8):
            scale = whole.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
            kept[name] = (whole / scale * STEPS).round().to(torch.int8)
            kept[name + SCALE] = scale / STEPS
        else:
            kept[name] = whole if storage == "float32" else whole.to(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS_FILE, save(kept, metadata={"format": "pt"}))
    write_config(folder, checkpoint)


def load_checkpoint(
    folder: Path, *, source: str = "", device: torch.device = CPU, num_cells: int | None = None
) -> LoadedModel:
    """Rebuild the network of a folder in float32.

    source     bundled, or the folder as the user wrote it.
    num_cells  of the board that it is to run on, if its weights fit any size; None for its own.
    Raises ModelError where a tensor is missing, unexpected or of another shape, and for a damaged file.
    """
    checkpoint = read_config(folder)
    path, model = folder / WEIGHTS_FILE, checkpoint.model
    try:
        listed = read_text(folder.parent / SUMS_FILE).splitlines() if source == BUNDLED else []
    except FileError as error:
        raise ModelError(f"{folder.parent / SUMS_FILE}: {error}; install trm again") from error
    try:
        header = read_header(path, LARGEST_WEIGHTS)
    except FileError as error:
        raise ModelError(f"{path}: {error}; download it again") from error
    kinds = {name: entry.dtype for name, entry in header.items()}
    scaled = {name for name, kind in kinds.items() if kind == "I8"}
    for name in scaled:
        rows, scale = header[name].shape, header.get(name + SCALE)
        if scale is None or len(rows) != 2 or scale.shape != (rows[0], 1):  # others grow as they multiply
            raise ModelError(f"{path}: {name} is int8 without a scale for each row")
    scales = {name + SCALE for name in scaled}
    refuse_misfit({name: entry.shape for name, entry in header.items() if name not in scales}, model, path)
    refuse_other_board(checkpoint, path)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); download it again") from error
    if source == BUNDLED and f"{digest}  {folder.name}/{WEIGHTS_FILE}" not in listed:
        raise ModelError(f"{path}: its SHA-256 is not the one in {SUMS_FILE}; install trm again")
    kept = read_safetensors(path)
    refuse_strange(kept, path, (*FLOATS, torch.int8))
    refuse_no_numbers(kept, path)
    tensors = {
        name: tensor.float() * kept[name + SCALE].float() if name in scaled else tensor
        for name, tensor in kept.items()
        if name not in scales
    }
    if num_cells not in (None, model.num_cells):
        board: dict[str, Any] = board_of(task_of(checkpoint), num_cells)
        model = replace(model, **board, smallest=0)
    network = TinyRecursiveModel(model)
    network.load_state_dict(tensors)
    network = network.to(device).eval().requires_grad_(False)
    return LoadedModel(checkpoint, network, folder, source or str(folder), digest)


def task_of(checkpoint: Checkpoint) -> Task:
    """The task of a checkpoint; raises ModelError where nobody knows it."""
    try:
        return get_task(checkpoint.task)
    except UsageError as error:
        raise ModelError(f"model {checkpoint.name!r}: {error}") from error


def refuse_other_board(checkpoint: Checkpoint, path: Path) -> None:
    """Raise ModelError where a network is not for a board of its task: of another shape, or with other tokens.

    Where weights are shared over cells or symbols no tensor tells how many there are, and memory grows with them.
    """
    model, config = checkpoint.model, path.with_name(CONFIG_FILE)
    try:
        task = get_task(checkpoint.task)
    except UsageError as error:  # of a package that is not here
        if model.vocab_size > MOST_TOKENS:
            raise ModelError(f"{config}: model.vocab_size is {model.vocab_size:,}; no task has so many") from error
        return
    try:
        expected = board_of(task, model.num_cells)
    except PuzzleError as error:
        raise ModelError(f"{config}: {error}; download or train it again") from error
    if isinstance(task, Demonstrated) and model.height > task.usual_size:
        raise ModelError(f"{config}: model.height is {model.height:,}; a board of {task.name} has {task.usual_size}")
    for name, value in expected.items():
        if (own := getattr(model, name)) != value:
            raise ModelError(
                f"{config}: model.{name} is {own:,}, {task.name} on a board of {model.num_cells:,} cells needs "
                f"{value:,}; download or train it again"
            )


def refuse_misfit(shapes: Shapes, model: ModelConfig, path: Path) -> None:
    """Raise ModelError where a config and the shapes of tensors do not belong together, or ask for too much.

    Nothing of the network's size is allocated.
    """
    if model.num_prefix + model.num_cells > MOST_POSITIONS or model.num_layers > len(shapes):
        raise ModelError(
            f"{path.with_name(CONFIG_FILE)}: a board of {model.height}x{model.width} cells and "
            f"{model.num_layers} layers are more than these weights are for"
        )
    with torch.device("meta"):
        expected = TinyRecursiveModel(replace(model, rotary="none")).state_dict()  # whose angles take memory
    for name in sorted(expected.keys() ^ shapes.keys()):
        what = "lacks" if name in expected else "has an unexpected"
        raise ModelError(f"{path}: {what} tensor {name:.60}; it does not fit its architecture")
    for name, shape in shapes.items():
        if tuple(shape) != tuple(needed := expected[name].shape):
            raise ModelError(f"{path}: {name} is {list(shape)}, its architecture says {list(needed)}")


@dataclass(frozen=True)
class Entry:
    """A tensor in the header of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]  # of its bytes, in what follows the header


def read_header(path: Path, most: int) -> dict[str, Entry]:
    """The tensors of a safetensors file by name, without their numbers.

    most  bytes that the file may have.
    Raises FileError for one that is damaged, or is no regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise FileError(f"larger than {size_in_words(most)}, more than any file of this kind has")
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > min(LARGEST_HEADER, size):
            raise FileError(f"damaged: a header of {length:,} bytes in a file of {size:,}")
        known = parse_json(file.read(length))
    if isinstance(known, dict):
        known.pop("__metadata__", None)
    header = checked(known, dict[str, Entry])
    end = max((entry.data_offsets[1] for entry in header.values()), default=0)
    if LENGTH + length + end != size:
        raise FileError(f"damaged: its tensors end at byte {LENGTH + length + end:,} of {size:,}")
    return header


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file whose header was read; raises ModelError for one that is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, MemoryError, OSError) as error:
        raise ModelError(f"{path}: damaged; download it again") from error


def refuse_strange(tensors: dict[str, Tensor], path: Path, kinds: tuple[torch.dtype, ...]) -> None:
    """Raise ModelError unless every tensor is a plain block of numbers that come out of the file.

    kinds  the types of numbers that are expected.
    """
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.dtype not in kinds:
            raise ModelError(f"{path}: {name!r:.60} is no plain tensor of floating point numbers")
    size = path.stat().st_size
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > SHARED * size:
        raise ModelError(f"{path}: refused: its tensors would take {total:,} bytes, the file has {size:,}")


def refuse_no_numbers(tensors: dict[str, Tensor], path: Path) -> None:
    """Raise ModelError where a value is infinite or no number; reads all of a file."""
    for name, tensor in tensors.items():
        if tensor.numel() and not torch.stack(tensor.aminmax()).float().isfinite().all():
            raise ModelError(f"{path}: {name!r:.60} holds values that are no numbers")
