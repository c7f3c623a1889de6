"""Variants of the recursion, of the net and of halting, against what they are by hand."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conftest import small_config
from trm_cli.config import ModelConfig
from trm_cli.errors import ConfigError
from trm_cli.model.network import Net, TinyRecursiveModel
from trm_cli.model.recursion import damped, multi_z, one_step_gradient
from trm_cli.training.step import learn_q_values


def test_a_damped_update_keeps_its_share_of_what_it_replaces() -> None:
    x, y, z = torch.tensor([100.0]), torch.tensor([10.0]), torch.tensor([1.0])
    net = damped(lambda *streams: sum(streams, torch.zeros(1)), 0.25)
    assert net(x, y, z) == 0.25 * 1 + 0.75 * 111
    assert net(y, z) == 0.25 * 10 + 0.75 * 11


def test_the_model_s_damping_is_that_of_every_update() -> None:
    torch.manual_seed(0)
    plain = TinyRecursiveModel(small_config(n=1, T=1))
    model = TinyRecursiveModel(small_config(n=1, T=1, damping=0.3))
    model.load_state_dict(plain.state_dict())
    x = plain.embed(torch.ones(2, 16, dtype=torch.int64))
    y, z = plain.starting_state(2, torch.Generator().manual_seed(1))
    z_after = 0.3 * z + 0.7 * plain.net(x, y, z)
    y_after = 0.3 * y + 0.7 * plain.net(y, z_after)
    found_y, found_z, _, _ = model(x, y, z)
    assert torch.allclose(found_z, z_after, atol=1e-6)
    assert torch.allclose(found_y, y_after, atol=1e-6)


@pytest.mark.parametrize("damping", [-0.1, 1.0, float("nan")])
def test_a_damping_that_cannot_be_is_refused(damping: float) -> None:
    with pytest.raises(ConfigError, match=r"model.damping: expected 0 to less than 1"):
        ModelConfig(damping=damping)


def a_step(network: TinyRecursiveModel) -> tuple[Tensor, Tensor, Tensor]:
    """The x, y and z of eight puzzles."""
    x = network.embed(torch.randint(1, 6, (8, 16), generator=torch.Generator().manual_seed(2)))
    return (x, *network.starting_state(8, torch.Generator().manual_seed(1)))


def gradients(network: nn.Module, loss: Tensor) -> list[Tensor]:
    """Of every weight; zero where there is none."""
    weights = list(network.parameters())
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [torch.zeros_like(weight) if one is None else one for one, weight in zip(found, weights, strict=True)]


def test_the_one_step_gradient_is_that_of_the_last_two_updates_written_by_hand() -> None:
    network = TinyRecursiveModel(small_config("mlp", n=3, T=2, gradient="one_step"))
    x, y, z = a_step(network)
    *_, logits, _ = network(x, y, z)
    found = gradients(network, logits.square().sum())

    x, y, z = a_step(network)
    with torch.no_grad():
        for update in "zzzyzz":
            y, z = (y, network.net(x, y, z)) if update == "z" else (network.net(y, z), z)
    z = network.net(x, y, z)
    y = network.net(y, z)
    by_hand = gradients(network, network.read_answer(y).square().sum())
    for one, other in zip(found, by_hand, strict=True):
        torch.testing.assert_close(one, other)


def test_the_one_step_gradient_changes_the_gradient_and_not_the_answer() -> None:
    whole = TinyRecursiveModel(small_config("mlp", n=3, T=2))
    one_step = TinyRecursiveModel(small_config("mlp", n=3, T=2, gradient="one_step"))
    one_step.load_state_dict(whole.state_dict())
    step = a_step(whole)
    answers = [network(*step)[2] for network in (whole, one_step)]
    torch.testing.assert_close(*answers)
    first, second = (gradients(net, a.square().sum()) for net, a in zip((whole, one_step), answers, strict=True))
    assert max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True)) > 0.01


def test_one_step_means_two_calls_with_gradient() -> None:
    noted = []

    def net(*streams: Tensor) -> Tensor:
        noted.append((len(streams), torch.is_grad_enabled()))
        return streams[0]

    one = torch.ones(1)
    one_step_gradient(net, one, one, one, n=2, T=2)
    assert noted == [(3, False), (3, False), (2, False), (3, False), (3, True), (2, True)]


def test_every_update_has_a_latent_of_its_own_and_adds_them_all() -> None:
    x, y, z = torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([[[3.0], [5.0]]])  # n = 2
    y, z = multi_z(lambda *streams: torch.stack(streams).sum(0) / 2, x, y, z, n=2)
    first = (1 + 2 + 3 + 5) / 2
    second = (1 + 2 + first + 5) / 2
    assert z.flatten().tolist() == [first, second]
    assert y.item() == (2 + first + second) / 2


def test_two_nets_share_nothing_one_takes_three_streams_and_one_two() -> None:
    network = TinyRecursiveModel(small_config("mlp", num_nets=2))
    first, second = network.net.f_L, network.net.f_H
    assert isinstance(first, Net)
    assert isinstance(second, Net)
    assert not {id(weight) for weight in first.parameters()} & {id(weight) for weight in second.parameters()}
    x, y, z = a_step(network)
    torch.testing.assert_close(network.net(x, y, z), first(x, y, z))
    torch.testing.assert_close(network.net(y, z), second(y, z))
    assert (first(y, z) != second(y, z)).any()


@pytest.mark.parametrize("is_last", [False, True])
def test_going_on_is_worth_what_the_next_step_says(is_last: bool) -> None:
    network = TinyRecursiveModel(small_config("mlp", halting="q_learning", start="fixed"))
    nn.init.normal_(network.halt_head.weight)
    nn.init.zeros_(network.halt_head.bias)
    x, y, z = a_step(network)
    y, z, _, halt = network(x, y, z)
    state = x, y, z
    solved = torch.arange(8) % 3 == 0
    loss, stops = learn_q_values(network, x, y, z, halt, solved, torch.full((8,), is_last))
    found = gradients(network, loss)

    twin = copy.deepcopy(network)
    with torch.no_grad():
        y_next, *_ = twin(*state)
        q_halt, q_continue = twin.halt_head(y_next[:, 0]).T
        assert 0 < (q_halt < q_continue).sum() < 8
        target = torch.sigmoid(q_halt if is_last else torch.stack((q_halt, q_continue)).amax(0))
    x, y, z = a_step(network)
    y, *_ = network(x, y, z)
    q = network.halt_head(y[:, 0])
    by_hand = F.binary_cross_entropy(q[:, 0].sigmoid(), solved.float())
    by_hand = by_hand + F.binary_cross_entropy(q[:, 1].sigmoid(), target)
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert stops.tolist() == (q[:, 0] > q[:, 1]).tolist()
    assert len(set(stops.tolist())) == 2
    for one, other in zip(found, gradients(network, by_hand), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gradient": "one_step", "T_grad": 2}, "model.gradient"),
        ({"gradient": "one_step", "recursion": "multi_z"}, "model.gradient"),
        ({"num_nets": 2, "recursion": "single_z"}, "model.num_nets"),
        ({"damping": 0.5, "recursion": "multi_z"}, "model.damping"),
        ({"num_nets": 3}, "model.num_nets"),
    ],
)
def test_variants_that_exclude_each_other_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        small_config("mlp", **changes)
