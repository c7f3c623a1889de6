"""The page of a run in a real browser: slider, buttons, keys, light and dark, no network."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.browser import Page, browsing, find_browser
from tests.watched import (
    HEADER_INSIDE,
    HEADER_OF_SEARCH,
    HEADER_OF_TWO,
    question,
    run_inside,
    run_of_search,
    run_of_two,
)
from trm_cli.display.export import page_of
from trm_cli.display.screen import HOTTEST, meanings
from trm_cli.solving.trace import Moment

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser that can be driven")
GLYPHS = "[...document.querySelectorAll('.board')].map((board) => board.textContent)"
PLACE = "document.getElementById('place')?.textContent"
VERDICT = "document.getElementById('verdict').textContent"
AT = "document.getElementById('slider').value"
PLAY = "document.getElementById('play')?.textContent"
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "run.html"
    path.write_text(page_of(HEADER_INSIDE, run_inside(), pause=0.2), encoding="utf-8")
    (folder / "two.html").write_text(page_of(HEADER_OF_TWO, run_of_two(), pause=0.2), encoding="utf-8")
    (folder / "search.html").write_text(page_of(HEADER_OF_SEARCH, run_of_search(), pause=0.2), encoding="utf-8")
    nine = replace(HEADER_OF_TWO, rows=3, columns=3, num_puzzles=9)
    (folder / "nine.html").write_text(page_of(nine, [Moment(0, (question(),) * 9, frozenset(range(9)))]))
    assert BROWSER is not None
    with browsing(BROWSER, folder / "profile") as opened:
        opened.folder = folder
        opened.open(path)
        yield opened


@pytest.fixture(autouse=True)
def at_the_beginning(page: Page) -> None:
    page.press("Home")


def test_keys_step_through_the_run(page: Page) -> None:
    assert page.value(GLYPHS) == ["141141"]
    assert (page.value(AT), page.value(PLACE)) == ("0", "step 0 of 4")
    page.press("ArrowRight")
    assert page.value("document.querySelector('.call').textContent") == (
        "recursion 1 of 1, call 1 of 2: z = net(x, y, z)"
    )
    assert page.value("document.querySelectorAll('#heat i').length") == 16
    page.press("ArrowRight")
    assert page.value(GLYPHS) == ["1334341231244221"]
    assert page.value(VERDICT) == "9 violations"
    assert page.value("document.querySelectorAll('.cell.violated').length") == 9
    assert page.value("document.querySelectorAll('.cell.changed').length") == 10
    page.press("End")
    assert (page.value(GLYPHS), page.value(VERDICT)) == (["1234341221434321"], "solved in 3 steps")
    page.press("ArrowRight")
    assert (page.value(AT), page.value(PLACE)) == ("6", "step 3 of 4")
    page.press("ArrowLeft")
    assert page.value(AT) == "5"


def test_the_slider_goes_where_it_is_put(page: Page) -> None:
    page.click("#slider", across=0.5)
    assert page.value(AT) == "3"
    page.press("ArrowRight")  # a key is one moment, on the slider too
    assert (page.value(AT), page.value(PLACE)) == ("4", "step 2 of 4")


def test_the_play_button_plays_to_the_end_and_pauses(page: Page) -> None:
    page.press("+")
    page.press("+")
    assert page.value("document.getElementById('speed').selectedOptions[0].text") == "4x"
    page.click("#play")
    assert page.value(PLAY) == "Pause"
    page.wait(f"{PLACE} === 'step 3 of 4'")
    page.wait(f"{PLAY} === 'Replay'")
    page.press(" ")  # the button has the focus: it is pressed once, not twice
    page.wait(f"{PLAY} === 'Pause'")
    for _ in range(4):
        page.press("-")
    assert page.value("document.getElementById('speed').selectedOptions[0].text") == "0.25x"
    page.press("ArrowRight")
    assert page.value(PLAY) == "Play"


def test_the_space_key_plays_and_pauses(page: Page) -> None:
    page.value("document.activeElement.blur()")
    page.press(" ")
    assert page.value(PLAY) == "Pause"
    page.press(" ")
    assert page.value(PLAY) == "Play"


def test_light_and_dark_follow_the_system_and_the_button(page: Page) -> None:
    page.prefer("dark")
    page.wait(f"{PAPER} === 'rgb(13, 17, 23)'")
    page.prefer("light")
    page.wait(f"{PAPER} === 'rgb(255, 255, 255)'")
    page.click("#theme")
    assert page.value(PAPER) == "rgb(13, 17, 23)"
    page.click("#theme")
    assert page.value(PAPER) == "rgb(255, 255, 255)"


def test_help_explains_every_reading_while_the_run_waits(page: Page) -> None:
    is_open = "document.getElementById('help').open"
    page.press("?")
    assert page.value(is_open)
    explained = page.value("[...document.querySelectorAll('#meanings dt')].map((name) => name.textContent)")
    shown = page.value("[...document.querySelectorAll('.reading span')].map((name) => name.textContent)")
    assert explained == shown == [name for name, _ in meanings(HEADER_INSIDE)]
    page.press("ArrowRight")
    assert (page.value(AT), page.value(is_open)) == ("0", True)
    page.press("?")
    assert not page.value(is_open)


def test_the_heat_map_and_the_colours_have_a_legend(page: Page) -> None:
    page.press("ArrowRight")
    assert page.value("document.querySelector('.scale').textContent") == f"0{HOTTEST:g}"
    colours = "[...document.querySelectorAll('#told .legend li')].map((item) => item.textContent)"
    assert page.value(colours) == ["unsure to certain", "violation", "changed"]


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_it_plays_by_itself_to_the_end_unless_nothing_may_move(page: Page, motion: str) -> None:
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": motion}])
    page.value("window.isLeft = true")
    page.call("Page.navigate", url=(page.folder / "run.html").as_uri())
    page.wait(f"!window.isLeft && {PLAY} === '{'Play' if motion == 'reduce' else 'Pause'}'")
    if motion != "reduce":
        page.wait(f"{PLAY} === 'Replay' && {AT} === '6'")


def test_puzzles_side_by_side_stay_when_they_have_halted(page: Page) -> None:
    page.call("Page.navigate", url=(page.folder / "two.html").as_uri())
    page.wait(f"{PLACE} === 'step 0 of 4'")
    page.press("ArrowRight")
    captions = "[...document.querySelectorAll('figcaption')].map((caption) => caption.textContent)"
    assert page.value(captions) == ["puzzle 1: step 1 of 4, 9 violations", "puzzle 2: step 1 of 4, 9 violations"]
    assert page.value(VERDICT) == "0 of 2 solved, 2 running"
    page.press("End")
    assert page.value(GLYPHS) == ["1234341221434321"] * 2
    assert page.value(captions) == ["puzzle 1: solved in 2 steps", "puzzle 2: solved in 3 steps"]
    assert page.value(VERDICT) == "2 of 2 solved"


def test_nine_boards_and_the_controls_fit_without_scrolling(page: Page) -> None:
    page.call("Page.navigate", url=(page.folder / "nine.html").as_uri())
    page.wait("document.querySelectorAll('.board').length === 9")
    for width, height in ((1200, 900), (1000, 720)):
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        sizes = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert page.value(sizes) == [width, height]
    page.call("Emulation.clearDeviceMetricsOverride")


def test_the_tree_grows_and_a_node_leads_to_its_last_step(page: Page) -> None:
    kinds = "[...document.querySelectorAll('.tree g')].map((node) => node.getAttribute('class'))"
    page.open(page.folder / "search.html")
    page.press("End")
    assert page.value(kinds) == ["now", "", "now", "", "now shown right"]
    guesses = "[...document.querySelectorAll('.guessed')].map((cell) => cell.textContent)"
    assert page.value(guesses) == ["2", "3"]
    assert page.value("document.querySelector('.guesses').textContent") == "depth 2r1c2=4 \u203a r2c1=3r1c2=3r2c1=2"
    page.value("document.querySelectorAll('.tree g')[1].dispatchEvent(new MouseEvent('click'))")
    assert page.value(PLACE) == "step 2 of 2, node 2"
    assert page.value(kinds) == ["now", "now shown", "later", "later", "later"]
    page.press("Home")
    assert page.value("document.querySelectorAll('.tree').length") == 0


def test_no_error_and_no_request_but_for_the_file_itself(page: Page) -> None:
    bad = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in page.events if event["method"] in bad] == []
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith("file://") and url.endswith(".html") for url in asked)
