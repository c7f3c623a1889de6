"""A study: arms that differ in a few numbers, each trained with several seeds on the same data, and compared.

FOLDER/study.json      what was asked
       data.csv.gz     the puzzles, where they were generated
       ARM/seed-0/     a run for each arm and seed; see run.py
       results.json    what came of it, so far
       table.md        the same as a table
       accuracy.svg    accuracy against optimizer steps

Every run is a process of its own, so that several train side by side. A study that was interrupted goes
on where each run was saved; a run that is over is not repeated.
Source of the paper's arms: arXiv:2510.04871, tables 1 to 3; the gradient through all T, arXiv:2601.19085.
"""

import itertools
import json
import multiprocessing
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from trm_cli.config import OF_HRM, override
from trm_cli.errors import FileError, TRMError, UsageError
from trm_cli.files import locked, read_text, write_whole
from trm_cli.schema import checked, parse_json
from trm_cli.solving.statistics import t_interval, two_shares, welch, wilson
from trm_cli.tasks.base import Dataset, generator_of
from trm_cli.tasks.problems import Demonstrated
from trm_cli.tasks.tables import dataset_bytes, read_dataset
from trm_cli.training.data import load_data
from trm_cli.training.recipes import Recipe
from trm_cli.training.records import read_log
from trm_cli.training.run import DATA_FILE, LOCK_FILE, STATES, Limits, Plan, Run, clear_folder, find_state

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as Flag

    import torch

STUDY_FILE, RESULTS_FILE, TABLE_FILE, CHART_FILE = "study.json", "results.json", "table.md", "accuracy.svg"
MOST_ARMS = 100
SIGNIFICANT = 0.05  # p below which two arms differ
UNPLAIN = re.compile(r"[^A-Za-z0-9.=_-]+")


@dataclass(frozen=True)
class Arm:
    """What one arm changes."""

    name: str
    settings: tuple[str, ...] = ()  # as in --set, on top of those of the whole study
    published: float | None = None  # accuracy on Sudoku-Extreme in the paper, in percent

    @property
    def folder(self) -> str:
        """A plain name for its folder."""
        return UNPLAIN.sub("-", self.name).strip("-.") or "arm"


def _arm(name: str, settings: str, published: float | None = None) -> Arm:
    """An arm; its settings have spaces between them and leave `model.` out."""
    return Arm(name, tuple(s if s.startswith("train.") else f"model.{s}" for s in settings.split()), published)


TRM = "mixer=mlp rotary=none num_layers=2 T=3 n=6 T_grad=1 recursion=y_and_z gradient=recursion num_nets=1 "
TRM += "halting=halt start=fixed damping=0.0"
HRM = " ".join(f"{name}={value}" for name, value in OF_HRM.items())
HRM += " mixer=attention rotary=1d num_layers=4 train.ema_decay=0.0"
PRESETS: dict[str, tuple[Arm, ...]] = {
    "paper": (
        _arm("TRM", TRM, 87.4),
        _arm("Q-learning halting", f"{TRM} halting=q_learning", 86.1),
        _arm("two nets, f_L and f_H", f"{TRM} num_nets=2", 82.4),
        _arm("no EMA", f"{TRM} train.ema_decay=0.0", 79.9),
        _arm("4 layers, n=3", f"{TRM} num_layers=4 n=3", 79.5),
        _arm("one z for each update", f"{TRM} recursion=multi_z", 77.6),
        _arm("attention", f"{TRM} mixer=attention rotary=1d", 74.7),
        _arm("T=2, n=2", f"{TRM} T=2 n=2", 73.7),
        _arm("single z", f"{TRM} recursion=single_z", 71.9),
        _arm("1-step gradient", f"{TRM} gradient=one_step", 56.5),
        _arm("HRM", f"{TRM} {HRM}", 55.0),
        _arm("T=1, n=2", f"{TRM} T=1 n=2", 63.2),
        _arm("T=2, n=4", f"{TRM} T=2 n=4", 81.9),
        _arm("T=4, n=8", f"{TRM} T=4 n=8", 84.2),
        _arm("gradient through all T", f"{TRM} T_grad=3"),
    )
}


