"""An evaluation's counts, against the same things counted by hand."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_attempts import Retrying
from tests.test_engine import ScriptedNetwork
from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import solve_stream
from trm_cli.solving.evaluate import (
    FORMAT,
    Counts,
    Evaluated,
    Question,
    Tally,
    evaluate,
    read_kept,
    subject,
    write_kept,
)
from trm_cli.solving.search import Attempt, Outcome
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku


def chunks(data: Dataset, size: int = 7) -> Iterator[Dataset]:
    for start in range(0, len(data), size):
        yield data.rows(np.arange(start, min(start + size, len(data))))


def measured(
    network: TinyRecursiveModel, data: Dataset, *, tally: Tally | None = None, until: int | None = None, **settings: Any
) -> Tally:
    """The tally after `until` puzzles, or all."""
    tally = tally or Tally()
    chosen = SolveConfig(**settings)
    steps = evaluate(network, Sudoku(), chunks(data), tally, batch_size=4, settings=chosen, keeps_solved=True)
    for count, _ in enumerate(steps, 1):
        if count == until:
            break
    return tally


@pytest.fixture
def ten(small_data: Dataset) -> Dataset:
    return replace(
        small_data.head(10), ratings=np.array([0] * 4 + [12] * 3 + [-1] * 3), sources=["book"] * 6 + ["web"] * 3 + [""]
    )


@pytest.fixture
def scripted(ten: Dataset) -> ScriptedNetwork:
    """Fires and answers right at the steps given; puzzles 0, 4, 8 and 9 fire too early."""
    return ScriptedNetwork(ten, [1, 3, 9, 2, 1, 1, 4, 9, 2, 1], [2, 1, 1, 9, 3, 1, 4, 9, 3, 2])


def test_groups_are_counted_by_source_rating_and_givens(ten: Dataset, scripted: ScriptedNetwork) -> None:
    tally = measured(scripted, ten, max_steps=4)
    found = Evaluated("d.csv", "", "m", "", SolveConfig(max_steps=4), tally)
    by_group = {(scores.kind, scores.group): scores for scores in found.groups}
    assert found.puzzles == 10
    every = by_group["all", "all"]
    assert (every.puzzles, every.verified, every.exact) == (10, 0.8, 0.8)
    assert by_group["rating", "0"].verified == 0.75
    assert by_group["rating", "10 to 49"].puzzles == 3
    assert {name for kind, name in by_group if kind == "source"} == {"book", "web"}
    assert sum(s.puzzles for (kind, _), s in by_group.items() if kind == "givens") == 10
    assert every.fired == 0.8
    assert every.precision == pytest.approx(3 / 8)


def test_the_first_firing_of_attempt_0_is_counted_with_whether_it_was_right(small_data: Dataset) -> None:
    four = small_data.head(4)
    network = ScriptedNetwork(four, [1, 3, 9, 2], [2, 1, 1, 9])
    found = []
    for row in range(4):
        counts = measured(network, four.rows(np.array([row])), max_steps=4).whole
        found.append((counts.fired, counts.right_when_fired))
    assert found == [(1, 0), (1, 1), (0, 0), (1, 0)]


@pytest.mark.parametrize("halt", ["verified", "never", "q"])
def test_the_curve_over_steps_is_what_runs_of_so_many_steps_give(
    ten: Dataset, scripted: ScriptedNetwork, halt: str
) -> None:
    curve = measured(scripted, ten, halt=halt, max_steps=6).solved_within_steps
    for steps in range(1, 7):
        run = solve_stream(scripted, Sudoku(), ten.puzzles, batch_size=4, settings=SolveConfig(halt, max_steps=steps))
        assert curve[steps - 1] == sum(solution.solved for solution in run)


@pytest.mark.parametrize("select", ["verified", "q", "mode", "margin", "residual"])
def test_the_curve_over_attempts_is_what_runs_of_so_many_attempts_give(ten: Dataset, select: str) -> None:
    network = Retrying(ten, 0.8)
    settings: dict[str, Any] = {"max_steps": 2, "select": select, "halt": "never"}
    tally = measured(network, ten, attempts=6, **settings)
    for attempts in range(1, 7):
        run = measured(network, ten, attempts=attempts, **settings)
        assert run.solved_within_attempts[-1] == tally.solved_within_attempts[attempts - 1]
        assert run.steps_within_attempts[-1] == tally.steps_within_attempts[attempts - 1]
        assert run.whole.verified == run.solved_within_attempts[-1]
    assert tally.solved_within_attempts[0] == 0
    if select in ("verified", "q"):  # the others cannot tell its right answers from its wrong ones
        assert tally.solved_within_attempts[-1] > 4


def test_steps_are_a_histogram_and_calibration_is_over_every_step(ten: Dataset, scripted: ScriptedNetwork) -> None:
    tally = measured(scripted, ten, max_steps=4)
    # Puzzle 2 holds without the head's word, so it takes all the steps that there are.
    assert tally.whole.solved_at == [1, 2, 3, 2]
    steps = 2 + 3 + 4 + 4 + 3 + 1 + 4 + 4 + 3 + 2
    assert sum(one.steps for one in tally.bins) == steps
    says_yes, says_no = tally.bins[9], tally.bins[0]  # the script says 0.953 and 0.047
    assert (says_yes.steps, says_yes.right) == (2 + 1 + 0 + 3 + 3 + 1 + 1 + 0 + 2 + 2, 7)
    assert says_no.steps == steps - says_yes.steps
    right_yes, right_no = says_yes.right, says_no.right
    by_hand = (right_yes + says_no.steps - right_no) * 0.047426**2 + (
        says_yes.steps - right_yes + right_no
    ) * 0.952574**2
    assert tally.squared_error == pytest.approx(by_hand, rel=1e-4)
    assert tally.misfired == 5  # puzzles 0, 3, 4, 8 and 9


def test_solving_steps_are_counted_in_every_group(ten: Dataset, scripted: ScriptedNetwork) -> None:
    tally = measured(scripted, ten, max_steps=4)
    found = Evaluated("d.csv", "", "m", "", SolveConfig(max_steps=4), tally)
    by_group = {name: counts.solved_at for kind in ("rating", "source") for name, counts in found.counts_by(kind)}
    assert by_group == {"0": [0, 1, 1, 1], "10 to 49": [1, 0, 1, 1], "book": [1, 1, 2, 1], "web": [0, 0, 1, 1]}
    assert [name for name, _ in found.counts_by("rating")] == ["0", "10 to 49"]
    assert (tally.whole.solved_first, tally.whole.mean_solving_steps) == (8, 22 / 8)
    assert [tally.whole.solving_steps(percent) for percent in (50, 90)] == [3, 4]


def solution(question: Question, *courses: list[bool]) -> Outcome:
    """Of attempts of at most four steps, each with whether its answer was right after each step that it took."""
    attempts = []
    for number, course in enumerate(courses):
        attempt = Attempt.begin(0, question.puzzle, SolveConfig(max_steps=4, attempts=2), number)
        for holds in course:
            attempt.note(question.answer, holds=holds, halt_probability=0.9 * holds, score=0.0)
        attempts.append(attempt)
    return Outcome(tuple(attempts), attempts[-1], 0.0)


def test_only_what_the_first_attempt_solved_counts_where_it_stopped(small_data: Dataset) -> None:
    question, counts = Question(small_data.puzzles[0], small_data.answers[0], "", 0), Counts()
    no, yes = False, True
    two_attempts: list[list[bool]] = [[no, yes, no, no], [yes]]
    untouched: list[list[bool]] = [[]]
    for courses in ([[no, yes]], [[yes]], [[no, yes]], [[no] * 4], two_attempts, [[no, no, no, yes]], untouched):
        counts.add(question, solution(question, *courses), valid=True)
    assert (counts.puzzles, counts.verified) == (7, 5)
    assert (counts.solved_at, counts.solved_first) == ([1, 2, 0, 1], 4)


@pytest.mark.parametrize(
    ("solved_at", "median", "mean", "percentile_90"),
    [
        ([], None, None, None),
        ([0, 0], None, None, None),
        ([0, 3], 2, 2.0, 2),
        ([5, 5], 1, 1.5, 2),
        ([4, 6], 2, 1.6, 2),
        ([8, 1, 1], 1, 1.3, 2),
        ([63, 0, 7], 1, 1.2, 1),  # nine in ten exactly, which 0.9 * 70 is not
        ([0, 1, 0, 0, 1], 2, 3.5, 5),
    ],
)
def test_median_mean_and_90th_percentile_are_of_the_steps_of_solved_puzzles(
    solved_at: list[int], median: int | None, mean: float | None, percentile_90: int | None
) -> None:
    counts = Counts(puzzles=100, solved_at=solved_at)
    assert (counts.solving_steps(50), counts.solving_steps(90)) == (median, percentile_90)
    assert counts.mean_solving_steps == mean
    assert counts.halts_at_several_steps == (len([count for count in solved_at if count]) > 1)


def test_what_breaks_a_rule_or_changes_a_given_is_never_solved(ten: Dataset) -> None:
    """A network that always answers with another puzzle's grid: valid, but not verified."""
    wrong = replace(ten, answers=np.roll(ten.answers, 1, axis=0))
    tally = measured(ScriptedNetwork(wrong, [1] * 10, [1] * 10), wrong, halt="q")
    counts = tally.whole
    assert (counts.valid, counts.verified, counts.exact) == (10, 0, 10)
    assert (tally.solved, tally.misfired) == (bytearray(10), 10)


