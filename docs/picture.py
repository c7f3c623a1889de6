"""Draw the README's picture: what `trm solve` shows on a terminal, as SVG.

Run from the top of a checkout: python docs/picture.py
"""

import io
import os
import pty
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = ["trm", "solve", "sudoku", "examples/minimal.txt"]
LINES = 31  # of the output that fit in the picture: two puzzles
OUTPUT = Path("docs/solve.svg")


def main() -> None:
    """Run the command on a pseudo-terminal and export what it wrote."""
    os.environ.update(TERM="xterm-256color", COLUMNS="64")
    written = bytearray()

    def keep(descriptor: int) -> bytes:
        chunk = os.read(descriptor, 4096)
        written.extend(chunk)
        return chunk

    pty.spawn([sys.executable, "-m", "trm_cli", *COMMAND[1:]], keep)
    lines = written.decode().replace("\r\n", "\n").split("\n")[:LINES]
    console = Console(record=True, width=64, force_terminal=True, file=io.StringIO())
    console.print(f"$ {' '.join(COMMAND)}", style="bold", highlight=False)
    console.print(Text.from_ansi("\n".join(lines)))
    console.save_svg(str(OUTPUT), title="trm")


if __name__ == "__main__":
    main()
