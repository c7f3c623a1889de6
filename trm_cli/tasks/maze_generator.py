"""Generating mazes whose goal is far from their start.

Walls are drawn at random, cell by cell, in a share that differs from maze to maze. A maze is kept
if some two cells of it are far enough apart; its start and goal are such a pair, drawn at random.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import ConfigError, UsageError
from trm_cli.tasks.base import Dataset, Progress, Seed, Tokens, Wanted
from trm_cli.tasks.maze_grid import (
    GOAL,
    LONGEST_SIDE,
    OPEN,
    PATH,
    SHORTEST_SIDE,
    START,
    WALL,
    Bits,
    Cells,
    as_bits,
    beyond,
    farthest,
    one_cell,
    shortest_paths,
)

MAZES_AT_ONCE = 1024
TRIES = 16  # starts that are drawn for a maze
MOST_MISSES = 200_000  # mazes in a row of which none was kept, before a wish is called impossible
USUAL_SHARE = 110 / 900  # cells of the shortest path kept, as a share of a board's: 110 on 30x30


@dataclass(frozen=True)
class WantedMazes(Wanted):
    """Mazes with shortest paths of at least some length."""

    min_path: int = 0  # fewest cells on the shortest path, start and goal included; 0: usual
    least_walls: float = 0.3  # share of walls, drawn evenly for each maze from here
    most_walls: float = 0.5  # to here, before mazes without a long path are dropped

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.least_walls <= self.most_walls < 1:
            raise ConfigError(
                f"data.least_walls, data.most_walls: expected 0 to 1, least first, got "
                f"{self.least_walls} and {self.most_walls}"
            )
        if self.min_path < 0:
            raise ConfigError(f"data.min_path: expected 0 or more, got {self.min_path}")

    def described(self, size: int) -> str:
        least = self.min_path or usual_path(size)
        return f"mazes of {size}x{size}, {least} or more cells on the shortest path"


def usual_path(size: int) -> int:
    """Fewest cells on the path of a maze of that side if nothing else is wanted."""
    return max(2, round(USUAL_SHARE * size * size))


def generate_mazes(wanted: WantedMazes, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
    """Random mazes with their preferred shortest paths, none twice; see `Task.generate`."""
    least = wanted.min_path or usual_path(size)
    _refuse_impossible(size, least)
    rng = np.random.default_rng(seed)
    found: dict[bytes, tuple[Tokens, int]] = {}  # puzzle: answer, cells on its path
    misses = 0
    while len(found) < wanted.puzzles:
        opened, starts, goals = _draw(wanted, size, least, rng)
        misses = 0 if len(opened) else misses + MAZES_AT_ONCE
        if misses > MOST_MISSES:
            raise UsageError(
                f"found only {len(found)} of {wanted.puzzles} mazes of {size}x{size} with "
                f"{least} cells on the shortest path; ask for a shorter one or other walls"
            )
        puzzles, answers, lengths = _as_tokens(opened, starts, goals)
        for puzzle, answer, length in zip(puzzles, answers, lengths.tolist(), strict=True):
            found.setdefault(puzzle.tobytes(), (answer, length))
        if progress:
            progress(min(len(found), wanted.puzzles), wanted.puzzles)
    kept = list(found.items())[: wanted.puzzles]
    puzzles = np.frombuffer(bytearray().join(puzzle for puzzle, _ in kept), np.uint8)
    puzzles = puzzles.reshape(len(kept), -1)
    answers = np.stack([answer for _, (answer, _) in kept])
    ratings = np.array([length for _, (_, length) in kept], dtype=np.int64)
    return Dataset.generated(puzzles, answers, ratings)


def _refuse_impossible(size: int, least: int) -> None:
    if not SHORTEST_SIDE <= size <= LONGEST_SIDE:
        raise UsageError(f"no maze of {size}x{size}; choose a size of {SHORTEST_SIDE} to {LONGEST_SIDE}")
    most = size * (size + 1) // 2 + size // 2  # a serpentine takes every other row
    if not 2 <= least <= most:
        raise UsageError(f"a shortest path of {least} cells: in a maze of {size}x{size} it has 2 to {most}")


def _draw(
    wanted: WantedMazes, size: int, least: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Cells, Cells]:
    """Mazes [M, H, W] of MAZES_AT_ONCE that have a path of `least` cells; its start and goal."""
    shares = rng.uniform(wanted.least_walls, wanted.most_walls, MAZES_AT_ONCE)
    drawn = rng.integers(0, 1 << 16, (MAZES_AT_ONCE, size, size), dtype=np.uint16)
    opened = drawn >= (shares * (1 << 16)).astype(np.uint16)[:, None, None]
    bits = as_bits(opened)
    # Twice to the farthest cell: two cells that are nearly as far apart as any two.
    some = _random_cells(opened, rng)
    ends, moves = farthest(bits, one_cell(some, size, size))
    near = 2 * moves + 1 < least  # no two cells that the start reaches are far enough apart
    opened, bits, ends = opened[~near], bits[:, ~near], ends[:, ~near]
    starts = _lowest_cell(ends, size)
    _, moves = farthest(bits, one_cell(starts, size, size))
    far = moves >= least - 1
    return _draw_ends(opened[far], starts[far], least, rng)


def _draw_ends(
    opened: NDArray[np.bool_], ends: Cells, least: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Cells, Cells]:
    """Start and goal, at least `least` cells apart on the shortest path.

    Of the distances that TRIES random starts offer, each is as likely; a maze where these offer
    none takes its known end for a start.
    """
    count, size = len(opened), opened.shape[1]
    starts = np.stack([ends, *(_random_cells(opened, rng) for _ in range(TRIES))], axis=1)
    bits = np.repeat(as_bits(opened), TRIES + 1, axis=1)
    chance = np.zeros(bits.shape[1])
    goals = np.zeros(bits.shape[1], np.int64)
    for cells in beyond(bits, one_cell(starts.reshape(-1), size, size), least - 1):
        there = np.flatnonzero(cells.any(0))
        drawn = rng.random(len(there))
        better = drawn > chance[there]
        chosen = there[better]
        chance[chosen] = drawn[better]
        goals[chosen] = _random_set_cells(cells[:, chosen], size, rng)
    of_maze = chance.reshape(count, TRIES + 1)
    of_maze[of_maze[:, 1:].any(1), 0] = 0
    pair = of_maze.argmax(1)
    mazes = np.arange(count)
    return opened, starts[mazes, pair], goals.reshape(of_maze.shape)[mazes, pair]


def _random_cells(opened: NDArray[np.bool_], rng: np.random.Generator) -> Cells:
    """An open cell of each maze; the first cell where all are walls."""
    chance = rng.random(opened.shape, dtype=np.float32) * opened
    cells: Cells = flat(chance).argmax(1)
    return cells


def _random_set_cells(bits: Bits, width: int, rng: np.random.Generator) -> Cells:
    """One of the given cells [H + 2, N] in each maze."""
    columns = np.arange(width, dtype=np.uint64)[:, None, None]
    is_set = ((bits[1:-1] >> columns) & np.uint64(1)).astype(np.float32)  # [W, H, N]
    chance = is_set * rng.random(is_set.shape, dtype=np.float32)
    cells: Cells = flat(chance.transpose(2, 1, 0)).argmax(1)
    return cells


def flat(boards: NDArray[Any]) -> NDArray[Any]:
    """Boards [N, H, W] as [N, H * W]; N may be 0."""
    return boards.reshape(len(boards), boards.shape[1] * boards.shape[2])


def _lowest_cell(bits: Bits, width: int) -> Cells:
    """The first of the given cells [H + 2, N] in each maze."""
    row = (bits != 0).argmax(0)
    value = bits[row, np.arange(bits.shape[1])]
    column = np.log2((value & (~value + np.uint64(1))).astype(np.float64)).astype(np.int64)
    cells: Cells = (row - 1) * width + column
    return cells


def _as_tokens(opened: NDArray[np.bool_], starts: Cells, goals: Cells) -> tuple[Tokens, Tokens, NDArray[np.int64]]:
    """Puzzles [M, L], answers [M, L] and the cells on their paths [M]."""
    count = len(opened)
    path = flat(shortest_paths(opened, starts, goals))
    puzzles = np.where(opened, OPEN, WALL).astype(np.uint8).reshape(path.shape)
    answers = np.where(path, np.uint8(PATH), puzzles)
    for tokens in (puzzles, answers):
        tokens[np.arange(count), starts] = START
        tokens[np.arange(count), goals] = GOAL
    return puzzles, answers, path.sum(1) + 2
