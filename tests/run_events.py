"""The events of a made-up training run, and a clock that is moved by hand."""

from collections.abc import Iterator
from dataclasses import replace

from trm_cli.solving.evaluate import Scores
from trm_cli.training.loop import Evaluation, Report
from trm_cli.training.recipes import get_recipe

TINY = get_recipe("sudoku", "tiny")
RECIPE = replace(TINY, train=replace(TINY.train, steps=2000, evaluate_every=500))


def report(step: int, **changed: object) -> Report:
    share = step / RECIPE.train.steps
    usual = Report(
        step=step,
        seconds=step / 2,
        loss=2 - share,
        answer_loss=1.9 - share,
        halting_loss=0.1,
        cell_accuracy=0.5 + share / 4,
        solved=share / 2,
        halting_step=16 - 8 * share,
        halting_histogram=[0, 40, 20, 10, *[0] * 11, 80],
        gradient_norm=0.25,
        puzzles_per_second=12.5,
        pairs_per_second=1234.5,
        rate=1 - share,
        progress=share,
        memory=812_000_000,
    )
    return replace(usual, **changed)  # type: ignore[arg-type] # values of mixed types


def evaluation(step: int, precision: float | None = 0.9) -> Evaluation:
    share = step / RECIPE.train.steps
    return Evaluation(step, step / 2, Scores("all", "all", 200, 0.85, share / 2, share / 2, 9.75, 0.6, precision))


def events(last_step: int = 1000) -> Iterator[Report | Evaluation]:
    for step in range(25, last_step + 1, 25):
        yield report(step)
        if step % 500 == 0:
            yield evaluation(step)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
