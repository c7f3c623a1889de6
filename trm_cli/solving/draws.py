"""What is drawn by lot while solving: where z starts, and the noise on it.

Every draw follows from the seed, the puzzle, the attempt and the step alone: the same puzzle gets
the same ones in any batch and at any place of a file.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.attempts import Attempt
from trm_cli.solving.settings import SolveSettings


class Draws:
    """Starts and noise for one network."""

    def __init__(self, network: TinyRecursiveModel, settings: SolveSettings) -> None:
        self.settings = settings
        self.shape = network.state_shape
        self.generator = torch.Generator(network.y_init.device)
        self.y, self.z = network.starting_state(1, self.generator.manual_seed(settings.seed))

    def start(self, attempt: Attempt) -> Tensor:
        """The z [1, *state] that an attempt starts from."""
        if attempt.number == 0 or self.settings.starts == "fixed":
            return self.z
        return self._normal(attempt.key)

    def noise(self, attempts: list[Attempt], steps: NDArray[np.int64]) -> Tensor | None:
        """What to add to z [R, *state] before a step; None where that is nothing.

        steps  [R] the number of the step that each attempt is about to take, from 1.
        """
        scale = self.settings.noise
        if not scale or not any(attempt.number for attempt in attempts):
            return None
        rows = [self._normal(attempt.key + int(step)) * scale if attempt.number else self.z * 0
                for attempt, step in zip(attempts, steps, strict=True)]  # fmt: skip
        return torch.cat(rows)

    def _normal(self, key: int) -> Tensor:
        self.generator.manual_seed(key)
        drawn = torch.randn((1, *self.shape), generator=self.generator, device=self.z.device)
        return drawn.to(self.z)
