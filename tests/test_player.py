"""The player on a console in memory, with a clock that the network moves."""

import io
from collections.abc import Iterator

from rich.console import Console

from tests.watched import HEADER, run_of_one
from trm_cli.display.boards import Look
from trm_cli.display.watch import Keys, Player
from trm_cli.solving.trace import Moment


def player(source: Iterator[Moment], pause: float) -> Player:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    return Player(source, HEADER, Look(), console, pause, keys=Keys(are_read=False))


def draws_when_computing(pause: float) -> list[int]:
    """How often the screen had been drawn when each step was begun, and in the end."""
    draws: list[int] = []

    def source() -> Iterator[Moment]:
        for moment in run_of_one():
            yield moment
            draws.append(shown.num_draws)

    shown = player(source(), pause)
    assert len(shown.play()) == 4
    return [*draws, shown.num_draws]


def test_without_a_pause_the_network_waits_for_no_drawing() -> None:
    assert draws_when_computing(0.0) == [0, 0, 0, 0, 1]


def test_with_a_pause_the_question_is_drawn_before_anything_is_computed() -> None:
    before, *_, end = draws_when_computing(0.05)
    assert before == 1
    assert end >= 4
