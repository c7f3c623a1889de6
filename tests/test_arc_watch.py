"""`trm watch arc`: what is said of answers that are known, and of those that are not."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.arc_tasks import SIDE, save_untrained, small_data
from tests.test_cli import trm
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_grids import as_json, encode, parse_problems
from trm_cli.tasks.problems import ProblemData


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="module")
def model(data: ProblemData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("model"), data)


def test_a_known_task_is_watched_and_saved(data: ProblemData, model: Path, tmp_path: Path) -> None:
    path, trace, page = (tmp_path / name for name in ("task.json", "t.jsonl", "p.html"))
    path.write_text(json.dumps(as_json(data.tests[0])))
    done = trm("watch", "arc", path, "--model", model, "--save", trace, "--save", page)
    assert done.returncode == 1
    assert "step 1 of 1" in done.stdout
    assert "not solved" in done.stdout
    assert "colour0" in page.read_text()
    assert trm("watch", "--replay", trace).returncode in (0, 1)
    two = tmp_path / "two.json"
    two.write_text(json.dumps({task.name: as_json(task) for task in data.tests}))
    done = trm("watch", "arc", two, "--model", model)
    assert done.stderr == (f"trm: {two}: 2 tasks; watch one at a time, from a file of its own\n")


def test_an_answer_is_judged_by_the_file_s_where_that_is_known(data: ProblemData) -> None:
    task = data.tests[0]
    answers = [encode(answer, side=SIDE) for answer in task.answers if answer is not None]
    told, untold = Arc().judged_by_answers(task, SIDE), Arc().judged_by_answers(task.without_answers(), SIDE)
    boards = np.stack([puzzle.tokens for puzzle in told.tests_of(task, SIDE)])
    assert told.rules_hold(boards, np.stack(answers)).all()
    assert untold.rules_hold(boards, np.stack(answers)).all()
    other = encode(np.zeros((2, 5), np.uint8), side=SIDE)
    assert untold.violations(boards[0], other) == []
    assert told.violations(boards[0], other) != []
    assert untold.violations(boards[0], np.zeros_like(other)) != []
    assert (told.praise, untold.praise) == ("solved", "a whole grid")


def test_what_is_written_is_read_back(data: ProblemData) -> None:
    arc, task = Arc(SIDE), data.tests[0]
    (puzzle, *_) = arc.read([json.dumps(as_json(task))], "f.json")
    (again,) = parse_problems(
        json.dumps({**as_json(task), "test": [{"input": json.loads(arc.write(puzzle.tokens))}]}), "f.json", "x"
    )
    assert np.array_equal(again.tests[0], task.tests[0])
