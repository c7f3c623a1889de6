"""A report of an evaluation in a file: Markdown, HTML, SVG or JSON, as the file's name ends."""

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.solving.evaluate import Evaluated

FORMATS = (".md", ".html", ".svg", ".json")


def check_format(path: Path | None) -> None:
    """Raise UsageError where the name of a report ends in no way that is known."""
    if path is not None and path.suffix not in FORMATS:
        raise UsageError(f"{path}: name the report *{', *'.join(FORMATS)}")


def write_report(path: Path, evaluated: "list[Evaluated]", command: str) -> None:
    """Write one network's figures, or two networks' and how they compare."""
    from trm_cli.display import report_text

    writers = {".md": report_text.markdown, ".html": report_text.html, ".svg": report_text.figure,
               ".json": report_text.json_text}  # fmt: skip
    content = writers[path.suffix](evaluated, command)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error
