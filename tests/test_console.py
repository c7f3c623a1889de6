"""How far the work is, where no bar can be drawn."""

import io

import pytest
from rich.console import Console

from tests.test_attempts import solved_by
from tests.test_engine import ScriptedNetwork
from trm_cli.display import console
from trm_cli.display.console import SolvingDisplay
from trm_cli.tasks.base import Dataset


def test_a_log_is_told_how_far_it_is_and_how_long_it_will_take(
    small_data: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SAY_SECONDS", -1.0)
    network = ScriptedNetwork(small_data.head(2), [1, 1], [1, 9])
    with SolvingDisplay(1003, quiet=False, done=1001, solved=900) as display:
        for solution in solved_by(network, small_data.head(2), attempts=1):
            display.show(solution.solved)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first.startswith("901 of 1,002 solved, 1 to go: about 0.0 minutes")
    assert second.startswith("901 of 1,003 solved, 0 to go")
    assert last.startswith("901 of 1003 solved in ")


def test_a_log_is_told_of_searches_that_hold_results_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SAY_SECONDS", -1.0)
    with SolvingDisplay(600, quiet=False, sums_up=False, done=501, solved=412) as display:
        display.search(3)
        display.search(0)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("412 of 501 solved, 3 being searched, 99 to go: about ")
    assert second.startswith("412 of 501 solved, 99 to go: about ")


def test_a_bar_lies_below_the_answers_of_the_same_terminal() -> None:
    out = io.StringIO()
    answers = Console(file=out, force_terminal=True, width=100, color_system=None)
    with SolvingDisplay(1, quiet=False, answers=answers) as display:
        assert out.getvalue() == ""  # a single puzzle, and no search
        display.search(1)
        answers.print("an answer")
        display.show(True)
    shown = out.getvalue()
    assert shown.index("1 being searched") < shown.index("an answer") < shown.rindex("1/1")
