"""Variants of the recursion that published networks were trained with, as functions of its shape.

Source: arXiv:2510.04871, section 4.2 (a single latent).
"""

from torch import Tensor

from trm_cli.model.recursion import Net, Recursion, latent_recursion


def single_z(net: Net, x: Tensor, y: Tensor, z: Tensor, *, n: int) -> tuple[Tensor, Tensor]:
    """One state that is answer and latent alike, kept as y; z stays as it came."""
    for _ in range(n):
        y = net(y, x)
    return net(y), z


RECURSIONS: dict[str, Recursion] = {"y_and_z": latent_recursion, "single_z": single_z}
