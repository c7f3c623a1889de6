"""Maze: find a shortest path from S to G through open cells, up, down, left or right.

    #S #      #S #
    #  #  ->  #oo#
    ##G#      ##G#

The paths of labels follow the rule of the published sets (sapientinc/maze-30x30-hard-1k): of all
shortest paths the one that goes down where it can, else left, else right, else up. An answer need
not: it is solved if its path is as short as any.
Spellings: rows of `#` (or `█`) for a wall, a space or `.` for an open cell, one `S` and one `G`,
with an empty line between two mazes; a whole maze on one line, row after row; CSV with a `question`,
`puzzle` or `quizzes` column. In answers `o` marks the path. There are no comments: `#` is a wall.
Shapes: N mazes of L cells, square.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError
from trm_cli.tasks import base, maze_generator
from trm_cli.tasks.base import Cell, Option, Puzzle, Role, Tokens, Wanted
from trm_cli.tasks.maze_generator import GOAL, OPEN, PATH, START, WALL, WantedMazes
from trm_cli.tasks.tables import Rows, Spelling, plain_tokens

TOKENS = {"#": WALL, "█": WALL, " ": OPEN, ".": OPEN, "S": START, "G": GOAL}
ANSWER_TOKENS = {**TOKENS, "o": PATH}
LETTERS = "?# SGo"  # of each token
SPELLING = Spelling(
    noun="maze",
    sides=range(maze_generator.SHORTEST_SIDE, maze_generator.LONGEST_SIDE + 1),
    meant="write # for a wall, a space or . for an open cell, S and G",
    is_whole=lambda line: "S" in line and "G" in line,
    remedies={
        "\t": "a tab; write spaces, one for each open cell",
        "o": "'o' marks the path of an answer; write a space in a puzzle",
    },
)

NAMES = {WALL: "wall", OPEN: "open", START: "start", GOAL: "goal", PATH: "path"}
WHITE = (0xFF, 0xFF, 0xFF)
ROLES = {
    "wall": Role("#7d8590", (0x48, 0x4F, 0x58), fills=True),
    "open": Role("", (0x16, 0x1B, 0x22)),
    "start": Role("bold #ffffff on #1f8a43", (0x1F, 0x8A, 0x43), ink=WHITE, fills=True, joins=True),
    "goal": Role("bold #ffffff on #9a45c4", (0x9A, 0x45, 0xC4), ink=WHITE, fills=True, joins=True),
    "path": Role(fills=True, joins=True),
    "empty": base.EMPTY,  # a token that is no cell of a maze
}
GLYPHS = {base.PADDING: "?", START: "S", GOAL: "G"}

# `trm data maze --size 15 --generate 4 --seed 22`, side by side.
EXAMPLES = """\
.....#..##...#. .##.#..#..#.### #.......#..#... .........#.#.#.
........##..#.# ...#.#...#.#G.# ..#.....####.#. ###.#######..#G
..#..##........ .#.....######.# ..###.#........ .#...##.###....
..#..####....#G .....#.##.#.... ....##....##... #..###.###.#.#.
..##..##.#.#..# ....##..##...#. ........###...# #..##..##..#...
.#.........#.## .#...........#. ...#..##.#....# #..##..##...#.#
#..###......... ##......#..###. .#.#...###.##.. ###.####..#...#
##..#.......#.# ..#...##.##.##. ..#.####.....#. #.##S##...#..##
##..#.###...##. ......#...#..## #..##..#....... .##....#..#...#
....#....#....# .#.#.###.#..##. ....#.##.#..... ##.#.#.#..#.#.#
.#.#..#...#...# ##.##......#... ##.###..#.....# ...#..##.#####.
.......##.#..#. ...##..#..#.#.. #....##.#.#...# #..#..##.###..#
.#.##......#..# ..#..##......#. .....#.##....#. .#.#.....#..##.
##...#.##...##. ..#####.##.###. ###.G..#S.##.#. ..###......##..
S..#..#..#.#.#. #.S#...#..#.### ##....#####.### ....#.#..#..#.#
"""


def moves(mazes: Tokens, opened: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Moves of a shortest way from S to G through some cells of each maze; -1 without one, [N]."""
    side = round(mazes.shape[1] ** 0.5)
    boards = (cells.reshape(-1, side, side) for cells in (opened, mazes == START, mazes == GOAL))
    return maze_generator.distance_between(*map(maze_generator.as_bits, boards))


