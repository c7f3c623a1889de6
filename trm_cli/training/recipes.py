"""Recipes: named, frozen sets of numbers, and how one is overridden.

`tiny`  6x6 grids, generated; minutes on two cores, for learning and for tests.
`fast`  9x9; the network that hears its rows, columns, boxes and cells (mixer `units`).
`mlp`   9x9; the paper's token-mixing network at a size that a CPU can train.
"""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from trm_cli.config import ModelConfig, TrainConfig
from trm_cli.errors import ConfigError, UsageError

MOST_PUZZLES = 10**8  # to generate; more do not fit in memory


@dataclass(frozen=True)
class GeneratedData:
    """Puzzles to generate when no data set is given."""

    puzzles: int = 20_000
    least_givens: int = 24
    most_givens: int = 34

    def __post_init__(self) -> None:
        if not 1 <= self.puzzles <= MOST_PUZZLES:
            raise ConfigError(f"data.puzzles: expected 1 to {MOST_PUZZLES:,}, got {self.puzzles}")


@dataclass(frozen=True)
class Recipe:
    """What `trm train` needs to know before it sees the data."""

    name: str
    task: str
    model: ModelConfig
    train: TrainConfig
    data: GeneratedData


UNITS = ModelConfig(mixer="units", hidden_size=32, channel_width=96, num_prefix=0,
                    n=3, T=1, start="random")  # fmt: skip
SMALL_BATCHES = TrainConfig(batch_size=64, steps=40_000, adamw_lr=1e-3, adamw_decay=0.0,
                            ema_decay=0.998, halt_weight=0.1, hint_share=0.5)  # fmt: skip

RECIPES: dict[tuple[str, str], Recipe] = {
    (recipe.task, recipe.name): recipe
    for recipe in (
        Recipe(
            name="tiny",
            task="sudoku",
            model=replace(UNITS, height=6, width=6, box_height=2, box_width=3, vocab_size=8,
                          hidden_size=16, channel_width=48),
            train=replace(SMALL_BATCHES, steps=1_500, ema_decay=0.99, validation=200,
                          report_every=25, evaluate_every=250),
            data=GeneratedData(puzzles=3_000, least_givens=8, most_givens=14),
        ),
        Recipe(name="fast", task="sudoku", model=UNITS, train=SMALL_BATCHES,
               data=GeneratedData()),
        Recipe(
            name="mlp",
            task="sudoku",
            model=ModelConfig(mixer="mlp", glu="normalised", hidden_size=128, token_width=256,
                              channel_width=384, num_prefix=7, n=3, T=1, start="random"),
            train=replace(SMALL_BATCHES, hint_share=0.8),
            data=GeneratedData(),
        ),
    )
}  # fmt: skip


def get_recipe(task: str, name: str) -> Recipe:
    """The recipe of that name; raises UsageError that lists the names there are."""
    if (task, name) not in RECIPES:
        known = ", ".join(sorted(known for of, known in RECIPES if of == task))
        raise UsageError(f"{name!r} is not a recipe of {task}; choose from: {known}")
    return RECIPES[task, name]


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """Apply settings spelled `section.name=value`, sections being model, train and data.

    Raises UsageError for an unknown name, with the nearest one, and for a value of another type.
    """
    sections: dict[str, Any] = {"model": recipe.model, "train": recipe.train, "data": recipe.data}
    changes: dict[str, dict[str, Any]] = {name: {} for name in sections}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, _, name = path.strip().partition(".")
        if not equals or section not in sections:
            raise UsageError(
                f"--set {setting}: write model.NAME=VALUE, train.NAME=VALUE or data.NAME=VALUE"
            )
        known = {
            f.name: type(getattr(sections[section], f.name)) for f in fields(sections[section])
        }
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"--set {setting}: no {section}.{name}; did you mean {section}.{near}?"
            )
        changes[section][name] = _parse(text.strip(), known[name], setting)
    try:
        return replace(recipe, **{s: replace(sections[s], **changes[s]) for s in sections})
    except ConfigError as error:
        raise UsageError(f"--set: {error}") from error


T = TypeVar("T")


def _parse(text: str, kind: type[T], setting: str) -> Any:
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UsageError(f"--set {setting}: expected true or false")
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError as error:
        raise UsageError(f"--set {setting}: expected {kind.__name__}, got {text!r}") from error
