"""What watching costs: the same puzzles solved unseen, then watched as fast as they go."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from rich.console import Console

from trm_cli.config import SolveSettings
from trm_cli.display.boards import Look
from trm_cli.display.watch import Keys, Pace, Player
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import run
from trm_cli.solving.trace import Header, Moment
from trm_cli.solving.watching import moments
from trm_cli.tasks.base import Puzzle

WIDTH, HEIGHT = 80, 24  # of the terminal that is drawn to, in memory


@dataclass(frozen=True)
class Overhead:
    """What several rounds say: the median of each."""

    steps: int  # supervision steps of a round
    draws: float  # screens drawn in a round
    unseen: float  # seconds of a round, unseen
    slower: float  # how much longer it took watched, by the clock: 0.05 is 5 %
    slower_cpu: float  # how much more the processor had to do, all threads


class NoKeys(Keys):
    """A keyboard that nobody touches."""

    def __enter__(self) -> Keys:
        return self


def measure_overhead(network: TinyRecursiveModel, header: Header, puzzles: list[Puzzle], *, rounds: int) -> Overhead:
    """Solve the puzzles one by one, unseen and watched in turn."""
    _round(network, header, puzzles)  # to warm up
    done = [_round(network, header, puzzles) for _ in range(rounds)]
    return Overhead(
        steps=done[0].steps,
        draws=median(each.draws for each in done),
        unseen=median(each.unseen for each in done),
        slower=median(each.slower for each in done),
        slower_cpu=median(each.slower_cpu for each in done),
    )


def overhead_line(measured: Overhead) -> str:
    """The same on one line."""
    return (
        f"{measured.steps} steps take {measured.unseen:.2f} s unseen; watched, with "
        f"{measured.draws:.0f} screens drawn, {measured.slower:+.1%} by the clock and "
        f"{measured.slower_cpu:+.1%} of processor time"
    )


def _round(network: TinyRecursiveModel, header: Header, puzzles: list[Puzzle]) -> Overhead:
    """The same puzzles solved once unseen and once watched."""
    settings = SolveSettings()
    began, began_cpu = time.perf_counter(), time.process_time()
    steps = 0
    for puzzle in puzzles:
        steps += sum(1 for _ in run(network, header.task, [puzzle.tokens], batch_size=1, settings=settings))
    unseen, unseen_cpu = time.perf_counter() - began, time.process_time() - began_cpu

    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=WIDTH,
        height=HEIGHT,
        legacy_windows=False,
    )
    watched: list[float] = []  # seconds from when the first moment was asked for to the end of the last

    def timed() -> Iterator[Moment]:
        began = time.perf_counter()
        yield from moments(network, header.task, puzzles, settings=settings)
        watched.append(time.perf_counter() - began)

    player = Player(timed(), header, pace=Pace(0.0), look=Look(), console=console, keys=NoKeys())
    began_cpu = time.process_time()
    player.play()
    watched_cpu = time.process_time() - began_cpu
    return Overhead(steps, player.num_draws, unseen, watched[0] / unseen - 1, watched_cpu / unseen_cpu - 1)
