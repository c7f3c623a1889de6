"""One training step: what it must not do, number types, compilation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.batches import Examples
from trm_cli.training.step import SUMS, Trainer

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")
CONFIG = TrainConfig(batch_size=8, hint_share=0.5, latent_noise=0.3, clip=1.0)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Notes the name of every operation that reaches a device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def make_trainer(data: Dataset, mixer: str = "units", device: str = "cpu", **changes: Any) -> Trainer:
    torch.manual_seed(0)
    pool = Sudoku().symmetries(16, count=32, rng=np.random.default_rng(0))
    chosen = torch.device(device)
    examples = Examples.on_device(data.puzzles, data.answers, pool, chosen)
    network = TinyRecursiveModel(small_config(mixer)).to(chosen)
    return Trainer(network, examples, replace(CONFIG, **changes), seed=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adam_atan2"])
@pytest.mark.parametrize("loss", ["softmax", "stablemax"])
def test_no_operation_of_a_step_waits_for_the_device(
    precision: str, optimizer: str, loss: str, small_data: Dataset
) -> None:
    trainer = make_trainer(small_data, precision=precision, optimizer=optimizer, loss=loss)
    trainer.supervise(0.0)
    with Operations() as operations:
        trainer.supervise(0.1)
    assert len(operations.names) > 300
    assert [name for name in operations.names if name in WAITS] == []


@pytest.mark.parametrize("mixer", ["mlp", "attention", "equivariant", "units"])
def test_every_tensor_of_the_batch_keeps_its_shape_and_type(mixer: str, small_data: Dataset) -> None:
    trainer = make_trainer(small_data, mixer, precision="bfloat16")
    names = ("puzzles", "answers", "y", "z", "steps", "least_steps", "halted", "noise")
    seen = set()
    for _ in range(5):
        trainer.supervise(0.0)
        tensors = [getattr(trainer.batch, name) for name in names]
        seen.add(tuple((tensor.shape, tensor.dtype) for tensor in tensors))
    assert len(seen) == 1
    assert trainer.batch.z.dtype == torch.bfloat16
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}


def test_weights_are_rounded_once_a_step_and_the_float32_ones_learn(small_data: Dataset) -> None:
    trainer = make_trainer(small_data, precision="bfloat16")
    with Operations() as operations:
        trainer.supervise(0.0)
    assert operations.names.count("_foreach_copy_") == 1
    pairs = zip(trainer.network.parameters(), trainer.working.parameters(), strict=True)
    for master, work in pairs:
        assert torch.equal(master.to(torch.bfloat16), work)
    assert any(
        not torch.equal(master, work.float())
        for master, work in zip(trainer.network.parameters(), trainer.working.parameters(), strict=True)
    )


@pytest.mark.filterwarnings("ignore")  # of torch.compile about itself
@pytest.mark.parametrize("unit", ["net", pytest.param("step", marks=pytest.mark.slow)])
def test_a_compiled_step_gives_the_sums_of_one_that_is_not(unit: str, small_data: Dataset) -> None:
    plain = make_trainer(small_data, "mlp")
    compiled = make_trainer(small_data, "mlp", compile=True, compile_unit=unit)
    for trainer in (plain, compiled):
        trainer.supervise(0.0)
    torch.testing.assert_close(compiled.sums[: len(SUMS)], plain.sums[: len(SUMS)])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_cuda_a_step_never_synchronises(precision: str, small_data: Dataset) -> None:
    trainer = make_trainer(small_data, device="cuda", precision=precision)
    trainer.supervise(0.0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.supervise(0.1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_cuda_computes_what_the_cpu_does(small_data: Dataset) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        trainer = make_trainer(
            small_data, device=device, precision="float32", hint_share=0.0, latent_noise=0.0, symmetries=False
        )
        known = make_trainer(small_data).batch
        for name in ("puzzles", "answers", "y", "z"):
            setattr(trainer.batch, name, getattr(known, name).to(device))
        trainer.batch.halted[:] = False
        trainer.supervise(0.0)
        losses.append(trainer.sums[1].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
