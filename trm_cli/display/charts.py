"""Charts of a run's log and of an evaluation."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trm_cli.display.export import plain
from trm_cli.solving.evaluate import Evaluated, distinct_names
from trm_cli.tasks import base

WIDTH = 900  # of a document, in pixels, as all lengths here
LEFT = 64  # margin of titles and panels
NUM_COLOURS = 6
LONGEST_TITLE = 72  # letters
NEARLY = 1.000001  # a value so little beyond a tick counts as on it
Ends = tuple[float, float]

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  "Liberation Sans", sans-serif; font-size: 12px; fill: #57606a; }
.title { font-size: 18px; font-weight: 600; fill: #1f2328; }
.heading { font-size: 13px; font-weight: 600; fill: #1f2328; }
.subtitle { font-size: 13px; }
.value { font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #ffffff; }
.frame { fill: none; }
.grid { stroke: #e6e8eb; }
.axis { stroke: #8c959f; }
.curve { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.thin { stroke-width: 1; }
.dashed { stroke-dasharray: 7 4; }
.raw { fill: none; stroke: currentColor; stroke-width: 2.4; stroke-linecap: round; opacity: .25; }
.leader { fill: none; stroke: currentColor; opacity: .5; }
.far { stroke-dasharray: 1 4; }
.mark { fill: currentColor; stroke: #ffffff; stroke-width: 1.5; }
.label { fill: currentColor; }
.colour0 { color: #0b66a8; } .colour1 { color: #c04a00; } .colour2 { color: #007a5a; }
.colour3 { color: #a0457f; } .colour4 { color: #856404; } .colour5 { color: #5b6570; }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1; }
  .title, .heading { fill: #f0f6fc; }
  .paper { fill: #0d1117; }
  .grid { stroke: #21262d; }
  .axis { stroke: #6e7681; }
  .mark { stroke: #0d1117; }
  .colour0 { color: #58b2f0; } .colour1 { color: #ff8f52; } .colour2 { color: #35c79b; }
  .colour3 { color: #e59ac8; } .colour4 { color: #e3c04f; } .colour5 { color: #a9b3bd; }
}
"""


def document(title: str, description: str, body: str, height: float) -> str:
    """A figure of its own: a file, or an image in a page.

    description  for those who cannot see it.
    body         SVG elements, below the title.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-labelledby="title description">\n'
        f'<title id="title">{plain(title)}</title>\n'
        f'<desc id="description">{plain(description)}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="8"/>\n'
        f"{text(24, 38, shorten(title, LONGEST_TITLE), 'title')}\n{body}\n</svg>\n"
    )


def text(x: float, y: float, content: str, style: str = "") -> str:
    """One line of text; `style` names its classes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{plain(content)}</text>'


def line(x: tuple[float, float], y: tuple[float, float], style: str) -> str:
    """A straight line between two corners."""
    return f'<line x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]:.1f}" y2="{y[1]:.1f}" class="{style}"/>'


def shorten(content: str, letters: int) -> str:
    """The beginning of a text that is too long."""
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"


