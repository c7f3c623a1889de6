"""Generating Sudoku puzzles with exactly one solution; the geometry of the grid.

A backtracking search over bit masks fills grids and proves uniqueness. It judges and generates
puzzles; answers to a user's puzzle never come from here.
Givens are taken away in a random order as long as one solution is left. Many are asked about at
once: where the rest settles all of them, they may go; else the question is put to each half. A
single given that is not settled may go if no other digit at its cell leads to a solution.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Dataset, Progress, Seed, Tokens, Wanted

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 12: (3, 4), 16: (4, 4)}  # side: height and width of a box
FEWEST_GIVENS = {4: 4, 6: 8, 9: 17, 12: 50, 16: 100}  # proven (9x9: arXiv:1201.0749), above 9 what is often reached
LARGEST_BY_TRIAL = 9  # side up to which a grid is filled without looking ahead
MOST_NODES = {"grid": 1000, "given": 100}  # of the search, before a grid is begun anew, or a given stays
FIRST_PARTS = 8  # in which the givens of a grid are first asked about
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
        self.units_of = units_of(side)
        self.free = [(1 << side) - 1] * len(units(side))
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


def count_solutions(puzzle: Tokens, *, most: int, seconds: float) -> int | None:
    """How many solutions a puzzle [L] has, counted up to `most`; None where `seconds` do not suffice."""
    side, end = isqrt(len(puzzle)), time.monotonic() + seconds
    candidates = [(1 << side) - 1] * len(puzzle)
    for cell in np.flatnonzero(puzzle > BLANK).tolist():
        digit = 1 << (int(puzzle[cell]) - FIRST_SYMBOL)
        if not (candidates[cell] & digit and _fix(candidates, cell, digit)):
            return 0

    def spend() -> None:
        if time.monotonic() > end:
            raise TimeoutError

    try:
        return sum(1 for _ in islice(_completions(candidates, side, spend), most))
    except TimeoutError:
        return None


Spend = Callable[[], None]  # called at every node of a search; raises TimeoutError where it must end


def at_most(nodes: int) -> Spend:
    """Lets a search have so many nodes."""
    left = iter(range(nodes))

    def spend() -> None:
        if next(left, None) is None:
            raise TimeoutError

    return spend


def _completions(
    candidates: list[int], side: int, spend: Spend, rng: np.random.Generator | None = None
) -> Iterator[list[int]]:
    """Every solution, as bits, that the candidates of the cells allow.

    Cells with fewest candidates come first, the lower candidate first; `rng` decides among equals, and the order
    of the candidates.
    """
    spend()
    if not _settle(candidates, side):
        return
    open_cells = [cell for cell, mask in enumerate(candidates) if mask & (mask - 1)]
    if not open_cells:
        yield candidates
        return
    if rng:
        open_cells = [open_cells[place] for place in rng.permutation(len(open_cells)).tolist()]
    cell = min(open_cells, key=lambda open_cell: candidates[open_cell].bit_count())
    digits = bits(candidates[cell])
    for digit in [digits[place] for place in rng.permutation(len(digits)).tolist()] if rng else digits:
        branch = candidates.copy()
        if _fix(branch, cell, digit):
            yield from _completions(branch, side, spend, rng)


def _settle(candidates: list[int], side: int, wanted: dict[int, int] | None = None) -> bool:
    """Write, again and again, every digit that has one place left in a unit; whether no contradiction is met.

    wanted  digits of some cells: stop when they are written; whether they are.
    """
    settled, every_digit = False, (1 << side) - 1
    while not settled:
        settled = True
        for unit in members_of(side):
            once = twice = 0  # digits with a place in the unit, with two or more
            for cell in unit:
                twice |= once & candidates[cell]
                once |= candidates[cell]
            if once != every_digit:
                return False
            if not (single := once & ~twice):
                continue
            for cell in unit:
                digit = candidates[cell] & single
                if digit and digit != candidates[cell]:
                    if digit & (digit - 1) or not _fix(candidates, cell, digit):
                        return False
                    settled = False
        if wanted is not None and all(candidates[cell] == digit for cell, digit in wanted.items()):
            return True
    return wanted is None


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
def units_of(side: int) -> list[list[int]]:
    """Row, column and box of each cell, as indices into `units`."""
    members = units(side)
    return [np.flatnonzero((members == cell).any(1)).tolist() for cell in range(side * side)]


@cache
def peers_of(side: int) -> list[list[int]]:
    """The other cells in the units of each cell."""
    members = members_of(side)
    cells = range(side * side)
    return [sorted({other for unit in members if cell in unit for other in unit} - {cell}) for cell in cells]


def tokens_of(cells: list[int]) -> bytes:
    """The token of each cell, whose digit is a bit."""
    return bytes(BLANK + digit.bit_length() for digit in cells)


@cache
def bits(mask: int) -> tuple[int, ...]:
    """The set bits of a mask, lowest first."""
    return tuple(1 << digit for digit in range(mask.bit_length()) if mask >> digit & 1)


def random_grid(side: int, rng: np.random.Generator) -> list[int]:
    """A full grid, as bits."""
    if side <= LARGEST_BY_TRIAL:  # as ever, so that a seed still gives the same puzzles
        board = Board(side)
        board.solve(rng)
        return board.cells
    while True:
        try:
            return next(_completions([(1 << side) - 1] * side**2, side, at_most(MOST_NODES["grid"]), rng))
        except TimeoutError:
            continue


def take_away(solution: list[int], order: list[int], target: int, *, most_nodes: int | None = None) -> list[int]:
    """Givens, as bits, 0 for a blank: those of a full grid without all that may go, down to `target`.

    order       in which the cells are asked for their givens.
    most_nodes  of the search whether a given may go: without an answer it stays; None never gives up.
    """
    givens, left, size = solution.copy(), len(solution), max(1, len(solution) // FIRST_PARTS)
    parts = [order[begin : begin + size] for begin in range(0, len(order), size)]
    while parts and left > target:
        part, *parts = parts
        if len(part) > left - target:
            part, rest = part[: left - target], part[left - target :]
            parts.insert(0, rest)
        for cell in part:
            givens[cell] = 0
        if _may_go(givens, {cell: solution[cell] for cell in part}, most_nodes):
            left -= len(part)
            continue
        for cell in part:
            givens[cell] = solution[cell]
        if len(part) > 1:
            middle = len(part) // 2
            parts[:0] = [part[:middle], part[middle:]]
    return givens


def _may_go(givens: list[int], gone: dict[int, int], most_nodes: int | None) -> bool:
    """Whether givens that are gone follow from the others; of several, as far as it needs no search."""
    side = isqrt(len(givens))
    candidates = _candidates(givens, side)
    if all(candidates[cell] == digit for cell, digit in gone.items()):
        return True
    for cell, digits in enumerate(candidates):
        if not givens[cell] and not digits & (digits - 1):
            _fix(candidates, cell, digits)
    if _settle(candidates, side, wanted=gone):
        return True
    if len(gone) > 1:
        return False
    spend = at_most(most_nodes) if most_nodes else _never
    ((cell, given),) = gone.items()
    for digit in bits(candidates[cell] & ~given):
        branch = candidates.copy()
        try:
            if _fix(branch, cell, digit) and any(True for _ in _completions(branch, side, spend)):
                return False
        except TimeoutError:
            return False
    return True


def _candidates(givens: list[int], side: int) -> list[int]:
    """The digits that each cell's units leave it; of a given, the given."""
    left = [(1 << side) - 1] * len(units(side))
    for given, cell_units in zip(givens, units_of(side), strict=True):
        for unit in cell_units:
            left[unit] &= ~given
    return [
        given or left[row] & left[column] & left[box]
        for given, (row, column, box) in zip(givens, units_of(side), strict=True)
    ]


