"""ARC's data sets as a training run takes them: what is trained on, and what it is judged by."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.errors import UsageError
from trm_cli.tasks.arc_data import COUNTS_FILE, ArcData, ArcPart, read_data
from trm_cli.tasks.arc_grid import side_of
from trm_cli.tasks.base import UNRATED, Dataset, digest
from trm_cli.training.recipes import Recipe
from trm_cli.weights.puzzles import TABLE_FILE, PuzzleTable, Register
from trm_cli.weights.store import LoadedModel

ARC = "arc"  # the task
KNOWN, TESTS = "known pairs", "ARC tests"  # what judges a run: its own pairs, or others' tests


@dataclass(frozen=True)
class PuzzlePairs(Dataset):
    """Pairs of puzzles that are told apart."""

    ids: NDArray[np.int64]  # [N] rows of the table

    @property
    def role(self) -> str:
        """KNOWN or TESTS."""
        return self.sources[0]


def folder_of(sources: list[str]) -> Path:
    """The one data set that ARC is trained on; raises UsageError where another number is given."""
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        raise UsageError("arc: give --data FOLDER, one folder made by `trm data arc`")
    return Path(sources[0])


def open_data(sources: list[str]) -> ArcData:
    """The data set, its boards still on the disk; raises UsageError where there is none."""
    return read_data(folder_of(sources))


def sized(recipe: Recipe, sources: list[str]) -> Recipe:
    """The recipe with as many rows for puzzles as the data set has, on its boards."""
    path = folder_of(sources) / "train" / COUNTS_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        count, side = int(known["num_puzzle_identifiers"]), side_of(int(known["seq_len"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: no counts of an ARC data set ({error}); make one with `trm data arc`"
        ) from error
    model = replace(recipe.model, num_puzzles=count, height=side, width=side)
    return replace(recipe, model=model)


def pairs_of(part: ArcPart, sha256: str) -> Dataset:
    """All pairs of a part, as they lie on the disk."""
    return Dataset(part.inputs, part.labels, [], np.empty(0, np.int64), sha256)


def judged_by(data: ArcData, most: int) -> PuzzlePairs:
    """Pairs to measure a network on while it trains: tests of evaluation tasks in all their ways.

    Without evaluation tasks, the pairs that are trained on, in the plain way.
    most  how many; they are spread evenly.
    """
    if data.test is not None:
        part, rows = data.test, np.arange(len(data.test.inputs))
        source = TESTS
    else:
        part = data.train
        ends = part.puzzle_indices
        plain = part.group_indices[:-1]
        rows = np.concatenate([np.arange(ends[puzzle], ends[puzzle + 1]) for puzzle in plain])
        source = KNOWN
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    ids = part.puzzle_identifiers[part.puzzles_of_examples()[rows]].astype(np.int64)
    inputs, labels = np.array(part.inputs[rows]), np.array(part.labels[rows])
    return PuzzlePairs(inputs, labels, [source] * len(rows), np.full(len(rows), UNRATED),
                       digest(inputs, labels), ids)  # fmt: skip


def register_of(data: ArcData) -> Register:
    """What the rows of a network that is trained on a data set stand for."""
    known = {task.name: task.digest for task in data.tests}
    return Register.of_names(data.names, {**known, **data.facts.get("tasks", {})})


def start_table(start: LoadedModel | None, register: Register) -> Tensor | None:
    """The table to start from; raises UsageError where it is of another data set."""
    if start is None:
        return None
    table = PuzzleTable(start.folder / TABLE_FILE)
    if table.register() != register:
        raise UsageError("--init: that checkpoint's puzzles are not those of the data set")
    return table.whole().to(torch.float32)
