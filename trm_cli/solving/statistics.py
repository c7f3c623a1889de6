"""How far a share that was counted may be from the true one, and whether two networks differ."""

import math

Z_95 = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution
Interval = tuple[float, float]


def wilson(successes: int, trials: int) -> Interval:
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
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        for k in range(fewer + 1)
    ]
    return min(1.0, 2 * sum(math.exp(log - trials * math.log(2)) for log in logs))
