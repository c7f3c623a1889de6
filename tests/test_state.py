"""States: whole, sealed, and refused where a run could not go on exactly."""

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.small_runs import CPU, SmallRun, small_run
from trm_cli.errors import TrainingError, UsageError
from trm_cli.files import sha256_of
from trm_cli.schema import sealed
from trm_cli.tasks.base import Dataset
from trm_cli.training.data import split_data
from trm_cli.training.distributed import Workers
from trm_cli.training.loop import build_trainer
from trm_cli.training.run import Limits, find_state
from trm_cli.training.state import is_finite, load_state, refuse_other_config, save_state
from trm_cli.training.step import Trainer

STEP = "state/step-00000004"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def saved(small_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A run that was left at step 4."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    run = replace(small_run(small_data, folder, latent_noise=0.3), limits=Limits(max_steps=4))
    list(run.events())
    return run


def copied(run: SmallRun, folder: Path, *, seals: bool) -> SmallRun:
    """The same run elsewhere; its state without checksums, as in 0.1.0, if it has no seals."""
    shutil.copytree(run.folder, folder)
    if not seals:
        path = folder / STEP / "state.json"
        known = json.loads(path.read_text())
        names = known.keys() - {"sha256", "config_sha256", "checksum"}
        path.write_text(json.dumps({name: known[name] for name in names}))
    return replace(run, folder=folder)


def trainer_of(run: SmallRun) -> Trainer:
    data = split_data(run.plan, run.data, ["generated"], ["generated.csv"])
    return build_trainer(run.plan, data, None, None, device=CPU, workers=Workers())


def tensors_of(trainer: Trainer) -> list[Tensor]:
    """What a refused state must leave alone."""
    batch = [getattr(trainer.batch, name).clone() for name in trainer.batch.CARRIED]
    weights = [*trainer.network.state_dict().values(), *trainer.ema.model.state_dict().values()]
    return [*batch, *map(torch.clone, weights), trainer.sums.clone(), trainer.generator.get_state()]


def refused(run: SmallRun, kind: type[Exception]) -> str:
    """Why the state of a run cannot be loaded; the trainer stays as it was."""
    trainer = trainer_of(run)
    before = tensors_of(trainer)
    with pytest.raises(kind) as caught:
        load_state(find_state(run.folder), trainer)
    assert all(map(torch.equal, before, tensors_of(trainer)))
    assert (trainer.step, trainer.seconds) == (0, 0.0)
    assert not any(optimizer.state for optimizer in trainer.optimizers)
    return str(caught.value)


@pytest.mark.parametrize("name", ["state.json", "shared.safetensors", "worker-0.safetensors"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_is_named_as_damage(name: str, place: float, saved: SmallRun, tmp_path: Path) -> None:
    run = copied(saved, tmp_path / "run", seals=True)
    path = run.folder / STEP / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    message = refused(run, TrainingError)
    assert message.startswith(f"{path}: damaged: ")
    assert message.endswith("; give another state to --resume")
    if name != "state.json":
        assert "its SHA-256 is not the one in state.json" in message


def test_a_state_says_what_all_of_its_files_hold(saved: SmallRun) -> None:
    folder = saved.folder / STEP
    known = json.loads((folder / "state.json").read_text())
    names = ["shared.safetensors", "worker-0.safetensors"]
    assert known["sha256"] == {name: sha256_of(folder / name) for name in names}
    assert known["config_sha256"] == sha256_of(saved.folder / "config.json")
    assert known == sealed({name: value for name, value in known.items() if name != "checksum"})


def test_a_state_without_checksums_still_goes_on_exactly(saved: SmallRun, small_data: Dataset, tmp_path: Path) -> None:
    run, whole = copied(saved, tmp_path / "run", seals=False), replace(saved, folder=tmp_path / "whole")
    list(replace(whole, limits=Limits()).events())
    list(run.resumed().events())
    ours, theirs = (one.folder / "checkpoint" / "model.safetensors" for one in (run, whole))
    assert ours.read_bytes() == theirs.read_bytes()


SAID: list[tuple[dict[str, Any], str]] = [
    ({"step": -1}, "step: expected a whole number from 0 to 1,000,000,000,000, got -1"),
    ({"step": 1.5}, "step: expected a whole number"),
    ({"step": 10**30}, "step: expected a whole number"),
    ({"step": 5}, r"optimizer.0.step.\S+ holds 4 to 4"),
    ({"step": 0, "evaluated": 0}, "of another architecture or batch: optimizer.0"),
    ({"seconds": math.inf}, "not JSON: Infinity is no number"),
    ({"seconds": -1}, "seconds: expected a number from 0 to 10,000,000,000, got -1"),
    ({"seconds": None}, "seconds: expected a number"),
    ({"reported": "1"}, "reported: expected a number"),
    ({"evaluated": 5}, "evaluated at step 5, after its own"),
    ({"workers": 0}, "workers: expected a whole number"),
    ({"workers": 2}, "saved by 2 workers, not 1"),
    ({"device": "cuda"}, "saved on cuda, not on cpu"),
    ({"device": "\x1b[31m"}, "device: expected one of cpu, cuda, mps"),
    ({"format": 2}, "a state of format 2; this trm reads 1"),
    ({"sha256": {"shared.safetensors": "0"}}, "its own checksum is missing"),
]


@pytest.mark.parametrize(("change", "message"), SAID)
def test_a_state_that_says_what_cannot_be_is_refused(
    change: dict[str, Any], message: str, saved: SmallRun, tmp_path: Path
) -> None:
    run = copied(saved, tmp_path / "run", seals=False)
    path = run.folder / STEP / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    trainer = trainer_of(run)
    with pytest.raises((TrainingError, UsageError), match=message):
        load_state(find_state(run.folder), trainer)
    assert trainer.step == 0


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"step": 1' + "0" * 5_000 + "}", "\xff", None])
def test_what_is_no_record_of_a_state_is_refused(content: str | None, saved: SmallRun, tmp_path: Path) -> None:
    run = copied(saved, tmp_path / "run", seals=True)
    path = run.folder / STEP / "state.json"
    path.unlink()
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content.encode("latin1"))
    with pytest.raises(TrainingError, match=f"{path}: damaged: .*; give another state to --resume"):
        find_state(run.folder)


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {own: one for own, one in tensors.items() if own != name}


def other(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: change(tensors[name].clone()).contiguous()}


def first(value: float) -> Callable[[Tensor], Tensor]:
    """Put a value in the first place of a tensor."""

    def changed(tensor: Tensor) -> Tensor:
        tensor.view(-1)[0] = value
        return tensor

    return changed


MOMENT = "optimizer.0.exp_avg.halt_head.bias"
DAMAGES: dict[str, tuple[str, Callable[[Tensors], Tensors], str]] = {
    "missing moment": ("shared", without(MOMENT), f"{MOMENT} is missing there"),
    "misshapen moment": ("shared", other(MOMENT, lambda one: one.repeat(2)), f"{MOMENT} is [2] there and [1] here"),
    "moment of another kind": ("shared", other(MOMENT, Tensor.double), f"{MOMENT} is float64 there and float32 here"),
    "unknown moment": ("shared", lambda one: {**one, f"{MOMENT}x": one[MOMENT].clone()}, "there and not there here"),
    "negative square": ("shared", other(MOMENT.replace("avg", "avg_sq"), first(-1)), "holds -1 to -1"),
    "average that is no number": (
        "shared",
        other("averaged.halt_head.bias", first(math.nan)),
        "holds what is no number",
    ),
    "infinite weight": ("shared", other("network.halt_head.bias", first(math.inf)), "holds what is no number"),
    "token beyond the vocabulary": ("worker-0", other("batch.puzzles", first(6)), "batch.puzzles holds 1 to 6"),
    "negative token": ("worker-0", other("batch.answers", first(-1)), "batch.answers holds -1 to"),
    "step beyond the last": ("worker-0", other("batch.steps", first(99)), "batch.steps holds"),
    "noise beyond the largest": ("worker-0", other("batch.noise", first(9)), "batch.noise holds"),
    "neither true nor false": (
        "worker-0",
        other("batch.halted", lambda one: first(2)(one.view(torch.uint8)).view(torch.bool)),
        "batch.halted holds",
    ),
    "infinite sum": ("worker-0", other("sums", first(math.inf)), "sums holds what is no number"),
    "negative count": ("worker-0", other("sums", first(-1)), "counts holds -1 to"),
    "no random state": ("worker-0", without("random.cpu"), "random.cpu is missing there"),
    "short random state": ("worker-0", other("random.batch", lambda one: one[:-1]), "random.batch is [5055] there"),
    "wrong random state": ("worker-0", other("random.cpu", torch.zeros_like), "random.cpu is no state of a generator"),
}


@pytest.mark.parametrize(("part", "change", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_tensors_that_no_run_comes_to_are_refused_before_any_is_loaded(
    part: str, change: Callable[[Tensors], Tensors], message: str, saved: SmallRun, tmp_path: Path
) -> None:
    run = copied(saved, tmp_path / "run", seals=False)
    path = run.folder / STEP / f"{part}.safetensors"
    save_file(change(load_file(path)), path)
    said = refused(run, UsageError if "there" in message else TrainingError)
    assert message in said
    assert said.startswith(f"{run.folder / STEP}: ")


@pytest.mark.parametrize("size", [0, 3, 1 << 40])
def test_files_that_hold_no_tensors_are_damaged(size: int, saved: SmallRun, tmp_path: Path) -> None:
    run = copied(saved, tmp_path / "run", seals=True)
    path = run.folder / STEP / "shared.safetensors"
    os.truncate(path, size)
    assert refused(run, TrainingError).startswith(f"{path}: damaged: ")


def test_a_config_of_a_huge_network_is_refused_before_that_is_made(saved: SmallRun) -> None:
    model = replace(saved.plan.recipe.model, hidden_size=1 << 20, num_layers=1 << 10)
    state = find_state(saved.folder)
    for other_model, batch_size in ((model, 8), (saved.plan.recipe.model, 1 << 40)):
        with pytest.raises(UsageError, match="of another architecture or batch"):
            refuse_other_config(state, other_model, batch_size)
    refuse_other_config(state, saved.plan.recipe.model, 8)


def test_what_is_not_finite_is_not_saved(saved: SmallRun) -> None:
    trainer = trainer_of(saved)
    assert is_finite(trainer)
    trainer.batch.z[0, 0, 0] = math.nan
    assert not is_finite(trainer)


def test_a_disk_that_is_full_leaves_the_last_state_and_nothing_else(
    saved: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(saved, tmp_path / "run", seals=True)
    trainer = trainer_of(run)
    load_state(find_state(run.folder), trainer)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("trm_cli.training.state.flush", full)
    trainer.step += 1
    with pytest.raises(OSError, match="No space left"):
        save_state(run.folder / "state", trainer)
    assert [path.name for path in (run.folder / "state").iterdir()] == ["step-00000004"]
