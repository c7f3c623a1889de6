"""What is watched: frames, each one state of one puzzle, and how a file keeps them; replay.py reads it.

A trace is JSON lines: the header, then one line a moment; see docs/watch.md. Nothing here needs
torch, so that a recorded run can be looked at where there is none. Shapes: L cells.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.solving.search import Guess
from trm_cli.tasks.base import Finding, Puzzle, Task, Tokens, rules_of

LARGEST_GRID = 8  # puzzles across or down that are watched side by side
TRACE = 1  # the version of the format
DECIMALS = 4  # of every figure: a trace holds the same values as were shown, written short
OF_PUZZLE = ("height", "width", "source", "line")
CHANGES = ("halt_probability", "change_y", "change_z")  # of a frame, written as they are
STANDS = ("seconds", "attempt", "max_steps", "halted", "is_last")
OF_NODE = ("parent", "cost")  # that traces of earlier versions do not have

Cells = NDArray[np.float32]  # [L] one number a cell


@dataclass(frozen=True)
class Header:
    """What holds for a whole run."""

    task: Task
    model: str  # its name
    num_parameters: int
    n: int  # latent updates in one recursion
    T: int  # recursions in one supervision step
    halt: str  # verified, q or never
    num_puzzles: int
    rows: int = 1  # of puzzles on the screen
    columns: int = 1
    inner: bool = False  # with the updates inside each step
    letters: tuple[str, str] = ("y", "z")  # what y and z are called: in HRM, z_H and z_L
    num_attempts: int | None = None  # at each puzzle, at most; None in traces of earlier versions
    search: str = "none"  # none, flat or best-first: how further attempts fill blanks


@dataclass(frozen=True)
class Update:
    """One call of the net inside a supervision step."""

    stream: str  # y or z: which it revised
    recursion: int  # 1 to T
    number: int  # 1 to n for z, n + 1 for y
    heat: Cells  # [L] how far each cell's vector moved, root mean square
    change: float  # norm of the change over the norm of what came out
    call: str = ""  # in letters: z = net(x, y, z)


class Tree:
    """The attempts at one puzzle: each a node below the one whose beliefs its guesses follow from.

    All frames of the puzzle share it, and it grows as they come; a frame knows how much of it is of its past.
    """

    def __init__(self) -> None:
        self.ends: dict[int, Frame] = {}  # the latest finished step of each attempt, by its number
        self.branches: dict[int, list[int]] = {}  # the attempts below each attempt, in the order in which they began

    def note(self, frame: "Frame") -> None:
        """Keep a finished step."""
        if frame.attempt not in self.ends and frame.parent is not None:
            self.branches.setdefault(frame.parent, []).append(frame.attempt)
        self.ends[frame.attempt] = frame


@dataclass(frozen=True)
class Frame:
    """One puzzle as a supervision step, or one update inside it, left it."""

    puzzle: Puzzle
    task: Task
    step: int  # supervision steps begun; 0 is the question itself
    answer: Tokens  # [L]
    max_steps: int  # supervision steps of this attempt at most
    previous: "Frame | None" = field(default=None, repr=False)  # the supervision step before
    confidence: Cells | None = None  # [L] softmax of the decoded token; None in the question
    halt_probability: float | None = None
    change_y: float | None = None  # norm of the change in y, over the norm of the new y
    change_z: float | None = None
    seconds: float = 0.0  # the network's own time since the puzzle came in
    attempt: int = 0  # which start this is; 0 is the first; in a search that is best-first, a node of the tree
    guesses: tuple[Guess, ...] = ()  # that this attempt fills in, in the order in which they were made
    parent: int | None = None  # the attempt whose beliefs they follow from; None where it makes none
    cost: float = 0.0  # sum of the negative logarithms of these beliefs
    halted: bool = False  # the halt criterion is met
    is_last: bool = False  # the end: this is the answer that is taken
    finding: Finding | None = None  # at the end of a puzzle that was not solved: why, if somebody looked
    update: Update | None = None  # inside a step: the call of the net; else None or the last call
    tree: Tree = field(default_factory=Tree, repr=False, compare=False)  # that it is a node of

    def __post_init__(self) -> None:
        if self.step > 0 and not self.is_inside:
            self.tree.note(self)

    @property
    def is_inside(self) -> bool:
        """Whether the supervision step is still under way."""
        return self.halt_probability is None and self.step > 0

    @cached_property
    def changed(self) -> frozenset[int]:
        """Cells whose token differs from the supervision step before."""
        if self.previous is None:
            return frozenset()
        return frozenset(np.flatnonzero(self.answer != self.previous.answer).tolist())

    @cached_property
    def violated(self) -> frozenset[int]:
        """Cells that break a rule; none before the first answer, where blanks are no fault yet."""
        if self.confidence is None:
            return frozenset()
        found = rules_of(self.task).violations(self.puzzle.tokens, self.answer)
        return frozenset((v.row - 1) * self.puzzle.width + v.column - 1 for v in found)

    @property
    def solved(self) -> bool:
        """Whether the givens are kept and the rules hold."""
        return self.confidence is not None and not self.violated

    @property
    def depth(self) -> int:
        """How many blanks this attempt fills in."""
        return len(self.guesses)

    @property
    def num_tried(self) -> int:
        """Attempts so far, this one included; where the end of an earlier one is shown once more, all of them."""
        return 1 + max(self.attempt, self.previous.attempt if self.previous else 0)

    @cached_property
    def taken_back(self) -> tuple[Guess, ...]:
        """Guesses of the attempt before this one that this one does not make."""
        before = self.previous
        while before is not None and before.attempt == self.attempt:
            before = before.previous
        return tuple(guess for guess in before.guesses if guess not in self.guesses) if before else ()

    @property
    def path(self) -> tuple["Frame", ...]:
        """The ends of the attempts from the first down to this one, each branched into the next."""
        upwards, frame = [self], self
        while frame.parent is not None:
            frame = self.tree.ends[frame.parent]
            upwards.append(frame)
        return tuple(reversed(upwards))

    def branches(self, attempt: int) -> list["Frame"]:
        """The latest steps of the attempts below an attempt, as far as there were any by now."""
        numbers = list(takewhile(lambda number: number < self.num_tried, self.tree.branches.get(attempt, ())))
        if self.parent == attempt and self.attempt not in numbers:  # its first step is under way
            numbers.append(self.attempt)
        return [self.node(number) for number in numbers]

    def node(self, attempt: int) -> "Frame":
        """The latest step of an attempt: of its own, this one."""
        return self if attempt == self.attempt else self.tree.ends[attempt]

    @property
    def nodes(self) -> tuple["Frame", ...]:
        """The latest step of each attempt so far, in the order in which they were made."""
        return tuple(self.node(number) for number in range(self.num_tried))

    @property
    def latest(self) -> "Frame":
        """The latest finished step; the question where there is none."""
        return self.previous if self.is_inside and self.previous else self

    def recent(self, count: int) -> list["Frame"]:
        """The latest finished supervision steps, so many at most, this one included if it is finished."""
        backwards: list[Frame] = []
        frame: Frame | None = self.latest
        while frame is not None and frame.step > 0 and len(backwards) < count:
            backwards.append(frame)
            frame = frame.previous
        return backwards[::-1]

    @property
    def history(self) -> tuple["Frame", ...]:
        """All finished supervision steps so far."""
        return tuple(self.recent(sys.maxsize))


@dataclass(frozen=True)
class Moment:
    """What one screen shows: a frame for each puzzle that is watched side by side."""

    page: int  # which group of puzzles, from 0
    frames: tuple[Frame, ...]
    moved: frozenset[int] = frozenset()  # frames that are new in it

    @property
    def new_frames(self) -> list[Frame]:
        """The frames that are new in it."""
        return [self.frames[place] for place in sorted(self.moved)]

    @property
    def is_question(self) -> bool:
        """Whether nothing has been computed yet."""
        return all(frame.step == 0 for frame in self.frames)

    @property
    def is_inside(self) -> bool:
        """Whether a supervision step is still under way."""
        return any(frame.is_inside for frame in self.new_frames)


def trace_lines(header: Header, moments: Iterable[Moment]) -> Iterator[str]:
    """The lines of a trace, without their ends."""
    yield json.dumps({"trace": TRACE, **vars(header), "task": header.task.name})
    for moment in moments:
        told = [{"place": place, **_as_dict(moment.frames[place])} for place in sorted(moment.moved)]
        yield json.dumps({"page": moment.page, "frames": told}, default=_as_list)


def _as_dict(frame: Frame) -> dict[str, Any]:
    told: dict[str, Any] = {"step": frame.step, "answer": frame.answer}
    if frame.step == 0:
        return {**told, "max_steps": frame.max_steps, **{name: getattr(frame.puzzle, name) for name in OF_PUZZLE}}
    return {
        **told,
        "confidence": frame.confidence,
        **{name: getattr(frame, name) for name in CHANGES},
        "changed": sorted(frame.changed),
        "violated": sorted(frame.violated),
        "guesses": [[guess.cell, guess.token] for guess in frame.guesses],
        **{name: getattr(frame, name) for name in (*STANDS, *OF_NODE)},
        "finding": frame.finding and frame.finding.name.lower(),
        "update": frame.update and vars(frame.update),
    }


def _as_list(cells: Cells | Tokens) -> list[float]:
    """Numbers as short as their exact value allows: they were rounded when they were measured."""
    return [round(value, DECIMALS) for value in cells.tolist()]
