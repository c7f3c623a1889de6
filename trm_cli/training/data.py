"""What a run trains on and is judged by: files, the Hub, or puzzles made as it goes."""

import json
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.config import same_weights
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.tasks import get_task
from trm_cli.tasks.arc_dataset import COUNTS_FILE
from trm_cli.tasks.arc_dataset import open_data as open_folder
from trm_cli.tasks.arc_grids import side_of
from trm_cli.tasks.base import UNRATED, Dataset, Task, Tokens, digest, generator_of
from trm_cli.tasks.problems import ProblemData, ProblemPart
from trm_cli.tasks.tables import dataset_bytes, join, read_dataset
from trm_cli.training.batches import Examples
from trm_cli.training.recipes import Recipe
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.hub import HUB_PREFIX, download_dataset
from trm_cli.weights.puzzle_table import PuzzleTable, Register
from trm_cli.weights.tensors import LoadedModel

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


def open_data(sources: list[str]) -> ProblemData:
    """The data set, its boards still on the disk; raises UsageError where there is none."""
    return open_folder(folder_of(sources))


def sized(recipe: Recipe, sources: list[str]) -> Recipe:
    """The recipe with as many rows for puzzles as the data set has, on its boards."""
    path = folder_of(sources) / "train" / COUNTS_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        count, side = int(known["num_puzzle_identifiers"]), side_of(int(known["seq_len"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no counts of an ARC data set ({error}); make one with `trm data arc`") from error
    model = replace(recipe.model, num_puzzles=count, height=side, width=side)
    return replace(recipe, model=model)


def pairs_of(part: ProblemPart, sha256: str) -> Dataset:
    """All pairs of a part, as they lie on the disk."""
    return Dataset(part.inputs, part.labels, [], np.empty(0, np.int64), sha256)


def judged_by(data: ProblemData, most: int) -> PuzzlePairs:
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
    return PuzzlePairs(inputs, labels, [source] * len(rows), np.full(len(rows), UNRATED), digest(inputs, labels), ids)


def start_table(start: LoadedModel | None, register: Register) -> Tensor | None:
    """The table to start from; raises UsageError where it is of another data set."""
    if start is None:
        return None
    table = PuzzleTable(start.folder / TABLE_FILE)
    if table.register() != register:
        raise UsageError("--init: that checkpoint's puzzles are not those of the data set")
    return table.whole().to(torch.float32)


GENERATE = "generate"  # the source that is no file
GENERATED_FILE = "data.csv.gz"  # in the folder of a run that made its own puzzles


@dataclass(frozen=True)
class Gathered:
    """All puzzles of a run, and what their sources are called in the card."""

    data: Dataset
    names: list[str]
    sources: list[str] = field(default_factory=list)  # as typed, but good from any folder
    arc: ProblemData | None = None  # the data set behind it, if it is one of ARC


@dataclass(frozen=True)
class Split:
    """What a run trains on, and what it is judged by."""

    used: Dataset
    held_out: Dataset


def gather(
    recipe: Recipe, sources: list[str], seed: int, *, kept: Path, progress: Callable[[int, int], None]
) -> Gathered:
    """Read the sources, or generate what the recipe asks for.

    sources   files, `hub:owner/name`, or `generate`; nothing means `generate`.
    kept      where this run keeps the puzzles that it generates; read if it is there.
    progress  called with the number of puzzles generated and the number wanted.
    """
    task = get_task(recipe.task)
    if recipe.task == ARC:
        return _arc(open_data(sources))
    parts = [
        _generated(recipe, task, seed, kept, progress) if source == GENERATE else _read(source, task)
        for source in sources or [GENERATE]
    ]
    return Gathered(
        join([part.data for part in parts]),
        [name for part in parts for name in part.names],
        [source for part in parts for source in part.sources],
    )


def _arc(data: ProblemData) -> Gathered:
    known = data.facts
    name = (
        f"{data.folder.name} ({len(data.names) - 1:,} puzzles of {len(known['tasks']):,} ARC tasks)"
        if known
        else f"{data.folder.name} (an ARC data set)"
    )
    return Gathered(pairs_of(data.train, data.sha256), [name], [str(data.folder.absolute())], data)


def _read(source: str, task: Task) -> Gathered:
    if source.startswith(HUB_PREFIX):
        path, commit = download_dataset(source.removeprefix(HUB_PREFIX))
        repository = re.split("[@:]", source.removeprefix(HUB_PREFIX))[0]
        snapshot = next(parent for parent in path.parents if parent.name == commit)
        lasting = f"{HUB_PREFIX}{repository}@{commit}:{path.relative_to(snapshot).as_posix()}"
        name = f"{source} ({path.name} of commit {commit})"
    else:
        path = Path(source)
        name, lasting = path.name, str(path.absolute())
    dataset = read_dataset(path, task)
    return Gathered(dataset, [f"{name} ({len(dataset)} puzzles)"], [lasting])


def _generated(recipe: Recipe, task: Task, seed: int, kept: Path, progress: Callable[[int, int], None]) -> Gathered:
    wanted, size = recipe.wanted, recipe.model.height
    name = f"{wanted.puzzles} generated {wanted.described(size)}"
    if fresh := recipe.train.fresh_puzzles:
        name += f", {fresh} of them replaced by new ones in every step"
    if kept.is_file():
        return Gathered(read_dataset(kept, task), [name], [GENERATE])
    dataset = generator_of(task).generate(wanted, size=size, seed=seed, progress=progress)
    return Gathered(dataset, [name], [GENERATE])


def keep_generated(path: Path, data: Dataset, task: Task) -> None:
    """Write generated puzzles for the calls that resume the run."""
    write_whole(path, dataset_bytes(data, task, gzipped=True), lasting=True)


def as_rows(puzzles: Tokens) -> np.ndarray:
    """Tokens [N, L] as N values that can be compared with one another."""
    return np.ascontiguousarray(puzzles).view(f"V{puzzles.shape[1]}").ravel()


def split_gathered(gathered: Gathered, *, validation: int, subsample: int | None, seed: int) -> Split:
    """What to train on and what to judge by; what is asked of ARC is decided in its data set."""
    if gathered.arc is None:
        return split(gathered.data, validation=validation, subsample=subsample, seed=seed)
    if subsample is not None:
        raise UsageError("--subsample: of ARC, make a smaller data set with `trm data arc --limit`")
    return Split(gathered.data, judged_by(gathered.arc, validation))


def split(data: Dataset, *, validation: int, subsample: int | None, seed: int) -> Split:
    """Hold `validation` puzzles out, then keep `subsample` of the others, or all.

    What is held out follows from the data and `validation` alone, so that a run that starts from
    another's weights is not judged by puzzles that the other was trained on. What the data have
    twice is never on both sides. The seed decides the subsample.
    Raises UsageError where there are too few.
    """
    if len(data) <= validation:
        raise UsageError(
            f"{len(data)} puzzles, of which {validation} would be held out; "
            "give more data or lower --set train.validation"
        )
    order = np.random.default_rng(0).permutation(len(data))
    held_out, others = order[:validation], order[validation:]
    rows = as_rows(data.puzzles)
    others = others[~np.isin(rows[others], rows[held_out])]
    if subsample is not None:
        if subsample > len(others):
            raise UsageError(f"--subsample {subsample}: only {len(others)} puzzles are left to train on")
        others = np.random.default_rng(seed).permutation(others)[:subsample]
    return Split(data.rows(np.sort(others)), data.rows(np.sort(held_out)))


def refuse_misfits(recipe: Recipe, start: LoadedModel | None) -> None:
    """Raise UsageError for what cannot work whatever the data are."""
    if start is not None and not same_weights(start.checkpoint.model, recipe.model):
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


def refuse_other_data(recipe: Recipe, gathered: Gathered) -> None:
    """Raise UsageError where the data do not fit the recipe."""
    cells = gathered.data.puzzles.shape[1]
    if cells != recipe.model.num_cells:
        wanted = " ".join(f"--set model.{n}={v}" for n, v in _board(get_task(recipe.task), cells).items())
        raise UsageError(
            f"the data set holds puzzles of {cells} cells, the recipe {recipe.name!r} is for "
            f"{recipe.model.num_cells}; give other data, or {wanted}"
        )


def _board(task: Task, num_cells: int) -> dict[str, int]:
    """What an architecture for puzzles of that many cells must say."""
    height, width, box_height, box_width = task.boxes(num_cells)
    vocab_size = task.vocab_size(num_cells)
    return {
        "height": height,
        "width": width,
        "box_height": box_height,
        "box_width": box_width,
        "vocab_size": vocab_size,
    }


SLICE = 256  # puzzles that are made and put in place together


class Supply:
    """Renews examples at `fresh_puzzles` a step."""

    def __init__(self, recipe: Recipe, parts: Split, *, seed: int) -> None:
        self.task = get_task(recipe.task)
        self.size = min(SLICE, len(parts.used))
        self.slots = len(parts.used) // self.size
        self.per_step = recipe.train.fresh_puzzles
        self.wanted = replace(recipe.wanted, puzzles=self.size)
        self.side = recipe.model.height
        self.seed = seed
        self.held_out = as_rows(parts.held_out.puzzles)
        self.placed = 0  # slices so far
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="puzzles")
        self.coming: tuple[int, Future[Dataset]] | None = None  # the slice being made, its number

    def renew(self, examples: Examples, step: int) -> None:
        """Put in place all slices that are due before a step of the run."""
        due = step * self.per_step // self.size
        self.placed = max(self.placed, due - self.slots)  # what was replaced since is not made
        while self.placed < due:
            made = self._slice(self.placed)
            first = self.placed % self.slots * self.size
            for old, new in ((examples.puzzles, made.puzzles), (examples.answers, made.answers)):
                old[first : first + self.size] = torch.from_numpy(new).to(old.device)
            self.placed += 1
        if self.coming is None or self.coming[0] != self.placed:
            self.coming = (self.placed, self.thread.submit(self._make, self.placed))

    def _slice(self, number: int) -> Dataset:
        if self.coming is not None and self.coming[0] == number:
            return self.coming[1].result()
        return self._make(number)

    def _make(self, number: int) -> Dataset:
        """The slice of that number; what was held out is left out of it."""
        made = generator_of(self.task).generate(self.wanted, size=self.side, seed=(self.seed, number + 1))
        fresh = np.flatnonzero(~np.isin(as_rows(made.puzzles), self.held_out))
        return made.rows(np.resize(fresh, self.size)) if len(fresh) < self.size else made
