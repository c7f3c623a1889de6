"""The engine: supervision steps over a batch, each puzzle halting by itself.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. A puzzle that halts leaves the batch.
Shapes: B puzzles of the batch, R of them still running, L cells, V tokens.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

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
class Step:
    """What one supervision step left in the puzzles that were running."""

    number: int  # counts from 1
    rows: NDArray[np.int64]  # [R] their places in the batch
    answers: Tokens  # [R, L]
    halt_probability: NDArray[np.float64]  # [R]
    holds: NDArray[np.bool_]  # [R] the rules hold
    halted: NDArray[np.bool_]  # [R] leaves the batch after this step


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
    seconds: float  # from the start of its batch to its halt


@torch.inference_mode()
def run(network: TinyRecursiveModel, task: Task, puzzles: Tokens,
        settings: SolveSettings) -> Iterator[Step]:  # fmt: skip
    """Yield the steps of a batch of puzzles [B, L] until all have halted.

    A random start is drawn once from the seed and shared by all puzzles, so that an answer does
    not depend on which others are in the batch.
    """
    device = network.y_init.device
    generator = torch.Generator(device).manual_seed(settings.seed)
    x = network.embed(torch.from_numpy(puzzles.astype(np.int64)).to(device))
    start_y, start_z = network.starting_state(1, generator)
    y, z = start_y.expand_as(x), start_z.expand_as(x)
    rows = np.arange(len(puzzles))
    for number in range(1, settings.max_steps + 1):
        y, z, logits, halt = network(x, y, z)
        answers = logits.argmax(-1).to("cpu", torch.uint8).numpy()
        probability = halt.float().cpu().double().sigmoid().numpy()
        holds = task.rules_hold(puzzles[rows], answers)
        halted = _halts(settings.halt, probability > 0.5, holds)
        yield Step(number, rows, answers, probability, holds, halted)
        if halted.all():
            return
        if halted.any():
            staying = torch.from_numpy(np.flatnonzero(~halted)).to(device)
            x, y, z, rows = x[staying], y[staying], z[staying], rows[~halted]


def check_halt(name: str) -> str:
    """The name itself; raises UsageError where it is no way to halt."""
    if name not in HALTS:
        raise UsageError(f"--halt {name}: choose {', '.join(HALTS)}")
    return name


def _halts(halt: str, fires: NDArray[np.bool_], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if halt == "verified":
        return fires & holds
    return fires if halt == "q" else np.zeros_like(fires)


def solve(network: TinyRecursiveModel, task: Task, puzzles: Tokens,
          settings: SolveSettings) -> list[Solution]:  # fmt: skip
    """Run a batch of puzzles [B, L] to its end; solutions in the order of the puzzles."""
    started = time.perf_counter()
    solutions: dict[int, Solution] = {}
    fired: dict[int, tuple[int, bool]] = {}  # row: the step at which the head first fired, right
    for step in run(network, task, puzzles, settings):
        seconds = time.perf_counter() - started
        fires = step.halt_probability > 0.5
        for index, row in enumerate(step.rows.tolist()):
            if fires[index]:
                fired.setdefault(row, (step.number, bool(step.holds[index])))
            first_fired, right = fired.get(row, (0, False))
            solutions[row] = Solution(
                answer=step.answers[index],
                solved=bool(step.holds[index]),
                steps=step.number,
                halted=bool(fires[index]),
                halt_probability=float(step.halt_probability[index]),
                first_fired=first_fired,
                right_when_fired=right,
                seconds=seconds,
            )
    return [solutions[row] for row in range(len(puzzles))]


def solve_stream(network: TinyRecursiveModel, task: Task, puzzles: Iterator[Tokens], *,
                 batch_size: int, settings: SolveSettings) -> Iterator[Solution]:  # fmt: skip
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order."""
    batch: list[Tokens] = []
    for tokens in puzzles:
        batch.append(tokens)
        if len(batch) == batch_size:
            yield from solve(network, task, np.stack(batch), settings)
            batch = []
    if batch:
        yield from solve(network, task, np.stack(batch), settings)
