"""One run: from what was asked to a trainer, its events, and its folder kept up to date."""

import platform
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli import __version__
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, never
from trm_cli.tasks import get_task
from trm_cli.tasks.arc_data import ArcData
from trm_cli.training.arc_sources import register_of, start_table
from trm_cli.training.batches import Examples
from trm_cli.training.data import GENERATED_FILE, Gathered, Split, keep_generated, split_gathered
from trm_cli.training.distributed import Workers
from trm_cli.training.fitting import refuse_misfits, refuse_other_data
from trm_cli.training.folder import RunFolder, read_facts
from trm_cli.training.loop import (
    Evaluation,
    Event,
    Limits,
    SavePoint,
    evaluation_is_due,
    is_over,
    train,
)
from trm_cli.training.plan import Plan
from trm_cli.training.puzzle_examples import PuzzleExamples
from trm_cli.training.puzzles import PuzzleTrainer
from trm_cli.training.state import SavedState, keep_only, load_state, save_state
from trm_cli.training.supply import Supply
from trm_cli.training.trainer import Trainer, memory_translated
from trm_cli.weights.store import LoadedModel

MOST_SOURCES = 20  # that a config names one by one
SYMMETRY_POOL = 4096  # ways to redraw a puzzle that are drawn once; two of them are combined


@dataclass(frozen=True)
class RunRequest:
    """What to train, on what, where, and for how long."""

    plan: Plan
    gathered: Gathered
    folder: Path
    device: torch.device
    limits: Limits
    command: str  # as typed, for the card
    start: LoadedModel | None = None  # weights to start from
    resumed: SavedState | None = None  # a state of this folder's run to go on from
    workers: Workers = field(default_factory=Workers)
    stopped: Stops = never  # says when the user wants the run to end


def run(request: RunRequest) -> Iterator[Event]:
    """Train as requested, writing the folder on the way, and yield what happens.

    Raises UsageError where the request does not fit together, TrainingError where a run must stop.
    """
    plan, workers = request.plan, request.workers
    refuse_misfits(plan.recipe, request.start)
    refuse_other_data(plan.recipe, request.gathered)
    parts = split_gathered(request.gathered, validation=plan.recipe.train.validation,
                           subsample=plan.subsample, seed=plan.seed)  # fmt: skip
    with memory_translated():
        trainer = _trainer(request, parts)
    facts = _facts(request, parts) if request.resumed is None else read_facts(request.folder)
    folder = RunFolder(request.folder, plan, facts)
    try:
        if request.resumed is not None:
            _resume(request.resumed, trainer, folder, parts, request.limits)
        elif workers.is_first:
            _begin(request, folder)
        workers.wait()
        if request.resumed is None:
            save_state(request.folder, trainer)
        task = get_task(plan.recipe.task)
        with memory_translated():
            for event in train(trainer, task, parts.held_out, request.limits, request.stopped):
                _keep(event, folder, trainer)
                yield event
    except OSError as error:
        raise TrainingError(
            f"{error.filename or request.folder}: cannot be written ({error.strerror or error}); "
            "see to it, then resume: what was saved before is intact"
        ) from error


def _trainer(request: RunRequest, parts: Split) -> Trainer:
    plan = request.plan
    torch.manual_seed(plan.seed)
    if request.gathered.arc is not None:
        return _puzzle_trainer(request, request.gathered.arc)
    pool = get_task(plan.recipe.task).symmetries(
        parts.used.puzzles.shape[1],
        count=SYMMETRY_POOL if plan.recipe.train.symmetries else 1,
        rng=np.random.default_rng(plan.seed),
    )
    examples = Examples.on_device(parts.used.puzzles, parts.used.answers, pool, request.device)
    supply = None
    if plan.recipe.train.fresh_puzzles and plan.is_generated:
        supply = Supply(plan.recipe, parts, seed=plan.seed)
    return Trainer(_network(request), examples, plan.recipe.train, seed=plan.seed,
                   workers=request.workers, supply=supply)  # fmt: skip


def _puzzle_trainer(request: RunRequest, data: ArcData) -> Trainer:
    plan, register = request.plan, register_of(data)
    return PuzzleTrainer(_network(request), PuzzleExamples.of_part(data.train, request.device),
                         plan.recipe.train, seed=plan.seed, register=register,
                         table=start_table(request.start, register),
                         workers=request.workers)  # fmt: skip


def _network(request: RunRequest) -> TinyRecursiveModel:
    """A new network, or a copy of the one to start from, the same in every worker."""
    network = TinyRecursiveModel(request.plan.recipe.model)
    if request.start is not None:
        network.load_state_dict(request.start.network.state_dict())
    network = network.to(request.device)
    request.workers.spread([*network.parameters(), *network.buffers()])
    return network


def _begin(request: RunRequest, folder: RunFolder) -> None:
    folder.begin(request.gathered.sources)
    if request.plan.is_generated:
        task = get_task(request.plan.recipe.task)
        keep_generated(folder.path / GENERATED_FILE, request.gathered.data, task)


def _resume(state: SavedState, trainer: Trainer, folder: RunFolder, parts: Split,
            limits: Limits) -> None:  # fmt: skip
    """Bring trainer and folder to a saved state; raises UsageError where it cannot go on."""
    before, now = folder.facts["puzzles_sha256"], parts.used.sha256
    if before != now:
        raise UsageError(
            f"{state.run_folder}: was trained on other puzzles (sha256 {before[:16]}) than the "
            f"data hold now ({now[:16]}); put the same data in their place"
        )
    load_state(state, trainer)
    if is_over(trainer, limits) and not evaluation_is_due(trainer):
        raise UsageError(
            f"{state.run_folder}: has had its {trainer.step:,} steps; there is nothing to resume"
        )
    trainer.workers.wait()  # the others may still read what is removed now
    if trainer.workers.is_first:
        folder.rewind(state.step)
        keep_only(state.folder)


def _keep(event: Event, folder: RunFolder, trainer: Trainer) -> None:
    """Write what an event asks for."""
    is_first = trainer.workers.is_first
    if isinstance(event, SavePoint):
        if is_first:
            folder.flush_log()
        save_state(folder.path, trainer)
        if is_first:
            folder.save_weights(trainer)
    elif is_first:
        folder.note(event)
        if isinstance(event, Evaluation):
            folder.save_weights(trainer)


def _facts(request: RunRequest, parts: Split) -> dict[str, Any]:
    device, plan, used, held_out = request.device, request.plan, parts.used, parts.held_out
    hardware = (torch.cuda.get_device_name(device) if device.type == "cuda"
                else f"{torch.get_num_threads()} threads of {_processor()}")  # fmt: skip
    return {
        "command": request.command,
        "recipe": plan.recipe.name,
        "seed": plan.seed,
        "train": asdict(plan.recipe.train),
        "workers": request.workers.count,
        "data": request.gathered.names,
        "puzzles": len(used),
        "sources": _most_common(used.sources),
        "puzzles_sha256": used.sha256,
        "held_out": len(held_out),
        "judged_by": held_out.role,
        "held_out_sha256": held_out.sha256,
        "hardware": hardware,
        "started_from": request.start.checkpoint.name if request.start else None,
        "versions": {"trm": __version__, "torch": torch.__version__},
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _most_common(sources: list[str]) -> dict[str, int]:
    """How many puzzles come from each source; rare sources together as "others"."""
    counts = dict(Counter(sources).most_common(MOST_SOURCES))
    rest = len(sources) - sum(counts.values())
    return {**counts, **({"others": rest} if rest else {})}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [
            line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line
        ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
