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
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt, prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from trm_cli.config import MOST_PUZZLES
from trm_cli.errors import FileError, UsageError
from trm_cli.files import MEBIBYTE, making_folder, open_regular, read_text, read_whole, write_whole
from trm_cli.schema import checked, parse_json
from trm_cli.tasks import arc_grids
from trm_cli.tasks.arc_grids import SIDE, ArcView, canonical, encode
from trm_cli.tasks.base import Progress, Tokens
from trm_cli.tasks.problems import INDICES, TEST, TRAIN, Grid, Pair, Problem, ProblemData, ProblemPart, View, key

TRIES = 5  # draws for each augmentation that is wanted
UNKNOWN: Grid = np.zeros((1, 1), np.uint8)  # stands for an answer that the file does not say
NOBODY = "<blank>"  # the name of id 0
NAMES_FILE, TESTS_FILE, FACTS_FILE = "identifiers.json", "test_puzzles.json", "trm.json"
COUNTS_FILE = "dataset.json"  # of each part
INPUTS, LABELS = "inputs", "labels"
LARGEST_FACTS = 16 * MEBIBYTE  # of the files beside the names
LONGEST_NAME = 128  # bytes of a name, on average
MOST_HEADER = 1024  # bytes
HEADER = re.compile(  # as np.save writes it
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>[|<>=][a-z][0-9])', 'fortran_order': False, "
    rb"'shape': \((?P<rows>\d{1,15}),(?: (?P<width>\d{1,6}))?\), \} *\n",
    re.DOTALL,
)


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
    digits: NDArray[np.uint8]  # [K, 11] the views, turn and colours; the first changes nothing

    def views(self) -> list[ArcView]:
        """The views, as such."""
        return [ArcView.of_digits(row) for row in self.digits]

    def num_examples(self, part: str) -> int:
        """How many pairs a part will hold of it, in all views."""
        return len(self.digits) * len(self.parts[part])

    def names(self) -> list[str]:
        """What the task is called in each view."""
        name = self.problem.name
        return [name, *(view.name_of(name) for view in self.views()[1:])]


def plan(
    subsets: list[Subset], rng: RandomState, *, augmentations: int, keep_leaks: bool, progress: Progress | None
) -> tuple[list[Group], int]:
    """Decide which pairs go where and draw the views; nothing is encoded yet.

    keep_leaks  train on what equals a test of an evaluation task too, as the official builder does.
    Returns the groups, and how many pairs of other tasks are left out because an evaluation task asks
    for them. Raises UsageError where nothing is left to train on.
    """
    evaluated = [problem for subset in subsets if subset.is_evaluation for problem in subset.problems]
    asked = set() if keep_leaks else {canonical(pair) for problem in evaluated for pair in problem.answered}
    groups, left_out = [], 0
    most = 2 * sum(len(subset.problems) for subset in subsets)
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
                groups.append(Group(problem, parts, _draw_digits(parts, augmentations, rng)))
            if progress:
                progress(len(groups), most)
    if not groups:
        raise UsageError("nothing is left to train on; give more tasks")
    return groups, left_out


def _parts(problem: Problem, is_evaluation: bool) -> dict[str, list[Pair]]:
    shown = list(problem.demonstrations)
    if is_evaluation:
        answers = (UNKNOWN if answer is None else answer for answer in problem.answers)
        return {TRAIN: shown, TEST: list(zip(problem.tests, answers, strict=True))}
    return {TRAIN: problem.answered + shown if problem.tests_come_first else shown + problem.answered}


def _draw_digits(parts: dict[str, list[Pair]], count: int, rng: RandomState) -> NDArray[np.uint8]:
    """The plain view, and up to `count` random ones that all give other pairs, [K, 11]."""
    pairs = [pair for part in parts.values() for pair in part]
    views: dict[bytes, ArcView] = {}  # by the pairs they give
    for draw in range(1 + TRIES * count):
        view = ArcView.draw(rng) if draw else ArcView.plain()
        whole = sorted(key(view.apply(first)) + key(view.apply(second)) for first, second in pairs)
        views.setdefault(hashlib.sha256(b"".join(whole)).digest(), view)
        if len(views) > count:
            break
    return np.array([[view.turn, *view.colours.tolist()] for view in views.values()], np.uint8)


