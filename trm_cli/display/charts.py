"""Charts of a run's log and of an evaluation, drawn by matplotlib, as SVG or PNG.

matplotlib is imported when a chart is drawn. An SVG follows the reader's light or dark theme: its
colours stand in it as drawn, for light, and a style sheet gives each its counterpart for dark.
The colours are those of Okabe and Ito, "Color Universal Design", which colour-blind readers can
tell apart, darkened or lightened until they are readable as text.
"""

import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeGuard
from xml.sax.saxutils import escape

import numpy as np

from trm_cli.tasks.base import HELD_OUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trm_cli.solving.evaluate import Counts, Evaluated

WIDTH = 900.0  # of a figure, in points, as all lengths here
LEFT, PANEL_WIDTH = 64.0, 600.0  # labels stand in what remains at the right
TITLE, SUBTITLE, TOP = 38.0, 60.0, 106.0  # from the upper edge to two lines of text and the first panel
BETWEEN, AXIS = 58.0, 30.0  # from panel to panel; the height of an axis with its numbers
LABEL_GAP, LABEL_DISTANCE = 16.0, 16.0  # from one label down to the next; from the panel to its labels
WINDOWS = 40  # moving averages that lie side by side in a curve
SMOOTHED_FROM, MOST_POINTS = 60, 340  # points: fewer are drawn as they are; more are thinned
LOG_RANGE = 10  # a loss is drawn on a logarithmic scale if it spans more than this factor
BETWEEN_LINES = "; between the lines: the halting loss, as weighted"
STEPS_TRAINED_FOR = 16  # N_sup of the recipes; for logs that do not tell
LONGEST_TITLE, LONGEST_NAME = 72, 28  # letters
TIME_UNITS = ((36_000, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))  # from, size, name
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"]

PAPER, INK, FAINT, GRID, LINE = "#ffffff", "#1f2328", "#57606a", "#e6e8eb", "#8c959f"
BLUE, ORANGE, GREEN, PURPLE, GRAY = CURVES = ("#0b66a8", "#c04a00", "#007a5a", "#a0457f", "#5b6570")
DARK = {  # of each colour above
    **dict(zip((PAPER, INK, FAINT, GRID, LINE), ("#0d1117", "#f0f6fc", "#9198a1", "#21262d", "#6e7681"), strict=True)),
    **dict(zip(CURVES, ("#58b2f0", "#ff8f52", "#35c79b", "#e59ac8", "#a9b3bd"), strict=True)),
}
STYLED: dict[str, dict[str, Any]] = {  # how each setting of matplotlib begins, and its ends
    "font.": {"family": "sans-serif", "sans-serif": FONTS, "size": 12},
    "text.": {"parse_math": False},  # a name may hold dollars
    "figure.": {"facecolor": PAPER},
    "axes.": {"facecolor": "none", "edgecolor": LINE, "grid": True, "grid.axis": "y", "axisbelow": True},
    "axes.spines.": {"left": False, "right": False, "top": False},
    "axes.title": {"location": "left", "size": 13, "weight": "bold", "color": INK, "pad": 10},
    "grid.": {"color": GRID},
    "xtick.": {"color": LINE, "labelcolor": FAINT, "major.size": 5, "major.pad": 4},
    "ytick.": {"labelcolor": FAINT, "major.size": 0, "major.pad": 8},
    "lines.": {"markersize": 7},
    "svg.": {"fonttype": "none", "hashsalt": "trm"},  # text stays text
}
STYLE: Any = {f"{group}{end}": value for group, ends in STYLED.items() for end, value in ends.items()}
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Entries = list[dict[str, Any]]  # lines of log.jsonl
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A line in a panel, with what is written at its end."""

    name: str
    points: Points
    colour: str
    write: Callable[[float], str]  # the last value as text
    style: Literal["plain", "marked", "thin", "dashed"] = "plain"  # plain is smoothed where it is long

    @property
    def is_smoothed(self) -> bool:
        """Whether a moving average is drawn over faint points."""
        return self.style == "plain" and len(self.points) >= SMOOTHED_FROM

    @cached_property
    def drawn(self) -> Points:
        """The points of the line; a window of the average shrinks evenly at the left, and is cut off at the right."""
        x, y = zip(*self.points, strict=True)
        reach = len(y) // WINDOWS if self.is_smoothed else 0
        windows = ((at, y[at - min(at, reach) : at + min(at, reach) + 1]) for at in thinned(len(y)))
        return [(x[at], sum(window) / len(window)) for at, window in windows]

    @property
    def label(self) -> str:
        """The value at the end, and the name."""
        return f"{self.write(self.drawn[-1][1])} {shorten(self.name, LONGEST_NAME)}"


@dataclass(frozen=True)
class Panel:
    """A heading, axes and curves. Both axes begin and end at round numbers where no limit is given."""

    heading: str
    curves: list[Curve]  # each with a point at least
    x_most: float  # the horizontal axis begins at 0
    height: float = 200.0
    limits: tuple[float, float] | None = None  # of the vertical axis
    x_name: str = ""  # "" leaves the numbers out
    unit: str = ""  # behind each number of the vertical axis
    is_log: bool = False
    doubles: bool = False  # the horizontal axis is logarithmic, and begins where the curves do


def thinned(length: int) -> range:
    """Places at even distances, the last among them, where a curve has too many points."""
    stride = max(1, -(-length // MOST_POINTS))
    return range((length - 1) % stride, length, stride)


def read_points(entries: Entries, kind: str, name: str, factor: float = 1.0) -> Points:
    """A field of the reports over the steps, or of the scores of evaluations; only finite numbers are drawn."""
    points = []
    for entry in entries:
        values = entry.get("scores") if kind == "evaluation" else entry
        if entry.get("kind") == kind and isinstance(values, dict):
            x, y = entry.get("step"), values.get(name)
            if is_number(x) and is_number(y):
                points.append((x, y * factor))
    return points


def is_number(value: object) -> TypeGuard[float]:
    """Whether it can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def spread_out(wanted: list[float], bottom: float, top: float) -> list[float]:
    """Heights as near as can be to those wanted, a label's gap apart, between bottom and top.

    Neighbours too near each other move by the same amount, up and down (isotonic regression by
    pooling adjacent violators, on the heights less the gaps).
    """
    order = np.argsort(wanted, kind="stable")
    gap = min(LABEL_GAP, (top - bottom) / max(1, len(wanted) - 1))
    gaps = gap * np.arange(len(wanted))
    pools: list[list[float]] = []
    for height in (np.take(wanted, order) - gaps).tolist():
        pools.append([height])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    settled = [fmean(pool) for pool in pools for _ in pool]
    heights = np.empty(len(wanted))
    heights[order] = np.clip(settled, bottom, top - gap * (len(wanted) - 1)) + gaps
    return [float(height) for height in heights]


