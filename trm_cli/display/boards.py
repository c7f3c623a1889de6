"""Boards of every task, drawn from what the task says of its cells, as large as fits.

    ┏━━━┯━━━┯━━━┳    ┌───────┬──    5 3 · │ · 7    ▀▀▀     ▒▒  S━━━┓     ▒ S━┓
    ┃ 5 │ 3 │ · ┃    │ 5 3 · │ ·    6 · · │ 1 9    ▀▀▀     ▒▒▒▒▒▒  ┃     ▒▒▒ ┃
    ┠───┼───┼───╂    │ 6 · · │ 1    ──────┼────            G━━━━━━━┛     G━━━┛
    open             boxed          compact        dots    wide          narrow

Layout.GRID is drawn open, boxed, compact or as dots, two of them in a character; Layout.PATH wide,
narrow or as dots; Layout.BLOCKS as blocks of two columns or as dots. Where colours are missing,
glyphs and marks say what they can.

Here alone the colour of a cell is chosen: what changed flashes yellow, a violation is red, else the
task's role says the colour, or the network's confidence does: grey is unsure, blue is certain. A blank
that a search filled in lies on purple, for a moment darker once its guess is taken back.
Colours are of middle lightness, to be read on dark and on light terminals; Rich takes the nearest
that a terminal has.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from rich.color import parse_rgb_hex
from rich.console import Console
from rich.text import Text

from trm_cli.display.console import is_ascii
from trm_cli.solving.trace import Cells, Frame
from trm_cli.tasks.base import Cell, Colour, Layout, Role, Task, Tokens

LINES = "#7d8590"  # of a board
HALTING = "#35b37e"  # the halt probability
MOVING = "#a58fe0"  # how far y and z moved
UNSURE: Colour = (0x86, 0x8B, 0x94)
CERTAIN: Colour = (0x0F, 0xB2, 0xDC)
VIOLATION: Colour = (0xA3, 0x2F, 0x3F)
NEW: Colour = (0xF2, 0xC0, 0x37)
GUESS: Colour = (0xB4, 0x62, 0xE0)  # of a search
DOUBT, CERTAINTY = 0.3, 0.98  # confidence at which a glyph is all grey, all blue
SHADES = 8  # between the two
FLASH_STRONG, FLASH_SOFT = 2, 1  # how brightly a change is shown; 0 when it is over
FLASHES = {FLASH_STRONG: "bold #1c1c1c on #f2c037", FLASH_SOFT: "#f2c037 on #4d4017"}
VIOLATION_STYLE = "#ffe9e9 on #a32f3f"
GUESS_PAPER, TAKEN_BACK_PAPER = "#7b3fb0", "#3b2a52"
GUESS_STYLE = f"bold #ffffff on {GUESS_PAPER}"
TAKEN_BACK_STEPS = 2  # of a node, in which the guesses that it takes back are shown
ON_BLACK, ON_COLOUR = "#5a5a5a", "#101010"  # marks on a black block, and on all others
BLACK: Colour = (0, 0, 0)
# From nothing to most heat: after matplotlib's inferno, not so dark.
HEAT = tuple(map(parse_rgb_hex, ["26214a", "57156d", "8f2669", "c73e4c", "ed6925", "fba41a", "fcffa4"]))

NOTHING = "·"  # in a cell of a grid without a glyph, and on a black block
CROSS, DOT = "×", "•"  # on a block: a violation, a change
WALL, ASCII_WALL = "▒", "#"
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where a line leads
STROKES, ASCII_STROKES = "•╹╻┃╸┛┓┫╺┗┏┣━┻┳╋", "o" * 16  # by the sum of the above
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
    guessed: Collection[int] = field(default_factory=frozenset)  # blanks that a search filled in
    taken_back: Collection[int] = field(default_factory=frozenset)  # blanks whose guess was taken back just now

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
        """The character that says what is first of: a violation, a guess, a guess taken back, new; or a space."""
        marks = {"!": self.violations, "?": self.guessed, "~": self.taken_back, "*": self.changed}
        return next((mark for mark, cells in marks.items() if cell in cells), " ")


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
        limits = ((width, self.max_width), (height, self.max_height))
        return all(most is None or size <= most for size, most in limits)


def look_of(console: Console) -> Look:
    """What the console can show; of any size."""
    return Look(ascii_only=is_ascii(console), marks=console.color_system is None or console.no_color)


def view_of(frame: Frame) -> BoardView:
    """What there is to draw of a frame."""
    guessed = frozenset(guess.cell for guess in frame.guesses)
    taken_back = frozenset(guess.cell for guess in frame.taken_back) if frame.step <= TAKEN_BACK_STEPS else frozenset()
    return BoardView(
        frame.task,
        frame.puzzle.tokens,
        frame.answer,
        frame.violated,
        frame.changed,
        frame.confidence,
        guessed,
        taken_back - guessed,
    )


def board_text(view: BoardView, look: Look) -> Text:
    """A board, as large as the look allows."""
    return DRAWERS[view.task.layout](view, look)


def cell_style(view: BoardView, cell: int, flash: int) -> str:
    """The style of a cell's glyph, in Rich's words; one that changed flashes, then stays underlined."""
    changed = cell in view.changed
    if changed and flash:
        return FLASHES[flash]
    if cell in view.violations:
        style: str | None = VIOLATION_STYLE
    else:
        style = GUESS_STYLE if cell in view.guessed else view.roles[cell].style
    if style is None:
        style = "cyan" if view.confidence is None else written(shade(float(view.confidence[cell])))
        style += f" on {TAKEN_BACK_PAPER}" if cell in view.taken_back else ""
    return f"{style} underline" if changed else style


def dot_colour(view: BoardView, cell: int, flash: int) -> Colour:
    """The colour of a cell that is no more than a dot; what its colours say, no violation hides."""
    if cell in view.changed and flash:
        return NEW
    if cell in view.violations and view.task.layout is not Layout.BLOCKS:
        return VIOLATION
    if cell in view.guessed:
        return GUESS
    confidence = 1.0 if view.confidence is None else float(view.confidence[cell])
    return view.roles[cell].colour or shade(confidence)


def block(colour: Colour, mark: str = "") -> tuple[str, str]:
    """Two columns of a colour and their style; black shows a dot, to be seen on a black terminal."""
    unmarked, ink = (NOTHING, ON_BLACK) if colour == BLACK else ("", ON_COLOUR)
    return f"{mark or unmarked:2}", f"bold {ink} on {written(colour)}"


def shade(confidence: float) -> Colour:
    """From grey to blue, in steps, as confidence rises from 0 to 1."""
    share = (confidence - DOUBT) / (CERTAINTY - DOUBT)
    return between((UNSURE, CERTAIN), round(min(1.0, max(0.0, share)) * SHADES) / SHADES)


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
    """A glyph for each cell, with lines between boxes; an open grid has three columns a cell, and lines between all."""
    height, width, box_height, box_width = view.shape
    across, down = 2 * width + 2 * (width // box_width) + 1, height + height // box_height + 1  # boxed
    is_open = not (look.in_a_list or look.ascii_only) and look.has_room(4 * width + 1, 2 * height + 1)
    if not (is_open or look.has_room(across - 4, down - 2)):
        return _dots(view, look)

    def rule(left: str, light: str, heavy: str, right: str, stroke: str) -> str:
        box = light.join([3 * stroke] * box_width) if is_open else (2 * box_width + 1) * stroke
        return f"{left}{heavy.join([box] * (width // box_width))}{right}\n"

    if is_open:
        top, light, heavy, bottom = rule(*"┏┯┳┓━"), rule(*"┠┼╂┨─"), rule(*"┣┿╋┫━"), rule(*"┗┷┻┛━")
        left, between, right = "┃", ("│", "┃"), "┃"  # between cells, between boxes
    else:
        top, light, heavy, bottom = rule(*"┌─┬┐─"), "", rule(*"├─┼┤─"), rule(*"└─┴┘─")
        left, between, right = "│ ", ("", "│ "), "│"
        if not look.has_room(across, down):
            top, heavy, bottom, left, right = "", f"{heavy[2:-3]}\n", "", "", ""
    text = Text()
    for row in range(height):
        text.append(top if row == 0 else heavy if row % box_height == 0 else light, LINES)
        for column in range(width):
            cell = row * width + column
            style = cell_style(view, cell, look.flash)
            around = style.replace(" underline", "") if is_open and " on " in style else ""  # the paper of the cell
            text.append(between[column % box_width == 0] if column else left, LINES)
            left_of = f"on {GUESS_PAPER}" if around and cell in view.guessed else around  # told even of a violation
            text.append(" " if is_open else "", left_of).append(view.cells[cell].glyph or NOTHING, style)
            text.append(view.mark(cell) if look.marks else " ", around)
        if not (right or look.marks):
            text.right_crop(1)
        text.append(f"{right}\n", LINES)
    text.append(bottom, LINES).right_crop(1)
    if look.ascii_only:
        text.plain = text.plain.translate(ASCII)  # one character for one: the styles stay in place
    return text


def _draw_path(view: BoardView, look: Look) -> Text:
    """Blocks, and a line through the cells that join; the narrow one where colours are missing."""
    height, width, *_ = view.shape
    columns = 2 if look.has_room(2 * width, height) else 1
    if not (look.has_room(columns * width, height) or (look.is_plain and look.in_a_list)):
        return _dots(view, look)
    joins = np.pad(np.reshape([role.joins for role in view.roles], (height, width)), 1)
    ways = UP * joins[:-2, 1:-1] + DOWN * joins[2:, 1:-1] + LEFT * joins[1:-1, :-2] + RIGHT * joins[1:-1, 2:]
    strokes, wall = (ASCII_STROKES, ASCII_WALL) if look.ascii_only else (STROKES, WALL)
    pieces = []
    for cell, (role, way) in enumerate(zip(view.roles, ways.ravel().tolist(), strict=True)):
        glyph = view.cells[cell].glyph or (strokes[way] if role.joins else wall if role.fills else " ")
        filler = glyph if not role.joins else strokes[LEFT + RIGHT] if way & RIGHT else " "
        mark = view.mark(cell).strip() if look.marks else ""
        if columns == 2:
            pieces.append((glyph + (mark or filler), cell_style(view, cell, look.flash)))
        else:
            pieces.append(_letter(view, cell, look) or (mark or glyph, cell_style(view, cell, look.flash)))
    return _tiled(pieces, width)


def _draw_blocks(view: BoardView, look: Look) -> Text:
    """Two columns of colour a cell, a dot on what changed, a cross on a violation; glyphs without colours."""
    height, width, *_ = view.shape
    if look.is_plain:
        pieces = [((cell.glyph or " ") + view.mark(place), "") for place, cell in enumerate(view.cells)]
        return Text("\n".join(line.rstrip() for line in _tiled(pieces, width).plain.split("\n")))
    if not look.has_room(2 * width, height):
        return _dots(view, look)
    pieces = []
    for cell, role in enumerate(view.roles):
        mark = DOT if look.flash and cell in view.changed else CROSS if cell in view.violations else ""
        pieces.append(block(dot_colour(view, cell, 0), mark) if role.fills else ("  ", ""))
    return _tiled(pieces, width)


DRAWERS = {Layout.GRID: _draw_grid, Layout.PATH: _draw_path, Layout.BLOCKS: _draw_blocks}


def _dots(view: BoardView, look: Look) -> Text:
    """A board of dots, two rows in one; of a path, the letters stay. Without colours, violations and path alone."""
    height, width, *_ = view.shape
    cells, is_path = range(height * width), view.task.layout is Layout.PATH
    if look.is_plain:
        marks = ASCII_HALVES if look.ascii_only else HALVES
        seen = ["!" * (cell in view.violations or (is_path and view.roles[cell].joins)) for cell in cells]
        pieces = [(marks[bool(upper) + 2 * bool(lower)], "") for upper, lower in _pairs(seen, width)]
    else:
        colours = [written(dot_colour(view, cell, look.flash)) for cell in cells]
        pieces = [_half(upper, lower) for upper, lower in _pairs(colours, width)]
    for cell in cells if is_path else ():
        if letter := _letter(view, cell, look):
            pieces[cell // width // 2 * width + cell % width] = letter
    return _tiled(pieces, width)


def _letter(view: BoardView, cell: int, look: Look) -> tuple[str, str] | None:
    """The letter of a cell that has no room for a mark beside it, and its style."""
    glyph, style = view.cells[cell].glyph, cell_style(view, cell, look.flash)
    return (glyph, f"{style} reverse" if look.marks and view.mark(cell) != " " else style) if glyph else None


def halves(colours: Iterable[Colour], width: int) -> Text:
    """Rows of dots, two in one of characters: the upper in the foreground, the lower behind."""
    return _tiled([_half(upper, lower) for upper, lower in _pairs(list(map(written, colours)), width)], width)


def _half(upper: str, lower: str) -> tuple[str, str]:
    """One character of two colours and its style; nothing is below the last row."""
    return "▀", f"{upper} on {lower}" if lower else upper


def heat_map(heat: Cells, height: int, width: int, look: Look) -> Text:
    """Heat [L] of 0 to 1 on the board's shape: two columns a cell where they fit, else dots."""
    levels = heat.clip(0.0, 1.0).tolist()
    if look.is_plain:
        marks = ASCII_DENSITIES if look.ascii_only else DENSITIES
        return _tiled([(marks[round(level * (len(marks) - 1))] * 2, "") for level in levels], width)
    if not look.has_room(2 * width, height):
        return halves([between(HEAT, level) for level in levels], width)
    return _tiled([("██", written(between(HEAT, round(level, 2)))) for level in levels], width)


def _tiled(pieces: Iterable[tuple[str, str]], width: int) -> Text:
    """Pieces with their styles, `width` of them in a line."""
    text = Text(no_wrap=True)
    for place, piece in enumerate(pieces):
        text.append("\n" if place and place % width == 0 else "").append(*piece)
    return text


def _pairs(dots: list[str], width: int) -> list[tuple[str, str]]:
    """Each dot of every other row with the one below it; nothing is below the last row."""
    below = dots[width:] + [""] * width
    return [pair for place, pair in enumerate(zip(dots, below, strict=True)) if place // width % 2 == 0]
