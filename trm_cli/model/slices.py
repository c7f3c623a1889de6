"""One supervision step of a batch, in slices that stay in the cache of a core, on as many threads as torch has.

Shapes: R puzzles of the batch, L cells, V tokens.
"""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from trm_cli.model.faults import is_out_of_memory, logger
from trm_cli.model.lean import lean
from trm_cli.model.machine import second_level_cache
from trm_cli.model.network import TinyRecursiveModel

SMALL = 1_000_000  # weights; the products of fewer are so small that threads wait longer than they share them
CACHES = 4  # second-level caches that the widest activations of a slice may fill; fewer or more were slower
Outputs = tuple[Tensor, Tensor, Tensor, Tensor]  # y, z, logits [R, L, V] and halt logits [R]


class SlicedNetwork:
    """A network without gradients that computes a batch in parts, where that is faster.

    On a CPU, as many puzzles are computed together as leave their activations in the cache: more of
    them are slower each. Slices are shared out among threads, which compute alone. Where puzzles
    are too many for the memory, fewer are computed together from then on.

    whole  never split a batch: who watches sees each call of the net once.
    """

    def __init__(self, network: TinyRecursiveModel, *, whole: bool = False) -> None:
        self.network = network if whole else lean(network)
        self.whole = whole
        self.rows_at_once = sys.maxsize if whole else rows_in_cache(network)
        self.is_small = network.num_parameters < SMALL
        on_threads = network.y_init.device.type == "cpu" and not network.net._compiled_call_impl
        self.num_threads = torch.get_num_threads() if on_threads else 1
        self.threads = ThreadPoolExecutor(self.num_threads, initializer=torch.set_num_threads, initargs=(1,))

    def __call__(self, x: Tensor, y: Tensor, z: Tensor) -> Outputs:
        """What the network makes of R puzzles."""
        while True:
            share = len(x) if self.whole else math.ceil(len(x) / self.num_threads)
            rows = min(share, self.rows_at_once)
            slices = [torch.split(stream, rows) for stream in (x, y, z)]
            alone = self.is_small or len(slices[0]) >= self.num_threads  # a thread computes a slice by itself
            try:
                computed = (self.threads.map if alone and self.num_threads > 1 else map)(self._compute, *slices)
                y_next, z_next, logits, halt = map(torch.cat, zip(*computed, strict=True))
            except (MemoryError, RuntimeError) as error:
                if rows == 1 or self.whole or not is_out_of_memory(error):
                    raise
            else:
                return y_next, z_next, logits, halt
            self.rows_at_once = rows // 2  # here, where what was computed in vain is free again
            if x.device.type == "cuda":
                torch.cuda.empty_cache()
            logger.warning("out of memory with %d puzzles together; goes on with %d", rows, self.rows_at_once)

    @torch.inference_mode()  # which holds for a thread
    def _compute(self, x: Tensor, y: Tensor, z: Tensor) -> Outputs:
        outputs: Outputs = self.network(x, y, z)
        return outputs


def rows_in_cache(network: TinyRecursiveModel) -> int:
    """Puzzles that a network is to compute together: all of them where there is no such cache."""
    if network.y_init.device.type != "cpu":
        return sys.maxsize
    widest = math.prod(network.state_shape[:-1]) * 2 * network.config.channel_width * network.y_init.itemsize
    return max(1, CACHES * second_level_cache() // widest)
