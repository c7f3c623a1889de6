"""The axes that panels share: how far a run was, in optimizer steps and in time."""

from collections.abc import Iterable

from trm_cli.display.log_series import Entry, number, step_after
from trm_cli.display.svg import LEFT, NEARLY, Scale, line, text, ticks_between, written

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
