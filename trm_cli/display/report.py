"""An evaluation as one Markdown text: rendered by Rich on the terminal, by markdown-it into HTML.

The figures stand beside it as charts, and all numbers in one JSON object (docs/json.md).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from rich.markdown import Markdown

from trm_cli.config import SolveConfig
from trm_cli.display.charts import draw_evaluation, one_line, plain
from trm_cli.display.console import answers_console
from trm_cli.display.lines import bars
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.evaluate import NUM_BINS, Counts, Evaluated, compare, distinct_names, trials, unusual
from trm_cli.solving.statistics import wilson
from trm_cli.weights.card import num_gains

SCHEMA = 1
MOST_BARS = 16  # characters of a histogram


def described(evaluated: list[Evaluated]) -> dict[str, Any]:
    """One network's figures, or two networks' with their comparison."""
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "data": {"name": evaluated[0].name, "sha256": evaluated[0].data_sha256, "puzzles": evaluated[0].puzzles},
        "models": [_network(one) for one in evaluated],
    }
    if len(evaluated) == 2:
        result["comparison"] = asdict(compare(*evaluated))
    return result


def _network(evaluated: Evaluated) -> dict[str, Any]:
    tally, puzzles = evaluated.tally, evaluated.puzzles
    steps = sum(one.steps for one in tally.bins)

    def of(solved: int) -> dict[str, Any]:
        return {"solved": solved, "share": solved / puzzles, "interval": wilson(solved, puzzles)}

    attempts = zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True)
    within_steps = zip(tally.solved_within_steps, tally.whole.solved_at, strict=True)
    return {
        "name": evaluated.model,
        "sha256": evaluated.model_sha256,
        "dtype": evaluated.dtype,
        "settings": asdict(evaluated.settings),
        "groups": [
            {
                **asdict(scores),
                "verified_interval": scores.verified_interval,
                "first_attempt": _first_attempt(tally.groups[scores.kind][scores.group]),
            }
            for scores in evaluated.groups
        ],
        "by_attempts": [
            {"attempts": made, **of(solved), "steps": taken} for made, (solved, taken) in enumerate(attempts, 1)
        ],
        "by_budget": [{"budget": most, **of(solved), "steps": taken} for most, solved, taken in tally.by_budget],
        "by_steps": [
            {"steps": made, **of(solved), "ended_here": ended} for made, (solved, ended) in enumerate(within_steps, 1)
        ],
        "calibration": {
            "steps": steps,
            "brier_score": tally.squared_error / steps if steps else None,
            "puzzles_misfired": tally.misfired,
            "bins": [
                {
                    "from": place / NUM_BINS,
                    "to": (place + 1) / NUM_BINS,
                    "steps": one.steps,
                    "mean_probability": one.probability / one.steps if one.steps else None,
                    "right": one.right,
                }
                for place, one in enumerate(tally.bins)
            ],
        },
        "seconds": tally.seconds,
        "puzzles_per_second": puzzles / max(tally.seconds, 1e-9),
        "mean_seconds_in_batch": tally.waited / puzzles,
        "puzzles_without_time": tally.untouched,
    }


def _first_attempt(counts: Counts) -> dict[str, Any]:
    return {
        "solved": counts.solved_first,
        "median_steps": counts.solving_steps(50),
        "mean_steps": counts.mean_solving_steps,
        "percentile_90_steps": counts.solving_steps(90),
        "solved_at": counts.solved_at,
    }


PAGE = Path(__file__).with_name("report.html")


def show_scores(evaluated: list[Evaluated], *, as_json: bool, full: bool) -> None:
    """Print one network's figures, or two networks' and how they compare: in a few lines, or in full as tables."""
    console = answers_console()
    if as_json:
        console.file.write(json.dumps(described(evaluated)) + "\n")
    elif full:
        console.print(Markdown(markdown(evaluated)))
    else:
        console.print(*summary(evaluated), sep="\n", soft_wrap=not console.is_terminal)


def summary(evaluated: list[Evaluated]) -> list[str]:
    """An evaluation in a few lines: what was solved, within what budget, the halt head, the speed; or two compared."""
    if len(evaluated) == 1:
        (one,) = evaluated
        return [_solved(one.model, one), *_within_budgets(one), _halting(one), _speed(one)]
    names, found = distinct_names(*evaluated), compare(*evaluated)
    lines = [f"{_solved(name, one)}; {_speed(one)}" for name, one in zip(names, evaluated, strict=True)]
    alone = f"{names[0]} alone solves {found.first_only:,} puzzles, {names[1]} alone {found.second_only:,}"
    return [*lines, f"{alone}: p = {found.mcnemar_p:.3g} if both are equally good (exact McNemar test)"]


def _solved(name: str, one: Evaluated) -> str:
    """What a network solves, with how many attempts and steps."""
    whole, puzzles, settings = one.tally.whole, one.puzzles, one.settings
    low, high = (f"{100 * bound:.1f}" for bound in wilson(whole.verified, puzzles))
    share = f"{whole.verified / puzzles:.2%} of {one_line(one.name)}"
    counts = f"{whole.verified:,} of {puzzles:,}, 95% interval {low}–{high}%"
    attempts = f"at most {settings.attempts} attempts of" if settings.attempts > 1 else "one attempt of at most"
    how = f"{attempts} {settings.steps_of(0)} steps"
    if settings.searches_tree:
        how = f"a {trials(settings)}"
    steps = f"{how}, {whole.steps / puzzles:.1f} steps a puzzle"
    if settings.attempts > 1:
        steps += f"; {whole.solved_first / puzzles:.2%} in one attempt"
    return f"{one_line(name)} solves {share} ({counts}) in {steps}"


def _within_budgets(one: Evaluated) -> list[str]:
    """Solved against steps spent, in one line: from the first attempt's steps up, each budget four times the last."""
    budgets = one.tally.by_budget
    if not budgets:
        return []
    *before, last = budgets[: num_gains(one.tally.solved_within_budgets)]
    shares = [f"{most:,}: {solved / one.puzzles:.2%}" for most, solved, _ in [*before[::2], last]]
    return [f"solved within so many steps of all attempts: {', '.join(shares)}"]


