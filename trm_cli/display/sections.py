"""An evaluation as tables of text, whatever they are then drawn in."""

from collections.abc import Sequence
from dataclasses import dataclass

from trm_cli.solving.evaluate import Evaluated, Scores, compare
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.statistics import wilson
from trm_cli.solving.tally import NUM_BINS

SCORE_COLUMNS = (
    "puzzles",
    "cells",
    "exact",
    "valid",
    "verified",
    "95%",
    "steps",
    "halts",
    "rightly",
)
CURVE_COLUMNS = ("solved", "95%", "steps a puzzle")


@dataclass(frozen=True)
class Section:
    """A table with a heading; the first column is text, the others are numbers."""

    heading: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]  # of one cell: the heading of the rows below it
    note: str = ""  # what the columns mean


def sections(evaluated: Evaluated) -> list[Section]:
    """Every table of one network, the most important first."""
    made = [_scores(evaluated), _attempts(evaluated), _steps(evaluated), _calibration(evaluated),
            _speed(evaluated)]  # fmt: skip
    return [section for section in made if section.rows]


def comparison(first: Evaluated, second: Evaluated) -> Section:
    """Two networks on the same puzzles, with a paired test."""
    found, names = compare(first, second), distinct_names(first, second)
    rows = [
        ("solved by both", f"{found.both:,}"),
        (f"solved by {names[0]} alone", f"{found.first_only:,}"),
        (f"solved by {names[1]} alone", f"{found.second_only:,}"),
        ("solved by neither", f"{found.neither:,}"),
        ("p of the exact McNemar test", f"{found.mcnemar_p:.3g}"),
    ]
    return Section(
        f"{names[0]} against {names[1]}", ("", "puzzles"), rows,
        "p: how likely so unequal counts, or worse, are if both networks are equally good",
    )  # fmt: skip


def distinct_names(first: Evaluated, second: Evaluated) -> tuple[str, str]:
    """What two networks are called beside each other."""
    if first.model != second.model:
        return first.model, second.model
    return f"{first.model} (first)", f"{second.model} (second)"


def manner(settings: SolveSettings) -> str:
    """How puzzles were solved, in words."""
    parts = [f"at most {settings.steps_of(0)} steps", f"--halt {settings.halt}"]
    if settings.num_attempts > 1:
        further = f"further ones of {settings.steps_of(1)} steps"
        parts.append(f"{settings.num_attempts} attempts, {further}")
        parts += [f"{settings.step_limit} steps in all"] if settings.step_limit else []
        parts.append(f"{settings.starts} starts")
        parts += ["a guess each"] if settings.guess else []
        parts += [f"noise {settings.noise:g}"] if settings.noise else []
        parts += [f"{settings.views} views"] if settings.views > 1 else []
        parts.append(f"--select {settings.select}")
    return ", ".join([*parts, f"seed {settings.seed}"])


def _scores(evaluated: Evaluated) -> Section:
    rows: list[tuple[str, ...]] = []
    kind = "all"
    for scores in evaluated.groups:
        if scores.kind != kind:
            rows.append((f"by {scores.kind}",))
            kind = scores.kind
        rows.append((scores.group, *score_cells(scores)))
    return Section(
        f"{evaluated.model} on {evaluated.name}", ("", *SCORE_COLUMNS), rows,
        "exact: every cell as the label; valid: most rules hold (a given may be changed, a path "
        "too long); verified: all rules hold; steps: of all attempts; halts: the halt head fired "
        "in the first attempt; rightly: of those, the answer was right when it first did",
    )  # fmt: skip


def score_cells(scores: Scores) -> tuple[str, ...]:
    """One group's figures as text, in the order of SCORE_COLUMNS."""
    return (
        f"{scores.puzzles:,}",
        f"{scores.cell:.2%}",
        f"{scores.exact:.2%}",
        "–" if scores.valid is None else f"{scores.valid:.2%}",
        f"{scores.verified:.2%}",
        _interval(*scores.verified_interval),
        f"{scores.mean_steps:.1f}",
        f"{scores.fired:.2%}",
        "–" if scores.precision is None else f"{scores.precision:.2%}",
    )


def _interval(low: float, high: float) -> str:
    return f"{low:.1%}–{high:.1%}".replace("%–", "–")


def _attempts(evaluated: Evaluated) -> Section:
    tally, puzzles = evaluated.tally, evaluated.puzzles
    curve = zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True)
    rows = [
        (f"{made}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)),
         f"{steps / puzzles:.1f}")
        for made, (solved, steps) in enumerate(curve, 1)
    ]  # fmt: skip
    return Section("Verified with so many attempts", ("attempts", *CURVE_COLUMNS),
                   rows if len(rows) > 1 else [])  # fmt: skip


def _steps(evaluated: Evaluated) -> Section:
    tally, puzzles = evaluated.tally, evaluated.puzzles
    rows = [
        (f"{steps}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)), f"{halted:,}")
        for steps, (solved, halted) in enumerate(
            zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
    ]  # fmt: skip
    return Section(
        "Verified in the first attempt within so many steps",
        ("steps", "solved", "95%", "ended here"), rows,
        "ended here: puzzles that the first attempt solved in exactly so many steps",
    )  # fmt: skip


def _calibration(evaluated: Evaluated) -> Section:
    tally = evaluated.tally
    rows = [
        (f"{number / NUM_BINS:.1f} to {(number + 1) / NUM_BINS:.1f}", f"{one.steps:,}",
         f"{one.probability / one.steps:.3f}", f"{one.right / one.steps:.3f}",
         _interval(*wilson(one.right, one.steps)))
        for number, one in enumerate(tally.bins) if one.steps
    ]  # fmt: skip
    steps = sum(one.steps for one in tally.bins)
    brier = tally.squared_error / steps if steps else 0.0
    return Section(
        "Halt head: what it says, and how often the answer is right then",
        ("probability", "steps", "mean", "right", "95%"), rows,
        f"over the {steps:,} steps of first attempts; Brier score {brier:.4f}; fired on a wrong "
        f"answer in {tally.misfired:,} of {evaluated.puzzles:,} puzzles",
    )  # fmt: skip


def _speed(evaluated: Evaluated) -> Section:
    tally, puzzles = evaluated.tally, evaluated.puzzles
    rows = [
        ("seconds", f"{tally.seconds:,.1f}"),
        ("puzzles a second", f"{puzzles / max(tally.seconds, 1e-9):.2f}"),
        ("milliseconds a puzzle", f"{1000 * tally.seconds / puzzles:.1f}"),
        ("seconds that a puzzle was in the batch", f"{tally.waited / puzzles:.3f}"),
    ]
    if tally.untouched:
        rows.append(("puzzles for which no time was left", f"{tally.untouched:,}"))
    return Section("Speed", ("", "value"), rows)
