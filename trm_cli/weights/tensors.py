"""The weights of a checkpoint: read safely, kept as float32, bfloat16 or int8, made into a network.

In int8 every matrix NAME is kept as NAME, int8 [rows, columns], and NAME.scale, float32 [rows, 1];
what has less than two dimensions, and the embeddings, stay in bfloat16. Networks always compute
with what is unpacked.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError, UsageError
from trm_cli.files import sha256_of, write_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.checkpoint import BUNDLED, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, read_config, write_config

CPU = torch.device("cpu")
STORAGES = ("float32", "bfloat16", "int8")
SCALE = ".scale"
STEPS = 127  # of int8, on either side of zero
NOT_IN_INT8 = ("embed.", "halt_head.")


def check_storage(storage: str) -> None:
    """Raise UsageError where there is no such storage."""
    if storage not in STORAGES:
        raise UsageError(f"--storage {storage}: choose {', '.join(STORAGES)}")


def packed(tensors: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """The tensors of a state dict as they are to be written."""
    if storage == "float32":
        return tensors
    small = {}
    for name, tensor in tensors.items():
        if storage == "int8" and tensor.dim() == 2 and not name.startswith(NOT_IN_INT8):
            scale = tensor.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
            small[name] = (tensor / scale * STEPS).round().to(torch.int8)
            small[name + SCALE] = scale / STEPS
        else:
            small[name] = tensor.to(torch.bfloat16)
    return small


def unpacked(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors that a file stands for; raises ModelError where a scale is missing or misfits."""
    whole = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or scale.shape != (len(tensor), 1):
                raise ModelError(f"{path}: {name} is int8 without a scale for each row")
            whole[name] = tensor.float() * scale.float()
        elif name.removesuffix(SCALE) not in tensors or not name.endswith(SCALE):
            whole[name] = tensor
    return whole


SUMS_FILE = "SHA256SUMS"  # beside the folders of the bundled checkpoints
MOST_POSITIONS = 1 << 16  # of a board with its prefix: 256x256 cells; memory grows with them


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

    storage  how the numbers are kept: float32, bfloat16 or int8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_whole(folder / WEIGHTS_FILE, save(packed(tensors, storage), metadata={"format": "pt"}))
    write_config(folder, checkpoint)


def load_checkpoint(folder: Path, *, source: str = "", device: torch.device = CPU) -> LoadedModel:
    """Rebuild the network of a folder in float32; a missing or unexpected tensor is an error.

    source  bundled, or the folder as the user wrote it.
    """
    checkpoint = read_config(folder)
    path = folder / WEIGHTS_FILE
    try:
        digest = sha256_of(path)
        if source == BUNDLED:
            _check_sum(path, digest)
        kept = read_safetensors(path)
        refuse_damage(kept, path, (*FLOATS, torch.int8))
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{path}: cannot be read ({reason}); download it again") from error
    tensors = unpacked(kept, path)
    refuse_misfit(tensors, checkpoint.model, path)
    network = TinyRecursiveModel(checkpoint.model)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    network = network.to(device).eval().requires_grad_(False)
    return LoadedModel(checkpoint, network, folder, source or str(folder), digest)


def resized(loaded: LoadedModel, num_cells: int) -> LoadedModel:
    """The same weights on a square board of that many cells; for nets that fit any size."""
    network = loaded.network
    side = round(num_cells**0.5)
    smaller = TinyRecursiveModel(replace(network.config, height=side, width=side))
    smaller.load_state_dict(network.state_dict())
    smaller = smaller.to(network.y_init.device).eval().requires_grad_(False)
    return replace(loaded, network=smaller)


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
        network = TinyRecursiveModel(model)
    _compare(tensors, network.state_dict(), path)


def _check_sum(path: Path, digest: str) -> None:
    """Raise ModelError where bundled weights are not the ones that were bundled."""
    listed = (path.parent.parent / SUMS_FILE).read_text(encoding="utf-8").split()
    name = f"{path.parent.name}/{path.name}"
    if name not in listed or listed[listed.index(name) - 1] != digest:
        raise ModelError(f"{path}: its SHA-256 is not the one in {SUMS_FILE}; install trm again")


def _compare(tensors: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "lacks" if name in expected else "has an unexpected"
        raise ModelError(f"{path}: {what} tensor {name:.60}; it does not fit its architecture")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"{path}: {name} is {list(tensor.shape)}, its architecture says {list(expected[name].shape)}"
            )


LENGTH = 8  # bytes that tell how long the header of a safetensors file is
LARGEST_HEADER = 16 << 20  # bytes, of safetensors; a table of 100,000 tensors fits
SHARED = 2  # bytes of all tensors over bytes of the file, where tensors share their storage
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file; raises ModelError for one that is damaged."""
    with path.open("rb") as file:
        head = file.read(LENGTH)
    length, size = int.from_bytes(head, "little"), path.stat().st_size
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
