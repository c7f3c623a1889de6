"""ARC's boards as they are watched."""

import numpy as np

from trm_cli.display.boards import INKED, INKS, BoardView, Look, board_text, cells, written
from trm_cli.tasks.arc_grids import encode

GRID = np.array([[0, 1, 2], [9, 8, 7]], np.uint8)
BOARD = encode(GRID, side=4)
VIEW = BoardView(BOARD, BOARD, 4, 4, 1, 1, violated={1}, changed={2})


def test_only_the_grid_is_drawn_cell_by_cell_in_its_colours() -> None:
    described = cells("arc", VIEW)
    assert [cell.glyph for cell in described] == ["0", "1", "2", "", "9", "8", "7", "", *[""] * 8]
    assert described[4].role == INKED[9]
    text = board_text("arc", VIEW, Look(8, 4))
    assert [line.rstrip() for line in text.plain.split("\n")] == ["· ×", "", "", ""]
    assert all(written(INKS[colour]) in str(text.spans) for colour in (0, 1, 2, 9, 8, 7))
    assert "•" in board_text("arc", VIEW, Look(8, 4, flash=2)).plain


def test_it_shrinks_to_halves_and_says_digits_and_marks_without_colours() -> None:
    assert board_text("arc", VIEW, Look(4, 2)).plain == "▀▀▀▀\n▀▀▀▀"
    assert board_text("arc", VIEW, Look(marks=True)).plain == "0 1!2*\n9 8 7\n\n"


def test_where_no_grid_begins_all_that_has_a_colour_is_drawn() -> None:
    board = BOARD.copy()
    board[0] = 1
    described = cells("arc", BoardView(board, board, 4, 4, 1, 1))
    assert [cell.glyph for cell in described][:5] == ["", "1", "2", "", "9"]
