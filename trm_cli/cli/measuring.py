"""What `trm eval` does between its options and its report: solve, count, keep the counts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trm_cli.cli.options import complete_settings, stop_on_signals
from trm_cli.config import SolveSettings
from trm_cli.display.console import SolvingDisplay
from trm_cli.solving.evaluate import Evaluated, Tally, evaluate, read_kept, subject, write_kept
from trm_cli.tasks import get_task
from trm_cli.tasks.tables import first_rows, read_chunks, survey
from trm_cli.weights.catalogue import open_model
from trm_cli.weights.checkpoint import LoadedModel

KEEP_SECONDS = 20.0  # between two times that the counts are written down


ROWS_AT_ONCE = 4096  # of the data set that are in memory


def open_both(
    first: str | None,
    second: str | None,
    *,
    task: str,
    num_cells: int,
    device: torch.device,
    dtype: torch.dtype,
    compiles: bool,
    revision: str | None = None,
) -> list[LoadedModel]:
    """The model to evaluate, of that revision, and the one to compare it with if there is one."""
    chosen = [(first, revision)] if second is None else [(first, revision), (second, None)]
    return [
        open_model(
            name, task=task, num_cells=num_cells, device=device, dtype=dtype, compiles=compiles, revision=version
        )
        for name, version in chosen
    ]


class Measurement:
    """A data set that networks are measured on; every row is checked when it is made."""

    def __init__(self, task: str, data: Path, limit: int | None, chosen: dict[str, Any]) -> None:
        self.task = get_task(task)
        self.data, self.limit, self.chosen = data, limit, chosen
        self.survey = survey(data, self.task, limit)

    def run(
        self, models: list[LoadedModel], *, batch_size: int, kept: Path | None, stops: Callable[[], bool], quiet: bool
    ) -> list[Evaluated]:
        """Evaluate one network after the other.

        kept  where the counts are kept; what is there already is not measured again.
        Raises KeyboardInterrupt on a signal, once the counts are kept.
        """
        settings = [complete_settings(model.checkpoint.solving, self.chosen) for model in models]
        networks = [(model.sha256, own) for model, own in zip(models, settings, strict=True)]
        measured = subject(self.survey.sha256, networks)
        tallies = (read_kept(kept, measured) if kept else None) or [Tally() for _ in models]

        def keep() -> None:
            if kept:
                write_kept(kept, measured, tallies)

        keep()
        with stop_on_signals() as is_interrupted:
            for model, own, tally in zip(models, settings, tallies, strict=True):
                self._measure(
                    model,
                    own,
                    tally,
                    batch_size=batch_size,
                    stops=stops,
                    quiet=quiet,
                    keep=keep,
                    is_interrupted=is_interrupted,
                    keeps_solved=len(models) > 1,
                )
        keep()
        return [
            Evaluated(self.data.name, self.survey.sha256, model.checkpoint.name, model.sha256, own, tally)
            for model, own, tally in zip(models, settings, tallies, strict=True)
        ]

    def _measure(
        self,
        model: LoadedModel,
        settings: SolveSettings,
        tally: Tally,
        *,
        batch_size: int,
        stops: Callable[[], bool],
        quiet: bool,
        keeps_solved: bool,
        keep: Callable[[], None],
        is_interrupted: Callable[[], bool],
    ) -> None:
        chunks = first_rows(read_chunks(self.data, self.task, ROWS_AT_ONCE), self.limit)
        last_kept = time.monotonic()
        display = SolvingDisplay(self.survey.puzzles, quiet=quiet, done=tally.puzzles, solved=tally.verified)
        with display:
            for solution in evaluate(
                model.network,
                self.task,
                chunks,
                tally,
                batch_size=batch_size,
                settings=settings,
                stops=stops,
                keeps_solved=keeps_solved,
            ):
                display.show(solution)
                if is_interrupted():
                    keep()
                    raise KeyboardInterrupt
                if time.monotonic() - last_kept > KEEP_SECONDS:
                    keep()
                    last_kept = time.monotonic()
