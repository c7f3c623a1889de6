"""Optimizers, the schedule of their rates, and the averaged weights.

Muon turns the matrices of the net; AdamW everything else (embeddings, heads).
Sources: Muon, github.com/KellerJordan/Muon; its use for TRM, arXiv:2601.19085.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel

ADAMW_BETAS = (0.9, 0.95)  # as in arXiv:2510.04871
NEWTON_SCHULZ_STEPS = 5  # of Muon


def build_optimizers(model: TinyRecursiveModel, config: TrainConfig) -> list[Optimizer]:
    """One optimizer for the net's matrices and one for the rest, or one for all."""
    matrices = [p for p in model.net.parameters() if p.dim() == 2]
    if config.optimizer == "adamw" or not matrices:
        matrices = []
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[Optimizer] = [
        AdamW(rest, lr=config.adamw_lr, betas=ADAMW_BETAS, weight_decay=config.adamw_decay)
    ]
    if matrices:
        optimizers.append(
            Muon(matrices, lr=config.muon_lr, weight_decay=config.muon_decay,
                 momentum=config.muon_momentum, ns_steps=NEWTON_SCHULZ_STEPS)
        )  # fmt: skip
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[Optimizer], factor: float) -> None:
    """Multiply every learning rate's full value by `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor


def rate_factor(config: TrainConfig, step: int, progress: float) -> float:
    """Share of the full learning rate at a step.

    progress  share of the run that is over, 0 to 1: of its steps or of its time.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return warm
    return warm * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


class AveragedWeights:
    """An exponential moving average of a model's parameters, in float32."""

    def __init__(self, model: TinyRecursiveModel, decay: float) -> None:
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights; faster at first, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.model.parameters())
        current = [p.detach().float() for p in model.parameters()]
        torch._foreach_lerp_(averages, current, 1 - decay)
