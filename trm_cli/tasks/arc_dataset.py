"""The training data of ARC: tasks augmented, encoded, and written to a folder of arrays.

Every task becomes a group: itself, then itself redrawn in other views, each with a puzzle id of its
own. Of evaluation tasks only the demonstrations are trained on; their tests are kept apart. Where
another task has a pair that equals one of these tests, turned or recoloured, it is left out too.
The draws follow one another as in the official builder, and the folder is laid out like its
(dataset/build_arc_dataset.py of github.com/SamsungSAILMontreal/TinyRecursiveModels):

train/all__inputs.npy              [E, L] uint8, the boards of all pairs; labels beside it
train/all__puzzle_indices.npy      [P+1] where each puzzle's pairs begin
train/all__puzzle_identifiers.npy  [P] its id, which is its row of the puzzle embedding
train/all__group_indices.npy       [G+1] where each task's puzzles begin: itself, then redrawn
train/dataset.json                 counts
test/                              the same for the tests of evaluation tasks, if there are any
identifiers.json                   the name of each id; 0 stands for none
test_puzzles.json                  the evaluation tasks themselves
trm.json                           how it was made, and a hash of the arrays; ours alone
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.files import write_whole
from trm_cli.tasks.arc_grids import (
    SIDE,
    VOCAB_SIZE,
    ArcView,
    as_json,
    canonical,
    encode,
    parse_problems,
    read_problems,
    side_of,
    stem,
)
from trm_cli.tasks.base import Progress, Tokens
from trm_cli.tasks.problems import (
    INDICES,
    TEST,
    TRAIN,
    Grid,
    Pair,
    Problem,
    ProblemData,
    ProblemPart,
    ProblemSize,
    View,
    key,
)

TRIES = 5  # draws for each augmentation that is wanted
UNKNOWN: Grid = np.zeros((1, 1), np.uint8)  # stands for an answer that the file does not say


@dataclass(frozen=True)
class Subset:
    """Tasks of one source."""

    name: str
    problems: list[Problem]
    is_evaluation: bool  # train on the demonstrations alone, ask for the tests


@dataclass(frozen=True)
class Group:
    """A task, the pairs of it that go to each part, and the views in which it is redrawn."""

    problem: Problem
    parts: dict[str, list[Pair]]  # TRAIN, and TEST of an evaluation task
    views: NDArray[np.uint8]  # [K, 11] turn and colours; the first view changes nothing

    def names(self) -> Iterator[str]:
        """What the task is called in each view."""
        yield self.problem.name
        for view in self.all_views()[1:]:
            yield view.name_of(self.problem.name)

    def all_views(self) -> list[ArcView]:
        """The views, as such."""
        return [ArcView.of_digits(row) for row in self.views]


@dataclass(frozen=True)
class Examples:
    """What a group writes into one part, in one view."""

    inputs: list[Tokens]  # [L] each
    labels: list[Tokens]


@dataclass(frozen=True)
class Planned:
    """All groups, and the state of the draws behind them."""

    groups: list[Group]
    left_out: int  # pairs of other tasks, because an evaluation task asks for them
    rng: np.random.RandomState

    def of_part(self, part: str) -> list[Group]:
        """The groups that have pairs in a part."""
        return [group for group in self.groups if part in group.parts]

    def num_examples(self, part: str) -> int:
        """How many pairs a part will hold, in all views."""
        return sum(len(group.views) * len(group.parts[part]) for group in self.of_part(part))


def plan(
    subsets: list[Subset], *, augmentations: int, seed: int, keep_leaks: bool = False, progress: Progress | None = None
) -> Planned:
    """Decide which pairs go where and draw the views; nothing is encoded yet.

    keep_leaks  train on what equals a test of an evaluation task too, as the official builder does.
    Raises UsageError where nothing is left to train on.
    """
    rng = np.random.RandomState(seed)
    asked = set() if keep_leaks else _asked(subsets)
    total = sum(len(subset.problems) for subset in subsets)
    groups, left_out = [], 0
    for subset in subsets:
        problems = list(subset.problems)
        rng.shuffle(problems)  # type: ignore[arg-type] # a list is shuffled too
        for problem in problems:
            parts = _parts(problem, subset.is_evaluation)
            if asked and not subset.is_evaluation:
                kept = [pair for pair in parts[TRAIN] if canonical(pair) not in asked]
                left_out += len(parts[TRAIN]) - len(kept)
                parts = {TRAIN: kept}
            if parts[TRAIN]:
                groups.append(Group(problem, parts, _draw_views(parts, augmentations, rng)))
            if progress:
                progress(len(groups), 2 * total)
    if not groups:
        raise UsageError("nothing is left to train on; give more tasks")
    return Planned(groups, left_out, rng)


def _parts(problem: Problem, is_evaluation: bool) -> dict[str, list[Pair]]:
    answers = (UNKNOWN if answer is None else answer for answer in problem.answers)
    tests = list(zip(problem.tests, answers, strict=True))
    shown = list(problem.demonstrations)
    if is_evaluation:
        return {TRAIN: shown, TEST: tests}
    known = [pair for pair, answer in zip(tests, problem.answers, strict=True) if answer is not None]
    return {TRAIN: known + shown if problem.tests_come_first else shown + known}


def _asked(subsets: list[Subset]) -> set[bytes]:
    """What evaluation tasks ask for, in whichever view it may be redrawn."""
    return {
        canonical((test, answer))
        for subset in subsets
        if subset.is_evaluation
        for problem in subset.problems
        for test, answer in zip(problem.tests, problem.answers, strict=True)
        if answer is not None
    }


def _draw_views(parts: dict[str, list[Pair]], count: int, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """Up to `count` random views that all give other pairs, behind the plain one, [K, 11]."""
    pairs = [pair for part in parts.values() for pair in part]
    views = [ArcView.plain()]
    seen = {_digest(pairs, views[0])}
    for _ in range(TRIES * count):
        view = ArcView.draw(rng)
        digest = _digest(pairs, view)
        if digest not in seen:
            seen.add(digest)
            views.append(view)
        if len(views) > count:
            break
    return np.array([[view.turn, *view.colours.tolist()] for view in views], np.uint8)


def _digest(pairs: list[Pair], view: ArcView) -> bytes:
    """The same for the same pairs in any order."""
    whole = sorted(key(view.apply(first)) + key(view.apply(second)) for first, second in pairs)
    return hashlib.sha256(b"".join(whole)).digest()


def encoded(group: Group, part: str, rng: np.random.RandomState, *, side: int) -> Iterator[Examples]:
    """What the group writes into a part, view after view, on a board of that side.

    In training, all pairs of a view but one, drawn, are moved to a random place of the board.
    """
    pairs = group.parts[part]
    for view in group.all_views():
        unmoved = int(rng.randint(0, len(pairs)))
        inputs, labels = [], []
        for number, (first, second) in enumerate(pairs):
            moves = part == TRAIN and number != unmoved
            first, second = view.apply(first), view.apply(second)
            corner = _corner(first, second, rng, side) if moves else (0, 0)
            inputs.append(encode(first, corner, side=side))
            labels.append(encode(second, corner, side=side))
        yield Examples(inputs, labels)


def _corner(first: Grid, second: Grid, rng: np.random.RandomState, side: int) -> tuple[int, int]:
    """A random place at which both grids fit on the board."""
    top = int(rng.randint(0, side - max(first.shape[0], second.shape[0]) + 1))
    left = int(rng.randint(0, side - max(first.shape[1], second.shape[1]) + 1))
    return top, left


NOBODY = "<blank>"  # the name of id 0
NAMES_FILE, TESTS_FILE, FACTS_FILE = "identifiers.json", "test_puzzles.json", "trm.json"
COUNTS_FILE = "dataset.json"  # of each part


def build(
    subsets: list[Subset],
    folder: Path,
    *,
    augmentations: int,
    seed: int,
    keep_leaks: bool = False,
    side: int = SIDE,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the data set of these subsets into a new folder; returns what trm.json says.

    side  of the boards; no task may have a larger grid.
    The same arguments give the same bytes. Raises UsageError where nothing is left to train on.
    """
    planned = plan(subsets, augmentations=augmentations, seed=seed, keep_leaks=keep_leaks, progress=progress)
    names = _ids(planned)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digests = {
        part: _write_part(partial / part, planned, part, names=names, side=side, progress=progress)
        for part in (TRAIN, TEST)
        if planned.of_part(part)
    }
    _write_json(partial / NAMES_FILE, [NOBODY, *names])
    asked = {group.problem.name: as_json(group.problem) for group in planned.of_part(TEST)}
    _write_json(partial / TESTS_FILE, asked)
    facts = {
        "format": 1,
        "augmentations": augmentations,
        "seed": seed,
        "side": side,
        "sources": [
            {"name": subset.name, "tasks": len(subset.problems), "evaluation": subset.is_evaluation}
            for subset in subsets
        ],
        "puzzles": len(names),
        "examples": planned.num_examples(TRAIN),
        "left_out": planned.left_out,
        "sha256": digests,
        "tasks": {group.problem.name: group.problem.digest for group in planned.groups},
    }
    _write_json(partial / FACTS_FILE, facts)
    partial.rename(folder)
    return facts


