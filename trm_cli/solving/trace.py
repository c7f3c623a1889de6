"""What is watched: frames, each one state of one puzzle, and the file that keeps them.

A trace is JSON lines: the header, then one line a moment; see docs/watch.md. Nothing here needs
torch, so that a recorded run can be looked at where there is none. Shapes: L cells.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.config import MOST, Share
from trm_cli.errors import FileError, PuzzleError, UsageError, printable
from trm_cli.files import open_regular, size_in_words
from trm_cli.schema import checked, parse_json
from trm_cli.solving.search import Guess
from trm_cli.tasks import get_task
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, MOST_PUZZLES, Finding, Puzzle, Task, Tokens, rules_of

LARGEST_GRID = 8  # puzzles across or down that are watched side by side
TRACE = 1  # the version of the format
LONGEST_LINE, LARGEST_TRACE = 16 << 20, 1 << 30  # bytes
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


Name = Annotated[str, 4096]  # characters
Letters = Annotated[str, 16]
Token = Annotated[int, (0, 255)]
Count = Annotated[int, (1, MOST)]
Figure = Annotated[float, (0, 1e30)]  # fits in 32 bits


@dataclass(frozen=True)
class ToldHeader:
    """A header as a trace spells it."""

    trace: Annotated[int, (TRACE, TRACE)]
    task: Name
    model: Name
    num_parameters: int
    n: Count
    T: Count
    halt: Annotated[str, ("verified", "q", "never")]
    num_puzzles: Annotated[int, (1, MOST_PUZZLES)]
    rows: Annotated[int, (1, LARGEST_GRID)] = Header.rows
    columns: Annotated[int, (1, LARGEST_GRID)] = Header.columns
    inner: bool = Header.inner
    letters: tuple[Letters, Letters] = Header.letters
    num_attempts: Count | None = Header.num_attempts
    search: Annotated[str, ("none", "flat", "best-first")] = Header.search


@dataclass(frozen=True)
class ToldMoment:
    """A moment; what its frames must be depends on those before them."""

    page: int
    frames: list[object]


@dataclass(frozen=True)
class ToldQuestion:
    """The first frame of a puzzle."""

    place: int
    step: Annotated[int, (0, 0)]
    answer: list[Token]
    max_steps: Count
    height: Count
    width: Count
    source: Name
    line: int


@dataclass(frozen=True)
class ToldUpdate:
    """A call of the net."""

    stream: Annotated[str, ("y", "z")]
    recursion: Count
    number: Count
    heat: list[Figure]
    change: Figure
    call: Annotated[str, 200] = Update.call


@dataclass(frozen=True)
class ToldFrame:
    """Every further frame of a puzzle."""

    place: int
    step: Count
    answer: list[Token]
    max_steps: Count
    confidence: list[Share] | None
    halt_probability: Share | None
    change_y: Figure | None
    change_z: Figure | None
    seconds: Figure
    attempt: int
    halted: bool
    is_last: bool
    guesses: tuple[tuple[int, int], ...] = ()
    parent: int | None = None
    cost: Figure = 0.0
    finding: Annotated[str, tuple(finding.name.lower() for finding in Finding)] | None = None
    update: ToldUpdate | None = None


@dataclass(frozen=True)
class Trace:
    """A trace that was read: the header, and the moments as they come out of the file."""

    header: Header
    moments: Iterator[Moment]


def read_trace(path: Path) -> Trace:
    """Read the header at once and the moments as they are asked for; each is checked before it is handed on.

    Raises UsageError with file and line where the file is no trace.
    """
    lines = _lines(path)
    with _refused(f"{path}:1", "make one with --save trace.jsonl"):
        header = _header(next(lines))
    return Trace(header, _moments(path, header, lines))


@contextmanager
def _refused(where: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except FileError as error:
        raise UsageError(f"{where}: {error}; {remedy}") from error


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, at least one, as far as they are not too long."""
    with _refused(str(path), "check the path"), open_regular(path) as file:
        yield file.readline(LONGEST_LINE + 1)
        while line := file.readline(LONGEST_LINE + 1):
            if file.tell() > LARGEST_TRACE:
                raise FileError(f"larger than {size_in_words(LARGEST_TRACE)}, more than any trace has")
            yield line


