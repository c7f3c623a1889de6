"""The engine: supervision steps over a rolling batch, each puzzle halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. A puzzle that halts leaves the batch, and
the next one takes its place.
Shapes: R puzzles running at a time, L cells, V tokens.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import Task, Tokens

HALTS = ("verified", "q", "never")


@dataclass(frozen=True)
class SolveSettings:
    """When to stop, and where to start from."""

    halt: str = "verified"  # verified: head fires and rules hold; q: head fires; never
    max_steps: int = 16  # supervision steps at most; may exceed N_sup
    seed: int = 0  # of the random start, where the network has one


@dataclass(frozen=True)
class Details:
    """What only a watcher asks of a step."""

    confidence: NDArray[np.float32]  # [R, L] softmax of the decoded token
    change_y: NDArray[np.float32]  # [R] norm of the change in y, over the norm of the new y
    change_z: NDArray[np.float32]  # [R] the same of z


@dataclass(frozen=True)
class Step:
    """What one supervision step left in the puzzles that were running."""

    rows: NDArray[np.int64]  # [R] their places in the stream of puzzles, rising
    numbers: NDArray[np.int64]  # [R] supervision steps that each has had
    answers: Tokens  # [R, L]
    halt_probability: NDArray[np.float64]  # [R]
    holds: NDArray[np.bool_]  # [R] the rules hold
    halted: NDArray[np.bool_]  # [R] the halt criterion is met
    leaves: NDArray[np.bool_]  # [R] halted, or out of steps: not there in the next step
    details: Details | None = None  # if they were asked for


@dataclass(frozen=True)
class Solution:
    """How one puzzle ended."""

    answer: Tokens  # [L] tokens
    solved: bool  # the givens are kept and the rules hold
    steps: int  # supervision steps taken
    halted: bool  # the halt head fired at the last step
    halt_probability: float  # at the last step
    first_fired: int  # step at which the head first fired; 0 never
    right_when_fired: bool  # the rules held at that step
    seconds: float  # from its entry into the batch to its halt


@torch.inference_mode()
def run(network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *, batch_size: int,
        settings: SolveSettings, details: bool = False) -> Iterator[Step]:  # fmt: skip
    """Yield the steps of a rolling batch until every puzzle [L] of the stream has left it.

    details  have every step carry its details, which cost a little.
    A random start is drawn once from the seed and shared by all puzzles, so that an answer does
    not depend on which others are in the batch.
    """
    device = network.y_init.device
    generator = torch.Generator(device).manual_seed(settings.seed)
    start_y, start_z = network.starting_state(1, generator)
    waiting = enumerate(puzzles)
    given = np.empty((0, network.config.num_cells), np.uint8)  # [R, L]
    rows = numbers = np.empty(0, np.int64)
    x = y = z = start_y[:0]
    while True:
        if fresh := list(islice(waiting, batch_size - len(rows))):
            added = np.stack([tokens for _, tokens in fresh])
            given = np.concatenate([given, added])
            rows = np.concatenate([rows, [row for row, _ in fresh]])
            numbers = np.concatenate([numbers, np.zeros(len(fresh), np.int64)])
            fresh_x = network.embed(torch.from_numpy(added.astype(np.int64)).to(device))
            x = torch.cat([x, fresh_x])
            y = torch.cat([y, start_y.expand_as(fresh_x)])
            z = torch.cat([z, start_z.expand_as(fresh_x)])
        if not len(rows):
            return
        old_y, old_z = y, z
        y, z, logits, halt = network(x, y, z)
        numbers = numbers + 1
        answers = logits.argmax(-1).to("cpu", torch.uint8).numpy()
        probability = halt.float().cpu().double().sigmoid().numpy()
        holds = task.rules_hold(given, answers)
        halted = _halts(settings.halt, probability > 0.5, holds)
        leaves = halted | (numbers >= settings.max_steps)
        told = _details(logits, (old_y, y), (old_z, z)) if details else None
        yield Step(rows, numbers, answers, probability, holds, halted, leaves, told)
        if leaves.any():
            staying = torch.from_numpy(np.flatnonzero(~leaves)).to(device)
            x, y, z = x[staying], y[staying], z[staying]
            given, rows, numbers = given[~leaves], rows[~leaves], numbers[~leaves]


def _details(logits: Tensor, y: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor]) -> Details:
    """Of logits [R, L, V], and of y and z before and after a step."""
    confidence = logits.softmax(-1).amax(-1)
    changes = [
        (new - old).flatten(1).float().norm(dim=1) / new.flatten(1).float().norm(dim=1)
        for old, new in (y, z)
    ]
    return Details(*(values.cpu().numpy() for values in (confidence, *changes)))


def check_halt(name: str) -> str:
    """The name itself; raises UsageError where it is no way to halt."""
    if name not in HALTS:
        raise UsageError(f"--halt {name}: choose {', '.join(HALTS)}")
    return name


def _halts(halt: str, fires: NDArray[np.bool_], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if halt == "verified":
        return fires & holds
    return fires if halt == "q" else np.zeros_like(fires)


def solve_stream(network: TinyRecursiveModel, task: Task, puzzles: Iterable[Tokens], *,
                 batch_size: int, settings: SolveSettings) -> Iterator[Solution]:  # fmt: skip
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order."""
    entered: dict[int, float] = {}  # row: the time at which it came in
    fired: dict[int, tuple[int, bool]] = {}  # row: the step at which the head first fired, right
    done: dict[int, Solution] = {}  # solutions that wait for an earlier puzzle's
    following = 0  # the next row to yield
    before = time.perf_counter()
    for step in run(network, task, puzzles, batch_size=batch_size, settings=settings):
        fires = step.halt_probability > 0.5
        for index, row in enumerate(step.rows.tolist()):
            entered.setdefault(row, before)
            if fires[index]:
                fired.setdefault(row, (int(step.numbers[index]), bool(step.holds[index])))
            if step.leaves[index]:
                seconds = time.perf_counter() - entered.pop(row)
                done[row] = _solution(step, index, fired.pop(row, (0, False)), seconds)
        while following in done:
            yield done.pop(following)
            following += 1
        before = time.perf_counter()


def _solution(step: Step, index: int, fired: tuple[int, bool], seconds: float) -> Solution:
    return Solution(
        answer=step.answers[index],
        solved=bool(step.holds[index]),
        steps=int(step.numbers[index]),
        halted=bool(step.halt_probability[index] > 0.5),
        halt_probability=float(step.halt_probability[index]),
        first_fired=fired[0],
        right_when_fired=fired[1],
        seconds=seconds,
    )