def vary(varied: list[str]) -> tuple[Arm, ...]:
    """The arms of `NAME=VALUE,VALUE...`, one or several: every combination, the first of all first.

    Raises UsageError where there is nothing to compare.
    """
    choices = []
    for one in varied:
        name, equals, values = one.partition("=")
        if not equals or not all(value.strip() for value in values.split(",")):
            raise UsageError(f"--vary {one}: write SECTION.NAME=VALUE,VALUE, such as model.mixer=mlp,attention")
        choices.append([f"{name.strip()}={value.strip()}" for value in values.split(",")])
    names = Counter(choice[0].partition("=")[0] for choice in choices)
    if twice := next((name for name, count in names.items() if count > 1), None):
        raise UsageError(f"--vary {twice}: given twice; name all its values in one")
    arms = tuple(
        Arm(", ".join(s.partition(".")[2] or s for s in settings), settings) for settings in itertools.product(*choices)
    )
    if len(arms) < 2:
        raise UsageError("--vary: one arm is nothing to compare; give several values, or --preset paper")
    return arms


@dataclass(frozen=True)
class Study:
    """What is compared.

    plan  the recipe and the data of every arm, before its own settings.
    """

    plan: Plan
    arms: tuple[Arm, ...]
    seeds: int
    folder: Path

    def __post_init__(self) -> None:
        if len(self.arms) > MOST_ARMS:
            raise UsageError(f"{len(self.arms):,} arms; a study has at most {MOST_ARMS}")
        counts = Counter(arm.folder.lower() for arm in self.arms)
        if twice := next((arm.name for arm in self.arms if counts[arm.folder.lower()] > 1), None):
            raise UsageError(f"two arms are called {twice!r}; give each value once")
        for arm in self.arms:
            self.recipe_of(arm)

    def recipe_of(self, arm: Arm) -> Recipe:
        """What an arm is trained by; raises UsageError where its settings do not fit."""
        try:
            return override(self.plan.recipe, list(arm.settings))
        except UsageError as error:
            raise UsageError(f"arm {arm.name!r}: {error}") from error

    @property
    def runs(self) -> "list[StudyRun]":
        """All of them, seed by seed, so that every arm has a result early."""
        return [StudyRun(self, arm, seed) for seed in range(self.seeds) for arm in self.arms]

    def asked(self) -> dict[str, Any]:
        """What must be the same when a study goes on."""
        recipe = {name: value for name, value in asdict(self.plan.recipe).items() if value is not None}
        planned = {"sources": self.plan.sources, "subsample": self.plan.subsample, "seeds": self.seeds}
        return {"recipe": recipe, **planned, "arms": [asdict(arm) for arm in self.arms]}

    def begin(self) -> bool:
        """Make the folder, or find it as it was left, which is what it says.

        Raises UsageError where another study, or something else, lies there.
        """
        path, asked = self.folder / STUDY_FILE, json.loads(json.dumps(self.asked()))
        if path.is_file():
            try:
                known = checked(parse_json(read_text(path)), dict[str, Any])
            except FileError as error:
                raise UsageError(f"{path}: no study: {error}; choose another folder for --output") from error
            other = next((name for name in asked if known.get(name) != asked[name]), None)
            if other:
                raise UsageError(f"{self.folder}: was begun with other {other}; choose another folder for --output")
            return True
        if self.folder.exists() and any(self.folder.iterdir()):
            raise UsageError(f"{self.folder}: holds something else; choose another folder for --output")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, f"{json.dumps(asked, indent=2)}\n".encode(), lasting=True)
        return False

    def refuse_unreadable(self) -> None:
        """Raise UsageError or PuzzleError where no run could be trained on the data; fetch those of the Hub."""
        if self.plan.is_generated and not isinstance(self.plan.task, Demonstrated):
            generator_of(self.plan.task)
        else:
            load_data(self.plan, {}, lambda done, wanted: None)

    def generated(self, progress: Callable[[int, int], None]) -> Dataset | None:
        """The puzzles that all arms share, made once; None where they come from elsewhere."""
        task = self.plan.task
        if not self.plan.is_generated or isinstance(task, Demonstrated):
            return None
        path, recipe = self.folder / DATA_FILE, self.plan.recipe
        if not path.is_file():
            size = recipe.model.height
            made = generator_of(task).generate(recipe.wanted, size=size, seed=0, progress=progress)
            write_whole(path, dataset_bytes(made, task, gzipped=True), lasting=True)
        return read_dataset(path, task)


