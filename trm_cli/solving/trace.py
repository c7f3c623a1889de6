"""A watched run as a file of JSON lines: the header, then one line a moment; see docs/watch.md."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trm_cli.errors import UsageError
from trm_cli.solving.frames import Cells, Frame, Header, Moment, Update
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task, Tokens

TRACE = 1  # the version of the format


def trace_lines(header: Header, moments: Iterable[Moment]) -> Iterator[str]:
    """The lines of a trace, without their ends."""
    told = {name: value for name, value in vars(header).items() if name != "task"}
    yield json.dumps({"trace": TRACE, "task": header.task.name, **told})
    for moment in moments:
        moved = [_as_dict(moment.frames[place], place) for place in sorted(moment.moved)]
        yield json.dumps({"page": moment.page, "frames": moved})


def _as_dict(frame: Frame, place: int) -> dict[str, Any]:
    if frame.step == 0:
        puzzle = frame.puzzle
        return {"place": place, "step": 0, "answer": puzzle.tokens.tolist(),
                "max_steps": frame.max_steps,
                "height": puzzle.height, "width": puzzle.width, "source": puzzle.source,
                "line": puzzle.line}  # fmt: skip
    update = frame.update
    return {
        "place": place,
        "step": frame.step,
        "answer": frame.answer.tolist(),
        "confidence": _as_list(frame.confidence),
        "halt_probability": frame.halt_probability,
        "change_y": frame.change_y,
        "change_z": frame.change_z,
        "changed": sorted(frame.changed),
        "violated": sorted(frame.violated),
        "seconds": frame.seconds,
        "attempt": frame.attempt,
        "max_steps": frame.max_steps,
        "halted": frame.halted,
        "is_last": frame.is_last,
        "update": None if update is None else {**asdict(update), "heat": _as_list(update.heat)},
    }


def _as_list(cells: Cells | None) -> list[float] | None:
    """Numbers as short as their exact value allows: they were rounded when they were measured."""
    return None if cells is None else [round(value, 4) for value in cells.tolist()]


@dataclass(frozen=True)
class Trace:
    """A trace that was read: the header, and the moments as they come out of the file."""

    header: Header
    moments: Iterator[Moment]


def read_trace(path: Path) -> Trace:
    """Read the header at once and the moments as they are asked for.

    Raises UsageError with file and line where the file is no trace.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a trace of trm watch; make one with --save") from error
    objects = enumerate(lines, 1)
    told = _parsed(path, *next(objects, (1, "")))
    if told.pop("trace", None) != TRACE:
        raise UsageError(f"{path}:1: not a trace of trm watch; make one with --save trace.jsonl")
    task = get_task(str(told.pop("task", "")))
    try:
        header = Header(task, **told)
    except TypeError as error:
        raise UsageError(f"{path}:1: the header does not fit this trm ({error})") from error
    return Trace(header, _moments(path, task, objects))


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{path}:{number}: not a trace of trm watch ({error})") from error
    if not isinstance(told, dict):
        raise UsageError(f"{path}:{number}: not a trace of trm watch (expected an object)")
    return told


def _moments(path: Path, task: Task, lines: Iterable[tuple[int, str]]) -> Iterator[Moment]:
    page = -1
    frames: list[Frame] = []
    finished: list[Frame] = []  # the latest finished step of each
    for number, line in lines:
        told = _parsed(path, number, line)
        try:
            if told["page"] != page:
                page, frames = told["page"], [_question(task, item) for item in told["frames"]]
                finished = list(frames)
                places = list(range(len(frames)))
            else:
                places = [item["place"] for item in told["frames"]]
                for place, item in zip(places, told["frames"], strict=True):
                    frames[place] = _frame(finished[place], item)
                    if not frames[place].is_inside:
                        finished[place] = frames[place]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UsageError(f"{path}:{number}: this moment is damaged ({error!r})") from error
        yield Moment(page, tuple(frames), frozenset(places))


def _question(task: Task, told: dict[str, Any]) -> Frame:
    tokens = _tokens(told["answer"])
    puzzle = Puzzle(tokens, told["height"], told["width"], told["source"], told["line"])
    if len(tokens) != puzzle.height * puzzle.width:
        raise ValueError(f"{len(tokens)} cells on {puzzle.height}x{puzzle.width}")
    return Frame(puzzle, task, 0, tokens, told["max_steps"])


def _frame(previous: Frame, told: dict[str, Any]) -> Frame:
    update = told["update"]
    answer, confidence = _tokens(told["answer"]), told["confidence"]
    if len(answer) != len(previous.answer):
        raise ValueError(f"{len(answer)} cells after {len(previous.answer)}")
    return Frame(
        puzzle=previous.puzzle,
        task=previous.task,
        step=told["step"],
        answer=answer,
        max_steps=told["max_steps"],
        previous=previous,
        confidence=None if confidence is None else np.array(confidence, np.float32),
        halt_probability=told["halt_probability"],
        change_y=told["change_y"],
        change_z=told["change_z"],
        seconds=told["seconds"],
        attempt=told["attempt"],
        halted=told["halted"],
        is_last=told["is_last"],
        update=update and Update(**{**update, "heat": np.array(update["heat"], np.float32)}),
    )


def _tokens(told: list[int]) -> Tokens:
    return np.array(told, np.uint8)
