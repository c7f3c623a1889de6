"""Grids drawn with box lines: givens bold, filled cells in colour, violated cells reversed."""

from collections.abc import Collection

from rich.text import Text

from trm_cli.tasks.base import BLANK, Tokens

ASCII = str.maketrans("─│┌┬┐├┼┤└┴┘·", "-|+++++++++.")
GIVEN, FILLED, EMPTY, VIOLATED = "bold", "cyan", "dim", "reverse red"


def grid_text(puzzle: Tokens, answer: Tokens, boxes: tuple[int, int, int, int],
              violated: Collection[int] = (), *, ascii_only: bool = False) -> Text:  # fmt: skip
    """An answer [L] on its board, with the puzzle's givens told apart.

    boxes       height and width of the grid, then of a box.
    violated    cells to mark.
    ascii_only  draw lines with - | + for terminals without box characters.
    """
    height, width, box_height, box_width = boxes
    rule = "─" * (2 * box_width + 1)
    lines = [f"{left}{middle.join([rule] * (width // box_width))}{right}"
             for left, middle, right in ("┌┬┐", "├┼┤", "└┴┘")]  # fmt: skip
    text = Text(lines[0] + "\n")
    for row in range(height):
        if row and row % box_height == 0:
            text.append(lines[1] + "\n")
        for column in range(width):
            cell = row * width + column
            text.append("│ " if column % box_width == 0 else "")
            text.append(_symbol(answer[cell]), _style(puzzle, answer, cell, violated))
            text.append(" ")
        text.append("│\n")
    text.append(lines[2])
    if ascii_only:
        text.plain = text.plain.translate(ASCII)  # one character for one: the styles stay in place
    return text


def _symbol(token: int) -> str:
    return "·" if token <= BLANK else str(token - BLANK)


def _style(puzzle: Tokens, answer: Tokens, cell: int, violated: Collection[int]) -> str:
    if cell in violated:
        return VIOLATED
    if puzzle[cell] > BLANK:
        return GIVEN
    return FILLED if answer[cell] > BLANK else EMPTY
