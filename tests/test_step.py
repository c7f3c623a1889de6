"""One training step: the losses, the step as written by hand, what it must not do, number types, compilation."""

import copy
import math
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import small_config
from trm_cli.config import TrainConfig
from trm_cli.model.machine import keep_freed_memory
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import PADDING, Dataset, Transforms
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.batches import Examples
from trm_cli.training.step import SUMS, Trainer, answer_loss, halting_loss, right_cells, softmax_loss, stablemax_loss

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


def make_trainer(
    data: Dataset, mixer: str = "units", device: str = "cpu", model: dict[str, Any] | None = None, **changes: Any
) -> Trainer:
    torch.manual_seed(0)
    pool = Sudoku().symmetries(16, count=32, rng=np.random.default_rng(0))
    chosen = torch.device(device)
    examples = Examples.on_device(data.puzzles, data.answers, pool, chosen)
    network = TinyRecursiveModel(small_config(mixer, **(model or {}))).to(chosen)
    return Trainer(network, examples, replace(CONFIG, **changes), seed=0)


def test_softmax_loss_is_torch_s_cross_entropy_where_nothing_is_padded() -> None:
    logits, answers = torch.randn(3, 5, 7), torch.randint(1, 7, (3, 5))
    expected = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
    torch.testing.assert_close(softmax_loss(logits, answers).mean(), expected)


def test_smoothing_spreads_over_the_symbols_and_over_nothing_that_is_ruled_out() -> None:
    logits, answers = torch.randn(3, 5, 7), torch.randint(2, 7, (3, 5))
    logits[..., :2] = -1e4  # as a net that keeps one field per symbol has it
    expected = F.cross_entropy(logits[..., 2:].flatten(0, 1), answers.flatten() - 2, label_smoothing=0.1)
    torch.testing.assert_close(softmax_loss(logits, answers, 0.1).mean(), expected)


@pytest.mark.parametrize("loss", ["softmax", "stablemax"])
def test_padding_does_not_count(loss: str) -> None:
    config = TrainConfig(loss=loss)
    logits, answers = torch.randn(2, 6, 7), torch.randint(1, 7, (2, 6))
    answers[:, 4:] = 0
    expected = answer_loss(logits[:, :4], answers[:, :4], config)
    torch.testing.assert_close(answer_loss(logits, answers, config), expected)
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


LR, CLIP, DECAY, HALT_WEIGHT = 0.1, 0.5, 0.9, 0.3


