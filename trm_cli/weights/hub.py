"""The Hugging Face Hub: data sets, models, uploads, and what its errors mean.

hub:owner/name                       a data set; the training file is found among its CSV files
hub:owner/name@revision:folder/file  of that branch, tag or commit, that file
owner/name                           a checkpoint of ours at the top, or the only file of weights
owner/name:folder                    a checkpoint of ours in that folder
owner/name:folder/file               that file of weights, of whatever layout
alphaxiv/sudoku-mlp                  the short name of a known public model

Everything goes through huggingface_hub, into its own cache; its variables hold: HF_HOME,
HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. It is imported when something is fetched, not before.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import ERROR
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trm_cli.errors import ModelError, TrainingError, TRMError, UsageError
from trm_cli.files import sha256_of
from trm_cli.weights.card import hub_card
from trm_cli.weights.checkpoint import CARD_FILE, CONFIG_FILE, TABLE_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo


HUB_PREFIX = "hub:"
SIGNATURE = re.compile(r"\?[^\s)'\"]+")  # the part of a storage address that opens the file
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
TIMED_OUT, TOO_MANY, SERVER_FAILS = 408, 429, 500  # HTTP; from the last one up, all are failures


@dataclass(frozen=True)
class Kind:
    """How data sets and models differ in what is said of them."""

    name: str  # as the Hub calls it
    prefix: str  # before the name of a repository, as users write it
    wrong: type[TRMError]  # where the name, the log-in or the file is wrong
    failed: type[TRMError]  # where the network, the server or the disk fails
    check_revision: str
    elsewhere: str = ""  # where else was looked already


DATASET = Kind("dataset", HUB_PREFIX, UsageError, TrainingError, "check what follows the @")
MODEL = Kind(
    "model", "", ModelError, ModelError, "check --revision", "no folder or file of that name here, and on the Hub "
)


@dataclass(frozen=True)
class Address:
    """The parts of `owner/name@revision:file`; the file may still have to be chosen."""

    repo: str
    revision: str | None
    file: str = ""
    kind: Kind = DATASET

    def __post_init__(self) -> None:
        parts = re.split(r"[/\\]", self.file)
        leads_out = any(part == ".." or PureWindowsPath(part).drive for part in parts)
        if leads_out or (self.file and not parts[0]):
            raise self.kind.wrong(f"{self}:{self.file}: leads out of the repository; name a file inside it")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.kind.prefix}{self.repo}{revision}"


def fetch_file(address: Address) -> Path:
    """The local copy of a file, fetched or found in the cache."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(address.repo, address.file, repo_type=address.kind.name, revision=address.revision))


def list_files(address: Address) -> list[str]:
    """Every file of a repository, or those in the cache where the Hub is out of reach."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    try:
        found = HfApi().repo_info(
            address.repo, repo_type=address.kind.name, revision=address.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except (HTTPError, OSError, ValueError) as error:
        cached = _cached_files(address) if _may_pass(error) else []
        if not cached:
            raise
        return cached
    return [sibling.rfilename for sibling in getattr(found, "siblings", None) or []]


def _cached_files(address: Address) -> list[str]:
    """The files of the revision that earlier downloads left in the cache: not all it has."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            address.repo, repo_type=address.kind.name, revision=address.revision, local_files_only=True
        )
    except LocalEntryNotFoundError as error:
        folder = getattr(error, "snapshot_path", "")  # one that lacks files will do
    found = Path(folder).rglob("*") if folder else []
    return [path.relative_to(folder).as_posix() for path in found if path.is_file()]


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do; hide what it remarks."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity(ERROR)
    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: of hf_xet
        raise _explained(error, address) from error
    finally:
        logging.set_verbosity(before)


def _explained(error: Exception, address: Address) -> TRMError:
    from huggingface_hub import errors

    cause: BaseException = error
    while isinstance(cause, (errors.LocalEntryNotFoundError, RuntimeError)) and cause.__cause__:
        cause = cause.__cause__  # what kept the client from asking, or from uploading
    if isinstance(cause, errors.HFValidationError):
        return address.kind.wrong(f"{address}: no name that the Hub allows; check OWNER/NAME")
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return address.kind.wrong(
            f"{address}: not in the cache, and HF_HUB_OFFLINE is set; download it once without that"
        )
    if isinstance(cause, errors.HfHubHTTPError):
        return _refused(cause, cause.response.status_code, address)
    return _cut_off(cause, address)


