"""`trm watch`: puzzles in, every refinement of the answer drawn as it is computed."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trm_cli.cli.inputs import new_task_line, open_arc_model, read_arc_tasks
from trm_cli.cli.options import (
    DeviceName,
    DtypeName,
    Force,
    Guess,
    Halt,
    MaxSteps,
    ModelName,
    Noise,
    NumAttempts,
    NumViews,
    Quiet,
    RetrySteps,
    Revision,
    Seed,
    Select,
    Starts,
    StepLimit,
    Threads,
    choose_device,
    choose_dtype,
    chosen_settings,
    complete_settings,
    hide_download_bars,
    refuse_existing,
    user_errors,
)
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.solving.trace import Trace


ARC = "arc"  # the task


def arc_trace(
    file: Path | None,
    shape: tuple[int, int],
    *,
    model: str | None,
    revision: str | None,
    chosen: dict[str, Any],
    inner: bool,
    where: "torch.device",
    dtype: "torch.dtype",
) -> "Trace":
    """Everything that is to be computed of one task, as it is, not one step of it done yet.

    A network takes all its steps, as it does when tests are put to a vote.
    """
    from trm_cli.solving.trace import Trace
    from trm_cli.solving.voting import refuse_large
    from trm_cli.solving.watching import header_of, moments
    from trm_cli.tasks.arc import Arc

    if file is None:
        raise UsageError("no arc task comes with trm: give a file of one")
    tasks = read_arc_tasks(file)
    if len(tasks) > 1:
        raise UsageError(f"{file}: {len(tasks)} tasks; watch one at a time, from a file of its own")
    (task,) = tasks
    known = open_arc_model(model, revision, device=where, dtype=dtype)
    refuse_large(task, known.side)
    if known.unknown(tasks):
        raise ModelError(new_task_line(task, file, model))
    network = known.loaded.network
    network.recall(known.table.rows(known.rows_of(task, 1)))
    arc = Arc().judged_by_answers(task, known.side)
    settings = complete_settings(known.loaded.checkpoint.solving, {"max_steps": network.config.N_sup, **chosen})
    settings = replace(settings, halt="never")
    puzzles = arc.tests_of(task, known.side)
    header = header_of(known.loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    return Trace(
        replace(header, task=arc),
        moments(network, arc, puzzles, settings=settings, at_once=shape[0] * shape[1], inner=inner),
    )


SOLVED, NOT_ALL_SOLVED = 0, 1
LARGEST_GRID = 8  # puzzles across or down


@user_errors()
def watch(
    context: typer.Context,
    task: Annotated[
        Optional[str], typer.Argument(metavar="[TASK]", help="Kind of puzzle: sudoku, maze or arc.", show_default=False)
    ] = None,
    file: Annotated[
        Optional[Path],
        typer.Argument(
            metavar="[FILE|-]", help="Puzzles as text or CSV; - reads stdin; nothing: an example.", show_default=False
        ),
    ] = None,
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
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """See the recursion think: each refinement of the answer as it is computed.

    Keys: space pauses, arrows step back and forth, + and - change the speed, q quits.

    Example: trm watch sudoku examples/minimal.txt
    """
    from trm_cli.display.export import check_names, save_run
    from trm_cli.display.watch import Record, Viewer
    from trm_cli.solving.trace import read_trace

    shape = _shape(grid)
    for path in check_names(save or []):
        refuse_existing(path, force)
    if replay:
        _refuse_beside_replay(task, file)
        trace = read_trace(replay)
    else:
        hide_download_bars(quiet)
        chosen = chosen_settings(context.params)
        trace = _computed(
            task,
            file,
            shape,
            model=model,
            revision=revision,
            chosen=chosen,
            inner=inner,
            device=device,
            dtype=dtype,
            threads=threads,
        )
    record = Record(keeps=bool(save))
    Viewer(trace.header, pause, fps, quiet).show(trace.moments, record)
    for path in save or []:
        save_run(path, trace.header, record.moments, pause=pause)
    raise typer.Exit(SOLVED if record.num_solved == trace.header.num_puzzles else NOT_ALL_SOLVED)


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
    task_name: str | None,
    file: Path | None,
    shape: tuple[int, int],
    *,
    model: str | None,
    revision: str | None,
    chosen: dict[str, Any],
    inner: bool,
    device: str,
    dtype: str,
    threads: int | None,
) -> "Trace":
    """Everything that is to be computed, not one step of it done yet."""
    from trm_cli.cli.inputs import read_example, read_puzzles

    if task_name is None:
        raise UsageError("what should be watched? Give a task, such as sudoku, or --replay TRACE")
    if task_name == ARC:
        where = choose_device(device, threads)
        return arc_trace(
            file,
            shape,
            model=model,
            revision=revision,
            chosen=chosen,
            inner=inner,
            where=where,
            dtype=choose_dtype(dtype, where),
        )
    num_shown = shape[0] * shape[1]
    task, puzzles = read_puzzles(task_name, file) if file else read_example(task_name, num_shown)

    from trm_cli.solving.trace import Trace
    from trm_cli.solving.watching import header_of, moments
    from trm_cli.weights.catalogue import open_model

    where = choose_device(device, threads)
    loaded = open_model(
        model,
        task=task_name,
        num_cells=puzzles.num_cells,
        device=where,
        dtype=choose_dtype(dtype, where),
        revision=revision,
    )
    settings = complete_settings(loaded.checkpoint.solving, chosen)
    header = header_of(loaded, settings, num_puzzles=len(puzzles), shape=shape, inner=inner)
    return Trace(header, moments(loaded.network, task, puzzles, settings=settings, at_once=num_shown, inner=inner))
