"""The two consoles: answers go to stdout, everything else to stderr; and progress on the latter.

Rich decides from the terminal, NO_COLOR and TERM whether to colour and move the cursor. On a pipe
it does neither, whatever FORCE_COLOR says: scripts read there.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from trm_cli.solving.engine import Solution

PIPE_WIDTH = 120  # columns of a table that is not drawn on a terminal


def answers_console() -> Console:
    """Where answers are drawn."""
    return _console(sys.stdout)


def remarks_console(quiet: bool = False) -> Console:
    """Where progress and remarks go; nowhere at all if quiet."""
    return _console(sys.stderr, quiet)


def file_console(file: IO[str]) -> Console:
    """Where answers are drawn that go to a file."""
    return _console(file)


def has_colour(console: Console) -> bool:
    """Whether what is drawn there can be told apart by colour."""
    return console.color_system is not None and not console.no_color


def _console(stream: IO[str], quiet: bool = False) -> Console:
    on_screen = stream.isatty()
    return Console(
        file=stream,
        force_terminal=on_screen,
        width=None if on_screen else PIPE_WIDTH,
        highlight=False,
        markup=False,  # a user's own brackets stay brackets
        soft_wrap=True,
        quiet=quiet,
    )


@contextmanager
def generating(total: int, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; gives the function to call with the numbers of puzzles done and wanted."""
    console = remarks_console(quiet)
    progress = Progress(
        TextColumn("generating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    bar = progress.add_task("", total=total)
    with progress:
        yield lambda done, wanted: progress.update(bar, completed=done, total=wanted)


SAY_SECONDS = 30.0  # between two lines where there is no bar


class StepsBar:
    """A context manager; `add` says how much more is done."""

    def __init__(self, what: str, total: int, *, quiet: bool) -> None:
        self.console = remarks_console(quiet)
        self.what, self.total, self.done = what, total, 0
        self.progress = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self.bar = self.progress.add_task("", total=total)
        self.started = self.said = time.perf_counter()

    def __enter__(self) -> "StepsBar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.perf_counter() - self.started

    def add(self, more: int = 1) -> None:
        """Count more as done."""
        self.done += more
        self.progress.update(self.bar, completed=self.done)
        if not self.console.is_terminal and time.perf_counter() - self.said > SAY_SECONDS:
            self.said = time.perf_counter()
            minutes = self.seconds / self.done * (self.total - self.done) / 60
            self.console.print(f"{self.what}: {self.done:,} of {self.total:,}, about {minutes:.1f} minutes to go")


class SolvingDisplay:
    """Counts solutions and shows how far the work is; a context manager."""

    def __init__(
        self, total: int, *, quiet: bool, answers_on_screen: bool = False, done: int = 0, solved: int = 0
    ) -> None:
        self.console = remarks_console(quiet)
        # Answers and a bar on one terminal would disturb each other.
        shows_bar = self.console.is_terminal and not quiet and not answers_on_screen
        self.progress = Progress(
            TextColumn("solving"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not shows_bar or total == 1,
        )
        self.bar = self.progress.add_task("", total=total, completed=done)
        self.total = total
        self.solved, self.done = solved, done
        self.done_before = done  # by an earlier call
        self.started = self.said = time.perf_counter()

    def __enter__(self) -> "SolvingDisplay":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if kind is None and self.total > 1:
            seconds = time.perf_counter() - self.started
            self.console.print(
                f"{self.solved} of {self.done} solved in {seconds:.1f} s "
                f"({(self.done - self.done_before) / seconds:.1f} puzzles a second)"
            )

    def show(self, *solutions: "Solution") -> None:
        """Count solutions."""
        self.done += len(solutions)
        self.solved += sum(solution.solved for solution in solutions)
        self.progress.update(self.bar, completed=self.done)
        if not self.console.is_terminal and time.perf_counter() - self.said > SAY_SECONDS:
            self._say()

    def _say(self) -> None:
        """How far it is, in a line of its own: there is no bar on a pipe or in a log."""
        self.said = time.perf_counter()
        rate = (self.done - self.done_before) / (self.said - self.started)
        minutes = (self.total - self.done) / rate / 60
        self.console.print(
            f"{self.solved:,} of {self.done:,} solved, {self.total - self.done:,} to go: about {minutes:.1f} minutes"
        )
