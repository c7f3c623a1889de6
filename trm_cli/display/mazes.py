"""Mazes with the path as a line, in the largest of three sizes that fits.

    ██  S━━━┓     █ S━┓     ▀▄▀
    ██████  ┃     ███ ┃     ▄▀▄
    G━━━━━━━┛     G━━━┛
    wide          narrow    dots

What is a line of box characters in the first two is a row of coloured dots in the third, two cells
in a character: a maze of 30x30 takes 30 columns and 15 rows.
"""

from rich.text import Text

from trm_cli.display import palette
from trm_cli.display.dots import dot_map
from trm_cli.display.palette import cell_style
from trm_cli.display.views import BoardView, Cell, Look, confidence_at, mark
from trm_cli.tasks.maze_grid import GOAL, OPEN, PATH, START, WALL

ROLE_OF = {WALL: palette.WALL, OPEN: palette.OPEN, START: palette.START, GOAL: palette.GOAL,
           PATH: palette.PATH}  # fmt: skip
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where a line of the path leads
STROKES = " ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋"  # by the sum of the above
LONE, WALLS, NONE = "•", "█", "?"
ASCII_STROKE, ASCII_WALLS = "o", "#"


def describe_maze(view: BoardView) -> list[Cell]:
    """Letter and role of each cell."""
    return [Cell(_letter(token), _role(view, cell, token))
            for cell, token in enumerate(view.answer.tolist())]  # fmt: skip


def draw_maze(view: BoardView, look: Look) -> Text:
    """The largest drawing that fits; the narrow one where none does or colours are missing."""
    if look.has_room(2 * view.width, view.height):
        return _lines(view, look, columns=2)
    says_all = look.marks or look.ascii_only  # dots are nothing without their colours
    if look.has_room(view.width, view.height) or says_all:
        return _lines(view, look, columns=1)
    return dot_map(describe_maze(view), view, look)


def _letter(token: int) -> str:
    return {START: "S", GOAL: "G"}.get(token, "")


def _role(view: BoardView, cell: int, token: int) -> str:
    if cell in view.violated:
        return palette.VIOLATED
    return ROLE_OF.get(token, palette.EMPTY)


def _lines(view: BoardView, look: Look, *, columns: int) -> Text:
    """A row of characters for each row of cells, `columns` for a cell."""
    described = describe_maze(view)
    text = Text(no_wrap=True)
    for cell, known in enumerate(described):
        if cell and cell % view.width == 0:
            text.append("\n")
        changed = cell in view.changed
        style = cell_style(known.role, confidence_at(view, cell), changed=changed, flash=look.flash)
        text.append(_glyphs(view, look, cell, columns), style)
    return text


def _glyphs(view: BoardView, look: Look, cell: int, columns: int) -> str:
    """What is written for a cell: its glyph, then a line to the next, its like again, or a mark."""
    token = int(view.answer[cell])
    walls = ASCII_WALLS if look.ascii_only else WALLS
    ways = _ways(view, cell) if token >= START else 0
    if token == WALL:
        glyph, filler = walls, walls
    elif token < START:
        glyph, filler = (" ", " ") if token == OPEN else (NONE, NONE)
    elif look.ascii_only:
        glyph, filler = _letter(token) or ASCII_STROKE, ASCII_STROKE if ways & RIGHT else " "
    else:
        glyph, filler = _letter(token) or STROKES[ways], "━" if ways & RIGHT else " "
    if look.marks and mark(view, cell) != " ":
        return mark(view, cell) if columns == 1 else glyph + mark(view, cell)
    return (glyph if glyph != STROKES[0] or token < START else LONE) + filler * (columns - 1)


def _ways(view: BoardView, cell: int) -> int:
    """Which of the four cells beside a cell of the path are on the path too."""
    row, column = divmod(cell, view.width)
    ways = 0
    for way, down, right in ((UP, -1, 0), (DOWN, 1, 0), (LEFT, 0, -1), (RIGHT, 0, 1)):
        inside = 0 <= row + down < view.height and 0 <= column + right < view.width
        if inside and view.answer[cell + down * view.width + right] >= START:
            ways |= way
    return ways
