"""Sudoku: grids of 4x4, 6x6 or 9x9 cells in which no row, column or box repeats a digit.

    53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
    534678912672195348198342567859761423426853791713924856961537284287419635345286179

Token 1 is a blank and token d + 1 the digit d, as in the official code.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import (
    BLANK,
    FIRST_SYMBOL,
    Dataset,
    Puzzle,
    Seed,
    Symmetries,
    Task,
    Tokens,
    Violation,
    Wanted,
)
from trm_cli.tasks.sudoku_generator import WantedSudokus, generate_sudokus
from trm_cli.tasks.sudoku_grid import BOXES, unit_name, units
from trm_cli.tasks.sudoku_text import SIDE_OF, VALUES, Grid, read_grids, read_one

USUAL_GIVENS = {4: (5, 8), 6: (10, 16), 9: (24, 34)}  # side: fewest and most
TOKEN_OF = np.zeros(128, np.uint8)  # ASCII: token; 0 where a character is no cell
TOKEN_OF[[ord(character) for character in VALUES]] = [v + BLANK for v in VALUES.values()]


class Sudoku(Task):
    """The rules, spellings and symmetries of Sudoku."""

    name = "sudoku"
    usual_size = 9
    rating_starts = (0, 1, 10, 50, 100, 300)
    givens_starts = (0, 17, 18, 22, 25, 29, 38)

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (_puzzle(grid, source) for grid in read_grids(lines, source))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return _puzzle(read_one(text, line, source), source)

    def read_plain(self, texts: list[str]) -> Tokens | None:
        num_cells = len(texts[0])
        side = SIDE_OF.get(num_cells)
        whole = "".join(texts)
        is_even = all(len(text) == num_cells for text in texts)
        if side is None or not is_even or not whole.isascii():
            return None
        tokens = TOKEN_OF[np.frombuffer(whole.encode(), np.uint8)].reshape(-1, num_cells)
        return tokens if ((tokens > 0) & (tokens <= side + BLANK)).all() else None

    def write(self, tokens: Tokens) -> str:
        return "".join("." if token <= BLANK else str(token - BLANK) for token in tokens)

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        side = self.boxes(answers.shape[1])[0]
        keeps_givens = ((puzzles == answers) | (puzzles == BLANK)).all(1)
        in_units = np.sort(answers[:, units(side)], axis=2)  # [N, 3 * side, side]
        every_digit = np.arange(FIRST_SYMBOL, FIRST_SYMBOL + side)
        holds: NDArray[np.bool_] = keeps_givens & (in_units == every_digit).all((1, 2))
        return holds

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return self.rules_hold(answers, answers)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        side = self.boxes(len(answer))[0]
        rules: dict[int, str] = {}
        for cell in np.flatnonzero((puzzle != BLANK) & (puzzle != answer)):
            rules[int(cell)] = f"the given {puzzle[cell] - BLANK} was changed"
        for cell in np.flatnonzero((answer < FIRST_SYMBOL) | (answer > side + BLANK)):
            rules.setdefault(int(cell), "no digit")
        for first, second, unit in repeats(answer, side):
            rules.setdefault(first, f"{answer[first] - BLANK} twice in {unit}")
            rules.setdefault(second, f"{answer[second] - BLANK} twice in {unit}")
        return [Violation(cell // side + 1, cell % side + 1, rules[cell]) for cell in sorted(rules)]

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Symmetries:
        side, _, height, width = self.boxes(num_cells)
        grid = np.arange(num_cells).reshape(side, side)
        cells = np.empty((count, num_cells), dtype=np.int64)
        symbols = np.tile(np.arange(side + FIRST_SYMBOL, dtype=np.uint8), (count, 1))
        for row in range(count):
            moved = grid[_shuffled_bands(side, height, rng)][:, _shuffled_bands(side, width, rng)]
            transposes = height == width and rng.random() < 0.5
            cells[row] = (moved.T if transposes else moved).reshape(-1)
            symbols[row, FIRST_SYMBOL:] = FIRST_SYMBOL + rng.permutation(side)
        return Symmetries(cells, symbols)

    def usual(self, size: int) -> Wanted:
        least, most = USUAL_GIVENS.get(size, USUAL_GIVENS[self.usual_size])
        return WantedSudokus(least_givens=least, most_givens=most)

    def generate(self, wanted: Wanted, *, size: int, seed: Seed,
                 progress: Callable[[int, int], None] | None = None) -> Dataset:  # fmt: skip
        assert isinstance(wanted, WantedSudokus)
        return generate_sudokus(wanted, size=size, seed=seed, progress=progress)

    def vocab_size(self, num_cells: int) -> int:
        return FIRST_SYMBOL + self.boxes(num_cells)[0]

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = round(num_cells**0.5)
        if side * side != num_cells or side not in BOXES:
            raise PuzzleError(f"a Sudoku has 16, 36 or 81 cells, not {num_cells}")
        return (side, side, *BOXES[side])


def _puzzle(grid: Grid, source: str) -> Puzzle:
    """A grid as tokens; raises PuzzleError where a given is repeated."""
    tokens = np.frombuffer(grid.digits, dtype=np.uint8) + np.uint8(BLANK)
    for first, second, unit in repeats(tokens, grid.side):
        line, column = grid.places[second]
        other_line, other_column = grid.places[first]
        raise PuzzleError(
            f"{source}:{line}:{column}: {unit} has the given {tokens[second] - BLANK} twice, "
            f"first at {other_line}:{other_column}; correct one of them"
        )
    return Puzzle(tokens, grid.side, grid.side, source, grid.places[0][0])


def repeats(tokens: Tokens, side: int) -> Iterator[tuple[int, int, str]]:
    """Pairs of cells of a grid [L] that share a unit and a digit, with the unit's name."""
    grid_units = units(side)
    in_units = tokens[grid_units]
    is_digit = in_units >= FIRST_SYMBOL
    ordered = np.sort(np.where(is_digit, in_units, 255 - np.arange(side, dtype=np.uint8)), axis=1)
    for unit in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1)):
        for first, second in combinations(range(side), 2):
            if is_digit[unit, first] and in_units[unit, first] == in_units[unit, second]:
                yield (int(grid_units[unit, first]), int(grid_units[unit, second]),
                       unit_name(int(unit), side))  # fmt: skip


def _shuffled_bands(side: int, height: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order of lines that keeps those of one band together."""
    bands = rng.permutation(side // height)
    return np.concatenate([band * height + rng.permutation(height) for band in bands])
