"""Counts of an evaluation in a file, so that it can be interrupted and gone on with.

The file says what was measured: it is not gone on with where data, networks or settings differ.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.settings import SolveSettings
from trm_cli.solving.tally import Tally

FORMAT = 1


def subject(data_sha256: str, networks: list[tuple[str, SolveSettings]]) -> dict[str, Any]:
    """What an evaluation measures: its data, and each network's weights and settings."""
    return {
        "data_sha256": data_sha256,
        "networks": [{"sha256": sha256, **asdict(settings)} for sha256, settings in networks],
    }


def write_kept(path: Path, measured: dict[str, Any], tallies: list[Tally]) -> None:
    """Write the counts of each network; raises UsageError where that cannot be."""
    content = {"format": FORMAT, **measured, "tallies": [tally.as_dict() for tally in tallies]}
    try:
        write_whole(path, json.dumps(content).encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another") from error


def read_kept(path: Path, measured: dict[str, Any]) -> list[Tally] | None:
    """The counts of each network, or None where there is no such file.

    Raises UsageError where it is no file of ours, or where something else was measured.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        tallies = [Tally.from_dict(one) for one in known["tallies"]]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); choose another") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: keeps no evaluation; choose another name") from error
    for name, value in {"format": FORMAT, **measured}.items():
        if known.get(name) != value:
            what = {"format": "format", "data_sha256": "data"}.get(name, "networks or settings")
            raise UsageError(f"{path}: was measured with other {what}; choose another name")
    return tallies
