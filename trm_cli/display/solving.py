"""What `trm solve` says on stderr: a bar while it works, a summary when there were several."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.display.console import remarks_console
from trm_cli.solving.engine import Solution


class SolvingDisplay:
    """Counts solutions and shows how far the work is; a context manager."""

    def __init__(self, total: int, *, quiet: bool, answers_on_screen: bool = False) -> None:
        self.console = remarks_console(quiet)
        # Answers and a bar on one terminal would disturb each other.
        shows_bar = self.console.is_terminal and not quiet and not answers_on_screen
        self.progress = Progress(
            TextColumn("solving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=self.console, transient=True, disable=not shows_bar or total == 1,
        )  # fmt: skip
        self.bar = self.progress.add_task("", total=total)
        self.total = total
        self.solved = 0
        self.done = 0
        self.started = time.perf_counter()

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
                f"({self.done / seconds:.1f} puzzles a second)"
            )

    def show(self, *solutions: Solution) -> None:
        """Count solutions."""
        self.done += len(solutions)
        self.solved += sum(solution.solved for solution in solutions)
        self.progress.update(self.bar, completed=self.done)
