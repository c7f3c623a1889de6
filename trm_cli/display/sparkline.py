"""Small charts made of characters: eighths of a block, or four ASCII marks where there are none."""

import itertools
import math
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"  # each fills one more eighth of its cell
ASCII_BLOCKS = " .:+#"

Series = Sequence[float | None]  # None where nothing was measured


def area(values: Series, *, width: int, height: int = 1, ascii_only: bool = False,
         bounds: tuple[float, float] | None = None) -> list[str]:  # fmt: skip
    """Draw a series as a filled curve between its lowest and its highest value.

    width   columns at most; a longer series is averaged down to it.
    height  rows.
    bounds  draw between these two values instead.
    Returns the rows, the upper first. The lowest value still shows as the smallest mark.
    """
    shown = fit(values, width)
    known = [value for value in shown if value is not None]
    if not known:
        return [""] * height
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    least, most = bounds or (min(known), max(known))
    spread = most - least
    top = height * (len(symbols) - 1)  # the highest level
    levels = [
        0 if value is None
        else top // 2 if spread <= 0
        else 1 + round((value - least) / spread * (top - 1))
        for value in shown
    ]  # fmt: skip
    return _rows(levels, height, symbols)


def bars(counts: Sequence[int], *, width: int, height: int, ascii_only: bool = False) -> list[str]:
    """Draw counts as bars from zero, side by side in a width of that many columns at most.

    Returns the rows, the upper first. A count of one still shows, however high the others are.
    """
    pitch = bar_pitch(len(counts), width)
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    top = height * (len(symbols) - 1)
    most = max(counts, default=0) or 1
    levels = [math.ceil(count / most * top) for count in counts]
    thickness = max(1, pitch - 1)
    return [
        "".join((mark * thickness).ljust(pitch) for mark in row)
        for row in _rows(levels, height, symbols)
    ]


def bar_pitch(num_bars: int, width: int) -> int:
    """Columns from one bar to the next: 1 to 4."""
    return max(1, min(4, width // max(1, num_bars)))


def fit(values: Series, width: int) -> list[float | None]:
    """At most `width` values: neighbours are averaged where there are more."""
    if len(values) <= width:
        return list(values)
    edges = [column * len(values) // width for column in range(width + 1)]
    return [_mean(values[first:last]) for first, last in itertools.pairwise(edges)]


def _mean(values: Series) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rows(levels: list[int], height: int, symbols: str) -> list[str]:
    """Stack cells: those below a level's own cell are full, those above it empty."""
    full = len(symbols) - 1
    return [
        "".join(symbols[min(full, max(0, level - row * full))] for level in levels)
        for row in reversed(range(height))
    ]
