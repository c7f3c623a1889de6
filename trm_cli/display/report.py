"""An evaluation as one Markdown text: rendered by Rich on the terminal, by markdown-it into HTML.

The figures stand beside it as charts, and all numbers in one JSON object (docs/json.md).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from rich.markdown import Markdown

from trm_cli.config import SolveConfig
from trm_cli.display.charts import draw_evaluation, one_line, plain
from trm_cli.display.console import answers_console
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.evaluate import NUM_BINS, Evaluated, compare, distinct_names, wilson

SCHEMA = 1


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
    tally = evaluated.tally
    steps = sum(one.steps for one in tally.bins)
    return {
        "name": evaluated.model,
        "sha256": evaluated.model_sha256,
        "settings": asdict(evaluated.settings),
        "groups": [{**asdict(scores), "verified_interval": scores.verified_interval} for scores in evaluated.groups],
        "by_attempts": [
            {"attempts": made, **_share(solved, evaluated.puzzles), "steps": taken}
            for made, (solved, taken) in enumerate(
                zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True), 1
            )
        ],
        "by_steps": [
            {"steps": number, **_share(solved, evaluated.puzzles), "ended_here": ended}
            for number, (solved, ended) in enumerate(zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
        ],
        "calibration": {
            "steps": steps,
            "brier_score": tally.squared_error / steps if steps else None,
            "puzzles_misfired": tally.misfired,
            "bins": [
                {
                    "from": number / NUM_BINS,
                    "to": (number + 1) / NUM_BINS,
                    "steps": one.steps,
                    "mean_probability": one.probability / one.steps if one.steps else None,
                    "right": one.right,
                }
                for number, one in enumerate(tally.bins)
            ],
        },
        "seconds": tally.seconds,
        "puzzles_per_second": evaluated.puzzles / max(tally.seconds, 1e-9),
        "mean_seconds_in_batch": tally.waited / evaluated.puzzles,
        "puzzles_without_time": tally.untouched,
    }


def _share(solved: int, puzzles: int) -> dict[str, Any]:
    return {"solved": solved, "share": solved / puzzles, "interval": wilson(solved, puzzles)}


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
  color: #1f2328; background: #ffffff; }}
table {{ border-collapse: collapse; margin: 1em 0; font-size: 13px; white-space: nowrap; }}
th, td {{ padding: .25em .6em; border-bottom: 1px solid #d0d7de; }}
svg {{ max-width: 100%; height: auto; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #f0f6fc; background: #0d1117; }}
  th, td {{ border-color: #30363d; }}
}}
</style></head>
<body>
{body}</body></html>
"""


def show_scores(evaluated: list[Evaluated], *, as_json: bool) -> None:
    """Print one network's figures, or two networks' and how they compare."""
    console = answers_console()
    if as_json:
        console.file.write(json.dumps(described(evaluated)) + "\n")
    else:
        console.print(Markdown(markdown(evaluated)))


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
        content = PAGE.format(title=plain(title), body=body).encode()
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
    names = distinct_names(*evaluated) if len(evaluated) == 2 else [evaluated[0].model]
    parts = [f"# {escape(title_of(evaluated))}", *([f"Measured by `{command}`"] if command else [])]
    parts += [f"{escape(name)}: {manner(one.settings)}." for name, one in zip(names, evaluated, strict=True)]
    if len(evaluated) == 2:
        parts.append(_comparison(*evaluated))
    for name, one in zip(names, evaluated, strict=True):
        parts += _of_network(one, f"{escape(name)}: " if len(evaluated) > 1 else "")
    return "\n\n".join(filter(None, parts)) + "\n"


def escape(content: str) -> str:
    """A name as Markdown that shows it as it is, in a table, too."""
    return re.sub(r"[\\`*\[\]<>&|~]|\b_|_\b", r"\\\g<0>", one_line(content))


def manner(settings: SolveConfig) -> str:
    """How puzzles were solved, in words."""
    parts = [f"at most {settings.steps_of(0)} steps", f"--halt {settings.halt}"]
    if settings.num_attempts > 1:
        parts.append(f"{settings.num_attempts} attempts, further ones of {settings.steps_of(1)} steps")
        parts += [f"{settings.step_limit} steps in all"] if settings.step_limit else []
        parts.append(f"{settings.starts} starts")
        parts += ["a guess each"] if settings.guess else []
        parts += [f"noise {settings.noise:g}"] if settings.noise else []
        parts += [f"{settings.views} views"] if settings.views > 1 else []
        parts.append(f"--select {settings.select}")
    return ", ".join([*parts, f"seed {settings.seed}"])


