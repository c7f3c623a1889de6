"""Maps whose cells are dots of colour, two in a character: for small boards and for heat."""

from collections.abc import Callable

from rich.text import Text

from trm_cli.display.palette import HEAT, Colour, between, dot_colour, written
from trm_cli.display.views import BoardView, Cell, Look, confidence_at
from trm_cli.solving.frames import Cells

HALVES = " ▀▄█"  # neither, the upper, the lower, both
ASCII_HALVES = " '.:"
DENSITIES, ASCII_DENSITIES = " ░▒▓█", " .:+#"


def dot_map(described: list[Cell], view: BoardView, look: Look) -> Text:
    """A board without digits: roles as colours; without colour, the cells that break a rule."""
    if look.marks or look.ascii_only:
        return _bitmap(view, ASCII_HALVES if look.ascii_only else HALVES)

    def colour(cell: int) -> Colour:
        return dot_colour(described[cell].role, confidence_at(view, cell),
                          changed=cell in view.changed, flash=look.flash)  # fmt: skip

    return _halves(colour, view.height, view.width)


def _halves(colour: Callable[[int], Colour], height: int, width: int) -> Text:
    """Two rows of dots in one of characters: the upper in the foreground, the lower behind."""
    text = Text()
    for row in range(0, height, 2):
        text.append("\n" if row else "")
        for column in range(width):
            style = written(colour(row * width + column))
            if row + 1 < height:
                style += f" on {written(colour((row + 1) * width + column))}"
            text.append("▀", style)
    return text


def _bitmap(view: BoardView, halves: str) -> Text:
    rows = []
    for row in range(0, view.height, 2):
        upper = [row * view.width + column for column in range(view.width)]
        lower = [cell + view.width if row + 1 < view.height else -1 for cell in upper]
        rows.append("".join(
            halves[(up in view.violated) + 2 * (low in view.violated)]
            for up, low in zip(upper, lower, strict=True)
        ))  # fmt: skip
    return Text("\n".join(rows))


def heat_map(heat: Cells, height: int, width: int, look: Look) -> Text:
    """Heat [L] of 0 to 1 on the board's shape: two columns a cell where they fit, else dots."""
    levels = heat.clip(0.0, 1.0).tolist()
    is_wide = look.has_room(2 * width, height)
    if look.marks or look.ascii_only:
        return _densities(levels, width, ASCII_DENSITIES if look.ascii_only else DENSITIES)
    if not is_wide:
        return _halves(lambda cell: between(HEAT, levels[cell]), height, width)
    text = Text()
    for cell, level in enumerate(levels):
        text.append("\n" if cell and cell % width == 0 else "")
        text.append("██", written(between(HEAT, round(level, 2))))
    return text


def _densities(levels: list[float], width: int, marks: str) -> Text:
    drawn = [marks[round(level * (len(marks) - 1))] * 2 for level in levels]
    rows = ["".join(drawn[first : first + width]) for first in range(0, len(drawn), width)]
    return Text("\n".join(rows))
