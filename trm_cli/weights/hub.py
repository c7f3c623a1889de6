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
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from logging import ERROR
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trm_cli.errors import ModelError, TrainingError, TRMError, UsageError
from trm_cli.files import sha256_of
from trm_cli.weights.card import card
from trm_cli.weights.checkpoint import CARD_FILE, CONFIG_FILE, TABLE_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

HUB_PREFIX = "hub:"
ADDRESS = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>.+))?", re.ASCII)
TABLE = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
WEIGHTS = re.compile(r"\.(pt|pth|bin|ckpt|safetensors)$|(^|[/_])step_\d+\w*$|(^|/)checkpoint$", re.IGNORECASE)
SHA256 = re.compile(r"[0-9a-f]{64}")
LISTED = 10  # files named in a message, at most
SIGNATURE = re.compile(r"\?[^\s)'\"]+")  # the part of a storage address that opens the file
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
TIMED_OUT, TOO_MANY, SERVER_FAILS = 408, 429, 500  # HTTP; from the last one up, all are failures
UNSTATED = "unstated"  # a licence


@dataclass(frozen=True)
class Known:
    """One file of a public repository."""

    alias: str  # what users write
    repo: str
    file: str
    task: str
    accuracy: str  # as published, with what it was measured on
    licence: str
    size: str  # of the file

    @property
    def source(self) -> str:
        """Repository and file, as `--model` takes them."""
        return f"{self.repo}:{self.file}"


@cache
def known_models() -> dict[str, Known]:
    """The public models that can be named, by alias."""
    text = Path(__file__).with_name("known_models.json").read_text(encoding="utf-8")
    return {known["alias"]: Known(**known) for known in json.loads(text)}


@dataclass(frozen=True)
class Kind:
    """How data sets and models differ in what is said of them."""

    name: str  # as the Hub calls it
    prefix: str  # before the name of a repository, as users write it
    wrong: type[TRMError]  # where the name, the log-in or the file is wrong
    failed: type[TRMError]  # where the network, the server or the disk fails
    check_revision: str
    file: str  # what is looked for in a repository
    use: str  # of which there should be one
    elsewhere: str = ""  # where else was looked already


DATASET = Kind(
    "dataset", HUB_PREFIX, UsageError, TrainingError, "check what follows the @", "CSV file", "file to train on"
)
MODEL = Kind(
    "model",
    "",
    ModelError,
    ModelError,
    "check --revision",
    "file of weights",
    "file of weights",
    "no folder or file of that name here, and on the Hub ",
)


@dataclass(frozen=True)
class Address:
    """The parts of `owner/name@revision:file`; the file may still have to be chosen."""

    repo: str
    revision: str | None
    file: str
    kind: Kind

    def __post_init__(self) -> None:
        parts = re.split(r"[/\\]", self.file)
        leads_out = any(part == ".." or PureWindowsPath(part).drive for part in parts)
        if leads_out or (self.file and not parts[0]):
            raise self.kind.wrong(f"{self}:{self.file}: leads out of the repository; name a file inside it")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.kind.prefix}{self.repo}{revision}"

    def beside(self, name: str) -> "Address":
        """The file of that name in the same folder."""
        return replace(self, file=PurePosixPath(self.file).with_name(name).as_posix())


def download_dataset(name: str) -> tuple[Path, str]:
    """Fetch one file of a data set, or find it in the cache where the Hub cannot be asked.

    name  what follows `hub:`, that is owner/name, owner/name@revision or either with :FILE.
    Returns the local file, at its path in the repository below a folder named after the commit,
    and that commit's full hash.
    Raises UsageError where the name, the log-in or the file is wrong, TrainingError where the
    network, the server or the disk fails.
    """
    match = ADDRESS.fullmatch(name)
    if not match or ".." in (match["revision"] or ""):
        raise UsageError(
            f"{HUB_PREFIX}{name}: no name of a data set; write {HUB_PREFIX}OWNER/NAME, "
            "with @REVISION and :FILE behind it as needed"
        )
    address = Address(match["repo"], match["revision"], match["file"] or "", DATASET)
    if not address.file:
        address = _choose_table(address, list_files(address))
    local = fetch_file(address)
    return local, local.parents[len(PurePosixPath(address.file).parts) - 1].name


def looks_like_hub_name(name: str) -> bool:
    """Whether a model's name can only be one of the Hub, or of a known model."""
    match = ADDRESS.fullmatch(name)
    return match is not None and match["revision"] is None


