"""Intervals and tests: of shares of puzzles, and of means over several runs."""

import math
from statistics import fmean, variance

import numpy as np

Z_95 = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution
P_95 = 0.05  # what lies beyond a 95 % interval


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson 1927, the score interval."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = Z_95 * math.sqrt(spread) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(first_only: int, second_only: int) -> float:
    """How likely so unequal counts, or worse, are by chance: exact and two-sided.

    first_only, second_only  puzzles that only one of two networks solved.
    Source: McNemar 1947; under no difference each such puzzle is a fair coin's throw.
    """
    trials, fewer = first_only + second_only, min(first_only, second_only)
    if first_only == second_only:
        return 1.0
    logs = [math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) for k in range(fewer + 1)]
    return min(1.0, 2 * sum(math.exp(log - trials * math.log(2)) for log in logs))


def student_p(t: float, freedom: float) -> float:
    """How likely a |t| so large or larger is under Student's distribution with so many degrees of freedom.

    With x = sqrt(freedom) tan(angle) its density is a power of the cosine, which is summed up.
    """
    angles = (np.arange(20_000) + 0.5) / 20_000
    below = math.atan(abs(t) / math.sqrt(freedom))
    part = below * np.mean(np.cos(below * angles) ** (freedom - 1))
    whole = math.pi / 2 * np.mean(np.cos(math.pi / 2 * angles) ** (freedom - 1))
    return float(min(1.0, max(0.0, 1 - part / whole)))


def t_interval(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of shares, by Student's t; two values or more."""
    low, high = 0.0, 1e3
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, len(values) - 1) > P_95 else (low, middle)
    half = high * math.sqrt(variance(values) / len(values))
    return max(0.0, fmean(values) - half), min(1.0, fmean(values) + half)


def welch(first: list[float], second: list[float]) -> float:
    """P of Welch's t-test: equal means, whatever the variances; two values or more on each side."""
    squares = [variance(values) / len(values) for values in (first, second)]
    difference = fmean(first) - fmean(second)
    if not sum(squares):
        return 1.0 if difference == 0 else 0.0
    shares = [square**2 / (len(values) - 1) for square, values in zip(squares, (first, second), strict=True)]
    return student_p(difference / math.sqrt(sum(squares)), sum(squares) ** 2 / sum(shares))


def two_shares(successes: int, trials: int, others: int, other_trials: int) -> float:
    """P of the z-test: two samples of puzzles have the same share of successes."""
    pooled = (successes + others) / (trials + other_trials)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / trials + 1 / other_trials))
    difference = successes / trials - others / other_trials
    return math.erfc(abs(difference) / spread / math.sqrt(2)) if spread else 1.0
