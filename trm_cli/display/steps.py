"""How far a piece of work of a known length is, on stderr: a bar, or a line now and then."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.display.console import remarks_console

SAY_SECONDS = 30.0  # between two lines where there is no bar


class StepsBar:
    """A context manager; `add` says how much more is done."""

    def __init__(self, what: str, total: int, *, quiet: bool) -> None:
        self.console = remarks_console(quiet)
        self.what, self.total, self.done = what, total, 0
        self.progress = Progress(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("left"), console=self.console, transient=True,
            disable=quiet or not self.console.is_terminal,
        )  # fmt: skip
        self.bar = self.progress.add_task("", total=total)
        self.started = self.said = time.perf_counter()

    def __enter__(self) -> "StepsBar":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
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
            self.console.print(
                f"{self.what}: {self.done:,} of {self.total:,}, about {minutes:.1f} minutes to go"
            )
