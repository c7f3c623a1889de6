"""How far the work is, where no bar can be drawn."""

import pytest

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
