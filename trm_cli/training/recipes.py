"""Recipes: named, frozen sets of numbers.

Sudoku
`tiny`   6x6 grids, generated; minutes on two cores, for learning and for tests.
`fast`   9x9; message passing over rows, columns, boxes and cells (mixer `units`).
`large`  the same, four times as wide, for a GPU: as good as the minutes it is given.
`mlp`    9x9; the paper's token-mixing network with every later improvement, at a CPU's size.
`paper`  9x9; the paper's own numbers, for a day on a GPU.

Maze, generated without end but for `paper`
`tiny`       9x9; each cell combines its neighbours (mixer `convolution`); minutes on two cores.
`fast`       30x30; the same network, to be started from one that knows smaller mazes.
`large`      the same, four times as wide, for a GPU.
`attention`  30x30; the paper's kind of network with every later improvement, for a GPU.
`paper`      30x30; the paper's own numbers, for days on a GPU.

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

from trm_cli.config import ModelConfig, TrainConfig, apply
from trm_cli.errors import UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Generator, Sections, Symmetries, Task, Wanted
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


UNITS = ModelConfig(mixer="units", hidden_size=32, channel_width=96, num_prefix=0, n=3, T=1, start="random")
SMALL_BATCHES = TrainConfig(
    batch_size=64, steps=40_000, adamw_lr=1e-3, adamw_decay=0.0, ema_decay=0.998, halt_weight=0.1, hint_share=0.5
)
# arXiv:2510.04871 as its code runs it: README command for Sudoku, config/arch/trm.yaml.
PAPER_MODEL = ModelConfig(num_puzzles=1)
PAPER_TRAIN = TrainConfig(
    batch_size=768,
    steps=65_104,
    warmup_steps=2000,
    schedule="constant",
    optimizer="adam_atan2",
    adamw_lr=1e-4,
    adamw_decay=1.0,
    puzzle_lr=1e-4,
    puzzle_decay=1.0,
    clip=0.0,
    ema_decay=0.999,
    loss="stablemax",
    halt_weight=0.5,
    exploration=0.1,
)

CONVOLUTION = ModelConfig(
    height=30,
    width=30,
    box_height=1,
    box_width=1,
    vocab_size=6,
    mixer="convolution",
    hidden_size=32,
    channel_width=96,
    num_prefix=0,
    n=6,
    T=2,
    N_sup=8,
    start="random",
)
MAZES = replace(SMALL_BATCHES, batch_size=32, symmetries=False, hint_share=0.0, fresh_puzzles=16, validation=500)
# arXiv:2510.04871 as its code runs it: README command for mazes.
PAPER_ATTENTION = replace(
    PAPER_MODEL, height=30, width=30, box_height=1, box_width=1, vocab_size=6, mixer="attention", rotary="1d", n=4
)
# The same code on ARC. An epoch shows every pair of every task once, in one way: 3,988 pairs of
# ARC-AGI-1 with its evaluation tasks' demonstrations and ConceptARC, 5,574 of ARC-AGI-2.
PAPER_ARC = replace(PAPER_ATTENTION, vocab_size=12, num_puzzles=876_406)
PAPER_ARC_TRAIN = replace(
    PAPER_TRAIN,
    steps=100_000 * 3_988 // 768,
    adamw_decay=0.1,
    puzzle_lr=1e-2,
    puzzle_decay=0.1,
    symmetries=False,
    evaluate_every=10_000,
    validation=400,
)

# Attention at a CPU's size, on whatever puzzles.
SMALL_ATTENTION: Any = {
    "rotary": "2d",
    "hidden_size": 64,
    "channel_width": 192,
    "num_heads": 4,
    "num_prefix": 1,
    "T": 2,
}
ATTENTION_BATCHES = replace(SMALL_BATCHES, muon_lr=0.005, hint_share=0.0)

RECIPES: dict[tuple[str, str], Recipe] = {
    (recipe.task, recipe.name): recipe
    for recipe in (
        Recipe(
            name="tiny",
            task="sudoku",
            model=replace(
                UNITS, height=6, width=6, box_height=2, box_width=3, vocab_size=8, hidden_size=16, channel_width=48
            ),
            train=replace(
                SMALL_BATCHES, steps=1_500, ema_decay=0.99, validation=200, report_every=25, evaluate_every=250
            ),
            data=WantedSudokus(puzzles=3_000, least_givens=8, most_givens=14),
        ),
        Recipe(name="fast", task="sudoku", model=UNITS, train=SMALL_BATCHES, data=WantedSudokus()),
        Recipe(
            name="large",
            task="sudoku",
            model=replace(UNITS, hidden_size=128, channel_width=384),
            train=replace(
                SMALL_BATCHES,
                batch_size=768,
                steps=1_000_000,
                decay_by="time",
                ema_decay=0.999,
                hint_share=0.3,
                compile=True,
            ),
            data=WantedSudokus(),
        ),
        Recipe(name="paper", task="sudoku", model=PAPER_MODEL, train=PAPER_TRAIN, data=WantedSudokus()),
        Recipe(
            name="mlp",
            task="sudoku",
            model=ModelConfig(
                mixer="mlp",
                glu="normalised",
                hidden_size=128,
                token_width=256,
                channel_width=384,
                num_prefix=7,
                n=3,
                T=1,
                start="random",
            ),
            train=replace(SMALL_BATCHES, hint_share=0.8),
            data=WantedSudokus(),
        ),
        Recipe(
            name="tiny",
            task="maze",
            model=replace(CONVOLUTION, height=9, width=9),
            train=replace(MAZES, steps=2_500, ema_decay=0.995, validation=300, report_every=25, evaluate_every=500),
            data=WantedMazes(puzzles=10_000),
        ),
        Recipe(name="fast", task="maze", model=CONVOLUTION, train=MAZES, data=WantedMazes(puzzles=3_000)),
        Recipe(
            name="large",
            task="maze",
            model=replace(CONVOLUTION, hidden_size=128, channel_width=384),
            train=replace(MAZES, batch_size=256, steps=1_000_000, decay_by="time", ema_decay=0.999, compile=True),
            data=WantedMazes(puzzles=3_000),
        ),
        Recipe(
            name="attention",
            task="maze",
            # arXiv:2601.19085, run x07b, with averaged weights and a cosine.
            model=replace(PAPER_ATTENTION, num_puzzles=0, num_prefix=4, rotary="2d", T_grad=3),
            train=TrainConfig(
                batch_size=128,
                steps=20_000,
                muon_lr=0.005,
                muon_decay=0.02,
                adamw_lr=1e-4,
                adamw_decay=1.0,
                ema_decay=0.999,
                label_smoothing=0.1,
                halt_weight=0.05,
                symmetries=False,
                fresh_puzzles=32,
                validation=500,
                compile=True,
            ),
            data=WantedMazes(puzzles=3_000),
        ),
        Recipe(
            name="paper",
            task="maze",
            model=PAPER_ATTENTION,
            train=replace(PAPER_TRAIN, symmetries=False),
            data=WantedMazes(puzzles=2_000),
        ),
        Recipe(
            name="tiny",
            task="arc",
            model=replace(PAPER_ARC, **SMALL_ATTENTION, n=2, N_sup=4),
            train=replace(
                ATTENTION_BATCHES,
                batch_size=32,
                steps=2_000,
                ema_decay=0.99,
                puzzle_lr=1e-2,
                puzzle_decay=0.1,
                symmetries=False,
                validation=200,
                report_every=25,
                evaluate_every=250,
            ),
            data=None,
        ),
        Recipe(name="paper", task="arc", model=PAPER_ARC, train=PAPER_ARC_TRAIN, data=None),
        Recipe(
            name="paper-2",
            task="arc",
            model=replace(PAPER_ARC, num_puzzles=1_191_120),
            train=replace(PAPER_ARC_TRAIN, steps=100_000 * 5_574 // 768),
            data=None,
        ),
    )
}


def get_recipe(task_name: str, name: str) -> Recipe:
    """The recipe of that name; raises UsageError that lists the names there are, or says what is wrong in it."""
    task = get_task(task_name)
    if (task_name, name) in RECIPES:
        return RECIPES[task_name, name]
    general: dict[str, Sections] = {} if isinstance(task, Demonstrated) else {GENERAL: {}}  # no table of problems
    brought = {**general, **task.recipes}
    if name not in brought:
        known = ", ".join(sorted({*brought, *(known for of, known in RECIPES if of == task_name)}))
        raise UsageError(f"{name!r} is not a recipe of {task_name}; choose from: {known}")
    return apply(replace(general_recipe(task), name=name), brought[name], f"recipe {name} of {task_name}")


def general_recipe(task: Task) -> Recipe:
    """What any task can start from: attention at a CPU's size, on boards of the task's usual size."""
    size = task.usual_size
    height, width, box_height, box_width = task.boxes(size * size)
    model = ModelConfig(
        height=height,
        width=width,
        box_height=box_height,
        box_width=box_width,
        vocab_size=task.vocab_size(size * size),
        mixer="attention",
        n=3,
        N_sup=8,
        start="random",
        **SMALL_ATTENTION,
    )
    train = replace(ATTENTION_BATCHES, symmetries=isinstance(task, Symmetries))
    return Recipe(GENERAL, task.name, model, train, task.usual(size) if isinstance(task, Generator) else None)
