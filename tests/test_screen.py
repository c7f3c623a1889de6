"""The screen of `trm watch` at every size of a terminal."""

import io
import math

import pytest
from rich.console import Console

from tests.watched import HEADER, HEADER_INSIDE, HEADER_OF_TWO, run_inside, run_of_one, run_of_two
from trm_cli.display.boards import Look
from trm_cli.display.screen import BLOCKS, Scene, area, bars, fit
from trm_cli.solving.trace import Header, Moment

SIZES = [(80, 24), (120, 40), (60, 20), (40, 15), (24, 60), (30, 8), (12, 4), (200, 60)]
RUNS = [(HEADER, run_of_one()), (HEADER_INSIDE, run_inside()), (HEADER_OF_TWO, run_of_two())]
WHOLE = """\
 trm watch sudoku                                        tiny, 1,234 parameters

 ┏━━━┯━━━┳━━━┯━━━┓   step       3 of 4
 ┃ 1 │ 2 ┃ 3 │ 4 ┃   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────
 ┠───┼───╂───┼───┨
 ┃ 3 │ 4 ┃ 1 │ 2 ┃   halt         90.0%  ▁▁▁▃▃▃▇▇▇
 ┣━━━┿━━━╋━━━┿━━━┫   confidence   87.5%  ▅▅▅▆▆▆▆▆▆
 ┃ 2 │ 1 ┃ 4 │ 3 ┃
 ┠───┼───╂───┼───┨   changed          4  ▇▇▇▂▂▂▃▃▃
 ┃ 4 │ 3 ┃ 2 │ 1 ┃   violations       0  ▇▇▇▆▆▆▁▁▁
 ┗━━━┷━━━┻━━━┷━━━┛
                     change y     0.500  ▇▇▇▄▄▄▃▃▃
                     change z     0.333  ▇▇▇▄▄▄▃▃▃

                     attempt    1        time 0.38 s

                     recursion 1/1 call 2/2  y = net(y, z)
                     ████████
                     ████████
                     ████████
                     ████████

 solved in 3 steps
 space pause                                                             paused"""


def drawn(
    moment: Moment, header: Header, size: tuple[int, int], look: Look | None = None, encoding: str = "utf-8"
) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=file,
        width=size[0],
        height=size[1],
        record=True,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(Scene(moment, header, look or Look(), "paused", "space pause"))
    return console.export_text().splitlines()


def test_the_whole_screen() -> None:
    lines = drawn(run_inside()[-1], HEADER_INSIDE, (80, 24))
    assert "\n".join(line.rstrip() for line in lines) == WHOLE


@pytest.mark.parametrize("size", SIZES)
def test_a_screen_fits_every_terminal(size: tuple[int, int]) -> None:
    for header, moments in RUNS:
        for moment in moments:
            lines = drawn(moment, header, size)
            assert max(map(len, lines)) <= size[0]
            assert len(lines) <= size[1]


@pytest.mark.parametrize("size", SIZES)
def test_a_terminal_without_such_characters_gets_ascii(size: tuple[int, int]) -> None:
    for header, moments in RUNS:
        for moment in moments:
            look = Look(ascii_only=True, marks=True)
            assert all(line.isascii() for line in drawn(moment, header, size, look, "ascii"))


def test_narrow_terminals_show_the_figures_without_charts() -> None:
    text = "\n".join(drawn(run_of_one()[-1], HEADER, (38, 15)))
    words = [
        "step       3/4",
        "halt       90.0%",
        "confidence 87.5%",
        "changed    4",
        "violations 0",
        "change y   0.500",
        "change z   0.333",
        "attempt    1",
        "time       0.38 s",
        "solved in 3",
    ]
    assert [word for word in words if word not in text] == []


def test_tall_narrow_terminals_show_the_figures_below_the_board() -> None:
    lines = drawn(run_of_one()[-1], HEADER, (24, 60))
    board = next(row for row, line in enumerate(lines) if line.startswith(" ┗"))
    assert next(row for row, line in enumerate(lines) if "halt" in line) > board


def test_tiles_show_each_puzzle_with_how_it_stands() -> None:
    text = "\n".join(drawn(run_of_two()[2], HEADER_OF_TWO, (80, 24)))
    for words in ("puzzle 1", "puzzle 2", "1 to 2 of 2", "solved", "8 violations", "1 solved", "1 still thinking"):
        assert words in text


def test_a_puzzle_that_halted_flashes_no_more() -> None:
    def new_cells(moment: Moment) -> int:
        lines = Scene(moment, HEADER_OF_TWO, Look(flash=2)).lines(80, 24)
        return sum("on #f2c037" in str(span.style) for line in lines for span in line.spans)

    both_new, second_new = run_of_two()[2:]
    one, two = (len(frame.changed) for frame in both_new.frames)
    spans = new_cells(both_new) / (one + two)  # of a cell
    assert new_cells(second_new) == spans * len(second_new.frames[1].changed) > 0


def test_the_verdict_is_plain() -> None:
    verdicts = [drawn(moment, HEADER, (80, 24))[-2].strip() for moment in run_of_one()]
    assert verdicts == ["not begun", "9 cells break a rule", "8 cells break a rule", "solved in 3 steps"]


def test_a_series_fills_the_rows_from_its_lowest_to_its_highest_value() -> None:
    assert area(list(range(8)), width=8) == [BLOCKS[1:]]
    assert area([0, 15], width=9, height=2) == [" █", "▁█"]
    assert area([None, 3, None], width=9) == [" ▄ "]
    assert area([], width=9, height=2) == ["", ""]
    assert area([None, math.pi], width=9, ascii_only=True) == [" :"]


def test_a_long_series_is_averaged_down_to_the_width() -> None:
    assert fit([1, 3, 5, 7], 2) == [2, 6]
    assert fit([1, None, None, None], 2) == [1, None]
    assert len(fit([0.0] * 1000, 55)) == 55


def test_bars_start_at_zero_and_one_puzzle_is_seen() -> None:
    assert bars([0, 1, 1000], width=3, height=1) == [" ▁█"]
    assert bars([0, 4, 8], width=12, height=1) == ["    ▄▄▄ ███ "]
    assert bars([0, 0], width=4, height=1) == ["    "]
