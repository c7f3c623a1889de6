"""A run: what it was asked to do, and its folder, which is read and written here alone.

config.json        the resolved recipe, what it is trained on, and the command
log.jsonl          one object per report or evaluation
curves.svg         the same as curves
checkpoint/        EMA weights with their card: what `trm solve --model` takes
checkpoint-raw/    the weights that they are the average of
state/             what `--resume` goes on from
data.csv.gz        the puzzles, where the run generated them

To plan a run needs no torch, so that a recipe is printed at once.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.config import NEWEST, apply, differences, override, read_toml
from trm_cli.errors import PuzzleError, UsageError
from trm_cli.files import flush, write_whole
from trm_cli.tasks import get_task
from trm_cli.tasks.base import HELD_OUT, Dataset, Task, board_of, generator_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.tasks.tables import dataset_bytes, read_dataset
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.state import SavedState, keep_only, newest_state, read_state, save_state

if TYPE_CHECKING:
    from trm_cli.training.loop import Evaluation, Report
    from trm_cli.training.step import Trainer
    from trm_cli.weights.puzzle_table import Register

GENERATE = "generate"  # the source that is no file
KNOWN = "known pairs"  # what judges a run on problems without tests of evaluation problems
DEFAULT_RECIPE, DEFAULT_SEED = "fast", 0
CONFIG_FILE, LOG_FILE, CURVES_FILE, DATA_FILE = "config.json", "log.jsonl", "curves.svg", "data.csv.gz"
CHECKPOINT, RAW_CHECKPOINT, STATES = "checkpoint", "checkpoint-raw", "state"  # folders
JUDGES = {  # what a run is judged by, as its card says it
    HELD_OUT: "held out from the training data",
    KNOWN: "pairs that were trained on",
}
JUDGED_BY_TESTS = "tests of evaluation tasks, each way by itself, no vote"


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
    task: Task
    sources: list[str]  # of puzzles, as typed
    seed: int = DEFAULT_SEED
    subsample: int | None = None

    @property
    def is_generated(self) -> bool:
        """Whether all puzzles come from the task's generator."""
        return self.sources in ([], [GENERATE])

    @property
    def sizes(self) -> list[int]:
        """Cells of each board that the network is for, the smallest first."""
        model, known = self.recipe.model, []
        if not model.is_for_several:
            return [model.num_cells]
        for side in range(model.smallest, model.height + 1):
            with suppress(PuzzleError):  # no board has that side
                self.task.boxes(side * side)
                known.append(side * side)
        return known

    def of_size(self, num_cells: int) -> "Plan":
        """The same for boards of that size alone: smaller ones than the recipe's have what is usual for them."""
        recipe, board = self.recipe, board_of(self.task, num_cells)
        model: Any = {**board, "smallest": 0}
        data, side = recipe.data, board["height"]
        if side != recipe.model.height:
            data = replace(generator_of(self.task).usual(side), puzzles=recipe.wanted.puzzles)
        return replace(self, recipe=replace(recipe, model=replace(recipe.model, **model), data=data))

    def over(self, seconds: float) -> "Plan":
        """The same, for a run of that time."""
        return replace(self, recipe=replace(self.recipe, train=replace(self.recipe.train, minutes=seconds / 60)))


@dataclass(frozen=True)
class Limits:
    """When to stop before the end of the run.

    ends_run  the run has no other time than that of this call.
    """

    max_steps: int | None = None  # of the run
    max_seconds: float | None = None  # of this call, from `began` to the end of the last evaluation
    began: float = field(default_factory=time.monotonic)
    ends_run: bool = False

    @property
    def seconds_left(self) -> float:
        """Until this call must be over; infinity where it has no limit."""
        return math.inf if self.max_seconds is None else self.began + self.max_seconds - time.monotonic()

    def refuse_late(self, what: str) -> None:
        """Raise UsageError where the time is over before anything was trained; `what` says when, and what to do."""
        if self.seconds_left <= 0:
            raise UsageError(f"--max-time was over when {what}")


def resolve_plan(options: Options) -> Plan:
    """The plan of a new run: the recipe with the config file's numbers, then the settings, in place of its own."""
    recipe, task = get_recipe(options.task, options.recipe or DEFAULT_RECIPE), get_task(options.task)
    if options.config is not None:
        recipe = read_toml(recipe, options.config)
    if isinstance(task, Demonstrated) and options.data:
        rows, side = task.measure_data(folder_of_problems(task, options.data))
        model = replace(recipe.model, num_puzzles=rows, height=side, width=side)
        recipe = replace(recipe, model=model)
    recipe = override(recipe, options.settings or [])
    seed = DEFAULT_SEED if options.seed is None else options.seed
    return Plan(recipe, task, options.data or [], seed, options.subsample)


