"""Lines of text beside each other, and series and counts as rows of blocks: what screens are put together from."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from statistics import fmean

from rich.text import Text

CLAUSE = re.compile(r", |; |: | \(| after ")  # where a line may end that is too long


def spread(left: Text, right: Text, width: int) -> Text:
    """Two texts on one line, the second at its right end."""
    return Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)


def beside(blocks: list[list[Text]], gap: int) -> list[Text]:
    """Blocks of lines side by side, each as wide as its widest line, `gap` columns between."""
    ends = [*(widest(block) + gap for block in blocks[:-1]), 0]
    lines = []
    for row in zip_longest(*blocks, fillvalue=Text()):
        joined = Text()
        for line, end in zip(row, ends, strict=True):
            joined.append_text(line).append(" " * (end - line.cell_len))
        lines.append(joined)
    return lines


def widest(lines: list[Text]) -> int:
    """Columns of the widest line."""
    return max((line.cell_len for line in lines), default=0)


def clipped(text: Text, width: int) -> Text:
    """A text of at most `width` columns: it loses clauses from its end, or else words, or else letters."""
    if text.cell_len <= width:
        return text
    plain = text.plain
    ends = [match.start() for match in CLAUSE.finditer(plain) if match.start() <= width]
    words = [place for place, mark in enumerate(plain) if mark == " " and place <= width and plain[:place].strip()]
    return text[: (ends or words or [width])[-1]]


def fitting(choices: Sequence[str], width: int) -> str:
    """The first of some wordings that fits, or the last."""
    return next((words for words in choices if len(words) <= width), choices[-1])


BLOCKS = " ▁▂▃▄▅▆▇█"  # each fills one more eighth of its cell
ASCII_BLOCKS = " .:+#"

Series = Sequence[float | None]  # None where nothing was measured


def area(
    values: Series, *, width: int, height: int = 1, ascii_only: bool = False, bounds: tuple[float, float] | None = None
) -> list[str]:
    """A series as a filled curve between its lowest and its highest value, or between two bounds.

    Returns the rows, the upper first, of at most `width` columns: a longer series is averaged down.
    The lowest value still shows as the smallest mark.
    """
    shown = fit(values, width)
    known = [value for value in shown if value is not None]
    if not known:
        return [""] * height
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    least, most = bounds or (min(known), max(known))
    top = height * (len(symbols) - 1)  # the highest level
    levels = [
        0 if value is None else top // 2 if most <= least else 1 + round((value - least) / (most - least) * (top - 1))
        for value in shown
    ]
    return _stacked(levels, height, symbols)


def bars(counts: Sequence[int], *, width: int, height: int, ascii_only: bool = False) -> list[str]:
    """Counts as bars from zero, side by side in at most `width` columns; one still shows, however high the others are.

    Returns the rows, the upper first.
    """
    pitch = max(1, min(4, width // max(1, len(counts))))  # columns from one bar to the next
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    top, most = height * (len(symbols) - 1), max(counts, default=0) or 1
    rows = _stacked([math.ceil(count / most * top) for count in counts], height, symbols)
    return ["".join((mark * max(1, pitch - 1)).ljust(pitch) for mark in row) for row in rows]


def fit(values: Series, width: int) -> list[float | None]:
    """At most `width` values: neighbours are averaged where there are more."""
    if len(values) <= width:
        return list(values)
    edges = [column * len(values) // width for column in range(width + 1)]
    known = [[value for value in values[first:last] if value is not None] for first, last in pairwise(edges)]
    return [fmean(group) if group else None for group in known]


def _stacked(levels: list[int], height: int, symbols: str) -> list[str]:
    """Rows of cells: those below a level's own cell are full, those above it empty."""
    full = len(symbols) - 1
    rows = reversed(range(height))
    return ["".join(symbols[min(full, max(0, level - row * full))] for level in levels) for row in rows]
