"""What models there are: bundled, in the Hub's cache, and publicly known."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import ModelError
from trm_cli.weights.card import card, licence
from trm_cli.weights.catalogue import Found, bundled_checkpoints
from trm_cli.weights.converted import converted_root
from trm_cli.weights.hub_models import cached_models, remove_cached
from trm_cli.weights.registry import BY_ALIAS, KNOWN
from trm_cli.weights.store import BUNDLED, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, read_config


@dataclass(frozen=True)
class Entry:
    """One line of `trm models list`."""

    name: str
    where: str  # bundled, cached or known
    task: str
    size: str
    accuracy: str
    licence: str
    source: str
    tried: bool = True  # here, by the authors of this program


def listing() -> list[Entry]:
    """Every model that can be named, without asking the network."""
    ours = [_of_checkpoint(name, BUNDLED, folder, "trm")
            for name, folder in bundled_checkpoints().items()]  # fmt: skip
    return [*ours, *_cached(), *_known()]


def _of_checkpoint(name: str, where: str, folder: Path, source: str) -> Entry:
    checkpoint = read_config(folder)
    size = _size((folder / WEIGHTS_FILE).stat().st_size)
    return Entry(name, where, checkpoint.task, size, _accuracy(checkpoint), licence(checkpoint),
                 source)  # fmt: skip


def _cached() -> Iterator[Entry]:
    for repo in cached_models():
        folders = [path.parent for path in repo.files if path.name == CONFIG_FILE]
        entries = [_entry_or_none(repo.repo, folder) for folder in folders
                   if (folder / WEIGHTS_FILE).exists()]  # fmt: skip
        found = [entry for entry in entries if entry]
        known = [k for k in KNOWN if k.repo == repo.repo
                 and any(str(path).endswith(k.file) for path in repo.files)]  # fmt: skip
        yield from found
        for entry in known:
            yield Entry(entry.alias, "cached", entry.task, entry.size, entry.accuracy,
                        entry.licence, entry.source, entry.tried)  # fmt: skip
        if repo.files and not found and not known:
            yield Entry(repo.repo, "cached", "?", _size(repo.num_bytes), "?", "?", repo.repo, False)


def _entry_or_none(repo: str, folder: Path) -> Entry | None:
    """A line for a checkpoint of ours; nothing where the cache holds someone else's config."""
    try:
        return _of_checkpoint(repo, "cached", folder, repo)
    except ModelError:
        return None


def _known() -> Iterator[Entry]:
    for known in KNOWN:
        yield Entry(known.alias, "known", known.task, known.size, known.accuracy, known.licence,
                    known.source, known.tried)  # fmt: skip


def _accuracy(checkpoint: Checkpoint) -> str:
    """The overall share of the last measurement, or what was published of converted weights."""
    published = checkpoint.training.get("converted_from", {}).get("published")
    whole = [
        f"{group['exact']:.2%} of {group['puzzles']:,}"
        for entry in checkpoint.measured.values()
        for group in entry["groups"]
        if group["kind"] == "all"
    ]
    return whole[-1] if whole else published or "not measured"


def _size(num_bytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1000:.0f} kB"


def described(found: Found) -> dict[str, Any]:
    """All that is known of a model, and its card."""
    return {"folder": str(found.folder), "source": found.source, **asdict(found.checkpoint),
            "card": card(found.checkpoint)}  # fmt: skip


def remove_model(name: str) -> int:
    """Delete what the cache holds of a model and what was converted from it; returns the bytes.

    Raises ModelError where there is nothing, or where the model is bundled or a folder.
    """
    if name in bundled_checkpoints() or Path(name).exists():
        raise ModelError(f"{name}: not in the cache; only models of the Hub can be removed")
    known = BY_ALIAS.get(name)
    repo = known.repo if known else name.split(":")[0]
    freed = remove_cached(repo)
    aliases = [entry.alias for entry in KNOWN if entry.repo == repo]
    for config in converted_root().glob(f"*/{CONFIG_FILE}"):
        origin = json.loads(config.read_text())["training"]["converted_from"]["origin"]
        if origin in aliases or origin.split(":")[0] == repo:
            freed += sum(file.stat().st_size for file in config.parent.iterdir())
            shutil.rmtree(config.parent)
    return freed