def folder_of_problems(task: Task, sources: list[str]) -> Path:
    """The one data set that a task of problems is trained on; raises UsageError where another number is given."""
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        raise UsageError(f"{task.name}: give --data FOLDER, one folder made by `trm data {task.name}`")
    return Path(sources[0])


def new_run(options: Options, max_seconds: float | None, *, is_worker: bool) -> "Run":
    """A run that is to begin; raises UsageError where its folder exists or cannot be made.

    is_worker  whoever started this process has chosen the folder already.
    """
    plan = resolve_plan(options)
    recipe = plan.recipe
    if recipe.lacks_time and max_seconds is None:
        raise UsageError("train.decay_by=time needs --max-time, or --set train.minutes=..., to know when the run ends")
    folder = options.run if is_worker and options.run else _new_folder(options.task, recipe.name, options.run)
    return Run(plan, folder)


def _new_folder(task: str, name: str, wanted: Path | None) -> Path:
    """The folder asked for, which must not exist, or the next free `runs/TASK/NAME-N`."""
    folder, number = wanted, 0
    while folder is None or (wanted is None and folder.exists()):
        number += 1
        folder = Path("runs") / task / f"{name}-{number}"
    if folder.exists():
        raise UsageError(f"{folder}: exists already; choose another folder for --run, or go on with --resume")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".trm-", dir=above))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another folder for --run") from error
    return folder


def resumed_run(options: Options) -> "Run":
    """The run that `--resume` means; raises UsageError where what else was typed does not agree with it."""
    if options.init is not None:
        raise UsageError("--init: a run that is resumed has its weights; leave the option out")
    if options.resume != NEWEST and options.run is not None:
        raise UsageError("--resume PATH says where the run is; leave --run out")
    if options.resume != NEWEST:
        state = find_state(Path(str(options.resume)))
    else:
        state = find_state(options.run or _newest_run(options.task))
    folder = state.folder.parent.parent
    with _config_of(folder) as known:
        values = known["recipe"]
        recipe = get_recipe(values.pop("task"), values.pop("name"))
        recipe = apply(recipe, values, str(folder / CONFIG_FILE))
        plan = Plan(recipe, get_task(recipe.task), **known["plan"])
    begun = f"{folder}: was begun with"
    if options.task != plan.task.name:
        raise UsageError(f"{begun} {plan.task.name}, not {options.task}")
    if options.recipe not in (None, plan.recipe.name):
        raise UsageError(f"{begun} --recipe {plan.recipe.name}; leave the option out")
    wanted = read_toml(plan.recipe, options.config) if options.config else plan.recipe
    for difference in differences(plan.recipe, override(wanted, options.settings or [])):
        raise UsageError(f"{begun} other numbers: {difference}; a resumed run keeps its own")
    for name in ("seed", "subsample"):
        if getattr(options, name) not in (None, getattr(plan, name)):
            raise UsageError(f"{begun} --{name} {getattr(plan, name)}; leave the option out")
    plan = replace(plan, sources=options.data or plan.sources)  # their hash must be the same
    return Run(plan, folder, state)


def find_state(path: Path) -> SavedState:
    """The newest state of a run's folder, or the state whose folder is given; raises UsageError where there is none."""
    if (path / "state.json").is_file():
        return read_state(path.resolve())  # `.` lies in a run's folder too
    state = newest_state(path / STATES)
    if state is None:
        what = "no saved state in it" if path.is_dir() else "no such folder"
        raise UsageError(f"{path}: {what}; give the folder of a run, or leave out --resume")
    return state


def _newest_run(task: str) -> Path:
    """The folder below `runs/TASK` whose state was saved last; raises UsageError if none was."""
    states = sorted(Path("runs", task).glob(f"*/{STATES}/step-*"), key=lambda path: path.stat().st_mtime)
    if not states:
        raise UsageError(f"--resume: no saved state below runs/{task}; give the folder with --run")
    return states[-1].parent.parent


@contextmanager
def _config_of(folder: Path) -> Iterator[dict[str, Any]]:
    """What config.json of a run holds; UsageError where it, or what is read from it, is damaged."""
    path = folder / CONFIG_FILE
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no config of a run ({error}); give another folder") from error


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The objects of a run's log, in order; lines that were cut off or damaged are left out."""
    path, entries = folder / LOG_FILE, []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
    return entries


