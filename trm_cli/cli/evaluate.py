"""`trm eval`: how accurate a checkpoint is on puzzles with known answers."""

import json as json_module
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

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
    Quiet,
    Revision,
    TaskName,
    as_typed,
    choose_batch_size,
    choose_machine,
    chosen_of_attempts,
    chosen_settings,
    complete_settings,
    deadline,
    hide_download_bars,
    opened,
    refuse_existing,
    refuse_read_only,
    stop_on_signals,
    user_errors,
    with_options,
)
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.config import SolveConfig
    from trm_cli.solving.evaluate import Tally
    from trm_cli.solving.voting import Ballot, Voter
    from trm_cli.tasks.base import Task
    from trm_cli.tasks.problems import Demonstrated, Problem
    from trm_cli.weights.tensors import LoadedModel

FORMATS = (".md", ".html", ".svg", ".png", ".json")  # of a report
KEEP_SECONDS = 20.0  # between two times that the counts are written down
ROWS_AT_ONCE = 4096  # of the data set that are in memory


@dataclass(frozen=True)
class Request:
    """What was typed, whichever strategy answers the puzzles."""

    data: Path
    models: tuple[str | None, str | None]  # to evaluate, and to compare with
    revision: str | None  # of the first
    limit: int | None
    settings: dict[str, Any]  # what was chosen of SolveConfig
    stops: Callable[[], bool]
    batch_size: int | None
    compiles: bool
    output: Path | None
    resume: Path | None
    record: bool
    as_json: bool
    machine: dict[str, Any]
    quiet: bool


@user_errors()
@with_options(chosen=[*SOLVING, TIME_LIMIT], machine=MACHINE)
def evaluate_command(
    task: TaskName,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="CSV or CSV.gz with question and answer columns; for a task that is learned from demonstrations, the "
            "folder that `trm data` made, with evaluation problems.",
            show_default=False,
        ),
    ],
    model: ModelName = None,
    revision: Revision = None,
    chosen: Any = GROUP,
    compare: Annotated[
        Optional[str],
        typer.Option(
            "--compare",
            metavar="MODEL",
            show_default="none",
            help="A second model, put beside the first with a paired test.",
        ),
    ] = None,
    limit: Annotated[
        Optional[int], typer.Option("--limit", min=1, show_default="all", help="Evaluate the first rows only.")
    ] = None,
    batch_size: BatchSize = None,
    compile_net: Compile = False,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            show_default="none",
            help="Write a report, too: .md, .html (with figures), .svg or .png (figures) or .json; of a vote, two "
            "attempts at each test as a competition takes them: submission.json.",
        ),
    ] = None,
    resume: Annotated[
        Optional[Path],
        typer.Option(
            "--resume",
            show_default="none",
            metavar="FILE",
            help="Keep the counts in this file, and go on from it if it exists.",
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the figures into the checkpoint's config.json and card.")
    ] = False,
    json: Json = False,
    force: Force = False,
    machine: Any = GROUP,
    quiet: Quiet = False,
) -> None:
    """Measure a checkpoint: cells, exact, verified, steps, attempts, calibration, speed; of a vote, pass@K.

    Example: trm eval sudoku --data puzzles.csv.gz
    """
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    stops, settings = deadline(chosen["time_limit"]), chosen_settings(chosen)
    puzzle_task = get_task(task)
    request = Request(
        data,
        (model, compare),
        revision,
        limit,
        settings,
        stops,
        batch_size,
        compile_net,
        output,
        resume,
        record,
        json,
        machine,
        quiet,
    )
    if not isinstance(puzzle_task, Demonstrated) and output is not None and output.suffix not in FORMATS:
        raise UsageError(f"{output}: name the report *{', *'.join(FORMATS)}")
    refuse_existing(output, force)
    hide_download_bars(quiet)
    if isinstance(puzzle_task, Demonstrated):
        _vote(puzzle_task, request)
    else:
        _search(puzzle_task, request)


