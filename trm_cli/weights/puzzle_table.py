"""The table of puzzle embeddings, kept beside a checkpoint's network in one file.

puzzles.safetensors   puzzles [P, D], one row a puzzle, row 0 nobody's;
                      ways [P, W] uint8, the digits of the view in which each redraws its problem;
                      tasks, in the header: the rows of each problem, which lie together

The table of a published run has a million rows: it is written chunk by chunk, and a problem's rows
are read where they lie. What the digits of a view mean is for the task to say.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm_cli.config import MOST_PUZZLES
from trm_cli.errors import FileError, ModelError, first_line, printable
from trm_cli.files import GIBIBYTE
from trm_cli.schema import checked, parse_json
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.tensors import LENGTH, read_header

ROWS, VIEWS, PROBLEMS = "puzzles", "ways", "tasks"  # in it
CHUNK = 16_384  # rows that are written together
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}  # and their names in safetensors
LARGEST_TABLE = 64 * GIBIBYTE


@dataclass(frozen=True)
class KnownProblem:
    """The rows that stand for a problem, the first of them for the problem as it is."""

    first: Annotated[int, (1, MOST_PUZZLES)]
    count: Annotated[int, (1, MOST_PUZZLES)]
    digest: str  # of its demonstrations; empty where that is not known


@dataclass(frozen=True)
class Register:
    """Which row of a table stands for which problem, in which view."""

    problems: dict[str, KnownProblem]  # by name
    views: NDArray[np.uint8]  # [P, W] digits

    @classmethod
    def of_rows(cls, names: list[str], views: NDArray[np.uint8], digests: dict[str, str]) -> "Register":
        """The register of rows whose problems have these names, row 0 nobody's.

        views    [P, W] the digits of each row's view.
        digests  of the demonstrations, by name of the problem, as far as they are known.
        Raises FileError where the rows of a problem do not lie together.
        """
        problems: dict[str, KnownProblem] = {}
        first = 1
        for name, rows in groupby(names[1:]):
            if name in problems:
                raise FileError(f"the puzzles of task {printable(name)} do not lie together")
            problems[name] = KnownProblem(first, len(list(rows)), digests.get(name, ""))
            first += problems[name].count
        return cls(problems, views)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Register) and self.problems == other.problems and np.array_equal(self.views, other.views)
        )


class PuzzleTable:
    """An open table; nothing of it is in memory but the rows of each problem's.

    problems  what is registered, by name; empty where the file does not say (a converted one).
    """

    def __init__(self, path: Path, shape: tuple[int, int] | None = None) -> None:
        """Open a table; raises ModelError where it is none, or not of the `shape` [P, D] that its network asks for."""
        self.path = path
        self._file: Any  # the library's types are missing
        self._views: NDArray[np.uint8] | None = None  # adopted ones
        try:
            read_header(path, LARGEST_TABLE)
            self._file = safe_open(path, framework="pt")
            self.num_rows, self.width = self._shape(ROWS, tuple(DTYPES.values()))
            told = parse_json((self._file.metadata() or {}).get(PROBLEMS, "{}"))
            self.problems = checked(told, dict[str, KnownProblem], PROBLEMS)
            self._refuse_strange_rows()
        except (FileError, OSError, SafetensorError) as error:
            what = printable(first_line(error))
            raise ModelError(f"{path}: no readable table of puzzles ({what}); download or train it again") from error
        if shape not in (None, (self.num_rows, self.width)):
            assert shape
            raise ModelError(
                f"{path}: {self.num_rows}x{self.width}, the network's config says "
                f"{shape[0]}x{shape[1]}; download or train it again"
            )

    def _shape(self, name: str, dtypes: tuple[str, ...]) -> tuple[int, int]:
        """Of a tensor with two dimensions and numbers of one of these types; raises FileError where it is another."""
        if name not in set(self._file.keys()):
            raise FileError(f"lacks tensor {name}")
        tensor = self._file.get_slice(name)
        shape, dtype = tensor.get_shape(), tensor.get_dtype()
        if len(shape) != 2 or 0 in shape or dtype not in dtypes:
            raise FileError(f"{name} is {dtype} {shape}, not a matrix of {' or '.join(dtypes)}")
        return shape[0], shape[1]

    def _refuse_strange_rows(self) -> None:
        """Raise FileError where problems have rows that are not there, or the same ones."""
        if not self.problems:
            return
        num_views, _ = self._shape(VIEWS, ("U8",))
        end = 1  # of the rows so far: row 0 is nobody's
        for known in sorted(self.problems.values(), key=lambda known: known.first):
            if known.first < end:
                raise FileError(f"two of its tasks share row {known.first:,}")
            end = known.first + known.count
        if end > min(self.num_rows, num_views):
            raise FileError("fewer rows than it names")

    def adopt(self, register: Register) -> None:
        """Let a register say what the rows stand for, where the file does not.

        Raises ModelError where it is of another number of rows.
        """
        if len(register.views) != self.num_rows:
            raise ModelError(
                f"{self.path}: {self.num_rows:,} rows, but the data set has {len(register.views):,} "
                "puzzles; give the data set of its training"
            )
        self.problems, self._views = register.problems, register.views

    def of_digest(self, digest: str) -> KnownProblem | None:
        """The problem with these demonstrations, if the network was trained on it."""
        return next((known for known in self.problems.values() if known.digest == digest), None)

    def read(self, known: KnownProblem) -> tuple[Tensor, NDArray[np.uint8]]:
        """The rows of a problem of this table's register, [K, D] float32, and its views, [K, W]."""
        if self._views is None:
            return self.rows(known), self._part(VIEWS, known).numpy()
        return self.rows(known), self._views[known.first : known.first + known.count]

    def rows(self, known: KnownProblem) -> Tensor:
        """The rows of a problem, [K, D] float32; raises ModelError where they hold what is no number."""
        rows = self._part(ROWS, known).float()
        if not torch.stack(rows.aminmax()).isfinite().all():
            raise ModelError(f"{self.path}: {ROWS} holds values that are no numbers; download or train it again")
        return rows

    def register(self) -> Register:
        """What it registers, all views in memory."""
        views = self._file.get_tensor(VIEWS).numpy() if self.problems else np.zeros((0, 0), np.uint8)
        return Register(self.problems, views)

    def whole(self) -> Tensor:
        """All rows, [P, D] float32, in memory."""
        return self.rows(KnownProblem(0, self.num_rows, ""))

    def _part(self, name: str, known: KnownProblem) -> Tensor:
        part: Tensor = self._file.get_slice(name)[known.first : known.first + known.count]
        return part


