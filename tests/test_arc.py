import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arc_tasks import made_task, made_tasks, write_challenges
from trm_cli.errors import PuzzleError
from trm_cli.tasks.arc_grids import (
    END,
    SIDE,
    TURNS,
    ArcView,
    as_json,
    canonical,
    decode,
    encode,
    parse_problems,
    read_problems,
    split_names,
)

TASK = {"train": [{"input": [[0, 7], [7, 7]], "output": [[7]]}], "test": [{"input": [[0, 0]]}]}
REAL = Path(__file__).parents[2] / "shared" / "data" / "arc"


def test_a_grid_is_written_with_its_end_markers_and_read_back() -> None:
    board = encode(np.array([[3, 0], [0, 9]], np.uint8), (1, 2)).reshape(SIDE, SIDE)
    assert board[:4, :5].tolist() == [[0, 0, 0, 0, 0], [0, 0, 5, 2, 1], [0, 0, 2, 11, 1], [0, 0, 1, 1, 0]]
    assert board.sum() == 5 + 2 + 2 + 11 + 4
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (30, 30), (30, 3), (4, 30), (7, 5)]:
        grid = rng.integers(0, 10, (height, width), dtype=np.uint8)
        decoded = decode(encode(grid))
        assert decoded.is_whole
        assert np.array_equal(decoded.grid, grid)  # type: ignore[arg-type] # there is one


def test_a_prediction_without_end_markers_is_cropped_and_one_without_colours_is_none() -> None:
    whole = encode(np.full((3, 4), 5, np.uint8)).reshape(SIDE, SIDE)
    frayed = whole.copy()
    frayed[1, 4] = 0  # an end marker that is missing
    frayed[2, 3] = END  # a cell that is none: rows 1 and 2 of 4 are more than 3 rows of 2
    decoded = decode(frayed.reshape(-1))
    assert (decoded.grid.shape if decoded.grid is not None else None) == (3, 3)
    assert not decoded.is_whole
    assert decode(np.ones(900, np.uint8)).grid is None


def test_every_way_is_undone_and_its_name_says_it() -> None:
    rng = np.random.RandomState(0)
    grid = rng.randint(0, 10, (3, 5)).astype(np.uint8)
    for turn in range(len(TURNS)):
        way = ArcView(turn, ArcView.draw(rng).colours)
        assert np.array_equal(way.undo(way.apply(grid)), grid)
        (task,), (digits,) = split_names([way.name_of("007bbfb7")])
        again = ArcView.of_digits(digits)
        assert (task, again.turn) == ("007bbfb7", turn)
        assert np.array_equal(again.colours, way.colours)
        assert way.colours[0] == 0
    assert ArcView.of_digits(split_names(["007bbfb7"])[1][0]).turn == 0


def test_what_is_redrawn_is_recognised_and_nothing_else() -> None:
    rng = np.random.RandomState(1)
    pair = (rng.randint(0, 6, (4, 3)).astype(np.uint8), rng.randint(0, 6, (2, 3)).astype(np.uint8))
    for _ in range(20):
        way = ArcView.draw(rng)
        assert canonical((way.apply(pair[0]), way.apply(pair[1]))) == canonical(pair)
    other = pair[1].copy()
    other[0, 0] = 0 if other[0, 0] else 9
    assert canonical((pair[0], other)) != canonical(pair)


def test_one_task_many_tasks_folders_and_gzip_are_read(tmp_path: Path) -> None:
    tasks = made_tasks(3, seed=0)
    for name, known in tasks.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(known))
    whole = tmp_path / "many.json.gz"
    whole.write_bytes(gzip.compress(json.dumps(tasks).encode()))
    assert [task.name for task in read_problems(tmp_path / "task1.json")] == ["task1"]
    assert [as_json(task) for task in read_problems(whole)] == list(tasks.values())
    whole.unlink()
    assert [as_json(task) for task in read_problems(tmp_path)] == list(tasks.values())


def test_kaggle_s_solutions_are_found_beside_their_challenges(tmp_path: Path) -> None:
    tasks = made_tasks(3, seed=0)
    path = write_challenges(tmp_path, "arc-agi_training", tasks)
    assert [as_json(task) for task in read_problems(path)] == list(tasks.values())
    path.with_name("arc-agi_training_solutions.json").unlink()
    assert all(answer is None for task in read_problems(path) for answer in task.answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t["train"][0]["input"][1].__setitem__(0, 11),
            "train 1, input, row 2, column 1: 11 is no colour; colours are 0 to 9",
        ),
        (
            lambda t: t["train"][0]["input"][1].append(0),
            "train 1, input, row 2: 3 cells after rows of 2; make all rows as long",
        ),
        (lambda t: t["test"][0].update(input=[[0] * 31]), "test 1, input: 1x31 cells; a grid has at most 30x30"),
        (lambda t: t.pop("test"), 'no list "test"; a task has "train" and "test"'),
        (lambda t: t.update(test=[]), '"test" is empty; add a pair'),
        (lambda t: t["train"][0].pop("output"), 'train 1: no "output"; add the grid'),
        (lambda t: t["test"][0].update(input=[]), "test 1, input: expected rows of colours, such as [[0, 3], [3, 0]]"),
        (
            lambda t: t["test"][0].update(input=[[True]]),
            "test 1, input, row 1, column 1: true is no colour; colours are 0 to 9",
        ),
    ],
    ids=["colour 11", "ragged", "too large", "no test", "empty", "no output", "no rows", "true"],
)
def test_a_bad_task_is_refused_in_one_line(change: Any, message: str) -> None:
    task = json.loads(json.dumps(TASK))
    change(task)
    separator = " " if message.startswith(("no list", '"')) else ", "
    joined = f"f.json: task x:{separator}" if separator == " " else "f.json: task x, "
    with pytest.raises(PuzzleError) as caught:
        parse_problems(json.dumps(task), "f.json", "x")
    assert str(caught.value) == joined + message


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"a": 3}', "[" * 100_000])
def test_what_is_no_task_is_refused(text: str) -> None:
    with pytest.raises(PuzzleError, match=r"^f\.json: "):
        parse_problems(text, "f.json", "x")


def test_a_task_s_digest_is_that_of_its_demonstrations() -> None:
    known = made_task(np.random.RandomState(0), 5)
    (first,) = parse_problems(json.dumps(known), "f.json", "x")
    known["test"][0]["input"] = [[1]]
    (second,) = parse_problems(json.dumps(known), "f.json", "other")
    assert first.digest == second.digest
    known["train"][0]["output"] = [[1, 2]]
    (third,) = parse_problems(json.dumps(known), "f.json", "x")
    assert third.digest != first.digest


@pytest.mark.skipif(not REAL.is_dir(), reason="the real tasks are not here")
def test_the_real_tasks_are_all_read() -> None:
    for name, count in (("arc1_training", 400), ("arc2_evaluation", 120), ("concept", 160)):
        assert len(read_problems(REAL / f"{name}.json.gz")) == count


def test_on_a_smaller_board_grids_are_written_and_read_as_well() -> None:
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (7, 7), (7, 2), (3, 6)]:
        grid = rng.integers(0, 10, (height, width), dtype=np.uint8)
        board = encode(grid, side=7)
        assert len(board) == 49
        decoded = decode(board)
        assert decoded.is_whole
        assert np.array_equal(decoded.grid, grid)  # type: ignore[arg-type] # there is one
