"""Training on puzzles that are told apart: each has a row of its own in a table; and adapting.

A step reads the rows of the puzzles in its batch and changes those alone, by the sign of their
gradients; the table may have a million rows. For a task that a network was not trained on, fresh
rows are trained on its demonstrations before its tests are looked at.
Shapes: B slots, N examples, S pairs of tasks before they are redrawn, P puzzles, D channels, L cells.
Source: the sparse embedding of github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trm_cli.config import SolveSettings, TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Solution, Stops
from trm_cli.solving.search import Attempt
from trm_cli.solving.voting import Prediction, ProblemRows, predict
from trm_cli.tasks.base import PADDING, Dataset, Task, Tokens
from trm_cli.tasks.problems import Demonstrated, Problem, ProblemPart
from trm_cli.training.batches import Examples, RollingBatch
from trm_cli.training.data import PuzzlePairs
from trm_cli.training.distributed import Workers
from trm_cli.training.optim import rate_factor
from trm_cli.training.recipes import PAPER_ARC_TRAIN
from trm_cli.training.step import SUMS, Trainer
from trm_cli.weights.puzzle_table import Register, chunks_of, save_table


@dataclass(frozen=True)
class PuzzleExamples(Examples):
    """Examples of puzzles in groups: a task, and the same in other ways with as many pairs.

    ids       [N] int32, the row of each example's puzzle.
    first     [S] the example that shows a pair of a task in the plain way.
    stride    [S] from there to the same pair in the next way.
    num_ways  [S] how many ways there are.
    """

    ids: Tensor
    first: Tensor
    stride: Tensor
    num_ways: Tensor

    @classmethod
    def of_part(cls, part: ProblemPart, vocab_size: int, device: torch.device) -> "PuzzleExamples":
        """The examples of a data set; on a CPU they stay on the disk until they are drawn."""
        first, stride, num_ways = [], [], []
        for begin, end in zip(part.group_indices[:-1], part.group_indices[1:], strict=True):
            start = int(part.puzzle_indices[begin])
            pairs = int(part.puzzle_indices[begin + 1]) - start
            first += [start + pair for pair in range(pairs)]
            stride += [pairs] * pairs
            num_ways += [int(end - begin)] * pairs
        ids = part.puzzle_identifiers[part.puzzles_of_examples()]
        return cls(
            puzzles=torch.from_numpy(part.inputs).to(device),
            answers=torch.from_numpy(part.labels).to(device),
            cells=torch.arange(part.inputs.shape[1], device=device)[None],
            symbols=torch.arange(vocab_size, dtype=torch.uint8, device=device)[None],
            ids=torch.from_numpy(ids).to(device),
            first=torch.tensor(first, device=device),
            stride=torch.tensor(stride, device=device),
            num_ways=torch.tensor(num_ways, device=device),
        )


class PuzzleBatch(RollingBatch):
    """A rolling batch that knows which puzzle each slot holds.

    ids  [B] rows of the table.
    """

    examples: PuzzleExamples

    def __init__(
        self,
        model: TinyRecursiveModel,
        examples: PuzzleExamples,
        config: TrainConfig,
        *,
        slots: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(model, examples, config, slots=slots, generator=generator)
        self.ids = torch.zeros(slots, dtype=torch.long, device=examples.puzzles.device)
        self.drawn = self.ids

    @torch.no_grad()
    def refill(self, model: TinyRecursiveModel) -> None:
        """Put a fresh puzzle where the last step halted, and note which it is."""
        super().refill(model)
        self.ids = torch.where(self.halted, self.drawn, self.ids)

    def draw(self) -> tuple[Tensor, Tensor]:
        """B examples, [B, L] each: a pair drawn from all tasks' pairs, then a way to redraw it.

        The official code draws tasks, and of each a way with all its pairs: in the long run every
        pair of every task comes as often there as here.
        """
        examples = self.examples
        pair = self._integers(len(examples.first))
        share = self._uniform(pair.shape)
        way = (share * examples.num_ways[pair]).long().clamp(max=examples.num_ways[pair] - 1)
        rows = examples.first[pair] + way * examples.stride[pair]
        self.drawn = examples.ids[rows].long()
        return examples.puzzles[rows].long(), examples.answers[rows].long()


CPU_BATCH, GPU_BATCH = 16, 512  # boards looked at together


@torch.no_grad()
def update_rows(table: Tensor, ids: Tensor, gradients: Tensor, *, lr: float, decay: float) -> None:
    """P <- (1 - lr decay) p - lr sign(gradient), for the rows that are touched and no others.

    table      [P, D], changed in place.
    ids        [B] rows; where one is named twice, its gradients are added.
    gradients  [B, D]
    """
    ids, order = ids.sort(stable=True)
    is_first = torch.ones_like(ids, dtype=torch.bool)
    is_first[1:] = ids[1:] != ids[:-1]
    place = is_first.cumsum(0) - 1  # of each slot's row among those touched; no shape depends on it
    sums = torch.zeros_like(gradients).index_add_(0, place, gradients[order])
    table[ids] = table[ids] * (1 - lr * decay) - lr * sums[place].sign()


class PuzzleTrainer(Trainer):
    """A trainer that trains a table of puzzles beside the network.

    table     [P, D] float32; a new one is zero.
    register  what its rows stand for, for who reads it later; None where nobody will.
    """

    batch: PuzzleBatch

    def __init__(
        self,
        network: TinyRecursiveModel,
        examples: PuzzleExamples,
        config: TrainConfig,
        *,
        seed: int,
        table: Tensor | None = None,
        register: Register | None = None,
        workers: Workers | None = None,
    ) -> None:
        model = network.config
        self.table = torch.zeros(model.num_puzzles, model.hidden_size) if table is None else table
        self.table = self.table.to(examples.puzzles.device)
        self.register = register
        self.rows = self.table[:0]  # those of the batch, as leaves of the graph
        self.share = 1.0  # of the full learning rate
        super().__init__(network, examples, config, seed=seed, workers=workers)

    def new_batch(self, examples: Examples, slots: int) -> PuzzleBatch:
        assert isinstance(examples, PuzzleExamples)
        return PuzzleBatch(self.working, examples, self.config, slots=slots, generator=self.generator)

    def own_weights(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def own_carried(self) -> dict[str, Tensor]:
        return {"batch.ids": self.batch.ids}

    def supervise(self, progress: float) -> None:
        self.share = rate_factor(self.config, self.step, progress)
        super().supervise(progress)

    def embed(self, puzzles: Tensor) -> Tensor:
        self.rows = self.table[self.batch.ids].requires_grad_()
        x: Tensor = self.working.embed(puzzles, self.rows)
        return x

    def _update(self) -> Tensor:
        """The rows of all workers' batches in the table, then everything else."""
        assert self.rows.grad is not None
        update_rows(
            self.table,
            self.workers.gathered(self.batch.ids),
            self.workers.gathered(self.rows.grad),
            lr=self.share * self.config.puzzle_lr,
            decay=self.config.puzzle_decay,
        )
        return super()._update()

    def judge(self, task: Task, held_out: Dataset, stopped: Stops) -> list[Solution] | None:
        """Answer pairs of known puzzles; solved is what equals the label where that says anything.

        All steps are taken, as in an answer by vote. Returns None if `stopped` said so on the way.
        """
        assert isinstance(held_out, PuzzlePairs)
        network = self.judged_network()
        size = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        found: list[Solution] = []
        for begin in range(0, len(held_out), size):
            chosen = slice(begin, begin + size)
            ids = torch.from_numpy(held_out.ids[chosen]).to(self.device)
            predictions = predict(network, held_out.puzzles[chosen], self.table[ids])
            labels = held_out.answers[chosen]
            found += [_solution(p, label) for p, label in zip(predictions, labels, strict=True)]
            if stopped():
                return None
        return found

    def save_beside(self, folder: Path) -> None:
        shape = (self.table.shape[0], self.table.shape[1])
        save_table(folder, chunks_of(self.table), shape=shape, register=self.register)


