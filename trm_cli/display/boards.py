"""Boards of every task, drawn from what the task says of its cells, as large as fits.

    ┏━━━┯━━━┯━━━┳    ┌───────┬──    5 3 · │ · 7    ▀▀▀     ██  S━━━┓     █ S━┓
    ┃ 5 │ 3 │ · ┃    │ 5 3 · │ ·    6 · · │ 1 9    ▀▀▀     ██████  ┃     ███ ┃
    ┠───┼───┼───╂    │ 6 · · │ 1    ──────┼────            G━━━━━━━┛     G━━━┛
    open             boxed          compact        dots    wide          narrow

Layout.GRID is drawn open, boxed, compact or as dots, two of them in a character; Layout.PATH wide,
narrow or as dots; Layout.BLOCKS as blocks of two columns or as dots. Where colours are missing,
glyphs and marks say what they can.

Here alone the colour of a cell is chosen: what changed flashes yellow, a violation is red, else the
task's role says the colour, or the network's confidence does: grey is a guess, blue is certain.
Colours are of middle lightness, to be read on dark and on light terminals; Rich takes the nearest
that a terminal has.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TypeVar

from rich.text import Text

from trm_cli.solving.trace import Cells, Frame
from trm_cli.tasks.base import Cell, Colour, Layout, Role, Task, Tokens

Item = TypeVar("Item")

LINES = "#7d8590"  # of a board
HALTING = "#35b37e"  # the halt probability
MOVING = "#a58fe0"  # how far y and z moved
GUESSED: Colour = (0x86, 0x8B, 0x94)
CERTAIN: Colour = (0x0F, 0xB2, 0xDC)
VIOLATION: Colour = (0xA3, 0x2F, 0x3F)
NEW: Colour = (0xF2, 0xC0, 0x37)
GUESS, CERTAINTY = 0.3, 0.98  # confidence at which a glyph is all grey, all blue
SHADES = 8  # between the two
FLASH_STRONG, FLASH_SOFT = 2, 1  # how brightly a change is shown; 0 when it is over
FLASHES = {FLASH_STRONG: "bold #1c1c1c on #f2c037", FLASH_SOFT: "#f2c037 on #4d4017"}
VIOLATION_STYLE = "#ffe9e9 on #a32f3f"
ON_BLACK, ON_COLOUR = "#5a5a5a", "#101010"  # marks on a black block, and on all others
BLACK: Colour = (0, 0, 0)
HEAT: tuple[Colour, ...] = (  # from nothing to most: after matplotlib's inferno, not so dark
    (0x26, 0x21, 0x4A),
    (0x57, 0x15, 0x6D),
    (0x8F, 0x26, 0x69),
    (0xC7, 0x3E, 0x4C),
    (0xED, 0x69, 0x25),
    (0xFB, 0xA4, 0x1A),
    (0xFC, 0xFF, 0xA4),
)

NOTHING = "·"  # in a cell of a grid without a glyph, and on a black block
CROSS, DOT = "×", "•"  # on a block: a violation, a change
WALL, ASCII_WALL = "█", "#"
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where a line leads
STROKES, ASCII_STROKE = "•╹╻┃╸┛┓┫╺┗┏┣━┻┳╋", "o"  # by the sum of the above
HALVES, ASCII_HALVES = " ▀▄█", " '.:"  # neither, the upper, the lower, both
DENSITIES, ASCII_DENSITIES = " ░▒▓█", " .:+#"
ASCII = str.maketrans("─│┌┬┐├┼┤└┴┘·", "-|+++++++++.")


@dataclass(frozen=True)
class BoardView:
    """An answer to a puzzle, with what is to be pointed out in it."""

    task: Task
    puzzle: Tokens  # [L]
    answer: Tokens  # [L]
    violations: Collection[int] = field(default_factory=frozenset)  # cells that break a rule
    changed: Collection[int] = field(default_factory=frozenset)  # cells that are new
    confidence: Cells | None = None  # [L] 0 to 1; None where the network has said nothing

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """Height and width, then those of a box; a board without boxes is one."""
        height, width, *box = shape = self.task.boxes(len(self.answer))
        return (height, width, height, width) if box == [1, 1] else shape

    @cached_property
    def cells(self) -> list[Cell]:
        """What each cell shows, [L]."""
        return self.task.cells(self.puzzle, self.answer)

    @cached_property
    def roles(self) -> list[Role]:
        """How each cell is drawn, [L]."""
        return [self.task.roles[cell.role] for cell in self.cells]

    def mark(self, cell: int) -> str:
        """The character that says that a cell is a violation, or else that it is new; or a space."""
        return "!" if cell in self.violations else "*" if cell in self.changed else " "


@dataclass(frozen=True)
class Look:
    """How a board can and should be drawn."""

    max_width: int | None = None  # columns; a board that has no smaller size is drawn all the same
    max_height: int | None = None  # rows
    ascii_only: bool = False
    flash: int = 0  # how brightly changes are shown, 0 to 2
    in_a_list: bool = False  # other boards follow: none larger than it need be
    marks: bool = False  # say with ! and * what no colour can say

    @property
    def is_plain(self) -> bool:
        """Whether colours say nothing."""
        return self.marks or self.ascii_only

    def has_room(self, width: int, height: int) -> bool:
        """Whether a board of that size fits."""
        fits_across = self.max_width is None or width <= self.max_width
        return fits_across and (self.max_height is None or height <= self.max_height)


def view_of(frame: Frame) -> BoardView:
    """What there is to draw of a frame."""
    return BoardView(frame.task, frame.puzzle.tokens, frame.answer, frame.violated, frame.changed, frame.confidence)


def board_text(view: BoardView, look: Look) -> Text:
    """A board, as large as the look allows."""
    return DRAWERS[view.task.layout](view, look)


def cell_style(view: BoardView, cell: int, flash: int) -> str:
    """The style of a cell's glyph, in Rich's words; one that changed flashes, then stays underlined."""
    changed = cell in view.changed
    if changed and flash:
        return FLASHES[flash]
    style = VIOLATION_STYLE if cell in view.violations else view.roles[cell].style
    if style is None:
        style = "cyan" if view.confidence is None else written(shade(float(view.confidence[cell])))
    return f"{style} underline" if changed else style


def dot_colour(view: BoardView, cell: int, flash: int) -> Colour:
    """The colour of a cell that is no more than a dot; what its colours say, no violation hides."""
    if cell in view.changed and flash:
        return NEW
    if cell in view.violations and view.task.layout is not Layout.BLOCKS:
        return VIOLATION
    confidence = 1.0 if view.confidence is None else float(view.confidence[cell])
    return view.roles[cell].colour or shade(confidence)


def block(colour: Colour, mark: str = "") -> tuple[str, str]:
    """Two columns of a colour and their style; black shows a dot, to be seen on a black terminal."""
    is_black = colour == BLACK
    mark = mark or NOTHING * is_black
    return f"{mark:2}", f"bold {ON_BLACK if is_black else ON_COLOUR} on {written(colour)}"


def shade(confidence: float) -> Colour:
    """From grey to blue, in steps, as confidence rises from 0 to 1."""
    share = (confidence - GUESS) / (CERTAINTY - GUESS)
    return between((GUESSED, CERTAIN), round(min(1.0, max(0.0, share)) * SHADES) / SHADES)


def between(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at a place of a row of colours, 0 to 1."""
    place = min(1.0, max(0.0, share)) * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    red, green, blue = (
        round(low + (high - low) * (place - first))
        for low, high in zip(colours[first], colours[first + 1], strict=True)
    )
    return red, green, blue


