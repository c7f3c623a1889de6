"""The network: an embedding, one tiny net called again and again, and two heads.

Shapes: B batch, L cells, P prefix positions, D channels, V tokens, S = V - 2 symbols.
The state (x, y and z alike) is [B, P+L, D], or [B, S, L, D] where the mixer keeps one field per
symbol; with `multi_z`, z is n of them, [B, n, ...].
Sources: arXiv:2510.04871; sixteen prefix positions and the fixed start as in its code; two nets and
Q-learning as in HRM, arXiv:2506.21734.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trm_cli.config import ModelConfig
from trm_cli.errors import UsageError
from trm_cli.model.faults import CompilerError, compile_module
from trm_cli.model.layers import BLOCKS, TABLES, Linear, truncated_normal
from trm_cli.model.recursion import GRADIENTS, RECURSIONS, damped
from trm_cli.tasks.base import FIRST_SYMBOL

IMPOSSIBLE = -1e4  # logit of a token that an answer cannot hold
HALT_BIAS = -5.0  # so that a new network does not halt


class Net(nn.Module):
    """The only thinking part: add the streams left to right, then run the blocks."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(BLOCKS[config.mixer](config) for _ in range(config.num_layers))
        self.recomputes = False  # keep no activations for the backward pass, compute them again

    def forward(self, *streams: Tensor) -> Tensor:
        if self.recomputes and torch.is_grad_enabled():
            again: Tensor = checkpoint(self._think, *streams, use_reentrant=False)
            return again
        return self._think(*streams)

    def _think(self, *streams: Tensor) -> Tensor:
        h = streams[0]
        for stream in streams[1:]:
            h = h + stream
        for block in self.blocks:
            h = block(h)
        return h


class TwoNets(Net):
    """Separate nets: f_L where z is updated, from three streams; f_H where y is, from two."""

    def __init__(self, config: ModelConfig) -> None:
        nn.Module.__init__(self)
        self.f_L, self.f_H = Net(config), Net(config)
        self.recomputes = False

    def _think(self, *streams: Tensor) -> Tensor:
        thought: Tensor = (self.f_L if len(streams) == 3 else self.f_H)(*streams)
        return thought


