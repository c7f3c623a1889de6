"""Keeping what an evaluation measured beside the weights it was measured on."""

from dataclasses import asdict, replace

from trm_cli.errors import ModelError
from trm_cli.solving.evaluate import Evaluated
from trm_cli.solving.settings import SolveSettings
from trm_cli.weights.card import write_card
from trm_cli.weights.store import LoadedModel, write_config


def record_scores(loaded: LoadedModel, evaluated: Evaluated, command: str) -> None:
    """Write scores into the checkpoint's config.json and card; an older entry is replaced.

    command  what measured them, so that a reader can repeat it.
    Raises ModelError where the checkpoint's folder cannot be written.
    """
    tally = evaluated.tally
    entry = {
        "command": command,
        "data_sha256": evaluated.data_sha256,
        "groups": [scores.as_dict() for scores in evaluated.groups],
        "solved_within_steps": tally.solved_within_steps,
        "solved_within_attempts": tally.solved_within_attempts,
        "steps_within_attempts": tally.steps_within_attempts,
    }
    checkpoint = loaded.checkpoint
    updated = replace(checkpoint, measured={**checkpoint.measured, _key(evaluated): entry})
    try:
        write_config(loaded.folder, updated)
        write_card(loaded.folder, updated)
    except OSError as error:
        raise ModelError(f"{loaded.folder}: cannot be written ({error.strerror})") from error


def _key(evaluated: Evaluated) -> str:
    """What the card heads the figures with: data, steps, and all that is not as usual."""
    settings, plain = asdict(evaluated.settings), asdict(SolveSettings())
    parts = [evaluated.name, f"{evaluated.puzzles:,} puzzles",
             f"at most {settings.pop('max_steps')} steps"]  # fmt: skip
    attempts = settings.pop("attempts")
    if attempts > 1:
        parts.append(f"{attempts} attempts")
    for name, value in settings.items():
        if value != plain[name]:
            flag = name.replace("_", "-")
            parts.append(f"--{flag}" if value is True else f"--{flag} {value}")
    return ", ".join(parts)
