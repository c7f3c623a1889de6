"""An evaluation as tables: on stdout, or in a file of Markdown, HTML, SVG or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trm_cli.config import SolveSettings
from trm_cli.display.charts import draw
from trm_cli.display.console import answers_console
from trm_cli.errors import UsageError
from trm_cli.solving.evaluate import NUM_BINS, Evaluated, Scores, compare, distinct_names, wilson

SCORE_COLUMNS = ("puzzles", "cells", "exact", "valid", "verified", "95%", "steps", "halts", "rightly")
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
    made = [_scores(evaluated), _attempts(evaluated), _steps(evaluated), _calibration(evaluated), _speed(evaluated)]
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
        f"{names[0]} against {names[1]}",
        ("", "puzzles"),
        rows,
        "p: how likely so unequal counts, or worse, are if both networks are equally good",
    )


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
        f"{evaluated.model} on {evaluated.name}",
        ("", *SCORE_COLUMNS),
        rows,
        "exact: every cell as the label; valid: most rules hold (a given may be changed, a path "
        "too long); verified: all rules hold; steps: of all attempts; halts: the halt head fired "
        "in the first attempt; rightly: of those, the answer was right when it first did",
    )


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
        (f"{made}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)), f"{steps / puzzles:.1f}")
        for made, (solved, steps) in enumerate(curve, 1)
    ]
    return Section("Verified with so many attempts", ("attempts", *CURVE_COLUMNS), rows if len(rows) > 1 else [])


def _steps(evaluated: Evaluated) -> Section:
    tally, puzzles = evaluated.tally, evaluated.puzzles
    rows = [
        (f"{steps}", f"{solved / puzzles:.2%}", _interval(*wilson(solved, puzzles)), f"{halted:,}")
        for steps, (solved, halted) in enumerate(zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
    ]
    return Section(
        "Verified in the first attempt within so many steps",
        ("steps", "solved", "95%", "ended here"),
        rows,
        "ended here: puzzles that the first attempt solved in exactly so many steps",
    )


def _calibration(evaluated: Evaluated) -> Section:
    tally = evaluated.tally
    rows = [
        (
            f"{number / NUM_BINS:.1f} to {(number + 1) / NUM_BINS:.1f}",
            f"{one.steps:,}",
            f"{one.probability / one.steps:.3f}",
            f"{one.right / one.steps:.3f}",
            _interval(*wilson(one.right, one.steps)),
        )
        for number, one in enumerate(tally.bins)
        if one.steps
    ]
    steps = sum(one.steps for one in tally.bins)
    brier = tally.squared_error / steps if steps else 0.0
    return Section(
        "Halt head: what it says, and how often the answer is right then",
        ("probability", "steps", "mean", "right", "95%"),
        rows,
        f"over the {steps:,} steps of first attempts; Brier score {brier:.4f}; fired on a wrong "
        f"answer in {tally.misfired:,} of {evaluated.puzzles:,} puzzles",
    )


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


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
  color: #1f2328; background: #ffffff; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; white-space: nowrap; }
th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #d0d7de; }
th:first-child, td:first-child { text-align: left; }
.group { font-weight: 600; }
.note { color: #57606a; }
svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #f0f6fc; background: #0d1117; }
  th, td { border-color: #30363d; }
  .note { color: #9198a1; }
}
"""


def markdown(evaluated: list[Evaluated], command: str) -> str:
    """Tables in Markdown."""
    parts = [f"# {_title(evaluated)}", f"Measured by `{command}`"]
    for one in evaluated:
        parts.append(f"{one.model}: {manner(one.settings)}.")
    parts += [_markdown_table(section) for section in _all_sections(evaluated)]
    return "\n\n".join(parts) + "\n"


def html(evaluated: list[Evaluated], command: str) -> str:
    """A page of its own: tables, and the figures among them."""
    parts = [f"<h1>{escape(_title(evaluated))}</h1>", f"<p>Measured by <code>{escape(command)}</code></p>"]
    for one in evaluated:
        parts.append(f"<p>{escape(one.model)}: {escape(manner(one.settings))}.</p>")
    parts += [draw(evaluated, title=_title(evaluated))]
    parts += [_html_table(section) for section in _all_sections(evaluated)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(_title(evaluated))}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def figure(evaluated: list[Evaluated], command: str) -> str:
    """The figures alone, as SVG; the command stands in their description."""
    return draw(evaluated, title=_title(evaluated), command=command)


def json_text(evaluated: list[Evaluated], command: str) -> str:
    """What `--json` prints, and the command."""
    return json.dumps({**described(evaluated), "command": command}, indent=2) + "\n"


def _title(evaluated: list[Evaluated]) -> str:
    names = " and ".join(one.model for one in evaluated)
    return f"{names} on {evaluated[0].name}, {evaluated[0].puzzles:,} puzzles"


def _all_sections(evaluated: list[Evaluated]) -> list[Section]:
    made = [section for one in evaluated for section in sections(one)]
    return [comparison(*evaluated), *made] if len(evaluated) == 2 else made


def _markdown_table(section: Section) -> str:
    width = len(section.columns)
    lines = ["| " + " | ".join(section.columns) + " |", "|---" + "|---:" * (width - 1) + "|"]
    for row in section.rows:
        cells = (f"**{row[0]}**",) + ("",) * (width - 1) if len(row) == 1 else row
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    parts = [f"## {section.heading}", "\n".join(lines), section.note]
    return "\n\n".join(part for part in parts if part)


def _html_table(section: Section) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
    body = []
    for row in section.rows:
        if len(row) == 1:
            cells = f'<td class="group" colspan="{len(section.columns)}">{escape(row[0])}</td>'
        else:
            cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body.append(f"<tr>{cells}</tr>")
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    return (
        f"<h2>{escape(section.heading)}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>\n"
        + "\n".join(body)
        + f"\n</tbody></table>\n{note}"
    )


def show_scores(evaluated: list[Evaluated], *, as_json: bool) -> None:
    """Print one network's figures, or two networks' and how they compare."""
    console = answers_console()
    if as_json:
        console.file.write(json.dumps(described(evaluated)) + "\n")
        return
    for one in evaluated:
        tables = sections(one)
        _show(console, tables[0])
        console.print(manner(one.settings), style="dim")
        for section in tables[1:]:
            _show(console, section)
    if len(evaluated) == 2:
        _show(console, comparison(*evaluated))


def _show(console: Console, section: Section) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=section.heading, title_justify="left", title_style="bold")
    table.add_column(section.columns[0])
    for column in section.columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for row in section.rows:
        if len(row) == 1:
            table.add_section()
            table.add_row(Text(row[0], style="dim"))
        else:
            table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    if section.note:
        console.print(section.note, style="dim")


FORMATS = (".md", ".html", ".svg", ".json")


def check_format(path: Path | None) -> None:
    """Raise UsageError where the name of a report ends in no way that is known."""
    if path is not None and path.suffix not in FORMATS:
        raise UsageError(f"{path}: name the report *{', *'.join(FORMATS)}")


def write_report(path: Path, evaluated: "list[Evaluated]", command: str) -> None:
    """Write one network's figures, or two networks' and how they compare."""
    from trm_cli.display import report as report_text

    writers = {
        ".md": report_text.markdown,
        ".html": report_text.html,
        ".svg": report_text.figure,
        ".json": report_text.json_text,
    }
    content = writers[path.suffix](evaluated, command)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error
