"""One training step: a supervision step of every slot, its losses, one update of the weights.

The weights live in float32. Where the recursion runs in bfloat16, a working copy of the network is
filled from them once a step, not once for each of the many calls of the net.
Shapes: B puzzles, L cells, V tokens. Losses are means over the batch, in nats.
Sources: arXiv:2510.04871, figure 3 and section 4.6; stablemax from arXiv:2501.04697; Q-learning from
arXiv:2506.21734.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from trm_cli.config import SolveConfig, TrainConfig
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.faults import (
    CompilerError,
    compile_module,
    compiler_translated,
    faults_translated,
    logger,
    stop_compiling,
)
from trm_cli.model.machine import keep_freed_memory
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, batch_size_for, solve_stream
from trm_cli.solving.search import Outcome
from trm_cli.tasks.base import FIRST_SYMBOL, PADDING, Dataset, Task
from trm_cli.training.batches import Examples, RollingBatch, Supply
from trm_cli.training.distributed import Workers
from trm_cli.training.optim import EMA, build_optimizers, rate_factor, set_rate

SUMS = ("steps", "loss", "answer_loss", "halting_loss", "cell_accuracy", "gradient_norm", "halted", "halted_right")
CPU_BATCH = 32  # puzzles of the validation set solved together on a CPU


@dataclass(frozen=True)
class Thought:
    """What a supervision step of the batch came to; its gradients are with the weights."""

    y: Tensor
    z: Tensor
    stops: Tensor  # [B] bool
    right: Tensor  # [B, L] bool
    loss: Tensor
    answer_loss: Tensor
    halting_loss: Tensor


class Trainer:
    """Everything that a run changes as it goes: weights, EMA weights, optimizers, batch, step.

    sums   what reports are made of, added up since the last one, [len(SUMS) + N_sup]: the SUMS by
           name, then how many puzzles halted at each supervision step.
    table  rows of puzzles that are trained beside the network; see training/problems.py.
    smaller  validation sets of smaller boards; see training/sizes.py.
    thinking  the working copy as it fits the batch at hand.
    """

    batch_class: ClassVar[type[RollingBatch]] = RollingBatch
    table: Tensor | None = None
    smaller: Sequence[Dataset] = ()

    def __init__(
        self,
        network: TinyRecursiveModel,
        examples: Examples,
        config: TrainConfig,
        *,
        seed: int,
        workers: Workers | None = None,
        supply: Supply | None = None,
    ) -> None:
        self.network = network.train()
        self.supply = supply
        self.config = config
        self.workers = workers or Workers()
        self.device = examples.puzzles.device
        if self.device.type == "cpu":
            keep_freed_memory()
        else:
            torch.set_float32_matmul_precision("high")  # TF32, where something is not computed in bfloat16
        self.dtype = working_dtype(config, self.device)
        self.working = network if self.dtype == torch.float32 else copy.deepcopy(network).to(self.dtype)
        self.working.net.recomputes = config.recompute
        self.thinking = self.working
        self.learn_halting = HALTING[network.config.halting]
        self.ema = EMA(network, config.ema_decay)
        self.optimizers = build_optimizers(network, config)
        self.rate = 1.0  # share of the full learning rates
        self.generator = torch.Generator(self.device).manual_seed(self.workers.own_seed(seed))
        slots = slots_per_worker(config.batch_size, self.workers.count)
        self.batch = self.batch_class(self.working, examples, config, slots, self.generator)
        self.step = 0
        self.seconds = 0.0  # of the run so far
        self.reported = 0.0  # seconds of the run at which `sums` began
        self.evaluated = 0  # step of the last evaluation
        self.sums = torch.zeros(len(SUMS) + network.config.N_sup, device=self.device)
        self.compile(self.working)

    def compile(self, network: TinyRecursiveModel, *, dynamic: bool | None = None) -> None:
        """Have torch compile what the config says of a network; `dynamic` is torch's."""
        if self.config.compile:
            unit = network if self.config.compile_unit == "step" else network.net
            mode = "reduce-overhead" if self.config.cuda_graphs else None
            try:
                compile_module(unit, mode=mode, dynamic=dynamic)
            except CompilerError as error:
                self.go_on_uncompiled(error)

    def go_on_uncompiled(self, error: CompilerError) -> None:
        """Compute as is written from now on, which gives the same; only the first worker says so."""
        stop_compiling()
        if self.workers.is_first:
            logger.warning("%s to train faster; this run goes on uncompiled", error)

    @property
    def batches(self) -> dict[str, RollingBatch]:
        """Everything that rolls, by the name that a saved state gives it."""
        return {"batch": self.batch}

    def supervise(self, progress: float) -> None:
        """One supervision step and one optimizer step; nothing in it waits for the device.

        progress  share of the run that is over, which the learning rates may follow.
        """
        batch, config = self.batch, self.config
        self.rate = rate_factor(config, self.step, progress)
        set_rate(self.optimizers, self.rate)
        if self.supply is not None:
            self.supply.renew(batch.examples, self.step)
        if config.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call] # untyped
        batch.refill(self.thinking)

        try:
            with compiler_translated():
                thought = self.think()
        except CompilerError as error:
            self.go_on_uncompiled(error)
            self.thinking.zero_grad(set_to_none=True)
            thought = self.think()
        norm = self.update()
        self.ema.update(self.network, self.step)
        batch.carry(thought.y, thought.z, thought.stops)

        self.step += 1
        self.add_up(thought, norm)

    def think(self) -> "Thought":
        """The recursion on the batch, its two losses and their gradients; draws nothing by lot."""
        batch, config = self.batch, self.config
        x = self.embed(batch.puzzles)
        y, z, logits, halt = self.thinking(x, batch.y, batch.z)
        right = right_cells(logits, batch.answers)
        answer_term = answer_loss(logits, batch.answers, config)
        is_last = batch.steps + 1 >= batch.N_sup
        halting_term, stops = self.learn_halting(self.thinking, x, y, z, halt, right.all(1), is_last)
        loss = answer_term + config.halt_weight * halting_term
        loss.backward()  # type: ignore[no-untyped-call] # torch declares no type for it
        return Thought(y, z, stops, right, loss, answer_term, halting_term)

    def embed(self, puzzles: Tensor) -> Tensor:
        """The x of the batch's puzzles [B, L]."""
        x: Tensor = self.thinking.embed(puzzles)
        return x

    def update(self) -> Tensor:
        """Average the gradients over the workers, clip, take the optimizers' steps; returns the norm."""
        params = list(self.network.parameters())
        if self.working is not self.network:
            for param, work in zip(params, self.working.parameters(), strict=True):
                param.grad = None if work.grad is None else work.grad.float()
                work.grad = None
        self.workers.average([param.grad for param in params if param.grad is not None])
        norm = clip_grad_norm_(params, self.config.clip or float("inf"))
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.fill_working_copy()
        return norm

    @torch.no_grad()
    def fill_working_copy(self) -> None:
        """Round the weights into the network that the recursion runs, where it is another."""
        if self.working is not self.network:
            torch._foreach_copy_(list(self.working.parameters()), list(self.network.parameters()))

    @torch.no_grad()
    def add_up(self, thought: "Thought", norm: Tensor) -> None:
        """Add the figures of a step to `sums`."""
        halted, right = self.batch.halted, thought.right
        named = {
            "steps": torch.ones_like(norm),
            "loss": thought.loss,
            "answer_loss": thought.answer_loss,
            "halting_loss": thought.halting_loss,
            "cell_accuracy": right.float().mean(),
            "gradient_norm": norm,
            "halted": halted.sum().float(),
            "halted_right": (halted & right.all(1)).sum().float(),
        }
        self.sums[: len(SUMS)] += torch.stack([named[name] for name in SUMS])
        self.sums[len(SUMS) :].scatter_add_(0, self.batch.steps - 1, halted.float())

    def ema_network(self, num_cells: int) -> TinyRecursiveModel:
        """The EMA weights, in what the recursion computes in, for boards of so many cells."""
        return copy.deepcopy(self.ema.model).to(self.dtype)

    def judge(self, task: Task, validation: Dataset, stopped: Stops) -> list[Outcome] | None:
        """Solve the validation set with the EMA weights, halting as `trm solve` does.

        Returns None if `stopped` said so on the way.
        """
        network = self.ema_network(validation.puzzles.shape[1])
        settings = SolveConfig(max_steps=network.config.N_sup)
        solutions: list[Outcome] = []
        batch_size = CPU_BATCH if self.device.type == "cpu" else batch_size_for(network)
        for solution in solve_stream(network, task, iter(validation.puzzles), batch_size=batch_size, settings=settings):
            solutions.append(solution)
            if stopped():
                return None
        return solutions


