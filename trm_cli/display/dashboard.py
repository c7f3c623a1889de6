"""A training run as it stands, drawn for a terminal of any size.

Cyan is what the training batch says, green what held-out puzzles say, blue where puzzles halt.
"""

import math
from collections.abc import Iterator
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

from trm_cli.config import ModelConfig
from trm_cli.display.figures import duration, figures, held_out_figures
from trm_cli.display.lines import spread
from trm_cli.display.run_state import RunState
from trm_cli.display.sparkline import Series, area, bar_pitch, bars
from trm_cli.model.network import count_parameters
from trm_cli.tasks import base
from trm_cli.training.loop import Report

LABELS = 17  # columns of the names on the left
VALUES = 8  # columns of the latest values on the right
FIGURES = 26  # columns of the figures beside the histogram
WIDEST = 132  # columns used of a wider terminal
LEAST_WIDTH, LEAST_HEIGHT = 64, 18  # of a terminal that has room for charts
CHART_ROWS = ((36, 4), (30, 3), (23, 2), (0, 1))  # terminals of so many rows, rows of a chart
TRAINING, HELD_OUT, HALTING = "cyan", "green", "blue"
NOTHING = "-"  # where no puzzle has halted yet
LEAST_LOSS = 1e-9  # drawn on a logarithmic scale


class Dashboard:
    """Rich draws it, at any time and from any thread, from the state as it is then."""

    def __init__(self, state: RunState, model: ModelConfig) -> None:
        self.state = state
        self.num_parameters = count_parameters(model)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(WIDEST, options.max_width) - 2
        frame = _Frame(self.state, width, console.size.height, options.ascii_only)
        for line in frame.lines(self.num_parameters):
            yield Text(" ", end="")
            if isinstance(line, ProgressBar):
                yield line
                yield Text()
            else:
                line.truncate(width)
                yield line


class _Frame:
    """One picture of a run."""

    def __init__(self, state: RunState, width: int, height: int, ascii_only: bool) -> None:
        self.state = state
        self.width = width
        self.height = height
        self.ascii_only = ascii_only
        self.reports = list(state.reports)  # the training goes on while this is drawn
        self.evaluations = list(state.evaluations)
        halts = (report for report in reversed(self.reports) if report.halting_step is not None)
        self.halting = next(halts, None)  # the latest report with puzzles that halted

    def lines(self, num_parameters: int) -> Iterator[Text | ProgressBar]:
        """From the title down, each at most as wide as the frame."""
        state = self.state
        parameters = Text(f"{num_parameters:,} parameters", "dim")
        yield spread(Text(state.name, "bold"), parameters, self.width)
        yield ProgressBar(total=1.0, completed=state.share, width=self.width,
                          complete_style=TRAINING, finished_style=HELD_OUT)  # fmt: skip
        if not self.reports:
            yield self._beginning()
            return
        yield self._status()
        if self.width < LEAST_WIDTH - 2 or self.height < LEAST_HEIGHT:
            yield self._short()
            return
        rows = next(rows for least, rows in CHART_ROWS if self.height >= least)
        yield Text()
        yield from self._training(self.reports[-1], rows)
        yield Text()
        yield from self._halting(self.reports[-1], max(4, 2 * rows))
        yield Text()
        yield from self._held_out()

    def _beginning(self) -> Text:
        if self.state.generated is None:
            return Text("the first step is under way", "dim")
        done, wanted = self.state.generated
        return Text(f"generating puzzles {done:,} of {wanted:,}")

    def _status(self) -> Text:
        state = self.state
        status = Text.assemble(("step ", "dim"), f"{state.step:,}", (f" of {state.steps:,}", "dim"))
        if state.is_evaluating:
            status.append("  trying the held-out puzzles", HELD_OUT)
        times = Text.assemble(("elapsed ", "dim"), duration(state.elapsed))
        left = state.seconds_left
        if left is not None and not state.is_over:
            times.append("   left ", "dim").append(duration(left))
        return spread(status, times, self.width)

    def _short(self) -> Text:
        """The figures on one line, for a terminal without room for charts."""
        last = self.reports[-1]
        text = f"loss {last.loss:.3f}  cells {last.cell_accuracy:.1%}"
        if self.evaluations:
            event = self.evaluations[-1]
            text += f"  {event.judged_by} {event.scores.verified:.1%}"
        return Text(text)

    def _training(self, last: Report, rows: int) -> Iterator[Text]:
        losses = [math.log(max(LEAST_LOSS, report.loss)) for report in self.reports]
        cells = [report.cell_accuracy for report in self.reports]
        solved = [report.solved for report in self.reports]
        latest = None if self.halting is None else self.halting.solved
        share = NOTHING if latest is None else f"{latest:.1%}"
        between = [Text()] if rows > 1 else []  # lest one chart stand on the next
        yield from self._chart("loss", losses, f"{last.loss:.3f}", rows)
        yield from between
        yield from self._chart("cells right", cells, f"{last.cell_accuracy:.1%}", rows)
        yield from between
        yield from self._chart("solved", solved, share, rows)

    def _chart(self, name: str, series: Series, value: str, rows: int,
               style: str = TRAINING) -> Iterator[Text]:  # fmt: skip
        """A name, the series behind the value, and the value, on the chart's lowest row."""
        room = self.width - LABELS - VALUES
        drawn = area(series, width=room, height=rows, ascii_only=self.ascii_only)
        for row in drawn[:-1]:
            yield Text(" " * LABELS).append(row, style)
        yield Text.assemble(
            (name.ljust(LABELS), "dim"),
            (drawn[-1].ljust(room), style),
            (value.rjust(VALUES), "bold"),
        )

    def _halting(self, last: Report, height: int) -> Iterator[Text]:
        """The histogram of halting steps, with the figures of the run beside it."""
        shown = self.halting or last
        counts = shown.halting_histogram
        room = self.width - LABELS - FIGURES - 2
        drawn = bars(counts, width=room, height=height, ascii_only=self.ascii_only)
        mean = "none yet" if shown.halting_step is None else f"mean {shown.halting_step:.1f}"
        end = bar_pitch(len(counts), room) * (len(counts) - 1)  # column of the last bar
        left = [Text(" " * LABELS).append(row, HALTING) for row in drawn[:-1]]
        left.append(Text.assemble(("halting step".ljust(LABELS), "dim"), (drawn[-1], HALTING)))
        left.append(Text(mean.ljust(LABELS) + "1".ljust(end) + str(len(counts)), "dim"))
        right = [spread(Text(name, "dim"), Text(value), FIGURES) for name, value in figures(last)]
        for line, figure in zip_longest(left, right, fillvalue=Text()):
            yield spread(line, figure, self.width)

    def _held_out(self) -> Iterator[Text]:
        name = "held-out solved"
        if not self.evaluations:
            due = min(self.state.steps, self.state.evaluate_every)
            yield Text(f"{name.ljust(LABELS)}first tried at step {due:,}", "dim")
            return
        last = self.evaluations[-1]
        name = name if last.judged_by == base.HELD_OUT else last.judged_by
        history = [evaluation.scores.verified for evaluation in self.evaluations]
        yield from self._chart(name, history, f"{last.scores.verified:.1%}", 1, HELD_OUT)
        yield Text(f"at step {last.step:,}".ljust(LABELS) + held_out_figures(last.scores), "dim")
