"""From what was typed to what is to be done: a new run, or one to go on with."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trm_cli.config import NEWEST
from trm_cli.errors import UsageError
from trm_cli.training.arc_sources import ARC, sized
from trm_cli.training.data import GENERATE
from trm_cli.training.overrides import apply, differences, override, read_toml
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.state import SavedState, find_state

DEFAULT_RECIPE, DEFAULT_SEED = "fast", 0
CONFIG_FILE = "config.json"  # of a run's folder


@dataclass(frozen=True)
class Options:
    """What was typed; None and empty lists where nothing was."""

    task: str
    recipe: str | None = None
    config: Path | None = None
    settings: list[str] | None = None
    data: list[str] | None = None
    subsample: int | None = None
    seed: int | None = None
    run: Path | None = None
    resume: str | None = None
    init: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do, as far as it must be the same when it is resumed."""

    recipe: Recipe
    sources: list[str]  # of puzzles, as typed
    seed: int
    subsample: int | None

    @property
    def is_generated(self) -> bool:
        """Whether all puzzles come from the task's generator."""
        return self.sources in ([], [GENERATE])

    def as_dict(self) -> dict[str, Any]:
        """All but the recipe, for the run's config."""
        return {"sources": self.sources, "seed": self.seed, "subsample": self.subsample}


@dataclass(frozen=True)
class Work:
    """What is to be done, and in which folder."""

    plan: Plan
    folder: Path
    resumed: SavedState | None  # the state to go on from


def resolve_recipe(options: Options) -> Recipe:
    """The recipe with the config file's numbers, then the settings, in place of its own."""
    if options.resume is not None:
        return _resumed(options).plan.recipe
    recipe = get_recipe(options.task, options.recipe or DEFAULT_RECIPE)
    if options.config is not None:
        recipe = read_toml(recipe, options.config)
    if recipe.task == ARC and options.data:
        recipe = sized(recipe, options.data)
    return override(recipe, options.settings or [])


def plan_work(options: Options, max_seconds: float | None, *, is_worker: bool) -> Work:
    """A new run, or the one that `--resume` means; raises UsageError where options contradict it.

    is_worker  whoever started this process has chosen the folder already.
    """
    if options.resume is not None:
        return _resumed(options)
    recipe = timed(resolve_recipe(options), max_seconds)
    seed = DEFAULT_SEED if options.seed is None else options.seed
    plan = Plan(recipe, options.data or [], seed, options.subsample)
    if is_worker and options.run is not None:
        return Work(plan, options.run, None)
    return Work(plan, new_run_folder(options.task, recipe.name, options.run), None)


def timed(recipe: Recipe, max_seconds: float | None) -> Recipe:
    """The recipe with the length of a schedule that follows the time; UsageError without one."""
    if recipe.train.decay_by != "time" or recipe.train.minutes:
        return recipe
    if max_seconds is None:
        raise UsageError(
            "train.decay_by=time needs --max-time, or --set train.minutes=..., "
            "to know when the run ends"
        )
    return replace(recipe, train=replace(recipe.train, minutes=max_seconds / 60))


def new_run_folder(task: str, name: str, wanted: Path | None) -> Path:
    """The folder asked for, which must not exist, or the next free `runs/TASK/NAME-N`.

    Raises UsageError where it exists or cannot be made.
    """
    folder, number = wanted, 0
    while folder is None or (wanted is None and folder.exists()):
        number += 1
        folder = Path("runs") / task / f"{name}-{number}"
    if folder.exists():
        raise UsageError(
            f"{folder}: exists already; choose another folder for --run, or go on with --resume"
        )
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".trm-", dir=above))
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder for --run"
        ) from error
    return folder


def newest_run_folder(task: str) -> Path:
    """The folder below `runs/TASK` whose state was saved last; raises UsageError if none was."""
    states = sorted(
        Path("runs", task).glob("*/state/step-*"), key=lambda path: path.stat().st_mtime
    )
    if not states:
        raise UsageError(f"--resume: no saved state below runs/{task}; give the folder with --run")
    return states[-1].parent.parent


def read_plan(folder: Path) -> Plan:
    """What the run in a folder was asked to do; raises UsageError where its config is damaged."""
    with run_config(folder) as known:
        values, plan = known["recipe"], known["plan"]
        recipe = get_recipe(values.pop("task"), values.pop("name"))
        return Plan(apply(recipe, values, str(folder / CONFIG_FILE)), **plan)


@contextmanager
def run_config(folder: Path) -> Iterator[dict[str, Any]]:
    """What config.json of a run holds; UsageError where it, or what is read from it, is damaged."""
    path = folder / CONFIG_FILE
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no config of a run ({error}); give another folder") from error


def _resumed(options: Options) -> Work:
    """The run to go on with; what else was typed must agree with it."""
    if options.init is not None:
        raise UsageError("--init: a run that is resumed has its weights; leave the option out")
    if options.resume != NEWEST:
        if options.run is not None:
            raise UsageError("--resume PATH says where the run is; leave --run out")
        state = find_state(Path(str(options.resume)))
    else:
        state = find_state(options.run or newest_run_folder(options.task))
    plan = read_plan(state.run_folder)
    begun = f"{state.run_folder}: was begun with"
    if options.task != plan.recipe.task:
        raise UsageError(f"{begun} {plan.recipe.task}, not {options.task}")
    if options.recipe not in (None, plan.recipe.name):
        raise UsageError(f"{begun} --recipe {plan.recipe.name}; leave the option out")
    wanted = read_toml(plan.recipe, options.config) if options.config else plan.recipe
    for difference in differences(plan.recipe, override(wanted, options.settings or [])):
        raise UsageError(f"{begun} other numbers: {difference}; a resumed run keeps its own")
    for name in ("seed", "subsample"):
        if getattr(options, name) not in (None, getattr(plan, name)):
            raise UsageError(f"{begun} --{name} {getattr(plan, name)}; leave the option out")
    plan = replace(plan, sources=options.data or plan.sources)  # their hash must be the same
    return Work(plan, state.run_folder, state)
