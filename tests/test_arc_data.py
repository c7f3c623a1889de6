import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arc_tasks import Known, made_tasks, small_data, write_challenges
from tests.test_cli import trm
from trm_cli.errors import FileError, PuzzleError, UsageError
from trm_cli.tasks.arc_dataset import Subset, build, open_data
from trm_cli.tasks.arc_grids import FIRST_COLOUR, SIDE, ArcView, canonical, decode, read_problems, split_names
from trm_cli.tasks.base import Tokens
from trm_cli.tasks.problems import Pair, Problem, ProblemData, ProblemPart
from trm_cli.training.data import load_data
from trm_cli.training.run import Options, resolve_plan

# Of what the official builder (TinyRecursiveModels, commit e7b6871) writes for the tasks of
# `subsets` below, with 12 augmentations and its own seed, 42.
OFFICIAL = {
    "train/all__group_indices.npy": "a2b4acfe682e87a14cc83e3af0ad8e31a7b3bb5f9d41039f2175da07a14ef586",
    "train/all__inputs.npy": "0ce2012d94f682216c1e69849dc4c8fbeb1ef62b97f7419a6ef39b59d87fb55d",
    "train/all__labels.npy": "7fbf0ad3fa988b681378302f0d983724ccdd42b81b27ad58ac4ec0e3edf534d5",
    "train/all__puzzle_identifiers.npy": "940d34baf6fae82d35fdbff9020d7294cfbfd7d4aee91884ebfd0539ff94e362",
    "train/all__puzzle_indices.npy": "0712500d6284ef92f6022214b4f8f48f1b6d282e4f8551fb299ab6f9800691e5",
    "test/all__group_indices.npy": "2c726da8c25fb25cf22363cb030132d8276a51ae5dca6329d79c83b7c8c1da6d",
    "test/all__inputs.npy": "42174a2afeca0064b7a6a8911834a5c29ce491e984cb4bc518ea39c1a2ce7c11",
    "test/all__labels.npy": "9bff4f73bcc79f29795e2f7ce3ff12a73ac84ea8e69f8c4823acb45d598675e9",
    "test/all__puzzle_identifiers.npy": "d5afddad83b7b92ab5bafb94afa32182f5f251e62bc5dee75df631614c27a8b7",
    "test/all__puzzle_indices.npy": "0992fc127c0d27a84e0907c9368b8c83e4afa8817399ac80e11f9752c5400065",
    "identifiers.json": "f92604d3b0babcd763bcd24eafad76a04e17b8f4cf88c351b5705083914d700b",
}
AUGMENTATIONS = 12


def write(folder: Path, name: str, tasks: dict[str, Known]) -> list[Problem]:
    return read_problems(write_challenges(folder, name, tasks))


@pytest.fixture(scope="module")
def subsets(tmp_path_factory: pytest.TempPathFactory) -> list[Subset]:
    folder = tmp_path_factory.mktemp("tasks")
    made = {
        "training": made_tasks(6, seed=1, prefix="train"),
        "evaluation": made_tasks(4, seed=2, largest=30, prefix="eval"),
        "concept": made_tasks(3, seed=3, largest=2, prefix="concept"),
    }
    return [Subset(name, write(folder, name, tasks), name == "evaluation") for name, tasks in made.items()]


