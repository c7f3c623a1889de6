"""What every drawer of boards is given, and what it says of a cell."""

from collections.abc import Collection
from dataclasses import dataclass, field

from trm_cli.solving.frames import Cells
from trm_cli.tasks.base import Tokens


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