def _solution(prediction: Prediction, label: Tokens) -> Solution:
    """A prediction, with nothing where the label holds nothing: there a network is not taught."""
    answers = np.where(label == PADDING, PADDING, prediction.answers).astype(np.uint8)
    attempt = Attempt.first(0, label, SolveSettings(max_steps=len(answers)))
    for answer, probability in zip(answers, prediction.halt_probabilities, strict=True):
        attempt.note(answer, holds=bool((answer == label).all()), halt_probability=probability, score=0.0)
    return Solution((attempt,), attempt, 0.0)


CPU_CELLS, GPU_CELLS = 1_800, 230_400  # of all boards in a step together


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
    known: ProblemRows
    cell_accuracy: float  # share of the demonstrations' cells right, over the second half


def adapt(
    network: TinyRecursiveModel,
    task: Demonstrated,
    problem: Problem,
    how: Adaptation,
    trained: dict[str, Any],
    progress: Callable[[], None],
) -> Adapted:
    """Train fresh rows for a problem on its demonstrations; its tests are never looked at.

    trained   how the network was trained, as its config says: the numbers to go on with.
    progress  called after each step.
    """
    network = copy.deepcopy(network).float().requires_grad_(how.trains_network)
    part, views = task.draw_views(problem, views=how.augmentations, seed=how.seed, side=network.config.height)
    examples = PuzzleExamples.of_part(part, network.config.vocab_size, network.y_init.device)
    config = _numbers(trained, how.steps, _batch_size(examples))
    torch.manual_seed(how.seed)
    table = torch.zeros(len(views), network.config.hidden_size)
    trainer = PuzzleTrainer(network, examples, config, seed=how.seed, table=table)
    for step in range(how.steps):
        if step == how.steps // 2:
            trainer.sums.zero_()
        trainer.supervise(step / how.steps)
        progress()
    sums = dict(zip(SUMS, trainer.sums.tolist(), strict=False))
    known = ProblemRows(trainer.table.detach(), views)
    return Adapted(network.eval().requires_grad_(False), known, sums["cell_accuracy"] / sums["steps"])


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
        config,
        batch_size=batch_size,
        steps=steps,
        decay_by="steps",
        schedule="cosine",
        warmup_steps=0,
        ema_decay=0.0,
        exploration=0.0,
        symmetries=False,
        precision="float32",
        compile=False,
        cuda_graphs=False,
    )