def flat(network: TinyRecursiveModel) -> Tensor:
    """All its weights in a row."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_a_step_is_the_one_that_is_written_by_hand(small_data: Dataset) -> None:
    """Losses, gradients, EMA weights and what is carried, against plain torch; only the drawn puzzles are shared."""
    answers = small_data.answers.copy()
    answers[::2] = PADDING  # nothing to get wrong: these are solved
    one_way = Transforms.identity(16, 6)
    examples = Examples.on_device(small_data.puzzles, answers, one_way, torch.device("cpu"))
    config = replace(
        CONFIG, hint_share=0.0, latent_noise=0.0, symmetries=False, exploration=0.0, schedule="constant", clip=CLIP
    )
    config = replace(config, ema_decay=DECAY, halt_weight=HALT_WEIGHT)
    network = TinyRecursiveModel(small_config("mlp", start="fixed"))
    torch.nn.init.normal_(network.halt_head.weight)  # so that some halt early
    torch.nn.init.zeros_(network.halt_head.bias)
    ours, average = copy.deepcopy(network), copy.deepcopy(network)
    begin = flat(network)
    trainer = Trainer(network, examples, config, seed=0)
    trainer.optimizers = [torch.optim.SGD(network.parameters(), lr=LR)]
    trainer.optimizers[0].param_groups[0]["full_lr"] = LR

    y, z = (start.clone() for start in ours.starting_state(8))
    steps, halted, total = torch.zeros(8), torch.ones(8, dtype=torch.bool), 0.0
    for step in range(6):
        trainer.supervise(0.0)
        batch = trainer.batch
        y = torch.where(halted[:, None, None], ours.y_init, y)
        z = torch.where(halted[:, None, None], ours.z_init, z)
        steps = torch.where(halted, 0, steps) + 1
        x = ours.embed(batch.puzzles)
        for recursion in range(ours.config.T):
            with torch.set_grad_enabled(recursion == ours.config.T - 1):
                for _ in range(ours.config.n):
                    z = ours.net(x, y, z)
                y = ours.net(y, z)
        logits, halt = ours.read_answer(y), ours.read_halt(y)
        counts = batch.answers != PADDING
        by_cell = -logits.softmax(-1).gather(-1, batch.answers[..., None])[..., 0].log()
        answer_term = ((by_cell * counts).sum(1) / counts.sum(1).clamp(min=1)).mean()
        solved = ((logits.argmax(-1) == batch.answers) | ~counts).all(1)
        halting_term = -torch.where(solved, F.logsigmoid(halt), F.logsigmoid(-halt)).mean()
        loss = answer_term + HALT_WEIGHT * halting_term
        parameters = list(ours.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        decay = min(DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for parameter, mean, gradient in zip(parameters, average.parameters(), gradients, strict=True):
                parameter.sub_(LR * min(1.0, CLIP / norm) * gradient)
                mean.copy_(decay * mean + (1 - decay) * parameter)
        y, z = y.detach(), z.detach()
        halted = (halt > 0) | (steps >= ours.config.N_sup)
        total += loss.item()

        sums = dict(zip(SUMS, trainer.sums.tolist(), strict=False))
        assert 0 < solved.sum() < 8
        assert (sums["loss"], batch.halted.tolist()) == (pytest.approx(total, rel=1e-4), halted.tolist())
        for one, other in ((batch.y, y), (batch.z, z)):
            assert (one - other).norm() < 1e-3 * other.norm()
        for found, expected in ((trainer.network, ours), (trainer.ema.model, average)):
            moved = flat(expected) - begin
            assert (flat(found) - flat(expected)).norm() < 1e-2 * moved.norm()
    assert 0 < sums["halted"] < 8 * 6


@pytest.mark.parametrize("changes", [{"num_layers": 1}, {"num_layers": 4}, {"recursion": "single_z"}, {"ema_decay": 0}])
def test_a_network_of_another_depth_recursion_or_average_learns(changes: dict[str, Any], small_data: Dataset) -> None:
    model = {name: value for name, value in changes.items() if name != "ema_decay"}
    trainer = make_trainer(
        small_data, model=model, ema_decay=changes.get("ema_decay", 0.5), batch_size=32, hint_share=0
    )
    losses = []
    for _ in range(30):
        trainer.sums.zero_()
        trainer.supervise(0.0)
        losses.append(trainer.sums[SUMS.index("answer_loss")].item())
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    same = [
        torch.equal(*both) for both in zip(trainer.network.parameters(), trainer.ema.model.parameters(), strict=True)
    ]
    assert all(same) == (changes.get("ema_decay") == 0)


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


FAULTS = """
import resource, torch
from trm_cli.model.machine import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
usual = faults()
keep_freed_memory()
faults()
print(usual, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of Linux")
def test_memory_that_was_freed_is_used_again() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=plain, capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    assert kept < usual / 10


def test_an_allocator_that_variables_tell_what_is_wanted_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[None] = []
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("trm_cli.model.machine.ctypes.CDLL", opened.append)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "131072")
    keep_freed_memory.__wrapped__()
    assert not opened
    monkeypatch.delenv("MALLOC_TOP_PAD_")
    keep_freed_memory.__wrapped__()
    assert opened == [None] * (sys.platform == "linux")


def test_training_on_a_cpu_keeps_the_memory_that_it_frees(small_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("trm_cli.training.step.keep_freed_memory", lambda: asked.append(True))
    make_trainer(small_data)
    assert asked == [True]
