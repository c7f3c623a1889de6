"""How fast a network solves on this machine: supervision steps, arithmetic, and beside it the official code.

A step is one supervision step of one puzzle, with all that the engine does in it: the network, the
halt head, the rules. Arithmetic is counted from the shapes of the plain network's matrix products.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trm_cli.config import ModelConfig, SolveConfig
from trm_cli.errors import ModelError, UsageError
from trm_cli.model.machine import choose_machine, memory_in_use, peak_flops, synchronise
from trm_cli.model.network import TinyRecursiveModel, compile_network
from trm_cli.model.number_types import compute_in, fastest_type, name_of_type, type_of
from trm_cli.solving.engine import run
from trm_cli.tasks.base import Task, Tokens, generator_of
from trm_cli.weights.convert import Given, recognise

OFFICIAL = "models.recursive_reasoning.trm"  # in a checkout of github.com/SamsungSAILMontreal/TinyRecursiveModels
OFFICIAL_EXPANSION = 4  # of every published network
OFFICIAL_KIND = {"recursion": "y_and_z", "num_nets": 1, "glu": "plain", "damping": 0.0}  # in the names of ModelConfig
SETTINGS = SolveConfig(halt="never")
LEAST_TIMES = 3  # that a step is timed
PUZZLES = 8  # that are solved again and again; which ones does not matter to the speed
Pair = tuple[TinyRecursiveModel, nn.Module | None]  # ours, and the official code's with the same weights


@dataclass(frozen=True)
class Speed:
    """What was measured at one batch size."""

    batch_size: int
    threads: int
    dtype: str
    steps_per_second: float  # supervision steps, of one puzzle each
    flops_per_second: float
    peak_share: float  # of the peak that a large matrix product reaches on as many threads
    memory: int | None  # bytes at most: of the GPU, or of the process up to here
    first_step_seconds: float  # compilation included
    official_ratio: float | None  # the official code's time over this, medians of steps in turn


def measure_all(
    build: Callable[[torch.device, torch.dtype | None], Pair],
    task: Task,
    *,
    device: str,
    dtypes: list[str],
    threads: list[int],
    batch_sizes: list[int],
    seconds: float,
) -> Iterator[Speed]:
    """Yield what is measured for every number type, number of threads and batch size."""
    for dtype in dtypes:
        where, number_type = choose_machine(device, threads[0], dtype)
        network, official = build(where, number_type)
        side = network.config.height
        made = generator_of(task).generate(replace(generator_of(task).usual(side), puzzles=PUZZLES), size=side, seed=0)
        puzzles = list(made.puzzles)
        for count in threads:
            torch.set_num_threads(count)
            peak = peak_flops(type_of(network), where)
            for size in batch_sizes:
                yield measure(network, task, puzzles, batch_size=size, seconds=seconds, peak=peak, official=official)


def measure(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: list[Tokens],
    *,
    batch_size: int,
    seconds: float,
    peak: float,
    official: nn.Module | None = None,
) -> Speed:
    """Take steps for so many seconds, in turn with the official network if there is one.

    puzzles  [L] each, solved again and again.
    peak     operations a second.
    """
    device = network.y_init.device
    steps = run(network, task, cycle(puzzles), batch_size=batch_size, settings=SETTINGS)

    def step_all() -> None:
        stepped = 0
        while stepped < batch_size:  # where batches take turns, one of them at a time
            stepped += len(next(steps).attempts)

    contenders: list[Callable[[], object]] = [step_all]
    if official is not None:
        theirs = official_steps(official, torch.from_numpy(puzzles[0]).long().expand(batch_size, -1))
        contenders.append(lambda: next(theirs))
    first, *_ = [_time(contend, device) for contend in contenders]
    times: list[list[float]] = []
    while sum(map(sum, times)) < seconds or len(times) < LEAST_TIMES:
        times.append([_time(contend, device) for contend in contenders])
    typical, *others = [median(column) for column in zip(*times, strict=True)]
    rate = batch_size / typical
    work = step_flops(network.config) * rate
    return Speed(
        batch_size,
        torch.get_num_threads(),
        name_of_type(network),
        rate,
        work,
        work / peak,
        memory_in_use(device),
        first,
        others[0] / typical if others else None,
    )


def _time(contend: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    contend()
    synchronise(device)
    return time.perf_counter() - began


def step_flops(config: ModelConfig) -> int:
    """Operations of one supervision step of one puzzle."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = TinyRecursiveModel(config).to("meta")  # tables of constants, too
        tokens = torch.ones(1, config.num_cells, dtype=torch.long)
        network(network.embed(tokens), *(state.contiguous() for state in network.starting_state(1)))
    return int(counter.get_total_flops())


