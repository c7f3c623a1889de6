"""What must hold for every task, whatever its puzzles are."""

from dataclasses import replace

import numpy as np
import pytest

from trm_cli.errors import UsageError
from trm_cli.tasks import TASKS, get_task
from trm_cli.tasks.base import PADDING, Dataset, Task


@pytest.fixture(scope="module", params=sorted(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    return get_task(request.param)


@pytest.fixture(scope="module")
def data(task: Task) -> Dataset:
    return make(task, seed=3)


def make(task: Task, seed: int) -> Dataset:
    return task.generate(replace(task.usual(6), puzzles=30), size=6, seed=seed)


def test_writing_and_reading_a_puzzle_gives_it_back(task: Task, data: Dataset) -> None:
    text = "\n".join(task.write(puzzle) for puzzle in data.puzzles)
    again = [puzzle.tokens for puzzle in task.read(text.splitlines(), "test")]
    assert np.array_equal(np.stack(again), data.puzzles)


def test_generated_answers_keep_the_rules(task: Task, data: Dataset) -> None:
    assert task.rules_hold(data.puzzles, data.answers).all()
    assert all(task.violations(puzzle, answer) == [] for puzzle, answer in zip(data.puzzles, data.answers, strict=True))


def test_a_symmetry_keeps_the_rules_and_its_inverse_undoes_it(task: Task, data: Dataset) -> None:
    ways = task.symmetries(data.puzzles.shape[1], count=len(data), rng=np.random.default_rng(0))
    puzzles, answers = ways.apply(data.puzzles), ways.apply(data.answers)
    assert (puzzles != data.puzzles).any(1).mean() > 0.7
    assert task.rules_hold(puzzles, answers).all()
    assert np.array_equal(ways.inverse().apply(puzzles), data.puzzles)


def test_one_changed_cell_breaks_a_rule(task: Task, data: Dataset) -> None:
    rng = np.random.default_rng(0)
    tokens = np.arange(1, task.vocab_size(data.answers.shape[1]))
    for puzzle, answer in zip(data.puzzles, data.answers, strict=True):
        cell = rng.integers(len(answer))
        changed = answer.copy()
        changed[cell] = rng.choice(tokens[tokens != answer[cell]])
        assert task.violations(puzzle, changed) != []
        assert not task.rules_hold(puzzle[None], changed[None])[0]


def test_padding_is_no_answer(task: Task, data: Dataset) -> None:
    changed = data.answers[0].copy()
    changed[0] = PADDING
    assert not task.rules_hold(data.puzzles[:1], changed[None])[0]
    assert [(v.row, v.column) for v in task.violations(data.puzzles[0], changed)] == [(1, 1)]


def test_violations_are_empty_exactly_where_the_rules_hold(task: Task, data: Dataset) -> None:
    rng = np.random.default_rng(5)
    answers = data.answers.copy()
    for row in range(0, len(answers), 2):
        first, second = rng.choice(answers.shape[1], 2, replace=False)
        answers[row, [first, second]] = answers[row, [second, first]]
    holds = task.rules_hold(data.puzzles, answers)
    assert 0 < holds.sum() < len(holds)
    for row, answer in enumerate(answers):
        assert (task.violations(data.puzzles[row], answer) == []) == holds[row]


def test_the_same_seed_generates_the_same_puzzles(task: Task, data: Dataset) -> None:
    again = make(task, seed=3)
    other = make(task, seed=4)
    assert again.sha256 == data.sha256 != other.sha256


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'chess' is not a task; choose from: arc, maze, sudoku"):
        get_task("chess")
