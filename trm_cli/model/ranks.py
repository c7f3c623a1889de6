"""Several processes that compute together: which of them this one is, and how many a machine can have.

What `torchrun` calls ranks and we call workers: one process for each GPU, or several on a CPU. The variables are
those that torchrun sets, and that `trm train --gpus` has set; nothing here needs torch to be imported first.
"""

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from trm_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

PATIENCE = timedelta(hours=1)  # with workers that read, evaluate or save while the others wait


def is_worker() -> bool:
    """Whether this process was started as one of several, by us or by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_rank() -> int | None:
    """The worker's number among all of them; None in a process that is no worker."""
    return int(os.environ.get("RANK", "0")) if is_worker() else None


def local_rank() -> int:
    """The worker's number on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def check_variables() -> None:
    """Raise UsageError where a worker is not told how to find the others."""
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is set, {missing[0]} is not; start the workers with torchrun")


def own_machine(
    device: str, threads: int | None, dtype: str = "auto", *, gpus: int | None
) -> "tuple[torch.device, torch.dtype | None]":
    """As `choose_machine`, for this process; a worker has its own GPU, or its share of the threads of a CPU.

    gpus  how many workers the user asked for.
    """
    from trm_cli.model.machine import choose_machine

    place, number_type = choose_machine(device, threads, dtype)
    if gpus is not None:
        check_count(gpus, place, wants_cpu=device == "cpu")
    if is_worker():
        place = _own_device(place.type)
        if threads is None:
            _share_threads()
    return place, number_type


def check_count(count: int, device: "torch.device", *, wants_cpu: bool) -> None:
    """Raise UsageError where there are not so many GPUs.

    wants_cpu  the user named the CPU, where a worker is a process and needs no GPU.
    """
    import torch

    there = torch.cuda.device_count()
    if device.type == "cuda" and count > there:
        raise UsageError(f"--gpus {count}: torch finds {there} here; give --gpus {there} or fewer")
    if device.type == "mps" and count > 1:
        raise UsageError("--gpus: an mps device is one; leave the option out, or --device cpu")
    if device.type == "cpu" and not wants_cpu:
        raise UsageError(
            f"--gpus {count}: torch finds no GPU here; leave the option out, or add --device cpu "
            f"for {count} process{'es' if count > 1 else ''} on the CPU"
        )


def _share_threads() -> None:
    """Let the workers of a machine have as many threads of its CPU together as one process would have."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _own_device(kind: str) -> "torch.device":
    """The device of a worker; raises UsageError where it has no GPU."""
    import torch

    number = local_rank()
    if kind != "cuda":
        return torch.device(kind)
    if number >= torch.cuda.device_count():
        raise UsageError(f"worker {number} has no GPU; start as many workers as there are GPUs")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def leave(exit_code: int) -> NoReturn:
    """End a worker's process at once, its work done and its streams flushed.

    The threads of gloo outlive their group now and then, and abort an interpreter that takes itself
    apart: a run that ended well would look killed. See github.com/pytorch/pytorch/issues/190489.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
