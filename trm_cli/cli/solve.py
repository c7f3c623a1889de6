"""`trm solve`: puzzles in, answers out."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.inputs import (
    ArcBatchSize,
    ArcModel,
    ArcViews,
    arc_batch_size,
    new_task_line,
    open_arc_model,
    read_arc_tasks,
)
from trm_cli.cli.options import (
    BatchSize,
    Compile,
    DeviceName,
    DtypeName,
    Force,
    Guess,
    Halt,
    Json,
    MaxSteps,
    ModelName,
    Noise,
    NumAttempts,
    NumViews,
    Output,
    PuzzleFile,
    Quiet,
    RetrySteps,
    Revision,
    Seed,
    Select,
    Starts,
    StepLimit,
    TaskName,
    Threads,
    TimeLimit,
    choose_batch_size,
    choose_device,
    choose_dtype,
    chosen_settings,
    complete_settings,
    deadline,
    hide_download_bars,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
)
from trm_cli.errors import ModelError

if TYPE_CHECKING:
    from trm_cli.display.answers import ArcAnswer
    from trm_cli.tasks.problems import Problem
    from trm_cli.training.arc import Adaptation, Adapted


SOLVED, NOT_ALL_SOLVED = 0, 1
SEEDS = 2**32  # of numpy's older generator, which the data sets are drawn with


@user_errors()
def arc_solve(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-", help="ARC tasks as JSON, one task or many; - reads stdin.", show_default=False
        ),
    ],
    model: ModelName = None,
    revision: Revision = None,
    adapt: Annotated[
        Optional[int],
        typer.Option(
            "--adapt",
            min=1,
            metavar="STEPS",
            show_default="not at all",
            help="Learn a task that the model was not trained on from its demonstrations, in so many steps.",
        ),
    ] = None,
    augment: Annotated[
        int,
        typer.Option(
            "--augment",
            min=0,
            max=10_000,
            metavar="N",
            help="Ways to redraw a new task while it is learned, and votes on its tests.",
        ),
    ] = 30,
    train_network: Annotated[
        bool,
        typer.Option(
            "--train-network", help="While adapting, train a copy of the network too, not only the task's embeddings."
        ),
    ] = False,
    views: ArcViews = None,
    batch_size: ArcBatchSize = None,
    output: Output = None,
    json: Json = False,
    force: Force = False,
    device: DeviceName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Make two attempts at every test of ARC tasks: each is looked at in many ways, then a vote.

    Exit code: 0 every test has an attempt, a right one where the file holds the answer; 1 some has
    none; 2 bad input; 3 no model, or a task that it does not know.

    Example: trm solve arc task.json --model runs/arc/tiny-1/checkpoint --adapt 500
    """
    import torch

    from trm_cli.display.console import answers_console, file_console
    from trm_cli.solving.voting import refuse_large
    from trm_cli.training.arc import Adaptation

    refuse_existing(output, force)
    tasks = read_arc_tasks(file)
    chosen = choose_device(device, threads)
    known = open_arc_model(model, revision, device=chosen, dtype=torch.float32)
    for task in tasks:
        refuse_large(task, known.side)
    if adapt is None and (unknown := known.unknown(tasks)):
        raise ModelError(new_task_line(unknown[0], file, model))
    how = None if adapt is None else Adaptation(adapt, augment, train_network, seed % SEEDS)
    solver = Solver(known, how, views, arc_batch_size(batch_size, chosen), quiet)
    console, all_solved = answers_console(), True
    with nullcontext(console.file) if is_stdout(output) else opened(output, "w") as sink:
        console = console if sink is console.file else file_console(sink)
        for index, task in enumerate(tasks):
            answer = solver.answer(task)
            all_solved &= answer.solved
            if json:
                sink.write(answer.as_json(index, known.loaded) + "\n")
            else:
                answer.draw(console)
            sink.flush()
    raise typer.Exit(SOLVED if all_solved else NOT_ALL_SOLVED)


@dataclass(frozen=True)
class Solver:
    """Answers one task after another."""

    known: ArcModel
    how: "Adaptation | None"  # how new tasks are learned
    views: int | None  # ways to look at a known task, at most
    batch_size: int
    quiet: bool

    def answer(self, task: "Problem") -> "ArcAnswer":
        """Learn a task if it is new, then vote on its tests."""
        from trm_cli.display.answers import ArcAnswer
        from trm_cli.display.console import StepsBar
        from trm_cli.solving.voting import vote

        began = time.perf_counter()
        network, table, adapted = self.known.loaded.network, self.known.table, None
        if table.of_digest(task.digest) is not None:
            rows = table.read(self.known.rows_of(task, self.views))
        else:
            learned, seconds = self._learn(task)
            network, rows = learned.network, learned.known
            adapted = {
                "steps": self.how.steps if self.how else 0,
                "seconds": round(seconds, 2),
                "cell_accuracy": round(learned.cell_accuracy, 4),
            }
        looks = len(rows.ways) * len(task.tests)
        with StepsBar(f"voting on {task.name}", looks, quiet=self.quiet) as bar:
            ballots = vote(network, task, rows, batch_size=self.batch_size, progress=bar.add)
        return ArcAnswer(task, ballots, adapted, time.perf_counter() - began)

    def _learn(self, task: "Problem") -> "tuple[Adapted, float]":
        """A network that has learned the task, and how long that took, in seconds."""
        from trm_cli.display.console import StepsBar, remarks_console
        from trm_cli.training.arc import adapt
        from trm_cli.training.step import memory_translated

        assert self.how is not None
        loaded, steps = self.known.loaded, self.how.steps
        trained = loaded.checkpoint.training.get("train", {})
        with StepsBar(f"learning {task.name}", steps, quiet=self.quiet) as bar, memory_translated():
            learned = adapt(loaded.network, task, self.how, trained, bar.add)
        remarks_console(self.quiet).print(
            f"{task.name}: learned in {steps:,} steps, {bar.seconds:.0f} s; "
            f"{learned.cell_accuracy:.1%} of its demonstrations' cells right"
        )
        return learned, bar.seconds


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
) -> None:
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
    from trm_cli.display.console import SolvingDisplay
    from trm_cli.solving.engine import solve_stream
    from trm_cli.weights.catalogue import open_model

    hide_download_bars(quiet)
    where = choose_device(device, threads)
    loaded = open_model(
        model,
        task=task,
        num_cells=puzzles.num_cells,
        device=where,
        dtype=choose_dtype(dtype, where),
        compiles=compile_net,
        revision=revision,
    )
    solutions = solve_stream(
        loaded.network,
        puzzle_task,
        (puzzle.tokens for puzzle in puzzles),
        batch_size=choose_batch_size(batch_size, where),
        settings=complete_settings(loaded.checkpoint.solving, chosen),
        stops=stops,
    )
    to_file = nullcontext() if is_stdout(output) else opened(output, "w")
    with to_file as sink:
        writer = AnswerWriter(puzzle_task, loaded, as_json=json, file=sink)
        display = SolvingDisplay(len(puzzles), quiet=quiet, answers_on_screen=writer.on_screen)
        with display:
            for index, (puzzle, solution) in enumerate(zip(puzzles, solutions, strict=True)):
                writer.write(index, puzzle, solution)
                display.show(solution)
    raise typer.Exit(SOLVED if display.solved == len(puzzles) else NOT_ALL_SOLVED)
