"""The search over sets of guesses, best first: what a node branches into, its order, its end, its budget."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import small_config, sudokus
from tests.test_attempts import AsTokens
from tests.test_evaluate import measured
from trm_cli.config import SolveConfig, solve_config
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import run, solve_stream
from trm_cli.solving.search import LEAST_BELIEF, Guess, Node, Outcome, Views, branch
from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Dataset, NoRules
from trm_cli.tasks.sudoku import Sudoku

VOCAB = 6  # of 4x4


class Literal(TinyRecursiveModel):
    """Answers what it is shown, and the first digit where that is blank: it knows nothing, and the search does all.

    What it believes of a blank is drawn from the cells that are filled, and favours wrong digits and right ones alike.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(small_config())
        self.seed = seed
        self.embed = AsTokens(self.state_shape, [])  # type: ignore[assignment] # scripted

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tokens = x[:, 0, :, 0].long()
        logits = 9.0 * torch.nn.functional.one_hot(tokens.clamp(min=FIRST_SYMBOL), VOCAB).float()
        for row, shown in enumerate(tokens):
            generator = torch.Generator().manual_seed(self.seed + int((shown * torch.arange(1, 17)).sum()))
            blanks = shown == BLANK
            logits[row, blanks] = 2 * torch.randn(int(blanks.sum()), VOCAB, generator=generator)
        return y, z, logits, torch.full((len(x),), 3.0)


def search(
    data: Dataset, *, network: TinyRecursiveModel | None = None, batch_size: int = 8, **settings: Any
) -> list[Outcome]:
    usual = {"max_steps": 1, "attempts": 10_000, "search": "best-first", "starts": "fixed"}
    chosen = SolveConfig(**{**usual, **settings})
    return list(solve_stream(network or Literal(), Sudoku(), data.puzzles, batch_size=batch_size, settings=chosen))


def believed(**cells: list[float]) -> np.ndarray:
    """Beliefs [16, V] about the four digits of some cells; the rest is certain of digit 1."""
    beliefs = np.zeros((16, VOCAB), np.float32)
    beliefs[:, FIRST_SYMBOL] = 1.0
    for cell, shares in cells.items():
        beliefs[int(cell[1:]), FIRST_SYMBOL:] = shares
    return beliefs


def test_a_node_branches_at_the_most_divided_blank_into_every_legal_symbol_at_the_cost_of_its_belief() -> None:
    shown = np.full(16, FIRST_SYMBOL, np.uint8)
    shown[[3, 7]] = BLANK
    legal = np.ones((16, VOCAB), bool)
    legal[7, 5] = False
    found = branch(shown, believed(c3=[0.9, 0.1, 0, 0], c7=[0.3, 0.1, 0.2, 0.4], c0=[0.25] * 4), legal)
    assert [guess for _, guess in found] == [Guess(7, 2), Guess(7, 3), Guess(7, 4)]
    assert [cost for cost, _ in found] == pytest.approx([-math.log(share / 0.6) for share in (0.3, 0.1, 0.2)])


def test_what_the_network_rules_out_is_tried_all_the_same_and_last() -> None:
    shown = np.full(16, BLANK, np.uint8)
    found = dict(zip("abcd", branch(shown, believed(c5=[0.6, 0.4, 0, 0]), np.ones((16, VOCAB), bool)), strict=True))
    assert {guess.cell for _, guess in found.values()} == {5}
    assert found["c"][0] == found["d"][0] == pytest.approx(-math.log(LEAST_BELIEF), abs=0.01)


def test_a_blank_that_nothing_may_fill_is_a_dead_end() -> None:
    shown = np.full(16, BLANK, np.uint8)
    legal = np.ones((16, VOCAB), bool)
    legal[9, FIRST_SYMBOL:] = False
    assert branch(shown, believed(c5=[0.25] * 4), legal) == []
    assert branch(np.full(16, FIRST_SYMBOL, np.uint8), believed(), np.ones((16, VOCAB), bool)) == []