def run_panels(entries: Entries) -> list[Panel]:
    """What a run's log shows: loss, accuracy, and where puzzles halt; no panel where nothing is known."""

    def curve(name: str, field: str, colour: str, form: str, factor: float = 1.0) -> Curve:
        return Curve(name, read_points(entries, "report", field, factor), colour, form.format)

    judge = next((str(entry["judged_by"]) for entry in entries if "judged_by" in entry), HELD_OUT)
    judge = "validation set" if judge == HELD_OUT else judge
    histograms = [entry.get("halting_histogram") for entry in entries]
    lengths = [len(counts) for counts in histograms if isinstance(counts, list)]
    halting = curve("mean halting step", "halting_step", PURPLE, "{:.1f}")
    most_steps = max([1, *lengths] if lengths else [STEPS_TRAINED_FOR, *(y for _, y in halting.points)])
    rates = read_points(entries, "report", "rate", most_steps)  # the full rate at the top of the panel
    verified = read_points(entries, "evaluation", "verified", 100)
    # The halting loss is what lies between these. Alone it rises while a network learns: while nothing is solved,
    # a head that never halts has no loss; it has one until it learns that answers have become right.
    losses = [curve("loss", "loss", ORANGE, "{:.3g}"), curve("answer loss", "answer_loss", BLUE, "{:.3g}")]
    accuracies = [
        curve("cells, training", "cell_accuracy", BLUE, "{:.1f}%", 100),
        curve("solved, training", "solved", ORANGE, "{:.1f}%", 100),
        Curve(f"solved, {judge}", verified, GREEN, "{:.1f}%".format, "marked"),
    ]
    steps = [halting, Curve("learning rate", rates, GRAY, lambda height: f"{height / most_steps:.0%}", "thin")]
    known = [[one for one in group if one.points] for group in (losses, accuracies, steps)]
    if not any(known):
        return []
    x_most = max(one.points[-1][0] for group in known for one in group) or 1.0
    values = [y for one in known[0] for _, y in one.points] or [1.0]
    is_log = min(values) > 0 and max(values) > LOG_RANGE * min(values)
    limits = None if is_log or min(values) < 0 else (0.0, 1.05 * max(values) or 1.0)
    heading = "Loss, in nats" + ", logarithmic" * is_log + BETWEEN_LINES * (len(known[0]) > 1)
    return [
        Panel(heading, known[0], x_most, 170, limits, is_log=is_log),
        Panel("Accuracy", known[1], x_most, 200, (0, 100), unit="%"),
        Panel(
            "Mean halting step; learning rate from 0 to 100%", known[2], x_most, 130, (0, most_steps), "optimizer steps"
        ),
    ]


