"""Boards in every size, and what they say without colour."""

import numpy as np
import pytest

from tests.watched import run_of_one
from trm_cli.display.boards import BoardView, Look, board_text, cell_style, cells, heat_map, shade, view_of

VIEW = view_of(run_of_one()[1].frames[0])
OPEN = """\
┏━━━┯━━━┳━━━┯━━━┓
┃ 1 │ 3 ┃ 3 │ 4 ┃
┠───┼───╂───┼───┨
┃ 3 │ 4 ┃ 1 │ 2 ┃
┣━━━┿━━━╋━━━┿━━━┫
┃ 3 │ 1 ┃ 2 │ 4 ┃
┠───┼───╂───┼───┨
┃ 4 │ 2 ┃ 2 │ 1 ┃
┗━━━┷━━━┻━━━┷━━━┛"""
BOXED = """\
┌─────┬─────┐
│ 1 3 │ 3 4 │
│ 3 4 │ 1 2 │
├─────┼─────┤
│ 3 1 │ 2 4 │
│ 4 2 │ 2 1 │
└─────┴─────┘"""
COMPACT = """\
1 3 │ 3 4
3 4 │ 1 2
────┼────
3 1 │ 2 4
4 2 │ 2 1"""
MARKED = """\
+-----+-----+
| 1 3!| 3!4!|
| 3!4*| 1 2*|
+-----+-----+
| 3!1 | 2!4!|
| 4 2!| 2!1 |
+-----+-----+"""


@pytest.mark.parametrize(
    ("width", "height", "drawn"),
    [
        (17, 9, OPEN),
        (16, 9, BOXED),
        (13, 7, BOXED),
        (12, 9, COMPACT),
        (9, 5, COMPACT),
        (8, 5, "▀▀▀▀\n▀▀▀▀"),
        (1, 1, "▀▀▀▀\n▀▀▀▀"),
    ],
)
def test_a_board_is_as_large_as_fits(width: int, height: int, drawn: str) -> None:
    assert board_text("sudoku", VIEW, Look(width, height)).plain == drawn


def test_in_a_list_it_is_boxed() -> None:
    assert board_text("sudoku", VIEW, Look(in_a_list=True)).plain == BOXED


def test_marks_say_what_colours_would_and_ascii_draws_the_lines() -> None:
    assert board_text("sudoku", VIEW, Look(ascii_only=True, marks=True)).plain == MARKED


def test_dots_without_colour_show_where_rules_are_broken() -> None:
    wrong = BoardView(VIEW.puzzle, VIEW.answer, 4, 4, 2, 2, violated={0, 4, 5, 10, 15})
    assert board_text("sudoku", wrong, Look(4, 2, marks=True)).plain == "█▄  \n  ▀▄"
    assert board_text("sudoku", wrong, Look(4, 2, ascii_only=True)).plain == ":.  \n  '."


def test_a_cell_is_described_by_its_glyph_and_role() -> None:
    given, wrong, filled = (cells("sudoku", VIEW)[cell] for cell in (0, 1, 5))
    assert [(c.glyph, c.role) for c in (given, wrong, filled)] == [("1", "given"), ("3", "violated"), ("4", "filled")]
    question = BoardView(VIEW.puzzle, VIEW.puzzle, 4, 4, 2, 2)
    assert [(c.glyph, c.role) for c in cells("sudoku", question)[:2]] == [("1", "given"), ("", "empty")]


def test_what_changed_flashes_and_then_stays_underlined() -> None:
    flashes = [cell_style("filled", 0.5, changed=True, flash=flash) for flash in (2, 1, 0)]
    assert len(set(flashes)) == 3
    assert flashes[2] == cell_style("filled", 0.5, changed=False, flash=0) + " underline"
    assert cell_style("given", None, changed=False, flash=2) == "bold"


def test_the_surer_the_bluer() -> None:
    blues = [shade(confidence)[2] - shade(confidence)[0] for confidence in (0.1, 0.4, 0.7, 1.0)]
    assert blues == sorted(set(blues))


def test_heat_is_drawn_two_columns_a_cell_or_as_dots_or_as_densities() -> None:
    heat = np.linspace(0, 1, 16, dtype=np.float32)
    assert heat_map(heat, 4, 4, Look(8, 4)).plain == "\n".join(["████████"] * 4)
    assert heat_map(heat, 4, 4, Look(7, 4)).plain == "▀▀▀▀\n▀▀▀▀"
    assert heat_map(heat, 4, 4, Look(marks=True)).plain.splitlines()[0] == "    ░░░░"
    assert heat_map(heat, 4, 4, Look(ascii_only=True)).plain.splitlines()[3] == "++++####"
