"""Networks whose weights fit boards of every size."""

from pathlib import Path

import pytest
import torch

from tests.conftest import small_config
from trm_cli.config import same_weights
from trm_cli.errors import ConfigError, ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import board_of
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.weights.catalogue import open_model
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.tensors import save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint for mazes of up to 12x12."""
    torch.manual_seed(0)
    config = small_config("convolution", height=12, width=12, box_height=1, box_width=1)
    save_checkpoint(tmp_path, Checkpoint("any", "maze", config), TinyRecursiveModel(config))
    return tmp_path


def open_for(folder: Path, side: int) -> TinyRecursiveModel:
    return open_model(str(folder), task="maze", num_cells=side * side, device=CPU, dtype=torch.float32).network


def test_a_smaller_board_is_the_corner_of_a_larger_one(folder: Path) -> None:
    large, small = open_for(folder, 12), open_for(folder, 7)
    assert small.config.num_cells == 49
    board = torch.randint(1, 6, (2, 12, 12))
    corner = board[:, :7, :7].reshape(2, 49)
    reach = 3  # cells that two blocks and a step in between hear beyond the border
    h, c = large.embed(board.reshape(2, 144)), small.embed(corner)
    ours = small.net(c).view(2, 7, 7, -1)[:, : 7 - reach, : 7 - reach]
    theirs = large.net(h).view(2, 12, 12, -1)[:, : 7 - reach, : 7 - reach]
    torch.testing.assert_close(ours, theirs)


def test_a_larger_board_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="is for grids of up to 12x12 cells, the puzzles have 169"):
        open_for(folder, 13)
    with pytest.raises(ModelError, match="model 'any' is for maze, not for sudoku"):
        open_model(str(folder), task="sudoku", device=CPU)


def test_a_training_may_start_from_another_size(folder: Path) -> None:
    start = open_model(str(folder), task="maze", device=CPU).checkpoint.model
    other = small_config("convolution", height=20, width=20, box_height=1, box_width=1, n=5, T=3)
    assert same_weights(start, other)
    wider = small_config("convolution", height=12, width=12, box_height=1, box_width=1, hidden_size=24)
    assert not same_weights(start, wider)
    assert not same_weights(small_config("mlp"), small_config("mlp", height=8))
    assert same_weights(small_config(), small_config("units", **board_of(Sudoku(), 36)))


def test_a_network_for_several_sizes_takes_the_boxes_and_symbols_of_the_puzzle(tmp_path: Path) -> None:
    config = small_config("units", smallest=4, **board_of(Sudoku(), 81))
    save_checkpoint(tmp_path, Checkpoint("several", "sudoku", config), TinyRecursiveModel(config))
    network = open_model(str(tmp_path), task="sudoku", num_cells=36, device=CPU, dtype=torch.float32).network
    board = network.config
    assert (board.height, board.box_height, board.box_width, board.num_symbols) == (6, 2, 3, 6)
    puzzles = torch.randint(1, 8, (2, 36))
    *_, logits, _ = network(network.embed(puzzles), *network.starting_state(2))
    assert logits.shape == (2, 36, 8)


@pytest.mark.parametrize(("smallest", "board"), [(0, "9x9"), (9, "9x9"), (6, "6x6 to 9x9")])
def test_a_network_is_for_the_sizes_that_it_was_trained_on(smallest: int, board: str) -> None:
    config = small_config("units", smallest=smallest, **board_of(Sudoku(), 81))
    assert (config.board, config.fits(81), config.fits(36)) == (board, True, smallest == 6)
    assert not config.fits(16)
    assert not config.fits(144)


@pytest.mark.parametrize(("mixer", "smallest"), [("units", 5), ("mlp", 4)])
def test_several_sizes_are_refused_where_weights_do_not_fit_them(mixer: str, smallest: int) -> None:
    with pytest.raises(ConfigError, match=r"model.smallest: is for mixer 'units', and at most model.height = 4"):
        small_config(mixer, smallest=smallest)
