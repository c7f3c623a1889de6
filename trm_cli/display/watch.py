"""`trm watch` on stdout: a live screen on a terminal, plain frames elsewhere."""

import os
import re
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from trm_cli.display.boards import FLASH_SOFT, FLASH_STRONG, Look, board_text, look_of, view_of
from trm_cli.display.console import PIPE_WIDTH, answers_console, is_ascii
from trm_cli.display.lines import beside
from trm_cli.display.screen import (
    GAP,
    Scene,
    broken_rules,
    figure,
    guesses_line,
    mean_confidence,
    moved_cells,
    named_attempt,
    numbers,
    verdict,
)
from trm_cli.display.tree import is_tree
from trm_cli.solving.trace import Frame, Header, Moment

try:
    import termios
    import tty
except ImportError:  # no such terminals: everything plays, without keys
    termios = None  # type: ignore[assignment]

PRESSED = re.compile(rb"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[^\x1b]")
UNFINISHED = re.compile(rb"\x1b(?:O|\[[0-9;]*)?$")


class Key(Enum):
    """What is asked for by a key, and what terminals send for it."""

    TOGGLE = (b" ",)
    BACK = (b"\x1b[D", b"\x1bOD")
    FORTH = (b"\x1b[C", b"\x1bOC")
    FIRST = (b"\x1b[H", b"\x1bOH", b"\x1b[1~")
    LAST = (b"\x1b[F", b"\x1bOF", b"\x1b[4~")
    FASTER = (b"+", b"=")
    SLOWER = (b"-", b"_")
    HELP = (b"?",)
    QUIT = (b"q", b"Q")
    OTHER = ()  # every other key


KEYS_SENT = {sent: key for key in Key for sent in key.value}


