"""How puzzles are solved: when an attempt stops, what the next varies, which answer is taken."""

import math
from dataclasses import dataclass

from trm_cli.errors import UsageError

HALTS = ("verified", "q", "never")
STARTS = ("fixed", "random")
SELECTS = ("verified", "q", "mode", "margin", "residual")
MOST = 1_000_000  # of steps, attempts and views


@dataclass(frozen=True)
class SolveSettings:
    """When an attempt stops, how many there are, and in what they differ from the first.

    Attempt 0 is plain: the puzzle as it is, the network's own start, no noise.
    """

    halt: str = "verified"  # verified: head fires and rules hold; q: head fires; never
    max_steps: int = 16  # supervision steps of attempt 0 at most; may exceed N_sup
    seed: int = 0  # of every draw
    attempts: int = 1  # K, how often a puzzle is tried at most
    retry_steps: int = 0  # supervision steps of every further attempt at most; 0 for max_steps
    step_limit: int = 0  # supervision steps of all attempts at a puzzle at most; 0 for no limit
    starts: str = "random"  # z of further attempts: as attempt 0's, or drawn for each
    noise: float = 0.0  # deviation of what is added to z before each of their steps; z is near 1
    views: int = 1  # symmetric views that they go through, the puzzle as it is among them
    guess: bool = False  # each of them fills a blank with what the network believed
    select: str = "verified"  # whose answer is taken: see solving/outcomes.py
    breadth_first: bool = False  # every puzzle's attempt 0 comes before any further attempt

    def __post_init__(self) -> None:
        for name, choices in (("halt", HALTS), ("starts", STARTS), ("select", SELECTS)):
            if (value := getattr(self, name)) not in choices:
                raise UsageError(f"--{name} {value}: choose {', '.join(choices)}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MOST:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} {value}: choose a whole number, {least} to {MOST:,}")
        if type(self.noise) not in (int, float) or not 0 <= self.noise < math.inf:
            raise UsageError(f"--noise {self.noise}: choose a number from 0 up")
        for name in ("guess", "breadth_first"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"--{name.replace('_', '-')}: choose true or false")

    def steps_of(self, attempt: int) -> int:
        """Supervision steps that an attempt may take; 0 where the limit leaves it none."""
        steps = self.max_steps if attempt == 0 else self._further_steps
        if self.step_limit == 0:
            return steps
        before = 0 if attempt == 0 else self.max_steps + (attempt - 1) * self._further_steps
        return max(0, min(steps, self.step_limit - before))

    @property
    def num_attempts(self) -> int:
        """How often a puzzle is tried at most, within the limit of steps."""
        if self.step_limit == 0:
            return self.attempts
        left = max(0, self.step_limit - self.max_steps)
        return min(self.attempts, 1 + math.ceil(left / self._further_steps))

    @property
    def _further_steps(self) -> int:
        return self.retry_steps or self.max_steps

    @property
    def varies(self) -> bool:
        """Whether a further attempt can end otherwise than the first."""
        return self.guess or not self.varies_guess_alone

    @property
    def varies_guess_alone(self) -> bool:
        """Whether further attempts with the same guess, or with none, would be the same."""
        return self.starts == "fixed" and self.noise == 0 and self.views == 1


LEAST = {"max_steps": 1, "attempts": 1, "retry_steps": 0, "step_limit": 0, "views": 1}
