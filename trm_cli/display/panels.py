"""Panels of a figure: an axis, curves, and the curves' names at their ends."""

from collections.abc import Callable
from dataclasses import dataclass

from trm_cli.display.log_series import SMOOTHED_FROM, Points, smooth
from trm_cli.display.svg import LEFT, Scale, line, plain, shorten, text

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
            f'<rect class="frame" x="{LEFT}" y="{top:.1f}" width="{right - LEFT:.1f}" '
            f'height="{bottom - top:.1f}"/>',
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
