"""Where a run's puzzles come from: files, the Hub, or the task's own generator."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.tasks import get_task
from trm_cli.tasks.arc_data import ArcData
from trm_cli.tasks.base import Dataset, Task, Tokens
from trm_cli.tasks.datasets import dataset_bytes, join, read_dataset
from trm_cli.training.arc_sources import ARC, judged_by, open_data, pairs_of
from trm_cli.training.recipes import Recipe
from trm_cli.weights.hub import download_dataset
from trm_cli.weights.hub_client import HUB_PREFIX

GENERATE = "generate"  # the source that is no file
GENERATED_FILE = "data.csv.gz"  # in the folder of a run that made its own puzzles


@dataclass(frozen=True)
class Gathered:
    """All puzzles of a run, and what their sources are called in the card."""

    data: Dataset
    names: list[str]
    sources: list[str] = field(default_factory=list)  # as typed, but good from any folder
    arc: ArcData | None = None  # the data set behind it, if it is one of ARC


@dataclass(frozen=True)
class Split:
    """What a run trains on, and what it is judged by."""

    used: Dataset
    held_out: Dataset


def gather(recipe: Recipe, sources: list[str], seed: int, *, kept: Path,
           progress: Callable[[int, int], None]) -> Gathered:  # fmt: skip
    """Read the sources, or generate what the recipe asks for.

    sources   files, `hub:owner/name`, or `generate`; nothing means `generate`.
    kept      where this run keeps the puzzles that it generates; read if it is there.
    progress  called with the number of puzzles generated and the number wanted.
    """
    task = get_task(recipe.task)
    if recipe.task == ARC:
        return _arc(open_data(sources))
    parts = [
        _generated(recipe, task, seed, kept, progress)
        if source == GENERATE
        else _read(source, task)
        for source in sources or [GENERATE]
    ]
    return Gathered(
        join([part.data for part in parts]),
        [name for part in parts for name in part.names],
        [source for part in parts for source in part.sources],
    )


def _arc(data: ArcData) -> Gathered:
    known = data.facts
    name = (f"{data.folder.name} ({len(data.names) - 1:,} puzzles of {len(known['tasks']):,} ARC "
            f"tasks)" if known else f"{data.folder.name} (an ARC data set)")  # fmt: skip
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


def _generated(recipe: Recipe, task: Task, seed: int, kept: Path,
               progress: Callable[[int, int], None]) -> Gathered:  # fmt: skip
    wanted, size = recipe.data, recipe.model.height
    name = f"{wanted.puzzles} generated {wanted.described(size)}"
    if fresh := recipe.train.fresh_puzzles:
        name += f", {fresh} of them replaced by new ones in every step"
    if kept.is_file():
        return Gathered(read_dataset(kept, task), [name], [GENERATE])
    dataset = task.generate(wanted, size=size, seed=seed, progress=progress)
    return Gathered(dataset, [name], [GENERATE])


def keep_generated(path: Path, data: Dataset, task: Task) -> None:
    """Write generated puzzles for the calls that resume the run."""
    write_whole(path, dataset_bytes(data, task, gzipped=True), lasting=True)


def as_rows(puzzles: Tokens) -> np.ndarray:
    """Tokens [N, L] as N values that can be compared with one another."""
    return np.ascontiguousarray(puzzles).view(f"V{puzzles.shape[1]}").ravel()


def split_gathered(gathered: Gathered, *, validation: int, subsample: int | None,
                   seed: int) -> Split:  # fmt: skip
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
            raise UsageError(
                f"--subsample {subsample}: only {len(others)} puzzles are left to train on"
            )
        others = np.random.default_rng(seed).permutation(others)[:subsample]
    return Split(data.rows(np.sort(others)), data.rows(np.sort(held_out)))
