"""The weights of a checkpoint: read safely, kept as float32, bfloat16 or int8, made into a network.

In int8 every matrix NAME is kept as NAME, int8 [rows, columns], and NAME.scale, float32 [rows, 1];
what has less than two dimensions, and the embeddings, stay in bfloat16. Networks always compute
with what is unpacked.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError, UsageError
from trm_cli.files import sha256_of, write_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task
from trm_cli.tasks.base import board_of
from trm_cli.weights.checkpoint import BUNDLED, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, read_config, write_config

CPU = torch.device("cpu")
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
STORAGES = ("float32", "bfloat16", "int8")
SCALE = ".scale"
STEPS = 127  # of int8, on either side of zero
NOT_IN_INT8 = ("embed.", "halt_head.")
SUMS_FILE = "SHA256SUMS"  # beside the folders of the bundled checkpoints
MOST_POSITIONS = 1 << 16  # of a board with its prefix: 256x256 cells; memory grows with them
LENGTH = 8  # bytes that tell how long the header of a safetensors file is
LARGEST_HEADER = 16 << 20  # bytes, of safetensors; a table of 100,000 tensors fits
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
    path = folder / WEIGHTS_FILE
    try:
        digest = sha256_of(path)
        if source == BUNDLED:
            listed = (folder.parent / SUMS_FILE).read_text(encoding="utf-8").splitlines()
            if f"{digest}  {folder.name}/{WEIGHTS_FILE}" not in listed:
                raise ModelError(f"{path}: its SHA-256 is not the one in {SUMS_FILE}; install trm again")
        kept = read_safetensors(path)
        refuse_damage(kept, path, (*FLOATS, torch.int8))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); download it again") from error
    tensors = {}
    for name, tensor in kept.items():
        if tensor.dtype == torch.int8:
            scale = kept.get(name + SCALE)
            if scale is None or tensor.dim() != 2 or scale.shape != (len(tensor), 1):  # others grow as they multiply
                raise ModelError(f"{path}: {name} is int8 without a scale for each row")
            tensors[name] = tensor.float() * scale.float()
        elif not name.endswith(SCALE) or name.removesuffix(SCALE) not in kept:
            tensors[name] = tensor
    model = checkpoint.model
    refuse_misfit(tensors, model, path)
    if num_cells not in (None, model.num_cells):
        board: dict[str, Any] = board_of(get_task(checkpoint.task), num_cells)
        model = replace(model, **board, smallest=0)
    network = TinyRecursiveModel(model)
    network.load_state_dict(tensors)
    network = network.to(device).eval().requires_grad_(False)
    return LoadedModel(checkpoint, network, folder, source or str(folder), digest)


def refuse_misfit(tensors: dict[str, Tensor], model: ModelConfig, path: Path) -> None:
    """Raise ModelError where a config and tensors do not belong together, or ask for too much.

    Nothing of the network's size is allocated before that is known.
    """
    if model.num_prefix + model.num_cells > MOST_POSITIONS or model.num_layers > len(tensors):
        raise ModelError(
            f"{path.with_name(CONFIG_FILE)}: a board of {model.height}x{model.width} cells and "
            f"{model.num_layers} layers are more than these weights are for"
        )
    with torch.device("meta"):
        expected = TinyRecursiveModel(model).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "lacks" if name in expected else "has an unexpected"
        raise ModelError(f"{path}: {what} tensor {name:.60}; it does not fit its architecture")
    for name, tensor in tensors.items():
        if tensor.shape != (shape := expected[name].shape):
            raise ModelError(f"{path}: {name} is {list(tensor.shape)}, its architecture says {list(shape)}")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file; raises ModelError for one that is damaged."""
    with path.open("rb") as file:
        length, size = int.from_bytes(file.read(LENGTH), "little"), path.stat().st_size
    if length > min(LARGEST_HEADER, size):
        raise ModelError(f"{path}: damaged (a header of {length:,} bytes in a file of {size:,}); download it again")
    try:
        return load_file(path)
    except (SafetensorError, MemoryError) as error:
        raise ModelError(f"{path}: damaged ({first_line(error)}); download it again") from error


def refuse_damage(tensors: dict[str, Tensor], path: Path, kinds: tuple[torch.dtype, ...]) -> None:
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
    for name, tensor in tensors.items():
        if tensor.numel() and not torch.stack(tensor.aminmax()).float().isfinite().all():
            raise ModelError(f"{path}: {name!r:.60} holds values that are no numbers")


def first_line(error: BaseException) -> str:
    """What an error says first, short enough for a message."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
