"""What a visitor does on the page in which a network thinks: keys, mouse, clipboard, a large and a small screen."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live_pages import (
    BROWSER,
    EXAMPLES,
    GLYPHS,
    IS_OVER,
    MESSAGE,
    PLAY,
    VERDICT,
    Open,
    found,
    opening,
    page_text,
    puzzle_of,
    task_of,
)
from trm_cli.errors import PuzzleError, TRMError
from trm_cli.tasks import get_task
from trm_cli.tasks.inputs import Source, read_puzzles
from trm_cli.weights.catalogue import refuse_board

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    with opening(tmp_path_factory.mktemp("pages")) as open_it:
        yield open_it


def solve(page: Page) -> None:
    page.select_option("#speed", label="max")
    page.click(PLAY)
    page.wait_for_function(IS_OVER, timeout=60_000)


@pytest.mark.parametrize("name", ["sudoku", "maze"])
def test_its_examples_are_solved(open_page: Open, name: str) -> None:
    page = open_page(name).page
    count = page.evaluate("shelf.length")
    assert count >= 7
    for number in range(count):
        page.select_option("#pick", str(number))
        solve(page)
        expect(page.locator(VERDICT)).to_have_class("verdict solved")
        expect(page.locator(VERDICT)).to_have_text(re.compile(r"^solved in \d"))


def test_step_takes_one_step_and_solve_goes_on(open_page: Open) -> None:
    page = open_page("sudoku").page
    question = page.evaluate(GLYPHS)
    expect(page.locator(PLAY)).to_have_text("Solve")
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    assert page.evaluate(GLYPHS) != question
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 2 of 16")
    page.click("#back")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    expect(page.locator(PLAY)).to_have_text("Go on")
    page.click(PLAY)
    expect(page.locator(PLAY)).to_have_text("Pause")
    page.click(PLAY)
    page.wait_for_timeout(300)
    count = page.evaluate("moments.length")
    page.wait_for_timeout(700)
    assert page.evaluate("moments.length") == count  # it waits
    solve(page)
    expect(page.locator(PLAY)).to_have_text("Replay")
    count = page.evaluate("moments.length")
    page.click("#forth")  # there is no other
    assert page.evaluate("[at, moments.length]") == [count - 1, count]
    page.select_option("#speed", label="0.25x")
    page.click(PLAY)
    expect(page.locator(PLAY)).to_have_text("Pause")
    assert page.evaluate("[at, moments.length]") == [0, count]


def test_what_is_typed_is_the_puzzle(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    page.click("#clear")
    assert page.evaluate(GLYPHS) == "." * 81
    assert page.evaluate("$('pick').selectedOptions[0].text") == "your own"
    page.click(".cell:nth-child(1)")
    for digit in "53":
        page.keyboard.type(digit)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.type("x")  # is no digit
    page.keyboard.type("7")
    assert page.evaluate(GLYPHS) == "53" + "." * 9 + "7" + "." * 69
    page.keyboard.press("Backspace")
    assert page.evaluate(GLYPHS) == "53" + "." * 79
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "row 2, column 3: empty"
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")  # leaves the board: a step
    expect(page.locator("#place")).to_have_text("step 1 of 16")


def paste(page: Page, text: str) -> None:
    page.evaluate(
        """(text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        text,
    )


def test_what_is_pasted_in_any_spelling_can_be_picked(open_page: Open) -> None:
    page = open_page("sudoku").page
    text = "\n".join(line for line in (EXAMPLES / "spellings.txt").read_text().splitlines())
    puzzles = list(read_puzzles(get_task("sudoku"), Source("puzzle", text=text)))
    paste(page, text)
    options = page.locator("#pick option", has_text="pasted")
    assert options.count() == len(puzzles) > 1
    for number, puzzle in enumerate(puzzles, 1):
        page.select_option("#pick", label=f"pasted {number}")
        assert page.evaluate(GLYPHS) == get_task("sudoku").write(puzzle.tokens)
    page.click("#write")
    page.fill("#words", get_task("sudoku").write(puzzles[0].tokens))
    page.click("#take")
    expect(page.locator("#write-dialog")).to_be_hidden()
    assert page.evaluate(GLYPHS) == get_task("sudoku").write(puzzles[0].tokens)
    solve(page)
    expect(page.locator(VERDICT)).to_have_class("verdict solved")


