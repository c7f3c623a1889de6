"""Training on problems: each of their puzzles has a row of its own in a table; and adapting to new ones.

A step reads the rows of the puzzles in its batch and changes those alone, by the sign of their
gradients; the table may have a million rows. For a problem that a network was not trained on, fresh
rows are trained on its demonstrations before its tests are looked at.
Shapes: B slots, N examples, S pairs of problems before they are redrawn, P puzzles, D channels, L cells.
Source: the sparse embedding of github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trm_cli.config import AUGMENTATIONS, SolveConfig, TrainConfig
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Stops, batch_size_for
from trm_cli.solving.search import Attempt, Outcome
from trm_cli.solving.voting import Prediction, ProblemRows, Voter, predict
from trm_cli.tasks.base import PADDING, Dataset, Task, Tokens
from trm_cli.tasks.problems import Demonstrated, Problem, ProblemPart
from trm_cli.training.batches import Examples, RollingBatch
from trm_cli.training.data import PuzzlePairs
from trm_cli.training.distributed import Workers
from trm_cli.training.recipes import PAPER_ARC_TRAIN
from trm_cli.training.step import SUMS, Trainer, training_translated
from trm_cli.weights.facts import numbers_of

MOST_VIEWS = 10_000  # of a new problem
SEEDS = 2**32  # of numpy's older generator, which views are drawn with
CPU_BATCH = 16  # boards of the validation set looked at together on a CPU
CPU_CELLS, GPU_CELLS = 1_800, 230_400  # of all boards in a step of adapting: few large ones, or more small ones


@dataclass(frozen=True)
class PuzzleExamples(Examples):
    """Examples of puzzles in groups: a problem, and the same in other views with as many pairs.

    ids        [N] int32, the row of each example's puzzle.
    first      [S] the example that shows a pair of a problem in the plain view.
    stride     [S] from there to the same pair in the next view.
    num_views  [S] how many views there are.
    """

    ids: Tensor
    first: Tensor
    stride: Tensor
    num_views: Tensor

    @classmethod
    def of_part(cls, part: ProblemPart, vocab_size: int, device: torch.device) -> "PuzzleExamples":
        """The examples of a data set; on a CPU they stay on the disk until they are drawn."""
        first, stride, num_views = [], [], []
        for begin, end in zip(part.group_indices[:-1], part.group_indices[1:], strict=True):
            start = int(part.puzzle_indices[begin])
            pairs = int(part.puzzle_indices[begin + 1]) - start
            first += [start + pair for pair in range(pairs)]
            stride += [pairs] * pairs
            num_views += [int(end - begin)] * pairs
        ids = part.puzzle_identifiers[part.puzzles_of_examples()]
        return cls(
            puzzles=torch.from_numpy(part.inputs).to(device),
            answers=torch.from_numpy(part.labels).to(device),
            cells=torch.arange(part.inputs.shape[1], device=device)[None],
            symbols=torch.arange(vocab_size, dtype=torch.uint8, device=device)[None],
            ids=torch.from_numpy(ids).to(device),
            first=torch.tensor(first, device=device),
            stride=torch.tensor(stride, device=device),
            num_views=torch.tensor(num_views, device=device),
        )


class PuzzleBatch(RollingBatch):
    """A rolling batch that knows which puzzle each slot holds.

    ids  [B] rows of the table.
    """

    CARRIED: ClassVar[tuple[str, ...]] = (*RollingBatch.CARRIED, "ids")
    examples: PuzzleExamples

    def __init__(
        self, model: TinyRecursiveModel, examples: Examples, config: TrainConfig, slots: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, examples, config, slots, generator)
        self.ids = torch.zeros(slots, dtype=torch.long, device=examples.puzzles.device)
        self.drawn = self.ids

    @torch.no_grad()
    def refill(self, model: TinyRecursiveModel) -> None:
        """Put a fresh puzzle where the last step halted, and note which it is."""
        super().refill(model)
        self.ids = torch.where(self.halted, self.drawn, self.ids)

    def draw(self) -> tuple[Tensor, Tensor]:
        """B examples, [B, L] each: a pair drawn from all problems' pairs, then a view of it.

        The official code draws problems, and of each a view with all its pairs: in the long run every
        pair of every problem comes as often there as here.
        """
        examples = self.examples
        pair = self._integers(len(examples.first))
        num_views = examples.num_views[pair]
        view = (self._uniform(self.slots) * num_views).long().clamp(max=num_views - 1)
        rows = examples.first[pair] + view * examples.stride[pair]
        self.drawn = examples.ids[rows].long()
        return examples.puzzles[rows].long(), examples.answers[rows].long()


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

    table  [P, D] float32; a new one is zero.
    """

    batch_class = PuzzleBatch
    batch: PuzzleBatch
    table: Tensor

    def __init__(
        self,
        network: TinyRecursiveModel,
        examples: PuzzleExamples,
        config: TrainConfig,
        *,
        seed: int,
        table: Tensor | None = None,
        workers: Workers | None = None,
    ) -> None:
        super().__init__(network, examples, config, seed=seed, workers=workers)
        model = network.config
        self.table = torch.zeros(model.num_puzzles, model.hidden_size) if table is None else table
        self.table = self.table.to(self.device)
        self.rows = self.table[:0]  # those of the batch, as leaves of the graph

    def embed(self, puzzles: Tensor) -> Tensor:
        self.rows = self.table[self.batch.ids].requires_grad_()
        x: Tensor = self.working.embed(puzzles, self.rows)
        return x

    def update(self) -> Tensor:
        """The rows of all workers' batches in the table, then everything else."""
        assert self.rows.grad is not None
        update_rows(
            self.table,
            self.workers.gathered(self.batch.ids),
            self.workers.gathered(self.rows.grad),
            lr=self.rate * self.config.puzzle_lr,
            decay=self.config.puzzle_decay,
        )
        return super().update()

    def judge(self, task: Task, validation: Dataset, stopped: Stops) -> list[Outcome] | None:
        """Answer pairs of known puzzles; solved is what equals the label where that says anything.

        All steps are taken, as in an answer by vote. Returns None if `stopped` said so on the way.
        """
        assert isinstance(validation, PuzzlePairs)
        network = self.ema_network(validation.puzzles.shape[1])
        size = CPU_BATCH if self.device.type == "cpu" else batch_size_for(network)
        found: list[Outcome] = []
        for begin in range(0, len(validation), size):
            chosen = slice(begin, begin + size)
            ids = torch.from_numpy(validation.ids[chosen]).to(self.device)
            predictions = predict(network, validation.puzzles[chosen], self.table[ids])
            found += map(_solution, predictions, validation.answers[chosen])
            if stopped():
                return None
        return found


