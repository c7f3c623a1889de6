"""Pictures of a run: well-formed, timed, alike, and nothing is asked of anyone else."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.segment import Segment
from rich.style import Style

from tests.watched import HEADER, HEADER_INSIDE, HEADER_OF_TWO, run_inside, run_of_one, run_of_two
from trm_cli.display import export
from trm_cli.display.export import ARMS, animated_gif, animated_svg, film, glyphs_of, rectangles, save_run
from trm_cli.display.page import page_of
from trm_cli.errors import UsageError
from trm_cli.solving.trace import Frame, Header, Moment
from trm_cli.tasks.base import Puzzle
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes
from trm_cli.tasks.sudoku import Sudoku

RUNS = {"one": (HEADER, run_of_one()), "inside": (HEADER_INSIDE, run_inside()), "two": (HEADER_OF_TWO, run_of_two())}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("header", "moments"), RUNS.values(), ids=RUNS.keys())
def test_an_svg_is_well_formed_and_names_nobody(header: Header, moments: list[Moment]) -> None:
    content = animated_svg(header, moments, 0.8).decode()
    root = ElementTree.fromstring(content)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert not re.findall(r"url\(|href|<script|@import|@font-face", content)
    assert re.findall(r"https?://\S+", content) == ['http://www.w3.org/2000/svg"']


def test_an_svg_shows_each_glyph_for_as_long_as_it_stays() -> None:
    shown = film(HEADER, run_of_one(), 0.8)
    content = animated_svg(HEADER, run_of_one(), 0.8).decode()
    root = ElementTree.fromstring(content)
    intervals = [
        tuple(map(int, group.attrib["class"][3:].split("-")))
        for group in root.iter(f"{SVG}g")
        if "class" in group.attrib
    ]
    assert len(set(intervals)) == len(intervals)
    assert all(0 <= first < last <= len(shown) for first, last in intervals)
    steps = [text.text for text in root.iter(f"{SVG}text") if text.text == "trm watch"]
    assert len(steps) == 1  # what never changes is there once
    assert f"animation: {sum(shot.seconds for shot in shown):.2f}s" in content


def test_a_film_holds_each_step_for_its_time_and_the_end_for_longer() -> None:
    shots = film(HEADER, run_of_one(), 0.8)
    assert sum(shot.seconds for shot in shots) == pytest.approx(3 * 0.8 + 3.0)
    assert len(shots) == 1 + 3 * 3  # the question, and three steps with two brightnesses each
    inside = film(HEADER_INSIDE, run_inside(), 0.8)
    assert sum(shot.seconds for shot in inside) == pytest.approx(3 * 0.8 + 3 * 0.2 + 3.0)


def text_of(header: Header, moments: list[Moment]) -> str:
    return "\n".join("".join(glyph.text for glyph in row) for row in film(header, moments, 0.8)[-1].rows)


def test_a_picture_has_room_for_its_boards() -> None:
    nine = Puzzle(np.ones(81, np.uint8), 9, 9, "test", 1)
    first = Frame(nine, Sudoku(), 0, nine.tokens, 16)
    header = replace(HEADER_OF_TWO, rows=3, columns=3, num_puzzles=9)
    drawn = text_of(header, [Moment(0, (first,) * 9, frozenset(range(9)))])
    assert drawn.count("┌───────┬───────┬───────┐") == 9
    data = generate_mazes(WantedMazes(1, min_path=40), size=30, seed=0)
    maze = Frame(Puzzle(data.puzzles[0], 30, 30, "test", 1), Maze(), 0, data.answers[0], 16)
    drawn = text_of(replace(HEADER, task=Maze()), [Moment(0, (maze,), frozenset({0}))])
    assert ("▒▒" in drawn, drawn.count("S"), drawn.count("G")) == (True, 1, 1)


def test_marks_of_one_style_keep_their_density() -> None:
    """Walls and path that are both violations lie side by side."""
    glyphs = list(glyphs_of([Segment("▒▒━━", Style(color="red"))]))
    assert [(glyph.column, glyph.text) for glyph in glyphs] == [(0, "▒▒"), (2, "━━")]


def test_lines_of_neighbouring_characters_meet() -> None:
    for mark, arms in ARMS.items():
        shapes = rectangles(mark, 0.5)
        edges = [
            min(s[0] for s in shapes) == 0,
            max(s[2] for s in shapes) == 1,
            min(s[1] for s in shapes) == 0,
            max(s[3] for s in shapes) == 1,
        ]
        assert edges == [arm != "0" for arm in arms], mark
    assert rectangles("5", 0.5) == []


@pytest.mark.parametrize(("header", "moments"), RUNS.values(), ids=RUNS.keys())
def test_a_gif_has_a_picture_for_every_shot(header: Header, moments: list[Moment]) -> None:
    image = pytest.importorskip("PIL.Image")
    shots = film(header, moments, 0.8)
    with image.open(io.BytesIO(animated_gif(header, moments, 0.8))) as gif:
        assert gif.info["loop"] == 0
        lasted, colours = 0.0, set()
        for number in range(gif.n_frames):
            gif.seek(number)
            lasted += gif.info["duration"] / 1000
            colours |= {colour for _, colour in gif.convert("RGB").getcolors(1 << 24)}
    assert lasted == pytest.approx(sum(shot.seconds for shot in shots), abs=0.02 * len(shots))
    yellow = (0xF2, 0xC0, 0x37)
    assert any(sum(abs(a - b) for a, b in zip(colour, yellow, strict=True)) < 24 for colour in colours)


@pytest.mark.parametrize(("header", "moments"), RUNS.values(), ids=RUNS.keys())
def test_a_page_is_whole_and_asks_for_nothing(header: Header, moments: list[Moment]) -> None:
    content = page_of(header, moments)
    assert not re.findall(r"https?://|src=|href=|@import|url\(|fetch\(|XMLHttp|WebSocket", content)
    assert "default-src 'none'" in content
    told = re.search(r'<script type="application/json" id="run">(.*?)</script>', content, re.DOTALL)
    assert told is not None
    run = json.loads(told[1])
    assert len(run["moments"]) == len(moments)
    assert run["moments"][0]["frames"][0]["glyphs"][:4] == ["1", "", "", "4"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "no" / "run.svg"
    with pytest.raises(UsageError, match=r"run\.svg: cannot be written \(No such file"):
        save_run(path, HEADER, run_of_one(), pause=None)


def test_a_gif_without_pillow_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--save run\.gif: a GIF needs Pillow; pip install pillow$"):
        export.check_names([Path("run.svg"), Path("run.gif")])
