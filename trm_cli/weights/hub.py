"""Data sets of the Hugging Face Hub, fetched by its own client into its own cache.

hub:owner/name                       the training file is found among the CSV files
hub:owner/name@revision:folder/file  of that branch, tag or commit, that file
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from trm_cli.errors import UsageError
from trm_cli.weights.hub_client import HUB_PREFIX, Address, fetch_file, list_files, translated

ADDRESS = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>.+))?", re.ASCII
)
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
    address = _parse(name)
    if not address.file:
        with translated(address):
            files = list_files(address)
        address = replace(address, file=_training_file(files, address))
    with translated(address):
        local = fetch_file(address)
    return local, local.parents[len(PurePosixPath(address.file).parts) - 1].name


def _parse(name: str) -> Address:
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
    raise UsageError(
        f"{address}: which file to train on? {choose}; there are {', '.join(tables[:LISTED])}{more}"
    )