@dataclass(frozen=True)
class Scale:
    """Places values between two pixels, linearly or by their logarithm."""

    least: float
    most: float
    first: float  # pixel of the least value
    last: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; of the nearest end, if it lies outside."""
        least, most, inside = self.least, self.most, min(self.most, max(self.least, value))
        if self.is_log:
            least, most, inside = math.log(least), math.log(most), math.log(inside)
        share = (inside - least) / (most - least) if most > least else 0.5
        return self.first + share * (self.last - self.first)


def ticks_between(least: float, most: float, num_most: int = 6) -> list[float]:
    """Round values at even distances, from at or below `least` to at or above `most`."""
    spread = (most - least) or abs(most) or 1.0
    for exponent in itertools.count(math.floor(math.log10(spread)) - 1):
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
            if last - first <= num_most:
                return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]
    raise AssertionError("some distance is wide enough")


def log_ticks(least: float, most: float, num_most: int = 7) -> tuple[Ends, list[float]]:
    """A round range around two positive values, and ticks in it: one digit, or powers of ten."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    round_values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(value for value in round_values if value <= least * NEARLY)
    last = min(value for value in round_values if value * NEARLY >= most)
    ticks = [value for value in round_values if first <= value <= last]
    if len(ticks) > num_most:
        ticks = [10.0**decade for decade in decades if first <= 10.0**decade <= last]
    return (first, last), ticks[:: -(-len(ticks) // num_most)]


def written(value: float) -> str:
    """A tick's value."""
    return f"{value:,.12g}"


SMOOTHED_FROM = 60  # points; fewer are drawn as they are
WINDOWS = 40  # moving averages that lie side by side in a curve

Entry = dict[str, Any]  # one line of log.jsonl
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Field:
    """Where a figure stands in the log, and what it is multiplied by to be drawn."""

    kind: str  # report or evaluation
    name: str  # of the field; of the scores, for an evaluation
    factor: float = 1.0


def read_points(entries: Iterable[Entry], field: Field, *, by: str = "step") -> Points:
    """The curve of a field over `step` or `seconds`; entries without that number are left out."""
    points = []
    for entry in entries:
        values = entry.get("scores") if field.kind == "evaluation" else entry
        if entry.get("kind") != field.kind or not isinstance(values, dict):
            continue
        x, y = number(entry.get(by)), number(values.get(field.name))
        if x is not None and y is not None:
            points.append((x, y * field.factor))
    return points


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def smooth(points: Points) -> Points:
    """A moving average where there are many points.

    The window shrinks evenly at the left end, where a curve is steep, and is cut off at the right.
    """
    if len(points) < SMOOTHED_FROM:
        return points
    reach = len(points) // WINDOWS
    smoothed = []
    for at, (x, _) in enumerate(points):
        half = min(at, reach)
        window = points[at - half : at + half + 1]
        smoothed.append((x, sum(y for _, y in window) / len(window)))
    return smoothed


def step_after(entries: Iterable[Entry], seconds: float) -> float | None:
    """The optimizer step that a run had reached after so many seconds; None if it never did."""
    before = (0.0, 0.0)
    for entry in entries:
        at, step = number(entry.get("seconds")), number(entry.get("step"))
        if at is None or step is None:
            continue
        if before[0] <= seconds <= at:
            share = (seconds - before[0]) / (at - before[0]) if at > before[0] else 0.0
            return before[1] + share * (step - before[1])
        before = (at, step)
    return None


LABEL_GAP = 16  # from one label down to the next, in pixels, as all lengths here
LABEL_DISTANCE = 16  # from the panel to its labels
LETTER_WIDTH = 7.2  # of a label, about
LEAST_RIGHT, MOST_RIGHT = 156, 280  # margin for the labels
LONGEST_NAME = 28  # letters
MOST_POINTS = 340  # drawn of a curve: one for every other pixel
NEAR = 3  # distance at which a curve's end needs no dotted line to its label


@dataclass(frozen=True)
class Curve:
    """A line in a panel, with what is written at its end."""

    name: str
    points: Points
    colour: int
    write: Callable[[float], str]  # the last value as text
    has_marks: bool = False  # a dot at every point, and no smoothing
    is_thin: bool = False  # and not smoothed
    is_dashed: bool = False

    @property
    def is_smoothed(self) -> bool:
        """Whether a moving average is drawn over faint points."""
        return not (self.has_marks or self.is_thin) and len(self.points) >= SMOOTHED_FROM

    @property
    def drawn(self) -> Points:
        """The points that the line runs through."""
        return thin(smooth(self.points) if self.is_smoothed else self.points)

    @property
    def label(self) -> tuple[str, str]:
        """The value at the end, and the name."""
        return self.write(self.drawn[-1][1]), shorten(self.name, LONGEST_NAME)


@dataclass(frozen=True)
class Panel:
    """A heading, an axis with ticks, and curves; drawn where its scales lie."""

    heading: str
    curves: list[Curve]  # each with a point at least
    x: Scale
    y: Scale
    ticks: list[tuple[float, str]]

    def draw(self) -> str:
        """The panel as an SVG group."""
        top, bottom, right = self.y.last, self.y.first, self.x.last
        parts = [
            f'<rect class="frame" x="{LEFT}" y="{top:.1f}" width="{right - LEFT:.1f}" height="{bottom - top:.1f}"/>',
            text(LEFT, top - 14, self.heading, "heading"),
        ]
        for value, name in self.ticks:
            at = self.y(value)
            parts.append(line((LEFT, right), (at, at), "grid"))
            parts.append(text(LEFT - 10, at + 4, name, "end"))
        parts.append(line((LEFT, right), (bottom, bottom), "axis"))
        if not self.curves:
            parts.append(text((LEFT + right) / 2, (top + bottom) / 2, "not in this log", "middle"))
        parts += [self._curve(curve) for curve in self.curves]
        parts += self._labels()
        return '<g class="panel">\n' + "\n".join(parts) + "\n</g>"

    def _curve(self, curve: Curve) -> str:
        parts = []
        if curve.is_smoothed:
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in self._pixels(thin(curve.points)))
            parts.append(f'<path class="raw" d="{dots}"/>')
        pixels = self._pixels(curve.drawn)
        style = "curve" + " thin" * curve.is_thin + " dashed" * curve.is_dashed
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
        parts.append(f'<polyline class="{style}" points="{joined}"/>')
        if curve.has_marks or len(pixels) == 1:
            parts += [f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in pixels]
        return f'<g class="colour{curve.colour}">' + "".join(parts) + "</g>"

    def _pixels(self, points: Points) -> Points:
        return [(self.x(x), self.y(y)) for x, y in points]

    def _labels(self) -> list[str]:
        """The names of the curves at the right, each near the end of its curve."""
        ends = [self._pixels(curve.drawn[-1:])[0] for curve in self.curves]
        places = spread_out([y for _, y in ends], self.y.last, self.y.first - LABEL_GAP / 2)
        right = self.x.last
        parts = []
        for curve, (x, y), place in zip(self.curves, ends, places, strict=True):
            is_far = right - x > NEAR
            dotted = f'<path class="leader far" d="M{x:.1f} {y:.1f}H{right:.1f}"/>'
            value, name = curve.label
            parts.append(
                f'<g class="colour{curve.colour}">{dotted if is_far else ""}'
                f'<path class="leader" d="M{right + 3:.1f} {y:.1f}'
                f'L{right + LABEL_DISTANCE - 3:.1f} {place:.1f}"/>'
                f'<text class="label" x="{right + LABEL_DISTANCE:.1f}" y="{place + 4:.1f}">'
                f'<tspan class="value">{plain(value)}</tspan> {plain(name)}</text></g>'
            )
        return parts


def right_margin(curves: list[Curve]) -> float:
    """The room that the longest label needs."""
    letters = max((sum(map(len, curve.label)) + 1 for curve in curves), default=0)
    return min(MOST_RIGHT, max(LEAST_RIGHT, LABEL_DISTANCE + LETTER_WIDTH * letters + 12))


def spread_out(wanted: list[float], top: float, bottom: float) -> list[float]:
    """Places as near as can be to those wanted, a label's gap apart, between top and bottom.

    Neighbours too near each other move by the same amount, up and down (isotonic regression by
    pooling adjacent violators, on the places less the gaps).
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    gap = min(LABEL_GAP, (bottom - top) / max(1, len(wanted) - 1))
    pools: list[list[float]] = []
    for rank, index in enumerate(order):
        pools.append([wanted[index] - rank * gap])
        while len(pools) > 1 and mean(pools[-2]) > mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    places = [0.0] * len(wanted)
    settled = [mean(pool) for pool in pools for _ in pool]
    lowest = bottom - (len(wanted) - 1) * gap
    for rank, index in enumerate(order):
        places[index] = min(lowest, max(top, settled[rank])) + rank * gap
    return places


def mean(values: list[float]) -> float:
    """Of a list that is not empty."""
    return sum(values) / len(values)


def thin(points: Points) -> Points:
    """Points at even distances, the last among them, where there are too many."""
    stride = -(-len(points) // MOST_POINTS)
    return points if stride <= 1 else points[::-1][::stride][::-1]


LEAST_DISTANCE = 44  # between two ticks, in pixels
NAME_DISTANCE = 30  # from the end of an axis to its name
MOST_TICKS = 8
TIME_UNITS = ((36_000, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))  # from, size, name


def step_axis(x: Scale, y: float) -> str:
    """Optimizer steps, on a line at that height."""
    whole = [step for step in _rounded(x.most) if step.is_integer()]
    ticks = [(x(step), written(step)) for step in whole]
    return _axis(ticks, "optimizer steps", x.last, y)


def time_axis(x: Scale, y: float) -> str:
    """Time, where x is in seconds."""
    size, unit = _time_unit(x.most)
    ticks = [(x(count * size), written(count)) for count in _rounded(x.most / size)]
    return _axis(ticks, unit, x.last, y)


def time_below_steps(entries: Iterable[Entry], x: Scale, y: float) -> str:
    """When the optimizer steps of the axis above were reached."""
    known = [entry for entry in entries if number(entry.get("seconds")) is not None]
    seconds = max((float(entry["seconds"]) for entry in known), default=0.0)
    size, unit = _time_unit(seconds)
    ticks: list[tuple[float, str]] = []
    for count in _rounded(seconds / size):
        step = step_after(known, count * size)
        if step is not None and (not ticks or x(step) - ticks[-1][0] >= LEAST_DISTANCE):
            ticks.append((x(step), written(count)))
    return _axis(ticks, unit, x.last, y) if ticks else ""


def spoken(seconds: float) -> str:
    """A time in the unit that suits it."""
    size, unit = _time_unit(seconds)
    return f"{seconds / size:.3g} {unit}"


def _axis(ticks: list[tuple[float, str]], name: str, right: float, y: float) -> str:
    parts = [line((LEFT, right), (y, y), "axis")]
    for at, value in ticks:
        parts.append(line((at, at), (y, y + 5), "axis"))
        parts.append(text(at, y + 19, value, "middle"))
    parts.append(text(right + NAME_DISTANCE, y + 19, name))
    return '<g class="axes">\n' + "\n".join(parts) + "\n</g>"


def _rounded(most: float) -> list[float]:
    """Round values from 0 that do not go beyond."""
    return [value for value in ticks_between(0, most, MOST_TICKS) if value <= most * NEARLY]


def _time_unit(seconds: float) -> tuple[int, str]:
    return next((size, unit) for least, size, unit in TIME_UNITS if seconds >= least)


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
    return _with_points(
        [
            Curve("cells, training", read_points(entries, CELLS), 0, _percent),
            Curve("solved, training", read_points(entries, SOLVED), 1, _percent),
            Curve(f"solved, {_judge(entries)}", read_points(entries, HELD_OUT), 2, _percent, has_marks=True),
        ]
    )


def _judge(entries: Entries) -> str:
    """What a run was judged by."""
    told = (entry["judged_by"] for entry in entries if "judged_by" in entry)
    return str(next(told, base.HELD_OUT))


def _halting(entries: Entries, most_steps: float) -> list[Curve]:
    rate = Field(RATE.kind, RATE.name, most_steps)  # the full rate at the top of the panel
    return _with_points(
        [
            Curve("mean halting step", read_points(entries, HALTING_STEP), 3, _one_decimal),
            Curve(
                "learning rate",
                read_points(entries, rate),
                5,
                lambda height: f"{height / most_steps:.0%}",
                is_thin=True,
            ),
        ]
    )


def _one_each(runs: dict[str, Entries], field: Field, by: str) -> list[Curve]:
    """The curve of one field for every run that has it; colours return dashed."""
    return _with_points(
        [
            Curve(
                name,
                read_points(log, field, by=by),
                number % NUM_COLOURS,
                _percent,
                has_marks=field.kind == "evaluation",
                is_dashed=number >= NUM_COLOURS,
            )
            for number, (name, log) in enumerate(runs.items())
        ]
    )


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


def _share_panel(heading: str, curves: list[Curve], x: Scale, span: Span, limits: tuple[float, float] | None) -> Panel:
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


REPORT_TOP, REPORT_HEIGHT, REPORT_BETWEEN, REPORT_BOTTOM = (
    90.0,
    200.0,
    92.0,
    52.0,
)  # of panels, between and below, in pixels
RELIABILITY = "Answers that are right, %, by what the halt head says"


def draw(evaluated: list[Evaluated], *, title: str, command: str = "") -> str:
    """The curves of one network, or of two beside each other, as SVG.

    command  what measured them, for the figure's description.
    """
    names = [one.model for one in evaluated]
    if len(evaluated) == 2:
        names = list(distinct_names(*evaluated))
    panels = [
        (
            "Solved in the first attempt, % of the puzzles",
            "supervision steps",
            [_percentages(one.tally.solved_within_steps, one.puzzles) for one in evaluated],
        ),
        (
            "Solved, % of the puzzles",
            "attempts",
            [_percentages(one.tally.solved_within_attempts, one.puzzles) for one in evaluated],
        ),
        (RELIABILITY, "halt head's probability, %", [_reliability(one) for one in evaluated]),
    ]
    shown = [panel for panel in panels if any(len(points) > 1 for points in panel[2])]
    parts, words = [], [f"Measured by {command}."] if command else []
    top = REPORT_TOP
    for heading, x_name, curves in shown:
        drawn, summary = _panel(heading, x_name, list(zip(names, curves, strict=True)), top)
        parts.append(drawn)
        words.append(summary)
        top += REPORT_HEIGHT + REPORT_BETWEEN
    if not shown:
        parts.append(text(24, 72, "One step and one attempt: no curves to draw.", "subtitle"))
    return document(title, " ".join(words), "\n".join(parts), top - REPORT_BETWEEN + REPORT_BOTTOM)


def _panel(heading: str, x_name: str, named: list[tuple[str, Points]], top: float) -> tuple[str, str]:
    """One panel as SVG, and what it shows in words."""
    curves = [
        Curve(name, points, number, lambda value: f"{value:.1f}%", has_marks=True)
        for number, (name, points) in enumerate(named)
        if points
    ]
    if heading == RELIABILITY:
        says = [(0.0, 0.0), (100.0, 100.0)]
        curves.append(Curve("as it says", says, 5, lambda value: f"{value:.0f}%", is_thin=True, is_dashed=True))
    values = [y for curve in curves for _, y in curve.points]
    xs = [x for curve in curves for x, _ in curve.points]
    ticks = ticks_between(min(values), max(values))
    x = Scale(min(0.0, *xs), max(xs), LEFT, WIDTH - right_margin(curves))
    y = Scale(ticks[0], ticks[-1], top + REPORT_HEIGHT, top)
    panel = Panel(heading, curves, x, y, [(tick, f"{written(tick)}%") for tick in ticks])
    ends = ", ".join(f"{curve.name} {curve.label[0]}" for curve in curves)
    return panel.draw() + _x_axis(x, x_name, top + REPORT_HEIGHT), f"{heading}: at the end {ends}."


def _x_axis(x: Scale, name: str, y: float) -> str:
    parts = []
    for tick in ticks_between(x.least, x.most, 10):
        if x.least <= tick <= x.most:
            at = x(tick)
            parts += [line((at, at), (y, y + 5), "axis"), text(at, y + 19, written(tick), "middle")]
    parts.append(text((x.first + x.last) / 2, y + 37, name, "middle"))
    return "\n".join(parts)


def _percentages(counts: list[int], puzzles: int) -> Points:
    return [(float(number), 100 * count / puzzles) for number, count in enumerate(counts, 1)]


def _reliability(evaluated: Evaluated) -> Points:
    return [
        (100 * one.probability / one.steps, 100 * one.right / one.steps) for one in evaluated.tally.bins if one.steps
    ]
