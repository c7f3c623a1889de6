"""Charts of a run's log and of an evaluation, drawn by matplotlib, as SVG or PNG.

matplotlib is imported when a chart is drawn. An SVG follows the reader's light or dark theme: its
colours stand in it as drawn, for light, and a style sheet gives each its counterpart for dark.
The colours are told apart by colour-blind readers, too: those of Okabe and Ito, "Color Universal
Design", darkened or lightened until they are readable as text.
"""

import io
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from trm_cli.tasks.base import HELD_OUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trm_cli.solving.evaluate import Evaluated

WIDTH = 900.0  # of a figure, in points, as all lengths here
LEFT, RIGHT_MARGIN = 64.0, 236.0  # of a panel; labels stand in the right margin
TOP, BETWEEN, BOTTOM = 106.0, 58.0, 40.0  # above, between and below the panels
TIME_AXIS = 30.0  # below the axis of steps
LABEL_GAP, LABEL_DISTANCE = 16.0, 16.0  # from one label down to the next; from the panel to its labels
SMOOTHED_FROM = 60  # points; fewer are drawn as they are
WINDOWS = 40  # moving averages that lie side by side in a curve
MOST_POINTS = 340  # drawn of a curve
LOG_RANGE = 10  # a loss is drawn on a logarithmic scale if it spans more than this factor
STEPS_TRAINED_FOR = 16  # N_sup of the recipes; for logs that do not tell
LONGEST_TITLE, LONGEST_NAME = 72, 28  # letters
TIME_UNITS = ((36_000, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))  # from, size, name
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"]