@pytest.mark.parametrize("side", [4, 6, 9])
def test_legal_is_what_repeats_nothing(side: int) -> None:
    task, data = Sudoku(), sudokus(2, side=side)
    vocab = task.vocab_size(side * side)
    for puzzle in data.puzzles:
        legal = task.legal_tokens(puzzle, vocab)
        assert legal.shape == (side * side, vocab)
        for cell in np.flatnonzero(puzzle == BLANK)[:: side // 2]:
            for token in range(FIRST_SYMBOL, vocab):
                filled = puzzle.copy()
                filled[cell] = token
                broken = any("twice" in violation.rule for violation in task.violations(puzzle, filled))
                assert legal[cell, token] == (not broken)
    assert NoRules().legal_tokens(data.puzzles[0], vocab).all()  # of a task that does not say


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_complete_so_that_a_network_that_knows_nothing_solves_every_puzzle(
    small_data: Dataset, seed: int
) -> None:
    data = small_data.head(6)
    outcomes = search(data, network=Literal(seed))
    assert all(outcome.solved for outcome in outcomes)
    assert [outcome.answer.tolist() for outcome in outcomes] == data.answers[:6].tolist()
    assert max(outcome.depth for outcome in outcomes) > 4


def test_a_puzzle_without_a_solution_ends_when_every_branch_is_a_dead_end(small_data: Dataset) -> None:
    puzzle, answer = small_data.puzzles[0].copy(), small_data.answers[0]
    first, second = np.flatnonzero(puzzle == BLANK)[:2]
    for cell in (first, second):
        wrong = [t for t in range(FIRST_SYMBOL, VOCAB) if t != answer[cell]]
        legal = Sudoku().legal_tokens(puzzle, VOCAB)[cell]
        allowed = [token for token in wrong if legal[token]]
        if allowed:
            puzzle[cell] = allowed[0]
            break
    (outcome,) = search(Dataset.generated(puzzle[None], answer[None]))
    assert not outcome.solved
    assert 1 <= len(outcome.attempts) < 1000


def test_the_cheapest_node_comes_next_and_children_add_to_the_cost(small_data: Dataset) -> None:
    for outcome in search(small_data.head(4)):
        first, *further = outcome.attempts
        assert first.node is None
        opened: dict[int, list[Node]] = {}
        for attempt in further:
            assert attempt.node is not None
            parent = outcome.attempts[attempt.node.parent]
            assert attempt.guesses[:-1] == parent.guesses
            assert attempt.number > parent.number
            assert attempt.node.cost >= (parent.node.cost if parent.node else 0.0)
            opened.setdefault(attempt.node.parent, []).append(attempt.node)
        # A node that was there when a dearer one was taken would have come first.
        for earlier, later in pairwise(further):
            assert earlier.node
            assert later.node
            if later.node.parent != earlier.number:
                assert later.node.cost >= earlier.node.cost
        for nodes in opened.values():
            assert len({(node.guesses[-1].cell) for node in nodes}) == 1
            assert len({node.guesses for node in nodes}) == len(nodes)


def test_guesses_are_filled_in_and_the_answer_is_judged_by_the_puzzle_as_it_was(small_data: Dataset) -> None:
    for outcome in search(small_data.head(3)):
        for attempt in outcome.attempts:
            changed = np.flatnonzero(attempt.shown != attempt.puzzle)
            assert sorted(guess.cell for guess in attempt.guesses) == changed.tolist()
            assert all(attempt.shown[guess.cell] == guess.token for guess in attempt.guesses)
            assert (attempt.puzzle[changed] == BLANK).all()


def courses(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """Every node of every puzzle, with its answer."""
    return [tuple((a.guesses, a.view, a.answer.tobytes()) for a in outcome.attempts) for outcome in outcomes]


@pytest.mark.parametrize(
    "settings", [{}, {"starts": "random", "noise": 0.3}, {"views": 3, "retry_steps": 2}, {"select": "q"}]
)
def test_nothing_depends_on_the_batch_or_the_place_in_the_file(small_data: Dataset, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config("mlp")).eval()
    data = small_data.head(7)
    whole = courses(search(data, network=network, batch_size=64, step_limit=40, **settings))
    assert all(len(course) > 9 for course in whole)
    for batch_size in (1, 7):
        assert courses(search(data, network=network, batch_size=batch_size, step_limit=40, **settings)) == whole
    backwards = data.rows(np.arange(7)[::-1])
    assert courses(search(backwards, network=network, step_limit=40, **settings))[::-1] == whole


def test_beliefs_about_a_view_are_told_of_the_puzzle_as_it_is(small_data: Dataset) -> None:
    views = Views(Sudoku(), 16, wanted=4, seed=1)
    for view in range(4):
        answer = small_data.answers[view]
        certain = np.eye(VOCAB, dtype=np.float32)[views.show(answer, view)]
        assert views.undo_beliefs(certain, view).argmax(1).tolist() == answer.tolist()


@pytest.mark.parametrize(("limit", "steps"), [(3, [3]), (4, [3, 1]), (9, [3, 2, 2, 2])])
def test_the_budget_is_of_steps_and_an_unsolved_puzzle_says_that_it_is_spent(
    small_data: Dataset, limit: int, steps: list[int]
) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config("mlp")).eval()
    data = small_data.head(2)
    settings = {"max_steps": 3, "retry_steps": 2, "step_limit": limit}
    for outcome in search(data, network=network, **settings):
        assert [attempt.steps for attempt in outcome.attempts] == steps


def test_a_spent_budget_is_in_the_reason(small_data: Dataset) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config("mlp")).eval()
    settings = SolveConfig(max_steps=2, attempts=9, search="best-first", starts="fixed")
    task = Sudoku()
    (outcome,) = solve_stream(
        network,
        task,
        small_data.puzzles[:1],
        batch_size=1,
        settings=settings,
        examine=lambda puzzle: task.examine(puzzle, seconds=2.0),
    )
    assert outcome.why == "one_solution"
    assert outcome.reason == "one solution exists, the network did not find it (9 attempts, 18 steps)"


