"""`trm watch`: puzzles in, every refinement of the answer drawn as it is computed."""

import re
from dataclasses import dataclass, replace
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
    from trm_cli.cli.inputs import PuzzleList
    from trm_cli.config import SolveConfig
    from trm_cli.solving.trace import Trace
    from trm_cli.tasks.base import Puzzle, Task
    from trm_cli.tasks.problems import Demonstrated
    from trm_cli.weights.tensors import LoadedModel

SOLVED, NOT_ALL_SOLVED = 0, 1
LARGEST_GRID = 8  # puzzles across or down


@dataclass(frozen=True)
class Request:
    """What was typed, whichever strategy answers it."""

    file: Path | None
    shape: tuple[int, int]  # rows and columns of puzzles side by side
    model: str | None
    revision: str | None
    settings: dict[str, Any]  # what was chosen of SolveConfig
    inner: bool
    machine: dict[str, Any]

    @property
    def at_once(self) -> int:
        """Puzzles on a full screen."""
        return self.shape[0] * self.shape[1]

    def trace(
        self, loaded: "LoadedModel", task: "Task", puzzles: "PuzzleList | list[Puzzle]", settings: "SolveConfig"
    ) -> "Trace":
        """Everything that is to be computed of puzzles that a task judges, not one step of it done yet."""
        from trm_cli.solving.trace import Trace
        from trm_cli.solving.watching import header_of, moments

        header = header_of(loaded, settings, num_puzzles=len(puzzles), shape=self.shape, inner=self.inner)
        told = moments(loaded.network, task, puzzles, settings=settings, at_once=self.at_once, inner=self.inner)
        return Trace(replace(header, task=task), told)


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
        trace = _computed(task, Request(file, shape, model, revision, chosen_settings(chosen), inner, machine))
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


def _computed(task_name: str, request: Request) -> "Trace":
    """Everything that is to be computed, not one step of it done yet."""
    from trm_cli.tasks import get_task
    from trm_cli.tasks.problems import Demonstrated

    task = get_task(task_name)
    if isinstance(task, Demonstrated):
        return _problem(task, request)
    return _puzzles(task, request)


def _puzzles(task: "Task", request: Request) -> "Trace":
    """Attempts at puzzles until the rules hold."""
    from trm_cli.cli.inputs import read_example, read_puzzles

    puzzles = read_puzzles(task, request.file) if request.file else read_example(task, request.at_once)

    from trm_cli.weights.catalogue import open_model

    device, dtype = choose_machine(request.machine)
    loaded = open_model(
        request.model,
        task=task.name,
        num_cells=puzzles.num_cells,
        device=device,
        dtype=dtype,
        revision=request.revision,
    )
    settings = complete_settings(loaded.checkpoint.solving, request.settings)
    return request.trace(loaded, task, puzzles, settings)


def _problem(task: "Demonstrated", request: Request) -> "Trace":
    """The tests of one problem that a network knows, as it is; all steps are taken, as they are for a vote."""
    from trm_cli.cli.inputs import read_problems
    from trm_cli.cli.solve import unknown_line

    file = request.file
    if file is None:
        raise UsageError(f"no {task.name} task comes with trm: give a file of one")
    problems = read_problems(task, file)
    if len(problems) > 1:
        raise UsageError(f"{file}: {len(problems)} tasks; watch one at a time, from a file of its own")
    (problem,) = problems

    from trm_cli.solving.voting import Voter

    device, dtype = choose_machine(request.machine)
    voter = Voter.open(task, request.model, request.revision, device=device, dtype=dtype)
    voter.refuse_large(problem)
    if voter.unknown(problems):
        raise ModelError(unknown_line(problem, file, request.model, task.name))
    network = voter.loaded.network
    network.recall(voter.table.rows(voter.known(problem, 1)))
    judge = task.judged_by_answers(problem, voter.side)
    own = {"max_steps": network.config.N_sup, **request.settings}
    settings = replace(complete_settings(voter.loaded.checkpoint.solving, own), halt="never")
    return request.trace(voter.loaded, judge, task.tests_of(problem, voter.side), settings)
