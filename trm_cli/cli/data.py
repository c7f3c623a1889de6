"""`trm data`: make data sets."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.common import (
    Force,
    Output,
    Quiet,
    Seed,
    TaskName,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
)
from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.tasks.base import Wanted


@user_errors()
def data(
    task: TaskName,
    generate: Annotated[int, typer.Option(
        "--generate", min=1, max=10**8, metavar="N", help="How many puzzles to make.",
        show_default=False)],
    size: Annotated[Optional[int], typer.Option(
        "--size", min=1, show_default="9 for sudoku, 30 for maze",
        help="Cells a side: 4, 6 or 9 of a Sudoku, 3 to 64 of a maze.")] = None,
    givens: Annotated[Optional[str], typer.Option(
        "--givens", metavar="N-M", show_default="24-34 on 9x9",
        help="Sudoku: fewest and most givens; a number in between is drawn.")] = None,
    minimal: Annotated[bool, typer.Option(
        "--minimal", help="Sudoku: puzzles from which no given can be taken away.")] = False,
    min_path: Annotated[Optional[int], typer.Option(
        "--min-path", min=2, show_default="110 on 30x30",
        help="Maze: fewest cells on the shortest path, S and G included.")] = None,
    walls: Annotated[Optional[str], typer.Option(
        "--walls", metavar="N-M", show_default="30-50",
        help="Maze: fewest and most walls drawn, in percent.")] = None,
    output: Output = None,
    force: Force = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Generate puzzles with their answers, as CSV; the same seed gives the same bytes.

    A Sudoku has exactly one solution; a maze's answer is a shortest path.

    Example: trm data sudoku --generate 100 --givens 24-34 --seed 0 -o puzzles.csv
    """
    from trm_cli.display.generating import generating
    from trm_cli.tasks import get_task
    from trm_cli.tasks.datasets import dataset_bytes

    refuse_existing(output, force)
    puzzle_task = get_task(task)
    side = size or puzzle_task.usual_size
    of_sudoku = {"--givens": givens, "--minimal": minimal or None}
    of_maze = {"--min-path": min_path, "--walls": walls}
    for other, options in (("sudoku", of_sudoku), ("maze", of_maze)):
        for name, value in options.items():
            if value is not None and other != task:
                raise UsageError(f"{name} is for {other}, not for {task}; drop it")
    wanted = (_mazes(generate, min_path, walls) if task == "maze"
              else _sudokus(generate, puzzle_task.usual(side), givens, minimal))  # fmt: skip
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
