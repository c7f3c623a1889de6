"""Puzzles made while a run goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset, draw_transforms, generator_of, rules_of
from trm_cli.tasks.maze_generator import WantedMazes
from trm_cli.training.batches import Examples
from trm_cli.training.data import Gathered, Split, Supply, as_rows, split
from trm_cli.training.loop import Limits
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.run import Plan, RunRequest, run
from trm_cli.training.state import find_state
from trm_cli.weights.tensors import load_checkpoint

CPU = torch.device("cpu")


def small_recipe(fresh_puzzles: int = 8) -> Recipe:
    """Mazes of 5x5 in a pool of 40, renewed in slices of 30."""
    recipe = get_recipe("maze", "tiny")
    model = replace(recipe.model, height=5, width=5, hidden_size=8, channel_width=8, n=1, T=1)
    train = replace(recipe.train, batch_size=4, steps=20, validation=10, evaluate_every=20, fresh_puzzles=fresh_puzzles)
    return replace(recipe, model=model, train=train, data=WantedMazes(40))


def parts_of(recipe: Recipe) -> Split:
    data = generator_of(get_task("maze")).generate(recipe.wanted, size=5, seed=0)
    return split(data, validation=10, subsample=None, seed=0)


def examples_of(parts: Split) -> Examples:
    one_way = draw_transforms(get_task("maze"), 25, count=1, rng=np.random.default_rng(0))
    return Examples.on_device(parts.used.puzzles.copy(), parts.used.answers.copy(), one_way, CPU)


def test_the_oldest_puzzles_give_way_to_new_ones() -> None:
    recipe = small_recipe()
    parts = parts_of(recipe)
    examples, supply = examples_of(parts), Supply(recipe, parts, seed=0)
    before = examples.puzzles.clone()
    supply.renew(examples, 3)  # 24 of the 30 of a slice
    assert torch.equal(examples.puzzles, before)
    supply.renew(examples, 4)
    assert (examples.puzzles != before).any(1).float().mean() > 0.9
    task = get_task("maze")
    assert rules_of(task).rules_hold(examples.puzzles.numpy(), examples.answers.numpy()).all()
    assert not np.isin(as_rows(examples.puzzles.numpy()), as_rows(parts.held_out.puzzles)).any()


def test_what_a_step_sees_does_not_depend_on_where_the_run_was_resumed() -> None:
    recipe = small_recipe()
    parts = parts_of(recipe)
    through, resumed = examples_of(parts), examples_of(parts)
    supply = Supply(recipe, parts, seed=0)
    for step in range(40):
        supply.renew(through, step)
    Supply(recipe, parts, seed=0).renew(resumed, 39)
    assert torch.equal(through.puzzles, resumed.puzzles)
    assert torch.equal(through.answers, resumed.answers)


def test_a_slice_without_what_was_held_out_is_filled_up() -> None:
    recipe = small_recipe()
    parts = parts_of(recipe)
    supply = Supply(recipe, parts, seed=0)
    made = supply._make(0)
    supply.held_out = as_rows(made.puzzles[:20])
    again = supply._make(0)
    assert len(again) == len(made) == 30
    assert not np.isin(as_rows(again.puzzles), supply.held_out).any()


def request_of(recipe: Recipe, data: Dataset, folder: Path, limits: Limits) -> RunRequest:
    gathered = Gathered(data, ["generated"])
    return RunRequest(Plan(recipe, [], 0, None), gathered, folder, CPU, limits, "trm train")


def test_a_run_with_fresh_puzzles_resumes_exactly(tmp_path: Path) -> None:
    recipe = small_recipe()
    data = generator_of(get_task("maze")).generate(recipe.wanted, size=5, seed=0)
    list(run(request_of(recipe, data, tmp_path / "one", Limits())))
    two = request_of(recipe, data, tmp_path / "two", Limits(max_steps=11))
    list(run(two))
    list(run(replace(two, limits=Limits(), resumed=find_state(tmp_path / "two"))))
    one, other = (
        load_checkpoint(tmp_path / name / "checkpoint", source="test", device=CPU).network for name in ("one", "two")
    )
    fixed = request_of(small_recipe(0), data, tmp_path / "fixed", Limits())
    list(run(fixed))
    without = load_checkpoint(tmp_path / "fixed/checkpoint", source="test", device=CPU).network
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert any(not torch.equal(value, without.state_dict()[name]) for name, value in one.state_dict().items())
