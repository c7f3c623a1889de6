"""Every number that a network, a training run or a solver depends on, as frozen dataclasses.

`ModelConfig` travels inside each checkpoint; `TrainConfig` is what a recipe resolves to;
`SolveSettings` says when an attempt stops, what the next varies, which answer is taken.
"""

import math
from dataclasses import dataclass, fields, replace

from trm_cli.errors import ConfigError, UsageError

NEWEST = "newest"  # what `--resume` means without a path
MIXERS = ("mlp", "attention", "equivariant", "units", "convolution")
GLUS = ("plain", "normalised")
STARTS = ("fixed", "random")
ROTARIES = ("none", "1d", "2d")
RECURSIONS = ("y_and_z", "single_z")
MOST_STEPS = 10**12  # of a run; far beyond any that ends
SHARES = ("ema_decay", "exploration", "hint_share", "max_hints", "label_smoothing", "muon_momentum")
MOST_PUZZLES = 1 << 24  # rows of a puzzle embedding
LARGEST = 1 << 20  # of any size in an architecture; a file that asks for more is damaged
MOST_PUZZLES = 1 << 24  # rows of a puzzle embedding: those of ARC have more than a million


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
    recursion: str = "y_and_z"  # the paper's, or single_z: see model/variants.py

    def __post_init__(self) -> None:
        _one_of("model.mixer", self.mixer, MIXERS)
        _one_of("model.glu", self.glu, GLUS)
        _one_of("model.start", self.start, STARTS)
        _one_of("model.rotary", self.rotary, ROTARIES)
        _one_of("model.recursion", self.recursion, RECURSIONS)
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("num_prefix", "num_puzzles") else 1
            most = MOST_PUZZLES if field.name == "num_puzzles" else LARGEST
            if field.type is int and not (isinstance(value, int) and least <= value <= most):
                raise ConfigError(f"model.{field.name}: expected {least} to {most:,}, got {value!r}")
        if not (math.isfinite(self.rotary_base) and self.rotary_base > 0):
            raise ConfigError(f"model.rotary_base: expected more than 0, got {self.rotary_base}")
        if not 0 <= self.damping < 1:
            raise ConfigError(f"model.damping: expected 0 to less than 1, got {self.damping}")
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


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


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
    ema_decay: float = 0.999  # of the averaged weights that are kept; 0 averages nothing
    loss: str = "softmax"  # cross-entropy over softmax or over stablemax
    label_smoothing: float = 0.0  # share of the target spread over all tokens; softmax only
    halt_weight: float = 0.5  # of the halting loss beside the answer's
    exploration: float = 0.1  # share of puzzles held back from halting for a random while
    fresh_puzzles: int = 0  # made in every step, each in the oldest's place; of generated data
    symmetries: bool = True  # show every puzzle under a fresh symmetry
    hint_share: float = 0.0  # share of puzzles shown with more givens, taken from the answer
    max_hints: float = 0.5  # most of the empty cells that hints may fill
    latent_noise: float = 0.0  # largest deviation of the noise on z before a step; z is near 1
    validation: int = 1000  # puzzles held out from the training data
    report_every: int = 50  # steps between two reports
    evaluate_every: int = 2000  # steps between two evaluations on the held-out puzzles
    save_minutes: float = 5.0  # between two saved states; 0 saves after every step
    precision: str = "auto"  # of the recursion: float32, bfloat16, or auto (bfloat16 on CUDA)
    recompute: bool = False  # keep no activations inside the net: less memory, a third slower
    compile: bool = False  # torch.compile
    compile_unit: str = "net"  # what is compiled in one piece: the net, or the whole step
    cuda_graphs: bool = False  # record what is compiled as CUDA graphs

    def __post_init__(self) -> None:
        _one_of("train.decay_by", self.decay_by, ("steps", "time"))
        _one_of("train.schedule", self.schedule, ("cosine", "constant"))
        _one_of("train.optimizer", self.optimizer, ("muon", "adamw", "adam_atan2"))
        _one_of("train.precision", self.precision, ("auto", "float32", "bfloat16"))
        _one_of("train.compile_unit", self.compile_unit, ("net", "step"))
        if self.cuda_graphs and not (self.compile and self.compile_unit == "step"):
            raise ConfigError("train.cuda_graphs: needs train.compile and train.compile_unit=step")
        if self.label_smoothing and self.loss == "stablemax":
            raise ConfigError("train.label_smoothing: is for train.loss=softmax")
        _one_of("train.loss", self.loss, ("softmax", "stablemax"))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                least = 0 if field.name in ("warmup_steps", "fresh_puzzles") else 1
                most = LARGEST if field.name == "batch_size" else MOST_STEPS
                if not least <= value <= most:
                    raise ConfigError(f"train.{field.name}: expected {least} to {most:,}, got {value}")
            elif field.type is float:
                is_share = field.name in SHARES
                if not (0 <= value <= (1 if is_share else math.inf) and math.isfinite(value)):
                    expected = "0 to 1" if is_share else "0 or more"
                    raise ConfigError(f"train.{field.name}: expected {expected}, got {value}")


HALTS = ("verified", "q", "never")
SELECTS = ("verified", "q", "mode", "margin", "residual")
MOST = 1_000_000  # of steps, attempts and views


@dataclass(frozen=True)
class SolveSettings:
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
    select: str = "verified"  # whose answer is taken: see solving/engine.py
    breadth_first: bool = False  # every puzzle's attempt 0 comes before any further attempt

    def __post_init__(self) -> None:
        for name, choices in (("halt", HALTS), ("starts", STARTS), ("select", SELECTS)):
            if (value := getattr(self, name)) not in choices:
                raise UsageError(f"--{name} {value}: choose {', '.join(choices)}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MOST:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} {value}: choose a whole number, {least} to {MOST:,}")
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


LEAST = {"max_steps": 1, "attempts": 1, "retry_steps": 0, "step_limit": 0, "views": 1}
