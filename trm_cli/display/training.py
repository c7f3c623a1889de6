"""A training run on stderr: a bar with the figures on a terminal, plain lines elsewhere."""

import time
from pathlib import Path
from types import TracebackType

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from trm_cli.display.console import remarks_console
from trm_cli.training.loop import Evaluation, Limits, Report
from trm_cli.training.recipes import Recipe

SECONDS_BETWEEN_LINES = 10.0  # where there is no bar


class TrainingDisplay:
    """Shows the events of a run as they come; a context manager."""

    def __init__(self, recipe: Recipe, limits: Limits, *, quiet: bool) -> None:
        self.console = remarks_console(quiet)
        self.limits = limits
        self.steps = min(recipe.train.steps, limits.max_steps or recipe.train.steps)
        self.title = f"{recipe.task} {recipe.name}"
        self.live = self.console.is_terminal and not quiet
        self.progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False), BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}", markup=False), TimeElapsedColumn(),
            TimeRemainingColumn(), console=self.console, disable=not self.live,
        )  # fmt: skip
        self.bar: TaskID | None = None
        self.last_line = float("-inf")  # when the last plain line was printed

    def __enter__(self) -> "TrainingDisplay":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.progress.stop()

    def generating(self, done: int, wanted: int) -> None:
        """Show that puzzles are being generated."""
        figures = f"generating puzzles {done:,} of {wanted:,}"
        self._move(done / wanted, figures)
        self._print_now_and_then(figures)

    def show(self, event: Report | Evaluation) -> None:
        """Show one event of the run."""
        if isinstance(event, Evaluation):
            self.console.print(self._evaluation_line(event))
            return
        figures = _figures(event)
        self._move(self._share(event), figures)
        self._print_now_and_then(f"step {event.step}  {event.seconds:.0f} s  {figures}")

    def finished(self, folder: Path) -> None:
        """Say where everything lies and how to use it."""
        self.console.print(f"run folder   {folder}")
        self.console.print(f"checkpoint   {folder / 'checkpoint'}")
        task = self.title.split()[0]
        self.console.print(f"try it       trm solve {task} PUZZLES --model {folder / 'checkpoint'}")

    def _share(self, report: Report) -> float:
        by_time = report.seconds / self.limits.max_seconds if self.limits.max_seconds else 0.0
        return min(1.0, max(report.step / self.steps, by_time))

    def _evaluation_line(self, event: Evaluation) -> str:
        scores = event.scores
        precision = "never halted" if scores.precision is None else f"{scores.precision:.2%}"
        return (
            f"step {event.step}  {event.seconds:.0f} s  held out: solved {scores.verified:.2%}  "
            f"exact {scores.exact:.2%}  cells {scores.cell:.2%}  "
            f"steps {scores.mean_steps:.1f}  right when halting {precision}"
        )

    def _move(self, share: float, figures: str) -> None:
        if self.bar is None:
            self.bar = self.progress.add_task(self.title, total=1.0, figures=figures)
        self.progress.update(self.bar, completed=share, figures=figures)

    def _print_now_and_then(self, line: str) -> None:
        """Print a line where there is no bar, at most one in a while."""
        now = time.monotonic()
        if not self.live and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(line)


def _figures(report: Report) -> str:
    """A report in one line."""
    halts = "none halts yet"
    if report.halting_step is not None and report.solved is not None:
        halts = f"halts at {report.halting_step:.1f}, {report.solved:.1%} of them right"
    return (
        f"loss {report.loss:.3f}  cells {report.cell_accuracy:.1%}  {halts}  "
        f"{report.puzzles_per_second:.0f} puzzles/s"
    )
