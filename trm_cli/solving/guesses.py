"""Guesses: the network fills a blank with what it believes, and thinks again.

After an attempt that failed, the network still holds beliefs: for every cell, a share for every
symbol. A further attempt shows it the same puzzle with a blank filled by one of these beliefs. Its
answer is checked against the puzzle as it was given: a guess is never part of the question.
Shapes: L cells, V tokens.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_cli.tasks.base import BLANK, FIRST_SYMBOL, Tokens

Beliefs = NDArray[np.float32]  # [L, V] shares that add up to 1 for every cell
NEGLIGIBLE = 0.05  # share of a cell that is not worth another guess
TINY = 1e-9  # keeps the logarithm of a share finite


@dataclass(frozen=True)
class Guess:
    """A symbol for a blank."""

    cell: int
    token: int


def rank_guesses(puzzle: Tokens, beliefs: Beliefs, count: int) -> list[Guess]:
    """Up to `count` guesses for the blanks of a puzzle [L], all different, best first.

    The cell that the beliefs are most divided on comes first, with its symbols from the likeliest
    down, until what is left of its shares is negligible; then the next cell.
    """
    blanks = np.flatnonzero(puzzle == BLANK)
    shares = beliefs[blanks, FIRST_SYMBOL:].astype(np.float64)
    entropy = -(shares * np.log(shares + TINY)).sum(1)
    guesses: list[Guess] = []
    for index in np.argsort(-entropy, kind="stable"):
        left = 1.0
        for symbol in np.argsort(-shares[index], kind="stable"):
            if left < NEGLIGIBLE or len(guesses) == count:
                break
            guesses.append(Guess(int(blanks[index]), int(symbol) + FIRST_SYMBOL))
            left -= shares[index, symbol]
    return guesses


def filled(puzzle: Tokens, guess: Guess | None) -> Tokens:
    """The puzzle [L] with a guess in its place."""
    if guess is None:
        return puzzle
    shown: Tokens = puzzle.copy()
    shown[guess.cell] = guess.token
    return shown
