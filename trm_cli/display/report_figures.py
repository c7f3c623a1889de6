"""The figures of an evaluation: solved by steps, solved by attempts, and the halt head's word."""

from trm_cli.display.panels import Curve, Panel, right_margin
from trm_cli.display.sections import distinct_names
from trm_cli.display.svg import LEFT, WIDTH, Scale, document, line, text, ticks_between, written
from trm_cli.solving.evaluate import Evaluated

TOP, HEIGHT, BETWEEN, BOTTOM = 90.0, 200.0, 92.0, 52.0  # of panels, between and below, in pixels
RELIABILITY = "Answers that are right, %, by what the halt head says"
Points = list[tuple[float, float]]


def draw(evaluated: list[Evaluated], *, title: str, command: str = "") -> str:
    """The curves of one network, or of two beside each other, as SVG.

    command  what measured them, for the figure's description.
    """
    names = [one.model for one in evaluated]
    if len(evaluated) == 2:
        names = list(distinct_names(*evaluated))
    panels = [
        ("Solved in the first attempt, % of the puzzles", "supervision steps",
         [_percentages(one.tally.solved_within_steps, one.puzzles) for one in evaluated]),
        ("Solved, % of the puzzles", "attempts",
         [_percentages(one.tally.solved_within_attempts, one.puzzles) for one in evaluated]),
        (RELIABILITY, "halt head's probability, %", [_reliability(one) for one in evaluated]),
    ]  # fmt: skip
    shown = [panel for panel in panels if any(len(points) > 1 for points in panel[2])]
    parts, words = [], [f"Measured by {command}."] if command else []
    top = TOP
    for heading, x_name, curves in shown:
        drawn, summary = _panel(heading, x_name, list(zip(names, curves, strict=True)), top)
        parts.append(drawn)
        words.append(summary)
        top += HEIGHT + BETWEEN
    if not shown:
        parts.append(text(24, 72, "One step and one attempt: no curves to draw.", "subtitle"))
    return document(title, " ".join(words), "\n".join(parts), top - BETWEEN + BOTTOM)


def _panel(heading: str, x_name: str, named: list[tuple[str, Points]],
           top: float) -> tuple[str, str]:  # fmt: skip
    """One panel as SVG, and what it shows in words."""
    curves = [
        Curve(name, points, number, lambda value: f"{value:.1f}%", has_marks=True)
        for number, (name, points) in enumerate(named) if points
    ]  # fmt: skip
    if heading == RELIABILITY:
        says = [(0.0, 0.0), (100.0, 100.0)]
        curves.append(Curve("as it says", says, 5, lambda value: f"{value:.0f}%", is_thin=True,
                            is_dashed=True))  # fmt: skip
    values = [y for curve in curves for _, y in curve.points]
    xs = [x for curve in curves for x, _ in curve.points]
    ticks = ticks_between(min(values), max(values))
    x = Scale(min(0.0, *xs), max(xs), LEFT, WIDTH - right_margin(curves))
    y = Scale(ticks[0], ticks[-1], top + HEIGHT, top)
    panel = Panel(heading, curves, x, y, [(tick, f"{written(tick)}%") for tick in ticks])
    ends = ", ".join(f"{curve.name} {curve.label[0]}" for curve in curves)
    return panel.draw() + _x_axis(x, x_name, top + HEIGHT), f"{heading}: at the end {ends}."


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
    return [(100 * one.probability / one.steps, 100 * one.right / one.steps)
            for one in evaluated.tally.bins if one.steps]  # fmt: skip
