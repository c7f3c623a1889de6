"""Several workers: the same gradients as one, resuming, dying, and asking for too many."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import small_config, sudokus
from tests.test_resume import data_file, losses, start, train_words, wait_for_step
from trm_cli.config import TrainConfig
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.ranks import check_count, leave, own_machine
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.batches import Examples
from trm_cli.training.distributed import Workers, joined_workers
from trm_cli.training.step import Trainer, slots_per_worker

__all__ = ["data_file"]  # the fixture
CPU = torch.device("cpu")
BATCH = 12
FEWER = 24  # steps of a run, at each of which it is saved
CONFIG = TrainConfig(batch_size=BATCH, clip=0.0, optimizer="adamw")


def make_trainer(workers: Workers) -> Trainer:
    """A trainer whose slots hold this worker's share of one known batch."""
    torch.manual_seed(0)
    data = sudokus(30, side=4, givens=(5, 8), seed=1)
    pool = Sudoku().symmetries(16, count=2, rng=np.random.default_rng(0))
    examples = Examples.on_device(data.puzzles, data.answers, pool, CPU)
    network = TinyRecursiveModel(small_config())
    trainer = Trainer(network, examples, CONFIG, seed=0, workers=workers)
    share = slice(workers.rank * BATCH // workers.count, (workers.rank + 1) * BATCH // workers.count)
    batch = trainer.batch
    batch.puzzles = examples.puzzles[:BATCH].long()[share]
    batch.answers = examples.answers[:BATCH].long()[share]
    generator = torch.Generator().manual_seed(5)
    batch.y, batch.z = (torch.randn(BATCH, *network.state_shape, generator=generator)[share] for _ in range(2))
    batch.halted = torch.zeros(len(batch.puzzles), dtype=torch.bool)  # nothing is refilled
    return trainer


def gradients_of(trainer: Trainer) -> list[torch.Tensor]:
    """The gradients that the optimizers are given in one step."""
    seen: list[torch.Tensor] = []
    step = trainer.optimizers[0].step

    def look() -> None:
        seen.extend(p.grad.clone() for p in trainer.network.parameters() if p.grad is not None)
        step()

    trainer.optimizers[0].step = look  # type: ignore[method-assign, assignment] # to look
    trainer.supervise(0.0)
    return seen


def work(rank: int, count: int, port: int, folder: str) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with joined_workers(CPU) as workers:
        trainer = make_trainer(workers)
        torch.save(gradients_of(trainer), f"{folder}/{rank}.pt")
        totals = workers.total(torch.tensor([1.0 + rank])).tolist()
        shared = workers.share(f"from {rank}")
        latest = workers.latest([float(rank), -float(rank)])
        Path(folder, f"{rank}.json").write_text(json.dumps([totals, shared, latest]))
    leave(0)


def test_two_workers_have_the_gradients_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, 2, port, str(tmp_path))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    alone = gradients_of(make_trainer(Workers()))
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert len(together) == len(alone) > 5
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
        said = json.loads((tmp_path / f"{rank}.json").read_text())
        assert said == [[3.0], "from 0", [1.0, 0.0]]


def test_a_worker_that_is_killed_ends_the_run_and_leaves_a_state_to_go_on_from(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    workers = ["--set", f"train.steps={FEWER}", "--gpus", "2", "--device", "cpu"]
    process = start([*train_words(data_file, folder), *workers])
    wait_for_step(folder, 5)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, remarks = process.communicate(timeout=120)
    assert process.returncode == 3, remarks
    last = remarks.splitlines()[-1]
    assert "of 2 was killed (SIGKILL); the last saved state is intact: " in last
    line = last.split("`")[1]
    assert line == f"trm train sudoku --resume {folder} --gpus 2 --device cpu"
    process = start([*line.split()[1:], "-q"])
    _, remarks = process.communicate(timeout=120)
    assert process.returncode == 0, remarks
    whole = tmp_path / "whole"
    process = start([*train_words(data_file, whole), *workers, "-q"])
    _, remarks = process.communicate(timeout=120)
    assert process.returncode == 0, remarks
    assert losses(folder) == losses(whole)
    assert len(losses(whole)) == FEWER + 2  # reports and two evaluations


def test_torchrun_starts_the_workers_as_well(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*train_words(data_file, folder), "--device", "cpu", "--max-steps", "2"]
    launcher = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        "-m",
        "--",
        "trm_cli",
    ]
    done = subprocess.run([sys.executable, *launcher, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (folder / "state" / "step-00000002").iterdir())
    assert names == ["shared.safetensors", "state.json", "worker-0.safetensors", "worker-1.safetensors"]


def test_ctrl_c_on_several_workers_saves_and_prints_the_line_to_resume(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*train_words(data_file, folder), "--gpus", "2", "--device", "cpu"]
    process = start(words)
    wait_for_step(folder, 3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, remarks = process.communicate(timeout=120)
    assert process.returncode == 130, remarks
    assert f"trm train sudoku --resume {folder} --gpus 2 --device cpu\n" in remarks
    assert time.monotonic() - began < 25
    one = start(["train", "sudoku", "--resume", str(folder)])
    _, remarks = one.communicate(timeout=120)
    assert one.returncode == 2
    assert "saved by 2 workers, not 1; resume with --gpus 2" in remarks


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    assert slots_per_worker(12, 3) == 4
    with pytest.raises(UsageError, match=r"give --set train\.batch_size=12"):
        slots_per_worker(13, 3)


def test_asking_for_more_gpus_than_there_are_says_so() -> None:
    there = torch.cuda.device_count()
    with pytest.raises(UsageError, match=f"torch finds {there} here"):
        check_count(there + 1, torch.device("cuda"), wants_cpu=False)
    with pytest.raises(UsageError, match="an mps device is one"):
        check_count(2, torch.device("mps"), wants_cpu=False)
    with pytest.raises(UsageError, match="torch finds no GPU here"):
        check_count(1, CPU, wants_cpu=False)
    check_count(2, CPU, wants_cpu=True)


@pytest.mark.parametrize(("threads", "expected"), [(None, 2), (3, 3)])
def test_workers_share_the_threads_of_a_cpu_unless_told_how_many(
    threads: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        assert own_machine("cpu", None, gpus=None) == (CPU, None)
        assert torch.get_num_threads() == 4  # of one process, which is no worker
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        assert own_machine("cpu", threads, gpus=2) == (CPU, None)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_one_worker_alone_talks_to_nobody(small_data: Dataset) -> None:
    workers = Workers()
    tensor = torch.ones(3)
    workers.average([tensor])
    assert workers.total(tensor) is tensor
    assert workers.share("mine") == "mine"
    assert workers.latest([1.0]) == [1.0]
    config = replace(CONFIG, batch_size=4)
    assert slots_per_worker(config.batch_size, workers.count) == 4
