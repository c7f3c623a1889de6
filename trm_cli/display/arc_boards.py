"""ARC's boards while they are thought about: the grid at the first cell, nothing around it.

A cell takes two columns of its colour, or half a row where that does not fit; without colours it is
a digit. A dot marks what changed, a cross what is not as the file's answer has it.
"""

import numpy as np
from rich.text import Text

from trm_cli.display.dots import dot_map
from trm_cli.display.palette import EMPTY, INKED, INKS, ON_BLACK, ON_INK, written
from trm_cli.display.views import BoardView, Cell, Look, mark
from trm_cli.tasks.arc_grid import FIRST_COLOUR, decode

NEW, WRONG, BLACK = "•", "×", "·"


def describe_arc(view: BoardView) -> list[Cell]:
    """Digit and colour of each cell of the grid; the others are empty."""
    inside = _inside(view)
    return [
        Cell(str(token - FIRST_COLOUR), INKED[token - FIRST_COLOUR]) if cell in inside
        else Cell("", EMPTY)
        for cell, token in enumerate(view.answer.tolist())
    ]  # fmt: skip


def draw_arc(view: BoardView, look: Look) -> Text:
    """The largest drawing that fits; digits where none does or colours are missing."""
    described = describe_arc(view)
    if look.marks or look.ascii_only:
        return _digits(described, view)
    if look.has_room(2 * view.width, view.height):
        return _inks(described, view, look)
    return dot_map(described, view, look)


def _inside(view: BoardView) -> set[int]:
    """The cells of the grid that is read off the board; without one, all that have a colour."""
    grid = decode(view.answer).grid
    if grid is None:
        return set(np.flatnonzero(view.answer >= FIRST_COLOUR).tolist())
    height, width = grid.shape
    return {row * view.width + column for row in range(height) for column in range(width)}


def _digits(described: list[Cell], view: BoardView) -> Text:
    rows = []
    for first in range(0, len(described), view.width):
        cells = range(first, first + view.width)
        rows.append("".join((described[c].glyph or " ") + mark(view, c) for c in cells).rstrip())
    return Text("\n".join(rows))


def _inks(described: list[Cell], view: BoardView, look: Look) -> Text:
    text = Text(no_wrap=True)
    for cell, known in enumerate(described):
        if cell and cell % view.width == 0:
            text.append("\n")
        if known.role == EMPTY:
            text.append("  ")
            continue
        colour = int(known.glyph)
        glyph = WRONG if cell in view.violated else "" if colour else BLACK
        if cell in view.changed and look.flash:
            glyph = NEW
        ink = written(INKS[colour])
        text.append(f"{glyph:2}", f"bold {ON_INK if colour else ON_BLACK} on {ink}")
    return text