def answer_loss(logits: Tensor, answers: Tensor, config: TrainConfig) -> Tensor:
    """The loss of the answers that the config names; the mean over each puzzle's cells, then over puzzles.

    logits   [B, L, V].
    answers  [B, L] tokens; padding does not count.
    """
    if config.loss == "stablemax":
        by_cell = stablemax_loss(logits, answers)
    else:
        by_cell = softmax_loss(logits, answers, config.label_smoothing)
    counts = answers != PADDING
    return ((by_cell * counts).sum(1) / counts.sum(1).clamp(min=1)).mean().float()


def softmax_loss(logits: Tensor, answers: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of softmax at each cell, [B, L].

    smoothing  share of the target spread evenly over the symbols.
    """
    log_shares = F.log_softmax(logits, dim=-1)
    by_cell = -log_shares.gather(-1, answers[..., None]).squeeze(-1)
    if smoothing:  # over what an answer can be: some nets rule padding and blank out
        by_cell = (1 - smoothing) * by_cell - smoothing * log_shares[..., FIRST_SYMBOL:].mean(-1)
    return by_cell


def stablemax_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy of stablemax at each cell, [B, L]: s(v) = v + 1 above zero, 1 / (1 - v) below.

    Computed in float64, as upstream, where the device has it.
    """
    wide = logits if logits.device.type == "mps" else logits.double()
    s = torch.where(wide < 0, 1 / (1 - wide.clamp(max=0)), wide.clamp(min=0) + 1)
    return s.sum(-1).log() - s.gather(-1, answers[..., None]).squeeze(-1).log()


def halting_loss(halt: Tensor, solved: Tensor) -> Tensor:
    """Teach the halt head to say whether the answer is already right.

    halt    [B] logits; positive means stop.
    solved  [B] bool; every cell that counts is right.
    """
    return F.binary_cross_entropy_with_logits(halt, solved.to(halt.dtype))


def learn_to_halt(
    network: TinyRecursiveModel, x: Tensor, y: Tensor, z: Tensor, halt: Tensor, solved: Tensor, is_last: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of the halt head, and where it stops [B]: where it says that the answer is right.

    x, y, z          the puzzle, and the state that the step left.
    halt             [B] logits of the step.
    solved, is_last  [B] bool; every cell that counts is right; no step follows.
    """
    return halting_loss(halt, solved), halt > 0


def learn_q_values(
    network: TinyRecursiveModel, x: Tensor, y: Tensor, z: Tensor, halt: Tensor, solved: Tensor, is_last: Tensor
) -> tuple[Tensor, Tensor]:
    """As `learn_to_halt`, with the loss of going on: it stops where halting is worth more.

    To go on is worth what the next step says, in a second forward pass: the better of its two
    values, or that of halting where it would be the last. Source: arXiv:2506.21734, section 2.
    """
    go_on = network.read_continue(y)
    with torch.no_grad():
        y_next, _, _, halt_next = network(x, y.detach(), z.detach())
        best = torch.maximum(halt_next, network.read_continue(y_next))
        worth = torch.where(is_last, halt_next, best).sigmoid()
    return halting_loss(halt, solved) + F.binary_cross_entropy_with_logits(go_on, worth), halt > go_on


HALTING = {"halt": learn_to_halt, "q_learning": learn_q_values}


def right_cells(logits: Tensor, answers: Tensor) -> Tensor:
    """Cells where the likeliest token is the answer's, padding included, [B, L] bool."""
    return (logits.argmax(-1) == answers) | (answers == PADDING)


def working_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """What the recursion computes in; `auto` is bfloat16 on CUDA and float32 elsewhere."""
    if config.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if config.precision == "bfloat16" else torch.float32


def slots_per_worker(batch_size: int, workers: int) -> int:
    """The worker's share of the batch; raises UsageError where it does not come out even."""
    if batch_size % workers:
        raise UsageError(
            f"train.batch_size is {batch_size}, which {workers} workers cannot share evenly; "
            f"give --set train.batch_size={batch_size // workers * workers or workers}"
        )
    return batch_size // workers


def training_translated(less: str) -> AbstractContextManager[None]:
    """Turn what fails where a network trains into a line that says what to do; less: how to use less memory."""
    return faults_translated(TrainingError, less)


def smaller_batch(config: TrainConfig) -> str:
    """How to use less memory in a run."""
    fewer = f"--set train.batch_size={max(1, config.batch_size // 2)}"
    return f"give {fewer}, or lower model.hidden_size, model.n or model.T; a state that was saved is intact"
