"""How far a training run is and what it has reported: what the dashboard draws."""

import time
from collections.abc import Callable

from trm_cli.training.loop import Evaluation, Limits, Report
from trm_cli.training.recipes import Recipe

PACE_REPORTS = 20  # the latest reports, which the pace is measured over


class RunState:
    """The events of a run so far, and the times that follow from them."""

    def __init__(
        self, recipe: Recipe, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        config = recipe.train
        self.name = f"{recipe.task} {recipe.name}"
        self.steps = min(config.steps, limits.max_steps or config.steps)
        self.evaluate_every = config.evaluate_every
        by_time = config.decay_by == "time"
        self.run_seconds = config.minutes * 60 or None if by_time else None
        self.call_seconds = limits.max_seconds
        self.reports: list[Report] = []
        self.evaluations: list[Evaluation] = []
        self.is_over = False
        self.generated: tuple[int, int] | None = None  # puzzles done and wanted; None if all are
        self._clock = clock
        self._resumed: float | None = None  # when, if this run had been interrupted
        self._before = 0.0  # seconds that earlier calls trained for
        self._reported = clock()  # when the latest report came

    def generate(self, done: int, wanted: int) -> None:
        """Note how many puzzles there are, before the run begins."""
        self.generated = (done, wanted) if done < wanted else None

    def resume(self) -> None:
        """Note that the run goes on: its events count the time of earlier calls, too."""
        self._resumed = self._clock()

    def add(self, event: Report | Evaluation) -> None:
        """Take in what happened."""
        if isinstance(event, Evaluation):
            self.evaluations.append(event)
            return
        self._reported = self._clock()
        if self._resumed is not None and not self.reports:
            self._before = max(0.0, event.seconds - (self._reported - self._resumed))
        self.reports.append(event)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.reports[-1].step if self.reports else 0

    @property
    def elapsed(self) -> float:
        """Seconds of training since the run began."""
        if not self.reports:
            return 0.0
        return self.reports[-1].seconds + self._clock() - self._reported

    @property
    def share(self) -> float:
        """How much is over, 0 to 1: of the steps or of the time, whichever ends first."""
        if not self.reports:
            return self.generated[0] / self.generated[1] if self.generated else 0.0
        by_time = [self.elapsed / seconds for seconds in self._ends() if seconds]
        return min(1.0, max(self.step / self.steps, *by_time, 0.0))

    @property
    def seconds_left(self) -> float | None:
        """Until the last step or the end of the time, whichever comes first; None if unknown."""
        ends = self._ends()
        recent = self.reports[-PACE_REPORTS:]
        if len(recent) > 1 and recent[-1].step > recent[0].step:
            pace = (recent[-1].seconds - recent[0].seconds) / (recent[-1].step - recent[0].step)
            ends.append(recent[-1].seconds + (self.steps - self.step) * pace)
        return max(0.0, min(ends) - self.elapsed) if ends else None

    def _ends(self) -> list[float]:
        """Seconds of training at which the time will be over."""
        ends = [] if self.run_seconds is None else [self.run_seconds]
        return ends if self.call_seconds is None else [*ends, self._before + self.call_seconds]

    @property
    def is_evaluating(self) -> bool:
        """Whether the held-out puzzles are being tried."""
        is_due = self.step % self.evaluate_every == 0 or self.share >= 1
        is_done = bool(self.evaluations) and self.evaluations[-1].step == self.step
        return bool(self.reports) and is_due and not is_done and not self.is_over
