"""The machine that a network computes on: device, number type, threads, memory, and how fast it can be at best."""

import ctypes
import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
CPU_MATRIX, GPU_MATRIX = 1536, 8192  # rows of the matrices whose product gives the peak
PEAK_TRIES, PEAK_SECONDS = 5, 1.0  # at most, but once at least
MOST_THREADS = 4096
CACHE_FILE = "/sys/devices/system/cpu/cpu0/cache/index2/size"  # of Linux: 512K
USUAL_CACHE = 2**19  # bytes
# Of glibc's mallopt: map no tensor by itself, give no memory back, ask for much at a time.
KEEPS_MEMORY = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**28)}


def choose_machine(
    device: str, threads: int | None = None, dtype: str = "auto"
) -> tuple[torch.device, torch.dtype | None]:
    """Where to compute, and in which number type; None is what a network is fastest in there.

    device  auto prefers cuda, then mps, then cpu.
    dtype   auto, float32, bfloat16, or int8, which is for CPUs.
    """
    if threads is not None:
        if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
            raise UsageError(f"--threads {threads}: give 1 to {MOST_THREADS:,}")
        torch.set_num_threads(threads)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = next(name for name in there if there[name]) if device == "auto" else device
    if chosen not in there:
        raise UsageError(f"--device {device}: choose auto, cpu, cuda or mps")
    if not there[chosen]:
        raise UsageError(f"--device {device}: torch finds no such device here; use --device auto")
    types = {"auto": None, **DTYPES}
    if dtype not in types:
        raise UsageError(f"--dtype {dtype}: choose {', '.join(types)}")
    if dtype == "int8" and chosen != "cpu":
        raise UsageError("--dtype int8: is for CPUs; leave it out, or add --device cpu")
    return torch.device(chosen), types[dtype]


def memory_in_use(device: torch.device) -> int | None:
    """Bytes: the most that tensors took of the GPU, or else that this process took."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that tensors can still take: what nobody has, and what torch keeps for them."""
    unused, _ = torch.cuda.mem_get_info(device)
    return unused + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def second_level_cache() -> int:
    """Bytes of the second-level cache of a core; a usual one's where the system does not say."""
    try:
        with open(CACHE_FILE) as file:
            return int(file.read().removesuffix("K\n")) * 1024
    except (OSError, ValueError):
        return USUAL_CACHE


@cache
def keep_freed_memory() -> None:
    """Have the allocator of Linux keep what this process frees, for what it allocates next.

    Otherwise each large tensor is new memory, which the system clears page by page: a third of the time of a
    training step. Nothing is changed where MALLOC_ variables say what is wanted, nor where there is no glibc.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for setting in KEEPS_MEMORY.values():
            library.mallopt(*setting)


def multiply(first: Tensor, second: Tensor) -> Tensor:
    """The product of two matrices of one number type; of 8-bit integers, in 32 bits."""
    return torch._int_mm(first, second) if first.dtype == torch.int8 else torch.matmul(first, second)


def peak_flops(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second that one large matrix product reaches, the best of a few tries.

    A processor that has no arithmetic for a number type takes seconds for one.
    """
    size = CPU_MATRIX if device.type == "cpu" else GPU_MATRIX
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times: list[float] = []
    while len(times) < PEAK_TRIES and sum(times) < PEAK_SECONDS:
        synchronise(device)
        began = time.perf_counter()
        multiply(first, second)
        synchronise(device)
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; nobody waits for a GPU, which reads it from where it cannot be moved."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Reading:
    """Tensors of a device on their way to arrays, while it goes on computing."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        is_gpu = tensors[0].device.type == "cuda"
        self._copies = [tensor.to("cpu", non_blocking=is_gpu) for tensor in tensors]
        self._arrival = torch.cuda.Event() if is_gpu else None  # type: ignore[no-untyped-call] # torch declares no type for it
        if self._arrival:
            self._arrival.record()

    def wait(self) -> list[NDArray[Any]]:
        """The arrays, once they are there."""
        if self._arrival:
            self._arrival.synchronize()
        return [copy.numpy() for copy in self._copies]


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