def _halting(one: Evaluated) -> str:
    whole = one.tally.whole
    if not whole.fired:
        return "the halt head never fired in a first attempt"
    fired, right = whole.fired / one.puzzles, whole.right_when_fired / whole.fired
    return f"the halt head fired on {fired:.2%} of the puzzles; the answer was right then in {right:.2%} of these"


def _speed(one: Evaluated) -> str:
    """How fast it was, and what else than attempts and steps was not as usual."""
    flags = unusual(one.settings)
    parts = [f"{one.puzzles / max(one.tally.seconds, 1e-9):,.1f} puzzles a second"]
    parts += [f"no time was left for {one.tally.untouched:,} puzzles"] if one.tally.untouched else []
    parts += [f"solved with {' '.join(flags)}"] if flags else []
    return ", ".join(parts)


def write_report(path: Path, evaluated: list[Evaluated], command: str) -> None:
    """Write the report, as the file's name ends: Markdown, HTML, a figure alone, or JSON."""
    title = title_of(evaluated)
    if path.suffix in (".svg", ".png"):
        content = draw_evaluation(evaluated, title=title, command=command, suffix=path.suffix)
    elif path.suffix == ".json":
        content = f"{json.dumps({**described(evaluated), 'command': command}, indent=2)}\n".encode()
    elif path.suffix == ".html":
        figure = draw_evaluation(evaluated, title=title, command=command).decode()
        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        head, tables = markdown(evaluated, command).split("\n## ", 1)
        body = f"{parser.render(head)}{figure[figure.index('<svg') :]}{parser.render(f'## {tables}')}"
        page = PAGE.read_text(encoding="utf-8").replace("<!--TITLE-->", plain(title))
        content = page.replace("<!--BODY-->", body).encode()
    else:
        content = markdown(evaluated, command).encode()
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error


def title_of(evaluated: list[Evaluated]) -> str:
    """What was measured, on what."""
    names = " and ".join(one.model for one in evaluated)
    return f"{names} on {evaluated[0].name}, {evaluated[0].puzzles:,} puzzles"


