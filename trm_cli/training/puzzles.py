"""Training on puzzles that are told apart: each has a row of its own in a table.

A step reads the rows of the puzzles in its batch and changes those alone, by the sign of their
gradients; the table may have a million rows. Shapes: B slots, P puzzles, D channels, L cells.
Source: the sparse embedding of github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Solution, Stops
from trm_cli.solving.outcomes import Outcome, conclude
from trm_cli.solving.predicting import Prediction, predict
from trm_cli.tasks.base import PADDING, Dataset, Task, Tokens
from trm_cli.training.arc_sources import PuzzlePairs
from trm_cli.training.batches import Examples
from trm_cli.training.distributed import Workers
from trm_cli.training.optim import rate_factor
from trm_cli.training.puzzle_examples import PuzzleBatch, PuzzleExamples
from trm_cli.training.trainer import Trainer
from trm_cli.weights.puzzles import Register, chunks_of, save_table

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

    def __init__(self, network: TinyRecursiveModel, examples: PuzzleExamples, config: TrainConfig,
                 *, seed: int, table: Tensor | None = None, register: Register | None = None,
                 workers: Workers | None = None) -> None:  # fmt: skip
        model = network.config
        self.table = torch.zeros(model.num_puzzles, model.hidden_size) if table is None else table
        self.table = self.table.to(examples.puzzles.device)
        self.register = register
        self.rows = self.table[:0]  # those of the batch, as leaves of the graph
        self.share = 1.0  # of the full learning rate
        super().__init__(network, examples, config, seed=seed, workers=workers)

    def new_batch(self, examples: Examples, slots: int) -> PuzzleBatch:
        assert isinstance(examples, PuzzleExamples)
        return PuzzleBatch(self.working, examples, self.config, slots=slots,
                           generator=self.generator)  # fmt: skip

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
        update_rows(self.table, self.workers.gathered(self.batch.ids),
                    self.workers.gathered(self.rows.grad), lr=self.share * self.config.puzzle_lr,
                    decay=self.config.puzzle_decay)  # fmt: skip
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
    holds = tuple((answers == label).all(1).tolist())
    outcome = Outcome(0, 0, None, answers[-1], holds, prediction.halt_probabilities, 0.0)
    return conclude([outcome], "q", 0.0)
