"""Boards of every task: what there is to draw of each, and who draws it, as large as fits."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np
from rich.text import Text

from trm_cli.solving.trace import Cells, Frame
from trm_cli.tasks.arc_grids import FIRST_COLOUR, decode
from trm_cli.tasks.base import BLANK, Tokens
from trm_cli.tasks.maze_grid import GOAL, OPEN, PATH, START, WALL

GIVEN, FILLED, EMPTY, VIOLATED = "given", "filled", "empty", "violated"
WALL_ROLE, OPEN_ROLE, PATH_ROLE, START_ROLE, GOAL_ROLE = "wall", "open", "path", "start", "goal"
INKED = tuple(f"colour{number}" for number in range(10))  # ARC's colours
ROLES = (GIVEN, FILLED, EMPTY, VIOLATED, WALL_ROLE, OPEN_ROLE, PATH_ROLE, START_ROLE, GOAL_ROLE, *INKED)

Colour = tuple[int, int, int]

INKS: tuple[Colour, ...] = (  # as the official viewer of ARC draws them
    (0x00, 0x00, 0x00),
    (0x00, 0x74, 0xD9),
    (0xFF, 0x41, 0x36),
    (0x2E, 0xCC, 0x40),
    (0xFF, 0xDC, 0x00),
    (0xAA, 0xAA, 0xAA),
    (0xF0, 0x12, 0xBE),
    (0xFF, 0x85, 0x1B),
    (0x7F, 0xDB, 0xFF),
    (0x87, 0x0C, 0x25),
)
ON_BLACK, ON_INK = "#5a5a5a", "#101010"  # marks on a black cell, and on all others

LINES = "#7d8590"  # of a board
HALTING = "#35b37e"  # the halt probability
MOVING = "#a58fe0"  # how far y and z moved
GUESSED: Colour = (0x86, 0x8B, 0x94)
SURE: Colour = (0x0F, 0xB2, 0xDC)
WRONG: Colour = (0xA3, 0x2F, 0x3F)
NEW: Colour = (0xF2, 0xC0, 0x37)
GUESS, CERTAINTY = 0.3, 0.98  # confidence at which a digit is all grey, all blue
SHADES = 8  # between the two
FLASH_STRONG, FLASH_SOFT = 2, 1  # how brightly a change is shown; 0 when it is over

ROLE_STYLES = {
    GIVEN: "bold",
    EMPTY: "dim",
    VIOLATED: "#ffe9e9 on #a32f3f",
    WALL_ROLE: LINES,
    OPEN_ROLE: "",
    START_ROLE: "bold green",
    GOAL_ROLE: "bold magenta",
}
FLASHES = {FLASH_STRONG: "bold #1c1c1c on #f2c037", FLASH_SOFT: "#f2c037 on #4d4017"}
ROLE_COLOURS: dict[str, Colour] = {  # where a cell is no more than a dot of colour
    GIVEN: (0xB4, 0xBA, 0xC2),
    EMPTY: (0x30, 0x36, 0x3D),
    VIOLATED: WRONG,
    WALL_ROLE: (0x6E, 0x76, 0x81),
    OPEN_ROLE: (0x22, 0x27, 0x2E),
    START_ROLE: (0x2D, 0xA4, 0x4E),
    GOAL_ROLE: (0xB0, 0x5C, 0xD6),
    **dict(zip(INKED, INKS, strict=True)),
}
HEAT: tuple[Colour, ...] = (  # from nothing to most: after matplotlib's inferno, not so dark
    (0x26, 0x21, 0x4A),
    (0x57, 0x15, 0x6D),
    (0x8F, 0x26, 0x69),
    (0xC7, 0x3E, 0x4C),
    (0xED, 0x69, 0x25),
    (0xFB, 0xA4, 0x1A),
    (0xFC, 0xFF, 0xA4),
)


def cell_style(role: str, confidence: float | None, *, changed: bool, flash: int) -> str:
    """The style of a cell's glyph.

    confidence  0 to 1; None where the network has said nothing.
    flash       how brightly a cell that changed is shown, 0 to 2; then it stays underlined.
    """
    if changed and flash:
        return FLASHES[flash]
    style = ROLE_STYLES[role] if role in ROLE_STYLES else _filled(confidence)
    return f"{style} underline" if changed else style


def _filled(confidence: float | None) -> str:
    return "cyan" if confidence is None else written(shade(confidence))


def dot_colour(role: str, confidence: float | None, *, changed: bool, flash: int) -> Colour:
    """The colour of a cell that is no more than a dot."""
    if changed and flash:
        return NEW
    return ROLE_COLOURS[role] if role in ROLE_COLOURS else shade(confidence)


def shade(confidence: float | None) -> Colour:
    """From grey to blue, in steps, as confidence rises."""
    sure = 1.0 if confidence is None else (confidence - GUESS) / (CERTAINTY - GUESS)
    return between((GUESSED, SURE), round(min(1.0, max(0.0, sure)) * SHADES) / SHADES)


def between(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at a place of a row of colours, 0 to 1."""
    place = min(1.0, max(0.0, share)) * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    low, high, rest = colours[first], colours[first + 1], place - first
    return (
        round(low[0] + (high[0] - low[0]) * rest),
        round(low[1] + (high[1] - low[1]) * rest),
        round(low[2] + (high[2] - low[2]) * rest),
    )


