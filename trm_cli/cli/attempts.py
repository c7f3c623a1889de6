"""The options that say how hard to try, shared by the commands that solve."""

import math
import time
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trm_cli.cli.common import parse_duration
from trm_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from trm_cli.solving.settings import SolveSettings

FURTHER = ("retry_steps", "guess", "starts", "noise", "views", "select")  # nothing without more
OWN = "the model's own"  # the default of an option whose value the checkpoint knows best

Halt = Annotated[str, typer.Option("--halt", help=(
    "When an attempt stops: verified (the halt head fires and the rules hold), q (the head "
    "fires), never (always --max-steps)."))]  # fmt: skip
MaxSteps = Annotated[Optional[int], typer.Option(
    "--max-steps", min=1, show_default=f"{OWN}, or 16",
    help="Supervision steps of the first attempt at most.")]  # fmt: skip
NumAttempts = Annotated[Optional[int], typer.Option(
    "--attempts", min=1, show_default=f"{OWN}, or 1",
    help="How often an unsolved puzzle is tried in all, each time otherwise.")]  # fmt: skip
RetrySteps = Annotated[Optional[int], typer.Option(
    "--retry-steps", min=1, show_default=f"{OWN}, or --max-steps",
    help="Supervision steps of each further attempt at most.")]  # fmt: skip
StepLimit = Annotated[Optional[int], typer.Option(
    "--step-limit", min=1, show_default="none",
    help="Supervision steps of all attempts at a puzzle together, at most.")]  # fmt: skip
Guess = Annotated[Optional[bool], typer.Option(
    "--guess/--no-guess", show_default=f"{OWN}, or no",
    help="Each further attempt fills a blank with what the network believed.")]  # fmt: skip
Starts = Annotated[Optional[str], typer.Option(
    "--starts", show_default=f"{OWN}, or random",
    help="Where z starts in further attempts: fixed (as in the first) or random.")]  # fmt: skip
Noise = Annotated[Optional[float], typer.Option(
    "--noise", min=0, show_default=f"{OWN}, or 0",
    help="Deviation of the noise on z before each step of further attempts.")]  # fmt: skip
NumViews = Annotated[Optional[int], typer.Option(
    "--views", min=1, show_default=f"{OWN}, or 1",
    help="Symmetric views of the puzzle that further attempts go through.")]  # fmt: skip
Select = Annotated[Optional[str], typer.Option(
    "--select", show_default=f"{OWN}, or verified",
    help="Which attempt's answer is taken: verified (the first whose rules hold), or after all "
    "attempts the best by q, mode, margin or residual.")]  # fmt: skip
TimeLimit = Annotated[Optional[str], typer.Option(
    "--time-limit", show_default="none", metavar="DURATION",
    help="Stop solving after 90s, 9m or 1h30m; puzzles that are left stay unsolved.")]  # fmt: skip


def chosen_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's options that are SolveSettings and were given; raises UsageError.

    Where there is a time limit, every puzzle is tried once before any is tried again.
    """
    from trm_cli.solving.settings import SolveSettings

    names = {setting.name for setting in fields(SolveSettings)}
    chosen = {name: value for name, value in given.items() if name in names and value is not None}
    if given.get("time_limit") is not None:
        chosen["breadth_first"] = True
    SolveSettings(**chosen)
    return chosen


def deadline(time_limit: str | None) -> Callable[[], bool]:
    """A clock that starts now: whether the time is up; raises UsageError where it is no time."""
    try:
        seconds = parse_duration(time_limit)
    except UsageError as error:
        raise UsageError(f"--time-limit: {error}") from error
    end = math.inf if seconds is None else time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def complete_settings(own: dict[str, Any], chosen: dict[str, Any]) -> "SolveSettings":
    """The user's settings, the rest as the checkpoint's own.

    Raises UsageError where they do not fit together, ModelError where the checkpoint's cannot be.
    """
    from trm_cli.solving.settings import SolveSettings

    try:
        SolveSettings(**own)
    except (TypeError, UsageError) as error:
        raise ModelError(f"`solving` in the model's config.json: {error}; correct it") from error
    plain, settings = SolveSettings(), SolveSettings(**{**own, **chosen})
    idle = [
        name for name in FURTHER if chosen.get(name, getattr(plain, name)) != getattr(plain, name)
    ]
    if settings.attempts == 1 and idle:
        flag = idle[0].replace("_", "-")
        raise UsageError(f"--{flag} is for further attempts; add --attempts 8, say")
    if settings.attempts > 1 and not settings.varies:
        raise UsageError(
            f"--attempts {settings.attempts}: every attempt would be the same; add --starts "
            "random, --noise, --views or --guess"
        )
    return settings
