"""Pages in which networks think, in one tab of a real browser, and the same networks in torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page

from tests.browser import Tab, browsing, find_browser
from trm_cli.config import ModelConfig
from trm_cli.display.live import live_page
from trm_cli.model.network import TinyRecursiveModel, resized
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task, Tokens, board_of, generator_of
from trm_cli.tasks.inputs import Source, read_puzzles
from trm_cli.weights.catalogue import Found, find_by_name
from trm_cli.weights.tensors import LoadedModel, load_checkpoint

BROWSER = find_browser()
EXAMPLES = Path(__file__).parents[1] / "examples"
PLAY, VERDICT, MESSAGE = "#play", "#verdict", "#message"
IS_OVER = "() => isOver && at === moments.length - 1"
GLYPHS = "[...document.querySelectorAll('.cell')].map((cell) => cell.textContent || '.').join('')"
Given = tuple[tuple[str, Any], ...]  # settings
Open = Callable[..., Tab]
READY = "while (!loaded) await new Promise((go) => setTimeout(go, 5)); await loaded;"  # the worker has its network


@cache
def found(name: str) -> Found:
    return find_by_name(name, None)


@cache
def page_text(name: str, given: Given = (), storage: str | None = None) -> tuple[str, str]:
    return live_page(found(name), given=dict(given), storage=storage)


@cache
def as_shipped(name: str) -> LoadedModel:
    """The network of a page in torch, its weights rounded as the page keeps them."""
    loaded = load_checkpoint(found(name).folder, source=found(name).source)
    if page_text(name)[1] == "bfloat16":
        with torch.no_grad():
            for tensor in loaded.network.state_dict().values():
                tensor.copy_(tensor.bfloat16().float())
    return loaded


@contextmanager
def opening(folder: Path) -> Iterator[Open]:
    """Opens the page of a network from a file in a folder, always in the same tab."""
    assert BROWSER is not None
    with browsing(BROWSER) as tab:

        def open_it(name: str, width: int = 1200, height: int = 900, given: Given = ()) -> Tab:
            path = folder / f"{name}{given and hash(given)}.html"
            if not path.exists():
                path.write_text(page_text(name, given)[0], encoding="utf-8")
            tab.page.set_viewport_size({"width": width, "height": height})
            tab.page.emulate_media(color_scheme="light", reduced_motion="reduce")
            with tab.page.expect_worker():
                tab.page.goto(path.as_uri())
            return tab

        yield open_it


def task_of(name: str) -> Task:
    return get_task(found(name).checkpoint.task)


def in_worker(page: Page, function: str, argument: Any) -> Any:
    """What a JavaScript function gives in the worker of a page, beside its scripts."""
    return page.workers[-1].evaluate(function, argument)


def generated(name: str, count: int, size: int, seed: int) -> Tokens:
    generator = generator_of(task_of(name))
    return generator.generate(replace(generator.usual(size), puzzles=count), size=size, seed=seed).puzzles


def for_board(loaded: LoadedModel, num_cells: int) -> TinyRecursiveModel:
    """The network for boards of that size."""
    network, board = loaded.network, board_of(get_task(loaded.checkpoint.task), num_cells)
    if num_cells == network.config.num_cells:
        return network
    return resized(network, ModelConfig(**{**asdict(network.config), **board}))


def puzzle_of(task: str, text: str) -> Puzzle:
    return next(iter(read_puzzles(get_task(task), Source("puzzle", text=text))))