@cache
def written(colour: Colour) -> str:
    """A colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@dataclass(frozen=True)
class BoardView:
    """An answer to a puzzle, with what is to be pointed out in it."""

    puzzle: Tokens  # [L]
    answer: Tokens  # [L]
    height: int
    width: int
    box_height: int
    box_width: int
    violated: Collection[int] = field(default_factory=frozenset)  # cells that break a rule
    changed: Collection[int] = field(default_factory=frozenset)  # cells that are new
    confidence: Cells | None = None  # [L] 0 to 1


@dataclass(frozen=True)
class Look:
    """How a board can and should be drawn."""

    max_width: int | None = None  # columns; a board that has no smaller size is drawn all the same
    max_height: int | None = None  # rows
    ascii_only: bool = False
    flash: int = 0  # how brightly changes are shown, 0 to 2 (see palette)
    in_a_list: bool = False  # other boards follow: none larger than it need be
    marks: bool = False  # say with ! and * what no colour can say

    def has_room(self, width: int, height: int) -> bool:
        """Whether a board of that size fits."""
        fits_across = self.max_width is None or width <= self.max_width
        return fits_across and (self.max_height is None or height <= self.max_height)


@dataclass(frozen=True)
class Cell:
    """One cell as its task describes it."""

    glyph: str  # one letter or digit; empty for a cell with nothing in it
    role: str  # one of palette.ROLES


VIOLATED_MARK, CHANGED_MARK = "!", "*"


def mark(view: BoardView, cell: int) -> str:
    """The character that says that a cell breaks a rule, or else that it is new; or a space."""
    if cell in view.violated:
        return VIOLATED_MARK
    return CHANGED_MARK if cell in view.changed else " "


def confidence_at(view: BoardView, cell: int) -> float | None:
    """How sure the network is of a cell, 0 to 1."""
    return None if view.confidence is None else float(view.confidence[cell])


HALVES = " ▀▄█"  # neither, the upper, the lower, both
ASCII_HALVES = " '.:"
DENSITIES, ASCII_DENSITIES = " ░▒▓█", " .:+#"


def dot_map(described: list[Cell], view: BoardView, look: Look) -> Text:
    """A board without digits: roles as colours; without colour, the cells that break a rule."""
    if look.marks or look.ascii_only:
        return _bitmap(view, ASCII_HALVES if look.ascii_only else HALVES)

    def colour(cell: int) -> Colour:
        return dot_colour(
            described[cell].role, confidence_at(view, cell), changed=cell in view.changed, flash=look.flash
        )

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
        rows.append(
            "".join(
                halves[(up in view.violated) + 2 * (low in view.violated)] for up, low in zip(upper, lower, strict=True)
            )
        )
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


ASCII = str.maketrans("─│┌┬┐├┼┤└┴┘·", "-|+++++++++.")
NOTHING = "·"  # in a cell without a digit


def describe_sudoku(view: BoardView) -> list[Cell]:
    """Digit and role of each cell."""
    return [
        Cell("" if token <= BLANK else str(token - BLANK), _sudoku_role(view, cell))
        for cell, token in enumerate(view.answer.tolist())
    ]


def _sudoku_role(view: BoardView, cell: int) -> str:
    if cell in view.violated:
        return VIOLATED
    if view.puzzle[cell] > BLANK:
        return GIVEN
    return FILLED if view.answer[cell] > BLANK else EMPTY


def draw_sudoku(view: BoardView, look: Look) -> Text:
    """The largest board that fits; a map of dots where not even the digits do."""
    across, down = view.width // view.box_width, view.height // view.box_height
    compact = (2 * view.width + 2 * across - 3, view.height + down - 1)
    boxed = (compact[0] + 4, compact[1] + 2)
    opened = (4 * view.width + 1, 2 * view.height + 1)
    if not (look.in_a_list or look.ascii_only) and look.has_room(*opened):
        return _open(view, look)
    if look.has_room(*boxed):
        return _ruled(view, look, is_boxed=True)
    if look.has_room(*compact):
        return _ruled(view, look, is_boxed=False)
    return dot_map(describe_sudoku(view), view, look)


def _open(view: BoardView, look: Look) -> Text:
    """A cell of three columns in a net of lines, the lines of boxes heavy."""
    text = Text()
    for row in range(view.height):
        is_heavy = row % view.box_height == 0
        kind = "┏┯┳┓━" if row == 0 else "┣┿╋┫━" if is_heavy else "┠┼╂┨─"
        text.append(_net(view, kind) + "\n", LINES)
        for column in range(view.width):
            text.append("┃" if column % view.box_width == 0 else "│", LINES)
            _add_cell(text, view, look, row * view.width + column)
        text.append("┃\n", LINES)
    return text.append(_net(view, "┗┷┻┛━"), LINES)


def _net(view: BoardView, kind: str) -> str:
    """A line between rows: its left end, light and heavy crossings, right end and stroke."""
    left, light, heavy, right, stroke = list(kind)
    crossings = ((heavy if column % view.box_width == 0 else light) for column in range(1, view.width))
    return "".join(chain.from_iterable(zip([left, *crossings], [stroke * 3] * view.width, strict=True))) + right


def _add_cell(text: Text, view: BoardView, look: Look, cell: int) -> None:
    digit, style = _digit(view, cell), _style(view, look, cell)
    around = style.replace(" underline", "") if " on " in style else ""  # the paper of the cell
    text.append(" ", around).append(digit, style)
    text.append(mark(view, cell) if look.marks else " ", around)


def _ruled(view: BoardView, look: Look, *, is_boxed: bool) -> Text:
    """A cell of one column, with lines between boxes, and around them all if boxed."""
    rule = "─" * (2 * view.box_width + 1)
    rules = [rule] * (view.width // view.box_width)
    if not is_boxed:
        rules[0] = rules[-1] = rule[1:]
    left, right = ("│ ", "│") if is_boxed else ("", "")
    lines = []
    for row in range(view.height):
        if row and row % view.box_height == 0:
            inner = "┼".join(rules)
            lines.append(Text(f"├{inner}┤" if is_boxed else inner, LINES))
        lines.append(_ruled_row(view, look, row, left, right))
    if is_boxed:
        lines.insert(0, Text(f"┌{'┬'.join(rules)}┐", LINES))
        lines.append(Text(f"└{'┴'.join(rules)}┘", LINES))
    text = Text("\n").join(lines)
    if look.ascii_only:
        text.plain = text.plain.translate(ASCII)  # one character for one: the styles stay in place
    return text


def _ruled_row(view: BoardView, look: Look, row: int, left: str, right: str) -> Text:
    text = Text().append(left, LINES)
    for column in range(view.width):
        cell = row * view.width + column
        if column and column % view.box_width == 0:
            text.append("│ ", LINES)
        text.append(_digit(view, cell), _style(view, look, cell))
        text.append(mark(view, cell) if look.marks else " ")
    if not right and not look.marks:
        text.right_crop(1)
    return text.append(right, LINES)


def _digit(view: BoardView, cell: int) -> str:
    token = int(view.answer[cell])
    return NOTHING if token <= BLANK else str(token - BLANK)


def _style(view: BoardView, look: Look, cell: int) -> str:
    return cell_style(
        _sudoku_role(view, cell), confidence_at(view, cell), changed=cell in view.changed, flash=look.flash
    )


ROLE_OF = {WALL: WALL_ROLE, OPEN: OPEN_ROLE, START: START_ROLE, GOAL: GOAL_ROLE, PATH: PATH_ROLE}
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where a line of the path leads
STROKES = " ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋"  # by the sum of the above
LONE, WALLS, NONE = "•", "█", "?"
ASCII_STROKE, ASCII_WALLS = "o", "#"


def describe_maze(view: BoardView) -> list[Cell]:
    """Letter and role of each cell."""
    return [Cell(_letter(token), _maze_role(view, cell, token)) for cell, token in enumerate(view.answer.tolist())]


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


def _maze_role(view: BoardView, cell: int, token: int) -> str:
    if cell in view.violated:
        return VIOLATED
    return ROLE_OF.get(token, EMPTY)


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


NEW_MARK, WRONG_MARK, BLACK = "•", "×", "·"


def describe_arc(view: BoardView) -> list[Cell]:
    """Digit and colour of each cell of the grid; the others are empty."""
    inside = _inside(view)
    return [
        Cell(str(token - FIRST_COLOUR), INKED[token - FIRST_COLOUR]) if cell in inside else Cell("", EMPTY)
        for cell, token in enumerate(view.answer.tolist())
    ]


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
        glyph = WRONG_MARK if cell in view.violated else "" if colour else BLACK
        if cell in view.changed and look.flash:
            glyph = NEW_MARK
        ink = written(INKS[colour])
        text.append(f"{glyph:2}", f"bold {ON_INK if colour else ON_BLACK} on {ink}")
    return text


DRAWERS: dict[str, Callable[[BoardView, Look], Text]] = {"sudoku": draw_sudoku, "maze": draw_maze, "arc": draw_arc}
DESCRIBERS: dict[str, Callable[[BoardView], list[Cell]]] = {
    "sudoku": describe_sudoku,
    "maze": describe_maze,
    "arc": describe_arc,
}


def board_text(task_name: str, view: BoardView, look: Look) -> Text:
    """A board of that task, as large as the look allows."""
    return DRAWERS[task_name](view, look)


def cells(task_name: str, view: BoardView) -> list[Cell]:
    """Glyph and role of each cell [L]."""
    return DESCRIBERS[task_name](view)


def view_of(frame: Frame) -> BoardView:
    """What there is to draw of a frame."""
    puzzle = frame.puzzle
    *_, box_height, box_width = frame.task.boxes(len(puzzle.tokens))
    return BoardView(
        puzzle.tokens,
        frame.answer,
        puzzle.height,
        puzzle.width,
        box_height,
        box_width,
        frame.violated,
        frame.changed,
        None if frame.confidence is None else frame.confidence,
    )
