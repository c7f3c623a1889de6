"""Runs: what they report, leave behind and refuse."""

import json
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import small_config, sudokus
from tests.small_runs import CPU, SmallRun, small_run
from trm_cli.config import override
from trm_cli.errors import TrainingError, UsageError
from trm_cli.solving.engine import Stops
from trm_cli.solving.search import Outcome
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset, Task
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import WantedMazes
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import join
from trm_cli.training.data import split
from trm_cli.training.loop import Evaluation, Report, SavePoint
from trm_cli.training.recipes import RECIPES, get_recipe
from trm_cli.training.run import Limits, Plan, find_state
from trm_cli.training.step import Trainer
from trm_cli.weights.tensors import load_checkpoint


def log_of(run: SmallRun) -> list[dict[str, Any]]:
    text = (run.folder / "log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def figures(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Log entries without what depends on the clock."""
    clock = {"seconds", "puzzles_per_second", "pairs_per_second", "memory"}
    return [{name: v for name, v in entry.items() if name not in clock} for entry in entries]


def test_a_run_reports_evaluates_and_leaves_two_checkpoints(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run")
    events = [(type(event), event.step) for event in run.events()]
    assert events == [
        (Report, 1),
        (Report, 5),
        (Report, 8),
        (Evaluation, 8),
        (Report, 10),
        (Report, 12),
        (Evaluation, 12),
        (SavePoint, 12),
    ]
    assert [entry["step"] for entry in log_of(run)] == [1, 5, 8, 8, 10, 12, 12]
    averaged = load_checkpoint(tmp_path / "run" / "checkpoint", source="run", device=CPU)
    raw = load_checkpoint(tmp_path / "run" / "checkpoint-raw", source="run", device=CPU)
    assert averaged.checkpoint.training["steps"] == 12
    assert averaged.checkpoint.training["held_out"] == 10
    assert averaged.sha256 != raw.sha256
    assert (tmp_path / "run" / "checkpoint" / "README.md").read_text().startswith("---\n")


def test_reports_count_the_puzzles_that_halted_at_each_step(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run", report_every=1)
    reports = [event for event in run.events() if isinstance(event, Report)]
    most = small_config().N_sup
    assert all(len(report.halting_histogram) == most for report in reports)
    assert reports[most - 1].halting_histogram[most - 1] > 0  # nobody halts early so soon
    for report in reports:
        halted = sum(report.halting_histogram)
        assert (report.halting_step is None) == (halted == 0)


def test_the_same_seed_trains_the_same_network(small_data: Dataset, tmp_path: Path) -> None:
    def losses(name: str, seed: int) -> list[float]:
        run = small_run(small_data, tmp_path / name, seed=seed)
        return [event.loss for event in run.events() if isinstance(event, Report)]

    assert losses("a", 0) == losses("b", 0) != losses("c", 1)


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adam_atan2"])
@pytest.mark.parametrize("stop", [3, 8])
def test_a_run_in_two_parts_is_the_run_in_one(optimizer: str, stop: int, small_data: Dataset, tmp_path: Path) -> None:
    kinds: dict[str, Any] = {"optimizer": optimizer, "latent_noise": 0.3, "hint_share": 0.5, "exploration": 0.5}
    whole = small_run(small_data, tmp_path / "whole", **kinds)
    list(whole.events())
    parts = replace(small_run(small_data, tmp_path / "parts", **kinds), limits=Limits(max_steps=stop))
    list(parts.events())
    torch.manual_seed(99)  # whatever happened in between
    list(parts.resumed().events())
    again = [entry for entry in figures(log_of(parts)) if entry["step"] != 3]
    assert again == [entry for entry in figures(log_of(whole)) if entry["step"] != 3]
    for kind in ("checkpoint", "checkpoint-raw"):
        files = [r.folder / kind / "model.safetensors" for r in (whole, parts)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_bfloat16_keeps_float32_weights_and_resumes_exactly(small_data: Dataset, tmp_path: Path) -> None:
    whole = small_run(small_data, tmp_path / "whole", precision="bfloat16", report_every=1)
    list(whole.events())
    parts = replace(whole, folder=tmp_path / "parts", limits=Limits(max_steps=7))
    list(parts.events())
    list(parts.resumed().events())
    ours, theirs = ([e["loss"] for e in log_of(r) if "loss" in e] for r in (whole, parts))
    assert ours == theirs
    assert ours[-1] < ours[0]
    exact = small_run(small_data, tmp_path / "exact", report_every=1)
    list(exact.events())
    assert log_of(exact)[0]["loss"] == pytest.approx(ours[0], rel=0.02)
    assert log_of(exact)[0]["loss"] != ours[0]


def test_limits_stop_a_run_and_leave_a_checkpoint(small_data: Dataset, tmp_path: Path) -> None:
    run = replace(small_run(small_data, tmp_path / "a"), limits=Limits(max_steps=3))
    assert list(run.events())[-1].step == 3
    by_time: dict[str, Any] = {"decay_by": "time", "minutes": 2 / 60, "report_every": 1, "evaluate_every": 10**9}
    run = small_run(small_data, tmp_path / "b", steps=10**9, **by_time)
    events = list(run.events())
    reports = [event for event in events if isinstance(event, Report)]
    assert isinstance(events[-2], Evaluation)
    assert reports[0].rate > 0.9
    assert reports[-1].rate < 0.5


@dataclass
class Clock:
    """A clock that only training and evaluations move on, by so many seconds each."""

    now: float = 1000.0
    step: float = 1.0
    evaluation: float = 7.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    supervise, judge = Trainer.supervise, Trainer.judge

    def slow_step(trainer: Trainer, progress: float) -> None:
        supervise(trainer, progress)
        clock.now += clock.step

    def slow_judge(trainer: Trainer, task: Task, validation: Dataset, stopped: Stops) -> list[Outcome] | None:
        solutions = judge(trainer, task, validation, stopped)
        clock.now += clock.evaluation
        return None if stopped() else solutions

    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr(Trainer, "supervise", slow_step)
    monkeypatch.setattr(Trainer, "judge", slow_judge)
    return clock


def limited(clock: Clock, max_seconds: float, spent: float = 0.0, **changed: Any) -> Limits:
    """A limit of a call that has spent some of its time already."""
    return Limits(max_seconds=max_seconds, began=clock.now - spent, **changed)


LONG: dict[str, Any] = {"steps": 1000, "evaluate_every": 8}


def test_a_call_ends_in_its_time_with_the_last_evaluation_and_what_came_before_training(
    clock: Clock, small_data: Dataset, tmp_path: Path
) -> None:
    limits = limited(clock, 60.0, spent=20.0)
    *_, evaluated, saved = replace(small_run(small_data, tmp_path / "run", **LONG), limits=limits).events()
    assert isinstance(evaluated, Evaluation)
    assert isinstance(saved, SavePoint)
    # 8 steps and an evaluation of 7 s make 15 s, twice; then 40 s have no room for another step and 1.2 times 7 s
    assert (evaluated.step, limits.seconds_left) == (17, 2.0)
    assert (saved.is_over, saved.stopped) == (False, False)


def test_before_it_has_measured_one_a_call_leaves_an_evaluation_as_long_as_training_on_as_many_pairs(
    clock: Clock, small_data: Dataset, tmp_path: Path
) -> None:
    limits = limited(clock, 9.0)
    clock.evaluation = 3.0
    run = small_run(small_data, tmp_path / "run", steps=1000, evaluate_every=100)
    *_, evaluated, _ = replace(run, limits=limits).events()
    assert isinstance(evaluated, Evaluation)
    assert evaluated.step == 3  # ten puzzles at four steps each are five batches of eight


def test_steps_of_uneven_length_leave_room_for_an_evaluation_by_their_mean(
    clock: Clock, small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = cycle([0.5, 1.5])
    supervise = Trainer.supervise

    def uneven(trainer: Trainer, progress: float) -> None:
        clock.step = next(lengths)
        supervise(trainer, progress)

    monkeypatch.setattr(Trainer, "supervise", uneven)
    clock.evaluation = 4.5
    run = small_run(small_data, tmp_path / "run", steps=1000, evaluate_every=100)
    *_, evaluated, _ = replace(run, limits=limited(clock, 9.0)).events()
    assert isinstance(evaluated, Evaluation)
    assert evaluated.step == 4  # after four seconds: five batches of a second each would be over in the ninth


def test_an_evaluation_that_is_late_is_left_out_and_made_by_the_next_call(
    clock: Clock, small_data: Dataset, tmp_path: Path
) -> None:
    run = replace(small_run(small_data, tmp_path / "run", **LONG), limits=limited(clock, 15.0))
    clock.evaluation = 100.0
    *_, report, saved = run.events()
    assert isinstance(report, Report)
    assert isinstance(saved, SavePoint)
    assert (saved.step, saved.stopped, saved.is_over) == (8, False, False)
    assert load_checkpoint(tmp_path / "run" / "checkpoint", source="run", device=CPU)
    clock.evaluation = 1.0
    first, *_ = run.resumed(Limits(max_steps=9)).events()
    assert isinstance(first, Evaluation)
    assert first.step == 8


def test_a_run_of_all_the_time_of_a_call_is_over_with_it(clock: Clock, small_data: Dataset, tmp_path: Path) -> None:
    limits = limited(clock, 60.0, spent=10.0, ends_run=True)
    run = small_run(small_data, tmp_path / "run", **LONG, decay_by="time")
    run = replace(run, plan=run.plan.over(limits.seconds_left), limits=limits)
    *events, evaluated, saved = run.events()
    assert isinstance(evaluated, Evaluation)
    assert isinstance(saved, SavePoint)
    assert saved.is_over
    assert limits.seconds_left >= 0
    assert [event.rate for event in events if isinstance(event, Report)][-1] < 0.05
    with pytest.raises(UsageError, match="there is nothing to resume"):
        list(run.resumed().events())


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_kept(small_data: Dataset, tmp_path: Path) -> None:
    wild: dict[str, Any] = {"adamw_lr": 1e30, "report_every": 10**6, "evaluate_every": 4}
    run = small_run(small_data, tmp_path / "run", **wild)
    with pytest.raises(TrainingError, match="the loss is no number at step 4"):
        list(run.events())
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert find_state(tmp_path / "run").step == 0


def test_a_stopped_run_ends_after_the_step_and_keeps_weights_and_state(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run")
    seen: list[tuple[type, int]] = []
    for event in replace(run, stopped=lambda: len(seen) > 0).events():
        seen.append((type(event), event.step))
    assert seen == [(Report, 1), (Report, 2), (SavePoint, 2)]
    assert load_checkpoint(tmp_path / "run" / "checkpoint", source="run", device=CPU)
    assert find_state(tmp_path / "run").step == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_began_with_other_weights_resumes_with_their_start(
    precision: str, small_data: Dataset, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    first = replace(small_run(small_data, tmp_path / "first", seed=7), limits=Limits(max_steps=1))
    list(first.events())
    start = load_checkpoint(first.folder / "checkpoint", source="first", device=CPU)
    settings: dict[str, Any] = {"precision": precision, "report_every": 1}
    whole = replace(small_run(small_data, tmp_path / "whole", **settings), start=start)
    list(whole.events())
    parts = replace(whole, folder=tmp_path / "parts", limits=Limits(max_steps=5))
    list(parts.events())
    list(replace(parts.resumed(), start=None).events())
    ours, theirs = ([e["loss"] for e in log_of(r) if "loss" in e] for r in (whole, parts))
    assert ours == theirs


def test_an_evaluation_that_a_stop_prevented_is_made_first_when_the_run_goes_on(
    small_data: Dataset, tmp_path: Path
) -> None:
    whole = small_run(small_data, tmp_path / "whole")
    list(whole.events())
    for last in (8, 12):  # in the middle, and at the end
        steps: list[int] = []

        def stopped(steps: list[int] = steps, last: int = last) -> bool:
            return last in steps

        parts = replace(whole, folder=tmp_path / f"stopped-{last}", stopped=stopped)
        for event in parts.events():
            steps.append(event.step)
        assert isinstance(event, SavePoint)
        assert event.stopped
        *_, saved = replace(parts.resumed(), stopped=lambda: False).events()
        assert isinstance(saved, SavePoint)
        assert not saved.stopped
        assert figures(log_of(parts)) == figures(log_of(whole))


def test_weights_that_are_no_numbers_never_replace_the_last_state(small_data: Dataset, tmp_path: Path) -> None:
    wild: dict[str, Any] = {"adamw_lr": 1e38, "report_every": 10**6, "save_minutes": 0.0}
    run = small_run(small_data, tmp_path / "run", evaluate_every=10**6, **wild)
    with pytest.raises(TrainingError, match="the loss is no number"):
        list(run.events())
    state = find_state(tmp_path / "run")
    weights = load_file(state.folder / "shared.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_run_whose_time_is_spent_has_nothing_to_resume(small_data: Dataset, tmp_path: Path) -> None:
    by_time: dict[str, Any] = {"decay_by": "time", "minutes": 0.5 / 60, "steps": 10**9}
    run = small_run(small_data, tmp_path / "run", **by_time)
    list(run.events())
    with pytest.raises(UsageError, match="there is nothing to resume"):
        list(run.resumed().events())


def test_a_thousand_sources_are_counted_and_a_few_named(small_data: Dataset, tmp_path: Path) -> None:
    many = replace(small_data, sources=[f"book {i}" for i in range(len(small_data))])
    run = replace(small_run(many, tmp_path / "run"), limits=Limits(max_steps=1))
    list(run.events())
    sources = json.loads((tmp_path / "run" / "config.json").read_text())["training"]["sources"]
    assert len(sources) == 21
    assert sources["others"] == len(small_data) - 10 - 20


def test_the_validation_set_is_not_trained_on_though_the_data_have_it_twice(small_data: Dataset) -> None:
    training, validation = split(join([small_data, small_data]), validation=10, subsample=None, seed=0)
    kept = {row.tobytes() for row in validation.puzzles}
    assert not any(row.tobytes() in kept for row in training.puzzles)


def test_a_network_that_does_not_fit_into_memory_is_refused_in_one_line(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run")
    huge = replace(run.plan.recipe, model=small_config(channel_width=1 << 20, hidden_size=1 << 20))
    with pytest.raises(TrainingError, match=r"out of memory; give --set train\.batch_size=4"):
        list(replace(run, plan=replace(run.plan, recipe=huge)).events())


def test_a_run_learns(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run", steps=60, report_every=10, batch_size=32)
    reports = [event for event in run.events() if isinstance(event, Report)]
    assert reports[-1].answer_loss < 0.7 * reports[0].answer_loss


GENERATED = [recipe for recipe in RECIPES.values() if recipe.data is not None]


@pytest.mark.parametrize("recipe", GENERATED, ids=lambda r: f"{r.task}-{r.name}")
def test_every_recipe_takes_a_step(recipe: Any, tmp_path: Path) -> None:
    settings = ["train.batch_size=2", "train.validation=1", "train.compile=false", "train.minutes=60", "model.N_sup=1"]
    recipe = override(recipe, settings)
    side = recipe.model.height
    if recipe.task == "maze":  # a step on 900 cells takes minutes on a CPU
        recipe, side = override(recipe, ["model.height=5", "model.width=5"]), 5
        data = Maze().generate(WantedMazes(4), size=side, seed=0)
    else:
        data = sudokus(4, side=side, givens=(side * side - 9, side * side - 5), seed=0)
    run = SmallRun(Plan(recipe, get_task(recipe.task), ["x.csv"]), data, tmp_path / "run", Limits(1))
    assert [event.step for event in run.events()] == [1, 1, 1]


def test_misfits_are_refused_before_anything_is_written(small_data: Dataset, tmp_path: Path) -> None:
    run = small_run(small_data, tmp_path / "run")
    plan = run.plan
    boxes = replace(plan.recipe, model=small_config(box_height=1, box_width=4))
    misfits = {
        "puzzles of 16 cells": replace(plan, recipe=get_recipe("sudoku", "fast")),
        "model.box_height is 1": replace(plan, recipe=boxes),
        "--subsample 51: only 50 puzzles are left": replace(plan, subsample=51),
    }
    for message, wrong in misfits.items():
        with pytest.raises(UsageError, match=message):
            list(replace(run, plan=wrong).events())
    with pytest.raises(UsageError, match="for the validation set"):
        list(replace(run, data=small_data.head(10)).events())
    assert not (tmp_path / "run").exists()


def test_the_validation_set_follows_from_the_data_and_never_from_the_seed(small_data: Dataset) -> None:
    (first, judge), (second, other) = (split(small_data, validation=10, subsample=20, seed=s) for s in (0, 1))
    assert judge.sha256 == other.sha256
    assert first.sha256 != second.sha256
    assert first.sha256 == split(small_data, validation=10, subsample=20, seed=0)[0].sha256
    assert len(first) == 20
    kept = {row.tobytes() for row in judge.puzzles}
    assert not any(row.tobytes() in kept for row in first.puzzles)


def test_a_state_of_another_architecture_batch_or_data_is_refused(small_data: Dataset, tmp_path: Path) -> None:
    run = replace(small_run(small_data, tmp_path / "run"), limits=Limits(max_steps=2))
    list(run.events())
    again = run.resumed()
    wider = replace(run.plan.recipe, model=small_config(hidden_size=20))
    with pytest.raises(UsageError, match=r"of another architecture or batch: averaged\.embed"):
        list(replace(again, plan=replace(run.plan, recipe=wider)).events())
    larger = small_run(small_data, tmp_path / "run", batch_size=9)
    with pytest.raises(UsageError, match=r"batch\.steps is \[8\] there and \[9\] here"):
        list(replace(again, plan=larger.plan).events())
    with pytest.raises(UsageError, match="was trained on other puzzles"):
        list(replace(again, data=small_data.head(50)).events())
    with pytest.raises(UsageError, match="has had its 2 steps; there is nothing to resume"):
        list(run.resumed(Limits(max_steps=2)).events())
    assert list(again.events())[-1].step == 12


@pytest.mark.slow
def test_tiny_reaches_nine_in_ten_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    recipe = get_recipe("sudoku", "tiny")
    data = Sudoku().generate(recipe.wanted, size=6, seed=0)
    plan = Plan(recipe, Sudoku(), ["generated.csv"])
    run = SmallRun(plan, data, tmp_path / "run", Limits(max_seconds=840))
    *_, last, _ = run.events()
    assert isinstance(last, Evaluation)
    assert last.scores.exact >= 0.9