class Run:
    """A run and its folder.

    resumed   the state to go on from; None in a run that begins.
    facts     what its card says of its training: data, hardware, versions, command.
    measured  its latest evaluation, as the card has it.
    """

    def __init__(self, plan: Plan, folder: Path, resumed: SavedState | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.resumed = resumed
        self.facts: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}

    def read_data(self) -> dict[int, Dataset]:
        """The puzzles that the run generated when it began, if it did, by their cells."""
        paths = sorted(self.folder.glob(DATA_FILE.replace("data", "data*")))
        kept = [read_dataset(path, self.plan.task) for path in paths]
        return {data.puzzles.shape[1]: data for data in kept}

    def begin(self, facts: dict[str, Any], sources: list[str], generated: list[Dataset]) -> None:
        """Make the folder and write what is to be trained, on puzzles from these sources."""
        self.folder.mkdir(parents=True)
        plan = self.plan
        recipe = {name: value for name, value in asdict(plan.recipe).items() if value is not None}
        planned = {"sources": sources, "seed": plan.seed, "subsample": plan.subsample}
        whole = {"recipe": recipe, "plan": planned, "training": facts}
        self._write(CONFIG_FILE, (json.dumps(whole, indent=2) + "\n").encode(), lasting=True)
        for data in generated:
            cells = data.puzzles.shape[1]
            name = DATA_FILE if cells == plan.recipe.model.num_cells else DATA_FILE.replace("data", f"data-{cells}")
            self._write(name, dataset_bytes(data, plan.task, gzipped=True), lasting=True)

    def read_facts(self) -> dict[str, Any]:
        """The facts as they were recorded when the run began."""
        with _config_of(self.folder) as known:
            facts: dict[str, Any] = known["training"]
            if not isinstance(facts["puzzles_sha256"], str):
                raise TypeError("puzzles_sha256")
        return facts

    def rewind(self, state: SavedState) -> None:
        """Drop what came after a state from the log, and the other states; the run will write them again."""
        kept = [entry for entry in read_log(self.folder) if entry["step"] <= state.step]
        self._write(LOG_FILE, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
        for entry in kept:
            if entry.get("kind") == "evaluation" and "scores" in entry:
                self._measure(entry)
        keep_only(state.folder)

    def log(self, event: "Report | Evaluation", kind: str) -> None:
        """Add an event to the log."""
        entry = {"kind": kind, **asdict(event)}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if kind == "evaluation":
            self._measure(entry)

    def _measure(self, logged: dict[str, Any]) -> None:
        judged_by = JUDGES.get(logged.get("judged_by", HELD_OUT), JUDGED_BY_TESTS)
        groups = [logged["scores"], *logged.get("sizes", [])]
        entry = {"command": self.facts["command"], "groups": groups}
        self.measured = {f"{judged_by}, step {logged['step']:,}": entry}

    def write_curves(self, picture: bytes) -> None:
        """Put the curves beside the log that they show."""
        self._write(CURVES_FILE, picture)

    def has_state(self) -> bool:
        """Whether there is something to resume."""
        return (self.folder / STATES).is_dir()

    def save_state(self, trainer: "Trainer") -> None:
        """Save what `--resume` goes on from; every worker calls it at the same step."""
        if trainer.workers.is_first and (self.folder / LOG_FILE).exists():
            flush(self.folder / LOG_FILE)  # before a state that follows from it
        save_state(self.folder / STATES, trainer)

    def save_weights(self, trainer: "Trainer", register: "Register | None") -> None:
        """Write both checkpoints, that of the EMA weights with its card; register: of the table's rows."""
        from trm_cli.weights.card import write_card
        from trm_cli.weights.checkpoint import Checkpoint
        from trm_cli.weights.puzzle_table import save_table
        from trm_cli.weights.tensors import save_checkpoint

        training = {**self.facts, "steps": trainer.step, "seconds": round(trainer.seconds, 1)}
        recipe, name = self.plan.recipe, self.folder.name
        ema = Checkpoint(name, recipe.task, recipe.model, training, self.measured)
        raw = Checkpoint(f"{name}-raw", recipe.task, recipe.model, training)
        for folder, checkpoint, network in (
            (self.folder / CHECKPOINT, ema, trainer.ema.model),
            (self.folder / RAW_CHECKPOINT, raw, trainer.network),
        ):
            save_checkpoint(folder, checkpoint, network)
            if (table := trainer.table) is not None:
                save_table(folder, table, register)
        write_card(self.folder / CHECKPOINT, ema)

    def _write(self, name: str, content: bytes, *, lasting: bool = False) -> None:
        write_whole(self.folder / name, content, lasting=lasting)
