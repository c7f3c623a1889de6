"""The rolling batch: attempts that run at a time, and their x, y and z, [R, *state] each."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.attempts import Attempt
from trm_cli.solving.draws import Draws
from trm_cli.solving.settings import SolveSettings


class Batch:
    """Attempts come in, take steps together, and leave."""

    def __init__(self, network: TinyRecursiveModel, settings: SolveSettings) -> None:
        self.network = network
        self.draws = Draws(network, settings)
        self.attempts: list[Attempt] = []
        self.numbers = np.empty(0, np.int64)  # [R] steps that each attempt has had
        self.x = self.y = self.z = self.draws.y[:0]

    def add(self, fresh: list[Attempt]) -> None:
        """Let attempts in, each at its start."""
        if not fresh:
            return
        shown = torch.from_numpy(np.stack([attempt.shown for attempt in fresh]).astype(np.int64))
        x = self.network.embed(shown.to(self.z.device))
        self.x = torch.cat([self.x, x])
        self.y = torch.cat([self.y, self.draws.y.expand_as(x)])
        self.z = torch.cat([self.z, *(self.draws.start(attempt) for attempt in fresh)])
        self.attempts = self.attempts + fresh
        self.numbers = np.concatenate([self.numbers, np.zeros(len(fresh), np.int64)])

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One supervision step of all: logits [R, L, V], halt logits [R] and y's change [R]."""
        self.numbers = self.numbers + 1
        before, noise = self.y, self.draws.noise(self.attempts, self.numbers)
        z = self.z if noise is None else self.z + noise
        self.y, self.z, logits, halt = self.network(self.x, self.y, z)
        return logits, halt, root_mean_square(self.y - before)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Let all attempts out but the chosen ones [R]."""
        if chosen.all():
            return
        rows = np.flatnonzero(chosen)
        kept = torch.from_numpy(rows).to(self.z.device)
        self.x, self.y, self.z = self.x[kept], self.y[kept], self.z[kept]
        self.attempts, self.numbers = [self.attempts[row] for row in rows], self.numbers[rows]


def root_mean_square(state: Tensor) -> Tensor:
    """Of each attempt's numbers, [R], from [R, *state]."""
    numbers = state.flatten(1).float()
    norms: Tensor = torch.linalg.vector_norm(numbers, dim=1)
    return norms / math.sqrt(numbers.shape[1])
