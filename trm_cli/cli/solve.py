"""`trm solve`: puzzles in, answers out."""

from contextlib import nullcontext
from typing import Annotated

import typer

from trm_cli.cli.common import (
    BatchSize,
    Compile,
    DeviceName,
    DtypeName,
    Force,
    Json,
    ModelName,
    Output,
    PuzzleFile,
    Quiet,
    Revision,
    Seed,
    TaskName,
    Threads,
    choose_batch_size,
    choose_device,
    choose_dtype,
    hide_download_bars,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
)

SOLVED, NOT_ALL_SOLVED = 0, 1


@user_errors()
def solve(
    task: TaskName,
    file: PuzzleFile = None,
    model: ModelName = None,
    revision: Revision = None,
    halt: Annotated[str, typer.Option("--halt", help=(
        "When to stop: verified (the halt head fires and the rules hold), q (the head fires), "
        "never (always --max-steps)."))] = "verified",
    max_steps: Annotated[int, typer.Option(
        "--max-steps", min=1, help="Supervision steps at most.")] = 16,
    batch_size: BatchSize = None,
    compile_net: Compile = False,
    output: Output = None,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Solve every puzzle of a file or of stdin; answers go to stdout.

    Exit code: 0 all solved, 1 some not solved, 2 bad input, 3 model unavailable.

    Example: trm solve sudoku examples/easy.txt
    """
    from trm_cli.cli.inputs import read_puzzles

    refuse_existing(output, force)
    puzzle_task, puzzles = read_puzzles(task, file)

    from trm_cli.display.answers import AnswerWriter
    from trm_cli.display.solving import SolvingDisplay
    from trm_cli.solving.engine import SolveSettings, check_halt, solve_stream
    from trm_cli.weights.catalogue import open_model

    settings = SolveSettings(check_halt(halt), max_steps, seed)
    hide_download_bars(quiet)
    chosen = choose_device(device, threads)
    loaded = open_model(model, task=task, num_cells=puzzles.num_cells, device=chosen,
                        dtype=choose_dtype(dtype, chosen), compiles=compile_net,
                        revision=revision)  # fmt: skip
    solutions = solve_stream(
        loaded.network, puzzle_task, (puzzle.tokens for puzzle in puzzles),
        batch_size=choose_batch_size(batch_size, chosen), settings=settings,
    )  # fmt: skip
    to_file = nullcontext() if is_stdout(output) else opened(output, "w")
    with to_file as sink:
        writer = AnswerWriter(puzzle_task, loaded, as_json=json, file=sink)
        display = SolvingDisplay(len(puzzles), quiet=quiet, answers_on_screen=writer.on_screen)
        with display:
            for index, (puzzle, solution) in enumerate(zip(puzzles, solutions, strict=True)):
                writer.write(index, puzzle, solution)
                display.show(solution)
    raise typer.Exit(SOLVED if display.solved == len(puzzles) else NOT_ALL_SOLVED)
