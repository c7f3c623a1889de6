import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.arc_tasks import Known, made_tasks, write_challenges
from tests.test_cli import trm
from trm_cli.errors import UsageError
from trm_cli.tasks.arc_dataset import Subset, build, open_data
from trm_cli.tasks.arc_grids import FIRST_COLOUR, SIDE, ArcView, canonical, decode, read_problems, split_names
from trm_cli.tasks.base import Tokens
from trm_cli.tasks.problems import Pair, Problem, ProblemData, ProblemPart

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
