"""Losses, batches, optimizers, the loop, runs and recipes."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.errors import TrainingError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import BLANK, Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.batches import Examples, RollingBatch
from trm_cli.training.loop import Evaluation, Limits, Report
from trm_cli.training.losses import halting_loss, right_cells, softmax_loss, stablemax_loss
from trm_cli.training.optim import AveragedWeights, build_optimizers, rate_factor, set_rate
from trm_cli.training.recipes import Recipe, get_recipe, override
from trm_cli.training.run import RunRequest, new_run_folder, run
from trm_cli.weights.store import load_checkpoint

CPU = torch.device("cpu")
TINY = TrainConfig(batch_size=8, steps=12, validation=10, report_every=5, evaluate_every=8)


def test_softmax_loss_is_torch_s_cross_entropy_where_nothing_is_padded() -> None:
    logits, answers = torch.randn(3, 5, 7), torch.randint(1, 7, (3, 5))
    expected = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(softmax_loss(logits, answers, 0.1), expected)


@pytest.mark.parametrize("loss", [softmax_loss, stablemax_loss])
def test_padding_does_not_count(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, answers = torch.randn(2, 6, 7), torch.randint(1, 7, (2, 6))
    answers[:, 4:] = 0
    expected = loss(logits[:, :4], answers[:, :4])
    torch.testing.assert_close(loss(logits, answers), expected)
    assert right_cells(logits, answers)[:, 4:].all()


def test_stablemax_is_the_formula() -> None:
    logits = torch.tensor([[[-3.0, 0.0, 2.0]]])
    shares = [1 / 4, 1.0, 3.0]
    expected = math.log(sum(shares) / shares[2])
    assert stablemax_loss(logits, torch.tensor([[2]])).item() == pytest.approx(expected)


def test_the_halting_loss_falls_when_the_head_is_right() -> None:
    solved = torch.tensor([True, False])
    right, wrong = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
    assert halting_loss(right, solved) < 0.02 < 4 < halting_loss(wrong, solved)


def make_batch(data: Dataset, **changes: object) -> tuple[TinyRecursiveModel, RollingBatch]:
    network = TinyRecursiveModel(small_config())
    pool = Sudoku().symmetries(16, count=32, rng=np.random.default_rng(0))
    examples = Examples.on_device(data.puzzles, data.answers, pool, CPU)
    config = replace(TINY, **changes)  # type: ignore[arg-type] # values of mixed types
    return network, RollingBatch(network, examples, config, torch.Generator().manual_seed(0))


def test_drawn_examples_keep_their_rules_under_symmetries_and_hints(small_data: Dataset) -> None:
    _, batch = make_batch(small_data, batch_size=200, hint_share=0.5)
    puzzles, answers = (t.numpy().astype(np.uint8) for t in batch.draw())
    assert Sudoku().rules_hold(puzzles, answers).all()
    known = {row.tobytes() for row in small_data.puzzles}
    assert sum(row.tobytes() in known for row in puzzles) < 20


def test_hints_fill_blanks_of_some_puzzles_and_none_without_hints(small_data: Dataset) -> None:
    most = int((small_data.puzzles > BLANK).sum(1).max())
    _, plain = make_batch(small_data, batch_size=300, hint_share=0.0)
    _, hinted = make_batch(small_data, batch_size=300, hint_share=0.5, max_hints=1.0)
    assert int((plain.draw()[0] > BLANK).sum(1).max()) == most
    more = ((hinted.draw()[0] > BLANK).sum(1) > most).float().mean().item()
    assert 0.1 < more < 0.5


def test_only_halted_slots_are_refilled(small_data: Dataset) -> None:
    network, batch = make_batch(small_data, exploration=0.0)
    batch.refill(network)
    before = batch.puzzles.clone()
    halt = torch.tensor([1.0, -1.0] * 4)
    batch.advance(batch.y + 1, batch.z + 1, halt)
    assert batch.halted.tolist() == [True, False] * 4
    kept = batch.z[1].clone()
    batch.refill(network)
    assert batch.steps.tolist() == [0, 1] * 4
    assert (batch.puzzles[1::2] == before[1::2]).all()
    assert (batch.z[1] == kept).all()
    assert (batch.puzzles[::2] != before[::2]).any(1).all()


def test_exploration_holds_back_from_halting_but_never_past_the_ceiling(
    small_data: Dataset,
) -> None:
    network, batch = make_batch(small_data, exploration=1.0, batch_size=64)
    eager = torch.ones(64)
    batch.refill(network)
    batch.advance(batch.y, batch.z, eager)
    assert not batch.halted.any()  # every slot explores, for two steps at least
    for _ in range(small_config().N_sup - 1):
        batch.advance(batch.y, batch.z, eager)
    assert batch.halted.all()


def test_muon_takes_the_matrices_of_the_net_and_adamw_the_rest() -> None:
    network = TinyRecursiveModel(small_config("mlp"))
    adamw, muon = build_optimizers(network, TINY)
    muons = {id(p) for group in muon.param_groups for p in group["params"]}
    assert muons == {id(p) for p in network.net.parameters()}
    adamws = [p for group in adamw.param_groups for p in group["params"]]
    assert len(adamws) + len(muons) == len(list(network.parameters()))
    assert len(build_optimizers(network, replace(TINY, optimizer="adamw"))) == 1


def test_the_rate_warms_up_and_follows_a_cosine() -> None:
    config = replace(TINY, warmup_steps=10)
    assert rate_factor(config, 4, 0.0) == pytest.approx(0.5)
    assert rate_factor(config, 99, 0.5) == pytest.approx(0.5)
    assert rate_factor(config, 99, 1.0) == pytest.approx(0.0)
    assert rate_factor(replace(config, schedule="constant"), 99, 1.0) == 1.0
    network = TinyRecursiveModel(small_config())
    optimizers = build_optimizers(network, TINY)
    set_rate(optimizers, 0.25)
    assert [o.param_groups[0]["lr"] for o in optimizers] == [1e-4 / 4, 0.02 / 4]


def test_averaged_weights_are_the_exponential_mean() -> None:
    network = TinyRecursiveModel(small_config())
    averaged = AveragedWeights(network, decay=0.9)
    weight = network.output_head.weight
    expected = weight.detach().clone()
    for step in range(200, 203):
        with torch.no_grad():
            weight += 1.0
        averaged.update(network, step)
        expected = 0.9 * expected + 0.1 * weight.detach()
    torch.testing.assert_close(averaged.model.output_head.weight.detach(), expected)
    assert (averaged.model.y_init == network.y_init).all()


def small_request(data: Dataset, folder: Path, **train: object) -> RunRequest:
    recipe = get_recipe("sudoku", "tiny")
    recipe = replace(recipe, model=small_config(), train=replace(TINY, **train))  # type: ignore[arg-type]
    return RunRequest(recipe, data, ["generated"], folder, CPU, 0, Limits(), "trm train")


def test_a_run_reports_evaluates_and_leaves_a_checkpoint(
    small_data: Dataset, tmp_path: Path
) -> None:
    events = list(run(small_request(small_data, tmp_path / "run")))
    kinds = [(type(event), event.step) for event in events]
    assert kinds == [
        (Report, 1), (Report, 5), (Report, 8), (Evaluation, 8), (Report, 10), (Report, 12),
        (Evaluation, 12),
    ]  # fmt: skip
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 5, 8, 8, 10, 12, 12]
    loaded = load_checkpoint(tmp_path / "run" / "checkpoint", source="run", device=CPU)
    assert loaded.checkpoint.training["steps"] == 12
    assert loaded.checkpoint.training["held_out"] == 10
    assert (tmp_path / "run" / "checkpoint" / "README.md").read_text().startswith("---\n")


def test_the_same_seed_trains_the_same_network(small_data: Dataset, tmp_path: Path) -> None:
    def losses(name: str, seed: int) -> list[float]:
        request = replace(small_request(small_data, tmp_path / name), seed=seed)
        return [event.loss for event in run(request) if isinstance(event, Report)]

    assert losses("a", 0) == losses("b", 0) != losses("c", 1)


def test_limits_stop_a_run_and_leave_a_checkpoint(small_data: Dataset, tmp_path: Path) -> None:
    request = small_request(small_data, tmp_path / "a")
    events = list(run(replace(request, limits=Limits(max_steps=3))))
    assert events[-1].step == 3
    by_time = {"decay_by": "time", "report_every": 1, "evaluate_every": 10**9}
    request = small_request(small_data, tmp_path / "b", steps=10**9, **by_time)
    events = list(run(replace(request, limits=Limits(max_seconds=2.0))))
    reports = [event for event in events if isinstance(event, Report)]
    assert isinstance(events[-1], Evaluation)
    assert reports[0].rate > 0.9
    assert reports[-1].rate < 0.5


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_kept(
    small_data: Dataset, tmp_path: Path
) -> None:
    wild = {"adamw_lr": 1e30, "report_every": 10**6, "evaluate_every": 4}
    with pytest.raises(TrainingError, match="the loss is no number at step 4"):
        list(run(small_request(small_data, tmp_path / "run", **wild)))
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_stopped_run_ends_after_the_step_and_keeps_its_weights(
    small_data: Dataset, tmp_path: Path
) -> None:
    request = replace(small_request(small_data, tmp_path / "run"), stopped=lambda: True)
    assert [event.step for event in run(request)] == [1]
    assert load_checkpoint(tmp_path / "run" / "checkpoint", source="run", device=CPU)


def test_a_run_learns(small_data: Dataset, tmp_path: Path) -> None:
    request = small_request(small_data, tmp_path / "run", steps=60, report_every=10, batch_size=32)
    reports = [event for event in run(request) if isinstance(event, Report)]
    assert reports[-1].answer_loss < 0.7 * reports[0].answer_loss


@pytest.mark.parametrize("name", ["tiny", "fast", "mlp"])
def test_every_recipe_takes_a_step(name: str, tmp_path: Path) -> None:
    recipe = get_recipe("sudoku", name)
    recipe = override(recipe, ["train.batch_size=2", "train.validation=1"])
    side = recipe.model.height
    data = Sudoku().generate(4, side=side, givens=(side * side - 9, side * side - 5), seed=0)
    request = RunRequest(recipe, data, ["generated"], tmp_path / "run", CPU, 0, Limits(1), "trm")
    assert [event.step for event in run(request)] == [1, 1]


def test_misfits_are_refused_before_anything_is_written(
    small_data: Dataset, tmp_path: Path
) -> None:
    request = small_request(small_data, tmp_path / "run")
    other = replace(request, recipe=get_recipe("sudoku", "fast"))
    few = replace(request, data=small_data.head(10))
    timeless = small_request(small_data, tmp_path / "run", decay_by="time")
    boxes = replace(request.recipe, model=small_config(box_height=1, box_width=4))
    boxed = replace(request, recipe=boxes)
    misfits = {
        "puzzles of 16 cells": other,
        "held out": few,
        "max-time": timeless,
        "model.box_height is 1": boxed,
    }
    for message, wrong in misfits.items():
        with pytest.raises(UsageError, match=message):
            list(run(wrong))
    assert not (tmp_path / "run").exists()


def test_a_run_never_takes_a_folder_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_run_folder("sudoku", "tiny", None) == Path("runs/sudoku/tiny-1")
    Path("runs/sudoku/tiny-1").mkdir(parents=True)
    assert new_run_folder("sudoku", "tiny", None) == Path("runs/sudoku/tiny-2")
    with pytest.raises(UsageError, match="exists already"):
        new_run_folder("sudoku", "tiny", tmp_path)


def changed(*settings: str) -> Recipe:
    return override(get_recipe("sudoku", "fast"), list(settings))


def test_a_recipe_is_overridden_by_name_and_type() -> None:
    recipe = changed("model.n=2", "train.compile=TRUE", "train.muon_lr=1e-3", "data.puzzles=7")
    assert recipe.model.n == 2
    assert recipe.train.compile is True
    assert recipe.train.muon_lr == 1e-3
    assert recipe.data.puzzles == 7
    assert changed() == get_recipe("sudoku", "fast")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.batchsize=3", "did you mean train.batch_size"),
        ("modle.n=3", "write model.NAME=VALUE"),
        ("train.batch_size", "write model.NAME=VALUE"),
        ("train.batch_size=many", "expected int, got 'many'"),
        ("train.compile=maybe", "expected true or false"),
        ("train.batch_size=0", "train.batch_size: expected 1 to"),
        ("train.validation=0", "train.validation: expected 1 to"),
        ("train.warmup_steps=-5", "train.warmup_steps: expected 0 to"),
        ("train.muon_lr=nan", "train.muon_lr: expected 0 or more, got nan"),
        ("train.adamw_lr=inf", "train.adamw_lr: expected 0 or more, got inf"),
        ("train.clip=-1", "train.clip: expected 0 or more"),
        ("train.ema_decay=2", "train.ema_decay: expected 0 to 1"),
        ("data.puzzles=0", "data.puzzles: expected 1 to"),
        ("model.mixer=magic", "expected one of mlp, attention"),
    ],
)
def test_a_wrong_override_says_what_is_right(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changed(setting)


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="choose from: fast, mlp, tiny"):
        get_recipe("sudoku", "huge")


@pytest.mark.slow
def test_tiny_reaches_nine_in_ten_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    recipe = get_recipe("sudoku", "tiny")
    givens = (recipe.data.least_givens, recipe.data.most_givens)
    data = Sudoku().generate(recipe.data.puzzles, side=6, givens=givens, seed=0)
    request = RunRequest(recipe, data, ["generated"], tmp_path / "run", CPU, 0,
                         Limits(max_seconds=840), "trm")  # fmt: skip
    *_, last = run(request)
    assert isinstance(last, Evaluation)
    assert last.scores.exact >= 0.9
