"""Figures of runs: valid XML, curves inside their panels, labels apart, whatever the log lacks."""

import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from trm_cli.display.charts import Scale, compare_curves, draw_curves, log_ticks, spread_out, ticks_between

SVG = "{http://www.w3.org/2000/svg}"
PANELS = 3  # of a run's figure
Entries = list[dict[str, Any]]
Pixels = list[tuple[float, float]]


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


def parse(svg: str) -> Element:
    return ElementTree.fromstring(svg)


def panels(root: Element) -> list[Element]:
    return root.findall(f"{SVG}g[@class='panel']")


def curves(panel: Element) -> list[Pixels]:
    """The lines of a panel, point by point."""
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in panel.iter(f"{SVG}polyline")
    ]


def labels(panel: Element) -> list[tuple[float, str]]:
    """Height and text of what is written at the ends of the lines."""
    return [
        (float(text.attrib["y"]), "".join(text.itertext()))
        for text in panel.iter(f"{SVG}text")
        if text.get("class") == "label"
    ]


def assert_is_sound(root: Element) -> None:
    """Curves lie inside their panels, labels and headings do not overlap."""
    for panel in panels(root):
        frame = panel.find(f"{SVG}rect")
        assert frame is not None
        left, top, width, height = (float(frame.attrib[n]) for n in ("x", "y", "width", "height"))
        for x, y in itertools.chain(*curves(panel)):
            assert left <= x <= left + width + 0.1
            assert top - 0.1 <= y <= top + height + 0.1
        heights = sorted(y for y, _ in labels(panel))
        assert all(after - before >= 15.9 for before, after in itertools.pairwise(heights))


@pytest.mark.parametrize("num_reports", [1, 2, 20, 200, 1000])
def test_a_figure_is_sound_for_short_runs_and_long_ones(num_reports: int) -> None:
    root = parse(draw_curves(log(num_reports), title="sudoku fast"))
    assert len(panels(root)) == PANELS
    assert_is_sound(root)
    assert max(len(line) for panel in panels(root) for line in curves(panel)) <= 340


@pytest.mark.parametrize("num_reports", [20, 200])  # as they are, and smoothed
def test_what_grows_is_drawn_upward_from_left_to_right(num_reports: int) -> None:
    accuracy = panels(parse(draw_curves(log(num_reports), title="")))[1]
    assert len(curves(accuracy)) == 3
    for line in curves(accuracy):
        for (x_before, y_before), (x_after, y_after) in itertools.pairwise(line):
            assert x_after > x_before
            assert y_after < y_before


def test_a_smoothed_curve_keeps_the_points_behind_it() -> None:
    assert 'class="raw"' not in draw_curves(log(20), title="")
    assert 'class="raw"' in draw_curves(log(200), title="")


def test_each_line_is_named_with_its_last_value() -> None:
    loss, accuracy, halting = (labels(p) for p in panels(parse(draw_curves(log(), title=""))))
    assert {text for _, text in loss} == {"1 answer loss", "0.1 halting loss"}
    assert {text for _, text in accuracy} == {
        "90.0% cells, training",
        "33.3% solved, training",
        "50.0% solved, held out",
    }
    assert {text for _, text in halting} == {"7.0 mean halting step", "0% learning rate"}


def test_the_axes_are_in_steps_and_in_time() -> None:
    svg = draw_curves(log(), title="")
    axes = parse(svg).findall(f"{SVG}g[@class='axes']")
    written = [[text.text for text in axis.iter(f"{SVG}text")] for axis in axes]
    assert written[0] == ["0", "200", "400", "600", "800", "1,000", "optimizer steps"]
    assert written[1] == ["0", "2", "4", "6", "8", "10", "12", "minutes"]


def test_a_wide_range_of_losses_is_drawn_on_a_logarithmic_scale() -> None:
    assert "(logarithmic)" in draw_curves(log(halting_loss=0.01), title="")
    assert "(logarithmic)" not in draw_curves(log(halting_loss=0.8), title="")
    assert "(logarithmic)" not in draw_curves(log(halting_loss=0.0), title="")


def test_figures_that_lie_on_each_other_have_labels_apart() -> None:
    same = log(cell_accuracy=0.5, solved=0.5)
    assert_is_sound(parse(draw_curves(same, title="")))
    many = {f"run {number}": log() for number in range(15)}
    root = parse(compare_curves(many, title=""))
    assert len(labels(panels(root)[0])) == 15
    assert_is_sound(root)


ABSENT = [name for name in log(1)[0] if name not in ("kind", "step")]


