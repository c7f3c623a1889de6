"""Reporting elsewhere: what is sent, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.small_runs import small_run
from trm_cli.errors import UsageError
from trm_cli.tasks.base import Dataset
from trm_cli.training.loggers import KINDS, Loggers, check_loggers, figures
from trm_cli.training.loop import Evaluation, Report


def test_a_logger_is_told_every_figure_by_name_and_closed(
    small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    class Notebook:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def log(self, event: Report | Evaluation) -> None:
            told.append((event.step, figures(event)))

        def close(self) -> None:
            told.append("closed")

    monkeypatch.setitem(KINDS, "notebook", Notebook)
    with Loggers(["notebook"], tmp_path) as loggers:
        for event in small_run(small_data, tmp_path / "run").events():
            if isinstance(event, Report | Evaluation):
                loggers.log(event)
    assert told[-1] == "closed"
    by_name = {name for _, values in told[:-1] for name in values}
    assert {"train/loss", "train/cell_accuracy", "held_out/exact", "held_out/mean_steps"} <= by_name
    assert all(isinstance(v, float) for _, values in told[:-1] for v in values.values())


def test_a_logger_that_is_unknown_or_not_installed_is_refused() -> None:
    with pytest.raises(UsageError, match="--log-to paper: choose tensorboard or wandb"):
        check_loggers(["paper"])
    try:
        import tensorboard  # noqa: F401 # is it there?
    except ImportError:
        with pytest.raises(UsageError, match="not installed; `pip install tensorboard` first"):
            check_loggers(["tensorboard"])
    else:
        check_loggers(["tensorboard"])


def test_tensorboard_files_hold_the_losses(small_data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Loggers(["tensorboard"], tmp_path) as loggers:
        for event in small_run(small_data, tmp_path / "run").events():
            if isinstance(event, Report | Evaluation):
                loggers.log(event)
    files = list((tmp_path / "tensorboard").glob("events.*"))
    assert len(files) == 1
    assert b"train/loss" in files[0].read_bytes()
