"""Puzzles: one file a kind, and the registry that names them."""

from trm_cli.errors import UsageError
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.base import Task
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.sudoku import Sudoku

TASKS: dict[str, type[Task]] = {task.name: task for task in (Sudoku, Maze)}
LEARNED: dict[str, type[Task]] = {Arc.name: Arc}  # from demonstrations: no rules, no generator


def get_task(name: str) -> Task:
    """The task of that name; raises UsageError that lists the names there are."""
    known = TASKS | LEARNED
    if name not in known:
        raise UsageError(f"{name!r} is not a task; choose from: {', '.join(sorted(known))}")
    return known[name]()
