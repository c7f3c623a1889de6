"""The training loop: deep supervision over a rolling batch, as a generator of reports.

One optimizer step per supervision step: every slot of the batch carries its own y and z, and is
refilled when it halts. (The paper's listing nests the two loops; its code, and ours, do not.)
Source: arXiv:2510.04871, figure 3 and section 4.6.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trm_cli.config import TrainConfig
from trm_cli.errors import TrainingError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import SolveSettings
from trm_cli.solving.evaluate import Scores, answers_in_batches, score
from trm_cli.tasks.base import Dataset, Task
from trm_cli.training.batches import Examples, RollingBatch
from trm_cli.training.losses import halting_loss, right_cells, softmax_loss, stablemax_loss
from trm_cli.training.optim import AveragedWeights, build_optimizers, rate_factor, set_rate

NUM_SUMS = 8  # figures that a step adds up for the next report


@dataclass(frozen=True)
class Report:
    """Means over the steps since the last report."""

    step: int  # optimizer steps done
    seconds: float  # since the start of the run
    loss: float  # answer and halting loss together, nats
    answer_loss: float
    halting_loss: float
    cell_accuracy: float  # share of cells right, over the rolling batch
    solved: float | None  # share of the puzzles that halted which were right; None if none did
    halting_step: float | None  # supervision steps of the puzzles that halted; None if none did
    gradient_norm: float  # before clipping
    puzzles_per_second: float  # puzzles that halted
    pairs_per_second: float  # (puzzle, supervision step) pairs
    rate: float  # share of the full learning rates
    progress: float  # share of the run that is over


@dataclass(frozen=True)
class Evaluation:
    """The averaged weights on held-out puzzles."""

    step: int
    seconds: float
    scores: Scores


@dataclass(frozen=True)
class Limits:
    """When to stop before the configured number of steps."""

    max_steps: int | None = None
    max_seconds: float | None = None


def never() -> bool:
    """The wish to stop of somebody who has none."""
    return False


class Trainer:
    """Everything that a run changes as it goes: weights, averages, optimizers, batch, step."""

    def __init__(self, network: TinyRecursiveModel, examples: Examples, config: TrainConfig,
                 seed: int) -> None:  # fmt: skip
        self.network = network.train()
        self.config = config
        self.device = examples.puzzles.device
        self.averaged = AveragedWeights(network, config.ema_decay)
        self.optimizers = build_optimizers(network, config)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.batch = RollingBatch(network, examples, config, self.generator)
        self.step = 0
        if config.compile:
            network.net.compile()

    def supervise(self, progress: float) -> Tensor:
        """One supervision step and one optimizer step; nothing in it waits for the device.

        Returns the sums that reports are made of, on the device, [NUM_SUMS].
        """
        set_rate(self.optimizers, rate_factor(self.config, self.step, progress))
        batch = self.batch
        batch.refill(self.network)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            x = self.network.embed(batch.puzzles)
            y, z, logits, halt = self.network(x, batch.y, batch.z)
        right = right_cells(logits, batch.answers)
        solved = right.all(1)
        answer_loss = self.answer_loss(logits, batch.answers)
        stop_loss = halting_loss(halt, solved)
        loss = answer_loss + self.config.halt_weight * stop_loss
        loss.backward()  # type: ignore[no-untyped-call] # torch declares no type for it
        norm = self.update()
        batch.advance(y, z, halt)
        self.step += 1
        halted_steps = (batch.steps * batch.halted).sum()
        halted_right = (batch.halted & solved).sum()
        return torch.stack([loss.detach(), answer_loss.detach(), stop_loss.detach(),
                            right.float().mean(), norm, halted_right.float(),
                            batch.halted.sum().float(), halted_steps.float()])  # fmt: skip

    def answer_loss(self, logits: Tensor, answers: Tensor) -> Tensor:
        """The configured cross-entropy, in nats."""
        if self.config.loss == "stablemax":
            return stablemax_loss(logits, answers)
        return softmax_loss(logits, answers, self.config.label_smoothing)

    def update(self) -> Tensor:
        """Clip, take the optimizers' steps, average the weights; returns the gradient's norm."""
        limit = self.config.clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update(self.network, self.step)
        return norm


def train(trainer: Trainer, task: Task, held_out: Dataset, limits: Limits,
          stopped: Callable[[], bool] = never) -> Iterator[Report | Evaluation]:  # fmt: skip
    """Train to the end of the run or to a limit, yielding what happened on the way.

    The last thing yielded is an evaluation, unless `stopped` said so: then the loop ends after the
    step under way. Raises TrainingError if the loss is no number.
    """
    config = trainer.config
    last_step = config.steps if limits.max_steps is None else min(config.steps, limits.max_steps)
    max_seconds = float("inf") if limits.max_seconds is None else limits.max_seconds
    started = reported = time.perf_counter()
    sums, since = torch.zeros(NUM_SUMS, device=trainer.device), 0
    is_last = trainer.step >= last_step
    while not is_last:
        elapsed = time.perf_counter() - started
        by_time = config.decay_by == "time"
        progress = elapsed / max_seconds if by_time else trainer.step / config.steps
        sums, since = sums + trainer.supervise(progress), since + 1
        now = time.perf_counter()
        was_stopped = stopped()
        is_last = trainer.step >= last_step or now - started >= max_seconds or was_stopped
        evaluates = trainer.step % config.evaluate_every == 0 or is_last
        if trainer.step % config.report_every == 0 or trainer.step == 1 or evaluates:
            yield _report(trainer, sums, since, now - reported, now - started, progress)
            sums, since, reported = torch.zeros_like(sums), 0, now
        if evaluates and not was_stopped:
            yield evaluate(trainer, task, held_out, time.perf_counter() - started)
            reported = time.perf_counter()


def evaluate(trainer: Trainer, task: Task, held_out: Dataset, seconds: float) -> Evaluation:
    """Solve the held-out puzzles with the averaged weights, halting as `trm solve` does."""
    network = trainer.averaged.model
    settings = SolveSettings(max_steps=network.config.N_sup)
    solutions = [
        solution
        for batch in answers_in_batches(network, task, held_out, settings, batch_size=32)
        for solution in batch
    ]
    return Evaluation(trainer.step, seconds, score(held_out, solutions))


def _report(trainer: Trainer, sums: Tensor, since: int, lapse: float, seconds: float,
            progress: float) -> Report:  # fmt: skip
    loss, answer, stop, cells, norm, halted_right, halts, halted_steps = sums.tolist()
    if not loss < float("inf"):
        raise TrainingError(
            f"the loss is no number at step {trainer.step}; lower the learning rate "
            "(--set train.muon_lr=..., --set train.adamw_lr=...) and start again"
        )
    return Report(
        step=trainer.step,
        seconds=seconds,
        loss=loss / since,
        answer_loss=answer / since,
        halting_loss=stop / since,
        cell_accuracy=cells / since,
        solved=halted_right / halts if halts else None,
        halting_step=halted_steps / halts if halts else None,
        gradient_norm=norm / since,
        puzzles_per_second=halts / lapse,
        pairs_per_second=since * trainer.config.batch_size / lapse,
        rate=rate_factor(trainer.config, trainer.step, progress),
        progress=progress,
    )
