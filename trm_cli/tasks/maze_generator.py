"""Generating mazes whose goal is far from their start; the geometry of mazes.

Walls are drawn at random, cell by cell, in a share that differs from maze to maze. A maze is kept
if some two cells of it are far enough apart; its start and goal are such a pair, drawn at random.
N mazes of S rows and S columns; a cell is the index of its place, row by row. Most of the work is
done on bits: a row of a maze is one 64-bit number, whose bit c is column c.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import ConfigError, UsageError
from trm_cli.tasks.base import Dataset, Progress, Seed, Tokens, Wanted

Cells = NDArray[np.int64]  # [N]
Bits = NDArray[np.uint64]  # [S + 2, N]: rows of the mazes, with an empty one above and below
Boards = NDArray[np.bool_]  # [N, S, S]

WALL, OPEN, START, GOAL, PATH = range(1, 6)  # tokens, as in the official code
SHORTEST_SIDE = 3
LONGEST_SIDE = 64  # bits of a row
DIRECTIONS = ((1, 0), (0, -1), (0, 1), (-1, 0))  # down, left, right, up: the order of preference
UNREACHED = -1
ONE = np.uint64(1)
MAZES_AT_ONCE = 1024
TRIES = 16  # starts that are drawn for a maze
MOST_MISSES = 200_000  # mazes in a row of which none was kept, before a wish is called impossible
USUAL_SHARE = 110 / 900  # cells of the shortest path kept, as a share of a board's: 110 on 30x30


def as_bits(boards: Boards) -> Bits:
    """Cells of mazes [N, S, S] as bits [S + 2, N]."""
    count, side, _ = boards.shape
    packed = np.zeros((count, side, 8), np.uint8)
    packed[:, :, : (side + 7) // 8] = np.packbits(boards, axis=2, bitorder="little")
    bits = np.zeros((side + 2, count), np.uint64)
    bits[1:-1] = packed.view("<u8")[:, :, 0].T
    return bits


def as_boards(bits: Bits) -> Boards:
    """What `as_bits` makes these bits of."""
    rows = bits[1:-1].T.astype("<u8", order="C")
    side = rows.shape[1]
    unpacked = np.unpackbits(rows[:, :, None].view(np.uint8), axis=2, count=side, bitorder="little")
    return unpacked.astype(np.bool_)


def one_cell(cells: Cells, side: int) -> Bits:
    """One cell of each maze as bits [S + 2, N]."""
    bits = np.zeros((side + 2, len(cells)), np.uint64)
    bits[cells // side + 1, np.arange(len(cells))] = ONE << (cells % side).astype(np.uint64)
    return bits


def waves(opened: Bits, starts: Bits) -> Iterator[tuple[NDArray[np.int64], Bits, NDArray[np.bool_]]]:
    """For 0, 1, 2... moves from the starts: the mazes with cells so far away [M], these cells, and whether none follow.

    What is done is dropped: M falls from N, and the cells are bits [S + 2, M].
    """
    mazes = np.arange(starts.shape[1])
    frontier, rest = starts, opened & ~starts
    while len(mazes):
        following = (frontier << ONE) | (frontier >> ONE)
        following[1:] |= frontier[:-1]
        following[:-1] |= frontier[1:]
        following &= rest
        goes_on = np.bitwise_or.reduce(following, axis=0) != 0
        yield mazes, frontier, ~goes_on
        if not goes_on.all():
            mazes, following, rest = mazes[goes_on], following[:, goes_on], rest[:, goes_on]
        frontier, rest = following, rest & ~following


def farthest(opened: Bits, starts: Bits) -> tuple[Bits, NDArray[np.int64]]:
    """The cells of each maze that are farthest from its start, and their distance [N]."""
    last, distance = np.empty_like(starts), np.empty(starts.shape[1], np.int64)
    for moves, (mazes, cells, is_last) in enumerate(waves(opened, starts)):
        last[:, mazes[is_last]] = cells[:, is_last]
        distance[mazes[is_last]] = moves
    return last, distance


def distance_between(opened: Bits, starts: Bits, goals: Bits) -> NDArray[np.int64]:
    """Moves of a shortest path from start to goal in each maze, [N]; UNREACHED without one."""
    distance = np.full(starts.shape[1], UNREACHED)
    for moves, (mazes, cells, _) in enumerate(waves(opened, starts)):
        distance[mazes[(cells & goals[:, mazes]).any(0)]] = moves
    return distance


def shortest_paths(opened: Boards, starts: Cells, goals: Cells) -> Boards:
    """The cells between start and goal on the shortest path that is preferred, [N, S, S].

    Of all shortest paths, the one that goes down where it can, else left, else right, else up:
    what a breadth-first search from the start finds that looks at its neighbours in that order.
    There must be a path.
    """
    count, side, _ = opened.shape
    to_goal = np.full((count, side * side), UNREACHED, np.int16)
    for moves, (mazes, cells, _) in enumerate(waves(as_bits(opened), one_cell(goals, side))):
        place, cell = _flat(as_boards(cells)).nonzero()
        to_goal[mazes[place], cell] = moves
    walled = np.pad(to_goal.reshape(opened.shape), ((0, 0), (1, 1), (1, 1)), constant_values=UNREACHED)
    distances, across = _flat(walled), side + 2
    steps = np.array([down * across + right for down, right in DIRECTIONS])
    here = (starts // side + 1) * across + starts % side + 1
    mazes = np.arange(count)
    left = distances[mazes, here]
    path = np.zeros(distances.shape, np.bool_)
    while len(mazes := mazes[left[mazes] > 1]):
        near = here[mazes, None] + steps
        leads_on = distances[mazes[:, None], near] == left[mazes, None] - 1
        here[mazes] = near[np.arange(len(mazes)), leads_on.argmax(1)]
        left[mazes] -= 1
        path[mazes, here[mazes]] = True
    inside: Boards = path.reshape(walled.shape)[:, 1:-1, 1:-1]
    return inside


@dataclass(frozen=True)
class WantedMazes(Wanted):
    """Mazes with shortest paths of at least some length."""

    min_path: int = 0  # fewest cells on the shortest path, start and goal included; 0: usual
    least_walls: float = 0.3  # share of walls, drawn evenly for each maze from here
    most_walls: float = 0.5  # to here, before mazes without a long path are dropped

    def __post_init__(self) -> None:
        super().__post_init__()
        least, most = self.least_walls, self.most_walls
        if not 0 <= least <= most < 1:
            raise ConfigError(
                f"data.least_walls, data.most_walls: expected 0 to 1, least first, got {least} and {most}"
            )
        if self.min_path < 0:
            raise ConfigError(f"data.min_path: expected 0 or more, got {self.min_path}")

    def described(self, size: int) -> str:
        least = self.min_path or usual_path(size)
        return f"mazes of {size}x{size}, {least} or more cells on the shortest path"


def usual_path(size: int) -> int:
    """Fewest cells on the path of a maze of that side if nothing else is wanted."""
    return max(2, round(USUAL_SHARE * size * size))


def generate_mazes(wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
    """Random mazes with their preferred shortest paths, none twice; see `Generator.generate`."""
    assert isinstance(wanted, WantedMazes)
    least = wanted.min_path or usual_path(size)
    if not SHORTEST_SIDE <= size <= LONGEST_SIDE:
        raise UsageError(f"no maze of {size}x{size}; choose a size of {SHORTEST_SIDE} to {LONGEST_SIDE}")
    most = size * (size + 1) // 2 + size // 2  # a serpentine takes every other row
    if not 2 <= least <= most:
        raise UsageError(f"a shortest path of {least} cells: in a maze of {size}x{size} it has 2 to {most}")
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
        path = _flat(shortest_paths(opened, starts, goals))
        puzzles = np.where(_flat(opened), np.uint8(OPEN), np.uint8(WALL))
        answers = np.where(path, np.uint8(PATH), puzzles)
        for tokens in (puzzles, answers):
            tokens[np.arange(len(tokens)), starts] = START
            tokens[np.arange(len(tokens)), goals] = GOAL
        for puzzle, answer, length in zip(puzzles, answers, path.sum(1) + 2, strict=True):
            found.setdefault(puzzle.tobytes(), (answer, length))
        if progress:
            progress(min(len(found), wanted.puzzles), wanted.puzzles)
    kept = slice(wanted.puzzles)
    puzzles = np.frombuffer(bytearray().join(found), np.uint8).reshape(len(found), -1)
    answers = np.stack([answer for answer, _ in found.values()])
    ratings = np.array([length for _, length in found.values()], dtype=np.int64)
    return Dataset.generated(puzzles[kept], answers[kept], ratings[kept])


def _draw(wanted: WantedMazes, size: int, least: int, rng: np.random.Generator) -> tuple[Boards, Cells, Cells]:
    """Of MAZES_AT_ONCE mazes those with a path of `least` cells, and start and goal of such a path.

    Of the distances that TRIES random starts offer, each is as likely; a maze where these offer
    none takes the one that is known.
    """
    shares = rng.uniform(wanted.least_walls, wanted.most_walls, MAZES_AT_ONCE)
    drawn = rng.integers(0, 1 << 16, (MAZES_AT_ONCE, size, size), dtype=np.uint16)
    opened = drawn >= (shares * (1 << 16)).astype(np.uint16)[:, None, None]
    # Twice to the farthest cell: two cells that are nearly as far apart as any two.
    bits = as_bits(opened)
    ends, moves = farthest(bits, one_cell(_random_cells(opened, rng), size))
    hopeful = 2 * moves + 1 >= least  # else no two cells that the start reaches are far enough apart
    opened, bits, known = opened[hopeful], bits[:, hopeful], _flat(as_boards(ends[:, hopeful])).argmax(1)
    _, moves = farthest(bits, one_cell(known, size))
    far = moves >= least - 1
    opened, bits, known = opened[far], bits[:, far], known[far]

    starts = np.stack([known, *(_random_cells(opened, rng) for _ in range(TRIES))], axis=1)
    bits = np.repeat(bits, TRIES + 1, axis=1)
    chance, goals = np.zeros(starts.shape), np.zeros(starts.shape, np.int64)
    for distance, (pairs, cells, _) in enumerate(waves(bits, one_cell(starts.reshape(-1), size))):
        if distance >= least - 1:
            draw = rng.random(len(pairs))
            better = draw > chance.flat[pairs]
            chance.flat[pairs[better]] = draw[better]
            among = rng.random((size, size, int(better.sum())), dtype=np.float32).T
            goals.flat[pairs[better]] = _flat(as_boards(cells[:, better]) * among).argmax(1)
    chance[chance[:, 1:].any(1), 0] = 0
    mazes, pair = np.arange(len(opened)), chance.argmax(1)
    return opened, starts[mazes, pair], goals[mazes, pair]


def _random_cells(opened: Boards, rng: np.random.Generator) -> Cells:
    """An open cell of each maze; the first cell where all are walls."""
    cells: Cells = _flat(rng.random(opened.shape, dtype=np.float32) * opened).argmax(1)
    return cells


def _flat(boards: NDArray[Any]) -> NDArray[Any]:
    """Boards [N, S, S] as [N, S * S]; N may be 0."""
    return boards.reshape(len(boards), boards.shape[1] * boards.shape[2])