def _table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A heading and a table, numbers to the right; a row of one cell is a heading, too."""
    marks = ["---", *["---:"] * (len(columns) - 1)]
    filled = ([f"**{row[0]}**", *[""] * (len(columns) - 1)] if len(row) == 1 else row for row in rows)
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, marks, *filled)]
    return "\n\n".join(filter(None, (f"## {heading}", "\n".join(lines), note)))


def _comparison(first: Evaluated, second: Evaluated) -> str:
    """Two networks on the same puzzles, with a paired test."""
    found, (one, other) = compare(first, second), map(escape, distinct_names(first, second))
    rows = [
        ("solved by both", f"{found.both:,}"),
        (f"solved by {one} alone", f"{found.first_only:,}"),
        (f"solved by {other} alone", f"{found.second_only:,}"),
        ("solved by neither", f"{found.neither:,}"),
        ("p of the exact McNemar test", f"{found.mcnemar_p:.3g}"),
    ]
    note = "p: how likely so unequal counts, or worse, are if both networks are equally good"
    return _table(f"{one} against {other}", ("", "puzzles"), rows, note)


def _of_network(one: Evaluated, prefix: str) -> list[str]:
    """The tables of one network; their headings begin with `prefix`."""
    tally, puzzles = one.tally, one.puzzles
    accuracy: list[tuple[str, ...]] = []
    halting: list[tuple[str, ...]] = []
    for kind, scores in groupby(one.groups, lambda group: group.kind):
        for rows in (accuracy, halting):
            rows += [(f"by {kind}",)] if kind != "all" else []
        for group in scores:
            name, precision = escape(group.group), group.precision
            shares = (_percent(share) for share in (group.cell, group.exact, group.valid, group.verified))
            accuracy.append((name, f"{group.puzzles:,}", *shares, _interval(*group.verified_interval)))
            halting.append((name, f"{group.mean_steps:.1f}", _percent(group.fired), _percent(precision)))
    by_attempts = [
        (f"{made}", _percent(solved / puzzles), _interval(*wilson(solved, puzzles)), f"{steps / puzzles:.1f}")
        for made, (solved, steps) in enumerate(
            zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True), 1
        )
    ]
    by_steps = [
        (f"{made}", _percent(solved / puzzles), _interval(*wilson(solved, puzzles)), f"{ended:,}")
        for made, (solved, ended) in enumerate(zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
    ]
    calibration = [
        (
            f"{place / NUM_BINS:.1f} to {(place + 1) / NUM_BINS:.1f}",
            f"{b.steps:,}",
            f"{b.probability / b.steps:.3f}",
            f"{b.right / b.steps:.3f}",
            _interval(*wilson(b.right, b.steps)),
        )
        for place, b in enumerate(tally.bins)
        if b.steps
    ]
    steps = sum(b.steps for b in tally.bins)
    speed = [
        ("seconds", f"{tally.seconds:,.1f}"),
        ("puzzles a second", f"{puzzles / max(tally.seconds, 1e-9):.2f}"),
        ("milliseconds a puzzle", f"{1000 * tally.seconds / puzzles:.1f}"),
        ("seconds that a puzzle was in the batch", f"{tally.waited / puzzles:.3f}"),
        *([("puzzles for which no time was left", f"{tally.untouched:,}")] if tally.untouched else []),
    ]
    return [
        _table(
            f"{prefix}Accuracy",
            ("", "puzzles", "cells", "exact", "valid", "verified", "95%"),
            accuracy,
            "exact: every cell as the label; valid: the rules of an answer hold, as far as its task demands; "
            "verified: all rules hold",
        ),
        _table(
            f"{prefix}Steps and halting",
            ("", "steps", "halts", "rightly"),
            halting,
            "steps: of all attempts; halts: the halt head fired in the first attempt; "
            "rightly: of those, the answer was right when it first did",
        ),
        _table(f"{prefix}Verified with so many attempts", ("attempts", "solved", "95%", "steps a puzzle"), by_attempts)
        if len(by_attempts) > 1
        else "",
        _table(
            f"{prefix}Verified in the first attempt within so many steps",
            ("steps", "solved", "95%", "ended here"),
            by_steps,
            "ended here: puzzles that the first attempt solved in exactly so many steps",
        ),
        _table(
            f"{prefix}Halt head: what it says, and how often the answer is right then",
            ("probability", "steps", "mean", "right", "95%"),
            calibration,
            f"over the {steps:,} steps of first attempts; Brier score "
            f"{tally.squared_error / steps if steps else 0.0:.4f}; fired on a wrong answer in "
            f"{tally.misfired:,} of {puzzles:,} puzzles",
        ),
        _table(f"{prefix}Speed", ("", "value"), speed),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _interval(low: float, high: float) -> str:
    return f"{low:.1%}–{high:.1%}".replace("%–", "–")
