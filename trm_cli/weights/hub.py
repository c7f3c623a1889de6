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
from functools import cache
from logging import ERROR
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from trm_cli.errors import ModelError, TrainingError, TRMError, UsageError
from trm_cli.files import sha256_of
from trm_cli.schema import checked
from trm_cli.weights.card import card
from trm_cli.weights.checkpoint import CARD_FILE, CONFIG_FILE, TABLE_FILE, WEIGHTS_FILE

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
    file: str  # of which there should be one in a repository
    elsewhere: str = ""  # where else was looked already


DATASET = Kind("dataset", HUB_PREFIX, UsageError, TrainingError, "CSV file")
MODEL = Kind("model", "", ModelError, ModelError, "file of weights", "nothing of that name here, and on the Hub ")


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

    name  what follows `hub:`, that is owner/name, owner/name@revision or either with :FILE. Without
          a file it is the one CSV named train, at the top if there is one, or the only CSV.
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
        tables = sorted(file for file in list_files(address) if TABLE.search(file))
        named = [file for file in tables if TABLE.sub("", PurePosixPath(file).name).lower() == "train"]
        address = _only([file for file in named if "/" not in file] or named or tables, address)
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


def _choose_weights(address: Address, files: list[str]) -> Address:
    """The config of a checkpoint of ours, or a file of foreign weights."""
    top = PurePosixPath(address.file)
    is_file = str(top) in files
    folder = top.parent if is_file and top.name == WEIGHTS_FILE else top
    if {str(folder / CONFIG_FILE), str(folder / WEIGHTS_FILE)} <= set(files):
        return replace(address, file=str(folder / CONFIG_FILE))
    if is_file:
        return replace(address, file=str(top))
    weights = [file for file in sorted(files) if PurePosixPath(file).is_relative_to(top) and WEIGHTS.search(file)]
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
    raise kind.wrong(f"{address}: which {kind.file}? {choose}; there are {', '.join(candidates[:LISTED])}{more}")


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
    from huggingface_hub import HfApi, constants, errors, snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    with translated(address):
        try:
            with _listing_checked():
                found = HfApi().repo_info(
                    address.repo,
                    repo_type=address.kind.name,
                    revision=address.revision,
                    timeout=constants.HF_HUB_ETAG_TIMEOUT,
                )
                named = [sibling.rfilename for sibling in getattr(found, "siblings", None) or []]
                return checked(named, list[str], "siblings")
        except (HTTPError, OSError, ValueError) as error:
            status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
            said_no = status is not None and status not in (TIMED_OUT, TOO_MANY) and status < SERVER_FAILS
            if said_no:
                raise
            try:  # what earlier downloads left: not all that the revision has
                folder = snapshot_download(
                    address.repo, repo_type=address.kind.name, revision=address.revision, local_files_only=True
                )
            except errors.LocalEntryNotFoundError as absent:
                folder = getattr(absent, "snapshot_path", "")  # one that lacks files will do
            cached = Path(folder).rglob("*") if folder else []
            if not (names := [path.relative_to(folder).as_posix() for path in cached if path.is_file()]):
                raise
            return names


@contextmanager
def _listing_checked() -> Iterator[None]:
    """Turn what the client stumbles over in a listing, which it does not check, into a ValueError."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError("no listing of the Hub") from error


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
    """What an error of the client means; of private and of missing repositories the Hub says the same."""
    from huggingface_hub import constants, errors

    cause: BaseException = error
    while isinstance(cause, (errors.LocalEntryNotFoundError, RuntimeError)) and cause.__cause__:
        cause = cause.__cause__  # what kept the client from asking, or from uploading
    wrong: dict[type[Exception], str] = {
        errors.HFValidationError: "no name that the Hub allows; check OWNER/NAME",
        errors.OfflineModeIsEnabled: "not in the cache, and HF_HUB_OFFLINE is set; download it once without that",
        errors.RevisionNotFoundError: "there is no such revision; check the branch, tag or commit",
        errors.EntryNotFoundError: f"there is no file {address.file}; check what follows the :",
        errors.GatedRepoError: f"gated; ask for access on its page, then {LOG_IN}",
    }
    for refusal, words in wrong.items():
        if isinstance(cause, refusal):
            return address.kind.wrong(f"{address}: {words}")
    host = urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2] or constants.ENDPOINT  # without a password
    status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else None
    if status in (401, 403, 404):
        closed = f"{address.kind.elsewhere}missing, or closed to you (HTTP {status})"
        return address.kind.wrong(f"{address}: {closed}; check the name, or {LOG_IN}")
    if status == TOO_MANY:
        words = f"too many requests (HTTP {status}); wait some minutes, or {LOG_IN}"
    elif status is not None:
        words = f"{host} failed (HTTP {status}); try again later"
    elif isinstance(cause, (ValueError, errors.FileMetadataError)):
        words = f"the answer of {host} is not the Hub's; check HF_ENDPOINT and the network (proxy, log-in page)"
    elif isinstance(cause, OSError) and cause.strerror:
        words = f"cannot be kept in {constants.HF_HUB_CACHE} ({cause.strerror}); free space or set HF_HOME"
    else:
        reason = SIGNATURE.sub("", next(iter(str(cause).splitlines()), type(cause).__name__))
        words = f"no connection to {host}, or it broke off ({reason}); check the network and try again"
    return address.kind.failed(f"{address}: {words}")


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
        paths = sorted(path for path in folder.rglob("*") if os.path.isfile(path))
        num_bytes = sum(path.stat().st_size for path in paths if not path.is_symlink())
        files = tuple(path for path in paths if path.is_relative_to(folder / "snapshots"))
        yield CachedRepo(folder.name.removeprefix("models--").replace("--", "/"), folder, num_bytes, files)


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
    text = card(load_checkpoint(folder).checkpoint, repo_id)
    files: dict[str, bytes | Path] = {CONFIG_FILE: folder / CONFIG_FILE, CARD_FILE: text.encode()}
    files |= {name: folder / name for name in (WEIGHTS_FILE, TABLE_FILE) if (folder / name).is_file()}
    sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
    pushed = Pushed(repo_id, sizes, text)
    if dry_run:
        return pushed
    with translated(Address(repo_id, None, "", MODEL)):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        api.create_repo(repo_id, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, file) for name, file in files.items()]
        info = api.create_commit(repo_id, operations, commit_message="Upload with trm")
    return replace(pushed, commit=info.oid, url=f"{api.endpoint}/{repo_id}")