@pytest.fixture(scope="module")
def data(subsets: list[Subset], tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    folder = tmp_path_factory.mktemp("data") / "set"
    build(subsets, folder, augmentations=AUGMENTATIONS, seed=42)
    return open_data(folder)


def test_the_same_draws_give_the_arrays_of_the_official_builder(data: ProblemData) -> None:
    made = {name: hashlib.sha256((data.folder / name).read_bytes()).hexdigest() for name in OFFICIAL}
    assert made == OFFICIAL


def test_the_seed_decides_every_byte(subsets: list[Subset], data: ProblemData, tmp_path: Path) -> None:
    for seed in (42, 43):
        build(subsets, tmp_path / str(seed), augmentations=AUGMENTATIONS, seed=seed)
    assert open_data(tmp_path / "42").facts == data.facts
    assert open_data(tmp_path / "43").sha256 != data.sha256


def drawn(part: ProblemPart, names: list[str]) -> Iterator[tuple[str, Pair]]:
    """The name of the puzzle and the grids of every example, found without end markers."""
    for example, puzzle in enumerate(part.puzzles_of_examples()):
        name = names[part.puzzle_identifiers[puzzle]]
        yield name, (colours(part.inputs[example]), colours(part.labels[example]))


def colours(tokens: Tokens) -> Tokens:
    board = tokens.reshape(SIDE, SIDE)
    rows, columns = np.nonzero(board >= FIRST_COLOUR)
    return board[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] - FIRST_COLOUR


def test_every_example_is_its_task_s_pair_redrawn_as_its_name_says(data: ProblemData, subsets: list[Subset]) -> None:
    known: dict[str, set[tuple[bytes, bytes]]] = {}
    for subset in subsets:
        for task in subset.problems:
            shown = [*task.demonstrations, *zip(task.tests, task.answers, strict=True)]
            known[task.name] = {(a.tobytes(), b.tobytes()) for a, b in shown if b is not None}
    for whole, (first, second) in drawn(data.train, data.names):
        (name,), (digits,) = split_names([whole])
        way = ArcView.of_digits(digits)
        assert (way.undo(first).tobytes(), way.undo(second).tobytes()) in known[name]


def test_puzzles_of_a_task_all_differ_and_are_as_many_as_asked(data: ProblemData) -> None:
    groups = np.diff(data.train.group_indices)
    assert groups.max() == AUGMENTATIONS + 1
    assert len(set(data.names)) == len(data.names) == groups.sum() + 1
    assert data.facts["puzzles"] == groups.sum()


def asked(subsets: list[Subset]) -> set[bytes]:
    return {
        canonical((test, answer))
        for subset in subsets
        if subset.is_evaluation
        for task in subset.problems
        for test, answer in zip(task.tests, task.answers, strict=True)
        if answer is not None
    }


def test_no_test_pair_of_an_evaluation_task_is_trained_on(data: ProblemData, subsets: list[Subset]) -> None:
    secret = asked(subsets)
    pairs = [canonical(pair) for _, pair in drawn(data.train, data.names)]
    assert len(pairs) == len(data.train.inputs)
    assert sum(pair in secret for pair in pairs) == 0
    assert data.test is not None
    assert {canonical(pair) for _, pair in drawn(data.test, data.names)} == secret


def test_a_pair_that_an_evaluation_task_asks_for_is_left_out_of_other_tasks(tmp_path: Path) -> None:
    training, evaluation = made_tasks(2, seed=1, prefix="a"), made_tasks(2, seed=2, prefix="b")
    pair = evaluation["b1"]["test"][0]
    way = ArcView.draw(np.random.RandomState(0))
    turned = {side: way.apply(np.array(pair[side], np.uint8)).tolist() for side in pair}
    training["a0"]["train"].insert(0, turned)
    subsets = [Subset("t", write(tmp_path, "t", training), False), Subset("e", write(tmp_path, "e", evaluation), True)]
    secret = asked(subsets)
    for keeps, leaks in ((False, 0), (True, 3)):
        folder = tmp_path / str(keeps)
        facts = build(subsets, folder, augmentations=2, seed=0, keep_leaks=keeps)
        made = open_data(folder)
        found = [canonical(pair) in secret for _, pair in drawn(made.train, made.names)]
        assert (facts["left_out"], sum(found)) == (1 if not keeps else 0, leaks)


def test_arrays_stay_on_the_disk_and_tests_are_not_moved(data: ProblemData) -> None:
    assert data.test is not None
    for part in (data.train, data.test):
        assert isinstance(part.inputs.base, np.memmap) or isinstance(part.inputs, np.memmap)
    assert all(decode(board).is_whole for board in data.test.inputs)
    moved = sum(not decode(board).is_whole for board in data.train.inputs)
    assert 0.2 < moved / len(data.train.inputs) < 0.8
    assert {task.name for task in data.tests} == {"eval0", "eval1", "eval2", "eval3"}


def test_the_command_writes_a_folder_once_and_says_what_is_in_it(tmp_path: Path) -> None:
    training = write_challenges(tmp_path, "training", made_tasks(3, seed=1, prefix="a"))
    evaluation = write_challenges(tmp_path, "evaluation", made_tasks(3, seed=2, prefix="b"))
    folder = tmp_path / "set"
    command = ("data", "arc", training, "-e", evaluation, "--limit", 2, "--augment", 3, "-o")
    done = trm(*command, folder)
    assert (done.returncode, done.stdout) == (0, "")
    made = open_data(folder)
    assert done.stderr == (
        f"{folder}: 16 puzzles of 4 tasks, {len(made.train.inputs)} pairs; 0 pairs left out "
        "because an evaluation task asks for them\n"
    )
    assert {name.split("|||")[0] for name in made.names[1:]} == {"a0", "a1", "b0", "b1"}
    assert {task.name for task in made.tests} == {"b0", "b1"}
    again = trm(*command, folder)
    assert again.stderr == f"trm: {folder}: exists already; choose another name\n"


def test_a_task_that_two_sources_have_is_refused(tmp_path: Path) -> None:
    first = write_challenges(tmp_path, "training", made_tasks(2, seed=1))
    second = write_challenges(tmp_path, "more", made_tasks(2, seed=2))
    done = trm("data", "arc", first, second, "-o", tmp_path / "set")
    assert done.stderr == f"trm: {second}: has task task0, as {first} has; keep one of them\n"
    assert done.returncode == 2


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ARC data set"):
        open_data(tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("small"))


def with_text(name: str, text: str) -> Callable[[Path], None]:
    def write_text(folder: Path) -> None:
        (folder / name).write_text(text)

    return write_text


def with_fact(name: str, **facts: Any) -> Callable[[Path], None]:
    """Change what a file of JSON says."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return change


def with_array(name: str, change: Callable[[np.ndarray], np.ndarray], part: str = "train") -> Callable[[Path], None]:
    """Write an array anew, changed."""

    def write_array(folder: Path) -> None:
        path = folder / part / f"all__{name}.npy"
        np.save(path, change(np.load(path)), allow_pickle=True)

    return write_array


def with_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write_bytes(folder: Path) -> None:
        path = folder / "train" / f"all__{name}.npy"
        path.write_bytes(change(path.read_bytes()))

    return write_bytes


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def as_pipe(name: str) -> Callable[[Path], None]:
    def replace_file(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return replace_file


def put(values: np.ndarray, place: int, value: int) -> np.ndarray:
    values.reshape(-1)[place] = value
    return values


class Exploding:
    """What runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


IDS, STARTS, GROUPS = "puzzle_identifiers", "puzzle_indices", "group_indices"
NO_SET = "no ARC data set"
BAD_TOKENS, NO_TOKENS = (
    f"all__inputs.npy: {NO_SET} ({what}" for what in ("tokens beyond 11", "not an array of numpy with 36")
)
NOT_RISING = "group_indices: do not rise from 0 to ", "puzzle_indices: do not rise from 0 to "
STRANGE_ID = "puzzle_identifiers: expected rows from 0 to "
BAD_FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no counts": (without("train/dataset.json"), "train/dataset.json: no ARC data set (cannot be read (No such file"),
    "counts in a list": (with_text("train/dataset.json", "[]"), "dataset.json: no ARC data set (expected an object"),
    "no size": (with_fact("train/dataset.json", seq_len="36"), "seq_len: expected a whole number from 1 to 900, got"),
    "half a board": (with_fact("train/dataset.json", seq_len=35), "seq_len: 35 cells are no square"),
    "negative": (with_fact("train/dataset.json", num_puzzle_identifiers=-1), "num_puzzle_identifiers: expected a"),
    "counts of less": (with_fact("train/dataset.json", num_puzzle_identifiers=3), STRANGE_ID),
    "counts of more": (with_fact("train/dataset.json", num_puzzle_identifiers=99), "names, dataset.json says 99"),
    "another size": (with_fact("train/dataset.json", seq_len=25), "not an array of numpy with 25 tokens in a row"),
    "no names": (with_text("identifiers.json", "{}"), "identifiers.json: no ARC data set (expected a list, got {}"),
    "names of numbers": (with_text("identifiers.json", "[1]"), "[0]: expected a text, got 1"),
    "names without end": (with_text("identifiers.json", "[" + "[]," * 300 + "0]"), f"{NO_SET} (more than "),
    "half a letter": (with_text("identifiers.json", '["\\ud800"]'), "[0]: holds half a character"),
    "names of a pipe": (as_pipe("identifiers.json"), "identifiers.json: no ARC data set (a device or a pipe"),
    "facts in a list": (with_text("trm.json", "[]"), "trm.json: no ARC data set (expected an object, got []"),
    "no tasks": (with_text("trm.json", "{}"), "trm.json: no ARC data set (tasks: missing)"),
    "tasks of numbers": (with_fact("trm.json", tasks={"a": 1}), "tasks.a: expected a text, got 1"),
    "hashes in a list": (with_fact("trm.json", sha256=["a"]), 'sha256: expected an object, got ["a"]'),
    "deep facts": (with_text("trm.json", "[" * 100_000), "trm.json: no ARC data set (not JSON: nested too deeply)"),
    "no tests": (with_text("test_puzzles.json", "[]"), "test_puzzles.json: no ARC task; expected an object"),
    "bytes": (lambda folder: (folder / "test_puzzles.json").write_bytes(b"\xff"), "(not UTF-8 text at byte 0)"),
    "pipe": (as_pipe("train/all__inputs.npy"), f"inputs.npy: {NO_SET} (a device or a pipe, not a file)"),
    "no labels": (without("test/all__labels.npy"), f"labels.npy: {NO_SET} (cannot be read (No such file"),
    "empty": (with_bytes("inputs", lambda _: b""), NO_TOKENS),
    "half": (with_bytes("inputs", lambda content: content[:-1]), f"inputs.npy: {NO_SET} ("),
    "longer": (with_bytes("labels", lambda content: content + b"\0"), f"labels.npy: {NO_SET} ("),
    "huge": (
        with_bytes("inputs", lambda content: re.sub(rb", 36\), } {6}", rb"000000, 36), }", content)),
        ",000,000 rows in",
    ),
    "version 2": (with_bytes("inputs", lambda content: content.replace(b"NUMPY\x01", b"NUMPY\x02")), NO_TOKENS),
    "archive": (with_bytes("inputs", lambda content: b"PK\x03\x04" + content), NO_TOKENS),
    "pickle": (with_array("inputs", lambda _: np.array([Exploding()], object)), NO_TOKENS),
    "no rows": (with_array("inputs", lambda values: values[:0]), f"inputs.npy: {NO_SET} (0 rows in 128 bytes)"),
    "fewer rows": (with_array("labels", lambda values: values[:-1]), "arrays of different lengths"),
    "flat": (with_array("inputs", np.ravel), NO_TOKENS),
    "cubes": (with_array("inputs", lambda values: values.reshape(-1, 6, 6)), NO_TOKENS),
    "columns first": (with_array("inputs", np.asfortranarray), NO_TOKENS),
    "floats": (with_array("inputs", lambda values: values.astype(float)), NO_TOKENS),
    "large numbers": (with_array("inputs", lambda values: values.astype(np.int64)), NO_TOKENS),
    "token": (with_array("inputs", lambda values: put(values, -1, 12)), BAD_TOKENS),
    "token of a test": (with_array("inputs", lambda values: put(values, 0, 255), "test"), BAD_TOKENS),
    "ids of two dimensions": (with_array(IDS, lambda values: values[:, None].repeat(2, 1)), "with one int32 in a row"),
    "ids the other way round": (with_array(IDS, lambda values: values.astype(">i4")), "with one int32 in a row"),
    "id of nobody": (
        with_array(IDS, lambda values: put(values, 0, -1)),
        "puzzle_identifiers: expected rows from 0 to ",
    ),
    "id beyond": (with_array(IDS, lambda values: put(values, 0, 9999)), STRANGE_ID),
    "fewer ids": (with_array(IDS, lambda values: values[:-1]), NOT_RISING[0]),
    "late start": (with_array(STARTS, lambda values: put(values, 0, 1)), NOT_RISING[1]),
    "another end": (
        with_array(STARTS, lambda values: put(values, -1, 2**31 - 1)),
        "puzzle_indices: do not rise from 0",
    ),
    "not rising": (with_array(STARTS, lambda values: put(values, 1, 0)), NOT_RISING[1]),
    "round the corner": (
        with_array(STARTS, lambda values: np.r_[values[:1], [2**31 - 1, -(2**31)], values[1:]].astype(np.int32)),
        NOT_RISING[1],
    ),
    "one more": (with_array(STARTS, lambda values: np.insert(values, 2, values[1] + 1)), "arrays of different lengths"),
    "group beyond": (with_array(GROUPS, lambda values: put(values, -1, 9999)), NOT_RISING[0]),
    "uneven": (with_array(STARTS, lambda values: put(values, 1, values[1] + 1)), "have different numbers of pairs"),
}


@pytest.mark.parametrize(("damage", "message"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_a_damaged_data_set_is_one_line(
    damage: Callable[[Path], Any], message: str, small: ProblemData, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(small.folder, folder)
    damage(folder)
    with pytest.raises((UsageError, PuzzleError)) as caught:
        open_data(folder)
    told = str(caught.value)
    assert told.startswith(f"{folder}/")
    assert message in told
    assert told.isprintable()


@pytest.mark.parametrize(
    "view", ["x", "t1|||0", "t8|||0123456789", "t1|||0123456788", "t1|||012345678é", "t1|||0123456789|||0"]
)
def test_a_name_that_is_of_no_view_is_refused(view: str) -> None:
    with pytest.raises(FileError, match=r"name 2 \(a.*\) is that of no view"):
        split_names(["<blank>", "a", f"a|||{view}"])


def test_no_row_of_a_table_may_be_missing(small: ProblemData) -> None:
    options = Options("arc", "tiny", data=[str(small.folder)], settings=["model.num_puzzles=2"])
    with pytest.raises(UsageError, match=r"model.num_puzzles is 2, but the data set has \d+; leave the setting out"):
        load_data(resolve_plan(options), {}, lambda done, wanted: None)


def test_a_smaller_board_leaves_out_the_tasks_with_larger_grids(tmp_path: Path) -> None:
    small = made_tasks(2, seed=1, largest=4, prefix="small")
    large = made_tasks(2, seed=5, largest=30, prefix="large")
    path = write_challenges(tmp_path, "training", large | small)
    folder = tmp_path / "set"
    done = trm("data", "arc", path, "--augment", 2, "--board", 4, "--limit", 5, "-o", folder)
    assert done.returncode == 0
    made = open_data(folder)
    assert (made.side, made.train.inputs.shape[1]) == (4, 16)
    assert {name.split("|||")[0] for name in made.names[1:]} == set(small)
    none = trm("data", "arc", path, "--board", 1, "-o", tmp_path / "none")
    assert none.stderr == "trm: nothing is left to train on; give more tasks\n"


REAL = Path(__file__).parents[2] / "shared" / "data" / "arc"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real tasks are not here")
def test_of_the_real_evaluation_tasks_no_test_pair_is_trained_on(tmp_path: Path) -> None:
    """070dd51e of the evaluation tasks is 40853293 of the training tasks under another name.

    What is left are evaluation tasks that show a test of theirs, in other colours, as one of their
    own demonstrations: whoever is given the task is given these.
    """
    subsets = []
    for name, wanted in (("training", "40853293"), ("evaluation", "070dd51e")):
        tasks = read_problems(REAL / f"arc1_{name}.json.gz")
        chosen = [task for task in tasks if task.name == wanted or task.name < "1"]
        subsets.append(Subset(name, chosen, name == "evaluation"))
    facts = build(subsets, tmp_path / "set", augmentations=1, seed=0)
    made, secret = open_data(tmp_path / "set"), asked(subsets)
    assert facts["left_out"] > 0
    leaks = {name.split("|||")[0] for name, pair in drawn(made.train, made.names) if canonical(pair) in secret}
    shown = {
        task.name
        for task in subsets[1].problems
        if {canonical(pair) for pair in task.demonstrations} & asked([Subset("", [task], True)])
    }
    assert leaks == shown
