"""`trm watch`: puzzles in, every refinement of the answer drawn as it is computed."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.help import INPUT_OUTPUT, SCREEN
from trm_cli.cli.solve import NOT_ALL_SOLVED, SOLVED
from trm_cli.errors import UsageError
from trm_cli.files import write_whole

if TYPE_CHECKING:
    from trm_cli.api import Run
    from trm_cli.solving.replay import Trace
    from trm_cli.tasks.base import Task
    from trm_cli.tasks.inputs import Source

FPS = 20.0  # frames drawn a second, at most, if nothing is said


@options.with_options(chosen=options.SOLVING, machine=options.MACHINE)
def watch(
    words: options.TaskAndPuzzle = None,
    model: options.ModelName = None,
    revision: options.Revision = None,
    chosen: Any = options.GROUP,
    check: options.Check = True,
    inner: bool = Option(
        False, "--inner", help="Also show every update of z and y inside a step.", rich_help_panel=SCREEN
    ),
    grid: str = Option("1x1", metavar="ROWSxCOLUMNS", help="Puzzles side by side.", rich_help_panel=SCREEN),
    pause: Optional[float] = Option(
        None,
        min=0,
        max=60,
        metavar="SECONDS",
        show_default="0.6 on a terminal, 0 on a pipe",
        help="How long each step stays.",
        rich_help_panel=SCREEN,
    ),
    fps: float = Option(
        FPS, min=1, max=60, metavar="N", help="Frames drawn a second, at most.", rich_help_panel=SCREEN
    ),
    save: Optional[list[Path]] = Option(
        None,
        metavar="FILE",
        show_default=False,
        help="Keep the run as a trace (.jsonl), an animation (.svg, .gif) or a page (.html); may be repeated.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    tree: Optional[Path] = Option(
        None,
        metavar="FILE",
        show_default=False,
        help="Draw the tree of one puzzle's search (.svg, .png).",
        rich_help_panel=INPUT_OUTPUT,
    ),
    replay: Optional[Path] = Option(
        None,
        metavar="TRACE",
        show_default=False,
        help="Show a saved trace.jsonl again; needs no network.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    web: bool = Option(
        False, "--web", help="Open a page in which the browser computes the run.", rich_help_panel=SCREEN
    ),
    force: options.Force = False,
    machine: Any = options.GROUP,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Watch the recursion think: each refinement of the answer, drawn.

    Keys: space pauses, arrows step back and forth, + and - change the speed, q quits.

    Examples:
    trm watch
    trm watch examples/maze-hard.txt --inner
    trm watch sudoku --grid 3x3 --save run.html
    trm watch --replay trace.jsonl --tree tree.svg
    trm watch sudoku --web
    """
    from trm_cli.display.export import check_names, check_tree, check_tree_name, save_run, save_tree
    from trm_cli.display.watch import Viewer
    from trm_cli.solving.replay import read_trace
    from trm_cli.solving.trace import LARGEST_GRID

    match = re.fullmatch(r"(\d{1,9})[x×](\d{1,9})", grid)
    shape = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= count <= LARGEST_GRID for count in shape):
        raise UsageError(f"--grid {grid}: write rows and columns from 1 to {LARGEST_GRID}: 3x3")
    for path in check_names(save or []):
        options.refuse_existing(path, force)
    if tree:
        check_tree_name(tree)
        options.refuse_existing(tree, force)
    places: set[str] = set()
    for path in [*(save or []), *filter(None, [tree])]:
        if (place := os.path.realpath(path)) in places:
            raise UsageError(f"{path}: named twice for an output; give each a name of its own")
        places.add(place)
    if web:
        others = {"save": save, "tree": tree, "replay": replay, "grid": shape != (1, 1), "fps": fps != FPS, **machine}
        if typed := next((name for name, value in others.items() if value not in (None, False, "auto", [])), None):
            raise UsageError(f"--web: the page has no --{typed}; drop it")
        request = options.Request(model, revision, chosen, machine, quiet)
        _open_page(words or [], request, inner=inner, checks=check, pause=pause)
        return
    if replay and words:
        raise UsageError("--replay: the trace names its task and puzzles; leave out TASK and FILE")
    if replay:
        run: Trace | Run = read_trace(replay)
    else:
        request = options.Request(model, revision, chosen, machine, quiet)
        run = _computed(words or [], request, shape, inner=inner, checks=check)
    if tree:
        check_tree(tree, run.header)
    viewer = Viewer(run.header, pause, fps, quiet, keeps=bool(save or tree))
    viewer.show(run.moments)
    for path in save or []:
        save_run(path, run.header, viewer.moments, pause=pause)
    if tree:
        save_tree(tree, run.header, viewer.moments)
    raise typer.Exit(SOLVED if viewer.num_solved == run.header.num_puzzles else NOT_ALL_SOLVED)