def markdown(evaluated: list[Evaluated], command: str = "") -> str:
    """The report; the most important tables first."""
    names = [escape(one.model) for one in evaluated]
    parts = [f"# {escape(title_of(evaluated))}", *([f"Measured by `{command}`"] if command else [])]
    comparison = []
    if len(evaluated) == 2:
        names = [escape(name) for name in distinct_names(*evaluated)]
        found = compare(*evaluated)
        counts = {
            "solved by both": found.both,
            f"solved by {names[0]} alone": found.first_only,
            f"solved by {names[1]} alone": found.second_only,
            "solved by neither": found.neither,
        }
        rows = [*((name, f"{count:,}") for name, count in counts.items())]
        rows.append(("p of the exact McNemar test", f"{found.mcnemar_p:.3g}"))
        note = "p: how likely so unequal counts, or worse, are if both networks are equally good"
        comparison = [table(" against ".join(names), {"": "", "puzzles": ""}, rows, note)]
    parts += [f"{name}: {manner(one.settings)}." for name, one in zip(names, evaluated, strict=True)]
    parts += comparison
    for name, one in zip(names, evaluated, strict=True):
        parts += _of_network(one, f"{name}: " if len(evaluated) > 1 else "")
    return "\n\n".join(parts) + "\n"


def escape(content: str) -> str:
    """A name as Markdown that shows it as it is, in a table, too."""
    return re.sub(r"[\\`*\[\]<>&|~]|\b_|_\b", r"\\\g<0>", one_line(content))


def manner(settings: SolveConfig) -> str:
    """How puzzles were solved, in words."""
    parts = [f"at most {settings.steps_of(0)} steps", f"--halt {settings.halt}"]
    if settings.num_attempts > 1:
        parts.append(f"{trials(settings)}, further ones of {settings.steps_of(1)} steps")
        parts += [f"{settings.step_limit:,} steps in all"] if settings.step_limit and not settings.searches_tree else []
        parts.append(f"{settings.starts} starts")
        parts += ["a guess each"] if settings.search == "flat" else []
        parts += [f"noise {settings.noise:g}"] if settings.noise else []
        parts += [f"{settings.views} views"] if settings.views > 1 else []
        parts.append(f"--select {settings.select}")
    return ", ".join([*parts, f"seed {settings.seed}"])


Value = str | float | tuple[float, float] | None  # of a table's cell; two numbers are an interval


def table(heading: str, columns: dict[str, str], rows: Sequence[Sequence[Value]], note: str = "") -> str:
    """A heading and a table, numbers to the right; `columns` says how those below each name are written."""

    def written(value: Value, form: str) -> str:
        if isinstance(value, tuple):
            return f"{value[0]:.1%}–{value[1]:.1%}".replace("%–", "–")
        return "–" if value is None else value if isinstance(value, str) else format(value, form)

    lines = [list(columns), ["---", *["---:"] * (len(columns) - 1)]]
    lines += ([written(*pair) for pair in zip_longest(row, columns.values(), fillvalue="")] for row in rows)
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join(filter(None, (f"## {heading}", drawn, note)))


