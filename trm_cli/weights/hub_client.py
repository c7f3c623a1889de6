"""The client of the Hugging Face Hub: addresses, files, and what its errors mean.

Everything goes through huggingface_hub, into its own cache; its variables hold: HF_HOME,
HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. It is imported when something is fetched, not before.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

from trm_cli.errors import ModelError, TrainingError, TRMError, UsageError

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
MODEL = Kind("model", "", ModelError, ModelError, "check --revision",
             "no folder or file of that name here, and on the Hub ")  # fmt: skip


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
            raise self.kind.wrong(
                f"{self}:{self.file}: leads out of the repository; name a file inside it"
            )

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.kind.prefix}{self.repo}{revision}"


def fetch_file(address: Address) -> Path:
    """The local copy of a file, fetched or found in the cache."""
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            address.repo, address.file, repo_type=address.kind.name, revision=address.revision
        )
    )


def list_files(address: Address) -> list[str]:
    """Every file of a repository, or those in the cache where the Hub is out of reach."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    try:
        found = HfApi().repo_info(
            address.repo, repo_type=address.kind.name, revision=address.revision,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )  # fmt: skip
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
            address.repo,
            repo_type=address.kind.name,
            revision=address.revision,
            local_files_only=True,
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
        return address.kind.wrong(
            f"{address}: there is no such revision; {address.kind.check_revision}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return address.kind.wrong(
            f"{address}: there is no file {address.file}; check what follows the :"
        )
    if isinstance(error, errors.GatedRepoError):
        return address.kind.wrong(f"{address}: gated; ask for access on its page, then {LOG_IN}")
    if status in (401, 403, 404):
        return address.kind.wrong(
            f"{address}: {address.kind.elsewhere}missing, or closed to you (HTTP {status}); "
            f"check the name, or {LOG_IN}"
        )
    if status == TOO_MANY:
        return address.kind.failed(
            f"{address}: too many requests (HTTP {status}); wait some minutes, or {LOG_IN}"
        )
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
            f"{address}: cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}); "
            "free space or set HF_HOME"
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    reason = SIGNATURE.sub("", reason)
    return address.kind.failed(
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
