"""Variants of the recursion: functions that stand in for what the paper calls."""

import torch
from torch import Tensor

from trm_cli.model.recursion import Net, Recursion, latent_recursion


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
