"""What is watched: frames, each one state of one puzzle, and moments, what a screen shows at once.

They need no torch, so that a recorded run can be looked at where there is none. What can be told
from an answer alone, such as which cells break a rule, is found when it is first asked for.
Shapes: L cells.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import Puzzle, Task, Tokens

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


@dataclass(frozen=True)
class Update:
    """One call of the net inside a supervision step."""

    stream: str  # y or z: which it revised
    recursion: int  # 1 to T
    number: int  # 1 to n for z, n + 1 for y
    heat: Cells  # [L] how far each cell's vector moved, root mean square
    change: float  # norm of the change over the norm of what came out


@dataclass(frozen=True)
class Frame:
    """One puzzle as a supervision step, or one update inside it, left it."""

    puzzle: Puzzle
    task: Task
    step: int  # supervision steps begun; 0 is the question itself
    answer: Tokens  # [L]
    max_steps: int  # supervision steps of this attempt at most
    previous: "Frame | None" = None  # the supervision step before
    confidence: Cells | None = None  # [L] softmax of the decoded token; None in the question
    halt_probability: float | None = None
    change_y: float | None = None  # norm of the change in y, over the norm of the new y
    change_z: float | None = None
    seconds: float = 0.0  # the network's own time since the puzzle came in
    attempt: int = 0  # which start this is; 0 is the first
    halted: bool = False  # the halt criterion is met
    is_last: bool = False  # the end: this is the answer that is taken
    update: Update | None = None  # inside a step: the call of the net; else None or the last call

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
        found = self.task.violations(self.puzzle.tokens, self.answer)
        return frozenset((v.row - 1) * self.puzzle.width + v.column - 1 for v in found)

    @property
    def solved(self) -> bool:
        """Whether the givens are kept and the rules hold."""
        return self.confidence is not None and not self.violated

    @property
    def history(self) -> tuple["Frame", ...]:
        """The finished supervision steps so far, this one included if it is finished."""
        backwards: list[Frame] = []
        frame: Frame | None = self
        while frame is not None and frame.step > 0:
            if not frame.is_inside:
                backwards.append(frame)
            frame = frame.previous
        return tuple(reversed(backwards))


@dataclass(frozen=True)
class Moment:
    """What one screen shows: a frame for each puzzle that is watched side by side."""

    page: int  # which group of puzzles, from 0
    frames: tuple[Frame, ...]
    moved: frozenset[int] = field(default_factory=frozenset)  # frames that are new in it

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
