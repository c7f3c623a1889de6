"""The geometry of mazes: distances and shortest paths, in many mazes at a time.

N mazes of H rows and W columns; a cell is the index of its place, row by row. Most of the work is
done on bits: a row of a maze is one 64-bit number, whose bit c is column c.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int64]  # [N]
Bits = NDArray[np.uint64]  # [H + 2, N]: rows of the mazes, with an empty one above and below

WALL, OPEN, START, GOAL, PATH = range(1, 6)  # tokens, as in the official code
SHORTEST_SIDE = 3
LONGEST_SIDE = 64  # bits of a row
DIRECTIONS = ((1, 0), (0, -1), (0, 1), (-1, 0))  # down, left, right, up: the order of preference
UNREACHED = -1
ONE = np.uint64(1)


def as_bits(cells: NDArray[np.bool_]) -> Bits:
    """Cells of mazes [N, H, W] as bits [H + 2, N]."""
    count, height, width = cells.shape
    packed = np.zeros((count, height, 8), np.uint8)
    packed[:, :, : (width + 7) // 8] = np.packbits(cells, axis=2, bitorder="little")
    bits = np.zeros((height + 2, count), np.uint64)
    bits[1:-1] = packed.view("<u8")[:, :, 0].T
    return bits


def one_cell(cells: Cells, height: int, width: int) -> Bits:
    """One cell of each maze as bits [H + 2, N]."""
    bits = np.zeros((height + 2, len(cells)), np.uint64)
    bits[cells // width + 1, np.arange(len(cells))] = ONE << (cells % width).astype(np.uint64)
    return bits


def beside(bits: Bits) -> Bits:
    """The cells above, below, left and right of the given ones."""
    near: Bits = (bits << ONE) | (bits >> ONE)
    near[1:] |= bits[:-1]
    near[:-1] |= bits[1:]
    return near


def farthest(opened: Bits, starts: Bits) -> tuple[Bits, NDArray[np.int64]]:
    """The cells of each maze that are farthest from its start, and their distance [N]."""
    last, distance = starts.copy(), np.zeros(starts.shape[1], np.int64)
    running = np.arange(starts.shape[1])  # the mazes whose frontier still moves
    frontier, rest = starts, opened & ~starts
    moves = 0
    while len(running):
        following = beside(frontier) & rest
        moving = np.bitwise_or.reduce(following, axis=0) != 0
        if not moving.all():
            last[:, running[~moving]] = frontier[:, ~moving]
            distance[running[~moving]] = moves
            running, following, rest = running[moving], following[:, moving], rest[:, moving]
        frontier, rest = following, rest & ~following
        moves += 1
    return last, distance


def beyond(opened: Bits, starts: Bits, moves: int) -> Iterator[Bits]:
    """The cells at each distance from the starts, from `moves` on, until there are none."""
    frontier, rest = starts, opened & ~starts
    while frontier.any():
        if moves <= 0:
            yield frontier
        frontier = beside(frontier) & rest
        rest = rest & ~frontier
        moves -= 1


def distance_between(opened: Bits, starts: Bits, goals: Bits) -> NDArray[np.int64]:
    """Moves of a shortest path from start to goal in each maze, [N]; UNREACHED without one."""
    distance = np.full(starts.shape[1], UNREACHED)
    running = np.arange(starts.shape[1])
    frontier, rest = starts, opened & ~starts
    moves = 0
    while len(running):
        arrives = (frontier & goals).any(0)
        distance[running[arrives]] = moves
        goes_on = ~arrives & frontier.any(0)
        running, goals = running[goes_on], goals[:, goes_on]
        frontier = beside(frontier[:, goes_on]) & rest[:, goes_on]
        rest = rest[:, goes_on] & ~frontier
        moves += 1
    return distance


def distances(opened: NDArray[np.bool_], starts: Cells) -> NDArray[np.int16]:
    """Moves from each maze's start to each of its cells, [N, H, W]; UNREACHED where none lead."""
    count, height, width = opened.shape
    found = np.full((count, height, width), UNREACHED, np.int16)
    frontier = np.zeros((count, height + 2, width + 2), np.bool_)
    frontier[np.arange(count), starts // width + 1, starts % width + 1] = True
    rest = np.zeros_like(frontier)
    rest[:, 1:-1, 1:-1] = opened
    moves = 0
    while frontier.any():
        found[frontier[:, 1:-1, 1:-1]] = moves
        rest &= ~frontier
        following = np.zeros_like(frontier)
        following[:, 1:] |= frontier[:, :-1]
        following[:, :-1] |= frontier[:, 1:]
        following[:, :, 1:] |= frontier[:, :, :-1]
        following[:, :, :-1] |= frontier[:, :, 1:]
        frontier = following & rest
        moves += 1
    return found


def shortest_paths(opened: NDArray[np.bool_], starts: Cells, goals: Cells) -> NDArray[np.bool_]:
    """The cells between start and goal on the shortest path that is preferred, [N, H, W].

    Of all shortest paths, the one that goes down where it can, else left, else right, else up:
    what a breadth-first search from the start finds that looks at its neighbours in that order.
    There must be a path.
    """
    count, height, width = opened.shape
    to_goal = np.full((count, height + 2, width + 2), UNREACHED, np.int16)
    to_goal[:, 1:-1, 1:-1] = distances(opened, goals)
    across = width + 2
    flat = to_goal.reshape(count, (height + 2) * across)
    steps = np.array([down * across + right for down, right in DIRECTIONS])
    here = (starts // width + 1) * across + starts % width + 1
    mazes = np.arange(count)
    left = flat[mazes, here]
    path = np.zeros(flat.shape, np.bool_)
    while len(mazes := mazes[left[mazes] > 1]):
        near = here[mazes, None] + steps
        leads_on = flat[mazes[:, None], near] == left[mazes, None] - 1
        here[mazes] = near[np.arange(len(mazes)), leads_on.argmax(1)]
        left[mazes] -= 1
        path[mazes, here[mazes]] = True
    inside: NDArray[np.bool_] = path.reshape(to_goal.shape)[:, 1:-1, 1:-1]
    return inside
