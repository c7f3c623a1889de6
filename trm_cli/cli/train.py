"""`trm train`: train a network, with a dashboard or plain lines, into a run folder."""

import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.commands import INTERRUPTED, Command
from trm_cli.cli.completion import complete_models, complete_recipes, complete_words
from trm_cli.cli.help import DATA, MODEL, RECIPE, RUN
from trm_cli.cli.options import logger
from trm_cli.config import NEWEST, parse_duration
from trm_cli.errors import FileError, TrainingError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.training.data import RunData
    from trm_cli.training.run import Limits, Plan, Run
    from trm_cli.weights.tensors import LoadedModel


class TrainCommand(Command):
    """Lets `--resume` stand alone: without a path it means the newest state."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the value that is left out, then parse as usual."""
        whole = []
        for word, following in zip_longest(args, args[1:], fillvalue="-"):
            whole += [word, NEWEST] if word == "--resume" and following.startswith("-") else [word]
        return super().parse_args(ctx, whole)


@options.with_options(machine=options.DEVICE)
def train(
    task: options.TaskName,
    recipe: Optional[str] = Option(
        None,
        "--recipe",
        "-r",
        metavar="NAME",
        show_default="fast",
        help="A named set of numbers: tiny, fast, large, sizes, mlp, paper, hrm, hrm-tiny.",
        rich_help_panel=RECIPE,
        autocompletion=complete_recipes,
    ),
    config: Optional[Path] = Option(
        None, metavar="FILE", help="TOML file of numbers that differ; see --print-config.", rich_help_panel=RECIPE
    ),
    settings: options.Settings = None,
    print_config: bool = Option(
        False, "--print-config", help="Print the resolved recipe as TOML and exit.", rich_help_panel=RECIPE
    ),
    data: Optional[list[str]] = Option(
        None,
        "--data",
        "-d",
        metavar="SOURCE",
        show_default="generate",
        help="CSV or CSV.gz with answers, a folder of `trm data`, hub:OWNER/NAME or generate; may be repeated.",
        rich_help_panel=DATA,
    ),
    subsample: Optional[int] = Option(
        None, min=1, metavar="N", show_default="all", help="Train on N of the puzzles.", rich_help_panel=DATA
    ),
    run: Optional[Path] = Option(
        None, metavar="FOLDER", show_default="runs/TASK/RECIPE-N", help="New folder for the run.", rich_help_panel=RUN
    ),
    resume: Optional[str] = Option(
        None,
        metavar="[PATH]",
        help="Continue a run from its last saved state: the run of --run, of PATH, or the newest.",
        rich_help_panel=RUN,
    ),
    init: Optional[str] = Option(
        None,
        metavar="MODEL",
        help="Start from the weights of a model, named as in `trm solve -m`.",
        rich_help_panel=MODEL,
        autocompletion=complete_models,
    ),
    revision: options.Revision = None,
    max_steps: Optional[int] = Option(
        None, min=1, metavar="N", help="Stop at this optimizer step of the run.", rich_help_panel=RUN
    ),
    max_time: Optional[str] = Option(
        None,
        metavar="DURATION",
        help="End this call so long after its start; generating, evaluating and saving count. 90s, 9m, 1h30m.",
        rich_help_panel=RUN,
    ),
    gpus: options.Gpus = None,
    log_to: Optional[list[str]] = Option(
        None,
        metavar="tensorboard|wandb",
        show_default="log.jsonl alone",
        help="Also report there, if installed; may be repeated.",
        rich_help_panel=RUN,
        autocompletion=complete_words("tensorboard", "wandb"),
    ),
    machine: Any = options.GROUP,
    seed: Optional[int] = Option(
        None,
        min=0,
        max=options.LARGEST_SEED,
        metavar="N",
        show_default="0",
        help="Same seed, same result.",
        rich_help_panel=RUN,
    ),
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network on puzzles.

    Example: trm train sudoku --recipe tiny --max-time 10m
    """
    from trm_cli.config import as_toml
    from trm_cli.training.run import Limits, Options, open_run, resolve_plan, resumed_run

    limits = Limits(max_steps, parse_duration(max_time))  # its clock starts here

    if revision is not None and init is None:
        raise UsageError("--revision: of which model? Give --init OWNER/NAME with it")
    typed = Options(task, recipe, config, settings, data, subsample, seed, run, resume, init)
    if print_config:
        resolved = (resumed_run(typed).plan if resume is not None else resolve_plan(typed)).recipe
        typer.echo(as_toml(resolved, title=f"{resolved.task}, recipe {resolved.name}"))
        return

    from trm_cli.model.ranks import own_machine, own_rank
    from trm_cli.training.loggers import check_loggers

    check_loggers(log_to or [])
    rank = own_rank()
    launches = gpus is not None and gpus > 1 and rank is None
    with open_run(typed, limits.max_seconds, launches=launches, rank=rank) as work:
        device, _ = own_machine(**machine, gpus=gpus)
        if launches:
            chosen = [] if run or work.resumed else ["--run", str(work.folder)]
            raise typer.Exit(_launch(work, int(gpus or 1), [*sys.argv[1:], *chosen], machine))
        start = None
        if init is not None:
            import torch

            from trm_cli.weights.catalogue import open_model

            start = open_model(init, task=task, device=device, dtype=torch.float32, revision=revision)
        logger.info("device %s, folder %s", device, work.folder)
        if _train(work, limits, device, start=start, log_to=log_to or [], gpus=gpus, machine=machine, quiet=quiet):
            raise typer.Exit(INTERRUPTED)


def _train(
    work: "Run",
    limits: "Limits",
    device: "torch.device",
    *,
    start: "LoadedModel | None",
    log_to: list[str],
    gpus: int | None,
    machine: dict[str, Any],
    quiet: bool,
) -> bool:
    """Train in this process, and show it; returns whether the user has stopped it.

    start  a model whose weights to start from.
    """
    from trm_cli.display.training import TrainingDisplay
    from trm_cli.training.data import load_data, refuse_misfits
    from trm_cli.training.distributed import joined_workers
    from trm_cli.training.loggers import Loggers
    from trm_cli.training.loop import Evaluation, SavePoint, start_run

    plan = work.plan
    if start is not None:
        options.log_model(start)
    refuse_misfits(plan.task, plan.recipe.model, start.checkpoint.model if start else None)
    last: SavePoint | None = None

    def generating(done: int, wanted: int) -> None:
        display.generating(done, wanted)
        limits.refuse_late(f"{done:,} of {wanted:,} puzzles were generated; give more time, or --set data.puzzles=...")

    with joined_workers(device) as workers:
        work.folder = workers.share(work.folder)
        with (
            TrainingDisplay(plan.recipe, limits, quiet=quiet or not workers.is_first) as display,
            Loggers(log_to if workers.is_first else [], work.folder) as loggers,
        ):
            pairs = load_data(plan, work.read_data(), generating)
            counts = [sum(len(getattr(one, part)) for one in pairs.sizes) for part in ("training", "validation")]
            logger.info("data %s: puzzles %d, validation set %d", ", ".join(pairs.names), *counts)
            limits.refuse_late("the puzzles were read; give more time")
            if plan.recipe.lacks_time:  # then it has what is left of this call
                limits = replace(limits, ends_run=True)
                plan = work.plan = plan.over(workers.share(limits.seconds_left))
            if work.resumed is not None:
                display.resumed(work.folder, work.resumed.step)
            with options.stop_on_signals(patient=workers.count > 1) as stopped:
                for event in start_run(
                    work,
                    pairs,
                    limits,
                    device=device,
                    command=options.as_typed(),
                    start=start,
                    workers=workers,
                    stopped=stopped,
                ):
                    if isinstance(event, SavePoint):
                        last = event
                        continue
                    display.show(event)
                    loggers.log(event)
                    if isinstance(event, Evaluation):
                        _draw_curves(work)
        assert last is not None  # every run ends with one
        how_to_resume = None if last.is_over else _how_to_resume(work, workers.count, gpus=gpus, **machine)
        display.finished(work.folder, last, _how_to_try(plan, work.folder, pairs), how_to_resume)
        if workers.is_first and not display.has_evaluated(last.step):
            _draw_curves(work)
    return last.stopped


def _launch(run: "Run", count: int, arguments: list[str], machine: dict[str, Any]) -> int:
    """Start the same command in `count` workers; returns the exit code."""
    from trm_cli.training.distributed import launch
    from trm_cli.training.step import slots_per_worker

    slots_per_worker(run.plan.recipe.train.batch_size, count)
    try:
        return launch(count, arguments)
    except TrainingError as error:
        if not run.has_state():
            raise
        line = _how_to_resume(run, count, gpus=count, **machine)
        raise TrainingError(f"{error}; the last saved state is intact: `{line}`") from None


def _draw_curves(run: "Run") -> None:
    """Draw the run's log beside it."""
    from trm_cli.display.charts import draw_curves
    from trm_cli.training.records import read_log

    with suppress(OSError, FileError):  # a disk that is full speaks up where more than a picture is at stake
        run.write_curves(draw_curves(read_log(run.folder), title=f"Training curves of {run.folder.name}"))


def _how_to_try(plan: "Plan", folder: Path, data: "RunData") -> str:
    """The line that shows what the network of a run can do: on a puzzle, or on what there is to test it on."""
    from trm_cli.tasks.base import Generator

    words = ["models", "show"]
    if isinstance(plan.task, Generator):
        words = ["watch", plan.task.name, "--model"]
    elif data.problems is not None and data.problems.tests:
        words = ["eval", plan.task.name, "--data", plan.sources[0], "--model"]
    return shlex.join(["trm", *words, str(folder)])


def _how_to_resume(run: "Run", workers: int, *, gpus: int | None, device: str, threads: int | None) -> str:
    """The line that goes on with a run, on the same device with the same threads and workers."""
    line = f"trm train {run.plan.task.name} --resume {shlex.quote(str(run.folder))}"
    if workers > 1 and not gpus:
        return f"torchrun ... -m -- {line.replace('trm', 'trm_cli', 1)}"
    typed = {"--gpus": gpus, "--device": None if device == "auto" else device, "--threads": threads}
    return " ".join([line, *(f"{flag} {value}" for flag, value in typed.items() if value)])
