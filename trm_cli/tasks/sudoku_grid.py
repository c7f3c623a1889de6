"""The geometry of Sudoku: which cells form the rows, columns and boxes of each size."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}  # side: height and width of a box


@cache
def units(side: int) -> NDArray[np.int64]:
    """Cells of each row, then each column, then each box: [3 * side, side]."""
    cells = np.arange(side * side).reshape(side, side)
    height, width = BOXES[side]
    boxes = cells.reshape(side // height, height, side // width, width).transpose(0, 2, 1, 3)
    return np.concatenate([cells, cells.T, boxes.reshape(side, side)])


def unit_name(index: int, side: int) -> str:
    """What a reader calls a row of `units`: row 1, column 4, box 9."""
    kind = ("row", "column", "box")[index // side]
    return f"{kind} {index % side + 1}"
