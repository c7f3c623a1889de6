"""The two consoles: answers go to stdout, everything else to stderr.

Rich decides from the terminal, NO_COLOR and TERM whether to colour and move the cursor; on a pipe
it does neither.
"""

from rich.console import Console

PIPE_WIDTH = 120  # columns of a table that is not drawn on a terminal


def answers_console() -> Console:
    """Where answers are drawn."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def remarks_console(quiet: bool = False) -> Console:
    """Where progress and remarks go; nowhere at all if quiet."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
