"""`trm` on a pseudo-terminal of any size: what it shows, and whether it leaves all as it was."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

HOME = "\x1b[H"
LEFT = "\x1b[?1049l"  # the screen of its own is left
SHOWN = "\x1b[?25h"  # the cursor is shown
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A process with a terminal of its own."""

    def __init__(self, *words: str | Path, columns: int = 80, rows: int = 24, **environment: str) -> None:
        variables = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            **environment,
        }
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            if name not in environment:
                variables.pop(name, None)
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            command = [sys.executable, "-m", "trm_cli", *map(str, words)]
            os.execve(sys.executable, command, variables)
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.descriptor)
        self.written = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.is_over = False

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self.descriptor, keys.encode())

    def read(self, timeout: float = 0.05) -> str:
        """Take in what was written; returns all of it."""
        while not self.is_over and select.select([self.descriptor], [], [], timeout)[0]:
            try:
                came = os.read(self.descriptor, 1 << 16)
            except OSError:  # Linux's way to say that the other end is closed
                came = b""
            self.is_over = not came
            self.written += self.decoder.decode(came)  # a character may come in two parts
        return self.written

    def screen(self) -> str:
        """The latest screen that was drawn, without its styles."""
        return STYLES.sub("", self.read().rsplit(HOME, 1)[-1])

    def wait(self, words: str, timeout: float = 60.0) -> str:
        """The first screen on which these words stand."""
        end = time.monotonic() + timeout
        while words not in (shown := self.screen()):
            is_late = self.is_over or time.monotonic() > end
            assert not is_late, (words, self.written[-3000:])
        return shown

    def end(self, timeout: float = 60.0) -> int:
        """The exit code, once the process has ended; minus the signal that ended it."""
        limit = time.monotonic() + timeout
        while True:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read()
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > limit:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(self.written[-3000:])

    @property
    def is_restored(self) -> bool:
        """Whether settings, screen and cursor are as they were before."""
        same = termios.tcgetattr(self.descriptor) == self.before
        return (
            same
            and self.written.rfind(LEFT) > self.written.rfind("\x1b[?1049h")
            and (self.written.rfind(SHOWN) > self.written.rfind("\x1b[?25l"))
        )

    def close(self) -> None:
        """Let go of the terminal."""
        os.close(self.descriptor)
