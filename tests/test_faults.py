"""A machine that fails: too little memory, a device that goes away, a compiler that is not there."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.conftest import PUZZLE, small_config
from tests.forked import TRAINING, Forked
from tests.test_resume import data_file, losses, train_words
from trm_cli.cli.app import app
from trm_cli.config import SolveConfig
from trm_cli.errors import ModelError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import run, solve_stream
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku

__all__ = ["data_file"]  # the fixture
OUT_OF_MEMORY = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore"),
    "CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    "Python": MemoryError(),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
}
LOST = {
    "accelerator": torch.AcceleratorError("CUDA error: unspecified launch failure\nSearch for it"),
    "runtime": RuntimeError("CUDA error: device lost\nMore"),
}
FORWARD = TinyRecursiveModel.forward


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, most: int = 0, after: int = 0) -> list[int]:
    """Let steps of more than so many puzzles fail, the first ones not; gives how many there were in each step."""
    seen: list[int] = []

    def forward(self: TinyRecursiveModel, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        seen.append(len(x))
        if len(x) > most and len(seen) > after:
            raise error
        return FORWARD(self, x, y, z)

    monkeypatch.setattr(TinyRecursiveModel, "forward", forward)
    return seen


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY.keys())
def test_a_batch_that_does_not_fit_is_halved_and_the_answers_are_the_same(
    error: Exception, small_data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network, settings = TinyRecursiveModel(small_config()).eval(), SolveConfig(max_steps=3)

    def answers() -> list[bytes]:
        found = solve_stream(network, Sudoku(), small_data.puzzles[:20], batch_size=8, settings=settings)
        return [outcome.chosen.answer.tobytes() for outcome in found]

    expected = answers()
    seen = fail(monkeypatch, error, most=2)
    caplog.set_level(logging.WARNING, "trm_cli")
    assert answers() == expected
    assert seen[:3] == [8, 4, 2]
    assert max(seen[3:]) == 2  # what does not fit is not tried again
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 puzzles together; goes on with 4",
        "out of memory with 4 puzzles together; goes on with 2",
    ]


@pytest.mark.parametrize("watched", [False, True])
def test_a_single_puzzle_that_does_not_fit_ends_it(
    watched: bool, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TinyRecursiveModel(small_config()).eval()
    seen = fail(monkeypatch, MemoryError())
    puzzles = iter(small_data.puzzles[:4])
    with pytest.raises(ModelError, match=r"^out of memory; give a smaller --batch-size"):
        next(run(network, Sudoku(), puzzles, batch_size=4, settings=SolveConfig(), watched=watched))
    assert seen == ([4] if watched else [4, 2, 1])


def test_a_bug_is_no_fault_of_the_machine(small_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    network = TinyRecursiveModel(small_config()).eval()
    fail(monkeypatch, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        list(solve_stream(network, Sudoku(), small_data.puzzles[:1], batch_size=1, settings=SolveConfig()))


COMMANDS = ["solve sudoku {} -m sudoku-small", "watch sudoku {} -m sudoku-small --pause 0"]


@pytest.mark.parametrize("command", COMMANDS, ids=["solve", "watch"])
@pytest.mark.parametrize("name", LOST)
def test_a_device_that_goes_away_is_one_line(command: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, LOST[name])
    done = CliRunner().invoke(app, command.format(PUZZLE).split())
    first = str(LOST[name]).splitlines()[0]
    assert done.stderr == f"trm: the device failed ({first}); start again, or add --device cpu\n"
    assert done.exit_code == 3


def test_a_remark_on_memory_is_one_line_and_none_if_quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fail(monkeypatch, MemoryError(), most=1)
    (tmp_path / "two.txt").write_text(f"{PUZZLE}\n{PUZZLE}\n")
    words = ["solve", "sudoku", str(tmp_path / "two.txt"), "-m", "sudoku-small"]
    told, quiet = (CliRunner().invoke(app, [*words, *more]) for more in ([], ["--quiet"]))
    assert told.stderr.splitlines()[0] == "trm: out of memory with 2 puzzles together; goes on with 1"
    assert (told.exit_code, quiet.exit_code) == (0, 0)
    assert quiet.stderr == ""
    assert quiet.stdout == told.stdout


FAULTS = {
    "memory": (
        OUT_OF_MEMORY["CUDA"],
        "out of memory; give --set train.batch_size=4, or lower model.hidden_size, model.n or model.T; a state that "
        "was saved is intact",
    ),
    "device": (LOST["runtime"], "the device failed (CUDA error: device lost); start again, or add --device cpu"),
}


@pytest.mark.parametrize(("error", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_training_that_fails_says_so_and_keeps_the_last_state(
    error: Exception, words: str, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    train = [*train_words(data_file, folder), "--set", "train.batch_size=8", "-q"]
    with monkeypatch.context() as patch:
        fail(patch, error, after=4)
        done = CliRunner().invoke(app, train)
    assert (done.exit_code, done.stderr) == (3, f"trm: {words}\n")
    assert list(folder.glob("state/*/state.json"))
    again = CliRunner().invoke(app, ["train", "sudoku", "--resume", str(folder), "--max-steps", "6", "-q"])
    assert again.exit_code == 0, again.stderr


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    with Forked(
        (*TRAINING, "torch._inductor.compile_fx"), CXX="/nonexistent"
    ) as forked:  # torch reads it when it is imported
        yield forked


WITHOUT: dict[str, tuple[dict[str, str], str]] = {
    "compiler": ({}, "there is no working C++ compiler; install g++ or clang"),
    "cache": (
        {"TORCHINDUCTOR_CACHE_DIR": "/proc/none"},
        "its cache cannot be written (No such file or directory); set TORCHINDUCTOR_CACHE_DIR",
    ),
}


def variables(tmp_path: Path, **given: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), **given}


@pytest.mark.parametrize(("given", "words"), WITHOUT.values(), ids=WITHOUT.keys())
def test_solving_that_cannot_be_compiled_is_refused_in_one_line(
    given: dict[str, str], words: str, forked: Forked, tmp_path: Path
) -> None:
    command = ["solve", "sudoku", "....21.....4.4.1", "--compile"]
    done = forked.run(command, folder=tmp_path, variables=variables(tmp_path, **given))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"trm: --compile: torch.compile: {words}, or leave the option out\n"


def test_training_that_cannot_be_compiled_goes_on_with_the_same_results(
    forked: Forked, data_file: Path, tmp_path: Path
) -> None:
    found = {}
    for compiles in ("true", "false"):
        folder = tmp_path / compiles
        settings = [f"--set=train.compile={compiles}", "--set=model.T=1", "--set=model.n=1"]
        words = [*train_words(data_file, folder), *settings, "--max-steps", "3"]
        done = forked.run(words, folder=tmp_path, variables=variables(tmp_path))
        assert done.exit_code == 0, done.stderr
        told = [line for line in done.stderr.splitlines() if "compile" in line]
        found[compiles] = (told, losses(folder))
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert found["false"][0] == []
    line = "trm: torch.compile: there is no working C++ compiler; install g++ or clang to train faster; this run goes "
    assert found["true"] == ([f"{line}on uncompiled"], found["false"][1])