def _of_network(one: Evaluated, prefix: str) -> list[str]:
    """The tables of one network; their headings begin with `prefix`."""
    told, puzzles = _network(one), one.puzzles
    head = told["calibration"]
    accuracy: list[Sequence[Value]] = []
    halting: list[Sequence[Value]] = []
    for kind, scores in groupby(one.groups, lambda group: group.kind):
        for rows in (accuracy, halting):
            rows += [(f"**by {kind}**",)] if kind != "all" else []
        for group in scores:
            name, interval = escape(group.group), group.verified_interval
            accuracy.append((name, group.puzzles, group.cell, group.exact, group.valid, group.verified, interval))
            halting.append((name, group.mean_steps, group.fired, group.precision))
    speed = [
        ("seconds", f"{told['seconds']:,.1f}"),
        ("puzzles a second", f"{told['puzzles_per_second']:.2f}"),
        ("milliseconds a puzzle", f"{1000 * told['seconds'] / puzzles:.1f}"),
        ("seconds that a puzzle was in the batch", f"{told['mean_seconds_in_batch']:.3f}"),
    ]
    if one.tally.untouched:
        speed.append(("puzzles for which no time was left", f"{one.tally.untouched:,}"))
    tables = [
        table(
            f"{prefix}Accuracy",
            {"": "", "puzzles": ",", "cells": ".2%", "exact": ".2%", "valid": ".2%", "verified": ".2%", "95%": ""},
            accuracy,
            "exact: every cell as the label; valid: the rules of an answer hold, as far as its task demands; "
            "verified: all rules hold",
        ),
        table(
            f"{prefix}Steps and halting",
            {"": "", "steps": ".1f", "halts": ".2%", "rightly": ".2%"},
            halting,
            "steps: of all attempts; halts: the halt head fired in the first attempt; "
            "rightly: of those, the answer was right when it first did",
        ),
        table(
            f"{prefix}Verified in the first attempt within so many steps",
            {"steps": "", "solved": ".2%", "95%": "", "ended here": ","},
            [(row["steps"], row["share"], row["interval"], row["ended_here"]) for row in told["by_steps"]],
            "ended here: puzzles that the first attempt solved in exactly so many steps",
        ),
        table(
            f"{prefix}Halt head: what it says, and how often the answer is right then",
            {"probability": "", "steps": ",", "mean": ".3f", "right": ".3f", "95%": ""},
            [
                (
                    f"{row['from']:.1f} to {row['to']:.1f}",
                    row["steps"],
                    row["mean_probability"],
                    row["right"] / row["steps"],
                    wilson(row["right"], row["steps"]),
                )
                for row in head["bins"]
                if row["steps"]
            ],
            f"over the {head['steps']:,} steps of first attempts; Brier score {head['brier_score'] or 0.0:.4f}; "
            f"fired on a wrong answer in {one.tally.misfired:,} of {puzzles:,} puzzles",
        ),
        table(f"{prefix}Speed", {"": "", "value": ""}, speed),
    ]
    if len(told["by_attempts"]) > 1:
        columns = {"attempts": "", "solved": ".2%", "95%": "", "steps a puzzle": ".1f"}
        made = [(row["attempts"], row["share"], row["interval"], row["steps"] / puzzles) for row in told["by_attempts"]]
        tables.insert(2, table(f"{prefix}Verified with so many attempts", columns, made))
    if by_budget := told["by_budget"]:
        gains = num_gains(one.tally.solved_within_budgets)
        columns = {"steps": ",", "solved": ".2%", "95%": "", "steps a puzzle": ".1f"}
        made = [(row["budget"], row["share"], row["interval"], row["steps"] / puzzles) for row in by_budget[:gains]]
        note = "steps: of all attempts at a puzzle together, at most; more than the last of these solve no more"
        tables.insert(2, table(f"{prefix}Verified within so many steps of all attempts", columns, made, note))
    if one.tally.whole.halts_at_several_steps:
        tables.insert(2, _solving_steps(one, prefix))
    return tables


def _solving_steps(one: Evaluated, prefix: str) -> str:
    """The steps that the first attempt took to solve puzzles of each rating and number of givens."""
    rows: list[Sequence[Value]] = []
    most_steps = len(one.tally.whole.solved_at)
    pitch = -(-most_steps // MOST_BARS)  # steps of a bar
    for kind in ("all", "rating", "givens"):
        groups = one.counts_by(kind)
        rows += [(f"**by {kind}**",)] if kind != "all" and groups else []
        for name, counts in groups:
            told = _first_attempt(counts)
            taken = told["median_steps"], told["mean_steps"], told["percentile_90_steps"]
            binned = [sum(counts.solved_at[start : start + pitch]) for start in range(0, most_steps, pitch)]
            (histogram,) = bars(binned, width=len(binned), height=1)
            drawn = f"`{histogram.replace(' ', '·')}`"  # Markdown would drop the spaces
            rows.append((escape(name), counts.puzzles, told["solved"] / counts.puzzles, *taken, drawn))
    columns = {"": "", "puzzles": ",", "solved": ".2%", "median": "", "mean": ".1f", "90%": ""}
    return table(
        f"{prefix}Steps of the puzzles that the first attempt solved",
        {**columns, f"1 to {most_steps}": ""},
        rows,
        "median, mean and 90th percentile of the steps of the puzzles solved; bars: how many took "
        + ("1, 2, .. steps" if pitch == 1 else f"1 to {pitch}, {pitch + 1} to {2 * pitch}, .. steps")
        + ", a full bar for the most in the row",
    )
