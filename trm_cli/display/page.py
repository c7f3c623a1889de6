"""A run as one HTML document: `web/page.html` with its style, and `web/player.js`, which draws.

The page of a network that thinks is the same document in another use; see `display.live`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trm_cli.display.boards import TAKEN_BACK_STEPS, view_of
from trm_cli.display.screen import HOTTEST, meanings, node_of, standing, verdict
from trm_cli.display.tree import is_tree, names_of, places
from trm_cli.solving.trace import Frame, Header, Moment

WEB = Path(__file__).with_name("web")  # what pages are made of
STEP_SECONDS = 0.8  # that a step stays in an animation if nothing is said
SHAPE = ("height", "width", "box_height", "box_width")
SCRIPTS = "script-src 'unsafe-inline'"  # what a page allows itself: nothing that comes from elsewhere


def page_of(header: Header, moments: Iterable[Moment], *, pause: float | None = None) -> str:
    """The player of a run as one HTML document, for a file or an iframe.

    A step stays for `pause` seconds when it plays, or as long as is easy to follow.
    """
    kept = list(moments)
    questions = [moment.frames for moment in kept if moment.is_question]
    run = {
        **told_of(header, pause or STEP_SECONDS),
        "trees": _trees(kept) if is_tree(header) else [],
        "puzzles": [[dict(zip(SHAPE, view_of(frame).shape, strict=True)) for frame in each] for each in questions],
        "moments": [
            {
                "page": moment.page,
                "inside": moment.is_inside,
                "frames": [{"place": place, **_frame(moment.frames[place], header)} for place in sorted(moment.moved)],
            }
            for moment in kept
        ],
    }
    return filled_page(run, scripts=script(read_parts("player.js")))


def told_of(header: Header, seconds: float) -> dict[str, Any]:
    """What the player is told of a whole run, of which a step stays for so many seconds."""
    task = header.task
    return {
        **{name: value for name, value in vars(header).items() if name != "task"},
        "task": task.name,
        "seconds": seconds,
        "layout": task.layout.value,
        "roles": [{"name": name, **vars(role)} for name, role in task.roles.items()],
        "praise": task.praise,
        "meanings": meanings(header),
        "hottest": HOTTEST,
    }


def read_parts(*names: str) -> str:
    """Files of the folder `web`, one after the other."""
    return "\n".join((WEB / name).read_text(encoding="utf-8") for name in names)


def script(text: str, attributes: str = "") -> str:
    """An element of a script."""
    return f"<script{attributes}>\n{text}</script>\n"


def filled_page(run: dict[str, Any], *, scripts: str, tools: str = "", style: str = "", allowed: str = SCRIPTS) -> str:
    """The document of a run.

    scripts  elements, in the order in which they run.
    tools    elements above the boards.
    style    beside that of the player.
    allowed  what scripts may be, as a Content-Security-Policy says it.
    """
    told = json.dumps(run, separators=(",", ":")).replace("<", "\\u003c")  # no tag can end there
    page = (WEB / "page.html").read_text(encoding="utf-8")
    parts = {
        "/*ALLOWED*/": allowed,
        "/*STYLE*/": style,
        "<!--TOOLS-->": tools,
        "<!--SCRIPTS-->": scripts,
        "/*RUN*/": told,
    }
    for place, text in parts.items():
        page = page.replace(place, text, 1)
    return page


def _trees(moments: list[Moment]) -> list[list[list[dict[str, Any]]]]:
    """Of each page and puzzle the nodes of its whole tree; an empty list where nothing was searched."""
    last = {moment.page: moment.frames for moment in moments}  # the latest of each page
    return [[_nodes(frame) if frame.num_tried > 1 else [] for frame in frames] for frames in last.values()]


def _nodes(frame: Frame) -> list[dict[str, Any]]:
    return [
        {
            "x": place.x,
            "depth": place.node.depth,
            "parent": place.parent,
            "guess": place.last_guess,
            "violations": len(place.node.violated),
            "solved": place.node.solved,
        }
        for place in places(frame)
    ]


def _frame(frame: Frame, header: Header) -> dict[str, Any]:
    view, confidence, update = view_of(frame), frame.confidence, frame.update
    cells = view.cells
    roles = list(frame.task.roles)
    return {
        **{name: getattr(frame, name) for name in ("step", "max_steps", "change_y", "change_z", "seconds", "attempt")},
        "inside": frame.is_inside,
        "glyphs": [cell.glyph for cell in cells],
        "roles": [roles.index(cell.role) for cell in cells],
        "confidence": None if confidence is None else (100 * confidence).round().astype(int).tolist(),
        "changed": sorted(frame.changed),
        "violations": sorted(frame.violated),
        "guessed": sorted(view.guessed),
        "taken_back": sorted(view.taken_back),
        "guesses": names_of(frame.guesses, frame),
        "back": names_of(frame.taken_back, frame) if frame.step <= TAKEN_BACK_STEPS else [],
        "node": node_of(frame),
        "tried": frame.num_tried,
        "halt": frame.halt_probability,
        "verdict": verdict(frame, header).plain,
        "stands": standing(frame).plain,
        "ending": "" if not frame.is_last else "solved" if frame.solved else "failed",
        "update": update and {**vars(update), "heat": [round(value / HOTTEST, 3) for value in update.heat.tolist()]},
    }
