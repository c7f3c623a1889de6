"""Every number that a network, a training run or a solver depends on, as frozen dataclasses; TOML in and out.

`ModelConfig` travels inside each checkpoint; `TrainConfig` is what a recipe resolves to;
`SolveConfig` says when an attempt stops, what the next varies, which answer is taken.
The functions at the end change any dataclass whose sections are dataclasses, such as a recipe:
by settings (`--set train.batch_size=64`) or by a TOML file,

    [model]
    n = 3
    [train]
    batch_size = 64
"""

import difflib
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from trm_cli.errors import ConfigError, FileError, ModelError, UsageError
from trm_cli.files import read_text
from trm_cli.schema import NAMES, checked

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)

NEWEST = "newest"  # what `--resume` means without a path
MIXERS = ("mlp", "attention", "equivariant", "units", "convolution")
MOST_STEPS = 10**12  # of a run; far beyond any that ends
LARGEST = 1 << 20  # of any size in an architecture; a file that asks for more is damaged
MOST_PUZZLES = 1 << 24  # rows of a puzzle embedding; published ones have more than a million
MOST_CALLS = 1024  # of the net in a supervision step, and layers and steps; no published network makes fifty
MOST = 1_000_000  # of steps and attempts when solving
MOST_VIEWS = 1 << 12  # of a puzzle
MOST_TOGETHER = 1 << 20  # puzzles of a batch
Share = Annotated[float, (0, 1)]
OF_HRM: dict[str, Any] = {  # how a Hierarchical Reasoning Model recurs and halts, arXiv:2506.21734, in our names
    "num_nets": 2,
    "gradient": "one_step",
    "halting": "q_learning",
    "n": 2,
    "T": 2,
}


