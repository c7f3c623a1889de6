"""What several test files need: small networks, real puzzles, a checkpoint folder."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from trm_cli.config import ModelConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.sudoku_generator import WantedSudokus
from trm_cli.training.recipes import get_recipe
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.tensors import save_checkpoint

# Two threads on busy cores wait for each other most of the time, here and in child processes.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# A shell starts what it runs in the background deaf to Ctrl-C, and so would its children be.
signal.signal(signal.SIGINT, signal.default_int_handler)

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def tokens(text: str) -> np.ndarray:
    """One line of Sudoku as tokens [L]."""
    return next(Sudoku().read([text], "test")).tokens


def small_config(mixer: str = "units", **changes: object) -> ModelConfig:
    """A 4x4 network of that mixer, small enough for a test."""
    has_no_prefix = mixer in ("units", "equivariant", "convolution")
    values = {
        "height": 4,
        "width": 4,
        "box_height": 2,
        "box_width": 2,
        "vocab_size": 6,
        "mixer": mixer,
        "hidden_size": 16,
        "token_width": 24,
        "channel_width": 32,
        "num_heads": 2,
        "num_prefix": 0 if has_no_prefix else 2,
        "n": 2,
        "T": 2,
        "N_sup": 4,
        "start": "random",
        **changes,
    }
    return ModelConfig(**values)  # type: ignore[arg-type] # values of mixed types, checked there


def sudokus(count: int, *, side: int, givens: tuple[int, int] | None = None, seed: int = 0) -> Dataset:
    """Generated Sudokus; minimal ones without a number of givens."""
    least, most = givens or (0, 0)
    wanted = WantedSudokus(count, least, most, minimal=givens is None)
    return Sudoku().generate(wanted, size=side, seed=seed)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same numbers from torch's own generator, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_data() -> Dataset:
    """Sixty 4x4 puzzles with their answers."""
    return sudokus(60, side=4, givens=(5, 8), seed=1)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a 9x9 checkpoint with random weights: it solves nothing."""
    torch.manual_seed(0)
    config = get_recipe("sudoku", "fast").model
    folder = tmp_path_factory.mktemp("untrained")
    save_checkpoint(folder, Checkpoint("untrained", "sudoku", config), TinyRecursiveModel(config))
    return folder