PAPER, INK, FAINT, GRID, AXIS = "#ffffff", "#1f2328", "#57606a", "#e6e8eb", "#8c959f"
CURVES = ("#0b66a8", "#c04a00", "#007a5a", "#a0457f", "#856404", "#5b6570")
DARK = {  # of each colour above
    PAPER: "#0d1117",
    INK: "#f0f6fc",
    FAINT: "#9198a1",
    GRID: "#21262d",
    AXIS: "#6e7681",
    **dict(zip(CURVES, ("#58b2f0", "#ff8f52", "#35c79b", "#e59ac8", "#e3c04f", "#a9b3bd"), strict=True)),
}
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Entries = list[dict[str, Any]]  # lines of log.jsonl
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A line in a panel, with what is written at its end."""

    name: str
    points: Points
    colour: int  # of CURVES
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
    def label(self) -> str:
        """The value at the end, and the name."""
        return f"{self.write(self.drawn[-1][1])} {shorten(self.name, LONGEST_NAME)}"


@dataclass(frozen=True)
class Panel:
    """A heading, an axis and curves."""

    heading: str
    curves: list[Curve]  # each with a point at least
    height: float = 200.0
    limits: tuple[float, float] | None = None  # of the axis; None fits the curves
    x_name: str = ""
    unit: str = ""  # behind each tick
    is_log: bool = False


def read_points(entries: Iterable[dict[str, Any]], kind: str, name: str, factor: float = 1.0) -> Points:
    """The curve of a field over the steps; entries without a finite number are left out.

    kind  report, or evaluation, whose fields are those of its scores.
    """
    points = []
    for entry in entries:
        values = entry.get("scores") if kind == "evaluation" else entry
        if entry.get("kind") == kind and isinstance(values, dict):
            x, y = number(entry.get("step")), number(values.get(name))
            if x is not None and y is not None:
                points.append((x, y * factor))
    return points


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def smooth(points: Points) -> Points:
    """A moving average whose window shrinks evenly at the left end and is cut off at the right."""
    reach = len(points) // WINDOWS
    smoothed = []
    for at, (x, _) in enumerate(points):
        half = min(at, reach)
        window = points[at - half : at + half + 1]
        smoothed.append((x, sum(y for _, y in window) / len(window)))
    return smoothed


def thin(points: Points) -> Points:
    """Points at even distances, the last among them, where there are too many."""
    stride = -(-len(points) // MOST_POINTS)
    return points if stride <= 1 else points[::-1][::stride][::-1]


def spread_out(wanted: list[float], bottom: float, top: float) -> list[float]:
    """Heights as near as can be to those wanted, a label's gap apart, between bottom and top.

    Neighbours too near each other move by the same amount, up and down (isotonic regression by
    pooling adjacent violators, on the heights less the gaps).
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    gap = min(LABEL_GAP, (top - bottom) / max(1, len(wanted) - 1))
    pools: list[list[float]] = []
    for rank, index in enumerate(order):
        pools.append([wanted[index] - rank * gap])
        while len(pools) > 1 and sum(pools[-2]) / len(pools[-2]) > sum(pools[-1]) / len(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    settled = [sum(pool) / len(pool) for pool in pools for _ in pool]
    highest = top - (len(wanted) - 1) * gap
    heights = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        heights[index] = min(highest, max(bottom, settled[rank])) + rank * gap
    return heights


def run_panels(entries: Entries) -> list[Panel]:
    """What a run's log shows: loss, accuracy, and where puzzles halt; no panel where nothing is known."""
    told = (str(entry["judged_by"]) for entry in entries if "judged_by" in entry)
    judge = next(told, HELD_OUT)
    most_steps = _most_steps(entries)
    losses = _with_points(
        Curve("answer loss", read_points(entries, "report", "answer_loss"), 0, "{:.3g}".format),
        Curve("halting loss", read_points(entries, "report", "halting_loss"), 1, "{:.3g}".format),
    ) or _with_points(Curve("loss", read_points(entries, "report", "loss"), 0, "{:.3g}".format))
    accuracies = _with_points(
        Curve("cells, training", read_points(entries, "report", "cell_accuracy", 100), 0, "{:.1f}%".format),
        Curve("solved, training", read_points(entries, "report", "solved", 100), 1, "{:.1f}%".format),
        Curve(
            f"solved, {judge}", read_points(entries, "evaluation", "verified", 100), 2, "{:.1f}%".format, has_marks=True
        ),
    )
    halting = _with_points(
        Curve("mean halting step", read_points(entries, "report", "halting_step"), 3, "{:.1f}".format),
        Curve(
            "learning rate",
            read_points(entries, "report", "rate", most_steps),  # the full rate at the top of the panel
            5,
            lambda height: f"{height / most_steps:.0%}",
            is_thin=True,
        ),
    )
    if not (losses or accuracies or halting):
        return []
    values = [y for curve in losses for _, y in curve.points] or [1.0]
    is_log = min(values) > 0 and max(values) > LOG_RANGE * min(values)
    return [
        Panel("Loss, in nats" + (" (logarithmic)" if is_log else ""), losses, 170, is_log=is_log),
        Panel("Accuracy", accuracies, 200, (0, 100), unit="%"),
        Panel("Mean halting step; learning rate from 0 to 100%", halting, 130, (0, most_steps), "optimizer steps"),
    ]


def draw_curves(entries: Entries, *, title: str, suffix: str = ".svg") -> bytes:
    """A run's log as a chart: loss, accuracy, and where puzzles halt, over the optimizer steps.

    entries  objects of log.jsonl, in order; fields may be absent, and the list empty.
    """
    panels = run_panels(entries)
    every = [curve for panel in panels for curve in panel.curves]
    if not every:
        note = "Nothing to draw yet: the log holds no report and no evaluation."
        return render(draw_panels(title, note, []), title, note, suffix)
    steps = max(curve.points[-1][0] for curve in every)
    seconds = max((number(entry.get("seconds")) or 0.0 for entry in entries), default=0.0)
    size, unit = _time_unit(seconds)
    length = f"{steps:,.12g} optimizer step{'s' * (steps != 1)} in {seconds / size:.3g} {unit}"
    figure = draw_panels(title, length, panels, below=TIME_AXIS)
    _draw_time_axis(figure.axes[-1], entries, panels[-1].height)
    ends = ", ".join(curve.label for curve in every)
    return render(figure, title, f"{length}. At the end: {ends}.", suffix)


def evaluation_panels(evaluated: "list[Evaluated]") -> list[Panel]:
    """What evaluations show: solved by steps, solved by attempts, and what the halt head is worth."""
    from trm_cli.solving.evaluate import distinct_names

    names = list(distinct_names(*evaluated)) if len(evaluated) == 2 else [one.model for one in evaluated]

    def panel(heading: str, x_name: str, groups: list[Points], *more: Curve) -> Panel | None:
        named = zip(names, groups, strict=True)
        curves = [
            Curve(name, points, place, "{:.1f}%".format, has_marks=True)
            for place, (name, points) in enumerate(named)
            if points
        ]
        shown = any(len(curve.points) > 1 for curve in curves)
        return Panel(heading, [*curves, *more], x_name=x_name, unit="%") if shown else None

    says = Curve("as it says", [(0.0, 0.0), (100.0, 100.0)], 5, "{:.0f}%".format, is_thin=True, is_dashed=True)
    panels = [
        panel(
            "Solved in the first attempt, % of the puzzles",
            "supervision steps",
            [_shares(one.tally.solved_within_steps, one.puzzles) for one in evaluated],
        ),
        panel(
            "Solved, % of the puzzles",
            "attempts",
            [_shares(one.tally.solved_within_attempts, one.puzzles) for one in evaluated],
        ),
        panel(
            "Answers that are right, %, by what the halt head says",
            "halt probability, %",
            [
                [(100 * b.probability / b.steps, 100 * b.right / b.steps) for b in one.tally.bins if b.steps]
                for one in evaluated
            ],
            says,
        ),
    ]
    return [made for made in panels if made is not None]


def draw_evaluation(evaluated: "list[Evaluated]", *, title: str, command: str = "", suffix: str = ".svg") -> bytes:
    """The figures of one network, or of two beside each other.

    command  what measured them, for the figure's description.
    """
    panels = evaluation_panels(evaluated)
    note = "" if panels else "One step and one attempt: no curves to draw."
    words = [f"Measured by {command}."] if command else []
    words += [f"{p.heading}: at the end {', '.join(curve.label for curve in p.curves)}." for p in panels]
    return render(draw_panels(title, note, panels), title, " ".join(words) or note, suffix)


def draw_panels(title: str, subtitle: str, panels: list[Panel], *, below: float = 0.0) -> "Figure":
    """Panels below each other, each with the names of its curves at the lines' ends.

    below  height that is kept free under the last axis.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height = TOP + sum(panel.height for panel in panels) + BETWEEN * max(0, len(panels) - 1) + BOTTOM + below
    shares_x = all(not panel.x_name for panel in panels[:-1])
    with rc_context({"font.family": "sans-serif", "font.sans-serif": FONTS, "font.size": 12}):
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        figure.text(
            24 / WIDTH, 1 - 38 / height, shorten(one_line(title), LONGEST_TITLE), size=18, weight="bold", color=INK
        )
        figure.text(24 / WIDTH, 1 - 60 / height, one_line(subtitle), size=13, color=FAINT)
        x_most = max((curve.points[-1][0] for panel in panels for curve in panel.curves), default=1.0)
        top = TOP
        for panel in panels:
            bottom = height - top - panel.height
            size = (WIDTH - LEFT - RIGHT_MARGIN) / WIDTH, panel.height / height
            axes = figure.add_axes((LEFT / WIDTH, bottom / height, *size))
            _draw_panel(axes, panel, x_most if shares_x else None)
            top += panel.height + BETWEEN
    return figure


def _draw_panel(axes: "Axes", panel: Panel, x_most: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axes.set_title(panel.heading, loc="left", size=13, weight="bold", color=INK, pad=10)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(AXIS)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=12, pad=8)
    axes.tick_params(axis="x", length=5, color=AXIS, pad=4)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.12g}" + panel.unit))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))
    if x_most is not None and not panel.x_name:
        axes.tick_params(axis="x", length=0, labelbottom=False)
    for curve in panel.curves:
        _draw_curve(axes, curve)
    if panel.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=7))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", length=0)
    if panel.limits:
        axes.set_ylim(*panel.limits)
    elif not panel.is_log and "Loss" in panel.heading:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    least = 0.0 if x_most is not None else min([0.0, *(x for curve in panel.curves for x, _ in curve.points)])
    most = x_most or max((curve.points[-1][0] for curve in panel.curves), default=1.0)
    axes.set_xlim(least, most or 1.0)
    _name_axis(axes, panel.x_name, 0.0)
    if not panel.curves:
        axes.text(0.5, 0.5, "not in this log", transform=axes.transAxes, ha="center", color=FAINT)
    _draw_labels(axes, panel)


def _draw_curve(axes: "Axes", curve: Curve) -> None:
    colour = CURVES[curve.colour]
    if curve.is_smoothed:
        x, y = zip(*thin(curve.points), strict=True)
        axes.plot(x, y, ".", color=colour, alpha=0.25, markersize=3, clip_on=False)
    x, y = zip(*curve.drawn, strict=True)
    marks = curve.has_marks or len(x) == 1
    axes.plot(
        x,
        y,
        color=colour,
        linewidth=1 if curve.is_thin else 2,
        linestyle=(0, (7, 4)) if curve.is_dashed else "-",
        marker="o" if marks else None,
        markersize=7,
        markeredgecolor=PAPER,
        solid_joinstyle="round",
        clip_on=False,
    )


def _draw_labels(axes: "Axes", panel: Panel) -> None:
    """The names of the curves at the right, each near the end of its curve and joined to it."""
    if not panel.curves:
        return
    ends = [curve.drawn[-1] for curve in panel.curves]
    to_panel = axes.transData + axes.transAxes.inverted()
    heights = [to_panel.transform(end)[1] * panel.height for end in ends]
    places = spread_out(heights, LABEL_GAP / 2, panel.height)
    width = WIDTH - LEFT - RIGHT_MARGIN
    for curve, end, place in zip(panel.curves, ends, places, strict=True):
        axes.annotate(
            curve.label,
            xy=end,
            xytext=(1 + LABEL_DISTANCE / width, place / panel.height),
            textcoords="axes fraction",
            va="center",
            color=CURVES[curve.colour],
            size=12,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": CURVES[curve.colour], "alpha": 0.5, "shrinkA": 1, "shrinkB": 3},
        )


def _name_axis(axes: "Axes", name: str, below: float) -> None:
    """What an axis counts, at its right end; `below` is how far it lies under the panel."""
    axes.annotate(
        name,
        xy=(1, 0),
        xycoords="axes fraction",
        xytext=(24, -15 - below),
        textcoords="offset points",
        va="center",
        color=FAINT,
        size=12,
        annotation_clip=False,
    )


def _draw_time_axis(axes: "Axes", entries: Entries, height: float) -> None:
    """When the optimizer steps of the axis above, under a panel of that height, were reached."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

    known = [(number(entry.get("seconds")), number(entry.get("step"))) for entry in entries]
    timed = sorted((s, step) for s, step in known if s is not None and step is not None)
    if not timed or timed[-1][0] <= 0:
        return
    size, unit = _time_unit(timed[-1][0])
    times, steps = np.array([(0.0, 0.0), *timed]).T
    ticks = [
        tick
        for tick in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, times[-1] / size)
        if 0 <= tick <= times[-1] / size
    ]
    below = axes.secondary_xaxis(-TIME_AXIS / height)
    below.xaxis.set_major_locator(FixedLocator(np.interp(np.array(ticks) * size, times, steps).tolist()))
    by_step = dict(zip(below.get_xticks().tolist(), ticks, strict=False))
    below.xaxis.set_major_formatter(lambda step, _: StrMethodFormatter("{x:,.12g}")(by_step.get(step, 0.0)))
    below.tick_params(colors=FAINT, length=5, color=AXIS, labelsize=12)
    below.spines["bottom"].set_color(AXIS)
    _name_axis(axes, unit, TIME_AXIS)


