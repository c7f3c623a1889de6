"""Mazes as they are drawn."""

import numpy as np

from trm_cli.display.boards import BoardView, Look, board_text, cells
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes

PUZZLE = "#S  #\n# # #\n#   #\n## ##\n#  G#\n"
ANSWER = "#S  #\n#o# #\n#oo #\n##o##\n# oG#\n"
WIDE = """\
██S     ██
██┃ ██  ██
██┗━┓   ██
████┃ ████
██  ┗━G ██"""
NARROW = """\
█S  █
█┃█ █
█┗┓ █
██┃██
█ ┗G█"""
ASCII = """\
##S     ##
##o ##  ##
##ooo   ##
####o ####
##  ooG ##"""


def view(answer: str = ANSWER, **more: object) -> BoardView:
    task = Maze()
    puzzle, tokens = (task.read_answer("".join(text.splitlines()), 1, "") for text in (PUZZLE, answer))
    return BoardView(puzzle, tokens, 5, 5, 1, 1, **more)  # type: ignore[arg-type] # as given


def drawn(board: BoardView, look: Look) -> str:
    return board_text("maze", board, look).plain


def test_the_path_is_a_line_and_the_drawing_as_large_as_fits() -> None:
    assert drawn(view(), Look()) == WIDE
    assert drawn(view(), Look(max_width=9)) == NARROW
    assert drawn(view(), Look(ascii_only=True)) == ASCII
    dots = board_text("maze", view(), Look(max_width=5, max_height=4))
    assert [len(line) for line in dots.plain.splitlines()] == [5, 5, 5]


def test_a_maze_of_30_fits_a_terminal_of_80_by_24() -> None:
    data = generate_mazes(WantedMazes(1, min_path=40), size=30, seed=0)
    board = BoardView(data.puzzles[0], data.answers[0], 30, 30, 1, 1)
    lines = drawn(board, Look(max_width=80, max_height=20)).splitlines()
    assert [len(line) for line in lines] == [30] * 15
    assert len(drawn(board, Look(max_width=80, max_height=40)).splitlines()[0]) == 60


def test_wrong_cells_are_marked_by_colour_or_by_sign() -> None:
    broken = view(ANSWER.replace("##o##", "## ##"), violated=frozenset({12, 22}))
    coloured = board_text("maze", broken, Look())
    at = coloured.plain.splitlines()
    assert at[2] == "██┗━╸   ██"
    style_of_12 = [span.style for span in coloured.spans if span.start <= 2 * 11 + 4 < span.end]
    assert any("on #" in str(style) for style in style_of_12)
    assert drawn(broken, Look(marks=True)).splitlines()[2] == "██┗━╸!  ██"


def test_each_cell_is_described_for_pictures() -> None:
    roles = [cell.role for cell in cells("maze", view())]
    assert roles[:7] == ["wall", "start", "open", "open", "wall", "wall", "path"]
    assert [cell.glyph for cell in cells("maze", view()) if cell.glyph] == ["S", "G"]
    assert np.array_equal([role == "wall" for role in roles], view().puzzle == 1)
