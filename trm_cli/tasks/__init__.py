"""Puzzles: one file a kind, and the registry that names them.

Others add theirs through the entry-point group `trm_cli.tasks`: a name, and the class of the task.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from trm_cli.tasks.base import Task

GROUP = "trm_cli.tasks"
BUILT_IN = {"sudoku": "trm_cli.tasks.sudoku:Sudoku", "maze": "trm_cli.tasks.maze:Maze", "arc": "trm_cli.tasks.arc:Arc"}


@cache
def added_tasks() -> "dict[str, EntryPoint]":
    """The tasks that installed packages add, by name; those that come with trm cannot be replaced."""
    from importlib.metadata import entry_points  # a tenth of the time that help takes

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def task_names() -> list[str]:
    """Every task there is, those that come with trm first."""
    return [*BUILT_IN, *sorted(added_tasks())]


def loadable_tasks() -> "Iterator[Task]":
    """Every task there is, but for those of broken packages."""
    for name in task_names():
        with suppress(UsageError):
            yield get_task(name)


def get_task(name: str) -> "Task":
    """The task of that name; raises UsageError that lists the names there are, or says why one fails."""
    from trm_cli.tasks.base import Task  # numpy, which help does without

    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        built_in: Task = getattr(import_module(module), attribute)()
        return built_in
    if name not in added_tasks():
        known = sorted(task_names())
        choices = f"choose from: {', '.join(known)}, or install the package that adds it"
        raise UsageError(f"{name!r} is not a task; {choices}{did_you_mean(name, known)}")
    entry = added_tasks()[name]
    try:
        task = entry.load()()
    except Exception as error:
        raise UsageError(f"task {name}: {entry.value} cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(task, Task) or task.name != name:
        raise UsageError(f"task {name}: {entry.value} is no trm_cli.tasks.base.Task of that name; correct the package")
    return task
