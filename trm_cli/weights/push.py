"""Uploading a checkpoint to the Hugging Face Hub, with a card that the Hub understands."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trm_cli.errors import ModelError
from trm_cli.weights.card import hub_card
from trm_cli.weights.hub_client import MODEL, Address, translated
from trm_cli.weights.puzzles import TABLE_FILE
from trm_cli.weights.store import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, load_checkpoint

REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Pushed:
    """What went up, or would."""

    repo: str
    sizes: dict[str, int]  # bytes of each file
    card: str
    commit: str = ""  # empty where nothing went up
    url: str = ""


def push(folder: Path, repo_id: str, *, private: bool = False, dry_run: bool = False) -> Pushed:
    """Make the repository if there is none and commit a checkpoint's files to it, with a card.

    dry_run  ask nothing of the Hub; say what would go up.
    Raises ModelError where the checkpoint cannot be loaded, or where the name, the log-in, the
    network or the server is wrong.
    """
    if not REPO.fullmatch(repo_id):
        raise ModelError(f"{repo_id!r}: no name for a model on the Hub; write OWNER/NAME")
    loaded = load_checkpoint(folder, source=str(folder), device=torch.device("cpu"))
    card = hub_card(loaded.checkpoint, repo_id)
    small = {CONFIG_FILE: (folder / CONFIG_FILE).read_bytes(), CARD_FILE: card.encode()}
    large = [path for name in (WEIGHTS_FILE, TABLE_FILE) if (path := folder / name).is_file()]
    sizes = {name: len(content) for name, content in small.items()}
    pushed = Pushed(repo_id, sizes | {path.name: path.stat().st_size for path in large}, card)
    if dry_run:
        return pushed
    with translated(Address(repo_id, None, kind=MODEL)):
        commit, url = _upload(small | {path.name: str(path) for path in large}, repo_id, private)
    return replace(pushed, commit=commit, url=url)


def _upload(files: dict[str, bytes | str], repo_id: str, private: bool) -> tuple[str, str]:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    info = api.create_commit(repo_id, operations, commit_message="Upload with trm")
    return info.oid, f"{api.endpoint}/{repo_id}"
