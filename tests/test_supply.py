"""Puzzles made while a run goes on."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import small_config, sudokus
from tests.small_runs import CPU, SmallRun
from trm_cli.errors import UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset, as_rows, draw_transforms, generator_of, rules_of
from trm_cli.tasks.maze_generator import WantedMazes
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.sudoku_generator import WantedSudokus
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.training.batches import Examples, Supply
from trm_cli.training.data import RunData, load_data, split
from trm_cli.training.distributed import Workers
from trm_cli.training.fresh import make_elsewhere
from trm_cli.training.loop import build_trainer
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.run import Limits, Plan, Run
from trm_cli.weights.tensors import load_checkpoint


def small_recipe(fresh_puzzles: int = 8) -> Recipe:
    """Mazes of 5x5 in a pool of 40, renewed in slices of 30."""
    recipe = get_recipe("maze", "tiny")
    model = replace(recipe.model, height=5, width=5, hidden_size=8, channel_width=8, n=1, T=1)
    train = replace(recipe.train, batch_size=4, steps=20, validation=10, evaluate_every=20, fresh_puzzles=fresh_puzzles)
    return replace(recipe, model=model, train=train, data=WantedMazes(40))


def parts_of(recipe: Recipe) -> tuple[Dataset, Dataset]:
    data = generator_of(get_task("maze")).generate(recipe.wanted, size=5, seed=0)
    return split(data, validation=10, subsample=None, seed=0)


def examples_of(training: Dataset) -> Examples:
    one_way = draw_transforms(get_task("maze"), 25, count=1, rng=np.random.default_rng(0))
    return Examples.on_device(training.puzzles, training.answers, one_way, CPU)


def supply_of(
    recipe: Recipe, training: Dataset, validation: Dataset, *, rows: NDArray[np.int64] | None = None
) -> Supply:
    return Supply(
        generator_of(get_task("maze")),
        recipe.wanted,
        5,
        rows=np.arange(len(training)) if rows is None else rows,
        validation=validation.puzzles,
        per_step=recipe.train.fresh_puzzles,
        seed=0,
    )


def test_the_oldest_puzzles_give_way_to_new_ones() -> None:
    recipe = small_recipe()
    training, validation = parts_of(recipe)
    examples, supply = examples_of(training), supply_of(recipe, training, validation)
    before = examples.puzzles.clone()
    supply.renew(examples, 3)  # 24 of the 30 of a slice
    assert torch.equal(examples.puzzles, before)
    supply.renew(examples, 4)
    assert (examples.puzzles != before).any(1).float().mean() > 0.9
    task = get_task("maze")
    assert rules_of(task).rules_hold(examples.puzzles.numpy(), examples.answers.numpy()).all()
    assert not np.isin(as_rows(examples.puzzles.numpy()), as_rows(validation.puzzles)).any()


def test_what_a_step_sees_does_not_depend_on_where_the_run_was_resumed() -> None:
    recipe = small_recipe()
    training, validation = parts_of(recipe)
    through, resumed = examples_of(training), examples_of(training)
    supply = supply_of(recipe, training, validation)
    for step in range(40):
        supply.renew(through, step)
    supply_of(recipe, training, validation).renew(resumed, 39)
    assert torch.equal(through.puzzles, resumed.puzzles)
    assert torch.equal(through.answers, resumed.answers)


def test_a_slice_without_puzzles_of_the_validation_set_is_filled_up() -> None:
    recipe = small_recipe()
    training, validation = parts_of(recipe)
    maker = supply_of(recipe, training, validation).maker
    made = maker.make_slice(0)
    again = replace(maker, validation=made.puzzles[:20]).make_slice(0)
    assert len(again) == len(made) == 30
    assert not np.isin(as_rows(again.puzzles), as_rows(made.puzzles[:20])).any()


def test_only_puzzles_that_the_generator_made_give_way() -> None:
    recipe = small_recipe()
    training, validation = parts_of(recipe)
    examples, rows = examples_of(training), np.arange(1, 30, 2)
    supply = supply_of(recipe, training, validation, rows=rows)
    before = examples.puzzles.clone()
    supply.renew(examples, 8)  # 64 of slices of 15: all of them, several times
    changed = (examples.puzzles != before).any(1).nonzero().ravel().tolist()
    assert set(changed) <= set(rows.tolist())
    assert len(changed) > 10


def test_slices_come_from_another_process_until_it_is_ended() -> None:
    recipe = small_recipe()
    maker = supply_of(recipe, *parts_of(recipe)).maker
    others = multiprocessing.active_children()
    slices = make_elsewhere(maker, 3)
    (process,) = set(multiprocessing.active_children()) - set(others)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)  # as of Ctrl-C on a terminal, while it starts
    assert np.array_equal(next(slices).puzzles, maker.make_slice(3).puzzles)
    assert process.is_alive()
    process.kill()
    process.join()
    later = [next(slices) for _ in range(3)]  # of which at most one lies in the pipe
    for number, made in enumerate(later, 4):
        assert np.array_equal(made.puzzles, maker.make_slice(number).puzzles)


def test_the_other_process_ends_when_nobody_takes_its_slices() -> None:
    recipe, others = small_recipe(), multiprocessing.active_children()
    slices = make_elsewhere(supply_of(recipe, *parts_of(recipe)).maker, 0)
    next(slices)
    (process,) = set(multiprocessing.active_children()) - set(others)
    del slices
    process.join(30)
    assert process.exitcode == 0


def test_what_the_generator_refuses_is_raised_where_the_slice_is_wanted() -> None:
    maker = supply_of(small_recipe(), *parts_of(small_recipe())).maker
    slices = make_elsewhere(replace(maker, wanted=WantedMazes(4, min_path=99)), 0)
    with pytest.raises(UsageError, match="in a maze of 5x5 it has 2 to 17"):
        next(slices)


def test_generated_puzzles_are_renewed_beside_those_of_a_file(tmp_path: Path) -> None:
    """The file's stay; a resumed run has the puzzles that were generated when it began."""
    collected = sudokus(30, side=4, givens=(6, 8), seed=1)
    file = tmp_path / "collected.csv"
    file.write_bytes(dataset_bytes(collected, Sudoku(), gzipped=False))
    recipe = get_recipe("sudoku", "large")
    train = replace(recipe.train, batch_size=4, steps=30, decay_by="steps", validation=10, compile=False)
    wanted = WantedSudokus(40, minimal=True)
    recipe = replace(recipe, model=small_config(), train=train, data=wanted)
    plan = Plan(recipe, Sudoku(), [str(file), "generate"])
    data = load_data(plan, {}, unseen)
    assert (len(data.training), len(data.generated or [])) == (60, 40)

    def puzzles_after(steps: int, data: RunData, rank: int = 0) -> set[bytes]:
        trainer = build_trainer(plan, data, None, None, device=CPU, workers=Workers(rank))
        assert trainer.supply is not None
        trainer.supply.renew(trainer.batch.examples, steps)
        return {row.tobytes() for row in trainer.batch.examples.puzzles.numpy()}

    first, later = puzzles_after(0, data), puzzles_after(60, data)
    kept = {row.tobytes() for row in collected.puzzles}
    assert first & kept == later & kept
    assert len(later - first) > 20
    assert len(puzzles_after(60, data, rank=1) - later - kept) > 20  # another worker has its own
    collected_alone = replace(
        data, training=data.training.rows(np.flatnonzero([row.tobytes() in kept for row in data.training.puzzles]))
    )
    assert build_trainer(plan, collected_alone, None, None, device=CPU, workers=Workers()).supply is None
    run = Run(plan, tmp_path / "run")
    run.begin({}, data.sources, [data.generated] if data.generated else [])
    assert load_data(plan, run.read_data(), unwanted).sha256 == data.sha256


def unseen(done: int, wanted: int) -> None:
    """Nobody looks at the progress."""


def unwanted(done: int, wanted: int) -> None:
    raise AssertionError("puzzles were generated again")


def run_of(recipe: Recipe, data: Dataset, folder: Path) -> SmallRun:
    return SmallRun(Plan(recipe, get_task("maze"), []), data, folder)


def test_a_run_with_fresh_puzzles_resumes_exactly(tmp_path: Path) -> None:
    recipe = small_recipe()
    data = generator_of(get_task("maze")).generate(recipe.wanted, size=5, seed=0)
    list(run_of(recipe, data, tmp_path / "one").events())
    two = replace(run_of(recipe, data, tmp_path / "two"), limits=Limits(max_steps=11))
    list(two.events())
    list(two.resumed().events())
    list(run_of(small_recipe(0), data, tmp_path / "fixed").events())
    one, other, without = (
        load_checkpoint(tmp_path / name / "checkpoint", source="test", device=CPU).network
        for name in ("one", "two", "fixed")
    )
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert any(not torch.equal(value, without.state_dict()[name]) for name, value in one.state_dict().items())
