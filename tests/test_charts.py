"""Charts of runs and evaluations: curves where they should be, labels apart, whatever the log lacks."""

import itertools
import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from trm_cli.display.charts import DARK, LABEL_GAP, MOST_POINTS, Panel, draw_curves, draw_panels, run_panels, spread_out

Entries = list[dict[str, Any]]


def log(num_reports: int = 20, **changed: object) -> Entries:
    """A run that gets better, evaluated at every fifth report."""
    entries: Entries = []
    for number in range(1, num_reports + 1):
        share = number / num_reports
        entry = {
            "kind": "report",
            "step": 50 * number,
            "seconds": 40.0 * number,
            "loss": 2.1 - share,
            "answer_loss": 2 - share,
            "halting_loss": 0.1,
            "cell_accuracy": 0.4 + share / 2,
            "solved": share / 3,
            "halting_step": 16 - 9 * share,
            "rate": 1 - share,
            "halting_histogram": [1] * 16,
        }
        entries.append({**entry, **changed})
        if number % 5 == 0:
            scores = {"verified": share / 2, "exact": share / 2}
            entries.append({"kind": "evaluation", "step": 50 * number, "seconds": 40.0 * number, "scores": scores})
    return entries


def labels(panel: Panel) -> list[str]:
    return [curve.label for curve in panel.curves]


def assert_is_sound(panels: list[Panel]) -> None:
    """Curves lie inside their panels, and labels do not overlap."""
    figure = draw_panels("title", "subtitle", panels)
    for axes, panel in zip(figure.axes, panels, strict=True):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            x, y = (np.asarray(values, float) for values in line.get_data())
            assert ((left <= x) & (x <= right)).all()
            assert ((bottom - 1e-9 <= y) & (y <= top + 1e-9)).all()
        heights = sorted(label_heights(axes, panel))
        assert all(after - before >= LABEL_GAP - 0.1 for before, after in itertools.pairwise(heights))


def label_heights(axes: Axes, panel: Panel) -> list[float]:
    named = set(labels(panel))
    return [text.xyann[1] * panel.height for text in axes.texts if text.get_text() in named]  # type: ignore[attr-defined]


@pytest.mark.parametrize("num_reports", [1, 2, 20, 200, 1000])
def test_a_chart_is_sound_for_short_runs_and_long_ones(num_reports: int) -> None:
    panels = run_panels(log(num_reports))
    assert len(panels) == 3
    assert_is_sound(panels)
    assert max(len(curve.drawn) for panel in panels for curve in panel.curves) <= MOST_POINTS


def test_a_long_log_is_smoothed_over_its_points_and_a_short_one_is_not() -> None:
    assert not any(curve.is_smoothed for panel in run_panels(log(20)) for curve in panel.curves)
    assert run_panels(log(200))[0].curves[0].is_smoothed


def test_each_line_is_named_with_its_last_value() -> None:
    loss, accuracy, halting = (set(labels(panel)) for panel in run_panels(log()))
    assert loss == {"1 answer loss", "0.1 halting loss"}
    assert accuracy == {"90.0% cells, training", "33.3% solved, training", "50.0% solved, held out"}
    assert halting == {"7.0 mean halting step", "0% learning rate"}


def test_a_wide_range_of_losses_is_drawn_on_a_logarithmic_scale() -> None:
    assert [run_panels(log(halting_loss=loss))[0].is_log for loss in (0.01, 0.8, 0.0)] == [True, False, False]


def test_curves_that_lie_on_each_other_have_labels_apart() -> None:
    assert_is_sound(run_panels(log(cell_accuracy=0.5, solved=0.5)))


ABSENT = [name for name in log(1)[0] if name not in ("kind", "step")]


@pytest.mark.parametrize("name", ABSENT)
def test_a_field_may_be_absent_or_no_number(name: str) -> None:
    assert_is_sound(run_panels([{key: value for key, value in entry.items() if key != name} for entry in log()]))
    for value in (None, math.nan, math.inf, "much", True):
        assert_is_sound(run_panels([{**entry, name: value} for entry in log()]))


def test_an_svg_is_valid_describes_itself_and_has_a_dark_side() -> None:
    svg = draw_curves(log(), title="<fast> & \x00 loose")
    assert svg == draw_curves(log(), title="<fast> & \x00 loose")
    root = ElementTree.fromstring(svg)
    told = {element.get("id"): element.text for element in root if element.get("id") in ("title", "description")}
    assert told["title"] == "<fast> & loose"
    assert (told["description"] or "").startswith("1,000 optimizer steps in 13.3 minutes. At the end: 1 answer loss")
    drawn = svg.decode()
    shown = {light for light in DARK if f": {light}" in drawn.split("</style>", 1)[1]}
    assert len(shown) > 7
    assert all(f'[style*="fill: {light}"] {{ fill: {DARK[light]} !important; }}' in drawn for light in shown)
    texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"optimizer steps", "minutes", "12", "1,000", "Accuracy", "7.0 mean halting step"} <= texts


def test_a_png_is_one() -> None:
    assert draw_curves(log(), title="fast", suffix=".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("entries", [[], [{}], [{"kind": "report"}], [{"kind": "report", "step": "x", "loss": 1}]])
def test_nothing_to_draw_is_said(entries: Entries) -> None:
    assert "Nothing to draw yet" in draw_curves(entries, title="fast").decode()


def test_labels_move_no_further_than_they_must() -> None:
    assert spread_out([10, 50, 90], 0, 100) == [10, 50, 90]
    assert spread_out([50, 50], 0, 100) == [50 - LABEL_GAP / 2, 50 + LABEL_GAP / 2]
    assert spread_out([0, 0, 0], 0, 100) == [0, LABEL_GAP, 2 * LABEL_GAP]
    assert spread_out([100, 100], 0, 100) == [100 - LABEL_GAP, 100]
