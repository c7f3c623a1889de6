"""Reporting a run elsewhere as well: TensorBoard or Weights & Biases, if asked for and installed.

Neither is ever imported otherwise, and a run needs neither.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from trm_cli.errors import UsageError
from trm_cli.training.loop import Evaluation, Report

FIGURES_OF_SCORES = ("exact", "verified", "cell", "mean_steps", "fired", "precision")


class Tracker(Protocol):
    """Something that is told what happens."""

    def note(self, event: Report | Evaluation) -> None:
        """Report an event."""


class _TensorBoard:
    """Event files in the run's folder, below `tensorboard/`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(folder / "tensorboard")

    def note(self, event: Report | Evaluation) -> None:
        for name, value in figures(event).items():
            self.writer.add_scalar(name, value, event.step)

    def close(self) -> None:
        self.writer.close()


class _WandB:
    """A run of Weights & Biases; its own variables (WANDB_MODE, WANDB_PROJECT) hold."""

    def __init__(self, folder: Path) -> None:
        wandb = importlib.import_module("wandb")
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()
        self.run: Any = wandb.init(dir=str(folder), name=folder.name, id=place[:16], resume="allow")

    def note(self, event: Report | Evaluation) -> None:
        self.run.log(figures(event), step=event.step)

    def close(self) -> None:
        self.run.finish()


KINDS: dict[str, Any] = {"tensorboard": _TensorBoard, "wandb": _WandB}


class _All:
    """Tells every tracker; they begin with the first event, when the run's folder is there."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names = names
        self.folder = folder
        self.members: list[Any] = []

    def note(self, event: Report | Evaluation) -> None:
        if not self.members:
            self.members = [KINDS[name](self.folder) for name in self.names]
        for member in self.members:
            member.note(event)


def figures(event: Report | Evaluation) -> dict[str, float]:
    """The numbers of an event, by the names that trackers show: `train/loss`, `held_out/exact`."""
    if isinstance(event, Evaluation):
        scores = asdict(event.scores)
        named = {f"held_out/{name}": scores[name] for name in FIGURES_OF_SCORES}
    else:
        named = {f"train/{name}": value for name, value in asdict(event).items()}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}


def check_trackers(names: list[str]) -> None:
    """Raise UsageError for a tracker that does not exist or is not installed."""
    for name in names:
        if name not in KINDS:
            raise UsageError(f"--log-to {name}: choose {' or '.join(KINDS)}")
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"--log-to {name}: not installed; `pip install {name}` first")


@contextmanager
def trackers(names: list[str], folder: Path) -> Iterator[Tracker]:
    """Trackers of those names for a run's folder, closed at the end."""
    every = _All(names, folder)
    try:
        yield every
    finally:
        for member in every.members:
            member.close()
