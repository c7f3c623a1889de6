"""What the commands about ARC share: a checkpoint whose network comes with a table of puzzles."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.errors import ModelError

if TYPE_CHECKING:
    import torch

    from trm_cli.tasks.arc_files import ArcTask
    from trm_cli.weights.puzzles import KnownTask, PuzzleTable
    from trm_cli.weights.store import LoadedModel

ArcViews = Annotated[Optional[int], typer.Option(
    "--views", min=1, show_default="all",
    help="Look at each test in so many ways at most: the first that the model knows.")]  # fmt: skip
ArcBatchSize = Annotated[Optional[int], typer.Option(
    "--batch-size", min=1, show_default="16 on a CPU, 512 elsewhere",
    help="Boards looked at together.")]  # fmt: skip
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

    def rows_of(self, task: "ArcTask", most: int | None) -> "KnownTask":
        """Which rows stand for a task that it knows, `most` of them."""
        registered = self.table.of_digest(task.digest)
        assert registered is not None
        return replace(registered, count=min(registered.count, most or registered.count))

    def unknown(self, tasks: "list[ArcTask]") -> "list[ArcTask]":
        """The tasks whose demonstrations it was not trained on."""
        return [task for task in tasks if self.table.of_digest(task.digest) is None]


def read_arc_tasks(file: Path) -> "list[ArcTask]":
    """The tasks of a file, or of stdin for a dash; raises PuzzleError where they are none."""
    from trm_cli.tasks.arc_files import parse_tasks, read_tasks
    from trm_cli.tasks.datasets import as_text, translated

    if str(file) != "-":
        return read_tasks(file)
    with translated("stdin"), as_text(sys.stdin.buffer) as text:  # type: ignore[arg-type] # buffered
        return parse_tasks(text.read(), "stdin", "stdin")


def open_arc_model(name: str | None, revision: str | None, *, device: "torch.device",
                   dtype: "torch.dtype") -> ArcModel:  # fmt: skip
    """Open a checkpoint and its table; raises ModelError where it has none."""
    from trm_cli.weights.catalogue import open_learned
    from trm_cli.weights.puzzles import TABLE_FILE, PuzzleTable

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


def new_task_line(task: "ArcTask", file: Path, model: str | None) -> str:
    """Why a task cannot be answered, and what to type."""
    named = f" --model {model}" if model else ""
    return (
        f"{file}: task {task.name}: this model was not trained on its demonstrations, so it cannot "
        f"know it; let it learn: trm solve arc {file}{named} --adapt 500"
    )
