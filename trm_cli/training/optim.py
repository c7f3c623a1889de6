"""Which optimizer updates what, the schedule of their rates, and the averaged weights."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.training.optimizers import AdamATan2, Muon, SignSGD

ADAM_BETAS = (0.9, 0.95)  # as in arXiv:2510.04871


def build_optimizers(model: TinyRecursiveModel, config: TrainConfig) -> list[Optimizer]:
    """Muon for the net's matrices where it is chosen, SignSGD for puzzles, Adam for the rest."""
    matrices, puzzles, rest = [], [], []
    for name, param in model.named_parameters():
        if name == "embed.puzzles":
            puzzles.append(param)
        elif config.optimizer == "muon" and name.startswith("net.") and param.dim() == 2:
            matrices.append(param)
        else:
            rest.append(param)
    optimizers: list[Optimizer] = [_adam(rest, config)]
    if matrices:
        optimizers.append(Muon(matrices, lr=config.muon_lr, momentum=config.muon_momentum,
                               weight_decay=config.muon_decay))  # fmt: skip
    if puzzles:
        optimizers.append(SignSGD(puzzles, lr=config.puzzle_lr, weight_decay=config.puzzle_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def _adam(params: list[nn.Parameter], config: TrainConfig) -> Optimizer:
    if config.optimizer == "adam_atan2":
        return AdamATan2(params, lr=config.adamw_lr, betas=ADAM_BETAS,
                         weight_decay=config.adamw_decay)  # fmt: skip
    return AdamW(params, lr=config.adamw_lr, betas=ADAM_BETAS, weight_decay=config.adamw_decay,
                 fused=params[0].device.type != "mps")  # fmt: skip


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
    """An exponential moving average of a model's parameters, in float32.

    Embeddings of puzzles are copied, not averaged: a row is touched too seldom for a mean over
    steps to follow it (as in the official code).
    """

    def __init__(self, model: TinyRecursiveModel, decay: float) -> None:
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False)
        self.decay = decay
        self.copied = [name for name, _ in model.named_parameters() if name == "embed.puzzles"]

    @torch.no_grad()
    def update(self, model: TinyRecursiveModel, step: int) -> None:
        """Move towards the model's weights; faster at first, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.model.parameters())
        current = [p.detach().float() for p in model.parameters()]
        torch._foreach_lerp_(averages, current, 1 - decay)
        for name in self.copied:
            self.model.get_parameter(name).copy_(model.get_parameter(name))
