"""A network that thinks in a browser: one HTML document with its weights, the recursion and a player.

The folder `web` holds the recursion, the search and the rules in JavaScript, each file named after the Python that it
mirrors; a kernel in WebAssembly multiplies. Nothing is asked of any server.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from markdown_it import MarkdownIt

from trm_cli.config import ModelConfig, SolveConfig, solve_config
from trm_cli.display.page import SCRIPTS, WEB, filled_page, read_parts, script, told_of
from trm_cli.errors import UsageError
from trm_cli.solving.engine import header_of
from trm_cli.solving.search import Views
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Finding, Generator, Puzzle, Task
from trm_cli.tasks.inputs import PuzzleList, read_example
from trm_cli.weights.card import card, without_metadata
from trm_cli.weights.catalogue import Entry, Found, of_checkpoint
from trm_cli.weights.tensors import load_checkpoint

STORAGES = ("float32", "bfloat16")  # the most exact first
LARGEST_PAGE = 1_000_000  # bytes, if nothing is said
MOST_EXAMPLES, LARGE_EXAMPLES = 9, 3
EXAMPLES_SEED = 16  # of large ones, which the bundled networks need several steps or attempts for
STEP_SECONDS = 0.4  # that a step stays
ALLOWED = f"{SCRIPTS} blob: 'wasm-unsafe-eval'; worker-src blob:"
RULES = tuple(sorted(path.stem for path in (WEB / "tasks").glob("*.js")))  # tasks whose rules are written there
TASK_SCRIPTS = ("spelling.js", *(f"tasks/{name}.js" for name in RULES), "inputs.js")
WORKER_SCRIPTS = ("random.js", "recursion.js", "layers.js", "network.js", "search.js", "engine.js", "worker.js")
PAGE_SCRIPTS = ("player.js", "frames.js", "live.js")
SEEDS = 2**32  # that torch's generator of a CPU tells apart
CORNERS = 4  # cells of the board whose views tell those of every size


def live_page(
    found: Found,
    *,
    storage: str | None = None,
    puzzles: PuzzleList | None = None,
    given: Mapping[str, Any] = MappingProxyType({}),
    inner: bool = False,
    checks: bool = True,
    pause: float | None = None,
) -> tuple[str, str]:
    """The document, and how it keeps the weights.

    storage  float32 or bfloat16; None for the more exact with which the page is no larger than a megabyte.
    puzzles  to pick from; if not given, the examples of the task.
    given    settings of SolveConfig; the rest as the checkpoint's own.
    inner    show every call of the net from the beginning.
    checks   look at a puzzle that attempt 0 has not solved, to say why.
    pause    seconds that a step stays; None for what is easy to follow.
    Raises UsageError for a network, a task or settings that the page cannot run.
    """
    if storage not in (None, *STORAGES):
        raise UsageError(f"--storage {storage}: a page keeps {' or '.join(STORAGES)}")
    checkpoint = found.checkpoint
    task, config = get_task(checkpoint.task), checkpoint.model
    settings = solve_config(checkpoint.solving, dict(given))
    _refuse(task, config, settings)
    loaded = load_checkpoint(found.folder, source=found.source)
    shown = puzzles or _examples(task, config)
    state = loaded.network.state_dict()
    run: dict[str, Any] = {
        **told_of(header_of(loaded, settings, 1, inner=inner), STEP_SECONDS if pause is None else pause),
        "remark": _accuracy(of_checkpoint(checkpoint.name, "", found.folder, found.source)),
    }
    network = {
        "task": task.name,
        "title": f"Tiny Recursive Model: {task.name}",
        "config": asdict(config),
        "settings": {**with_what_follows(settings), "checks": checks, "seed": settings.seed % SEEDS},
        "views": _views(task, config, settings),
        "board": config.board,
        "boards": [side * side for side in range(1, config.height + 1) if config.fits(side * side)],
        "examples": [task.write(puzzle.tokens) for puzzle in shown],
        "findings": {finding.name.lower(): finding.value for finding in Finding},
        "card": MarkdownIt("js-default").render(without_metadata(card(checkpoint))),
        "kernels": base64.b64encode((WEB / "kernels.wasm").read_bytes()).decode(),
        "tensors": {name: list(tensor.shape) for name, tensor in state.items()},
    }
    parts = {"tools": read_parts("live.html"), "style": read_parts("live.css"), "scripts": _scripts()}
    for kind in [storage] if storage else STORAGES:
        run["network"] = {**network, "storage": kind, "weights": _packed(list(state.values()), kind)}
        page = filled_page(run, **parts, allowed=ALLOWED)
        if len(page.encode()) <= LARGEST_PAGE:
            break
    return page, kind


def _refuse(task: Task, config: ModelConfig, settings: SolveConfig) -> None:
    """Raise UsageError for what is not written in JavaScript."""
    problem = ""
    if task.name not in RULES:
        problem = f"a page knows the rules of {' and '.join(RULES)}, not of {task.name}; choose another model"
    elif config.looks_up_puzzles:
        problem = "it keeps no table of puzzles; choose another model"
    elif settings.search != "none" and not task.has_blanks:
        problem = f"--search {settings.search} fills blanks, and a {task.name} has none; drop it"
    elif settings.num_attempts > 1 and (settings.noise or settings.starts == "random"):
        problem = "no attempt in it is drawn by lot; drop --noise, and let --starts be fixed"
    elif settings.views > 1 and config.is_for_several:
        problem = "it knows no symmetric views of boards of several sizes; let --views be 1"
    if problem:
        raise UsageError(f"a page in a browser: {problem}")


def _examples(task: Task, config: ModelConfig) -> list[Puzzle]:
    """Those of the task; where they are smaller than the boards of the network, some as large as these come first."""
    known = list(read_example(task, MOST_EXAMPLES, config))
    if len(known[0].tokens) == config.num_cells or not isinstance(task, Generator):
        return known
    wanted = replace(task.usual(config.height), puzzles=LARGE_EXAMPLES)
    made = task.generate(wanted, size=config.height, seed=EXAMPLES_SEED)
    return [*(task.read_one(task.write(tokens), 1, "example") for tokens in made.puzzles), *known]


def with_what_follows(settings: SolveConfig) -> dict[str, Any]:
    """Settings with what follows from them."""
    names = ("num_attempts", "guesses", "searches_tree", "varies_guesses_alone")
    return {**asdict(settings), **{name: getattr(settings, name) for name in names}}


def _views(task: Task, config: ModelConfig, settings: SolveConfig) -> dict[str, list[list[int]]]:
    """Where each cell and symbol of a view comes from; on four cells, where the board has any size; nothing of one."""
    cells = CORNERS if config.takes_corners else config.num_cells
    views = Views(task, cells, wanted=settings.views, seed=settings.seed)
    if views.count == 1:
        return {"cells": [], "symbols": []}
    return {"cells": views.there.cells.tolist(), "symbols": views.there.symbols.tolist()}


def _packed(tensors: list[torch.Tensor], storage: str) -> str:
    """Numbers one after the other, their bytes sorted by place, so that equal ones meet; deflated, in base64."""
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    kept = flat if storage == "float32" else flat.bfloat16()
    planes = np.ascontiguousarray(kept.view(torch.uint8).numpy().reshape(len(flat), -1).T)
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()


def _accuracy(entry: Entry) -> str:
    """What was measured, in words."""
    if entry.solved is None or entry.puzzles is None:
        return ""
    solved = f"{entry.solved:.1%} of {entry.puzzles:,} puzzles ({entry.data})"
    if entry.first_attempt is None:
        return f"solved {solved}"
    further = "its search" if entry.searches else f"up to {entry.attempts} attempts"
    return f"solved {solved} with {further}, {entry.first_attempt:.1%} in one attempt"


def _scripts() -> str:
    """The rules of the puzzles, for page and worker; what the worker runs; what the page runs."""
    parts = [
        script(read_parts(*TASK_SCRIPTS), ' id="tasks"'),
        script(read_parts(*WORKER_SCRIPTS), ' type="text/plain" id="thinking"'),
    ]
    return "".join([*parts, script(read_parts(*PAGE_SCRIPTS))])
