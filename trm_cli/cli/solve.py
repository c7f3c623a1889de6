"""`trm solve`: puzzles in, answers out: by search where rules decide, else by a vote."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Argument, Option

from trm_cli.cli import options
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.solving.voting import Voter
    from trm_cli.tasks.problems import Problem
    from trm_cli.training.problems import Adaptation

SOLVED, NOT_ALL_SOLVED = 0, 1
AUGMENTATIONS = 30  # views of a new problem, if nothing is said
SEEDS = 2**32  # of numpy's older generator, which views are drawn with


@options.user_errors()
@options.with_options(chosen=options.TIMED_SOLVING, machine=options.MACHINE)
def solve(
    task: options.TaskName,
    file: Optional[Path] = Argument(
        None,
        metavar="[FILE|-]",
        show_default=False,
        help="Puzzles as text or CSV, problems as JSON; - or nothing reads stdin.",
    ),
    model: options.ModelName = None,
    revision: options.Revision = None,
    chosen: Any = options.GROUP,
    adapt: Optional[int] = Option(
        None,
        min=1,
        metavar="STEPS",
        show_default="not at all",
        help="Where answers are voted on: learn a problem that the model was not trained on from its demonstrations, "
        "in so many steps.",
    ),
    augment: Optional[int] = Option(
        None,
        min=0,
        max=10_000,
        metavar="N",
        show_default=str(AUGMENTATIONS),
        help="Views of a new problem while it is learned, and votes on its tests.",
    ),
    train_network: bool = Option(
        False,
        "--train-network",
        help="While adapting, train a copy of the network too, not only the problem's embeddings.",
    ),
    batch_size: options.BatchSize = None,
    compile_net: options.Compile = False,
    output: options.Output = None,
    json: options.Json = False,
    force: options.Force = False,
    machine: Any = options.GROUP,
    quiet: options.Quiet = False,
) -> None:
    """Solve every puzzle of a file or of stdin; answers go to stdout.

    Where rules can check an answer, attempts are made until they hold. Where none can, each test is looked at in
    many views and the answers are put to a vote: 0 means then that every test has an attempt, a right one where the
    file holds the answer.

    Exit code: 0 all solved, 1 some not solved, 2 bad input, 3 model unavailable.

    Example: trm solve sudoku examples/easy.txt
    """
    from trm_cli.cli.inputs import read_problems, read_puzzles
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    puzzle_task = get_task(task)
    request = options.Request(model, revision, chosen, machine, quiet, batch_size, compile_net)
    options.refuse_existing(output, force)
    if isinstance(puzzle_task, Demonstrated):
        request.refuse_attempts(puzzle_task)
        problems = read_problems(puzzle_task, file)

        from trm_cli.display.console import answers_console
        from trm_cli.training.problems import Adaptation

        voter = request.open_voter(puzzle_task)
        for problem in problems:
            voter.refuse_large(problem)
        how = None
        if adapt is None:
            refuse_unknown(voter, problems, file, model)
        else:
            views = AUGMENTATIONS if augment is None else augment
            how = Adaptation(adapt, views, train_network, request.settings.get("seed", 0) % SEEDS)
        all_solved = True
        with options.opened(output) as sink:
            console = answers_console(sink)
            for index, problem in enumerate(problems):
                answer = _answer(voter, problem, how, request)
                all_solved &= answer.solved
                if json:
                    sink.write(answer.as_json(index, voter.loaded) + "\n")
                else:
                    answer.draw(console)
                sink.flush()
    else:
        for flag, typed in (("--adapt", adapt), ("--augment", augment), ("--train-network", train_network or None)):
            if typed is not None:
                raise UsageError(f"{flag}: {task} needs no learning before it is solved; drop it")
        puzzles = read_puzzles(puzzle_task, file)

        from trm_cli.display.answers import AnswerWriter
        from trm_cli.display.console import SolvingDisplay
        from trm_cli.solving.engine import solve_stream

        loaded = request.open(task, puzzles.num_cells)
        solutions = solve_stream(
            loaded.network,
            puzzle_task,
            puzzles.tokens,
            batch_size=request.batch_size_for(loaded),
            settings=request.settings_for(loaded),
            stops=request.stops,
        )
        with options.opened(output) as sink:
            writer = AnswerWriter(puzzle_task, loaded, as_json=json, file=None if options.is_stdout(output) else sink)
            display = SolvingDisplay(len(puzzles), quiet=quiet, answers_on_screen=writer.on_screen)
            with display:
                for index, (puzzle, solution) in enumerate(zip(puzzles, solutions, strict=True)):
                    writer.write(index, puzzle, solution)
                    display.show(solution.solved)
        all_solved = display.solved == len(puzzles)
    raise typer.Exit(SOLVED if all_solved else NOT_ALL_SOLVED)


def refuse_unknown(voter: "Voter", problems: "list[Problem]", file: Path | None, model: str | None) -> None:
    """Raise ModelError, with what to type, where a network was not trained on a problem."""
    for problem in voter.unknown(problems):
        named = f" --model {model}" if model else ""
        raise ModelError(
            f"{file or 'stdin'}: task {problem.name}: this model was not trained on its demonstrations, so it cannot "
            f"know it; let it learn: trm solve {voter.task.name} {file or '-'}{named} --adapt 500"
        )


def _answer(voter: "Voter", problem: "Problem", how: "Adaptation | None", request: options.Request) -> "ProblemAnswer":
    """Learn a problem if it is new, then vote on its tests."""
    from trm_cli.display.answers import ProblemAnswer
    from trm_cli.display.console import ProgressBar, remarks_console
    from trm_cli.training.problems import adapt
    from trm_cli.training.step import memory_translated

    began = time.perf_counter()
    network, adapted = voter.loaded.network, None
    if voter.table.of_digest(problem.digest) is not None:
        rows = voter.read(voter.known(problem, request.settings.get("views")))
    else:
        assert how is not None
        trained = voter.loaded.checkpoint.training.get("train", {})
        with ProgressBar(f"learning {problem.name}", how.steps, quiet=request.quiet) as bar, memory_translated():
            learned = adapt(network, voter.task, problem, how, trained, bar.add)
        seconds = bar.seconds
        remarks_console(request.quiet).print(
            f"{problem.name}: learned in {how.steps:,} steps, {seconds:.0f} s; "
            f"{learned.cell_accuracy:.1%} of its demonstrations' cells right"
        )
        network, rows = learned.network, learned.known
        accuracy = round(learned.cell_accuracy, 4)
        adapted = {"steps": how.steps, "seconds": round(seconds, 2), "cell_accuracy": accuracy}
    looks = len(rows.views) * len(problem.tests)
    with ProgressBar(f"voting on {problem.name}", looks, quiet=request.quiet) as bar:
        batch_size = request.batch_size_for(voter.loaded)
        ballots = voter.vote(problem, rows, batch_size=batch_size, network=network, progress=bar.add)
    return ProblemAnswer(voter.task, problem, ballots, adapted, time.perf_counter() - began)
