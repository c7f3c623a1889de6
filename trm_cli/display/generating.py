"""A bar on stderr while puzzles are generated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.display.console import remarks_console


@contextmanager
def generating(total: int, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; gives the function to call with the numbers of puzzles done and wanted."""
    console = remarks_console(quiet)
    progress = Progress(
        TextColumn("generating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=quiet or not console.is_terminal,
    )  # fmt: skip
    bar = progress.add_task("", total=total)
    with progress:
        yield lambda done, wanted: progress.update(bar, completed=done, total=wanted)
