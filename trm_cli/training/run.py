"""A run: what it was asked to do, and its folder, which is read and written here alone.

config.json        the resolved recipe, what it is trained on, and the command
log.jsonl          one object per report or evaluation
curves.svg         the same as curves
checkpoint/        EMA weights with their card: what `trm solve --model` takes
checkpoint-raw/    the weights that they are the average of
state/             what `--resume` goes on from
data.csv.gz        the puzzles, where the run generated them
.lock              while a process trains it: that process's number

To plan a run needs no torch, so that a recipe is printed at once.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.config import NEWEST, apply, differences, override, read_toml
from trm_cli.errors import FileError, PuzzleError, TrainingError, UsageError
from trm_cli.files import flush, locked, remove_partials, write_whole
from trm_cli.schema import checked
from trm_cli.tasks import get_task
from trm_cli.tasks.base import HELD_OUT, Dataset, Task, board_of, generator_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.tasks.tables import dataset_bytes, read_dataset
from trm_cli.training.recipes import Recipe, get_recipe
from trm_cli.training.records import CONFIG_FILE, LOG_FILE, LoggedEvaluation, read_config, read_lines
from trm_cli.training.state import STATE_FILE, SavedState, keep_only, newest_state, read_state, save_state

if TYPE_CHECKING:
    from trm_cli.training.loop import Evaluation, Report
    from trm_cli.training.step import Trainer
    from trm_cli.weights.puzzle_table import Register

GENERATE = "generate"  # the source that is no file
KNOWN = "known pairs"  # what judges a run on problems without tests of evaluation problems
DEFAULT_RECIPE, DEFAULT_SEED = "fast", 0
CURVES_FILE, DATA_FILE = "curves.svg", "data.csv.gz"
LOCK_FILE = ".lock"
CHECKPOINT, RAW_CHECKPOINT, STATES = "checkpoint", "checkpoint-raw", "state"  # folders
JUDGES = {  # what a run is judged by, as its card says it
    HELD_OUT: "held out from the training data",
    KNOWN: "pairs that were trained on",
}
JUDGED_BY_TESTS = "tests of evaluation tasks, each way by itself, no vote"
LONGEST_REASON = 300  # characters of what is wrong with a recipe


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


@contextmanager
def open_run(options: Options, max_seconds: float | None, *, launches: bool, rank: int | None) -> Iterator["Run"]:
    """The run that is to begin, or that `--resume` means; no other process trains it meanwhile.

    A run that ends before its first state leaves nothing.
    launches  this process starts workers, the first of which has the folder to itself.
    rank      of this process among several workers; None where it is no worker.
    """
    with ExitStack() as stack:
        if options.resume is not None:
            folder = _folder_to_resume(options)
            if not rank and (folder / CONFIG_FILE).exists():
                stack.enter_context(_alone_in(folder))
            run = resumed_run(options)
            if launches:
                stack.close()
        else:
            run = new_run(options, max_seconds, rank=rank)
            stack.callback(run.drop_unsaved)
            if not rank and not launches:
                stack.enter_context(_alone_in(run.folder))
        yield run


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training the run in a folder; raises TrainingError where one does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK_FILE))
        except FileError as error:
            raise TrainingError(f"{folder}: is being trained by {error}; wait for it, or stop it") from error
        except OSError as error:
            raise TrainingError(f"{folder}: cannot be written ({error.strerror}); see to it, then resume") from error
        with suppress(OSError):
            remove_partials(folder)
        yield


def new_run(options: Options, max_seconds: float | None, *, rank: int | None = None) -> "Run":
    """A run that is to begin, its folder made; raises UsageError where that is another's or cannot be made.

    rank  as in `open_run`; the folder is the first worker's, which another process may have made for it.
    """
    for name in map(str, (options.run, options.config, options.init, *(options.data or []), Path.cwd())):
        if name.encode(errors="replace").decode() != name:
            raise UsageError(f"{name}: a name that is not UTF-8, which cards and logs are; rename it")
    plan = resolve_plan(options)
    recipe = plan.recipe
    if recipe.lacks_time and max_seconds is None:
        raise UsageError("train.decay_by=time needs --max-time, or --set train.minutes=..., to know when the run ends")
    if rank:
        return Run(plan, options.run or Path())
    if str(options.run) == "-":
        raise UsageError("--run -: a run is a folder, not a stream; give its name")
    folder, made = _make_folder(options.task, recipe.name, options.run)
    return Run(plan, folder, made=made)


def _make_folder(task: str, name: str, wanted: Path | None) -> tuple[Path, list[Path]]:
    """Make the folder asked for, or the next free `runs/TASK/NAME-N`; it, and all folders made."""
    for number in count(1):
        folder = wanted or Path("runs") / task / f"{name}-{number}"
        try:
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=wanted is not None)  # of two at the same moment, one makes it
            if set(os.listdir(folder)) <= {LOCK_FILE}:  # of a run that was killed before it began
                return folder, missing
        except FileExistsError:
            if wanted is None and os.path.lexists(folder):
                continue
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another folder for --run") from error
        raise UsageError(f"{folder}: exists already; choose another folder for --run, or go on with --resume")
    raise AssertionError


def _folder_to_resume(options: Options) -> Path:
    """The folder of the run that `--resume` means; raises UsageError where other options speak against it."""
    if options.init is not None:
        raise UsageError("--init: a run that is resumed has its weights; leave the option out")
    if options.resume == NEWEST:
        return options.run or _newest_run(options.task)
    if options.run is not None:
        raise UsageError("--resume PATH says where the run is; leave --run out")
    path = Path(str(options.resume))
    return path.resolve().parent.parent if _is_state(path) else path


def resumed_run(options: Options) -> "Run":
    """The run that `--resume` means; raises UsageError where what else was typed does not agree with it."""
    folder, path = _folder_to_resume(options), Path(str(options.resume))
    state = read_state(path.resolve()) if options.resume != NEWEST and _is_state(path) else find_state(folder)
    plan = _planned(folder, state)
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
    """The newest state of a run's folder, or the state whose folder is given.

    Raises UsageError where there is none, TrainingError where it is damaged.
    """
    if _is_state(path):
        return read_state(path.resolve())  # `.` lies in a run's folder too
    try:
        state = newest_state(path / STATES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the folder of a run") from error
    if state is None:
        what = "no saved state in it" if path.is_dir() else "a file" if path.exists() else "no such folder"
        raise UsageError(f"{path}: {what}; give the folder of a run, or leave out --resume")
    return state


def _is_state(path: Path) -> bool:
    """Whether a folder is that of a state, not that of a run; raises UsageError where it cannot be read."""
    try:
        return (path / STATE_FILE).is_file()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the folder of a run") from error


def _newest_run(task: str) -> Path:
    """The folder below `runs/TASK` whose state was saved last; raises UsageError if none was."""
    states = sorted(Path("runs", task).glob(f"*/{STATES}/step-*"), key=lambda path: path.stat().st_mtime)
    if not states:
        raise UsageError(f"--resume: no saved state below runs/{task}; give the folder with --run")
    return states[-1].parent.parent


def _planned(folder: Path, state: SavedState) -> Plan:
    """The plan of a run that goes on; raises TrainingError where it is damaged, or none of this trm."""
    config = read_config(folder, state)
    known = config.recipe
    values = {"model": known.model, "train": known.train, **({} if known.data is None else {"data": known.data})}
    try:
        recipe = apply(get_recipe(known.task, known.name), values, CONFIG_FILE)
    except UsageError as error:
        reason = f"{str(error).removeprefix(f'{CONFIG_FILE}: '):.{LONGEST_REASON}}"
        raise TrainingError(f"{folder / CONFIG_FILE}: {reason}") from error
    return Plan(recipe, get_task(recipe.task), **vars(config.plan))


def clear_folder(folder: Path) -> None:
    """Remove all but the lock of a run that has no state."""
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != LOCK_FILE:
            left.unlink()


class Run:
    """A run and its folder.

    made      folders that were made for it, itself first.
    resumed   the state to go on from; None in a run that begins.
    facts     what its card says of its training: data, hardware, versions, command.
    measured  its latest evaluation, as the card has it.
    """

    def __init__(
        self, plan: Plan, folder: Path, resumed: SavedState | None = None, *, made: list[Path] | None = None
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.made = made or []
        self.resumed = resumed
        self.facts: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}
        self.config_sha256 = "" if resumed is None else resumed.config_sha256

    def read_data(self) -> dict[int, Dataset]:
        """The puzzles that the run generated when it began, if it did, by their cells."""
        paths = sorted(self.folder.glob(DATA_FILE.replace("data", "data*")))
        kept = [read_dataset(path, self.plan.task) for path in paths]
        return {data.puzzles.shape[1]: data for data in kept}

    def begin(self, facts: dict[str, Any], sources: list[str], generated: list[Dataset]) -> None:
        """Make the folder and write what is to be trained, on puzzles from these sources."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / CONFIG_FILE).exists():
            raise FileExistsError(errno.EEXIST, "a run lies there", str(self.folder))
        plan = self.plan
        recipe = {name: value for name, value in asdict(plan.recipe).items() if value is not None}
        planned = {"sources": sources, "seed": plan.seed, "subsample": plan.subsample}
        whole = {"recipe": recipe, "plan": planned, "training": facts}
        content = (json.dumps(whole, indent=2) + "\n").encode()
        self.config_sha256 = hashlib.sha256(content).hexdigest()
        self._write(CONFIG_FILE, content, lasting=True)
        for data in generated:
            cells = data.puzzles.shape[1]
            name = DATA_FILE if cells == plan.recipe.model.num_cells else DATA_FILE.replace("data", f"data-{cells}")
            self._write(name, dataset_bytes(data, plan.task, gzipped=True), lasting=True)

    def drop_unsaved(self) -> None:
        """Remove what a new run left, if it ended before its first state and no other process is at it."""
        with suppress(FileError, OSError), locked(self.folder / LOCK_FILE):
            if not self.has_state():
                clear_folder(self.folder)
        for folder in self.made:
            with suppress(OSError):  # others may have put something there
                folder.rmdir()

    def read_facts(self) -> dict[str, Any]:
        """The facts as they were recorded when the run began."""
        return read_config(self.folder, self.resumed).training

    def rewind(self, state: SavedState) -> None:
        """Drop what came after a state from the log, and the other states; the run will write them again."""
        path, kept = self.folder / LOG_FILE, []
        try:
            for entry in read_lines(path):
                if entry["step"] <= state.step:
                    kept.append(f"{json.dumps(entry)}\n".encode())
                    if entry["kind"] == "evaluation":
                        self._measure(entry)
        except FileError as error:
            raise TrainingError(f"{path}: no log of a run: {error}; remove it, then resume") from error
        self._write(LOG_FILE, b"".join(kept))
        keep_only(state.folder)

    def log(self, event: "Report | Evaluation", kind: str) -> None:
        """Add an event to the log."""
        entry = {"kind": kind, **asdict(event)}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if kind == "evaluation":
            self._measure(entry)

    def _measure(self, logged: dict[str, Any]) -> None:
        evaluation = checked(logged, LoggedEvaluation)
        judged_by = JUDGES.get(evaluation.judged_by, JUDGED_BY_TESTS)
        groups = [asdict(scores) for scores in (evaluation.scores, *evaluation.sizes)]
        self.measured = {f"{judged_by}, step {evaluation.step:,}": {"command": self.facts["command"], "groups": groups}}

    def write_curves(self, picture: bytes) -> None:
        """Put the curves beside the log that they show."""
        self._write(CURVES_FILE, picture)

    def has_state(self) -> bool:
        """Whether there is something to resume."""
        return any((self.folder / STATES).glob(f"step-*/{STATE_FILE}"))

    def save_state(self, trainer: "Trainer") -> None:
        """Save what `--resume` goes on from; every worker calls it at the same step."""
        if trainer.workers.is_first and (self.folder / LOG_FILE).exists():
            flush(self.folder / LOG_FILE)  # before a state that follows from it
        save_state(self.folder / STATES, trainer, self.config_sha256)

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
