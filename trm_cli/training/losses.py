"""What a supervision step is judged by: the answer's cross-entropy and the halting loss.

Shapes: B puzzles, L cells, V tokens. Losses are means over the batch, in nats.
Sources: arXiv:2510.04871, section 4.6; stablemax from arXiv:2501.04697.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.tasks.base import FIRST_SYMBOL, PADDING


def softmax_loss(logits: Tensor, answers: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of softmax; the mean over each puzzle's cells, then over puzzles.

    logits     [B, L, V].
    answers    [B, L] tokens; padding does not count.
    smoothing  share of the target spread evenly over the symbols.
    """
    log_shares = F.log_softmax(logits, dim=-1)
    by_cell = -log_shares.gather(-1, answers[..., None]).squeeze(-1)
    if smoothing:  # over what an answer can be: some nets rule padding and blank out
        evenly = -log_shares[..., FIRST_SYMBOL:].mean(-1)
        by_cell = (1 - smoothing) * by_cell + smoothing * evenly
    return _mean_over_cells(by_cell, answers)


def stablemax_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy of stablemax: s(v) = v + 1 above zero, 1 / (1 - v) below.

    Computed in float64, as upstream, where the device has it.

    logits   [B, L, V].
    answers  [B, L] tokens; padding does not count.
    """
    wide = logits if logits.device.type == "mps" else logits.double()
    s = torch.where(wide < 0, 1 / (1 - wide.clamp(max=0)), wide.clamp(min=0) + 1)
    chosen = s.gather(-1, answers[..., None]).squeeze(-1)
    by_cell = s.sum(-1).log() - chosen.log()
    return _mean_over_cells(by_cell, answers).float()


def halting_loss(halt: Tensor, solved: Tensor) -> Tensor:
    """Teach the halt head to say whether the answer is already right.

    halt    [B] logits; positive means stop.
    solved  [B] bool; every cell that counts is right.
    """
    return F.binary_cross_entropy_with_logits(halt, solved.to(halt.dtype))


def right_cells(logits: Tensor, answers: Tensor) -> Tensor:
    """Cells where the likeliest token is the answer's, padding included, [B, L] bool."""
    return (logits.argmax(-1) == answers) | (answers == PADDING)


def _mean_over_cells(by_cell: Tensor, answers: Tensor) -> Tensor:
    counts = answers != PADDING
    return ((by_cell * counts).sum(1) / counts.sum(1).clamp(min=1)).mean()
