"""What a network computes in: float32, bfloat16 or, on a CPU, 8-bit integers.

Shapes: N rows of K channels, and M channels that a linear map makes of them.
"""

import math
import time

import torch
from torch import Tensor, nn

from trm_cli.errors import UsageError
from trm_cli.model.layers import AttentionBlock, Linear, SwiGLU
from trm_cli.model.machine import multiply
from trm_cli.model.network import TinyRecursiveModel

LARGEST = 127  # of the 8-bit integers that are used, so that they are symmetric
SMALLEST = 1e-12  # scale of a row, which may be all zeros
GAIN = 1.25  # how much faster a product has to be in another type; narrow nets are at half, wide ones at 1.7 and more
TRIED_ROWS, TRIED_COLUMNS, TRIES = 64, 1024, 8  # of a product that is timed, at most; the first try prepares
USUAL_PRODUCT = (256, 1024)  # inner and columns of one that says what a processor can do
HOPELESS = 10  # times as long as in float32: a processor without arithmetic for a type takes a thousand times as long


class Int8Linear(nn.Module):
    """A linear map of 8-bit integers, with one scale for each row of its input and one for each row of its weights."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        scale = linear.weight.abs().amax(1).clamp(min=SMALLEST) / LARGEST
        weight = (linear.weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("weight", weight.t().contiguous())  # [K, M]
        self.register_buffer("scale", scale)  # [M]

    weight: Tensor
    scale: Tensor

    def forward(self, h: Tensor) -> Tensor:
        rows = h.reshape(-1, h.shape[-1])
        scale = rows.abs().amax(-1, keepdim=True).clamp(min=SMALLEST) / LARGEST
        product = multiply((rows / scale).round().to(torch.int8), self.weight)
        return (product * scale * self.scale).view(*h.shape[:-1], -1)


def compute_in(network: TinyRecursiveModel, dtype: torch.dtype | None) -> None:
    """Have a network compute in a number type; None is what it is fastest in.

    In int8, the products of its SwiGLUs and of its attention are; what lies between them is float32.
    Raises UsageError where this processor has no arithmetic for int8.
    """
    if dtype is None:
        dtype = fastest_type(network)
    if dtype != torch.int8:
        network.to(dtype)
        return
    if gain_of(dtype, *USUAL_PRODUCT) < 1:
        raise UsageError("--dtype int8: slower than float32 on this processor; leave it out")
    network.float()
    for part in [part for part in network.net.modules() if isinstance(part, SwiGLU | AttentionBlock)]:
        for name, linear in list(part.named_children()):
            if isinstance(linear, Linear):
                setattr(part, name, Int8Linear(linear))


def type_of(network: TinyRecursiveModel) -> torch.dtype:
    """What the products of a network are computed in."""
    is_int8 = any(isinstance(part, Int8Linear) for part in network.net.modules())
    return torch.int8 if is_int8 else network.y_init.dtype


def name_of_type(network: TinyRecursiveModel) -> str:
    """The same as --dtype spells it."""
    return str(type_of(network)).removeprefix("torch.")


def fastest_type(network: TinyRecursiveModel) -> torch.dtype:
    """bfloat16 on CUDA; on a CPU that has arithmetic for it, too, if the network is wide enough."""
    device, config = network.y_init.device.type, network.config
    if device != "cpu":
        return torch.bfloat16 if device == "cuda" else torch.float32
    gain = gain_of(torch.bfloat16, config.hidden_size, 2 * config.channel_width)
    return torch.bfloat16 if gain > GAIN else torch.float32


def gain_of(dtype: torch.dtype, inner: int, columns: int) -> float:
    """How many times as fast as in float32 a core multiplies matrices in another type."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other where others compute, too
    try:
        usual = _seconds(torch.float32, inner, columns)
        return usual / _seconds(dtype, inner, columns, hopeless=HOPELESS * usual)
    finally:
        torch.set_num_threads(threads)


def _seconds(dtype: torch.dtype, inner: int, columns: int, hopeless: float = math.inf) -> float:
    """The fastest of a few tries; of two, where both are hopeless."""
    shapes = (TRIED_ROWS, inner), (inner, min(columns, TRIED_COLUMNS))
    first, second = (torch.ones(shape).to(dtype) for shape in shapes)
    times: list[float] = []
    while len(times) < TRIES and not (len(times) == 2 and min(times) > hopeless):
        began = time.perf_counter()
        multiply(first, second)
        times.append(time.perf_counter() - began)
    return min(times)
