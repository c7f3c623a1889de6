"""Every spelling of a Sudoku gives the same puzzle; every mistake gives one line that helps."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ANSWER, PUZZLE, sudokus, tokens
from trm_cli.errors import PuzzleError
from trm_cli.tasks.inputs import find_source, infer_task, read_puzzles
from trm_cli.tasks.sudoku import TOGETHER, Sudoku
from trm_cli.tasks.sudoku_generator import BOXES
from trm_cli.tasks.tables import dataset_bytes, read_dataset

ROWS = [PUZZLE[i : i + 9] for i in range(0, 81, 9)]
BORDERED = "\n".join(
    ("------+-------+------\n" if i in (3, 6) else "") + " | ".join(" ".join(row[j : j + 3]) for j in (0, 3, 6))
    for i, row in enumerate(ROWS)
)
SPELLINGS = {
    "line": PUZZLE,
    "zeros": PUZZLE.replace(".", "0"),
    "underscores": PUZZLE.replace(".", "_"),
    "stars": PUZZLE.replace(".", "*"),
    "rows": "\n".join(ROWS),
    "spaced rows": "\n".join(" ".join(row) for row in ROWS),
    "borders": BORDERED,
    "box of ascii": "+-------+\n" + "\n".join(f"| {row} |" for row in ROWS) + "\n+-------+",
    "ss": "\n".join(
        ("-----------\n" if i in (3, 6) else "") + f"{row[:3]}|{row[3:6]}|{row[6:]}" for i, row in enumerate(ROWS)
    ),
    "sdk": "#A someone\n[Puzzle]\n" + "\n".join(ROWS) + "\n[State]\n",
    "simple sudoku": "*-----------*\n"
    + "\n".join(
        ("|---+---+---|\n" if i in (3, 6) else "") + f"|{row[:3]}|{row[3:6]}|{row[6:]}|" for i, row in enumerate(ROWS)
    )
    + "\n*-----------*\n",
    "hodoku": ".---.---.---.\n" + "\n".join(f"|{row}|" for row in ROWS) + "\n'---'---'---'",
    "box lines": "┌───────┬───────┬───────┐\n" + BORDERED.replace("|", "│"),
    "played sdk": "[Puzzle]\n" + "\n".join(ROWS) + f"\n[State]\n{ANSWER}\n",
    "bands apart": "\n\n".join("\n".join(ROWS[i : i + 3]) for i in (0, 3, 6)),
    "comments": f"# a puzzle\n\n{PUZZLE}  # and a remark\n",
    "crlf": "\r\n".join(ROWS) + "\r\n",
    "csv": f"source,question,answer,rating\nbook,{PUZZLE},{ANSWER},0\n",
    "quoted csv": f'"puzzle","solution"\n"{PUZZLE}","{ANSWER}"\n',
    "commented csv": f"# mine\nquestion,answer\n# easy\n{PUZZLE},{ANSWER}\n",
    "one column": f"question\n{PUZZLE}\n",
    "quoted column": f'"puzzle"\n"{PUZZLE}"\n',
    "rows in a csv cell": 'note,puzzle\n"two\nlines","' + "\n".join(ROWS) + '"\n',
    "csv without header": f"{PUZZLE},{ANSWER}\n",
    "kaggle": f"quizzes,solutions\n{PUZZLE.replace('.', '0')},{ANSWER}",
}


def read(text: str) -> list[str]:
    return [Sudoku().write(p.tokens) for p in Sudoku().read(text.splitlines(True), "f.txt")]


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_is_the_same_puzzle(text: str) -> None:
    assert read(text) == [PUZZLE]


def test_several_puzzles_in_mixed_spellings_keep_their_order() -> None:
    assert read(f"{PUZZLE}\n\n{BORDERED}\n{ANSWER}\n" + "\n".join(ROWS)) == [PUZZLE, PUZZLE, ANSWER, PUZZLE]


def test_plain_lines_are_read_together_as_each_by_itself_would_be(tmp_path: Path) -> None:
    grids = [Sudoku().write(one) for one in sudokus(50, side=9, givens=(30, 40)).puzzles]
    many = (grids * (3 * TOGETHER // 50))[: 2 * TOGETHER + 7]
    ends = ("\n", "\r\n", "  # easy\n", "\n\n", " \n")
    zeros = [grid.replace(".", "0_*."[i % 4]) for i, grid in enumerate(many)]
    text = "".join(grid + ends[i % 97 % 5] for i, grid in enumerate(zeros))
    (tmp_path / "many.txt").write_bytes(text.encode())
    found = read_puzzles(Sudoku(), find_source(str(tmp_path / "many.txt")))
    assert [Sudoku().write(puzzle.tokens) for puzzle in found] == many
    lines = text.split("\n")
    assert [lines[puzzle.line - 1][:81] for puzzle in found] == zeros

    wrong = list(zeros)
    wrong[TOGETHER + 5] = "55" + wrong[TOGETHER + 5][2:]
    (tmp_path / "wrong.txt").write_text("".join(grid + "\n" for grid in wrong))
    with pytest.raises(PuzzleError) as raised:
        read_puzzles(Sudoku(), find_source(str(tmp_path / "wrong.txt")))
    with pytest.raises(PuzzleError) as alone:
        Sudoku().read_one(wrong[TOGETHER + 5], TOGETHER + 6, str(tmp_path / "wrong.txt"))
    assert str(raised.value) == str(alone.value)
    assert f"wrong.txt:{TOGETHER + 6}:2: row 1 has the given 5 twice" in str(raised.value)

    header = "source,question\n"
    (tmp_path / "table.csv").write_text(header + "".join(f"made,{grid}\n" for grid in zeros))
    table = read_puzzles(Sudoku(), find_source(str(tmp_path / "table.csv")))
    assert [Sudoku().write(puzzle.tokens) for puzzle in table] == many
    assert [puzzle.line for puzzle in table] == list(range(2, len(many) + 2))
    (tmp_path / "table.csv").write_text(header + "".join(f"made,{grid}\n" for grid in wrong[: TOGETHER + 9]) + "made\n")
    with pytest.raises(PuzzleError, match=rf"table.csv:{TOGETHER + 7}:7: row 1 has the given 5 twice"):
        read_puzzles(Sudoku(), find_source(str(tmp_path / "table.csv")))  # before what is wrong in the last line


@pytest.mark.parametrize("text", ["1..4\n....\n....\n4..1", "1..4........4..1"])
def test_small_grids_are_read_too(text: str) -> None:
    assert read(text) == ["1..4........4..1"]


LARGE = {
    side: Sudoku().write(sudokus(1, side=side, givens=(count, count)).puzzles[0])
    for side, count in ((12, 70), (16, 130))
}


def large_spellings(side: int) -> dict[str, str]:
    """A grid of that side in every spelling of large ones."""
    height, width = BOXES[side]
    line = LARGE[side]
    rows = [line[i : i + side] for i in range(0, side * side, side)]
    numbers = [["." if c == "." else str(int(c, 36 if side > 9 else 10)) for c in row] for row in rows]
    border = "+".join(["-" * (2 * width + 1)] * (side // width))
    boxed = [" | ".join(" ".join(row[i : i + width]) for i in range(0, side, width)) for row in rows]
    numbered = [
        " │ ".join(" ".join(f"{n:>2}" for n in row[i : i + width]) for i in range(0, side, width)) for row in numbers
    ]
    banded = [one for i, row in enumerate(boxed) for one in ([border, row] if i and i % height == 0 else [row])]
    last = "123456789ABCDEFG"[side - 1]
    return {
        "line": line,
        "lower case": line.lower(),
        "zeros": line.replace(".", "0"),
        "hexadecimal": line.replace(last, "0"),
        "rows": "\n".join(rows),
        "bands apart": "\n\n".join("\n".join(rows[i : i + height]) for i in range(0, side, height)),
        "borders": "\n".join(banded),
        "numbers": "\n".join(numbered),
        "numbers and zeros": "\n".join(" ".join(row).replace(".", "0") for row in numbers),
        "numbers and commas": "\n".join(",".join(row).replace(".", "") for row in numbers),
        "JSON": json.dumps([[0 if n == "." else int(n) for n in row] for row in numbers]),
        "csv": f"question\n{line}\n",
    }


@pytest.mark.parametrize("side", [12, 16])
def test_every_spelling_of_a_large_grid_is_the_same_puzzle(side: int, tmp_path: Path) -> None:
    for name, text in large_spellings(side).items():
        path = tmp_path / "puzzle"
        path.write_text(text)
        task, source = infer_task(find_source(str(path)))
        assert [task.write(puzzle.tokens) for puzzle in read_puzzles(task, source)] == [LARGE[side]], name


def test_sixteen_cells_are_a_whole_grid_or_the_first_row_of_one() -> None:
    small = "1..4........4..1"
    assert read("\n".join([small] * 20)) == [small] * 20
    rows = [small.replace("4", "."), *(LARGE[16][i : i + 16] for i in range(16, 256, 16))]
    tokens_of_both = [len(text) for text in read("\n".join(rows).replace("1", ".") + "\n" + small)]
    assert tokens_of_both == [256, 16]


def test_large_data_sets_are_read_as_they_are_written(tmp_path: Path) -> None:
    data = sudokus(3, side=16, givens=(130, 150))
    path = tmp_path / "large.csv"
    path.write_bytes(dataset_bytes(data, Sudoku(), gzipped=False))
    assert read_dataset(path, Sudoku()).sha256 == data.sha256
    grid = Sudoku().as_array(data.answers[0])
    assert (grid.shape, grid.min(), grid.max()) == ((16, 16), 1, 16)


def test_a_6x6_grid_has_boxes_of_two_rows_and_three_columns() -> None:
    with pytest.raises(PuzzleError, match="box 1 has the given 5 twice"):
        read("5.....\n..5...\n......\n......\n......\n......")


MISTAKES = {
    "": "f.txt:1: no puzzle in it; write 81 digits a line, 0 or . for blanks",
    "# nothing": "f.txt:1: no puzzle in it; write 81 digits a line, 0 or . for blanks",
    PUZZLE[:80]: "f.txt:1:80: expected 81 cells on a line (or 9 for a row), got 80; write 0 or . for a blank",
    "\n" + PUZZLE[:40] + "x" + PUZZLE[41:]: "f.txt:2:41: 'x' is no digit; write 1 to 9, and 0 or . for a blank",
    "\0": "f.txt:1:1: character U+0000 is no digit; write 1 to 9, and 0 or . for a blank",
    "55" + PUZZLE[2:]: "f.txt:1:2: row 1 has the given 5 twice, first at 1:1; correct one of them",
    "\n".join(["5........"] * 9): "f.txt:2:1: column 1 has the given 5 twice, first at 1:1; correct one of them",
    "\n".join(ROWS[:7]): "f.txt:7: the grid that starts at line 1 has 7 rows of 9; add the missing ones",
    "\n".join([*ROWS[:4], ROWS[4][:8], *ROWS[5:]]): "f.txt:5:8: expected 9 cells, got 8; "
    "row 5 of the grid that starts at line 1 must be as long as the first",
    "17..............": "f.txt:1:2: 7 in a 4x4 grid; write 1 to 4, and 0 or . for a blank",
    "name,grid\na,b": "f.txt:1: the CSV header has no column named question, puzzle or quizzes; name one",
    "\n".join([*ROWS[:8], "", *ROWS]): "f.txt:8: the grid that starts at line 1 has 8 rows of 9; add the missing ones",
    f"source,question\nbook,{PUZZLE[:5]}x{PUZZLE[6:]}": "f.txt:2:11: 'x' is no digit; write 1 to "
    "9, and 0 or . for a blank",
    "a," + "1" * 200_000: "f.txt:1: not CSV (field larger than field limit (131072)); correct it",
    "question\n" + "1" * 200_000: "f.txt:2: not CSV (field larger than field limit (131072)); correct it",
    "question,answer\n": "f.txt:1: a CSV header and no puzzle; add rows below it",
    "." * 100 + "x" + "." * 155: "f.txt:1:101: 'x' is no symbol; write 1 to 9 and A to G, and 0 or . for a blank",
    "E" + "." * 143: "f.txt:1:1: E in a 12x12 grid; write 1 to 9 and A to C, and 0 or . for a blank",
    "A" + "." * 14 + "A" + "." * 240: "f.txt:1:16: row 1 has the given A twice, first at 1:1; correct one of them",
    "question,id,Question\n1,2,3": "f.txt:1: two columns named question; rename one",
    f'question\n"{PUZZLE}\n': "f.txt:2: not CSV (unexpected end of data); correct it",
    "1" * 64: "f.txt:1:64: 64 cells are a grid of 8x8; the grids known are 4x4, 6x6, 9x9, 12x12, 16x16",
    "question,answer\n123,4": "f.txt:2:1: expected 81 cells, got 3; write 0 or . for a blank",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_a_mistake_gives_one_line_with_place_and_remedy(text: str, message: str) -> None:
    with pytest.raises(PuzzleError) as caught:
        read(text)
    assert str(caught.value) == message


def test_a_changed_given_and_a_repeated_digit_are_named() -> None:
    puzzle, answer = tokens(PUZZLE), tokens(ANSWER)
    answer[0] = 4 + 1  # the given 5 becomes the 4 of row 1, column 3
    found = Sudoku().violations(puzzle, answer)
    assert [(v.row, v.column, v.rule) for v in found] == [
        (1, 1, "the given 5 was changed"),
        (1, 3, "4 twice in row 1"),
        (5, 1, "4 twice in column 1"),
    ]


def test_a_transposition_is_among_the_symmetries() -> None:
    pool = Sudoku().symmetries(81, count=64, rng=np.random.default_rng(0))
    row_becomes_column = [np.ptp(cells[:9] % 9) == 0 for cells in pool.cells]
    assert 16 < sum(row_becomes_column) < 48


def test_an_answer_is_valid_by_itself_and_holds_only_if_it_keeps_the_givens() -> None:
    other = tokens(ANSWER.translate(str.maketrans("12", "21")))
    broken = np.roll(tokens(ANSWER), 1)
    puzzles, answers = np.stack([tokens(PUZZLE)] * 3), np.stack([tokens(ANSWER), other, broken])
    assert Sudoku().valid(puzzles, answers).tolist() == [True, True, False]
    assert Sudoku().rules_hold(puzzles, answers).tolist() == [True, False, False]
