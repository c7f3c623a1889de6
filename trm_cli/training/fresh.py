"""Puzzles that are made while a run goes on, slice after slice, by a process of their own.

To make a Sudoku is plain Python. In a thread it would hold the lock that training needs for each of
its many calls of torch. The process needs no torch, and ends with the one that it works for.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection

import numpy as np

from trm_cli.errors import UsageError
from trm_cli.tasks.base import Dataset, Generator, Tokens, Wanted, as_rows


@dataclass(frozen=True)
class Maker:
    """Makes slices of fresh puzzles; what is in a slice follows from its number alone."""

    generator: Generator
    wanted: Wanted  # for each slice
    side: int
    validation: Tokens  # puzzles [N, L] that must not come
    seed: int

    def make_slice(self, number: int) -> Dataset:
        """The slice of that number, without the validation set's puzzles."""
        made = self.generator.generate(self.wanted, size=self.side, seed=(self.seed, number + 1))
        fresh = np.flatnonzero(~np.isin(as_rows(made.puzzles), as_rows(self.validation)))
        return made.rows(np.resize(fresh, len(made))) if len(fresh) < len(made) else made


def make_elsewhere(maker: Maker, first: int) -> Iterator[Dataset]:
    """Have another process make the slices from `first` on, of which it keeps one ready.

    The iterator raises what the generator raises. Where the process was ended, it makes them itself.
    """
    context = multiprocessing.get_context("spawn")  # a forked copy of a process that computes may hang
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_slices, args=(maker, first, sender), daemon=True)
    with _ctrl_c_held():  # the process inherits that: whoever takes its slices decides what Ctrl-C means
        process.start()
    sender.close()
    return _receive_slices(maker, first, receiver)


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Let Ctrl-C wait, on systems where a signal can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive_slices(maker: Maker, first: int, receiver: Connection) -> Iterator[Dataset]:
    for number in count(first):
        try:
            made = receiver.recv()
        except (EOFError, OSError):  # between two slices, or in the middle of one
            made = maker.make_slice(number)
        if isinstance(made, UsageError):
            raise made
        yield made


def _send_slices(maker: Maker, first: int, sender: Connection) -> None:
    """Make slices for as long as someone takes them."""
    with suppress(BrokenPipeError):
        try:
            for number in count(first):
                sender.send(maker.make_slice(number))
        except UsageError as error:
            sender.send(error)
