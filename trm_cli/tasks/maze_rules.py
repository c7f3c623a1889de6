"""The rules of mazes: what a path is, and whether it is as short as any.

Shapes: N mazes of L cells, square; tokens as in maze_grid.
"""

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import Tokens
from trm_cli.tasks.maze_grid import (
    GOAL,
    OPEN,
    PATH,
    START,
    WALL,
    as_bits,
    distance_between,
)

NAMES = {WALL: "wall", OPEN: "open cell", START: "start", GOAL: "goal"}
Mask = NDArray[np.bool_]  # [N, L]


def is_path(puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Whether the marked cells are one path from S to G, without branches or loose ends, [N]."""
    holds: NDArray[np.bool_] = np.logical_and.reduce(_kept(puzzles, answers), axis=1)
    rows = np.flatnonzero(holds)
    answers = answers[rows]
    path = _on_path(answers)
    holds[rows] = ~_misjoined(answers, path).any(1)
    joined = rows[holds[rows]]
    answers, path = answers[holds[rows]], path[holds[rows]]
    holds[joined] = moves(answers, path) == path.sum(1) - 1  # else a ring lies beside the path
    return holds


def is_shortest(puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Whether the marked cells are a path from S to G that is as short as any, [N]."""
    holds = is_path(puzzles, answers)
    rows = np.flatnonzero(holds)
    holds[rows] = moves(puzzles[rows], puzzles[rows] != WALL) == _on_path(answers[rows]).sum(1) - 1
    return holds


def moves(mazes: Tokens, opened: Mask) -> NDArray[np.int64]:
    """Moves of a shortest way from S to G through some cells of each maze; -1 without one, [N]."""
    side = round(mazes.shape[1] ** 0.5)
    through, starts, goals = (
        as_bits(cells.reshape(-1, side, side)) for cells in (opened, mazes == START, mazes == GOAL)
    )
    return distance_between(through, starts, goals)


def broken_rules(puzzle: Tokens, answer: Tokens) -> dict[int, str]:
    """The cells of an answer [L] that break a rule, and how; empty exactly if it is shortest."""
    rules = {int(c): f"the {NAMES[int(puzzle[c])]} was changed"
             for c in np.flatnonzero(~_kept(puzzle, answer))}  # fmt: skip
    path = _on_path(answer[None])
    near = _neighbours(path)[0]
    for cell in np.flatnonzero(_misjoined(answer[None], path)[0]).tolist():
        rules.setdefault(cell, _misjoint(int(near[cell]), int(answer[cell])))
    if rules:
        return rules
    taken = moves(answer[None], path)[0]
    if taken != path.sum() - 1:
        on_way = set(walk(answer))
        rings = [cell for cell in np.flatnonzero(path[0]).tolist() if cell not in on_way]
        return dict.fromkeys(rings, "a ring beside the path")
    shortest = moves(puzzle[None], puzzle[None] != WALL)[0]
    if taken == shortest:
        return {}
    start = int((puzzle == START).argmax())
    return {start: f"the path takes {taken} moves, the shortest {shortest}"}


def walk(answer: Tokens) -> list[int]:
    """The cells of a path without branches, from S to G."""
    side = round(len(answer) ** 0.5)
    path = _on_path(answer[None])[0]
    cell, before = int((answer == START).argmax()), -1
    way = [cell]
    while answer[cell] != GOAL:
        near = [cell - side, cell + side]
        near += [cell - 1] if cell % side else []
        near += [cell + 1] if cell % side < side - 1 else []
        following = next(c for c in near if 0 <= c < len(path) and path[c] and c != before)
        cell, before = following, cell
        way.append(cell)
    return way


def _kept(puzzle: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Cells that are as the puzzle has them, or open ones that the path takes."""
    kept: NDArray[np.bool_] = (answer == puzzle) | ((puzzle == OPEN) & (answer == PATH))
    return kept


def _on_path(answers: Tokens) -> Mask:
    return answers >= START


def _neighbours(cells: Mask) -> NDArray[np.uint8]:
    """How many of the four cells beside each are among the given ones, [N, L]."""
    side = round(cells.shape[1] ** 0.5)
    board = np.pad(cells.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    near = board[:, :-2, 1:-1] + board[:, 2:, 1:-1] + board[:, 1:-1, :-2] + board[:, 1:-1, 2:]
    counts: NDArray[np.uint8] = near.reshape(cells.shape)
    return counts


def _misjoined(answers: Tokens, path: Mask) -> Mask:
    """Cells of the path that have more or fewer of its cells beside them than they must."""
    is_end = (answers == START) | (answers == GOAL)
    wrong: Mask = path & (_neighbours(path) != np.where(is_end, 1, 2))
    return wrong


def _misjoint(near: int, token: int) -> str:
    if token in (START, GOAL):
        return f"no path at the {NAMES[token]}" if not near else f"two paths at the {NAMES[token]}"
    return "the path branches" if near > 2 else "the path breaks off"
