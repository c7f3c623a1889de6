"""From a plan and its data to a trainer, and from there to the end of the run, its folder kept up to date."""

import platform
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli import __version__
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, never
from trm_cli.solving.voting import register_of
from trm_cli.tasks.base import draw_transforms, generator_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.training.batches import Examples, Supply
from trm_cli.training.data import RunData, refuse_misfits
from trm_cli.training.distributed import Workers
from trm_cli.training.loop import Evaluation, Event, Limits, SavePoint, evaluation_is_due, is_over, train
from trm_cli.training.problems import PuzzleExamples, PuzzleTrainer
from trm_cli.training.run import Plan, Run
from trm_cli.training.state import SavedState, load_state
from trm_cli.training.step import Trainer, memory_translated
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.puzzle_table import PuzzleTable, Register
from trm_cli.weights.tensors import LoadedModel

MOST_SOURCES = 20  # that a config names one by one
SYMMETRY_POOL = 4096  # ways to redraw a puzzle that are drawn once; two of them are combined


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
    register = _register(run.plan, data)
    with memory_translated():
        trainer = build_trainer(run.plan, data, register, start, device=device, workers=workers or Workers())
    try:
        if run.resumed is not None:
            run.facts = run.read_facts()
            _resume(run, run.resumed, trainer, data, limits)
            trainer.workers.wait()
        else:
            run.facts = _facts(run.plan, data, trainer, command, start)
            if trainer.workers.is_first:
                run.begin(run.facts, data.sources, data.generated)
            trainer.workers.wait()
            run.save_state(trainer)
        with memory_translated():
            for event in train(trainer, run.plan.task, data.validation, limits, stopped):
                if isinstance(event, SavePoint):
                    run.save_state(trainer)
                elif trainer.workers.is_first:
                    run.log(event, "evaluation" if isinstance(event, Evaluation) else "report")
                if trainer.workers.is_first and isinstance(event, SavePoint | Evaluation):
                    run.save_weights(trainer, register)
                yield event
    except OSError as error:
        raise TrainingError(
            f"{error.filename or run.folder}: cannot be written ({error.strerror or error}); "
            "see to it, then resume: what was saved before is intact"
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
        table = _start_table(start, register)
        return PuzzleTrainer(network, pairs, recipe.train, seed=seed, table=table, workers=workers)
    num_transforms = SYMMETRY_POOL if recipe.train.symmetries else 1
    pool = draw_transforms(plan.task, recipe.model.num_cells, count=num_transforms, rng=np.random.default_rng(seed))
    training = data.training
    examples = Examples.on_device(training.puzzles, training.answers, pool, device)
    supply = None
    if recipe.train.fresh_puzzles and data.generated is not None:
        supply = Supply(
            generator_of(plan.task),
            recipe.wanted,
            recipe.model.height,
            validation=data.validation.puzzles,
            num_examples=len(training),
            per_step=recipe.train.fresh_puzzles,
            seed=seed,
        )
    return Trainer(network, examples, recipe.train, seed=seed, workers=workers, supply=supply)


def _register(plan: Plan, data: RunData) -> Register | None:
    """What the rows of a table of puzzles stand for, where the task has one."""
    if data.problems is None:
        return None
    assert isinstance(plan.task, Demonstrated)
    return register_of(plan.task, data.problems)


def _start_table(start: LoadedModel | None, register: Register | None) -> torch.Tensor | None:
    """The table to start from; raises UsageError where it is of another data set."""
    if start is None:
        return None
    table = PuzzleTable(start.folder / TABLE_FILE)
    if table.register() != register:
        raise UsageError("--init: that checkpoint's puzzles are not those of the data set")
    return table.whole()


def _resume(run: Run, state: SavedState, trainer: Trainer, data: RunData, limits: Limits) -> None:
    """Bring trainer and folder to a saved state; raises UsageError where it cannot go on."""
    before, now = run.facts["puzzles_sha256"], data.training.sha256
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
    training, validation = data.training, data.validation
    return {
        "command": command,
        "recipe": plan.recipe.name,
        "seed": plan.seed,
        "train": asdict(plan.recipe.train),
        "workers": trainer.workers.count,
        "data": data.names,
        "puzzles": len(training),
        "sources": _most_common(training.sources),
        "puzzles_sha256": training.sha256,
        "held_out": len(validation),
        "judged_by": validation.role,
        "held_out_sha256": validation.sha256,
        "hardware": _hardware(trainer.device),
        "started_from": start.checkpoint.name if start else None,
        "versions": {"trm": __version__, "torch": torch.__version__},
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _most_common(sources: list[str]) -> dict[str, int]:
    """How many puzzles come from each source; rare sources together as "others"."""
    counts = dict(Counter(sources).most_common(MOST_SOURCES))
    rest = len(sources) - sum(counts.values())
    return {**counts, "others": rest} if rest else counts


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
