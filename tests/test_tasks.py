"""What must hold for every task, whatever its puzzles are; of a capability, for those that have it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.tasks import get_task, task_names
from trm_cli.tasks.base import (
    PADDING,
    Dataset,
    Generator,
    Layout,
    Rules,
    Symmetries,
    Task,
    Transforms,
    draw_transforms,
    generator_of,
    rules_of,
)
from trm_cli.tasks.problems import Demonstrated

NUM_PUZZLES, SIZE = 30, 6


@dataclass(frozen=True)
class Solved:
    """A task, puzzles of it with their answers, and the text that holds them."""

    task: Task
    data: Dataset
    text: list[str]  # the puzzles, as lines that the task reads


def make(task: Task, seed: int) -> Dataset:
    generator = generator_of(task)
    return generator.generate(replace(generator.usual(SIZE), puzzles=NUM_PUZZLES), size=SIZE, seed=seed)


def demonstrated(task: Task) -> Solved:
    """Problems drawn at random: what their answers are is what the file says."""
    assert isinstance(task, Demonstrated)
    rng = np.random.default_rng(3)
    grids = rng.integers(0, 10, (NUM_PUZZLES, 2, 4, 5)).tolist()
    tests = [{"input": first, "output": second} for first, second in grids]
    text = json.dumps({"train": tests[:1], "test": tests})
    (problem,) = task.parse_problems(text, "test", "drawn")
    judge = task.judged_by_answers(problem, SIZE)
    puzzles = np.stack([puzzle.tokens for puzzle in judge.read([text], "test")])
    answers = np.stack([task.encode(answer, side=SIZE) for answer in problem.answers if answer is not None])
    return Solved(judge, Dataset.generated(puzzles, answers), [text])


@pytest.fixture(scope="module", params=task_names())
def solved(request: pytest.FixtureRequest) -> Solved:
    task = get_task(request.param)
    if isinstance(task, Demonstrated):
        return demonstrated(task)
    data = make(task, seed=3)
    return Solved(task, data, [task.write(puzzle) for puzzle in data.puzzles])


@pytest.fixture
def rules(solved: Solved) -> Rules:
    return rules_of(solved.task)


def changed(answer: NDArray[np.uint8], cell: int, token: int) -> NDArray[np.uint8]:
    again: NDArray[np.uint8] = answer.copy()
    again[cell] = token
    return again


def test_reading_a_text_gives_its_puzzles(solved: Solved) -> None:
    again = [puzzle.tokens for puzzle in solved.task.read(solved.text, "test")]
    assert np.array_equal(np.stack(again), solved.data.puzzles)


def test_every_token_is_below_the_vocabulary(solved: Solved) -> None:
    num_cells = solved.data.puzzles.shape[1]
    assert max(solved.data.puzzles.max(), solved.data.answers.max()) < solved.task.vocab_size(num_cells)
    height, width, box_height, box_width = solved.task.boxes(num_cells)
    assert height * width == num_cells
    assert height % box_height == width % box_width == 0


def test_a_board_of_an_impossible_size_is_refused(solved: Solved) -> None:
    with pytest.raises(PuzzleError, match="37"):
        solved.task.boxes(37)


def test_every_cell_is_drawn_in_a_role_that_the_task_knows(solved: Solved) -> None:
    for puzzle, answer in zip(solved.data.puzzles, solved.data.answers, strict=True):
        for tokens in (puzzle, answer, np.zeros_like(answer)):
            cells = solved.task.cells(puzzle, tokens)
            assert len(cells) == len(tokens)
            assert {cell.role for cell in cells} <= set(solved.task.roles)
            assert all(len(cell.glyph) <= 1 for cell in cells)
    assert solved.task.layout in Layout


def test_the_examples_of_a_task_are_puzzles(solved: Solved) -> None:
    if solved.task.examples:
        assert list(solved.task.read(solved.task.examples.splitlines(), "example"))


def test_true_answers_keep_the_rules(solved: Solved, rules: Rules) -> None:
    assert rules.rules_hold(solved.data.puzzles, solved.data.answers).all()
    pairs = zip(solved.data.puzzles, solved.data.answers, strict=True)
    assert all(rules.violations(puzzle, answer) == [] for puzzle, answer in pairs)


def test_one_changed_cell_breaks_a_rule(solved: Solved, rules: Rules) -> None:
    rng = np.random.default_rng(0)
    tokens = np.arange(1, solved.task.vocab_size(solved.data.answers.shape[1]))
    for puzzle, answer in zip(solved.data.puzzles, solved.data.answers, strict=True):
        cell = rng.choice(np.flatnonzero(answer != PADDING))
        wrong = changed(answer, cell, rng.choice(tokens[tokens != answer[cell]]))
        assert rules.violations(puzzle, wrong) != []
        assert not rules.rules_hold(puzzle[None], wrong[None])[0]


def test_padding_is_no_answer(solved: Solved, rules: Rules) -> None:
    wrong = changed(solved.data.answers[0], 0, PADDING)
    assert not rules.rules_hold(solved.data.puzzles[:1], wrong[None])[0]
    assert [(v.row, v.column) for v in rules.violations(solved.data.puzzles[0], wrong)] == [(1, 1)]


def test_violations_are_empty_exactly_where_the_rules_hold(solved: Solved, rules: Rules) -> None:
    rng = np.random.default_rng(5)
    answers = solved.data.answers.copy()
    for row in range(0, len(answers), 2):
        first, second = rng.choice(answers.shape[1], 2, replace=False)
        answers[row, [first, second]] = answers[row, [second, first]]
    holds = rules.rules_hold(solved.data.puzzles, answers)
    assert 0 < holds.sum() < len(holds)
    for row, answer in enumerate(answers):
        assert (rules.violations(solved.data.puzzles[row], answer) == []) == holds[row]


def test_a_symmetry_keeps_the_rules_and_its_inverse_undoes_it(solved: Solved, rules: Rules) -> None:
    task, data = solved.task, solved.data
    drawn = draw_transforms(task, data.puzzles.shape[1], count=len(data), rng=np.random.default_rng(0))
    puzzles, answers = drawn.apply(data.puzzles), drawn.apply(data.answers)
    moves = (puzzles != data.puzzles).any(1).mean()
    assert moves > 0.7 if isinstance(task, Symmetries) else moves == 0
    assert rules.rules_hold(puzzles, answers).all()
    assert np.array_equal(drawn.inverse().apply(puzzles), data.puzzles)


def test_the_identity_changes_nothing() -> None:
    tokens = np.arange(12, dtype=np.uint8).reshape(2, 6) % 4
    assert np.array_equal(Transforms.identity(6, 4, 2).apply(tokens), tokens)


def having(capability: type) -> Callable[..., pytest.MarkDecorator]:
    names = [name for name in task_names() if isinstance(get_task(name), capability)]
    return pytest.mark.parametrize("name", names)


@having(Generator)
def test_the_same_seed_generates_the_same_puzzles(name: str) -> None:
    task = get_task(name)
    assert make(task, seed=3).sha256 == make(task, seed=3).sha256 != make(task, seed=4).sha256


@having(Demonstrated)
def test_what_is_not_generated_says_so(name: str) -> None:
    if not isinstance(get_task(name), Generator):
        with pytest.raises(UsageError, match=f"{name}: puzzles of this kind are not generated"):
            generator_of(get_task(name))


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="'chess' is not a task; choose from: arc, maze, sudoku, or install the package that adds it"
    ):
        get_task("chess")