class TokenEmbedding(nn.Module):
    """Tokens [B, L] to [B, P+L, D]: P prefix positions, then one vector a token.

    The prefix is learned; with a puzzle embedding, its first position is the puzzle's row of that
    embedding and the others are zero, as in the official code. Where puzzles have rows of their
    own, the table is kept beside the network: `rows` [B, D] are those of these puzzles, and
    `puzzles` is the row [1, D] that is meant where none are given.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale: float = config.hidden_size**0.5
        self.num_prefix = config.num_prefix
        self.tokens = nn.Parameter(truncated_normal(config.vocab_size, config.hidden_size, std=1 / self.scale))
        if config.num_puzzles == 1:
            self.puzzles = nn.Parameter(torch.zeros(1, config.hidden_size))
        elif config.looks_up_puzzles:
            self.register_buffer("puzzles", torch.zeros(1, config.hidden_size), persistent=False)
        else:
            self.prefix = nn.Parameter(torch.zeros(config.num_prefix, config.hidden_size))
        self.num_puzzles = config.num_puzzles

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        if self.num_puzzles:
            rows = self.puzzles if rows is None else rows.to(self.tokens.dtype)
            prefix = F.pad(rows[:, None], (0, 0, 0, self.num_prefix - 1))
        else:
            prefix = self.prefix
        prefix = prefix.expand(tokens.shape[0], -1, -1)
        return self.scale * torch.cat((prefix, F.embedding(tokens, self.tokens)), dim=1)


class RoleEmbedding(nn.Module):
    """Tokens [B, L] to [B, S, L, D]: a cell is empty, given as this symbol, or as another."""

    EMPTY, THIS, OTHER = range(3)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale: float = config.hidden_size**0.5
        self.roles = nn.Parameter(truncated_normal(3, config.hidden_size, std=1 / self.scale))
        symbols = torch.arange(FIRST_SYMBOL, config.vocab_size, device=TABLES)
        self.register_buffer("symbols", symbols[:, None], persistent=False)

    symbols: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        is_this = tokens[:, None] == self.symbols  # [B, S, L]
        role = torch.where(is_this, self.THIS, self.OTHER)
        role = torch.where(tokens[:, None] < FIRST_SYMBOL, self.EMPTY, role)
        return self.scale * F.embedding(role, self.roles)


def count_parameters(config: ModelConfig) -> int:
    """Weights of a network of that architecture; none of them is made."""
    with torch.device("meta"):
        return TinyRecursiveModel(config).num_parameters


class TinyRecursiveModel(nn.Module):
    """Embedding, net, output head and halt head; `forward` is one supervision step."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = (RoleEmbedding if config.shares_symbols else TokenEmbedding)(config)
        self.net = (TwoNets if config.num_nets == 2 else Net)(config)
        logits_per_position = 1 if config.shares_symbols else config.vocab_size
        self.output_head = Linear(config.hidden_size, logits_per_position)
        self.halt_head = nn.Linear(config.hidden_size, 2 if config.halting == "q_learning" else 1)
        nn.init.zeros_(self.halt_head.weight)
        nn.init.constant_(self.halt_head.bias, HALT_BIAS)
        self.register_buffer("y_init", truncated_normal(config.hidden_size, std=1.0))
        latents = (config.n,) if config.recursion == "multi_z" else ()
        self.register_buffer("z_init", truncated_normal(*latents, config.hidden_size, std=1.0))

    y_init: Tensor
    z_init: Tensor

    @property
    def num_parameters(self) -> int:
        """Weights."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one puzzle's x or y."""
        config = self.config
        if config.shares_symbols:
            return (config.num_symbols, config.num_cells, config.hidden_size)
        return (config.num_prefix + config.num_cells, config.hidden_size)

    @property
    def z_shape(self) -> tuple[int, ...]:
        """Shape of one puzzle's z."""
        return (*self.z_init.shape[:-1], *self.state_shape)

    def starting_state(self, batch_size: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The y and z before the first step, [B, *state_shape] and [B, *z_shape].

        A fixed start repeats `y_init` and `z_init` at every position. A random start draws a
        normal z for every puzzle; y is `y_init` still, so that an answer is never drawn by lot.
        """
        y = self.y_init.expand(batch_size, *self.state_shape)
        shape = (batch_size, *self.z_shape)
        if self.config.start == "fixed":
            everywhere = (1,) * (len(self.state_shape) - 1)
            return y, self.z_init.view(*self.z_init.shape[:-1], *everywhere, -1).expand(shape)
        device = generator.device if generator else self.z_init.device
        z = torch.randn(shape, generator=generator, device=device)
        return y, z.to(self.z_init)

    @torch.no_grad()
    def recall(self, row: Tensor) -> None:
        """Mean the puzzle of this row [1, D] of the table wherever no rows are given."""
        assert isinstance(self.embed, TokenEmbedding)
        self.embed.puzzles.copy_(row)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One supervision step on an embedded puzzle.

        Returns y, z, logits [B, L, V] and halt logits [B], the last two in float32.
        """
        config = self.config
        net = damped(self.net, config.damping) if config.damping else self.net
        recurse, inner = GRADIENTS[config.gradient], RECURSIONS[config.recursion]
        y, z = recurse(net, x, y, z, n=config.n, T=config.T, T_grad=config.T_grad, inner=inner)
        return y, z, self.read_answer(y), self.read_halt(y)

    def read_answer(self, y: Tensor) -> Tensor:
        """Logits of every token at every cell, [B, L, V]."""
        logits: Tensor = self.output_head(y).float()
        if self.config.shares_symbols:
            by_cell = logits.squeeze(-1).transpose(1, 2)  # [B, L, S]
            return F.pad(by_cell, (FIRST_SYMBOL, 0), value=IMPOSSIBLE)
        return logits[:, self.config.num_prefix :]

    def read_halt(self, y: Tensor) -> Tensor:
        """Logit that the answer is right, [B]."""
        return self._read_head(y)[:, 0]

    def read_continue(self, y: Tensor) -> Tensor:
        """Logit of what going on is worth, [B]; learned by Q-learning alone."""
        return self._read_head(y)[:, 1]

    def _read_head(self, y: Tensor) -> Tensor:
        """Logits of the halt head, [B, 1] or [B, 2].

        Read at the first position, as published; at the mean field where every symbol has one; at
        the largest value of each channel where a net sees one neighbourhood at a time.
        """
        sees_near = self.config.mixer == "convolution"
        summary = y.mean((1, 2)) if self.config.shares_symbols else y.amax(1) if sees_near else y[:, 0]
        logits: Tensor = self.halt_head(summary).float()
        return logits


def resized(network: TinyRecursiveModel, config: ModelConfig) -> TinyRecursiveModel:
    """A network of the same weights, not of equal ones, for boards of another size."""
    with torch.device("meta"):
        other = TinyRecursiveModel(config)
    other.requires_grad_(next(network.parameters()).requires_grad)
    other.load_state_dict(network.state_dict(keep_vars=True), assign=True)
    other.net.recomputes = network.net.recomputes
    return other.to(network.y_init.device).train(network.training)


def compile_network(network: TinyRecursiveModel) -> None:
    """Have torch compile the net for batches of every size, which shrink as puzzles halt."""
    try:
        compile_module(network.net, dynamic=True)
    except CompilerError as error:
        raise UsageError(f"--compile: {error}, or leave the option out") from error
