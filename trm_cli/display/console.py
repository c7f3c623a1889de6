"""The two consoles: answers go to stdout, everything else to stderr.

Rich decides from the terminal, NO_COLOR and TERM whether to colour and move the cursor. On a pipe
it does neither, whatever FORCE_COLOR says: scripts read there.
"""

import sys
from typing import IO

from rich.console import Console

PIPE_WIDTH = 120  # columns of a table that is not drawn on a terminal


def answers_console() -> Console:
    """Where answers are drawn."""
    return _console(sys.stdout)


def remarks_console(quiet: bool = False) -> Console:
    """Where progress and remarks go; nowhere at all if quiet."""
    return _console(sys.stderr, quiet)


def file_console(file: IO[str]) -> Console:
    """Where answers are drawn that go to a file."""
    return _console(file)


def has_colour(console: Console) -> bool:
    """Whether what is drawn there can be told apart by colour."""
    return console.color_system is not None and not console.no_color


def _console(stream: IO[str], quiet: bool = False) -> Console:
    on_screen = stream.isatty()
    return Console(
        file=stream,
        force_terminal=on_screen,
        width=None if on_screen else PIPE_WIDTH,
        highlight=False,
        markup=False,  # a user's own brackets stay brackets
        soft_wrap=True,
        quiet=quiet,
    )
