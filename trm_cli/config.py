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
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trm_cli.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)

NEWEST = "newest"  # what `--resume` means without a path
MIXERS = ("mlp", "attention", "equivariant", "units", "convolution")
MOST_STEPS = 10**12  # of a run; far beyond any that ends
LARGEST = 1 << 20  # of any size in an architecture; a file that asks for more is damaged
MOST_PUZZLES = 1 << 24  # rows of a puzzle embedding; published ones have more than a million
MOST = 1_000_000  # of steps, attempts and views when solving
LARGEST_FILE = 1 << 20  # bytes of a config
MODEL_CHOICES = {
    "mixer": MIXERS,
    "glu": ("plain", "normalised"),
    "start": ("fixed", "random"),
    "rotary": ("none", "1d", "2d"),
    "recursion": ("y_and_z", "single_z"),
}
TRAIN_CHOICES = {
    "decay_by": ("steps", "time"),
    "schedule": ("cosine", "constant"),
    "optimizer": ("muon", "adamw", "adam_atan2"),
    "loss": ("softmax", "stablemax"),
    "precision": ("auto", "float32", "bfloat16"),
    "compile_unit": ("net", "step"),
}
SOLVE_CHOICES = {
    "halt": ("verified", "q", "never"),
    "starts": ("fixed", "random"),
    "select": ("verified", "q", "mode", "margin", "residual"),
}
MODEL_RANGES = {"num_prefix": (0, LARGEST), "num_puzzles": (0, MOST_PUZZLES)}
TRAIN_RANGES = {
    "batch_size": (1, LARGEST),
    "warmup_steps": (0, MOST_STEPS),
    "fresh_puzzles": (0, MOST_STEPS),
    **dict.fromkeys(
        ("ema_decay", "exploration", "hint_share", "max_hints", "label_smoothing", "muon_momentum"), (0, 1)
    ),
}


