"""The examples on the device, the fresh ones that replace them, and the rolling batch that walks through them.

Shapes: B slots of the batch, N examples, L cells, V tokens. A slot holds one puzzle with its y, z
and the steps it has had; when it halts, a fresh puzzle takes its place. Every tensor keeps its
shape, so that a step never waits for the host.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.config import TrainConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import Dataset, Generator, Tokens, Transforms, Wanted
from trm_cli.training.fresh import Maker, make_elsewhere

SLICE = 256  # fresh puzzles that are made and put in place together
TENSORS = ("puzzles", "answers", "y", "z", "steps", "least_steps", "halted", "noise")  # of a rolling batch


@dataclass(frozen=True)
class Examples:
    """Training pairs and the symmetries they may be shown under, all on one device.

    puzzles, answers  [N, L] uint8 tokens.
    cells             [M, L] int64, M ways to move the cells: new cell i shows old cell cells[m, i].
    symbols           [M, V] uint8, M ways to rename the tokens: token t becomes symbols[m, t].
    """

    puzzles: Tensor
    answers: Tensor
    cells: Tensor
    symbols: Tensor

    @classmethod
    def on_device(
        cls, puzzles: np.ndarray, answers: np.ndarray, symmetries: Transforms, device: torch.device
    ) -> "Examples":
        """Copy arrays of tokens [N, L] and a pool of symmetries to the device."""
        return cls(
            puzzles=torch.tensor(puzzles, device=device),
            answers=torch.tensor(answers, device=device),
            cells=torch.from_numpy(symmetries.cells).to(device).long(),
            symbols=torch.from_numpy(symmetries.symbols).to(device),
        )


class Supply:
    """Replaces examples by fresh puzzles, `per_step` in every step, slice after slice.

    rows        [N] examples to replace, all of which the generator made.
    validation  puzzles [N, L] that must not come.
    """

    def __init__(
        self,
        generator: Generator,
        wanted: Wanted,
        side: int,
        *,
        rows: NDArray[np.int64],
        validation: Tokens,
        per_step: int,
        seed: int,
    ) -> None:
        self.size = min(SLICE, len(rows))
        self.slices = torch.from_numpy(rows[: len(rows) // self.size * self.size]).view(-1, self.size)
        self.maker = Maker(generator, replace(wanted, puzzles=self.size), side, validation, seed)
        self.per_step = per_step
        self.placed = 0  # slices so far
        self.coming: Iterator[Dataset] | None = None

    def renew(self, examples: Examples, step: int) -> None:
        """Put in place all slices that are due before a step of the run."""
        due = step * self.per_step // self.size
        if self.coming is None:
            self.placed = max(0, due - len(self.slices))  # what was replaced since is not made
            self.coming = make_elsewhere(self.maker, self.placed)
        while self.placed < due:
            made = next(self.coming)
            rows = self.slices[self.placed % len(self.slices)].to(examples.puzzles.device)
            for old, new in ((examples.puzzles, made.puzzles), (examples.answers, made.answers)):
                old[rows] = torch.from_numpy(new).to(old.device)
            self.placed += 1


class RollingBatch:
    """B puzzles at different supervision steps; `refill` before a step, `carry` after it."""

    CARRIED: ClassVar[tuple[str, ...]] = TENSORS

    def __init__(
        self, model: TinyRecursiveModel, examples: Examples, config: TrainConfig, slots: int, generator: torch.Generator
    ) -> None:
        self.examples = examples
        self.config = config
        self.generator = generator
        self.N_sup = model.config.N_sup
        self.slots = slots
        device = examples.puzzles.device
        cells = examples.puzzles.shape[1]
        self.puzzles = torch.zeros(slots, cells, dtype=torch.long, device=device)
        self.answers = torch.zeros(slots, cells, dtype=torch.long, device=device)
        self.y, self.z = (s.clone() for s in model.starting_state(slots, generator))
        self.steps = torch.zeros(slots, dtype=torch.long, device=device)
        self.least_steps = torch.zeros(slots, dtype=torch.long, device=device)
        self.halted = torch.ones(slots, dtype=torch.bool, device=device)
        self.noise = torch.zeros(slots, device=device)

    @torch.no_grad()
    def refill(self, model: TinyRecursiveModel) -> None:
        """Put a fresh puzzle, with a fresh start, where the last step halted."""
        puzzles, answers = self.draw()
        y, z = model.starting_state(len(puzzles), self.generator)
        fresh = self.halted
        self.puzzles = torch.where(fresh[:, None], puzzles, self.puzzles)
        self.answers = torch.where(fresh[:, None], answers, self.answers)
        self.y = torch.where(_beside(fresh, y), y, self.y)
        self.z = torch.where(_beside(fresh, z), z, self.z)
        self.steps = torch.where(fresh, 0, self.steps)
        explores = self._uniform(self.slots) < self.config.exploration  # as in the official code
        least_steps = torch.where(explores, self._integers(max(self.N_sup, 2) + 1, least=2), 0)
        self.least_steps = torch.where(fresh, least_steps, self.least_steps)
        if self.config.latent_noise:  # every puzzle has a deviation of its own, drawn when it came
            self.noise = torch.where(fresh, self.config.latent_noise * self._uniform(self.slots), self.noise)
            normal = torch.randn(self.z.shape, generator=self.generator, device=self.z.device)
            self.z = self.z + (_beside(self.noise, normal) * normal).to(self.z)

    @torch.no_grad()
    def carry(self, y: Tensor, z: Tensor, stops: Tensor) -> None:
        """Keep the new y and z; halt where the head says `stops` [B], and at the last step in any case."""
        self.y, self.z = y.detach(), z.detach()
        self.steps = self.steps + 1
        self.halted = stops & (self.steps >= self.least_steps) | (self.steps >= self.N_sup)

    def draw(self) -> tuple[Tensor, Tensor]:
        """B random examples under random symmetries, some with hints; [B, L] each."""
        rows = self._integers(len(self.examples.puzzles))
        puzzles, answers = self.examples.puzzles[rows], self.examples.answers[rows]
        if self.config.hint_share:
            gets_hints, share = self._uniform(2, self.slots, 1)  # a random share of some puzzles' cells
            share = share * self.config.max_hints * (gets_hints < self.config.hint_share)
            puzzles = torch.where(self._uniform(*puzzles.shape) < share, answers, puzzles)
        if self.config.symmetries:
            pool = len(self.examples.cells)
            # Two moves in a row reach far more layouts than the pool has entries.
            cells = self.examples.cells[self._integers(pool)]
            cells = cells.gather(1, self.examples.cells[self._integers(pool)])
            symbols = self.examples.symbols[self._integers(len(self.examples.symbols))]
            puzzles = symbols.gather(1, puzzles.gather(1, cells).long())
            answers = symbols.gather(1, answers.gather(1, cells).long())
        return puzzles.long(), answers.long()

    def _uniform(self, *shape: int) -> Tensor:
        drawn: Tensor = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return drawn

    def _integers(self, end: int, least: int = 0) -> Tensor:
        return torch.randint(least, end, (self.slots,), generator=self.generator, device=self.generator.device)


def _beside(flags: Tensor, state: Tensor) -> Tensor:
    """One value a slot [B], shaped to go with a state [B, ...]."""
    return flags.view(-1, *(1,) * (state.dim() - 1))
