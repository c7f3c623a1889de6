"""A training run on stderr: a dashboard on a terminal, plain lines elsewhere."""

import time
from pathlib import Path
from types import TracebackType

from rich.live import Live

from trm_cli.display.console import remarks_console
from trm_cli.display.dashboard import Dashboard
from trm_cli.display.figures import evaluation_line, report_line, short_evaluation_line
from trm_cli.display.run_state import RunState
from trm_cli.training.loop import Evaluation, Limits, Report
from trm_cli.training.recipes import Recipe

SECONDS_BETWEEN_LINES = 10.0  # where there is no dashboard
REDRAWS_PER_SECOND = 2.0  # of the dashboard, whose clock goes on between events


class TrainingDisplay:
    """Shows the events of a run as they come; a context manager."""

    def __init__(self, recipe: Recipe, limits: Limits, *, quiet: bool) -> None:
        self.console = remarks_console(quiet)
        self.task = recipe.task
        self.state = RunState(recipe, limits)
        self.live: Live | None = None
        if self.console.is_terminal and not self.console.is_dumb_terminal and not quiet:
            self.live = Live(
                Dashboard(self.state, recipe.model), console=self.console,
                refresh_per_second=REDRAWS_PER_SECOND, redirect_stdout=False,
                vertical_overflow="crop",
            )  # fmt: skip
        self.last_line = float("-inf")  # when the last plain line was printed

    def __enter__(self) -> "TrainingDisplay":
        if self.live:
            self.live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.state.is_over = True
        if self.live:
            self.live.transient = not self.state.reports  # nothing worth keeping on the screen
            self.live.stop()

    def generating(self, done: int, wanted: int) -> None:
        """Show that puzzles are being generated."""
        self.state.generate(done, wanted)
        self._print_now_and_then(f"generating puzzles {done:,} of {wanted:,}")

    def show(self, event: Report | Evaluation) -> None:
        """Show one event of the run."""
        self.state.add(event)
        if isinstance(event, Report):
            self._print_now_and_then(report_line(event))
        else:
            line = evaluation_line(event)
            fits = not self.live or len(line) <= self.console.width
            self.console.print(line if fits else short_evaluation_line(event))

    def resumed(self, folder: Path, step: int) -> None:
        """Say which run goes on, and where."""
        self.state.resume()
        self.console.print(f"resumed      {folder} at step {step:,}")

    def finished(self, folder: Path) -> None:
        """Say where everything lies and how to use it."""
        checkpoint = folder / "checkpoint"
        self.console.print(f"run folder   {folder}")
        self.console.print(f"checkpoint   {checkpoint}")
        self.console.print(f"try it       trm solve {self.task} PUZZLES --model {checkpoint}")

    def interrupted(self, folder: Path, resume_command: str) -> None:
        """Say that nothing is lost and how to go on."""
        self.console.print(f"stopped at step {self.state.step:,}; the run is saved")
        self.console.print(f"run folder   {folder}")
        self.console.print(f"go on with   {resume_command}")

    def _print_now_and_then(self, line: str) -> None:
        """Print a line where there is no dashboard, at most one in a while."""
        now = time.monotonic()
        if not self.live and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(line)