def _check(config: "DataclassInstance", prefix: str, largest: int) -> None:
    """Raise ConfigError for a value of another type, or beyond the choices or the range in its annotation.

    Where that says nothing, whole numbers go from 1 to `largest`, other numbers from 0 up.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        kind, allowed = get_args(field.type) or (field.type, None)
        if kind is str:
            fits, expected = value in allowed, f"one of {', '.join(allowed)}"
        elif kind is bool:
            fits, expected = type(value) is bool, "true or false"
        else:
            least, most = allowed or ((1, largest) if kind is int else (0, sys.float_info.max))
            fits = type(value) in (int, kind) and least <= value <= most
            expected = f"{least} or more" if most == sys.float_info.max else f"{least} to {most:,}"
        if not fits:
            name = field.name.replace("_", "-") if prefix == "--" else field.name
            raise ConfigError(f"{prefix}{name}: expected {expected}, got {value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """The architecture. D, P, L, n, T and N_sup are the paper's letters."""

    height: int = 9  # rows of the grid
    width: int = 9  # columns of the grid; L = height * width cells
    smallest: Annotated[int, (0, LARGEST)] = 0  # side of the smallest board it is for, of several; 0 for this one alone
    box_height: int = 3  # rows of a box; 1 where the puzzle has no boxes
    box_width: int = 3  # columns of a box
    vocab_size: int = 11  # tokens, with 0 for padding and 1 for a blank
    mixer: Annotated[str, MIXERS] = "mlp"  # how positions exchange information: see model/layers.py
    glu: Annotated[str, ("plain", "normalised")] = "plain"  # SwiGLU as published, or with a normalised product
    hidden_size: int = 512  # D, channels of x, y and z
    num_layers: Annotated[int, (1, MOST_CALLS)] = 2  # blocks of the net
    num_heads: int = 8  # attention heads; `attention` only
    rotary: Annotated[str, ("none", "1d", "2d")] = "none"  # positions of the attention: none, 1d or 2d
    rotary_base: float = 10_000.0  # longest wavelength is 2 pi times this, in cells
    token_width: int = 512  # inner width of the SwiGLU across positions
    channel_width: int = 1536  # inner width of the SwiGLU across channels
    num_prefix: Annotated[int, (0, LARGEST)] = 16  # P, positions before the grid; the halt head reads the first
    num_puzzles: Annotated[int, (0, MOST_PUZZLES)] = (
        0  # rows of the puzzle embedding, which is then the first prefix position
    )
    n: int = 6  # latent updates in one recursion
    T: int = 3  # recursions in one supervision step
    T_grad: int = 1  # the last of them, through which the gradient flows; 1 in the paper
    N_sup: Annotated[int, (1, MOST_CALLS)] = 16  # supervision steps trained for
    start: Annotated[str, ("fixed", "random")] = (
        "fixed"  # y_init and z_init: the same vectors everywhere, or random normal
    )
    damping: float = 0.0  # share of the old y or z that each update keeps; 0 in the paper
    recursion: Annotated[str, ("y_and_z", "single_z", "multi_z")] = (
        "y_and_z"  # the paper's, one state for both, or a latent for each update: see model/recursion.py
    )
    gradient: Annotated[str, ("recursion", "one_step")] = (
        "recursion"  # flows through the last T_grad recursions, or, as in HRM, through the last update of z and of y
    )
    num_nets: Annotated[int, (1, 2)] = 1  # one for z and y, or, as in HRM, one for each
    halting: Annotated[str, ("halt", "q_learning")] = (
        "halt"  # what is learned: whether the answer is right, or, as in HRM, also what going on is worth
    )

    def __post_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise ConfigError(f"model.damping: expected 0 to less than 1, got {self.damping}")
        if not 0 < self.rotary_base < math.inf:
            raise ConfigError(f"model.rotary_base: expected more than 0, got {self.rotary_base}")
        _check(self, "model.", LARGEST)
        if self.num_symbols < 1:
            raise ConfigError(f"model.vocab_size: expected 3 or more, got {self.vocab_size}")
        if self.smallest and (self.mixer != "units" or self.smallest > self.height):
            raise ConfigError(
                f"model.smallest: is for mixer 'units', and at most model.height = {self.height}, got {self.smallest}"
            )
        if self.height % self.box_height or self.width % self.box_width:
            raise ConfigError(
                f"model: boxes of {self.box_height}x{self.box_width} do not tile a grid of {self.height}x{self.width}"
            )
        if self.num_calls > MOST_CALLS:
            raise ConfigError(
                f"model.T, model.n: a step of {self.T:,} recursions of {self.n:,} updates calls the net "
                f"{self.num_calls:,} times; at most {MOST_CALLS:,} are allowed"
            )
        if self.T_grad > self.T:
            raise ConfigError(f"model.T_grad: expected 1 to model.T = {self.T}, got {self.T_grad}")
        if self.gradient == "one_step" and (self.T_grad > 1 or self.recursion != "y_and_z"):
            raise ConfigError("model.gradient: one_step needs model.T_grad = 1 and model.recursion = y_and_z")
        if self.num_nets == 2 and self.recursion == "single_z":
            raise ConfigError("model.num_nets: a single z is updated by one net")
        if self.damping and self.recursion == "multi_z":
            raise ConfigError("model.damping: must be 0 with model.recursion = multi_z")
        if self.mixer == "attention" and self.hidden_size % (2 * self.num_heads):
            raise ConfigError("model.hidden_size: must be an even multiple of model.num_heads")
        if (self.shares_symbols or self.any_size) and self.num_prefix:
            raise ConfigError(f"model.num_prefix: must be 0 with mixer {self.mixer!r}")
        if self.num_puzzles and not self.num_prefix:
            raise ConfigError("model.num_puzzles: needs model.num_prefix of 1 or more")

    @property
    def num_cells(self) -> int:
        """L, cells of the grid."""
        return self.height * self.width

    @property
    def board(self) -> str:
        """Its size in words."""
        own = f"{self.height}x{self.width}"
        return (
            f"{self.smallest}x{self.smallest} to {own}" if self.is_for_several else "up to " * self.takes_corners + own
        )

    @property
    def num_calls(self) -> int:
        """Calls of the net in one supervision step."""
        return self.T * (self.n + 1)

    @property
    def effective_depth(self) -> int:
        """Blocks that a state goes through in one supervision step, as the paper counts them."""
        return self.num_calls * self.num_layers

    @property
    def num_symbols(self) -> int:
        """Symbols that an answer is made of: the vocabulary without padding and blank."""
        return self.vocab_size - 2

    @property
    def looks_up_puzzles(self) -> bool:
        """Whether each puzzle has a row of its own in a table that is kept beside the network."""
        return self.num_puzzles > 1

    @property
    def any_size(self) -> bool:
        """Whether the weights fit boards of every size, whatever they know of them."""
        return self.mixer in ("convolution", "units")

    @property
    def takes_corners(self) -> bool:
        """Whether a smaller board is to it no more than the corner of a larger one."""
        return self.mixer == "convolution" and self.box_height == self.box_width == 1

    @property
    def is_for_several(self) -> bool:
        """Whether it is trained on boards of several sizes, each with its own boxes and symbols."""
        return 0 < self.smallest < self.height

    def fits(self, num_cells: int | None) -> bool:
        """Whether the weights know boards of that size: their own, or smaller ones if they can; None is any."""
        if num_cells in (None, self.num_cells):
            return True
        least = self.smallest**2 if self.is_for_several else 1 if self.takes_corners else self.num_cells
        return least <= (num_cells or 0) <= self.num_cells

    @property
    def shares_symbols(self) -> bool:
        """Whether the net holds one field per symbol and shares its weights over them."""
        return self.mixer in ("equivariant", "units")


