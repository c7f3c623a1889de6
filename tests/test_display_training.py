"""What a training run says on a terminal, on a pipe, and when it is quiet."""

import io
import re
import sys
from pathlib import Path

import pytest

from tests.run_events import RECIPE, Clock, evaluation, events, report
from trm_cli.display import console, training
from trm_cli.display.training import TrainingDisplay
from trm_cli.training.loop import SavePoint
from trm_cli.training.run import Limits

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # what is sent to a terminal for its cursor
ERASE_LINE = "\x1b[2K"
CYAN = "\x1b[36m"


class Stream(io.StringIO):
    """Stands for stderr: a terminal, or a pipe."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override] # a text stream has a settable one
        return "utf-8"

    def isatty(self) -> bool:
        return self.is_terminal


def display_on(monkeypatch: pytest.MonkeyPatch, stream: Stream, *, quiet: bool = False) -> TrainingDisplay:
    monkeypatch.setattr(training, "remarks_console", lambda q: console._console(stream, q))
    return TrainingDisplay(RECIPE, Limits(), quiet=quiet)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A terminal of 80 by 24."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Stream(is_terminal=True)


@pytest.fixture
def pipe() -> Stream:
    return Stream(is_terminal=False)


def test_a_pipe_gets_plain_lines_now_and_then_and_every_evaluation(
    pipe: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    with display_on(monkeypatch, pipe) as display:
        display.generating(1, 3000)
        display.generating(2, 3000)
        for event in events(1000):
            display.show(event)
            clock.now += 0.5
        display.show(report(1025, solved=None, halting_step=None))
        display.show(evaluation(1025, precision=None))
    display.finished(Path("runs/sudoku/tiny-1"), SavePoint(1025, 512.0, False, True), "trm watch sudoku", None)
    assert pipe.getvalue() == (
        "generating puzzles 1 of 3,000\n"
        "step 500  250 s  validation set: solved 12.50%  exact 12.50%  cells 85.00%  steps 9.8  "
        "right when halting 90.00%\n"
        "step 525  262 s  loss 1.738  cells 56.6%  halts at 13.9, 13.1% of them right  "
        "1234 pairs/s\n"
        "step 1000  500 s  validation set: solved 25.00%  exact 25.00%  cells 85.00%  steps 9.8  "
        "right when halting 90.00%\n"
        "step 1025  512 s  loss 1.488  cells 62.8%  none halts yet  1234 pairs/s\n"
        "step 1025  512 s  validation set: solved 25.62%  exact 25.62%  cells 85.00%  steps 9.8  "
        "never halted\n"
        "run folder   runs/sudoku/tiny-1\n"
        "try it       trm watch sudoku\n"
    )


def test_an_interrupted_run_says_how_to_go_on_and_a_resumed_one_where(
    pipe: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("runs/sudoku/tiny-1")
    with display_on(monkeypatch, pipe) as display:
        display.resumed(folder, 1000)
        display.show(report(1200))
    display.finished(folder, SavePoint(1200, 600.0, True, False), "trm watch sudoku", "trm train sudoku --resume")
    display.finished(folder, SavePoint(1201, 601.0, False, False), "trm watch sudoku", "trm train sudoku --resume")
    assert pipe.getvalue() == (
        "resuming     runs/sudoku/tiny-1 at step 1,000\n"
        "step 1200  600 s  loss 1.400  cells 65.0%  halts at 11.2, 30.0% of them right  "
        "1234 pairs/s\n"
        "stopped at step 1,200; the run is saved\n"
        "run folder   runs/sudoku/tiny-1\n"
        "try it       trm watch sudoku\n"
        "go on with   trm train sudoku --resume\n"
        "--max-time left none to evaluate step 1,201; the run is saved\n"
        "run folder   runs/sudoku/tiny-1\n"
        "try it       trm watch sudoku\n"
        "go on with   trm train sudoku --resume\n"
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_quiet_shows_nothing(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(is_terminal)
    with display_on(monkeypatch, stream, quiet=True) as display:
        display.generating(1, 2)
        for event in events(500):
            display.show(event)
    display.finished(Path("run"), SavePoint(500, 1.0, False, True), "trm", "trm")
    assert stream.getvalue() == ""


def test_evaluations_stay_above_the_dashboard_on_a_line_that_fits(
    terminal: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with display_on(monkeypatch, terminal) as display:
        for event in events(1000):
            display.show(event)
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", terminal.getvalue()).splitlines()
    assert "step 500  validation set: solved 12.5%  steps 9.8  right when halting 90.0%" in lines
    assert "step 1,000  validation set: solved 25.0%  steps 9.8  right when halting 90.0%" in lines
    assert max(len(line.replace("\r", "")) for line in lines) <= 80


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_cursor_is_back_after_an_exception(
    terminal: Stream, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    before = sys.stderr
    display = display_on(monkeypatch, terminal)

    def fail() -> None:
        with display:
            display.show(report(25))
            assert terminal.getvalue().count(HIDE) == 1
            raise error

    with pytest.raises(error):
        fail()
    written = terminal.getvalue()
    assert written.count(HIDE) == written.count(SHOW) == 1
    assert written.rfind("\n") > written.rfind("first evaluated")  # the next line begins at the left
    assert display.live is not None
    assert not display.live.is_started
    assert sys.stderr is before


def test_a_run_that_never_reported_leaves_no_dashboard(terminal: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with display_on(monkeypatch, terminal) as display:
        display.generating(1, 3000)
    assert terminal.getvalue().rstrip().endswith(ERASE_LINE)


@pytest.mark.usefixtures("terminal")
def test_colours_follow_no_color_and_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, is_cyan, has_escapes in (
        ({}, True, True),
        ({"NO_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        terminal = Stream(is_terminal=True)
        with display_on(monkeypatch, terminal) as display:
            display.show(report(500))
        written = terminal.getvalue()
        assert (CYAN in written, "\x1b" in written) == (is_cyan, has_escapes)
