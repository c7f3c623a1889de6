"""ARC tasks from JSON, plain or gzipped: one task a file, or many in one.

{"train": [{"input": [[0, 7], [7, 7]], "output": [[7]]}, ...], "test": [{"input": [[0, 0]]}]}
{"007bbfb7": {"train": ..., "test": ...}, ...}     many; outputs of tests may stand in a file of
                                                   their own, X_solutions.json beside X_challenges
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trm_cli.errors import PuzzleError
from trm_cli.tasks.arc_grid import NUM_COLOURS, SIDE, Grid, Pair, key
from trm_cli.tasks.datasets import open_text

CHALLENGES, SOLUTIONS = "_challenges", "_solutions"
SUFFIXES = (".gz", ".json")


@dataclass(frozen=True)
class ArcTask:
    """One task: pairs that show its rule, and inputs to which the rule is to be applied."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Grid, ...]
    answers: tuple[Grid | None, ...]  # one for each test; None where the file does not say
    source: str  # the file
    tests_come_first: bool = False  # in the file

    @property
    def largest(self) -> int:
        """The longest side of its grids, in cells."""
        given = [grid for pair in self.demonstrations for grid in pair]
        known = [answer for answer in self.answers if answer is not None]
        return max(int(max(grid.shape)) for grid in [*given, *self.tests, *known])

    def without_answers(self) -> "ArcTask":
        """The same task, as one who has to solve it sees it."""
        return replace(self, answers=(None,) * len(self.tests))

    @property
    def digest(self) -> str:
        """SHA-256 of the demonstrations, in hexadecimal: what a network can know of the task."""
        whole = b"".join(key(grid) for pair in self.demonstrations for grid in pair)
        return hashlib.sha256(whole).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The task as its file spells it, tests without answers where there are none."""
        train = [{"input": a.tolist(), "output": b.tolist()} for a, b in self.demonstrations]
        test = [
            {"input": test.tolist()} | ({} if answer is None else {"output": answer.tolist()})
            for test, answer in zip(self.tests, self.answers, strict=True)
        ]
        if self.tests_come_first:
            return {"test": test, "train": train}
        return {"train": train, "test": test}


def read_tasks(path: Path) -> list[ArcTask]:
    """The tasks of a file, or of every JSON file of a folder, in the order of their names there.

    Raises PuzzleError naming the file, the task and what is wrong with it.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if ".json" in file.suffixes)
        files = [file for file in files if SOLUTIONS not in file.name]
        if not files:
            raise PuzzleError(f"{path}: no JSON file in it; give a folder of ARC tasks")
        return [task for file in files for task in read_tasks(file)]
    with open_text(path) as text:
        tasks = parse_tasks(text.read(), str(path), stem(path))
    beside = path.with_name(path.name.replace(CHALLENGES, SOLUTIONS))
    return _answered(tasks, beside) if beside != path and beside.is_file() else tasks


def stem(path: Path) -> str:
    """The name of a file without .json and .gz."""
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def parse_tasks(text: str, source: str, name: str) -> list[ArcTask]:
    """The tasks of a JSON text.

    name  of the task, where the text is one task and does not say it.
    """
    known = _json(text, source)
    if isinstance(known, dict) and "train" in known:
        known = {name: known}
    if not isinstance(known, dict) or not known:
        raise PuzzleError(f'{source}: no ARC task; expected an object with "train" and "test"')
    return [_task(task, value, source) for task, value in known.items()]


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PuzzleError(f"{source}: not JSON ({error}); correct the file") from error


def _task(name: str, known: Any, source: str) -> ArcTask:
    where = f"{source}: task {name}"
    for part in ("train", "test"):
        if not isinstance(known, dict) or not isinstance(known.get(part), list):
            raise PuzzleError(f'{where}: no list "{part}"; a task has "train" and "test"')
        if not known[part]:
            raise PuzzleError(f'{where}: "{part}" is empty; add a pair')
    pairs = []
    for number, pair in enumerate(known["train"], 1):
        here = f"{where}, train {number}"
        pairs.append((_side(pair, "input", here), _side(pair, "output", here)))
    tests, answers = [], []
    for number, pair in enumerate(known["test"], 1):
        here = f"{where}, test {number}"
        tests.append(_side(pair, "input", here))
        answers.append(_side(pair, "output", here) if "output" in pair else None)
    tests_come_first = next(part for part in known if part in ("train", "test")) == "test"
    return ArcTask(name, tuple(pairs), tuple(tests), tuple(answers), source, tests_come_first)


def _side(pair: Any, side: str, where: str) -> Grid:
    if not isinstance(pair, dict) or side not in pair:
        raise PuzzleError(f'{where}: no "{side}"; add the grid')
    return grid_of(pair[side], f"{where}, {side}")


def grid_of(rows: Any, where: str) -> Grid:
    """A grid from lists of colours; raises PuzzleError where it is none."""
    if not (isinstance(rows, list) and rows and all(isinstance(r, list) and r for r in rows)):
        raise PuzzleError(f"{where}: expected rows of colours, such as [[0, 3], [3, 0]]")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise PuzzleError(
                f"{where}, row {number}: {len(row)} cells after rows of {len(rows[0])}; "
                "make all rows as long"
            )
        for column, colour in enumerate(row, 1):
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:
                raise PuzzleError(
                    f"{where}, row {number}, column {column}: {json.dumps(colour)} is no colour; "
                    f"colours are 0 to {NUM_COLOURS - 1}"
                )
    if len(rows) > SIDE or len(rows[0]) > SIDE:
        raise PuzzleError(
            f"{where}: {len(rows)}x{len(rows[0])} cells; a grid has at most {SIDE}x{SIDE}"
        )
    return np.array(rows, np.uint8)


def _answered(tasks: list[ArcTask], path: Path) -> list[ArcTask]:
    """The tasks with the answers of a file of solutions: a list of grids for each task."""
    with open_text(path) as text:
        known = _json(text.read(), str(path))
    found = []
    for task in tasks:
        grids = known.get(task.name) if isinstance(known, dict) else None
        if not isinstance(grids, list) or len(grids) != len(task.tests):
            raise PuzzleError(
                f"{path}: task {task.name}: expected a list of {len(task.tests)} grids, as many as "
                f"{task.source} has tests"
            )
        places = [f"{path}: task {task.name}, test {n}" for n in range(1, len(grids) + 1)]
        answers = tuple(grid_of(grid, place) for grid, place in zip(grids, places, strict=True))
        found.append(replace(task, answers=answers))
    return found
