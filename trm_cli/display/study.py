"""A study: a live table with a bar for each arm, and what came of it as Markdown, JSON and a chart."""

import json
import time
from typing import Any

from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from trm_cli.display.charts import draw_courses
from trm_cli.display.console import answers_console, is_ascii, remarks_console
from trm_cli.display.report import escape, table
from trm_cli.display.training import TRAINING, VALIDATION, duration
from trm_cli.files import write_whole
from trm_cli.training.study import CHART_FILE, RESULTS_FILE, TABLE_FILE, Result, Study, StudyRun

SCHEMA = 1
REDRAW_SECONDS = 0.5
LEAST_BAR, LONGEST_NAME = 10, 28  # columns
FULL, REST = ("━", "─"), ("=", "-")


def described(study: Study, found: list[Result], command: str) -> dict[str, Any]:
    """A study and what came of it, as JSON."""
    recipe, plan = study.plan.recipe, study.plan
    return {
        "schema": SCHEMA,
        "task": recipe.task,
        "recipe": recipe.name,
        "command": command,
        "data": plan.sources or ["generate"],
        "seeds": study.seeds,
        "arms": [
            {
                "name": one.arm.name,
                "settings": list(one.arm.settings),
                "exact": one.exact,
                "interval": one.interval,
                "p": one.p,
                "published": one.arm.published,
                "verdict": one.agrees(found[0]),
                **{name: one.mean(name) for name in ("cell", "mean_steps", "seconds")},
                "depth": one.depth,
                "passes": one.passes,
                "parameters": one.parameters,
                "runs": [
                    {"seed": seed, **{name: getattr(outcome, name) for name in ("step", "seconds", "exact", "cell")}}
                    for seed, outcome in enumerate(one.outcomes)
                ],
                "course": [{"step": step, "exact": exact} for step, exact in one.course],
            }
            for one in found
        ],
    }


def markdown(study: Study, found: list[Result], command: str) -> str:
    """The table, like the paper's, and how to read it."""
    first, has_published = found[0], any(one.arm.published for one in found)
    columns = {
        "": "",
        "exact": ".1%",
        "95%": "",
        "p": ".2g",
        "cells": ".1%",
        "steps": ".1f",
        "depth": ",",
        "passes": "",
    }
    columns |= {"parameters": ",", "seconds": ",.0f"}
    columns |= {"paper": ".1f", "here": ""} if has_published else {}
    rows = []
    for one in found:
        figures = [one.mean(name) for name in ("cell", "mean_steps")]
        row = [escape(one.arm.name), one.exact, one.interval, one.p, *figures, one.depth, str(one.passes)]
        row += [one.parameters, one.mean("seconds")]
        rows.append([*row, one.arm.published, one.agrees(first)] if has_published else row)
    recipe, config = study.plan.recipe, study.plan.recipe.train
    board = f"{recipe.model.height}x{recipe.model.width}"
    length = f"{config.minutes:g} minutes" if config.decay_by == "time" else f"{config.steps:,} optimizer steps"
    seeds = "one seed" if study.seeds == 1 else f"{study.seeds} seeds"
    sample = "over the puzzles" if study.seeds == 1 else "over the seeds"
    test = "the z-test of two shares" if study.seeds == 1 else "Welch's t-test"
    note = (
        f"exact: share of the validation set ({config.validation:,} puzzles) of which every cell is as the label; "
        f"95%: of where its mean lies, {sample}; p: that chance alone makes so large a difference from the first "
        f"arm, by {test}, each arm by itself; steps: supervision steps a puzzle; depth: blocks that a state goes "
        "through in one of them; passes: forward passes in a training step; seconds: of a run, with its evaluations"
    )
    note += "; paper: the published accuracy, %; here: whether the difference has the same sign" * has_published
    heading = f"{recipe.task} {board}, recipe {recipe.name}, {length} each, {seeds}"
    return "\n\n".join([table(heading, columns, rows, note), f"Measured by `{command}`"]) + "\n"


