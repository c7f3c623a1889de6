"""One run: from what was typed to a trainer, its events, and its folder kept up to date.

config.json        the resolved recipe, what it is trained on, and the command
log.jsonl          one object per report or evaluation
checkpoint/        EMA weights with their card: what `trm solve --model` takes
checkpoint-raw/    the same without the averaging
state/             what `--resume` goes on from
data.csv.gz        the puzzles, where the run generated them
"""

import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli import __version__
from trm_cli.config import NEWEST
from trm_cli.errors import TrainingError, UsageError
from trm_cli.files import flush, write_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, never
from trm_cli.solving.voting import register_of
from trm_cli.tasks import get_task
from trm_cli.tasks.base import HELD_OUT, draw_transforms
from trm_cli.tasks.problems import Demonstrated, ProblemData
from trm_cli.training.arc import PuzzleExamples, PuzzleTrainer
from trm_cli.training.batches import Examples
from trm_cli.training.data import (
    ARC,
    GENERATE,
    GENERATED_FILE,
    KNOWN,
    TESTS,
    Gathered,
    Split,
    Supply,
    keep_generated,
    refuse_misfits,
    refuse_other_data,
    sized,
    split_gathered,
    start_table,
)
from trm_cli.training.distributed import Workers
from trm_cli.training.loop import Evaluation, Event, Limits, Report, SavePoint, evaluation_is_due, is_over, train
from trm_cli.training.overrides import apply, differences, numbers, override, read_toml
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.state import SavedState, find_state, keep_only, load_state, save_state
from trm_cli.training.step import Trainer, memory_translated
from trm_cli.weights.card import write_card
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.puzzle_table import Register
from trm_cli.weights.tensors import LoadedModel, save_checkpoint

DEFAULT_RECIPE, DEFAULT_SEED = "fast", 0
CONFIG_FILE = "config.json"  # of a run's folder


@dataclass(frozen=True)
class Options:
    """What was typed; None and empty lists where nothing was."""

    task: str
    recipe: str | None = None
    config: Path | None = None
    settings: list[str] | None = None
    data: list[str] | None = None
    subsample: int | None = None
    seed: int | None = None
    run: Path | None = None
    resume: str | None = None
    init: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do, as far as it must be the same when it is resumed."""

    recipe: Recipe
    sources: list[str]  # of puzzles, as typed
    seed: int
    subsample: int | None

    @property
    def is_generated(self) -> bool:
        """Whether all puzzles come from the task's generator."""
        return self.sources in ([], [GENERATE])

    def as_dict(self) -> dict[str, Any]:
        """All but the recipe, for the run's config."""
        return {"sources": self.sources, "seed": self.seed, "subsample": self.subsample}


@dataclass(frozen=True)
class Work:
    """What is to be done, and in which folder."""

    plan: Plan
    folder: Path
    resumed: SavedState | None  # the state to go on from


def resolve_recipe(options: Options) -> Recipe:
    """The recipe with the config file's numbers, then the settings, in place of its own."""
    if options.resume is not None:
        return _resumed(options).plan.recipe
    recipe = get_recipe(options.task, options.recipe or DEFAULT_RECIPE)
    if options.config is not None:
        recipe = read_toml(recipe, options.config)
    if recipe.task == ARC and options.data:
        recipe = sized(recipe, options.data)
    return override(recipe, options.settings or [])


def plan_work(options: Options, max_seconds: float | None, *, is_worker: bool) -> Work:
    """A new run, or the one that `--resume` means; raises UsageError where options contradict it.

    is_worker  whoever started this process has chosen the folder already.
    """
    if options.resume is not None:
        return _resumed(options)
    recipe = timed(resolve_recipe(options), max_seconds)
    seed = DEFAULT_SEED if options.seed is None else options.seed
    plan = Plan(recipe, options.data or [], seed, options.subsample)
    if is_worker and options.run is not None:
        return Work(plan, options.run, None)
    return Work(plan, new_run_folder(options.task, recipe.name, options.run), None)


def timed(recipe: Recipe, max_seconds: float | None) -> Recipe:
    """The recipe with the length of a schedule that follows the time; UsageError without one."""
    if recipe.train.decay_by != "time" or recipe.train.minutes:
        return recipe
    if max_seconds is None:
        raise UsageError("train.decay_by=time needs --max-time, or --set train.minutes=..., to know when the run ends")
    return replace(recipe, train=replace(recipe.train, minutes=max_seconds / 60))


