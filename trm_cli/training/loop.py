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
from trm_cli.training.optim import rate_factor
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
    """The averaged weights on puzzles that judge them."""

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


@dataclass(frozen=True)
class _Moment:
    """What every worker sees alike after a step; the run's seconds are the trainer's."""

    here: float  # seconds since the start of this call
    unsaved: float  # seconds since the last save point
    stopped: bool  # the user wishes to stop


def train(trainer: Trainer, task: Task, held_out: Dataset, limits: Limits, stopped: Stops = never) -> Iterator[Event]:
    """Train to the end of the run or to a limit, yielding what happened on the way.

    It ends with an evaluation, unless `stopped` said so, and a save point. Only the first worker
    evaluates. Reports and evaluations fall on the same steps, with the same figures, whether or
    not the run was interrupted; where a limit ended a part of it, there is one more of each.
    Raises TrainingError if the loss is no number.
    """
    config, workers = trainer.config, trainer.workers
    by_time = config.decay_by == "time"
    run_seconds = config.minutes * 60 if by_time else float("inf")
    most_seconds = float("inf") if limits.max_seconds is None else limits.max_seconds
    before = saved = trainer.seconds
    began = time.perf_counter() - before  # so that the run's clock stands still between two calls

    def look() -> _Moment:
        seconds = time.perf_counter() - began
        seconds, here, unsaved, wish, evaluated = workers.latest(
            [seconds, seconds - before, seconds - saved, float(stopped()), trainer.evaluated]
        )
        trainer.seconds, trainer.evaluated = seconds, int(evaluated)
        return _Moment(here, unsaved, bool(wish))

    def judge() -> Iterator[Evaluation]:
        if workers.is_first and (found := evaluate(trainer, task, held_out, stopped)):
            trainer.evaluated = trainer.step
            yield found

    def save(moment: _Moment) -> SavePoint:
        refuse_no_number(trainer)
        is_done = is_over(trainer, limits) and not evaluation_is_due(trainer)
        return SavePoint(trainer.step, trainer.seconds, moment.stopped and not is_done)

    if evaluation_is_due(trainer):  # the run was stopped before it
        yield from judge()
    moment = look()
    is_last = is_over(trainer, limits) or moment.stopped
    if is_last:
        yield save(moment)
    while not is_last:
        progress = trainer.seconds / run_seconds if by_time else trainer.step / config.steps
        trainer.supervise(progress)
        moment = look()
        is_last = is_over(trainer, limits) or moment.here >= most_seconds or moment.stopped
        evaluates = trainer.step % config.evaluate_every == 0
        reports = trainer.step == 1 or trainer.step % config.report_every == 0 or evaluates
        if reports or is_last:
            yield _report(trainer, progress)
        if reports:
            trainer.sums.zero_()
            trainer.reported = trainer.seconds
        if (evaluates or is_last) and not moment.stopped:
            judged_from = trainer.seconds
            yield from judge()
            moment = look()
            trainer.reported += trainer.seconds - judged_from
            is_last = is_last or moment.stopped
        if is_last or moment.unsaved >= config.save_minutes * 60:
            yield save(moment)
            saved = time.perf_counter() - began


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


def refuse_no_number(trainer: Trainer) -> None:
    """Raise TrainingError where losses, gradients or weights are infinite or no number."""
    weights = [parameter.isfinite().all() for parameter in trainer.network.parameters()]
    if not torch.stack([*weights, trainer.sums.isfinite().all()]).all():
        raise TrainingError(NO_NUMBER.format(step=trainer.step))


def evaluate(trainer: Trainer, task: Task, held_out: Dataset, stopped: Stops = never) -> Evaluation | None:
    """Judge the averaged weights by held-out puzzles; None if `stopped` said so on the way."""
    solutions = trainer.judge(task, held_out, stopped)
    if solutions is None:
        return None
    return Evaluation(trainer.step, trainer.seconds, score(held_out, solutions), held_out.role)


def _report(trainer: Trainer, progress: float) -> Report:
    """Means over the steps and the workers since the last report; the only wait for the device."""
    lapse = max(trainer.seconds - trainer.reported, 1e-9)
    sums = trainer.workers.total(trainer.sums).tolist()
    named = dict(zip(SUMS, sums, strict=False))
    counts = [round(count) for count in sums[len(SUMS) :]]
    steps, halted = named["steps"], named["halted"]
    if not named["loss"] < float("inf"):
        raise TrainingError(NO_NUMBER.format(step=trainer.step))
    return Report(
        step=trainer.step,
        seconds=trainer.seconds,
        loss=named["loss"] / steps,
        answer_loss=named["answer_loss"] / steps,
        halting_loss=named["halting_loss"] / steps,
        cell_accuracy=named["cell_accuracy"] / steps,
        solved=named["halted_right"] / halted if halted else None,
        halting_step=sum(n * c for n, c in enumerate(counts, 1)) / halted if halted else None,
        halting_histogram=counts,
        gradient_norm=named["gradient_norm"] / steps,
        puzzles_per_second=halted / lapse,
        pairs_per_second=steps * trainer.batch.slots / lapse,
        rate=rate_factor(trainer.config, trainer.step, progress),
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