def shortest(puzzles: Tokens) -> NDArray[np.int64]:
    """Moves of a shortest way from S to G, [N]."""
    return moves(puzzles, puzzles != WALL)


def changed(puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Cells that are neither as the puzzle has them nor open ones that the path takes."""
    differ: NDArray[np.bool_] = (answers != puzzles) & ((puzzles != OPEN) | (answers != PATH))
    return differ


def misjoined(answers: Tokens) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Cells of the path that have more or fewer of its cells beside them than they must; how many each has."""
    side = round(answers.shape[1] ** 0.5)
    path = answers >= START
    board = np.pad(path.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    near = board[:, :-2, 1:-1] + board[:, 2:, 1:-1] + board[:, 1:-1, :-2] + board[:, 1:-1, 2:]
    near = near.reshape(path.shape)
    return path & (near != np.where(answers == PATH, 2, 1)), near


def walk(answer: Tokens) -> list[int]:
    """The cells of a path without branches, from S to G."""
    side = round(len(answer) ** 0.5)
    cell, before = int((answer == START).argmax()), -1
    way = [cell]
    while answer[cell] != GOAL:
        near = [cell - side, cell + side]
        near += [cell - 1] if cell % side else []
        near += [cell + 1] if cell % side < side - 1 else []
        following = next(c for c in near if 0 <= c < len(answer) and answer[c] >= START and c != before)
        cell, before = following, cell
        way.append(cell)
    return way


def _read_walls(text: str) -> dict[str, Any]:
    least, most = base.read_range(text, "30-50")
    if not 0 <= least <= most < 100:
        raise ValueError("write 0 to 99 percent, fewest first")
    return {"least_walls": least / 100, "most_walls": most / 100}


def _read_min_path(text: str) -> dict[str, Any]:
    if not text.isdecimal() or int(text) < 2:
        raise ValueError("write a whole number from 2 up")
    return {"min_path": int(text)}


class Maze(base.Task, base.Rules, base.Symmetries, base.Generator):
    """The rules, spellings and symmetries of mazes."""

    name = "maze"
    usual_size = 30
    has_blanks = False
    has_comments = False
    examples = "\n\n".join("\n".join(rows) for rows in zip(*map(str.split, EXAMPLES.splitlines()), strict=True))
    layout = base.Layout.PATH
    roles = ROLES
    rating_starts = (0, 10, 20, 30, 50, 75, 100, 110, 115, 120, 130, 150)  # cells on the path
    data_options = (
        Option(
            "--min-path",
            "Fewest cells on the shortest path, S and G included.",
            _read_min_path,
            metavar="N",
            default="110 on 30x30",
        ),
        Option("--walls", "Fewest and most walls drawn, in percent.", _read_walls, metavar="N-M", default="30-50"),
    )

    generate = staticmethod(maze_generator.generate_mazes)

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (_puzzle(rows) for rows in SPELLING.read(lines, source))

    def recognises(self, text: str) -> bool:
        return {"S", "G"} <= set(text) <= ANSWER_TOKENS.keys() | {"\n", "\r"}

    def examine(self, puzzle: Tokens, *, seconds: float) -> base.Finding:
        return base.Finding.SOME_SOLUTION  # `read` takes no maze without a way

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return _puzzle(SPELLING.split(text, line, source))

    def read_answer(self, text: str, line: int, source: str) -> Tokens:
        return SPELLING.tokens(SPELLING.split(text, line, source), ANSWER_TOKENS)

    def read_plain(self, texts: list[str]) -> Tokens | None:
        tokens = plain_tokens(texts, ANSWER_TOKENS)
        if tokens is None or round(tokens.shape[1] ** 0.5) ** 2 != tokens.shape[1]:
            return None
        ends = [((tokens == end).sum(1) == 1).all() for end in (START, GOAL)]
        return tokens if tokens.all() and all(ends) else None

    def write(self, tokens: Tokens) -> str:
        return "".join(LETTERS[token] for token in tokens)

    def write_rows(self, tokens: Tokens) -> str:
        width, text = self.boxes(len(tokens))[1], self.write(tokens)
        return "\n".join(text[at : at + width] for at in range(0, len(text), width)) + "\n"

    def valid(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether the marked cells are one path from S to G without branches or loose ends, [N]."""
        holds: NDArray[np.bool_] = ~np.any(changed(puzzles, answers) | misjoined(answers)[0], axis=1)
        path = answers[holds] >= START
        holds[holds] = moves(answers[holds], path) == path.sum(1) - 1  # else a ring lies beside the path
        return holds

    def rules_hold(self, puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether the marked cells are a path from S to G that is as short as any, [N]."""
        holds = self.valid(puzzles, answers)
        holds[holds] = shortest(puzzles[holds]) == (answers[holds] >= START).sum(1) - 1
        return holds

    def violations(self, puzzle: Tokens, answer: Tokens) -> list[base.Violation]:
        wrong, near = (found[0] for found in misjoined(answer[None]))
        rules = {}
        for cell in np.flatnonzero(wrong).tolist():
            if answer[cell] != PATH:
                rules[cell] = f"{'two paths' if near[cell] else 'no path'} at the {NAMES[int(answer[cell])]}"
            else:
                rules[cell] = "the path branches" if near[cell] > 2 else "the path breaks off"
        for cell in np.flatnonzero(changed(puzzle, answer)).tolist():
            was = NAMES[int(puzzle[cell])]
            rules[cell] = f"the {'open cell' if was == 'open' else was} was changed"
        if not rules:
            path = np.flatnonzero(answer >= START).tolist()
            way = walk(answer)
            least = shortest(puzzle[None])[0]
            if len(way) < len(path):
                rules = dict.fromkeys(set(path) - set(way), "a ring beside the path")
            elif len(way) - 1 > least:
                rules = {way[0]: f"the path takes {len(way) - 1} moves, the shortest {least}"}
        width = self.boxes(len(answer))[1]
        return [base.Violation(c // width + 1, c % width + 1, rules[c]) for c in sorted(rules)]

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        # S and G stay where the question has them, whatever the answer makes of them.
        seen = np.where((puzzle == START) | (puzzle == GOAL), puzzle, answer)
        return [Cell(GLYPHS.get(token, ""), NAMES.get(token, "empty")) for token in seen.tolist()]

    def details(self, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
        """`valid`, `path` as [row, column] from S to G if it is valid, `moves` and `shortest`."""
        width = self.boxes(len(answer))[1]
        valid = bool(self.valid(puzzle[None], answer[None])[0])
        path = [[c // width + 1, c % width + 1] for c in walk(answer)] if valid else None
        taken, least = len(path) - 1 if path else None, int(shortest(puzzle[None])[0])
        return {"valid": valid, "path": path, "moves": taken, "shortest": least}

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> base.Transforms:
        side = self.boxes(num_cells)[0]
        grid = np.arange(num_cells).reshape(side, side)
        ways = np.stack([np.rot90(board, turns).reshape(-1) for board in (grid, grid.T) for turns in range(4)])
        symbols = np.tile(np.arange(self.vocab_size(num_cells), dtype=np.uint8), (count, 1))
        return base.Transforms(ways[rng.integers(len(ways), size=count)], symbols)

    def usual(self, size: int) -> Wanted:
        return WantedMazes()

    def vocab_size(self, num_cells: int) -> int:
        return PATH + 1


def _puzzle(rows: Rows) -> Puzzle:
    """A maze as tokens; raises PuzzleError without one S, one G and a way between them."""
    tokens = SPELLING.tokens(rows, TOKENS)
    side = len(rows.rows)
    for token in (START, GOAL):
        letter, cells = LETTERS[token], np.flatnonzero(tokens == token).tolist()
        if not cells:
            raise PuzzleError(f"{rows.place(0, 0)}: no {letter} in the maze; write one")
        if len(cells) > 1:
            first, second = (rows.place(*divmod(cell, side)) for cell in cells[:2])
            raise PuzzleError(
                f"{second}: a second {letter}, the first is at {first.removeprefix(rows.source + ':')}; keep one"
            )
    if shortest(tokens[None])[0] == maze_generator.UNREACHED:
        raise PuzzleError(f"{rows.place(0, 0)}: no way leads from S to G; open a wall")
    return Puzzle(tokens, side, side, rows.source, rows.places[0][0])
