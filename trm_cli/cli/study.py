"""`trm study`: train several arms on the same data and compare them, such as the paper's ablations."""

import os
import time
from pathlib import Path
from typing import Any, Optional

import typer
from typer import Option

from trm_cli.cli import options
from trm_cli.cli.commands import INTERRUPTED
from trm_cli.cli.completion import complete_recipes, complete_words
from trm_cli.cli.help import ARMS, DATA, HARDWARE, INPUT_OUTPUT, RECIPE, RUN
from trm_cli.config import parse_duration
from trm_cli.errors import TrainingError, UsageError, did_you_mean


@options.with_options(machine=options.DEVICE)
def study(
    task: options.TaskName,
    recipe: str = Option(
        "tiny",
        "--recipe",
        "-r",
        metavar="NAME",
        help="A named set of numbers that all arms share.",
        rich_help_panel=RECIPE,
        autocompletion=complete_recipes,
    ),
    settings: options.Settings = None,
    preset: Optional[str] = Option(
        None,
        metavar="NAME",
        help="Named arms: paper, the ablations of the paper.",
        rich_help_panel=ARMS,
        autocompletion=complete_words("paper"),
    ),
    varied: Optional[list[str]] = Option(
        None,
        "--vary",
        metavar="NAME=VALUE,VALUE",
        help="One arm for each value; several: one for each combination.",
        rich_help_panel=ARMS,
    ),
    only: Optional[list[str]] = Option(
        None,
        metavar="ARM",
        help="Of a preset, this arm; may be repeated. The first arm is always there.",
        rich_help_panel=ARMS,
    ),
    data: Optional[list[str]] = Option(
        None,
        "--data",
        "-d",
        metavar="SOURCE",
        show_default="generate",
        help="As in `trm train`, for all arms alike.",
        rich_help_panel=DATA,
    ),
    subsample: Optional[int] = Option(
        None, min=1, metavar="N", show_default="all", help="Train on N of the puzzles.", rich_help_panel=DATA
    ),
    seeds: int = Option(
        1, min=1, max=1000, metavar="N", help="Runs of each arm, with seeds 0, 1, 2, ...", rich_help_panel=RUN
    ),
    max_steps: Optional[int] = Option(
        None,
        min=1,
        metavar="N",
        show_default="the recipe's",
        help="Optimizer steps of each run; the learning rates fall over them.",
        rich_help_panel=RUN,
    ),
    max_time: Optional[str] = Option(
        None,
        metavar="DURATION",
        show_default="none",
        help="Training of each run instead, without generating its puzzles and its last evaluation: 90s, 9m, 1h30m.",
        rich_help_panel=RUN,
    ),
    jobs: Optional[int] = Option(
        None,
        min=1,
        max=1024,
        metavar="N",
        show_default="one for each GPU, or CPU core",
        help="Runs that train side by side.",
        rich_help_panel=HARDWARE,
    ),
    output: Path = Option(
        ...,
        "--output",
        "-o",
        metavar="FOLDER",
        show_default=False,
        help="Folder of the study; the same command continues in it.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    json: options.Json = False,
    machine: Any = options.GROUP,
    quiet: options.Quiet = False,
) -> None:
    """Compare ways to train, over several seeds, with intervals and tests.

    Every arm trains on the same data for the same steps or time.

    Example: trm study sudoku --preset paper --seeds 3 -o study
    """
    from dataclasses import replace

    from trm_cli.training.run import Options, resolve_plan
    from trm_cli.training.study import PRESETS, Study, results, train_study, vary

    if (preset is None) == (not varied):
        raise UsageError("what is compared? Give either --vary SECTION.NAME=VALUE,VALUE or --preset paper")
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose from: {', '.join(PRESETS)}{did_you_mean(preset, PRESETS)}")
    arms = PRESETS[preset] if preset is not None else vary(varied or [])
    if only:
        if unknown := set(only) - {arm.name for arm in arms}:
            raise UsageError(f"--only {min(unknown)}: choose from: {'; '.join(arm.name for arm in arms)}")
        arms = arms[:1] + tuple(arm for arm in arms[1:] if arm.name in only)
    plan = resolve_plan(Options(task, recipe, None, settings, data, subsample))
    train = plan.recipe.train
    if max_steps is not None:
        train = replace(train, steps=max_steps, decay_by="steps")
    if (seconds := parse_duration(max_time)) is not None:
        train = replace(train, decay_by="time", minutes=seconds / 60)
        train = train if max_steps else replace(train, steps=MANY_STEPS)
    if train.decay_by == "time" and not train.minutes:
        raise UsageError(f"recipe {recipe} follows the time; give --max-time or --max-steps")
    asked = Study(replace(plan, recipe=replace(plan.recipe, train=train)), arms, seeds, output)

    from trm_cli.display.study import StudyDisplay, show_results, write_results

    devices, threads = _devices(machine, jobs)
    asked.refuse_unreadable()
    command = options.as_typed()
    goes_on, failed = asked.begin(), ""
    with StudyDisplay(asked, quiet=quiet) as display:
        if goes_on:
            display.console.print(f"{output}: goes on where it was left")
        puzzles = asked.generated(display.generating)
        with options.stop_on_signals(patient=True) as stopped:
            for run, problem in train_study(asked, puzzles, devices=devices, threads=threads, stopped=stopped):
                if run is None:
                    time.sleep(POLL_SECONDS)
                else:
                    display.ends(run, problem)
                    failed = failed or problem
                    write_results(asked, results(asked), command, draws=False)
                display.tick()
            was_stopped = stopped()
    found = results(asked)
    write_results(asked, found, command, draws=True)
    if was_stopped:
        display.console.print(f"{output}: stopped, all runs are saved; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    show_results(asked, found, command, as_json=json)
    if failed:
        raise TrainingError(f"{output}: not every run ended well, see above; the same command tries those again")


POLL_SECONDS = 0.2  # between two looks at the runs
MANY_STEPS = 1_000_000_000  # of a run that ends by time


def _devices(machine: dict[str, Any], jobs: int | None) -> tuple[list[str], int]:
    """A device for each run that trains at a time, and the CPU threads of each."""
    import torch

    cores = os.cpu_count() or 1
    from trm_cli.model.machine import choose_machine

    chosen, _ = choose_machine(**machine)
    if chosen.type == "cuda":
        count = torch.cuda.device_count()
        devices = [f"cuda:{number % count}" for number in range(jobs or count)]
    else:
        devices = [chosen.type] * (jobs or (cores // (machine["threads"] or 1) if chosen.type == "cpu" else 0) or 1)
    return devices, machine["threads"] or max(1, cores // len(devices))
