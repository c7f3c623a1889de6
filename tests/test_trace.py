"""A trace holds a run exactly, says where it is damaged, and is read without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.watched import (
    HEADER,
    HEADER_INSIDE,
    HEADER_OF_SEARCH,
    HEADER_OF_TWO,
    run_inside,
    run_of_one,
    run_of_search,
    run_of_two,
)
from trm_cli.display.screen import attempt_of
from trm_cli.errors import UsageError
from trm_cli.solving.replay import read_trace
from trm_cli.solving.trace import Frame, Header, Moment, trace_lines

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


def test_a_trace_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = [line.replace(', "num_attempts": 2', "") for line in trace_lines(HEADER, run_of_one())]
    path.write_text("\n".join(lines))
    trace = read_trace(path)
    assert (trace.header.num_attempts, HEADER.num_attempts) == (None, 2)
    assert attempt_of(list(trace.moments)[-1].frames[0], trace.header) == "1"


def test_the_lines_have_the_documented_fields() -> None:
    header, question, first, *_ = map(json.loads, trace_lines(HEADER_INSIDE, run_inside()))
    documented = (Path(__file__).parents[1] / "docs/watch.md").read_text(encoding="utf-8")
    update = first["frames"][0].pop("update")
    for names in (header, question, question["frames"][0], first["frames"][0], update):
        assert [name for name in names if f"`{name}`" not in documented] == []


RECORDED = {name: list(trace_lines(*run)) for name, run in RUNS.items()}
RECORDED["search"] = list(trace_lines(HEADER_OF_SEARCH, run_of_search()))
LINES = RECORDED["one"]
NO_TRACE, AGAIN = "make one with --save trace.jsonl", "record the run again"


def changed(line: int, what: str, to: Any = None, run: str = "one") -> list[bytes]:
    """The lines of a trace in which one value is another, or missing where it is `...`; `what` as frames.0.step."""
    told = json.loads(RECORDED[run][line - 1])
    *above, name = [int(word) if word.isdecimal() else word for word in what.split(".")]
    place = told
    for step in above:
        place = place[step]
    if to is ...:
        del place[name]
    else:
        place[name] = to
    return [
        json.dumps(told).encode() if number == line else one.encode() for number, one in enumerate(RECORDED[run], 1)
    ]


def joined(*lines: str) -> list[bytes]:
    return [line.encode() for line in lines]


HALF = "\ud800"
DAMAGED = {
    "empty": ([], f"1: not a trace of trm watch (not JSON (Expecting value, line 1, column 1)); {NO_TRACE}"),
    "another file": ([b"53..7....6"], "1: not a trace of trm watch (not JSON (Extra data, line 1, column 3)); "),
    "another object": ([b"[]"], f"1: not a trace of trm watch; {NO_TRACE}"),
    "no trace": ([b"{}"], f"1: not a trace of trm watch; {NO_TRACE}"),
    "bytes": ([b"\x80{}"], "1: not a trace of trm watch (not UTF-8 text at byte 0); "),
    "deep": ([b"[" * 100_000], "1: not a trace of trm watch (not JSON: nested too deeply); "),
    "nothing else": (joined(LINES[0]), f" holds nothing but a header; {AGAIN}"),
    "another version": (changed(1, "trace", 2), "1: trace: expected a whole number from 1 to 1, got 2; "),
    "no n": (changed(1, "n", ...), f"1: n: missing; {NO_TRACE}"),
    "another task": (changed(1, "task", "chess"), "1: task: 'chess' is not a task; choose from: arc, maze, sudoku"),
    "task of half a letter": (changed(1, "task", HALF), "1: task: holds half a character; "),
    "model without a name": (
        changed(1, "model", {}),
        "1: model: expected a text of at most 4,096 characters, got {}; ",
    ),
    "three letters": (
        changed(1, "letters", ["y", "z", "x"]),
        '1: letters: expected a list of 2, got ["y", "z", "x"]; ',
    ),
    "long letters": (changed(1, "letters", ["y" * 17, "z"]), "1: letters[0]: expected a text of at most 16 characters"),
    "no puzzles": (changed(1, "num_puzzles", 0), "1: num_puzzles: expected a whole number from 1 to 100,000,000"),
    "many columns": (changed(1, "columns", 9), "1: columns: expected a whole number from 1 to 8, got 9; "),
    "half a line": ([*joined(*LINES)[:-1], LINES[-1][:-300].encode()], "5: not JSON ("),
    "an empty line": ([*joined(*LINES)[:-1], b"", b"{}"], "5: not JSON (Expecting value, line 2, column 1); "),
    "not a number": ([line.replace(b"0.125", b"NaN") for line in joined(*LINES)], "3: not JSON: NaN is no number; "),
    "digits": (joined(*LINES[:2], "1" * 5000), f"3: not JSON: a number of too many digits; {AGAIN}"),
    "a field less": (changed(3, "frames.0.halted", ...), f"3: frames[0].halted: missing; {AGAIN}"),
    "no frames": (changed(3, "frames", []), "3: frames: expected one or more, got none; "),
    "frames of nothing": (changed(3, "frames", [None]), "3: frames[0]: expected an object, got null; "),
    "a later page": (changed(2, "page", 1), "2: page: 1 cannot follow after 0 pages of this run; "),
    "another page": (changed(4, "page", 1), "4: page: 1 cannot follow after 1 pages of this run; "),
    "page of nothing": (changed(3, "page", None), "3: page: expected a whole number from 0 up, got null; "),
    "a puzzle less": (changed(1, "columns", 1, "two"), "2: frames: expected a list of 1, got one of 2; "),
    "no question": (joined(LINES[0], *LINES[2:]), "2: frames[0].step: expected a whole number from 0 to 0, got 1; "),
    "another place": (changed(3, "frames.0.place", 1), "3: frames[0].place: expected 0 to 0, got 1; "),
    "the same place": (changed(3, "frames.1.place", 0, "two"), "3: frames[1].place: expected 1 to 1, got 0; "),
    "places of questions": (changed(2, "frames.1.place", 0, "two"), "2: frames[1].place: expected 1, got 0; "),
    "no board": (changed(2, "frames.0.height", 8), "2: frames[0].answer: expected a list of 32, got one of 16; "),
    "a flat board": (
        [*changed(2, "frames.0", {**json.loads(LINES[1])["frames"][0], "height": 2, "width": 8})],
        "2: frames[0]: 2x8 is no board of sudoku, or another than the one before; ",
    ),
    "no puzzle": (changed(2, "frames.0.answer.0", 0), "2: frames[0].answer: no puzzle of sudoku; "),
    "a puzzle that breaks a rule": (changed(2, "frames.0.answer.1", 2), "2: frames[0].answer: no puzzle of sudoku; "),
    "cells less": (
        changed(3, "frames.0.answer", [2] * 15),
        "3: frames[0].answer: expected a list of 16, got one of 15; ",
    ),
    "a large token": (changed(3, "frames.0.answer.0", 6), "3: frames[0].answer: expected tokens from 0 to 5, got 6; "),
    "confidence of less": (
        changed(3, "frames.0.confidence", [0.5] * 9),
        "3: frames[0].confidence: expected a list of 16, got one of 9; ",
    ),
    "more than sure": (
        changed(3, "frames.0.confidence.3", 1.5),
        "3: frames[0].confidence[3]: expected a number from 0 to 1, got 1.5; ",
    ),
    "not sure": (changed(3, "frames.0.confidence", None), "3: frames[0].confidence: null after a whole step; "),
    "no halt probability": (
        changed(3, "frames.0.halt_probability", None),
        "3: frames[0].halt_probability: null, and no update is under way; ",
    ),
    "more steps": (changed(5, "frames.0.step", 5), "5: frames[0].step: 5 of 4 cannot follow after 2; "),
    "a step again": (joined(*LINES[:4], LINES[3]), "5: frames[0].step: 2 of 4 cannot follow after 2; "),
    "few steps": (changed(5, "frames.0.max_steps", 2), "5: frames[0].step: 3 of 2 cannot follow after 2; "),
    "an attempt again": (
        joined(*RECORDED["search"][:5], RECORDED["search"][3]),
        "6: frames[0].step: 2 of 2 cannot follow after 1; ",
    ),
    "no steps": (changed(2, "frames.0.max_steps", 0), "2: frames[0].max_steps: expected a whole number from 1 to 1,"),
    "a step of true": (changed(3, "frames.0.step", True), "3: frames[0].step: expected a whole number from 1 to 1,000"),
    "far": (changed(3, "frames.0.change_y", 1e300), "3: frames[0].change_y: expected a number from 0 up, got 1e+300; "),
    "a later attempt": (changed(3, "frames.0.attempt", 1), "3: frames[0].attempt: 1 cannot follow after 0 attempts; "),
    "an unknown finding": (changed(5, "frames.0.finding", "x"), "5: frames[0].finding: expected one of no_solution, "),
    "after the last": (joined(*LINES, LINES[-1]), "6: frames[0]: follows the last frame of its puzzle; "),
    "heat of less": (
        changed(3, "frames.0.update.heat", [0.5], "inside"),
        "3: frames[0].update.heat: expected a list of 16, got one of 1; ",
    ),
    "another stream": (changed(3, "frames.0.update.stream", "x", "inside"), "3: frames[0].update.stream: expected one"),
    "no parent": (changed(5, "frames.0.parent", 1, "search"), "5: frames[0].parent: 1 is no attempt before 1; "),
    "another parent": (
        changed(10, "frames.0.parent", 0, "search"),
        "10: frames[0]: other guesses than attempt 3 began with; ",
    ),
    "guesses of no parent": (
        changed(9, "frames.0.guesses", [[1, 5], [4, 3]], "search"),
        "9: frames[0].guesses: do not add to those of attempt 1; ",
    ),
    "no more guesses": (
        changed(9, "frames.0.guesses", [[1, 4]], "search"),
        "9: frames[0].guesses: do not add to those of attempt 1; ",
    ),
    "a guess of three": (
        changed(5, "frames.0.guesses", [[1, 4, 4]], "search"),
        "5: frames[0].guesses[0]: expected a list of 2, got [1, 4, 4]; ",
    ),
    **{
        f"guesses {guesses}": (
            changed(5, "frames.0.guesses", guesses, "search"),
            "5: frames[0].guesses: not a symbol each in different blanks of the puzzle; ",
        )
        for guesses in ([[0, 4]], [[16, 4]], [[1, 1]], [[1, 6]], [[1, 3], [1, 4]])
    },
}


@pytest.mark.parametrize(("lines", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_one_line_with_its_place(tmp_path: Path, lines: list[bytes], message: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UsageError) as caught:
        list(read_trace(path).moments)
    told = str(caught.value)
    assert told.startswith(f"{path}:{message}")
    assert told.endswith(("; " + AGAIN, "; " + NO_TRACE))
    assert told.isprintable()


def test_a_trace_that_begins_too_few_pages_ends_with_its_last_one(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\n".join(changed(1, "num_puzzles", 2)))  # somebody quit
    assert [moment.page for moment in read_trace(path).moments] == [0, 0, 0, 0]


def test_names_bring_no_control_characters_to_a_terminal(tmp_path: Path) -> None:
    path, escape = tmp_path / "trace.jsonl", "\x1b]0;title\x07"
    header, *others = changed(2, "frames.0.source", escape, "inside")
    told = {**json.loads(header), "model": escape, "letters": ["\x1by", "\nz"]}
    others[1] = others[1].replace(b'"call": ""', json.dumps({"call": escape})[1:-1].encode())
    path.write_bytes(b"\n".join([json.dumps(told).encode(), *others]))
    trace = read_trace(path)
    question, first, *_ = (moment.frames[0] for moment in trace.moments)
    assert first.update is not None
    assert (trace.header.model, trace.header.letters) == ("?]0;title?", ("?y", "?z"))
    assert (question.puzzle.source, first.update.call) == ("?]0;title?", "?]0;title?")


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "pipe", "a device or a pipe, not a file"),
        (Path("/dev/zero"), "a device or a pipe, not a file"),
        (tmp_path, "a folder, not a file"),
        (tmp_path / "none", "cannot be read (No such file or directory)"),
    ):
        with pytest.raises(UsageError) as caught:
            read_trace(path)
        assert str(caught.value) == f"{path}: {reason}; check the path"


def test_a_line_and_a_file_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(LINES))
    monkeypatch.setattr("trm_cli.solving.replay.LARGEST_TRACE", path.stat().st_size - 1)
    with pytest.raises(UsageError, match=r"trace.jsonl: larger than .* kB, more than any trace has; check the path"):
        list(read_trace(path).moments)
    monkeypatch.setattr("trm_cli.solving.replay.LONGEST_LINE", 100)
    with pytest.raises(UsageError, match=r"trace.jsonl:1: not a trace of trm watch \(longer than 100 bytes, "):
        read_trace(path)


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