def same_weights(first: ModelConfig, second: ModelConfig) -> bool:
    """Whether the weights of one network fit the other: they may recur differently."""
    free: tuple[str, ...] = ("T", "T_grad", "N_sup", "start", "gradient")
    if first.recursion != "multi_z":
        free += ("n",)
    if first.any_size:
        free += ("height", "width", "box_height", "box_width", "smallest")
    if first.shares_symbols and first.any_size:
        free += ("vocab_size",)
    return replace(first, **{name: getattr(second, name) for name in free}) == second


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained: what a recipe resolves to."""

    batch_size: Annotated[int, (1, LARGEST)] = 768  # puzzles in the rolling batch
    steps: int = 65_104  # optimizer steps of the whole run
    decay_by: Annotated[str, ("steps", "time")] = "steps"  # what the schedule follows: steps, or time
    minutes: float = 0.0  # of the whole run if decay_by is time; 0 takes --max-time
    warmup_steps: Annotated[int, (0, MOST_STEPS)] = 0  # linear warm-up of every learning rate
    schedule: Annotated[str, ("cosine", "constant")] = "cosine"  # after the warm-up: cosine to zero, or constant
    optimizer: Annotated[str, ("muon", "adamw", "adam_atan2")] = (
        "muon"  # muon (matrices of the net; AdamW for the rest), adamw, adam_atan2
    )
    muon_lr: float = 0.02  # learning rate of the matrices under muon
    muon_momentum: Share = 0.95  # Nesterov momentum of muon
    muon_decay: float = 0.005  # decoupled weight decay of the matrices under muon
    adamw_lr: float = 1e-4  # learning rate of everything else, or of all without muon
    adamw_decay: float = 1.0  # decoupled weight decay of the same
    puzzle_lr: float = 1e-4  # learning rate of the puzzle embedding, under SignSGD
    puzzle_decay: float = 1.0  # decoupled weight decay of the puzzle embedding
    clip: float = 1.0  # largest norm of the whole gradient; 0 never clips
    ema_decay: Share = 0.999  # of the EMA weights; 0 averages nothing
    loss: Annotated[str, ("softmax", "stablemax")] = "softmax"  # cross-entropy over softmax or over stablemax
    label_smoothing: Share = 0.0  # share of the target spread over all tokens; softmax only
    halt_weight: float = 0.5  # of the halting loss beside the answer's
    exploration: Share = 0.1  # share of puzzles held back from halting for a random while
    fresh_puzzles: Annotated[int, (0, MOST_STEPS)] = (
        0  # made in every step, each in the oldest's place; of generated data
    )
    symmetries: bool = True  # show every puzzle under a fresh symmetry
    hint_share: Share = 0.0  # share of puzzles shown with more givens, taken from the answer
    max_hints: Share = 0.5  # most of the empty cells that hints may fill
    latent_noise: float = 0.0  # largest deviation of the noise on z before a step; z is near 1
    validation: int = 1000  # puzzles of the validation set, which are not trained on
    report_every: int = 50  # steps between two reports
    evaluate_every: int = 2000  # steps between two evaluations on the validation set
    save_minutes: float = 5.0  # between two saved states; 0 saves after every step
    precision: Annotated[str, ("auto", "float32", "bfloat16")] = (
        "auto"  # of the recursion: float32, bfloat16, or auto (bfloat16 on CUDA)
    )
    recompute: bool = False  # keep no activations inside the net: less memory, a third slower
    compile: bool = False  # torch.compile
    compile_unit: Annotated[str, ("net", "step")] = "net"  # what is compiled in one piece: the net, or the whole step
    cuda_graphs: bool = False  # record what is compiled as CUDA graphs

    def __post_init__(self) -> None:
        _check(self, "train.", MOST_STEPS)
        if self.cuda_graphs and not (self.compile and self.compile_unit == "step"):
            raise ConfigError("train.cuda_graphs: needs train.compile and train.compile_unit=step")
        if self.label_smoothing and self.loss == "stablemax":
            raise ConfigError("train.label_smoothing: is for train.loss=softmax")


AUGMENTATIONS = 30  # views of a problem that is new to a network, while it is learned, if nothing is said
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
FURTHER = ("retry_steps", "search", "starts", "noise", "views", "select")  # nothing in one attempt


@dataclass(frozen=True)
class SolveConfig:
    """When an attempt stops, how many there are, and in what they differ from the first.

    Attempt 0 is plain: the puzzle as it is, the network's own start, no noise.
    """

    halt: Annotated[str, ("verified", "q", "never")] = (
        "verified"  # verified: head fires and rules hold; q: head fires; never
    )
    max_steps: int = 16  # supervision steps of attempt 0 at most; may exceed N_sup
    seed: Annotated[int, (0, 2**63 - 1)] = 0  # of every draw
    attempts: int = 1  # K, how often a puzzle is tried at most
    retry_steps: Annotated[int, (0, MOST)] = 0  # supervision steps of every further attempt at most; 0 for max_steps
    step_limit: Annotated[int, (0, MOST)] = 0  # supervision steps of all attempts at a puzzle at most; 0 for no limit
    starts: Annotated[str, ("fixed", "random")] = "random"  # z of further attempts: as attempt 0's, or drawn for each
    noise: float = 0.0  # deviation of what is added to z before each of their steps; z is near 1
    views: Annotated[int, (1, MOST_VIEWS)] = 1  # symmetric views that they go through, the puzzle as it is among them
    search: Annotated[str, ("none", "flat", "best-first")] = (
        "none"  # how they fill blanks with what the network believed: see solving/search.py
    )
    select: Annotated[str, ("verified", "q", "mode", "margin", "residual")] = (
        "verified"  # whose answer is taken: see solving/search.py
    )
    breadth_first: bool = False  # every puzzle's attempt 0 comes before any further attempt

    def __post_init__(self) -> None:
        _check(self, "--", MOST)

    def steps_of(self, attempt: int) -> int:
        """Supervision steps that an attempt may take; 0 where the limit leaves it none."""
        further = self.retry_steps or self.max_steps
        steps = further if attempt else self.max_steps
        if self.step_limit == 0:
            return steps
        before = self.max_steps + (attempt - 1) * further if attempt else 0
        return max(0, min(steps, self.step_limit - before))

    @property
    def num_attempts(self) -> int:
        """How often a puzzle is tried at most, within the limit of steps."""
        if self.step_limit == 0:
            return self.attempts
        left = max(0, self.step_limit - self.max_steps)
        return min(self.attempts, 1 + math.ceil(left / (self.retry_steps or self.max_steps)))

    @property
    def guesses(self) -> bool:
        """Whether further attempts fill in what the network believed."""
        return self.search != "none" and self.attempts > 1

    @property
    def searches_tree(self) -> bool:
        """Whether attempts are the nodes of a tree, bounded by their steps."""
        return self.guesses and self.search == "best-first"

    @property
    def most_steps(self) -> int:
        """Supervision steps of all attempts at most."""
        every = self.max_steps + (self.attempts - 1) * (self.retry_steps or self.max_steps)
        return min(every, self.step_limit or every)

    @property
    def varies_guesses_alone(self) -> bool:
        """Whether further attempts with the same guesses, or with none, would be the same."""
        return self.starts == "fixed" and self.noise == 0 and self.views == 1


def parse_duration(given: str | float | None) -> float | None:
    """Seconds in a duration such as 90s, 9m, 1h30m or 45 (seconds); raises UsageError where it is none."""
    if given is None:
        return None
    if isinstance(given, (int, float)) and 0 < given < math.inf:
        return float(given)
    text = str(given).strip()
    is_number = text.replace(".", "", 1).isdecimal()
    match = DURATION.fullmatch(text + "s" if is_number else text)
    hours, minutes, seconds = (float(part or 0) for part in (match.groups() if match else ("", "", "")))
    if not (hours or minutes or seconds):
        raise UsageError(f"{text!r} is no duration; write 90s, 9m or 1h30m")
    return hours * 3600 + minutes * 60 + seconds


def given_settings(typed: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """What was given of SolveConfig, and when the `time_limit` beside it is over on the monotonic clock.

    Where there is a limit, every puzzle is tried once before any is tried again.
    Raises UsageError where a setting, or the limit, cannot be.
    """
    settings = {name: value for name, value in typed.items() if value is not None}
    limit = settings.pop("time_limit", None)
    try:
        seconds = parse_duration(limit)
    except UsageError as error:
        raise UsageError(f"--time-limit: {error}") from error
    if seconds is not None:
        settings["breadth_first"] = True
    SolveConfig(**settings)
    return settings, math.inf if seconds is None else time.monotonic() + seconds


def solve_config(own: Mapping[str, Any], given: Mapping[str, Any]) -> SolveConfig:
    """The settings that a user gives, the rest as the checkpoint's own.

    Raises UsageError where they do not fit together, ModelError where the checkpoint's cannot be.
    """
    plain, own = asdict(SolveConfig()), own_settings(own)
    settings = SolveConfig(**{**own, **given})
    idle = [name for name in FURTHER if given.get(name, plain[name]) != plain[name]]
    if settings.attempts == 1 and idle:
        raise UsageError(f"--{idle[0].replace('_', '-')} is for further attempts; add --attempts 8, say")
    if settings.attempts > 1 and settings.varies_guesses_alone and settings.search == "none":
        if "attempts" not in given:
            return replace(settings, attempts=1)
        raise UsageError(
            f"--attempts {settings.attempts}: every attempt would be the same; add --starts "
            "random, --noise, --views or --search"
        )
    return settings


def own_settings(own: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's settings by their names in SolveConfig.

    Raises ModelError where one cannot be, or where all attempts together may take more than MOST steps: only a
    user can want that.
    """
    own = dict(own)
    if own.pop("guess", False):  # of 0.1.0
        own["search"] = "flat"
    where = "`solving` in the model's config.json"
    if unknown := own.keys() - {field.name for field in fields(SolveConfig)}:
        raise ModelError(f"{where}: unknown setting {min(unknown):.40}; update trm")
    try:
        most_steps = checked(own, SolveConfig).most_steps
    except (FileError, UsageError) as error:
        raise ModelError(f"{where}: {error}; correct it") from error
    if most_steps > MOST:
        raise ModelError(f"{where}: asks for up to {most_steps:,} steps; at most {MOST:,} are allowed, correct it")
    return own


