"""The training loop: deep supervision over a rolling batch, as a generator of what happens; and a run around it.

One optimizer step per supervision step: every slot of the batch carries its own y and z, and is
refilled when it halts. (The paper's listing nests the two loops; its code, and ours, do not.)
Source: arXiv:2510.04871, figure 3 and section 4.6.
"""

import math
import platform
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli import __version__
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.machine import memory_in_use
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, never
from trm_cli.solving.evaluate import Scores, score
from trm_cli.solving.voting import register_of
from trm_cli.tasks.base import HELD_OUT, Dataset, Task, as_rows, draw_transforms, generator_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.training.batches import Examples, Supply
from trm_cli.training.data import RunData, joint_sha256, refuse_misfits
from trm_cli.training.distributed import Workers
from trm_cli.training.problems import PuzzleExamples, PuzzleTrainer
from trm_cli.training.run import Limits, Plan, Run
from trm_cli.training.sizes import SizesTrainer
from trm_cli.training.state import SavedState, is_finite, load_state, refuse_other_config
from trm_cli.training.step import SUMS, Trainer, smaller_batch, training_translated
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.puzzle_table import PuzzleTable, Register
from trm_cli.weights.tensors import LoadedModel

WARM_UP = 4  # steps of each size in which torch may still compile
MARGIN = 1.2  # of the time for the last evaluation, over what the one before took
MOST_SOURCES = 20  # that a config names one by one; the rarer ones are "others"
SYMMETRY_POOL = 4096  # ways to redraw a puzzle that are drawn once; two of them are combined
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
    sizes: list[Scores] = field(default_factory=list)  # of each size, where there are several


@dataclass(frozen=True)
class SavePoint:
    """A moment at which the trainer's state should be saved; every worker has it."""

    step: int
    seconds: float
    stopped: bool  # the run ends here because the user of one of the workers wishes so
    is_over: bool  # the run has had its steps or its time


Event = Report | Evaluation | SavePoint


def train(trainer: Trainer, task: Task, validation: Dataset, limits: Limits, stopped: Stops = never) -> Iterator[Event]:
    """Train to the end of the run or to a limit, yielding what happened on the way.

    It ends with an evaluation, unless `stopped` said so, and a save point. Only the first worker
    evaluates. Reports and evaluations fall on the same steps, with the same figures, whether or
    not the run was interrupted; where a limit ended a part of it, there is one more of each.
    Training stops early enough for an evaluation before the time of the call is over; one that is not done
    by then is left out.
    Raises TrainingError if the loss is no number.
    """
    config = trainer.config
    began = time.monotonic() - trainer.seconds  # so that the run's clock stands still between two calls
    call_ends = trainer.seconds - trainer.workers.latest([-limits.seconds_left])[0]
    saved = trainer.seconds
    step_takes, evaluation_takes, has_evaluated = math.inf, 0.0, False  # in seconds
    warm_up = WARM_UP * len(trainer.batches) if config.compile else 0  # steps that say little of how long one takes
    steps_taken, steps_took = 0, 0.0  # after those, and in how many seconds

    def breaks_off() -> bool:
        return stopped() or limits.seconds_left <= 0

    if evaluation_is_due(trainer) and (due := evaluate(trainer, task, validation, breaks_off)):
        yield due  # the run was stopped before it
    is_stopped = _synchronise(trainer, began, stopped)
    is_last = is_stopped or is_over(trainer, limits) or trainer.seconds >= call_ends
    if is_last:
        yield _save_point(trainer, limits, is_stopped)
    while not is_last:
        progress, before = trainer.step / config.steps, trainer.seconds
        if config.decay_by == "time":
            progress = min(1.0, before / (config.minutes * 60 - evaluation_takes * limits.ends_run))
        trainer.supervise(progress)
        is_stopped = _synchronise(trainer, began, stopped)
        warm_up -= 1
        if warm_up >= 0:
            step_takes = min(step_takes, trainer.seconds - before)
        else:  # the mean: a step may return before a GPU has done it, or beside other work take longer than another
            steps_taken, steps_took = steps_taken + 1, steps_took + trainer.seconds - before
            step_takes = steps_took / steps_taken
            evaluation_takes = evaluation_takes if has_evaluated else step_takes * steps_worth(trainer, validation)
        is_late = trainer.seconds + step_takes + evaluation_takes >= call_ends
        is_last = is_stopped or is_late or is_over(trainer, limits)

        evaluates = trainer.step % config.evaluate_every == 0
        reports = evaluates or trainer.step == 1 or trainer.step % config.report_every == 0
        if reports or is_last:
            yield _report(trainer, progress)
        if reports:
            trainer.sums.zero_()
            trainer.reported = trainer.seconds

        if (evaluates or is_last) and not is_stopped:
            before = trainer.seconds
            if evaluation := evaluate(trainer, task, validation, breaks_off):
                yield evaluation
            is_stopped = _synchronise(trainer, began, stopped)
            has_evaluated, evaluation_takes = True, MARGIN * (trainer.seconds - before)
            is_late = is_late or trainer.seconds + step_takes + evaluation_takes >= call_ends
            is_last = is_last or is_stopped or is_late
            trainer.reported += trainer.seconds - before
            if is_late and limits.ends_run:  # what is left would not do for a step and its evaluation
                began -= max(0.0, config.minutes * 60 - trainer.seconds)
                _synchronise(trainer, began, stopped)

        if is_last or trainer.seconds - saved >= config.save_minutes * 60:
            yield _save_point(trainer, limits, is_stopped)
            _synchronise(trainer, began, stopped)
            saved = trainer.seconds


