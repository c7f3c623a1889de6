"""Two workers that train one table: the rows of both batches reach it, in both of them."""

import multiprocessing
import os
import socket
from pathlib import Path

import torch

from tests.arc_tasks import small_data
from tests.test_puzzles import new_trainer
from trm_cli.model.ranks import leave
from trm_cli.tasks.arc_dataset import open_data
from trm_cli.tasks.problems import ProblemData
from trm_cli.training.distributed import Workers, joined_workers

SLOTS = 4  # of all workers together
STEPS = 3


def tables(data: ProblemData, workers: Workers) -> torch.Tensor:
    """The table after steps on this worker's share of one known batch."""
    trainer = new_trainer(data, workers)
    share = slice(workers.rank * SLOTS // workers.count, (workers.rank + 1) * SLOTS // workers.count)
    batch, examples = trainer.batch, trainer.batch.examples
    chosen = torch.arange(0, len(examples.ids), len(examples.ids) // SLOTS)[:SLOTS]
    chosen[-1] = chosen[0]  # a puzzle that both workers have
    batch.puzzles = examples.puzzles[chosen].long()[share]
    batch.answers = examples.answers[chosen].long()[share]
    batch.ids = examples.ids[chosen].long()[share]
    generator = torch.Generator().manual_seed(5)
    batch.y, batch.z = (torch.randn(SLOTS, *trainer.network.state_shape, generator=generator)[share] for _ in range(2))
    for _ in range(STEPS):
        batch.halted = torch.zeros(len(batch.puzzles), dtype=torch.bool)  # nothing is refilled
        trainer.supervise(0.0)
        batch.steps = torch.zeros_like(batch.steps)
    return trainer.table


def work(rank: int, port: int, folder: str) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with joined_workers(torch.device("cpu")) as workers:
        torch.save(tables(open_data(Path(folder, "set")), workers), f"{folder}/{rank}.pt")
    leave(0)


def test_two_workers_train_the_table_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    data = small_data(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, port, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    alone = tables(data, Workers())
    assert (alone != 0).any(1).sum() == SLOTS - 1
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
