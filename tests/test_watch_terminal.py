"""`trm watch` on a terminal: keys, sizes, signals, and a terminal that is left as it was."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal import STYLES, Terminal
from tests.watched import HEADER, HEADER_INSIDE, run_inside, run_of_one
from trm_cli.display.screen import meanings
from trm_cli.solving.trace import trace_lines

RIGHT, LEFT, HOME, END = "\x1b[C", "\x1b[D", "\x1b[H", "\x1bOF"
Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a replay of three steps on a terminal; what is left of it is cleared away."""
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(trace_lines(HEADER, run_of_one())))
    inside = tmp_path / "inside.jsonl"
    inside.write_text("\n".join(trace_lines(HEADER_INSIDE, run_inside())))
    started: list[Terminal] = []

    def begin(*options: str, inner: bool = False, columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
        path = inside if inner else trace
        started.append(Terminal("watch", "--replay", path, *options, columns=columns, rows=rows, **environment))
        return started[-1]

    yield begin
    for terminal in started:
        terminal.close()


def test_it_plays_to_the_end_and_leaves_the_verdict_behind(start: Start) -> None:
    terminal = start("--pause", "0.1")
    assert terminal.end() == 0
    assert terminal.is_restored
    left_behind = STYLES.sub("", terminal.written.rsplit("\x1b[?1049l", 1)[1])
    assert "┃ 2 │ 1 ┃ 4 │ 3 ┃" in left_behind
    assert left_behind.rstrip().endswith("solved in 3 steps")


def test_keys_pause_step_back_and_forth_change_the_speed_and_quit(start: Start) -> None:
    terminal = start("--pause", "20")
    assert "step             0 of 4" in terminal.wait("20 s/step")
    terminal.press("+")
    terminal.wait("13 s/step")
    terminal.press("-")
    terminal.wait("20 s/step")
    terminal.press(" ")
    terminal.wait("paused")
    terminal.press("++++++++++++ ")  # to the shortest pause, and on
    terminal.wait("step             3 of 4")
    for key, step in ((LEFT, 2), (HOME, 0), (RIGHT, 1), (END, 3)):
        terminal.press(key)
        assert "paused" in terminal.wait(f"step             {step} of 4")
    terminal.press("\x1b")  # half of an arrow, the rest of it later
    terminal.read()
    terminal.press("[D")
    terminal.wait("step             2 of 4")
    terminal.press("xyz\x1b[5~q")  # keys without a meaning do nothing
    assert terminal.end() == 0
    assert terminal.is_restored


def test_help_explains_every_reading_and_any_key_closes_it(start: Start) -> None:
    terminal = start("--pause", "0.1", columns=50)
    terminal.wait("? help")
    terminal.press("?")
    shown = terminal.wait("any key: back")
    assert [name for name, _ in meanings(HEADER) if name not in shown] == []
    assert "cells that break a rule" in shown
    time.sleep(0.5)  # longer than the run takes
    assert "any key: back" in terminal.screen()
    terminal.press("q")  # it closes the help, and no more
    terminal.wait("q quit")
    assert terminal.end() == 0


def test_to_quit_before_the_end_is_not_to_have_solved_it(start: Start) -> None:
    terminal = start("--pause", "20")
    terminal.wait("20 s/step")
    terminal.press("q")
    assert terminal.end() == 1
    assert terminal.is_restored


def test_it_is_drawn_anew_when_the_terminal_changes_its_size(start: Start) -> None:
    terminal = start("--pause", "20")
    assert "┏━━━┯" in terminal.wait("20 s/step")
    terminal.resize(40, 10)
    assert "┌─────┬" in terminal.wait("┌─────┬─────┐")
    terminal.resize(120, 40)
    terminal.wait("┏━━━┯")
    terminal.press("q")
    terminal.end()
    assert terminal.is_restored


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_signals_leave_the_terminal_as_it_was(start: Start, number: int, code: int) -> None:
    terminal = start("--pause", "20")
    terminal.wait("20 s/step")
    if number == signal.SIGINT:
        terminal.press("\x03")
    else:
        os.kill(terminal.pid, number)
    assert terminal.end() == code
    assert terminal.is_restored
    assert "Traceback" not in terminal.written


def test_in_the_background_the_terminal_is_the_shell_s_again(start: Start) -> None:
    terminal = start("--pause", "20")
    terminal.wait("20 s/step")
    os.kill(terminal.pid, signal.SIGTSTP)  # with no shell above it, it goes on at once
    limit = time.monotonic() + 30
    while terminal.read().count("\x1b[?1049h") < 2:
        assert time.monotonic() < limit
    assert "\x1b[?1049l" in terminal.written
    terminal.wait("20 s/step")
    terminal.press("q")
    terminal.end()
    assert terminal.is_restored


def test_an_error_in_the_middle_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl"
    lines = list(trace_lines(HEADER, run_of_one()))
    damaged.write_text("\n".join([*lines[:3], "{}"]))
    terminal = Terminal("watch", "--replay", damaged, "--pause", "0.1")
    assert terminal.end() == 2
    assert terminal.is_restored
    assert f"trm: {damaged}:4: page: missing; record the run again" in terminal.written
    assert "Traceback" not in terminal.written
    terminal.close()


def test_no_color_has_marks_in_place_of_colours(start: Start) -> None:
    coloured = start("--pause", "0.1")
    coloured.end()
    assert "\x1b[38;2;" in coloured.written
    plain = start("--pause", "0.1", NO_COLOR="1")
    plain.end()
    assert "38;2;" not in plain.written
    assert "48;2;" not in plain.written
    assert "│ 3!┃" in STYLES.sub("", plain.written)


def test_a_dumb_terminal_gets_plain_frames(start: Start) -> None:
    terminal = start(TERM="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.written
    assert terminal.written.count("\nstep ") == 3


def test_an_ascii_terminal_gets_ascii(start: Start) -> None:
    terminal = start("--pause", "0.1", inner=True, PYTHONIOENCODING="ascii")
    assert terminal.end() == 0
    assert STYLES.sub("", terminal.written).isascii()
    assert "| 2 1 | 4 3 |" in terminal.written or "arrows step" in terminal.written
