"""Learning a task that a network was not trained on, from the task's own demonstrations.

A network knows a task by the rows of its table, one for each way in which the task is redrawn. For
a new task there are none: fresh ones are trained, on the demonstrations in these ways, before the
tests are looked at. The network itself stays as it is unless that is asked for.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.arc_builder import TRAIN, Group, Subset, encoded, plan
from trm_cli.tasks.arc_data import ArcPart
from trm_cli.tasks.arc_files import ArcTask
from trm_cli.training.puzzle_examples import PuzzleExamples
from trm_cli.training.puzzles import PuzzleTrainer
from trm_cli.training.recipes import PAPER_ARC_TRAIN
from trm_cli.training.trainer import SUMS
from trm_cli.weights.puzzles import TaskRows

CPU_CELLS, GPU_CELLS = 3_600, 230_400  # of all boards in a step together


@dataclass(frozen=True)
class Adaptation:
    """How a new task is learned."""

    steps: int  # optimizer steps
    augmentations: int  # ways to redraw the task, beside the plain one
    trains_network: bool  # as well as the rows
    seed: int


@dataclass(frozen=True)
class Adapted:
    """A network that has learned a task."""

    network: TinyRecursiveModel
    known: TaskRows
    cell_accuracy: float  # share of the demonstrations' cells right, over the second half


def adapt(network: TinyRecursiveModel, task: ArcTask, how: Adaptation, trained: dict[str, Any],
          progress: Callable[[], None]) -> Adapted:  # fmt: skip
    """Train fresh rows for a task on its demonstrations; its tests are never looked at.

    trained   how the network was trained, as its config says: the numbers to go on with.
    progress  called after each step.
    """
    network = copy.deepcopy(network).float().requires_grad_(how.trains_network)
    side, device = network.config.height, network.y_init.device
    subset = Subset(task.name, [task.without_answers()], is_evaluation=True)
    planned = plan([subset], augmentations=how.augmentations, seed=how.seed)
    (group,) = planned.groups
    examples = PuzzleExamples.of_part(_part(group, planned.rng, side), device)
    config = _numbers(trained, how.steps, _batch_size(examples))
    torch.manual_seed(how.seed)
    table = torch.zeros(len(group.ways), network.config.hidden_size)
    trainer = PuzzleTrainer(network, examples, config, seed=how.seed, table=table)
    for step in range(how.steps):
        if step == how.steps // 2:
            trainer.sums.zero_()
        trainer.supervise(step / how.steps)
        progress()
    sums = dict(zip(SUMS, trainer.sums.tolist(), strict=False))
    known = TaskRows(trainer.table.detach(), group.all_ways())
    return Adapted(network.eval().requires_grad_(False), known,
                   sums["cell_accuracy"] / sums["steps"])  # fmt: skip


def _batch_size(examples: PuzzleExamples) -> int:
    """Boards in a step: few large ones, or more small ones, but not more than there are."""
    count, num_cells = examples.puzzles.shape
    cells = CPU_CELLS if examples.puzzles.device.type == "cpu" else GPU_CELLS
    return min(count, max(1, cells // num_cells))


def _numbers(trained: dict[str, Any], steps: int, batch_size: int) -> TrainConfig:
    """The numbers of the training; without a record of the network's own, the published ones."""
    names = {field.name for field in fields(TrainConfig)}
    own = {name: value for name, value in trained.items() if name in names}
    config = TrainConfig(**own) if own else PAPER_ARC_TRAIN
    return replace(
        config, batch_size=batch_size, steps=steps, decay_by="steps", schedule="cosine",
        warmup_steps=0, ema_decay=0.0, exploration=0.0, symmetries=False, precision="float32",
        compile=False, cuda_graphs=False,
    )  # fmt: skip


def _part(group: Group, rng: np.random.RandomState, side: int) -> ArcPart:
    """The demonstrations in all ways, as a data set in memory."""
    made = list(encoded(group, TRAIN, rng, side=side))
    count, pairs = len(made), len(group.parts[TRAIN])
    return ArcPart(
        inputs=np.stack([board for examples in made for board in examples.inputs]),
        labels=np.stack([board for examples in made for board in examples.labels]),
        puzzle_identifiers=np.arange(count, dtype=np.int32),
        puzzle_indices=np.arange(0, (count + 1) * pairs, pairs, dtype=np.int32),
        group_indices=np.array([0, count], np.int32),
    )
