import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import small_config
from tests.test_engine import ScriptedNetwork
from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import run, solve_stream
from trm_cli.solving.search import Attempt, Guess, Outcome, Views, choose, rank_guesses
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Dataset, Finding, Tokens, Transforms
from trm_cli.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def network() -> TinyRecursiveModel:
    """An untrained network that solves nothing, so that every attempt is made."""
    torch.manual_seed(0)
    return TinyRecursiveModel(small_config("mlp")).eval()


def solved_by(network: TinyRecursiveModel, data: Dataset, *, batch_size: int = 8, **settings: Any) -> list[Outcome]:
    chosen = SolveConfig(**{"max_steps": 2, "attempts": 4, **settings})
    return list(solve_stream(network, Sudoku(), data.puzzles, batch_size=batch_size, settings=chosen))


def test_puzzles_that_are_searched_are_counted_until_they_are_done(
    network: TinyRecursiveModel, small_data: Dataset
) -> None:
    counts: list[int] = []
    settings = SolveConfig("never", max_steps=2, attempts=3, starts="fixed", search="best-first")
    data, stream = small_data.puzzles[:5], partial(solve_stream, network, Sudoku(), batch_size=2, settings=settings)
    done = list(stream(data, searching=counts.append))
    assert len(done) == 5
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 2


def answers(solutions: list[Outcome]) -> list[list[bytes]]:
    """Every attempt's answer to every puzzle."""
    return [[attempt.answer.tobytes() for attempt in s.attempts] for s in solutions]


VARIATIONS: list[dict[str, Any]] = [
    {"starts": "random"},
    {"starts": "fixed", "noise": 0.5},
    {"starts": "fixed", "views": 3},
    {"starts": "fixed", "search": "flat"},
    {"starts": "random", "noise": 0.5, "views": 3, "search": "flat", "retry_steps": 3},
]


@pytest.mark.parametrize("varied", VARIATIONS, ids=lambda varied: "-".join(varied))
def test_attempts_differ_and_depend_on_the_seed_but_not_on_the_batch(
    network: TinyRecursiveModel, small_data: Dataset, varied: dict[str, Any]
) -> None:
    data = small_data.head(6)
    first = answers(solved_by(network, data, **varied))
    assert all(len(made) == 4 for made in first)
    assert sum(len(set(made)) > 1 for made in first) > 3
    for batch_size in (1, 5):
        assert answers(solved_by(network, data, batch_size=batch_size, **varied)) == first
    backwards = data.rows(np.arange(6)[::-1])
    assert answers(solved_by(network, backwards, **varied))[::-1] == first
    if varied != {"starts": "fixed", "search": "flat"}:  # a guess is not drawn by lot
        assert answers(solved_by(network, data, seed=1, **varied)) != first


def test_attempt_0_is_the_plain_run(network: TinyRecursiveModel, small_data: Dataset) -> None:
    plain = solved_by(network, small_data, attempts=1)
    tried = solved_by(network, small_data, noise=0.5, views=3, search="flat")
    assert [made[0] for made in answers(tried)] == [made[0] for made in answers(plain)]


def test_a_view_is_drawn_back(small_data: Dataset) -> None:
    views = Views(Sudoku(), 16, wanted=5, seed=3)
    for row, answer in enumerate(small_data.answers[:10]):
        number = row % 5
        shown = views.show(answer, number)
        assert np.array_equal(shown, answer) == (number == 0)
        assert Sudoku().rules_hold(views.show(small_data.puzzles[row], number)[None], shown[None])
        assert np.array_equal(views.undo(shown[None], [number])[0], answer)


class FewViews(Sudoku):
    """Knows but three ways to redraw a puzzle."""

    def symmetries(self, num_cells: int, *, count: int, rng: np.random.Generator) -> Transforms:
        three = super().symmetries(num_cells, count=3, rng=rng)
        chosen = rng.integers(3, size=count)
        return Transforms(three.cells[chosen], three.symbols[chosen])


def test_every_view_is_another_however_few_there_are() -> None:
    for task, count in ((Sudoku(), 9), (FewViews(), 4)):
        views = Views(task, 16, wanted=9, seed=0)
        assert views.count == count  # those of the task, and the puzzle as it is
        shown = {views.show(np.arange(16, dtype=np.uint8) % 6, view).tobytes() for view in range(count)}
        assert len(shown) == count


