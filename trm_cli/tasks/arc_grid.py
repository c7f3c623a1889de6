"""ARC's grids: as tokens on a board of 30x30, or a smaller one, and back; turned, recoloured.

    3 0      5 2 1 0 ...     a colour c is the token c + 2; 1 marks the end of each row and column
    0 3      2 5 1 0 ...     (not the corner); 0 is nothing, before the grid and after it
             1 1 0 0 ...
             0 0 0 0 ...

Layout of the tokens and numbers of the turns as in github.com/SamsungSAILMontreal/
TinyRecursiveModels, so that its checkpoints read what is written here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import PADDING, Tokens

Grid = NDArray[np.uint8]  # [height, width] colours 0 to 9
Pair = tuple[Grid, Grid]  # input and output

SIDE = 30  # of the usual board, and the most that a grid may have
NUM_COLOURS = 10
END = 1
FIRST_COLOUR = 2
VOCAB_SIZE = FIRST_COLOUR + NUM_COLOURS
NUM_TURNS = 8
SEPARATOR = "|||"  # in the name of an augmented task: 007bbfb7|||t3|||0312456789

TURNS: tuple[Callable[[Grid], Grid], ...] = (
    lambda grid: grid,
    lambda grid: np.rot90(grid, 1),
    lambda grid: np.rot90(grid, 2),
    lambda grid: np.rot90(grid, 3),
    np.fliplr,
    np.flipud,
    lambda grid: grid.T,
    lambda grid: np.fliplr(np.rot90(grid, 1)),
)
TURN_BACK = (0, 3, 2, 1, 4, 5, 6, 7)  # the turn that undoes each


@dataclass(frozen=True)
class Way:
    """One way to redraw a task: a turn or a reflection, and a renaming of its colours."""

    turn: int  # place in TURNS
    colours: Grid  # [10]; colour c becomes colours[c]

    @classmethod
    def plain(cls) -> "Way":
        """The way that changes nothing."""
        return cls(0, np.arange(NUM_COLOURS, dtype=np.uint8))

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> "Way":
        """A random way; black stays black."""
        turn = int(rng.randint(0, NUM_TURNS))
        others = rng.permutation(np.arange(1, NUM_COLOURS, dtype=np.uint8))
        return cls(turn, np.concatenate([np.zeros(1, np.uint8), others]))

    @classmethod
    def of_name(cls, name: str) -> tuple[str, "Way"]:
        """A task's own name, and the way in which the task of that whole name is redrawn."""
        if SEPARATOR not in name:
            return name, cls.plain()
        task, turn, colours = name.split(SEPARATOR)
        return task, cls(int(turn[1:]), np.array([int(colour) for colour in colours], np.uint8))

    def name_of(self, task: str) -> str:
        """What a task is called when it is redrawn in this way."""
        return SEPARATOR.join([task, f"t{self.turn}", "".join(map(str, self.colours.tolist()))])

    def apply(self, grid: Grid) -> Grid:
        """Redraw a grid."""
        return TURNS[self.turn](self.colours[grid])

    def undo(self, grid: Grid) -> Grid:
        """The grid that `apply` makes this one of."""
        back: Grid = np.argsort(self.colours).astype(np.uint8)
        return back[TURNS[TURN_BACK[self.turn]](grid)]


def encode(grid: Grid, corner: tuple[int, int] = (0, 0), *, side: int = SIDE) -> Tokens:
    """A grid as tokens [side * side], its first cell at a row and column of the board."""
    (top, left), (height, width) = corner, grid.shape
    bottom, right = top + height, left + width
    board = np.full((side, side), PADDING, np.uint8)
    board[top:bottom, left:right] = grid + FIRST_COLOUR
    if bottom < side:
        board[bottom, left:right] = END
    if right < side:
        board[top:bottom, right] = END
    return board.reshape(-1)


def side_of(num_cells: int) -> int:
    """The side of a square board of that many cells."""
    return math.isqrt(num_cells)


@dataclass(frozen=True)
class Decoded:
    """A grid read off a board."""

    grid: Grid | None  # None where the first cell holds no colour
    is_whole: bool  # whether end markers stand at each of its rows and columns, as they should


def decode(tokens: Tokens) -> Decoded:
    """The largest rectangle of colours at the first cell of a square board [L]."""
    side = side_of(len(tokens))
    board = tokens.reshape(side, side)
    coloured = (board >= FIRST_COLOUR) & (board < VOCAB_SIZE)
    lengths = np.where(coloured.all(1), side, coloured.argmin(1))  # of colours in each row
    widths = np.minimum.accumulate(lengths)
    height = int((widths * np.arange(1, side + 1)).argmax()) + 1
    width = int(widths[height - 1])
    if not width:
        return Decoded(None, False)
    ends_below = height == side or (board[height, :width] == END).all()
    ends_right = width == side or (board[:height, width] == END).all()
    return Decoded(board[:height, :width] - FIRST_COLOUR, bool(ends_below and ends_right))


def key(grid: Grid) -> bytes:
    """The same bytes for equal grids, others for others."""
    return bytes(grid.shape) + grid.tobytes()


def canonical(pair: Pair) -> bytes:
    """The same bytes for a pair and for all its turns and renamings of colours but black."""
    return min(_renumbered(TURNS[turn](pair[0]), TURNS[turn](pair[1])) for turn in range(NUM_TURNS))


def _renumbered(first: Grid, second: Grid) -> bytes:
    """A pair whose colours are numbered in the order in which they appear."""
    cells = np.concatenate([first.ravel(), second.ravel()])
    colours, places = np.unique(cells, return_index=True)
    places = np.where(colours == 0, -1, places)  # black comes first, if it is there
    ranks = np.empty(NUM_COLOURS, np.uint8)
    ranks[colours[np.argsort(places)]] = np.arange(len(colours)) + (0 not in colours)
    renumbered: bytes = ranks[cells].tobytes()
    return bytes(first.shape) + bytes(second.shape) + renumbered
