"""What a run trains on and is judged by: files, the Hub, puzzles that were generated, or sets of problems."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.config import ModelConfig, same_weights
from trm_cli.errors import UsageError
from trm_cli.tasks.base import UNRATED, Dataset, Task, as_rows, board_of, digest, generator_of
from trm_cli.tasks.problems import Demonstrated, ProblemData
from trm_cli.tasks.tables import join, read_dataset
from trm_cli.training.run import GENERATE, KNOWN, Plan, folder_of_problems


@dataclass(frozen=True)
class RunData:
    """What a run trains on and is judged by."""

    training: Dataset
    validation: Dataset  # not trained on; of problems, see `pairs_to_judge_by`
    names: list[str]  # of the sources, as the card says them
    sources: list[str]  # as typed, but good from any folder
    generated: Dataset | None = None  # those that the task's generator made for the run, if it made any
    problems: ProblemData | None = None  # the data set behind it, of a task that is learned from demonstrations
    smaller: "tuple[RunData, ...]" = ()  # the same of smaller boards, the smallest first, where there are several sizes

    @property
    def sizes(self) -> "tuple[RunData, ...]":
        """The data of each size, the smallest first."""
        return (*self.smaller, self)

    @property
    def num_cells(self) -> int:
        """L, cells of its own boards."""
        return int(self.training.puzzles.shape[1])

    @property
    def sha256(self) -> str:
        """Of all that is trained on."""
        return joint_sha256([one.training for one in self.sizes])


def joint_sha256(datasets: list[Dataset]) -> str:
    """That of a data set; of several, of all of them in order."""
    if len(datasets) == 1:
        return datasets[0].sha256
    return hashlib.sha256("".join(data.sha256 for data in datasets).encode()).hexdigest()


@dataclass(frozen=True)
class PuzzlePairs(Dataset):
    """Pairs of puzzles that are told apart."""

    ids: NDArray[np.int64]  # [N] rows of the table

    @property
    def role(self) -> str:
        """KNOWN, or tests of the task."""
        return self.sources[0]


def load_data(plan: Plan, kept: Mapping[int, Dataset], progress: Callable[[int, int], None]) -> RunData:
    """Read the sources of a plan, or generate what the recipe asks for.

    Sources are files, `hub:owner/name` or `generate`; nothing means `generate`, and so it does for each size of
    several that the sources have nothing of.
    kept      the puzzles that this run generated when it began, by their cells.
    progress  called with the number of puzzles generated and the number wanted.
    Raises UsageError where they do not fit the recipe.
    """
    if isinstance(plan.task, Demonstrated):
        return _load_problems(plan, plan.task)
    found = [None if source == GENERATE else _read(source, plan.task) for source in plan.sources or [GENERATE]]
    if not plan.recipe.model.is_for_several:
        return _load_size(plan, found, kept, progress)
    known = [one for one in found if one is not None]
    plans = [plan.of_size(num_cells) for num_cells in plan.sizes]
    for dataset, _, _ in known:
        _refuse_other_size(plan, dataset)
    parts = []
    for one in plans:
        own: list[_Source | None] = [of for of in known if of[0].puzzles.shape[1] == one.recipe.model.num_cells]
        parts.append(_load_size(one, own + [None] * (None in found or not own), kept, progress))
    names = [name for part in parts for name in part.names]
    sources = [source for _, _, source in known] + [GENERATE] * (None in found)
    return replace(parts[-1], names=names, sources=sources, smaller=tuple(parts[:-1]))


def _load_size(
    plan: Plan, found: "list[_Source | None]", kept: Mapping[int, Dataset], progress: Callable[[int, int], None]
) -> RunData:
    """The data of a plan for one size from what was read, and puzzles to generate in place of each None."""
    kept_here = kept.get(plan.recipe.model.num_cells)
    whole = [(*_generate(plan, kept_here, progress), GENERATE) if source is None else source for source in found]
    names, sources = [name for _, name, _ in whole], [source for _, _, source in whole]
    made = next((data for data, _, source in whole if source == GENERATE), None)
    return split_data(plan, join([data for data, _, _ in whole]), names, sources, made)


def split_data(
    plan: Plan, whole: Dataset, names: list[str], sources: list[str], generated: Dataset | None = None
) -> RunData:
    """The data of a run, of which some puzzles become the validation set; `generated`: those made for the run."""
    _refuse_other_size(plan, whole)
    training, validation = split(
        whole, validation=plan.recipe.train.validation, subsample=plan.subsample, seed=plan.seed
    )
    return RunData(training, validation, names, sources, generated)


def split(data: Dataset, *, validation: int, subsample: int | None, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation set: `validation` puzzles, and `subsample` of the others, or all.

    The validation set follows from the data and its size alone, so that a run that starts from
    another's weights is not judged by puzzles that the other was trained on. What the data have
    twice is never on both sides. The seed decides the subsample.
    Raises UsageError where there are too few.
    """
    if len(data) <= validation:
        raise UsageError(
            f"{len(data)} puzzles, of which {validation} are for the validation set; "
            "give more data or lower --set train.validation"
        )
    order = np.random.default_rng(0).permutation(len(data))
    chosen, others = order[:validation], order[validation:]
    rows = as_rows(data.puzzles)
    others = others[~np.isin(rows[others], rows[chosen])]
    if subsample is not None:
        if subsample > len(others):
            raise UsageError(f"--subsample {subsample}: only {len(others)} puzzles are left to train on")
        others = np.random.default_rng(seed).permutation(others)[:subsample]
    return data.rows(np.sort(others)), data.rows(np.sort(chosen))


