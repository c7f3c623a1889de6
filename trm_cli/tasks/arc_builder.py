"""Training data from ARC tasks: augmented, encoded, written to a folder as they are made.

Every task becomes a group: itself, then itself redrawn in other ways, each with a puzzle id of its
own. Of evaluation tasks only the demonstrations are trained on; their tests are kept apart. Where
another task has a pair that equals one of these tests, turned or recoloured, it is left out too.
The draws follow one another as in the official builder, and the folder is laid out like its
(dataset/build_arc_dataset.py of github.com/SamsungSAILMontreal/TinyRecursiveModels).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError
from trm_cli.tasks.arc_files import ArcTask
from trm_cli.tasks.arc_grid import Grid, Pair, Way, canonical, encode, key
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


def plan(subsets: list[Subset], *, augmentations: int, seed: int, keep_leaks: bool = False,
         progress: Progress | None = None) -> Planned:  # fmt: skip
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
        for subset in subsets if subset.is_evaluation
        for task in subset.tasks
        for test, answer in zip(task.tests, task.answers, strict=True) if answer is not None
    }  # fmt: skip


def _draw_ways(parts: dict[str, list[Pair]], count: int,
               rng: np.random.RandomState) -> NDArray[np.uint8]:  # fmt: skip
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


def encoded(
    group: Group, part: str, rng: np.random.RandomState, *, side: int
) -> Iterator[Examples]:
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
