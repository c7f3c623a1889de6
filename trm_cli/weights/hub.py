"""Data sets of the Hugging Face Hub, fetched by its own client into its own cache.

hub:owner/name                       the training file is found among the CSV files
hub:owner/name@revision:folder/file  of that branch, tag or commit, that file

The client's variables hold: HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from trm_cli.errors import TrainingError, TRMError, UsageError

HUB_PREFIX = "hub:"
ADDRESS = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>.+))?", re.ASCII
)
TABLE = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
SIGNATURE = re.compile(r"\?[^\s)'\"]+")  # the part of a storage address that opens the file
LISTED = 10  # files named in a message, at most
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
TIMED_OUT, TOO_MANY, SERVER_FAILS = 408, 429, 500  # HTTP; from the last one up, all are failures


@dataclass(frozen=True)
class _Address:
    """The parts of `owner/name@revision:file`; the file may still have to be chosen."""

    repo: str
    revision: str | None
    file: str = ""

    def __post_init__(self) -> None:
        parts = re.split(r"[/\\]", self.file)
        leads_out = any(part == ".." or PureWindowsPath(part).drive for part in parts)
        if leads_out or (self.file and not parts[0]):
            raise UsageError(
                f"{self}:{self.file}: leads out of the repository; name a file inside it"
            )

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB_PREFIX}{self.repo}{revision}"


def download_dataset(name: str) -> tuple[Path, str]:
    """Fetch one file of a data set, or find it in the cache where the Hub cannot be asked.

    name  what follows `hub:`, that is owner/name, owner/name@revision or either with :FILE.
    Returns the local file, at its path in the repository below a folder named after the commit,
    and that commit's full hash.
    Raises UsageError where the name, the log-in or the file is wrong, TrainingError where the
    network, the server or the disk fails.
    """
    address = _parse(name)
    if not address.file:
        with _translated(address):
            files = _list_files(address)
        address = replace(address, file=_training_file(files, address))
    with _translated(address):
        local = _fetch(address)
    return local, local.parents[len(PurePosixPath(address.file).parts) - 1].name


def _parse(name: str) -> _Address:
    match = ADDRESS.fullmatch(name)
    if not match or ".." in (match["revision"] or ""):
        raise UsageError(
            f"{HUB_PREFIX}{name}: no name of a data set; write {HUB_PREFIX}OWNER/NAME, "
            "with @REVISION and :FILE behind it as needed"
        )
    return _Address(match["repo"], match["revision"], match["file"] or "")


def _fetch(address: _Address) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(address.repo, address.file, repo_type="dataset", revision=address.revision)
    )


def _list_files(address: _Address) -> list[str]:
    """Every file of the repository, or the CSV files in the cache where the Hub is out of reach."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    try:
        found = HfApi().dataset_info(
            address.repo, revision=address.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except (HTTPError, OSError, ValueError) as error:
        cached = _cached_files(address) if _may_pass(error) else []
        if not cached:
            raise
        return cached
    return [sibling.rfilename for sibling in found.siblings or []]


def _cached_files(address: _Address) -> list[str]:
    """The CSV files of the revision that earlier downloads left in the cache: not all it has."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            address.repo, repo_type="dataset", revision=address.revision, local_files_only=True
        )
    except LocalEntryNotFoundError as error:
        folder = getattr(error, "snapshot_path", "")  # one that lacks files will do
    found = Path(folder).rglob("*") if folder else []
    files = [path.relative_to(folder).as_posix() for path in found]
    return [file for file in files if TABLE.search(file)]


def _training_file(files: list[str], address: _Address) -> str:
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
    raise UsageError(
        f"{address}: which file to train on? {choose}; there are {', '.join(tables[:LISTED])}{more}"
    )


@contextmanager
def _translated(address: _Address) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: of hf_xet
        raise _explained(error, address) from error


def _explained(error: Exception, address: _Address) -> TRMError:
    from huggingface_hub import errors

    looked_into_cache = isinstance(error, errors.LocalEntryNotFoundError)
    cause = error.__cause__ if looked_into_cache else error
    if isinstance(cause, errors.HFValidationError):
        return UsageError(f"{address}: no name that the Hub allows; check OWNER/NAME")
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return UsageError(
            f"{address}: not in the cache, and HF_HUB_OFFLINE is set; download it once without that"
        )
    if isinstance(cause, errors.HfHubHTTPError):
        return _refused(cause, cause.response.status_code, address)
    return _cut_off(cause or error, address)


def _refused(error: Exception, status: int, address: _Address) -> TRMError:
    """What the Hub's answer means; for private and for missing data sets it gives the same."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{address}: there is no such revision; check what follows the @")
    if isinstance(error, errors.EntryNotFoundError):
        return UsageError(f"{address}: there is no file {address.file}; check what follows the :")
    if isinstance(error, errors.GatedRepoError):
        return UsageError(f"{address}: gated; ask for access on its page, then {LOG_IN}")
    if status in (401, 403, 404):
        return UsageError(
            f"{address}: missing, or closed to you (HTTP {status}); check the name, or {LOG_IN}"
        )
    if status == TOO_MANY:
        return TrainingError(
            f"{address}: too many requests (HTTP {status}); wait some minutes, or {LOG_IN}"
        )
    return TrainingError(f"{address}: {_host()} failed (HTTP {status}); try again later")


def _cut_off(error: BaseException, address: _Address) -> TRMError:
    """What is wrong where no answer came, or none that can be used or kept."""
    from huggingface_hub import constants, errors

    if isinstance(error, (ValueError, errors.FileMetadataError)):
        return TrainingError(
            f"{address}: the answer of {_host()} is not the Hub's; check HF_ENDPOINT and the "
            "network (proxy, log-in page)"
        )
    if isinstance(error, OSError) and error.strerror:
        return TrainingError(
            f"{address}: cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}); "
            "free space or set HF_HOME"
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    reason = SIGNATURE.sub("", reason)
    return TrainingError(
        f"{address}: no connection to {_host()}, or it broke off ({reason}); check the network "
        "and try again"
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