@pytest.mark.parametrize("name", ABSENT)
def test_a_field_may_be_absent_or_no_number(name: str) -> None:
    without = [{key: value for key, value in entry.items() if key != name} for entry in log()]
    assert_is_sound(parse(draw_curves(without, title="")))
    for value in (None, math.nan, math.inf, "much", True):
        damaged = [{**entry, name: value} for entry in log()]
        assert_is_sound(parse(draw_curves(damaged, title="")))


def test_an_old_log_with_the_loss_alone_still_has_its_curve() -> None:
    entries = [{"kind": "report", "step": step, "loss": 1 / step} for step in range(1, 9)]
    root = parse(draw_curves(entries, title=""))
    assert [text for _, text in labels(panels(root)[0])] == ["0.125 loss"]
    assert draw_curves(entries, title="").count("not in this log") == 2


def test_an_empty_log_is_said_to_be_empty() -> None:
    empty_logs: list[Entries] = [[], [{"kind": "new"}], [{}]]
    drawn = [draw_curves(entries, title="t") for entries in empty_logs]
    for svg in (*drawn, compare_curves({}, title="t"), compare_curves({"a": []}, title="t")):
        assert "Nothing to draw yet" in "".join(parse(svg).itertext())


@pytest.mark.parametrize("title", ["<&>\"'", "]]>", "a\x00b\x1b[1m", "lone \ud800", "two\nlines", "x" * 500, ""])
def test_any_title_and_any_name_make_valid_xml(title: str) -> None:
    for svg in (draw_curves(log(), title=title), compare_curves({title: log()}, title=title)):
        found = parse(svg.encode("utf-8").decode("utf-8")).find(f"{SVG}title")
        assert found is not None
        clean = re.sub("[\x00\x1b\ud800]", "", title)
        assert (found.text or "") == " ".join(clean.split())


def test_a_figure_describes_itself_and_needs_nothing_else() -> None:
    svg = draw_curves(log(), title="sudoku fast")
    description = parse(svg).find(f"{SVG}desc")
    assert description is not None
    assert description.text == (
        "1,000 optimizer steps in 13.3 minutes. At the end: answer loss 1, halting loss 0.1, "
        "cells, training 90.0%, solved, training 33.3%, solved, held out 50.0%, "
        "mean halting step 7.0, learning rate 0%."
    )
    assert "prefers-color-scheme: dark" in svg
    assert svg.count("http") == 1  # the name of the format
    assert json.dumps(svg)


def test_runs_are_compared_by_steps_or_by_time() -> None:
    slow = [{**entry, "seconds": 3 * entry["seconds"]} for entry in log()]
    runs = {"fast": log(), "slow": slow}
    by_step = [curves(panel) for panel in panels(parse(compare_curves(runs, title="")))]
    assert by_step[0][0] == by_step[0][1]
    root = parse(compare_curves(runs, title="", by="seconds"))
    assert_is_sound(root)
    fast_line, slow_line = curves(panels(root)[0])
    assert fast_line[-1][0] < slow_line[-1][0]
    assert "minutes" in "".join(root.itertext())


def test_runs_without_rules_to_verify_are_compared_by_exact_answers() -> None:
    entries = log()
    for entry in entries:
        entry.get("scores", {}).pop("verified", None)
    held_out = panels(parse(compare_curves({"run": entries}, title="")))[1]
    assert labels(held_out)[0][1] == "50.0% run"


def test_ticks_are_round_and_hold_the_values_between_them() -> None:
    assert ticks_between(0, 6870) == [0, 2000, 4000, 6000, 8000]
    assert ticks_between(41, 78) == [40, 50, 60, 70, 80]
    assert ticks_between(3, 3)[0] <= 3 <= ticks_between(3, 3)[-1]
    assert log_ticks(0.3, 4) == ((0.2, 5.0), [0.2, 0.5, 1.0, 2.0, 5.0])
    assert log_ticks(0.003, 2) == ((0.002, 2.0), [0.01, 0.1, 1.0])


def test_a_scale_stays_between_its_ends() -> None:
    scale = Scale(0.01, 100, 200, 100, is_log=True)
    assert [scale(v) for v in (0.0, 0.01, 1, 100, 1e9)] == pytest.approx([200, 200, 150, 100, 100])


def test_labels_move_no_further_than_they_must() -> None:
    assert spread_out([50, 90], 0, 100) == [50, 90]
    assert spread_out([50, 50], 0, 100) == [42, 58]
    assert spread_out([98, 99, 10], 0, 100) == [84, 100, 10]