def build_from_files(
    sources: list[Path],
    folder: Path,
    *,
    evaluation: Sequence[Path] = (),
    augmentations: int = 1000,
    limit: int | None = None,
    side: int = SIDE,
    keep_leaks: bool = False,
    seed: int,
    progress: Progress | None = None,
) -> str:
    """Write the data set of files of tasks; returns what it holds, in words.

    evaluation     sources, or more of them, of which only the demonstrations are trained on.
    augmentations  views of each task at most, beside the plain one.
    limit          tasks of each source at most.
    """
    known: dict[str, Path] = {}
    subsets = []
    for path in [*sources, *(path for path in evaluation if path not in sources)]:
        problems = [problem for problem in read_problems(path) if problem.largest <= side][:limit]
        for problem in problems:
            if problem.name in known:
                raise UsageError(f"{path}: has task {problem.name}, as {known[problem.name]} has; keep one of them")
            known[problem.name] = path
        subsets.append(Subset(stem(path), problems, path in evaluation))
    facts = build(
        subsets, folder, augmentations=augmentations, seed=seed, keep_leaks=keep_leaks, side=side, progress=progress
    )
    return (
        f"{facts['puzzles']:,} puzzles of {len(facts['tasks']):,} tasks, {facts['examples']:,} pairs; "
        f"{facts['left_out']} pairs left out because an evaluation task asks for them"
    )


