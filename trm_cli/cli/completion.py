"""What a shell completes: tasks, models, recipes, the words that an option takes.

Where nothing here fits, shells complete files. Torch is never imported.
"""

from collections.abc import Callable
from contextlib import suppress

import typer

from trm_cli.errors import ModelError, TRMError
from trm_cli.tasks import task_names


def complete_tasks(incomplete: str) -> list[str]:
    """The tasks that come with trm and those that packages add."""
    return _starting(task_names(), incomplete)


def complete_first_task(ctx: typer.Context, incomplete: str) -> list[str]:
    """A task as the first word; puzzles and files follow, which the shell knows better."""
    return [] if ctx.params.get("words") else complete_tasks(incomplete)


def complete_models(ctx: typer.Context, incomplete: str) -> list[str]:
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
    return _starting([*fitting, *(repo.repo for repo in cached_models() if repo.repo not in fitting)], incomplete)


def complete_recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The recipes of the task that was typed, or of all tasks."""
    from trm_cli.training.recipes import recipe_names

    named = _named_task(ctx)
    names: list[str] = []
    for task in task_names() if named is None else [named]:
        with suppress(TRMError):
            names += recipe_names(task)
    return _starting([*dict.fromkeys(names)], incomplete)


def complete_words(*words: str) -> Callable[[str], list[str]]:
    """A completion from a fixed list."""

    def complete(incomplete: str) -> list[str]:
        return _starting(list(words), incomplete)

    return complete


def _named_task(ctx: typer.Context) -> str | None:
    """The task among the words that were typed."""
    words = [ctx.params.get("task"), *ctx.args]  # where an option still lacks its value, all words are in `args`
    return next((word for word in words if word in task_names()), None)


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
