"""The screen of `trm watch` at every size of a terminal."""

import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from tests.watched import HEADER, HEADER_INSIDE, HEADER_OF_TWO, run_inside, run_of_one, run_of_two
from trm_cli.display.boards import Look
from trm_cli.display.lines import BLOCKS, area, bars, clipped, fit
from trm_cli.display.screen import NO_ROOM, Scene, meanings, short, verdict
from trm_cli.display.watch import HINTS
from trm_cli.solving.trace import Frame, Header, Moment, Update
from trm_cli.tasks.arc import Arc
from trm_cli.tasks.arc_grids import encode
from trm_cli.tasks.base import Puzzle, Task, Tokens
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import WantedMazes, generate_mazes
from trm_cli.tasks.sudoku import Sudoku

SIZES = [(80, 24), (120, 40), (60, 20), (40, 15), (24, 60), (30, 8), (12, 4), (200, 60)]
RUNS = [(HEADER, run_of_one()), (HEADER_INSIDE, run_inside()), (HEADER_OF_TWO, run_of_two())]
WHOLE = """\
 trm watch sudoku                                        tiny, 1,234 parameters

 ┏━━━┯━━━┳━━━┯━━━┓   step             3 of 4
 ┃ 1 │ 2 ┃ 3 │ 4 ┃   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────
 ┠───┼───╂───┼───┨
 ┃ 3 │ 4 ┃ 1 │ 2 ┃   halt probability  90.0%  ▁▁▁▃▃▃▇▇▇
 ┣━━━┿━━━╋━━━┿━━━┫   confidence        87.5%  ▅▅▅▆▆▆▆▆▆
 ┃ 2 │ 1 ┃ 4 │ 3 ┃
 ┠───┼───╂───┼───┨   changed               4  ▇▇▇▂▂▂▃▃▃
 ┃ 4 │ 3 ┃ 2 │ 1 ┃   violations            0  ▇▇▇▆▆▆▁▁▁
 ┗━━━┷━━━┻━━━┷━━━┛
                     change of y       0.500  ▇▇▇▄▄▄▃▃▃
                     change of z       0.333  ▇▇▇▄▄▄▃▃▃

                     attempt          1 of 2                       time  0.38 s

                     recursion 1 of 1, call 2 of 2  y = net(y, z)
                     ████████  ██ 1.5
                     ████████  ██
                     ████████  ██
                     ████████  ██ 0

 solved in 3 steps
 ? help  q quit                                                          paused"""


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
    console.print(Scene(moment, header, look or Look(), "paused", ("? help", "q quit")))
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
        "step          3 of 4",
        "halt prob.     90.0%",
        "confidence     87.5%",
        "changed            4",
        "violations         0",
        "change of y    0.500",
        "change of z    0.333",
        "attempt       1 of 2",
        "time          0.38 s",
        "solved in 3 steps",
    ]
    assert [word for word in words if word not in text] == []


def last_step(task: Task, puzzle: Tokens, *, side: int, letters: tuple[str, str] = ("y", "z")) -> tuple[Header, Frame]:
    """A frame of any task in the midst of step 12 of 16, the second of 16 attempts, with the longest words."""
    header = Header(task, "sudoku-mlp", 5_028_864, n=6, T=3, halt="verified", num_puzzles=12, inner=True)
    question = Frame(Puzzle(puzzle, side, side, "puzzles.txt", 1), task, 0, puzzle, 16)
    step = Frame(
        question.puzzle, task, 12, puzzle, 16, question, np.ones(side * side, np.float32), 1.0, 1.2345, 1.2345, 99.5, 15
    )
    update = Update("z", 3, 6, np.ones(side * side, np.float32), 1.2345, "z_L = f_L(x, z_H, z_L)")
    return replace(header, letters=letters, num_attempts=16), replace(step, update=update)


MAZE = generate_mazes(WantedMazes(1, min_path=40), size=30, seed=0).puzzles[0]
SHOWN = {
    "9x9": (Sudoku(), np.full(81, 2, np.uint8), 9),
    "6x6": (Sudoku(), np.full(36, 2, np.uint8), 6),
    "maze": (Maze(), MAZE, 30),
    "colours": (Arc(), encode(np.ones((30, 30), np.uint8), side=30), 30),
}
ELSEWHERE = f"halt prob. change attempt puzzles {NO_ROOM} boards"  # words that only narrow screens have