@pytest.mark.parametrize("until", [1, 6, 9])
def test_an_evaluation_goes_on_where_it_was_interrupted(ten: Dataset, tmp_path: Path, until: int) -> None:
    network, settings = Retrying(ten, 0.8), SolveConfig(max_steps=2, attempts=4)
    path, what = tmp_path / "kept.json", subject("d", [("w", "float32", settings)])
    begun = measured(network, ten, until=until, max_steps=2, attempts=4)
    write_kept(path, what, [begun])
    kept = read_kept(path, what)
    assert kept is not None
    assert kept[0].whole.puzzles == until
    resumed = measured(network, ten, tally=kept[0], max_steps=2, attempts=4)
    whole = measured(network, ten, max_steps=2, attempts=4)
    clocks: dict[str, Any] = {"seconds": 0.0, "waited": 0.0}
    assert replace(resumed, **clocks) == replace(whole, **clocks)


def test_kept_counts_of_something_else_are_refused(tmp_path: Path) -> None:
    path, settings = tmp_path / "kept.json", SolveConfig()
    assert read_kept(path, subject("d", [("w", "float32", settings)])) is None
    write_kept(path, subject("d", [("w", "float32", settings)]), [Tally()])
    others = {
        "other data": subject("e", [("w", "float32", settings)]),
        "other networks, number types or settings": subject("d", [("w", "float32", replace(settings, attempts=3))]),
        "types": subject("d", [("w", "bfloat16", settings)]),
    }
    for what, other in others.items():
        with pytest.raises(UsageError, match=what):
            read_kept(path, other)
    known = json.loads(path.read_text())
    old = [{**tally, "halted_at": [1, 2]} for tally in known["tallies"]]  # as in 0.1.0
    path.write_text(json.dumps({**known, "format": 1, "tallies": old}))
    with pytest.raises(UsageError, match=r"kept.json: was written by another version of trm; choose another name"):
        read_kept(path, subject("d", [("w", "float32", settings)]))
    for content in ("{", "[]", json.dumps({"format": FORMAT, "tallies": [{"groups": 3}]}), '{"tallies": []}'):
        path.write_text(content)
        with pytest.raises(UsageError, match="keeps no evaluation"):
            read_kept(path, subject("d", [("w", "float32", settings)]))


