"""`trm watch`: puzzles in, every refinement of the answer drawn as it is computed."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Argument, Option

from trm_cli.cli import options
from trm_cli.cli.solve import NOT_ALL_SOLVED, SOLVED, refuse_unknown
from trm_cli.errors import UsageError
from trm_cli.tasks import BUILT_IN

if TYPE_CHECKING:
    from trm_cli.cli.inputs import PuzzleList
    from trm_cli.solving.trace import Trace
    from trm_cli.tasks.base import Puzzle, Task

LARGEST_GRID = 8  # puzzles across or down


@options.user_errors()
@options.with_options(chosen=options.SOLVING, machine=options.MACHINE)
def watch(
    task: Optional[str] = Argument(None, metavar="[TASK]", show_default=False, help=options.KIND_OF_PUZZLE),
    file: Optional[Path] = Argument(
        None,
        metavar="[FILE|-]",
        show_default=False,
        help="Puzzles as text or CSV, one problem as JSON; - reads stdin; nothing: an example.",
    ),
    model: options.ModelName = None,
    revision: options.Revision = None,
    chosen: Any = options.GROUP,
    inner: bool = Option(False, "--inner", help="Also show every update of z and y inside a step."),
    grid: str = Option("1x1", metavar="ROWSxCOLUMNS", help="Puzzles side by side."),
    pause: Optional[float] = Option(
        None, min=0, max=60, show_default="0.6 on a terminal, 0 on a pipe", help="Seconds that each step stays."
    ),
    fps: float = Option(20.0, min=1, max=60, help="Frames drawn a second, at most."),
    save: Optional[list[Path]] = Option(
        None,
        metavar="FILE.jsonl|.gif|.svg|.html",
        show_default=False,
        help="Keep the run: a trace, an animation or a page; may be repeated.",
    ),
    replay: Optional[Path] = Option(
        None, metavar="TRACE", show_default=False, help="Show a saved trace.jsonl again; needs no network."
    ),
    force: options.Force = False,
    machine: Any = options.GROUP,
    quiet: options.Quiet = False,
) -> None:
    """See the recursion think: each refinement of the answer as it is computed.

    Keys: space pauses, arrows step back and forth, + and - change the speed, q quits.

    Example: trm watch sudoku examples/minimal.txt
    """
    from trm_cli.display.export import check_names, save_run
    from trm_cli.display.watch import Viewer
    from trm_cli.solving.trace import read_trace
    from trm_cli.tasks import get_task

    match = re.fullmatch(r"(\d+)[x×](\d+)", grid)
    shape = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= count <= LARGEST_GRID for count in shape):
        raise UsageError(f"--grid {grid}: write rows and columns from 1 to {LARGEST_GRID}: 3x3")
    for path in check_names(save or []):
        options.refuse_existing(path, force)
    if replay and (task or file):
        raise UsageError("--replay: the trace names its task and puzzles; leave out TASK and FILE")
    if replay:
        trace = read_trace(replay)
    elif task is None:
        raise UsageError(f"what should be watched? Give a task, such as {next(iter(BUILT_IN))}, or --replay TRACE")
    else:
        request = options.Request(model, revision, chosen, machine, quiet)
        trace = _computed(get_task(task), file, request, shape, inner=inner)
    viewer = Viewer(trace.header, pause, fps, quiet, keeps=bool(save))
    viewer.show(trace.moments)
    for path in save or []:
        save_run(path, trace.header, viewer.moments, pause=pause)
    raise typer.Exit(SOLVED if viewer.num_solved == trace.header.num_puzzles else NOT_ALL_SOLVED)


def _computed(
    task: "Task", file: Path | None, request: options.Request, shape: tuple[int, int], *, inner: bool
) -> "Trace":
    """Everything that is to be computed, not one step of it done yet.

    Where rules decide: attempts at puzzles, as many at once as `shape` has rows times columns. Where answers are
    voted on: the tests of one problem that the network knows, as it is, in all steps, as for a vote.
    """
    from trm_cli.cli.inputs import read_example, read_problems, read_puzzles
    from trm_cli.tasks.problems import Demonstrated

    at_once = shape[0] * shape[1]
    puzzles: PuzzleList | list[Puzzle]
    if isinstance(task, Demonstrated):
        if file is None:
            raise UsageError(f"no {task.name} task comes with trm: give a file of one")
        problems = read_problems(task, file)
        if len(problems) > 1:
            raise UsageError(f"{file}: {len(problems)} tasks; watch one at a time, from a file of its own")
        voter = request.open_voter(task)
        voter.refuse_large(problems[0])
        refuse_unknown(voter, problems, file, request.model)
        loaded, judge = voter.loaded, task.judged_by_answers(problems[0], voter.side)
        puzzles = task.tests_of(problems[0], voter.side)
        loaded.network.recall(voter.table.rows(voter.known(problems[0], 1)))
        request.settings.setdefault("max_steps", loaded.network.config.N_sup)
        settings = replace(request.settings_for(loaded), halt="never")
    else:
        puzzles = read_puzzles(task, file) if file else read_example(task, at_once)
        loaded, judge = request.open(task.name, puzzles.num_cells), task
        settings = request.settings_for(loaded)

    from trm_cli.solving.engine import header_of, moments
    from trm_cli.solving.trace import Trace

    header = header_of(loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    told = moments(loaded.network, judge, puzzles, settings=settings, at_once=at_once, inner=inner)
    return Trace(replace(header, task=judge), told)