@dataclass(frozen=True)
class Outcome:
    """How far a run is: its latest evaluation, and the course up to it."""

    step: int
    seconds: float  # of the run
    exact: float  # share of the validation set, as what follows
    cell: float
    mean_steps: float  # supervision steps a puzzle
    puzzles: int  # of the validation set
    course: tuple[tuple[int, float], ...]  # optimizer step, exact


@dataclass(frozen=True)
class StudyRun:
    """One arm with one seed."""

    study: Study
    arm: Arm
    seed: int

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.study.folder / self.arm.folder / f"seed-{self.seed}"

    @property
    def plan(self) -> Plan:
        """What is trained."""
        return replace(self.study.plan, recipe=self.study.recipe_of(self.arm), seed=self.seed)

    def progress(self) -> tuple[float, Outcome | None]:
        """The share of it that is over, and the latest evaluation; 1 and the last one at the end.

        Raises UsageError where its log is damaged.
        """
        try:
            return self._read(read_log(self.folder, strict=True))
        except FileError as error:
            raise UsageError(f"{self.folder}: its log is damaged ({error}); remove that folder") from error

    def _read(self, entries: list[dict[str, Any]]) -> tuple[float, Outcome | None]:
        config = self.plan.recipe.train
        if not entries:
            return 0.0, None
        seconds, step = entries[-1]["seconds"], entries[-1]["step"]
        share = seconds / (60 * config.minutes) if config.decay_by == "time" else step / config.steps
        judged = [entry for entry in entries if entry["kind"] == "evaluation"]
        if not judged:
            return min(share, 0.99), None
        last, scores = judged[-1], judged[-1]["scores"]
        course = tuple((entry["step"], entry["scores"]["exact"]) for entry in judged)
        figures = {name: scores[name] for name in ("exact", "cell", "mean_steps", "puzzles")}
        outcome = Outcome(step=last["step"], seconds=last["seconds"], course=course, **figures)
        is_over = last["step"] >= config.steps or (config.decay_by == "time" and last["seconds"] >= 60 * config.minutes)
        return 1.0 if is_over else min(share, 0.99), outcome


def train_run(run: StudyRun, generated: Dataset | None, device: "torch.device", stopped: Callable[[], bool]) -> None:
    """Train a run to its end, from where it was left; raises what `start_run` does."""
    from trm_cli.training.loop import start_run

    folder = run.folder
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK_FILE, waits=True):  # for one whose study was killed a moment ago
        state = find_state(folder) if any((folder / STATES).glob("step-*")) else None
        if state is None:  # killed before anything was saved
            clear_folder(folder)
        plan = run.plan
        data = load_data(
            plan, {} if generated is None else {generated.puzzles.shape[1]: generated}, lambda done, wanted: None
        )
        settings = " ".join(f"--set {setting}" for setting in run.arm.settings)
        command = f"trm train {plan.task.name} --recipe {plan.recipe.name} {settings} --seed {run.seed}"
        for _ in start_run(Run(plan, folder, state), data, Limits(), device=device, command=command, stopped=stopped):
            pass


def _work(
    run: StudyRun, generated: Dataset | None, device: str, threads: int, stopping: "Flag", words: Connection
) -> None:
    """What the process of a run does; it ends early where the study is to stop, or was killed."""
    import torch

    for number in (signal.SIGINT, signal.SIGTERM):  # all processes may be sent them; the study decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    study = multiprocessing.parent_process()
    assert study is not None
    try:
        train_run(run, generated, torch.device(device), lambda: stopping.is_set() or not study.is_alive())
    except TRMError as error:
        words.send(str(error))
        sys.exit(error.exit_code)


@dataclass
class _Busy:
    """A run that is being trained."""

    run: StudyRun
    process: Any
    words: Connection
    device: str


