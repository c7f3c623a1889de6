"""Recipes: named, frozen sets of numbers.

Sudoku
`tiny`   6x6 grids, generated; minutes on two cores, for learning and for tests.
`fast`   9x9; message passing over rows, columns, boxes and cells (mixer `units`).
`large`  the same, four times as wide, for a GPU: as good as the minutes it is given.
`sizes`  6x6, 9x9, 12x12 and 16x16, which take turns; to be started from a network of `fast`.
`mlp`    9x9; the paper's token-mixing network with every later improvement, at a CPU's size.
`mlp-large`  9x9; the same at the paper's size, for a GPU.
`paper`  9x9; the paper's own numbers, for a day on a GPU.
`hrm`    9x9; the paper's baseline, the Hierarchical Reasoning Model, in its own numbers.
`hrm-tiny`  6x6; the same at a CPU's size, minutes on two cores.

Maze, generated without end but for `paper`
`tiny`       9x9; each cell combines its neighbours (mixer `convolution`); minutes on two cores.
`fast`       30x30; the same network, to be started from one that knows smaller mazes.
`large`      the same, four times as wide, for a GPU.
`attention`  30x30; the paper's kind of network with every later improvement, for a GPU.
`paper`      30x30; the paper's own numbers, for days on a GPU.
`hrm`        30x30; the paper's baseline, in its own numbers.
`hrm-tiny`   9x9; the same at a CPU's size.

ARC, on a data set made by `trm data arc`; as many rows for puzzles as that has
`tiny`     a handful of tasks, learned by heart in minutes on two cores, on small boards.
`paper`    ARC-AGI-1: 100,000 epochs over training, evaluation and concept tasks, days on GPUs.
`paper-2`  the same for ARC-AGI-2.

A task brings recipes of its own as data, `Task.recipes`: by name, the sections and values that
differ from the general recipe, as in the TOML of `trm train TASK --print-config`.
`fast`  where a task brings none of that name: the general recipe itself.
"""

from dataclasses import dataclass, replace
from typing import Any

from trm_cli.config import OF_HRM, ModelConfig, TrainConfig, apply
from trm_cli.errors import UsageError, did_you_mean
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Generator, Sections, Symmetries, Task, Wanted, board_of
from trm_cli.tasks.maze_generator import WantedMazes
from trm_cli.tasks.problems import Demonstrated
from trm_cli.tasks.sudoku_generator import WantedSudokus

GENERAL = "fast"  # the recipe that a task has without bringing one


@dataclass(frozen=True)
class Recipe:
    """What `trm train` needs to know before it sees the data."""

    name: str
    task: str
    model: ModelConfig
    train: TrainConfig
    data: Wanted | None  # to generate when no data set is given; None where there is no generator

    @property
    def wanted(self) -> Wanted:
        """What to generate; raises UsageError where nothing generates the task's puzzles."""
        if self.data is None:
            raise UsageError(f"{self.task}: puzzles of this kind are not generated; give data with --data")
        return self.data

    @property
    def lacks_time(self) -> bool:
        """Whether the learning rate follows the time, and nothing says how much of it there is."""
        return self.train.decay_by == "time" and not self.train.minutes


# Sections that several recipes share.
DEEP: Any = {"hidden_size": 512, "channel_width": 1536, "n": 6, "T": 3}  # as in the paper
WIDE: Any = {"hidden_size": 128, "channel_width": 384}
MINIMAL = WantedSudokus(puzzles=5_000, minimal=True)
OFTEN: Any = {"report_every": 25, "evaluate_every": 250}
BY_TIME: Any = {"steps": 1_000_000, "decay_by": "time", "ema_decay": 0.999, "compile": True}
ENDLESS: Any = {"symmetries": False, "validation": 500}  # where no puzzle is seen twice
SMALL_BOARD: Any = {"height": 6, "width": 6, "box_height": 2, "box_width": 3, "vocab_size": 8}
LARGE_BOARD: Any = {"height": 16, "width": 16, "box_height": 4, "box_width": 4, "vocab_size": 18}
OF_MAZES: Any = {"height": 30, "width": 30, "box_height": 1, "box_width": 1, "vocab_size": 6}
OF_PROBLEMS: Any = {"puzzle_lr": 1e-2, "puzzle_decay": 0.1, "symmetries": False}