def draw_curves(entries: Entries, *, title: str, suffix: str = ".svg") -> bytes:
    """A run's log as a chart: loss, accuracy, and where puzzles halt, over the optimizer steps.

    entries  objects of log.jsonl, in order; fields may be absent, and the list empty.
    """
    panels = run_panels(entries)
    if not panels:
        note = "Nothing to draw yet: the log holds no report and no evaluation."
        return render(draw_panels(title, note, []), title, note, suffix)
    known = ((entry.get("seconds"), entry.get("step")) for entry in entries)
    times = sorted((seconds, step) for seconds, step in known if is_number(seconds) and is_number(step))
    seconds, steps = times[-1][0] if times else 0.0, panels[0].x_most
    size, unit = next((size, unit) for least, size, unit in TIME_UNITS if seconds >= least)
    length = f"{steps:,.12g} optimizer step{'s' * (steps != 1)} in {seconds / size:.3g} {unit}"
    ends = ", ".join(curve.label for panel in panels for curve in panel.curves)
    clock = [(seconds / size, step) for seconds, step in times] if seconds > 0 else []
    figure = draw_panels(title, length, panels, clock, unit)
    return render(figure, title, f"{length}. At the end: {ends}.", suffix)


def evaluation_panels(evaluated: "list[Evaluated]") -> list[Panel]:
    """What evaluations show: solved by steps, solved by attempts, and what the halt head is worth."""
    from trm_cli.solving.evaluate import distinct_names

    names = list(distinct_names(*evaluated)) if len(evaluated) == 2 else [one.model for one in evaluated]

    def panel(heading: str, x_name: str, names: list[str], groups: list[Points], *more: Curve) -> Panel:
        curves = [
            Curve(name, points, colour, "{:.1f}%".format, "marked")
            for name, points, colour in zip(names, groups, CURVES, strict=False)
            if points
        ]
        if not curves:
            return Panel(heading, [], 1.0)
        x, y = zip(*(point for curve in (*curves, *more) for point in curve.points), strict=True)
        low = min(90, 10 * math.floor(min(y) / 10))
        limits = low, max(low + 10, 10 * math.ceil(max(y) / 10))
        return Panel(heading, [*curves, *more], max(x), 200, limits, x_name, "%")

    def shares(counts: list[int], puzzles: int) -> Points:
        return [(float(place), 100 * count / puzzles) for place, count in enumerate(counts, 1)]

    by_steps = [shares(one.tally.solved_within_steps, one.puzzles) for one in evaluated]
    by_budget = [
        [(float(most), 100 * solved / one.puzzles) for most, solved, _ in one.tally.by_budget] for one in evaluated
    ]
    by_attempts = [shares(one.tally.solved_within_attempts, one.puzzles) for one in evaluated]
    calibration = [
        [(100 * b.probability / b.steps, 100 * b.right / b.steps) for b in one.tally.bins if b.steps]
        for one in evaluated
    ]
    by_rating = []
    for name, one in zip(names, evaluated, strict=True):
        rated = _merged(one.counts_by("rating")) if one.tally.whole.halts_at_several_steps else []
        if rated:
            heading = f"{name}: " * (len(evaluated) > 1) + "Supervision steps of the puzzles solved, by rating"
            ratings = [f"rating {rating}" for rating, _ in rated]
            solved = [shares(list(accumulate(counts.solved_at)), counts.puzzles) for _, counts in rated]
            by_rating.append(panel(heading, "supervision steps", ratings, solved))
    says = Curve("as it says", [(0.0, 0.0), (100.0, 100.0)], GRAY, "{:.0f}%".format, "dashed")
    panels = [
        panel("Solved in the first attempt, % of the puzzles", "supervision steps", names, by_steps),
        *by_rating,
        panel("Solved, % of the puzzles", "attempts", names, by_attempts),
        replace(panel("Solved by all attempts, % of the puzzles", "steps in all", names, by_budget), doubles=True),
        panel("Answers that are right, %, by what the halt head says", "halt probability, %", names, calibration, says),
    ]
    return [made for made in panels if any(len(curve.points) > 1 for curve in made.curves if curve is not says)]