def new_run_folder(task: str, name: str, wanted: Path | None) -> Path:
    """The folder asked for, which must not exist, or the next free `runs/TASK/NAME-N`.

    Raises UsageError where it exists or cannot be made.
    """
    folder, number = wanted, 0
    while folder is None or (wanted is None and folder.exists()):
        number += 1
        folder = Path("runs") / task / f"{name}-{number}"
    if folder.exists():
        raise UsageError(f"{folder}: exists already; choose another folder for --run, or go on with --resume")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".trm-", dir=above))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another folder for --run") from error
    return folder


def newest_run_folder(task: str) -> Path:
    """The folder below `runs/TASK` whose state was saved last; raises UsageError if none was."""
    states = sorted(Path("runs", task).glob("*/state/step-*"), key=lambda path: path.stat().st_mtime)
    if not states:
        raise UsageError(f"--resume: no saved state below runs/{task}; give the folder with --run")
    return states[-1].parent.parent


def read_plan(folder: Path) -> Plan:
    """What the run in a folder was asked to do; raises UsageError where its config is damaged."""
    with run_config(folder) as known:
        values, plan = known["recipe"], known["plan"]
        recipe = get_recipe(values.pop("task"), values.pop("name"))
        return Plan(apply(recipe, values, str(folder / CONFIG_FILE)), **plan)


@contextmanager
def run_config(folder: Path) -> Iterator[dict[str, Any]]:
    """What config.json of a run holds; UsageError where it, or what is read from it, is damaged."""
    path = folder / CONFIG_FILE
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no config of a run ({error}); give another folder") from error


def _resumed(options: Options) -> Work:
    """The run to go on with; what else was typed must agree with it."""
    if options.init is not None:
        raise UsageError("--init: a run that is resumed has its weights; leave the option out")
    if options.resume != NEWEST:
        if options.run is not None:
            raise UsageError("--resume PATH says where the run is; leave --run out")
        state = find_state(Path(str(options.resume)))
    else:
        state = find_state(options.run or newest_run_folder(options.task))
    plan = read_plan(state.run_folder)
    begun = f"{state.run_folder}: was begun with"
    if options.task != plan.recipe.task:
        raise UsageError(f"{begun} {plan.recipe.task}, not {options.task}")
    if options.recipe not in (None, plan.recipe.name):
        raise UsageError(f"{begun} --recipe {plan.recipe.name}; leave the option out")
    wanted = read_toml(plan.recipe, options.config) if options.config else plan.recipe
    for difference in differences(plan.recipe, override(wanted, options.settings or [])):
        raise UsageError(f"{begun} other numbers: {difference}; a resumed run keeps its own")
    for name in ("seed", "subsample"):
        if getattr(options, name) not in (None, getattr(plan, name)):
            raise UsageError(f"{begun} --{name} {getattr(plan, name)}; leave the option out")
    plan = replace(plan, sources=options.data or plan.sources)  # their hash must be the same
    return Work(plan, state.run_folder, state)


LOG_FILE = "log.jsonl"
IN_FULL = {  # what judges a run, as its card says it
    HELD_OUT: "held out from the training data",
    KNOWN: "pairs that were trained on",
    TESTS: "tests of evaluation tasks, each way by itself, no vote",
}


