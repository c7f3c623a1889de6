"""The training data of ARC: tasks augmented, encoded, and written to a folder of arrays.

Every task becomes a group: itself, then itself redrawn in other ways, each with a puzzle id of its
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.files import write_whole
from trm_cli.tasks.arc import SIDE, VOCAB_SIZE, ArcTask, Grid, Pair, Way, canonical, encode, key, parse_tasks, side_of
from trm_cli.tasks.base import Tokens

TRIES = 5  # draws for each augmentation that is wanted
TRAIN, TEST = "train", "test"  # parts of a data set
UNKNOWN: Grid = np.zeros((1, 1), np.uint8)  # stands for an answer that the file does not say

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Subset:
    """Tasks of one source."""

    name: str
    tasks: list[ArcTask]
    is_evaluation: bool  # train on the demonstrations alone, ask for the tests


@dataclass(frozen=True)
class Group:
    """A task, the pairs of it that go to each part, and the ways in which it is redrawn."""

    task: ArcTask
    parts: dict[str, list[Pair]]  # TRAIN, and TEST of an evaluation task
    ways: NDArray[np.uint8]  # [K, 11] turn and colours; the first way changes nothing

    def names(self) -> Iterator[str]:
        """What the task is called in each way."""
        yield self.task.name
        for way in self.all_ways()[1:]:
            yield way.name_of(self.task.name)

    def all_ways(self) -> list[Way]:
        """The ways, as such."""
        return [Way(int(row[0]), row[1:]) for row in self.ways]


@dataclass(frozen=True)
class Examples:
    """What a group writes into one part, in one way."""

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
        """How many pairs a part will hold, in all ways."""
        return sum(len(group.ways) * len(group.parts[part]) for group in self.of_part(part))


def plan(
    subsets: list[Subset], *, augmentations: int, seed: int, keep_leaks: bool = False, progress: Progress | None = None
) -> Planned:
    """Decide which pairs go where and draw the ways; nothing is encoded yet.

    keep_leaks  train on what equals a test of an evaluation task too, as the official builder does.
    Raises UsageError where nothing is left to train on.
    """
    rng = np.random.RandomState(seed)
    asked = set() if keep_leaks else _asked(subsets)
    total = sum(len(subset.tasks) for subset in subsets)
    groups, left_out = [], 0
    for subset in subsets:
        tasks = list(subset.tasks)
        rng.shuffle(tasks)  # type: ignore[arg-type] # a list is shuffled too
        for task in tasks:
            parts = _parts(task, subset.is_evaluation)
            if asked and not subset.is_evaluation:
                kept = [pair for pair in parts[TRAIN] if canonical(pair) not in asked]
                left_out += len(parts[TRAIN]) - len(kept)
                parts = {TRAIN: kept}
            if parts[TRAIN]:
                groups.append(Group(task, parts, _draw_ways(parts, augmentations, rng)))
            if progress:
                progress(len(groups), 2 * total)
    if not groups:
        raise UsageError("nothing is left to train on; give more tasks")
    return Planned(groups, left_out, rng)


def _parts(task: ArcTask, is_evaluation: bool) -> dict[str, list[Pair]]:
    answers = (UNKNOWN if answer is None else answer for answer in task.answers)
    tests = list(zip(task.tests, answers, strict=True))
    shown = list(task.demonstrations)
    if is_evaluation:
        return {TRAIN: shown, TEST: tests}
    known = [pair for pair, answer in zip(tests, task.answers, strict=True) if answer is not None]
    return {TRAIN: known + shown if task.tests_come_first else shown + known}


def _asked(subsets: list[Subset]) -> set[bytes]:
    """What evaluation tasks ask for, in whichever way it may be redrawn."""
    return {
        canonical((test, answer))
        for subset in subsets
        if subset.is_evaluation
        for task in subset.tasks
        for test, answer in zip(task.tests, task.answers, strict=True)
        if answer is not None
    }


def _draw_ways(parts: dict[str, list[Pair]], count: int, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """Up to `count` random ways that all give other pairs, behind the plain one, [K, 11]."""
    pairs = [pair for part in parts.values() for pair in part]
    ways = [Way.plain()]
    seen = {_digest(pairs, ways[0])}
    for _ in range(TRIES * count):
        way = Way.draw(rng)
        digest = _digest(pairs, way)
        if digest not in seen:
            seen.add(digest)
            ways.append(way)
        if len(ways) > count:
            break
    return np.array([[way.turn, *way.colours.tolist()] for way in ways], np.uint8)


def _digest(pairs: list[Pair], way: Way) -> bytes:
    """The same for the same pairs in any order."""
    whole = sorted(key(way.apply(first)) + key(way.apply(second)) for first, second in pairs)
    return hashlib.sha256(b"".join(whole)).digest()


def encoded(group: Group, part: str, rng: np.random.RandomState, *, side: int) -> Iterator[Examples]:
    """What the group writes into a part, way after way, on a board of that side.

    In training, all pairs of a way but one, drawn, are moved to a random place of the board.
    """
    pairs = group.parts[part]
    for way in group.all_ways():
        unmoved = int(rng.randint(0, len(pairs)))
        inputs, labels = [], []
        for number, (first, second) in enumerate(pairs):
            moves = part == TRAIN and number != unmoved
            first, second = way.apply(first), way.apply(second)
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
INDICES = ("puzzle_identifiers", "puzzle_indices", "group_indices")


@dataclass(frozen=True)
class ArcPart:
    """One part of a data set; inputs and labels stay on the disk until they are looked at."""

    inputs: Tokens  # [E, L]
    labels: Tokens  # [E, L]
    puzzle_identifiers: NDArray[np.int32]  # [P]
    puzzle_indices: NDArray[np.int32]  # [P+1]
    group_indices: NDArray[np.int32]  # [G+1]

    def puzzles_of_examples(self) -> NDArray[np.int64]:
        """The place of each example's puzzle, [E]."""
        counts = np.diff(self.puzzle_indices)
        return np.repeat(np.arange(len(counts)), counts)