def _check(
    config: "DataclassInstance",
    section: str,
    *,
    choices: Mapping[str, tuple[str, ...]],
    ranges: Mapping[str, tuple[float, float]],
    largest: int,
) -> None:
    """Raise ConfigError for a value that is none of the choices or outside its range.

    Where `ranges` says nothing, whole numbers go from 1 to `largest`, other numbers from 0 up.
    """
    for field in fields(config):
        name, value = f"{section}.{field.name}", getattr(config, field.name)
        if field.name in choices and value not in choices[field.name]:
            raise ConfigError(f"{name}: expected one of {', '.join(choices[field.name])}, got {value!r}")
        if field.type not in (int, float):
            continue
        least, most = ranges.get(field.name, (1, largest) if field.type is int else (0, math.inf))
        fits = isinstance(value, int) or (field.type is float and isinstance(value, float) and math.isfinite(value))
        if not (fits and least <= value <= most):
            expected = f"{least} or more" if most == math.inf else f"{least} to {most:,}"
            raise ConfigError(f"{name}: expected {expected}, got {value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """The architecture. D, P, L, n, T and N_sup are the paper's letters."""

    height: int = 9  # rows of the grid
    width: int = 9  # columns of the grid; L = height * width cells
    box_height: int = 3  # rows of a box; 1 where the puzzle has no boxes
    box_width: int = 3  # columns of a box
    vocab_size: int = 11  # tokens, with 0 for padding and 1 for a blank
    mixer: str = "mlp"  # how positions exchange information: see model/layers.py
    glu: str = "plain"  # SwiGLU as published, or with a normalised product
    hidden_size: int = 512  # D, channels of x, y and z
    num_layers: int = 2  # blocks of the net
    num_heads: int = 8  # attention heads; `attention` only
    rotary: str = "none"  # positions of the attention: none, 1d or 2d
    rotary_base: float = 10_000.0  # longest wavelength is 2 pi times this, in cells
    token_width: int = 512  # inner width of the SwiGLU across positions
    channel_width: int = 1536  # inner width of the SwiGLU across channels
    num_prefix: int = 16  # P, positions before the grid; the halt head reads the first
    num_puzzles: int = 0  # rows of the puzzle embedding, which is then the first prefix position
    n: int = 6  # latent updates in one recursion
    T: int = 3  # recursions in one supervision step
    T_grad: int = 1  # the last of them, through which the gradient flows; 1 in the paper
    N_sup: int = 16  # supervision steps trained for
    start: str = "fixed"  # y_init and z_init: the same vectors everywhere, or random normal
    damping: float = 0.0  # share of the old y or z that each update keeps; 0 in the paper
    recursion: str = "y_and_z"  # the paper's, or single_z: see model/recursion.py

    def __post_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise ConfigError(f"model.damping: expected 0 to less than 1, got {self.damping}")
        if not 0 < self.rotary_base < math.inf:
            raise ConfigError(f"model.rotary_base: expected more than 0, got {self.rotary_base}")
        _check(self, "model", choices=MODEL_CHOICES, ranges=MODEL_RANGES, largest=LARGEST)
        if self.num_symbols < 1:
            raise ConfigError(f"model.vocab_size: expected 3 or more, got {self.vocab_size}")
        if self.height % self.box_height or self.width % self.box_width:
            raise ConfigError(
                f"model: boxes of {self.box_height}x{self.box_width} do not tile a grid of {self.height}x{self.width}"
            )
        if self.T_grad > self.T:
            raise ConfigError(f"model.T_grad: expected 1 to model.T = {self.T}, got {self.T_grad}")
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
    def num_symbols(self) -> int:
        """Symbols that an answer is made of: the vocabulary without padding and blank."""
        return self.vocab_size - 2

    @property
    def looks_up_puzzles(self) -> bool:
        """Whether each puzzle has a row of its own in a table that is kept beside the network."""
        return self.num_puzzles > 1

    @property
    def any_size(self) -> bool:
        """Whether the weights fit boards of every size."""
        return self.mixer == "convolution"

    @property
    def shares_symbols(self) -> bool:
        """Whether the net holds one field per symbol and shares its weights over them."""
        return self.mixer in ("equivariant", "units")


def same_weights(first: ModelConfig, second: ModelConfig) -> bool:
    """Whether the weights of one network fit the other: they may recur differently."""
    free: tuple[str, ...] = ("n", "T", "T_grad", "N_sup", "start")
    if first.any_size:
        free += ("height", "width", "box_height", "box_width")
    return replace(first, **{name: getattr(second, name) for name in free}) == second


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained: what a recipe resolves to."""

    batch_size: int = 768  # puzzles in the rolling batch
    steps: int = 65_104  # optimizer steps of the whole run
    decay_by: str = "steps"  # what the schedule follows: steps, or time
    minutes: float = 0.0  # of the whole run if decay_by is time; 0 takes --max-time
    warmup_steps: int = 0  # linear warm-up of every learning rate
    schedule: str = "cosine"  # after the warm-up: cosine to zero, or constant
    optimizer: str = "muon"  # muon (matrices of the net; AdamW for the rest), adamw, adam_atan2
    muon_lr: float = 0.02  # learning rate of the matrices under muon
    muon_momentum: float = 0.95  # Nesterov momentum of muon
    muon_decay: float = 0.005  # decoupled weight decay of the matrices under muon
    adamw_lr: float = 1e-4  # learning rate of everything else, or of all without muon
    adamw_decay: float = 1.0  # decoupled weight decay of the same
    puzzle_lr: float = 1e-4  # learning rate of the puzzle embedding, under SignSGD
    puzzle_decay: float = 1.0  # decoupled weight decay of the puzzle embedding
    clip: float = 1.0  # largest norm of the whole gradient; 0 never clips
    ema_decay: float = 0.999  # of the EMA weights; 0 averages nothing
    loss: str = "softmax"  # cross-entropy over softmax or over stablemax
    label_smoothing: float = 0.0  # share of the target spread over all tokens; softmax only
    halt_weight: float = 0.5  # of the halting loss beside the answer's
    exploration: float = 0.1  # share of puzzles held back from halting for a random while
    fresh_puzzles: int = 0  # made in every step, each in the oldest's place; of generated data
    symmetries: bool = True  # show every puzzle under a fresh symmetry
    hint_share: float = 0.0  # share of puzzles shown with more givens, taken from the answer
    max_hints: float = 0.5  # most of the empty cells that hints may fill
    latent_noise: float = 0.0  # largest deviation of the noise on z before a step; z is near 1
    validation: int = 1000  # puzzles of the validation set, which are not trained on
    report_every: int = 50  # steps between two reports
    evaluate_every: int = 2000  # steps between two evaluations on the validation set
    save_minutes: float = 5.0  # between two saved states; 0 saves after every step
    precision: str = "auto"  # of the recursion: float32, bfloat16, or auto (bfloat16 on CUDA)
    recompute: bool = False  # keep no activations inside the net: less memory, a third slower
    compile: bool = False  # torch.compile
    compile_unit: str = "net"  # what is compiled in one piece: the net, or the whole step
    cuda_graphs: bool = False  # record what is compiled as CUDA graphs

    def __post_init__(self) -> None:
        _check(self, "train", choices=TRAIN_CHOICES, ranges=TRAIN_RANGES, largest=MOST_STEPS)
        if self.cuda_graphs and not (self.compile and self.compile_unit == "step"):
            raise ConfigError("train.cuda_graphs: needs train.compile and train.compile_unit=step")
        if self.label_smoothing and self.loss == "stablemax":
            raise ConfigError("train.label_smoothing: is for train.loss=softmax")


@dataclass(frozen=True)
class SolveConfig:
    """When an attempt stops, how many there are, and in what they differ from the first.

    Attempt 0 is plain: the puzzle as it is, the network's own start, no noise.
    """

    halt: str = "verified"  # verified: head fires and rules hold; q: head fires; never
    max_steps: int = 16  # supervision steps of attempt 0 at most; may exceed N_sup
    seed: int = 0  # of every draw
    attempts: int = 1  # K, how often a puzzle is tried at most
    retry_steps: int = 0  # supervision steps of every further attempt at most; 0 for max_steps
    step_limit: int = 0  # supervision steps of all attempts at a puzzle at most; 0 for no limit
    starts: str = "random"  # z of further attempts: as attempt 0's, or drawn for each
    noise: float = 0.0  # deviation of what is added to z before each of their steps; z is near 1
    views: int = 1  # symmetric views that they go through, the puzzle as it is among them
    guess: bool = False  # each of them fills a blank with what the network believed
    select: str = "verified"  # whose answer is taken: see solving/search.py
    breadth_first: bool = False  # every puzzle's attempt 0 comes before any further attempt

    def __post_init__(self) -> None:
        for name, choices in SOLVE_CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise UsageError(f"--{name} {value}: choose {', '.join(choices)}")
        for name, least in (("max_steps", 1), ("attempts", 1), ("retry_steps", 0), ("step_limit", 0), ("views", 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MOST:
                raise UsageError(f"--{name.replace('_', '-')} {value}: choose a whole number, {least} to {MOST:,}")
        if type(self.noise) not in (int, float) or not 0 <= self.noise < math.inf:
            raise UsageError(f"--noise {self.noise}: choose a number from 0 up")
        for name in ("guess", "breadth_first"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"--{name.replace('_', '-')}: choose true or false")

    def steps_of(self, attempt: int) -> int:
        """Supervision steps that an attempt may take; 0 where the limit leaves it none."""
        steps = self.max_steps if attempt == 0 else self._further_steps
        if self.step_limit == 0:
            return steps
        before = 0 if attempt == 0 else self.max_steps + (attempt - 1) * self._further_steps
        return max(0, min(steps, self.step_limit - before))

    @property
    def num_attempts(self) -> int:
        """How often a puzzle is tried at most, within the limit of steps."""
        if self.step_limit == 0:
            return self.attempts
        left = max(0, self.step_limit - self.max_steps)
        return min(self.attempts, 1 + math.ceil(left / self._further_steps))

    @property
    def _further_steps(self) -> int:
        return self.retry_steps or self.max_steps

    @property
    def varies(self) -> bool:
        """Whether a further attempt can end otherwise than the first."""
        return self.guess or not self.varies_guess_alone

    @property
    def varies_guess_alone(self) -> bool:
        """Whether further attempts with the same guess, or with none, would be the same."""
        return self.starts == "fixed" and self.noise == 0 and self.views == 1


def override(config: "Config", settings: list[str]) -> "Config":
    """Apply settings spelled `section.name=value`.

    Raises UsageError for an unknown name, with the nearest one, and for a value of another type.
    """
    values: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, _, name = path.strip().partition(".")
        if not equals or section not in _sections(config):
            known = [f"{section}.NAME=VALUE" for section in _sections(config)]
            raise UsageError(f"--set {setting}: write {', '.join(known[:-1])} or {known[-1]}")
        kind = _kind(config, section, name, f"--set {setting}")
        values.setdefault(section, {})[name] = _parse(text.strip(), kind, setting)
    return _replaced(config, values, "--set")


def read_toml(config: "Config", path: Path) -> "Config":
    """Apply a TOML file; raises UsageError naming the file where it cannot be read or does not fit."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path}: larger than any config; give a TOML file")
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file; give a TOML file") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML ({error}); correct the file") from error
    return apply(config, values, str(path))


