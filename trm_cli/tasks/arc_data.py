"""The folder of an ARC data set: arrays on the disk, read where they lie.

train/all__inputs.npy              [E, L] uint8, the boards of all pairs; labels beside it
train/all__puzzle_indices.npy      [P+1] where each puzzle's pairs begin
train/all__puzzle_identifiers.npy  [P] its id, which is its row of the puzzle embedding
train/all__group_indices.npy       [G+1] where each task's puzzles begin: itself, then redrawn
train/dataset.json                 counts
test/                              the same for the tests of evaluation tasks, if there are any
identifiers.json                   the name of each id; 0 stands for none
test_puzzles.json                  the evaluation tasks themselves
trm.json                           how it was made, and a hash of the arrays

Both builders write this layout, ours and the official one; either's folder serves. (trm.json is
ours alone.)
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import PuzzleError, UsageError
from trm_cli.files import write_whole
from trm_cli.tasks.arc_builder import TEST, TRAIN, Planned, Progress, Subset, encoded, plan
from trm_cli.tasks.arc_files import ArcTask, parse_tasks
from trm_cli.tasks.arc_grid import SIDE, VOCAB_SIZE, side_of
from trm_cli.tasks.base import Tokens

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
    planned = plan(subsets, augmentations=augmentations, seed=seed, keep_leaks=keep_leaks,
                   progress=progress)  # fmt: skip
    names = _ids(planned)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digests = {
        part: _write_part(partial / part, planned, part, names=names, side=side,
                          progress=progress)
        for part in (TRAIN, TEST) if planned.of_part(part)
    }  # fmt: skip
    _write_json(partial / NAMES_FILE, [NOBODY, *names])
    asked = {group.task.name: group.task.as_json() for group in planned.of_part(TEST)}
    _write_json(partial / TESTS_FILE, asked)
    facts = {
        "format": 1, "augmentations": augmentations, "seed": seed, "side": side,
        "sources": [{"name": subset.name, "tasks": len(subset.tasks),
                     "evaluation": subset.is_evaluation} for subset in subsets],
        "puzzles": len(names), "examples": planned.num_examples(TRAIN),
        "left_out": planned.left_out, "sha256": digests,
        "tasks": {group.task.name: group.task.digest for group in planned.groups},
    }  # fmt: skip
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


def _write_part(folder: Path, planned: Planned, part: str, *, names: dict[str, int], side: int,
                progress: Progress | None) -> str:  # fmt: skip
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
    counts = {"vocab_size": VOCAB_SIZE, "seq_len": side * side, "sets": ["all"],
              "num_puzzle_identifiers": len(names) + 1, "total_groups": len(groups),
              "mean_puzzle_examples": count / len(ids), "total_puzzles": len(ids),
              "pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0}  # fmt: skip
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
        return ArcData(folder, _read_part(folder / TRAIN),
                       _read_part(folder / TEST) if has_test else None, names, tests,
                       facts)  # fmt: skip
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(
            f"{folder}: no ARC data set ({error}); make one with `trm data arc`"
        ) from error


def _read_part(folder: Path) -> ArcPart:
    boards = [np.load(folder / f"all__{name}.npy", mmap_mode="c") for name in ("inputs", "labels")]
    part = ArcPart(*boards, *(np.load(folder / f"all__{name}.npy") for name in INDICES))
    count = int(part.puzzle_indices[-1])
    is_square = side_of(part.inputs.shape[1]) ** 2 == part.inputs.shape[1]
    if len(part.inputs) != count or part.labels.shape != part.inputs.shape or not is_square:
        raise PuzzleError(f"{folder}: its arrays do not fit one another; make the data set again")
    return part
