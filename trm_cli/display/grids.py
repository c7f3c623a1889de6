"""Sudoku on its board, in the largest of four sizes that fits.

    ┏━━━┯━━━┯━━━┳    ┌───────┬──    5 3 . │ . 7    ▀▄▀
    ┃ 5 │ 3 │   ┃    │ 5 3 · │ ·    6 . . │ 1 9    ▄▀▄
    ┠───┼───┼───╂    │ 6 · · │ 1    ──────┼────
    open             boxed          compact        dots

Givens are bold, filled cells coloured by confidence; changed ones flash, violated ones stand on
red.
"""

from itertools import chain

from rich.text import Text

from trm_cli.display.dots import dot_map
from trm_cli.display.palette import EMPTY, FILLED, GIVEN, LINES, VIOLATED, cell_style
from trm_cli.display.views import BoardView, Cell, Look, confidence_at, mark
from trm_cli.tasks.base import BLANK

ASCII = str.maketrans("─│┌┬┐├┼┤└┴┘·", "-|+++++++++.")
NOTHING = "·"  # in a cell without a digit


def describe_sudoku(view: BoardView) -> list[Cell]:
    """Digit and role of each cell."""
    return [
        Cell("" if token <= BLANK else str(token - BLANK), _role(view, cell))
        for cell, token in enumerate(view.answer.tolist())
    ]


def _role(view: BoardView, cell: int) -> str:
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
    crossings = ((heavy if column % view.box_width == 0 else light)
                 for column in range(1, view.width))  # fmt: skip
    return "".join(chain.from_iterable(zip([left, *crossings], [stroke * 3] * view.width,
                                           strict=True))) + right  # fmt: skip


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
    return cell_style(_role(view, cell), confidence_at(view, cell),
                      changed=cell in view.changed, flash=look.flash)  # fmt: skip
