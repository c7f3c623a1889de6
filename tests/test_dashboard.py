"""The dashboard at every size of a terminal, and the times that it shows."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from tests.run_events import RECIPE, Clock, events, report
from trm_cli.display.lines import BLOCKS
from trm_cli.display.training import Dashboard, RunState, duration
from trm_cli.model.network import TinyRecursiveModel, count_parameters
from trm_cli.training.loop import Evaluation, Report
from trm_cli.training.run import Limits

SIZES = [(80, 24), (120, 40), (200, 60), (80, 18), (80, 10), (60, 24), (30, 8)]
MARKS = BLOCKS[1:]


def state_after(*shown: Report | Evaluation, limits: Limits | None = None, clock: Clock | None = None) -> RunState:
    state = RunState(RECIPE, limits or Limits(), clock or Clock())
    for event in shown:
        state.add(event)
    return state


def drawn(state: RunState, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    """The dashboard on a terminal of that size, line by line."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=file,
        width=width,
        height=height,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        soft_wrap=True,
        legacy_windows=False,
    )
    console.print(Dashboard(state, RECIPE.model))
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_dashboard_fits_every_terminal(width: int, height: int) -> None:
    for shown in ([], [report(1)], list(events(500)), list(events(2000))):
        lines = drawn(state_after(*shown), width, height)
        assert max(map(len, lines)) <= width
        assert len(lines) < height


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_dashboard_shows_every_figure(width: int, height: int) -> None:
    clock = Clock()
    state = state_after(*events(), clock=clock)
    clock.now += 5
    text = "\n".join(drawn(state, width, height))
    words = [
        "sudoku tiny",
        "step 1,000 of 2,000",
        "elapsed 8:25",
        "left 8:15",
        "1.500",
        "62.5%",
        "25.0%",
        "halting step",
        "mean 12.0",
        "learning rate",
        "50.0%",
        "gradient norm",
        "0.250",
        "pairs a second",
        "1,234",
        "puzzles a second",
        "12.5",
        "memory",
        "812.0 MB",
        "validation solved",
        "at step 1,000",
        "exact 25.0%",
        "steps 9.8",
        "right when halting 90.0%",
    ]
    assert [word for word in words if word not in text] == []


def test_the_histogram_has_a_bar_for_every_step_that_puzzles_halted_at() -> None:
    lines = drawn(state_after(report(500)), 80, 24)
    lowest = next(line for line in lines if line.startswith(" halting step"))
    axis = lines[lines.index(lowest) + 1]
    first, last = axis.index(" 1 ") + 1, axis.index("16")
    pitch = (last - first) // 15
    bars_at = [(at - first) // pitch + 1 for at in range(first, last + 1) if lowest[at] in MARKS]
    assert bars_at == [2, 3, 4, 16]


def test_a_report_without_halts_leaves_the_latest_histogram_in_place() -> None:
    without = report(525, solved=None, halting_step=None, halting_histogram=[0] * 16)
    text = "\n".join(drawn(state_after(report(500), without), 80, 24))
    assert "mean 14.0" in text
    assert "12.5%" in text


def test_a_terminal_without_block_characters_gets_ascii() -> None:
    for shown in ([], list(events())):
        for width, height in SIZES:
            assert all(line.isascii() for line in drawn(state_after(*shown), width, height, "ascii"))
    text = "\n".join(drawn(state_after(*events()), 80, 24, "ascii"))
    assert "####" in text
    assert not set(MARKS) & set(text)


def test_what_is_not_known_yet_is_said_in_words() -> None:
    state = state_after()
    state.generate(30, 3000)
    assert "generating puzzles 30 of 3,000" in drawn(state, 80, 24)[2]
    state.generate(3000, 3000)
    assert "the first step is under way" in drawn(state, 80, 24)[2]
    early = report(1, solved=None, halting_step=None, halting_histogram=[0] * 16, memory=None)
    text = "\n".join(drawn(state_after(early), 80, 24))
    for words in ("none yet", "unknown", "first evaluated at step 500"):
        assert words in text
    assert "left" not in text


def test_counting_the_parameters_leaves_the_seed_as_it_was() -> None:
    expected = sum(weight.numel() for weight in TinyRecursiveModel(RECIPE.model).parameters())
    before = torch.get_rng_state()
    assert count_parameters(RECIPE.model) == expected
    assert torch.equal(torch.get_rng_state(), before)
    assert f"{expected:,} parameters" in drawn(state_after(), 80, 24)[0]


def test_time_left_is_until_the_steps_or_the_time_end_whichever_is_first() -> None:
    shown = list(events())  # half of the steps in 500 seconds
    assert state_after(*shown).seconds_left == pytest.approx(500)
    assert state_after(*shown, limits=Limits(max_steps=1100)).seconds_left == pytest.approx(50)
    by_time = state_after(*shown, limits=Limits(max_seconds=600, began=Clock().now - 500))
    assert (by_time.seconds_left, by_time.share) == pytest.approx((100, 500 / 600))
    assert state_after(report(1)).seconds_left is None


def test_a_resumed_run_counts_the_time_limit_from_the_start_of_the_call() -> None:
    clock = Clock()
    state = state_after(limits=Limits(max_seconds=60, began=clock.now), clock=clock)
    clock.now += 10
    state.add(report(1000))  # at 500 seconds, most of them before
    assert (state.elapsed, state.seconds_left) == (500, 50)
    clock.now += 20
    assert (state.elapsed, state.seconds_left) == (520, 30)


def test_a_schedule_over_time_ends_the_run_too() -> None:
    timed = replace(RECIPE, train=replace(RECIPE.train, decay_by="time", minutes=10.0))
    state = RunState(timed, Limits(), Clock())
    state.add(report(1000))
    assert state.seconds_left == pytest.approx(100)


def test_the_wait_for_an_evaluation_is_explained() -> None:
    shown = list(events(500))
    assert "  evaluating" in drawn(state_after(*shown[:-1]), 80, 24)[2]
    assert "evaluating" not in drawn(state_after(*shown), 80, 24)[2]


def test_times_are_short() -> None:
    assert [duration(s) for s in (0, 59.9, 600, 3661)] == ["0:00", "0:59", "10:00", "1:01:01"]
