"""The model card of a checkpoint: README.md, written from what its config.json holds."""

import json
from pathlib import Path

from trm_cli.weights.store import CARD_FILE, Checkpoint


def write_card(folder: Path, checkpoint: Checkpoint) -> None:
    """Write README.md into a checkpoint's folder."""
    (folder / CARD_FILE).write_text(card(checkpoint), encoding="utf-8")


def card(checkpoint: Checkpoint) -> str:
    """The card's text, in the Markdown that the Hugging Face Hub reads."""
    return json.dumps(checkpoint.training)
