"""What models there are: bundled, in the Hub's cache, and publicly known."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trm_cli.errors import ModelError
from trm_cli.weights.card import card, licence, strange_facts
from trm_cli.weights.catalogue import Found, bundled_checkpoints
from trm_cli.weights.converted import conversions
from trm_cli.weights.hub_models import (
    CachedRepo,
    cached_models,
    looks_like_hub_name,
    remove_cached,
)
from trm_cli.weights.registry import BY_ALIAS, KNOWN, Known
from trm_cli.weights.store import (
    BUNDLED,
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    load_checkpoint,
    read_config,
)


@dataclass(frozen=True)
class Entry:
    """One model of `trm models list`."""

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
    bundled = [_of_checkpoint(name, BUNDLED, folder, "comes with trm")
               for name, folder in bundled_checkpoints().items()]  # fmt: skip
    cached = [*_cached(), *_converted_files()]
    names = {entry.name for entry in cached}
    known = [_of_known(known, "known") for known in KNOWN if known.alias not in names]
    return [*bundled, *cached, *known]


def _of_checkpoint(name: str, where: str, folder: Path, source: str) -> Entry:
    checkpoint = read_config(folder)
    size = _size((folder / WEIGHTS_FILE).stat().st_size)
    return Entry(name, where, checkpoint.task, size, _accuracy(checkpoint), licence(checkpoint),
                 source)  # fmt: skip


def _of_known(known: Known, where: str) -> Entry:
    return Entry(known.alias, where, known.task, known.size, known.accuracy, known.licence,
                 known.source, known.tried)  # fmt: skip


def _cached() -> Iterator[Entry]:
    """What the Hub's cache holds: checkpoints of ours, known files, and what is neither."""
    for repo in cached_models():
        known = [entry for entry in KNOWN if entry.repo == repo.repo
                 and any(str(path).endswith(f"/{entry.file}") for path in repo.files)]  # fmt: skip
        found = [*_checkpoints(repo), *(_of_known(entry, "cached") for entry in known)]
        yield from found
        if repo.files and not found:
            size = _size(repo.num_bytes)
            yield Entry(repo.repo, "cached", "?", size, "?", "?", repo.repo, tried=False)


def _checkpoints(repo: CachedRepo) -> Iterator[Entry]:
    for path in repo.files:
        if path.name == CONFIG_FILE and path.with_name(WEIGHTS_FILE).exists():
            with suppress(ModelError):  # someone else's config.json
                yield _of_checkpoint(repo.repo, "cached", path.parent, repo.repo)


def _converted_files() -> Iterator[Entry]:
    """Local files that were converted; those of the Hub are listed with its cache."""
    for folder, checkpoint in conversions():
        origin = _origin(checkpoint)
        if origin and not _is_of_hub(origin):
            with suppress(ModelError):
                yield _of_checkpoint(origin, "cached", folder, str(folder))


def _origin(checkpoint: Checkpoint) -> str:
    facts = checkpoint.training.get("converted_from")
    return str(facts.get("origin", "")) if isinstance(facts, dict) else ""


def _is_of_hub(origin: str) -> bool:
    return looks_like_hub_name(origin) and not Path(origin).exists()


def _accuracy(checkpoint: Checkpoint) -> str:
    """The share solved in the last measurement, or what was published of converted weights."""
    with strange_facts(checkpoint):
        published = checkpoint.training.get("converted_from", {}).get("published")
        whole = [
            f"{group['verified']:.2%} of {_data(name)}"
            for name, entry in checkpoint.measured.items()
            for group in entry["groups"]
            if group["kind"] == "all"
        ]
    return whole[-1] if whole else published or "not measured"


def _data(measured: str) -> str:
    """What was measured on, without the ending of its file's name."""
    return measured.split(",")[0].split(".")[0]


def _size(num_bytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1000:.0f} kB"


def described(found: Found) -> dict[str, Any]:
    """All that is known of a model, and its card; ModelError where its weights do not load."""
    load_checkpoint(found.folder, source=found.source, device=torch.device("cpu"))
    return {"folder": str(found.folder), "source": found.source, **asdict(found.checkpoint),
            "card": card(found.checkpoint)}  # fmt: skip


def remove_model(name: str) -> int:
    """Delete what the cache holds of a model and what was converted from it; returns the bytes.

    name  of the Hub or the registry, or a local file that was converted into the cache.
    Raises ModelError where there is nothing to delete.
    """
    if name in bundled_checkpoints():
        raise ModelError(f"{name}: comes with trm; only what the cache holds can be removed")
    known = BY_ALIAS.get(name)
    repo = known.repo if known else name.split(":")[0]
    names = {name, *(entry.alias for entry in KNOWN if entry.repo == repo)}
    freed = 0
    for folder, checkpoint in conversions():
        origin = _origin(checkpoint)
        if origin in names or origin.split(":")[0] == repo:
            freed += _remove(folder)
    freed += 0 if Path(name).exists() else remove_cached(repo)
    if not freed:
        raise ModelError(f"{name}: not in the cache; see `trm models list`")
    return freed


def _remove(folder: Path) -> int:
    freed = sum(file.stat().st_size for file in folder.iterdir())
    shutil.rmtree(folder)
    return freed