def _parsed(line: bytes) -> Any:
    if len(line) > LONGEST_LINE:
        raise FileError(f"longer than {size_in_words(LONGEST_LINE)}, more than any line of a trace has")
    return parse_json(line)


def _header(line: bytes) -> Header:
    try:
        told = _parsed(line)
    except FileError as error:
        raise FileError(f"not a trace of trm watch ({error})") from error
    if not isinstance(told, dict) or "trace" not in told:
        raise FileError("not a trace of trm watch")
    known = vars(checked(told, ToldHeader))
    try:
        task = get_task(known["task"])
    except UsageError as error:
        raise FileError(f"task: {error}") from error
    y, z = map(printable, known["letters"])
    given = {name: value for name, value in known.items() if name != "trace"}
    return Header(**{**given, "task": task, "model": printable(known["model"]), "letters": (y, z)})


def _moments(path: Path, header: Header, lines: Iterator[bytes]) -> Iterator[Moment]:
    replay, number = Replay(header), 1
    for number, line in enumerate(lines, 2):
        with _refused(f"{path}:{number}", "record the run again"):
            moment = replay.follow(checked(_parsed(line), ToldMoment))
        yield moment
    if number == 1:
        raise UsageError(f"{path}: holds nothing but a header; record the run again")


@dataclass
class Replay:
    """A run as far as its trace was read: what every further moment must follow from."""

    header: Header
    shape: tuple[int, int] | None = None  # of every board
    page: int = -1
    frames: list[Frame] = field(default_factory=list)  # of the page, by place
    finished: list[Frame] = field(default_factory=list)  # the latest finished step of each

    def follow(self, told: ToldMoment) -> Moment:
        """The next moment; raises FileError where it cannot follow."""
        places = self._go_on(told.frames) if told.page == self.page else self._turn_to(told)
        return Moment(self.page, tuple(self.frames), frozenset(places))

    def _turn_to(self, told: ToldMoment) -> list[int]:
        """Begin a page with its questions."""
        at_once = self.header.rows * self.header.columns
        count = min(at_once, self.header.num_puzzles - (self.page + 1) * at_once)
        if told.page != self.page + 1 or count < 1:
            raise FileError(f"page: {told.page:,} cannot follow after {self.page + 1:,} pages of this run")
        if len(told.frames) != count:
            raise FileError(f"frames: expected a list of {count}, got one of {len(told.frames):,}")
        questions = [self._question(one, place) for place, one in enumerate(told.frames)]
        self.page, self.frames, self.finished = told.page, questions, [*questions]
        return list(range(count))

    def _go_on(self, told: list[object]) -> list[int]:
        """Take up frames that follow; returns their places."""
        places: list[int] = []
        for number, one in enumerate(told):
            where = f"frames[{number}]"
            frame = checked(one, ToldFrame, where)
            least = places[-1] + 1 if places else 0
            if not least <= frame.place < len(self.frames):
                raise FileError(f"{where}.place: expected {least} to {len(self.frames) - 1}, got {frame.place:,}")
            if self.frames[frame.place].is_last:
                raise FileError(f"{where}: follows the last frame of its puzzle")
            places.append(frame.place)
            self._refuse_misfit(frame, self.finished[frame.place], where)
            self.frames[frame.place] = made = _frame(frame, self.finished[frame.place])
            if not made.is_inside:
                self.finished[frame.place] = made
        if not places:
            raise FileError("frames: expected one or more, got none")
        return places

    def _question(self, one: object, place: int) -> Frame:
        where, task = f"frames[{place}]", self.header.task
        told = checked(one, ToldQuestion, where)
        if told.place != place:
            raise FileError(f"{where}.place: expected {place}, got {told.place:,}")
        tokens, shape = np.array(told.answer, np.uint8), (told.height, told.width)
        _refuse_length(told.answer, told.height * told.width, f"{where}.answer")
        self.shape = self.shape or _shape_of(task, len(tokens))
        if shape != self.shape:
            size = f"{told.height:,}x{told.width:,}"
            raise FileError(f"{where}: {size} is no board of {task.name}, or another than the one before")
        if tokens.max() >= task.vocab_size(len(tokens)) or not task.is_puzzle(tokens):
            raise FileError(f"{where}.answer: no puzzle of {task.name}")
        puzzle = Puzzle(tokens, told.height, told.width, printable(told.source), told.line)
        return Frame(puzzle, task, 0, tokens, told.max_steps)

    def _refuse_misfit(self, told: ToldFrame, previous: Frame, where: str) -> None:
        """Raise FileError where a frame does not fit its puzzle, or what came before."""
        puzzle, task, ends = previous.puzzle.tokens, previous.task, previous.tree.ends
        heat = told.update.heat if told.update else None
        for name, values in (("answer", told.answer), ("confidence", told.confidence), ("update.heat", heat)):
            if values is not None:
                _refuse_length(values, len(puzzle), f"{where}.{name}")
        largest = task.vocab_size(len(puzzle)) - 1
        if max(told.answer) > largest:
            raise FileError(f"{where}.answer: expected tokens from 0 to {largest}, got {max(told.answer)}")
        if told.halt_probability is None and told.update is None:
            raise FileError(f"{where}.halt_probability: null, and no update is under way")
        if told.halt_probability is not None and told.confidence is None:
            raise FileError(f"{where}.confidence: null after a whole step")
        if told.attempt > len(ends):
            raise FileError(f"{where}.attempt: {told.attempt:,} cannot follow after {len(ends):,} attempts")
        begun = ends.get(told.attempt)
        if begun and told.attempt != previous.attempt:  # the end of an earlier attempt, shown once more
            step = begun.step if told.is_last else 0
        else:
            step = previous.step + 1 if begun else 1
        if told.step != step or step > told.max_steps:
            raise FileError(f"{where}.step: {told.step:,} of {told.max_steps:,} cannot follow after {previous.step:,}")
        if told.parent is not None and told.parent >= told.attempt:
            raise FileError(f"{where}.parent: {told.parent:,} is no attempt before {told.attempt:,}")
        cells = [cell for cell, _ in told.guesses]
        blanks = set(np.flatnonzero(puzzle == BLANK).tolist()) if task.has_blanks and cells else set()
        is_legal = all(FIRST_SYMBOL <= token <= largest for _, token in told.guesses)
        if not (is_legal and blanks.issuperset(cells) and len(set(cells)) == len(cells)):
            raise FileError(f"{where}.guesses: not a symbol each in different blanks of the puzzle")
        guesses = _guesses(told)
        if begun and (begun.parent, begun.guesses) != (told.parent, guesses):
            raise FileError(f"{where}: other guesses than attempt {told.attempt:,} began with")
        if told.parent is not None:
            above = ends[told.parent].guesses
            if len(guesses) <= len(above) or guesses[: len(above)] != above:
                raise FileError(f"{where}.guesses: do not add to those of attempt {told.parent:,}")


