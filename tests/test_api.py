"""`from trm_cli import TRM`: whatever holds puzzles goes in, solutions that know all about themselves come out."""

import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import trm_cli
from tests.arc_tasks import save_untrained, small_data
from tests.conftest import ANSWER, PUZZLE, sudokus
from tests.test_eval_command import HARD
from trm_cli import TRM, ModelError, PuzzleError, Solution, UsageError
from trm_cli.solving.replay import read_trace
from trm_cli.tasks.arc_grids import as_json
from trm_cli.tasks.base import Finding
from trm_cli.tasks.sudoku import Sudoku

SMALL, SMALL_ANSWER = "....21.....4.4.1", "4312214312343421"
AMBIGUOUS, CONTRADICTORY = "." * 81, "12345678." + "." * 26 + "9" + "." * 45
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def small() -> TRM:
    return TRM.from_pretrained("sudoku-4x4")


@pytest.fixture(scope="module")
def usual() -> TRM:
    return TRM.from_pretrained("sudoku")


def as_digits(text: str) -> np.ndarray:
    side = round(len(text) ** 0.5)
    return np.array([0 if cell == "." else int(cell) for cell in text]).reshape(side, side)


def test_a_puzzle_is_solved_and_the_solution_says_how(usual: TRM) -> None:
    solution = usual.solve(PUZZLE)
    assert (solution.question, solution.answer, solution.solved) == (PUZZLE, ANSWER, True)
    assert (solution.array == as_digits(ANSWER)).all()
    assert solution.steps >= 1
    assert (solution.attempts, solution.violations, solution.why) == (1, [], None)
    assert 0.5 < solution.halt_probability <= 1
    assert str(solution).splitlines()[1] == "│ 5 3 4 │ 6 7 8 │ 9 1 2 │"
    assert repr(solution).startswith(f"Solution(answer='{ANSWER}', solved=True, steps=")


def test_a_solution_says_what_was_guessed(usual: TRM) -> None:
    solution = usual.solve(HARD)
    assert solution.solved
    assert (solution.nodes, solution.attempts) == (solution.attempts, len({f.attempt for f in solution.trace}))
    assert solution.depth >= len(solution.guesses) > 0
    for guess in solution.guesses:
        cell = 9 * (guess.row - 1) + guess.column - 1
        assert (HARD[cell], solution.answer[cell]) == (".", guess.symbol)
        assert str(guess) == f"r{guess.row}c{guess.column}={guess.symbol}"
    assert str(solution).count("?") == len(solution.guesses)
    *_, last = solution.trace
    assert (last.guesses, last.cost > 0, last.parent is None) == (solution.guesses, True, False)
    assert usual.solve(PUZZLE).guesses == ()


def test_a_puzzle_comes_in_any_form(small: TRM, tmp_path: Path) -> None:
    digits, path = as_digits(SMALL), tmp_path / "two.txt"
    path.write_text(f"{SMALL}\n{SMALL}\n")
    as_rows = "\n".join(SMALL[at : at + 4] for at in (0, 4, 8, 12))
    with_nothing = np.where(digits == 0, np.nan, digits)
    for one in (
        SMALL,
        as_rows,
        digits,
        digits.tolist(),
        with_nothing,
        torch.tensor(digits),
        {"puzzle": SMALL},
        digits.ravel(),
    ):
        solution = small.solve(one)
        assert isinstance(solution, Solution)
        assert solution.answer == SMALL_ANSWER
    for two in (
        path,
        str(path),
        [SMALL, digits],
        np.stack([digits] * 2),
        [digits.tolist(), as_rows],
        np.array([SMALL] * 2),
    ):
        assert [solution.answer for solution in small.solve(two)] == [SMALL_ANSWER] * 2
    assert len(small.solve(np.stack([digits.ravel()] * 3))) == 3


def test_many_are_solved_as_they_come(small: TRM) -> None:
    taken = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(SMALL)
            yield SMALL

    coming = small.solve_many(endless(), batch_size=4)
    assert [next(coming).solved for _ in range(6)] == [True] * 6
    assert len(taken) < 20
    assert list(small.solve_many([])) == []