def _never() -> None:
    """Lets a search go on to its end."""


def generate_sudokus(wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
    """Random puzzles with exactly one solution each, none twice; see `Generator.generate`."""
    assert isinstance(wanted, WantedSudokus)
    count, least, most = wanted.puzzles, wanted.least_givens, wanted.most_givens
    if size not in BOXES:
        sizes = ", ".join(map(str, BOXES))
        raise UsageError(f"no Sudoku of {size}x{size}; choose a size of {sizes}")
    fewest, cells = FEWEST_GIVENS[size], size * size
    if not wanted.minimal and not fewest <= least <= most <= cells:
        raise UsageError(
            f"{least} to {most} givens: puzzles of {size}x{size} are made with {fewest} to {cells}, fewest first"
        )
    rng = np.random.default_rng(seed)
    found: dict[bytes, bytes] = {}  # tokens of a puzzle: of its solution
    misses = 0
    while len(found) < count:
        solution = random_grid(size, rng)
        target = 0 if wanted.minimal else int(rng.integers(least, most + 1))
        most_nodes = None if wanted.minimal else MOST_NODES["given"]
        givens = take_away(solution, rng.permutation(cells).tolist(), target, most_nodes=most_nodes)
        puzzle = tokens_of(givens)
        if (target and cells - givens.count(0) > target) or puzzle in found:
            misses += 1
            if misses > MOST_MISSES:
                raise UsageError(
                    f"found only {len(found)} of {count} different {size}x{size} puzzles; "
                    "ask for fewer puzzles or more givens"
                )
            continue
        found[puzzle], misses = tokens_of(solution), 0
        if progress:
            progress(len(found), count)
    puzzles, answers = (
        np.frombuffer(bytearray().join(grids), np.uint8).reshape(-1, cells) for grids in (found, found.values())
    )
    return Dataset.generated(puzzles, answers)
