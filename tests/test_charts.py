"""Charts of runs and evaluations: curves where they should be, labels apart, whatever the log lacks."""

import itertools
import math
import re
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from trm_cli.config import SolveConfig
from trm_cli.display.charts import (
    DARK,
    LABEL_GAP,
    LONGEST_TITLE,
    MOST_POINTS,
    Panel,
    draw_curves,
    draw_evaluation,
    draw_panels,
    evaluation_panels,
    run_panels,
    shorten,
    spread_out,
)
from trm_cli.solving.evaluate import Bin, Counts, Evaluated, Tally

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
    assert accuracy == {"90.0% cells, training", "33.3% solved, training", "50.0% solved, validation set"}
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


def test_an_old_log_with_the_loss_alone_still_has_its_curve() -> None:
    entries = [{"kind": "report", "step": step, "loss": 1 / step} for step in range(1, 9)]
    assert [labels(panel) for panel in run_panels(entries)] == [["0.125 loss"], [], []]
    assert draw_curves(entries, title="").count(b"not in this log") == 2


def test_a_log_of_many_entries_is_drawn_at_once() -> None:
    begun = time.process_time()
    draw_curves([{"kind": "report", "step": step, "loss": 1.0} for step in range(100_000)], title="long")
    assert time.process_time() - begun < 20


def test_losses_far_apart_have_a_few_round_numbers_beside_them() -> None:
    for least in (0.02, 1e-5, 1e-12):
        axes = draw_panels("", "", run_panels(log(halting_loss=least))).axes[0]
        low, high = axes.get_ylim()
        assert 2 <= sum(low <= tick <= high for tick in axes.get_yticks()) <= 7


def test_an_svg_describes_itself_and_has_a_dark_side() -> None:
    svg = draw_curves(log(), title="fast")
    assert svg == draw_curves(log(), title="fast")
    root = ElementTree.fromstring(svg)
    (description,) = (element.text or "" for element in root if element.get("id") == "description")
    assert description.startswith("1,000 optimizer steps in 13.3 minutes. At the end: 1 answer loss")
    drawn = svg.decode()
    shown = {light for light in DARK if f": {light}" in drawn.split("</style>", 1)[1]}
    assert len(shown) > 7
    assert all(f'[style*="fill: {light}"] {{ fill: {DARK[light]} !important; }}' in drawn for light in shown)
    assert "Accuracy" in texts(svg)
    assert "7.0 mean halting step" in texts(svg)


def texts(svg: bytes) -> list[str]:
    elements = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in elements]


def test_steps_and_time_are_counted_to_the_end_of_a_run() -> None:
    figure = draw_panels("", "", run_panels(log()), [(32.0, 40.0), (760.0, 950.0), (799.0, 1000.0)], "seconds")
    steps, times = figure.axes[-1], figure.axes[-1].child_axes[0]
    assert list(steps.get_xticks()) == [0, 200, 400, 600, 800, 1000]
    assert [label.get_text() for label in times.get_xticklabels()] == [
        str(tick) for tick in range(0, 701, 100)
    ]  # the run took 799
    assert times.get_xticks()[1:] == pytest.approx([125 * tick for tick in range(1, 8)])
    assert {"optimizer steps", "minutes", "12", "1,000"} <= set(texts(draw_curves(log(), title="")))


@pytest.mark.parametrize("times", [[(0, 3)], [(5, 1), (3, 2), (3, 9), (8, 10)], [(1, 0)]])
def test_any_course_of_time_is_drawn(times: list[tuple[int, int]]) -> None:
    entries = [{"kind": "report", "step": step, "seconds": seconds, "loss": 1.0} for step, seconds in times]
    assert texts(draw_curves(entries, title=""))


TITLES = ["<&>\"'", "]]>", "a\x00b\x1b[1m", "lone \ud800", "two\nlines", "x" * 500, "", "$\\frac$", "a$b$_c", "数独"]


@pytest.mark.parametrize("title", TITLES)
def test_any_title_is_drawn_as_it_is(title: str) -> None:
    root = ElementTree.fromstring(draw_curves(log(), title=title))
    (told,) = (element.text or "" for element in root if element.get("id") == "title")
    assert told == " ".join(re.sub("[\x00\x1b\ud800]", "", title).split())
    assert not told or shorten(told, LONGEST_TITLE) in texts(draw_curves(log(), title=title))
    assert draw_curves(log(), title=title, suffix=".png").startswith(b"\x89PNG")