@cache
def written(colour: Colour) -> str:
    """A colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _draw_grid(view: BoardView, look: Look) -> Text:
    """A glyph for each cell, with lines between boxes."""
    height, width, box_height, box_width = view.shape
    compact = (2 * width + 2 * (width // box_width) - 3, height + height // box_height - 1)
    if not (look.in_a_list or look.ascii_only) and look.has_room(4 * width + 1, 2 * height + 1):
        return _open_grid(view, look)
    for more, is_boxed in ((4, True), (0, False)):
        if look.has_room(compact[0] + more, compact[1] + more // 2):
            return _ruled_grid(view, look, is_boxed=is_boxed)
    return _dots(view, look)


def _open_grid(view: BoardView, look: Look) -> Text:
    """A cell of three columns in a net of lines, the lines of boxes heavy."""
    height, width, box_height, box_width = view.shape

    def net(left: str, light: str, heavy: str, right: str, stroke: str) -> str:
        crossings = "".join((heavy if column % box_width == 0 else light) + 3 * stroke for column in range(1, width))
        return f"{left}{3 * stroke}{crossings}{right}"

    text = Text()
    for row in range(height):
        kind = "┏┯┳┓━" if row == 0 else "┣┿╋┫━" if row % box_height == 0 else "┠┼╂┨─"
        text.append(net(*kind) + "\n", LINES)
        for column in range(width):
            cell = row * width + column
            style = cell_style(view, cell, look.flash)
            around = style.replace(" underline", "") if " on " in style else ""  # the paper of the cell
            text.append("┃" if column % box_width == 0 else "│", LINES)
            text.append(" ", around).append(view.cells[cell].glyph or NOTHING, style)
            text.append(view.mark(cell) if look.marks else " ", around)
        text.append("┃\n", LINES)
    return text.append(net(*"┗┷┻┛━"), LINES)


def _ruled_grid(view: BoardView, look: Look, *, is_boxed: bool) -> Text:
    """A cell of one column, with lines between boxes, and around them all if boxed."""
    height, width, box_height, box_width = view.shape
    rules = ["─" * (2 * box_width + 1)] * (width // box_width)
    if not is_boxed:
        rules[0], rules[-1] = rules[0][1:], rules[-1][1:]
    rule = "┼".join(rules)
    lines = [Text(f"┌{rule}┐".replace("┼", "┬"), LINES)] if is_boxed else []
    for row in range(height):
        if row and row % box_height == 0:
            lines.append(Text(f"├{rule}┤" if is_boxed else rule, LINES))
        line = Text().append("│ " if is_boxed else "", LINES)
        for cell in range(row * width, (row + 1) * width):
            if cell % width and cell % width % box_width == 0:
                line.append("│ ", LINES)
            line.append(view.cells[cell].glyph or NOTHING, cell_style(view, cell, look.flash))
            line.append(view.mark(cell) if look.marks else " ")
        if not (is_boxed or look.marks):
            line.right_crop(1)
        lines.append(line.append("│" if is_boxed else "", LINES))
    if is_boxed:
        lines.append(Text(f"└{rule}┘".replace("┼", "┴"), LINES))
    text = Text("\n").join(lines)
    if look.ascii_only:
        text.plain = text.plain.translate(ASCII)  # one character for one: the styles stay in place
    return text


def _draw_path(view: BoardView, look: Look) -> Text:
    """Blocks, and a line through the cells that join; the narrow one where colours are missing."""
    height, width, *_ = view.shape
    columns = 2 if look.has_room(2 * width, height) else 1
    if not (look.has_room(columns * width, height) or look.is_plain):
        return _dots(view, look)
    text = Text(no_wrap=True)
    for cell in range(height * width):
        text.append("\n" if cell and cell % width == 0 else "")
        text.append(_path_glyphs(view, look, cell, columns), cell_style(view, cell, look.flash))
    return text


def _path_glyphs(view: BoardView, look: Look, cell: int, columns: int) -> str:
    """What is written for a cell: its glyph, then a line to the next, its like again, or a mark."""
    role, glyph = view.roles[cell], view.cells[cell].glyph
    if role.joins:
        ways = _ways(view, cell)
        glyph = glyph or (ASCII_STROKE if look.ascii_only else STROKES[ways])
        filler = " " if not ways & RIGHT else ASCII_STROKE if look.ascii_only else "━"
    else:
        wall = ASCII_WALL if look.ascii_only else WALL
        glyph = filler = glyph or (wall if role.fills else " ")
    if look.marks and view.mark(cell) != " ":
        return view.mark(cell) if columns == 1 else glyph + view.mark(cell)
    return glyph + filler * (columns - 1)


def _ways(view: BoardView, cell: int) -> int:
    """To which of the four cells beside it a line leads."""
    height, width, *_ = view.shape
    row, column = divmod(cell, width)
    beside = (
        (UP, row > 0, -width),
        (DOWN, row < height - 1, width),
        (LEFT, column > 0, -1),
        (RIGHT, column < width - 1, 1),
    )
    return sum(way for way, is_there, step in beside if is_there and view.roles[cell + step].joins)


def _draw_blocks(view: BoardView, look: Look) -> Text:
    """Two columns of colour a cell, a dot on what changed, a cross on a violation; glyphs without colours."""
    height, width, *_ = view.shape
    if look.is_plain:
        marked = [(cell.glyph or " ") + view.mark(place) for place, cell in enumerate(view.cells)]
        return Text("\n".join("".join(row).rstrip() for row in _rows(marked, width)))
    if not look.has_room(2 * width, height):
        return _dots(view, look)
    text = Text(no_wrap=True)
    for cell, role in enumerate(view.roles):
        text.append("\n" if cell and cell % width == 0 else "")
        mark = DOT if look.flash and cell in view.changed else CROSS if cell in view.violations else ""
        text.append(*(block(dot_colour(view, cell, 0), mark) if role.fills else ("  ", "")))
    return text


DRAWERS = {Layout.GRID: _draw_grid, Layout.PATH: _draw_path, Layout.BLOCKS: _draw_blocks}


def _dots(view: BoardView, look: Look) -> Text:
    """A board without glyphs: two rows of dots in one; without colours, the violations alone."""
    height, width, *_ = view.shape
    if not look.is_plain:
        return halves([dot_colour(view, cell, look.flash) for cell in range(height * width)], width)
    marks = ASCII_HALVES if look.ascii_only else HALVES
    rows = _rows([cell in view.violations for cell in range(height * width)], width)
    rows += [[False] * width] * (height % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return Text("\n".join("".join(marks[up + 2 * low] for up, low in zip(*pair, strict=True)) for pair in pairs))


def halves(colours: list[Colour], width: int) -> Text:
    """Rows of dots, two in one of characters: the upper in the foreground, the lower behind."""
    text = Text(no_wrap=True)
    rows = _rows([written(colour) for colour in colours], width)
    for number in range(0, len(rows), 2):
        text.append("\n" if number else "")
        lower = rows[number + 1] if number + 1 < len(rows) else None
        for column, upper in enumerate(rows[number]):
            text.append("▀", upper if lower is None else f"{upper} on {lower[column]}")
    return text


def heat_map(heat: Cells, height: int, width: int, look: Look) -> Text:
    """Heat [L] of 0 to 1 on the board's shape: two columns a cell where they fit, else dots."""
    levels = heat.clip(0.0, 1.0).tolist()
    if look.is_plain:
        marks = ASCII_DENSITIES if look.ascii_only else DENSITIES
        drawn = [marks[round(level * (len(marks) - 1))] * 2 for level in levels]
        return Text("\n".join("".join(row) for row in _rows(drawn, width)))
    if not look.has_room(2 * width, height):
        return halves([between(HEAT, level) for level in levels], width)
    text = Text()
    for cell, level in enumerate(levels):
        text.append("\n" if cell and cell % width == 0 else "")
        text.append("██", written(between(HEAT, round(level, 2))))
    return text


def _rows(items: list[Item], width: int) -> list[list[Item]]:
    return [items[first : first + width] for first in range(0, len(items), width)]
