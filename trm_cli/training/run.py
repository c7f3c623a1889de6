"""A run: a folder with the resolved recipe, a log and the checkpoint.

config.json  the recipe as resolved, the data, the seed.
log.jsonl    one object per report and per evaluation.
checkpoint/  what `trm solve --model` reads; rewritten at each evaluation.
"""

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli import __version__
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task
from trm_cli.tasks.base import FIRST_SYMBOL, Dataset, Task
from trm_cli.training.batches import Examples
from trm_cli.training.loop import Evaluation, Limits, Report, Trainer, never, train
from trm_cli.training.recipes import Recipe
from trm_cli.weights.card import write_card
from trm_cli.weights.store import Checkpoint, LoadedModel, save_checkpoint

SYMMETRY_POOL = 4096  # ways to redraw a puzzle that are drawn once; two of them are combined


@dataclass(frozen=True)
class RunRequest:
    """What to train, on what, where, and for how long."""

    recipe: Recipe
    data: Dataset
    data_names: list[str]  # how the data set is called in the card
    folder: Path
    device: torch.device
    seed: int
    limits: Limits
    command: str  # as typed, for the card
    start: LoadedModel | None = None  # weights to start from
    stopped: Callable[[], bool] = never  # says when the user wants the run to end


def new_run_folder(task: str, name: str, wanted: Path | None) -> Path:
    """The folder asked for, which must not exist, or the next free `runs/TASK/NAME-N`."""
    if wanted is not None:
        if wanted.exists():
            raise UsageError(f"{wanted}: exists already; choose another folder for --run")
        return wanted
    number = 1
    while (folder := Path("runs") / task / f"{name}-{number}").exists():
        number += 1
    return folder


def run(request: RunRequest) -> Iterator[Report | Evaluation]:
    """Train as requested, writing the folder on the way, and yield what happens.

    Raises UsageError where the request does not fit together, TrainingError where a run must stop.
    """
    recipe, task = request.recipe, get_task(request.recipe.task)
    refuse_misfits(recipe, request.limits, request.start)
    _refuse_other_data(recipe, request.data)
    torch.manual_seed(request.seed)
    rng = np.random.default_rng(request.seed)
    order = rng.permutation(len(request.data))
    held_out = request.data.rows(np.sort(order[: recipe.train.validation]))
    used = request.data.rows(np.sort(order[recipe.train.validation :]))
    pool = task.symmetries(used.puzzles.shape[1], count=SYMMETRY_POOL, rng=rng)
    examples = Examples.on_device(used.puzzles, used.answers, pool, request.device)
    network = TinyRecursiveModel(recipe.model)
    if request.start is not None:
        network.load_state_dict(request.start.network.state_dict())
    trainer = Trainer(network.to(request.device), examples, recipe.train, request.seed)
    facts = _facts(request, used, held_out)
    folder = _RunFolder(request, facts, trainer)
    try:
        folder.begin()
        for event in train(trainer, task, held_out, request.limits, request.stopped):
            folder.note(event)
            yield event
        if request.stopped():
            folder.save()
    except OSError as error:
        raise TrainingError(f"{request.folder}: cannot be written ({error.strerror})") from error


class _RunFolder:
    """Writes the folder of one run as its events come."""

    def __init__(self, request: RunRequest, facts: dict[str, Any], trainer: Trainer) -> None:
        self.request = request
        self.facts = facts
        self.trainer = trainer
        self.seconds = 0.0
        self.measured: dict[str, Any] = {}

    def begin(self) -> None:
        """Make the folder and write what is to be trained."""
        self.request.folder.mkdir(parents=True)
        resolved = {"recipe": asdict(self.request.recipe), "training": self.facts}
        text = json.dumps(resolved, indent=2) + "\n"
        (self.request.folder / "config.json").write_text(text, encoding="utf-8")

    def note(self, event: Report | Evaluation) -> None:
        """Add an event to the log; keep the weights of an evaluation."""
        self.seconds = event.seconds
        kind = "evaluation" if isinstance(event, Evaluation) else "report"
        with (self.request.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"kind": kind, **asdict(event)}) + "\n")
        if isinstance(event, Evaluation):
            entry = {"command": self.facts["command"], "groups": [event.scores.as_dict()]}
            self.measured = {f"held out from the training data, step {event.step:,}": entry}
            self.save()

    def save(self) -> None:
        """Write the checkpoint with its card."""
        training = {**self.facts, "steps": self.trainer.step, "seconds": round(self.seconds, 1)}
        recipe = self.request.recipe
        checkpoint = Checkpoint(
            self.request.folder.name, recipe.task, recipe.model, training, self.measured
        )
        folder = self.request.folder / "checkpoint"
        save_checkpoint(folder, checkpoint, self.trainer.averaged.model)
        write_card(folder, checkpoint)


def refuse_misfits(recipe: Recipe, limits: Limits, start: LoadedModel | None) -> None:
    """Raise UsageError for what cannot work whatever the data are."""
    if recipe.train.decay_by == "time" and limits.max_seconds is None:
        raise UsageError("train.decay_by=time needs --max-time to know when the run ends")
    if start is not None and start.checkpoint.model != recipe.model:
        raise UsageError("--init: that checkpoint has another architecture than the recipe")
    model = recipe.model
    expected = _board(get_task(recipe.task), model.num_cells)
    for name, value in expected.items():
        if getattr(model, name) != value:
            wanted = " ".join(f"--set model.{n}={v}" for n, v in expected.items())
            raise UsageError(
                f"model.{name} is {getattr(model, name)}, but {recipe.task} of {model.num_cells} "
                f"cells needs {value}; give {wanted}"
            )


def _refuse_other_data(recipe: Recipe, data: Dataset) -> None:
    """Raise UsageError where the data do not fit the recipe."""
    cells = data.puzzles.shape[1]
    if cells != recipe.model.num_cells:
        wanted = " ".join(
            f"--set model.{n}={v}" for n, v in _board(get_task(recipe.task), cells).items()
        )
        raise UsageError(
            f"the data set holds puzzles of {cells} cells, the recipe {recipe.name!r} is for "
            f"{recipe.model.num_cells}; give other data, or {wanted}"
        )
    if len(data) <= recipe.train.validation:
        raise UsageError(
            f"{len(data)} puzzles, of which {recipe.train.validation} would be held out; "
            "give more data or lower --set train.validation"
        )


def _board(task: Task, num_cells: int) -> dict[str, int]:
    """What an architecture for puzzles of that many cells must say."""
    height, width, box_height, box_width = task.boxes(num_cells)
    vocab_size = FIRST_SYMBOL + task.num_symbols(num_cells)
    return {"height": height, "width": width, "box_height": box_height, "box_width": box_width,
            "vocab_size": vocab_size}  # fmt: skip


def _facts(request: RunRequest, used: Dataset, held_out: Dataset) -> dict[str, Any]:
    device = request.device
    hardware = (torch.cuda.get_device_name(device) if device.type == "cuda"
                else f"{torch.get_num_threads()} threads of {_processor()}")  # fmt: skip
    return {
        "command": request.command,
        "recipe": request.recipe.name,
        "seed": request.seed,
        "train": asdict(request.recipe.train),
        "data": request.data_names,
        "puzzles": len(used),
        "sources": dict(Counter(used.sources)),
        "puzzles_sha256": used.sha256,
        "held_out": len(held_out),
        "held_out_sha256": held_out.sha256,
        "hardware": hardware,
        "versions": {"trm": __version__, "torch": torch.__version__},
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [
            line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line
        ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