def _solution(prediction: Prediction, label: Tokens) -> Outcome:
    """A prediction, with nothing where the label holds nothing: there a network is not taught."""
    predicted, probabilities = prediction
    answers = np.where(label == PADDING, PADDING, predicted).astype(np.uint8)
    attempt = Attempt.begin(0, label, SolveConfig(max_steps=len(answers)))
    for answer, probability in zip(answers, probabilities, strict=True):
        attempt.note(answer, holds=bool((answer == label).all()), halt_probability=probability, score=0.0)
    return Outcome((attempt,), attempt, 0.0)


@dataclass(frozen=True)
class Adaptation:
    """How a new problem is learned."""

    steps: int  # optimizer steps
    augmentations: int  # views to draw of the problem, beside the plain one
    trains_network: bool  # as well as the rows
    seed: int


def adaptation(
    adapt: int | None, augment: int | None, train_network: bool, settings: Mapping[str, Any]
) -> Adaptation | None:
    """How a new problem is learned; not at all where no steps are given.

    settings  of SolveConfig; the seed counts.
    Raises UsageError for numbers that cannot be.
    """
    if adapt is not None and adapt < 1:
        raise UsageError(f"--adapt {adapt}: give 1 step or more")
    if augment is not None and not 0 <= augment <= MOST_VIEWS:
        raise UsageError(f"--augment {augment}: give 0 to {MOST_VIEWS:,} views")
    if adapt is None:
        return None
    views = AUGMENTATIONS if augment is None else augment
    return Adaptation(adapt, views, train_network, settings.get("seed", 0) % SEEDS)


@dataclass(frozen=True)
class Adapted:
    """A network that has learned a problem."""

    network: TinyRecursiveModel
    known: ProblemRows
    cell_accuracy: float | None  # share of the demonstrations' cells right, over the second half; None if known before


def adapt(
    network: TinyRecursiveModel,
    task: Demonstrated,
    problem: Problem,
    how: Adaptation,
    trained: TrainConfig,
    progress: Callable[[], None],
) -> Adapted:
    """Train fresh rows for a problem on its demonstrations; its tests are never looked at.

    trained   how the network was trained: the numbers to go on with.
    progress  called after each step.
    """
    network = copy.deepcopy(network).float().requires_grad_(how.trains_network)
    part, views = task.draw_views(problem, views=how.augmentations, seed=how.seed, side=network.config.height)
    examples = PuzzleExamples.of_part(part, network.config.vocab_size, network.y_init.device)
    count, num_cells = examples.puzzles.shape
    cells = CPU_CELLS if examples.puzzles.device.type == "cpu" else GPU_CELLS
    config = _numbers(trained, how.steps, batch_size=min(count, max(1, cells // num_cells)))
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


def recall_or_adapt(
    voter: Voter, problem: Problem, how: Adaptation | None, *, views: int | None, progress: Callable[[], None]
) -> Adapted:
    """What a network knows of a problem, in so many views; where it knows nothing, learn it first.

    how       may be None if the problem is known.
    progress  called after each step of learning.
    Raises TrainingError where there is too little memory, ModelError where the model's record of its training
    cannot be right.
    """
    if not voter.unknown([problem]):
        return Adapted(voter.loaded.network, voter.read(voter.known(problem, views)), None)
    assert how is not None
    trained = numbers_of(voter.loaded.checkpoint) or PAPER_ARC_TRAIN
    with training_translated("lower --augment, or use another device"):
        return adapt(voter.loaded.network, voter.task, problem, how, trained, progress)


def _numbers(trained: TrainConfig, steps: int, batch_size: int) -> TrainConfig:
    """The numbers of learning a problem, from those of the training."""
    return replace(
        trained,
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
