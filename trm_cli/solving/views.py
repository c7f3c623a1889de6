"""Symmetric views: a puzzle redrawn so that its rules stay, and answers drawn back.

View 0 is the puzzle as it is. Shapes: R answers, L cells, V tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import Symmetries, Task, Tokens

Cells = NDArray[np.float32]  # [R, L]
DRAWN_FOR_ONE = 8  # symmetries drawn for each view wanted: some tasks have few, and draw them twice


class Views:
    """Up to `wanted` different views of puzzles of one size; the seed decides them."""

    def __init__(self, task: Task, num_cells: int, *, wanted: int, seed: int) -> None:
        self.count = 1  # views that there are: a maze has no more than eight
        if wanted > 1:
            rng = np.random.default_rng(seed)
            drawn = task.symmetries(num_cells, count=wanted * DRAWN_FOR_ONE, rng=rng)
            drawn.cells[0], drawn.symbols[0] = (
                np.arange(num_cells),
                np.arange(len(drawn.symbols[0])),
            )
            self._there = _some(drawn, _different(drawn)[:wanted])
            self._back = self._there.inverse()
            self.count = len(self._there.cells)

    def show(self, puzzle: Tokens, view: int) -> Tokens:
        """A puzzle [L] as it looks in a view."""
        if self.count == 1:
            return puzzle
        shown: Tokens = _some(self._there, np.array([view])).apply(puzzle[None])[0]
        return shown

    def of(self, views: Sequence[int]) -> "SeenIn":
        """The way back from the views [R] of R attempts."""
        return SeenIn(None if self.count == 1 else _some(self._back, np.array(views)))


@dataclass(frozen=True)
class SeenIn:
    """The way back from the views of R attempts to their puzzles as they are."""

    back: Symmetries | None  # None where there is one view

    def undo(self, answers: Tokens) -> Tokens:
        """Answers [R, L], each given in its view, as answers to the puzzles as they are."""
        return answers if self.back is None else self.back.apply(answers)

    def place(self, values: Cells) -> Cells:
        """What was read off the cells of views [R, L], at the cells as they are."""
        if self.back is None:
            return values
        return np.take_along_axis(values, self.back.cells, axis=1)


def _different(symmetries: Symmetries) -> NDArray[np.int64]:
    """The first row of each symmetry, in the order drawn."""
    both = np.concatenate([symmetries.cells, symmetries.symbols.astype(np.int64)], axis=1)
    rows: NDArray[np.int64] = np.sort(np.unique(both, axis=0, return_index=True)[1])
    return rows


def _some(symmetries: Symmetries, chosen: NDArray[np.int64]) -> Symmetries:
    return Symmetries(symmetries.cells[chosen], symmetries.symbols[chosen])
