"""Symmetric views: a puzzle redrawn so that its rules stay, and answers drawn back.

View 0 is the puzzle as it is. Shapes: R answers, L cells, V tokens, M views.
"""

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import Symmetries, Task, Tokens


class Views:
    """The first `count` views of puzzles of one size; the seed decides them."""

    def __init__(self, task: Task, num_cells: int, *, count: int, seed: int) -> None:
        self._is_single = count == 1
        if not self._is_single:
            drawn = task.symmetries(num_cells, count=count, rng=np.random.default_rng(seed))
            drawn.cells[0], drawn.symbols[0] = (
                np.arange(num_cells),
                np.arange(len(drawn.symbols[0])),
            )
            self._there, self._back = drawn, drawn.inverse()

    def show(self, puzzle: Tokens, view: int) -> Tokens:
        """A puzzle [L] as it looks in a view."""
        if self._is_single:
            return puzzle
        shown: Tokens = _some(self._there, np.array([view])).apply(puzzle[None])[0]
        return shown

    def undo(self, answers: Tokens, views: NDArray[np.int64]) -> Tokens:
        """Answers [R, L], each given in its view [R], as answers to the puzzles as they are."""
        if self._is_single:
            return answers
        return _some(self._back, views).apply(answers)


def _some(symmetries: Symmetries, chosen: NDArray[np.int64]) -> Symmetries:
    return Symmetries(symmetries.cells[chosen], symmetries.symbols[chosen])
