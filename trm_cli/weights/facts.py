"""What a checkpoint's config.json tells of its training and accuracy, checked before anyone reads it.

Solving needs none of it: a record that is incomplete stops those alone who tell it, that is cards and lists.
"""

import json
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from trm_cli.config import MOST_STEPS, Share, TrainConfig
from trm_cli.errors import ConfigError, FileError, ModelError
from trm_cli.schema import checked, parse_json
from trm_cli.tasks.base import HELD_OUT
from trm_cli.weights.checkpoint import CONFIG_FILE, Checkpoint

WHOLE = "all"  # the kind of group that is the whole data set
Count = Annotated[int, (1, MOST_STEPS)]
Counts = tuple[Annotated[int, (0, MOST_STEPS)], ...]
Figure = Annotated[float, (0, MOST_STEPS)]


@dataclass(frozen=True)
class Group:
    """The accuracies of some puzzles; shares are 0 to 1."""

    kind: str  # what the group is formed by: all, source, rating or givens
    group: str
    puzzles: Count
    cell: Share
    exact: Share
    verified: Share
    mean_steps: Figure  # supervision steps of all attempts
    fired: Share  # of puzzles whose halt head fired
    precision: Share | None  # of the halt head when it first fired; None if it never did
    valid: Share | None = None  # None where it was not measured

    @property
    def label(self) -> str:
        """Its name in words."""
        return WHOLE if self.kind == WHOLE else f"{self.kind} {self.group}"


@dataclass(frozen=True)
class Measurement:
    """What a command measured; what is solved within ever more steps, attempts or budgets, where that was counted."""

    command: str
    groups: tuple[Group, ...]
    data_sha256: str = ""
    solved_within_steps: Counts = ()
    solved_within_attempts: Counts = ()
    budgets: Counts = ()
    solved_within_budgets: Counts = ()
    steps_within_budgets: Counts = ()

    def __post_init__(self) -> None:
        if all(group.kind != WHOLE for group in self.groups):
            raise FileError(f"groups: none is of kind {WHOLE}")
        if not len(self.budgets) == len(self.solved_within_budgets) == len(self.steps_within_budgets):
            raise FileError("budgets: not as many as what is solved within them")

    @property
    def whole(self) -> Group:
        """The group of all puzzles."""
        return next(group for group in self.groups if group.kind == WHOLE)


@dataclass(frozen=True)
class Numbers:
    """What is told of a TrainConfig."""

    batch_size: Count


@dataclass(frozen=True)
class Versions:
    """Of the programs that trained."""

    trm: str
    torch: str


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is known of a network's training when it begins."""

    command: str
    seed: int
    train: Numbers
    data: tuple[str, ...]
    puzzles: int
    puzzles_sha256: str
    held_out: int
    held_out_sha256: str
    hardware: str
    versions: Versions
    started: str
    judged_by: str = HELD_OUT
    started_from: str | None = None
    sources: dict[str, int] = field(default_factory=dict)
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Trained(Begun):
    """How a network was trained here."""

    steps: int
    seconds: Figure
    note: str | None = None


@dataclass(frozen=True)
class Converted:
    """Where weights come from that others trained."""

    trm: str
    origin: str
    layout: str
    sha256: str
    licence: str
    revision: str | None = None
    published: str | None = None


@dataclass(frozen=True)
class Record:
    """How a network came to be: trained here, converted, or not known."""

    trained: Trained | None
    converted: Converted | None
    storage: str | None  # what its storage costs


@dataclass(frozen=True)
class _Elsewhere:
    converted_from: Converted | None = None
    storage: str | None = None


@dataclass(frozen=True)
class _Told:
    train: dict[str, Any] = field(default_factory=dict)


def record_of(checkpoint: Checkpoint) -> Record:
    """How a checkpoint came to be; raises ModelError where its config tells that in other ways than ours."""
    try:
        training = _as_read(checkpoint.training)
        elsewhere = checked(training, _Elsewhere, "training")
        is_told = training.keys() - {"storage"} and elsewhere.converted_from is None
        trained = checked(training, Trained, "training") if is_told else None
    except FileError as error:
        raise _refusal(checkpoint, error) from error
    return Record(trained, elsewhere.converted_from, elsewhere.storage)


def measurements_of(checkpoint: Checkpoint) -> dict[str, Measurement]:
    """What was measured of a checkpoint, by name; raises ModelError where its config tells that in other ways."""
    try:
        return checked(_as_read(checkpoint.measured), dict[str, Measurement], "measured")
    except FileError as error:
        raise _refusal(checkpoint, error) from error


def numbers_of(checkpoint: Checkpoint) -> TrainConfig | None:
    """The numbers of a checkpoint's training, as far as they are told; None where none is.

    Raises ModelError where they cannot be.
    """
    try:
        told = checked(_as_read(checkpoint.training), _Told, "training").train
        own = {name: told[name] for name in told.keys() & {field.name for field in fields(TrainConfig)}}
        return checked(own, TrainConfig, "training.train") if own else None
    except (FileError, ConfigError) as error:
        raise _refusal(checkpoint, error) from error


def _as_read(facts: dict[str, Any]) -> Any:
    """As JSON has them, which those of a checkpoint that was just made may not be: torch's version is no plain text."""
    return parse_json(json.dumps(facts))


def _refusal(checkpoint: Checkpoint, error: FileError | ConfigError) -> ModelError:
    return ModelError(f"model {checkpoint.name!r}: {CONFIG_FILE}: {error}; correct it, or train or download it again")
