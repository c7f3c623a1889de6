"""A watched run as one page: slider, play button, keys, light and dark; it needs nothing else."""

import json
from pathlib import Path
from typing import Any

from trm_cli.display.boards import cells, view_of
from trm_cli.display.palette import ROLES
from trm_cli.display.readings import HOTTEST, verdict
from trm_cli.solving.frames import Frame, Header, Moment

TEMPLATE = Path(__file__).with_name("page.html")
PLACE_OF_RUN = "/*RUN*/"


def page(header: Header, moments: list[Moment], seconds: float) -> bytes:
    """The page; `seconds` is how long each step stays when it plays."""
    run = {
        "task": header.task.name,
        "model": header.model,
        "parameters": header.num_parameters,
        "n": header.n,
        "T": header.T,
        "rows": header.rows,
        "columns": header.columns,
        "seconds": seconds,
        "roles": ROLES,
        "praise": header.task.praise,
        "puzzles": [[_shape(frame) for frame in moment.frames]
                    for moment in moments if moment.is_question],
        "moments": [_moment(moment) for moment in moments],
    }  # fmt: skip
    told = json.dumps(run, separators=(",", ":")).replace("<", "\\u003c")  # no tag can end there
    return TEMPLATE.read_text(encoding="utf-8").replace(PLACE_OF_RUN, told).encode()


def _shape(frame: Frame) -> dict[str, int]:
    view = view_of(frame)
    return {"height": view.height, "width": view.width, "box_height": view.box_height,
            "box_width": view.box_width}  # fmt: skip


def _moment(moment: Moment) -> dict[str, Any]:
    frames = [{"place": place, **_frame(moment.frames[place])} for place in sorted(moment.moved)]
    return {"page": moment.page, "inside": moment.is_inside, "frames": frames}


def _frame(frame: Frame) -> dict[str, Any]:
    described = cells(frame.task.name, view_of(frame))
    update = frame.update
    return {
        "step": frame.step,
        "max_steps": frame.max_steps,
        "inside": frame.is_inside,
        "glyphs": [cell.glyph for cell in described],
        "roles": [ROLES.index(cell.role) for cell in described],
        "confidence": None if frame.confidence is None
        else [round(100 * sure) for sure in frame.confidence.tolist()],
        "changed": sorted(frame.changed),
        "violated": len(frame.violated),
        "halt": frame.halt_probability,
        "change_y": frame.change_y,
        "change_z": frame.change_z,
        "seconds": frame.seconds,
        "attempt": frame.attempt,
        "verdict": verdict(frame).plain,
        "ending": "" if not frame.is_last else "solved" if frame.solved else "failed",
        "update": None if update is None else {
            "stream": update.stream, "recursion": update.recursion, "number": update.number,
            "change": update.change,
            "heat": [round(value / HOTTEST, 3) for value in update.heat.tolist()],
        },
    }  # fmt: skip