def random_network(
    config: ModelConfig, device: torch.device, dtype: torch.dtype | None, *, compiles: bool = False
) -> TinyRecursiveModel:
    """A network that was not trained."""
    torch.manual_seed(0)
    network = TinyRecursiveModel(config).eval().requires_grad_(False).to(device)
    compute_in(network, dtype)
    if compiles:
        compile_network(network)
    return network


def official_pair(
    checkout: Path,
    config: ModelConfig,
    task: str,
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    compiles: bool = False,
) -> Pair:
    """A network with random weights, and one of the official code with the same ones.

    Raises UsageError where that code is not there, or has no such networks.
    """
    module = _official_module(checkout)
    ours = random_network(config, device, torch.float32)
    dtype = dtype or fastest_type(ours)
    arguments: dict[str, Any] = {
        "batch_size": 1,
        "seq_len": config.num_cells,
        "puzzle_emb_ndim": config.hidden_size,
        "puzzle_emb_len": config.num_prefix,
        "num_puzzle_identifiers": 1,
        "vocab_size": config.vocab_size,
        "H_cycles": config.T,
        "L_cycles": config.n,
        "H_layers": 0,
        "L_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "expansion": OFFICIAL_EXPANSION,
        "num_heads": config.num_heads,
        "pos_encodings": "none" if config.mixer == "mlp" else "rope",
        "halt_max_steps": config.N_sup,
        "halt_exploration_prob": 0.0,
        "forward_dtype": "float32" if dtype == torch.int8 else str(dtype).removeprefix("torch."),
        "mlp_t": config.mixer == "mlp",
    }
    theirs: nn.Module = module.TinyRecursiveReasoningModel_ACTV1(arguments).eval().requires_grad_(False)
    try:
        found = recognise(theirs.state_dict(), Given(task, n=config.n, T=config.T, num_heads=config.num_heads))
        ours.load_state_dict(found.tensors)
        is_theirs = config.rotary != "2d" and all(getattr(config, name) == kind for name, kind in OFFICIAL_KIND.items())
    except (ModelError, RuntimeError):  # of other tensors, or of tensors of other shapes
        is_theirs = False
    if not is_theirs:
        raise UsageError("--against: the official code has no networks of this kind; choose --recipe paper")
    compute_in(ours, dtype)
    if compiles:
        compile_network(ours)
    return ours, theirs.to(device)


def _official_module(checkout: Path) -> Any:
    sys.path.insert(0, str(checkout))
    try:
        return import_module(OFFICIAL)
    except ImportError as error:
        missing = f"{checkout} is no checkout of it" if (error.name or "") in OFFICIAL else f"it needs {error.name}"
        raise UsageError(f"--against: the official code cannot be loaded: {missing}") from error
    finally:
        sys.path.remove(str(checkout))


@torch.inference_mode()
def official_steps(official: nn.Module, tokens: Tensor) -> Iterator[Any]:
    """Yield the official code's outputs, step by step, of puzzles [B, L] that begin again when they end."""
    device = next(official.parameters()).device
    batch = {
        "inputs": tokens.to(device),
        "puzzle_identifiers": torch.zeros(len(tokens), dtype=torch.int32, device=device),
    }
    with torch.device(device):
        carry: Any = official.initial_carry(batch)  # type: ignore[operator]
    while True:
        carry, outputs = official(carry, batch)
        yield outputs
