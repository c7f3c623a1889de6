"""A run's log as a figure, and several runs' in one: self-contained SVG, light and dark."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from trm_cli.display.log_series import Field, Points, number, read_points, step_after
from trm_cli.display.panels import LABEL_GAP, Curve, Panel, right_margin
from trm_cli.display.svg import (
    LEFT,
    NUM_COLOURS,
    WIDTH,
    Scale,
    document,
    line,
    log_ticks_between,
    text,
    ticks_between,
    written,
)

TOP, BETWEEN, BOTTOM = 106, 54, 70  # heights above, between and below the panels, in pixels
LOSS_HEIGHT, ACCURACY_HEIGHT, HALTING_HEIGHT, COMPARED_HEIGHT = 170, 200, 130, 220
LOG_RANGE = 10  # a loss is drawn on a logarithmic scale if it spans more than this factor
LEAST_TICK_DISTANCE = 44  # pixels between two times on the axis
TIME_UNITS = ((36_000, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))  # from, size, name
STEPS_TRAINED_FOR = 16  # N_sup of the recipes; for logs that do not tell

LOSS = Field("report", "loss")
ANSWER_LOSS, HALTING_LOSS = Field("report", "answer_loss"), Field("report", "halting_loss")
CELLS, SOLVED = Field("report", "cell_accuracy", 100), Field("report", "solved", 100)
HELD_OUT, EXACT = Field("evaluation", "verified", 100), Field("evaluation", "exact", 100)
HALTING_STEP, RATE = Field("report", "halting_step"), Field("report", "rate")

Entries = list[dict[str, Any]]
Heights = tuple[float, float]  # of a panel: its bottom, its top


def draw_curves(entries: Entries, *, title: str) -> str:
    """A run's log as SVG: loss, accuracy, and where puzzles halt, over the optimizer steps.

    entries  objects of log.jsonl, in order; fields may be absent, and the list empty.
    """
    groups = [_loss_curves(entries), _accuracy_curves(entries), _halting_curves(entries)]
    every = [curve for group in groups for curve in group]
    if not every:
        return _nothing(title)
    x = _x_scale(every)
    loss, accuracy, halting = _stack((LOSS_HEIGHT, ACCURACY_HEIGHT, HALTING_HEIGHT))
    panels = [
        _loss_panel(groups[0], x, loss),
        _share_panel("Accuracy", groups[1], x, accuracy, least=0, most=100),
        _halting_panel(groups[2], x, halting, _most_steps(entries)),
    ]
    summary = _summary(entries, every)
    parts = [text(24, 60, summary, "subtitle"), *(panel.draw() for panel in panels)]
    parts += [_step_axis(x, halting[0]), _time_axis(entries, x, halting[0] + 22)]
    return document(title, summary, "\n".join(parts), halting[0] + BOTTOM)
