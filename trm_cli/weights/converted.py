"""Turning a stranger's file of weights into a checkpoint of ours, in a folder or in a cache.

The cache is HF_HOME/trm/converted/SHA256-NAME/: a file is converted once for every name that it is
given, since its checkpoint says what that was.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_cli import __version__
from trm_cli.errors import ModelError
from trm_cli.files import sha256_of
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.card import write_card
from trm_cli.weights.foreign import read_tensors
from trm_cli.weights.layouts import Given, recognise
from trm_cli.weights.puzzles import DTYPES, chunks_of, save_table
from trm_cli.weights.registry import KNOWN, UNSTATED, Known
from trm_cli.weights.store import (
    CONFIG_FILE,
    Checkpoint,
    read_config,
    refuse_misfit,
    save_checkpoint,
)

LAYOUT_VERSION = 1  # of what is written into the cache
UNPLAIN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Source:
    """A file of weights and what is known of where it comes from."""

    path: Path
    origin: str  # as the user wrote it
    revision: str | None = None

    @property
    def known(self) -> Known | None:
        """Its entry in the registry."""
        named = (known for known in KNOWN if self.origin in (known.alias, known.source))
        return next(named, None)

    @property
    def name(self) -> str:
        """A plain name for what becomes of it."""
        last = self.known.alias if self.known else self.path.stem
        return UNPLAIN.sub("-", last).strip("-")[:80] or "converted"


def convert(source: Source, given: Given, folder: Path) -> Checkpoint:
    """Write a checkpoint of ours from a file of any public layout; returns what it says.

    A table of puzzle embeddings, which may be larger than all the rest a hundred times, is copied
    chunk by chunk from the file, which is mapped.
    Raises ModelError for a file that is unsafe, damaged or of no layout that is known.
    """
    tensors = read_tensors(source.path)
    try:
        network = recognise(tensors, given)
    except ModelError as error:
        raise ModelError(f"{source.path}: {error}") from error
    refuse_misfit(network.tensors, network.config, source.path)
    model = TinyRecursiveModel(network.config)
    model.load_state_dict(network.tensors)
    facts = {
        "origin": source.origin, "revision": source.revision, "layout": network.layout,
        "sha256": sha256_of(source.path), "trm": __version__, **_published(source.known),
    }  # fmt: skip
    checkpoint = Checkpoint(source.name, network.task, network.config, {"converted_from": facts})
    save_checkpoint(folder, checkpoint, model)
    if network.table is not None:
        _save_table(folder, network.table)
    write_card(folder, checkpoint)
    return checkpoint


def _save_table(folder: Path, table: Tensor) -> None:
    """Write a table beside its network; which row is whose is for a data set to say."""
    shape = (table.shape[0], table.shape[1])
    dtype = table.dtype if table.dtype in DTYPES else torch.float32
    save_table(folder, chunks_of(table), shape=shape, dtype=dtype)


def _published(known: Known | None) -> dict[str, Any]:
    if known is None:
        return {"licence": UNSTATED}
    return {"licence": known.licence, "published": known.accuracy}


def converted(source: Source) -> Path:
    """The folder in the cache that holds the file as a checkpoint of ours."""
    asked = repr([LAYOUT_VERSION, __version__, source.origin, source.revision])
    name = hashlib.sha256(asked.encode()).hexdigest()[:8]
    root = converted_root()
    try:
        folder = root / f"{sha256_of(source.path)}-{name}"
        if not (folder / CONFIG_FILE).is_file():
            _convert_whole(source, folder)
    except OSError as error:
        raise ModelError(
            f"{source.path}: cannot be converted into {root} ({error.strerror}); free space or set "
            "HF_HOME"
        ) from error
    return folder


def _convert_whole(source: Source, folder: Path) -> None:
    """Convert into a folder that appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as name:
        partial = Path(name) / "whole"
        convert(source, Given(), partial)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / CONFIG_FILE).is_file():  # else: another process did the same
                raise


def conversions() -> Iterator[tuple[Path, Checkpoint]]:
    """Every folder of the cache that holds a converted checkpoint, and what its config says."""
    for config in sorted(converted_root().glob(f"*/{CONFIG_FILE}")):
        with suppress(ModelError):
            yield config.parent, read_config(config.parent)


def converted_root() -> Path:
    """Where converted files are kept."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "trm" / "converted"
