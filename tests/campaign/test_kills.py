"""Commands that are killed at any moment, and disks that fill up: what was there stays, and what goes on is exact."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import sudokus
from tests.forked import Done
from tests.test_cli import forked
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes

pytestmark = pytest.mark.campaign
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
KILLED = -9
TRAINING_KILLS, EVALUATION_KILLS, OUTPUT_KILLS = 40, 30, 30  # a hundred together
LONGEST_MESSAGE = 300  # bytes, which go to a file, too
FULL_DISKS = 40  # for each output
OUTPUTS = {  # commands, and the file or folder that each writes
    "data": (["data", "sudoku", "--generate", "300", "--size", "4", "-q", "-o", "out.csv.gz"], "out.csv.gz"),
    "report": (["eval", "sudoku", "--data", "made.csv", "--limit", "3", "-q", "-o", "out.html"], "out.html"),
    "export": (["models", "export", "sudoku-4x4", "--format", "trm", "--puzzles", "2", "-q", "-o", "out"], "out"),
    "trace": (["watch", "....21.....4.4.1", "--save", "out.jsonl"], "out.jsonl"),
    "page": (["watch", "....21.....4.4.1", "--save", "out.html"], "out.html"),
    "arc": (["data", "arc", "task.json", "--augment", "5", "-q", "-o", "out"], "out"),
}
ARC = '{"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3, 4]], "output": [[4, 3]]}]}'


def run(words: list[str], folder: Path, **limits: float) -> Done:
    """A command in a folder."""
    return forked().run(words, folder=folder, variables=ENVIRONMENT, **limits)  # type: ignore[arg-type] # of each kind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with puzzles of 4x4 and a task of ARC."""
    data = sudokus(60, side=4, givens=(5, 8), seed=1)
    (tmp_path / "made.csv").write_bytes(dataset_bytes(data, Sudoku(), gzipped=False))
    (tmp_path / "task.json").write_text(ARC)
    return tmp_path


def test_a_run_that_is_killed_goes_on_exactly(folder: Path) -> None:
    settings = [f"--set=model.{name}" for name in ("height=4", "width=4", "box_width=2", "vocab_size=6", "N_sup=4")]
    settings += ["--set=train.batch_size=8", "--set=train.validation=10", "--set=train.steps=40"]
    settings += ["--set=train.save_minutes=0", "--set=train.evaluate_every=20", "--set=train.report_every=1"]
    begin = ["train", "sudoku", "-r", "tiny", "-q", "-d", "made.csv", *settings]
    assert run([*begin, "--run", "whole"], folder).exit_code == 0
    weights = (folder / "whole" / "checkpoint" / "model.safetensors").read_bytes()
    kills, number, rng = 0, 0, random.Random(0)
    while kills < TRAINING_KILLS:
        number += 1
        name, done = f"run{number}", None
        while done is None or done.exit_code == KILLED:  # or it was killed when all was done
            has_state = any((folder / name).glob("state/step-*/state.json"))
            words = ["train", "sudoku", "-q", "--resume", name] if has_state else [*begin, "--run", name]
            if not has_state and (folder / name).exists():
                name += "x"  # killed before its first state: begun anew
                words[-1] = name
            done = run(words, folder, kill_after=rng.uniform(0.1, 1.5))
            kills += done.exit_code == KILLED
        assert done.exit_code == 0 or "there is nothing to resume" in done.stderr, done
        assert (folder / name / "checkpoint" / "model.safetensors").read_bytes() == weights
        assert not [path.name for path in (folder / name).rglob("*.partial")]


def test_an_evaluation_that_is_killed_counts_everything_once(folder: Path) -> None:
    words = ["eval", "sudoku", "--data", "made.csv", "--batch-size", "4", "--json", "-q"]
    whole = run([*words, "--resume", "whole.json"], folder)
    assert whole.exit_code == 0
    kills, rng = 0, random.Random(0)
    while kills < EVALUATION_KILLS:
        (folder / "kept.json").unlink(missing_ok=True)
        done = None
        while done is None or done.exit_code == KILLED:
            # The counts are kept after every puzzle, not every twenty seconds.
            code = (
                "import sys, trm_cli.cli.evaluate as command; command.KEEP_SECONDS = 0;"
                f"sys.argv[1:] = {[*words, '--resume', 'kept.json']}; main()"
            )
            done = run(["-c", code], folder, kill_after=rng.uniform(0.2, 1.5))
            kills += done.exit_code == KILLED
        assert done.exit_code == 0, done
        assert counts(folder / "kept.json") == counts(folder / "whole.json")


def counts(path: Path) -> dict[str, object]:
    """What was counted, but for the time that it took; sums of probabilities, which other batches round differently."""
    (tally,) = json.loads(path.read_text(), parse_float=lambda text: f"{float(text):.3g}")["tallies"]
    return {name: value for name, value in tally.items() if name not in ("seconds", "waited")}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_whole_or_what_was_there(name: str, folder: Path) -> None:
    words, output = OUTPUTS[name]
    rng = random.Random(name)
    assert run(words, folder).exit_code == 0
    path = folder / output
    parts = [path, *sorted(path.rglob("*"))]
    largest = max(part.stat().st_size for part in parts if part.is_file())
    wanted = {part: len(part.read_bytes()) for part in parts if part.is_file()}
    for number in range(FULL_DISKS + OUTPUT_KILLS // len(OUTPUTS)):
        remove(path)
        if number < FULL_DISKS:
            done = run(words, folder, file_bytes=rng.randrange(LONGEST_MESSAGE, LONGEST_MESSAGE + largest))
            assert (done.exit_code, done.stderr.count("\n")) in ((2, 1), (3, 1), (0, 0), (0, 1)), done
            assert "Traceback" not in done.stderr
            assert not list(folder.glob(".*.partial"))
        else:
            done = run(words, folder, kill_after=rng.uniform(0.1, 1.0))
        if done.exit_code:
            assert not path.exists()
        else:
            assert wanted.keys() == {part for part in [path, *path.rglob("*")] if part.is_file()}


def remove(path: Path) -> None:
    """Take away a file, or a folder with all that is in it."""
    for part in sorted([path, *path.rglob("*")], reverse=True):
        if part.is_dir():
            part.rmdir()
        else:
            part.unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full_keeps_what_is_on_it(small_disk: Path) -> None:
    old = small_disk / "old.csv"
    old.write_bytes(b"x" * 30_000)
    done = run(["data", "sudoku", "--generate", "3000", "-q", "-o", "old.csv", "--force"], small_disk)
    assert (done.exit_code, done.stderr) == (
        2,
        "trm: old.csv: cannot be written (No space left on device); choose another\n",
    )
    assert [(path.name, path.stat().st_size) for path in small_disk.iterdir()] == [("old.csv", 30_000)]
