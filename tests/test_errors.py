"""What errors say, and to whom they suggest what."""

import pytest

from trm_cli.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "meant"), [("tset", "; did you mean test?"), ("ABX", "; did you mean abc?"), ("q", "")]
)
def test_the_known_word_that_is_most_like_an_unknown_one_is_suggested(word: str, meant: str) -> None:
    assert did_you_mean(word, ["test", "toast", "abc"]) == meant


def test_a_word_is_suggested_as_it_is_spelled() -> None:
    assert did_you_mean("alphaxiv/suduko", ["alphaXiv/Sudoku"]) == "; did you mean alphaXiv/Sudoku?"
