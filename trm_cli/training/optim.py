"""Which optimizer updates what, the schedule of their rates, and the EMA weights.

`AdamATan2` is Adam without an epsilon, `Muon` turns each matrix's update into a nearly orthogonal
one, `SignSGD` is for embeddings of puzzles: torch does not have them, or has them one tensor at a
time. All decay weights apart from the gradient, and none waits for the device.
Sources: arXiv:2407.05872, section 4.3, in the form of github.com/imoneoi/adam-atan2, which the
official code uses; github.com/KellerJordan/Muon; SignSGD as in the official sparse embedding.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of Muon: steepest at zero, nearly one above it
SMALLEST_NORM = 1e-7  # that a matrix is divided by
ADAM_BETAS = (0.9, 0.95)  # as in arXiv:2510.04871
PUZZLES = "embed.puzzles"  # the embedding of puzzles in the network


class AdamATan2(Optimizer):
    """p <- (1 - lr decay) p - lr / (1 - beta1^t) * atan2(m, sqrt(v / (1 - beta2^t))).

    m and v are the running means of the gradient and of its square. The step is the same whatever
    the gradient is multiplied by, down to zero, so that no epsilon is needed.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override] # takes no closure
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params, grads = _with_gradients(group)
            if not params:
                continue
            for param in params:
                if not self.state[param]:
                    self.state[param]["step"] = torch.zeros((), device=param.device)
                    self.state[param].update(mean=torch.zeros_like(param), square=torch.zeros_like(param))
            steps, means, squares = ([self.state[p][name] for p in params] for name in ("step", "mean", "square"))
            beta1, beta2 = group["betas"]
            torch._foreach_add_(steps, 1)
            torch._foreach_lerp_(means, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            for param, mean, square, step in zip(params, means, squares, steps, strict=True):
                root = (square / (1 - beta2**step)).sqrt()
                param.sub_(torch.atan2(mean, root) * (group["lr"] / (1 - beta1**step)))


class Muon(Optimizer):
    """Nesterov momentum whose update is made nearly orthogonal, all matrices of a shape at once.

    The same numbers as `torch.optim.Muon`, which takes one matrix after another.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float, steps: int = 5
    ) -> None:
        values = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": steps}
        super().__init__(params, values)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override] # takes no closure
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for param in _with_gradients(group)[0]:
                by_shape[param.shape].append(param)
            for params in by_shape.values():
                self._step_together(params, group)

    def _step_together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        grads = [param.grad for param in params if param.grad is not None]
        for param in params:
            if not self.state[param]:
                self.state[param]["momentum"] = torch.zeros_like(param)
        buffers = [self.state[param]["momentum"] for param in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        ahead = torch._foreach_lerp(grads, buffers, group["momentum"])
        updates = orthogonalise(torch.stack(list(ahead)), group["steps"])
        rows, columns = params[0].shape
        rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, list(updates.to(params[0].dtype).unbind()), alpha=-rate)


class SignSGD(Optimizer):
    """p <- (1 - lr decay) p - lr sign(gradient)."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override] # takes no closure
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params, grads = _with_gradients(group)
            if params:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, torch._foreach_sign(grads), alpha=-group["lr"])


MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {  # what each remembers of a parameter, of its shape; `step` counts
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    AdamATan2: ("step", "mean", "square"),
    Muon: ("momentum",),
    SignSGD: (),
}


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """Bring all singular values of each matrix [K, R, C] near one.

    Five Newton-Schulz steps leave them between about 0.7 and 1.2. Computed in bfloat16 but on a
    CPU, where products of many matrices in it take five to thirty times as long as in float32.
    """
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.float() if matrices.device.type == "cpu" else matrices.bfloat16()
    wide = wide.transpose(1, 2) if is_tall else wide
    norms = torch.linalg.vector_norm(wide, dim=(1, 2), keepdim=True)
    wide = wide / norms.clamp(min=SMALLEST_NORM)
    for _ in range(steps):
        gram = wide @ wide.transpose(1, 2)
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.transpose(1, 2) if is_tall else wide


def _with_gradients(group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    params = [param for param in group["params"] if param.grad is not None]
    return params, [param.grad for param in params]


def build_optimizers(model: TinyRecursiveModel, config: TrainConfig) -> list[Optimizer]:
    """Muon for the net's matrices where it is chosen, SignSGD for puzzles, Adam for the rest."""
    matrices, puzzles, rest = [], [], []
    for name, param in model.named_parameters():
        if name == PUZZLES:
            puzzles.append(param)
        elif config.optimizer == "muon" and name.startswith("net.") and param.dim() == 2:
            matrices.append(param)
        else:
            rest.append(param)
    optimizers: list[Optimizer] = [_adam(rest, config)]
    if matrices:
        optimizers.append(
            Muon(matrices, lr=config.muon_lr, momentum=config.muon_momentum, weight_decay=config.muon_decay)
        )
    if puzzles:
        optimizers.append(SignSGD(puzzles, lr=config.puzzle_lr, weight_decay=config.puzzle_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def _adam(params: list[nn.Parameter], config: TrainConfig) -> Optimizer:
    if config.optimizer == "adam_atan2":
        return AdamATan2(params, lr=config.adamw_lr, betas=ADAM_BETAS, weight_decay=config.adamw_decay)
    return AdamW(
        params,
        lr=config.adamw_lr,
        betas=ADAM_BETAS,
        weight_decay=config.adamw_decay,
        fused=params[0].device.type != "mps",
    )


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


class EMA:
    """An exponential moving average of a model's parameters, in float32: the EMA weights.

    Embeddings of puzzles are copied, not averaged: a row is touched too seldom for a mean over
    steps to follow it (as in the official code).
    """

    def __init__(self, model: TinyRecursiveModel, decay: float) -> None:
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: TinyRecursiveModel, step: int) -> None:
        """Move towards the model's weights; faster at first, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), [p.detach() for p in model.parameters()], 1 - decay)
        for name, average in self.model.named_parameters():
            if name == PUZZLES:
                average.copy_(model.get_parameter(name))
