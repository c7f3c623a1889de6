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

from trm_cli.config import ModelConfig
from trm_cli.errors import ConfigError, ModelError
from trm_cli.files import write_whole

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TABLE_FILE = "puzzles.safetensors"  # embeddings of learned problems
CARD_FILE = "README.md"
PACKAGE = Path(__file__).resolve().parents[1]
BUNDLED = "bundled"  # the source of such a checkpoint
LARGEST_CONFIG = 1 << 20  # bytes
NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]|\.\.|^$|.{200}")  # a path, or an escape sequence


@dataclass(frozen=True)
class Checkpoint:
    """A network with all that is known about it."""

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


def read_config(folder: Path) -> Checkpoint:
    """Read config.json; raises ModelError where it is no checkpoint of ours."""
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ModelError(f"{path}: larger than any config of ours; is this a trm checkpoint?")
        known = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder}: no readable {CONFIG_FILE} in it ({error.strerror}); give the folder of a checkpoint"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error}); download or train it again") from error
    try:
        if known["format"] != FORMAT:
            raise ModelError(f"{path}: format {known['format']}; this trm reads format {FORMAT}")
        if unknown := set(known["model"]) - {field.name for field in fields(ModelConfig)}:
            raise ModelError(f"{path}: unknown model.{min(unknown)}; update trm")
        for name in ("name", "task"):
            if not isinstance(known[name], str) or NO_NAME.search(known[name]):
                raise ModelError(f"{path}: {name} {known[name]!r:.60} is no plain name; do not trust this file")
        facts = {name: known.get(name, {}) for name in ("training", "measured", "solving")}
        return Checkpoint(known["name"], known["task"], ModelConfig(**known["model"]), **facts)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: incomplete ({error}); download or train it again") from error
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