BAD = {
    "repeated": ("sudoku", "55" + "." * 79),
    "short": ("sudoku", "53..7"),
    "letters": ("sudoku", "53..x" + "." * 76),
    "a maze": ("sudoku", "S.\n.G\n"),
    "two goals": ("maze", "S.G\n...\n..G\n"),
    "no way": ("maze", "S#\n#G\n"),
    "another size": ("sudoku", "1..4..1..1..4..1"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_bad_puzzle_gets_the_words_of_the_command_line(open_page: Open, case: tuple[str, str]) -> None:
    name, text = case
    page = open_page(name).page
    before = page.evaluate(GLYPHS)
    paste(page, text)
    with pytest.raises(TRMError) as caught:
        refuse_board(found(name).checkpoint, read_puzzles(task_of(name), Source("puzzle", text=text)).num_cells)
    expect(page.locator(MESSAGE)).to_have_text(str(caught.value))
    assert page.evaluate(GLYPHS) == before  # nothing is lost
    page.select_option("#pick", "0")
    expect(page.locator(MESSAGE)).to_be_hidden()


def test_a_bad_text_stays_in_its_dialog_with_the_message(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.click("#write")
    page.fill("#words", "55" + "." * 79)
    page.click("#take")
    expect(page.locator("#words-message")).to_have_text(re.compile("^puzzle:1:2: row 1 has the given 5 twice"))
    page.fill("#words", "5" + "." * 80)
    page.click("#take")
    expect(page.locator("#write-dialog")).to_be_hidden()
    assert page.evaluate(GLYPHS) == "5" + "." * 80


def test_a_bad_puzzle_that_was_typed_is_refused_when_it_is_to_be_solved(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.click("#clear")
    page.click(".cell:nth-child(1)")
    page.keyboard.type("5")
    page.keyboard.press("ArrowRight")
    page.keyboard.type("5")
    page.click(PLAY)
    with pytest.raises(PuzzleError) as caught:
        puzzle_of("sudoku", page.evaluate(GLYPHS))
    expect(page.locator(MESSAGE)).to_have_text(str(caught.value))
    assert page.evaluate("moments.length") == 1
    page.click(".cell:nth-child(2)")
    page.keyboard.press("Delete")
    expect(page.locator(MESSAGE)).to_be_hidden()


def test_a_puzzle_without_a_solution_is_tried_once_and_told_why(open_page: Open) -> None:
    page = open_page("sudoku").page
    paste(page, "".join((EXAMPLES / "no-solution.txt").read_text().split("\n")[-2:]))
    solve(page)
    expect(page.locator(VERDICT)).to_have_text("not solved in 16 steps: no solution exists")
    expect(page.locator(VERDICT)).to_have_class("verdict failed")


def test_keys_in_a_field_or_a_dialog_are_its_own(open_page: Open) -> None:
    page = open_page("maze").page
    page.click("#write")
    page.focus("#words")
    page.keyboard.type("S +-=?.G")
    assert page.input_value("#words") == "S +-=?.G"
    page.focus("#take")
    before = page.evaluate(GLYPHS)
    paste(page, "S.\n.G\n")
    assert page.evaluate(GLYPHS) == before
    page.click("#cancel")
    page.click("#card")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.focus("#inner")
    page.keyboard.press("Space")
    assert page.is_checked("#inner")
    page.focus("#pick")
    page.keyboard.press("ArrowDown")
    assert page.input_value("#pick") == "1"
    assert page.evaluate("[at, moments.length, isPlaying, $('help').open]") == [0, 1, False, False]


def test_a_press_before_the_step_before_has_come_is_heeded(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.select_option("#speed", label="max")
    page.evaluate("$('forth').click(); $('play').click()")
    page.wait_for_function(IS_OVER, timeout=60_000)
    page.select_option("#pick", "1")
    page.evaluate("$('forth').click(); $('back').click()")
    page.wait_for_function("() => moments.length > 1")
    assert page.evaluate("at") == 0
    page.evaluate("$('play').click(); $('play').click(); $('play').click()")
    page.wait_for_function(IS_OVER, timeout=60_000)


def test_the_puzzle_of_a_visitor_stays_and_can_be_emptied_after_a_run(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.click(".cell:nth-child(1)")
    page.keyboard.type("4")
    own = page.evaluate("task.write(puzzle.tokens)")
    page.select_option("#pick", "2")
    page.select_option("#pick", label="your own")
    assert page.evaluate(GLYPHS) == own
    page.click("#clear")
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    page.click("#clear")  # of the answer on the board, for the puzzle is empty
    assert page.evaluate(GLYPHS) == "." * 81


def test_a_browser_that_cannot_run_it_is_told_so(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("sudoku-4x4")
    page = tab.page
    for number, (words, other) in enumerate(
        (("DecompressionStream(", "Missing("), ("class Kernels {", "class Kernels (("))
    ):
        path = tmp_path / f"{number}.html"
        path.write_text(page_text("sudoku-4x4")[0].replace(words, other, 1), encoding="utf-8")
        page.goto(path.as_uri())
        for _ in range(2):
            page.click(PLAY)
            expect(page.locator(MESSAGE)).to_have_text(
                re.compile(r"^this browser cannot run the network.*; take one of 2023 or later$")
            )
            expect(page.locator(PLAY)).to_have_text("Solve")
    assert tab.errors == ["Unexpected token '('"]
    tab.errors.clear()


def test_a_long_run_does_not_scroll_sideways(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.select_option("#pick", label="example 9")
    page.select_option("#speed", label="max")
    page.click(PLAY)
    page.wait_for_function("() => moments.length > 66", timeout=60_000)
    page.click(PLAY)
    for width in (320, 390, 768, 900, 1200):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("Math.min(...[...document.querySelectorAll('.bars i')].map((bar) => bar.offsetWidth))") > 0


def test_a_maze_is_drawn_with_the_mouse_and_with_keys(open_page: Open) -> None:
    page = open_page("maze").page
    paste(page, "S...\n....\n....\n...G\n")
    boxes = page.evaluate(
        "[...document.querySelectorAll('.cell')].map((cell) => cell.getBoundingClientRect().toJSON())"
    )
    middle = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]

    def drag(*cells: int) -> None:
        page.mouse.move(*middle[cells[0]])
        page.mouse.down()
        for cell in cells[1:]:
            page.mouse.move(*middle[cell], steps=3)
        page.mouse.up()

    write = "task.write(puzzle.tokens)"
    drag(4, 5, 6)
    assert page.evaluate(write) == "S   ### " + " " * 7 + "G"
    drag(5, 6)  # a wall that is pressed opens
    assert page.evaluate(write) == "S   #   " + " " * 7 + "G"
    drag(15, 11, 10)
    assert page.evaluate(write) == "S   #     G     "
    drag(10, 6, 5, 4, 8)  # over a wall, which stays
    assert page.evaluate(write) == "S   #   G       "
    drag(8, 10)
    assert page.evaluate(write) == "S   #     G     "
    page.mouse.move(*middle[12])
    page.mouse.down()
    page.mouse.move(*middle[15])  # at once: what lies between is drawn, too
    page.mouse.up()
    assert page.evaluate(write) == "S   #     G ####"
    drag(15, 12)
    assert page.evaluate(write) == "S   #     G     "
    drag(10)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("g")
    assert page.evaluate(write) == "S   #        G# "
    solve(page)
    expect(page.locator(VERDICT)).to_have_text(re.compile(r"^solved in \d+ step"))


def test_it_fits_a_phone_and_digits_can_be_tapped(open_page: Open) -> None:
    for name in ("sudoku", "maze"):
        page = open_page(name, 390, 844).page
        page.click("#forth")
        expect(page.locator("#place")).to_have_text(re.compile("step 1 of 16"))
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        board, controls = (page.locator(part).bounding_box() for part in (".board", ".controls"))
        assert board is not None
        assert controls is not None
        assert board["width"] > 350
        assert board["y"] + board["height"] < controls["y"] < controls["y"] + controls["height"] <= 844
    page = open_page("sudoku", 390, 844).page
    page.click("#clear")
    page.click(".cell:nth-child(41)")
    page.click(".pad button:nth-child(8)")
    assert page.evaluate(GLYPHS) == "." * 40 + "8" + "." * 40
    page.click(".pad button:last-child")
    assert page.evaluate(GLYPHS) == "." * 81


def test_readings_have_tooltips_and_cells_have_labels(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    titles = page.evaluate("[...document.querySelectorAll('.reading')].map((line) => line.title)")
    assert titles == page.evaluate("run.meanings.filter(([name]) => name !== 'depth').map(([, meaning]) => meaning)")
    labels = page.evaluate("[...document.querySelectorAll('.cell')].map((cell) => cell.getAttribute('aria-label'))")
    assert labels[2] == "row 1, column 3: 7, given"
    assert re.fullmatch(r"row 1, column 1: [1-9], filled(, violation)?", labels[0])
    assert page.evaluate("document.querySelectorAll('.cell[tabindex=\"0\"]').length") == 1
    nameless = """[...document.querySelectorAll('button, select, input, textarea')].filter((one) =>
        !(one.textContent.trim() || one.closest('label') || one.ariaLabel || one.getAttribute('aria-labelledby')))"""
    assert page.evaluate(f"{nameless}.length") == 0
    page.click("#card")
    expect(page.locator("#card-dialog h1")).to_have_text("sudoku: a Tiny Recursive Model for sudoku")
    page.keyboard.press("Escape")
    assert "426,625 parameters; solved 100.0% of " in page.inner_text("#model")


def test_it_stays_responsive_while_the_network_thinks(open_page: Open) -> None:
    page = open_page("sudoku").page
    page.select_option("#pick", label="example 9")
    page.select_option("#speed", label="max")
    page.click(PLAY)
    page.wait_for_function("() => moments.length > 3")
    page.keyboard.press(" ")
    page.evaluate("document.activeElement.blur()")
    expect(page.locator(PLAY)).to_have_text("Go on")
    page.select_option("#pick", label="example 1")  # drops what is being computed
    page.click("#forth")
    expect(page.locator("#place")).to_have_text("step 1 of 16")
    assert page.evaluate("moments.length") == 2


def test_boards_of_other_sizes_are_solved_by_a_network_for_several(open_page: Open) -> None:
    page = open_page("sudoku-large-boards").page
    for name, cells in (("6x6", 36), ("12x12", 144), ("16x16", 256)):
        paste(page, (EXAMPLES / f"{name}.txt").read_text())
        assert page.evaluate("puzzle.tokens.length") == cells
        solve(page)
        expect(page.locator(VERDICT)).to_have_class("verdict solved")


def test_no_error_no_word_in_the_console_and_no_request_but_for_the_page(open_page: Open) -> None:
    tab = open_page("maze")
    solve(tab.page)
    assert (tab.errors, tab.console) == ([], [])
    assert tab.requests
    assert all(address.startswith(("file://", "blob:null/")) for address in tab.requests)
