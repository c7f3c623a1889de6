"""Cross-entropies and the halting loss."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.training.step import halting_loss, right_cells, softmax_loss, stablemax_loss


def test_softmax_loss_is_torch_s_cross_entropy_where_nothing_is_padded() -> None:
    logits, answers = torch.randn(3, 5, 7), torch.randint(1, 7, (3, 5))
    expected = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
    torch.testing.assert_close(softmax_loss(logits, answers), expected)


def test_smoothing_spreads_over_the_symbols_and_over_nothing_that_is_ruled_out() -> None:
    logits, answers = torch.randn(3, 5, 7), torch.randint(2, 7, (3, 5))
    logits[..., :2] = -1e4  # as a net that keeps one field per symbol has it
    expected = F.cross_entropy(logits[..., 2:].flatten(0, 1), answers.flatten() - 2, label_smoothing=0.1)
    torch.testing.assert_close(softmax_loss(logits, answers, 0.1), expected)


@pytest.mark.parametrize("loss", [softmax_loss, stablemax_loss])
def test_padding_does_not_count(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, answers = torch.randn(2, 6, 7), torch.randint(1, 7, (2, 6))
    answers[:, 4:] = 0
    expected = loss(logits[:, :4], answers[:, :4])
    torch.testing.assert_close(loss(logits, answers), expected)
    assert right_cells(logits, answers)[:, 4:].all()


def test_stablemax_is_the_formula() -> None:
    logits = torch.tensor([[[-3.0, 0.0, 2.0]]])
    shares = [1 / 4, 1.0, 3.0]
    expected = math.log(sum(shares) / shares[2])
    assert stablemax_loss(logits, torch.tensor([[2]])).item() == pytest.approx(expected)


def test_the_halting_loss_falls_when_the_head_is_right() -> None:
    solved = torch.tensor([True, False])
    right, wrong = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
    assert halting_loss(right, solved) < 0.02 < 4 < halting_loss(wrong, solved)
