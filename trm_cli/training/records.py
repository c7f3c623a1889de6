"""What the folder of a run holds, checked when it is read: config.json and log.jsonl."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from trm_cli.config import MOST_STEPS, Share
from trm_cli.errors import FileError, TrainingError
from trm_cli.files import GIBIBYTE, MEBIBYTE, open_regular, read_whole, size_in_words
from trm_cli.schema import checked, parse_json
from trm_cli.tasks.base import HELD_OUT
from trm_cli.training.state import STATE_FILE, SavedState, Seconds
from trm_cli.weights.facts import WHOLE, Begun, Group

CONFIG_FILE, LOG_FILE = "config.json", "log.jsonl"
LARGEST_LOG, LONGEST_LINE = GIBIBYTE, MEBIBYTE
Figure = Annotated[float, (-1e30, 1e30)]


@dataclass(frozen=True)
class _RecipeRecord:
    """A recipe as config.json holds it; sections of numbers, as in TOML."""

    name: str
    task: str
    model: dict[str, Any]
    train: dict[str, Any]
    data: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Planned:
    """The rest of a plan."""

    sources: list[str]
    seed: int
    subsample: int | None = None


@dataclass(frozen=True)
class RunConfig:
    """config.json."""

    recipe: _RecipeRecord
    plan: _Planned
    training: dict[str, Any]  # Begun, and what else there is


@dataclass(frozen=True, kw_only=True)
class LoggedGroup(Group):
    """The accuracies in a log, of which earlier ones say less."""

    kind: str = WHOLE
    group: str = WHOLE
    verified: Share = 0.0
    fired: Share = 0.0
    precision: Share | None = None


@dataclass(frozen=True)
class _Logged:
    """A line of a log."""

    kind: Annotated[str, ("report", "evaluation")]
    step: Annotated[int, (0, MOST_STEPS)]
    seconds: Seconds


@dataclass(frozen=True)
class _LoggedReport(_Logged):
    """The line of a report: what is drawn of it."""

    loss: Figure | None = None
    answer_loss: Figure | None = None
    halting_loss: Figure | None = None
    cell_accuracy: Figure | None = None
    solved: Share | None = None
    halting_step: Figure | None = None
    halting_histogram: list[int] | None = None
    rate: Figure | None = None


@dataclass(frozen=True)
class LoggedEvaluation(_Logged):
    """The line of an evaluation."""

    scores: LoggedGroup
    judged_by: str = HELD_OUT
    sizes: list[LoggedGroup] = field(default_factory=list)


def read_config(folder: Path, state: SavedState | None = None) -> RunConfig:
    """What a run was begun with; raises TrainingError where that is damaged, or not what a state was saved with."""
    path = folder / CONFIG_FILE
    try:
        content = read_whole(path)
        if state and state.config_sha256 not in ("", hashlib.sha256(content).hexdigest()):
            raise FileError(f"its SHA-256 is not the one in {STATE_FILE}")
        config = checked(parse_json(content), RunConfig)
        checked(config.training, Begun, "training")
    except FileError as error:
        raise TrainingError(f"{path}: no config of a run: {error}; give another folder") from error
    return config


def read_log(folder: Path, *, strict: bool = False) -> list[dict[str, Any]]:
    """The objects of a run's log, in order; lines that were cut off or damaged are left out.

    strict  raise FileError for an object that is none of ours.
    """
    return list(read_lines(folder / LOG_FILE, strict=strict))


def read_lines(path: Path, *, strict: bool = False) -> Iterator[dict[str, Any]]:
    """The same one by one, of the log's file."""
    if not path.exists():
        return
    with open_regular(path) as log:
        if os.fstat(log.fileno()).st_size > LARGEST_LOG:
            raise FileError(f"larger than {size_in_words(LARGEST_LOG)}, more than any log has")
        while line := log.readline(LONGEST_LINE):
            if not line.startswith(b"{"):  # nothing, or the rest of a line that is too long
                continue
            try:
                entry = parse_json(line)
            except FileError:
                continue
            try:
                is_evaluation = checked(entry, _Logged).kind == "evaluation"
                checked(entry, LoggedEvaluation if is_evaluation else _LoggedReport)
            except FileError:
                if strict:
                    raise
                continue
            yield entry
