import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.conftest import small_config
from trm_cli.model.layers import (
    BLOCKS,
    AttentionBlock,
    ConvolutionBlock,
    SwiGLU,
    UnitsBlock,
    rms_norm,
    truncated_normal,
)
from trm_cli.tasks.base import board_of
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.sudoku_generator import units


def test_a_normed_vector_has_unit_mean_square() -> None:
    h = rms_norm(torch.randn(5, 64) * 7)
    torch.testing.assert_close(h.square().mean(-1), torch.ones(5), atol=1e-4, rtol=0)


def test_rms_norm_agrees_with_torch() -> None:
    h = torch.randn(3, 32)
    torch.testing.assert_close(rms_norm(h), F.rms_norm(h, (32,), eps=1e-5))


def test_a_truncated_normal_has_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    values = truncated_normal(1000, 100, std=0.5)
    assert values.std() == pytest.approx(0.5, rel=0.01)
    assert values.abs().max() < 0.5 * 2 / 0.87


@pytest.mark.parametrize("glu", ["plain", "normalised"])
def test_swiglu_is_the_formula(glu: str) -> None:
    layer, h = SwiGLU(8, 16, glu), torch.randn(3, 8)
    gate, up = F.linear(h, layer.gate_up.weight).chunk(2, -1)
    if glu == "plain":
        expected = F.linear(F.silu(gate) * up, layer.down.weight)
    else:
        expected = F.linear(gate.sigmoid() * rms_norm(gate * up), layer.down.weight)
    torch.testing.assert_close(layer(h), expected)


@pytest.mark.parametrize("mixer", ["equivariant", "units"])
def test_renaming_the_symbols_renames_the_fields(mixer: str) -> None:
    block = BLOCKS[mixer](small_config(mixer))
    h, order = torch.randn(2, 4, 16, 16), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(block(h[:, order]), block(h)[:, order], atol=1e-5, rtol=1e-5)


def test_units_commute_with_every_symmetry_that_keeps_rows_and_columns_apart() -> None:
    block, h = UnitsBlock(small_config()), torch.randn(1, 4, 16, 16)
    pool = Sudoku().symmetries(16, count=40, rng=np.random.default_rng(0))
    rows = units(4)[:4]
    seen = 0
    for cells in pool.cells:
        if {frozenset(cells[row]) for row in rows} != {frozenset(row) for row in rows}:
            continue  # a transposition: rows and columns have weights of their own
        seen += 1
        moved = torch.from_numpy(cells)
        expected = block(h)[:, :, moved]
        torch.testing.assert_close(block(h[:, :, moved]), expected, atol=1e-5, rtol=1e-5)
    assert seen > 10


def test_units_get_messages_from_exactly_their_row_column_box_and_cell() -> None:
    block = UnitsBlock(small_config())
    h = torch.randn(1, 4, 16, 16)
    row, column, box, cell = block.means.weight.chunk(4, dim=1)
    expected = F.linear(h.sum(1, keepdim=True) / 9, cell).expand_as(h).clone()
    for weight, members in ((row, units(4)[:4]), (column, units(4)[4:8]), (box, units(4)[8:])):
        for unit in torch.from_numpy(members):
            expected[:, :, unit] += F.linear(h[:, :, unit].sum(2, keepdim=True) / 9, weight)
    torch.testing.assert_close(block.messages(h), expected, atol=1e-5, rtol=1e-5)


def test_units_of_the_usual_board_take_means_to_the_last_bit() -> None:
    block, h = UnitsBlock(small_config("units", **board_of(Sudoku(), 81))), torch.randn(2, 9, 81, 16)
    row, column, box, cell = block.means.weight.chunk(4, dim=1)
    grid, boxes = h.view(2, 9, 9, 9, 16), h.view(2, 9, 3, 3, 3, 3, 16)
    lines = F.linear(grid.mean(3, keepdim=True), row)
    lines = lines + F.linear(grid.mean(2, keepdim=True), column) + F.linear(grid.mean(1, keepdim=True), cell)
    expected = lines.reshape(boxes.shape) + F.linear(boxes.mean((3, 5), keepdim=True), box)
    assert torch.equal(block.messages(h), expected.reshape(h.shape))


def test_a_convolution_combines_its_neighbours_and_nothing_else() -> None:
    config = small_config("convolution", height=5, width=5, box_height=1, box_width=1)
    block = ConvolutionBlock(config)
    h = torch.randn(1, 25, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(block.convolve(h)[0, 12].sum(), h)
    reached = gradient.abs().sum((0, 2)).reshape(5, 5) > 0
    assert reached.nonzero().tolist() == [[r, c] for r in (1, 2, 3) for c in (1, 2, 3)]


def test_a_convolution_moves_with_the_board() -> None:
    config = small_config("convolution", height=6, width=6, box_height=1, box_width=1)
    block = ConvolutionBlock(config)
    board = torch.zeros(1, 6, 6, 16)
    board[:, 2, 2] = torch.randn(16)
    moved = board.roll(1, dims=2)
    mixed, mixed_moved = (block.convolve(b.reshape(1, 36, 16)).view(6, 6, 16) for b in (board, moved))
    torch.testing.assert_close(mixed.roll(1, dims=1), mixed_moved)


def test_attention_agrees_with_torch_where_nothing_is_rotated() -> None:
    block, h = AttentionBlock(small_config("attention")), torch.randn(2, 18, 16)
    torch_attention = torch.nn.MultiheadAttention(16, 2, bias=False, batch_first=True)
    torch_attention.in_proj_weight = torch.nn.Parameter(block.qkv.weight)
    torch_attention.out_proj.weight = block.out.weight
    expected, _ = torch_attention(h, h, h)
    torch.testing.assert_close(block.attend(h), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rotary", ["1d", "2d"])
def test_a_rotated_score_depends_on_the_distance_alone(rotary: str) -> None:
    block = AttentionBlock(small_config("attention", rotary=rotary, num_prefix=0))
    query, key = torch.randn(8), torch.randn(8)
    turned = [block.rotate(vector.expand(1, 1, 16, 8))[0, 0] for vector in (query, key)]
    scores = turned[0] @ turned[1].T
    # Cells 0 and 5 are one row and one column apart, as are 10 and 15; 1 and 6 too.
    torch.testing.assert_close(scores[0, 5], scores[10, 15])
    torch.testing.assert_close(scores[1, 6], scores[10, 15])
    assert not torch.isclose(scores[0, 5], scores[5, 0])