def _search(task: "Task", request: Request) -> None:
    """Solve every puzzle by attempts until the rules hold, and count."""
    from trm_cli.display.report import show_scores, write_report
    from trm_cli.solving.evaluate import Evaluated, Tally, read_kept, record_scores, subject, write_kept
    from trm_cli.tasks.tables import survey
    from trm_cli.weights.catalogue import open_model

    device, dtype = choose_machine(request.machine)
    surveyed = survey(request.data, task, request.limit)
    first, second = request.models
    named = [(first, request.revision)] + ([] if second is None else [(second, None)])
    models = [
        open_model(
            name,
            task=task.name,
            num_cells=surveyed.num_cells,
            device=device,
            dtype=dtype,
            compiles=request.compiles,
            revision=revision,
        )
        for name, revision in named
    ]
    if request.record:
        refuse_read_only(models[0].folder)
    settings = [complete_settings(model.checkpoint.solving, request.settings) for model in models]
    networks = [(model.sha256, own) for model, own in zip(models, settings, strict=True)]
    measured = subject(surveyed.sha256, networks)
    kept = request.resume
    tallies = (read_kept(kept, measured) if kept else None) or [Tally() for _ in models]

    def keep() -> None:
        if kept:
            write_kept(kept, measured, tallies)

    keep()
    batch_size = choose_batch_size(request.batch_size, device)
    for model, own, tally in zip(models, settings, tallies, strict=True):
        _count(
            model, task, own, tally, request, surveyed.puzzles, batch_size=batch_size, keeps=len(models) > 1, keep=keep
        )
    keep()
    evaluated = [
        Evaluated(request.data.name, surveyed.sha256, model.checkpoint.name, model.sha256, own, tally)
        for model, own, tally in zip(models, settings, tallies, strict=True)
    ]
    show_scores(evaluated, as_json=request.as_json)
    if request.output:
        write_report(request.output, evaluated, as_typed())
    if request.record:
        record_scores(models[0], evaluated[0], as_typed())


def _count(
    model: "LoadedModel",
    task: "Task",
    settings: "SolveConfig",
    tally: "Tally",
    request: Request,
    puzzles: int,
    *,
    batch_size: int,
    keeps: bool,
    keep: Callable[[], None],
) -> None:
    """Evaluate one network; raises KeyboardInterrupt on a signal, once the counts are kept."""
    from trm_cli.display.console import SolvingDisplay
    from trm_cli.solving.evaluate import evaluate
    from trm_cli.tasks.tables import first_rows, read_chunks

    chunks = first_rows(read_chunks(request.data, task, ROWS_AT_ONCE), request.limit)
    solutions = evaluate(
        model.network,
        task,
        chunks,
        tally,
        batch_size=batch_size,
        settings=settings,
        stops=request.stops,
        keeps_solved=keeps,
    )
    last_kept = time.monotonic()
    display = SolvingDisplay(puzzles, quiet=request.quiet, done=tally.puzzles, solved=tally.verified)
    with stop_on_signals() as is_interrupted, display:
        for solution in solutions:
            display.show(solution)
            if is_interrupted():
                keep()
                raise KeyboardInterrupt
            if time.monotonic() - last_kept > KEEP_SECONDS:
                keep()
                last_kept = time.monotonic()


def _vote(task: "Demonstrated", request: Request) -> None:
    """Look at every test of the evaluation problems in all known views, vote, and count."""
    from trm_cli.display.answers import show_votes, votes_json
    from trm_cli.display.console import answers_console
    from trm_cli.solving.voting import Voter, register_of, score_votes, submission

    flags = [name.replace("_", "-") for name in chosen_of_attempts(request.settings)]
    flags += [flag for flag, typed in (("compare", request.models[1]), ("record", request.record)) if typed]
    if flags:
        raise UsageError(f"--{flags[0]}: answers to {task.name} are voted on, in all views; drop it")
    found = task.open_data(request.data)
    problems = found.tests[: request.limit]
    if not problems:
        raise UsageError(f"{request.data}: no evaluation tasks in it; make it with `trm data {task.name} ... -e`")
    device, dtype = choose_machine(request.machine)
    voter = Voter.open(task, request.models[0], request.revision, device=device, dtype=dtype)
    if not voter.table.problems:
        voter.table.adopt(register_of(task, found))
    if unknown := voter.unknown(problems):
        raise ModelError(
            f"{voter.loaded.source}: was not trained on the demonstrations of {len(unknown)} of "
            f"{len(problems)} tasks, such as {unknown[0].name}; give the data set of its training"
        )
    for problem in problems:
        voter.refuse_large(problem)
    voted = list(_votes(voter, problems, request, choose_batch_size(request.batch_size, device)))
    if request.output is not None:
        with opened(request.output, "w") as sink:
            sink.write(json_module.dumps(submission(voted)))
    scores = score_votes(voted)
    if request.as_json:
        typer.echo(votes_json(scores, voter.loaded, str(request.data)))
    else:
        show_votes(answers_console(), scores)


def _votes(
    voter: "Voter", problems: "list[Problem]", request: Request, batch_size: int
) -> "Iterator[tuple[Problem, list[Ballot]]]":
    """The votes on each problem."""
    from trm_cli.display.console import ProgressBar

    known = [voter.known(problem, request.settings.get("views")) for problem in problems]
    looks = sum(rows.count * len(problem.tests) for problem, rows in zip(problems, known, strict=True))
    with ProgressBar("evaluating", looks, quiet=request.quiet) as bar:
        for problem, rows in zip(problems, known, strict=True):
            yield problem, voter.vote(problem, voter.read(rows), batch_size=batch_size, progress=bar.add)
