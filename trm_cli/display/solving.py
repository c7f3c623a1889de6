"""What `trm solve` says on stderr: a bar while it works, a summary when there were several."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.display.console import remarks_console
from trm_cli.solving.engine import Solution

SAY_SECONDS = 30.0  # between two lines where there is no bar


class SolvingDisplay:
    """Counts solutions and shows how far the work is; a context manager."""

    def __init__(self, total: int, *, quiet: bool, answers_on_screen: bool = False, done: int = 0,
                 solved: int = 0) -> None:  # fmt: skip
        self.console = remarks_console(quiet)
        # Answers and a bar on one terminal would disturb each other.
        shows_bar = self.console.is_terminal and not quiet and not answers_on_screen
        self.progress = Progress(
            TextColumn("solving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=self.console, transient=True, disable=not shows_bar or total == 1,
        )  # fmt: skip
        self.bar = self.progress.add_task("", total=total, completed=done)
        self.total = total
        self.solved, self.done = solved, done
        self.done_before = done  # by an earlier call
        self.started = self.said = time.perf_counter()

    def __enter__(self) -> "SolvingDisplay":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.progress.stop()
        if kind is None and self.total > 1:
            seconds = time.perf_counter() - self.started
            self.console.print(
                f"{self.solved} of {self.done} solved in {seconds:.1f} s "
                f"({(self.done - self.done_before) / seconds:.1f} puzzles a second)"
            )

    def show(self, *solutions: Solution) -> None:
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
            f"{self.solved:,} of {self.done:,} solved, {self.total - self.done:,} to go: "
            f"about {minutes:.1f} minutes"
        )
