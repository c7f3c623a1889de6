"""Boards in every size, and what they say without colour."""

from dataclasses import replace

import numpy as np
import pytest

from tests.watched import run_of_one
from trm_cli.display.boards import BoardView, Look, board_text, cell_style, heat_map, shade, view_of, written
from trm_cli.tasks.arc import COLOUR_ROLES, INKS, Arc
from trm_cli.tasks.arc_grids import encode
from trm_cli.tasks.base import Layout, Role
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes
from trm_cli.tasks.sudoku import Sudoku

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
    assert board_text(VIEW, Look(width, height)).plain == drawn


def test_in_a_list_it_is_boxed() -> None:
    assert board_text(VIEW, Look(in_a_list=True)).plain == BOXED


def test_marks_say_what_colours_would_and_ascii_draws_the_lines() -> None:
    assert board_text(VIEW, Look(ascii_only=True, marks=True)).plain == MARKED


def test_dots_without_colour_show_where_rules_are_broken() -> None:
    wrong = replace(VIEW, violations={0, 4, 5, 10, 15})
    assert board_text(wrong, Look(4, 2, marks=True)).plain == "█▄  \n  ▀▄"
    assert board_text(wrong, Look(4, 2, ascii_only=True)).plain == ":.  \n  '."


def test_what_changed_flashes_and_then_stays_underlined() -> None:
    filled = replace(VIEW, violations=(), changed={5}, confidence=np.full(16, 0.5, np.float32))
    flashes = [cell_style(filled, 5, flash) for flash in (2, 1, 0)]
    assert len(set(flashes)) == 3
    assert flashes[2] == f"{cell_style(replace(filled, changed=()), 5, 0)} underline"
    assert flashes[2].startswith(written(shade(0.5)))
    assert cell_style(filled, 0, 2) == "bold"
    assert cell_style(replace(filled, violations={0}), 0, 0) == "#ffe9e9 on #a32f3f"


class Unboxed(Sudoku):
    """Without boxes, as many puzzles are, and with one of the roles in its own colour."""

    roles = {**Sudoku.roles, "given": Role("bold green")}  # noqa: RUF012 - as the task's own

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        return 4, 4, 1, 1


class OneBox(Sudoku):
    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        return 4, 4, 4, 4


@pytest.mark.parametrize("task", [Unboxed(), OneBox()])
def test_a_board_without_boxes_has_no_lines_between_them(task: Sudoku) -> None:
    view = replace(VIEW, task=task)
    assert board_text(view, Look(17, 9)).plain.splitlines()[:4] == [
        "┏━━━┯━━━┯━━━┯━━━┓",
        "┃ 1 │ 3 │ 3 │ 4 ┃",
        "┠───┼───┼───┼───┨",
        "┃ 3 │ 4 │ 1 │ 2 ┃",
    ]
    assert board_text(view, Look(16, 9)).plain.splitlines() == [
        "┌─────────┐",
        *("│ 1 3 3 4 │", "│ 3 4 1 2 │", "│ 3 1 2 4 │", "│ 4 2 2 1 │"),
        "└─────────┘",
    ]
    assert board_text(view, Look(7, 4)).plain == "1 3 3 4\n3 4 1 2\n3 1 2 4\n4 2 2 1"
    assert cell_style(replace(view, violations=()), 0, 0) == task.roles["given"].style


def test_the_surer_the_bluer() -> None:
    blues = [shade(confidence)[2] - shade(confidence)[0] for confidence in (0.1, 0.4, 0.7, 1.0)]
    assert blues == sorted(set(blues))


def test_heat_is_drawn_two_columns_a_cell_or_as_dots_or_as_densities() -> None:
    heat = np.linspace(0, 1, 16, dtype=np.float32)
    assert heat_map(heat, 4, 4, Look(8, 4)).plain == "\n".join(["████████"] * 4)
    assert heat_map(heat, 4, 4, Look(7, 4)).plain == "▀▀▀▀\n▀▀▀▀"
    assert heat_map(heat, 4, 4, Look(marks=True)).plain.splitlines()[0] == "    ░░░░"
    assert heat_map(heat, 4, 4, Look(ascii_only=True)).plain.splitlines()[3] == "++++####"


MAZE = "#S  #\n# # #\n#   #\n## ##\n#  G#\n"
PATH = "#S  #\n#o# #\n#oo #\n##o##\n# oG#\n"
WIDE = """\
▒▒S     ▒▒
▒▒┃ ▒▒  ▒▒
▒▒┗━┓   ▒▒
▒▒▒▒┃ ▒▒▒▒
▒▒  ┗━G ▒▒"""
NARROW = """\
▒S  ▒
▒┃▒ ▒
▒┗┓ ▒
▒▒┃▒▒
▒ ┗G▒"""
ASCII = """\
##S     ##
##o ##  ##
##ooo   ##
####o ####
##  ooG ##"""