def change_tally(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda known: {**known, "tallies": [{**known["tallies"][0], **changes}]}


def change_counts(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(known: dict[str, Any]) -> dict[str, Any]:
        groups = known["tallies"][0]["groups"]
        return change_tally(groups={**groups, "all": {"all": {**groups["all"]["all"], **changes}}})(known)

    return changed


KEPT: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a text for a count": (change_counts(exact="3"), "exact: expected a whole number"),
    "a negative count": (change_counts(steps=-1), "steps: expected a whole number"),
    "no cells": (change_counts(cells=0, right_cells=0), "counts that contradict each other"),
    "more right than there are": (change_counts(verified=7), "counts that contradict each other"),
    "other steps": (change_counts(solved_at=[1]), "all all: no group of an evaluation"),
    "no order": (change_tally(orders={}), "no group of an evaluation"),
    "too few bins": (change_tally(bins=[]), "bins: expected a list of 10, got []"),
    "infinite seconds": (change_tally(seconds=1e999), "Infinity is no number"),
    "more steps than there were": (
        change_tally(solved_within_steps=[0] * 9),
        "solved_within_steps: expected 2 figures",
    ),
    "too few attempts": (change_tally(steps_within_attempts=[]), "steps_within_attempts: expected 4 figures, got 0"),
    "other budgets": (change_tally(budgets=[1, 2, 3]), "counts that contradict each other"),
    "solved twice": (change_tally(solved="222222"), "counts that contradict each other"),
    "solved too rarely": (change_tally(solved="1"), "solved: expected 6 figures, got 1"),
    "no text of them": (change_tally(solved=[1]), "solved: expected a text, got [1]"),
    "no tallies": (lambda known: {**known, "tallies": []}, "counts of 0 networks, not of 1"),
    "a flipped digit": (lambda known: {**change_counts(exact=0)(known), "checksum": "0"}, "its checksum is not that"),
    "nested": (lambda known: json.loads("[" * 900 + "]" * 900), "expected an object"),
}


@pytest.mark.parametrize(("change", "message"), KEPT.values(), ids=KEPT.keys())
def test_kept_counts_that_no_evaluation_comes_to_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, ten: Dataset, tmp_path: Path
) -> None:
    path, what = tmp_path / "kept.json", subject("d", [("w", "float32", SolveConfig(max_steps=2, attempts=4))])
    tally = measured(Retrying(ten, 0.8), ten, until=6, max_steps=2, attempts=4)
    write_kept(path, what, [tally])
    known = json.loads(path.read_text())
    del known["checksum"]  # as an earlier trm wrote it
    path.write_text(json.dumps(known))
    assert read_kept(path, what) == [tally]
    path.write_text(json.dumps(change(known)))
    with pytest.raises(UsageError) as caught:
        read_kept(path, what)
    assert str(caught.value).startswith(f"{path}: keeps no evaluation: ")
    assert message in str(caught.value)


def test_kept_counts_are_a_file_of_a_sensible_size(tmp_path: Path) -> None:
    path, what = tmp_path / "kept.json", subject("d", [("w", "float32", SolveConfig())])
    path.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="a device or a pipe, not a file"):
        read_kept(path, what)
    path.unlink()
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(UsageError, match="larger than 16 MB"):
        read_kept(path, what)


def test_only_a_batch_of_questions_is_in_memory(ten: Dataset, scripted: ScriptedNetwork) -> None:
    """The chunks are read as they are needed, not ahead."""
    read: list[int] = []

    def counted() -> Iterator[Dataset]:
        for number, chunk in enumerate(chunks(ten, 1)):
            read.append(number)
            yield chunk

    seen: list[tuple[int, Outcome]] = []
    for solution in evaluate(scripted, Sudoku(), counted(), Tally(), batch_size=2, settings=SolveConfig(max_steps=2)):
        seen.append((len(read), solution))
    assert all(ahead <= done + 2 for done, (ahead, _) in enumerate(seen, 1))
