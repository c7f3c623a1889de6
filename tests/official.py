"""The networks that golden/official.npz holds logits of, and their seeded weights."""

from dataclasses import dataclass

import numpy as np
import torch

STEPS = 16  # supervision steps that are recorded
GAIN = 0.5  # of every matrix: larger ones make the recursion chaotic, and rounding grows with it


@dataclass(frozen=True)
class Official:
    """A small network of the official code, of TRM or of HRM, as its own options describe it."""

    task: str
    side: int  # cells
    vocab_size: int
    n: int
    mixes_tokens: bool = False  # by a SwiGLU; by attention if not
    num_puzzles: int = 1
    module: str = "recursive_reasoning.trm"

    @property
    def is_hierarchical(self) -> bool:
        """Whether it is of HRM's repository, not of TRM's."""
        return self.module.startswith("hrm.")

    def tokens(self) -> torch.Tensor:
        """Two boards, [2, side * side]."""
        shape = (2, self.side**2)
        return torch.from_numpy(np.random.RandomState(3).randint(1, self.vocab_size, shape))

    def identifiers(self) -> torch.Tensor:
        """The puzzles that the two boards are of, [2]: the first, and the last of the table."""
        return torch.tensor([0, self.num_puzzles - 1])


NETWORKS = {
    "sudoku-mlp": Official("sudoku", 4, 6, 6, mixes_tokens=True),
    "sudoku-attention": Official("sudoku", 4, 6, 6),
    "maze": Official("maze", 5, 6, 4),
    "arc": Official("arc", 5, 12, 4, num_puzzles=7),
    "sudoku-single-z": Official("sudoku", 4, 6, 6, mixes_tokens=True, module="recursive_reasoning.trm_singlez"),
    "sudoku-multi-z": Official("sudoku", 4, 6, 6, mixes_tokens=True, module="recursive_reasoning.trm_hier6"),
    "sudoku-hrm": Official("sudoku", 4, 6, 2, module="hrm.hrm_act_v1"),
    "maze-hrm": Official("maze", 5, 6, 2, module="hrm.hrm_act_v1"),
}


def official_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Seeded weights for tensors of those shapes."""
    rng = np.random.RandomState(7)
    tensors = {}
    for name in sorted(shapes):
        std = 1.0 if name.endswith("_init") else GAIN / np.sqrt(shapes[name][-1])
        values = (rng.standard_normal(shapes[name]) * std).astype(np.float32)
        tensors[name] = torch.from_numpy(values)
    return tensors
