"""The page in which a network thinks, in a real browser: the frames, words and attempts of the terminal."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.live_pages import (
    BROWSER,
    EXAMPLES,
    IS_OVER,
    PLAY,
    READY,
    Given,
    Open,
    as_shipped,
    for_board,
    found,
    in_worker,
    opening,
    page_text,
    puzzle_of,
    task_of,
)
from trm_cli.cli.app import app
from trm_cli.config import SolveConfig, solve_config
from trm_cli.display.live import LARGEST_PAGE, live_page, with_what_follows
from trm_cli.display.page import page_of
from trm_cli.display.screen import meanings
from trm_cli.errors import UsageError
from trm_cli.solving.engine import examiner, header_of, moments
from trm_cli.solving.trace import Header, Moment
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle
from trm_cli.tasks.inputs import Source, read_puzzles

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
CLOSE = 1e-3  # of what is measured
RUN = """async ([text, settings, inner]) => {
    READY
    const task = TASKS[shipped.task], { tokens, height } = task.readOne(text, 1, "");
    const how = { settings: { ...shipped.settings, ...settings }, views: new Views(shipped.views, height), inner };
    const frames = [...watchPuzzle(networkFor(task, tokens.length), task, tokens, how)];
    return frames.map((frame) => ({ step: frame.step, attempt: frame.attempt, answer: [...frame.answer],
      is_last: frame.is_last, guesses: frame.guesses.map(({ cell, token }) => [cell, token]),
      halt: frame.halt_probability }));
}""".replace("READY", READY)


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    with opening(tmp_path_factory.mktemp("pages")) as open_it:
        yield open_it


def run_in_torch(name: str, puzzle: Puzzle, given: Given, *, inner: bool) -> tuple[Header, list[Moment]]:
    """The run that `trm watch` shows: its header, and its moments."""
    loaded = as_shipped(name)
    task, network = get_task(loaded.checkpoint.task), for_board(loaded, puzzle.tokens.size)
    settings = solve_config(loaded.checkpoint.solving, dict(given))
    header = header_of(loaded, settings, 1, inner=inner)
    return header, list(moments(network, task, [puzzle], settings=settings, inner=inner, examine=examiner(task)))


# Few steps an attempt: what an unfinished answer wanders to depends on the last bits of its numbers.
SHORT: Given = (("max_steps", 2), ("retry_steps", 2), ("step_limit", 40))
ONCE: Given = (("max_steps", 3), ("search", "none"), ("attempts", 1))
SEARCHED = "....13.4.......6....4..7.29....8....57.9...........367..92..8..........632...49.."
WATCHED: dict[str, tuple[str, str, Given, bool]] = {
    "a search": ("sudoku", SEARCHED, SHORT, False),
    "every call of the net": ("sudoku", SEARCHED, ONCE, True),
    "calls in a search": ("sudoku-small", SEARCHED, SHORT, True),
    "a maze": ("maze", (EXAMPLES / "maze-15x15.txt").read_text(), (), False),
    "calls in a maze, in several views": ("maze", (EXAMPLES / "maze-9x9.txt").read_text(), (("max_steps", 1),), True),
}


@pytest.mark.parametrize("case", WATCHED.values(), ids=WATCHED)
def test_every_moment_is_drawn_as_a_saved_run(open_page: Open, case: tuple[str, str, Given, bool]) -> None:
    name, text, given, inner = case
    puzzle = puzzle_of(task_of(name).name, text)
    header, run = run_in_torch(name, puzzle, given, inner=inner)
    page = open_page(name, given=given).page
    page.evaluate("(text) => take(text)", header.task.write(puzzle.tokens))
    if inner:
        page.check("#inner")
    page.select_option("#speed", label="max")
    page.click(PLAY)
    page.wait_for_function(IS_OVER, timeout=60_000)
    told = page.evaluate("moments.map(({ inside, frames }) => ({ inside, ...frames[0] }))")
    saved = re.search(r'<script type="application/json" id="run">(.*?)</script>', page_of(header, run), re.DOTALL)
    assert saved is not None
    kept = json.loads(saved[1])
    assert len(told) == len(kept["moments"])
    for ours, theirs in zip(kept["moments"], told, strict=True):
        frame = ours["frames"][0]
        measured = {"halt", "change_y", "change_z", "seconds", "confidence", "update"}
        assert {key: theirs[key] for key in frame.keys() - measured} == {k: frame[k] for k in frame.keys() - measured}
        for key in ("halt", "change_y", "change_z"):
            assert theirs[key] == (frame[key] if frame[key] is None else pytest.approx(frame[key], abs=CLOSE))
        assert (theirs["confidence"] is None) == (frame["confidence"] is None)
        np.testing.assert_allclose(theirs["confidence"] or 0, frame["confidence"] or 0, atol=1)
        if frame["update"]:
            heat = theirs["update"].pop("heat")
            np.testing.assert_allclose(heat, frame["update"].pop("heat"), atol=2e-3)
            assert theirs["update"].pop("change") == pytest.approx(frame["update"].pop("change"), abs=CLOSE)
            assert theirs["update"] == frame["update"]
    trees = page.evaluate("run.trees")
    nodes = [{key: node[key] for key in kept["trees"][0][0][0]} for node in trees[0][0]] if trees[0][0] else []
    assert nodes == (kept["trees"][0][0] if kept["trees"] else [])
    assert page.evaluate("run.meanings") == [list(pair) for pair in meanings(header)]


SETTINGS = {
    "flat": {"search": "flat", "attempts": 5, "max_steps": 2, "step_limit": 0},
    "by votes": {"search": "flat", "attempts": 5, "max_steps": 3, "step_limit": 0, "select": "mode"},
    "by the halt head": {"search": "flat", "attempts": 4, "max_steps": 3, "step_limit": 0, "select": "q"},
    "by the margin": {"search": "flat", "attempts": 4, "max_steps": 2, "step_limit": 0, "select": "margin"},
    "by the residual": {"search": "best-first", "attempts": 4, "max_steps": 3, "select": "residual"},
    "never halting": {"search": "none", "attempts": 1, "max_steps": 7, "halt": "never"},
    "halting on its word": {"search": "best-first", "attempts": 9, "halt": "q"},
    "limited": {"search": "best-first", "max_steps": 3, "retry_steps": 2, "step_limit": 12},
}


@pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)
def test_attempts_follow_the_settings_as_on_the_command_line(open_page: Open, given: dict[str, Any]) -> None:
    loaded, text = as_shipped("sudoku-small"), SEARCHED
    page, task = open_page("sudoku-small").page, get_task("sudoku")
    settings = solve_config(loaded.checkpoint.solving, given)
    told = in_worker(page, RUN, [text, with_what_follows(settings), False])
    run = moments(loaded.network, task, [puzzle_of("sudoku", text)], settings=settings, examine=examiner(task))
    frames = [moment.frames[0] for moment in run][1:]
    assert [(one["step"], one["attempt"], one["is_last"], one["guesses"], one["answer"]) for one in told] == [
        (f.step, f.attempt, f.is_last, [[g.cell, g.token] for g in f.guesses], f.answer.tolist()) for f in frames
    ]


@pytest.mark.parametrize(("halt_logit", "steps"), [(0.01, 1), (-0.01, 5)])
def test_the_halt_head_asks_to_stop_above_a_half(open_page: Open, halt_logit: float, steps: int) -> None:
    told = in_worker(
        open_page("sudoku-4x4").page,
        f"""async (settings) => {{
            {READY}
            const state = new Float32Array(16).fill(1), network = {{
              config: {{ vocab_size: 6 }}, embed: () => state, startingState: () => [state, state],
              step: () => [state, state], readAnswer: () => new Float32Array(16 * 6), readHalt: () => {halt_logit},
            }};
            const how = {{ settings, views: new Views({{ cells: [], symbols: [] }}, 4), inner: false }};
            return [...watchPuzzle(network, TASKS.sudoku, new Uint8Array(16).fill(1), how)].map((one) => one.halted);
        }}""",
        with_what_follows(SolveConfig(halt="q", max_steps=5)),
    )
    assert told == [halt_logit > 0] * steps


def test_further_attempts_at_a_maze_go_through_the_same_views(open_page: Open) -> None:
    loaded = as_shipped("maze")
    page, task = open_page("maze").page, get_task("maze")
    settings = solve_config(loaded.checkpoint.solving, {"max_steps": 1})
    for name in ("maze-15x15.txt", "maze-hard.txt"):
        puzzle = puzzle_of("maze", (EXAMPLES / name).read_text())
        told = in_worker(page, RUN, [task.write(puzzle.tokens), with_what_follows(settings), False])
        frames = moments(
            for_board(loaded, puzzle.tokens.size), task, [puzzle], settings=settings, examine=examiner(task)
        )
        expected = [moment.frames[0].answer.tolist() for moment in frames][1:]
        assert len(expected) > 1
        assert [one["answer"] for one in told] == expected


def test_a_page_is_no_larger_than_a_megabyte_and_says_which_network_it_is() -> None:
    for name in ("sudoku", "maze", "sudoku-small", "sudoku-mlp", "sudoku-large-boards"):
        text, _ = page_text(name)
        assert len(text.encode()) <= LARGEST_PAGE
    assert "</script" not in re.sub(r"</script>\n", "", text.split("</head>")[1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"storage": "int8"}, "--storage int8: a page keeps float32 or bfloat16"),
        (
            {"given": {"noise": 0.1, "attempts": 2}},
            "a page in a browser: no attempt in it is drawn by lot; drop --noise",
        ),
        ({"given": {"starts": "random"}}, "a page in a browser: no attempt in it is drawn by lot"),
    ],
    ids=["storage", "noise", "starts"],
)
def test_what_a_page_cannot_do_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(words)}"):
        live_page(found("sudoku"), **given)


def test_a_search_in_mazes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--search flat fills blanks, and a maze has none; drop it$"):
        live_page(found("maze"), given={"search": "flat"})


def test_a_network_with_a_table_of_puzzles_is_refused() -> None:
    one = found("sudoku-mlp")
    config = replace(one.checkpoint.model, num_puzzles=3)
    with pytest.raises(UsageError, match="it keeps no table of puzzles"):
        live_page(replace(one, checkpoint=replace(one.checkpoint, model=config)))


def test_views_of_several_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="let --views be 1"):
        live_page(found("sudoku-large-boards"), given={"views": 2, "attempts": 3})


def test_the_more_exact_storage_is_taken_that_fits() -> None:
    assert [page_text(name)[1] for name in ("sudoku", "sudoku-small", "maze")] == ["bfloat16", "float32", "float32"]
    assert page_text("sudoku-small", storage="bfloat16")[1] == "bfloat16"


def test_it_is_exported_and_watched_by_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["models", "export", "sudoku-4x4", "--format", "html", "-o", str(page)])
    assert done.exit_code == 0
    assert done.stderr == f"{page}: {page.stat().st_size:,} bytes, the weights in float32\n"
    opened: list[str] = []

    def open_browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", open_browser)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = CliRunner().invoke(app, ["watch", str(EXAMPLES / "4x4.txt"), "--web", "--inner", "--search", "none"])
    path = Path(done.stdout.strip())
    assert (done.exit_code, opened) == (0, [path.as_uri()])
    saved = re.search(r'id="run">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert saved is not None
    run = json.loads(saved[1])
    puzzles = read_puzzles(get_task("sudoku"), Source("x", EXAMPLES / "4x4.txt"))
    assert run["network"]["examples"] == [get_task("sudoku").write(puzzle.tokens) for puzzle in puzzles]
    assert (run["inner"], run["search"], run["model"]) == (True, "none", "sudoku-4x4")


def test_a_folder_for_the_page_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    done = CliRunner().invoke(app, ["watch", "sudoku", "--model", "sudoku-4x4", "--web"])
    folder = tmp_path / "none"
    assert done.stderr == (
        f"trm: {folder}: cannot be written (No such file or directory); let TMPDIR name another folder\n"
    )
    assert done.exit_code == 2


@pytest.mark.parametrize("option", [["--save", "x.html"], ["--grid", "2x2"], ["--threads", "2"], ["--fps", "5"]])
def test_options_that_say_nothing_about_the_page_are_refused(option: list[str]) -> None:
    done = CliRunner().invoke(app, ["watch", "--web", *option])
    assert (done.exit_code, done.stderr) == (2, f"trm: --web: the page has no {option[0]}; drop it\n")
