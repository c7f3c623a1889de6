"""What is watched comes from the engine's own steps, and costs nothing when nobody watches."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import small_config
from tests.watched import question
from trm_cli.config import SolveConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import moments, observed, run, solve_stream
from trm_cli.solving.search import Views
from trm_cli.solving.trace import Moment
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Dataset, Puzzle
from trm_cli.tasks.sudoku import Sudoku

SETTINGS = SolveConfig("never", max_steps=3)


@pytest.fixture
def network() -> TinyRecursiveModel:
    torch.manual_seed(0)
    return TinyRecursiveModel(small_config()).eval()


def puzzles(data: Dataset, count: int) -> list[Puzzle]:
    return [Puzzle(row, 4, 4, "test", place) for place, row in enumerate(data.puzzles[:count], 1)]


def watched(
    network: TinyRecursiveModel, data: Dataset, count: int, *, at_once: int = 1, inner: bool = False
) -> list[Moment]:
    return list(moments(network, Sudoku(), puzzles(data, count), settings=SETTINGS, at_once=at_once, inner=inner))


def test_each_puzzle_is_a_question_and_then_its_steps(network: TinyRecursiveModel, small_data: Dataset) -> None:
    shown = watched(network, small_data, 2)
    assert [(m.page, m.frames[0].step, m.is_question) for m in shown] == [
        (page, step, step == 0) for page in (0, 1) for step in range(4)
    ]
    ends = [moment.frames[0].answer for moment in shown if moment.frames[0].is_last]
    solved = solve_stream(network, Sudoku(), small_data.puzzles[:2], batch_size=1, settings=SETTINGS)
    assert np.array_equal(ends, [solution.answer for solution in solved])


def test_a_step_tells_confidence_and_how_far_y_and_z_moved(network: TinyRecursiveModel, small_data: Dataset) -> None:
    x = network.embed(torch.from_numpy(small_data.puzzles[:1]).long()).detach()
    y, z = network.starting_state(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        new_y, new_z, logits, _ = network(x, y, z)
    step = next(run(network, Sudoku(), small_data.puzzles[:1], batch_size=1, settings=SETTINGS, watched=True))
    assert step.details is not None
    likeliest = logits.softmax(-1).gather(
        -1, torch.from_numpy(np.stack([a.answer for a in step.attempts])).long()[..., None]
    )
    assert step.details.confidence == pytest.approx(likeliest[..., 0].numpy())
    for told, old, new in ((step.details.change_y, y, new_y), (step.details.change_z, z, new_z)):
        assert told[0] == pytest.approx(float((new - old).norm() / new.norm()), rel=1e-4)


def test_confidence_in_a_view_is_told_at_the_cells_of_the_puzzle(
    network: TinyRecursiveModel, small_data: Dataset
) -> None:
    settings = SolveConfig("never", max_steps=1, attempts=2, views=2, starts="fixed", seed=1)
    task, puzzle = Sudoku(), small_data.puzzles[:1]
    *_, step = run(network, task, puzzle, batch_size=1, settings=settings, watched=True)
    (attempt,) = step.attempts
    assert attempt.view == 1
    with torch.no_grad():
        x = network.embed(torch.from_numpy(attempt.shown[None]).long())
        *_, logits, _ = network(x, *network.starting_state(1, torch.Generator().manual_seed(settings.seed)))
    seen = logits.softmax(-1).amax(-1)[0].numpy()  # at the cells of the view
    views = Views(task, 16, wanted=2, seed=settings.seed)
    marked = np.where(np.eye(16, dtype=bool), FIRST_SYMBOL, BLANK).astype(np.uint8)  # one cell in each row
    places = [int((views.show(row, 1) != BLANK).argmax()) for row in marked]
    assert places != sorted(places)
    assert step.details is not None
    assert step.details.confidence[0] == pytest.approx(seen[places])


def test_details_are_only_there_when_watched_and_change_nothing(
    network: TinyRecursiveModel, small_data: Dataset
) -> None:
    plain, told = (
        [
            (step.details, [attempt.answer for attempt in step.attempts])
            for step in run(network, Sudoku(), small_data.puzzles[:3], batch_size=2, settings=SETTINGS, watched=seen)
        ]
        for seen in (False, True)
    )
    assert all(details is None for details, _ in plain)
    assert all(np.array_equal(first, second) for (_, first), (_, second) in zip(plain, told, strict=True))


def test_inside_every_call_of_the_net_is_seen_in_order(network: TinyRecursiveModel, small_data: Dataset) -> None:
    shown = watched(network, small_data, 1, inner=True)
    updates = [moment.frames[0].update for moment in shown[1:]]
    calls = [(1, 1, "z"), (1, 2, "z"), (1, 3, "y"), (2, 1, "z"), (2, 2, "z"), (2, 3, "y")]
    assert [(u.recursion, u.number, u.stream) for u in updates if u] == 3 * calls
    assert [moment.is_inside for moment in shown[1:]] == 3 * [*5 * [True], False]
    assert all(u.heat.shape == (16,) and u.heat.max() > 0 for u in updates if u)


def test_the_steps_are_the_same_whether_or_not_the_inside_is_watched(
    network: TinyRecursiveModel, small_data: Dataset
) -> None:
    outside = watched(network, small_data, 1)
    inside = [m for m in watched(network, small_data, 1, inner=True) if not m.is_inside]
    for seen, plain in zip(inside, outside, strict=True):
        one, other = seen.frames[0], plain.frames[0]
        assert (one.answer == other.answer).all()
        assert (one.halt_probability, one.change_y) == (other.halt_probability, other.change_y)


def test_an_answer_inside_a_step_is_what_the_head_reads_off_y(network: TinyRecursiveModel, small_data: Dataset) -> None:
    x = network.embed(torch.from_numpy(small_data.puzzles[:1]).long())
    y, z = network.starting_state(1, torch.Generator().manual_seed(0))
    for _ in range(2):
        z = network.net(x, y, z)
    y = network.net(y, z)
    shown = watched(network, small_data, 1, inner=True)
    assert (shown[3].frames[0].answer == network.read_answer(y).argmax(-1)[0].numpy()).all()


def test_nobody_watching_leaves_no_observer_behind(network: TinyRecursiveModel, small_data: Dataset) -> None:
    watched(network, small_data, 1)
    assert not network.net._forward_hooks
    with observed(network) as calls:
        list(run(network, Sudoku(), small_data.puzzles[:1], batch_size=1, settings=SETTINGS, watched=True))
        assert len(calls) == 3 * 2 * 3
    assert not network.net._forward_hooks


def test_side_by_side_each_puzzle_keeps_its_place_when_it_has_halted(small_data: Dataset) -> None:
    from tests.test_engine import ScriptedNetwork

    four = small_data.head(4)
    network = ScriptedNetwork(four, [1, 3, 2, 2], [1, 1, 1, 1])
    shown = list(moments(network, Sudoku(), puzzles(four, 4), settings=SolveConfig(), at_once=4))
    assert [sorted(moment.moved) for moment in shown] == [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3], [1]]
    assert [frame.step for frame in shown[-1].frames] == [1, 3, 2, 2]
    assert all(frame.solved and frame.is_last for frame in shown[-1].frames)


@pytest.mark.parametrize("select", ["margin", "residual"])
def test_the_end_is_the_attempt_whose_answer_is_taken(
    network: TinyRecursiveModel, small_data: Dataset, select: str
) -> None:
    """As `solve` says it: the last to be seen is the chosen one, whichever ran last."""
    settings = SolveConfig("never", max_steps=2, attempts=4, select=select)
    shown = list(moments(network, Sudoku(), puzzles(small_data, 6), settings=settings, at_once=3))
    ends = [frame for moment in shown for frame in moment.new_frames if frame.is_last]
    ends.sort(key=lambda frame: frame.puzzle.line)
    solutions = list(solve_stream(network, Sudoku(), small_data.puzzles[:6], batch_size=3, settings=settings))
    assert [frame.attempt for frame in ends] == [solution.chosen.number for solution in solutions]
    assert len({frame.attempt for frame in ends}) > 1
    for frame, solution in zip(ends, solutions, strict=True):
        assert (frame.answer == solution.answer).all()
        assert (frame.step, frame.max_steps) == (2, 2)
        assert len(frame.history) == 8 + (frame.attempt != 3)  # a chosen one is seen once more


def test_a_search_is_seen_node_by_node(network: TinyRecursiveModel, small_data: Dataset) -> None:
    """Inside a step, too: guesses, their parent and cost are those of the attempts that `solve` makes."""
    settings = SolveConfig("never", max_steps=2, attempts=7, starts="fixed", search="best-first")
    shown = list(moments(network, Sudoku(), puzzles(small_data, 2), settings=settings, inner=True))
    outcomes = solve_stream(network, Sudoku(), small_data.puzzles[:2], batch_size=2, settings=settings)
    for page, outcome in enumerate(outcomes):
        made = [moment.frames[0] for moment in shown if moment.page == page][1:]
        for attempt in outcome.attempts:
            frames = [frame for frame in made if frame.attempt == attempt.number]
            assert {frame.guesses for frame in frames} == {attempt.guesses}
            assert {frame.parent for frame in frames} == {attempt.node.parent if attempt.node else None}
            assert frames[0].cost == pytest.approx(attempt.node.cost if attempt.node else 0.0, abs=1e-4)
        assert [len(node.guesses) for node in made[-1].nodes] == [len(one.guesses) for one in outcome.attempts]
        assert max(len(frame.path) for frame in made) == 1 + outcome.depth > 2


def test_a_long_run_keeps_its_history() -> None:
    frame = question()
    steps = 2 * sys.getrecursionlimit()
    for step in range(1, steps + 1):
        frame = replace(frame, step=step, halt_probability=0.0, previous=frame)
    assert [frame.step for frame in frame.history] == [*range(1, steps + 1)]


LETTERS = {
    "one net": ({}, ["z = net(x, y, z)", "z = net(x, y, z)", "y = net(y, z)"]),
    "two nets": ({"num_nets": 2}, ["z_L = f_L(x, z_H, z_L)", "z_L = f_L(x, z_H, z_L)", "z_H = f_H(z_H, z_L)"]),
    "single z": ({"recursion": "single_z"}, ["y = net(y, x)", "y = net(y, x)", "y = net(y)"]),
    "z for each": (
        {"recursion": "multi_z"},
        ["z_1 = net(x, y, z_1 + ... + z_2)", "z_2 = net(x, y, z_1 + ... + z_2)", "y = net(y, z_1 + ... + z_2)"],
    ),
}


@pytest.mark.parametrize(("changes", "calls"), LETTERS.values(), ids=LETTERS.keys())
def test_every_call_inside_a_step_is_spelled_as_the_network_makes_it(
    changes: dict[str, Any], calls: list[str], small_data: Dataset
) -> None:
    network = TinyRecursiveModel(small_config("mlp", T=1, n=2, **changes))
    shown = moments(network, Sudoku(), puzzles(small_data, 1), settings=SolveConfig(max_steps=1), inner=True)
    updates = [moment.frames[0].update for moment in shown]
    assert [update.call for update in updates if update] == calls
    assert all(update.change > 0 for update in updates if update)


def test_a_latent_of_its_own_moves_from_what_it_was(small_data: Dataset) -> None:
    network = TinyRecursiveModel(small_config("mlp", T=1, n=2, recursion="multi_z", start="fixed"))
    shown = moments(network, Sudoku(), puzzles(small_data, 1), settings=SolveConfig(max_steps=1), inner=True)
    second = [moment.frames[0].update for moment in shown][2]
    x, (y, z) = network.embed(torch.from_numpy(small_data.puzzles[:1].astype(np.int64))), network.starting_state(1)
    _, after, _, _ = network(x, y, z)
    heat = (after[0, 1] - z[0, 1]).square().mean(-1).sqrt()[network.config.num_prefix :]
    assert second is not None
    np.testing.assert_allclose(second.heat, heat.detach(), atol=1e-3)
