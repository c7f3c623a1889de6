"""The text of a report: Markdown, a page of HTML with its figures, a figure alone, or JSON."""

import json
from html import escape

from trm_cli.display.report_figures import draw
from trm_cli.display.report_json import described
from trm_cli.display.sections import Section, comparison, manner, sections
from trm_cli.solving.evaluate import Evaluated

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
    parts = [f"<h1>{escape(_title(evaluated))}</h1>",
             f"<p>Measured by <code>{escape(command)}</code></p>"]  # fmt: skip
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