# At a CPU's size.
UNITS = ModelConfig(mixer="units", hidden_size=32, channel_width=96, num_prefix=0, n=3, T=1, start="random")
TOKENS = replace(UNITS, mixer="mlp", glu="normalised", token_width=256, num_prefix=7)
CONVOLUTION = replace(UNITS, **OF_MAZES, mixer="convolution", n=6, T=2, N_sup=8)
ATTENTION: Any = {"rotary": "2d", "hidden_size": 64, "channel_width": 192, "num_heads": 4, "num_prefix": 1, "T": 2}
SMALL_BATCHES = TrainConfig(
    batch_size=64, steps=40_000, adamw_lr=1e-3, adamw_decay=0.0, ema_decay=0.998, halt_weight=0.1, hint_share=0.5
)
MAZES = replace(SMALL_BATCHES, batch_size=32, hint_share=0.0, fresh_puzzles=16, **ENDLESS)
ATTENTION_BATCHES = replace(SMALL_BATCHES, muon_lr=0.005, hint_share=0.0)

# arXiv:2510.04871 as its code runs it: README commands, config/arch/trm.yaml. What is not named here
# is so by default in ModelConfig and TrainConfig. On ARC, an epoch shows every pair of every task once,
# in one way: 3,988 pairs of ARC-AGI-1 with its evaluation tasks' demonstrations and ConceptARC, 5,574
# of ARC-AGI-2.
PAPER = ModelConfig(num_puzzles=1)
PAPER_ATTENTION = replace(PAPER, **OF_MAZES, mixer="attention", rotary="1d", n=4)
PAPER_ARC = replace(PAPER_ATTENTION, vocab_size=12, num_puzzles=876_406)
PAPER_TRAIN = TrainConfig(warmup_steps=2000, schedule="constant", optimizer="adam_atan2", clip=0.0, loss="stablemax")
# arXiv:2506.21734 as its code runs it: README commands, config/arch/hrm_v1.yaml.
HRM = replace(PAPER, **OF_HRM, mixer="attention", rotary="1d", num_layers=4, num_prefix=1)
HRM_TRAIN = replace(PAPER_TRAIN, steps=20_000 * 1_000 // 768, ema_decay=0.0)
HRM_TINY: Any = {"hidden_size": 64, "channel_width": 192, "num_heads": 4, "rotary": "2d", "num_puzzles": 0}
HRM_TINY_TRAIN: Any = {"muon_lr": 0.005, "ema_decay": 0.0, "halt_weight": 0.5}
PAPER_ARC_TRAIN = replace(
    PAPER_TRAIN, steps=100_000 * 3_988 // 768, adamw_decay=0.1, evaluate_every=10_000, validation=400, **OF_PROBLEMS
)

# By task and name.
SECTIONS: dict[tuple[str, str], tuple[ModelConfig, TrainConfig, Wanted | None]] = {
    ("sudoku", "tiny"): (
        replace(UNITS, **SMALL_BOARD, hidden_size=16, channel_width=48),
        replace(SMALL_BATCHES, steps=1_500, ema_decay=0.99, validation=200, **OFTEN),
        WantedSudokus(puzzles=3_000, least_givens=8, most_givens=14),
    ),
    ("sudoku", "fast"): (UNITS, SMALL_BATCHES, WantedSudokus()),
    ("sudoku", "large"): (
        replace(UNITS, **WIDE),
        replace(SMALL_BATCHES, batch_size=768, hint_share=0.3, fresh_puzzles=2, **BY_TIME),
        MINIMAL,
    ),
    ("sudoku", "sizes"): (
        replace(UNITS, **LARGE_BOARD, smallest=6),
        replace(SMALL_BATCHES, batch_size=16, validation=100, evaluate_every=1_000),
        WantedSudokus(puzzles=5_000, least_givens=110, most_givens=180),
    ),
    ("sudoku", "mlp"): (replace(TOKENS, **WIDE), replace(SMALL_BATCHES, hint_share=0.8), WantedSudokus()),
    ("sudoku", "mlp-large"): (  # arXiv:2601.19085, run x182m, but for n, T, averaged weights and random starts
        replace(TOKENS, **DEEP),
        replace(
            SMALL_BATCHES,
            batch_size=384,
            adamw_lr=3e-4,
            hint_share=0.4,
            label_smoothing=0.1,
            fresh_puzzles=2,
            **BY_TIME,
        ),
        MINIMAL,
    ),
    ("sudoku", "paper"): (PAPER, PAPER_TRAIN, WantedSudokus()),
    ("sudoku", "hrm"): (HRM, HRM_TRAIN, WantedSudokus()),
    ("sudoku", "hrm-tiny"): (
        replace(HRM, **SMALL_BOARD, **HRM_TINY),
        replace(SMALL_BATCHES, steps=2_000, validation=200, **OFTEN, **HRM_TINY_TRAIN),
        WantedSudokus(puzzles=3_000, least_givens=16, most_givens=24),
    ),
    ("maze", "tiny"): (
        replace(CONVOLUTION, height=9, width=9),
        replace(MAZES, steps=2_500, ema_decay=0.995, validation=300, report_every=25, evaluate_every=500),
        WantedMazes(puzzles=10_000),
    ),
    ("maze", "fast"): (CONVOLUTION, MAZES, WantedMazes(puzzles=3_000)),
    ("maze", "large"): (
        replace(CONVOLUTION, **WIDE),
        replace(MAZES, batch_size=256, fresh_puzzles=8, **BY_TIME),
        WantedMazes(puzzles=3_000),
    ),
    ("maze", "attention"): (  # arXiv:2601.19085, run x07b, with averaged weights and a cosine
        replace(PAPER_ATTENTION, num_puzzles=0, num_prefix=4, rotary="2d", T_grad=3),
        TrainConfig(
            batch_size=128,
            muon_lr=0.005,
            muon_decay=0.02,
            label_smoothing=0.1,
            halt_weight=0.05,
            fresh_puzzles=32,
            **ENDLESS,
            **BY_TIME,
        ),
        WantedMazes(puzzles=3_000),
    ),
    ("maze", "paper"): (PAPER_ATTENTION, replace(PAPER_TRAIN, symmetries=False), WantedMazes(puzzles=2_000)),
    ("maze", "hrm"): (replace(HRM, **OF_MAZES), replace(HRM_TRAIN, symmetries=False), WantedMazes(puzzles=2_000)),
    ("maze", "hrm-tiny"): (
        replace(HRM, **OF_MAZES | {"height": 9, "width": 9}, **HRM_TINY),
        replace(MAZES, steps=2_500, **OFTEN, **HRM_TINY_TRAIN),
        WantedMazes(puzzles=10_000),
    ),
    ("arc", "tiny"): (
        replace(PAPER_ARC, **ATTENTION, n=2, N_sup=4),
        replace(ATTENTION_BATCHES, batch_size=32, steps=2_000, ema_decay=0.99, validation=200, **OFTEN, **OF_PROBLEMS),
        None,
    ),
    ("arc", "paper"): (PAPER_ARC, PAPER_ARC_TRAIN, None),
    ("arc", "paper-2"): (
        replace(PAPER_ARC, num_puzzles=1_191_120),
        replace(PAPER_ARC_TRAIN, steps=100_000 * 5_574 // 768),
        None,
    ),
}
RECIPES = {(task, name): Recipe(name, task, *sections) for (task, name), sections in SECTIONS.items()}


def recipe_names(task_name: str) -> list[str]:
    """Every recipe of a task; raises UsageError where there is no such task."""
    return [*dict.fromkeys([*(name for task, name in RECIPES if task == task_name), *_brought(get_task(task_name))])]


def get_recipe(task_name: str, name: str) -> Recipe:
    """The recipe of that name; raises UsageError that lists the names there are, or says what is wrong in it."""
    task = get_task(task_name)
    if (task_name, name) in RECIPES:
        return RECIPES[task_name, name]
    brought = _brought(task)
    if name not in brought:
        known = recipe_names(task_name)
        choices = f"choose from: {', '.join(sorted(known))}{did_you_mean(name, known)}"
        raise UsageError(f"{name!r} is not a recipe of {task_name}; {choices}")
    return apply(replace(general_recipe(task), name=name), brought[name], f"recipe {name} of {task_name}")


def _brought(task: Task) -> dict[str, Sections]:
    """The recipes that a task has as data, the general one among them; a table of problems has none."""
    general: dict[str, Sections] = {} if isinstance(task, Demonstrated) else {GENERAL: {}}
    return {**general, **task.recipes}


def general_recipe(task: Task) -> Recipe:
    """What any task can start from: attention at a CPU's size, on boards of the task's usual size."""
    board: Any = board_of(task, task.usual_size**2)
    model = ModelConfig(**board, mixer="attention", n=3, N_sup=8, start="random", **ATTENTION)
    train = replace(ATTENTION_BATCHES, symmetries=isinstance(task, Symmetries))
    wanted = task.usual(task.usual_size) if isinstance(task, Generator) else None
    return Recipe(GENERAL, task.name, model, train, wanted)