def fetch_model(name: str, revision: str | None) -> Path:
    """Fetch a model's files, or find them in the cache where the Hub cannot be asked.

    Returns the folder of a checkpoint of ours, or a file of weights of another layout.
    Raises ModelError where the name, the log-in, the network, the server or the disk fails.
    """
    known = known_models().get(name)
    match = ADDRESS.fullmatch(known.source if known else name)
    if not match or match["revision"]:
        raise ModelError(f"{name}: no name of a model; write OWNER/NAME or OWNER/NAME:PATH")
    if revision is not None and (not revision or ".." in revision or re.search(r"\s", revision)):
        raise ModelError(f"{name}: --revision {revision!r} names no branch, tag or commit")
    address = Address(match["repo"], revision, match["file"] or "", MODEL)
    files = list_files(address)
    chosen = _choose_weights(address, files)
    local = fetch_file(chosen)
    if local.name != CONFIG_FILE:
        return local
    fetch_file(chosen.beside(WEIGHTS_FILE))
    if (table := chosen.beside(TABLE_FILE)).file in files:
        fetch_file(table)
    return local.parent


def _choose_table(address: Address, files: list[str]) -> Address:
    """The one CSV named train, at the top if there is one, or the only CSV."""
    tables = sorted(file for file in files if TABLE.search(file))
    named = [file for file in tables if TABLE.sub("", PurePosixPath(file).name).lower() == "train"]
    return _only([file for file in named if "/" not in file] or named or tables, address)


def _choose_weights(address: Address, files: list[str]) -> Address:
    """The config of a checkpoint of ours, or a file of foreign weights."""
    top = address.file.rstrip("/")
    if top in files:
        named = replace(address, file=top)
        config = named.beside(CONFIG_FILE)
        return config if named == config.beside(WEIGHTS_FILE) and config.file in files else named
    inside = [file for file in sorted(files) if not top or file.startswith(f"{top}/")]
    config = replace(address, file=f"{top}/{CONFIG_FILE}" if top else CONFIG_FILE)
    if {config.file, config.beside(WEIGHTS_FILE).file} <= set(inside):
        return config
    weights = [file for file in inside if WEIGHTS.search(file)]
    if address.file and not weights:
        raise ModelError(f"{address}: there is no file {address.file}; check what follows the :")
    return _only(weights, address)


def _only(candidates: list[str], address: Address) -> Address:
    """The only candidate; raises an error that lists them where there is none or a choice."""
    if len(candidates) == 1:
        return replace(address, file=candidates[0])
    kind = address.kind
    choose = f"choose with {address if kind.prefix else address.repo}:FILE"
    if not candidates:
        raise kind.wrong(f"{address}: no {kind.file} among its files; {choose}")
    more = f" and {len(candidates) - LISTED} more" if len(candidates) > LISTED else ""
    raise kind.wrong(f"{address}: which {kind.use}? {choose}; there are {', '.join(candidates[:LISTED])}{more}")


def fetch_file(address: Address) -> Path:
    """The local copy of a file, fetched or found in the cache.

    What the storage sent has to have the hash that the Hub announced.
    """
    with translated(address):
        from huggingface_hub import hf_hub_download

        local = Path(
            hf_hub_download(address.repo, address.file, repo_type=address.kind.name, revision=address.revision)
        )
    blob = local.resolve()
    if SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
        local.unlink()
        blob.unlink()
        raise address.kind.failed(f"{address}: {address.file} arrived with another SHA-256 than announced; try again")
    return local


