"""The same net with less memory traffic, for solving on a CPU.

A lean net has the weights of a plain one and computes the same sums, in another order: in place,
without transposing, sums of units as matrix products. Nothing of it can be differentiated, compiled or watched.
Shapes as in layers.py: B batch, S symbols, P prefix positions, L cells, D channels, w the width of a SwiGLU.
"""

from collections.abc import Callable
from copy import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.model.layers import EPSILON, USUAL_MEMBERS, AttentionBlock, ConvolutionBlock, MLPBlock, SwiGLU, UnitsBlock
from trm_cli.model.network import Net, TinyRecursiveModel, TwoNets
from trm_cli.model.number_types import type_of

Lean = Callable[[Tensor], Tensor]  # takes a state that it may overwrite


def lean(network: TinyRecursiveModel) -> TinyRecursiveModel:
    """A network of the same weights, not of equal ones, whose net is lean; the same where there is nothing to gain."""
    net = network.net
    if network.y_init.device.type != "cpu" or type_of(network) == torch.int8 or net._compiled_call_impl:
        return network
    other = copy(network)
    other._modules = {**network._modules, "net": LeanTwoNets(net) if isinstance(net, TwoNets) else LeanNet(net)}
    return other


class LeanNet(nn.Module):
    """As `Net`."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.blocks: list[Lean] = [_lean_block(block) for block in net.blocks]

    def forward(self, *streams: Tensor) -> Tensor:
        h = streams[0] + streams[1] if len(streams) > 1 else streams[0].clone()
        for stream in streams[2:]:
            h += stream
        for block in self.blocks:
            h = block(h)
        return h


class LeanTwoNets(nn.Module):
    """As `TwoNets`."""

    def __init__(self, net: TwoNets) -> None:
        super().__init__()
        self.f_L, self.f_H = LeanNet(net.f_L), LeanNet(net.f_H)

    def forward(self, *streams: Tensor) -> Tensor:
        thought: Tensor = (self.f_L if len(streams) == 3 else self.f_H)(*streams)
        return thought


def _lean_block(block: nn.Module) -> Lean:
    kind = LEAN.get(type(block))
    is_plain = all(not part.normalised for part in block.modules() if isinstance(part, SwiGLU))
    return kind(block) if kind and is_plain else block


def norm_(h: Tensor, dim: int = -1) -> Tensor:
    """`rms_norm` along an axis, in place."""
    mean = torch.linalg.vector_norm(h, dim=dim, keepdim=True, dtype=torch.float32).square_().div_(h.shape[dim])
    return h.mul_(mean.add_(EPSILON).rsqrt_().to(h.dtype))


class _Channels:
    """h + SwiGLU(h) across channels, normed."""

    def __init__(self, mlp: SwiGLU) -> None:
        self.gate_up, self.down = mlp.gate_up.weight.t(), mlp.down.weight.t()

    def __call__(self, h: Tensor) -> Tensor:
        rows = h.view(-1, h.shape[-1])
        gate, up = torch.mm(rows, self.gate_up).chunk(2, dim=1)
        rows.addmm_(F.silu(gate, inplace=True).mul_(up), self.down)
        return norm_(h)


class _LeanMLP:
    """One puzzle at a time, whose columns are multiplied as they lie."""

    def __init__(self, block: MLPBlock) -> None:
        self.gate_up, self.down = block.token_mlp.gate_up.weight, block.token_mlp.down.weight  # [2w, P+L], [P+L, w]
        self.channels = _Channels(block.channel_mlp)

    def __call__(self, h: Tensor) -> Tensor:
        for one in h:  # [P+L, D]
            gate, up = torch.mm(self.gate_up, one).chunk(2)
            one.addmm_(self.down, F.silu(gate, inplace=True).mul_(up))
            norm_(one, 0)
            self.channels(one)
        return h


class _LeanAttention:
    def __init__(self, block: AttentionBlock) -> None:
        self.qkv, self.out = block.qkv.weight.t(), block.out.weight.t()
        self.num_heads = block.num_heads
        self.channels = _Channels(block.channel_mlp)
        half = block.qkv.weight.shape[1] // self.num_heads // 2
        self.angles = (block.cos[:, None, :half], block.sin[:, None, :half]) if block.rotates else None

    def __call__(self, h: Tensor) -> Tensor:
        batch, positions, channels = h.shape
        rows = h.view(-1, channels)
        heads = torch.mm(rows, self.qkv).view(batch, positions, 3 * self.num_heads, -1)
        if self.angles:
            cos, sin = self.angles
            first, second = heads[:, :, : 2 * self.num_heads].chunk(2, dim=-1)  # of q and k, [B, P+L, 2 heads, half]
            kept = first * sin
            first.mul_(cos).addcmul_(second, sin, value=-1)
            second.mul_(cos).add_(kept)
        q, k, v = heads.transpose(1, 2).chunk(3, dim=1)  # each [B, heads, P+L, D/heads]
        mixed = F.scaled_dot_product_attention(q, k, v)
        rows.addmm_(mixed.transpose(1, 2).reshape(rows.shape), self.out)
        return self.channels(norm_(h))


class _LeanUnits:
    """Sums over rows, columns and boxes, and their spreading, are products with a matrix of zeros and ones."""

    def __init__(self, block: UnitsBlock) -> None:
        height, width = block.grid
        _, box_height, across, box_width = block.boxes
        cells = torch.arange(height * width)
        row, column = cells // width, cells % width
        box = row // box_height * across + column // box_width
        units = torch.cat([F.one_hot(of) for of in (row, column, box)], 1).t().contiguous()
        self.units = units.to(block.means.weight.dtype)  # [units, L]
        self.sizes = [height, width, len(self.units) - height - width]
        by_row, by_column, by_box, by_cell = block.means.weight.chunk(4, dim=1)
        self.maps = [one.t() / USUAL_MEMBERS for one in (by_row, by_column, by_box)]
        self.by_cell = by_cell.t() / USUAL_MEMBERS
        self.channels = _Channels(block.channel_mlp)

    def __call__(self, h: Tensor) -> Tensor:
        batch, _, cells, channels = h.shape
        fields = h.view(-1, cells, channels)
        at_cell = torch.mm(h.sum(1).view(-1, channels), self.by_cell)  # [B L, D]
        sums = torch.bmm(self.units.expand(len(fields), -1, -1), fields)  # [B S, units, D]
        parts = torch.split(sums, self.sizes, dim=1)
        heard = torch.cat([part @ by for part, by in zip(parts, self.maps, strict=True)], dim=1)
        fields.baddbmm_(self.units.t().expand(len(fields), -1, -1), heard)
        h += at_cell.view(batch, 1, cells, channels)
        return self.channels(norm_(h))


class _LeanConvolution:
    def __init__(self, block: ConvolutionBlock) -> None:
        self.convolve = block.convolve
        self.channels = _Channels(block.channel_mlp)

    def __call__(self, h: Tensor) -> Tensor:
        h += self.convolve(h)
        return self.channels(norm_(h))


LEAN: dict[type[nn.Module], Callable[..., Lean]] = {
    MLPBlock: _LeanMLP,
    AttentionBlock: _LeanAttention,
    UnitsBlock: _LeanUnits,
    ConvolutionBlock: _LeanConvolution,
}
