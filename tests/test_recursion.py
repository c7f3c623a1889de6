import torch
from torch import Tensor

from trm_cli.model.recursion import deep_recursion, latent_recursion


class CountingNet:
    """Adds its streams and notes how many it got, and whether gradients were on."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, *streams: Tensor) -> Tensor:
        self.calls.append((len(streams), torch.is_grad_enabled()))
        return torch.stack(streams).sum(0) / 2


def test_the_latent_is_updated_n_times_and_the_answer_once() -> None:
    net = CountingNet()
    one = torch.ones(1)
    latent_recursion(net, one, one, one, n=4)
    assert [streams for streams, _ in net.calls] == [3, 3, 3, 3, 2]


def test_only_the_last_recursion_is_differentiated() -> None:
    net = CountingNet()
    one = torch.ones(1)
    deep_recursion(net, one, one, one, n=2, T=3)
    assert [gradient for _, gradient in net.calls] == [False] * 6 + [True] * 3


def test_the_gradient_may_flow_through_more_recursions() -> None:
    net = CountingNet()
    one = torch.ones(1)
    deep_recursion(net, one, one, one, n=1, T=3, T_grad=2)
    assert [gradient for _, gradient in net.calls] == [False] * 2 + [True] * 4


def test_the_recursion_computes_what_the_figure_says() -> None:
    x, y, z = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    y, z = latent_recursion(CountingNet(), x, y, z, n=2)
    assert z == ((1 + 2 + 3) / 2 + 1 + 2) / 2
    assert y == (2 + z) / 2
