"""Mazes: the rule of the published labels, what a path is, and how mazes may be written."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import (
    GOAL,
    START,
    WALL,
    WantedMazes,
    as_bits,
    distance_between,
    farthest,
    generate_mazes,
    one_cell,
    shortest_paths,
    usual_path,
)
from trm_cli.tasks.tables import dataset_bytes, read_dataset

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "maze"
MAZE = """\
#S  #
# # #
#   #
## ##
#  G#
"""
ANSWER = """\
#S  #
#o# #
#oo #
##o##
# oG#
"""


def tokens(text: str) -> np.ndarray:
    """Rows of a maze or of an answer as tokens [L]."""
    return Maze().read_answer("".join(text.splitlines()), 1, "test")


def search(opened: np.ndarray, start: int, goal: int) -> list[int]:
    """Breadth first from the start, neighbours down, left, right, up; the plain way to do it."""
    side = opened.shape[1]
    parents, queue = {start: start}, deque([start])
    while queue:
        cell = queue.popleft()
        for down, right in ((1, 0), (0, -1), (0, 1), (-1, 0)):
            row, column = cell // side + down, cell % side + right
            if 0 <= row < side and 0 <= column < side and opened[row, column]:
                near = row * side + column
                if near not in parents:
                    parents[near] = cell
                    queue.append(near)
    way = [goal]
    while way[-1] != start:
        way.append(parents[way[-1]])
    return way[::-1]


@pytest.mark.parametrize("side", [3, 9, 21])
def test_labels_are_what_a_breadth_first_search_finds(side: int) -> None:
    data = generate_mazes(WantedMazes(40), size=side, seed=0)
    for puzzle, answer, rating in zip(data.puzzles, data.answers, data.ratings, strict=True):
        start, goal = (int((puzzle == token).argmax()) for token in (START, GOAL))
        way = search((puzzle != WALL).reshape(side, side), start, goal)
        assert sorted(way) == np.flatnonzero(answer >= START).tolist()
        assert len(way) == rating >= usual_path(side)


@pytest.mark.parametrize("name", ["maze30_hard_train.csv.gz", "maze30_hard_test.csv.gz"])
def test_the_rule_reproduces_every_published_answer(name: str) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("the published mazes are not here")
    data = read_dataset(PUBLISHED / name, Maze())
    starts, goals = ((data.puzzles == token).argmax(1) for token in (START, GOAL))
    opened = (data.puzzles != WALL).reshape(-1, 30, 30)
    assert len(data) == 1000
    ours = shortest_paths(opened, starts, goals).reshape(len(data), -1)
    assert np.array_equal(ours, data.answers > GOAL)


def test_distances_on_bits_are_those_of_the_plain_search() -> None:
    data = generate_mazes(WantedMazes(20), size=13, seed=4)
    opened = (data.puzzles != WALL).reshape(-1, 13, 13)
    starts, goals = ((data.puzzles == token).argmax(1) for token in (START, GOAL))
    bits = as_bits(opened)
    ends = one_cell(starts, 13), one_cell(goals, 13)
    assert (distance_between(bits, *ends) == data.ratings - 1).all()
    _, moves = farthest(bits, ends[0])
    assert (moves >= data.ratings - 1).all()
    walled = np.zeros_like(bits) | ends[0] | ends[1]
    apart = distance_between(walled, *ends)
    assert (apart[data.ratings > 2] == -1).all()


def test_generated_mazes_are_as_wanted_and_the_seed_decides() -> None:
    wanted = WantedMazes(60, min_path=20, least_walls=0.35, most_walls=0.4)
    data = generate_mazes(wanted, size=11, seed=1)
    assert data.sha256 == generate_mazes(wanted, size=11, seed=1).sha256
    assert data.sha256 != generate_mazes(wanted, size=11, seed=2).sha256
    assert (data.ratings >= 20).all()
    assert 0.25 < (data.puzzles == WALL).mean() < 0.45
    assert len({puzzle.tobytes() for puzzle in data.puzzles}) == 60


@pytest.mark.parametrize(
    ("wanted", "size", "message"),
    [
        (WantedMazes(1), 2, "no maze of 2x2; choose a size of 3 to 64"),
        (WantedMazes(1), 65, "no maze of 65x65; choose a size of 3 to 64"),
        (WantedMazes(1, min_path=60), 9, "a shortest path of 60 cells: in a maze of 9x9 it has"),
        (WantedMazes(9, 40, 0.0, 0.05), 9, "found only 0 of 9 mazes of 9x9 with 40 cells on"),
    ],
)
def test_what_no_maze_can_be_is_refused(wanted: WantedMazes, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generate_mazes(wanted, size=size, seed=0)


def test_a_shortest_path_is_solved_whichever_it_is() -> None:
    puzzle, label = tokens(MAZE), tokens(ANSWER)
    square = tokens("S  \n   \n  G\n")
    ways = [tokens(text) for text in ("Soo\n  o\n  G\n", "S  \noo \n oG\n", "S  \no  \nooG\n")]
    for way in ways:
        assert Maze().rules_hold(square[None], way[None])[0]
        assert Maze().violations(square, way) == []
    assert Maze().rules_hold(puzzle[None], label[None])[0]


LONGER = "#Soo#\n# #o#\n# oo#\n##o##\n# oG#\n"
WRONG_ANSWERS = {
    "longer": (LONGER, True, {(1, 2): "the path takes 8 moves, the shortest 6"}),
    "a gap": (ANSWER.replace("##o##", "## ##"), False, {(3, 3): "the path breaks off", (5, 3): "the path breaks off"}),
    "a wall eaten": (ANSWER.replace("##o##", "# o##"), False, {(4, 2): "the wall was changed"}),
    "a wall built": ("#S ##\n#o# #\n#oo #\n##o##\n# oG#\n", False, {(1, 4): "the open cell was changed"}),
    "the goal gone": ("#S  #\n#o# #\n#oo #\n##o##\n# oo#\n", False, {(5, 4): "the goal was changed"}),
    "a branch": (
        "#S  #\n#o# #\n#ooo#\n##o##\n# oG#\n",
        False,
        {(3, 3): "the path branches", (3, 4): "the path breaks off"},
    ),
    "no path": (MAZE, False, {(1, 2): "no path at the start", (5, 4): "no path at the goal"}),
    "two at once": (
        "#Soo#\n#o#o#\n#ooo#\n##o##\n# oG#\n",
        False,
        {(1, 2): "two paths at the start", (3, 3): "the path branches"},
    ),
}


@pytest.mark.parametrize(("text", "valid", "rules"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_path_is_never_solved(text: str, valid: bool, rules: dict[tuple[int, int], str]) -> None:
    task, puzzle, answer = Maze(), tokens(MAZE), tokens(text)
    assert not task.rules_hold(puzzle[None], answer[None])[0]
    assert task.valid(puzzle[None], answer[None])[0] == valid
    found = {(v.row, v.column): v.rule for v in task.violations(puzzle, answer)}
    assert found == rules
    assert task.details(puzzle, answer)["valid"] == valid


def test_a_ring_beside_the_path_is_found() -> None:
    puzzle = tokens("SG   \n#####\n     \n     \n     \n")
    ring = tokens("SG   \n#####\nooo  \no o  \nooo  \n")
    assert not Maze().valid(puzzle[None], ring[None])[0]
    assert {v.rule for v in Maze().violations(puzzle, ring)} == {"a ring beside the path"}
    assert len(Maze().violations(puzzle, ring)) == 8


def test_details_give_the_path_from_start_to_goal() -> None:
    assert Maze().details(tokens(MAZE), tokens(ANSWER)) == {
        "valid": True,
        "path": [[1, 2], [2, 2], [3, 2], [3, 3], [4, 3], [5, 3], [5, 4]],
        "moves": 6,
        "shortest": 6,
    }
    assert Maze().details(tokens(MAZE), tokens(MAZE))["path"] is None


def test_mazes_are_read_as_people_write_them() -> None:
    line = "".join(MAZE.splitlines())
    spellings = [
        MAZE,
        MAZE.replace("\n", "\r\n"),
        MAZE.replace(" ", "."),
        MAZE.replace("#", "█"),
        f"\n\n{MAZE}\n\n",
        line,
        f'"source","question"\n"x","{line}"\n',
        f"question,answer\n{line},{line}\n",
    ]
    for text in spellings:
        read = list(Maze().read(text.splitlines(keepends=True), "test"))
        assert [puzzle.tokens.tolist() for puzzle in read] == [tokens(MAZE).tolist()]
    several = list(Maze().read((MAZE + "\n" + MAZE + "\n" + MAZE).splitlines(), "test"))
    assert [(puzzle.line, puzzle.height) for puzzle in several] == [(1, 5), (7, 5), (13, 5)]
    lines = list(Maze().read([line, line, "", line], "test"))
    assert [puzzle.line for puzzle in lines] == [1, 2, 4]
    assert Maze().write_rows(tokens(MAZE)) == MAZE


def test_an_open_row_is_no_gap_between_mazes() -> None:
    read = list(Maze().read(["S  ", "   ", "  G"], "test"))
    assert [puzzle.height for puzzle in read] == [3]


BAD_MAZES = {
    "empty": ("", "f:1: no maze in it; write # for a wall, a space or . for an open cell, S and G"),
    "no start": (MAZE.replace("S", " "), "f:1:1: no S in the maze; write one"),
    "two goals": (MAZE.replace("##\n", "#G\n"), "f:5:4: a second G, the first is at 4:5; keep one"),
    "walled in": (MAZE.replace("## ##", "#####"), "f:1:1: no way leads from S to G; open a wall"),
    "ragged": (
        MAZE.replace("#   #", "#   "),
        "f:3:5: 4 cells in a row, 5 in the first; make the rows of a maze equally long "
        "(. is an open cell that editors keep)",
    ),
    "a tab": (MAZE.replace("# # #", "#\t# #"), "f:2:2: a tab; write spaces, one for each open cell"),
    "an answer": (ANSWER, "f:2:2: 'o' marks the path of an answer; write a space in a puzzle"),
    "a letter": (
        MAZE.replace("S", "E"),
        "f:1:2: 'E' is no cell of a maze; write # for a wall, a space or . for an open cell, S and G",
    ),
    "not square": (MAZE + "#####\n", "f:1:1: a maze of 6x5; mazes are square: add columns of #"),
    "too small": ("SG\n  \n", "f:1:1: a maze of 2x2; give one of 3 to 64 cells a side"),
    "a line too long": (
        "S      G\n",
        "f:1:1: 8 cells on a line are no square maze; write a row a "
        "line, or all rows of a square maze one after another",
    ),
    "a header": ("question\n", "f:1: a CSV header and no maze; add rows below it"),
}


@pytest.mark.parametrize(("text", "message"), BAD_MAZES.values(), ids=BAD_MAZES)
def test_bad_mazes_are_refused_with_their_place(text: str, message: str) -> None:
    with pytest.raises(PuzzleError) as caught:
        list(Maze().read(text.splitlines(keepends=True), "f"))
    assert str(caught.value) == message


def test_a_data_set_keeps_its_spaces_and_a_longer_answer_is_refused(tmp_path: Path) -> None:
    data = generate_mazes(WantedMazes(5), size=9, seed=0)
    path = tmp_path / "m.csv"
    path.write_bytes(dataset_bytes(data, Maze(), gzipped=False))
    assert read_dataset(path, Maze()).sha256 == data.sha256
    one = "".join(MAZE.splitlines())
    path.write_text(f"question,answer\n{one},{''.join(LONGER.splitlines())}\n")
    with pytest.raises(PuzzleError) as caught:
        read_dataset(path, Maze())
    assert str(caught.value).endswith(
        "m.csv:2: the answer is wrong at row 1, column 2: the path takes 8 moves, the shortest 6; "
        "correct or remove the line"
    )


def test_there_are_eight_ways_to_redraw_a_maze() -> None:
    ways = Maze().symmetries(25, count=400, rng=np.random.default_rng(0))
    assert len({way.tobytes() for way in ways.cells}) == 8