def words(lines: list[str]) -> set[str]:
    return set(re.findall(r"[A-Za-z_.=]{2,}", " ".join(lines)))


@pytest.mark.parametrize(("task", "puzzle", "side"), SHOWN.values(), ids=SHOWN.keys())
def test_nothing_is_cut_at_any_width(task: Task, puzzle: Tokens, side: int) -> None:
    """What is too long ends with a whole word, and every reading is there."""
    header, frame = last_step(task, puzzle, side=side, letters=("z_H", "z_L"))
    ended, inside = replace(frame, is_last=True, halted=True), replace(frame, halt_probability=None)
    scene = Scene(Moment(0, (frame,), frozenset({0})), header, Look(), "0.67 s/step", HINTS)
    ones = [replace(scene, moment=Moment(0, (one,), frozenset({0}))) for one in (frame, ended, inside)]
    tiles = [
        replace(scene, header=replace(header, rows=n, columns=n), moment=Moment(0, (frame,) * n**2, frozenset()))
        for n in (2, 3)
    ]
    for shown in (*ones, replace(scene, is_help=True), *tiles):
        whole = words([line.plain for line in shown.lines(400, 120)])
        for width, height in [(40, 24), (50, 24), (60, 24), (80, 24), (120, 40), (200, 60)]:
            lines = [line.plain for line in shown.lines(width, height)]
            assert (max(map(len, lines)) <= width, len(lines) <= height) == (True, True)
            assert words(lines) - whole - words([ELSEWHERE]) == set()
            text = "\n".join(lines)
            told = ["12 of 16", "1.234", "16 of 16", "99.50 s", "? help"] if shown in ones else []
            assert [word for word in told if word not in text] == []
            names = [name for name, _ in meanings(header)] if shown not in tiles else []
            assert [name for name in names if name not in text and short(name) not in text] == []


def test_a_line_that_is_too_long_loses_a_clause_or_else_a_word() -> None:
    told = Text("not solved: 12 violations after 16 steps (attempt 3)")
    assert [clipped(told, width).plain for width in (60, 50, 39, 25, 18, 10)] == [
        told.plain,
        "not solved: 12 violations after 16 steps",
        "not solved: 12 violations",
        "not solved: 12 violations",
        "not solved",
        "not solved",
    ]
    assert clipped(Text("any key: back"), 6).plain == "any"
    assert clipped(Text("violations"), 4).plain == "viol"


def test_tall_narrow_terminals_show_the_figures_below_the_board() -> None:
    lines = drawn(run_of_one()[-1], HEADER, (24, 60))
    board = next(row for row, line in enumerate(lines) if line.startswith(" ┗"))
    assert next(row for row, line in enumerate(lines) if "halt probability" in line) > board


def test_tiles_show_each_puzzle_with_how_it_stands() -> None:
    text = "\n".join(drawn(run_of_two()[2], HEADER_OF_TWO, (80, 24)))
    for words in ("puzzle 1", "puzzles 1 to 2 of 2", "step 2 of 4", "8 violations", "1 of 2 solved, 1 running"):
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
    assert verdicts == ["not begun", "9 violations", "8 violations", "solved in 3 steps"]


def test_the_verdict_says_what_is_waited_for() -> None:
    wrong, right = (run_of_one()[step].frames[0] for step in (2, 3))
    sure = replace(wrong, halt_probability=0.98)
    going_on = replace(right, is_last=False, halted=False, halt_probability=0.25)
    told = [
        (sure, "halt head fired, 8 violations, going on"),
        (replace(sure, is_last=True), "not solved: 8 violations after 2 steps, the halt head fired"),
        (going_on, "solved, waiting for the halt head"),
        (replace(wrong, step=4), "attempt 1 ended: 8 violations"),
        (replace(wrong, step=4, attempt=1, is_last=True), "not solved: 8 violations after 4 steps (attempt 2)"),
        (replace(right, attempt=1), "solved in 3 steps (attempt 2)"),
    ]
    assert [verdict(frame, HEADER).plain for frame, _ in told] == [words for _, words in told]
    assert verdict(going_on, replace(HEADER, halt="never")).plain == "solved, going on"


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
