"""Moments on a live screen: as they are computed, at a pace to follow, back and forth by key."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import FrameType

from rich.console import Console
from rich.live import Live

from trm_cli.display import keys as key
from trm_cli.display.ahead import Ahead
from trm_cli.display.keys import Keys
from trm_cli.display.palette import FLASH_SOFT, FLASH_STRONG
from trm_cli.display.scene import Scene
from trm_cli.display.views import Look
from trm_cli.solving.frames import Header, Moment

FLASH_SECONDS = 0.18  # of each of the two brightnesses of a flash
INNER_SHARE = 0.25  # of the pause: how long an update inside a step stays
LINGERING = 3  # pauses that the end stays on the screen, for a key to be pressed
PACE_FACTOR = 1.5  # one press of + or -
LEAST_PAUSE, MOST_PAUSE = 0.02, 20.0  # seconds that + and - reach
DRAWING_SHARE = 0.01  # of the time while the network computes: drawing takes no more
CELL_COST = 2e-4  # seconds that drawing a cell is expected to take, until a drawing was timed
UNLIMITED = 1 << 30
HINTS = "space pause  ←→ step  +- speed  q quit"
ASCII_HINTS = "space pause  arrows step  +- speed  q quit"
TERMINATED = 143  # exit code after SIGTERM


@dataclass(frozen=True)
class Pace:
    """How fast a run is shown."""

    pause: float  # seconds that each supervision step stays on the screen
    fps: float = 20.0  # times a second that the screen is drawn anew, at most


class Player:
    """Plays moments on a terminal until they end or someone quits."""

    def __init__(
        self, source: Iterator[Moment], header: Header, *, pace: Pace, look: Look,
        console: Console, keys: Keys | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.source = source
        self.header = header
        self.pause, self.fps = pace.pause, pace.fps
        self.look = look
        self.console = console
        self.keys = keys or Keys()
        self.clock = clock
        self.history: list[Moment] = []
        self.cursor = -1  # which moment is shown
        self.shown_at = clock()  # since when
        self.is_paused = False
        self.is_quit = False
        self._drawn: object = None  # what the screen shows, as a key
        self.num_draws = 0
        self._polled = clock()
        self._busy = 0.0  # seconds that the network has computed for while others watched
        self._spent = 0.0  # seconds of drawing in that time
        self._cost = 0.0  # seconds that the latest drawing took

    def play(self) -> list[Moment]:
        """Run to the end; returns the moments that were computed."""
        live = Live(console=self.console, screen=True, auto_refresh=False, redirect_stdout=False,
                    redirect_stderr=False)  # fmt: skip
        with self.keys as keys, live, restored_on_signals(keys, live):
            self.history += islice(self.source, 1)  # the question: nothing is computed yet
            self._show(len(self.history) - 1)
            self._cost = CELL_COST * sum(
                len(frame.answer) for moment in self.history for frame in moment.frames
            )
            if self.pause > 0:  # else the network is not kept waiting
                self._draw(live, has_keys=keys.there, is_busy=False)
            ahead = Ahead(self.source, self._limit)
            self._polled = self.clock()
            try:
                while not self._is_finished(ahead):
                    pressed = keys.read(1 / self.fps)
                    for name in pressed:
                        self._press(name)
                    self._advance(ahead)
                    self._draw(live, has_keys=keys.there, is_busy=ahead.is_busy and not pressed)
            finally:
                ahead.close()
        return self.history

    def _is_finished(self, ahead: Ahead[Moment]) -> bool:
        if self.is_quit:
            return True
        is_at_end = ahead.is_over and self.cursor == len(self.history) - 1
        lingers = self.is_paused or self.clock() < self.shown_at + LINGERING * self.pause
        return is_at_end and not lingers

    def _press(self, name: str) -> None:
        last = len(self.history) - 1
        if name == key.QUIT:
            self.is_quit = True
        elif name == key.TOGGLE:
            self.is_paused = not self.is_paused
            self.shown_at = self.clock()
        elif name in (key.FASTER, key.SLOWER):
            factor = 1 / PACE_FACTOR if name == key.FASTER else PACE_FACTOR
            self.pause = min(MOST_PAUSE, max(LEAST_PAUSE, self.pause * factor))
        else:
            self.is_paused = True
            places = {key.BACK: self.cursor - 1, key.FORTH: self.cursor + 1, key.FIRST: 0,
                      key.LAST: last}  # fmt: skip
            self._show(min(max(places[name], 0), max(last, 0)))

    def _show(self, cursor: int) -> None:
        if cursor != self.cursor:
            self.cursor, self.shown_at = cursor, self.clock()

    def _advance(self, ahead: Ahead[Moment]) -> None:
        """Show the next moment if the one that is shown has had its time."""
        ahead.allow(self._limit)
        while not self.is_paused and self.clock() >= self.shown_at + self._stay():
            if self.cursor == len(self.history) - 1:
                moment = ahead.take()
                if moment is None:
                    return
                self.history.append(moment)
            self._show(self.cursor + 1)

    @property
    def _limit(self) -> int:
        """Moments that may be computed before they are shown."""
        return UNLIMITED if self.pause == 0 and not self.is_paused else 1

    def _stay(self) -> float:
        """Seconds that the moment shown stays."""
        if self.cursor < 0:
            return 0.0
        return self.pause * (INNER_SHARE if self.history[self.cursor].is_inside else 1)

    def _draw(self, live: Live, *, has_keys: bool, is_busy: bool) -> None:
        """Draw if anything is new, unless that would take too much of the network's time."""
        before = self.clock()
        self._busy += (before - self._polled) * is_busy
        self._polled = before
        if self.cursor < 0:
            return
        state, flash = self._state(), self._flash(before)
        new = (self.cursor, state, flash, self.console.size)
        is_dear = is_busy and self._spent + self._cost > DRAWING_SHARE * self._busy
        if new == self._drawn or is_dear:
            return
        look = Look(ascii_only=self.look.ascii_only, marks=self.look.marks, flash=flash)
        hints = (ASCII_HINTS if look.ascii_only else HINTS) if has_keys else ""
        live.update(Scene(self.history[self.cursor], self.header, look, state, hints), refresh=True)
        self._drawn = new
        self.num_draws += 1
        self._cost = self.clock() - before
        self._spent += self._cost * is_busy

    def _flash(self, now: float) -> int:
        if self.pause == 0:
            return 0
        phase = int((now - self.shown_at) / FLASH_SECONDS)
        return (FLASH_STRONG, FLASH_SOFT, 0)[min(phase, 2)]

    def _state(self) -> str:
        place = f"{self.cursor + 1}/{len(self.history)}"
        return f"paused {place}" if self.is_paused else f"{self.pause:.2g} s a step"


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
