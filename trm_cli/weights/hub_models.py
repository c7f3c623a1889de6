"""Models of the Hugging Face Hub: from `owner/name[:path]` to local files, and what is kept.

owner/name              a checkpoint of ours at the top, or the only file of weights
owner/name:folder       a checkpoint of ours in that folder
owner/name:folder/file  that file of weights, of whatever layout
alphaxiv/sudoku-mlp     a short name of the registry, for such a file
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from trm_cli.errors import ModelError
from trm_cli.files import sha256_of
from trm_cli.weights.hub_client import MODEL, Address, fetch_file, list_files, translated
from trm_cli.weights.puzzles import TABLE_FILE
from trm_cli.weights.registry import BY_ALIAS
from trm_cli.weights.store import CONFIG_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo

NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?::(?P<file>.+))?", re.ASCII)
WEIGHTS = re.compile(
    r"\.(pt|pth|bin|ckpt|safetensors)$|(^|[/_])step_\d+\w*$|(^|/)checkpoint$", re.IGNORECASE
)
SHA256 = re.compile(r"[0-9a-f]{64}")
LISTED = 10  # files named in a message, at most


@dataclass(frozen=True)
class CachedRepo:
    """What the Hub's cache holds of a model's repository."""

    repo: str
    commits: tuple[str, ...]
    num_bytes: int
    files: tuple[Path, ...]


def looks_like_hub_name(name: str) -> bool:
    """Whether a model's name can only be one of the Hub, or of the registry."""
    return NAME.fullmatch(name) is not None


def fetch_model(name: str, revision: str | None) -> Path:
    """Fetch a model's files, or find them in the cache where the Hub cannot be asked.

    Returns the folder of a checkpoint of ours, or a file of weights of another layout.
    Raises ModelError where the name, the log-in, the network, the server or the disk fails.
    """
    address = _parse(name, revision)
    with translated(address):
        files = list_files(address)
    chosen = _choose(address, files)
    if PurePosixPath(chosen.file).name != CONFIG_FILE:
        return _fetch_checked(chosen)
    folder = _fetch_checked(chosen).parent
    weights = PurePosixPath(chosen.file).with_name(WEIGHTS_FILE).as_posix()
    _fetch_checked(replace(chosen, file=weights))
    table = PurePosixPath(chosen.file).with_name(TABLE_FILE).as_posix()
    if table in files:
        _fetch_checked(replace(chosen, file=table))
    return folder


def _parse(name: str, revision: str | None) -> Address:
    known = BY_ALIAS.get(name)
    match = NAME.fullmatch(known.source if known else name)
    if not match:
        raise ModelError(f"{name}: no name of a model; write OWNER/NAME or OWNER/NAME:PATH")
    if revision is not None and (not revision or ".." in revision or re.search(r"\s", revision)):
        raise ModelError(f"{name}: --revision {revision!r} names no branch, tag or commit")
    return Address(match["repo"], revision, match["file"] or "", MODEL)


def _choose(address: Address, files: list[str]) -> Address:
    """The file to fetch: the config of a checkpoint of ours, or a file of foreign weights."""
    top = address.file.rstrip("/")
    if top in files and PurePosixPath(top).name == WEIGHTS_FILE:
        config = PurePosixPath(top).with_name(CONFIG_FILE).as_posix()
        return replace(address, file=config if config in files else top)
    if top in files:
        return replace(address, file=top)
    inside = [file for file in files if not top or file.startswith(f"{top}/")]
    config = f"{top}/{CONFIG_FILE}" if top else CONFIG_FILE
    if config in inside and config.replace(CONFIG_FILE, WEIGHTS_FILE) in inside:
        return replace(address, file=config)
    weights = [file for file in sorted(inside) if WEIGHTS.search(file)]
    if len(weights) == 1:
        return replace(address, file=weights[0])
    raise ModelError(_undecided(address, weights))


def _undecided(address: Address, weights: list[str]) -> str:
    if address.file and not weights:
        return f"{address}: there is no file {address.file}; check what follows the :"
    if not weights:
        return f"{address}: no file of weights among its files; choose with {address.repo}:FILE"
    more = f" and {len(weights) - LISTED} more" if len(weights) > LISTED else ""
    return (
        f"{address}: which file of weights? choose with {address.repo}:FILE; there are "
        f"{', '.join(weights[:LISTED])}{more}"
    )


def _fetch_checked(address: Address) -> Path:
    """Fetch a file; what the storage sent has to have the hash that the Hub announced."""
    with translated(address):
        local = fetch_file(address)
    blob = local.resolve()
    if SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
        local.unlink()
        blob.unlink()
        raise ModelError(
            f"{address}: {address.file} arrived with another SHA-256 than announced; try again"
        )
    return local


def cached_models() -> Iterator[CachedRepo]:
    """What the Hub's cache holds of models, by name; nothing is asked of the Hub."""
    for repo in sorted(_scanned(), key=lambda repo: str(repo.repo_id)):
        files = [file.file_path for revision in repo.revisions for file in revision.files]
        commits = tuple(revision.commit_hash for revision in repo.revisions)
        yield CachedRepo(repo.repo_id, commits, repo.size_on_disk, tuple(sorted(files)))


def remove_cached(repo_id: str) -> int:
    """Delete what the cache holds of a model's repository; returns the bytes that were freed."""
    from huggingface_hub import scan_cache_dir

    commits = [commit for repo in cached_models() if repo.repo == repo_id
               for commit in repo.commits]  # fmt: skip
    if not commits:
        return 0
    plan = scan_cache_dir().delete_revisions(*commits)
    plan.execute()
    return plan.expected_freed_size


def _scanned() -> list["CachedRepoInfo"]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        return [repo for repo in scan_cache_dir().repos if repo.repo_type == "model"]
    except CacheNotFound:
        return []
