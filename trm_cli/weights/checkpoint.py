"""A checkpoint is a folder: config.json, model.safetensors, README.md.

config.json holds the task, the architecture, how it was trained and what was measured, so that a
folder needs nothing beside it. The weights are the EMA weights, all that solving reads (tensors.py).

Bundled checkpoints travel inside the wheel, in `trm_cli/checkpoints/`; in a checkout they lie in
the top-level `checkpoints/`.
"""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trm_cli.config import ModelConfig, own_settings
from trm_cli.errors import ConfigError, FileError, ModelError
from trm_cli.files import read_text, write_whole
from trm_cli.schema import checked, parse_json

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TABLE_FILE = "puzzles.safetensors"  # embeddings of learned problems
CARD_FILE = "README.md"
PACKAGE = Path(__file__).resolve().parents[1]
BUNDLED = "bundled"  # the source of such a checkpoint
NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]|\.\.|^$|.{200}")  # a path, or an escape sequence


@dataclass(frozen=True)
class Checkpoint:
    """A network with all that is known about it: what config.json holds, beside its format."""

    name: str
    task: str
    model: ModelConfig
    training: dict[str, Any] = field(default_factory=dict)  # recipe, data, hardware, time
    measured: dict[str, Any] = field(default_factory=dict)  # accuracies, each with its command
    solving: dict[str, Any] = field(default_factory=dict)  # how it is best run: SolveConfig


def bundled_checkpoints() -> dict[str, Path]:
    """Name and folder of every checkpoint that travels with the package."""
    inside, beside = PACKAGE / "checkpoints", PACKAGE.parent / "checkpoints"
    root = inside if inside.is_dir() else beside
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CONFIG_FILE}"))}


def write_config(folder: Path, checkpoint: Checkpoint) -> None:
    """Write config.json alone."""
    text = json.dumps({"format": FORMAT, **asdict(checkpoint)}, indent=2)
    write_whole(folder / CONFIG_FILE, f"{text}\n".encode())


@dataclass(frozen=True)
class _Format:
    format: int


def read_config(folder: Path) -> Checkpoint:
    """Read config.json; raises ModelError where it is no checkpoint of ours.

    What it tells of training and accuracy is checked where that is read: see facts.py.
    """
    path = folder / CONFIG_FILE
    try:
        text = read_text(path)
    except FileError as error:
        raise ModelError(f"{path}: {error}; give the folder of a checkpoint") from error
    try:
        known = parse_json(text)
        if (found := checked(known, _Format).format) != FORMAT:
            raise ModelError(f"{path}: format {found}; this trm reads format {FORMAT}")
        model = known.get("model")
        if isinstance(model, dict) and (unknown := model.keys() - {field.name for field in fields(ModelConfig)}):
            raise ModelError(f"{path}: unknown model.{min(unknown):.60}; update trm")
        checkpoint = checked(known, Checkpoint)
    except (FileError, ConfigError) as error:
        raise ModelError(f"{path}: {error}; download or train it again") from error
    for what, name in (("name", checkpoint.name), ("task", checkpoint.task)):
        if NO_NAME.search(name):
            raise ModelError(f"{path}: {what} {name!r:.60} is no plain name; do not trust this file")
    own_settings(checkpoint.solving)
    return checkpoint
