"""Keeping what an evaluation measured beside the weights it was measured on."""

from dataclasses import replace

from trm_cli.errors import ModelError
from trm_cli.solving.evaluate import Evaluated
from trm_cli.weights.card import write_card
from trm_cli.weights.store import LoadedModel, write_config


def record_scores(loaded: LoadedModel, evaluated: Evaluated, command: str) -> None:
    """Write scores into the checkpoint's config.json and card; an older entry is replaced.

    command  what measured them, so that a reader can repeat it.
    Raises ModelError where the checkpoint's folder cannot be written.
    """
    entry = {
        "command": command,
        "data_sha256": evaluated.data.sha256,
        "groups": [scores.as_dict() for scores in evaluated.groups],
    }
    settings = evaluated.settings
    key = f"{evaluated.name}, {len(evaluated.data):,} puzzles, at most {settings.max_steps} steps"
    if settings.halt != "verified" or settings.seed:
        key += f", --halt {settings.halt}, seed {settings.seed}"
    checkpoint = loaded.checkpoint
    updated = replace(checkpoint, measured={**checkpoint.measured, key: entry})
    try:
        write_config(loaded.folder, updated)
        write_card(loaded.folder, updated)
    except OSError as error:
        raise ModelError(f"{loaded.folder}: cannot be written ({error.strerror})") from error
