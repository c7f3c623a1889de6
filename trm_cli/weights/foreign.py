"""Reading files of weights that strangers made: nothing in them is run, and memory is bounded.

A file is either safetensors, or what torch.save writes since torch 1.6: a zip of one pickle and of
one record for each storage. The pickle goes through torch's own reader of weights only; what that
reader does not bound is checked before it is opened: packed records, sizes, and the names that the
pickle calls, since a few that torch lets pass can fill the memory.
"""

import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trm_cli.errors import ModelError

ZIP = b"PK\x03\x04"
LENGTH = 8  # bytes that tell how long the header of a safetensors file is
LARGEST_HEADER = 16 << 20  # bytes, of safetensors; a table of 100,000 tensors fits
LARGEST_PICKLE = 4 << 20  # bytes; a Lightning checkpoint's settings fit many times
MOST_RECORDS = 100_000
MOST_NESTED = 3  # dictionaries around the state dict
SHARED = 2  # bytes of all tensors over bytes of the file, where tensors share their storage
WRAPPERS = ("ema_state_dict", "ema", "state_dict", "model_state_dict", "model", "module", "weights")
WEIGHT = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter|parameter_with_state)|_codecs\.encode"
    r"|torch\.(\w+Storage|u?int\d+|b?float\d+|bool|complex\d+|Size|device)"
    r"|torch\.storage\.\w+Storage|collections\.(OrderedDict|defaultdict|Counter)|(builtins|__builtin__)\.set"
)  # what a pickle of named tensors and of plain settings beside them calls
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError,
    AttributeError, AssertionError, MemoryError, OverflowError, ArithmeticError, struct.error,
)  # fmt: skip


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU; raises ModelError for what is not to be trusted."""
    try:
        with path.open("rb") as file:
            head = file.read(LENGTH + 1)
        size = path.stat().st_size
        if head.startswith(ZIP):
            tensors = _state_dict(_unpickled(path, size), path)
        else:
            tensors = _safetensors(path, head)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    refuse_damage(tensors, path, FLOATS)
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file; raises ModelError for one that is damaged."""
    with path.open("rb") as file:
        head = file.read(LENGTH)
    length, size = int.from_bytes(head, "little"), path.stat().st_size
    if length > min(LARGEST_HEADER, size):
        raise ModelError(
            f"{path}: damaged (a header of {length:,} bytes in a file of {size:,}); download it "
            "again"
        )
    try:
        return load_file(path)
    except (SafetensorError, MemoryError) as error:
        raise ModelError(f"{path}: damaged ({_line(error)}); download it again") from error


def _safetensors(path: Path, head: bytes) -> dict[str, Tensor]:
    if head[LENGTH:] != b"{":
        kind = "a bare pickle, which may run programs" if head[:1] == b"\x80" else "no weights"
        raise ModelError(
            f"{path}: {kind}; what can be read is safetensors, or what torch.save writes"
        )
    return read_safetensors(path)


def _unpickled(path: Path, size: int) -> Any:
    """What torch.save put into a file, read as weights only, its storages mapped, not copied."""
    try:
        _check_zip(path, size)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RecursionError as error:
        raise ModelError(f"{path}: nested too deeply to be weights") from error
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: damaged ({_line(error)}); download it again") from error


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
        raise ModelError(
            f"{path}: refused: its tensors would take {total:,} bytes, the file has {size:,}"
        )
    for name, tensor in tensors.items():
        if tensor.numel() and not torch.stack(tensor.aminmax()).float().isfinite().all():
            raise ModelError(f"{path}: {name!r:.60} holds values that are no numbers")


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