def draw_views(problem: Problem, *, augmentations: int, seed: int, side: int) -> tuple[ProblemPart, list[View]]:
    """The demonstrations of a task in the plain view and drawn ones, as arrays in memory; and the views."""
    subset = Subset(problem.name, [problem.without_answers()], is_evaluation=True)
    planned = plan([subset], augmentations=augmentations, seed=seed)
    (group,) = planned.groups
    made = list(encoded(group, TRAIN, planned.rng, side=side))
    count, pairs = len(made), len(group.parts[TRAIN])
    part = ProblemPart(
        inputs=np.stack([board for examples in made for board in examples.inputs]),
        labels=np.stack([board for examples in made for board in examples.labels]),
        puzzle_identifiers=np.arange(count, dtype=np.int32),
        puzzle_indices=np.arange(0, (count + 1) * pairs, pairs, dtype=np.int32),
        group_indices=np.array([0, count], np.int32),
    )
    return part, list(group.all_views())


def _ids(planned: Planned) -> dict[str, int]:
    """The id of every puzzle's name, in the order in which they are met."""
    names: dict[str, int] = {}
    for part in (TRAIN, TEST):
        for group in planned.of_part(part):
            for name in group.names():
                names.setdefault(name, len(names) + 1)
    return names


def _write_part(
    folder: Path, planned: Planned, part: str, *, names: dict[str, int], side: int, progress: Progress | None
) -> str:
    """Write the arrays of a part, pair by pair; returns the SHA-256 of inputs and labels."""
    folder.mkdir()
    groups = planned.of_part(part)
    count = planned.num_examples(part)
    ids, puzzles, ends = [], [0], [0]
    digest = hashlib.sha256()
    shape = (count, side * side)
    with _array(folder, "inputs", shape) as inputs, _array(folder, "labels", shape) as labels:
        for number, group in enumerate(groups, 1):
            for examples in encoded(group, part, planned.rng, side=side):
                for sink, boards in ((inputs, examples.inputs), (labels, examples.labels)):
                    whole = b"".join(board.tobytes() for board in boards)
                    digest.update(whole)
                    sink.write(whole)
                puzzles.append(puzzles[-1] + len(examples.inputs))
            ids += [names[name] for name in group.names()]
            ends.append(len(ids))
            if progress and part == TRAIN:
                progress(len(groups) + number, 2 * len(groups))
    for name, values in zip(INDICES, (ids, puzzles, ends), strict=True):
        np.save(folder / f"all__{name}.npy", np.array(values, dtype=np.int32))
    counts = {
        "vocab_size": VOCAB_SIZE,
        "seq_len": side * side,
        "sets": ["all"],
        "num_puzzle_identifiers": len(names) + 1,
        "total_groups": len(groups),
        "mean_puzzle_examples": count / len(ids),
        "total_puzzles": len(ids),
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
    }
    _write_json(folder / COUNTS_FILE, counts)
    return digest.hexdigest()