def _merged(groups: "list[tuple[str, Counts]]") -> "list[tuple[str, Counts]]":
    """Ranges and what was counted of each; neighbours with the fewest puzzles as one while there are too many."""
    while len(groups) > len(CURVES):
        sizes = [first.puzzles + second.puzzles for (_, first), (_, second) in pairwise(groups)]
        at = sizes.index(min(sizes))
        (name, first), (last, second) = groups[at : at + 2]
        least, end = name.split()[0], last.partition(" ")[2] or f"to {last}"
        solved_at = [sum(both) for both in zip(first.solved_at, second.solved_at, strict=True)]
        merged = replace(first, puzzles=min(sizes), solved_at=solved_at)
        groups = [*groups[:at], (f"{least} {end}", merged), *groups[at + 2 :]]
    return groups


def draw_evaluation(evaluated: "list[Evaluated]", *, title: str, command: str = "", suffix: str = ".svg") -> bytes:
    """The figures of one network, or of two beside each other, and in words what `command` measured them."""
    panels = evaluation_panels(evaluated)
    note = "" if panels else "One step and one attempt: no curves to draw."
    words = [f"Measured by {command}."] if command else []
    words += [f"{p.heading}: at the end {', '.join(curve.label for curve in p.curves)}." for p in panels]
    return render(draw_panels(title, note, panels), title, " ".join(words) or note, suffix)


def draw_courses(courses: dict[str, Points], *, title: str, suffix: str = ".svg") -> bytes:
    """Accuracy against optimizer steps, each panel some arms of a study beside the first one.

    courses  by arm, the first first: (optimizer step, share of the validation set).
    """
    (first, base), *others = courses.items()
    x_most = max(points[-1][0] for points in courses.values())
    groups = [others[at : at + len(CURVES) - 1] for at in range(0, len(others), len(CURVES) - 1)] or [[]]
    panels = []
    for number, group in enumerate(groups, 1):
        shown = [((GRAY if others else BLUE), first, base)]
        shown += [(colour, name, points) for colour, (name, points) in zip(CURVES, group, strict=False)]
        curves = [
            Curve(name, [(x, 100 * y) for x, y in points], colour, "{:.1f}%".format, "marked")
            for colour, name, points in shown
        ]
        x_name = "optimizer steps" if number == len(groups) else ""
        panels.append(Panel("Solved, % of the validation set", curves, x_most, 200, (0, 100), x_name, "%"))
    words = "; ".join(f"{curve.name} {curve.write(curve.points[-1][1])}" for p in panels for curve in p.curves)
    subtitle = "Means over the seeds; the first arm in grey" if others else ""
    return render(draw_panels(title, subtitle, panels), title, f"At the end: {words}.", suffix)


@contextmanager
def matplotlib_styled() -> Iterator[None]:
    """Draw in our style, and without remarks on matplotlib's cache or on letters that no font has."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        from matplotlib import rc_context

        with rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            yield
    finally:
        logger.setLevel(level)


@matplotlib_styled()
def draw_panels(
    title: str, subtitle: str, panels: list[Panel], clock: Points | None = None, unit: str = ""
) -> "Figure":
    """Panels below each other; a clock of (time, step), in a unit, measures the last axis of steps in time, too."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    tops, top = [], TOP if subtitle else TOP - (SUBTITLE - TITLE)
    for panel in panels:
        tops.append(top)
        top += panel.height + BETWEEN + AXIS * bool(panel.x_name)
    height = top + AXIS * bool(clock) - (BETWEEN - 10 if panels else 20)
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    entitle(figure, title, subtitle, height)
    for panel, top in zip(panels, tops, strict=True):
        bottom = 1 - (top + panel.height) / height
        axes = figure.add_axes((LEFT / WIDTH, bottom, PANEL_WIDTH / WIDTH, panel.height / height))
        draw_panel(axes, panel)
    if clock:  # below the axis of the steps stand the times at which they were reached
        times, steps = np.array([(0.0, 0.0), *clock]).T
        ticks = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, times[-1])
        ticks = ticks[ticks <= times[-1]]
        below = figure.axes[-1].secondary_xaxis(-AXIS / panels[-1].height)
        below.set_xticks(np.interp(ticks, times, steps), [f"{tick:,.12g}" for tick in ticks])
        _name_axis(figure.axes[-1], unit, -1.5 * AXIS)
    return figure