def test_mistakes_have_the_classes_and_the_words_of_the_command_line(small: TRM, tmp_path: Path) -> None:
    refusals = {
        "nowhere.csv": (PuzzleError, "nowhere.csv: no such file, and not a puzzle; check the path"),
        "11..21.....4.4.1": (PuzzleError, "puzzle:1:2: row 1 has the given 1 twice, first at 1:1; correct one of them"),
        f"{SMALL}\n{SMALL}": (PuzzleError, "puzzle: 2 puzzles in one text; give a list of them"),
        PUZZLE: (ModelError, "model 'sudoku-4x4' is for grids of 4x4 cells, the puzzles have 81 cells; choose another"),
    }
    for text, (kind, message) in refusals.items():
        with pytest.raises(kind) as refused:
            small.solve(text)
        assert str(refused.value).startswith(message)
    with pytest.raises(PuzzleError, match=r"^puzzles\[1\]:1:2: row 1 has the given 1 twice"):
        small.solve([SMALL, "11..21.....4.4.1"])
    with pytest.raises(TypeError, match="no option atempts; did you mean attempts"):
        small.solve(SMALL, atempts=3)
    with pytest.raises(UsageError, match="--halt: expected one of verified, q, never, got 'soon'"):
        small.solve(SMALL, halt="soon")
    with pytest.raises(UsageError, match="'soon' is no duration"):
        small.solve(SMALL, time_limit="soon")
    with pytest.raises(PuzzleError, match="no puzzle to watch"):
        small.watch([])
    with pytest.raises(PuzzleError, match="puzzles of different sizes"):
        small.watch([SMALL, PUZZLE])
    with pytest.raises(UsageError, match="give rows and columns from 1 to 8"):
        small.watch(SMALL, grid=(0, 1))
    for options, message in (
        ({"batch_size": 0}, "--batch-size 0: give 1 to 1,048,576 puzzles"),
        ({"adapt": 5}, "--adapt: sudoku needs no learning before it is solved; drop it"),
        ({"time_limit": -1}, "--time-limit: '-1' is no duration; write 90s, 9m or 1h30m"),
    ):
        with pytest.raises(UsageError) as refused_option:
            small.solve(SMALL, **options)
        assert str(refused_option.value) == message
    with pytest.raises(UsageError, match="choose auto, cpu, cuda or mps"):
        TRM.from_pretrained("sudoku-4x4", device="tpu")


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "given",
    [
        5,
        None,
        b"....21.....4.4.1",
        np.array(5),
        [1, 2, 3, 4],
        [SMALL, None],
        (row for row in [[1, 2], [3, 4]]),
        CIRCULAR,
        {"puzzle": {1, 2}},
        {"puzzle": np.zeros(16)},
        np.array([[np.zeros(2), 1], [1, 1]], dtype=object),
        np.full((4, 4), 10**5000, dtype=object),
        np.full((4, 4), 1.5),
        torch.zeros(4, 4, device="meta"),
        torch.zeros(4, 4).to_sparse(),
        Path("a\0b"),
    ],
)
def test_what_is_no_puzzle_is_told_so(small: TRM, given: Any) -> None:
    with pytest.raises(PuzzleError):
        small.solve(given)


def test_arrays_of_many_kinds_are_puzzles(small: TRM) -> None:
    cells = np.array([0 if letter == "." else int(letter) for letter in SMALL])
    for one in (cells, cells.reshape(4, 4), torch.tensor(cells).bfloat16(), cells.astype(object), np.array(SMALL)):
        assert small.solve(one).answer == SMALL_ANSWER
    assert small.solve([[], []]) == []


