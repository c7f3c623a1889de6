"""The report: names stay as they are in every format, and tables fit a terminal."""

from pathlib import Path

import pytest
from rich.console import Console
from rich.markdown import Markdown

from tests.test_charts import evaluated
from trm_cli.display.report import markdown, write_report

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
