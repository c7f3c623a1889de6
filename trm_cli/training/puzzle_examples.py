"""Examples of puzzles that are told apart, and the rolling batch that draws them.

Shapes: B slots, N examples, S pairs of tasks before they are redrawn, L cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.arc_data import ArcPart
from trm_cli.tasks.arc_grid import VOCAB_SIZE
from trm_cli.training.batches import Examples, RollingBatch


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
    def of_part(cls, part: ArcPart, device: torch.device) -> "PuzzleExamples":
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
            symbols=torch.arange(VOCAB_SIZE, dtype=torch.uint8, device=device)[None],
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

    def __init__(self, model: TinyRecursiveModel, examples: PuzzleExamples, config: TrainConfig, *,
                 slots: int, generator: torch.Generator) -> None:  # fmt: skip
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
