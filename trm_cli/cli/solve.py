"""`trm solve`: puzzles in, answers out."""

from contextlib import nullcontext

import typer

from trm_cli.cli.attempts import (
    Guess,
    Halt,
    MaxSteps,
    Noise,
    NumAttempts,
    NumViews,
    RetrySteps,
    Select,
    Starts,
    StepLimit,
    TimeLimit,
    chosen_settings,
    complete_settings,
    deadline,
)
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
    context: typer.Context,
    task: TaskName,
    file: PuzzleFile = None,
    model: ModelName = None,
    revision: Revision = None,
    attempts: NumAttempts = None,
    max_steps: MaxSteps = None,
    retry_steps: RetrySteps = None,
    step_limit: StepLimit = None,
    guess: Guess = None,
    starts: Starts = None,
    noise: Noise = None,
    views: NumViews = None,
    select: Select = None,
    halt: Halt = "verified",
    time_limit: TimeLimit = None,
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

    stops = deadline(time_limit)
    chosen = chosen_settings(context.params)
    refuse_existing(output, force)
    puzzle_task, puzzles = read_puzzles(task, file)

    from trm_cli.display.answers import AnswerWriter
    from trm_cli.display.solving import SolvingDisplay
    from trm_cli.solving.engine import solve_stream
    from trm_cli.weights.catalogue import open_model

    hide_download_bars(quiet)
    where = choose_device(device, threads)
    loaded = open_model(model, task=task, num_cells=puzzles.num_cells, device=where,
                        dtype=choose_dtype(dtype, where), compiles=compile_net,
                        revision=revision)  # fmt: skip
    solutions = solve_stream(
        loaded.network, puzzle_task, (puzzle.tokens for puzzle in puzzles),
        batch_size=choose_batch_size(batch_size, where),
        settings=complete_settings(loaded.checkpoint.solving, chosen), stops=stops,
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
