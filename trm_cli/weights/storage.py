"""How numbers are kept in a file: float32, bfloat16, or int8 with a scale for each row.

In int8 every matrix NAME is kept as NAME, int8 [rows, columns], and NAME.scale, float32 [rows, 1];
what has less than two dimensions, and the embeddings, stay in bfloat16. Networks always compute
with what is unpacked.
"""

from pathlib import Path

import torch
from torch import Tensor

from trm_cli.errors import ModelError, UsageError

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