def encoded(group: Group, part: str, rng: RandomState, *, side: int) -> Iterator[Tokens]:
    """What the group writes into a part, view after view: inputs and labels on boards of that side, [2, pairs, L].

    In training, all pairs of a view but one, drawn, are moved to a random place of the board.
    """
    pairs = group.parts[part]
    for view in group.views():
        unmoved = int(rng.randint(0, len(pairs)))
        boards = []
        for number, (first, second) in enumerate(pairs):
            first, second = view.apply(first), view.apply(second)
            top = left = 0
            if part == TRAIN and number != unmoved:
                top = int(rng.randint(0, side - max(first.shape[0], second.shape[0]) + 1))
                left = int(rng.randint(0, side - max(first.shape[1], second.shape[1]) + 1))
            boards.append(np.stack([encode(grid, (top, left), side=side) for grid in (first, second)]))
        yield np.stack(boards, axis=1)


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
    rng = RandomState(seed)
    groups, left_out = plan(subsets, rng, augmentations=augmentations, keep_leaks=keep_leaks, progress=progress)
    parts = {TRAIN: groups, TEST: [group for group in groups if TEST in group.parts]}
    ids: dict[str, int] = {}  # of the puzzles' names, in the order in which they are met
    for group in [*groups, *parts[TEST]]:
        for name in group.names():
            ids.setdefault(name, len(ids) + 1)
    with making_folder(folder) as partial:
        digests = {
            part: _write_part(partial / part, members, part, rng, ids=ids, side=side, progress=progress)
            for part, members in parts.items()
            if members
        }
        facts = {
            "format": 1,
            "augmentations": augmentations,
            "seed": seed,
            "side": side,
            "sources": [
                {"name": subset.name, "tasks": len(subset.problems), "evaluation": subset.is_evaluation}
                for subset in subsets
            ],
            "puzzles": len(ids),
            "examples": sum(group.num_examples(TRAIN) for group in groups),
            "left_out": left_out,
            "sha256": digests,
            "tasks": {group.problem.name: group.problem.digest for group in groups},
        }
        asked = {group.problem.name: arc_grids.as_json(group.problem) for group in parts[TEST]}
        for file, value in ((NAMES_FILE, [NOBODY, *ids]), (TESTS_FILE, asked), (FACTS_FILE, facts)):
            write_whole(partial / file, json.dumps(value).encode())
    return facts


def _write_part(
    folder: Path,
    groups: list[Group],
    part: str,
    rng: RandomState,
    *,
    ids: dict[str, int],
    side: int,
    progress: Progress | None,
) -> str:
    """Write the arrays of a part, view by view; returns the SHA-256 of inputs and labels."""
    folder.mkdir()
    count = sum(group.num_examples(part) for group in groups)
    rows, puzzles, ends = [], [0], [0]
    digest = hashlib.sha256()
    with (folder / "all__inputs.npy").open("wb") as inputs, (folder / "all__labels.npy").open("wb") as labels:
        for sink in (inputs, labels):
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, side * side)}
            np.lib.format.write_array_header_1_0(sink, header)
        for number, group in enumerate(groups, 1):
            for examples in encoded(group, part, rng, side=side):
                for sink, boards in zip((inputs, labels), examples, strict=True):
                    whole = boards.tobytes()
                    digest.update(whole)
                    sink.write(whole)
                puzzles.append(puzzles[-1] + examples.shape[1])
            rows += [ids[name] for name in group.names()]
            ends.append(len(rows))
            if progress and part == TRAIN:
                progress(len(groups) + number, 2 * len(groups))
    for name, values in zip(INDICES, (rows, puzzles, ends), strict=True):
        np.save(folder / f"all__{name}.npy", np.array(values, dtype=np.int32))
    counts = {
        "vocab_size": arc_grids.VOCAB_SIZE,
        "seq_len": side * side,
        "sets": ["all"],
        "num_puzzle_identifiers": len(ids) + 1,
        "total_groups": len(groups),
        "mean_puzzle_examples": count / len(rows),
        "total_puzzles": len(rows),
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
    }
    write_whole(folder / COUNTS_FILE, json.dumps(counts).encode())
    return digest.hexdigest()