def evaluate(trainer: Trainer, task: Task, validation: Dataset, stopped: Stops) -> Evaluation | None:
    """Judge the EMA weights by the validation set; None in all workers but one, or if `stopped` said so."""
    if not trainer.workers.is_first:
        return None
    judged = []
    for data in (*trainer.smaller, validation):
        solutions = trainer.judge(task, data, stopped)
        if solutions is None:
            return None
        judged.append((data, solutions))
    trainer.evaluated = trainer.step
    sizes = [replace(score([part]), kind="size", group=board_name(task, part[0])) for part in judged if trainer.smaller]
    return Evaluation(trainer.step, trainer.seconds, score(judged), validation.role, sizes)


def board_name(task: Task, data: Dataset) -> str:
    """The size of a data set's boards in words."""
    height, width, *_ = task.boxes(data.puzzles.shape[1])
    return f"{height}x{width}"


def steps_worth(trainer: Trainer, validation: Dataset) -> float:
    """How many training steps take at least as long as an evaluation: as many (puzzle, supervision step) pairs."""
    puzzles = sum(map(len, (*trainer.smaller, validation)))
    return puzzles * trainer.network.config.N_sup / trainer.batch.slots


def _synchronise(trainer: Trainer, began: float, stopped: Stops) -> bool:
    """Move the run's clock on, alike in every worker; returns whether the user of one wishes to stop.

    began  when the run's clock stood at zero, in seconds of the process's.
    """
    seconds = time.monotonic() - began
    trainer.seconds, evaluated, wish = trainer.workers.latest([seconds, trainer.evaluated, stopped()])
    trainer.evaluated = int(evaluated)
    return bool(wish)


def _save_point(trainer: Trainer, limits: Limits, is_stopped: bool) -> SavePoint:
    """A moment to save; raises TrainingError where losses, gradients or weights are infinite or no number."""
    if trainer.workers.latest([not is_finite(trainer)])[0]:
        raise TrainingError(NO_NUMBER.format(step=trainer.step))
    is_done = is_over(trainer, limits) and not evaluation_is_due(trainer)
    return SavePoint(trainer.step, trainer.seconds, is_stopped and not is_done, is_over(trainer, Limits()))


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
    if not all(map(math.isfinite, sums)):
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


def start_run(
    run: Run,
    data: RunData,
    limits: Limits,
    *,
    device: torch.device,
    command: str,
    start: LoadedModel | None = None,
    workers: Workers | None = None,
    stopped: Stops = never,
) -> Iterator[Event]:
    """Begin or resume a run and train, writing its folder on the way; yields what happens.

    command  as typed, for the card.
    start    a model whose weights to start from.
    stopped  says when the user wants the run to end.
    Raises UsageError where these do not fit together, TrainingError where a run must stop.
    """
    register = None
    if data.problems is not None:
        assert isinstance(run.plan.task, Demonstrated)
        register = register_of(run.plan.task, data.problems)
    if run.resumed is not None:
        run.facts = run.read_facts()
        refuse_other_config(run.resumed, run.plan.recipe.model, run.plan.recipe.train.batch_size)
    with training_translated(smaller_batch(run.plan.recipe.train)):
        trainer = build_trainer(run.plan, data, register, start, device=device, workers=workers or Workers())
    try:
        if run.resumed is not None:
            _resume(run, run.resumed, trainer, data, limits)
            trainer.workers.wait()
        else:
            run.facts = _facts(run.plan, data, trainer, command, start)
            if trainer.workers.is_first:
                run.begin(run.facts, data.sources, [one.generated for one in data.sizes if one.generated is not None])
            trainer.workers.wait()
            run.save_state(trainer)
        with training_translated(smaller_batch(run.plan.recipe.train)):
            for event in train(trainer, run.plan.task, data.validation, limits, stopped):
                if isinstance(event, SavePoint):
                    run.save_state(trainer)
                elif trainer.workers.is_first:
                    run.log(event, "evaluation" if isinstance(event, Evaluation) else "report")
                if trainer.workers.is_first and isinstance(event, SavePoint | Evaluation):
                    run.save_weights(trainer, register)
                yield event
    except OSError as error:
        rest = "resume: what was saved before is intact" if run.has_state() else "begin again: nothing was saved"
        raise TrainingError(
            f"{error.filename or run.folder}: cannot be written ({error.strerror or error}); see to it, then {rest}"
        ) from error


