"""How fast a recipe trains on this machine: steps, puzzles and arithmetic per second.

Arithmetic is counted from the shapes of the matrix products, forward and backward, as
`torch.utils.flop_counter` does; what of the machine's peak that is, against a large matrix product
in the same number type that is timed beside it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from trm_cli.model.machine import memory_in_use, peak_flops, synchronise
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import get_task
from trm_cli.tasks.base import draw_transforms, generator_of
from trm_cli.training.batches import Examples
from trm_cli.training.data import refuse_misfits
from trm_cli.training.recipes import Recipe
from trm_cli.training.step import HALTING, Trainer, smaller_batch, training_translated

WARM_UP = 3  # steps before the clock starts; the first compiles
EXAMPLES = 64  # generated puzzles; which ones does not matter to the speed


@dataclass(frozen=True)
class Speed:
    """What was measured at one batch size."""

    batch_size: int
    steps_per_second: float  # optimizer steps, one supervision step each
    pairs_per_second: float  # (puzzle, supervision step) pairs
    puzzles_per_second: float  # that take all N_sup steps; halting early makes it more
    flops_per_second: float
    peak_share: float  # of the peak that a large matrix product reaches
    memory: int | None  # bytes at most: of the GPU, or of the process up to here
    first_step_seconds: float  # compilation included


def measure(recipe: Recipe, batch_sizes: list[int], *, seconds: float, device: torch.device) -> Iterator[Speed]:
    """Train for `seconds` at each batch size, yielding what was measured."""
    task = get_task(recipe.task)
    refuse_misfits(task, recipe.model)
    data = generator_of(task).generate(replace(recipe.wanted, puzzles=EXAMPLES), size=recipe.model.height, seed=0)
    pool = draw_transforms(task, recipe.model.num_cells, count=EXAMPLES, rng=np.random.default_rng(0))
    examples = Examples.on_device(data.puzzles, data.answers, pool, device)
    peak = 0.0
    for batch_size in batch_sizes:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        config = replace(recipe.train, batch_size=batch_size)
        torch.manual_seed(0)
        network = TinyRecursiveModel(recipe.model).to(device)
        with training_translated(smaller_batch(config)):
            trainer = Trainer(network, examples, config, seed=0)
            first = _time_steps(trainer, 1)
            _time_steps(trainer, WARM_UP)
        peak = peak or peak_flops(trainer.dtype, device)
        steps, spent = 0, 0.0
        while spent < seconds:
            more = max(1, min(100, round(steps / spent * (seconds - spent)))) if steps else 1
            spent += _time_steps(trainer, more)
            steps += more
        rate = steps / spent
        work = step_flops(recipe) * batch_size
        yield Speed(
            batch_size,
            rate,
            rate * batch_size,
            rate * batch_size / recipe.model.N_sup,
            rate * work,
            rate * work / peak,
            memory_in_use(device),
            first,
        )


def step_flops(recipe: Recipe) -> int:
    """Operations of one puzzle's supervision step, forward and backward, without the optimizer."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = TinyRecursiveModel(recipe.model).to("meta")  # tables of constants, too
        tokens = torch.ones(1, recipe.model.num_cells, dtype=torch.long)
        y, z = (state.contiguous() for state in network.starting_state(1))
        x, flag = network.embed(tokens), torch.ones(1, dtype=torch.bool)
        y, z, logits, halt = network(x, y, z)
        halting_term, _ = HALTING[recipe.model.halting](network, x, y, z, halt, flag, flag)
        (logits.sum() + halting_term).backward()
    return int(counter.get_total_flops())


def _time_steps(trainer: Trainer, steps: int) -> float:
    synchronise(trainer.device)
    began = time.perf_counter()
    for _ in range(steps):
        trainer.supervise(0.0)
    synchronise(trainer.device)
    return time.perf_counter() - began
