"""Curves read from the log of a run, whatever fields its entries have or lack."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
