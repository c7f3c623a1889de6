"""How attempts ended, and which of them gives a puzzle's answer.

verified  the first attempt whose answer keeps the givens and every rule; if there is none, as q
q         the largest halt logit at the last step
margin    the largest mean, over cells, of the best logit less the second best, at the last step
residual  the smallest change that the last step made to y: the root of its mean square
mode      the answer that most attempts gave, cell for cell
Ties go to the earlier attempt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trm_cli.solving.guesses import Guess
from trm_cli.tasks.base import Tokens


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    attempt: int
    view: int
    guess: Guess | None  # what was filled in beforehand
    answer: Tokens  # [L] tokens, whatever the view
    holds: tuple[bool, ...]  # after each step: the givens are kept and the rules hold
    halt_probabilities: tuple[float, ...]  # after each step
    score: float  # what `select` compares; the largest is best

    @property
    def solved(self) -> bool:
        """Whether the answer keeps the givens and every rule."""
        return bool(self.holds) and self.holds[-1]

    @property
    def steps(self) -> int:
        """Supervision steps taken."""
        return len(self.holds)

    @property
    def first_fired(self) -> int:
        """The step at which the halt head first fired; 0 never."""
        fired = (step for step, p in enumerate(self.halt_probabilities, 1) if p > 0.5)
        return next(fired, 0)


@dataclass(frozen=True)
class Solution:
    """How one puzzle ended: with the answer of one of its attempts."""

    answer: Tokens  # [L] tokens
    solved: bool  # the givens are kept and the rules hold
    attempt: int  # whose answer it is
    steps: int  # supervision steps that this attempt took
    total_steps: int  # of all attempts that were needed
    view: int  # that this attempt saw the puzzle in; 0 as it is
    guess: Guess | None  # blank that was filled for it, with a belief of the network
    halted: bool  # the halt head fired at the attempt's last step
    halt_probability: float  # at that step
    first_fired: int  # step of attempt 0 at which the head first fired; 0 never
    right_when_fired: bool  # the rules held at that step
    seconds: float  # from its entry into the batch to the end of its last attempt
    outcomes: tuple[Outcome, ...]  # of its attempts, in order


def choose(outcomes: Sequence[Outcome], select: str) -> Outcome:
    """The outcome that a way to select takes, of one or more."""
    if select == "verified":
        solved = next((outcome for outcome in outcomes if outcome.solved), None)
        if solved:
            return solved
    if select == "mode":
        counts = Counter(outcome.answer.tobytes() for outcome in outcomes)
        return max(outcomes, key=lambda outcome: counts[outcome.answer.tobytes()])
    return max(outcomes, key=lambda outcome: outcome.score)


def conclude(outcomes: Sequence[Outcome], select: str, seconds: float) -> Solution:
    """The solution of a puzzle whose attempts, in order, ended like this."""
    chosen, first = choose(outcomes, select), outcomes[0]
    probability = chosen.halt_probabilities[-1] if chosen.steps else 0.0
    fired = first.first_fired
    return Solution(
        answer=chosen.answer,
        solved=chosen.solved,
        attempt=chosen.attempt,
        steps=chosen.steps,
        total_steps=sum(outcome.steps for outcome in outcomes),
        view=chosen.view,
        guess=chosen.guess,
        halted=probability > 0.5,
        halt_probability=probability,
        first_fired=fired,
        right_when_fired=fired > 0 and first.holds[fired - 1],
        seconds=seconds,
        outcomes=tuple(outcomes),
    )
