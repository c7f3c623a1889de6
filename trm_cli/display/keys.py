"""Keys as they are pressed, on a terminal that is put back as it was, whatever happens."""

import os
import re
import select
import sys
import time
from types import TracebackType
from typing import Any

try:
    import termios
    import tty
except ImportError:  # no such terminals: everything plays, without keys
    termios = None  # type: ignore[assignment]

TOGGLE, BACK, FORTH, FIRST, LAST, FASTER, SLOWER, QUIT = (
    "toggle", "back", "forth", "first", "last", "faster", "slower", "quit",
)  # fmt: skip
PRESSED = re.compile(rb"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[^\x1b]")
UNFINISHED = re.compile(rb"\x1b(?:O|\[[0-9;]*)?$")
MEANINGS = {
    b" ": TOGGLE, b"q": QUIT, b"Q": QUIT,
    b"\x1b[D": BACK, b"\x1bOD": BACK, b"\x1b[C": FORTH, b"\x1bOC": FORTH,
    b"\x1b[H": FIRST, b"\x1bOH": FIRST, b"\x1b[1~": FIRST,
    b"\x1b[F": LAST, b"\x1bOF": LAST, b"\x1b[4~": LAST,
    b"+": FASTER, b"=": FASTER, b"-": SLOWER, b"_": SLOWER,
}  # fmt: skip


class Keys:
    """A context manager: inside it, keys come one by one and are not written on the screen.

    They are read from stdin, or from the terminal itself where puzzles come in on stdin. Where
    there is no terminal, no key ever comes.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._is_ours = False  # opened here, to be closed here
        self._before: list[Any] = []
        self._rest = b""  # the beginning of a sequence that has not come in whole

    @property
    def there(self) -> bool:
        """Whether keys can be pressed at all."""
        return self._descriptor is not None

    def __enter__(self) -> "Keys":
        if termios is None:
            return self
        try:
            if sys.stdin is not None and sys.stdin.isatty():
                self._descriptor = sys.stdin.fileno()
            else:
                self._descriptor = os.open("/dev/tty", os.O_RDONLY)
                self._is_ours = True
            self.grab()
        except (OSError, termios.error):
            self._forget()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.release()
        self._forget()

    def grab(self) -> None:
        """Have keys come at once and unseen; Ctrl-C and Ctrl-Z keep their meaning."""
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def release(self) -> None:
        """Put the terminal back as it was."""
        if self._descriptor is not None and self._before:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def read(self, timeout: float) -> list[str]:
        """What was pressed, waiting at most `timeout` seconds for the first key."""
        if self._descriptor is None:
            time.sleep(timeout)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return []
        came = os.read(self._descriptor, 1024)
        if not came:  # the terminal is gone
            self._forget()
        return self._meanings(came)

    def _meanings(self, came: bytes) -> list[str]:
        came = self._rest + came
        unfinished = UNFINISHED.search(came)
        self._rest = unfinished.group() if unfinished else b""
        whole = came[: len(came) - len(self._rest)]
        return [MEANINGS[key] for key in PRESSED.findall(whole) if key in MEANINGS]

    def _forget(self) -> None:
        if self._is_ours and self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._is_ours, self._before = None, False, []