def test_answers_given_in_views_are_answers_to_the_puzzle_as_it_is(small_data: Dataset) -> None:
    """A network that fills a single blank rightly does so in every view."""
    answer = small_data.answers[:6]
    puzzles = answer.copy()
    puzzles[np.arange(6), np.arange(6)] = BLANK
    shown: list[Tensor] = []
    network = Completing(shown)
    settings = SolveConfig("never", 1, attempts=4, views=4, select="mode")
    solutions = list(solve_stream(network, Sudoku(), puzzles, batch_size=24, settings=settings))
    for solution, right in zip(solutions, answer, strict=True):
        assert [o.view for o in solution.attempts] == [0, 1, 2, 3]
        assert all(np.array_equal(outcome.answer, right) for outcome in solution.attempts)
    seen = torch.cat(shown)
    assert len(seen) == 24
    assert len(np.unique(seen.numpy(), axis=0)) > 18  # the views differ


class AsTokens(torch.nn.Module):
    """Embeds a puzzle as its tokens, in every place of the state, and remembers what it saw."""

    def __init__(self, shape: tuple[int, ...], shown: list[Tensor]) -> None:
        super().__init__()
        self.shape, self.shown = shape, shown

    def forward(self, tokens: Tensor) -> Tensor:
        self.shown.append(tokens)
        return tokens.float()[:, None, :, None].expand(-1, *self.shape)


class Completing(TinyRecursiveModel):
    """Fills the only blank with the digit that its row lacks."""

    def __init__(self, shown: list[Tensor]) -> None:
        super().__init__(small_config())
        self.embed = AsTokens(self.state_shape, shown)  # type: ignore[assignment] # scripted

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        grid = x[:, 0, :, 0].long().view(-1, 4, 4)
        lacking = sum(range(FIRST_SYMBOL, 6)) + BLANK - grid.sum(2, keepdim=True)
        answer = torch.where(grid == BLANK, lacking, grid).view(-1, 16)
        logits = torch.nn.functional.one_hot(answer, 6).float()
        return y, z, logits, torch.full((len(answer),), -3.0)


def test_a_guess_is_not_made_twice_where_nothing_else_varies(network: TinyRecursiveModel, small_data: Dataset) -> None:
    made = solved_by(network, small_data.head(4), attempts=99, starts="fixed", search="flat")
    for solution in made:
        guesses = [o.guesses for o in solution.attempts]
        assert guesses[0] == ()
        assert 1 < len(set(guesses)) == len(guesses) < 99


def test_a_guess_fills_its_blank_in_what_the_network_sees(network: TinyRecursiveModel, small_data: Dataset) -> None:
    for solution in solved_by(network, small_data.head(4), starts="fixed", search="flat"):
        for attempt in solution.attempts[1:]:
            (guess,) = attempt.guesses
            assert np.flatnonzero(attempt.shown != attempt.puzzle).tolist() == [guess.cell]
            assert attempt.shown[guess.cell] == guess.token
            assert attempt.puzzle[guess.cell] == BLANK


def test_guesses_take_the_most_divided_cell_first_and_its_likeliest_symbol_first() -> None:
    puzzle = np.full(16, FIRST_SYMBOL, np.uint8)
    puzzle[[3, 7]] = BLANK
    beliefs = np.zeros((16, 6), np.float32)
    beliefs[3, 2:] = [0.02, 0.9, 0.08, 0.0]
    beliefs[7, 2:] = [0.3, 0.1, 0.56, 0.04]
    beliefs[0, 2:] = 0.25  # a given: never guessed
    found = [(g.cell, g.token) for g in rank_guesses(puzzle, beliefs, 9)]
    assert found == [(7, 4), (7, 2), (7, 3), (3, 3), (3, 4)]
    assert rank_guesses(puzzle, beliefs, 2) == [Guess(7, 4), Guess(7, 2)]


