"""What a shell completes: tasks, models, recipes, the words that an option takes.

Typer keeps what begins as the word does. Where nothing fits, shells complete files. Torch is never imported.
"""

from collections.abc import Callable
from contextlib import suppress

import typer

from trm_cli.errors import ModelError, TRMError
from trm_cli.tasks import task_names


def complete_tasks() -> list[str]:
    """The tasks that come with trm and those that packages add."""
    return task_names()


def complete_first_task(ctx: typer.Context) -> list[str]:
    """A task as the first word; puzzles and files follow, which the shell knows better."""
    return [] if ctx.params.get("words") else task_names()


def complete_models(ctx: typer.Context) -> list[str]:
    """Bundled models, models in the Hub's cache and known ones; of the task, where it was typed and they have one."""
    from trm_cli.weights.checkpoint import bundled_checkpoints, read_config
    from trm_cli.weights.hub import cached_models, known_models

    tasks = {}
    for name, folder in bundled_checkpoints().items():
        with suppress(ModelError):
            tasks[name] = read_config(folder).task
    tasks |= {name: known.task for name, known in known_models().items()}
    named = _named_task(ctx)
    fitting = [name for name, task in tasks.items() if named in (None, task)]
    return [*fitting, *(repo.repo for repo in cached_models() if repo.repo not in fitting)]


def complete_recipes(ctx: typer.Context) -> list[str]:
    """The recipes of the task that was typed, or of all tasks."""
    from trm_cli.training.recipes import recipe_names

    named = _named_task(ctx)
    names: list[str] = []
    for task in task_names() if named is None else [named]:
        with suppress(TRMError):
            names += recipe_names(task)
    return [*dict.fromkeys(names)]


def complete_words(*words: str) -> Callable[[], list[str]]:
    """A completion from a fixed list."""
    return lambda: list(words)


def _named_task(ctx: typer.Context) -> str | None:
    """The task among the words that were typed."""
    words = [ctx.params.get("task"), *ctx.args]  # where an option still lacks its value, all words are in `args`
    return next((word for word in words if word in task_names()), None)
