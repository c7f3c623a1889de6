"""The recursion of Tiny Recursive Models, in the paper's letters, and its variants.

x puzzle, y answer, z latent: tensors of one shape, ending in the hidden size D. The net is called
n times on the latent and once on the answer, and all of that T times, in one supervision step.
The variants are the paper's ablations. Its predecessor, HRM (arXiv:2506.21734), calls y z_H and z z_L.
Deep supervision, the paper's third loop, is `solving.engine.run` when solving and
`training.step.Trainer.supervise` when training.
Source: Jolicoeur-Martineau 2025, arXiv:2510.04871, figure 3.
"""

from collections.abc import Callable
from functools import reduce

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


def multi_z(net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int) -> tuple[Tensor, Tensor]:
    """Revise n latents, z [B, n, ...], one after the other, each from the sum of all.

    Source: arXiv:2510.04871, section 4.2; the sum one by one, as in the official code.
    """
    latents = list(z.unbind(1))
    for i in range(n):
        latents[i] = net(x, y, add(latents))
    return net(y, add(latents)), torch.stack(latents, 1)


def add(latents: list[Tensor]) -> Tensor:
    """Their sum, from the first to the last."""
    return reduce(torch.add, latents)


def one_step_gradient(
    net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int, T: int, T_grad: int = 1, inner: Recursion = latent_recursion
) -> tuple[Tensor, Tensor]:
    """As `deep_recursion`, but only the last update of z and that of y are differentiated.

    The gradient of a fixed point by the implicit function theorem, cut after its first term.
    Source: arXiv:2506.21734, section 2; in arXiv:2510.04871, section 3.1.
    """
    with torch.no_grad():
        for _ in range(T - 1):
            y, z = inner(net, x, y, z, n=n)
        for _ in range(n - 1):
            z = net(x, y, z)
    return inner(net, x, y, z, n=1)


RECURSIONS: dict[str, Recursion] = {"y_and_z": latent_recursion, "single_z": single_z, "multi_z": multi_z}
GRADIENTS = {"recursion": deep_recursion, "one_step": one_step_gradient}


def damped(net: Net, share: float) -> Net:
    """A net whose updates keep a share of what they replace: z in net(x, y, z), y in net(y, z).

    Makes fixed points easier to reach from many starts. Source: EqR, arXiv:2605.21488.
    """

    def update(*streams: Tensor) -> Tensor:
        replaced = streams[-1] if len(streams) == 3 else streams[0]
        return torch.lerp(net(*streams), replaced, share)

    return update