def counted(puzzles: int, solved_at: list[int]) -> Counts:
    """Of so many puzzles, four fifths of them solved."""
    shares = dict.fromkeys(("exact", "valid", "verified"), puzzles * 4 // 5)
    return Counts(puzzles, cells=16 * puzzles, right_cells=16 * puzzles, solved_at=solved_at, **shares)


def rated(model: str, **ratings: tuple[int, list[int]]) -> Evaluated:
    """An evaluation with groups by rating, in order: of so many puzzles, those solved at each step."""
    one = evaluated(model, [0] * len(next(iter(ratings.values()))[1]), [8])
    puzzles, solved_at = zip(*ratings.values(), strict=True)
    names = [name.strip("_").replace("_", " ") for name in ratings]
    one.tally.groups["all"]["all"] = counted(sum(puzzles), [sum(step) for step in zip(*solved_at, strict=True)])
    one.tally.groups["rating"] = {
        name: counted(*counts) for name, counts in reversed(list(zip(names, ratings.values(), strict=True)))
    }
    one.tally.orders.update({f"rating {name}": float(place) for place, name in enumerate(names)})
    return one


def evaluated(model: str, within_steps: list[int], within_attempts: list[int]) -> Evaluated:
    """An evaluation on ten puzzles whose halt head is right in every second of its steps."""
    bins = [Bin(steps=2, right=1, probability=0.2 * place) for place in range(10)]
    tally = Tally(
        groups={"all": {"all": counted(10, [0] * len(within_steps))}},
        orders={"all all": 0.0},
        solved_within_steps=within_steps,
        solved_within_attempts=within_attempts,
        steps_within_attempts=[10] * len(within_attempts),
        bins=bins,
        solved=bytearray([1] * 8 + [0] * 2),
    )
    return Evaluated("d.csv", "", model, "", SolveConfig(max_steps=len(within_steps)), tally)


def test_an_evaluation_is_drawn_by_steps_by_attempts_and_by_what_the_halt_head_says() -> None:
    panels = evaluation_panels([evaluated("a", [2, 6], [6, 8]), evaluated("b", [3, 7], [7, 10])])
    assert [panel.x_name for panel in panels] == ["supervision steps", "attempts", "halt probability, %"]
    assert labels(panels[0]) == ["60.0% a", "70.0% b"]
    assert [panel.limits for panel in panels] == [(20, 70), (60, 100), (0, 100)]
    assert_is_sound(panels)
    assert [panel.limits for panel in evaluation_panels([evaluated("a", [10, 10], [10])])] == [(90, 100), (0, 100)]
    drawn = draw_evaluation([evaluated("a", [2, 6], [6, 8])], title="t", command="trm eval")
    assert b">Measured by trm eval. Solved in the first attempt" in drawn


def steps_by_rating(*one: Evaluated) -> list[Panel]:
    return [panel for panel in evaluation_panels(list(one)) if "by rating" in panel.heading]


def test_the_steps_of_solved_puzzles_are_drawn_by_rating() -> None:
    easy_and_hard = rated("a", _0=(10, [4, 6, 0]), _1_to_9=(20, [0, 5, 5]))
    (panel,) = steps_by_rating(easy_and_hard)
    assert (panel.heading, panel.x_name) == ("Supervision steps of the puzzles solved, by rating", "supervision steps")
    assert labels(panel) == ["100.0% rating 0", "50.0% rating 1 to 9"]
    assert [curve.points for curve in panel.curves] == [[(1, 40), (2, 100), (3, 100)], [(1, 0), (2, 25), (3, 50)]]
    assert_is_sound([panel])
    assert b"Supervision steps of the puzzles solved, by rating" in draw_evaluation([easy_and_hard], title="t")
    both = steps_by_rating(easy_and_hard, rated("b", _0=(10, [1, 1, 1])))
    assert [panel.heading.split(": ")[0] for panel in both] == ["a", "b"]


def test_no_line_that_joins_a_label_to_its_curve_runs_through_labels() -> None:
    names = ("_0", "_1", "_2", "_3", "_4")
    figure = draw_panels("", "", steps_by_rating(rated("a", **{name: (10, [4, 4]) for name in names})))
    figure.draw_without_rendering()
    joined = [text for text in figure.axes[0].texts if text.arrow_patch]  # type: ignore[attr-defined]
    ends = [text.arrow_patch.get_window_extent().x1 for text in joined]  # type: ignore[attr-defined]
    assert len(ends) == 5
    assert max(ends) <= min(Text.get_window_extent(text).x0 for text in joined)


def test_steps_by_rating_are_not_drawn_where_all_are_solved_at_one_step() -> None:
    assert steps_by_rating(rated("a", _0=(10, [0, 6]), _1_to_9=(20, [0, 5]))) == []
    assert steps_by_rating(evaluated("a", [2, 6], [6, 8])) == []


def test_neighbouring_ratings_with_the_fewest_puzzles_share_a_curve_where_colours_run_out() -> None:
    groups = [(90, [9, 9]), (20, [0, 10]), (10, [8, 1]), (70, [1, 1]), (60, [1, 1]), (20, [5, 5]), (40, [2, 20])]
    names = ("_0", "_1_to_9", "_10", "_11_to_49", "_50_to_99", "_100_to_299", "_300_and_more")
    (panel,) = steps_by_rating(rated("a", **dict(zip(names, groups, strict=True))))
    assert [curve.name for curve in panel.curves] == [
        "rating 0",
        "rating 1 to 10",
        "rating 11 to 49",
        "rating 50 to 99",
        "rating 100 and more",
    ]
    assert len({curve.colour for curve in panel.curves}) == 5
    assert [y for _, y in panel.curves[1].points] == pytest.approx([100 * 8 / 30, 100 * 19 / 30])
    assert_is_sound([panel])


@pytest.mark.parametrize("entries", [[], [{}], [{"kind": "report"}], [{"kind": "report", "step": "x", "loss": 1}]])
def test_nothing_to_draw_is_said(entries: Entries) -> None:
    assert "Nothing to draw yet" in draw_curves(entries, title="fast").decode()


def test_labels_move_no_further_than_they_must() -> None:
    assert spread_out([10, 50, 90], 0, 100) == [10, 50, 90]
    assert spread_out([50, 50], 0, 100) == [50 - LABEL_GAP / 2, 50 + LABEL_GAP / 2]
    assert spread_out([0, 0, 0], 0, 100) == [0, LABEL_GAP, 2 * LABEL_GAP]
    assert spread_out([100, 100], 0, 100) == [100 - LABEL_GAP, 100]