def maze(answer: str = PATH) -> BoardView:
    task = Maze()
    puzzle, tokens = (task.read_answer("".join(text.splitlines()), 1, "") for text in (MAZE, answer))
    return BoardView(task, puzzle, tokens)


def test_a_path_is_a_line_and_the_drawing_as_large_as_fits() -> None:
    assert board_text(maze(), Look()).plain == WIDE
    assert board_text(maze(), Look(max_width=9)).plain == NARROW
    assert board_text(maze(), Look(ascii_only=True)).plain == ASCII
    dots = board_text(maze(), Look(max_width=5, max_height=4))
    assert [len(line) for line in dots.plain.splitlines()] == [5, 5, 5]


def test_a_maze_of_30_fits_a_terminal_of_80_by_24() -> None:
    data = generate_mazes(WantedMazes(1, min_path=40), size=30, seed=0)
    board = BoardView(Maze(), data.puzzles[0], data.answers[0])
    lines = board_text(board, Look(max_width=80, max_height=20)).plain.splitlines()
    assert [len(line) for line in lines] == [30] * 15
    assert len(board_text(board, Look(max_width=80, max_height=40)).plain.splitlines()[0]) == 60


def test_violations_of_a_path_are_marked_by_colour_or_by_sign() -> None:
    broken = replace(maze(PATH.replace("##o##", "## ##")), violations={12, 22})
    coloured = board_text(broken, Look())
    assert coloured.plain.splitlines()[2] == "▒▒┗━╸   ▒▒"
    style_of_12 = [span.style for span in coloured.spans if span.start <= 2 * 11 + 4 < span.end]
    assert any("on #" in str(style) for style in style_of_12)
    assert board_text(broken, Look(marks=True)).plain.splitlines()[2] == "▒▒┗━╸!  ▒▒"


LOST = "#o  #\n#o# #\n#oo #\n##o##\n# o##\n"  # S became a path and G a wall


WIDE_LOOK, NARROW_LOOK, DOTS_LOOK = Look(), Look(max_width=9), Look(max_width=5, max_height=4)


@pytest.mark.parametrize("look", [WIDE_LOOK, NARROW_LOOK, DOTS_LOOK])
@pytest.mark.parametrize(("is_plain", "mark"), [(False, "on #a32f3f"), (True, "reverse")])
def test_start_and_goal_are_drawn_as_the_question_has_them(look: Look, is_plain: bool, mark: str) -> None:
    """Whatever the answer made of them: then they are on red or, without colours, have a mark."""
    view, look = maze(LOST), replace(look, marks=is_plain, ascii_only=is_plain)
    found = {(v.row - 1) * 5 + v.column - 1 for v in Maze().violations(view.puzzle, view.answer)}
    lost, kept = board_text(replace(view, violations=found), look), board_text(maze(), look)
    for letter in "SG":
        place = lost.plain.index(letter)
        assert kept.plain.index(letter) == place
        styles = {str(span.style) for span in lost.spans if span.start <= place < span.end}
        if is_plain and look.max_width is None:
            assert (lost.plain[place + 1], kept.plain[place + 1]) == ("!", " ")
        else:
            assert any(mark in style for style in styles)


GRID = np.array([[0, 1, 2], [9, 8, 7]], np.uint8)
BOARD = encode(GRID, side=4)
BLOCKS = BoardView(Arc(), BOARD, BOARD, violations={1}, changed={2})


def test_only_a_grid_s_own_cells_are_blocks_in_their_colours() -> None:
    assert Arc.layout is Layout.BLOCKS
    assert [cell.glyph for cell in BLOCKS.cells] == ["0", "1", "2", "", "9", "8", "7", "", *[""] * 8]
    assert BLOCKS.cells[4].role == COLOUR_ROLES[9]
    text = board_text(BLOCKS, Look(8, 4))
    assert [line.rstrip() for line in text.plain.split("\n")] == ["· ×", "", "", ""]
    assert all(f"on {written(INKS[colour])}" in str(text.spans) for colour in (0, 1, 2, 9, 8, 7))
    assert "•" in board_text(BLOCKS, Look(8, 4, flash=2)).plain


def test_blocks_shrink_to_halves_and_are_glyphs_and_marks_without_colours() -> None:
    assert board_text(BLOCKS, Look(4, 2)).plain == "▀▀▀▀\n▀▀▀▀"
    assert board_text(BLOCKS, Look(marks=True)).plain == "0 1!2*\n9 8 7\n\n"


def test_where_no_grid_begins_all_that_has_a_colour_is_drawn() -> None:
    board = BOARD.copy()
    board[0] = 1
    assert [cell.glyph for cell in BoardView(Arc(), board, board).cells][:5] == ["", "1", "2", "", "9"]
