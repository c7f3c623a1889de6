"""The recursion of Tiny Recursive Models, in the paper's letters.

x puzzle, y answer, z latent: tensors of one shape, ending in the hidden size D. The net is called
n times on the latent and once on the answer, and all of that T times, in one supervision step.
Deep supervision, the paper's third loop, is `solving.engine.run` when solving and
`training.loop.train` when training.
Source: Jolicoeur-Martineau 2025, arXiv:2510.04871, figure 3.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Net = Callable[..., Tensor]
Recursion = Callable[..., tuple[Tensor, Tensor]]


def latent_recursion(net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int) -> tuple[Tensor, Tensor]:
    """Think n times about the puzzle, then revise the answer once."""
    for _ in range(n):
        z = net(x, y, z)
    y = net(y, z)
    return y, z


def deep_recursion(
    net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int, T: int, T_grad: int = 1,
    recursion: Recursion = latent_recursion,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Recurse T times; only the last `T_grad` recursions are differentiated (in the paper, one)."""
    with torch.no_grad():
        for _ in range(T - T_grad):
            y, z = recursion(net, x, y, z, n=n)
    for _ in range(T_grad):
        y, z = recursion(net, x, y, z, n=n)
    return y, z