def train_study(
    study: Study, generated: Dataset | None, *, devices: list[str], threads: int, stopped: Callable[[], bool]
) -> Iterator[tuple[StudyRun | None, str]]:
    """Train what is not over yet, one run at a time on each device; yields while it waits.

    Yields a run that ended and "", or what went wrong in it; None and "" when nothing happened.
    stopped  asked all the time; once it says yes, the runs save their state, and it ends.
    """
    context: Any = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
    if sys.platform != "win32":
        # Imported once, not in every run; torch's optimizers import torch._dynamo, which takes seconds.
        context.set_forkserver_preload(["trm_cli.training.loop", "torch._dynamo"])
    stopping = context.Event()
    waiting = [run for run in study.runs if run.progress()[0] < 1]
    free, busy = list(devices), list[_Busy]()
    try:
        while (waiting and not stopping.is_set()) or busy:
            if stopped():
                stopping.set()
            while waiting and free and not stopping.is_set():
                run, device = waiting.pop(0), free.pop(0)
                words, heard = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(run, generated, device, threads, stopping, heard), daemon=True
                )
                process.start()
                heard.close()
                busy.append(_Busy(run, process, words, device))
            yield None, ""
            for one in [one for one in busy if not one.process.is_alive()]:
                busy.remove(one)
                free.append(one.device)
                yield one.run, _last_words(one) if one.process.exitcode else ""
    finally:
        stopping.set()
        for one in busy:
            one.process.join()


def _last_words(one: _Busy) -> str:
    try:
        return str(one.words.recv())
    except EOFError:
        return f"the process of the run ended with code {one.process.exitcode}"


@dataclass(frozen=True)
class Result:
    """What came of an arm.

    exact, interval  the mean over the seeds, and 95 % of where it lies: by Student's t over the
                     seeds, or by Wilson's score over the puzzles where one seed, or all alike, tell no spread.
    p                how likely so large a difference from the first arm, or a larger one, is by chance: by
                     Welch's t-test over the seeds, or of two shares of puzzles where there is one seed.
    """

    arm: Arm
    outcomes: tuple[Outcome, ...]  # of the seeds that are over
    parameters: int
    depth: int  # blocks in a supervision step
    passes: int  # forward passes in a training step
    exact: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None

    def mean(self, name: str) -> float | None:
        """Of a figure, over the seeds."""
        return fmean(getattr(outcome, name) for outcome in self.outcomes) if self.outcomes else None

    @property
    def course(self) -> list[tuple[float, float]]:
        """Optimizer step and exact, where all seeds were evaluated; the mean over them."""
        by_step = [dict(outcome.course) for outcome in self.outcomes]
        common = set.intersection(*map(set, by_step)) if by_step else set()
        return [(step, fmean(one[step] for one in by_step)) for step in sorted(common)]

    def agrees(self, first: "Result") -> str | None:
        """Whether the difference from the first arm has the published sign; None where nothing is published."""
        published, other = self.arm.published, first.arm.published
        if published is None or other is None or self.p is None or self.exact is None or first.exact is None:
            return None
        if self.p >= SIGNIFICANT:
            return "cannot tell"
        return "agrees" if (self.exact - first.exact) * (published - other) > 0 else "disagrees"


def results(study: Study) -> list[Result]:
    """What is known of each arm by now."""
    from trm_cli.model.network import count_parameters

    found: list[Result] = []
    for arm in study.arms:
        model = study.recipe_of(arm).model
        known = [StudyRun(study, arm, seed).progress() for seed in range(study.seeds)]
        outcomes = tuple(outcome for share, outcome in known if outcome is not None and share == 1)
        passes = 2 if model.halting == "q_learning" else 1
        result = Result(arm, outcomes, count_parameters(model), model.effective_depth, passes)
        if outcomes:
            shares = [outcome.exact for outcome in outcomes]
            varies = len(set(shares)) > 1
            interval = t_interval(shares) if varies else wilson(_solved(outcomes[0]), outcomes[0].puzzles)
            first = found[0] if found else None
            p = _compare(first.outcomes, outcomes) if first and first.outcomes else None
            result = replace(result, exact=fmean(shares), interval=interval, p=p)
        found.append(result)
    return found


def _solved(outcome: Outcome) -> int:
    return round(outcome.exact * outcome.puzzles)


def _compare(first: tuple[Outcome, ...], second: tuple[Outcome, ...]) -> float:
    if len(first) > 1 and len(second) > 1:
        return welch([one.exact for one in first], [one.exact for one in second])
    one, other = first[0], second[0]
    return two_shares(_solved(one), one.puzzles, _solved(other), other.puzzles)
