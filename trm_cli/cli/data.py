"""`trm data`: make data sets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.options import (
    Force,
    Output,
    Quiet,
    Seed,
    TaskName,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
    writing,
)
from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.tasks.arc_dataset import Subset
    from trm_cli.tasks.base import Wanted


@user_errors()
def arc_data(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            show_default=False,
            help="Files of tasks (one task, or many), Kaggle's challenges with their solutions beside "
            "them, or folders of such files; JSON, gzipped or not. All pairs are trained on.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new folder.", show_default=False)],
    evaluation: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--evaluation",
            "-e",
            metavar="SOURCE",
            show_default="none",
            help="One of the sources, or one more, of evaluation tasks: only their demonstrations are "
            "trained on. May be repeated.",
        ),
    ] = None,
    augment: Annotated[
        int,
        typer.Option(
            "--augment",
            min=0,
            max=100_000,
            metavar="N",
            help="Ways to redraw each task, at most: turned, reflected, colours renamed.",
        ),
    ] = 1000,
    limit: Annotated[
        Optional[int], typer.Option("--limit", min=1, show_default="all", help="Take the first tasks of each source.")
    ] = None,
    board: Annotated[
        int,
        typer.Option(
            "--board",
            min=1,
            max=30,
            metavar="SIDE",
            help="Cells across and down; tasks with larger grids are left out. Smaller boards are learned faster.",
        ),
    ] = 30,
    keep_leaks: Annotated[
        bool,
        typer.Option(
            "--keep-leaks",
            help="Train also on pairs that an evaluation task asks for, where another "
            "task has them; the official builder does.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Same seed, same bytes.")] = 42,
    quiet: Quiet = False,
) -> None:
    """Build training data from ARC tasks: augmented, padded to 30x30, memory-mapped.

    Example: trm data arc training.json concept.json -e evaluation.json -o data/arc1
    """
    from trm_cli.display.console import generating, remarks_console
    from trm_cli.tasks.arc_dataset import build

    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name")
    subsets = _subsets(sources, evaluation or [], limit=limit, side=board)
    total = 2 * sum(len(subset.tasks) for subset in subsets)
    with writing(output), generating(total, quiet=quiet) as progress:
        facts = build(
            subsets, output, augmentations=augment, seed=seed, keep_leaks=keep_leaks, side=board, progress=progress
        )
    remarks_console(quiet).print(
        f"{output}: {facts['puzzles']:,} puzzles of {len(facts['tasks']):,} tasks, "
        f"{facts['examples']:,} pairs; {facts['left_out']} pairs left out because an evaluation "
        "task asks for them"
    )


def _subsets(sources: list[Path], evaluation: list[Path], *, limit: int | None, side: int) -> "list[Subset]":
    """The sources in the order typed; evaluation tasks that are not among them come last.

    side  tasks with larger grids are left out before the first ones are taken.
    """
    from trm_cli.tasks.arc import read_tasks, stem
    from trm_cli.tasks.arc_dataset import Subset

    known: dict[str, Path] = {}
    subsets = []
    for path in [*sources, *(path for path in evaluation if path not in sources)]:
        tasks = [task for task in read_tasks(path) if task.largest <= side][:limit]
        for task in tasks:
            if task.name in known:
                raise UsageError(f"{path}: has task {task.name}, as {known[task.name]} has; keep one of them")
            known[task.name] = path
        subsets.append(Subset(stem(path), tasks, path in evaluation))
    return subsets


@user_errors()
def data(
    task: TaskName,
    generate: Annotated[
        int,
        typer.Option("--generate", min=1, max=10**8, metavar="N", help="How many puzzles to make.", show_default=False),
    ],
    size: Annotated[
        Optional[int],
        typer.Option(
            "--size",
            min=1,
            show_default="9 for sudoku, 30 for maze",
            help="Cells a side: 4, 6 or 9 of a Sudoku, 3 to 64 of a maze.",
        ),
    ] = None,
    givens: Annotated[
        Optional[str],
        typer.Option(
            "--givens",
            metavar="N-M",
            show_default="24-34 on 9x9",
            help="Sudoku: fewest and most givens; a number in between is drawn.",
        ),
    ] = None,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Sudoku: puzzles from which no given can be taken away.")
    ] = False,
    min_path: Annotated[
        Optional[int],
        typer.Option(
            "--min-path",
            min=2,
            show_default="110 on 30x30",
            help="Maze: fewest cells on the shortest path, S and G included.",
        ),
    ] = None,
    walls: Annotated[
        Optional[str],
        typer.Option(
            "--walls", metavar="N-M", show_default="30-50", help="Maze: fewest and most walls drawn, in percent."
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Generate puzzles with their answers, as CSV; the same seed gives the same bytes.

    A Sudoku has exactly one solution; a maze's answer is a shortest path.

    Example: trm data sudoku --generate 100 --givens 24-34 --seed 0 -o puzzles.csv
    """
    from trm_cli.display.console import generating
    from trm_cli.tasks import get_task
    from trm_cli.tasks.tables import dataset_bytes

    refuse_existing(output, force)
    puzzle_task = get_task(task)
    side = size or puzzle_task.usual_size
    of_sudoku = {"--givens": givens, "--minimal": minimal or None}
    of_maze = {"--min-path": min_path, "--walls": walls}
    for other, options in (("sudoku", of_sudoku), ("maze", of_maze)):
        for name, value in options.items():
            if value is not None and other != task:
                raise UsageError(f"{name} is for {other}, not for {task}; drop it")
    wanted = (
        _mazes(generate, min_path, walls)
        if task == "maze"
        else _sudokus(generate, puzzle_task.usual(side), givens, minimal)
    )
    with generating(generate, quiet=quiet) as progress:
        dataset = puzzle_task.generate(wanted, size=side, seed=seed, progress=progress)
    gzipped = output is not None and output.suffix == ".gz"
    content = dataset_bytes(dataset, puzzle_task, gzipped=gzipped)
    if is_stdout(output):
        typer.echo(content, nl=False)
    else:
        with opened(output, "wb") as sink:
            sink.write(content)


def _sudokus(count: int, usual: "Wanted", givens: str | None, minimal: bool) -> "Wanted":
    from trm_cli.tasks.sudoku_generator import WantedSudokus

    if givens is None:
        return WantedSudokus(**{**asdict(usual), "puzzles": count, "minimal": minimal})
    if minimal:
        raise UsageError("--minimal and --givens exclude each other; drop one")
    least, most = parse_range(givens, "--givens", "24-34")
    return WantedSudokus(count, least, most)


def _mazes(count: int, min_path: int | None, walls: str | None) -> "Wanted":
    from trm_cli.tasks.maze_generator import WantedMazes

    if walls is None:
        return WantedMazes(count, min_path or 0)
    least, most = parse_range(walls, "--walls", "30-50")
    if not 0 <= least <= most < 100:
        raise UsageError(f"--walls {walls}: write 0 to 99 percent, fewest first")
    return WantedMazes(count, min_path or 0, least / 100, most / 100)


def parse_range(text: str, option: str, example: str) -> tuple[int, int]:
    """Fewest and most in `24-34` or `30`."""
    least, _, most = text.partition("-")
    try:
        return int(least), int(most or least)
    except ValueError as error:
        raise UsageError(f"{option} {text}: write a number or a range such as {example}") from error
