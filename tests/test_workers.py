"""`solve` and `eval` by several workers: what one process comes to, in order, and a worker that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined] # where they are documented to be

from tests.conftest import sudokus
from tests.test_cli import trm
from trm_cli.config import SolveConfig
from trm_cli.errors import UsageError
from trm_cli.schema import sealed, unsealed
from trm_cli.solving import workers
from trm_cli.solving.search import Outcome
from trm_cli.solving.workers import Solver, Worker, this_solver
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.weights.checkpoint import bundled_checkpoints
from trm_cli.weights.tensors import load_checkpoint

TWO = ["--gpus", "2", "--device", "cpu"]
TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "-m")
COUNT = 50


@pytest.fixture(scope="module")
def data() -> Dataset:
    return sudokus(COUNT, side=4)


@pytest.fixture(scope="module")
def data_file(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "puzzles.csv"
    path.write_bytes(dataset_bytes(data, get_task("sudoku"), gzipped=False))
    return path


def launched(*words: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *launcher, "trm_cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def outcomes_of(solver: Solver, data: Dataset) -> Iterator[Outcome]:
    network = load_checkpoint(bundled_checkpoints()["sudoku-4x4"]).network
    return solver.solve(network, get_task("sudoku"), iter(data.puzzles), batch_size=3, settings=SolveConfig())


def told(outcomes: list[Outcome]) -> list[tuple[bytes, int, bool]]:
    return [(outcome.answer.tobytes(), outcome.total_steps, outcome.solved) for outcome in outcomes]


def test_whoever_computes_a_part_the_first_worker_gives_all_outcomes_in_order(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LONGEST_VALUE", 1000)  # bytes, so that messages come in pieces
    whole = told(list(outcomes_of(Solver(), data)))
    store = HashStore()
    first, second = (Worker(store, rank) for rank in (0, 1))
    assert store.add("trm 1 drawn", 3) == 3  # three parts go to a worker that is not here yet
    given = outcomes_of(first, data)
    lost = Worker(store, 2)
    lost._leave("trm 1 part 0", list(outcomes_of(Solver(), data))[:6])
    assert told([next(given) for _ in range(6)]) == whole[:6]
    for number in (2, 1):
        lost._leave(f"trm 1 part {number}", list(outcomes_of(Solver(), data))[6 * number : 6 * number + 6])
    assert list(outcomes_of(second, data)) == []  # the first one has drawn what was left, or takes it from here
    assert told(list(given)) == whole[6:]
    assert not store.check(["trm 1 part 0"])  # nor does it stay


def test_a_value_is_the_first_worker_s_and_names_never_meet(data: Dataset) -> None:
    store = HashStore()
    first, second = (Worker(store, rank) for rank in (0, 1))
    assert [first.share({"a": 1}), first.share(np.arange(2).tolist())] == [{"a": 1}, [0, 1]]
    assert [second.share(None), second.share(None)] == [{"a": 1}, [0, 1]]
    for solver in (first, second):  # a second stream of the same puzzles begins at its first part
        solver.agreed += 1
    assert told(list(outcomes_of(first, data))) == told(list(outcomes_of(Solver(), data)))
    assert Solver().share(5) == 5


def test_two_workers_print_what_one_process_does(data_file: Path, tmp_path: Path) -> None:
    alone = trm("solve", "sudoku", data_file, "--json")
    together = launched("solve", "sudoku", data_file, "--json", "--batch-size", 4, *TWO)
    assert (alone.returncode, together.returncode) == (0, 0), together.stderr

    def lines(text: str) -> list[dict[str, object]]:
        changing = ("seconds", "wait_seconds")
        return [{k: v for k, v in json.loads(line).items() if k not in changing} for line in text.splitlines()]

    assert lines(together.stdout) == lines(alone.stdout)
    assert f"{COUNT} of {COUNT} solved" in together.stderr
    assert together.stderr.count("solved in") == 1


def test_torchrun_evaluates_as_one_process_does_and_goes_on_from_kept_counts(data_file: Path, tmp_path: Path) -> None:
    begun, kept, report = tmp_path / "begun.json", tmp_path / "kept.json", tmp_path / "report.json"
    words = ["eval", "sudoku", "--data", data_file, "--json"]
    limited, whole = trm(*words, "--limit", 20, "--resume", begun), trm(*words, "--resume", kept)
    record = unsealed(json.loads(kept.read_text())) | {"tallies": json.loads(begun.read_text())["tallies"]}
    record["tallies"][0]["seconds"] = 1000.0
    kept.write_text(json.dumps(sealed(record)))  # as if it had been stopped after 20 puzzles
    parts = launched(*words, "--resume", kept, "-o", report, "--batch-size", 2, "--device", "cpu", launcher=TORCHRUN)
    assert (limited.returncode, whole.returncode, parts.returncode) == (0, 0, 0), parts.stderr
    counted = [json.loads(text)["models"][0]["groups"] for text in (whole.stdout, parts.stdout, report.read_text())]
    assert counted[0] == counted[1] == counted[2]
    assert json.loads(kept.read_text())["tallies"][0]["seconds"] > 1000


def test_a_worker_that_is_killed_is_named_and_nothing_hangs(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(dataset_bytes(sudokus(200, side=9), get_task("sudoku"), gzipped=False))
    output = tmp_path / "answers.txt"
    words = ["solve", "sudoku", path, "-m", "sudoku-small", "--halt", "never", "--batch-size", 1, *TWO, "-o", output]
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_cli", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
    )
    while not output.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, remarks = process.communicate(timeout=60)
    assert process.returncode == 3, remarks
    assert "of 2 was killed (SIGKILL)" in remarks.splitlines()[-1]
    assert all(len(line) == 81 for line in output.read_text().splitlines())
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_what_workers_cannot_do_is_one_line(data_file: Path) -> None:
    for words, line in (
        (["solve", "sudoku", "-", *TWO], "--gpus: one process can read stdin; put the puzzles into a file"),
        (["solve", "sudoku", data_file, "--gpus", 2], "--gpus 2: torch finds no GPU here"),
    ):
        done = trm(*words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert done.stderr.startswith(f"trm: {line}")


def test_a_worker_that_is_not_told_of_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="start the workers with torchrun"):
        this_solver()
