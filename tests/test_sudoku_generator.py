import numpy as np
import pytest

from tests.conftest import ANSWER, PUZZLE, sudokus, tokens
from trm_cli.errors import UsageError
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL
from trm_cli.tasks.sudoku import Sudoku, repeats
from trm_cli.tasks.sudoku_generator import Board, bits, count_solutions, random_grid


def digits(row: np.ndarray) -> list[int]:
    return [int(token) - BLANK for token in row]


def count_by_backtracking(digits: list[int], side: int, most: int = 2) -> int:
    """Solutions of a puzzle (0 blank), counted up to `most`."""
    board = Board(side)
    for cell, digit in enumerate(digits):
        if digit:
            board.put(cell, 1 << (digit - 1))
    return _count(board, most)


def _count(board: Board, most: int) -> int:
    empty = [cell for cell, digit in enumerate(board.cells) if not digit]
    if not empty:
        return 1
    cell = min(empty, key=lambda c: board.candidates(c).bit_count())
    found = 0
    for digit in bits(board.candidates(cell)):
        board.put(cell, digit)
        found += _count(board, most - found)
        board.clear(cell)
        if found >= most:
            break
    return found


def count_by_brute_force(puzzle: list[int]) -> int:
    """Every filling of a 4x4 grid's blanks, tried without any cleverness."""
    if 0 not in puzzle:
        grid = np.array(puzzle, dtype=np.uint8) + np.uint8(BLANK)
        return int(Sudoku().rules_hold(grid[None], grid[None])[0])
    cell = puzzle.index(0)
    return sum(count_by_brute_force([*puzzle[:cell], digit, *puzzle[cell + 1 :]]) for digit in (1, 2, 3, 4))


def test_solutions_are_counted_as_brute_force_counts_them() -> None:
    rng = np.random.default_rng(0)
    data = sudokus(6, side=4, givens=(9, 12), seed=2)
    for row in data.puzzles:
        puzzle = digits(row)
        given = [cell for cell, digit in enumerate(puzzle) if digit]
        puzzle[rng.choice(given)] = 0
        assert count_by_backtracking(puzzle, 4, most=1000) == count_by_brute_force(puzzle)


def test_a_known_puzzle_has_one_solution_and_an_empty_grid_many() -> None:
    assert count_by_backtracking(digits(tokens(PUZZLE)), 9) == 1
    assert count_by_backtracking([0] * 81, 9) == 2
    assert count_by_backtracking(digits(tokens(ANSWER)), 9) == 1


@pytest.mark.parametrize("side", [4, 6, 9, 12, 16])
def test_random_grids_keep_the_rules_and_differ(side: int) -> None:
    rng = np.random.default_rng(0)
    grids = np.array([[digit.bit_length() for digit in random_grid(side, rng)] for _ in range(2)], np.uint8)
    assert Sudoku().rules_hold(grids + np.uint8(BLANK), grids + np.uint8(BLANK)).all()
    assert (grids[0] != grids[1]).mean() > 0.4


@pytest.mark.parametrize(("side", "givens"), [(12, (60, 80)), (16, (115, 140))])
def test_large_puzzles_have_one_solution_and_the_givens_asked_for(side: int, givens: tuple[int, int]) -> None:
    data = sudokus(3, side=side, givens=givens, seed=0)
    counts = (data.puzzles > BLANK).sum(1)
    assert givens[0] <= counts.min() < counts.max() <= givens[1]
    assert Sudoku().rules_hold(data.puzzles, data.answers).all()
    assert [count_solutions(puzzle, most=2, seconds=60) for puzzle in data.puzzles] == [1, 1, 1]


def test_seeds_give_the_puzzles_that_they_gave_before() -> None:
    """Checkpoints name puzzles by the seed that made them."""
    known = {(4, (5, 8)): "6f25e95ab16e", (6, (10, 16)): "e4e933578ee0"}
    assert {key: sudokus(100, side=key[0], givens=key[1], seed=3).sha256[:12] for key in known} == known
    assert sudokus(60, side=9, givens=None, seed=3).sha256.startswith("0c8b8aa49b6e")


@pytest.mark.parametrize(("side", "givens"), [(4, (4, 8)), (6, (9, 14)), (9, (24, 34))])
def test_generated_puzzles_have_one_solution_and_the_givens_asked_for(side: int, givens: tuple[int, int]) -> None:
    data = sudokus(25, side=side, givens=givens, seed=0)
    counts = [sum(1 for digit in digits(row) if digit) for row in data.puzzles]
    assert givens[0] <= min(counts) < max(counts) <= givens[1]
    assert all(count_by_backtracking(digits(row), side) == 1 for row in data.puzzles)
    assert len({row.tobytes() for row in data.puzzles}) == 25


def test_a_minimal_puzzle_loses_its_uniqueness_with_any_given() -> None:
    for row in sudokus(3, side=9, givens=None, seed=0).puzzles:
        puzzle = digits(row)
        for cell in [cell for cell, digit in enumerate(puzzle) if digit]:
            assert count_by_backtracking([*puzzle[:cell], 0, *puzzle[cell + 1 :]], 9) == 2


@pytest.mark.parametrize(
    ("side", "givens", "message"),
    [(9, (5, 30), "9x9 are made with 17 to 81"), (9, (30, 24), "fewest first"), (8, (30, 34), "no Sudoku of 8x8")],
)
def test_an_impossible_wish_is_refused(side: int, givens: tuple[int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sudokus(1, side=side, givens=givens, seed=0)


def test_asking_for_more_puzzles_than_exist_ends_with_advice() -> None:
    with pytest.raises(UsageError, match="found only 288 of 400 different 4x4 puzzles"):
        sudokus(400, side=4, givens=(16, 16), seed=0)


def test_solutions_are_counted_as_backtracking_counts_them() -> None:
    rng = np.random.default_rng(3)
    for side, givens in ((4, (5, 8)), (6, (10, 16)), (9, (26, 34))):
        data = sudokus(12, side=side, givens=givens)
        for puzzle, answer in zip(data.puzzles, data.answers, strict=True):
            fewer, wrong = puzzle.copy(), puzzle.copy()
            fewer[rng.choice(np.flatnonzero(puzzle > BLANK), side // 2)] = BLANK
            cell = rng.choice(np.flatnonzero(puzzle == BLANK))
            wrong[cell] = FIRST_SYMBOL + (answer[cell] - FIRST_SYMBOL + 1) % side
            for asked in (puzzle, fewer, wrong):
                counted = count_solutions(asked, most=5, seconds=60)
                expected = 0 if any(repeats(asked, side)) else count_by_backtracking(digits(asked), side, 5)
                assert counted == expected
            assert count_solutions(puzzle, most=2, seconds=60) == 1
    assert count_solutions(np.full(16, BLANK, np.uint8), most=1000, seconds=60) == 288  # all there are
    assert count_solutions(np.full(81, BLANK, np.uint8), most=2, seconds=0.0) is None
