"""Blocks of the net: how positions and channels of the state mix.

Shapes: B batch, S symbols, P prefix positions, L cells, D channels.
`MLPBlock` and `AttentionBlock` see a state of [B, P+L, D]; `EquivariantBlock` and `UnitsBlock`
see one field per symbol, [B, S, L, D], and use the same weights for every field.
All are post-norm, without biases and without learned gains.
Sources: arXiv:2510.04871 (blocks); arXiv:2601.19085 (normalised SwiGLU, two-dimensional rotary
embedding); github.com/Aakash-Marthandan/Fixed-Point-Reasoner-Structures (digit-equivariant cell);
arXiv:1711.08028 (message passing over rows, columns and boxes).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.config import ModelConfig

EPSILON = 1e-5  # added to the mean square before its root, as upstream
USUAL_MEMBERS = 9  # of a unit of the usual board, where messages are means

TABLES = "cpu"  # where tables of constants are made, even if weights get no memory yet: to make
# them there, torch would import half a second's worth of modules


def truncated_normal(*shape: int, std: float) -> Tensor:
    """A tensor of the given shape from a normal cut at two deviations, of deviation `std`."""
    cut_std = 0.8796256610342398  # deviation of a unit normal cut at +-2
    bound = 2 * std / cut_std
    return nn.init.trunc_normal_(torch.empty(shape), std=std / cut_std, a=-bound, b=bound)


def rms_norm(h: Tensor) -> Tensor:
    """Divide by the root mean square along the last axis, in float32, without a gain."""
    wide = h.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON)).to(h.dtype)


class Linear(nn.Linear):
    """A linear map without bias, LeCun normal at the start."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        with torch.no_grad():
            self.weight.copy_(truncated_normal(out_features, in_features, std=in_features**-0.5))


class SwiGLU(nn.Module):
    """silu(gate) * up, then down; `normalised` is sigmoid(gate) * norm(gate * up)."""

    def __init__(self, size: int, width: int, glu: str) -> None:
        super().__init__()
        self.gate_up = Linear(size, 2 * width)
        self.down = Linear(width, size)
        self.normalised = glu == "normalised"

    def forward(self, h: Tensor) -> Tensor:
        gate, up = self.gate_up(h).chunk(2, dim=-1)
        act = torch.sigmoid(gate) * rms_norm(gate * up) if self.normalised else F.silu(gate) * up
        down: Tensor = self.down(act)
        return down


class MLPBlock(nn.Module):
    """A SwiGLU across positions, normed along them, then one across channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        positions = config.num_prefix + config.num_cells
        self.token_mlp = SwiGLU(positions, config.token_width, config.glu)
        self.channel_mlp = SwiGLU(config.hidden_size, config.channel_width, config.glu)

    def forward(self, h: Tensor) -> Tensor:
        h = h.transpose(1, 2)  # [B, D, P+L]
        h = rms_norm(h + self.token_mlp(h)).transpose(1, 2)
        return rms_norm(h + self.channel_mlp(h))


class AttentionBlock(nn.Module):
    """Self-attention over all positions, then a SwiGLU across channels."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = Linear(config.hidden_size, config.hidden_size)
        self.channel_mlp = SwiGLU(config.hidden_size, config.channel_width, config.glu)
        self.rotates = config.rotary != "none"
        if self.rotates:
            angles = rotary_angles(config)
            self.register_buffer("cos", angles.cos(), persistent=False)
            self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        h = rms_norm(h + self.attend(h))
        return rms_norm(h + self.channel_mlp(h))

    def attend(self, h: Tensor) -> Tensor:
        """Scaled dot-product attention without a mask, [B, P+L, D] to the same."""
        batch, positions, channels = h.shape
        heads = self.qkv(h).view(batch, positions, 3 * self.num_heads, -1)
        q, k, v = heads.transpose(1, 2).chunk(3, dim=1)  # each [B, heads, P+L, D/heads]
        if self.rotates:
            q, k = self.rotate(q), self.rotate(k)
        mixed = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, positions, channels))
        return joined

    def rotate(self, heads: Tensor) -> Tensor:
        """Turn each pair of channels by its position's angle, in float32."""
        wide = heads.float()
        first, second = wide.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return (wide * self.cos + turned * self.sin).to(heads.dtype)


