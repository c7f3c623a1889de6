"""`trm solve`: puzzles in, answers out: by search where rules decide, else by a vote."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Optional

import typer

from trm_cli.cli.options import (
    GROUP,
    MACHINE,
    SOLVING,
    TIME_LIMIT,
    BatchSize,
    Compile,
    Force,
    Json,
    ModelName,
    Output,
    PuzzleFile,
    Quiet,
    Revision,
    TaskName,
    choose_batch_size,
    choose_machine,
    chosen_of_attempts,
    chosen_settings,
    complete_settings,
    deadline,
    hide_download_bars,
    is_stdout,
    opened,
    refuse_existing,
    user_errors,
    with_options,
)
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.solving.voting import Voter
    from trm_cli.tasks.base import Task
    from trm_cli.tasks.problems import Demonstrated, Problem
    from trm_cli.training.problems import Adaptation, Adapted

SOLVED, NOT_ALL_SOLVED = 0, 1
AUGMENTATIONS = 30  # views of a new problem, if nothing is said
SEEDS = 2**32  # of numpy's older generator, which views are drawn with


@dataclass(frozen=True)
class Request:
    """What was typed, whichever strategy answers it."""

    file: Path | None
    model: str | None
    revision: str | None
    settings: dict[str, Any]  # what was chosen of SolveConfig
    stops: Callable[[], bool]
    batch_size: int | None
    compiles: bool
    output: Path | None
    as_json: bool
    machine: dict[str, Any]
    quiet: bool

    @contextmanager
    def sink(self) -> Iterator[IO[str] | None]:
        """The file that answers go to; None for stdout."""
        if is_stdout(self.output):
            yield None
            return
        with opened(self.output, "w") as sink:
            yield sink


@user_errors()
@with_options(chosen=[*SOLVING, TIME_LIMIT], machine=MACHINE)
def solve(
    task: TaskName,
    file: PuzzleFile = None,
    model: ModelName = None,
    revision: Revision = None,
    chosen: Any = GROUP,
    adapt: Annotated[
        Optional[int],
        typer.Option(
            "--adapt",
            min=1,
            metavar="STEPS",
            show_default="not at all",
            help="Where answers are voted on: learn a problem that the model was not trained on from its "
            "demonstrations, in so many steps.",
        ),
    ] = None,
    augment: Annotated[
        Optional[int],
        typer.Option(
            "--augment",
            min=0,
            max=10_000,
            metavar="N",
            show_default=str(AUGMENTATIONS),
            help="Views of a new problem while it is learned, and votes on its tests.",
        ),
    ] = None,
    train_network: Annotated[
        bool,
        typer.Option(
            "--train-network",
            help="While adapting, train a copy of the network too, not only the problem's embeddings.",
        ),
    ] = False,
    batch_size: BatchSize = None,
    compile_net: Compile = False,
    output: Output = None,
    json: Json = False,
    force: Force = False,
    machine: Any = GROUP,
    quiet: Quiet = False,
) -> None:
    """Solve every puzzle of a file or of stdin; answers go to stdout.

    Where rules can check an answer, attempts are made until they hold. Where none can, each test is looked at in
    many views and the answers are put to a vote: 0 means then that every test has an attempt, a right one where the
    file holds the answer.

    Exit code: 0 all solved, 1 some not solved, 2 bad input, 3 model unavailable.

    Example: trm solve sudoku examples/easy.txt
    """
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    puzzle_task = get_task(task)
    settings, stops = chosen_settings(chosen), deadline(chosen["time_limit"])
    request = Request(file, model, revision, settings, stops, batch_size, compile_net, output, json, machine, quiet)
    refuse_existing(output, force)
    if isinstance(puzzle_task, Demonstrated):
        all_solved = _vote(puzzle_task, request, adapt, augment, train_network)
    else:
        for flag, typed in (("--adapt", adapt), ("--augment", augment), ("--train-network", train_network or None)):
            if typed is not None:
                raise UsageError(f"{flag}: {task} needs no learning before it is solved; drop it")
        all_solved = _search(puzzle_task, request)
    raise typer.Exit(SOLVED if all_solved else NOT_ALL_SOLVED)


def _search(task: "Task", request: Request) -> bool:
    """Make attempts at every puzzle until the rules hold; returns whether all are solved."""
    from trm_cli.cli.inputs import read_puzzles

    puzzles = read_puzzles(task, request.file)

    from trm_cli.display.answers import AnswerWriter
    from trm_cli.display.console import SolvingDisplay
    from trm_cli.solving.engine import solve_stream
    from trm_cli.weights.catalogue import open_model

    hide_download_bars(request.quiet)
    device, dtype = choose_machine(request.machine)
    loaded = open_model(
        request.model,
        task=task.name,
        num_cells=puzzles.num_cells,
        device=device,
        dtype=dtype,
        compiles=request.compiles,
        revision=request.revision,
    )
    solutions = solve_stream(
        loaded.network,
        task,
        (puzzle.tokens for puzzle in puzzles),
        batch_size=choose_batch_size(request.batch_size, device),
        settings=complete_settings(loaded.checkpoint.solving, request.settings),
        stops=request.stops,
    )
    with request.sink() as sink:
        writer = AnswerWriter(task, loaded, as_json=request.as_json, file=sink)
        display = SolvingDisplay(len(puzzles), quiet=request.quiet, answers_on_screen=writer.on_screen)
        with display:
            for index, (puzzle, solution) in enumerate(zip(puzzles, solutions, strict=True)):
                writer.write(index, puzzle, solution)
                display.show(solution)
    return display.solved == len(puzzles)


def _vote(task: "Demonstrated", request: Request, adapt: int | None, augment: int | None, train_network: bool) -> bool:
    """Vote on every test of every problem; returns whether all have an answer, or a right one if that is known."""
    from trm_cli.cli.inputs import read_problems

    for name in chosen_of_attempts(request.settings):
        raise UsageError(f"--{name.replace('_', '-')}: answers to {task.name} are voted on, in all views; drop it")
    problems = read_problems(task, request.file)

    from trm_cli.display.console import answers_console, file_console
    from trm_cli.solving.voting import Voter
    from trm_cli.training.problems import Adaptation

    hide_download_bars(request.quiet)
    device, dtype = choose_machine(request.machine)
    voter = Voter.open(task, request.model, request.revision, device=device, dtype=dtype)
    for problem in problems:
        voter.refuse_large(problem)
    if adapt is None and (unknown := voter.unknown(problems)):
        raise ModelError(unknown_line(unknown[0], request.file, request.model, task.name))
    how = None
    if adapt is not None:
        views = AUGMENTATIONS if augment is None else augment
        how = Adaptation(adapt, views, train_network, request.settings.get("seed", 0) % SEEDS)
    all_solved = True
    with request.sink() as sink:
        console = answers_console() if sink is None else file_console(sink)
        for index, problem in enumerate(problems):
            answer = _answer(voter, problem, how, request, choose_batch_size(request.batch_size, device))
            all_solved &= answer.solved
            if request.as_json:
                console.file.write(answer.as_json(index, voter.loaded) + "\n")
            else:
                answer.draw(console)
            console.file.flush()
    return all_solved


def unknown_line(problem: "Problem", file: Path | None, model: str | None, task: str) -> str:
    """Why a problem cannot be answered, and what to type."""
    named = f" --model {model}" if model else ""
    return (
        f"{file or 'stdin'}: task {problem.name}: this model was not trained on its demonstrations, so it cannot "
        f"know it; let it learn: trm solve {task} {file or '-'}{named} --adapt 500"
    )


def _answer(
    voter: "Voter", problem: "Problem", how: "Adaptation | None", request: Request, batch_size: int
) -> "ProblemAnswer":
    """Learn a problem if it is new, then vote on its tests."""
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.display.console import ProgressBar

    began = time.perf_counter()
    network, adapted = voter.loaded.network, None
    if voter.table.of_digest(problem.digest) is not None:
        rows = voter.read(voter.known(problem, request.settings.get("views")))
    else:
        assert how is not None
        learned, seconds = _learn(voter, problem, how, request.quiet)
        network, rows = learned.network, learned.known
        accuracy = round(learned.cell_accuracy, 4)
        adapted = {"steps": how.steps, "seconds": round(seconds, 2), "cell_accuracy": accuracy}
    looks = len(rows.views) * len(problem.tests)
    with ProgressBar(f"voting on {problem.name}", looks, quiet=request.quiet) as bar:
        ballots = voter.vote(problem, rows, batch_size=batch_size, network=network, progress=bar.add)
    return ProblemAnswer(voter.task, problem, ballots, adapted, time.perf_counter() - began)


def _learn(voter: "Voter", problem: "Problem", how: "Adaptation", quiet: bool) -> "tuple[Adapted, float]":
    """A network that has learned the problem, and how long that took, in seconds."""
    from trm_cli.display.console import ProgressBar, remarks_console
    from trm_cli.training.problems import adapt
    from trm_cli.training.step import memory_translated

    trained = voter.loaded.checkpoint.training.get("train", {})
    with ProgressBar(f"learning {problem.name}", how.steps, quiet=quiet) as bar, memory_translated():
        learned = adapt(voter.loaded.network, voter.task, problem, how, trained, bar.add)
    remarks_console(quiet).print(
        f"{problem.name}: learned in {how.steps:,} steps, {bar.seconds:.0f} s; "
        f"{learned.cell_accuracy:.1%} of its demonstrations' cells right"
    )
    return learned, bar.seconds
