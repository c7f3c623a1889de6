"""Several processes that solve one stream of puzzles: `--gpus N`, or `torchrun` on several machines.

Every worker reads the whole stream and computes the parts that it draws, one after another, so that
a part of hard puzzles holds up nobody else. What others have computed lies in torchrun's store until
the first worker hands it on, in order. How a puzzle ends does not depend on where it is computed.
"""

import pickle
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined] # where they are documented to be
from torch.distributed.rendezvous import rendezvous

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.ranks import PATIENCE, check_variables, own_rank
from trm_cli.solving.engine import solve_stream, unseen
from trm_cli.solving.search import Outcome
from trm_cli.tasks.base import Task, Tokens

PART = 2  # batches of puzzles that are drawn at a time
LONGEST_VALUE = 2**22  # bytes; the store refuses eight megabytes
POLL_SECONDS = 0.05

T = TypeVar("T")


class Solver:
    """The only process, which solves by itself."""

    is_first = True  # the worker that keeps counts, writes and talks

    def share(self, value: T) -> T:
        """The first worker's value."""
        return value

    def solve(
        self, network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *, batch_size: int, **how: Any
    ) -> Iterator[Outcome]:
        """As `solve_stream`; of several workers, the first one gives all outcomes, the others none."""
        return solve_stream(network, task, puzzles, batch_size=batch_size, **how)


class Worker(Solver):
    """One of several processes."""

    def __init__(self, store: Store, rank: int) -> None:
        self.store, self.is_first = store, rank == 0
        self.agreed = 0  # how often something was shared or solved, which names it in the store

    def _next_name(self) -> str:
        self.agreed += 1
        return f"trm {self.agreed}"

    def share(self, value: T) -> T:
        name = self._next_name()
        if self.is_first:
            self.store.set(name, pickle.dumps(value))  # type: ignore[arg-type] # bytes, too
        shared: T = pickle.loads(self.store.get(name))  # of a process of the same user
        return shared

    def solve(
        self, network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *, batch_size: int, **how: Any
    ) -> Iterator[Outcome]:
        name = self._next_name()
        stream, count = iter(puzzles), 0
        parts = enumerate(iter(lambda: list(islice(stream, PART * batch_size)), []))
        drawn: deque[tuple[int, int]] = deque()  # number and length of the parts that this worker has begun

        def draw() -> Iterator[Tokens]:
            """The puzzles of the parts that fall to this worker."""
            nonlocal count
            wanted = self.store.add(f"{name} drawn", 1) - 1
            for number, part in parts:
                count = number + 1
                if number == wanted:
                    drawn.append((number, len(part)))
                    yield from part
                    wanted = self.store.add(f"{name} drawn", 1) - 1

        own: dict[int, list[Outcome]] = {}  # that wait for an earlier part, of the first worker
        following = 0  # the next part to hand on
        solved: list[Outcome] = []
        for outcome in solve_stream(network, task, draw(), batch_size=batch_size, **how):
            solved.append(outcome)
            if len(solved) < drawn[0][1]:
                continue
            number, _ = drawn.popleft()
            if self.is_first:
                own[number] = solved
                while ready := own.pop(following, []) or self._fetch(f"{name} part {following}"):
                    yield from ready
                    following += 1
            else:
                self._leave(f"{name} part {number}", solved)
            solved = []
        while self.is_first and following < count:
            if ready := own.pop(following, []) or self._fetch(f"{name} part {following}"):
                yield from ready
                following += 1
            else:
                how.get("searching", unseen)(0)
                time.sleep(POLL_SECONDS)

    def _leave(self, name: str, outcomes: list[Outcome]) -> None:
        """Put down what was computed, for the first worker to fetch."""
        message = pickle.dumps(outcomes)
        starts = range(0, len(message), LONGEST_VALUE)
        for start in starts:
            self.store.set(f"{name} from {start}", message[start : start + LONGEST_VALUE])  # type: ignore[arg-type] # bytes, too
        self.store.set(name, str(len(message)))

    def _fetch(self, name: str) -> list[Outcome]:
        """What another worker has computed, or nothing yet."""
        if not self.store.check([name]):
            return []
        keys = [f"{name} from {start}" for start in range(0, int(self.store.get(name)), LONGEST_VALUE)]
        outcomes: list[Outcome] = pickle.loads(b"".join(map(self.store.get, keys)))
        for key in (name, *keys):
            self.store.delete_key(key)
        return outcomes


def this_solver() -> Solver:
    """What this process solves with: as one of several, where it was started so.

    Raises UsageError where it is not told how to find the others.
    """
    rank = own_rank()
    if rank is None:
        return Solver()
    check_variables()
    store, *_ = next(rendezvous("env://"))
    store.set_timeout(PATIENCE)
    return Worker(PrefixStore("trm", store), rank)