def rotary_angles(config: ModelConfig) -> Tensor:
    """Angles in radians, [P+L, D/heads]; the second half of the channels repeats the first.

    `1d` counts positions from the first prefix position on. `2d` gives half of the frequencies to
    the row and half to the column; prefix positions stay unturned.
    """
    half = config.hidden_size // config.num_heads // 2
    cells = torch.arange(config.num_cells, device=TABLES)
    counted = torch.arange(config.num_prefix + config.num_cells, device=TABLES)
    axes = [counted] if config.rotary == "1d" else [cells // config.width, cells % config.width]
    share = math.ceil(half / len(axes))
    frequencies = config.rotary_base ** -(torch.arange(share, device=TABLES) / share)
    angles = torch.cat([torch.outer(axis.float(), frequencies) for axis in axes], dim=-1)[:, :half]
    angles = F.pad(angles, (0, 0, len(counted) - len(angles), 0))
    return torch.cat((angles, angles), dim=-1)


class EquivariantBlock(nn.Module):
    """Mix cells inside each symbol's field, then fields at each cell, then channels.

    Renaming the symbols renames the output and changes nothing else. Which cells belong together
    is learned: the mixer over cells is a SwiGLU of full width.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_mlp = SwiGLU(config.num_cells, config.token_width, config.glu)
        self.others = Linear(config.hidden_size, config.hidden_size)
        self.channel_mlp = SwiGLU(config.hidden_size, config.channel_width, config.glu)

    def forward(self, h: Tensor) -> Tensor:
        h = h.transpose(2, 3)  # [B, S, D, L]
        h = rms_norm(h + self.token_mlp(h)).transpose(2, 3)
        others = (h.sum(1, keepdim=True) - h) / max(h.shape[1] - 1, 1)
        h = rms_norm(h + self.others(others))
        return rms_norm(h + self.channel_mlp(h))


class UnitsBlock(nn.Module):
    """Each (symbol, cell) gets messages from its row, column, box and cell, as sums, then mixes channels.

    The wiring says which positions belong together, as the drawn lines of the grid do; what
    belonging together means is learned. Equivariant to every symmetry of the board that keeps rows,
    columns and boxes, and free of the board's size: one member says as much on every board.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.grid = (config.height, config.width)
        down, across = config.height // config.box_height, config.width // config.box_width
        self.boxes = (down, config.box_height, across, config.box_width)
        self.means = Linear(4 * config.hidden_size, config.hidden_size)  # named so in every checkpoint
        self.channel_mlp = SwiGLU(config.hidden_size, config.channel_width, config.glu)

    def forward(self, h: Tensor) -> Tensor:
        h = rms_norm(h + self.messages(h))
        return rms_norm(h + self.channel_mlp(h))

    def messages(self, h: Tensor) -> Tensor:
        """One linear map of the four sums each position belongs to, [B, S, L, D] to the same.

        A sum is divided by `USUAL_MEMBERS`. The map is applied to it before it is spread over its
        members: the result is the same and a ninth of the work on the usual board.
        """
        batch, symbols, _, channels = h.shape
        grid = h.view(batch, symbols, *self.grid, channels)
        boxes = h.view(batch, symbols, *self.boxes, channels)  # down, height, across, width
        row, column, box, cell = self.means.weight.chunk(4, dim=1)
        lines = F.linear(grid.sum(3, keepdim=True) / USUAL_MEMBERS, row)
        lines = lines + F.linear(grid.sum(2, keepdim=True) / USUAL_MEMBERS, column)
        lines = lines + F.linear(grid.sum(1, keepdim=True) / USUAL_MEMBERS, cell)
        by_box = F.linear(boxes.sum((3, 5), keepdim=True) / USUAL_MEMBERS, box)
        return (lines.reshape(boxes.shape) + by_box).reshape(h.shape)


class ConvolutionBlock(nn.Module):
    """Each cell combines its eight neighbours, then mixes channels: free of the board's size.

    A depthwise-separable convolution of 3x3 cells: one stencil a channel, then a linear map.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.grid = (config.height, config.width)
        size = config.hidden_size
        self.stencils = nn.Parameter(truncated_normal(size, 1, 3, 3, std=1 / 3))
        self.heard = Linear(size, size)  # named so in every checkpoint
        self.channel_mlp = SwiGLU(size, config.channel_width, config.glu)

    def forward(self, h: Tensor) -> Tensor:
        h = rms_norm(h + self.convolve(h))
        return rms_norm(h + self.channel_mlp(h))

    def convolve(self, h: Tensor) -> Tensor:
        """Weigh the neighbourhood of each cell, [B, L, D] to the same; beyond the board is 0."""
        batch, _, channels = h.shape
        grid = h.view(batch, *self.grid, channels).permute(0, 3, 1, 2)  # [B, D, H, W]
        near = F.conv2d(grid, self.stencils, padding=1, groups=channels)
        mixed: Tensor = self.heard(near.permute(0, 2, 3, 1).reshape(h.shape))
        return mixed


BLOCKS: dict[str, type[nn.Module]] = {
    "convolution": ConvolutionBlock,
    "mlp": MLPBlock,
    "attention": AttentionBlock,
    "equivariant": EquivariantBlock,
    "units": UnitsBlock,
}
