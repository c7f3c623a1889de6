"""`trm watch`: puzzles in, every refinement of the answer drawn as it is computed."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trm_cli.cli.options import (
    GROUP,
    MACHINE,
    SOLVING,
    Force,
    ModelName,
    Quiet,
    Revision,
    choose_machine,
    chosen_settings,
    complete_settings,
    hide_download_bars,
    refuse_existing,
    user_errors,
    with_options,
)
from trm_cli.errors import ModelError, UsageError
from trm_cli.tasks import BUILT_IN

if TYPE_CHECKING:
    from trm_cli.solving.trace import Trace
    from trm_cli.tasks.base import Task
    from trm_cli.tasks.problems import Demonstrated

SOLVED, NOT_ALL_SOLVED = 0, 1
LARGEST_GRID = 8  # puzzles across or down


@user_errors()
@with_options(chosen=SOLVING, machine=MACHINE)
def watch(
    task: Annotated[
        Optional[str],
        typer.Argument(
            metavar="[TASK]",
            help=f"Kind of puzzle: {', '.join(BUILT_IN)}, or one that a package adds.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Optional[Path],
        typer.Argument(
            metavar="[FILE|-]",
            help="Puzzles as text or CSV, one problem as JSON; - reads stdin; nothing: an example.",
            show_default=False,
        ),
    ] = None,
    model: ModelName = None,
    revision: Revision = None,
    chosen: Any = GROUP,
    inner: Annotated[bool, typer.Option("--inner", help="Also show every update of z and y inside a step.")] = False,
    grid: Annotated[str, typer.Option("--grid", metavar="ROWSxCOLUMNS", help="Puzzles side by side.")] = "1x1",
    pause: Annotated[
        Optional[float],
        typer.Option(
            "--pause",
            min=0,
            max=60,
            show_default="0.6 on a terminal, 0 on a pipe",
            help="Seconds that each step stays.",
        ),
    ] = None,
    fps: Annotated[float, typer.Option("--fps", min=1, max=60, help="Frames drawn a second, at most.")] = 20.0,
    save: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--save",
            metavar="FILE.jsonl|.gif|.svg|.html",
            show_default=False,
            help="Keep the run: a trace, an animation or a page; may be repeated.",
        ),
    ] = None,
    replay: Annotated[
        Optional[Path],
        typer.Option(
            "--replay", metavar="TRACE", show_default=False, help="Show a saved trace.jsonl again; needs no network."
        ),
    ] = None,
    force: Force = False,
    machine: Any = GROUP,
    quiet: Quiet = False,
) -> None:
    """See the recursion think: each refinement of the answer as it is computed.

    Keys: space pauses, arrows step back and forth, + and - change the speed, q quits.

    Example: trm watch sudoku examples/minimal.txt
    """
    from trm_cli.display.export import check_names, save_run
    from trm_cli.display.watch import Viewer
    from trm_cli.solving.trace import read_trace

    shape = _shape(grid)
    for path in check_names(save or []):
        refuse_existing(path, force)
    if replay:
        _refuse_beside_replay(task, file)
        trace = read_trace(replay)
    else:
        hide_download_bars(quiet)
        if task is None:
            raise UsageError(f"what should be watched? Give a task, such as {next(iter(BUILT_IN))}, or --replay TRACE")
        settings = chosen_settings(chosen)
        trace = _computed(task, file, shape, model, revision, settings, inner=inner, machine=machine)
    viewer = Viewer(trace.header, pause, fps, quiet, keeps=bool(save))
    viewer.show(trace.moments)
    for path in save or []:
        save_run(path, trace.header, viewer.moments, pause=pause)
    raise typer.Exit(SOLVED if viewer.num_solved == trace.header.num_puzzles else NOT_ALL_SOLVED)


def _shape(grid: str) -> tuple[int, int]:
    """Rows and columns of a grid written as 3x3."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", grid)
    shape = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= count <= LARGEST_GRID for count in shape):
        raise UsageError(f"--grid {grid}: write rows and columns from 1 to {LARGEST_GRID}: 3x3")
    return shape


def _refuse_beside_replay(task: str | None, file: Path | None) -> None:
    if task or file:
        raise UsageError("--replay: the trace names its task and puzzles; leave out TASK and FILE")


def _computed(
    task_name: str,
    file: Path | None,
    shape: tuple[int, int],
    model: str | None,
    revision: str | None,
    chosen: dict[str, Any],
    *,
    inner: bool,
    machine: dict[str, Any],
) -> "Trace":
    """Everything that is to be computed, not one step of it done yet."""
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    task = get_task(task_name)
    if isinstance(task, Demonstrated):
        return _problem(task, file, shape, model, revision, chosen, inner=inner, machine=machine)
    return _puzzles(task, file, shape, model, revision, chosen, inner=inner, machine=machine)


def _puzzles(
    task: "Task",
    file: Path | None,
    shape: tuple[int, int],
    model: str | None,
    revision: str | None,
    chosen: dict[str, Any],
    *,
    inner: bool,
    machine: dict[str, Any],
) -> "Trace":
    """Attempts at puzzles until the rules hold."""
    from trm_cli.cli.inputs import read_example, read_puzzles

    at_once = shape[0] * shape[1]
    puzzles = read_puzzles(task, file) if file else read_example(task, at_once)

    from trm_cli.solving.trace import Trace
    from trm_cli.solving.watching import header_of, moments
    from trm_cli.weights.catalogue import open_model

    device, dtype = choose_machine(machine)
    loaded = open_model(
        model, task=task.name, num_cells=puzzles.num_cells, device=device, dtype=dtype, revision=revision
    )
    settings = complete_settings(loaded.checkpoint.solving, chosen)
    header = header_of(loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    return Trace(header, moments(loaded.network, task, puzzles, settings=settings, at_once=at_once, inner=inner))


def _problem(
    task: "Demonstrated",
    file: Path | None,
    shape: tuple[int, int],
    model: str | None,
    revision: str | None,
    chosen: dict[str, Any],
    *,
    inner: bool,
    machine: dict[str, Any],
) -> "Trace":
    """The tests of one problem that a network knows, as it is; all steps are taken, as they are for a vote."""
    from trm_cli.cli.inputs import read_problems
    from trm_cli.cli.solve import unknown_line

    if file is None:
        raise UsageError(f"no {task.name} task comes with trm: give a file of one")
    problems = read_problems(task, file)
    if len(problems) > 1:
        raise UsageError(f"{file}: {len(problems)} tasks; watch one at a time, from a file of its own")
    (problem,) = problems

    from trm_cli.solving.trace import Trace
    from trm_cli.solving.voting import Voter
    from trm_cli.solving.watching import header_of, moments

    device, dtype = choose_machine(machine)
    voter = Voter.open(task, model, revision, device=device, dtype=dtype)
    voter.refuse_large(problem)
    if voter.unknown(problems):
        raise ModelError(unknown_line(problem, file, model, task.name))
    network = voter.loaded.network
    network.recall(voter.table.rows(voter.known(problem, 1)))
    judge = task.judged_by_answers(problem, voter.side)
    own = {"max_steps": network.config.N_sup, **chosen}
    settings = replace(complete_settings(voter.loaded.checkpoint.solving, own), halt="never")
    puzzles = task.tests_of(problem, voter.side)
    header = header_of(voter.loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    told = moments(network, judge, puzzles, settings=settings, at_once=shape[0] * shape[1], inner=inner)
    return Trace(replace(header, task=judge), told)
