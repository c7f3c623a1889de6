"""The tree of a search: its guesses in words, as an outline of text, and laid out for a picture.

    ×  the puzzle               33 violations
    ├ ×  r2c2=6  +4             27 violations
    └ ●  r2c2=5                 17 violations
      └ ✓  r4c2=9               solved

A node is an attempt: the puzzle with a set of guesses filled in. Its last guess names it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from rich.text import Text

from trm_cli.display.boards import GUESS, Look, written
from trm_cli.solving.search import Guess as Made
from trm_cli.solving.trace import Frame, Header
from trm_cli.tasks.base import Puzzle, Task

ROOT = "the puzzle"  # what the node without guesses is called
BETWEEN, ASCII_BETWEEN = " › ", " > "  # guesses of a path
MARKS, ASCII_MARKS = (
    ("×", "●", "✓"),
    ("x", "@", "+"),
)  # of a node that failed, of the one that is shown, of one that solved
STROKES, ASCII_STROKES = ("├ ", "└ ", "│ ", "  "), ("|-", "`-", "| ", "  ")


def is_tree(header: Header) -> bool:
    """Whether the attempts of a run are nodes of a tree."""
    return header.search != "none"


def is_searched(frame: Frame, header: Header) -> bool:
    """Whether there is a tree to show: a node besides the first."""
    return is_tree(header) and frame.num_tried > 1


@dataclass(frozen=True)
class Guess:
    """A blank that a search filled in; str() writes it r4c5=7."""

    row: int  # from 1, as the column
    column: int
    symbol: str

    def __str__(self) -> str:
        return f"r{self.row}c{self.column}={self.symbol}"


@cache
def _symbol(task: Task, num_cells: int, token: int) -> str:
    return task.write(np.full(num_cells, token, np.uint8))[0]


def guesses_of(made: Iterable[Made], task: Task, puzzle: Puzzle) -> tuple[Guess, ...]:
    """Guesses as people count and write them, in their order."""
    found = []
    for guess in made:
        row, column = divmod(guess.cell, puzzle.width)
        found.append(Guess(row + 1, column + 1, _symbol(task, len(puzzle.tokens), guess.token)))
    return tuple(found)


def names_of(made: Iterable[Made], frame: Frame) -> list[str]:
    """Guesses in letters, in their order."""
    return [str(guess) for guess in guesses_of(made, frame.task, frame.puzzle)]


def path_of(frame: Frame, *, width: int, ascii_only: bool = False) -> str:
    """The guesses from the root to a node; the first of them give way where they do not fit."""
    between = ASCII_BETWEEN if ascii_only else BETWEEN
    names = names_of(frame.guesses, frame)
    path = between.join(names) or "no guess"
    left_out = ".." if ascii_only else "…"
    while len(path) > width and len(names) > 1:
        names = names[1:]
        path = between.join([left_out, *names])
    return path


def course(steps: int, nodes: int, depth: int, form: str = "{}: {}") -> str:
    """What a search took: steps of all its nodes; then the nodes, and the most guesses of one of them."""
    return form.format(_count(steps, "step"), f"{_count(nodes, 'node')}, {depth} guess{'es' * (depth != 1)} deep")


def course_of(frame: Frame) -> str:
    """What the search up to a frame took."""
    nodes, form = frame.nodes, "{}: {}" if frame.solved else "{} ({})"
    return course(sum(node.step for node in nodes), len(nodes), max(node.depth for node in nodes), form)


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' * (number != 1)}"


def outline(frame: Frame, look: Look, *, width: int, height: int) -> list[Text]:
    """The tree up to a frame as at most `height` lines of at most `width` columns.

    The path to the node that is shown comes first, then its neighbours, then theirs; nodes that are left out
    are counted at the one above them. The effort depends on the lines, not on the size of the tree.
    """
    if height < 1:
        return []
    whole_path = [node.attempt for node in frame.path]
    path = whole_path[-height:]
    shown = set(path)
    for node in _by_nearness(frame, path, most=height):
        if len(shown) == height:
            break
        shown.add(node.attempt)
    marks, strokes = (ASCII_MARKS, ASCII_STROKES) if look.ascii_only else (MARKS, STROKES)
    names = [name for node in map(frame.node, shown) for name in _last(node)]
    room = max(map(len, [*names, ""]))
    lines: list[Text] = []

    def add(node: Frame, before: str, stroke: str, below: str) -> None:
        children = frame.branches(node.attempt)
        kept = [child for child in children if child.attempt in shown]
        hidden = len(children) - len(kept)
        style = _style(node, is_shown=node is frame, is_on_path=node.attempt in whole_path)
        mark = marks[2] if node.solved else marks[node is frame]
        named = _named(node, mark, style, room=room, hidden=hidden, width=width - len(before + stroke))
        lines.append(Text.assemble((before + stroke, "dim"), named))
        for child in kept:
            is_last = child is kept[-1]
            add(child, before + below, strokes[is_last], strokes[2 + is_last])

    add(frame.node(path[0]), "", "", "")
    for line in lines:
        line.truncate(width)
    return lines


def _by_nearness(frame: Frame, path: list[int], *, most: int) -> Iterator[Frame]:
    """Nodes besides the path: below its end, then beside it from the deepest up, then all that are below those."""
    found = [branch for node in reversed(path) for branch in frame.branches(node)[-most:] if branch.attempt not in path]
    for node in found:  # which grows
        yield node
        found += frame.branches(node.attempt)[:most]


def _style(node: Frame, *, is_shown: bool, is_on_path: bool) -> str:
    if node.solved:
        return "bold green"
    if is_shown:
        return f"bold {written(GUESS)}" if node.guesses else "bold"
    return "" if is_on_path else "dim"


def _named(node: Frame, mark: str, style: str, *, room: int, hidden: int, width: int) -> Text:
    """One node: its mark, its last guess, how it stands, and how many of its branches are left out, as far as fits."""
    name = "".join(_last(node)).ljust(room) if node.guesses else ROOT
    wrong = len(node.violated)
    stands = node.task.praise if node.solved else f"{wrong} violation{'s' * (wrong != 1)}"
    told = [stands] * (node.confidence is not None)
    wordings = [f"  {', '.join(told)}"]
    if hidden:
        both, count = [*told, f"{hidden} more below"], f"+{hidden}"
        wordings = [f"  {', '.join(both)}", f"  {', '.join([*told, count])}", f"  {count}"]
    left = width - len(mark) - 1 - len(name)
    return Text.assemble((f"{mark} {name}", style), (next((one for one in wordings if len(one) <= left), ""), "dim"))


@dataclass(frozen=True)
class Place:
    """Where a node stands in a picture."""

    node: Frame
    x: float  # 0 to the number of leaves less one
    parent: int | None
    is_on_path: bool  # from the root to the node that the frame shows
    last_guess: str = ""  # r4c5=7; none of the root
    next_cell: str = ""  # r4c5, which its branches fill in; none of a leaf, nor where they fill in different ones


def places(frame: Frame) -> list[Place]:
    """The tree up to a frame, node by node: leaves side by side, every other node above the middle of its branches."""
    nodes = frame.nodes
    branches: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        if node.parent is not None:
            branches[node.parent].append(node.attempt)
    x, leaves = [0.0] * len(nodes), 0
    roots = [node.attempt for node in nodes if node.parent is None]
    waiting = [(number, False) for number in reversed(roots)]
    while waiting:
        number, is_placed = waiting.pop()
        below = branches[number]
        if is_placed and below:
            x[number] = (x[below[0]] + x[below[-1]]) / 2
        elif not below:
            x[number], leaves = float(leaves), leaves + 1
        else:
            waiting += [(number, True), *((branch, False) for branch in reversed(below))]
    path = {node.attempt for node in frame.path}
    found = []
    for node in nodes:
        cells = {name.partition("=")[0] for branch in branches[node.attempt] for name in _last(nodes[branch])}
        place = Place(node, x[node.attempt], node.parent, node.attempt in path, "".join(_last(node)))
        found.append(replace(place, next_cell=cells.pop()) if len(cells) == 1 else place)
    return found


def _last(node: Frame) -> list[str]:
    return names_of(node.guesses[-1:], node)
