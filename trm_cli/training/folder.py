"""The folder of a run, and everything that is written into it.

config.json        the resolved recipe, what it is trained on, and the command
log.jsonl          one object per report or evaluation
checkpoint/        averaged weights with their card: what `trm solve --model` takes
checkpoint-raw/    the same without the averaging
state/             what `--resume` goes on from
data.csv.gz        the puzzles, where the run generated them
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trm_cli.files import flush, write_whole
from trm_cli.tasks.base import HELD_OUT
from trm_cli.training.arc_sources import KNOWN, TESTS
from trm_cli.training.loop import Evaluation, Report
from trm_cli.training.overrides import numbers
from trm_cli.training.plan import CONFIG_FILE, Plan, run_config
from trm_cli.training.trainer import Trainer
from trm_cli.weights.card import write_card
from trm_cli.weights.store import Checkpoint, save_checkpoint

LOG_FILE = "log.jsonl"
IN_FULL = {  # what judges a run, as its card says it
    HELD_OUT: "held out from the training data",
    KNOWN: "pairs that were trained on",
    TESTS: "tests of evaluation tasks, each way by itself, no vote",
}


def read_facts(folder: Path) -> dict[str, Any]:
    """What was recorded of a run when it began: data, hardware, versions, command."""
    with run_config(folder) as known:
        facts: dict[str, Any] = known["training"]
        if not isinstance(facts["puzzles_sha256"], str):
            raise TypeError("puzzles_sha256")
    return facts


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The objects of a run's log, in order; lines that were cut off or damaged are left out."""
    entries = []
    for line in (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            entries.append(entry)
    return entries


class RunFolder:
    """Writes the folder of one run as its events come; the first worker's task."""

    def __init__(self, path: Path, plan: Plan, facts: dict[str, Any]) -> None:
        self.path = path
        self.plan = plan
        self.facts = facts
        self.measured: dict[str, Any] = {}

    def begin(self, sources: list[str]) -> None:
        """Make the folder and write what is to be trained, on puzzles from these sources."""
        self.path.mkdir(parents=True)
        recipe, plan = numbers(self.plan.recipe), self.plan.as_dict() | {"sources": sources}
        whole = {"recipe": recipe, "plan": plan, "training": self.facts}
        text = json.dumps(whole, indent=2) + "\n"
        write_whole(self.path / CONFIG_FILE, text.encode(), lasting=True)

    def rewind(self, step: int) -> None:
        """Drop from the log what came after a step; the run will write it again."""
        log = self.path / LOG_FILE
        entries = read_log(self.path) if log.exists() else []
        kept = [entry for entry in entries if entry["step"] <= step]
        write_whole(log, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
        for entry in kept:
            if entry.get("kind") == "evaluation" and "scores" in entry:
                self._measure(entry["step"], entry["scores"], entry.get("judged_by", HELD_OUT))

    def flush_log(self) -> None:
        """Have the disk keep the log, before a state that follows from it."""
        if (self.path / LOG_FILE).exists():
            flush(self.path / LOG_FILE)

    def note(self, event: Report | Evaluation) -> None:
        """Add an event to the log."""
        kind = "evaluation" if isinstance(event, Evaluation) else "report"
        with (self.path / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"kind": kind, **asdict(event)}) + "\n")
        if isinstance(event, Evaluation):
            self._measure(event.step, event.scores.as_dict(), event.judged_by)

    def _measure(self, step: int, scores: dict[str, Any], judged_by: str) -> None:
        entry = {"command": self.facts["command"], "groups": [scores]}
        self.measured = {f"{IN_FULL.get(judged_by, judged_by)}, step {step:,}": entry}

    def save_weights(self, trainer: Trainer) -> None:
        """Write both checkpoints, the averaged one with its card."""
        training = {**self.facts, "steps": trainer.step, "seconds": round(trainer.seconds, 1)}
        recipe = self.plan.recipe
        name = self.path.name
        averaged = Checkpoint(name, recipe.task, recipe.model, training, self.measured)
        save_checkpoint(self.path / "checkpoint", averaged, trainer.averaged.model)
        trainer.save_beside(self.path / "checkpoint")
        write_card(self.path / "checkpoint", averaged)
        raw = Checkpoint(f"{name}-raw", recipe.task, recipe.model, training)
        save_checkpoint(self.path / "checkpoint-raw", raw, trainer.network)
        trainer.save_beside(self.path / "checkpoint-raw")
