"""Training one network on boards of several sizes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import small_config, sudokus
from tests.small_runs import CPU, TINY
from trm_cli import TRM
from trm_cli.config import OF_HRM
from trm_cli.errors import ModelError, UsageError
from trm_cli.model.network import TinyRecursiveModel, resized
from trm_cli.solving.engine import Stops, never
from trm_cli.tasks.base import board_of
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.sudoku_generator import WantedSudokus
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.training.data import RunData, load_data
from trm_cli.training.loop import Evaluation, Event, start_run
from trm_cli.training.recipes import get_recipe
from trm_cli.training.run import Limits, Plan, Run, find_state
from trm_cli.training.sizes import whose_turn

SIX = board_of(Sudoku(), 36)


def plan(sources: list[str] | None = None, *, model: dict[str, Any] | None = None, **train: Any) -> Plan:
    """A run of seconds on boards of 4x4 and 6x6."""
    network = replace(small_config("units", smallest=4, **SIX), **(model or {}))
    train = {"evaluate_every": 4, "steps": 12, **train}
    wanted = WantedSudokus(puzzles=40, least_givens=16, most_givens=24)
    recipe = replace(get_recipe("sudoku", "tiny"), model=network, train=replace(TINY, **train), data=wanted)
    return Plan(recipe, Sudoku(), sources or [])


def load(plan: Plan, folder: Path) -> RunData:
    return load_data(plan, Run(plan, folder).read_data(), lambda done, wanted: None)


def trained(plan: Plan, folder: Path, stopped: Stops = never, *, goes_on: bool = False) -> list[Event]:
    run = Run(plan, folder, find_state(folder) if goes_on else None)
    return list(start_run(run, load(plan, folder), Limits(), device=CPU, command="trm train", stopped=stopped))


def test_turns_come_evenly_and_as_often_as_the_shares_say() -> None:
    turns = [whose_turn(step, [100, 200, 500]) for step in range(800)]
    counts = Counter(turns)
    assert [counts[size] for size in range(3)] == pytest.approx([100, 200, 500], abs=2)
    assert all(set(turns[begin : begin + 20]) == {0, 1, 2} for begin in range(0, 800, 20))


def test_a_resized_network_has_the_same_weights_and_not_copies_of_them() -> None:
    network = TinyRecursiveModel(small_config("units", **SIX))
    small = resized(network, small_config())
    puzzles, state = torch.randint(1, 6, (2, 16)), small.starting_state(2)
    alone = TinyRecursiveModel(small_config())
    alone.load_state_dict(network.state_dict())
    for ours, theirs in zip(small(small.embed(puzzles), *state), alone(alone.embed(puzzles), *state), strict=True):
        assert torch.equal(ours, theirs)
    assert all(ours is theirs for ours, theirs in zip(small.parameters(), network.parameters(), strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_size_is_trained_and_judged(precision: str, tmp_path: Path) -> None:
    events = trained(plan(precision=precision, steps=40, evaluate_every=40), tmp_path / "run")
    (last,) = [event for event in events if isinstance(event, Evaluation)]
    assert [(size.kind, size.group, size.puzzles) for size in last.sizes] == [("size", "4x4", 10), ("size", "6x6", 10)]
    assert last.scores.puzzles == 20
    assert last.scores.cell == pytest.approx((16 * last.sizes[0].cell + 36 * last.sizes[1].cell) / 52)
    assert last.sizes[0].cell > 0.5
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert "Grids of 4x4 to 6x6." in card
    assert "| size 6x6 | 10 |" in card
    model = TRM.from_pretrained(str(tmp_path / "run"))
    for side in (4, 6):
        solution = model.solve(Sudoku().write(sudokus(1, side=side, givens=(side * side - 4,) * 2).puzzles[0]))
        assert solution.array.shape == (side, side)
    with pytest.raises(ModelError, match="is for grids of 4x4 to 6x6 cells, the puzzles have 81"):
        model.solve("." * 81)


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    trained(plan(), whole)
    asked = iter(range(9))
    trained(plan(), parted, lambda: next(asked, None) is None)
    trained(plan(), parted, goes_on=True)
    for name in ("shared", "worker-0"):
        ours, theirs = (load_file(find_state(folder).folder / f"{name}.safetensors") for folder in (whole, parted))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert {"batch-4x4.z", "batch-6x6.z"} <= ours.keys()


def test_sizes_without_data_are_generated_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "small.csv"
    file.write_bytes(dataset_bytes(sudokus(50, side=4, givens=(5, 8)), Sudoku(), gzipped=False))
    data = load(plan([str(file)]), tmp_path / "run")
    assert [(one.num_cells, len(one.training) + len(one.validation)) for one in data.sizes] == [(16, 50), (36, 40)]
    assert (data.sources, [one.generated is None for one in data.sizes]) == ([str(file)], [True, False])
    trained(plan([str(file)], steps=2, evaluate_every=2), tmp_path / "run")
    again = load(plan(data.sources), tmp_path / "run")
    assert again.sha256 == data.sha256
    assert load(plan([str(file), "generate"]), tmp_path / "new").sizes[0].num_cells == 16


def test_data_of_a_size_that_the_network_is_not_for_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_bytes(dataset_bytes(sudokus(3, side=9, givens=(30, 40)), Sudoku(), gzipped=False))
    with pytest.raises(UsageError, match=r"holds puzzles of 81 cells, the recipe 'tiny' is for 16, 36"):
        load(plan([str(file)]), tmp_path / "run")


def test_fresh_puzzles_and_two_nets_go_with_several_sizes(tmp_path: Path) -> None:
    events = trained(plan(model=OF_HRM, fresh_puzzles=4), tmp_path / "run")
    assert sum(isinstance(event, Evaluation) for event in events) == 3