def write_results(study: Study, found: list[Result], command: str, *, draws: bool) -> None:
    """Write what is known into the study's folder; the chart if there is time for it."""
    text = f"{json.dumps(described(study, found, command), indent=2)}\n"
    write_whole(study.folder / RESULTS_FILE, text.encode())
    write_whole(study.folder / TABLE_FILE, markdown(study, found, command).encode())
    courses = {one.arm.name: one.course for one in found if one.course}
    if draws and courses:
        title = f"{study.plan.task.name}: {len(found)} arms, {study.seeds} seed{'s' * (study.seeds > 1)} each"
        write_whole(study.folder / CHART_FILE, draw_courses(courses, title=title))


def show_results(study: Study, found: list[Result], command: str, *, as_json: bool) -> None:
    """Print the table or the JSON object."""
    console = answers_console()
    if as_json:
        console.file.write(json.dumps(described(study, found, command)) + "\n")
    else:
        console.print(Markdown(markdown(study, found, command)))


class StudyDisplay:
    """A context manager that shows how far a study is: a table on a terminal, a line a run elsewhere."""

    def __init__(self, study: Study, *, quiet: bool) -> None:
        self.study = study
        self.console = remarks_console(quiet)
        self.symbols = REST if is_ascii(self.console) else FULL
        self.began = time.monotonic()
        self.drawn = 0.0
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self._draws else None

    @property
    def _draws(self) -> bool:
        return self.console.is_terminal and not self.console.quiet

    def __enter__(self) -> "StudyDisplay":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def generating(self, done: int, wanted: int) -> None:
        """So many puzzles are there, of so many."""
        if self.live:
            self.live.update(Text(f"generating puzzles {done:,} of {wanted:,}"), refresh=True)

    def ends(self, run: StudyRun, problem: str) -> None:
        """A run ended, well or with a problem."""
        what = f"{run.arm.name}, seed {run.seed}"
        share, outcome = run.progress()
        if problem:
            self.console.print(f"{what}: {problem}")
        elif share == 1 and outcome and not self.live:
            self.console.print(f"{what}: exact {outcome.exact:.1%}, {outcome.step:,} steps in {outcome.seconds:.0f} s")

    def tick(self) -> None:
        """Draw the table again, now and then."""
        if self.live and time.monotonic() - self.drawn > REDRAW_SECONDS:
            self.live.update(self.lines(self.console.width, self.console.height), refresh=True)
            self.drawn = time.monotonic()

    def lines(self, width: int, height: int) -> Text:
        """One line an arm: name, bar of what its runs solve so far, the figure, and how far they are."""
        study = self.study
        names = min(LONGEST_NAME, max(len(arm.name) for arm in study.arms))
        room = max(LEAST_BAR, width - names - 26)
        done, rows = 0.0, []
        for arm in study.arms:
            known = [StudyRun(study, arm, seed).progress() for seed in range(study.seeds)]
            shares = [share for share, _ in known]
            done += sum(shares)
            exact = [outcome.exact for _, outcome in known if outcome]
            mean = sum(exact) / len(exact) if exact else 0.0
            filled = round(mean * room)
            state = f"{shares.count(1.0)}/{study.seeds}"
            running = next((share for share in shares if 0 < share < 1), None)
            row = Text(arm.name[:names].ljust(names + 2), no_wrap=True)
            row.append(self.symbols[0] * filled, VALIDATION).append(self.symbols[1] * (room - filled), "dim")
            row.append(f"{mean:7.1%}" if exact else "      –" if self.symbols is FULL else "      -", "bold")
            row.append(f"  {state:>5}", "dim").append("" if running is None else f"  {running:4.0%}", TRAINING)
            rows.append(row)
        total = len(study.runs)
        passed = time.monotonic() - self.began
        title = f"{study.plan.task.name} {study.plan.recipe.name}: {len(study.arms)} arms, {study.seeds} seeds"
        head = Text(title, "bold").append(f"   {done / total:.0%} after {duration(passed)}", "dim")
        return Text("\n").join([head, *rows[: max(1, height - 2)]])
