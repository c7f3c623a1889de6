"""`trm data`: make data sets."""

from typing import Annotated

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


@user_errors()
def data(
    task: TaskName,
    generate: Annotated[int, typer.Option(
        "--generate", min=1, max=10**8, metavar="N", help="How many puzzles to make.",
        show_default=False)],
    givens: Annotated[str, typer.Option(
        "--givens", metavar="N-M", help="Fewest and most givens; a number in between is drawn.",
        show_default="24-34 on 9x9")] = "",
    minimal: Annotated[bool, typer.Option(
        "--minimal", help="Puzzles from which no given can be taken away.")] = False,
    side: Annotated[int, typer.Option("--side", help="4, 6 or 9 cells.")] = 9,
    output: Output = None,
    force: Force = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Generate puzzles with exactly one solution, as CSV; the same seed gives the same bytes.

    Example: trm data sudoku --generate 100 --givens 24-34 --seed 0 -o puzzles.csv
    """
    from trm_cli.display.generating import generating
    from trm_cli.tasks import get_task
    from trm_cli.tasks.datasets import dataset_bytes

    refuse_existing(output, force)
    if minimal and givens:
        raise UsageError("--minimal and --givens exclude each other; drop one")
    puzzle_task = get_task(task)
    with generating(generate, quiet=quiet) as progress:
        dataset = puzzle_task.generate(
            generate, side=side, givens=None if minimal else parse_givens(givens, side),
            seed=seed, progress=progress,
        )  # fmt: skip
    gzipped = output is not None and output.suffix == ".gz"
    content = dataset_bytes(dataset, puzzle_task, gzipped=gzipped)
    if is_stdout(output):
        typer.echo(content, nl=False)
    else:
        with opened(output, "wb") as sink:
            sink.write(content)


def parse_givens(text: str, side: int) -> tuple[int, int]:
    """Fewest and most givens in `24-34` or `30`; a usual range for the side if empty."""
    if not text:
        return {4: (5, 8), 6: (10, 16)}.get(side, (24, 34))
    least, _, most = text.partition("-")
    try:
        return int(least), int(most or least)
    except ValueError as error:
        raise UsageError(f"--givens {text}: write a number or a range such as 24-34") from error