def draw_panel(axes: "Axes", panel: Panel) -> None:
    """Curves with their names at the right; run it where the figure is `matplotlib_styled`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_title(panel.heading)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 4, 5, 10]))
    if panel.is_log:
        values = [y for curve in panel.curves for _, y in curve.drawn]
        axes.set_yscale("log")
        subs = (1, 2, 5) if max(values) < 100 * min(values) else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}{panel.unit}"))
    if not panel.x_name:
        axes.tick_params(axis="x", length=0, labelbottom=False)
    if not panel.curves:
        axes.text(0.5, 0.5, "not in this log", transform=axes.transAxes, ha="center", color=FAINT)
    for curve in panel.curves:
        if curve.is_smoothed:
            raw = [curve.points[at] for at in thinned(len(curve.points))]
            axes.plot(*zip(*raw, strict=True), ".", color=curve.colour, alpha=0.25, markersize=3, clip_on=False)
        axes.plot(
            *zip(*curve.drawn, strict=True),
            color=curve.colour,
            linewidth=1 if curve.style in ("thin", "dashed") else 2,
            linestyle=(0, (7, 4)) if curve.style == "dashed" else "-",
            marker="o" if curve.style == "marked" or len(curve.drawn) == 1 else None,
            markeredgecolor=PAPER,
            clip_on=False,
        )
    axes.set(xlim=(0, panel.x_most), ylim=panel.limits)
    if panel.doubles:
        axes.set_xscale("log", base=2)
        axes.set_xlim(min(x for curve in panel.curves for x, _ in curve.points), panel.x_most)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    _name_axis(axes, panel.x_name, -AXIS / 2)
    # The names of the curves stand at the right, each near the end of its curve and joined to it.
    ends = [curve.drawn[-1] for curve in panel.curves]
    to_panel = axes.transData + axes.transAxes.inverted()
    heights = [to_panel.transform(end)[1] * panel.height for end in ends]
    places = spread_out(heights, LABEL_GAP / 2, panel.height)
    for curve, end, place in zip(panel.curves, ends, places, strict=True):
        corner = 1 + LABEL_DISTANCE / PANEL_WIDTH, place / panel.height
        arrow = {"arrowstyle": "-", "color": curve.colour, "alpha": 0.5, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 3}
        look: Any = {"va": "center", "color": curve.colour, "annotation_clip": False, "arrowprops": arrow}
        axes.annotate(curve.label, end, corner, textcoords="axes fraction", **look)


def _name_axis(axes: "Axes", name: str, height: float) -> None:
    """What an axis counts, right of its numbers, as high above the panel's lower edge."""
    look: Any = {"va": "center", "color": FAINT, "annotation_clip": False}
    axes.annotate(name, (1, 0), (36, height), "axes fraction", "offset points", **look)


def entitle(figure: "Figure", title: str, subtitle: str, height: float) -> None:
    """Two lines of text at the top of a figure of so many points."""
    look: Any = {"size": 18, "weight": "bold", "color": INK}
    figure.text(24 / WIDTH, 1 - TITLE / height, shorten(one_line(title), LONGEST_TITLE), **look)
    figure.text(24 / WIDTH, 1 - SUBTITLE / height, one_line(subtitle), size=13, color=FAINT)


@matplotlib_styled()
def render(figure: "Figure", title: str, description: str, suffix: str) -> bytes:
    """A figure as SVG or PNG, the same bytes for the same figure; `description` is for those who cannot see it."""
    content = io.BytesIO()
    if suffix == ".png":
        figure.savefig(content, format="png", dpi=144, metadata={"Title": one_line(title), "Software": None})
        return content.getvalue()
    figure.savefig(content, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
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
    opening, _, drawn = document[document.index("<svg") :].partition(">")
    return f"{opening} {head}{drawn}".encode()


def one_line(content: str) -> str:
    """Any string on one line, without what XML cannot hold."""
    return " ".join(NO_XML.sub("", content).split())


def plain(content: str) -> str:
    """Any string as XML text."""
    return escape(one_line(content))


def shorten(content: str, letters: int) -> str:
    """The beginning of a text that is too long."""
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"
