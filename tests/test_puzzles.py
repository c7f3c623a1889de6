"""Training a table of puzzles: its rows, its batch, its state, what it is judged by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.arc_tasks import small_data, small_recipe
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import never
from trm_cli.solving.voting import predict, register_of
from trm_cli.tasks import get_task
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_grids import VOCAB_SIZE
from trm_cli.tasks.base import PADDING
from trm_cli.tasks.problems import ProblemData
from trm_cli.training.data import load_data, pairs_to_judge_by
from trm_cli.training.distributed import Workers
from trm_cli.training.loop import Evaluation, SavePoint, start_run
from trm_cli.training.problems import PuzzleExamples, PuzzleTrainer, _solution, update_rows
from trm_cli.training.recipes import get_recipe
from trm_cli.training.run import Limits, Options, Plan, Run, folder_of_problems, resolve_plan
from trm_cli.training.state import load_state, newest_state, save_state
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.puzzle_table import PuzzleTable

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


def new_trainer(data: ProblemData, workers: Workers | None = None) -> PuzzleTrainer:
    torch.manual_seed(0)
    recipe = small_recipe(data)
    examples = PuzzleExamples.of_part(data.train, VOCAB_SIZE, CPU)
    return PuzzleTrainer(TinyRecursiveModel(recipe.model), examples, recipe.train, seed=0, workers=workers)


def test_rows_change_as_under_a_dense_sign_descent_with_decoupled_decay() -> None:
    torch.manual_seed(0)
    table, ids = torch.randn(9, 4), torch.tensor([3, 7, 3, 0, 7, 3])
    gradients = torch.randn(6, 4)
    dense = torch.zeros(9, 4)
    for row, gradient in zip(ids.tolist(), gradients, strict=True):
        dense[row] += gradient
    expected = table.clone()
    for row in (0, 3, 7):
        expected[row] = (1 - 0.1 * 0.5) * table[row] - 0.1 * dense[row].sign()
    update_rows(table, ids, gradients, lr=0.1, decay=0.5)
    torch.testing.assert_close(table, expected, atol=1e-6, rtol=0)


def test_a_step_changes_the_table_as_autograd_through_the_whole_of_it_says(data: ProblemData) -> None:
    """The dense reference: the same loss with the whole table as a parameter."""
    trainer = new_trainer(data)
    trainer.table.copy_(torch.randn(trainer.table.shape))
    trainer.supervise(0.0)  # fills the slots
    trainer.batch.halted = torch.zeros_like(trainer.batch.halted)  # and none is refilled
    batch, dense = trainer.batch, trainer.table.clone().requires_grad_()
    x = trainer.network.embed(batch.puzzles, dense[batch.ids])
    *_, logits, halt = trainer.network(x, batch.y, batch.z)
    counts = batch.answers != PADDING
    by_cell = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.answers, reduction="none")
    answer_loss = ((by_cell * counts).sum(1) / counts.sum(1)).mean()
    right = ((logits.argmax(-1) == batch.answers) | ~counts).all(1).float()
    halting = torch.nn.functional.binary_cross_entropy_with_logits(halt, right)
    (answer_loss + trainer.config.halt_weight * halting).backward()  # type: ignore[no-untyped-call] # torch
    assert dense.grad is not None
    touched = torch.zeros(len(dense), 1, dtype=torch.bool)
    touched[batch.ids] = True
    rate, decay = trainer.config.puzzle_lr, trainer.config.puzzle_decay
    stepped = (1 - rate * decay) * dense.detach() - rate * dense.grad.sign()
    trainer.supervise(0.0)
    torch.testing.assert_close(trainer.table, torch.where(touched, stepped, dense.detach()))


def test_every_draw_is_an_example_with_the_id_of_its_puzzle_and_all_come(data: ProblemData) -> None:
    trainer = new_trainer(data)
    part = data.train
    ids = part.puzzle_identifiers[part.puzzles_of_examples()]
    known = {(part.inputs[i].tobytes(), int(ids[i])) for i in range(len(ids))}
    found = set()
    for _ in range(200):
        puzzles, _ = trainer.batch.draw()
        drawn = zip(puzzles.numpy().astype(np.uint8), trainer.batch.drawn.tolist(), strict=True)
        found |= {(puzzle.tobytes(), row) for puzzle, row in drawn}
    assert found == known


def test_a_step_changes_the_rows_of_its_batch_and_no_others(data: ProblemData) -> None:
    trainer = new_trainer(data)
    for _ in range(3):
        before = trainer.table.clone()
        trainer.supervise(0.0)
        touched = torch.zeros(len(before), dtype=torch.bool)
        touched[trainer.batch.ids] = True
        changed = (trainer.table != before).any(1)
        assert (changed <= touched).all()
        assert changed.any()


def test_the_row_decides_what_the_network_says(data: ProblemData) -> None:
    trainer = new_trainer(data)
    boards = np.array(data.train.inputs[:1]).repeat(2, axis=0)
    rows = torch.stack([torch.zeros(8), torch.full((8,), 9.0)])
    (first, _), (second, _) = predict(trainer.network, boards, rows)
    assert (first[-1] != second[-1]).any()


def test_predictions_do_not_depend_on_their_neighbours(data: ProblemData) -> None:
    network = new_trainer(data).network
    boards, rows = np.array(data.train.inputs[:5]), torch.randn(5, 8)
    together = predict(network, boards, rows)
    for place in range(5):
        ((answers, probabilities),) = predict(network, boards[place : place + 1], rows[place : place + 1])
        assert np.array_equal(answers, together[place][0])
        assert probabilities == pytest.approx(together[place][1])


def test_a_state_brings_back_table_and_puzzles(data: ProblemData, tmp_path: Path) -> None:
    trainer, other = new_trainer(data), new_trainer(data)
    for _ in range(2):
        trainer.supervise(0.0)
    save_state(tmp_path, trainer)
    state = newest_state(tmp_path)
    assert state is not None
    load_state(state, other)
    for both in (trainer, other):
        both.supervise(0.0)
    assert torch.equal(trainer.table, other.table)
    assert torch.equal(trainer.batch.ids, other.batch.ids)


def test_the_table_is_written_with_what_its_rows_stand_for(data: ProblemData, tmp_path: Path) -> None:
    plan = Plan(small_recipe(data), Arc(), [str(data.folder)])
    run = Run(plan, tmp_path / "run")
    events = start_run(run, load_data(plan, {}, print), Limits(2), device=CPU, command="trm train")
    assert [type(event) for event in events][-2:] == [Evaluation, SavePoint]  # both write; what was there is replaced
    table = PuzzleTable(run.folder / "checkpoint" / TABLE_FILE)
    assert table.whole().any()
    assert table.register() == register_of(Arc(), data)


def test_evaluation_tasks_judge_a_run_or_else_its_own_pairs(data: ProblemData) -> None:
    assert data.test is not None
    pairs = pairs_to_judge_by(data, 5, "ARC tests")
    assert len(pairs) == len(pairs.ids) == 5
    assert {data.names[row].split("|||")[0] for row in pairs.ids} <= {t.name for t in data.tests}
    trainer = new_trainer(data)
    found = trainer.judge(get_task("arc"), pairs, never)
    assert found is not None
    assert [solution.chosen.steps for solution in found] == [trainer.network.config.N_sup] * 5
    assert not any(solution.solved for solution in found)
    assert trainer.judge(get_task("arc"), pairs, lambda: True) is None
    whole = pairs_to_judge_by(replace(data, test=None), 1000, "ARC tests")
    assert {data.names[row] for row in whole.ids} == {name for name in data.names[1:] if "|||" not in name}


def test_what_is_judged_is_what_the_label_says_and_nothing_else(data: ProblemData) -> None:
    label = np.array(data.train.labels[0])
    network = new_trainer(data).network
    ((_, probabilities),) = predict(network, np.array(data.train.inputs[:1]), torch.zeros(1, 8))
    answers = np.stack([label, label])
    answers[:, label == PADDING] = 5  # outside of the grid a network may say anything
    assert _solution((answers, probabilities), label).solved
    answers[1, 0] ^= 1
    wrong = _solution((answers, probabilities), label)
    assert (wrong.solved, wrong.attempts[0].holds) == (False, [True, False])


def test_one_folder_is_wanted(tmp_path: Path) -> None:
    for sources in ([], [str(tmp_path / "none")], ["a", "b"]):
        with pytest.raises(UsageError, match="trm data arc"):
            folder_of_problems(Arc(), sources)
    with pytest.raises(UsageError, match=r"dataset.json: no ARC data set"):
        resolve_plan(Options("arc", "tiny", data=[str(tmp_path)]))


def test_the_published_recipes_are_the_published_ones() -> None:
    for name, epochs_of, puzzles in (("paper", 3988, 876_406), ("paper-2", 5574, 1_191_120)):
        recipe = get_recipe("arc", name)
        assert recipe.train.steps == 100_000 * epochs_of // recipe.train.batch_size
        assert (recipe.model.n, recipe.model.T, recipe.model.N_sup) == (4, 3, 16)
        assert (recipe.model.height, recipe.model.num_prefix) == (30, 16)
        assert recipe.model.num_puzzles == puzzles
        assert (recipe.train.puzzle_lr, recipe.train.puzzle_decay) == (1e-2, 0.1)