class Keys:
    """A context manager: inside it, keys come one by one and are not written on the screen.

    They are read from stdin, or from the terminal itself where puzzles come in on stdin. Where
    there is no terminal, or none `are_read`, no key ever comes.
    """

    def __init__(self, *, are_read: bool = True) -> None:
        self.are_read = are_read and termios is not None
        self.descriptor: int | None = None  # of the terminal, while keys can be pressed
        self._before: list[Any] = []
        self._rest = b""  # the beginning of a sequence that has not come in whole

    def __enter__(self) -> "Keys":
        if not self.are_read:
            return self
        try:
            is_there = sys.stdin is not None and sys.stdin.isatty()
            self.descriptor = os.dup(sys.stdin.fileno()) if is_there else os.open("/dev/tty", os.O_RDONLY)
            self.grab()
        except (OSError, termios.error):
            self._forget()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._forget()

    def grab(self) -> None:
        """Have keys come at once and unseen; Ctrl-C and Ctrl-Z keep their meaning."""
        if self.descriptor is not None:
            self._before = termios.tcgetattr(self.descriptor)
            tty.setcbreak(self.descriptor, termios.TCSADRAIN)

    def release(self) -> None:
        """Put the terminal back as it was."""
        if self.descriptor is not None and self._before:
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)

    def read(self, timeout: float) -> list[Key]:
        """What was pressed, waiting at most `timeout` seconds for the first key."""
        if self.descriptor is None:
            time.sleep(timeout)
            return []
        ready, _, _ = select.select([self.descriptor], [], [], timeout)
        if not ready:
            return []
        came = os.read(self.descriptor, 1024)
        if not came:  # the terminal is gone
            self._forget()
        came = self._rest + came
        unfinished = UNFINISHED.search(came)
        self._rest = unfinished.group() if unfinished else b""
        return [KEYS_SENT.get(sent, Key.OTHER) for sent in PRESSED.findall(came.removesuffix(self._rest))]

    def _forget(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor, self._before = None, []


LEGEND = "! violation   * changed since the step before"
OF_GUESSES = "   ? guess   ~ guess taken back"


def plain_lines(moment: Moment, header: Header, *, ascii_only: bool) -> Iterator[str]:
    """The lines of one moment: the questions as text, or what a step made of them."""
    shown = list(zip(numbers(moment, header), moment.frames, strict=True))
    if moment.is_question:
        if moment.page == 0:
            yield f"trm watch {header.task.name}   {LEGEND}{OF_GUESSES if is_tree(header) else ''}"
        for number, frame in shown:
            yield f"puzzle {number} of {header.num_puzzles}  {frame.puzzle.place}"
            yield header.task.write(frame.puzzle.tokens)
        yield ""
        return
    look = Look(ascii_only=ascii_only, in_a_list=True, marks=True)
    moved = [shown[place] for place in sorted(moment.moved)]
    for first in range(0, len(moved), header.columns):
        blocks = [_block(number, frame, header, look) for number, frame in moved[first : first + header.columns]]
        yield from (line.plain.rstrip() for line in beside(blocks, GAP))
        yield ""


def _block(number: int, frame: Frame, header: Header, look: Look) -> list[Text]:
    """The figures of a step or of an update inside it, and the board below them."""
    told = [f"puzzle {number}"] if header.rows * header.columns > 1 else []
    board = list(board_text(view_of(frame), look).split("\n"))
    step = f"step {frame.step} of {frame.max_steps}  {' '.join(named_attempt(frame, header))}"
    counts = f"changed {len(frame.changed)}  violations {len(frame.violated)}"
    update, (y, z) = frame.update, header.letters
    if update is not None:
        step += f"  recursion {update.recursion} of {header.T}, call {update.number} of {header.n + 1}"
        name = header.letters["yz".index(update.stream)]
        board = beside([board, [Text(f"{name} moved"), *moved_cells(frame, look)]], GAP)
    if update is not None and frame.is_inside:
        told += [step, f"{counts}  change of {name} {update.change:.3f}"]
        return [*map(Text, told), *board]
    halt, confidence = (figure(value, ".1%") for value in (frame.halt_probability, mean_confidence(frame)))
    told += [
        f"{step}  {frame.seconds:.2f} s",
        f"halt probability {halt}  confidence {confidence}",
        counts,
        f"change of {y} {figure(frame.change_y, '.3f')}  change of {z} {figure(frame.change_z, '.3f')}",
    ]
    stands = verdict(frame, header)
    says_more = stands.plain != broken_rules(len(frame.violated))
    guesses = guesses_line(frame, header, look, PIPE_WIDTH)
    return [*map(Text, told), *guesses, *board, *([stands] if says_more else [])]


FLASH_SECONDS = 0.18  # of each of the two brightnesses of a flash
INNER_SHARE = 0.25  # of the pause: how long an update inside a step stays
LINGERING = 3  # pauses that the end stays on the screen, for a key to be pressed
PACE_FACTOR = 1.5  # one press of + or -
LEAST_PAUSE, MOST_PAUSE = 0.02, 20.0  # seconds that + and - reach
DRAWING_SHARE = 0.01  # of the time while the network computes: drawing takes no more
CELL_COST = 2e-4  # seconds that drawing a cell is expected to take, until a drawing was timed
POLL_SECONDS = 0.002  # that the network rests until it looks again whether a moment was shown
HINTS = ("? help", "q quit", "space pause", "←→ step", "+- speed")  # the most important first
TERMINATED = 143  # exit code after SIGTERM


@dataclass
class Player:
    """Plays moments on a terminal until they end or someone quits; a thread has the network compute them."""

    source: Iterator[Moment]
    header: Header
    look: Look
    console: Console
    pause: float  # seconds that each supervision step stays on the screen
    fps: float = 20.0  # times a second that the screen is drawn anew, at most
    keys: Keys = field(default_factory=Keys)
    history: list[Moment] = field(default_factory=list)
    num_draws: int = 0

    def __post_init__(self) -> None:
        self.cursor = -1  # which moment is shown
        self.shown_at = self._polled = time.monotonic()  # since when; when keys were last looked for
        self.is_paused = self.is_quit = self.is_help = False
        self._coming: deque[Moment] = deque()  # computed, and not shown yet
        self._is_computing = True
        self._error: BaseException | None = None  # what ended the computing
        self._drawn: object = None  # what the screen shows, as a key
        self._busy = 0.0  # seconds that the network has computed for while others watched
        self._spent = 0.0  # seconds of drawing in that time
        self._cost = 0.0  # seconds that the latest drawing took

    def play(self) -> list[Moment]:
        """Run to the end; returns the moments that were computed."""
        live = Live(console=self.console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        computing = threading.Thread(target=self._compute, daemon=True)
        with self.keys, live, restored_on_signals(self.keys, live):
            self.history += islice(self.source, 1)  # the question: nothing is computed yet
            self._show(len(self.history) - 1)
            self._cost = CELL_COST * sum(len(frame.answer) for moment in self.history for frame in moment.frames)
            if self.pause > 0:  # else the network is not kept waiting
                self._draw(live, is_busy=False)
            computing.start()
            self._polled = time.monotonic()
            try:
                while not self.is_quit:
                    pressed = self.keys.read(1 / self.fps)
                    for key in pressed:
                        self._press(key)
                    is_over = not computing.is_alive()
                    self._advance()
                    self._draw(live, is_busy=self._is_computing and not pressed)
                    is_at_end = is_over and not self._coming and self.cursor == len(self.history) - 1
                    lingers = (
                        self.is_paused or self.is_help or time.monotonic() < self.shown_at + LINGERING * self.pause
                    )
                    self.is_quit |= is_at_end and not lingers
            finally:
                self.is_quit = True
                computing.join()
        return self.history

    def _compute(self) -> None:
        """Pull moments before they are shown, one at a time unless they are shown as fast as they come."""
        try:
            for moment in self.source:
                self._coming.append(moment)
                while self._coming and (self.pause > 0 or self.is_paused or self.is_help) and not self.is_quit:
                    self._is_computing = False
                    time.sleep(POLL_SECONDS)
                if self.is_quit:
                    break
                self._is_computing = True
        except BaseException as error:  # of whatever kind: it is raised again when its turn has come
            self._error = error
        finally:
            self._is_computing = False
            if isinstance(self.source, Generator):
                self.source.close()

    def _press(self, key: Key) -> None:
        last = len(self.history) - 1
        if self.is_help or key == Key.HELP:  # what is shown waits until any key closes the help
            self.is_help = not self.is_help
            self.shown_at = time.monotonic()
        elif key == Key.QUIT:
            self.is_quit = True
        elif key == Key.TOGGLE:
            self.is_paused = not self.is_paused
            self.shown_at = time.monotonic()
        elif key in (Key.FASTER, Key.SLOWER):
            factor = 1 / PACE_FACTOR if key == Key.FASTER else PACE_FACTOR
            self.pause = min(MOST_PAUSE, max(LEAST_PAUSE, self.pause * factor))
        elif key != Key.OTHER:
            self.is_paused = True
            places = {Key.BACK: self.cursor - 1, Key.FORTH: self.cursor + 1, Key.FIRST: 0, Key.LAST: last}
            self._show(min(max(places[key], 0), max(last, 0)))

    def _show(self, cursor: int) -> None:
        if cursor != self.cursor:
            self.cursor, self.shown_at = cursor, time.monotonic()

    def _advance(self) -> None:
        """Show the next moment if the one that is shown has had its time."""
        while not (self.is_paused or self.is_help) and time.monotonic() >= self.shown_at + self._stay():
            if self.cursor == len(self.history) - 1:
                if self._error and not self._coming:
                    raise self._error
                if not self._coming:
                    return
                self.history.append(self._coming.popleft())
            self._show(self.cursor + 1)

    def _stay(self) -> float:
        """Seconds that the moment shown stays."""
        if self.cursor < 0:
            return 0.0
        return self.pause * (INNER_SHARE if self.history[self.cursor].is_inside else 1)

    def _draw(self, live: Live, *, is_busy: bool) -> None:
        """Draw if anything is new, unless that would take too much of the network's time."""
        before = time.monotonic()
        self._busy += (before - self._polled) * is_busy
        self._polled = before
        if self.cursor < 0:
            return
        phase = int((before - self.shown_at) / FLASH_SECONDS)
        flash = (FLASH_STRONG, FLASH_SOFT, 0)[min(phase, 2)] if self.pause > 0 else 0
        state = "paused" if self.is_paused else f"{self.pause:.2g} s/step"
        new = (self.cursor, state, flash, self.is_help, self.console.size)
        is_dear = is_busy and self._spent + self._cost > DRAWING_SHARE * self._busy
        if new == self._drawn or is_dear:
            return
        hints = [hint.replace("←→", "arrows") if self.look.ascii_only else hint for hint in HINTS]
        keys, look = hints if self.keys.descriptor is not None else (), replace(self.look, flash=flash)
        shown = Scene(self.history[self.cursor], self.header, look, state, keys, self.is_help)
        live.update(shown, refresh=True)
        self._drawn = new
        self.num_draws += 1
        self._cost = time.monotonic() - before
        self._spent += self._cost * is_busy


@contextmanager
def restored_on_signals(keys: Keys, live: Live) -> Iterator[None]:
    """Leave the screen when the process is ended or sent to the background, and come back."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    def suspend(number: int, _frame: FrameType | None) -> None:
        live.stop()
        keys.release()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # stops here until the shell says go on
        signal.signal(number, suspend)
        keys.grab()
        live.start(refresh=True)

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGTERM: end}
    if hasattr(signal, "SIGTSTP"):
        handlers |= {signal.SIGTSTP: suspend, signal.SIGHUP: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


TERMINAL_PAUSE = 0.6  # seconds that a step stays if nothing is said


@dataclass
class Viewer:
    """Shows a run the way that stdout can, counts how it ended, and keeps what is to be saved."""

    header: Header
    pause: float | None = None  # seconds that a step stays; None for what suits the place
    fps: float = 20.0  # times a second that a screen is drawn anew, at most
    quiet: bool = False  # nothing but how it ended
    keeps: bool = False  # the moments
    console: Console = field(default_factory=answers_console)
    moments: list[Moment] = field(default_factory=list)
    num_ended: int = 0
    num_solved: int = 0

    def show(self, source: Iterator[Moment]) -> None:
        """Show moments until they end or someone quits."""
        passing = self._note(source)
        if self.quiet:
            deque(passing, maxlen=0)
        elif self.console.is_terminal and not self.console.is_dumb_terminal:
            look, pause = look_of(self.console), TERMINAL_PAUSE if self.pause is None else self.pause
            if history := Player(passing, self.header, look, self.console, pause, self.fps).play():
                for row in Scene(history[-1], self.header, look).lines(*self.console.size)[:-1]:
                    self.console.print(row)  # the last scene stays where the command was typed
        else:
            for moment in passing:
                for line in plain_lines(moment, self.header, ascii_only=is_ascii(self.console)):
                    self.console.file.write(line + "\n")
                self.console.file.flush()
                time.sleep(self.pause or 0.0)
        if self.header.num_puzzles > 1 or self.quiet:
            told = f"{self.num_solved} of {self.header.num_puzzles} {self.header.task.praise}"
            missed = self.header.num_puzzles - self.num_ended
            self.console.print(f"{told}, {missed} not finished" if missed else told)

    def _note(self, source: Iterator[Moment]) -> Iterator[Moment]:
        for moment in source:
            if self.keeps:
                self.moments.append(moment)
            ended = [frame for frame in moment.new_frames if frame.is_last]
            self.num_ended += len(ended)
            self.num_solved += sum(frame.solved for frame in ended)
            yield moment
