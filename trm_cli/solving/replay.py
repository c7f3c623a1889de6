"""A trace that is read again: every header, moment and frame is checked before anything is made of it.

A moment must follow from those before it: pages and places in order, steps one after another, attempts
below attempts that were made, answers of the board's length in the task's tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from trm_cli.config import MOST, Share
from trm_cli.errors import FileError, PuzzleError, UsageError, printable
from trm_cli.files import GIBIBYTE, MEBIBYTE, open_regular, size_in_words
from trm_cli.schema import checked, parse_json
from trm_cli.solving.search import Guess
from trm_cli.solving.trace import CHANGES, LARGEST_GRID, OF_NODE, STANDS, TRACE, Frame, Header, Moment, Update
from trm_cli.tasks import get_task
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, MOST_PUZZLES, Finding, Puzzle, Task

LONGEST_LINE, LARGEST_TRACE = 16 * MEBIBYTE, GIBIBYTE
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
