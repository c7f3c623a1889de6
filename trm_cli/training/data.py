"""Where a run's puzzles come from: files, or the task's own generator."""

from collections.abc import Callable
from pathlib import Path

from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.datasets import join, read_dataset
from trm_cli.training.recipes import Recipe


def gather(recipe: Recipe, files: list[Path], seed: int,
           progress: Callable[[int, int], None]) -> tuple[Dataset, list[str]]:  # fmt: skip
    """Read the files, or generate what the recipe asks for; returns the set and its names.

    progress  called with the number of puzzles generated and the number wanted.
    """
    task = get_task(recipe.task)
    if files:
        datasets = [read_dataset(file, task) for file in files]
        return join(datasets), [
            f"{file.name} ({len(d)} puzzles)" for file, d in zip(files, datasets, strict=True)
        ]
    wanted = recipe.data
    givens = (wanted.least_givens, wanted.most_givens)
    dataset = task.generate(wanted.puzzles, side=recipe.model.height, givens=givens, seed=seed,
                            progress=progress)  # fmt: skip
    return dataset, [f"{len(dataset)} generated puzzles of {givens[0]} to {givens[1]} givens"]
