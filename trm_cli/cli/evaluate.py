"""`trm eval`: how accurate a checkpoint is on puzzles with known answers."""

import json as json_module
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.completion import complete_models
from trm_cli.cli.help import INPUT_OUTPUT, MODEL
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.solving.voting import Ballot, Voter
    from trm_cli.tasks.problems import Demonstrated, Problem

FORMATS = (".md", ".html", ".svg", ".png", ".json")  # of a report
KEEP_SECONDS = 20.0  # between two times that the counts are written down
ROWS_AT_ONCE = 4096  # of the data set that are in memory


@options.with_options(chosen=options.TIMED_SOLVING, machine=options.MACHINE)
def evaluate_command(
    task: options.TaskName,
    data: Path = Option(
        ...,
        metavar="PATH",
        show_default=False,
        help="CSV or CSV.gz with question and answer columns, or a folder that `trm data` made.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    model: options.ModelName = None,
    revision: options.Revision = None,
    chosen: Any = options.GROUP,
    compare: Optional[str] = Option(
        None,
        metavar="MODEL",
        help="A second model, put beside the first with a paired test.",
        rich_help_panel=MODEL,
        autocompletion=complete_models,
    ),
    limit: Optional[int] = Option(
        None, min=1, metavar="N", show_default="all", help="Evaluate the first rows only.", rich_help_panel=INPUT_OUTPUT
    ),
    batch_size: options.BatchSize = None,
    compile_net: options.Compile = False,
    output: Optional[Path] = Option(
        None,
        "--output",
        "-o",
        metavar="FILE",
        help="Also write a report (.md, .html, .json), figures (.svg, .png), or of a vote submission.json.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    resume: Optional[Path] = Option(
        None,
        metavar="FILE",
        help="Keep the counts in this file, and continue from it if it exists.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    record: bool = Option(
        False,
        "--record",
        help="Write the figures into the checkpoint's config.json and card.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    full: bool = Option(False, "--full", help="Print all tables, not a few lines.", rich_help_panel=INPUT_OUTPUT),
    json: options.Json = False,
    force: options.Force = False,
    machine: Any = options.GROUP,
    gpus: options.Gpus = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure how many puzzles with known answers a model solves.

    The report has cells, exact, verified, steps, attempts, calibration, speed; of a vote, pass@K.

    Example: trm eval sudoku --data puzzles.csv.gz
    """
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    named = [(model, revision)] + ([] if compare is None else [(compare, None)])
    requests = [options.Request(*one, chosen, machine, quiet, batch_size, compile_net, gpus) for one in named]
    puzzle_task = get_task(task)
    if isinstance(puzzle_task, Demonstrated):
        options.refuse_existing(output, force)
        requests[0].refuse_attempts(puzzle_task, compare=compare, full=full, record=record)
        requests[0].refuse_workers("a vote is computed by one process; leave it out")
        _vote(puzzle_task, requests[0], data, limit, output=output, force=force, as_json=json)
        return
    if full and json:
        raise UsageError("--full: --json holds all figures; give one of the two")
    if output is not None and output.suffix not in FORMATS:
        raise UsageError(f"{output}: name the report *{', *'.join(FORMATS)}")
    options.refuse_existing(output, force)

    from trm_cli.display.console import SolvingDisplay, remarks_console
    from trm_cli.display.report import show_scores, write_report
    from trm_cli.model.number_types import name_of_type
    from trm_cli.solving.evaluate import Evaluated, Tally, evaluate, read_kept, record_scores, subject, write_kept
    from trm_cli.solving.workers import this_solver
    from trm_cli.tasks.tables import first_rows, read_chunks, survey

    requests[0].place()  # refuses what cannot be, before the data is read
    surveyed = survey(data, puzzle_task, limit)
    models = [request.open(task, surveyed.num_cells) for request in requests]
    if record and not os.access(models[0].folder, os.W_OK):
        raise UsageError(f"{models[0].folder}: cannot be written; copy the checkpoint and give --model COPY")
    settings = [requests[0].settings_for(loaded) for loaded in models]
    types = [name_of_type(loaded.network) for loaded in models]
    hashes = [loaded.sha256 for loaded in models]
    measured = subject(surveyed.sha256, list(zip(hashes, types, settings, strict=True)))
    tallies = (read_kept(resume, measured) if resume else None) or [Tally() for _ in models]
    requests[0].launch()
    solver = this_solver()
    tallies = solver.share(tallies)  # the file may be newer by now

    def keep() -> float:
        """Write the counts down, if they are to be kept; returns when."""
        if resume and solver.is_first:
            write_kept(resume, measured, tallies)
        return time.monotonic()

    def after_step(display: SolvingDisplay, is_interrupted: Callable[[], bool], searched: int) -> None:
        """Show how many puzzles are tried again, and end where that is wished."""
        display.search(searched)
        if is_interrupted():
            keep()
            raise KeyboardInterrupt

    last_kept = keep()
    for loaded, own, tally in zip(models, settings, tallies, strict=True):
        done, solved = tally.whole.puzzles, tally.whole.verified
        unseen = quiet or not solver.is_first
        display = SolvingDisplay(surveyed.puzzles, quiet=unseen, sums_up=False, done=done, solved=solved)
        with options.stop_on_signals() as is_interrupted, display:
            solutions = evaluate(
                loaded.network,
                puzzle_task,
                first_rows(read_chunks(data, puzzle_task, ROWS_AT_ONCE), limit),
                tally,
                batch_size=requests[0].batch_size_for(loaded),
                settings=own,
                stops=requests[0].stops,
                keeps_solved=len(models) > 1,
                searching=partial(after_step, display, is_interrupted),
                solver=solver,
            )
            for solution in solutions:
                display.show(solution.solved)
                if time.monotonic() - last_kept > KEEP_SECONDS:
                    last_kept = keep()
    keep()
    if not solver.is_first:
        return
    evaluated = [
        Evaluated(data.name, surveyed.sha256, loaded.checkpoint.name, loaded.sha256, own, tally, dtype)
        for loaded, own, tally, dtype in zip(models, settings, tallies, types, strict=True)
    ]
    show_scores(evaluated, as_json=json, full=full)
    if output:
        write_report(output, evaluated, options.as_typed())
        remarks_console(quiet).print(f"report: {output}")
    if record:
        record_scores(models[0], evaluated[0], options.as_typed())


def _vote(
    task: "Demonstrated",
    request: options.Request,
    data: Path,
    limit: int | None,
    *,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Look at every test of the evaluation problems in all known views, vote, and count."""
    from trm_cli.display.answers import show_votes, votes_json
    from trm_cli.display.console import answers_console
    from trm_cli.solving.voting import register_of, score_votes, submission

    found = task.open_data(data)
    problems = found.tests[:limit]
    if not problems:
        raise UsageError(f"{data}: no evaluation tasks in it; make it with `trm data {task.name} ... -e`")
    voter = request.open_voter(task)
    if not voter.table.problems:
        voter.table.adopt(register_of(task, found))
    if unknown := voter.unknown(problems):
        raise ModelError(
            f"{voter.loaded.source}: was not trained on the demonstrations of {len(unknown)} of "
            f"{len(problems)} tasks, such as {unknown[0].name}; give the data set of its training"
        )
    for problem in problems:
        voter.refuse_large(problem)
    voted = list(_votes(voter, problems, request))
    if output is not None:
        with options.opened(output, force) as sink:
            sink.write(json_module.dumps(submission(voted)))
    scores = score_votes(voted)
    if as_json:
        typer.echo(votes_json(scores, voter.loaded, str(data)))
    else:
        show_votes(answers_console(), scores)


def _votes(
    voter: "Voter", problems: "list[Problem]", request: options.Request
) -> "Iterator[tuple[Problem, list[Ballot]]]":
    """The votes on each problem."""
    from trm_cli.display.console import ProgressBar

    known = [voter.known(problem, request.settings.get("views")) for problem in problems]
    looks = sum(rows.count * len(problem.tests) for problem, rows in zip(problems, known, strict=True))
    batch_size = request.batch_size_for(voter.loaded)
    with ProgressBar("evaluating", looks, quiet=request.quiet) as bar:
        for problem, rows in zip(problems, known, strict=True):
            yield problem, voter.vote(problem, voter.read(rows), batch_size=batch_size, progress=bar.add)
