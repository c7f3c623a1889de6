"""Uploading a checkpoint to the Hugging Face Hub, with a card that the Hub understands."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.card import hub_card
from trm_cli.weights.hub_client import MODEL, Address, translated
from trm_cli.weights.store import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, save_checkpoint

REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE)


@dataclass(frozen=True)
class Pushed:
    """What went up, or would."""

    repo: str
    sizes: dict[str, int]  # bytes of each file
    card: str
    commit: str = ""  # empty where nothing went up
    url: str = ""


def push(checkpoint: Checkpoint, network: TinyRecursiveModel, repo_id: str, *,
         private: bool = False, dry_run: bool = False,
         storage: str = "float32") -> Pushed:  # fmt: skip
    """Make the repository if there is none and commit config, weights and card to it.

    dry_run  ask nothing of the Hub; say what would go up.
    Raises ModelError where the name, the log-in, the network or the server is wrong.
    """
    if not REPO.fullmatch(repo_id):
        raise ModelError(f"{repo_id!r}: no name for a model on the Hub; write OWNER/NAME")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder, checkpoint, network, storage=storage)
        card = hub_card(checkpoint, repo_id)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        sizes = {file: (folder / file).stat().st_size for file in FILES}
        if dry_run:
            return Pushed(repo_id, sizes, card)
        with translated(Address(repo_id, None, kind=MODEL)):
            commit, url = _upload(folder, repo_id, private)
    return Pushed(repo_id, sizes, card, commit, url)


def _upload(folder: Path, repo_id: str, private: bool) -> tuple[str, str]:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    operations = [CommitOperationAdd(file, str(folder / file)) for file in FILES]
    info = api.create_commit(repo_id, operations, commit_message="Upload with trm")
    return info.oid, f"{api.endpoint}/{repo_id}"