def read_facts(folder: Path) -> dict[str, Any]:
    """What was recorded of a run when it began: data, hardware, versions, command."""
    with run_config(folder) as known:
        facts: dict[str, Any] = known["training"]
        if not isinstance(facts["puzzles_sha256"], str):
            raise TypeError("puzzles_sha256")
    return facts


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The objects of a run's log, in order; lines that were cut off or damaged are left out."""
    entries = []
    for line in (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            entries.append(entry)
    return entries


class RunFolder:
    """Writes the folder of one run as its events come; the first worker's task."""

    def __init__(self, path: Path, plan: Plan, facts: dict[str, Any]) -> None:
        self.path = path
        self.plan = plan
        self.facts = facts
        self.measured: dict[str, Any] = {}

    def begin(self, sources: list[str]) -> None:
        """Make the folder and write what is to be trained, on puzzles from these sources."""
        self.path.mkdir(parents=True)
        recipe, plan = numbers(self.plan.recipe), self.plan.as_dict() | {"sources": sources}
        whole = {"recipe": recipe, "plan": plan, "training": self.facts}
        text = json.dumps(whole, indent=2) + "\n"
        write_whole(self.path / CONFIG_FILE, text.encode(), lasting=True)

    def rewind(self, step: int) -> None:
        """Drop from the log what came after a step; the run will write it again."""
        log = self.path / LOG_FILE
        entries = read_log(self.path) if log.exists() else []
        kept = [entry for entry in entries if entry["step"] <= step]
        write_whole(log, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
        for entry in kept:
            if entry.get("kind") == "evaluation" and "scores" in entry:
                self._measure(entry["step"], entry["scores"], entry.get("judged_by", HELD_OUT))

    def flush_log(self) -> None:
        """Have the disk keep the log, before a state that follows from it."""
        if (self.path / LOG_FILE).exists():
            flush(self.path / LOG_FILE)

    def note(self, event: Report | Evaluation) -> None:
        """Add an event to the log."""
        kind = "evaluation" if isinstance(event, Evaluation) else "report"
        with (self.path / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"kind": kind, **asdict(event)}) + "\n")
        if isinstance(event, Evaluation):
            self._measure(event.step, event.scores.as_dict(), event.judged_by)

    def _measure(self, step: int, scores: dict[str, Any], judged_by: str) -> None:
        entry = {"command": self.facts["command"], "groups": [scores]}
        self.measured = {f"{IN_FULL.get(judged_by, judged_by)}, step {step:,}": entry}

    def save_weights(self, trainer: Trainer) -> None:
        """Write both checkpoints, the averaged one with its card."""
        training = {**self.facts, "steps": trainer.step, "seconds": round(trainer.seconds, 1)}
        recipe = self.plan.recipe
        name = self.path.name
        averaged = Checkpoint(name, recipe.task, recipe.model, training, self.measured)
        save_checkpoint(self.path / "checkpoint", averaged, trainer.averaged.model)
        trainer.save_beside(self.path / "checkpoint")
        write_card(self.path / "checkpoint", averaged)
        raw = Checkpoint(f"{name}-raw", recipe.task, recipe.model, training)
        save_checkpoint(self.path / "checkpoint-raw", raw, trainer.network)
        trainer.save_beside(self.path / "checkpoint-raw")


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
    parts = split_gathered(
        request.gathered, validation=plan.recipe.train.validation, subsample=plan.subsample, seed=plan.seed
    )
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
    pool = draw_transforms(
        get_task(plan.recipe.task),
        parts.used.puzzles.shape[1],
        count=SYMMETRY_POOL if plan.recipe.train.symmetries else 1,
        rng=np.random.default_rng(plan.seed),
    )
    examples = Examples.on_device(parts.used.puzzles, parts.used.answers, pool, request.device)
    supply = None
    if plan.recipe.train.fresh_puzzles and plan.is_generated:
        supply = Supply(plan.recipe, parts, seed=plan.seed)
    return Trainer(
        _network(request), examples, plan.recipe.train, seed=plan.seed, workers=request.workers, supply=supply
    )


def _puzzle_trainer(request: RunRequest, data: ProblemData) -> Trainer:
    plan, register = request.plan, _register(request.plan.recipe.task, data)
    return PuzzleTrainer(
        _network(request),
        PuzzleExamples.of_part(data.train, plan.recipe.model.vocab_size, request.device),
        plan.recipe.train,
        seed=plan.seed,
        register=register,
        table=start_table(request.start, register),
        workers=request.workers,
    )


def _register(task_name: str, data: ProblemData) -> Register:
    task = get_task(task_name)
    assert isinstance(task, Demonstrated)
    return register_of(task, data)


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


def _resume(state: SavedState, trainer: Trainer, folder: RunFolder, parts: Split, limits: Limits) -> None:
    """Bring trainer and folder to a saved state; raises UsageError where it cannot go on."""
    before, now = folder.facts["puzzles_sha256"], parts.used.sha256
    if before != now:
        raise UsageError(
            f"{state.run_folder}: was trained on other puzzles (sha256 {before[:16]}) than the "
            f"data hold now ({now[:16]}); put the same data in their place"
        )
    load_state(state, trainer)
    if is_over(trainer, limits) and not evaluation_is_due(trainer):
        raise UsageError(f"{state.run_folder}: has had its {trainer.step:,} steps; there is nothing to resume")
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
    hardware = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads of {_processor()}"
    )
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
        names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