def build_trainer(
    plan: Plan,
    data: RunData,
    register: Register | None,
    start: LoadedModel | None,
    *,
    device: torch.device,
    workers: Workers,
) -> Trainer:
    """The trainer of a run at step 0, the same weights in every worker.

    register  what the rows of a table of puzzles stand for; None where there is no table.
    """
    recipe, seed = plan.recipe, plan.seed
    refuse_misfits(plan.task, recipe.model, start.checkpoint.model if start else None)
    torch.manual_seed(seed)
    network = TinyRecursiveModel(recipe.model)
    if start is not None:
        network.load_state_dict(start.network.state_dict())
    network = network.to(device)
    workers.spread([*network.parameters(), *network.buffers()])
    if data.problems is not None:
        pairs = PuzzleExamples.of_part(data.problems.train, recipe.model.vocab_size, device)
        shape = (recipe.model.num_puzzles, recipe.model.hidden_size)
        known = PuzzleTable(start.folder / TABLE_FILE, shape) if start else None
        if known and known.register() != register:
            raise UsageError("--init: that checkpoint's puzzles are not those of the data set")
        table = known.whole() if known else None
        return PuzzleTrainer(network, pairs, recipe.train, seed=seed, table=table, workers=workers)
    if not data.smaller:
        examples, supply = _examples(plan, data, device, workers)
        return Trainer(network, examples, recipe.train, seed=seed, workers=workers, supply=supply)
    plans = [plan.of_size(one.num_cells) for one in data.sizes]
    fed = [_examples(sized, one, device, workers) for sized, one in zip(plans, data.sizes, strict=True)]
    return SizesTrainer(
        network,
        [examples for examples, _ in fed],
        recipe.train,
        boards=[sized.recipe.model for sized in plans],
        smaller=[one.validation for one in data.smaller],
        seed=seed,
        workers=workers,
        supplies=[supply for _, supply in fed],
    )


def _examples(plan: Plan, data: RunData, device: torch.device, workers: Workers) -> tuple[Examples, Supply | None]:
    """What a worker draws puzzles of one size from, and what renews them, if anything does."""
    recipe, seed, training = plan.recipe, plan.seed, data.training
    num_transforms = SYMMETRY_POOL if recipe.train.symmetries else 1
    pool = draw_transforms(plan.task, recipe.model.num_cells, count=num_transforms, rng=np.random.default_rng(seed))
    examples = Examples.on_device(training.puzzles, training.answers, pool, device)
    if not recipe.train.fresh_puzzles or data.generated is None:
        return examples, None
    made_here = np.flatnonzero(np.isin(as_rows(training.puzzles), as_rows(data.generated.puzzles)))
    if not len(made_here):  # a subsample of a file's alone
        return examples, None
    supply = Supply(
        generator_of(plan.task),
        recipe.wanted,
        recipe.model.height,
        rows=made_here,
        validation=data.validation.puzzles,
        per_step=recipe.train.fresh_puzzles,
        seed=workers.own_seed(seed),
    )
    return examples, supply


def _resume(run: Run, state: SavedState, trainer: Trainer, data: RunData, limits: Limits) -> None:
    """Bring trainer and folder to a saved state; raises UsageError where it cannot go on."""
    before, now = run.facts["puzzles_sha256"], data.sha256
    if before != now:
        raise UsageError(
            f"{run.folder}: was trained on other puzzles (sha256 {before[:16]}) than the "
            f"data hold now ({now[:16]}); put the same data in their place"
        )
    load_state(state, trainer)
    if is_over(trainer, limits) and not evaluation_is_due(trainer):
        raise UsageError(f"{run.folder}: has had its {trainer.step:,} steps; there is nothing to resume")
    trainer.workers.wait()  # the others may still read what is removed now
    if trainer.workers.is_first:
        run.rewind(state)


def _facts(plan: Plan, data: RunData, trainer: Trainer, command: str, start: LoadedModel | None) -> dict[str, Any]:
    """What a card says of the training."""
    named = [source for one in data.sizes for source in one.training.sources]
    sources = dict(Counter(named).most_common(MOST_SOURCES))
    if rest := len(named) - sum(sources.values()):
        sources["others"] = rest
    return {
        "command": command,
        "recipe": plan.recipe.name,
        "seed": plan.seed,
        "train": asdict(plan.recipe.train),
        "workers": trainer.workers.count,
        "data": data.names,
        "puzzles": sum(len(one.training) for one in data.sizes),
        "sources": sources,
        "puzzles_sha256": data.sha256,
        "held_out": sum(len(one.validation) for one in data.sizes),
        "judged_by": data.validation.role,
        "held_out_sha256": joint_sha256([one.validation for one in data.sizes]),
        "hardware": _hardware(trainer.device),
        "started_from": start.checkpoint.name if start else None,
        "versions": {"trm": __version__, "torch": torch.__version__},
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _hardware(device: torch.device) -> str:
    """The GPU, or how many threads of which processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, IndexError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} threads of {processor}"
