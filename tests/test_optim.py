"""Update rules against references, who updates what, rates, averaged weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.training.optim import EMA, AdamATan2, Muon, SignSGD, build_optimizers, orthogonalise, rate_factor, set_rate
from trm_cli.training.recipes import get_recipe

TINY = TrainConfig(batch_size=8)


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    """Seeded parameters of the given shapes."""
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients(params: list[nn.Parameter], step: int) -> list[Tensor]:
    """Seeded gradients, of another size at each step."""
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(p.shape, generator=generator) * 10.0 ** (step - 2) for p in params]


def test_adam_atan2_follows_its_formula_computed_in_float64() -> None:
    params = parameters((3, 4), (5,))
    optimizer = AdamATan2(params, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    wide = [p.detach().double() for p in params]
    m = [torch.zeros_like(p) for p in wide]
    v = [torch.zeros_like(p) for p in wide]
    for t in range(1, 6):
        grads = gradients(params, t)
        for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
            param.grad = grad
            g = grad.double()
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.95 * v[i] + 0.05 * g * g
            root = (v[i] / (1 - 0.95**t)).sqrt()
            step = 0.01 / (1 - 0.9**t) * torch.atan2(m[i], root)
            wide[i] = wide[i] * (1 - 0.01 * 0.1) - step
        optimizer.step()
        for param, expected in zip(params, wide, strict=True):
            torch.testing.assert_close(param.detach().double(), expected, atol=1e-6, rtol=0)


def test_adam_atan2_takes_the_same_step_whatever_the_gradient_is_multiplied_by() -> None:
    moved = []
    for scale in (1.0, 1e-12, 1e12):
        (param,) = parameters((6,))
        before = param.detach().clone()
        optimizer = AdamATan2([param], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
        param.grad = torch.linspace(-1, 1, 6) * scale
        optimizer.step()
        moved.append(param.detach() - before)
    torch.testing.assert_close(moved[1], moved[0])
    torch.testing.assert_close(moved[2], moved[0])


def test_muon_equals_torch_s_though_it_takes_all_matrices_of_a_shape_at_once() -> None:
    shapes = ((6, 4), (4, 6), (6, 4), (5, 5))
    ours, theirs = parameters(*shapes), parameters(*shapes)
    first = Muon(ours, lr=0.02, momentum=0.9, weight_decay=0.1)
    second: torch.optim.Optimizer = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1)
    for step in range(1, 5):
        for params in (ours, theirs):
            for param, grad in zip(params, gradients(params, step), strict=True):
                param.grad = grad
        first.step()
        second.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)  # both round to bfloat16


@pytest.mark.parametrize("shape", [(3, 8, 4), (2, 4, 8), (1, 6, 6)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalise(matrices, 5).float())
    assert 0.5 < singular.min() < singular.max() < 1.3


def test_sign_sgd_follows_its_formula() -> None:
    (param,) = parameters((4,))
    before = param.detach().clone()
    param.grad = torch.tensor([3.0, -1e-9, 0.0, -5.0])
    SignSGD([param], lr=0.1, weight_decay=0.5).step()
    expected = 0.95 * before - 0.1 * torch.tensor([1.0, -1.0, 0.0, -1.0])
    torch.testing.assert_close(param.detach(), expected)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    for build in (
        lambda p: AdamATan2(p, lr=0.1, betas=(0.9, 0.95), weight_decay=0.1),
        lambda p: Muon(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: SignSGD(p, lr=0.1, weight_decay=0.1),
    ):
        (param,) = parameters((3, 3))
        before = param.detach().clone()
        build([param]).step()
        assert (param == before).all()


def test_muon_takes_the_matrices_of_the_net_and_adamw_the_rest() -> None:
    network = TinyRecursiveModel(small_config("mlp"))
    adamw, muon = build_optimizers(network, TINY)
    muons = {id(p) for group in muon.param_groups for p in group["params"]}
    assert muons == {id(p) for p in network.net.parameters()}
    adamws = [p for group in adamw.param_groups for p in group["params"]]
    assert len(adamws) + len(muons) == len(list(network.parameters()))
    assert len(build_optimizers(network, replace(TINY, optimizer="adamw"))) == 1


def test_the_paper_s_puzzle_embedding_is_turned_by_sign_sgd_and_all_else_by_adam_atan2() -> None:
    recipe = get_recipe("sudoku", "paper")
    network = TinyRecursiveModel(small_config("mlp", num_puzzles=1))
    adam, sign = build_optimizers(network, recipe.train)
    assert (type(adam), type(sign)) == (AdamATan2, SignSGD)
    assert [p.shape for group in sign.param_groups for p in group["params"]] == [(1, 16)]
    averaged = EMA(network, decay=0.9)
    with torch.no_grad():
        network.get_parameter("embed.puzzles").fill_(3.0)
    averaged.update(network, 500)
    assert (averaged.model.get_parameter("embed.puzzles") == 3.0).all()  # copied, not averaged


def test_the_rate_warms_up_and_follows_a_cosine() -> None:
    config = replace(TINY, warmup_steps=10)
    assert rate_factor(config, 4, 0.0) == pytest.approx(0.5)
    assert rate_factor(config, 99, 0.5) == pytest.approx(0.5)
    assert rate_factor(config, 99, 1.0) == pytest.approx(0.0)
    assert rate_factor(replace(config, schedule="constant"), 99, 1.0) == 1.0
    network = TinyRecursiveModel(small_config())
    optimizers = build_optimizers(network, TINY)
    set_rate(optimizers, 0.25)
    assert [o.param_groups[0]["lr"] for o in optimizers] == [1e-4 / 4, 0.02 / 4]


def test_averaged_weights_are_the_exponential_mean() -> None:
    network = TinyRecursiveModel(small_config())
    averaged = EMA(network, decay=0.9)
    weight = network.output_head.weight
    expected = weight.detach().clone()
    for step in range(200, 203):
        with torch.no_grad():
            weight += 1.0
        averaged.update(network, step)
        expected = 0.9 * expected + 0.1 * weight.detach()
    torch.testing.assert_close(averaged.model.output_head.weight.detach(), expected)
    assert (averaged.model.y_init == network.y_init).all()
