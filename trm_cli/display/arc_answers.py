"""What `trm solve arc` and `trm eval arc` print: drawings, or JSON of a documented schema."""

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from trm_cli.display.arc import draw_task
from trm_cli.solving.voting import ATTEMPTS, ArcScores, Ballot
from trm_cli.tasks.arc_files import ArcTask
from trm_cli.tasks.arc_grid import Grid, key
from trm_cli.weights.store import LoadedModel

SCHEMA = 1


@dataclass(frozen=True)
class ArcAnswer:
    """What came of one task."""

    task: ArcTask
    ballots: list[Ballot]  # of its tests
    adapted: dict[str, Any] | None  # steps, seconds, cell accuracy; None where the model knew it
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether every test has an attempt that is right, or any where its answer is unknown."""
        return all(
            is_right(ballot, answer) if answer is not None else bool(ballot.grids)
            for ballot, answer in zip(self.ballots, self.task.answers, strict=True)
        )

    def as_json(self, index: int, loaded: LoadedModel) -> str:
        """One line; the fields stand in docs/arc.md."""
        tests = zip(self.ballots, self.task.answers, strict=True)
        return json.dumps({
            "schema": SCHEMA, "task": "arc", "index": index, "name": self.task.name,
            "tests": [_test_json(ballot, answer) for ballot, answer in tests],
            "adapted": self.adapted, "seconds": round(self.seconds, 2),
            "model": {"name": loaded.checkpoint.name, "source": loaded.source,
                      "sha256": loaded.sha256},
        })  # fmt: skip

    def draw(self, console: Console) -> None:
        """Draw it, with an empty line behind."""
        draw_task(console, self.task, self.ballots)
        console.print()


def is_right(ballot: Ballot, answer: Grid) -> bool:
    """Whether one of the attempts is the answer."""
    return any(key(one.grid) == key(answer) for one in ballot.attempts())


def _test_json(ballot: Ballot, answer: Grid | None) -> dict[str, Any]:
    best = ballot.attempts()
    tried = [one.grid.tolist() for one in best] + [None] * (ATTEMPTS - len(best))
    return {
        **{f"attempt_{number}": grid for number, grid in enumerate(tried, 1)},
        "solved": None if answer is None else is_right(ballot, answer),
        "votes": [one.votes for one in best],
        "halt_probability": [round(one.halt_probability, 4) for one in best],
        "predictions": ballot.predictions, "malformed": ballot.malformed, "empty": ballot.empty,
    }  # fmt: skip


def scores_json(scores: ArcScores, loaded: LoadedModel, data: str) -> str:
    """An evaluation as one line of JSON."""
    return json.dumps({
        "schema": SCHEMA, "task": "arc", "data": data, "tasks": scores.tasks,
        "tests": scores.tests, "pass": {str(most): mean for most, mean in scores.passes.items()},
        "predictions": scores.predictions, "malformed": scores.malformed, "empty": scores.empty,
        "model": {"name": loaded.checkpoint.name, "source": loaded.source,
                  "sha256": loaded.sha256},
    })  # fmt: skip


def show_scores(console: Console, scores: ArcScores) -> None:
    """An evaluation as lines to read."""
    for most, mean in scores.passes.items():
        console.print(f"pass@{most:<5} {mean:7.2%}")
    if not scores.passes:
        console.print("no answer is known: nothing to score")
    console.print(
        f"{scores.tasks:,} tasks with known answers, {scores.tests:,} tests; "
        f"{scores.predictions:,} predictions, of which {scores.malformed:,} lack end markers and "
        f"{scores.empty:,} hold no grid"
    )
