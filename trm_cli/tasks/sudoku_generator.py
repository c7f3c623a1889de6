"""Generating Sudoku puzzles with exactly one solution; the geometry of the grid.

A backtracking search over bit masks fills grids and proves uniqueness. It judges and generates
puzzles; answers to a user's puzzle never come from here.
A cell may lose its given when no other digit at that cell leads to a solution: one question per
candidate, most of them refuted at once.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Dataset, Progress, Seed, Tokens, Wanted

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}  # side: height and width of a box
FEWEST_GIVENS = {4: 4, 6: 8, 9: 17}  # proven minima; 9x9: arXiv:1201.0749
MOST_MISSES = 1000  # boards in a row that gave nothing, before a wish is called impossible


@cache
def units(side: int) -> NDArray[np.int64]:
    """Cells of each row, then each column, then each box: [3 * side, side]."""
    cells = np.arange(side * side).reshape(side, side)
    height, width = BOXES[side]
    boxes = cells.reshape(side // height, height, side // width, width).transpose(0, 2, 1, 3)
    return np.concatenate([cells, cells.T, boxes.reshape(side, side)])


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
        members = units(side)
        self.units_of = [[int(u) for u in np.flatnonzero((members == cell).any(1))] for cell in range(side * side)]
        self.free = [(1 << side) - 1] * len(members)
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

    def tokens(self) -> bytes:
        """The token of each cell."""
        return bytes(BLANK + digit.bit_length() for digit in self.cells)

    def solve(self, rng: np.random.Generator | None = None) -> bool:
        """Fill every empty cell if that is possible, else leave the board as it was.

        Cells with fewest candidates come first. The candidates ascend; `rng` shuffles them.
        """
        best, fewest, best_candidates = -1, self.side + 1, 0
        for cell, digit in enumerate(self.cells):
            if not digit:
                candidates = self.candidates(cell)
                count = candidates.bit_count()
                if count < fewest:
                    best, fewest, best_candidates = cell, count, candidates
                    if count < 2:
                        break
        if best < 0:
            return True
        digits = list(bits(best_candidates))
        if rng:
            rng.shuffle(digits)
        for digit in digits:
            self.put(best, digit)
            if self.solve(rng):
                return True
            self.clear(best)
        return False

    def needs(self, cell: int) -> bool:
        """Whether the puzzle would have a second solution without the given of a cell.

        The board must have one solution. Leaves it as it was.
        """
        given = self.clear(cell)
        empty = [other for other, digit in enumerate(self.cells) if not digit]
        needed = False
        for digit in bits(self.candidates(cell) & ~given):
            self.put(cell, digit)
            needed = self.solve()
            for filled in empty if needed else [cell]:
                self.clear(filled)
            if needed:
                break
        self.put(cell, given)
        return needed


def count_solutions(puzzle: Tokens, *, most: int, seconds: float) -> int | None:
    """How many solutions a puzzle [L] has, counted up to `most`; None where `seconds` do not suffice."""
    side, end = isqrt(len(puzzle)), time.monotonic() + seconds
    candidates = [(1 << side) - 1] * len(puzzle)
    for cell in np.flatnonzero(puzzle > BLANK).tolist():
        digit = 1 << (int(puzzle[cell]) - FIRST_SYMBOL)
        if not (candidates[cell] & digit and _fix(candidates, cell, digit)):
            return 0
    try:
        return sum(1 for _ in islice(_completions(candidates, side, end), most))
    except TimeoutError:
        return None


def _completions(candidates: list[int], side: int, end: float) -> Iterator[None]:
    """Once for every solution that the candidates of the cells, as bits, allow.

    Raises TimeoutError when `end` has come on the monotonic clock.
    """
    if time.monotonic() > end:
        raise TimeoutError
    settled = False
    while not settled:
        settled = True
        for unit in members_of(side):
            once = twice = 0  # digits with a place in the unit, with two or more
            for cell in unit:
                twice |= once & candidates[cell]
                once |= candidates[cell]
            if once != (1 << side) - 1:
                return
            for cell in unit:
                digit = candidates[cell] & ~twice
                if digit and digit != candidates[cell]:
                    if digit & (digit - 1) or not _fix(candidates, cell, digit):
                        return
                    settled = False
    counts = [(mask.bit_count(), cell) for cell, mask in enumerate(candidates) if mask & (mask - 1)]
    if not counts:
        yield
        return
    _, cell = min(counts)
    for digit in bits(candidates[cell]):
        branch = candidates.copy()
        if _fix(branch, cell, digit):
            yield from _completions(branch, side, end)


def _fix(candidates: list[int], cell: int, digit: int) -> bool:
    """Write a digit, and those that are then the last candidates of their cells; whether every cell keeps one."""
    candidates[cell] = digit
    fresh = [cell]
    peers = peers_of(isqrt(len(candidates)))
    while fresh:
        cell = fresh.pop()
        digit = candidates[cell]
        for peer in peers[cell]:
            left = candidates[peer]
            if left & digit:
                left ^= digit
                if not left:
                    return False
                candidates[peer] = left
                if not left & (left - 1):
                    fresh.append(peer)
    return True


@cache
def members_of(side: int) -> list[list[int]]:
    """`units`, as lists."""
    members: list[list[int]] = units(side).tolist()
    return members


@cache
def peers_of(side: int) -> list[list[int]]:
    """The other cells in the units of each cell."""
    members = members_of(side)
    cells = range(side * side)
    return [sorted({other for unit in members if cell in unit for other in unit} - {cell}) for cell in cells]


@cache
def bits(mask: int) -> tuple[int, ...]:
    """The set bits of a mask, lowest first."""
    return tuple(1 << digit for digit in range(mask.bit_length()) if mask >> digit & 1)


def generate_sudokus(wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
    """Random puzzles with exactly one solution each, none twice; see `Generator.generate`."""
    assert isinstance(wanted, WantedSudokus)
    count, least, most = wanted.puzzles, wanted.least_givens, wanted.most_givens
    if size not in BOXES:
        raise UsageError(f"no Sudoku of {size}x{size}; choose a size of 4, 6 or 9")
    fewest, cells = FEWEST_GIVENS[size], size * size
    if not wanted.minimal and not fewest <= least <= most <= cells:
        raise UsageError(f"{least} to {most} givens: a {size}x{size} puzzle has {fewest} to {cells}, fewest first")
    rng = np.random.default_rng(seed)
    found: dict[bytes, bytes] = {}  # tokens of a puzzle: of its solution
    misses = 0
    while len(found) < count:
        board = Board(size)
        board.solve(rng)
        solution = board.tokens()
        target = 0 if wanted.minimal else int(rng.integers(least, most + 1))
        left = cells
        for cell in rng.permutation(cells).tolist():
            if left > target and not board.needs(cell):
                board.clear(cell)
                left -= 1
        puzzle = board.tokens()
        if (target and left > target) or puzzle in found:
            misses += 1
            if misses > MOST_MISSES:
                raise UsageError(
                    f"found only {len(found)} of {count} different {size}x{size} puzzles; "
                    "ask for fewer puzzles or more givens"
                )
            continue
        found[puzzle], misses = solution, 0
        if progress:
            progress(len(found), count)
    puzzles, answers = (
        np.frombuffer(bytearray().join(grids), np.uint8).reshape(-1, cells) for grids in (found, found.values())
    )
    return Dataset.generated(puzzles, answers)
