"""The recursion of Tiny Recursive Models, in the paper's letters, and its variants.

x puzzle, y answer, z latent: tensors of one shape, ending in the hidden size D. The net is called
n times on the latent and once on the answer, and all of that T times, in one supervision step.
Deep supervision, the paper's third loop, is `solving.engine.run` when solving and
`training.step.Trainer.supervise` when training.
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
    net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int, T: int, T_grad: int = 1, inner: Recursion = latent_recursion
) -> tuple[Tensor, Tensor]:
    """Recurse T times; only the last `T_grad` recursions are differentiated (in the paper, one)."""
    with torch.no_grad():
        for _ in range(T - T_grad):
            y, z = inner(net, x, y, z, n=n)
    for _ in range(T_grad):
        y, z = inner(net, x, y, z, n=n)
    return y, z


def single_z(net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int) -> tuple[Tensor, Tensor]:
    """One state that is answer and latent alike, kept as y; z stays as it came.

    Source: arXiv:2510.04871, section 4.2.
    """
    for _ in range(n):
        y = net(y, x)
    return net(y), z


RECURSIONS: dict[str, Recursion] = {"y_and_z": latent_recursion, "single_z": single_z}


def damped(net: Net, share: float) -> Net:
    """A net whose updates keep a share of what they replace: z in net(x, y, z), y in net(y, z).

    Makes fixed points easier to reach from many starts. Source: EqR, arXiv:2605.21488.
    """

    def update(*streams: Tensor) -> Tensor:
        replaced = streams[-1] if len(streams) == 3 else streams[0]
        return torch.lerp(net(*streams), replaced, share)

    return update