def test_a_flat_array_of_a_large_board_has_numbers_above_nine() -> None:
    data = sudokus(1, side=16, givens=(200, 220))
    numbers = np.where(data.puzzles > 1, data.puzzles.astype(int) - 1, 0)
    model = TRM.from_pretrained("sudoku-large-boards")
    flat, square = model.solve(numbers[0], attempts=1), model.solve(numbers.reshape(16, 16), attempts=1)
    assert flat.question == square.question == Sudoku().write(data.puzzles[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1.5}, "--batch-size 1.5: give 1 to 1,048,576 puzzles"),
        ({"batch_size": "1"}, "--batch-size '1': give 1 to 1,048,576 puzzles"),
        ({"time_limit": []}, "--time-limit: '[]' is no duration; write 90s, 9m or 1h30m"),
        ({"views": 5000}, "--views: expected 1 to 4,096, got 5000"),
    ],
)
def test_values_of_wrong_kinds_are_refused(small: TRM, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        small.solve(SMALL, **options)
    assert str(refused.value) == message


@pytest.mark.parametrize("grid", [5, (1,), (1, 2, 3), (1.5, 1), (True, 2), (9, 1)])
def test_a_grid_is_two_numbers(small: TRM, grid: Any) -> None:
    with pytest.raises(UsageError, match=r"give rows and columns from 1 to 8: \(3, 3\)"):
        small.watch(SMALL, grid=grid)


@pytest.mark.parametrize("threads", [0, -1, "2", True, 10**9])
def test_threads_are_a_number_that_a_machine_could_have(threads: Any) -> None:
    before = torch.get_num_threads()
    with pytest.raises(UsageError, match="give 1 to 4,096"):
        TRM.from_pretrained("sudoku-4x4", threads=threads)
    assert torch.get_num_threads() == before


def test_settings_are_keywords(small: TRM) -> None:
    assert small.solve(SMALL, halt="never", max_steps=7).steps == 7
    assert small.solve(SMALL, time_limit=1e-9).why == "no time was left for it"


def test_an_unsolved_puzzle_says_why(usual: TRM) -> None:
    for puzzle, finding in ((AMBIGUOUS, Finding.SEVERAL_SOLUTIONS), (CONTRADICTORY, Finding.NO_SOLUTION)):
        solution = usual.solve(puzzle, max_steps=2)
        assert (solution.solved, solution.attempts, solution.why) == (False, 1, finding.value)
        assert solution.violations
        assert str(solution).endswith(f"not solved: {finding.value}")
    unchecked = usual.solve(AMBIGUOUS, max_steps=1, retry_steps=1, attempts=3, check=False)
    assert (unchecked.attempts, unchecked.why) == (3, Finding.UNKNOWN.value)


def test_a_run_is_watched_frame_by_frame_and_saved(small: TRM, tmp_path: Path) -> None:
    run = small.watch(SMALL)
    frames = list(run)
    assert (frames[0].step, frames[0].answer, frames[0].halt_probability) == (0, SMALL, None)
    assert (frames[-1].answer, frames[-1].solved, frames[-1].attempt) == (SMALL_ANSWER, True, 0)
    assert frames[-1].confidence is not None
    assert frames[-1].confidence.shape == (4, 4)
    assert str(frames[-1]).count("\n") == 6
    assert [frame.state for frame in run] == [frame.state for frame in frames]  # kept, not computed again
    run.save(tmp_path / "run.jsonl")
    assert len(list(read_trace(tmp_path / "run.jsonl").moments)) == len(frames)
    with pytest.raises(UsageError, match="exists already"):
        run.save(tmp_path / "run.jsonl")
    with pytest.raises(UsageError, match="name a file ending in"):
        run.save(tmp_path / "run.doc")
    assert len(list(small.watch(SMALL, inner=True))) > len(frames)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(frames[-1])
    assert "\x1b[" in console.file.getvalue()  # type: ignore[attr-defined] # of a StringIO


def test_the_trace_of_a_solution_is_the_run_that_led_to_it(small: TRM) -> None:
    solution = small.solve(SMALL)
    last = list(solution.trace)[-1]
    assert (last.answer, last.step, last.solved) == (solution.answer, solution.steps, True)
    assert last.halt_probability == pytest.approx(solution.halt_probability, abs=1e-3)


def test_a_notebook_shows_the_player(small: TRM, tmp_path: Path) -> None:
    solution = small.solve(SMALL)
    shown = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"<>]*"></iframe>', solution._repr_html_())
    assert shown is not None
    solution.trace.save(tmp_path / "run.html")
    assert html.unescape(shown[1]) == (tmp_path / "run.html").read_text(encoding="utf-8")


def test_mazes_of_any_size_share_a_network() -> None:
    maze = TRM.from_pretrained("maze")
    nine, fifteen = EXAMPLES / "maze-9x9.txt", EXAMPLES / "maze-15x15.txt"
    solutions = maze.solve([nine, fifteen], check=False)
    assert {solution.array.shape for solution in solutions} == {(9, 9), (15, 15)}
    assert all(solution.solved for solution in solutions)
    first = solutions[0].array
    assert sorted(set(first.ravel())) == [" ", "#", "G", "S", "o"]
    assert maze.solve(np.where(first == "o", " ", first)).solved


def test_arc_is_a_vote_on_each_test(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = small_data(tmp_path_factory.mktemp("arc"))
    model = TRM.from_pretrained(save_untrained(tmp_path_factory.mktemp("model"), data))
    problem, path = as_json(data.tests[0]), tmp_path / "known.json"
    path.write_text(json.dumps(problem))
    for given in (path, problem, json.dumps(problem)):
        solutions = model.solve(given)
        assert len(solutions) == len(problem["test"])
    first = solutions[0]
    assert first.attempts >= 1  # predictions
    assert len(first.candidates) <= 2
    if first.candidates:
        assert (first.array == first.candidates[0].grid).all()
    assert list(first.trace)[-1].step == first.steps
    assert len(list(model.watch(path))) == 1 + first.steps
    new = {"train": [{"input": [[5]], "output": [[5]]}] * 2, "test": [{"input": [[5]]}]}
    with pytest.raises(ModelError, match="let it learn: trm solve arc puzzle --adapt 500"):
        model.solve(new)
    assert model.solve(new, adapt=2, augment=1)[0].attempts == 2
    with pytest.raises(UsageError, match="--attempts: answers to arc are voted on"):
        model.solve(problem, attempts=3)
    with pytest.raises(UsageError, match="--no-check: answers to arc are voted on"):
        model.solve(problem, check=False)
    with pytest.raises(UsageError, match="--adapt 0: give 1 step or more"):
        model.solve(new, adapt=0)
    assert len(list(model.watch(path, max_steps=3))) == 1 + 3


def test_what_the_package_offers_is_there() -> None:
    for name in trm_cli.__all__:
        assert getattr(trm_cli, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        trm_cli.__getattr__("Nonsense")
