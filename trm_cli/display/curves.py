"""A run's log as a figure, and several runs' in one: self-contained SVG, light and dark."""

from typing import Any

from trm_cli.display.axes import spoken, step_axis, time_axis, time_below_steps
from trm_cli.display.log_series import Field, number, read_points
from trm_cli.display.panels import LABEL_GAP, Curve, Panel, right_margin
from trm_cli.display.svg import (
    LEFT,
    NUM_COLOURS,
    WIDTH,
    Scale,
    document,
    log_ticks,
    text,
    ticks_between,
    written,
)
from trm_cli.tasks import base

TOP, BETWEEN, BOTTOM = 84, 54, 40  # heights above, between and below the panels, in pixels
SUBTITLE, TIME_AXIS = 22, 30  # further heights, of a line below the title and of a second axis
LOSS_HEIGHT, ACCURACY_HEIGHT, HALTING_HEIGHT, COMPARED_HEIGHT = 170, 200, 130, 220
TITLE_LEFT = 24
LOG_RANGE = 10  # a loss is drawn on a logarithmic scale if it spans more than this factor
STEPS_TRAINED_FOR = 16  # N_sup of the recipes; for logs that do not tell

LOSS = Field("report", "loss")
ANSWER_LOSS, HALTING_LOSS = Field("report", "answer_loss"), Field("report", "halting_loss")
CELLS, SOLVED = Field("report", "cell_accuracy", 100), Field("report", "solved", 100)
HELD_OUT, EXACT = Field("evaluation", "verified", 100), Field("evaluation", "exact", 100)
HALTING_STEP, RATE = Field("report", "halting_step"), Field("report", "rate")

Entries = list[dict[str, Any]]
Span = tuple[float, float]  # bottom and top of a panel


def draw_curves(entries: Entries, *, title: str) -> str:
    """A run's log as SVG: loss, accuracy, and where puzzles halt, over the optimizer steps.

    entries  objects of log.jsonl, in order; fields may be absent, and the list empty.
    """
    most_steps = _most_steps(entries)
    groups = [_losses(entries), _accuracies(entries), _halting(entries, most_steps)]
    every = [curve for group in groups for curve in group]
    if not every:
        return _nothing(title)
    x = _x_scale(every)
    spans = _stack(TOP + SUBTITLE, LOSS_HEIGHT, ACCURACY_HEIGHT, HALTING_HEIGHT)
    panels = [
        _loss_panel(groups[0], x, spans[0]),
        _share_panel("Accuracy", groups[1], x, spans[1], (0, 100)),
        _halting_panel(groups[2], x, spans[2], most_steps),
    ]
    length = _length(entries, x.most)
    bottom = spans[-1][0]
    parts = [text(TITLE_LEFT, 60, length, "subtitle"), *(panel.draw() for panel in panels)]
    parts += [step_axis(x, bottom), time_below_steps(entries, x, bottom + TIME_AXIS)]
    body, height = "\n".join(parts), bottom + TIME_AXIS + BOTTOM
    return document(title, f"{length}. {_ends(every)}", body, height)


def compare_curves(runs: dict[str, Entries], *, title: str, by: str = "step") -> str:
    """The logs of several runs as one SVG: accuracy in training and on held-out puzzles.

    runs  entries of log.jsonl by the name that stands beside the run's line.
    by    what the runs are laid over: `step` or `seconds`.
    """
    held_out = HELD_OUT if any(read_points(log, HELD_OUT) for log in runs.values()) else EXACT
    groups = [_one_each(runs, CELLS, by), _one_each(runs, held_out, by)]
    every = [curve for group in groups for curve in group]
    if not every:
        return _nothing(title)
    x = _x_scale(every)
    height = max(COMPARED_HEIGHT, LABEL_GAP * len(runs))
    spans = _stack(TOP, height, height)
    headings = ("Cells right in training", "Held-out puzzles solved")
    panels = [
        _share_panel(heading, group, x, span, None)
        for heading, group, span in zip(headings, groups, spans, strict=True)
    ]
    bottom = spans[-1][0]
    axis = step_axis(x, bottom) if by == "step" else time_axis(x, bottom)
    summary = " ".join(f"{panel.heading}. {_ends(panel.curves)}" for panel in panels)
    body = "\n".join([*(panel.draw() for panel in panels), axis])
    return document(title, summary, body, bottom + BOTTOM)


def _losses(entries: Entries) -> list[Curve]:
    parts = [
        Curve("answer loss", read_points(entries, ANSWER_LOSS), 0, _three_digits),
        Curve("halting loss", read_points(entries, HALTING_LOSS), 1, _three_digits),
    ]
    whole = [Curve("loss", read_points(entries, LOSS), 0, _three_digits)]
    return _with_points(parts) or _with_points(whole)