@contextmanager
def _array(folder: Path, name: str, shape: tuple[int, int]) -> Iterator[BinaryIO]:
    """A .npy file of boards [E, L], written from its first byte to its last."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (folder / f"all__{name}.npy").open("wb") as sink:
        np.lib.format.write_array_header_1_0(sink, header)
        yield sink


def _write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value).encode())


def open_data(folder: Path) -> ProblemData:
    """Open a data set; raises UsageError where the folder holds none, or a damaged one."""
    try:
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        facts_file, tests_file = folder / FACTS_FILE, folder / TESTS_FILE
        facts = json.loads(facts_file.read_text(encoding="utf-8")) if facts_file.exists() else {}
        text = tests_file.read_text(encoding="utf-8")
        tests = parse_problems(text, str(tests_file), "") if text != "{}" else []
        has_test = (folder / TEST / "all__inputs.npy").exists()
        return ProblemData(
            folder, _read_part(folder / TRAIN), _read_part(folder / TEST) if has_test else None, names, tests, facts
        )
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{folder}: no ARC data set ({error}); make one with `trm data arc`") from error


def measure_data(folder: Path) -> ProblemSize:
    """Rows and boards of a data set; raises UsageError where its counts cannot be read."""
    path = folder / TRAIN / COUNTS_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return ProblemSize(int(known["num_puzzle_identifiers"]), side_of(int(known["seq_len"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no counts of an ARC data set ({error}); make one with `trm data arc`") from error


def _read_part(folder: Path) -> ProblemPart:
    boards = [np.load(folder / f"all__{name}.npy", mmap_mode="c") for name in ("inputs", "labels")]
    part = ProblemPart(*boards, *(np.load(folder / f"all__{name}.npy") for name in INDICES))
    count = int(part.puzzle_indices[-1])
    is_square = side_of(part.inputs.shape[1]) ** 2 == part.inputs.shape[1]
    if len(part.inputs) != count or part.labels.shape != part.inputs.shape or not is_square:
        raise PuzzleError(f"{folder}: its arrays do not fit one another; make the data set again")
    return part
