"""Puzzles are found wherever a user has them, in whatever spelling, and whatever is none is told what it is."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from trm_cli.errors import PuzzleError, TRMError, UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.inputs import Source, find_puzzles, find_source, find_sources, infer_task, read_puzzles, tasks_of

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ROWS = [PUZZLE[start : start + 9] for start in range(0, 81, 9)]
NUMBERS = [[0 if cell == "." else int(cell) for cell in row] for row in ROWS]
MAZE = "S..#\n.#..\n.#.#\n...G\n"
ARC = json.dumps({"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[2]]}]})


def separated(separator: str, blank: str) -> str:
    return "\n".join(separator.join(row).replace(".", blank) for row in ROWS)


SPELLINGS = {
    "a line": PUZZLE,
    "rows": "\n".join(ROWS),
    "commas and zeros": separated(", ", "0"),
    "commas and nothing": separated(",", ""),
    "semicolons": separated(";", ""),
    "tabs": separated("\t", ""),
    "quoted cells": "\n".join(",".join(f'"{cell}"' for cell in row).replace(".", "") for row in ROWS),
    "81 cells with commas": ",".join(PUZZLE),
    "an .sdk file": "[Puzzle]\n" + "\n".join(ROWS),
    "a table": f"source,question\nx,{PUZZLE}\n",
    "JSON rows of numbers": json.dumps(NUMBERS),
    "JSON rows with null": json.dumps([[cell or None for cell in row] for row in NUMBERS], indent=2),
    "JSON rows of text": json.dumps(ROWS),
    "a JSON list": json.dumps([PUZZLE]),
    "JSON boards": json.dumps([NUMBERS]),
    "a JSON object": json.dumps({"puzzle": PUZZLE, "answer": "?"}),
    "a JSON object of many": json.dumps({"puzzles": [PUZZLE]}, indent=1),
    "after empty lines": f"\n\n[\n{json.dumps(PUZZLE)}\n]\n",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_puzzle_in_any_spelling_is_read_and_its_task_is_seen(text: str, tmp_path: Path) -> None:
    path = tmp_path / "puzzle"
    path.write_text(text)
    task, source = infer_task(find_source(str(path)))
    found = read_puzzles(task, source)
    assert (task.name, [task.write(puzzle.tokens) for puzzle in found]) == ("sudoku", [PUZZLE])
    if "," not in text or "[" in text:  # else it could be a name
        assert list(map(task.write, read_puzzles(task, Source("puzzle", text=text)).tokens)) == [PUZZLE]


def test_json_lines_and_what_trm_solve_writes_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"index": index, "puzzle": PUZZLE}) + "\n" for index in range(3)))
    found = read_puzzles(get_task("sudoku"), find_source(str(path)))
    assert [puzzle.line for puzzle in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"puzzle": "53', "puzzle:1: not JSON ("),
        ('{"quiz": "53"}', "puzzle:1: an object without a field named question or puzzle or quizzes; add one"),
        ("[1, 2]", "puzzle:1: 1 where a puzzle should be; write text or rows"),
        ('{"puzzle": 5}', "puzzle:1: 5 is no puzzle; write text or rows"),
        ("[[10, 1], [1, 1]]", "puzzle:1: '10' in one cell; write one digit or letter a cell"),
        (json.dumps(PUZZLE[:80]).join("[]"), "puzzle:1:1: expected 81 cells, got 80; write 0 or . for a blank"),
        (PUZZLE[:80], "puzzle:1:80: expected 81 cells on a line (or 9 for a row), got 80"),
        ("0" * 100 + "A" * 10 + "." * 515, "puzzle:1: a Sudoku of 25x25; the grids known are 4x4, 6x6, 9x9, 12x12, 16"),
        ("1..4..A..B....G......P...\n" * 25, "puzzle:1: a Sudoku of 25x25; the grids known are 4x4, 6x6, 9x9, 12x12"),
        ("\n".join([",".join(map(str, range(1, 26)))] * 25), "puzzle:1: a Sudoku of 25x25; the grids known are"),
        (MAZE, "puzzle: this looks like a maze, not a sudoku; write trm solve maze"),
        (ARC, "puzzle: this looks like an arc, not a sudoku; write trm solve arc"),
    ],
)
def test_what_is_no_sudoku_is_told_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(PuzzleError) as refused:
        read_puzzles(get_task("sudoku"), find_source(text))
    assert str(refused.value).startswith(message)


def test_the_other_task_is_named_with_the_file_and_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "maze.txt"
    path.write_text(MAZE)
    with pytest.raises(
        PuzzleError, match=f"^{path}: this looks like a maze, not a sudoku; write trm solve maze {path}$"
    ):
        read_puzzles(get_task("sudoku"), find_source(str(path)))
    path.write_text(PUZZLE)
    with pytest.raises(PuzzleError, match=f"this looks like a sudoku, not a maze; write trm solve sudoku {path}$"):
        read_puzzles(get_task("maze"), find_source(str(path)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(MAZE.encode()))))
    with pytest.raises(PuzzleError, match="stdin: this looks like a maze"):
        read_puzzles(get_task("sudoku"), find_source("-"))


def test_a_wrong_puzzle_of_the_right_task_keeps_its_own_message() -> None:
    with pytest.raises(PuzzleError, match="row 1 has the given 5 twice"):
        read_puzzles(get_task("sudoku"), find_source("55" + PUZZLE[2:]))
    with pytest.raises(PuzzleError, match="no way leads from S to G"):
        read_puzzles(get_task("maze"), find_source("S#G\n###\n...\n"))


def test_a_task_is_seen_in_its_puzzles_alone() -> None:
    assert [[task.name for task in tasks_of(text)] for text in (PUZZLE, MAZE, ARC, "hello", "12")] == [
        ["sudoku"],
        ["maze"],
        ["arc"],
        [],
        [],
    ]
    assert [task.name for task in tasks_of(json.dumps([PUZZLE] * 9, indent=1)[:300])] == ["sudoku"]  # cut short


def test_words_are_a_task_files_and_puzzles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("easy.txt").write_text(PUZZLE)
    Path("maze.txt").write_text(MAZE)
    task, sources = find_sources(["sudoku", "easy.txt", PUZZLE, "-"])
    assert task is not None
    assert task.name == "sudoku"
    assert [source.name for source in sources] == ["easy.txt", "puzzle", "stdin"]
    assert find_puzzles(["easy.txt"])[0].name == "sudoku"
    assert find_puzzles([MAZE])[0].name == "maze"
    assert find_sources(["maze"])[1] == find_sources([])[1] == [Source("stdin")]
    refusals = {
        ("easi.txt",): "easi.txt: no such file, and not a task or a puzzle; did you mean easy.txt?",
        ("sudoku", "esy.txt"): "esy.txt: no such file, and not a puzzle; did you mean easy.txt?",
        ("sudko",): "'sudko' is not a task; choose from: arc, maze, sudoku, or install the package that adds it; did",
        ("sudko", "easy.txt"): "'sudko' is not a task",
        ("nonsense",): "'nonsense' is not a task; choose from: arc, maze, sudoku, or install the package that adds it",
        ("non/sense",): "non/sense: no such file, and not a task or a puzzle; check the path",
        ("easy.txt", "maze.txt"): "maze.txt: holds a maze, easy.txt a sudoku; solve them one by one",
    }
    for words, message in refusals.items():
        with pytest.raises(TRMError) as refused:
            find_puzzles(list(words))
        assert str(refused.value).startswith(message)


def test_a_text_of_no_known_kind_asks_for_the_task(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader,\n")
    with pytest.raises(PuzzleError, match="puzzle: no puzzle in it"):
        infer_task(Source("puzzle", text=" \n"))
    with pytest.raises(UsageError, match="Name it before the file: one of sudoku, maze, arc"):
        infer_task(find_source(str(path)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["ab", 5]', "1:1: 'a' is no digit"),
        ("[[1e999]]", "'inf' in one cell"),
        ('[["' + "1" * 5000 + '"]]', "puzzle:1: '11111111111111111111' in one cell"),
        ("[[" + "1" * 4000 + "]]", "puzzle:1: 'many digits' in one cell"),
        ("[[NaN]]", "not JSON: NaN is no number"),
        (json.dumps([[1] * 70_000]), "more than 65,536 cells in one puzzle"),
        ("1" * 70_000, "70,000 characters are no grid"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ("[" + "1" * 5000 + "]", "not JSON: a number of too many digits"),
    ],
)
def test_what_no_puzzle_could_be_is_refused_in_a_line(text: str, message: str) -> None:
    with pytest.raises(PuzzleError, match=message):
        read_puzzles(get_task("sudoku"), Source("puzzle", text=text))


def test_where_a_text_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"{PUZZLE} # é\n".encode() + PUZZLE[:80].encode() + b"\xff\n")
    with pytest.raises(PuzzleError, match=r"a.txt:2:81: not a text file; save it as UTF-8 text"):
        read_puzzles(get_task("sudoku"), find_source(str(path)))


def test_a_board_has_no_more_rows_than_the_largest() -> None:
    with pytest.raises(PuzzleError, match="puzzle:65: more than 64 rows of a maze; give one of 3 to 64 cells a side"):
        read_puzzles(get_task("maze"), Source("puzzle", text="##\n" * 10_000))


def test_a_file_of_too_many_puzzles_is_to_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_cli.tasks.inputs.MOST_BYTES", 3 * 89)
    source = Source("puzzle", text=f"{PUZZLE}\n" * 3)
    assert len(read_puzzles(get_task("sudoku"), source)) == 3
    with pytest.raises(PuzzleError, match="puzzle:4: more than 3 puzzles; split the file"):
        read_puzzles(get_task("sudoku"), Source("puzzle", text=f"{PUZZLE}\n" * 4))


@pytest.mark.parametrize("words", ["solve sudoku", "solve", "watch maze", "eval sudoku --data"])
@pytest.mark.parametrize("source", ["zeros", "zeros.gz"])
def test_what_has_no_end_is_not_read_to_its_end(words: str, source: str, tmp_path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no endless file here")
    member = gzip.compress(bytes(1 << 20))
    (tmp_path / "zeros.gz").write_bytes(member * 1000)  # a gigabyte
    (tmp_path / "zeros").symlink_to("/dev/zero")
    command = f"ulimit -v 1500000; {sys.executable} -m trm_cli {words} {source}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr == f"trm: {source}:1: more than 8,388,608 characters on a line; write shorter ones\n"
    assert done.returncode == 2


def test_lines_without_anything_come_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "blank.gz"
    path.write_bytes(gzip.compress(b"\n" * (1 << 20)) * 300)
    for task in ("sudoku", "maze"):
        with pytest.raises(PuzzleError, match=r"blank.gz:65537: more than 65,536 empty lines in a row; leave them out"):
            read_puzzles(get_task(task), find_source(str(path)))


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        ("", "comments.gz:65537: 65,536 lines without a puzzle; leave them out"),
        (f"question\n{PUZZLE}\n", "comments.gz:2: not CSV .65,536 lines without a row.; correct it"),
    ],
)
def test_comments_come_to_an_end(beginning: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "comments.gz"
    path.write_bytes(gzip.compress(beginning.encode()) + gzip.compress(b"# x\n" * (1 << 20)) * 300)
    with pytest.raises(PuzzleError, match=message):
        read_puzzles(get_task("sudoku"), find_source(str(path)))


def test_a_trace_is_told_from_a_puzzle() -> None:
    source = Source("run.jsonl", text='{"trace": 1, "task": "sudoku"}\n')
    with pytest.raises(PuzzleError, match=r"run.jsonl: a recorded run, not a puzzle; show it with trm watch --replay"):
        infer_task(source)
    with pytest.raises(PuzzleError, match=r"run.jsonl: a recorded run, not a puzzle; show it with trm watch --replay"):
        read_puzzles(get_task("sudoku"), source)


def test_words_that_name_nothing_are_told_so(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(PuzzleError, match=r"link: no such file, and not a puzzle; check the path"):
        find_source(str(tmp_path / "link"))
    with pytest.raises(PuzzleError, match=r"an empty word is no file, and not a puzzle; name one, or - for stdin"):
        find_source("")
    with pytest.raises(PuzzleError, match="true in one cell"):
        read_puzzles(get_task("sudoku"), Source("puzzle", text="[[true]]"))
