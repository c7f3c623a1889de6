"""Workers: one process for each GPU, each with its own share of the rolling batch.

Gradients are averaged over the workers after each backward pass; everything else that they must
have in common (the initial weights, the run's folder, the wish to stop) is said by the first
worker or agreed upon. On one GPU or CPU there is one worker, and nothing here does anything.
"""

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from trm_cli.errors import TrainingError
from trm_cli.model.ranks import PATIENCE, check_variables, is_worker

SEED_STRIDE = 1_000_003  # between the seeds of two workers
SECONDS_TO_SAVE = 600  # that workers are given after Ctrl-C
LOST_CONTACT = "lost contact with another worker; its own message says why"

T = TypeVar("T")


class Workers:
    """One worker's place among all of them, and what they do together."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self.control: dist.ProcessGroup | None = None  # a group that talks without waiting for the GPU

    @property
    def is_first(self) -> bool:
        """Whether this is the one that evaluates, writes and talks."""
        return self.rank == 0

    def own_seed(self, seed: int) -> int:
        """What this one draws by in a run of that seed; the first one, by the seed itself."""
        return (seed + SEED_STRIDE * self.rank) % 2**63

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the workers, all in one message."""
        if self.count > 1 and tensors:
            joined = torch.cat([tensor.flatten() for tensor in tensors])
            with _contact():
                dist.all_reduce(joined)
            pieces = torch.split(joined / self.count, [tensor.numel() for tensor in tensors])
            views = [piece.view_as(t) for piece, t in zip(pieces, tensors, strict=True)]
            torch._foreach_copy_(tensors, views)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over the workers."""
        if self.count > 1:
            tensor = tensor.clone()
            with _contact():
                dist.all_reduce(tensor)
        return tensor

    def gathered(self, tensor: Tensor) -> Tensor:
        """The tensors of all workers, which have one shape, one after another."""
        if self.count == 1:
            return tensor
        pieces = [torch.empty_like(tensor) for _ in range(self.count)]
        with _contact():
            dist.all_gather(pieces, tensor.contiguous())
        return torch.cat(pieces)

    def latest(self, values: list[float]) -> list[float]:
        """The largest of each value over the workers; does not wait for the GPU."""
        if self.count == 1:
            return values
        together = torch.tensor(values, dtype=torch.float64)
        with _contact():
            dist.all_reduce(together, dist.ReduceOp.MAX, group=self.control)
        return together.tolist()

    def spread(self, tensors: list[Tensor]) -> None:
        """Give every worker the first one's values."""
        if self.count > 1:
            with torch.no_grad(), _contact():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def share(self, value: T) -> T:
        """The first worker's value."""
        if self.count == 1:
            return value
        box = [value]
        with _contact():
            dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def wait(self) -> None:
        """Go on when every worker has come this far."""
        self.latest([0.0])


@contextmanager
def _contact() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of every backend, when a peer is gone
        raise TrainingError(LOST_CONTACT) from error


@contextmanager
def joined_workers(device: torch.device) -> Iterator[Workers]:
    """Meet the other workers, if there are any, and part from them at the end."""
    if not is_worker():
        yield Workers()
        return
    check_variables()
    workers = Workers(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    on_gpu = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    workers.control = dist.new_group(backend="gloo", timeout=PATIENCE) if on_gpu else None
    try:
        yield workers
        workers.wait()  # who leaves early takes the connection of those who still talk
    finally:
        dist.destroy_process_group()


def launch(count: int, arguments: list[str]) -> int:
    """Run `trm` with these arguments in `count` worker processes; returns the exit code.

    Raises TrainingError if a worker died without a word of its own. When one ends, all do.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SECONDS_TO_SAVE))
    logging.disable(logging.CRITICAL)  # the launcher's own account of what is said here in a line
    try:
        with tempfile.TemporaryDirectory() as logs:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=count,
                max_restarts=0,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                run_id=uuid.uuid4().hex,
                logs_specs=DefaultLogsSpecs(log_dir=logs),
            )
            elastic_launch(config, entrypoint=sys.executable)("-m", "trm_cli", *arguments)
    except SignalException:
        return 128 + signal.SIGINT
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        killed = {rank: -code for rank, code in codes.items() if code < 0}
        by_hand = {rank: s for rank, s in killed.items() if s != signal.SIGTERM}
        spoken = max(codes.values())
        if by_hand or spoken <= 0:
            rank, number = next(iter((by_hand or killed).items()))
            name = signal.Signals(number).name
            raise TrainingError(f"worker {rank} of {count} was killed ({name})") from None
        return spoken
    return 0
