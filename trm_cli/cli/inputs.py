"""Puzzles from a file or from stdin, all of them checked before any model loads."""

import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import numpy as np
import typer

from trm_cli.errors import ModelError, PuzzleError, UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task
from trm_cli.tasks.tables import as_text, open_text, translated

if TYPE_CHECKING:
    import torch

    from trm_cli.tasks.problems import Problem
    from trm_cli.weights.checkpoint import LoadedModel
    from trm_cli.weights.puzzle_table import KnownTask, PuzzleTable


class PuzzleList:
    """Puzzles of one size from one source: a byte a cell and a number a puzzle."""

    def __init__(self, first: Puzzle) -> None:
        self.height, self.width = first.height, first.width
        self.num_cells = self.height * self.width
        self.source = first.source
        self._tokens = bytearray()
        self._lines = array("Q")

    def append(self, puzzle: Puzzle) -> None:
        """Add a puzzle; raises PuzzleError if it is of another size."""
        if (puzzle.height, puzzle.width) != (self.height, self.width):
            raise PuzzleError(
                f"{puzzle.place}: a {puzzle.height}x{puzzle.width} grid after "
                f"{self.height}x{self.width} ones; give each size a file of its own"
            )
        self._tokens += puzzle.tokens.tobytes()
        self._lines.append(puzzle.line)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Puzzle]:
        tokens = np.frombuffer(bytes(self._tokens), np.uint8).reshape(-1, self.num_cells)
        for row, line in zip(tokens, self._lines, strict=True):
            yield Puzzle(row, self.height, self.width, self.source, line)


def read_puzzles(task_name: str, file: Path | None) -> tuple[Task, PuzzleList]:
    """Read and check every puzzle of a file or of stdin.

    Raises PuzzleError or UsageError with what is wrong, where, and what to do.
    """
    task = get_task(task_name)
    if file is not None and str(file) != "-":
        with open_text(file) as text:
            return task, _collect(task.read(text, str(file)), str(file))
    if sys.stdin is None or (file is None and sys.stdin.isatty()):
        raise UsageError("no puzzles: give a file, or - to type them in (end with Ctrl-D)")
    with translated("stdin"), as_text(sys.stdin.buffer) as text:  # type: ignore[arg-type] # buffered
        return task, _collect(task.read(text, "stdin"), "stdin")


def read_example(task_name: str, count: int) -> tuple[Task, PuzzleList]:
    """The first puzzles of those that come with the task; raises UsageError where none do."""
    task = get_task(task_name)
    if not task.examples:
        raise UsageError(f"no {task_name} comes with trm: give a file of puzzles")
    return task, _collect(islice(task.read(task.examples.splitlines(), "example"), count), "example")


def _collect(coming: Iterable[Puzzle], source: str) -> PuzzleList:
    puzzles = None
    for puzzle in coming:
        puzzles = puzzles or PuzzleList(puzzle)
        puzzles.append(puzzle)
    if puzzles is None:
        raise PuzzleError(f"{source}: no puzzle in it")
    return puzzles


ArcViews = Annotated[
    Optional[int],
    typer.Option(
        "--views",
        min=1,
        show_default="all",
        help="Look at each test in so many ways at most: the first that the model knows.",
    ),
]
ArcBatchSize = Annotated[
    Optional[int],
    typer.Option("--batch-size", min=1, show_default="16 on a CPU, 512 elsewhere", help="Boards looked at together."),
]
CPU_BOARDS, ACCELERATOR_BOARDS = 16, 512  # looked at together


@dataclass(frozen=True)
class ArcModel:
    """A network and the table of the puzzles that it knows."""

    loaded: "LoadedModel"
    table: "PuzzleTable"

    @property
    def side(self) -> int:
        """Of its boards."""
        return self.loaded.network.config.height

    def rows_of(self, task: "Problem", most: int | None) -> "KnownTask":
        """Which rows stand for a task that it knows, `most` of them."""
        registered = self.table.of_digest(task.digest)
        assert registered is not None
        return replace(registered, count=min(registered.count, most or registered.count))

    def unknown(self, tasks: "list[Problem]") -> "list[Problem]":
        """The tasks whose demonstrations it was not trained on."""
        return [task for task in tasks if self.table.of_digest(task.digest) is None]


def read_arc_tasks(file: Path) -> "list[Problem]":
    """The tasks of a file, or of stdin for a dash; raises PuzzleError where they are none."""
    from trm_cli.tasks.arc_grids import parse_problems, read_problems
    from trm_cli.tasks.tables import as_text, translated

    if str(file) != "-":
        return read_problems(file)
    with translated("stdin"), as_text(sys.stdin.buffer) as text:  # type: ignore[arg-type] # buffered
        return parse_problems(text.read(), "stdin", "stdin")


def open_arc_model(name: str | None, revision: str | None, *, device: "torch.device", dtype: "torch.dtype") -> ArcModel:
    """Open a checkpoint and its table; raises ModelError where it has none."""
    from trm_cli.weights.catalogue import open_learned
    from trm_cli.weights.puzzle_table import TABLE_FILE, PuzzleTable

    loaded = open_learned(name, task="arc", device=device, dtype=dtype, revision=revision)
    if not loaded.network.config.looks_up_puzzles:
        raise ModelError(f"model {loaded.checkpoint.name!r} knows no puzzles; choose another")
    table = PuzzleTable(loaded.folder / TABLE_FILE)
    shape = (loaded.network.config.num_puzzles, loaded.network.config.hidden_size)
    if (table.num_rows, table.width) != shape:
        raise ModelError(
            f"{table.path}: {table.num_rows}x{table.width}, the network's config says "
            f"{shape[0]}x{shape[1]}; download or train it again"
        )
    return ArcModel(loaded, table)


def arc_batch_size(wanted: int | None, device: "torch.device") -> int:
    """Boards to look at together; those of ARC have up to 900 cells."""
    return wanted or (CPU_BOARDS if device.type == "cpu" else ACCELERATOR_BOARDS)


def new_task_line(task: "Problem", file: Path, model: str | None) -> str:
    """Why a task cannot be answered, and what to type."""
    named = f" --model {model}" if model else ""
    return (
        f"{file}: task {task.name}: this model was not trained on its demonstrations, so it cannot "
        f"know it; let it learn: trm solve arc {file}{named} --adapt 500"
    )
