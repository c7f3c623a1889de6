"""A training run on stderr: a dashboard on a terminal of any size, plain lines elsewhere.

Cyan is what the training batch says, green what the validation set says, blue where puzzles halt.
"""

import math
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from trm_cli.config import ModelConfig
from trm_cli.display.console import remarks_console
from trm_cli.display.lines import Series, area, bars, spread
from trm_cli.display.screen import figure
from trm_cli.model.network import count_parameters
from trm_cli.solving.evaluate import Scores
from trm_cli.tasks.base import HELD_OUT
from trm_cli.training.loop import Evaluation, Report, SavePoint
from trm_cli.training.recipes import Recipe
from trm_cli.training.run import Limits


def judge(event: Evaluation) -> str:
    """What the puzzles of an evaluation are called."""
    return "validation set" if event.judged_by == HELD_OUT else event.judged_by


def _precision(scores: Scores, digits: int) -> str:
    return "never halted" if scores.precision is None else f"right when halting {scores.precision:.{digits}%}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as on a clock: 4:07, 1:04:07."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


PACE_REPORTS = 20  # the latest reports, which the pace is measured over


class RunState:
    """The events of a run so far, and the times that follow from them."""

    def __init__(self, recipe: Recipe, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        config = recipe.train
        self.name = f"{recipe.task} {recipe.name}"
        self.steps = min(config.steps, limits.max_steps or config.steps)
        self.evaluate_every = config.evaluate_every
        self.run_seconds = config.minutes * 60 if config.decay_by == "time" else 0.0  # 0 is no limit, here and below
        self.limits = limits
        self.reports: list[Report] = []
        self.evaluations: list[Evaluation] = []
        self.is_over = False
        self.generated: tuple[int, int] | None = None  # puzzles done and wanted; None if all are
        self._clock = clock
        self._reported = 0.0  # when the latest report came

    def generate(self, done: int, wanted: int) -> None:
        """Note how many puzzles there are, before the run begins."""
        self.generated = (done, wanted) if done < wanted else None

    def add(self, event: Report | Evaluation) -> None:
        """Take in what happened."""
        if isinstance(event, Evaluation):
            self.evaluations.append(event)
            return
        self._reported = self._clock()
        self.reports.append(event)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.reports[-1].step if self.reports else 0

    @property
    def elapsed(self) -> float:
        """Seconds of training since the run began."""
        return self.reports[-1].seconds + self._clock() - self._reported if self.reports else 0.0

    @property
    def share(self) -> float:
        """How much is over, 0 to 1: of the steps or of the time, whichever ends first."""
        if self.generated and not self.reports:
            return self.generated[0] / self.generated[1]
        shares = [self.step / self.steps]
        if self.run_seconds:
            shares.append(self.elapsed / self.run_seconds)
        if self.limits.max_seconds is not None:
            shares.append(1 - self._call_left() / self.limits.max_seconds)
        return min(1.0, max(0.0, *shares))

    @property
    def seconds_left(self) -> float | None:
        """Until the last step or the end of the time, whichever comes first; None if unknown."""
        left = [self._call_left()] if self.limits.max_seconds is not None else []
        left += [self.run_seconds - self.elapsed] if self.run_seconds else []
        recent = self.reports[-PACE_REPORTS:]
        if recent and recent[-1].step > recent[0].step:
            pace = (recent[-1].seconds - recent[0].seconds) / (recent[-1].step - recent[0].step)
            left.append(recent[-1].seconds + (self.steps - self.step) * pace - self.elapsed)
        return max(0.0, min(left)) if left else None

    def _call_left(self) -> float:
        """Seconds until the time of this call is over."""
        return self.limits.began + (self.limits.max_seconds or 0.0) - self._clock()

    @property
    def is_evaluating(self) -> bool:
        """Whether the validation set is being evaluated."""
        is_due = self.step % self.evaluate_every == 0 or self.share >= 1
        is_done = self.step in (event.step for event in self.evaluations[-1:])
        return bool(self.reports) and is_due and not is_done and not self.is_over


LABELS, VALUES = 18, 8  # columns of the names on the left, of the latest values on the right
FIGURES = 26  # columns of the figures beside the histogram
WIDEST = 132  # columns used of a wider terminal
LEAST_WIDTH, LEAST_HEIGHT = 64, 18  # of a terminal that has room for charts
CHART_ROWS = ((36, 4), (30, 3), (23, 2), (0, 1))  # terminals of so many rows, rows of a chart
TRAINING, VALIDATION, HALTING = "cyan", "green", "blue"
LEAST_LOSS = 1e-9  # drawn on a logarithmic scale


class Dashboard:
    """Rich draws it, at any time and from any thread, from the state as it is then."""

    def __init__(self, state: RunState, model: ModelConfig) -> None:
        self.state = state
        self.num_parameters = count_parameters(model)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(WIDEST, options.max_width) - 2
        for line in _lines(self.state, self.num_parameters, width, console.size.height, options.ascii_only):
            yield Text(" ", end="")
            if isinstance(line, Text):
                line.truncate(width)
            yield line
            if isinstance(line, ProgressBar):
                yield Text()  # which ends its line


def _lines(
    state: RunState, num_parameters: int, width: int, height: int, ascii_only: bool
) -> Iterator[Text | ProgressBar]:
    """A run from the title down, each line at most as wide as the screen."""
    reports, evaluations = list(state.reports), list(state.evaluations)  # the training goes on while this is drawn
    yield spread(Text(state.name, "bold"), Text(f"{num_parameters:,} parameters", "dim"), width)
    yield ProgressBar(1.0, state.share, width, complete_style=TRAINING, finished_style=VALIDATION)
    if not reports:
        if state.generated:
            yield Text("generating puzzles {:,} of {:,}".format(*state.generated))
        else:
            yield Text("the first step is under way", "dim")
        return
    status = Text.assemble(("step ", "dim"), f"{state.step:,}", (f" of {state.steps:,}", "dim"))
    status.append("  evaluating" if state.is_evaluating else "", VALIDATION)
    times = Text.assemble(("elapsed ", "dim"), duration(state.elapsed))
    left = state.seconds_left
    if left is not None and not state.is_over:
        times.append("   left ", "dim").append(duration(left))
    yield spread(status, times, width)
    last = reports[-1]
    if width < LEAST_WIDTH - 2 or height < LEAST_HEIGHT:  # no room for charts
        evaluated = [f"  {judge(event)} {event.scores.verified:.1%}" for event in evaluations[-1:]]
        yield Text(f"loss {last.loss:.3f}  cells {last.cell_accuracy:.1%}" + "".join(evaluated))
        return

    def chart(name: str, series: Series, value: str, rows: int, style: str) -> Iterator[Text]:
        """A name, the series behind the value, and the value, on the chart's lowest row."""
        room = width - LABELS - VALUES
        *above, lowest = area(series, width=room, height=rows, ascii_only=ascii_only)
        for row in above:
            yield Text(" " * LABELS).append(row, style)
        yield Text.assemble((name.ljust(LABELS), "dim"), (lowest.ljust(room), style), (value.rjust(VALUES), "bold"))

    rows = next(rows for least, rows in CHART_ROWS if height >= least)
    between = [Text()] * (rows > 1)  # so that no chart stands on the next
    halting = next((report for report in reversed(reports) if report.halting_step is not None), None)
    solved = figure(halting.solved if halting else None, ".1%")
    losses = [math.log(max(LEAST_LOSS, report.loss)) for report in reports]
    yield Text()
    yield from chart("loss", losses, f"{last.loss:.3f}", rows, TRAINING)
    yield from between
    accuracies = [report.cell_accuracy for report in reports]
    yield from chart("cells right", accuracies, f"{last.cell_accuracy:.1%}", rows, TRAINING)
    yield from between
    yield from chart("solved", [report.solved for report in reports], solved, rows, TRAINING)
    yield Text()
    yield from _halting(last, halting or last, width, max(4, 2 * rows), ascii_only)
    yield Text()
    if not evaluations:
        due = min(state.steps, state.evaluate_every)
        yield Text(f"{'validation solved'.ljust(LABELS)}first evaluated at step {due:,}", "dim")
        return
    latest = evaluations[-1]
    scores, name = latest.scores, "validation solved" if latest.judged_by == HELD_OUT else latest.judged_by
    history = [event.scores.verified for event in evaluations]
    yield from chart(name, history, f"{scores.verified:.1%}", 1, VALIDATION)
    figures = f"exact {scores.exact:.1%}  steps {scores.mean_steps:.1f}  {_precision(scores, 1)}"
    yield Text(f"at step {latest.step:,}".ljust(LABELS) + figures, "dim")


def _halting(last: Report, shown: Report, width: int, height: int, ascii_only: bool) -> Iterator[Text]:
    """The histogram of halting steps, with the figures of the run beside it."""
    counts, room = shown.halting_histogram, width - LABELS - FIGURES - 2
    *above, lowest = bars(counts, width=room, height=height, ascii_only=ascii_only)
    mean = "none yet" if shown.halting_step is None else f"mean {shown.halting_step:.1f}"
    end = len(lowest) // len(counts) * (len(counts) - 1)  # column of the last bar
    left = [Text(" " * LABELS).append(row, HALTING) for row in above]
    left.append(Text.assemble(("halting step".ljust(LABELS), "dim"), (lowest, HALTING)))
    left.append(Text(mean.ljust(LABELS) + "1".ljust(end) + str(len(counts)), "dim"))
    figures = {
        "learning rate": f"{last.rate:.1%}",
        "gradient norm": f"{last.gradient_norm:.3f}",
        "pairs a second": f"{last.pairs_per_second:,.0f}",
        "puzzles a second": f"{last.puzzles_per_second:,.1f}",
        "memory": "unknown" if last.memory is None else decimal(last.memory),
    }
    right = [spread(Text(name, "dim"), Text(value), FIGURES) for name, value in figures.items()]
    for line, other in zip_longest(left, right, fillvalue=Text()):
        yield spread(line, other, width)


SECONDS_BETWEEN_LINES = 10.0  # where there is no dashboard


class TrainingDisplay:
    """Shows the events of a run as they come; a context manager."""

    def __init__(self, recipe: Recipe, limits: Limits, *, quiet: bool) -> None:
        self.console = remarks_console(quiet)
        self.task = recipe.task
        self.state = RunState(recipe, limits)
        self.live: Live | None = None
        if self.console.is_terminal and not self.console.is_dumb_terminal and not quiet:
            self.live = Live(
                Dashboard(self.state, recipe.model),
                console=self.console,
                refresh_per_second=2.0,  # its clock goes on between events
                redirect_stdout=False,
                vertical_overflow="crop",
            )
        self.last_line = float("-inf")  # when the last plain line was printed

    def __enter__(self) -> "TrainingDisplay":
        if self.live:
            self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
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
            halts = "none halts yet"
            if event.halting_step is not None and event.solved is not None:
                halts = f"halts at {event.halting_step:.1f}, {event.solved:.1%} of them right"
            self._print_now_and_then(
                f"step {event.step}  {event.seconds:.0f} s  loss {event.loss:.3f}  "
                f"cells {event.cell_accuracy:.1%}  {halts}  {event.pairs_per_second:.0f} pairs/s"
            )
            return
        scores, name = event.scores, judge(event)
        line = (
            f"step {event.step}  {event.seconds:.0f} s  {name}: solved {scores.verified:.2%}  "
            f"exact {scores.exact:.2%}  cells {scores.cell:.2%}  steps {scores.mean_steps:.1f}  {_precision(scores, 2)}"
        )
        line += "".join(f"  {one.group} {one.verified:.1%}" for one in event.sizes)
        if self.live and len(line) > self.console.width:
            figures = f"solved {scores.verified:.1%}  steps {scores.mean_steps:.1f}  {_precision(scores, 1)}"
            line = f"step {event.step:,}  {name}: {figures}"
        self.console.print(line)

    def resumed(self, folder: Path, step: int) -> None:
        """Say which run goes on, and where."""
        self.console.print(f"resuming     {folder} at step {step:,}")

    def has_evaluated(self, step: int) -> bool:
        """Whether the latest evaluation was at that step."""
        return step in (event.step for event in self.state.evaluations[-1:])

    def finished(self, folder: Path, last: SavePoint, how_to_try: str, how_to_resume: str | None) -> None:
        """Say where everything lies, and the commands that use it and, if the run is not over, go on with it."""
        if last.stopped:
            self.console.print(f"stopped at step {last.step:,}; the run is saved")
        elif not self.has_evaluated(last.step):
            self.console.print(f"--max-time left none to evaluate step {last.step:,}; the run is saved")
        self.console.print(f"run folder   {folder}")
        self.console.print(f"try it       {how_to_try}")
        if how_to_resume:
            self.console.print(f"go on with   {how_to_resume}")

    def _print_now_and_then(self, line: str) -> None:
        """Print a line where there is no dashboard, at most one in a while."""
        now = time.monotonic()
        if not self.live and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(line)