def list_files(address: Address) -> list[str]:
    """Every file of a repository, or those in the cache where the Hub is out of reach."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined] # of requests, httpx

    with translated(address):
        try:
            found = HfApi().repo_info(
                address.repo,
                repo_type=address.kind.name,
                revision=address.revision,
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )
        except (HTTPError, OSError, ValueError) as error:
            status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
            said_no = status is not None and status not in (TIMED_OUT, TOO_MANY) and status < SERVER_FAILS
            if said_no or not (cached := _cached_files(address)):
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
    from huggingface_hub import constants, errors

    cause: BaseException = error
    while isinstance(cause, (errors.LocalEntryNotFoundError, RuntimeError)) and cause.__cause__:
        cause = cause.__cause__  # what kept the client from asking, or from uploading
    kind = address.kind
    host = urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2] or constants.ENDPOINT  # without a password
    if isinstance(cause, errors.HFValidationError):
        return kind.wrong(f"{address}: no name that the Hub allows; check OWNER/NAME")
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return kind.wrong(f"{address}: not in the cache, and HF_HUB_OFFLINE is set; download it once without that")
    if isinstance(cause, errors.HfHubHTTPError):
        return _refused(cause, address, host)
    if isinstance(cause, (ValueError, errors.FileMetadataError)):
        return kind.failed(
            f"{address}: the answer of {host} is not the Hub's; check HF_ENDPOINT and the network (proxy, log-in page)"
        )
    if isinstance(cause, OSError) and cause.strerror:
        return kind.failed(
            f"{address}: cannot be kept in {constants.HF_HUB_CACHE} ({cause.strerror}); free space or set HF_HOME"
        )
    reason = SIGNATURE.sub("", next(iter(str(cause).splitlines()), type(cause).__name__))
    return kind.failed(
        f"{address}: no connection to {host}, or it broke off ({reason}); check the network and try again"
    )


def _refused(error: "HfHubHTTPError", address: Address, host: str) -> TRMError:
    """What the Hub's answer means; for private and for missing data sets it gives the same."""
    from huggingface_hub import errors

    kind, status = address.kind, error.response.status_code
    if isinstance(error, errors.RevisionNotFoundError):
        return kind.wrong(f"{address}: there is no such revision; {kind.check_revision}")
    if isinstance(error, errors.EntryNotFoundError):
        return kind.wrong(f"{address}: there is no file {address.file}; check what follows the :")
    if isinstance(error, errors.GatedRepoError):
        return kind.wrong(f"{address}: gated; ask for access on its page, then {LOG_IN}")
    if status in (401, 403, 404):
        return kind.wrong(
            f"{address}: {kind.elsewhere}missing, or closed to you (HTTP {status}); check the name, or {LOG_IN}"
        )
    if status == TOO_MANY:
        return kind.failed(f"{address}: too many requests (HTTP {status}); wait some minutes, or {LOG_IN}")
    return kind.failed(f"{address}: {host} failed (HTTP {status}); try again later")


@dataclass(frozen=True)
class CachedRepo:
    """What the Hub's cache holds of a model's repository."""

    repo: str
    folder: Path
    num_bytes: int
    files: tuple[Path, ...]


def cached_models() -> Iterator[CachedRepo]:
    """What the Hub's cache holds of models, by name; nothing is asked of the Hub.

    The folders are read as they are documented, models--OWNER--NAME with snapshots and blobs in it:
    the library's own scan would take half of the time that `trm models list` may take.
    """
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        num_bytes = sum(path.stat().st_size for path in paths if not path.is_symlink())
        files = tuple(path for path in paths if path.is_relative_to(folder / "snapshots"))
        yield CachedRepo(folder.name.removeprefix("models--").replace("--", "/"), folder, num_bytes, files)


def remove_cached(repo_id: str) -> int:
    """Delete what the cache holds of a model's repository; returns the bytes that were freed."""
    found = [repo for repo in cached_models() if repo.repo == repo_id and repo.files]
    for repo in found:
        shutil.rmtree(repo.folder)
    return sum(repo.num_bytes for repo in found)


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
    from trm_cli.weights.tensors import load_checkpoint

    match = ADDRESS.fullmatch(repo_id)
    if not match or match["repo"] != repo_id:
        raise ModelError(f"{repo_id!r}: no name for a model on the Hub; write OWNER/NAME")
    loaded = load_checkpoint(folder)
    text = card(loaded.checkpoint, repo_id)
    large = [path for name in (WEIGHTS_FILE, TABLE_FILE) if (path := folder / name).is_file()]
    small = {CONFIG_FILE: (folder / CONFIG_FILE).read_bytes(), CARD_FILE: text.encode()}
    sizes = {name: len(content) for name, content in small.items()} | {path.name: path.stat().st_size for path in large}
    pushed = Pushed(repo_id, sizes, text)
    if dry_run:
        return pushed
    with translated(Address(repo_id, None, "", MODEL)):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        api.create_repo(repo_id, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in small.items()]
        operations += [CommitOperationAdd(path.name, path) for path in large]
        info = api.create_commit(repo_id, operations, commit_message="Upload with trm")
    return replace(pushed, commit=info.oid, url=f"{api.endpoint}/{repo_id}")
