import gzip
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ANSWER, PUZZLE, sudokus
from trm_cli.errors import PuzzleError
from trm_cli.tasks.base import UNRATED, Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import Survey, dataset_bytes, first_rows, join, read_chunks, read_dataset, survey

SWAP = str.maketrans("78", "87")
HEADER = "source,question,answer,rating\n"


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_written_data_set_is_read_back(tmp_path: Path, small_data: Dataset, gzipped: bool) -> None:
    odd = replace(small_data, sources=['a "book", page 3'] * len(small_data))
    content = dataset_bytes(odd, Sudoku(), gzipped=gzipped)
    (tmp_path / "d").write_bytes(content)
    again = read_dataset(tmp_path / "d", Sudoku())
    assert (again.sha256, again.sources) == (odd.sha256, odd.sources)
    assert dataset_bytes(again, Sudoku(), gzipped=gzipped) == content


def test_sources_and_ratings_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"{HEADER}book,{PUZZLE},{ANSWER},7\n,{PUZZLE},{ANSWER},\n")
    data = read_dataset(path, Sudoku())
    assert data.sources == ["book", ""]
    assert data.ratings.tolist() == [7, UNRATED]


def test_other_names_of_the_columns_are_known(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"quizzes,solutions\n{PUZZLE},{ANSWER}\n")
    assert len(read_dataset(path, Sudoku())) == 1


def test_plain_rows_and_rows_spelled_in_other_ways_read_alike(tmp_path: Path) -> None:
    bars = "|".join(PUZZLE[i : i + 27] for i in (0, 27, 54))
    texts = {"plain": PUZZLE, "zeros": PUZZLE.replace(".", "0"), "bars": bars}
    found = []
    for name, text in texts.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(f"question,answer\n{PUZZLE},{ANSWER}\n{text},{ANSWER}\n")
        found.append(read_dataset(path, Sudoku()).sha256)
    assert len(set(found)) == 1


def test_a_wrong_row_far_down_a_long_file_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [f"{PUZZLE},{ANSWER}\n"] * 70_000
    rows[69_999] = f"{PUZZLE},{ANSWER.translate(SWAP)}\n"
    path.write_text("question,answer\n" + "".join(rows))
    with pytest.raises(PuzzleError, match=r"long\.csv:70001: the answer is wrong at row 1"):
        read_dataset(path, Sudoku())


MISTAKES = {
    f"{HEADER}a,{PUZZLE},{ANSWER[:-2]}97,0\n": "d.csv:2:80: column 8 has the given 9 twice",
    f"{HEADER}a,{PUZZLE},{ANSWER.translate(SWAP)},0\n": "d.csv:2: the answer is wrong at row 1, "
    "column 5: the given 7 was changed; correct or remove the line",
    f"{HEADER}a,{PUZZLE},{ANSWER},0\nb,{PUZZLE},{ANSWER[1:]},0\n": "d.csv:3:1: expected 81 cells, got 80",
    f"question,rating\n{PUZZLE},1\n": "d.csv:1: no column named answer or solution",
    HEADER: "d.csv: no rows below the header",
    f"{HEADER}a,{PUZZLE}\n": "d.csv:2: no answer",
    f"{HEADER}a,{PUZZLE},{ANSWER},hard\n": "d.csv:2: the rating 'hard' is no whole number",
    f"{HEADER}a,{PUZZLE},{ANSWER},-5\n": "d.csv:2: the rating '-5' is no whole number",
    f"{HEADER}# a remark\na,{PUZZLE},{ANSWER[:80]}\n": "d.csv:3:1: expected 81 cells, got 80",
    f"{HEADER}{'a' * 200_000},{PUZZLE},{ANSWER},0\n": "d.csv:2: not CSV",
    f'{HEADER}a,{PUZZLE},"{ANSWER},0\n': "d.csv:2: not CSV",
    f"question,Answer,answer\n{PUZZLE},{ANSWER},{ANSWER}\n": "d.csv:1: two columns named answer; rename one",
    "": "d.csv:1: no column named",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_a_wrong_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(PuzzleError) as caught:
        read_dataset(tmp_path / "d.csv", Sudoku())
    assert message in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_gzip_file_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "d.csv.gz"
    content = gzip.compress(random.Random(0).randbytes(999).hex().encode())
    flipped = content[:20] + bytes(255 - byte for byte in content[20:40]) + content[40:]
    path.write_bytes(content[:40] if damage == "truncated" else flipped)
    with pytest.raises(PuzzleError, match="a damaged gzip file"):
        read_dataset(path, Sudoku())


def test_sets_of_different_sizes_do_not_join(small_data: Dataset) -> None:
    larger = sudokus(2, side=6, givens=(10, 12), seed=0)
    with pytest.raises(PuzzleError, match="different sizes"):
        join([small_data, larger])
    assert len(join([small_data, small_data])) == 120


def test_the_hash_depends_on_the_rows_alone(small_data: Dataset) -> None:
    assert small_data.rows(np.arange(60)).sha256 == small_data.sha256
    assert small_data.head(59).sha256 != small_data.sha256


@pytest.mark.parametrize("limit", [None, 1, 7, 8, 500])
def test_parts_of_a_file_are_the_file_and_a_survey_knows_it(
    tmp_path: Path, small_data: Dataset, limit: int | None
) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(dataset_bytes(small_data, Sudoku(), gzipped=False))
    parts = list(first_rows(read_chunks(path, Sudoku(), 7), limit))
    assert max(len(part) for part in parts) <= 7
    whole, head = join(parts), small_data.head(limit)
    assert (whole.sha256, whole.sources) == (head.sha256, head.sources)
    assert survey(path, Sudoku(), limit) == Survey(len(head), 16, head.sha256)


def test_a_pipe_is_refused_where_it_would_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(PuzzleError, match="save it to a file first"):
        survey(path, Sudoku())


def test_parts_of_different_sizes_are_refused(tmp_path: Path, small_data: Dataset) -> None:
    path = tmp_path / "d.csv"
    rows = dataset_bytes(small_data.head(1), Sudoku(), gzipped=False).decode()
    path.write_text(f"{rows},{PUZZLE},{ANSWER},\n")
    with pytest.raises(PuzzleError, match="puzzles of different sizes; keep one size to a file"):
        list(read_chunks(path, Sudoku(), 1))