def _refused(error: Exception, status: int, address: Address) -> TRMError:
    """What the Hub's answer means; for private and for missing data sets it gives the same."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return address.kind.wrong(f"{address}: there is no such revision; {address.kind.check_revision}")
    if isinstance(error, errors.EntryNotFoundError):
        return address.kind.wrong(f"{address}: there is no file {address.file}; check what follows the :")
    if isinstance(error, errors.GatedRepoError):
        return address.kind.wrong(f"{address}: gated; ask for access on its page, then {LOG_IN}")
    if status in (401, 403, 404):
        return address.kind.wrong(
            f"{address}: {address.kind.elsewhere}missing, or closed to you (HTTP {status}); check the name, or {LOG_IN}"
        )
    if status == TOO_MANY:
        return address.kind.failed(f"{address}: too many requests (HTTP {status}); wait some minutes, or {LOG_IN}")
    return address.kind.failed(f"{address}: {_host()} failed (HTTP {status}); try again later")


def _cut_off(error: BaseException, address: Address) -> TRMError:
    """What is wrong where no answer came, or none that can be used or kept."""
    from huggingface_hub import constants, errors

    if isinstance(error, (ValueError, errors.FileMetadataError)):
        return address.kind.failed(
            f"{address}: the answer of {_host()} is not the Hub's; check HF_ENDPOINT and the "
            "network (proxy, log-in page)"
        )
    if isinstance(error, OSError) and error.strerror:
        return address.kind.failed(
            f"{address}: cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}); free space or set HF_HOME"
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    reason = SIGNATURE.sub("", reason)
    return address.kind.failed(
        f"{address}: no connection to {_host()}, or it broke off ({reason}); check the network and try again"
    )


def _status(error: Exception) -> int | None:
    """The HTTP status of the Hub's answer, if it gave one."""
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _may_pass(error: Exception) -> bool:
    """Whether the Hub could not be asked, rather than said no."""
    status = _status(error)
    return status is None or status in (TIMED_OUT, TOO_MANY) or status >= SERVER_FAILS


def _host() -> str:
    """The Hub's host, without the password that a proxy's address may hold."""
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2] or constants.ENDPOINT


ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>.+))?", re.ASCII)
TABLE = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
LISTED = 10  # files named in a message, at most


def download_dataset(name: str) -> tuple[Path, str]:
    """Fetch one file of a data set, or find it in the cache where the Hub cannot be asked.

    name  what follows `hub:`, that is owner/name, owner/name@revision or either with :FILE.
    Returns the local file, at its path in the repository below a folder named after the commit,
    and that commit's full hash.
    Raises UsageError where the name, the log-in or the file is wrong, TrainingError where the
    network, the server or the disk fails.
    """
    address = _parse_dataset(name)
    if not address.file:
        with translated(address):
            files = list_files(address)
        address = replace(address, file=_training_file(files, address))
    with translated(address):
        local = fetch_file(address)
    return local, local.parents[len(PurePosixPath(address.file).parts) - 1].name


def _parse_dataset(name: str) -> Address:
    match = ADDRESS.fullmatch(name)
    if not match or ".." in (match["revision"] or ""):
        raise UsageError(
            f"{HUB_PREFIX}{name}: no name of a data set; write {HUB_PREFIX}OWNER/NAME, "
            "with @REVISION and :FILE behind it as needed"
        )
    return Address(match["repo"], match["revision"], match["file"] or "")


def _training_file(files: list[str], address: Address) -> str:
    """The one CSV named train, at the top if there is one, or the only CSV."""
    tables = sorted(file for file in files if TABLE.search(file))
    named = [file for file in tables if TABLE.sub("", PurePosixPath(file).name).lower() == "train"]
    candidates = [file for file in named if "/" not in file] or named or tables
    if len(candidates) == 1:
        return candidates[0]
    choose = f"choose with {address}:FILE"
    if not tables:
        raise UsageError(f"{address}: no CSV file among its files; {choose}")
    more = f" and {len(tables) - LISTED} more" if len(tables) > LISTED else ""
    raise UsageError(f"{address}: which file to train on? {choose}; there are {', '.join(tables[:LISTED])}{more}")


UNSTATED = "unstated"  # a licence


@dataclass(frozen=True)
class Known:
    """One file of a public repository."""

    alias: str  # what users write
    repo: str
    file: str
    task: str
    network: str
    accuracy: str  # as published, with what it was measured on
    licence: str
    size: str  # of the file
    tried: bool = False

    @property
    def source(self) -> str:
        """Repository and file, as `--model` takes them."""
        return f"{self.repo}:{self.file}"


KNOWN = tuple(Known(**known) for known in json.loads(Path(__file__).with_name("known_models.json").read_bytes()))
BY_ALIAS = {known.alias: known for known in KNOWN}


NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?::(?P<file>.+))?", re.ASCII)
WEIGHTS = re.compile(r"\.(pt|pth|bin|ckpt|safetensors)$|(^|[/_])step_\d+\w*$|(^|/)checkpoint$", re.IGNORECASE)
SHA256 = re.compile(r"[0-9a-f]{64}")


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
    address = _parse_model(name, revision)
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


def _parse_model(name: str, revision: str | None) -> Address:
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
        raise ModelError(f"{address}: {address.file} arrived with another SHA-256 than announced; try again")
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

    commits = [commit for repo in cached_models() if repo.repo == repo_id for commit in repo.commits]
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
    import torch

    from trm_cli.weights.tensors import load_checkpoint

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
