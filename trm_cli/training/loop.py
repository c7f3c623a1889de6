"""The training loop: deep supervision over a rolling batch, as a generator of what happens.

One optimizer step per supervision step: every slot of the batch carries its own y and z, and is
refilled when it halts. (The paper's listing nests the two loops; its code, and ours, do not.)
Source: arXiv:2510.04871, figure 3 and section 4.6.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trm_cli.errors import TrainingError
from trm_cli.solving.engine import Stops, never
from trm_cli.solving.evaluate import Scores, score
from trm_cli.tasks.base import HELD_OUT, Dataset, Task
from trm_cli.training.step import SUMS, Trainer

NO_NUMBER = (
    "the loss is no number at step {step}; lower the learning rate "
    "(--set train.muon_lr=..., --set train.adamw_lr=...) and start again"
)


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
    halting_histogram: list[int]  # puzzles that halted at supervision step 1, 2, ... N_sup
    gradient_norm: float  # before clipping
    puzzles_per_second: float  # puzzles that halted
    pairs_per_second: float  # (puzzle, supervision step) pairs
    rate: float  # share of the full learning rates
    progress: float  # share of the run that is over
    memory: int | None  # bytes: the most that the GPU held, else that the process did


@dataclass(frozen=True)
class Evaluation:
    """The EMA weights on puzzles that judge them."""

    step: int
    seconds: float
    scores: Scores
    judged_by: str = HELD_OUT  # what the puzzles are to the run


@dataclass(frozen=True)
class SavePoint:
    """A moment at which the trainer's state should be saved; every worker has it."""

    step: int
    seconds: float
    stopped: bool  # the run ends here because the user of one of the workers wishes so


Event = Report | Evaluation | SavePoint


@dataclass(frozen=True)
class Limits:
    """When to stop before the end of the run."""

    max_steps: int | None = None  # of the run
    max_seconds: float | None = None  # of this call


def train(trainer: Trainer, task: Task, validation: Dataset, limits: Limits, stopped: Stops = never) -> Iterator[Event]:
    """Train to the end of the run or to a limit, yielding what happened on the way.

    It ends with an evaluation, unless `stopped` said so, and a save point. Only the first worker
    evaluates. Reports and evaluations fall on the same steps, with the same figures, whether or
    not the run was interrupted; where a limit ended a part of it, there is one more of each.
    Raises TrainingError if the loss is no number.
    """
    config = trainer.config
    began = time.perf_counter() - trainer.seconds  # so that the run's clock stands still between two calls
    call_ends = trainer.seconds + (float("inf") if limits.max_seconds is None else limits.max_seconds)
    saved = trainer.seconds
    if evaluation_is_due(trainer) and (due := evaluate(trainer, task, validation, stopped)):
        yield due  # the run was stopped before it
    is_stopped = _synchronise(trainer, began, stopped)
    is_last = is_stopped or is_over(trainer, limits)
    if is_last:
        yield _save_point(trainer, limits, is_stopped)
    while not is_last:
        by_time = config.decay_by == "time"
        progress = trainer.seconds / (config.minutes * 60) if by_time else trainer.step / config.steps
        trainer.supervise(progress)
        is_stopped = _synchronise(trainer, began, stopped)
        is_last = is_stopped or is_over(trainer, limits) or trainer.seconds >= call_ends

        evaluates = trainer.step % config.evaluate_every == 0
        reports = evaluates or trainer.step == 1 or trainer.step % config.report_every == 0
        if reports or is_last:
            yield _report(trainer, progress)
        if reports:
            trainer.sums.zero_()
            trainer.reported = trainer.seconds

        if (evaluates or is_last) and not is_stopped:
            before = trainer.seconds
            if evaluation := evaluate(trainer, task, validation, stopped):
                yield evaluation
            is_stopped = _synchronise(trainer, began, stopped)
            is_last = is_last or is_stopped
            trainer.reported += trainer.seconds - before

        if is_last or trainer.seconds - saved >= config.save_minutes * 60:
            yield _save_point(trainer, limits, is_stopped)
            _synchronise(trainer, began, stopped)
            saved = trainer.seconds


def evaluate(trainer: Trainer, task: Task, validation: Dataset, stopped: Stops) -> Evaluation | None:
    """Judge the EMA weights by the validation set; None in all workers but one, or if `stopped` said so."""
    solutions = trainer.judge(task, validation, stopped) if trainer.workers.is_first else None
    if solutions is None:
        return None
    trainer.evaluated = trainer.step
    return Evaluation(trainer.step, trainer.seconds, score(validation, solutions), validation.role)


def _synchronise(trainer: Trainer, began: float, stopped: Stops) -> bool:
    """Move the run's clock on, alike in every worker; returns whether the user of one wishes to stop.

    began  when the run's clock stood at zero, in seconds of the process's.
    """
    seconds = time.perf_counter() - began
    trainer.seconds, evaluated, wish = trainer.workers.latest([seconds, trainer.evaluated, stopped()])
    trainer.evaluated = int(evaluated)
    return bool(wish)


def _save_point(trainer: Trainer, limits: Limits, is_stopped: bool) -> SavePoint:
    """A moment to save; raises TrainingError where losses, gradients or weights are infinite or no number."""
    weights = [parameter.isfinite().all() for parameter in trainer.network.parameters()]
    if not torch.stack([*weights, trainer.sums.isfinite().all()]).all():
        raise TrainingError(NO_NUMBER.format(step=trainer.step))
    is_done = is_over(trainer, limits) and not evaluation_is_due(trainer)
    return SavePoint(trainer.step, trainer.seconds, is_stopped and not is_done)


def is_over(trainer: Trainer, limits: Limits) -> bool:
    """Whether the run, or the part of it that was asked for, has had its steps or its time."""
    config = trainer.config
    steps = config.steps if limits.max_steps is None else min(config.steps, limits.max_steps)
    out_of_time = config.decay_by == "time" and trainer.seconds >= config.minutes * 60
    return trainer.step >= steps or out_of_time


def evaluation_is_due(trainer: Trainer) -> bool:
    """Whether the step that the trainer stands at asks for an evaluation that was not made."""
    config = trainer.config
    asks = trainer.step % config.evaluate_every == 0 or is_over(trainer, Limits())
    return trainer.step > trainer.evaluated and asks


def _report(trainer: Trainer, progress: float) -> Report:
    """Means over the steps and the workers since the last report; the only wait for the device."""
    lapse = max(trainer.seconds - trainer.reported, 1e-9)
    sums = trainer.workers.total(trainer.sums).tolist()
    named = dict(zip(SUMS, sums, strict=False))
    counts = [round(count) for count in sums[len(SUMS) :]]
    steps, halted = named["steps"], named["halted"]
    if not named["loss"] < float("inf"):
        raise TrainingError(NO_NUMBER.format(step=trainer.step))
    means = ("loss", "answer_loss", "halting_loss", "cell_accuracy", "gradient_norm")
    return Report(
        step=trainer.step,
        seconds=trainer.seconds,
        **{name: named[name] / steps for name in means},
        solved=named["halted_right"] / halted if halted else None,
        halting_step=sum(n * c for n, c in enumerate(counts, 1)) / halted if halted else None,
        halting_histogram=counts,
        puzzles_per_second=halted / lapse,
        pairs_per_second=steps * trainer.batch.slots / lapse,
        rate=trainer.rate,
        progress=progress,
        memory=memory_in_use(trainer.device),
    )


def memory_in_use(device: torch.device) -> int | None:
    """Bytes: the most that tensors took of the GPU, or else that this process took."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