@dataclass(frozen=True)
class ArcData:
    """A data set as it lies in its folder."""

    folder: Path
    train: ArcPart
    test: ArcPart | None
    names: list[str]  # of the ids
    tests: list[ArcTask]  # the evaluation tasks
    facts: dict[str, Any]  # of trm.json; empty where another builder wrote the folder

    @property
    def side(self) -> int:
        """Of its boards."""
        return side_of(self.train.inputs.shape[1])

    @property
    def sha256(self) -> str:
        """Of the training arrays; of another builder's folder, of its index arrays alone."""
        known = self.facts.get("sha256", {}).get(TRAIN)
        indices = (getattr(self.train, name).tobytes() for name in INDICES)
        return str(known or hashlib.sha256(b"".join(indices)).hexdigest())


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
    asked = {group.task.name: group.task.as_json() for group in planned.of_part(TEST)}
    _write_json(partial / TESTS_FILE, asked)
    facts = {
        "format": 1,
        "augmentations": augmentations,
        "seed": seed,
        "side": side,
        "sources": [
            {"name": subset.name, "tasks": len(subset.tasks), "evaluation": subset.is_evaluation} for subset in subsets
        ],
        "puzzles": len(names),
        "examples": planned.num_examples(TRAIN),
        "left_out": planned.left_out,
        "sha256": digests,
        "tasks": {group.task.name: group.task.digest for group in planned.groups},
    }
    _write_json(partial / FACTS_FILE, facts)
    partial.rename(folder)
    return facts


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


def read_data(folder: Path) -> ArcData:
    """Open a data set; raises UsageError where the folder holds none, or a damaged one."""
    try:
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        facts_file, tests_file = folder / FACTS_FILE, folder / TESTS_FILE
        facts = json.loads(facts_file.read_text(encoding="utf-8")) if facts_file.exists() else {}
        text = tests_file.read_text(encoding="utf-8")
        tests = parse_tasks(text, str(tests_file), "") if text != "{}" else []
        has_test = (folder / TEST / "all__inputs.npy").exists()
        return ArcData(
            folder, _read_part(folder / TRAIN), _read_part(folder / TEST) if has_test else None, names, tests, facts
        )
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{folder}: no ARC data set ({error}); make one with `trm data arc`") from error


def _read_part(folder: Path) -> ArcPart:
    boards = [np.load(folder / f"all__{name}.npy", mmap_mode="c") for name in ("inputs", "labels")]
    part = ArcPart(*boards, *(np.load(folder / f"all__{name}.npy") for name in INDICES))
    count = int(part.puzzle_indices[-1])
    is_square = side_of(part.inputs.shape[1]) ** 2 == part.inputs.shape[1]
    if len(part.inputs) != count or part.labels.shape != part.inputs.shape or not is_square:
        raise PuzzleError(f"{folder}: its arrays do not fit one another; make the data set again")
    return part
