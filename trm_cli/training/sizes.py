"""Training one network on boards of several sizes: each has a rolling batch of its own, and they take turns.

The larger a board, the more often its turn comes: all sizes together have one optimizer, one EMA
and one schedule.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from trm_cli.config import ModelConfig, TrainConfig
from trm_cli.model.network import TinyRecursiveModel, resized
from trm_cli.tasks.base import Dataset
from trm_cli.training.batches import Examples, RollingBatch, Supply
from trm_cli.training.distributed import Workers
from trm_cli.training.step import Trainer

GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples, modulo 1, fill 0 to 1 evenly from the first on


def whose_turn(step: int, shares: Sequence[int]) -> int:
    """Which of several takes a step, as often as its share says; it follows from the step alone."""
    place = step * GOLDEN % 1 * sum(shares)
    return next(number for number, end in enumerate(accumulate(shares)) if place < end)


class SizesTrainer(Trainer):
    """A trainer whose steps go to boards of several sizes, as often as they have cells.

    networks  the working copy for each size, all of the same weights.
    """

    def __init__(
        self,
        network: TinyRecursiveModel,
        examples: Sequence[Examples],
        config: TrainConfig,
        *,
        boards: Sequence[ModelConfig],
        smaller: Sequence[Dataset],
        seed: int,
        workers: Workers | None = None,
        supplies: Sequence[Supply | None],
    ) -> None:
        super().__init__(network, examples[-1], config, seed=seed, workers=workers)
        self.boards = boards
        self.smaller = smaller
        self.supplies = supplies
        self.networks = [resized(self.working, board) for board in boards]
        self.of_sizes = [
            RollingBatch(sized, own, config, self.batch.slots, self.generator)
            for sized, own in zip(self.networks, examples, strict=True)
        ]
        for sized in self.networks:
            self.compile(sized, dynamic=False)

    @property
    def batches(self) -> dict[str, RollingBatch]:
        return {f"batch-{board.board}": batch for board, batch in zip(self.boards, self.of_sizes, strict=True)}

    def supervise(self, progress: float) -> None:
        """As of one size, with the one whose turn it is."""
        turn = whose_turn(self.step, [board.num_cells for board in self.boards])
        self.batch, self.thinking, self.supply = self.of_sizes[turn], self.networks[turn], self.supplies[turn]
        super().supervise(progress)

    def ema_network(self, num_cells: int) -> TinyRecursiveModel:
        board = next(board for board in self.boards if board.num_cells == num_cells)
        return resized(super().ema_network(num_cells), board)
