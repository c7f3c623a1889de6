"""Puzzles made while a run goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.small_runs import CPU, SmallRun
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset, as_rows, draw_transforms, generator_of, rules_of
from trm_cli.tasks.maze_generator import WantedMazes
from trm_cli.training.batches import Examples, Supply
from trm_cli.training.data import split
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.run import Limits, Plan
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
    return Examples.on_device(training.puzzles.copy(), training.answers.copy(), one_way, CPU)


def supply_of(recipe: Recipe, training: Dataset, validation: Dataset) -> Supply:
    return Supply(
        generator_of(get_task("maze")),
        recipe.wanted,
        5,
        validation=validation.puzzles,
        num_examples=len(training),
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
    supply = supply_of(recipe, training, validation)
    made = supply.make_slice(0)
    supply.validation = as_rows(made.puzzles[:20])
    again = supply.make_slice(0)
    assert len(again) == len(made) == 30
    assert not np.isin(as_rows(again.puzzles), supply.validation).any()


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