_Source = tuple[Dataset, str, str]  # puzzles, their name for the card, and the source from any folder


def _read(source: str, task: Task) -> _Source:
    """The puzzles of a file or of the Hub, their name for the card, and the source from any folder."""
    from trm_cli.weights.hub import HUB_PREFIX, download_dataset  # slow to import

    if source.startswith(HUB_PREFIX):
        path, commit = download_dataset(source.removeprefix(HUB_PREFIX))
        repository = re.split("[@:]", source.removeprefix(HUB_PREFIX))[0]
        snapshot = next(parent for parent in path.parents if parent.name == commit)
        lasting = f"{HUB_PREFIX}{repository}@{commit}:{path.relative_to(snapshot).as_posix()}"
        name = f"{source} ({path.name} of commit {commit})"
    else:
        path = Path(source)
        name, lasting = path.name, str(path.absolute())
    dataset = read_dataset(path, task)
    return dataset, f"{name} ({len(dataset)} puzzles)", lasting


def _generate(plan: Plan, kept: Dataset | None, progress: Callable[[int, int], None]) -> tuple[Dataset, str]:
    wanted, size = plan.recipe.wanted, plan.recipe.model.height
    name = f"{wanted.puzzles} generated {wanted.described(size)}"
    if fresh := plan.recipe.train.fresh_puzzles:
        name += f", {fresh} of them replaced by new ones in every step"
    if kept is None:
        kept = generator_of(plan.task).generate(wanted, size=size, seed=plan.seed, progress=progress)
    return kept, name


def _load_problems(plan: Plan, task: Demonstrated) -> RunData:
    problems = task.open_data(folder_of_problems(task, plan.sources))
    part, known = problems.train, problems.facts
    training = Dataset(part.inputs, part.labels, [], np.empty(0, np.int64), problems.sha256)
    what = (
        f"{len(problems.names) - 1:,} puzzles of {len(known['tasks']):,} {task.name.upper()} tasks"
        if known
        else f"a data set of {task.name.upper()}"
    )
    _refuse_other_size(plan, training)
    if plan.recipe.model.num_puzzles < len(problems.names):
        raise UsageError(
            f"model.num_puzzles is {plan.recipe.model.num_puzzles:,}, but the data set has {len(problems.names):,}; "
            "leave the setting out"
        )
    if plan.subsample is not None:
        raise UsageError(
            f"--subsample: of {task.name.upper()}, make a smaller data set with `trm data {task.name} --limit`"
        )
    return RunData(
        training,
        pairs_to_judge_by(problems, plan.recipe.train.validation, f"{task.name.upper()} tests"),
        [f"{problems.folder.name} ({what})"],
        [str(problems.folder.absolute())],
        problems=problems,
    )


def pairs_to_judge_by(problems: ProblemData, most: int, tests: str) -> PuzzlePairs:
    """Pairs to measure a network on while it trains: tests of evaluation problems in all their views.

    Without evaluation problems, the pairs that are trained on, in the plain view.
    most   how many; they are spread evenly.
    tests  what the tests are called.
    """
    if problems.test is not None:
        part, rows, role = problems.test, np.arange(len(problems.test.inputs)), tests
    else:
        part, role = problems.train, KNOWN
        ends = part.puzzle_indices
        rows = np.concatenate([np.arange(ends[puzzle], ends[puzzle + 1]) for puzzle in part.group_indices[:-1]])
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    ids = part.puzzle_identifiers[part.puzzles_of_examples()[rows]].astype(np.int64)
    inputs, labels = np.array(part.inputs[rows]), np.array(part.labels[rows])
    return PuzzlePairs(inputs, labels, [role] * len(rows), np.full(len(rows), UNRATED), digest(inputs, labels), ids)


def refuse_misfits(task: Task, model: ModelConfig, start: ModelConfig | None = None) -> None:
    """Raise UsageError where a network cannot be of a task, or not begin with the weights of another one."""
    if start is not None and not same_weights(start, model):
        raise UsageError("--init: that checkpoint has another architecture than the recipe")
    expected = board_of(task, model.num_cells)
    for name, value in expected.items():
        if getattr(model, name) != value:
            raise UsageError(
                f"model.{name} is {getattr(model, name)}, but {task.name} of {model.num_cells} "
                f"cells needs {value}; give {_as_settings(expected)}"
            )


def _refuse_other_size(plan: Plan, data: Dataset) -> None:
    cells = data.puzzles.shape[1]
    if cells not in plan.sizes:
        raise UsageError(
            f"the data set holds puzzles of {cells} cells, the recipe {plan.recipe.name!r} is for "
            f"{', '.join(map(str, plan.sizes))}; give other data, or {_as_settings(board_of(plan.task, cells))}"
        )


def _as_settings(values: dict[str, int]) -> str:
    return " ".join(f"--set model.{name}={value}" for name, value in values.items())
