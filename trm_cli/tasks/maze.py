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
from trm_cli.tasks.base import (
    EMPTY,
    PADDING,
    Cell,
    Dataset,
    Generator,
    Layout,
    Option,
    Progress,
    Puzzle,
    Role,
    Rules,
    Seed,
    Symmetries,
    Task,
    Tokens,
    Transforms,
    Violation,
    Wanted,
    read_range,
)
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes
from trm_cli.tasks.maze_grid import (
    GOAL,
    LONGEST_SIDE,
    OPEN,
    PATH,
    SHORTEST_SIDE,
    START,
    UNREACHED,
    WALL,
    as_bits,
    distance_between,
)
from trm_cli.tasks.tables import Rows, Spelling

TOKENS = {"#": WALL, "█": WALL, " ": OPEN, ".": OPEN, "S": START, "G": GOAL}
ANSWER_TOKENS = {**TOKENS, "o": PATH}
LETTERS = "?# SGo"  # of each token
SPELLING = Spelling(
    noun="maze",
    sides=range(SHORTEST_SIDE, LONGEST_SIDE + 1),
    meant="write # for a wall, a space or . for an open cell, S and G",
    is_whole=lambda line: "S" in line and "G" in line,
    remedies={
        "\t": "a tab; write spaces, one for each open cell",
        "o": "'o' marks the path of an answer; write a space in a puzzle",
    },
)


NAMES = {WALL: "wall", OPEN: "open cell", START: "start", GOAL: "goal"}
Mask = NDArray[np.bool_]  # [N, L]


