"""Puzzles made while a run goes on, so that it need never see one twice.

A thread of its own makes them, slice by slice; each slice takes the place of the oldest among the
examples. Which puzzles a step sees follows from the recipe, the seed and the step alone, so that a
run that is resumed sees what it would have seen.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset
from trm_cli.training.batches import Examples
from trm_cli.training.data import Split, as_rows
from trm_cli.training.recipes import Recipe

SLICE = 256  # puzzles that are made and put in place together


class Supply:
    """Renews examples at `fresh_puzzles` a step."""

    def __init__(self, recipe: Recipe, parts: Split, *, seed: int) -> None:
        self.task = get_task(recipe.task)
        self.size = min(SLICE, len(parts.used))
        self.slots = len(parts.used) // self.size
        self.per_step = recipe.train.fresh_puzzles
        self.wanted = replace(recipe.data, puzzles=self.size)
        self.side = recipe.model.height
        self.seed = seed
        self.held_out = as_rows(parts.held_out.puzzles)
        self.placed = 0  # slices so far
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="puzzles")
        self.coming: tuple[int, Future[Dataset]] | None = None  # the slice being made, its number

    def renew(self, examples: Examples, step: int) -> None:
        """Put in place all slices that are due before a step of the run."""
        due = step * self.per_step // self.size
        self.placed = max(self.placed, due - self.slots)  # what was replaced since is not made
        while self.placed < due:
            made = self._slice(self.placed)
            first = self.placed % self.slots * self.size
            for old, new in ((examples.puzzles, made.puzzles), (examples.answers, made.answers)):
                old[first : first + self.size] = torch.from_numpy(new).to(old.device)
            self.placed += 1
        if self.coming is None or self.coming[0] != self.placed:
            self.coming = (self.placed, self.thread.submit(self._make, self.placed))

    def _slice(self, number: int) -> Dataset:
        if self.coming is not None and self.coming[0] == number:
            return self.coming[1].result()
        return self._make(number)

    def _make(self, number: int) -> Dataset:
        """The slice of that number; what was held out is left out of it."""
        made = self.task.generate(self.wanted, size=self.side, seed=(self.seed, number + 1))
        fresh = np.flatnonzero(~np.isin(as_rows(made.puzzles), self.held_out))
        return made.rows(np.resize(fresh, self.size)) if len(fresh) < self.size else made
