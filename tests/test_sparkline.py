"""Charts made of characters."""

import math

from trm_cli.display.screen import BLOCKS, area, bars, fit


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
