"""Runs of seconds, for the tests that train."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.solving.engine import Stops, never
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.data import split_data
from trm_cli.training.loop import Event, start_run
from trm_cli.training.recipes import get_recipe
from trm_cli.training.run import Limits, Plan, Run, find_state
from trm_cli.weights.tensors import LoadedModel

CPU = torch.device("cpu")
TINY = TrainConfig(batch_size=8, steps=12, validation=10, report_every=5, evaluate_every=8)


@dataclass(frozen=True)
class SmallRun:
    """What to train, on what, where, and for how long."""

    plan: Plan
    data: Dataset
    folder: Path
    limits: Limits = Limits()  # noqa: RUF009 # frozen
    start: LoadedModel | None = None
    stopped: Stops = never
    is_resumed: bool = False

    def events(self) -> Iterator[Event]:
        """Train and yield what happens."""
        run = Run(self.plan, self.folder, find_state(self.folder) if self.is_resumed else None)
        made = self.data if self.plan.is_generated else None
        data = split_data(self.plan, self.data, ["generated"], ["generated.csv"], made)
        command = "trm train"
        return start_run(run, data, self.limits, device=CPU, command=command, start=self.start, stopped=self.stopped)

    def resumed(self, limits: Limits | None = None) -> "SmallRun":
        """The same run, to go on from its newest state."""
        return replace(self, is_resumed=True, limits=limits or Limits())


def small_run(data: Dataset, folder: Path, *, seed: int = 0, **train: Any) -> SmallRun:
    """A run of seconds on 4x4 puzzles, with other numbers of the training where they are given."""
    recipe = get_recipe("sudoku", "tiny")
    recipe = replace(recipe, model=small_config(), train=replace(TINY, **train))
    return SmallRun(Plan(recipe, Sudoku(), ["generated.csv"], seed), data, folder)
