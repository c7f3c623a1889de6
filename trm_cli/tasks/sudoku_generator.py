"""Generating Sudoku puzzles with exactly one solution; the geometry of the grid.

A backtracking search over bit masks fills grids and proves uniqueness. It judges and generates
puzzles; answers to a user's puzzle never come from here.
A cell may lose its given when no other digit at that cell leads to a solution: one question per
candidate, most of them refuted at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, Dataset, Progress, Seed, Tokens, Wanted

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


MOST_MISSES = 1000  # boards in a row that gave nothing, before a wish is called impossible


@dataclass(frozen=True)
class WantedSudokus(Wanted):
    """Puzzles with exactly one solution and some number of givens, drawn evenly for each."""

    least_givens: int = 24
    most_givens: int = 34
    minimal: bool = False  # only puzzles that no given can be taken from, however many they have

    def described(self, size: int) -> str:
        givens = f"{self.least_givens} to {self.most_givens} givens"
        return f"puzzles of {size}x{size}, {'minimal' if self.minimal else givens}"


class Board:
    """A grid of one side under construction: digits, and the digits each unit has left.

    Digits are bits: 1 << 0 is digit 1. A cell is the index of its place, row by row.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.all_digits = (1 << side) - 1
        members = units(side)
        self.units_of = [[int(u) for u in np.flatnonzero((members == cell).any(1))] for cell in range(side * side)]
        self.free = [self.all_digits] * len(members)
        self.cells = [0] * (side * side)

    def candidates(self, cell: int) -> int:
        """Digits that row, column and box of a cell still allow, as bits."""
        row, column, box = self.units_of[cell]
        return self.free[row] & self.free[column] & self.free[box]

    def put(self, cell: int, digit: int) -> None:
        """Write a digit (one bit) into an empty cell."""
        self.cells[cell] = digit
        for unit in self.units_of[cell]:
            self.free[unit] &= ~digit

    def clear(self, cell: int) -> int:
        """Empty a cell; returns the digit it held."""
        digit, self.cells[cell] = self.cells[cell], 0
        for unit in self.units_of[cell]:
            self.free[unit] |= digit
        return digit

    def solve(self, order: Callable[[int], list[int]] | None = None) -> bool:
        """Fill every empty cell if that is possible, else leave the board as it was.

        order  the order in which to try candidates (bits); ascending if not given.
        """
        best, best_count, best_candidates = -1, self.side + 1, 0
        for cell, digit in enumerate(self.cells):
            if not digit:
                candidates = self.candidates(cell)
                count = candidates.bit_count()
                if count < best_count:
                    best, best_count, best_candidates = cell, count, candidates
                    if count < 2:
                        break
        if best < 0:
            return True
        for digit in order(best_candidates) if order else bits(best_candidates):
            self.put(best, digit)
            if self.solve(order):
                return True
            self.clear(best)
        return False

    def can_be_solved(self) -> bool:
        """Whether any solution exists; leaves the board as it was."""
        before = [cell for cell, digit in enumerate(self.cells) if not digit]
        solvable = self.solve()
        if solvable:
            for cell in before:
                self.clear(cell)
        return solvable

    def needs(self, cell: int) -> bool:
        """Whether the puzzle would have a second solution without the given of a cell.

        The board must have one solution. Leaves it as it was.
        """
        given = self.clear(cell)
        others = self.candidates(cell) & ~given
        needed = False
        for digit in bits(others):
            self.put(cell, digit)
            needed = self.can_be_solved()
            self.clear(cell)
            if needed:
                break
        self.put(cell, given)
        return needed


def bits(mask: int) -> list[int]:
    """The set bits of a mask, lowest first."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest)
        mask ^= lowest
    return found


def random_grid(side: int, rng: np.random.Generator) -> Board:
    """A full board: digits are tried in random order, cells with fewest candidates first."""
    board = Board(side)

    def shuffled(mask: int) -> list[int]:
        digits = bits(mask)
        rng.shuffle(digits)
        return digits

    board.solve(shuffled)
    return board


def dig(board: Board, least: int, rng: np.random.Generator) -> int:
    """Take givens away in random order while one solution stays, down to `least`.

    Returns how many are left; with `least` 0 the puzzle is minimal.
    """
    left = sum(1 for digit in board.cells if digit)
    for cell in rng.permutation(len(board.cells)).tolist():
        if left <= least:
            break
        if not board.needs(cell):
            board.clear(cell)
            left -= 1
    return left


def generate_sudokus(wanted: WantedSudokus, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
    """Random puzzles with exactly one solution each, none twice; see `Task.generate`."""
    count, side = wanted.puzzles, size
    givens = None if wanted.minimal else (wanted.least_givens, wanted.most_givens)
    _refuse_impossible(side, givens)
    rng = np.random.default_rng(seed)
    found: dict[bytes, bytes] = {}  # puzzle: solution
    misses = 0
    while len(found) < count:
        board = random_grid(side, rng)
        solution = _digits(board)
        target = 0 if givens is None else int(rng.integers(givens[0], givens[1] + 1))
        left = dig(board, target, rng)
        puzzle = _digits(board)
        if (target and left > target) or puzzle in found:
            misses += 1
            if misses > MOST_MISSES:
                raise UsageError(
                    f"found only {len(found)} of {count} different {side}x{side} puzzles; "
                    "ask for fewer puzzles or more givens"
                )
            continue
        found[puzzle], misses = solution, 0
        if progress:
            progress(len(found), count)
    puzzles = _tokens(list(found), side)
    answers = _tokens(list(found.values()), side)
    return Dataset.generated(puzzles, answers)


def _digits(board: Board) -> bytes:
    return bytes(digit.bit_length() for digit in board.cells)


def _tokens(grids: list[bytes], side: int) -> Tokens:
    digits = np.frombuffer(b"".join(grids), np.uint8).reshape(-1, side * side)
    tokens: Tokens = digits + np.uint8(BLANK)
    return tokens


FEWEST_GIVENS = {4: 4, 6: 8, 9: 17}  # proven minima; 9x9: arXiv:1201.0749


def _refuse_impossible(side: int, givens: tuple[int, int] | None) -> None:
    if side not in BOXES:
        raise UsageError(f"no Sudoku of {side}x{side}; choose a size of 4, 6 or 9")
    if givens is None:
        return
    least, most = givens
    if not FEWEST_GIVENS[side] <= least <= most <= side * side:
        raise UsageError(
            f"{least} to {most} givens: a {side}x{side} puzzle has {FEWEST_GIVENS[side]} to {side * side}, fewest first"
        )