def build_from_files(
    sources: list[Path],
    folder: Path,
    *,
    evaluation: Sequence[Path] = (),
    limit: int | None = None,
    side: int = SIDE,
    augmentations: int = 1000,
    **how: Any,
) -> str:
    """Write the data set of files of tasks; returns what it holds, in words.

    evaluation     sources, or more of them, of which only the demonstrations are trained on.
    limit          tasks of each source at most.
    augmentations  views of each task at most, beside the plain one.
    how            what else `build` takes.
    """
    known: dict[str, Path] = {}
    subsets = []
    for path in [*sources, *(path for path in evaluation if path not in sources)]:
        problems = [problem for problem in arc_grids.read_problems(path) if problem.largest <= side][:limit]
        for problem in problems:
            if problem.name in known:
                raise UsageError(f"{path}: has task {problem.name}, as {known[problem.name]} has; keep one of them")
            known[problem.name] = path
        subsets.append(Subset(arc_grids.stem(path), problems, path in evaluation))
    facts = build(subsets, folder, augmentations=augmentations, side=side, **how)
    return (
        f"{facts['puzzles']:,} puzzles of {len(facts['tasks']):,} tasks, {facts['examples']:,} pairs; "
        f"{facts['left_out']} pairs left out because an evaluation task asks for them"
    )


def draw_views(problem: Problem, *, views: int, seed: int, side: int) -> tuple[ProblemPart, list[View]]:
    """The demonstrations of a task in the plain view and drawn ones, as arrays in memory; and the views."""
    subset = Subset(problem.name, [problem.without_answers()], is_evaluation=True)
    rng = RandomState(seed)
    ((group,), _) = plan([subset], rng, augmentations=views, keep_leaks=True, progress=None)
    inputs, labels = np.concatenate(list(encoded(group, TRAIN, rng, side=side)), axis=1)
    count = len(group.digits)
    starts = np.arange(count + 1, dtype=np.int32) * len(group.parts[TRAIN])
    part = ProblemPart(inputs, labels, np.arange(count, dtype=np.int32), starts, np.array([0, count], np.int32))
    return part, list(group.views())


@dataclass(frozen=True)
class Counts:
    """What dataset.json must say of the training part."""

    num_puzzle_identifiers: Annotated[int, (2, MOST_PUZZLES)]  # rows of the table, the first of them nobody's
    seq_len: Annotated[int, (1, SIDE * SIDE)]  # cells of a board, which is square


@dataclass(frozen=True)
class Facts:
    """What of trm.json is needed once a data set is made."""

    tasks: dict[str, str]  # the digest of each, by name
    sha256: dict[str, str] = field(default_factory=dict)  # of the arrays, by part


def open_data(folder: Path) -> ProblemData:
    """Open a data set; raises UsageError where the folder holds none, or a damaged one.

    Boards stay on the disk: they are read once, piece by piece, to see that they hold tokens.
    """
    rows, side = measure_data(folder)
    tests_file, facts_file = folder / TESTS_FILE, folder / FACTS_FILE
    with _refused(folder / TRAIN):
        train = _read_part(folder / TRAIN, num_cells=side * side, num_rows=rows)
    with _refused(folder / TEST):
        has_tests = (folder / TEST / f"all__{INPUTS}.npy").exists()
        test = _read_part(folder / TEST, num_cells=side * side, num_rows=rows) if has_tests else None
    with _refused(folder / NAMES_FILE):
        names = _read_names(folder / NAMES_FILE, rows)
    with _refused(facts_file):
        facts = {}
        if facts_file.exists():
            facts = parse_json(read_text(facts_file, LARGEST_FACTS))
            checked(facts, Facts)
    with _refused(tests_file):
        text = read_text(tests_file, LARGEST_FACTS)
    tests = arc_grids.parse_problems(text, str(tests_file), "") if text != "{}" else []
    return ProblemData(folder, train, test, names, tests, facts)


