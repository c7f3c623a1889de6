"""The page of a run in a real browser: slider, buttons, keys, light and dark, no network."""

from collections.abc import Iterator

import pytest

from tests.browser import Page, browsing, find_browser
from tests.watched import HEADER_INSIDE, HEADER_OF_TWO, run_inside, run_of_two
from trm_cli.display.export import page_of

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser that can be driven")
GLYPHS = "[...document.querySelectorAll('.board')].map((board) => board.textContent)"
PLACE = "document.getElementById('place')?.textContent"
VERDICT = "document.getElementById('verdict').textContent"
PLAY = "document.getElementById('play').textContent"
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "run.html"
    path.write_text(page_of(HEADER_INSIDE, run_inside(), pause=0.2), encoding="utf-8")
    (folder / "two.html").write_text(page_of(HEADER_OF_TWO, run_of_two(), pause=0.2), encoding="utf-8")
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
    assert page.value(PLACE) == "moment 1 of 7"
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
    assert page.value(PLACE) == "moment 7 of 7"
    page.press("ArrowLeft")
    assert page.value(PLACE) == "moment 6 of 7"


def test_the_slider_goes_where_it_is_put(page: Page) -> None:
    page.click("#slider", across=0.5)
    assert page.value(PLACE) == "moment 4 of 7"
    page.press("ArrowRight")  # a key is one moment, on the slider too
    assert page.value(PLACE) == "moment 5 of 7"
    assert page.value("document.getElementById('slider').value") == "4"


def test_the_play_button_plays_to_the_end_and_pauses(page: Page) -> None:
    page.press("+")
    page.press("+")
    assert page.value("document.getElementById('speed').selectedOptions[0].text") == "4x"
    page.click("#play")
    assert page.value(PLAY) == "Pause"
    page.wait(f"{PLACE} === 'moment 7 of 7'")
    page.wait(f"{PLAY} === 'Play'")
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


def test_puzzles_side_by_side_stay_when_they_have_halted(page: Page) -> None:
    page.call("Page.navigate", url=(page.folder / "two.html").as_uri())
    page.wait(f"{PLACE} === 'moment 1 of 4'")
    page.press("End")
    assert page.value(GLYPHS) == ["1234341221434321"] * 2
    captions = "[...document.querySelectorAll('figcaption')].map((caption) => caption.textContent)"
    assert page.value(captions) == ["puzzle 1: solved in 2 steps", "puzzle 2: solved in 3 steps"]
    assert page.value(VERDICT) == "2 of 2 solved"


def test_no_error_and_no_request_but_for_the_file_itself(page: Page) -> None:
    bad = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in page.events if event["method"] in bad] == []
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith("file://") and url.endswith(".html") for url in asked)