def _accuracies(entries: Entries) -> list[Curve]:
    return _with_points([
        Curve("cells, training", read_points(entries, CELLS), 0, _percent),
        Curve("solved, training", read_points(entries, SOLVED), 1, _percent),
        Curve(f"solved, {_judge(entries)}", read_points(entries, HELD_OUT), 2, _percent,
              has_marks=True),
    ])  # fmt: skip


def _judge(entries: Entries) -> str:
    """What a run was judged by."""
    told = (entry["judged_by"] for entry in entries if "judged_by" in entry)
    return str(next(told, base.HELD_OUT))


def _halting(entries: Entries, most_steps: float) -> list[Curve]:
    rate = Field(RATE.kind, RATE.name, most_steps)  # the full rate at the top of the panel
    return _with_points([
        Curve("mean halting step", read_points(entries, HALTING_STEP), 3, _one_decimal),
        Curve("learning rate", read_points(entries, rate), 5,
              lambda height: f"{height / most_steps:.0%}", is_thin=True),
    ])  # fmt: skip


def _one_each(runs: dict[str, Entries], field: Field, by: str) -> list[Curve]:
    """The curve of one field for every run that has it; colours return dashed."""
    return _with_points([
        Curve(name, read_points(log, field, by=by), number % NUM_COLOURS, _percent,
              has_marks=field.kind == "evaluation",
              is_dashed=number >= NUM_COLOURS)
        for number, (name, log) in enumerate(runs.items())
    ])  # fmt: skip


def _with_points(curves: list[Curve]) -> list[Curve]:
    return [curve for curve in curves if curve.points]


def _loss_panel(curves: list[Curve], x: Scale, span: Span) -> Panel:
    values = [y for curve in curves for _, y in curve.points] or [0.0, 1.0]
    is_log = min(values) > 0 and max(values) > LOG_RANGE * min(values)
    if is_log:
        ends, ticks = log_ticks(min(values), max(values))
    else:
        ticks = ticks_between(min(0.0, *values), max(values))
        ends = ticks[0], ticks[-1]
    heading = "Loss, in nats" + (" (logarithmic)" if is_log else "")
    y = Scale(*ends, *span, is_log=is_log)
    return Panel(heading, curves, x, y, [(tick, written(tick)) for tick in ticks])


def _share_panel(heading: str, curves: list[Curve], x: Scale, span: Span,
                 limits: tuple[float, float] | None) -> Panel:  # fmt: skip
    """Percentages between the limits, or where the curves are."""
    values = [y for curve in curves for _, y in curve.drawn] or [0.0, 100.0]
    least, most = limits or (min(values), max(values))
    ticks = ticks_between(least, most)
    y = Scale(ticks[0], ticks[-1], *span)
    return Panel(heading, curves, x, y, [(tick, f"{written(tick)}%") for tick in ticks])


def _halting_panel(curves: list[Curve], x: Scale, span: Span, most_steps: float) -> Panel:
    ticks = [0.0, most_steps / 4, most_steps / 2, most_steps * 3 / 4, most_steps]
    heading = "Mean halting step; learning rate from 0 to 100%"
    y = Scale(0.0, most_steps, *span)
    return Panel(heading, curves, x, y, [(tick, written(tick)) for tick in ticks])


def _x_scale(curves: list[Curve]) -> Scale:
    most = max(curve.points[-1][0] for curve in curves)
    return Scale(0.0, most or 1.0, LEFT, WIDTH - right_margin(curves))


def _stack(top: float, *heights: float) -> list[Span]:
    """Where panels of those heights lie, from the top down."""
    spans = []
    for height in heights:
        spans.append((top + height, top))
        top += height + BETWEEN
    return spans


def _most_steps(entries: Entries) -> float:
    """N_sup, as far as the log tells."""
    histograms = [entry.get("halting_histogram") for entry in entries]
    lengths = [len(counts) for counts in histograms if isinstance(counts, list)]
    highest = [y for _, y in read_points(entries, HALTING_STEP)]
    return max([STEPS_TRAINED_FOR, *highest] if not lengths else [1, *lengths])


def _length(entries: Entries, steps: float) -> str:
    seconds = max((number(entry.get("seconds")) or 0.0 for entry in entries), default=0.0)
    return f"{written(steps)} optimizer step{'s' * (steps != 1)} in {spoken(seconds)}"


def _ends(curves: list[Curve]) -> str:
    """Where curves end, in words."""
    return "At the end: " + ", ".join(f"{curve.name} {curve.label[0]}" for curve in curves) + "."


def _nothing(title: str) -> str:
    note = "Nothing to draw yet: the log holds no report and no evaluation."
    return document(title, note, text(TITLE_LEFT, 72, note, "subtitle"), 110)


def _percent(value: float) -> str:
    return f"{value:.1f}%"


def _three_digits(value: float) -> str:
    return f"{value:.3g}"


def _one_decimal(value: float) -> str:
    return f"{value:.1f}"