def is_path(puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Whether the marked cells are one path from S to G, without branches or loose ends, [N]."""
    holds: NDArray[np.bool_] = np.logical_and.reduce(_kept(puzzles, answers), axis=1)
    rows = np.flatnonzero(holds)
    answers = answers[rows]
    path = _on_path(answers)
    holds[rows] = ~_misjoined(answers, path).any(1)
    joined = rows[holds[rows]]
    answers, path = answers[holds[rows]], path[holds[rows]]
    holds[joined] = moves(answers, path) == path.sum(1) - 1  # else a ring lies beside the path
    return holds


def is_shortest(puzzles: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Whether the marked cells are a path from S to G that is as short as any, [N]."""
    holds = is_path(puzzles, answers)
    rows = np.flatnonzero(holds)
    holds[rows] = moves(puzzles[rows], puzzles[rows] != WALL) == _on_path(answers[rows]).sum(1) - 1
    return holds


def moves(mazes: Tokens, opened: Mask) -> NDArray[np.int64]:
    """Moves of a shortest way from S to G through some cells of each maze; -1 without one, [N]."""
    side = round(mazes.shape[1] ** 0.5)
    through, starts, goals = (
        as_bits(cells.reshape(-1, side, side)) for cells in (opened, mazes == START, mazes == GOAL)
    )
    return distance_between(through, starts, goals)


def broken_rules(puzzle: Tokens, answer: Tokens) -> dict[int, str]:
    """The cells of an answer [L] that break a rule, and how; empty exactly if it is shortest."""
    rules = {int(c): f"the {NAMES[int(puzzle[c])]} was changed" for c in np.flatnonzero(~_kept(puzzle, answer))}
    path = _on_path(answer[None])
    near = _neighbours(path)[0]
    for cell in np.flatnonzero(_misjoined(answer[None], path)[0]).tolist():
        rules.setdefault(cell, _misjoint(int(near[cell]), int(answer[cell])))
    if rules:
        return rules
    taken = moves(answer[None], path)[0]
    if taken != path.sum() - 1:
        on_way = set(walk(answer))
        rings = [cell for cell in np.flatnonzero(path[0]).tolist() if cell not in on_way]
        return dict.fromkeys(rings, "a ring beside the path")
    shortest = moves(puzzle[None], puzzle[None] != WALL)[0]
    if taken == shortest:
        return {}
    start = int((puzzle == START).argmax())
    return {start: f"the path takes {taken} moves, the shortest {shortest}"}


def walk(answer: Tokens) -> list[int]:
    """The cells of a path without branches, from S to G."""
    side = round(len(answer) ** 0.5)
    path = _on_path(answer[None])[0]
    cell, before = int((answer == START).argmax()), -1
    way = [cell]
    while answer[cell] != GOAL:
        near = [cell - side, cell + side]
        near += [cell - 1] if cell % side else []
        near += [cell + 1] if cell % side < side - 1 else []
        following = next(c for c in near if 0 <= c < len(path) and path[c] and c != before)
        cell, before = following, cell
        way.append(cell)
    return way


def _kept(puzzle: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Cells that are as the puzzle has them, or open ones that the path takes."""
    kept: NDArray[np.bool_] = (answer == puzzle) | ((puzzle == OPEN) & (answer == PATH))
    return kept


def _on_path(answers: Tokens) -> Mask:
    return answers >= START


def _neighbours(cells: Mask) -> NDArray[np.uint8]:
    """How many of the four cells beside each are among the given ones, [N, L]."""
    side = round(cells.shape[1] ** 0.5)
    board = np.pad(cells.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    near = board[:, :-2, 1:-1] + board[:, 2:, 1:-1] + board[:, 1:-1, :-2] + board[:, 1:-1, 2:]
    counts: NDArray[np.uint8] = near.reshape(cells.shape)
    return counts


def _misjoined(answers: Tokens, path: Mask) -> Mask:
    """Cells of the path that have more or fewer of its cells beside them than they must."""
    is_end = (answers == START) | (answers == GOAL)
    wrong: Mask = path & (_neighbours(path) != np.where(is_end, 1, 2))
    return wrong


def _misjoint(near: int, token: int) -> str:
    if token in (START, GOAL):
        return f"no path at the {NAMES[token]}" if not near else f"two paths at the {NAMES[token]}"
    return "the path branches" if near > 2 else "the path breaks off"


TOKEN_OF = np.zeros(128, np.uint8)  # ASCII: token; 0 where a character is no cell
TOKEN_OF[[ord(letter) for letter in LETTERS[1:]]] = range(WALL, PATH + 1)

ROLES = {
    "wall": Role("#7d8590", (0x6E, 0x76, 0x81), fills=True),
    "open": Role("", (0x22, 0x27, 0x2E)),
    "start": Role("bold green", (0x2D, 0xA4, 0x4E), ink=(0x2D, 0xA4, 0x4E), joins=True),
    "goal": Role("bold magenta", (0xB0, 0x5C, 0xD6), ink=(0xB0, 0x5C, 0xD6), joins=True),
    "path": Role(fills=True, joins=True),
    "empty": EMPTY,  # a token that is no cell of a maze
}
ROLE_OF = {WALL: "wall", OPEN: "open", START: "start", GOAL: "goal", PATH: "path"}
GLYPHS = {PADDING: "?", START: "S", GOAL: "G"}

# `trm data maze --size 15 --generate 4 --seed 22`.
EXAMPLES = """\
.....#..##...#.
........##..#.#
..#..##........
..#..####....#G
..##..##.#.#..#
.#.........#.##
#..###.........
##..#.......#.#
##..#.###...##.
....#....#....#
.#.#..#...#...#
.......##.#..#.
.#.##......#..#
##...#.##...##.
S..#..#..#.#.#.

.##.#..#..#.###
...#.#...#.#G.#
.#.....######.#
.....#.##.#....
....##..##...#.
.#...........#.
##......#..###.
..#...##.##.##.
......#...#..##
.#.#.###.#..##.
##.##......#...
...##..#..#.#..
..#..##......#.
..#####.##.###.
#.S#...#..#.###

#.......#..#...
..#.....####.#.
..###.#........
....##....##...
........###...#
...#..##.#....#
.#.#...###.##..
..#.####.....#.
#..##..#.......
....#.##.#.....
##.###..#.....#
#....##.#.#...#
.....#.##....#.
###.G..#S.##.#.
##....#####.###

.........#.#.#.
###.#######..#G
.#...##.###....
#..###.###.#.#.
#..##..##..#...
#..##..##...#.#
###.####..#...#
#.##S##...#..##
.##....#..#...#
##.#.#.#..#.#.#
...#..##.#####.
#..#..##.###..#
.#.#.....#..##.
..###......##..
....#.#..#..#.#
"""


def _read_walls(text: str) -> dict[str, Any]:
    least, most = read_range(text, "30-50")
    if not 0 <= least <= most < 100:
        raise ValueError("write 0 to 99 percent, fewest first")
    return {"least_walls": least / 100, "most_walls": most / 100}


def _read_min_path(text: str) -> dict[str, Any]:
    if not text.isdecimal() or int(text) < 2:
        raise ValueError("write a whole number from 2 up")
    return {"min_path": int(text)}


DATA_OPTIONS = (
    Option(
        "--min-path",
        "Fewest cells on the shortest path, S and G included.",
        _read_min_path,
        metavar="N",
        default="110 on 30x30",
    ),
    Option("--walls", "Fewest and most walls drawn, in percent.", _read_walls, metavar="N-M", default="30-50"),
)


class Maze(Task, Rules, Symmetries, Generator):
    """The rules, spellings and symmetries of mazes."""

    name = "maze"
    usual_size = 30
    has_blanks = False
    has_comments = False
    examples = EXAMPLES
    data_options = DATA_OPTIONS
    layout = Layout.PATH
    roles = ROLES
    rating_starts = (0, 10, 20, 30, 50, 75, 100, 110, 115, 120, 130, 150)  # cells on the path

    def read(self, lines: Iterable[str], source: str) -> Iterator[Puzzle]:
        return (_puzzle(rows) for rows in SPELLING.read(lines, source))

    def read_one(self, text: str, line: int, source: str) -> Puzzle:
        return _puzzle(SPELLING.split(text, line, source))

    def read_answer(self, text: str, line: int, source: str) -> Tokens:
        return SPELLING.tokens(SPELLING.split(text, line, source), ANSWER_TOKENS)

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

    def cells(self, puzzle: Tokens, answer: Tokens) -> list[Cell]:
        return [Cell(GLYPHS.get(token, ""), ROLE_OF.get(token, "empty")) for token in answer.tolist()]

    def details(self, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
        """`valid`, `path` as [row, column] from S to G if it is valid, `moves` and `shortest`."""
        width = self.boxes(len(answer))[1]
        valid = bool(is_path(puzzle[None], answer[None])[0])
        path = [[c // width + 1, c % width + 1] for c in walk(answer)] if valid else None
        shortest = int(moves(puzzle[None], puzzle[None] != WALL)[0])
        return {"valid": valid, "path": path, "moves": len(path) - 1 if path else None, "shortest": shortest}

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
        side = self.boxes(num_cells)[0]
        grid = np.arange(num_cells).reshape(side, side)
        turned = [np.rot90(board, turns) for board in (grid, grid.T) for turns in range(4)]
        ways = np.stack([board.reshape(-1) for board in turned]).astype(np.int64)
        symbols = np.tile(np.arange(self.vocab_size(num_cells), dtype=np.uint8), (count, 1))
        return Transforms(ways[rng.integers(len(ways), size=count)], symbols)

    def usual(self, size: int) -> Wanted:
        return WantedMazes()

    def generate(self, wanted: Wanted, *, size: int, seed: Seed, progress: Progress | None = None) -> Dataset:
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
    tokens = SPELLING.tokens(rows, TOKENS)
    side = len(rows.rows)
    for token, letter in ((START, "S"), (GOAL, "G")):
        cells = np.flatnonzero(tokens == token).tolist()
        if not cells:
            raise PuzzleError(f"{rows.place(0, 0)}: no {letter} in the maze; write one")
        if len(cells) > 1:
            first, second = (rows.place(cell // side, cell % side) for cell in cells[:2])
            raise PuzzleError(
                f"{second}: a second {letter}, the first is at {first.removeprefix(rows.source + ':')}; keep one"
            )
    if moves(tokens[None], tokens[None] != WALL)[0] == UNREACHED:
        raise PuzzleError(f"{rows.place(0, 0)}: no way leads from S to G; open a wall")
    return Puzzle(tokens, side, side, rows.source, rows.places[0][0])