def render(figure: "Figure", title: str, description: str, suffix: str) -> bytes:
    """A figure as SVG or PNG; the same figure gives the same bytes.

    description  for those who cannot see it.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "trm", "font.sans-serif": FONTS}):
        if suffix == ".png":
            figure.savefig(content, format="png", dpi=144, metadata={"Title": one_line(title), "Software": None})
            return content.getvalue()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    rules = "".join(
        f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important; }}\n'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    head = (
        f'role="img" aria-labelledby="title description">\n<title id="title">{plain(title)}</title>\n'
        f'<desc id="description">{plain(description)}</desc>\n'
        f"<style>@media (prefers-color-scheme: dark) {{\n{rules}}}</style>"
    )
    document = content.getvalue().decode()
    start = document.index("<svg")
    end = document.index(">", start)
    return f"{document[start:end]} {head}{document[end + 1 :]}".encode()


def one_line(content: str) -> str:
    """Any string on one line, without what XML cannot hold."""
    return " ".join(NO_XML.sub("", content).split())


def plain(content: str) -> str:
    """Any string as XML text."""
    return escape(one_line(content))


def shorten(content: str, letters: int) -> str:
    """The beginning of a text that is too long."""
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"


def _with_points(*curves: Curve) -> list[Curve]:
    return [curve for curve in curves if curve.points]


def _shares(counts: list[int], puzzles: int) -> Points:
    return [(float(place), 100 * count / puzzles) for place, count in enumerate(counts, 1)]


def _most_steps(entries: Entries) -> float:
    """N_sup, as far as the log tells."""
    histograms = [entry.get("halting_histogram") for entry in entries]
    lengths = [len(counts) for counts in histograms if isinstance(counts, list)]
    highest = [y for _, y in read_points(entries, "report", "halting_step")]
    return max([STEPS_TRAINED_FOR, *highest] if not lengths else [1, *lengths])


def _time_unit(seconds: float) -> tuple[int, str]:
    return next((size, unit) for least, size, unit in TIME_UNITS if seconds >= least)
