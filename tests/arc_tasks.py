"""ARC tasks made for the tests: random grids, the output being the input in other colours."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.voting import register_of
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_dataset import Subset, build, open_data
from trm_cli.tasks.arc_grids import read_problems
from trm_cli.tasks.problems import ProblemData
from trm_cli.training.recipes import Recipe
from trm_cli.training.run import Options, resolve_plan
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.puzzle_table import save_table
from trm_cli.weights.tensors import save_checkpoint

Known = dict[str, Any]
SIDE = 6  # of the boards of `small_data`


def made_tasks(count: int, *, seed: int, largest: int = 12, prefix: str = "task") -> dict[str, Known]:
    """Tasks with two to four demonstrations and one or two tests, answers included."""
    rng = np.random.RandomState(seed)
    return {f"{prefix}{number}": made_task(rng, largest) for number in range(count)}


def made_task(rng: np.random.RandomState, largest: int) -> Known:
    colours = np.concatenate([[0], 1 + rng.permutation(9)])

    def pair() -> Known:
        grid = rng.randint(0, 10, rng.randint(1, largest + 1, 2))
        return {"input": grid.tolist(), "output": colours[grid].T.tolist()}

    return {"train": [pair() for _ in range(rng.randint(2, 5))], "test": [pair() for _ in range(rng.randint(1, 3))]}


def write_challenges(folder: Path, name: str, tasks: dict[str, Known]) -> Path:
    """Write tasks as Kaggle does: challenges, and their solutions beside them."""
    asked = {
        task: {**known, "test": [{"input": pair["input"]} for pair in known["test"]]} for task, known in tasks.items()
    }
    solutions = {task: [p["output"] for p in known["test"]] for task, known in tasks.items()}
    (folder / f"{name}_solutions.json").write_text(json.dumps(solutions))
    path = folder / f"{name}_challenges.json"
    path.write_text(json.dumps(asked))
    return path


def small_data(folder: Path) -> ProblemData:
    """Two training and two evaluation tasks on boards of 6x6, each in up to four ways."""
    subsets = []
    for name, seed in (("training", 1), ("evaluation", 2)):
        made = made_tasks(2, seed=seed, largest=5, prefix=name)
        tasks = read_problems(write_challenges(folder, name, made))
        subsets.append(Subset(name, tasks, name == "evaluation"))
    build(subsets, folder / "set", augmentations=3, seed=0, side=SIDE)
    return open_data(folder / "set")


def small_recipe(data: ProblemData) -> Recipe:
    """The recipe `tiny`, made tinier, for a data set."""
    recipe = resolve_plan(Options("arc", "tiny", data=[str(data.folder)])).recipe
    model = replace(recipe.model, hidden_size=8, channel_width=8, num_heads=2, n=1, T=1, N_sup=2)
    return replace(recipe, model=model, train=replace(recipe.train, batch_size=4, muon_lr=0.02))


def save_untrained(folder: Path, data: ProblemData) -> Path:
    """A checkpoint with random weights that knows a data set's puzzles by name alone."""
    torch.manual_seed(0)
    model = replace(small_recipe(data).model, N_sup=1)
    training = {"train": asdict(small_recipe(data).train)}
    save_checkpoint(folder, Checkpoint("untrained", "arc", model, training), TinyRecursiveModel(model))
    table = torch.randn(model.num_puzzles, model.hidden_size)
    save_table(folder, table, register_of(Arc(), data))
    return folder