class Retrying(ScriptedNetwork):
    """Answers right only where z was drawn: further attempts that start at random."""

    def __init__(self, data: Dataset, luck: float) -> None:
        super().__init__(data, fires_at=[1] * len(data), right_at=[1] * len(data))
        self.luck = luck

    def starting_state(self, batch_size: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        y, z = super().starting_state(batch_size, generator)
        return y, torch.zeros_like(z)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y_after, _, logits, halt = super().forward(x, y, z)
        lucky = z[:, 0, 0, 0] > self.luck
        wrong = torch.nn.functional.one_hot(torch.full((len(x), 16), 2), 6).float()
        return y_after, z, torch.where(lucky[:, None, None], logits, wrong), halt + lucky


def test_only_unsolved_puzzles_go_on_and_the_answer_is_the_first_that_holds(small_data: Dataset) -> None:
    data = small_data.head(8)
    by_size = [solved_by(Retrying(data, 0.8), data, batch_size=size, attempts=9, max_steps=1) for size in (1, 3, 50)]
    for solutions in by_size:
        for solution in solutions:
            *failed, last = (outcome.solved for outcome in solution.attempts)
            assert not any(failed)
            assert last == solution.solved
            assert solution.total_steps == len(solution.attempts)
            assert solution.solved == (solution.chosen.number > 0)
        assert [s.chosen.number for s in solutions] == [s.chosen.number for s in by_size[0]]
    assert 4 < sum(solution.solved for solution in by_size[0]) <= 8
    assert len({solution.chosen.number for solution in by_size[0]}) > 2


def test_attempts_of_several_puzzles_share_a_batch_and_none_runs_alone_while_others_wait(small_data: Dataset) -> None:
    data = small_data.head(6)
    settings = SolveConfig(max_steps=2, attempts=5)
    steps = list(run(Retrying(data, 9.0), Sudoku(), data.puzzles, batch_size=4, settings=settings))
    # Rows 0 to 3 with all their attempts, the first of rows 4 and 5, then their others, two ahead.
    assert [len(step.attempts) for step in steps] == [4] * 10 + [2] * 2 + [4] * 4
    assert [{a.number for a in step.attempts} for step in steps[-4:]] == [{1, 2}] * 2 + [{3, 4}] * 2


def test_breadth_first_tries_every_puzzle_once_before_any_twice(small_data: Dataset) -> None:
    data = small_data.head(6)
    settings = SolveConfig(max_steps=1, attempts=3, breadth_first=True)
    steps = run(Retrying(data, 9.0), Sudoku(), data.puzzles, batch_size=2, settings=settings)
    begun = [(a.number, a.row) for step in steps for a in step.attempts]
    assert begun == sorted(begun)
    assert len(begun) == 18


def test_when_the_time_is_up_what_was_begun_is_given_and_the_rest_comes_back_as_it_was(small_data: Dataset) -> None:
    data = small_data.head(5)
    asked: Iterator[int] = itertools.count()
    settings = SolveConfig("never", max_steps=3, attempts=2)
    network = ScriptedNetwork(data, [1] * 5, [1] * 5)
    solutions = list(
        solve_stream(network, Sudoku(), data.puzzles, batch_size=2, settings=settings, stops=lambda: next(asked) >= 4)
    )
    assert [s.total_steps for s in solutions] == [3, 3, 1, 1, 0]
    assert [s.solved for s in solutions] == [True, True, True, True, False]
    assert np.array_equal(solutions[4].answer, data.puzzles[4])


def test_further_attempts_have_their_own_number_of_steps(network: TinyRecursiveModel, small_data: Dataset) -> None:
    made = solved_by(network, small_data.head(3), max_steps=3, retry_steps=1, attempts=3)
    assert [[o.steps for o in solution.attempts] for solution in made] == [[3, 1, 1]] * 3


@pytest.mark.parametrize(("limit", "steps"), [(0, [3, 2, 2]), (99, [3, 2, 2]), (6, [3, 2, 1]), (5, [3, 2]), (2, [2])])
def test_a_limit_of_steps_is_that_of_all_attempts_together(
    network: TinyRecursiveModel, small_data: Dataset, limit: int, steps: list[int]
) -> None:
    made = solved_by(network, small_data.head(3), max_steps=3, retry_steps=2, attempts=3, step_limit=limit)
    assert [[o.steps for o in solution.attempts] for solution in made] == [steps] * 3


def ended(number: int, answer: int, *, holds: bool = False, score: float = 0.0) -> Attempt:
    """An attempt of one step."""
    attempt = replace(Attempt.begin(0, np.full(16, BLANK, np.uint8), SolveConfig()), number=number)
    attempt.note(np.full(16, answer, np.uint8), holds=holds, halt_probability=0.5, score=score)
    return attempt


@pytest.mark.parametrize(
    ("select", "expected"), [("verified", 2), ("q", 1), ("mode", 0), ("margin", 1), ("residual", 1)]
)
def test_select_picks_what_it_says(select: str, expected: int) -> None:
    made = [
        ended(0, 3),
        ended(1, 4, score=2.0),
        ended(2, 5, holds=True, score=1.0),
        ended(3, 3),
        ended(4, 5, holds=True, score=1.5),
    ]
    assert choose(made, select).number == expected
    assert choose([replace(attempt, holds=[False]) for attempt in made], "verified").number == 1


def test_scores_are_what_they_are_named_after(network: TinyRecursiveModel, small_data: Dataset) -> None:
    """Each score of an attempt's last step, against the network run by hand."""
    puzzles = small_data.puzzles[:3]
    x = network.embed(torch.from_numpy(puzzles.astype(np.int64)))
    y, z = network.starting_state(1, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, z, _, _ = network(x, y.expand_as(x), z.expand_as(x))
        y, z, logits, halt = network(x, before, z)
    ordered = logits.sort(-1, descending=True).values
    expected = {
        "q": halt,
        "margin": (ordered[..., 0] - ordered[..., 1]).mean(1),
        "residual": -((y - before) ** 2).mean((1, 2)).sqrt(),
    }
    for select, scores in expected.items():
        made = solved_by(network, small_data.head(3), halt="never", select=select)
        found = torch.tensor([solution.attempts[0].score for solution in made])
        assert torch.allclose(found, scores, atol=1e-5)
        for solution in made:
            assert solution.chosen.number == int(np.argmax([o.score for o in solution.attempts]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"noise": -1.0},
        {"noise": float("nan")},
        {"views": 0},
        {"starts": "warm"},
        {"select": "best"},
        {"search": "deep"},
        {"retry_steps": True},
        {"step_limit": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    name = next(iter(wrong)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{name}: expected"):
        SolveConfig(**wrong)  # type: ignore[arg-type] # that is the point


def test_a_puzzle_at_fault_is_not_tried_again_and_says_why(network: TinyRecursiveModel, small_data: Dataset) -> None:
    puzzles = small_data.puzzles[:3]
    asked: list[bytes] = []

    def examine(puzzle: Tokens) -> Finding:
        asked.append(puzzle.tobytes())
        return (Finding.NO_SOLUTION, Finding.ONE_SOLUTION, Finding.SEVERAL_SOLUTIONS)[len(asked) - 1]

    settings = SolveConfig(max_steps=1, attempts=4, starts="random")
    stream = partial(solve_stream, network, Sudoku(), puzzles, batch_size=1, settings=settings)
    outcomes = list(stream(examine=examine))
    assert asked == [puzzle.tobytes() for puzzle in puzzles]  # each once
    assert [(len(outcome.attempts), outcome.why) for outcome in outcomes] == [
        (1, "no_solution"),
        (4, "one_solution"),
        (1, "several_solutions"),
    ]
    assert [(len(outcome.attempts), outcome.why, outcome.reason) for outcome in stream()] == [(4, "unknown", None)] * 3
    first = outcomes[1].attempts
    assert [a.answer.tolist() for a in first] == [a.answer.tolist() for a in next(islice(stream(), 1, None)).attempts]


def test_a_solved_puzzle_is_not_examined(small_data: Dataset) -> None:
    answers = small_data.answers[:2].copy()
    answers[:, 0] = BLANK

    def refuse(_: Tokens) -> Finding:
        raise AssertionError

    network = Completing([])
    settings = SolveConfig("never", 1)
    solved = solve_stream(network, Sudoku(), answers, batch_size=2, settings=settings, examine=refuse)
    assert [(outcome.solved, outcome.why) for outcome in solved] == [(True, None)] * 2
