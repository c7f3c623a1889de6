"""The page of a run in a real browser: slider, buttons, keys, light and dark, no network."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Tab, browsing, find_browser
from tests.watched import (
    HEADER_INSIDE,
    HEADER_OF_SEARCH,
    HEADER_OF_TWO,
    question,
    run_inside,
    run_of_search,
    run_of_two,
)
from trm_cli.display.page import page_of
from trm_cli.display.screen import HOTTEST, meanings
from trm_cli.solving.trace import Moment

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
SPEED = "document.getElementById('speed').selectedOptions[0].text"
PAPER = "getComputedStyle(document.body).backgroundColor"
WHITE, BLACK = "rgb(255, 255, 255)", "rgb(13, 17, 23)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    nine = replace(HEADER_OF_TWO, rows=3, columns=3, num_puzzles=9)
    pages = {
        "run": page_of(HEADER_INSIDE, run_inside(), pause=0.2),
        "two": page_of(HEADER_OF_TWO, run_of_two(), pause=0.2),
        "search": page_of(HEADER_OF_SEARCH, run_of_search(), pause=0.2),
        "nine": page_of(nine, [Moment(0, (question(),) * 9, frozenset(range(9)))]),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tab(folder: Path) -> Iterator[Tab]:
    assert BROWSER is not None
    with browsing(BROWSER) as opened:
        opened.page.goto((folder / "run.html").as_uri())
        yield opened


@pytest.fixture(autouse=True)
def page(tab: Tab) -> Page:
    tab.page.keyboard.press("Home")
    return tab.page


def glyphs(page: Page) -> list[str]:
    """Those of each board, as one string."""
    return page.locator(".board").all_text_contents()


def place(page: Page) -> tuple[str, str | None]:
    """Where the slider stands, and how that is said."""
    return page.input_value("#slider"), page.text_content("#place")


def test_keys_step_through_the_run(page: Page) -> None:
    assert glyphs(page) == ["141141"]
    assert place(page) == ("0", "step 0 of 4")
    page.keyboard.press("ArrowRight")
    assert page.text_content(".call") == "recursion 1 of 1, call 1 of 2: z = net(x, y, z)"
    assert page.locator("#heat i").count() == 16
    page.keyboard.press("ArrowRight")
    assert glyphs(page) == ["1334341231244221"]
    assert page.text_content("#verdict") == "9 violations"
    assert page.locator(".cell.violated").count() == 9
    assert page.locator(".cell.changed").count() == 10
    page.keyboard.press("End")
    assert (glyphs(page), page.text_content("#verdict")) == (["1234341221434321"], "solved in 3 steps")
    page.keyboard.press("ArrowRight")
    assert place(page) == ("6", "step 3 of 4")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("#slider") == "5"


def test_the_slider_goes_where_it_is_put(page: Page) -> None:
    page.click("#slider")  # in its middle
    assert page.input_value("#slider") == "3"
    page.keyboard.press("ArrowRight")  # a key is one moment, on the slider too
    assert place(page) == ("4", "step 2 of 4")


def test_the_play_button_plays_to_the_end_and_pauses(page: Page) -> None:
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.evaluate(SPEED) == "4x"
    page.click("#play")
    assert page.text_content("#play") == "Pause"
    expect(page.locator("#place")).to_have_text("step 3 of 4")
    expect(page.locator("#play")).to_have_text("Replay")
    page.keyboard.press(" ")  # the button has the focus: it is pressed once, not twice
    expect(page.locator("#play")).to_have_text("Pause")
    for _ in range(4):
        page.keyboard.press("-")
    assert page.evaluate(SPEED) == "0.25x"
    page.keyboard.press("ArrowRight")
    assert page.text_content("#play") == "Play"


def test_the_space_key_plays_and_pauses(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    assert page.text_content("#play") == "Pause"
    page.keyboard.press(" ")
    assert page.text_content("#play") == "Play"


def test_light_and_dark_follow_the_system_and_the_button(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", BLACK)
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", WHITE)
    page.click("#theme")
    assert page.evaluate(PAPER) == BLACK
    page.click("#theme")
    assert page.evaluate(PAPER) == WHITE


def test_help_explains_every_reading_while_the_run_waits(page: Page) -> None:
    is_open = "document.getElementById('help').open"
    page.keyboard.press("?")
    assert page.evaluate(is_open)
    explained = page.locator("#meanings dt").all_text_contents()
    shown = page.evaluate("[...document.querySelectorAll('.reading span')].map((name) => name.textContent)")
    assert explained == shown == [name for name, _ in meanings(HEADER_INSIDE)]
    page.keyboard.press("ArrowRight")
    assert (page.input_value("#slider"), page.evaluate(is_open)) == ("0", True)
    page.keyboard.press("?")
    assert not page.evaluate(is_open)


def test_the_heat_map_and_the_colours_have_a_legend(page: Page) -> None:
    page.keyboard.press("ArrowRight")
    assert page.text_content(".scale") == f"0{HOTTEST:g}"
    assert page.locator("#told .legend li").all_text_contents() == ["unsure to certain", "violation", "changed"]


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_it_plays_by_itself_to_the_end_unless_nothing_may_move(
    page: Page, folder: Path, motion: Literal["no-preference", "reduce"]
) -> None:
    page.emulate_media(reduced_motion=motion)
    page.goto((folder / "run.html").as_uri())
    expect(page.locator("#play")).to_have_text("Play" if motion == "reduce" else "Pause")
    if motion != "reduce":
        expect(page.locator("#play")).to_have_text("Replay")
        assert page.input_value("#slider") == "6"


def test_puzzles_side_by_side_stay_when_they_have_halted(page: Page, folder: Path) -> None:
    page.goto((folder / "two.html").as_uri())
    expect(page.locator("#place")).to_have_text("step 0 of 4")
    page.keyboard.press("ArrowRight")
    captions = page.locator("figcaption")
    assert captions.all_text_contents() == [
        "puzzle 1: step 1 of 4, 9 violations",
        "puzzle 2: step 1 of 4, 9 violations",
    ]
    assert page.text_content("#verdict") == "0 of 2 solved, 2 running"
    page.keyboard.press("End")
    assert glyphs(page) == ["1234341221434321"] * 2
    assert captions.all_text_contents() == ["puzzle 1: solved in 2 steps", "puzzle 2: solved in 3 steps"]
    assert page.text_content("#verdict") == "2 of 2 solved"


def test_nine_boards_and_the_controls_fit_without_scrolling(page: Page, folder: Path) -> None:
    page.goto((folder / "nine.html").as_uri())
    expect(page.locator(".board")).to_have_count(9)
    before = page.viewport_size
    assert before is not None
    for width, height in ((1200, 900), (1000, 720)):
        page.set_viewport_size({"width": width, "height": height})
        sizes = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert page.evaluate(sizes) == [width, height]
    page.set_viewport_size(before)


def test_the_tree_grows_and_a_node_leads_to_its_last_step(page: Page, folder: Path) -> None:
    kinds = "[...document.querySelectorAll('.tree g')].map((node) => node.getAttribute('class'))"
    page.goto((folder / "search.html").as_uri())
    page.keyboard.press("End")
    assert page.evaluate(kinds) == ["now", "", "now", "", "now shown right"]
    assert page.locator(".guessed").all_text_contents() == ["2", "3"]
    assert page.text_content(".guesses") == "depth 2r1c2=4 \u203a r2c1=3 r1c2=3 r2c1=2"
    page.dispatch_event(".tree g >> nth=1", "click")
    assert page.text_content("#place") == "step 2 of 2, node 2"
    assert page.evaluate(kinds) == ["now", "now shown", "later", "later", "later"]
    page.keyboard.press("Home")
    assert page.locator(".tree").count() == 0


def test_no_error_and_no_request_but_for_the_file_itself(tab: Tab) -> None:
    assert (tab.errors, tab.console) == ([], [])
    assert tab.requests
    assert all(url.startswith("file://") and url.endswith(".html") for url in tab.requests)
