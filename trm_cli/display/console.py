"""The two consoles: answers go to stdout, everything else to stderr; and progress on the latter.

Rich decides from the terminal, NO_COLOR and TERM whether to colour and move the cursor. On a pipe
it does neither, whatever FORCE_COLOR says: scripts read there.
"""

import sys
import time
from typing import IO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Bar = TypeVar("Bar", bound="ProgressBar")

PIPE_WIDTH = 120  # columns of a table that is not drawn on a terminal


def answers_console(file: IO[str] | None = None) -> Console:
    """Where answers are drawn: on stdout, or in a file."""
    return _console(file or sys.stdout)


def remarks_console(quiet: bool = False) -> Console:
    """Where progress and remarks go; nowhere at all if quiet."""
    return _console(sys.stderr, quiet)


def is_ascii(console: Console) -> bool:
    """Whether there are no characters but those of ASCII."""
    return not (console.encoding or "ascii").lower().startswith("utf")


def _console(stream: IO[str], quiet: bool = False) -> Console:
    on_screen = stream.isatty()
    width = None if on_screen else PIPE_WIDTH
    # A user's own brackets stay brackets: there is no markup.
    return Console(
        file=stream, force_terminal=on_screen, width=width, highlight=False, markup=False, soft_wrap=True, quiet=quiet
    )


SAY_SECONDS = 30.0  # between two lines where there is no bar


class ProgressBar:
    """A context manager that shows how far some work is: a bar on a terminal, now and then a line elsewhere."""

    def __init__(self, what: str, total: int, *, quiet: bool, done: int = 0, draws: bool = True) -> None:
        self.console = remarks_console(quiet)
        self.what, self.total, self.done = what, total, done
        self.done_before = done  # by an earlier call
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
        is_hidden = quiet or not (draws and self.console.is_terminal)
        self.progress = Progress(*columns, console=self.console, transient=True, disable=is_hidden)
        self.bar = self.progress.add_task("", total=total, completed=done)
        self.started = self.said = time.perf_counter()

    def __enter__(self: Bar) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.perf_counter() - self.started

    def add(self, more: int = 1) -> None:
        """Count more as done."""
        self.reach(self.done + more, self.total)

    def reach(self, done: int, total: int) -> None:
        """So much is done, of so much."""
        self.done, self.total = done, total
        self.progress.update(self.bar, completed=done, total=total)
        now = time.perf_counter()
        if not self.console.is_terminal and now - self.said > SAY_SECONDS:
            self.said = now
            minutes = self.seconds / max(1, done - self.done_before) * (total - done) / 60
            self.console.print(self._line(minutes))

    def _line(self, minutes: float) -> str:
        return f"{self.what}: {self.done:,} of {self.total:,}, about {minutes:.1f} minutes to go"


class SolvingDisplay(ProgressBar):
    """Counts solutions, and says in the end how many are solved, if it sums up."""

    def __init__(
        self,
        total: int,
        *,
        quiet: bool,
        answers_on_screen: bool = False,
        sums_up: bool = True,
        done: int = 0,
        solved: int = 0,
    ) -> None:
        # Answers and a bar on one terminal would disturb each other.
        super().__init__("solving", total, quiet=quiet, done=done, draws=total > 1 and not answers_on_screen)
        self.solved = solved
        self.sums_up = sums_up

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if raised[0] is None and self.total > 1 and self.sums_up:
            speed = (self.done - self.done_before) / self.seconds
            pace = f"in {self.seconds:.1f} s ({speed:.1f} puzzles a second)"
            self.console.print(f"{self.solved} of {self.done} solved {pace}")

    def show(self, is_solved: bool) -> None:
        """Count a solution."""
        self.solved += is_solved
        self.add()

    def _line(self, minutes: float) -> str:
        left = self.total - self.done
        return f"{self.solved:,} of {self.done:,} solved, {left:,} to go: about {minutes:.1f} minutes"