def apply(config: "Config", values: Mapping[str, Any], source: str) -> "Config":
    """Apply sections of values; raises UsageError, naming the source, where one does not fit."""
    typed: dict[str, dict[str, Any]] = {}
    for section, changes in values.items():
        if section not in _sections(config) or not isinstance(changes, Mapping):
            known = [f"[{section}]" for section in _sections(config)]
            raise UsageError(f"{source}: {section} is no section; write {', '.join(known[:-1])} or {known[-1]}")
        typed[section] = {}
        for name, value in changes.items():
            kind = _kind(config, section, name, source)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise UsageError(f"{source}: {section}.{name}: expected {kind.__name__}, got {value!r}")
            try:
                typed[section][name] = kind(value)
            except OverflowError as error:
                raise UsageError(f"{source}: a number is too large ({error})") from error
    return _replaced(config, typed, source)


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


def _replaced(config: "Config", values: Mapping[str, Mapping[str, Any]], source: str) -> "Config":
    try:
        return replace(config, **{s: replace(getattr(config, s), **v) for s, v in values.items() if v})
    except ConfigError as error:
        raise UsageError(f"{source}: {error}") from error


def _parse(text: str, kind: Any, setting: str) -> Any:
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        expected = "true or false" if kind is bool else f"{kind.__name__}, got {text!r}"
        raise UsageError(f"--set {setting}: expected {expected}") from error
