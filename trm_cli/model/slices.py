"""One supervision step of a batch, as fast as the machine can take it.

On a CPU, in slices that stay in the cache of a core, on as many threads as torch has; on a GPU, as a
recording that is played again.
Shapes: R puzzles of the batch, L cells, V tokens.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from trm_cli.errors import first_line
from trm_cli.model.faults import is_out_of_memory, logger
from trm_cli.model.lean import lean
from trm_cli.model.machine import second_level_cache
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.number_types import type_of

SMALL = 1_000_000  # weights; the products of fewer are so small that threads wait longer than they share them
CACHES = 4  # second-level caches that the widest activations of a slice may fill; fewer or more were slower
STRIDE = 64  # recordings are of a power of two of puzzles up to this, and of its multiples beyond
WARM_UP = 3  # times that so many puzzles are computed before they are recorded; the first may compile
Outputs = tuple[Tensor, Tensor, Tensor, Tensor]  # y, z, logits [R, L, V] and halt logits [R]


class SlicedNetwork:
    """A network without gradients that computes a batch in parts, where that is faster.

    On a CPU, as many puzzles are computed together as leave their activations in the cache: more of
    them are slower each. Slices are shared out among threads, which compute alone. Where puzzles
    are too many for the memory, fewer are computed together from then on.

    whole  never split a batch, nor record it: who watches sees each call of the net once.
    """

    def __init__(self, network: TinyRecursiveModel, *, whole: bool = False) -> None:
        self.network = network if whole else lean(network)
        self.step: Callable[..., Outputs] = self.network
        if network.y_init.device.type == "cuda" and not whole:
            self.step = RecordedNetwork(network)
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
        return self.step(x, y, z)


class RecordedNetwork:
    """A network on a GPU, which is told once what a supervision step is and repeats it at a word.

    The many kernels of a small batch take longer to be launched one by one than to run. A recording
    (a CUDA graph) has fixed shapes and places, so R puzzles are computed among the first rows of
    buffers: as many rows as the next of a few sizes, whatever those after R hold.
    """

    def __init__(self, network: TinyRecursiveModel) -> None:
        self.network = network
        self.buffers: tuple[Tensor, ...] = ()  # x, y, z, logits and halt logits
        self.times: Counter[int] = Counter()  # that so many rows were computed
        self.recordings: dict[int, torch.cuda.CUDAGraph] = {}  # by rows

    def __call__(self, x: Tensor, y: Tensor, z: Tensor) -> Outputs:
        """What the network makes of R puzzles; to be read before the next call."""
        count, rows = len(x), recorded_rows(len(x))
        if not self.buffers or rows > len(self.buffers[0]):
            self._make_room(rows)
        for buffer, given in zip(self.buffers, (x, y, z), strict=False):
            buffer[:count].copy_(given)
        self.times[rows] += 1
        if self.times[rows] == WARM_UP:
            self._record(rows)
        if rows in self.recordings:
            self.recordings[rows].replay()
        else:
            self._compute(rows)
        _, y_next, z_next, logits, halt = (buffer[:count] for buffer in self.buffers)
        return y_next, z_next, logits, halt

    def _record(self, rows: int) -> None:
        beside = next(iter(self.recordings.values()), None)
        try:
            self.recordings[rows] = record(partial(self._compute, rows), beside)
        except RuntimeError as error:  # a device that is lost says so again in the next line that is computed
            if is_out_of_memory(error):
                raise
            logger.warning("a step cannot be recorded here (%s); goes on without", first_line(error))

    def _compute(self, rows: int) -> None:
        x, y, z, *heads = (buffer[:rows] for buffer in self.buffers)
        for buffer, made in zip((y, z, *heads), self.network(x, y, z), strict=True):
            buffer.copy_(made)

    def _make_room(self, rows: int) -> None:
        network, config = self.network, self.network.config
        self.recordings.clear()
        self.times.clear()
        new = network.y_init.new_zeros
        self.buffers = (
            *(new(rows, *shape) for shape in (network.state_shape, network.state_shape, network.z_shape)),
            new(rows, config.num_cells, config.vocab_size, dtype=torch.float32),
            new(rows, dtype=torch.float32),
        )


def recorded_rows(count: int) -> int:
    """Rows of the recording that so many puzzles are computed by."""
    return math.ceil(count / STRIDE) * STRIDE if count > STRIDE else 1 << (count - 1).bit_length()


def record(compute: Callable[[], None], beside: torch.cuda.CUDAGraph | None) -> torch.cuda.CUDAGraph:
    """What launches the same kernels again; they may use the memory of those of another recording."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    pool = None if beside is None else beside.pool()
    try:
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            compute()
    finally:
        torch.cuda.set_stream(stream)  # which torch does not where a recording fails
    return graph


def rows_in_cache(network: TinyRecursiveModel) -> int:
    """Puzzles that a network is to compute together: all of them where there is no such cache."""
    if network.y_init.device.type != "cpu":
        return sys.maxsize
    if type_of(network) == torch.int8:  # sums of its products take four times the room of what is multiplied
        return 1
    return max(1, CACHES * second_level_cache() // widest_activations(network))


def widest_activations(network: TinyRecursiveModel) -> int:
    """Bytes of one puzzle's: gate and up of the SwiGLU across channels."""
    return math.prod(network.state_shape[:-1]) * 2 * network.config.channel_width * network.y_init.itemsize
