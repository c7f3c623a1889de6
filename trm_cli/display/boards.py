"""Boards of every task: what there is to draw, and who draws it.

A task's drawer makes a Rich text of a view, as large as fits; its describer says what each cell is,
for pages and for maps whose cells are dots. A new task is one line in each of two dicts.
"""

from collections.abc import Callable

from rich.text import Text

from trm_cli.display.arc_boards import describe_arc, draw_arc
from trm_cli.display.grids import describe_sudoku, draw_sudoku
from trm_cli.display.mazes import describe_maze, draw_maze
from trm_cli.display.views import BoardView, Cell, Look
from trm_cli.solving.frames import Frame

DRAWERS: dict[str, Callable[[BoardView, Look], Text]] = {
    "sudoku": draw_sudoku,
    "maze": draw_maze,
    "arc": draw_arc,
}
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
    return BoardView(puzzle.tokens, frame.answer, puzzle.height, puzzle.width,
                     box_height, box_width, frame.violated, frame.changed,
                     None if frame.confidence is None else frame.confidence)  # fmt: skip
