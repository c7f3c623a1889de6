"""ARC tasks made for the tests: random grids, the output being the input in other colours."""

import json
from pathlib import Path
from typing import Any

import numpy as np

Known = dict[str, Any]


def made_tasks(
    count: int, *, seed: int, largest: int = 12, prefix: str = "task"
) -> dict[str, Known]:
    """Tasks with two to four demonstrations and one or two tests, answers included."""
    rng = np.random.RandomState(seed)
    return {f"{prefix}{number}": made_task(rng, largest) for number in range(count)}


def made_task(rng: np.random.RandomState, largest: int) -> Known:
    colours = np.concatenate([[0], 1 + rng.permutation(9)])

    def pair() -> Known:
        grid = rng.randint(0, 10, rng.randint(1, largest + 1, 2))
        return {"input": grid.tolist(), "output": colours[grid].T.tolist()}

    return {"train": [pair() for _ in range(rng.randint(2, 5))],
            "test": [pair() for _ in range(rng.randint(1, 3))]}  # fmt: skip


def write_challenges(folder: Path, name: str, tasks: dict[str, Known]) -> Path:
    """Write tasks as Kaggle does: challenges, and their solutions beside them."""
    asked = {
        task: {**known, "test": [{"input": pair["input"]} for pair in known["test"]]}
        for task, known in tasks.items()
    }
    solutions = {task: [p["output"] for p in known["test"]] for task, known in tasks.items()}
    (folder / f"{name}_solutions.json").write_text(json.dumps(solutions))
    path = folder / f"{name}_challenges.json"
    path.write_text(json.dumps(asked))
    return path