def measure_data(folder: Path) -> tuple[int, int]:
    """Rows of the table and side of the boards; raises UsageError where a data set's counts cannot be read."""
    path = folder / TRAIN / COUNTS_FILE
    with _refused(path):
        known = checked(parse_json(read_text(path)), Counts)
        side = isqrt(known.seq_len)
        if side * side != known.seq_len:
            raise FileError(f"seq_len: {known.seq_len} cells are no square")
    return known.num_puzzle_identifiers, side


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileError, OSError) as error:
        what = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else error
        raise UsageError(f"{path}: no ARC data set ({what}); make one with `trm data arc`") from error


def _read_names(path: Path, count: int) -> list[str]:
    """The names of the table's rows."""
    content = read_whole(path, MEBIBYTE + count * LONGEST_NAME)
    if content.count(b",") > 2 * count:  # before more is made of it than it says
        raise FileError(f"more than {count:,} names")
    names = checked(parse_json(content), list[str])
    if len(names) != count:
        raise FileError(f"{len(names):,} names, {COUNTS_FILE} says {count:,}")
    return names


def _read_part(folder: Path, *, num_cells: int, num_rows: int) -> ProblemPart:
    """A part of a data set: its boards mapped, its indices in memory."""
    inputs, labels = (_open_array(folder / f"all__{name}.npy", "uint8", num_cells) for name in (INPUTS, LABELS))
    rows, puzzles, groups = (np.array(_open_array(folder / f"all__{name}.npy")) for name in INDICES)
    for name, values, end in ((INDICES[1], puzzles, len(inputs)), (INDICES[2], groups, len(rows))):
        if values[0] != 0 or values[-1] != end or (values[1:] <= values[:-1]).any():
            raise FileError(f"{name}: do not rise from 0 to {end:,}")
    if len(puzzles) != len(rows) + 1 or len(inputs) != len(labels):
        raise FileError("arrays of different lengths")
    if rows.min() < 0 or rows.max() >= num_rows:
        raise FileError(f"{INDICES[0]}: expected rows from 0 to {num_rows - 1:,}")
    num_pairs = np.diff(puzzles)
    if (num_pairs != np.repeat(num_pairs[groups[:-1]], np.diff(groups))).any():
        raise FileError("views of one task have different numbers of pairs")
    return ProblemPart(inputs, labels, rows, puzzles, groups)


def _open_array(path: Path, kind: str = "int32", width: int | None = None) -> NDArray[Any]:
    """A numpy file, mapped: one number a row, or tokens, `width` in a row.

    Nothing but numbers is read, whatever the file holds: its header must be one that `np.save` writes.
    Raises UsageError where it is no such file.
    """
    dtype = np.dtype(kind)
    with _refused(path), open_regular(path) as file:
        found = HEADER.match(file.read(MOST_HEADER))
        if not found or (found["type"].decode(), int(found["width"] or 1)) != (dtype.str, width or 1):
            expected = f"{width} tokens in a row" if width else f"one {kind} in a row"
            raise FileError(f"not an array of numpy with {expected}")
        shape = (int(found["rows"]), *([width] if width else []))
        size = os.fstat(file.fileno()).st_size
        if not shape[0] or found.end() + prod(shape) * dtype.itemsize != size:
            raise FileError(f"{shape[0]:,} rows in {size:,} bytes")
        file.seek(found.end())
        while width and (piece := file.read(MEBIBYTE)):
            if np.frombuffer(piece, dtype).max() >= arc_grids.VOCAB_SIZE:
                raise FileError(f"tokens beyond {arc_grids.VOCAB_SIZE - 1}")
    return np.memmap(path, dtype, "c", found.end(), shape)
