"""Answers that were searched for or voted on, as they are drawn."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.text import Text

from tests.conftest import small_config
from tests.test_voting import ballot
from trm_cli.config import SolveConfig
from trm_cli.display.answers import AnswerWriter, ProblemAnswer, grid_lines
from trm_cli.display.boards import Look, written
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import solve_stream
from trm_cli.solving.voting import Ballot
from trm_cli.tasks.arc import INKS, Arc
from trm_cli.tasks.arc_grids import ArcView, decode
from trm_cli.tasks.base import Dataset, Puzzle
from trm_cli.tasks.problems import Problem
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.tensors import LoadedModel

ALL = np.arange(10, dtype=np.uint8).reshape(2, 5)
FIRST, SECOND = np.array([[1, 2], [3, 0]], np.uint8), np.array([[4]], np.uint8)
TASK = Problem("x", ((FIRST, SECOND), (FIRST, FIRST)), (FIRST,), (SECOND,), "f.json")
VOTES = ballot((SECOND, 0.5), (SECOND, 0.5), (FIRST, 0.9))


def test_guesses_of_an_answer_are_purple_and_its_course_is_that_of_the_search(small_data: Dataset) -> None:
    settings = SolveConfig("never", max_steps=2, attempts=6, starts="fixed", search="best-first")
    torch.manual_seed(0)
    config = small_config("mlp")
    network = TinyRecursiveModel(config).eval()
    (outcome,) = solve_stream(network, Sudoku(), small_data.puzzles[:1], batch_size=1, settings=settings)
    deepest = max(outcome.attempts, key=lambda attempt: len(attempt.guesses))
    calm = replace(deepest, answer=small_data.answers[0], holds=[True])
    loaded = LoadedModel(Checkpoint("tiny", "sudoku", config), network, Path(), "", "")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=120, highlight=False)
    puzzle = Puzzle(small_data.puzzles[0], 4, 4, "file", 1)
    AnswerWriter(Sudoku(), loaded, as_json=False, file=None, console=console).write(
        0, puzzle, replace(outcome, chosen=calm)
    )
    assert out.getvalue().count("48;2;123;63;176") == len(deepest.guesses) == outcome.depth > 1
    told = Text.from_ansi(out.getvalue()).plain
    assert f"solved in {outcome.total_steps} steps: 6 nodes, {outcome.depth} guesses deep  halt probability" in told


def drawn(ballots: list[Ballot], width: int = 100, **options: Any) -> str:
    """What comes out, on a console of that width."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, **options)
    ProblemAnswer(Arc(), TASK, ballots, None, 0.0).draw(console)
    return out.getvalue().removesuffix("\n")


def test_without_colours_demonstrations_and_attempts_are_digits_side_by_side() -> None:
    assert drawn([VOTES]).splitlines() == [
        "task x",
        "",
        "demonstration 1   demonstration 2",
        "1 2 → 4           1 2 → 1 2",
        "3 0               3 0   3 0",
        "",
        "test 1   attempt 1: right, 2 of 3 votes   attempt 2: wrong, 1 of 3 votes",
        "1 2      4                                1 2",
        "3 0                                       3 0",
    ]


def test_pictures_that_do_not_fit_go_below_and_large_grids_are_drawn_small() -> None:
    lines = drawn([VOTES], width=20).splitlines()
    assert [line for line in lines if "demonstration" in line] == ["demonstration 1", "demonstration 2"]
    wide = np.ones((30, 30), np.uint8)
    large = Problem("x", ((wide, wide),), (wide,), (None,), "f.json")
    out = io.StringIO()
    ProblemAnswer(Arc(), large, [Ballot()], None, 0.0).draw(Console(file=out, width=80))
    assert max(map(len, out.getvalue().splitlines())) == 63
    assert "no attempt: no prediction holds a grid" in out.getvalue()


@pytest.mark.parametrize("columns", [2, 1])
def test_every_colour_is_that_of_arc(columns: int) -> None:
    lines = grid_lines(Arc(), ALL, Look(), columns)
    assert len(lines) == columns
    styles = " ".join(str(span.style) for line in lines for span in line.spans)
    assert all(written(ink) in styles for ink in INKS)


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    assert "48;2" in drawn([VOTES], force_terminal=True, color_system="truecolor")
    plain = drawn([VOTES], force_terminal=True, color_system="truecolor", no_color=True)
    assert "38;2" not in plain
    assert "48;2" not in plain
    assert "1 2" in plain


def test_what_is_odd_about_the_votes_is_said() -> None:
    odd = ballot((SECOND, 0.5))
    odd.add(decode(np.zeros(900, np.uint8)), ArcView.plain(), 0.1)
    board = np.zeros(900, np.uint8)
    board[0] = 7
    odd.add(decode(board), ArcView.plain(), 0.1)
    assert drawn([odd]).splitlines()[-1] == "1 predictions hold no grid; 1 lack end markers"