def _computed(
    words: list[str], request: options.Request, shape: tuple[int, int], *, inner: bool, checks: bool
) -> "Run":
    """Everything that is to be computed, not one step of it done yet.

    Where rules decide: attempts at puzzles, as many at once as `shape` has rows times columns. Where answers are
    voted on: the tests of one problem that the network knows, as it is, in all steps, as for a vote.
    """
    from trm_cli.tasks.inputs import read_example, read_problems, read_puzzles
    from trm_cli.tasks.problems import Demonstrated, refuse_unchecked
    from trm_cli.weights.catalogue import find_model

    task, sources = _asked(words)
    if isinstance(task, Demonstrated):
        if not sources:
            raise UsageError(f"no {task.name} task comes with trm: give a file of one")
        problems = read_problems(task, sources[0])
        if len(problems) > 1:
            raise UsageError(f"{sources[0].name}: {len(problems)} tasks; watch one at a time, from a file of its own")
        refuse_unchecked(task, checks)
        voter = request.open_voter(task)
        voter.refuse_large(problems[0])
        voter.refuse_unknown(problems, request.model)

        from trm_cli.api import watch_of

        rows = voter.read(voter.known(problems[0], 1))
        watch = watch_of(voter, problems[0], rows, voter.loaded.network, request.settings)
        return replace(watch, inner=inner, shape=shape).run(task.tests_of(problems[0], voter.side))
    if sources:
        puzzles = read_puzzles(task, sources[0])
    else:
        network = find_model(request.model, task=task.name, revision=request.revision).checkpoint.model
        puzzles = read_example(task, shape[0] * shape[1], network)
    loaded = request.open(task.name, puzzles.num_cells)

    from trm_cli.api import Watch

    return Watch(loaded, task, request.settings_for(loaded), checks, inner, shape).run(list(puzzles))


def _asked(words: list[str]) -> "tuple[Task, list[Source]]":
    """The task, and where its puzzles stand: in one place, or nowhere, where examples are meant."""
    from trm_cli.tasks import get_task, task_names
    from trm_cli.tasks.inputs import find_puzzles

    names = words or task_names()[:1]
    if len(names) == 1 and names[0] in task_names():
        return get_task(names[0]), []
    task, sources = find_puzzles(words)
    if len(sources) > 1:
        raise UsageError(f"{sources[1].name}: one file or puzzle at a time can be watched; put them in one file")
    return task, sources


def _open_page(words: list[str], request: options.Request, *, inner: bool, checks: bool, pause: float | None) -> None:
    """Write the page of a network with these puzzles, print its path and have the system's browser open it."""
    import tempfile
    import webbrowser

    from trm_cli.display.live import live_page
    from trm_cli.tasks.inputs import read_puzzles
    from trm_cli.weights.catalogue import find_model

    task, sources = _asked(words)
    puzzles = read_puzzles(task, sources[0]) if sources else None
    size = puzzles.num_cells if puzzles else None
    found = find_model(request.model, task=task.name, num_cells=size, revision=request.revision)
    page, _ = live_page(found, puzzles=puzzles, given=request.settings, inner=inner, checks=checks, pause=pause)
    try:
        path = Path(tempfile.mkdtemp(prefix="trm-"), f"{task.name}.html")
        write_whole(path, page.encode())
    except OSError as error:
        folder = tempfile.gettempdir()
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); let TMPDIR name another folder") from error
    typer.echo(path)
    if not webbrowser.open(path.as_uri()):
        typer.echo("trm: no browser was found; open this file in one", err=True)
