"""Maze: find a shortest way from S to G through open cells, up, down, left or right.

    #S #      #S #
    #  #  ->  #oo#
    ##G#      ##G#

The paths of labels follow the rule of the published sets (sapientinc/maze-30x30-hard-1k): of all
shortest paths the one that goes down where it can, else left, else right, else up. An answer need
not: it is solved if its path is as short as any.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import Dataset, Puzzle, Seed, Symmetries, Task, Tokens, Violation, Wanted
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes
from trm_cli.tasks.maze_grid import GOAL, PATH, START, UNREACHED, WALL
from trm_cli.tasks.maze_rules import broken_rules, is_path, is_shortest, moves, walk
from trm_cli.tasks.maze_text import (
    ANSWER_TOKENS,
    LETTERS,
    TOKENS,
    Rows,
    read_mazes,
    read_one,
    tokens_of,
)

TOKEN_OF = np.zeros(128, np.uint8)  # ASCII: token; 0 where a character is no cell
TOKEN_OF[[ord(letter) for letter in LETTERS[1:]]] = range(WALL, PATH + 1)


class Maze(Task):
    """The rules, spellings and symmetries of mazes."""

    name = "maze"
    usual_size = 30
    has_blanks = False
    has_comments = False
    rating_starts = (0, 10, 20, 30, 50, 75, 100, 110, 115, 120, 130, 150)  # cells on the path

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (_puzzle(rows) for rows in read_mazes(lines, source))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return _puzzle(read_one(text, line, source))

    def read_answer(self, text: str, line: int, source: str) -> Tokens:
        rows = read_one(text, line, source)
        return np.frombuffer(tokens_of(rows, ANSWER_TOKENS), np.uint8)

    def read_plain(self, texts: list[str]) -> Tokens | None:
        num_cells = len(texts[0])
        whole = "".join(texts)
        is_even = all(len(text) == num_cells for text in texts)
        is_square = round(num_cells**0.5) ** 2 == num_cells
        if not (is_even and is_square and whole.isascii()):
            return None
        tokens = TOKEN_OF[np.frombuffer(whole.encode(), np.uint8)].reshape(-1, num_cells)
        ends = ((tokens == START).sum(1) == 1) & ((tokens == GOAL).sum(1) == 1)
        return tokens if tokens.all() and ends.all() else None

    def write(self, tokens: Tokens) -> str:
        return "".join(LETTERS[token] for token in tokens)

    def write_rows(self, tokens: Tokens) -> str:
        width = self.boxes(len(tokens))[1]
        text = self.write(tokens)
        return "\n".join(text[at : at + width] for at in range(0, len(text), width)) + "\n"

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether the marked cells are one path from S to G without branches, [N]."""
        return is_path(puzzles, answers)

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return is_shortest(puzzles, answers)

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[Violation]:
        width = self.boxes(len(answer))[1]
        rules = broken_rules(puzzle, answer)
        return [Violation(c // width + 1, c % width + 1, rules[c]) for c in sorted(rules)]

    def details(self, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
        """`valid`, `path` as [row, column] from S to G if it is valid, `moves` and `shortest`."""
        width = self.boxes(len(answer))[1]
        valid = bool(is_path(puzzle[None], answer[None])[0])
        path = [[c // width + 1, c % width + 1] for c in walk(answer)] if valid else None
        shortest = int(moves(puzzle[None], puzzle[None] != WALL)[0])
        return {"valid": valid, "path": path, "moves": len(path) - 1 if path else None,
                "shortest": shortest}  # fmt: skip

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Symmetries:
        side = self.boxes(num_cells)[0]
        grid = np.arange(num_cells).reshape(side, side)
        turned = [np.rot90(board, turns) for board in (grid, grid.T) for turns in range(4)]
        ways = np.stack([board.reshape(-1) for board in turned]).astype(np.int64)
        symbols = np.tile(np.arange(self.vocab_size(num_cells), dtype=np.uint8), (count, 1))
        return Symmetries(ways[rng.integers(len(ways), size=count)], symbols)

    def usual(self, size: int) -> Wanted:
        return WantedMazes()

    def generate(self, wanted: Wanted, *, size: int, seed: Seed,
                 progress: Callable[[int, int], None] | None = None) -> Dataset:  # fmt: skip
        assert isinstance(wanted, WantedMazes)
        return generate_mazes(wanted, size=size, seed=seed, progress=progress)

    def vocab_size(self, num_cells: int) -> int:
        return PATH + 1

    def boxes(self, num_cells: int) -> tuple[int, int, int, int]:
        side = round(num_cells**0.5)
        if side * side != num_cells:
            raise PuzzleError(f"a maze is square; {num_cells} cells are not")
        return (side, side, 1, 1)


def _puzzle(rows: Rows) -> Puzzle:
    """A maze as tokens; raises PuzzleError without one S, one G and a way between them."""
    tokens = np.frombuffer(tokens_of(rows, TOKENS), np.uint8)
    side = len(rows.rows)
    for token, letter in ((START, "S"), (GOAL, "G")):
        cells = np.flatnonzero(tokens == token).tolist()
        if not cells:
            raise PuzzleError(f"{rows.place(0, 0)}: no {letter} in the maze; write one")
        if len(cells) > 1:
            first, second = (rows.place(cell // side, cell % side) for cell in cells[:2])
            raise PuzzleError(f"{second}: a second {letter}, the first is at "
                              f"{first.removeprefix(rows.source + ':')}; keep one")  # fmt: skip
    if moves(tokens[None], tokens[None] != WALL)[0] == UNREACHED:
        raise PuzzleError(f"{rows.place(0, 0)}: no way leads from S to G; open a wall")
    return Puzzle(tokens, side, side, rows.source, rows.places[0][0])
