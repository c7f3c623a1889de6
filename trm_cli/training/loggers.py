"""Reporting a run elsewhere as well: TensorBoard or Weights & Biases, if asked for and installed.

Neither is ever imported otherwise, and a run needs neither.
"""

import hashlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trm_cli.errors import UsageError
from trm_cli.training.loop import Evaluation, Report

FIGURES_OF_SCORES = ("exact", "verified", "cell", "mean_steps", "fired", "precision")


class _TensorBoard:
    """Event files in the run's folder, below `tensorboard/`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(folder / "tensorboard")

    def log(self, event: Report | Evaluation) -> None:
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

    def log(self, event: Report | Evaluation) -> None:
        self.run.log(figures(event), step=event.step)

    def close(self) -> None:
        self.run.finish()


KINDS: dict[str, Any] = {"tensorboard": _TensorBoard, "wandb": _WandB}


class Loggers:
    """Loggers of those names, closed at the end; they begin with the first event, when the folder is there."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names = names
        self.folder = folder
        self.members: list[Any] = []

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.close()

    def log(self, event: Report | Evaluation) -> None:
        """Report an event."""
        self.members = self.members or [KINDS[name](self.folder) for name in self.names]
        for member in self.members:
            member.log(event)


def figures(event: Report | Evaluation) -> dict[str, float]:
    """The numbers of an event, by the names that loggers show: `train/loss`, `held_out/exact`."""
    if isinstance(event, Evaluation):
        scores = asdict(event.scores)
        named = {f"held_out/{name}": scores[name] for name in FIGURES_OF_SCORES}
    else:
        named = {f"train/{name}": value for name, value in asdict(event).items()}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}


def check_loggers(names: list[str]) -> None:
    """Raise UsageError for a logger that does not exist or is not installed."""
    for name in names:
        if name not in KINDS:
            raise UsageError(f"--log-to {name}: choose {' or '.join(KINDS)}")
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"--log-to {name}: not installed; `pip install {name}` first")
