"""`trm train`: train a network, with a dashboard or plain lines, into a run folder."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from trm_cli.cli.options import (
    INTERRUPTED,
    DeviceName,
    Quiet,
    Revision,
    TaskName,
    Threads,
    as_typed,
    choose_device,
    hide_download_bars,
    parse_duration,
    stop_on_signals,
    user_errors,
)
from trm_cli.config import NEWEST
from trm_cli.errors import TrainingError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.training.loop import Limits
    from trm_cli.training.run import Run


class TrainCommand(TyperCommand):
    """Lets `--resume` stand alone: without a path it means the newest state."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the value that is left out, then parse as usual."""
        whole = []
        for place, word in enumerate(args):
            whole.append(word)
            following = args[place + 1 :][:1]
            if word == "--resume" and (not following or following[0].startswith("-")):
                whole.append(NEWEST)
        return super().parse_args(ctx, whole)


@user_errors()
def train(
    task: TaskName,
    recipe: Annotated[
        Optional[str],
        typer.Option(
            "--recipe", "-r", show_default="fast", help="A named set of numbers: tiny, fast, large, mlp or paper."
        ),
    ] = None,
    config: Annotated[
        Optional[Path], typer.Option("--config", help="TOML file of numbers that differ; see --print-config.")
    ] = None,
    settings: Annotated[
        Optional[list[str]], typer.Option("--set", metavar="NAME=VALUE", help="Override one number; may be repeated.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved recipe as TOML and exit.")
    ] = False,
    data: Annotated[
        Optional[list[str]],
        typer.Option(
            "--data",
            "-d",
            metavar="SOURCE",
            show_default="generate",
            help="CSV or CSV.gz with question and answer columns, hub:OWNER/NAME, or generate; "
            "may be repeated. For a task of problems: the folder that `trm data TASK` made.",
        ),
    ] = None,
    subsample: Annotated[
        Optional[int], typer.Option("--subsample", min=1, show_default="all", help="Train on so many of the puzzles.")
    ] = None,
    run: Annotated[
        Optional[Path], typer.Option("--run", show_default="runs/TASK/RECIPE-N", help="Folder of the run; a new one.")
    ] = None,
    resume: Annotated[
        Optional[str],
        typer.Option(
            "--resume",
            metavar="[PATH]",
            help="Go on with a run where its newest state was saved: the one of --run, or of PATH, or the newest.",
        ),
    ] = None,
    init: Annotated[
        Optional[str],
        typer.Option("--init", metavar="MODEL", help="Start from the weights of a model, as `trm solve -m` takes it."),
    ] = None,
    revision: Revision = None,
    max_steps: Annotated[
        Optional[int], typer.Option("--max-steps", min=1, help="Stop at this optimizer step of the run.")
    ] = None,
    max_time: Annotated[
        Optional[str], typer.Option("--max-time", help="Stop after so long of training in this call: 90s, 9m, 1h30m.")
    ] = None,
    gpus: Annotated[
        Optional[int],
        typer.Option(
            "--gpus",
            min=1,
            show_default="1 where there is one",
            help="Workers, one for each GPU; with --device cpu, processes.",
        ),
    ] = None,
    log_to: Annotated[
        Optional[list[str]],
        typer.Option(
            "--log-to",
            metavar="NAME",
            show_default="log.jsonl alone",
            help="Also report to tensorboard or wandb, if installed.",
        ),
    ] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    seed: Annotated[
        Optional[int], typer.Option("--seed", min=0, max=2**63 - 1, show_default="0", help="Same seed, same result.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on puzzles.

    Example: trm train sudoku --recipe tiny --max-time 10m
    """
    from trm_cli.config import as_toml
    from trm_cli.training.run import Options, new_run, resolve_plan, resumed_run

    if revision is not None and init is None:
        raise UsageError("--revision: of which model? Give --init OWNER/NAME with it")
    options = Options(task, recipe, config, settings, data, subsample, seed, run, resume, init)
    if print_config:
        resolved = (resumed_run(options).plan if resume is not None else resolve_plan(options)).recipe
        typer.echo(as_toml(resolved, title=f"{resolved.task}, recipe {resolved.name}"))
        return

    from trm_cli.training.distributed import is_worker
    from trm_cli.training.loggers import check_loggers
    from trm_cli.training.loop import Limits

    check_loggers(log_to or [])
    limits = Limits(max_steps, parse_duration(max_time))
    work = resumed_run(options) if resume is not None else new_run(options, limits.max_seconds, is_worker=is_worker())
    chosen = _device(device, threads, gpus)
    if gpus is not None and gpus > 1 and not is_worker():
        raise typer.Exit(_launch(gpus, work))
    if _train(work, limits, chosen, init=init, revision=revision, log_to=log_to or [], quiet=quiet):
        raise typer.Exit(INTERRUPTED)


def _device(name: str, threads: int | None, gpus: int | None) -> "torch.device":
    """The device of this process: with several workers on GPUs, each has its own."""
    import torch

    from trm_cli.training.distributed import check_count, local_rank

    chosen = choose_device(name, threads)
    if gpus is not None:
        check_count(gpus, chosen, wants_cpu=name == "cpu")
    if chosen.type == "cuda" and local_rank() >= torch.cuda.device_count():
        raise UsageError(f"worker {local_rank()} has no GPU; start as many workers as there are GPUs")
    if chosen.type == "cuda":
        torch.set_float32_matmul_precision("high")
        chosen = torch.device("cuda", local_rank())
        torch.cuda.set_device(chosen)
    return chosen


def _launch(count: int, run: "Run") -> int:
    """Start the same command in `count` workers; returns the exit code."""
    from trm_cli.training.distributed import launch
    from trm_cli.training.step import slots_per_worker

    slots_per_worker(run.plan.recipe.train.batch_size, count)
    arguments = sys.argv[1:]
    if not _typed("--run") and run.resumed is None:
        arguments = [*arguments, "--run", str(run.folder)]
    try:
        return launch(count, arguments)
    except TrainingError as error:
        if not run.has_state():
            raise
        raise TrainingError(f"{error}; the last saved state is intact: `{_how_to_resume(run, count)}`") from None


def _train(
    run: "Run",
    limits: "Limits",
    device: "torch.device",
    *,
    init: str | None,
    revision: str | None,
    log_to: list[str],
    quiet: bool,
) -> bool:
    """Train in this process; returns whether the user stopped it."""
    from trm_cli.display.training import TrainingDisplay
    from trm_cli.training.data import load_data, refuse_misfits
    from trm_cli.training.distributed import joined_workers
    from trm_cli.training.loggers import Loggers
    from trm_cli.training.loop import Evaluation, SavePoint, start_run
    from trm_cli.weights.catalogue import open_model

    hide_download_bars(quiet)
    plan = run.plan
    start = open_model(init, task=plan.task.name, device=device, revision=revision) if init else None
    refuse_misfits(plan.task, plan.recipe.model, start.checkpoint.model if start else None)
    was_stopped = False
    with joined_workers(device) as workers:
        run.folder = workers.share(run.folder)
        with (
            TrainingDisplay(plan.recipe, limits, quiet=quiet or not workers.is_first) as display,
            Loggers(log_to if workers.is_first else [], run.folder) as loggers,
        ):
            data = load_data(plan, run.read_data(), display.generating)
            if run.resumed is not None:
                display.resumed(run.folder, run.resumed.step)
            with stop_on_signals(patient=workers.count > 1) as stopped:
                for event in start_run(
                    run, data, limits, device=device, command=as_typed(), start=start, workers=workers, stopped=stopped
                ):
                    if isinstance(event, SavePoint):
                        was_stopped = event.stopped
                        continue
                    display.show(event)
                    loggers.log(event)
                    if isinstance(event, Evaluation):
                        _draw_curves(run)
        if was_stopped:
            display.interrupted(run.folder, _how_to_resume(run, workers.count))
        else:
            display.finished(run.folder)
        if workers.is_first:
            _draw_curves(run)
    return was_stopped


def _draw_curves(run: "Run") -> None:
    """Draw the run's log beside it."""
    from trm_cli.display.charts import draw_curves
    from trm_cli.training.run import read_log

    with suppress(OSError):  # a disk that is full speaks up where more than a picture is at stake
        run.write_curves(draw_curves(read_log(run.folder), title=f"Training curves of {run.folder.name}"))


def _how_to_resume(run: "Run", workers: int) -> str:
    """The line that goes on with a run, on the same device with the same threads and workers."""
    line = f"trm train {run.plan.task.name} --resume {shlex.quote(str(run.folder))}"
    if workers > 1 and not _typed("--gpus"):
        return f"torchrun ... -m -- {line.replace('trm', 'trm_cli', 1)}"
    return " ".join([line, *_typed("--gpus"), *_typed("--device"), *_typed("--threads")])


def _typed(option: str) -> list[str]:
    """The option and its value, if they were typed."""
    for place, word in enumerate(sys.argv):
        if word == option:
            return sys.argv[place : place + 2]
        if word.startswith(f"{option}="):
            return [word]
    return []