def _shape_of(task: Task, num_cells: int) -> tuple[int, int] | None:
    """Of a board with so many cells; None where a task has no such board."""
    try:
        height, width, *_ = task.boxes(num_cells)
    except PuzzleError:
        return None
    return height, width


def _refuse_length(values: list[Any], length: int, where: str) -> None:
    if len(values) != length:
        raise FileError(f"{where}: expected a list of {length:,}, got one of {len(values):,}")


def _guesses(told: ToldFrame) -> tuple[Guess, ...]:
    return tuple(Guess(cell, token) for cell, token in told.guesses)


def _frame(told: ToldFrame, previous: Frame) -> Frame:
    """The frame that follows another."""
    update = None
    if told.update:
        heat, call = np.array(told.update.heat, np.float32), printable(told.update.call)
        update = Update(**{**vars(told.update), "heat": heat, "call": call})
    return Frame(
        puzzle=previous.puzzle,
        task=previous.task,
        previous=previous,
        answer=np.array(told.answer, np.uint8),
        confidence=None if told.confidence is None else np.array(told.confidence, np.float32),
        finding=Finding[told.finding.upper()] if told.finding else None,
        guesses=_guesses(told),
        update=update,
        tree=previous.tree,
        **{name: getattr(told, name) for name in ("step", *CHANGES, *STANDS, *OF_NODE)},
    )
