"""An evaluation as one JSON object; its fields are listed in docs/json.md."""

from dataclasses import asdict
from typing import Any

from trm_cli.solving.evaluate import Evaluated, compare
from trm_cli.solving.statistics import wilson
from trm_cli.solving.tally import NUM_BINS

SCHEMA = 1


def described(evaluated: list[Evaluated]) -> dict[str, Any]:
    """One network's figures, or two networks' with their comparison."""
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "data": {"name": evaluated[0].name, "sha256": evaluated[0].data_sha256,
                 "puzzles": evaluated[0].puzzles},
        "models": [_network(one) for one in evaluated],
    }  # fmt: skip
    if len(evaluated) == 2:
        result["comparison"] = asdict(compare(*evaluated))
    return result


def _network(evaluated: Evaluated) -> dict[str, Any]:
    tally = evaluated.tally
    steps = sum(one.steps for one in tally.bins)
    return {
        "name": evaluated.model,
        "sha256": evaluated.model_sha256,
        "settings": asdict(evaluated.settings),
        "groups": [
            {**scores.as_dict(), "verified_interval": scores.verified_interval}
            for scores in evaluated.groups
        ],
        "by_attempts": [
            {"attempts": made, **_share(solved, evaluated.puzzles), "steps": taken}
            for made, (solved, taken) in enumerate(
                zip(tally.solved_within_attempts, tally.steps_within_attempts, strict=True), 1)
        ],
        "by_steps": [
            {"steps": number, **_share(solved, evaluated.puzzles), "ended_here": ended}
            for number, (solved, ended) in enumerate(
                zip(tally.solved_within_steps, tally.halted_at, strict=True), 1)
        ],
        "calibration": {
            "steps": steps,
            "brier_score": tally.squared_error / steps if steps else None,
            "puzzles_misfired": tally.misfired,
            "bins": [
                {"from": number / NUM_BINS, "to": (number + 1) / NUM_BINS, "steps": one.steps,
                 "mean_probability": one.probability / one.steps if one.steps else None,
                 "right": one.right}
                for number, one in enumerate(tally.bins)
            ],
        },
        "seconds": tally.seconds,
        "puzzles_per_second": evaluated.puzzles / max(tally.seconds, 1e-9),
        "mean_seconds_in_batch": tally.waited / evaluated.puzzles,
        "puzzles_without_time": tally.untouched,
    }  # fmt: skip


def _share(solved: int, puzzles: int) -> dict[str, Any]:
    return {"solved": solved, "share": solved / puzzles, "interval": wilson(solved, puzzles)}
