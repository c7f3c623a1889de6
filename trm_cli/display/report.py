"""An evaluation as one Markdown text: rendered by Rich on the terminal, by markdown-it into HTML.

The figures stand beside it as charts, and all numbers in one JSON object (docs/json.md).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from rich.markdown import Markdown

from trm_cli.config import SolveSettings
from trm_cli.display.charts import draw_evaluation, plain
from trm_cli.display.console import answers_console
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.evaluate import NUM_BINS, Evaluated, Scores, compare, distinct_names, wilson

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
        "groups": [{**scores.as_dict(), "verified_interval": scores.verified_interval} for scores in evaluated.groups],
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


SCORE_COLUMNS = ("", "puzzles", "cells", "exact", "valid", "verified", "95%", "steps", "halts", "rightly")
FIGURE = "<!-- figure -->"  # where the page has it
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
        return
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
        body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(evaluated, command))
        content = PAGE.format(title=plain(title), body=body.replace(FIGURE, figure[figure.index("<svg") :])).encode()
    else:
        content = markdown(evaluated, command).replace(f"{FIGURE}\n\n", "").encode()
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
    parts = [f"# {title_of(evaluated)}", *([f"Measured by `{command}`"] if command else [])]
    parts += [f"{one.model}: {manner(one.settings)}." for one in evaluated]
    parts += [FIGURE] if command else []
    if len(evaluated) == 2:
        parts.append(_comparison(*evaluated))
    parts += [part for one in evaluated for part in _of_network(one) if part]
    return "\n\n".join(parts) + "\n"


def manner(settings: SolveSettings) -> str:
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
    """A heading and a table, numbers to the right; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    cells = ("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"## {heading}\n\n" + "\n".join(cells) + (f"\n\n{note}" if note else "")


def _comparison(first: Evaluated, second: Evaluated) -> str:
    """Two networks on the same puzzles, with a paired test."""
    found, (one, other) = compare(first, second), distinct_names(first, second)
    rows = [
        ("solved by both", f"{found.both:,}"),
        (f"solved by {one} alone", f"{found.first_only:,}"),
        (f"solved by {other} alone", f"{found.second_only:,}"),
        ("solved by neither", f"{found.neither:,}"),
        ("p of the exact McNemar test", f"{found.mcnemar_p:.3g}"),
    ]
    note = "p: how likely so unequal counts, or worse, are if both networks are equally good"
    return _table(f"{one} against {other}", ("", "puzzles"), rows, note)


def _of_network(one: Evaluated) -> list[str]:
    """The tables of one network."""
    tally, puzzles = one.tally, one.puzzles
    scores: list[Sequence[str]] = []
    kind = "all"
    for group in one.groups:
        if group.kind != kind:
            kind = group.kind
            scores.append((f"**by {kind}**", *[""] * (len(SCORE_COLUMNS) - 1)))
        scores.append((group.group, *score_cells(group)))
    by_attempts = enumerate(zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True), 1)
    by_steps = enumerate(zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
    attempts = [
        (f"{made}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)), f"{steps / puzzles:.1f}")
        for made, (solved, steps) in by_attempts
    ]
    steps = [
        (f"{made}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)), f"{ended:,}")
        for made, (solved, ended) in by_steps
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
    all_steps = sum(b.steps for b in tally.bins)
    speed = [
        ("seconds", f"{tally.seconds:,.1f}"),
        ("puzzles a second", f"{puzzles / max(tally.seconds, 1e-9):.2f}"),
        ("milliseconds a puzzle", f"{1000 * tally.seconds / puzzles:.1f}"),
        ("seconds that a puzzle was in the batch", f"{tally.waited / puzzles:.3f}"),
        *([("puzzles for which no time was left", f"{tally.untouched:,}")] if tally.untouched else []),
    ]
    return [
        _table(
            f"{one.model} on {one.name}",
            SCORE_COLUMNS,
            scores,
            "exact: every cell as the label; valid: most rules hold (a given may be changed, a path too long); "
            "verified: all rules hold; steps: of all attempts; halts: the halt head fired in the first attempt; "
            "rightly: of those, the answer was right when it first did",
        ),
        _table(
            "Verified with so many attempts",
            ("attempts", "solved", "95%", "steps a puzzle"),
            attempts if len(attempts) > 1 else [],
        ),
        _table(
            "Verified in the first attempt within so many steps",
            ("steps", "solved", "95%", "ended here"),
            steps,
            "ended here: puzzles that the first attempt solved in exactly so many steps",
        ),
        _table(
            "Halt head: what it says, and how often the answer is right then",
            ("probability", "steps", "mean", "right", "95%"),
            calibration,
            f"over the {all_steps:,} steps of first attempts; Brier score "
            f"{tally.squared_error / all_steps if all_steps else 0.0:.4f}; fired on a wrong answer in "
            f"{tally.misfired:,} of {puzzles:,} puzzles",
        ),
        _table("Speed", ("", "value"), speed),
    ]


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
