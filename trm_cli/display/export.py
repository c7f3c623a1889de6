"""Keeping a watched run: which file gets what."""

from collections.abc import Callable
from pathlib import Path

from trm_cli.display.export_gif import animated_gif, require_pillow
from trm_cli.display.export_html import page
from trm_cli.display.export_svg import animated_svg
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.frames import Header, Moment
from trm_cli.solving.trace import trace_lines

STEP_SECONDS = 0.8  # that a step stays in an animation if nothing is said


def save_run(path: Path, header: Header, moments: list[Moment], *, pause: float | None) -> None:
    """Write a run as the kind of file that its name asks for.

    pause  seconds that each step stays in an animation; None for a pace to follow.
    """
    content = WRITERS[path.suffix](header, moments, pause or STEP_SECONDS)
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error


def check_names(paths: list[Path]) -> list[Path]:
    """The paths themselves; raises UsageError where one is of no kind that can be written here."""
    for path in paths:
        if path.suffix not in WRITERS:
            raise UsageError(f"--save {path}: name a file ending in {', '.join(WRITERS)}")
        if path.suffix == ".gif":
            require_pillow()
    return paths


def _trace(header: Header, moments: list[Moment], _seconds: float) -> bytes:
    return "".join(f"{line}\n" for line in trace_lines(header, moments)).encode()


WRITERS: dict[str, Callable[[Header, list[Moment], float], bytes]] = {
    ".jsonl": _trace,
    ".gif": animated_gif,
    ".svg": animated_svg,
    ".html": page,
}
