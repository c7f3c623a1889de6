"""`trm data arc`: a folder of training data from ARC tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.common import Quiet, user_errors, writing
from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.tasks.arc_builder import Subset


@user_errors()
def arc_data(
    sources: Annotated[list[Path], typer.Argument(
        metavar="SOURCE...", show_default=False,
        help="Files of tasks (one task, or many), Kaggle's challenges with their solutions beside "
        "them, or folders of such files; JSON, gzipped or not. All pairs are trained on.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="FOLDER", help="A new folder.", show_default=False)],
    evaluation: Annotated[Optional[list[Path]], typer.Option(
        "--evaluation", "-e", metavar="SOURCE", show_default="none",
        help="One of the sources, or one more, of evaluation tasks: only their demonstrations are "
        "trained on. May be repeated.")] = None,
    augment: Annotated[int, typer.Option(
        "--augment", min=0, max=100_000, metavar="N",
        help="Ways to redraw each task, at most: turned, reflected, colours renamed.")] = 1000,
    limit: Annotated[Optional[int], typer.Option(
        "--limit", min=1, show_default="all", help="Take the first tasks of each source.")] = None,
    board: Annotated[int, typer.Option(
        "--board", min=1, max=30, metavar="SIDE", help="Cells across and down; tasks with larger "
        "grids are left out. Smaller boards are learned faster.")] = 30,
    keep_leaks: Annotated[bool, typer.Option(
        "--keep-leaks", help="Train also on pairs that an evaluation task asks for, where another "
        "task has them; the official builder does.")] = False,
    seed: Annotated[int, typer.Option(
        "--seed", min=0, max=2**32 - 1, help="Same seed, same bytes.")] = 42,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Build training data from ARC tasks: augmented, padded to 30x30, memory-mapped.

    Example: trm data arc training.json concept.json -e evaluation.json -o data/arc1
    """
    from trm_cli.display.console import remarks_console
    from trm_cli.display.generating import generating
    from trm_cli.tasks.arc_data import build

    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name")
    subsets = _subsets(sources, evaluation or [], limit=limit, side=board)
    total = 2 * sum(len(subset.tasks) for subset in subsets)
    with writing(output), generating(total, quiet=quiet) as progress:
        facts = build(subsets, output, augmentations=augment, seed=seed, keep_leaks=keep_leaks,
                      side=board, progress=progress)  # fmt: skip
    remarks_console(quiet).print(
        f"{output}: {facts['puzzles']:,} puzzles of {len(facts['tasks']):,} tasks, "
        f"{facts['examples']:,} pairs; {facts['left_out']} pairs left out because an evaluation "
        "task asks for them"
    )


def _subsets(sources: list[Path], evaluation: list[Path], *, limit: int | None,
             side: int) -> "list[Subset]":  # fmt: skip
    """The sources in the order typed; evaluation tasks that are not among them come last.

    side  tasks with larger grids are left out before the first ones are taken.
    """
    from trm_cli.tasks.arc_builder import Subset
    from trm_cli.tasks.arc_files import read_tasks, stem

    known: dict[str, Path] = {}
    subsets = []
    for path in [*sources, *(path for path in evaluation if path not in sources)]:
        tasks = [task for task in read_tasks(path) if task.largest <= side][:limit]
        for task in tasks:
            if task.name in known:
                raise UsageError(
                    f"{path}: has task {task.name}, as {known[task.name]} has; keep one of them"
                )
            known[task.name] = path
        subsets.append(Subset(stem(path), tasks, path in evaluation))
    return subsets