def test_a_checkpoint_of_an_earlier_version_makes_its_guesses_still() -> None:
    assert solve_config({"attempts": 4, "guess": True}, {}) == SolveConfig(attempts=4, search="flat")
    assert solve_config({"attempts": 4, "guess": False}, {}) == SolveConfig(attempts=4)


def test_without_search_one_attempt_is_made_where_further_ones_would_be_the_same() -> None:
    own = {"attempts": 4, "search": "best-first", "starts": "fixed"}
    assert solve_config(own, {"search": "none"}).attempts == 1
    assert solve_config(own, {"search": "none", "noise": 0.3}).attempts == 4


def test_searches_share_the_batch_with_new_puzzles_one_node_each_at_a_time(small_data: Dataset) -> None:
    settings = SolveConfig(max_steps=1, attempts=5, search="best-first", starts="fixed")
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config("mlp")).eval()
    steps = list(run(network, Sudoku(), small_data.puzzles[:5], batch_size=3, settings=settings))
    assert all(len({attempt.row for attempt in step.attempts}) == len(step.attempts) for step in steps)
    assert [len(step.attempts) for step in steps] == [3] * 5 + [2] * 5


def test_an_evaluation_counts_budgets_and_goes_on_where_it_stopped(small_data: Dataset) -> None:
    data = small_data.head(9)
    settings: dict[str, Any] = {
        "max_steps": 1,
        "attempts": 10_000,
        "step_limit": 50,
        "search": "best-first",
        "starts": "fixed",
    }
    whole = measured(Literal(), data, **settings)
    assert whole.budgets == [1, 2, 4, 8, 16, 32, 50]
    outcomes = search(data, step_limit=50)
    spent = [(outcome.solved, outcome.total_steps) for outcome in outcomes]
    for budget, solved, steps in zip(
        whole.budgets, whole.solved_within_budgets, whole.steps_within_budgets, strict=True
    ):
        assert solved == sum(is_solved and taken <= budget for is_solved, taken in spent)
        assert steps == sum(min(taken, budget) for _, taken in spent)
    assert 0 < whole.solved_within_budgets[3] < whole.solved_within_budgets[-1]
    assert whole.solved_within_attempts == []  # which would be nodes
    parts = measured(Literal(), data, until=4, **settings)
    measured(Literal(), data, tally=parts, **settings)
    assert (parts.solved_within_budgets, parts.steps_within_budgets) == (
        whole.solved_within_budgets,
        whole.steps_within_budgets,
    )
    assert parts.groups == whole.groups
