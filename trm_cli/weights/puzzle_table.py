"""The table of puzzle embeddings, kept beside a checkpoint's network in one file.

puzzles.safetensors   puzzles [P, D], one row a puzzle, row 0 nobody's;
                      ways [P, 11] uint8, the turn and the colours in which each redraws its task;
                      tasks, in the header: the rows of each task, which lie together

The table of a published run has a million rows: it is written chunk by chunk, and a task's rows are
read where they lie.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm_cli.errors import ModelError
from trm_cli.tasks.arc_grids import NUM_COLOURS, SEPARATOR, ArcView

TABLE_FILE = "puzzles.safetensors"
ROWS, WAYS, TASKS = "puzzles", "ways", "tasks"  # in it
CHUNK = 16_384  # rows that are written together
WAY_SIZE = 1 + NUM_COLOURS
PLAIN = "0" + "".join(map(str, range(NUM_COLOURS)))  # a way, as its digits
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}
LENGTH = struct.Struct("<Q")  # what a safetensors file begins with: the length of its header
ALIGNMENT = 8  # bytes, of the header


@dataclass(frozen=True)
class KnownTask:
    """The rows that stand for a task, the first of them for the task as it is."""

    first: int
    count: int
    digest: str  # of its demonstrations; empty where that is not known


@dataclass(frozen=True)
class Register:
    """Which row of a table stands for which task, redrawn in which way."""

    tasks: dict[str, KnownTask]  # by name
    ways: NDArray[np.uint8]  # [P, 11]

    @classmethod
    def of_names(cls, names: list[str], digests: dict[str, str]) -> "Register":
        """The register of a data set's names, the first of which is nobody's.

        Raises ModelError where the rows of a task do not lie together.
        """
        tasks: dict[str, KnownTask] = {}
        digits = [PLAIN]
        for row, name in enumerate(names[1:], 1):
            task, _, way = name.partition(SEPARATOR)
            known = tasks.get(task) or KnownTask(row, 0, digests.get(task, ""))
            if known.first + known.count != row:
                raise ModelError(f"the puzzles of task {task} do not lie together")
            tasks[task] = KnownTask(known.first, known.count + 1, known.digest)
            digits.append(way.removeprefix("t").replace(SEPARATOR, "") or PLAIN)
        whole = np.frombuffer("".join(digits).encode(), np.uint8) - ord("0")
        return cls(tasks, whole.reshape(len(names), WAY_SIZE))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Register) and self.tasks == other.tasks and np.array_equal(self.ways, other.ways)


@dataclass(frozen=True)
class TaskRows:
    """What a table holds of one task."""

    rows: Tensor  # [K, D] float32
    ways: list[ArcView]  # K ways, in which the rows redraw it


class PuzzleTable:
    """An open table; nothing of it is in memory but the rows of each task's.

    tasks  what is registered, by name; empty where the file does not say (a converted one).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any  # the library's types are missing
        self._ways: NDArray[np.uint8] | None = None  # adopted ones
        try:
            self._file = safe_open(path, framework="pt")
            names = set(self._file.keys())
            self.num_rows, self.width = self._file.get_slice(ROWS).get_shape()
            told = json.loads((self._file.metadata() or {}).get(TASKS, "{}"))
            self.tasks = {str(name): KnownTask(**known) for name, known in told.items()}
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise ModelError(f"{path}: no readable table of puzzles ({error}); download or train it again") from error
        ends = [known.first + known.count for known in self.tasks.values()]
        if (self.tasks and WAYS not in names) or max(ends, default=0) > self.num_rows:
            raise ModelError(f"{path}: fewer rows than it names; download or train it again")

    def adopt(self, register: Register) -> None:
        """Let a register say what the rows stand for, where the file does not.

        Raises ModelError where it is of another number of rows.
        """
        if len(register.ways) != self.num_rows:
            raise ModelError(
                f"{self.path}: {self.num_rows:,} rows, but the data set has {len(register.ways):,} "
                "puzzles; give the data set of its training"
            )
        self.tasks, self._ways = register.tasks, register.ways

    def of_digest(self, digest: str) -> KnownTask | None:
        """The task with these demonstrations, if the network was trained on it."""
        return next((task for task in self.tasks.values() if task.digest == digest), None)

    def read(self, known: KnownTask) -> TaskRows:
        """The rows of a task of this table's register, and its ways."""
        if self._ways is None:
            ways = self._part(WAYS, known).numpy()
        else:
            ways = self._ways[known.first : known.first + known.count]
        return TaskRows(self.rows(known), ways_of(ways))

    def rows(self, known: KnownTask) -> Tensor:
        """The rows of a task, [K, D] float32."""
        return self._part(ROWS, known).float()

    def register(self) -> Register:
        """What it registers, all ways in memory."""
        return Register(self.tasks, self._file.get_tensor(WAYS).numpy())

    def whole(self) -> Tensor:
        """All rows, [P, D] float32, in memory."""
        table: Tensor = self._file.get_tensor(ROWS)
        return table.float()

    def _part(self, name: str, known: KnownTask) -> Tensor:
        part: Tensor = self._file.get_slice(name)[known.first : known.first + known.count]
        return part


def ways_of(ways: NDArray[np.uint8]) -> list[ArcView]:
    """Ways from their digits, [K, 11]."""
    return [ArcView(int(way[0]), way[1:]) for way in ways]


def chunks_of(table: Tensor) -> Iterator[Tensor]:
    """A table, which may be mapped from a file, piece by piece."""
    return (table[first : first + CHUNK] for first in range(0, len(table), CHUNK))


def save_table(
    folder: Path,
    chunks: Iterable[Tensor],
    *,
    shape: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    register: Register | None = None,
) -> None:
    """Write a table [P, D] into a checkpoint's folder, chunk by chunk; it appears whole or not.

    register  what its rows stand for; None where that is not known.
    """
    partial = folder / f".{TABLE_FILE}.partial"
    try:
        with partial.open("wb") as sink:
            _write_header(sink, shape, dtype, register)
            for chunk in chunks:
                whole = chunk.detach().to("cpu", dtype).contiguous()
                sink.write(whole.view(torch.uint8).numpy().data)
            if register is not None:
                sink.write(np.ascontiguousarray(register.ways).data)
        partial.replace(folder / TABLE_FILE)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def _write_header(sink: BinaryIO, shape: tuple[int, int], dtype: torch.dtype, register: Register | None) -> None:
    """The start of a safetensors file: names, types, shapes and places of what follows."""
    end = shape[0] * shape[1] * dtype.itemsize
    header: dict[str, Any] = {ROWS: {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [0, end]}}
    if register is not None:
        size = register.ways.nbytes
        header[WAYS] = {"dtype": "U8", "shape": register.ways.shape, "data_offsets": [end, end + size]}
        told = {name: asdict(known) for name, known in register.tasks.items()}
        header["__metadata__"] = {TASKS: json.dumps(told)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    sink.write(LENGTH.pack(len(text)) + text)
