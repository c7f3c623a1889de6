"""A trace holds a run exactly, says where it is damaged, and is read without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.watched import HEADER, HEADER_INSIDE, HEADER_OF_TWO, run_inside, run_of_one, run_of_two
from trm_cli.errors import UsageError
from trm_cli.solving.trace import Frame, Header, Moment, read_trace, trace_lines

RUNS = {"one": (HEADER, run_of_one()), "inside": (HEADER_INSIDE, run_inside()), "two": (HEADER_OF_TWO, run_of_two())}


def told(frame: Frame) -> list[object]:
    """Everything in a frame, to be compared."""
    update = frame.update and [*vars(frame.update).values()]
    values = [
        frame.step,
        frame.answer,
        frame.confidence,
        frame.halt_probability,
        frame.change_y,
        frame.change_z,
        frame.seconds,
        frame.attempt,
        frame.max_steps,
        frame.halted,
        frame.is_last,
        sorted(frame.changed),
        sorted(frame.violated),
        len(frame.history),
        *(update or []),
    ]
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


@pytest.mark.parametrize(("header", "moments"), RUNS.values(), ids=RUNS.keys())
def test_a_trace_gives_back_the_run(tmp_path: Path, header: Header, moments: list[Moment]) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(trace_lines(header, moments)))
    trace = read_trace(path)
    assert {**vars(trace.header), "task": ""} == {**vars(header), "task": ""}
    assert trace.header.task.name == "sudoku"
    again = list(trace.moments)
    assert [(m.page, m.moved) for m in again] == [(m.page, m.moved) for m in moments]
    for one, other in zip(again, moments, strict=True):
        assert list(map(told, one.frames)) == list(map(told, other.frames))


def test_the_lines_have_the_documented_fields() -> None:
    header, question, first, *_ = map(json.loads, trace_lines(HEADER_INSIDE, run_inside()))
    documented = (Path(__file__).parents[1] / "docs/watch.md").read_text(encoding="utf-8")
    update = first["frames"][0].pop("update")
    for names in (header, question, question["frames"][0], first["frames"][0], update):
        assert [name for name in names if f"`{name}`" not in documented] == []


LINES = list(trace_lines(HEADER, run_of_one()))
DAMAGED = {
    "empty": ("", "1: not a trace of trm watch (Expecting value"),
    "another file": ("53..7....6", "1: not a trace of trm watch (Extra data"),
    "another object": ("[]", "1: not a trace of trm watch (expected an object)"),
    "no trace": ("{}", "1: not a trace of trm watch; make one with --save trace.jsonl"),
    "another version": (LINES[0].replace('"n"', '"m"'), "1: the header does not fit this trm ("),
    "half a line": ("\n".join(LINES)[:-300], "5: not a trace of trm watch ("),
    "a field less": ("\n".join(LINES).replace('"halted": false, ', "", 1), "3: this moment is damaged ("),
    "cells less": (
        "\n".join([*LINES[:2], LINES[2].replace('"answer": [', '"answer": [2, ')]),
        "3: this moment is damaged (",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_one_line_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        list(read_trace(path).moments)
    assert str(caught.value).startswith(f"{path}:{message}")
    assert "\n" not in str(caught.value)


def test_a_replay_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(trace_lines(HEADER_INSIDE, run_inside())))
    saves = [f"--save={tmp_path}/run{suffix}" for suffix in (".svg", ".gif", ".html", ".jsonl")]
    code = (
        "import sys; sys.modules['torch'] = None\n"  # importing it is an error from here on
        "from trm_cli.cli.app import app\n"
        f"app({['watch', '--replay', str(path), *saves]!r}, standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("solved in 3 steps\n\n")
    assert (tmp_path / "run.jsonl").read_text().splitlines() == path.read_text().splitlines()