def words_of(config: "type[DataclassInstance]", name: str) -> tuple[str, ...]:
    """The words that a field of a configuration may be."""
    (field,) = [field for field in fields(config) if field.name == name]
    words: tuple[str, ...] = get_args(field.type)[1]
    return words


def override(config: "Config", settings: list[str]) -> "Config":
    """Apply settings spelled `section.name=value`.

    Raises UsageError for an unknown name, with the nearest one, and for a value of another type.
    """
    values: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, _, name = path.strip().partition(".")
        if not equals or section not in _sections(config):
            known = ", ".join(f"{known}.NAME=VALUE" for known in _sections(config))
            raise UsageError(f"--set {setting}: write {known}")
        kind, text = _kind(config, section, name, f"--set {setting}"), text.strip()
        try:
            value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise UsageError(f"--set {setting}: expected {NAMES[kind]}, got {text!r}") from error
        values.setdefault(section, {})[name] = value
    return apply(config, values, "--set")


def read_toml(config: "Config", path: Path) -> "Config":
    """Apply a TOML file; raises UsageError naming the file where it cannot be read or does not fit."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        values = tomllib.loads(read_text(path))
    except FileError as error:
        raise UsageError(f"{path}: {error}; give a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML ({error}); correct the file") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise UsageError(f"{path}: not TOML ({reason}); correct the file") from error
    return apply(config, values, str(path))


def apply(config: "Config", values: Mapping[str, Any], source: str) -> "Config":
    """Apply sections of values; raises UsageError, naming the source, where one does not fit."""
    changed = {}
    for section, changes in values.items():
        if section not in _sections(config) or not isinstance(changes, Mapping):
            known = ", ".join(f"[{known}]" for known in _sections(config))
            raise UsageError(f"{source}: {section} is no section; choose {known}")
        typed = {}
        for name, value in changes.items():
            kind = _kind(config, section, name, source)
            if type(value) not in ((int, float) if kind is float else (kind,)):
                raise UsageError(f"{source}: {section}.{name}: expected {NAMES[kind]}, got {value!r}")
            try:
                typed[name] = kind(value)
            except OverflowError as error:
                raise UsageError(f"{source}: a number is too large ({error})") from error
        if typed:
            changed[section] = typed
    try:
        return replace(config, **{name: replace(getattr(config, name), **typed) for name, typed in changed.items()})
    except ConfigError as error:
        raise UsageError(f"{source}: {error}") from error


def as_toml(config: "DataclassInstance", title: str) -> str:
    """The numbers as TOML, as `read_toml` takes them, below a comment."""
    lines = [f"# {title}"]
    for section, values in _sections(config).items():
        if values is not None:
            lines += ["", f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in asdict(values).items())]
    return "\n".join(lines)


def differences(ours: "Config", theirs: "Config") -> list[str]:
    """Names and values in which two configs differ: `train.batch_size is 64, not 32`."""
    return [
        f"{section}.{field.name} is {one}, not {other}"
        for section, values in _sections(ours).items()
        if values is not None
        for field in fields(values)
        if (one := getattr(values, field.name)) != (other := getattr(getattr(theirs, section), field.name))
    ]


def _sections(config: "DataclassInstance") -> "dict[str, DataclassInstance | None]":
    """The parts that hold numbers; None where a config goes without one."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {name: value for name, value in values.items() if value is None or hasattr(value, "__dataclass_fields__")}


def _kind(config: "DataclassInstance", section: str, name: str, source: str) -> Any:
    """The type of a value; raises UsageError with the nearest name where there is none."""
    values = _sections(config)[section]
    if values is None:
        raise UsageError(f"{source}: there is no [{section}] in this recipe; leave {section}.{name} out")
    known = {field.name: type(getattr(values, field.name)) for field in fields(values)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"{source}: no {section}.{name}; did you mean {section}.{near}?")
    return known[name]