def save_table(folder: Path, table: Tensor, register: Register | None = None) -> None:
    """Write a table [P, D] into a checkpoint's folder; it appears whole or not.

    table     may be mapped from a file: it is copied chunk by chunk, in bfloat16 or float32.
    register  what its rows stand for; None where that is not known.
    """
    dtype = table.dtype if table.dtype in DTYPES else torch.float32
    end = table.numel() * dtype.itemsize
    header: dict[str, Any] = {ROWS: {"dtype": DTYPES[dtype], "shape": list(table.shape), "data_offsets": [0, end]}}
    if register is not None:
        views = register.views
        header[VIEWS] = {"dtype": "U8", "shape": views.shape, "data_offsets": [end, end + views.nbytes]}
        told = {name: asdict(known) for name, known in register.problems.items()}
        header["__metadata__"] = {PROBLEMS: json.dumps(told)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % LENGTH)
    partial = folder / f".{TABLE_FILE}.partial"
    try:
        with partial.open("wb") as sink:
            sink.write(len(text).to_bytes(LENGTH, "little") + text)
            for first in range(0, len(table), CHUNK):
                chunk = table[first : first + CHUNK].detach().to("cpu", dtype).contiguous()
                sink.write(chunk.view(torch.uint8).numpy().data)
            if register is not None:
                sink.write(np.ascontiguousarray(register.views).data)
        partial.replace(folder / TABLE_FILE)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
