"""A checkpoint is a folder: config.json, model.safetensors, README.md.

config.json holds the task, the architecture, how it was trained and what was measured, so that a
folder needs nothing beside it. Weights are the EMA weights, all that solving reads, stored as
float32, bfloat16 or int8. In int8 every matrix NAME is kept as NAME, int8 [rows, columns], and
NAME.scale, float32 [rows, 1]; what has less than two dimensions, and the embeddings, stay in
bfloat16. Networks always compute with what is unpacked.
"""

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError, TRMError, UsageError
from trm_cli.files import sha256_of, write_whole
from trm_cli.model.network import TinyRecursiveModel

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


FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
SUMS_FILE = "SHA256SUMS"  # beside the folders of the bundled checkpoints
BUNDLED = "bundled"  # the source of such a checkpoint
LARGEST_CONFIG = 1 << 20  # bytes
MOST_POSITIONS = 1 << 16  # of a board with its prefix: 256x256 cells; memory grows with them
NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]|\.\.|^$|.{200}")  # a path, or an escape sequence


@dataclass(frozen=True)
class Checkpoint:
    """A network with all that is known about it."""

    name: str
    task: str
    model: ModelConfig
    training: dict[str, Any] = field(default_factory=dict)  # recipe, data, hardware, time
    measured: dict[str, Any] = field(default_factory=dict)  # accuracies, each with its command
    solving: dict[str, Any] = field(default_factory=dict)  # how it is best run: SolveSettings


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

    storage  how the numbers are kept: float32, bfloat16 or int8 (see storage.py).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_whole(folder / WEIGHTS_FILE, save(packed(tensors, storage), metadata={"format": "pt"}))
    write_config(folder, checkpoint)


def write_config(folder: Path, checkpoint: Checkpoint) -> None:
    """Write config.json alone."""
    text = json.dumps({"format": FORMAT, **asdict(checkpoint)}, indent=2)
    write_whole(folder / CONFIG_FILE, f"{text}\n".encode())


def read_config(folder: Path) -> Checkpoint:
    """Read config.json; raises ModelError where it is no checkpoint of ours."""
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ModelError(f"{path}: larger than any config of ours; is this a trm checkpoint?")
        known = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder}: no readable {CONFIG_FILE} in it ({error.strerror}); give the folder of a checkpoint"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error}); download or train it again") from error
    try:
        if known["format"] != FORMAT:
            raise ModelError(f"{path}: format {known['format']}; this trm reads format {FORMAT}")
        model = known["model"]
        unknown = set(model) - {f.name for f in fields(ModelConfig)}
        if unknown:
            raise ModelError(f"{path}: unknown model.{min(unknown)}; update trm")
        _refuse_paths(path, {"name": known["name"], "task": known["task"]})
        return Checkpoint(
            str(known["name"]),
            str(known["task"]),
            ModelConfig(**model),
            known.get("training", {}),
            known.get("measured", {}),
            known.get("solving", {}),
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: incomplete ({error}); download or train it again") from error
    except ModelError:
        raise
    except TRMError as error:
        raise ModelError(f"{path}: {error}") from error


def load_checkpoint(folder: Path, *, source: str, device: torch.device) -> LoadedModel:
    """Rebuild the network of a folder in float32; a missing or unexpected tensor is an error."""
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
    return LoadedModel(checkpoint, network, folder, source, digest)


def resized(loaded: LoadedModel, num_cells: int) -> LoadedModel:
    """The same weights on a square board of that many cells; for nets that fit any size."""
    network = loaded.network
    side = round(num_cells**0.5)
    smaller = TinyRecursiveModel(replace(network.config, height=side, width=side))
    smaller.load_state_dict(network.state_dict())
    smaller = smaller.to(network.y_init.device).eval().requires_grad_(False)
    return replace(loaded, network=smaller)


def refuse_misfit(tensors: dict[str, torch.Tensor], model: ModelConfig, path: Path) -> None:
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


def _refuse_paths(path: Path, words: dict[str, Any]) -> None:
    for name, word in words.items():
        if not isinstance(word, str) or NO_NAME.search(word):
            raise ModelError(f"{path}: {name} {word!r:.60} is no plain name; do not trust this file")


def _check_sum(path: Path, digest: str) -> None:
    """Raise ModelError where bundled weights are not the ones that were bundled."""
    listed = (path.parent.parent / SUMS_FILE).read_text(encoding="utf-8").split()
    name = f"{path.parent.name}/{path.name}"
    if name not in listed or listed[listed.index(name) - 1] != digest:
        raise ModelError(f"{path}: its SHA-256 is not the one in {SUMS_FILE}; install trm again")


def _compare(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], path: Path) -> None:
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
