"""Commands that another one stands in for where the task is of another kind.

ARC's tasks are not puzzles with rules: they come as JSON, are learned from demonstrations and
answered by a vote. `trm data arc` and its like therefore have options of their own.
"""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


def by_task(**others: Callable[..., Any]) -> type[TyperCommand]:
    """A command class that hands over to another command where its name is the first argument."""

    class TaskCommand(TyperCommand):
        def make_context(
            self,
            info_name: str | None,
            args: list[str],
            parent: Any = None,
            **extra: Any,
        ) -> Any:
            if args and args[0] in others:
                other = _command(others[args[0]])
                return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
            context = super().make_context(info_name, args, parent, **extra)
            if (task := context.params.get("task")) in others:
                context.fail(f"write {task} before any option: trm {info_name} {task} ...")
            return context

    return TaskCommand


def _command(function: Callable[..., Any]) -> Any:
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False,
                      context_settings={"help_option_names": ["-h", "--help"]})  # fmt: skip
    app.command()(function)
    return typer.main.get_command(app)
