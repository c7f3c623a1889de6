"""The report: names stay as they are in every format, and tables fit a terminal."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.markdown import Markdown

from tests.test_charts import evaluated, rated
from trm_cli.config import SolveConfig
from trm_cli.display.report import described, markdown, summary, write_report


def test_an_evaluation_is_three_lines_with_attempts_steps_and_unusual_settings() -> None:
    one = evaluated("a", [2, 6], [6, 8])
    one.tally.whole.steps, one.tally.whole.solved_at, one.tally.seconds = 24, [2, 4], 2.0
    one.tally.whole.fired, one.tally.whole.right_when_fired = 5, 4
    guessing = replace(one, settings=SolveConfig(attempts=2, max_steps=2, retry_steps=1, search="flat", halt="q"))
    assert summary([guessing]) == [
        "a solves 80.00% of d.csv (8 of 10, 95% interval 49.0–94.3%) in at most 2 attempts of 2 steps, "
        "2.4 steps a puzzle; 60.00% in one attempt",
        "the halt head fired on 50.00% of the puzzles; the answer was right then in 80.00% of these",
        "5.0 puzzles a second, solved with --halt q --retry-steps 1 --search flat",
    ]
    one.tally.whole.fired, one.tally.untouched = 0, 3
    alone = summary([replace(one, settings=SolveConfig(max_steps=2))])
    assert alone[0].endswith("in one attempt of at most 2 steps, 2.4 steps a puzzle")
    assert alone[1:] == [
        "the halt head never fired in a first attempt",
        "5.0 puzzles a second, no time was left for 3 puzzles",
    ]


NAME = "<b>*a*_|`$x$&amp;"


def test_tables_fit_a_terminal_of_eighty_columns() -> None:
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(Markdown(markdown([evaluated("a", [2, 6], [6, 8])])))
    assert "…" not in capture.get()
    assert " all       10  100.00%  80.00%  80.00%    80.00%  49.0–94.3% " in capture.get()


def test_two_networks_are_compared_first_and_told_apart() -> None:
    report = markdown([evaluated("a", [2, 6], [6, 8]), evaluated("a", [3, 7], [7, 10])])
    headings = [line for line in report.splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## a (first) against a (second)", "## a (first): Accuracy"]
    assert len(headings) == len(set(headings)) == 13


STEPS = "Steps of the puzzles that the first attempt solved"
SIXTEEN = {"_0": (25, [0, 10, 8, 0, 1, 1] + [0] * 10), "_1_to_9": (20, [0] * 16)}


def test_the_steps_of_solved_puzzles_are_a_table_by_rating_and_givens() -> None:
    one = rated("a", **SIXTEEN)
    one.tally.groups["givens"] = {"17": one.tally.groups["rating"]["0"]}
    one.tally.orders["givens 17"] = 17.0
    section = next(part for part in markdown([one]).split("## ") if part.startswith(STEPS))
    bars = "`·█▇·▁▁··········`"
    assert section.splitlines()[2:10] == [
        "|  | puzzles | solved | median | mean | 90% | 1 to 16 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| all | 45 | 44.44% | 2 | 2.8 | 3 | {bars} |",
        "| **by rating** |  |  |  |  |  |  |",
        f"| 0 | 25 | 80.00% | 2 | 2.8 | 3 | {bars} |",
        f"| 1 to 9 | 20 | 0.00% | – | – | – | `{'·' * 16}` |",
        "| **by givens** |  |  |  |  |  |  |",
        f"| 17 | 25 | 80.00% | 2 | 2.8 | 3 | {bars} |",
    ]
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(Markdown(markdown([one])))
    assert f"80.00%       2   2.8    3  {bars.strip('`')} " in capture.get()


def test_many_steps_share_the_bars_and_one_step_has_none() -> None:
    many = markdown([rated("a", _0=(10, [0, 0, 1, 1, 1] + [0] * 34 + [1]))])
    assert "| 1 to 40 |" in many
    assert "| `▄█···········▄` |" in many
    assert "how many took 1 to 3, 4 to 6, .. steps" in many
    assert STEPS not in markdown([rated("a", _0=(10, [0, 6]))])


def test_json_tells_of_every_group_at_which_steps_the_first_attempt_solved() -> None:
    groups = described([rated("a", **SIXTEEN)])["models"][0]["groups"]
    told = {f"{group['kind']} {group['group']}": group["first_attempt"] for group in groups}
    some = {"solved": 20, "median_steps": 2, "mean_steps": 2.75, "percentile_90_steps": 3}
    none = {"solved": 0, "median_steps": None, "mean_steps": None, "percentile_90_steps": None}
    assert told == {
        "all all": {**some, "solved_at": SIXTEEN["_0"][1]},
        "rating 0": {**some, "solved_at": SIXTEEN["_0"][1]},
        "rating 1 to 9": {**none, "solved_at": [0] * 16},
    }


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_a_name_is_shown_as_it_is(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    write_report(path, [evaluated(NAME, [2, 6], [6, 8]), evaluated("b", [3, 7], [7, 10])], "trm eval <b>")
    written = path.read_text(encoding="utf-8")
    if suffix == ".html":
        escaped = "&lt;b&gt;*a*_|`$x$&amp;amp;"
        assert f"<h1>{escaped} and b on d.csv, 10 puzzles</h1>" in written
        assert f"<td>solved by {escaped} alone</td>" in written
        assert "<code>trm eval &lt;b&gt;</code>" in written
        assert "<b>" not in written
    else:
        assert written.startswith(r"# \<b\>\*a\*\_\|\`$x$\&amp; and b on d.csv")
