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
    """A context manager that shows how far some work is: a bar on a terminal, now and then a line elsewhere.

    answers  the console that answers are drawn on meanwhile, if they are on a terminal.
    """

    def __init__(self, what: str, total: int, *, quiet: bool, done: int = 0, answers: Console | None = None) -> None:
        self.console = remarks_console(quiet)
        self.what, self.total, self.done = what, total, done
        self.done_before = done  # by an earlier call
        note = TextColumn("{task.description}")
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), note, TimeRemainingColumn(), TextColumn("left"))
        console = answers or self.console  # what is printed on the same one goes above the bar
        is_hidden = quiet or not console.is_terminal or console.is_dumb_terminal
        self.progress = Progress(*columns, console=console, transient=True, disable=is_hidden)
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
        self._say()

    def _say(self) -> None:
        """A line where there is no bar, if the last one is long ago."""
        now = time.perf_counter()
        if not self.console.is_terminal and now - self.said > SAY_SECONDS:
            self.said = now
            minutes = self.seconds / max(1, self.done - self.done_before) * (self.total - self.done) / 60
            self.console.print(self._line(minutes))

    def _line(self, minutes: float) -> str:
        return f"{self.what}: {self.done:,} of {self.total:,}, about {minutes:.1f} minutes to go"


class SolvingDisplay(ProgressBar):
    """Counts solutions and the puzzles that are being searched; says in the end how many are solved, if it sums up.

    Of a single puzzle there is nothing to show until it is searched.
    """

    def __init__(
        self,
        total: int,
        *,
        quiet: bool,
        answers: Console | None = None,
        sums_up: bool = True,
        done: int = 0,
        solved: int = 0,
    ) -> None:
        super().__init__("solving", total, quiet=quiet, done=done, answers=answers)
        self.solved = solved
        self.sums_up = sums_up
        self.searched = 0  # puzzles of which the first attempt failed, and that are not done

    def __enter__(self) -> "SolvingDisplay":
        return super().__enter__() if self.total > 1 else self

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if raised[0] is None and self.total > 1 and self.sums_up:
            speed = (self.done - self.done_before) / self.seconds
            pace = f"in {self.seconds:.1f} s ({speed:.1f} puzzles a second)"
            self.console.print(f"{self.solved} of {self.done} solved {pace}")

    def show(self, is_solved: bool) -> None:
        """Count a solution."""
        self.solved += is_solved
        self._note()
        self.add()

    def search(self, count: int) -> None:
        """So many puzzles are being searched. Solutions come in order, so that one of them may hold up many others."""
        if count != self.searched:
            self.searched = count
            self._note()
            self.progress.start()
        self._say()

    def _note(self) -> None:
        """What is told beside the bar."""
        told = [f"{self.solved:,} solved"] * (self.total > 1) + [f"{self.searched:,} being searched"] * (
            self.searched > 0
        )
        self.progress.update(self.bar, description=", ".join(told))

    def _line(self, minutes: float) -> str:
        searched = f" {self.searched:,} being searched," if self.searched else ""
        left = self.total - self.done
        return f"{self.solved:,} of {self.done:,} solved,{searched} {left:,} to go: about {minutes:.1f} minutes"
