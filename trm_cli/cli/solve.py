"""`trm solve`: puzzles in, answers out: by search where rules decide, else by a vote."""

import time
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.help import LEARNING
from trm_cli.cli.options import logger
from trm_cli.config import AUGMENTATIONS

if TYPE_CHECKING:
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.solving.voting import Voter
    from trm_cli.tasks.base import Task
    from trm_cli.tasks.inputs import Source
    from trm_cli.tasks.problems import Demonstrated, Problem
    from trm_cli.training.problems import Adaptation

SOLVED, NOT_ALL_SOLVED = 0, 1


@options.with_options(chosen=options.TIMED_SOLVING, machine=options.MACHINE)
def solve(
    words: options.TaskAndPuzzles = None,
    model: options.ModelName = None,
    revision: options.Revision = None,
    chosen: Any = options.GROUP,
    check: options.Check = True,
    adapt: Optional[int] = Option(
        None,
        min=1,
        metavar="STEPS",
        show_default="not at all",
        rich_help_panel=LEARNING,
        help="Steps of training on the demonstrations of a problem that is new to the model.",
    ),
    augment: Optional[int] = Option(
        None,
        min=0,
        max=10_000,
        metavar="N",
        show_default=str(AUGMENTATIONS),
        rich_help_panel=LEARNING,
        help="Views of a new problem while it is learned, and votes on its tests.",
    ),
    train_network: bool = Option(
        False,
        "--train-network",
        rich_help_panel=LEARNING,
        help="With --adapt, train a copy of the network, too, not only the embeddings.",
    ),
    batch_size: options.BatchSize = None,
    compile_net: options.Compile = False,
    output: options.Output = None,
    json: options.Json = False,
    force: options.Force = False,
    machine: Any = options.GROUP,
    gpus: options.Gpus = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Solve puzzles: typed, in files, or from stdin; answers go to stdout.

    The kind of puzzle may be left out where the puzzles show it. Where rules can check an answer, attempts are made
    until they hold. Where none can, each test is looked at in many views and the answers are put to a vote: 0 means
    then that every test has an attempt, a right one where the file holds the answer.

    Exit code: 0 all solved, 1 some not solved, 2 bad input, 3 model unavailable.

    Examples:
    trm solve sudoku examples/easy.txt
    trm solve ....21.....4.4.1
    trm solve examples/minimal.txt examples/6x6.txt --json
    """
    from trm_cli.tasks.inputs import find_puzzles
    from trm_cli.tasks.problems import Demonstrated, refuse_learning, refuse_unchecked

    request = options.Request(model, revision, chosen, machine, quiet, batch_size, compile_net, gpus)
    options.refuse_existing(output, force)
    task, sources = find_puzzles(words or [])
    if isinstance(task, Demonstrated):
        from trm_cli.training.problems import adaptation

        request.refuse_attempts(task)
        request.refuse_workers("a vote is computed by one process; leave it out")
        refuse_unchecked(task, check)
        how = adaptation(adapt, augment, train_network, request.settings)
        all_solved = _vote(task, sources, request, how, output=output, force=force, as_json=json)
    else:
        refuse_learning(task, adapt, augment, train_network)
        all_solved = _search(task, sources, request, checks=check, output=output, force=force, as_json=json)
    raise typer.Exit(SOLVED if all_solved else NOT_ALL_SOLVED)


def _search(
    task: "Task",
    sources: "list[Source]",
    request: options.Request,
    *,
    checks: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> bool:
    """Make attempts at puzzles until the rules hold; returns whether all are solved.

    Each size of board has its own network; sources of one size that follow one another share a batch.
    """
    from trm_cli.tasks.inputs import read_puzzles

    if any(source.path is None and source.text is None for source in sources):
        request.refuse_workers("one process can read stdin; put the puzzles into a file")
    lists = [read_puzzles(task, source) for source in sources]
    total = sum(map(len, lists))

    from trm_cli.display.answers import AnswerWriter
    from trm_cli.display.console import SolvingDisplay, answers_console
    from trm_cli.solving.engine import examiner
    from trm_cli.solving.workers import this_solver

    models = {num_cells: request.open(task.name, num_cells) for num_cells in {one.num_cells: None for one in lists}}
    request.launch()
    solver = this_solver()
    with options.opened(output if solver.is_first else None, force) as sink:
        console, file = answers_console(), None if options.is_stdout(output) else sink
        draws = file is None and console.is_terminal
        index = 0
        quiet = request.quiet or not solver.is_first
        with SolvingDisplay(total, quiet=quiet, answers=console if draws else None) as display:
            for num_cells, group in groupby(lists, key=lambda one: one.num_cells):
                loaded, same = models[num_cells], list(group)
                writer = AnswerWriter(task, loaded, as_json=as_json, file=file, console=console)
                outcomes = solver.solve(
                    loaded.network,
                    task,
                    (puzzle.tokens for puzzle in chain.from_iterable(same)),
                    batch_size=request.batch_size_for(loaded),
                    settings=request.settings_for(loaded),
                    stops=request.stops,
                    examine=examiner(task) if checks else None,
                    searching=display.search,
                )
                puzzles = chain.from_iterable(same if solver.is_first else [])
                for puzzle, outcome in zip(puzzles, outcomes, strict=True):
                    writer.write(index, puzzle, outcome)
                    ending = "solved" if outcome.solved else "not solved"
                    used = (index + 1, ending, len(outcome.attempts), outcome.total_steps)
                    logger.info("puzzle %d: %s, attempts %d, steps %d", *used)
                    display.show(outcome.solved)
                    index += 1
    return display.solved == total or not solver.is_first


def _vote(
    task: "Demonstrated",
    sources: "list[Source]",
    request: options.Request,
    how: "Adaptation | None",
    *,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> bool:
    """Put answers to problems to a vote, each problem learned first if that was asked for; returns whether all are."""
    from trm_cli.tasks.inputs import read_problems

    problems = [problem for source in sources for problem in read_problems(task, source)]

    from trm_cli.display.console import answers_console

    voter = request.open_voter(task)
    for problem in problems:
        voter.refuse_large(problem)
    if how is None:
        voter.refuse_unknown(problems, request.model)
    all_solved = True
    with options.opened(output, force) as sink:
        console = answers_console(sink)
        for index, problem in enumerate(problems):
            answer = _answer(voter, problem, how, request)
            all_solved &= answer.solved
            if as_json:
                sink.write(answer.as_json(index, voter.loaded) + "\n")
            else:
                answer.draw(console)
            sink.flush()
    return all_solved


def _answer(voter: "Voter", problem: "Problem", how: "Adaptation | None", request: options.Request) -> "ProblemAnswer":
    """Learn a problem if it is new, then vote on its tests."""
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.display.console import ProgressBar, remarks_console
    from trm_cli.training.problems import recall_or_adapt

    began, adapted = time.perf_counter(), None
    steps = how.steps if how and voter.unknown([problem]) else 0
    with ProgressBar(f"learning {problem.name}", steps, quiet=request.quiet or not steps) as bar:
        known = recall_or_adapt(voter, problem, how, views=request.settings.get("views"), progress=bar.add)
    if known.cell_accuracy is not None:
        remarks_console(request.quiet).print(
            f"{problem.name}: learned in {steps:,} steps, {bar.seconds:.0f} s; "
            f"{known.cell_accuracy:.1%} of its demonstrations' cells right"
        )
        accuracy = round(known.cell_accuracy, 4)
        adapted = {"steps": steps, "seconds": round(bar.seconds, 2), "cell_accuracy": accuracy}
    network, rows = known.network, known.known
    looks = len(rows.views) * len(problem.tests)
    with ProgressBar(f"voting on {problem.name}", looks, quiet=request.quiet) as bar:
        batch_size = request.batch_size_for(voter.loaded)
        ballots = voter.vote(problem, rows, batch_size=batch_size, network=network, progress=bar.add)
    return ProblemAnswer(voter.task, problem, ballots, adapted, time.perf_counter() - began)
