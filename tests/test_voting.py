"""Votes on made-up predictions, counted by hand."""

import json

import numpy as np

from trm_cli.solving.voting import PASSES, Ballot, VoteScores, passes, score_votes, submission
from trm_cli.tasks.arc_grids import ArcView, decode, encode, parse_problems
from trm_cli.tasks.problems import Problem

RED, BLUE, TALL = (np.array(grid, np.uint8) for grid in ([[2, 0]], [[1, 0]], [[2], [0]]))
WAYS = [ArcView.plain(), *(ArcView.draw(np.random.RandomState(seed)) for seed in range(2000))]


def ballot(*votes: tuple[np.ndarray, float]) -> Ballot:
    """Each vote as a network would give it that sees the task in another way."""
    counted = Ballot()
    for way, (grid, probability) in zip(WAYS, votes, strict=False):
        counted.add(decode(encode(way.apply(grid))), way, probability)
    return counted


def task_of(*answers: np.ndarray | None) -> Problem:
    tests = [{"input": [[0]]} | ({} if answer is None else {"output": answer.tolist()}) for answer in answers]
    train = [{"input": [[0]], "output": [[1]]}]
    (task,) = parse_problems(json.dumps({"train": train, "test": tests}), "f.json", "x")
    return task


def test_the_count_decides_then_the_mean_halt_probability() -> None:
    counted = ballot((BLUE, 0.9), (RED, 0.1), (RED, 0.2), (TALL, 0.5))
    found = [(one.grid.tolist(), one.votes, one.halt_probability) for one in counted.ranked()]
    assert [grid for grid, *_ in found] == [RED.tolist(), BLUE.tolist(), TALL.tolist()]
    assert [votes for _, votes, _ in found] == [2, 1, 1]
    assert abs(found[0][2] - 0.15) < 1e-9


def test_grids_of_other_shapes_are_other_grids() -> None:
    assert len(ballot((RED, 0.5), (TALL, 0.5)).ranked()) == 2


def test_malformed_predictions_are_counted_and_those_without_a_grid_do_not_vote() -> None:
    counted = ballot((RED, 0.5))
    counted.add(decode(np.zeros(900, np.uint8)), WAYS[0], 0.9)
    board = encode(BLUE)
    board[2] = 0  # no marker at the end of its row
    counted.add(decode(board), WAYS[0], 0.1)
    assert (counted.malformed, counted.empty, counted.predictions) == (1, 1, 3)
    assert [one.grid.tolist() for one in counted.ranked()] == [RED.tolist(), BLUE.tolist()]


def test_no_prediction_however_strange_ends_in_an_error() -> None:
    rng, counted = np.random.RandomState(0), Ballot()
    for _ in range(50):
        counted.add(decode(rng.randint(0, 12, 36).astype(np.uint8)), ArcView.draw(rng), 0.5)
    assert counted.predictions == 50
    assert counted.malformed + counted.empty > 40  # nearly all


def test_pass_at_k_is_the_share_of_tests_answered_among_the_first_k() -> None:
    task = task_of(RED, TALL)
    ballots = [ballot((RED, 0.5), (RED, 0.5), (BLUE, 0.9)), ballot((RED, 0.9), (TALL, 0.5))]
    assert passes(task, ballots) == {1: 0.5, **dict.fromkeys(PASSES[1:], 1.0)}
    others = [(np.array([[n % 10, n // 10 % 10, n // 100]], np.uint8), 0.9) for n in range(300)]
    late = ballot(*others, (RED, 0.1))
    assert passes(task_of(RED), [late]) == {1: 0, 2: 0, 5: 0, 10: 0, 100: 0, 1000: 1}


def test_scores_are_means_over_tasks_and_tests_without_answers_are_none() -> None:
    right, wrong = ballot((RED, 0.5)), ballot((BLUE, 0.5))
    wrong.add(decode(np.zeros(900, np.uint8)), WAYS[0], 0.9)
    voted = [(task_of(RED, RED), [right, wrong]), (task_of(BLUE), [wrong]), (task_of(None), [right])]
    shares = dict.fromkeys(PASSES, 0.75)
    assert score_votes(voted) == VoteScores(2, 4, 6, 0, 2, shares)
    assert score_votes([voted[2]]).passes == {}


def test_a_submission_has_two_attempts_at_each_test_of_each_task() -> None:
    task = task_of(RED, TALL)
    ballots = [ballot((RED, 0.5), (RED, 0.5), (BLUE, 0.9)), ballot((RED, 0.9), (TALL, 0.5))]
    assert submission([(task, ballots)]) == {
        "x": [{"attempt_1": [[2, 0]], "attempt_2": [[1, 0]]}, {"attempt_1": [[2, 0]], "attempt_2": [[2], [0]]}]
    }
    alone = submission([(task, [ballot((RED, 0.5)), Ballot()])])
    assert alone["x"] == [{"attempt_1": [[2, 0]], "attempt_2": [[2, 0]]}, {"attempt_1": [[0]], "attempt_2": [[0]]}]
