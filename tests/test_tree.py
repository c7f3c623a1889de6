"""The tree of a search: what a frame knows of it, its outline, its layout, its picture."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.watched import HEADER, HEADER_OF_SEARCH, HEADER_OF_TWO, run_of_one, run_of_search, run_of_two
from trm_cli.api import Run
from trm_cli.cli.app import app
from trm_cli.display.boards import GUESS_PAPER, TAKEN_BACK_PAPER, VIOLATION_STYLE, Look, board_text, cell_style, view_of
from trm_cli.display.charts import GREEN
from trm_cli.display.page import page_of
from trm_cli.display.screen import Scene, verdict
from trm_cli.display.tree import course, outline, path_of, places
from trm_cli.display.tree_chart import draw_tree
from trm_cli.display.watch import plain_lines
from trm_cli.errors import UsageError
from trm_cli.solving.replay import read_trace
from trm_cli.solving.trace import Frame, Moment, Tree, Update, trace_lines

RUN = run_of_search()
END = RUN[-1].frames[0]
MANY = 300
WIDE = ((None, ()), *((0 if place < 4 else place // 3, ((1, 3),) * 2) for place in range(1, MANY)))  # three below each
LARGE = [moment.frames[0] for moment in run_of_search(WIDE, (0,) * MANY)[1:]]
SOLVED = """\
× the puzzle  9 violations
├ × r1c2=3  9 violations
│ └ × r2c1=2  8 violations
└ × r1c2=4  8 violations
  └ ✓ r2c1=3  solved"""
EARLIER = """\
x the puzzle  9 violations
|-x r1c2=3  9 violations
`-@ r1c2=4  8 violations"""


def lines(frame: Frame, look: Look, *, width: int = 60, height: int = 20) -> str:
    return "\n".join(line.plain for line in outline(frame, look, width=width, height=height))


def test_the_outline_is_that_of_its_time() -> None:
    """Frames share their tree; each shows what was tried until then."""
    assert lines(END, Look()) == SOLVED
    assert lines(RUN[6].frames[0], Look(ascii_only=True)) == EARLIER


def test_the_outline_keeps_the_path_and_counts_what_it_leaves_out() -> None:
    assert lines(END, Look(), height=3).splitlines() == [
        "× the puzzle  9 violations, 1 more below",
        "└ × r1c2=4  8 violations",
        "  └ ✓ r2c1=3  solved",
    ]
    assert lines(END, Look(), height=1) == "✓ r2c1=3  solved"
    assert lines(END, Look(), height=0) == ""
    narrow = lines(END, Look(), width=18, height=3).splitlines()
    assert narrow[0] == "× the puzzle  +1"
    assert narrow[1] == "└ × r1c2=4"
    assert lines(LARGE[-1], Look(), height=9).count("\n") == 8


def test_a_frame_of_a_long_search_looks_at_no_more_nodes_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    node = Frame.node

    def noted(frame: Frame, number: int) -> Frame:
        looked_at.append(number)
        return node(frame, number)

    monkeypatch.setattr(Frame, "node", noted)
    moment = Moment(0, (LARGE[-2],), frozenset({0}))  # the last one counts the steps of all
    assert len(list(Scene(moment, HEADER_OF_SEARCH).lines(120, 40))) == 40
    assert 0 < len(looked_at) < MANY / 2


def test_the_guesses_that_are_taken_back_are_those_of_the_node_before() -> None:
    at_nodes = [moment.frames[0] for moment in RUN[2::2]]
    told = [[(guess.cell, guess.token - 1) for guess in frame.taken_back] for frame in at_nodes]
    assert told == [[], [], [(1, 3)], [(1, 4)], [(1, 3), (4, 2)]]
    kept, gone = at_nodes[3].guesses
    assert replace(at_nodes[3], previous=at_nodes[3], attempt=4, guesses=(kept,), tree=Tree()).taken_back == (gone,)


def test_the_path_begins_with_the_first_guess_and_gives_way_from_there() -> None:
    assert path_of(END, width=30) == "r1c2=4 › r2c1=3"
    assert path_of(END, width=14, ascii_only=True) == ".. > r2c1=3"
    assert path_of(RUN[1].frames[0], width=30) == "no guess"


def test_the_screen_tells_node_depth_and_guesses_at_every_size() -> None:
    for width, height in ((40, 20), (60, 24), (80, 24), (120, 40)):
        shown = "\n".join(line.plain for line in Scene(RUN[-1], HEADER_OF_SEARCH).lines(width, height))
        for words in (r"node +5\b", r"depth 2 +\S", r"r2c1=3", r"change of z", r"violations +0\b", "solved"):
            assert re.search(words, shown), (width, height, words, shown)
    assert "✓ r2c1=3  solved" in shown
    plain = "\n".join(plain_lines(RUN[7], HEADER_OF_SEARCH, ascii_only=True))
    assert "node 4" in plain
    assert "r1c2=3 > r2c1=2" in plain
    assert "not r1c2=4" in plain


def test_inside_a_step_of_a_node_the_heat_map_stays_where_it_was() -> None:
    heat = np.ones(16, np.float32)
    inside = replace(END, update=Update("z", 1, 1, heat, 0.5), halt_probability=None, previous=RUN[-2].frames[0])
    scene = Scene(Moment(0, (inside,), frozenset({0})), replace(HEADER_OF_SEARCH, inner=True))
    for height in (17, 40):
        shown = "\n".join(line.plain for line in scene.lines(80, height))
        assert "████████  ██ 1.5" in shown, height


def test_guesses_and_those_taken_back_have_marks_and_colours_of_their_own() -> None:
    """Also where a guess is a violation: its cell is red but for its left edge."""
    first, last = (view_of(RUN[place].frames[0]) for place in (7, 8))
    assert [first.mark(cell) for cell in (0, 1, 4)] == [" ", "!", "!"]
    calm = replace(last, violations=frozenset(), changed=frozenset(), taken_back={2, 4})
    assert [calm.mark(cell) for cell in (0, 1, 2, 4)] == [" ", "?", "~", "?"]
    styles = [cell_style(calm, cell, 0) for cell in (0, 1, 2)]
    assert GUESS_PAPER in styles[1]
    assert TAKEN_BACK_PAPER in styles[2]
    assert len({*styles, cell_style(first, 1, 0)}) == 4
    papers = {span.style for span in board_text(first, Look()).spans}
    assert {f"on {GUESS_PAPER}", VIOLATION_STYLE} <= papers


def test_the_verdict_says_what_the_search_took() -> None:
    assert verdict(END, HEADER_OF_SEARCH).plain == "solved in 10 steps: 5 nodes, 2 guesses deep"
    assert verdict(RUN[4].frames[0], HEADER_OF_SEARCH).plain == "node 2 ended: 9 violations"
    assert course(1, 1, 1) == "1 step: 1 node, 1 guess deep"


def test_leaves_lie_side_by_side_and_parents_between_their_branches() -> None:
    found = places(LARGE[-1])
    leaves = sorted(place.x for place in found if place.node.attempt not in {one.parent for one in found})
    assert leaves == list(range(len(leaves)))
    for place in found:
        below = [one.x for one in found if one.parent == place.node.attempt]
        assert not below or min(below) <= place.x <= max(below)
    by_depth = {depth: sorted(p.x for p in found if len(p.node.path) == depth) for depth in range(1, 8)}
    assert all(right - left > 0.99 for row in by_depth.values() for left, right in pairwise(row))


@pytest.mark.parametrize("frame", [END, LARGE[-1], RUN[1].frames[0]], ids=["small", "large", "one node"])
def test_a_tree_is_drawn_as_svg_and_png(frame: Frame, tmp_path: Path) -> None:
    svg = draw_tree(frame, title="A tree", network="tiny").decode()
    assert "prefers-color-scheme: dark" in svg
    assert f"{frame.num_tried} node{'s' * (frame.num_tried > 1)}, " in svg
    assert (f'style="fill: {GREEN}; ' in svg) == frame.solved
    if frame is END:
        assert ">r2c1<" in svg  # which was branched
        assert "r1c2=4 › r2c1=3; cost 2.00" in svg
    (tmp_path / "tree.png").write_bytes(draw_tree(frame, title="A tree", network="tiny", suffix=".png"))
    assert len(np.unique(np.asarray(Image.open(tmp_path / "tree.png").convert("L")))) > 20


def test_a_trace_keeps_the_tree_and_the_command_draws_it(tmp_path: Path) -> None:
    path, tree = tmp_path / "run.jsonl", tmp_path / "tree.svg"
    path.write_text("\n".join(trace_lines(HEADER_OF_SEARCH, RUN)))
    again = list(read_trace(path).moments)[-1].frames[0]
    assert lines(again, Look()) == SOLVED
    assert (again.guesses, again.cost) == (END.guesses, END.cost)
    done = CliRunner().invoke(app, ["watch", "--replay", str(path), "--tree", str(tree), "-q"])
    assert (done.exit_code, done.stdout) == (0, "1 of 1 solved\n")
    assert tree.read_bytes() == draw_tree(END, title="Search tree of one puzzle, sudoku", network="tiny")
    refused = CliRunner().invoke(app, ["watch", "--replay", str(path), "--tree", str(tree), "-q"])
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr


@pytest.mark.parametrize(
    ("before", "after"), [('"parent": 2', '"parent": 4'), ("[[1, 5], [4, 4]]", "[[1, 5], [16, 4]]")]
)
def test_a_trace_whose_tree_cannot_be_is_refused(before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    content = "\n".join(trace_lines(HEADER_OF_SEARCH, RUN))
    path.write_text(content.replace(before, after))
    assert path.read_text() != content
    with pytest.raises(UsageError, match=r"frames\[0\].*; record the run again"):
        list(read_trace(path).moments)


@pytest.mark.parametrize(
    ("header", "moments", "name", "words"),
    [
        (HEADER, run_of_one(), "tree.svg", "guesses nothing"),
        (replace(HEADER_OF_TWO, search="best-first"), run_of_two(), "tree.svg", "there are 2; give one"),
        (HEADER_OF_SEARCH, RUN, "tree.gif", "name a file ending in .svg or .png"),
        (HEADER_OF_SEARCH, RUN[:1], "tree.svg", "before its first step"),
    ],
)
def test_what_has_no_tree_is_refused_in_a_line(
    header: object, moments: list[Moment], name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        Run(header, iter(moments)).save_tree(tmp_path / name)  # type: ignore[arg-type]
    assert not (tmp_path / name).exists()


def test_a_page_has_the_whole_tree_once() -> None:
    page = page_of(HEADER_OF_SEARCH, RUN)
    assert page.count('"guess":"r1c2=4"') == 1
    assert '"trees":[]' in page_of(HEADER, run_of_one())
