"""The file of a table of puzzles: what is read of it, what is written, what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trm_cli.errors import FileError, ModelError
from trm_cli.tasks.arc_grids import ArcView, split_names
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.puzzle_table import KnownProblem, PuzzleTable, Register, save_table

WAYS = [ArcView.draw(np.random.RandomState(seed)) for seed in range(2)]
NAMES = ["<blank>", "a", *(way.name_of("a") for way in WAYS), "b", WAYS[1].name_of("b")]
REGISTER = Register.of_rows(*split_names(NAMES), {"a": "digest of a"})


def saved(folder: Path, table: torch.Tensor, register: Register | None) -> PuzzleTable:
    save_table(folder, table, register)
    return PuzzleTable(folder / TABLE_FILE)


def test_a_register_says_which_rows_are_whose_and_in_which_way() -> None:
    assert REGISTER.problems == {"a": KnownProblem(1, 3, "digest of a"), "b": KnownProblem(4, 2, "")}
    whole = [[way.turn, *way.colours.tolist()] for way in (ArcView.plain(), ArcView.plain(), *WAYS)]
    assert REGISTER.views[:4].tolist() == whole
    with pytest.raises(FileError, match="task a do not lie together"):
        Register.of_rows(*split_names([*NAMES, "a|||t0|||0123456789"]), {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_task_s_rows_and_ways_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rows = torch.randn(6, 8).to(dtype)
    table = saved(tmp_path, rows, REGISTER)
    assert torch.equal(load_file(tmp_path / TABLE_FILE)["puzzles"], rows)
    known = table.of_digest("digest of a")
    assert known is not None
    found, views = table.read(known)
    assert torch.equal(found, rows[1:4].float())
    assert [ArcView.of_digits(view).name_of("a") for view in views[1:]] == NAMES[2:4]
    assert table.register() == REGISTER
    assert torch.equal(table.whole(), rows.float())
    assert table.of_digest("another") is None
    assert [path.name for path in tmp_path.iterdir()] == [TABLE_FILE]


def test_a_table_that_says_nothing_of_its_rows_knows_no_task(tmp_path: Path) -> None:
    table = saved(tmp_path, torch.ones(6, 8), None)
    assert (table.problems, table.num_rows, table.width) == ({}, 6, 8)
    assert table.rows(KnownProblem(2, 3, "")).tolist() == [[1.0] * 8] * 3


LARGE, WIDTH = 400_000, 64  # 102 MB: a table of ARC-AGI-1 has 876,406 rows of 512
PROBE = """
import resource, sys
from pathlib import Path
from trm_cli.weights.puzzle_table import KnownProblem, PuzzleTable
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = PuzzleTable(Path(sys.argv[1]))
rows = table.rows(table.of_digest("found"))
print(rows.sum().item(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kilobytes, as Linux does")
def test_of_a_large_table_only_the_rows_that_are_asked_for_are_read(tmp_path: Path) -> None:
    register = Register({"x": KnownProblem(123_456, 1000, "found")}, np.zeros((LARGE, 11), np.uint8))
    table = (torch.arange(LARGE) // 20_000).float()[:, None].expand(LARGE, WIDTH)
    save_table(tmp_path, table, register)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, tmp_path / TABLE_FILE], capture_output=True, text=True, check=True
    )
    total, kilobytes = map(float, done.stdout.split())
    assert total == 1000 * WIDTH * 6.0
    assert kilobytes * 1000 < (tmp_path / TABLE_FILE).stat().st_size / 5


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / TABLE_FILE
    with pytest.raises(ModelError, match="no readable table"):
        PuzzleTable(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="no readable table"):
        PuzzleTable(path)
    with pytest.raises(ModelError, match="fewer rows than it names"):
        saved(tmp_path, torch.zeros(3, 2), Register(REGISTER.problems, REGISTER.views[:3]))
    whole = path.read_bytes().replace(b"digest of a", json.dumps(1).encode() + b"          ")
    path.write_bytes(whole)
    with pytest.raises(ModelError):
        PuzzleTable(path)


def table_of(path: Path, *, told: object = None, text: str | None = None, **tensors: torch.Tensor | None) -> None:
    """Write a table of six rows, its tensors and what it says of its tasks replaced."""
    views = torch.from_numpy(REGISTER.views.copy())
    kept = {"puzzles": torch.ones(6, 8), "ways": views, **tensors}
    known = {name: vars(problem) for name, problem in REGISTER.problems.items()} if told is None else told
    metadata = {"tasks": json.dumps(known) if text is None else text}
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, path, metadata)


def rows(first: object, count: object = 2, digest: object = "") -> dict[str, object]:
    return {"first": first, "count": count, "digest": digest}


STRANGE: dict[str, tuple[dict[str, Any], str]] = {
    "no JSON": ({"text": "{"}, "not JSON (Expecting property name"),
    "no number": ({"text": '{"a": NaN}'}, "not JSON: NaN is no number"),
    "deep": ({"text": '{"a":' * 100_000}, "not JSON: nested too deeply"),
    "list": ({"text": "[]"}, "tasks: expected an object, got []"),
    "task of a number": ({"told": {"a": 1}}, "tasks.a: expected an object, got 1"),
    "half a letter": ({"text": '{"\\ud800": {}}'}, "tasks: holds half a character"),
    "no digest": ({"told": {"a": {"first": 1, "count": 1}}}, "tasks.a.digest: missing"),
    "digest of a number": ({"told": {"a": rows(1, 2, 3)}}, "tasks.a.digest: expected a text, got 3"),
    "first in words": (
        {"told": {"a": rows("1")}},
        'tasks.a.first: expected a whole number from 1 to 16,777,216, got "1"',
    ),
    "negative": ({"told": {"a": rows(-1)}}, "tasks.a.first: expected a whole number from 1 to 16,777,216, got -1"),
    "nobody's": ({"told": {"a": rows(0)}}, "tasks.a.first: expected a whole number from 1 to 16,777,216, got 0"),
    "none": ({"told": {"a": rows(1, 0)}}, "tasks.a.count: expected a whole number from 1 to 16,777,216, got 0"),
    "half": ({"told": {"a": rows(1, 1.5)}}, "tasks.a.count: expected a whole number from 1 to 16,777,216, got 1.5"),
    "overlap": ({"told": {"a": rows(1, 3), "b": rows(3)}}, "two of its tasks share row 3"),
    "beyond": ({"told": {"a": rows(5, 2)}}, "fewer rows than it names"),
    "fewer views": ({"ways": torch.zeros(3, 11, dtype=torch.uint8)}, "fewer rows than it names"),
    "no views": ({"ways": None}, "lacks tensor ways"),
    "no rows": ({"puzzles": None}, "lacks tensor puzzles"),
    "flat rows": ({"puzzles": torch.ones(48)}, "puzzles is F32 [48], not a matrix of F32 or BF16"),
    "whole numbers": ({"puzzles": torch.ones(6, 8, dtype=torch.int64)}, "puzzles is I64 [6, 8], not a matrix of F32"),
    "empty": ({"puzzles": torch.ones(0, 8)}, "puzzles is F32 [0, 8], not a matrix of F32 or BF16"),
    "cubes of views": ({"ways": torch.zeros(6, 11, 1, dtype=torch.uint8)}, "ways is U8 [6, 11, 1], not a matrix of U8"),
    "views in floats": ({"ways": torch.zeros(6, 11)}, "ways is F32 [6, 11], not a matrix of U8"),
}


@pytest.mark.parametrize(("how", "message"), STRANGE.values(), ids=STRANGE.keys())
def test_a_table_that_cannot_be_is_one_line(how: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / TABLE_FILE
    table_of(path, **how)
    with pytest.raises(ModelError) as caught:
        PuzzleTable(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: no readable table of puzzles ({message}")
    assert told.endswith("; download or train it again")
    assert told.isprintable()


def test_a_table_must_be_as_large_as_its_network_says(tmp_path: Path) -> None:
    table_of(tmp_path / TABLE_FILE)
    assert PuzzleTable(tmp_path / TABLE_FILE, (6, 8)).num_rows == 6
    for shape in ((7, 8), (6, 9)):
        with pytest.raises(ModelError, match="6x8, the network's config says "):
            PuzzleTable(tmp_path / TABLE_FILE, shape)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_are_no_numbers_are_not_handed_out(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    table = torch.ones(6, 8, dtype=dtype)
    table[2, 3] = value
    table_of(tmp_path / TABLE_FILE, puzzles=table)
    opened = PuzzleTable(tmp_path / TABLE_FILE)
    assert opened.rows(opened.problems["b"]).shape == (2, 8)
    with pytest.raises(ModelError, match="puzzles holds values that are no numbers"):
        opened.rows(opened.problems["a"])
    with pytest.raises(ModelError, match="puzzles holds values that are no numbers"):
        opened.whole()


def test_what_is_no_file_of_tensors_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes((1 << 30).to_bytes(8, "little") + bytes(1000))
    (tmp_path / "short").write_bytes(b"")
    for path, reason in (
        (tmp_path / "pipe", "a device or a pipe, not a file"),
        (Path("/dev/zero"), "a device or a pipe, not a file"),
        (tmp_path, "a folder, not a file"),
        (tmp_path / "long", "damaged: a header of 1,073,741,824 bytes in a file of 1,008"),
        (tmp_path / "short", ""),
    ):
        with pytest.raises(ModelError) as caught:
            PuzzleTable(path)
        assert str(caught.value).startswith(f"{path}: no readable table of puzzles ({reason}")


def test_a_table_that_says_nothing_of_its_rows_has_an_empty_register(tmp_path: Path) -> None:
    assert saved(tmp_path, torch.ones(6, 8), None).register() == Register({}, np.zeros((0, 0), np.uint8))


STREAM = """
import resource, sys
from pathlib import Path
import torch
from trm_cli.weights.puzzle_table import save_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = torch.load(sys.argv[1], weights_only=True, mmap=True)["puzzle_emb.weights"]
save_table(Path(sys.argv[2]), table)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kilobytes, as Linux does")
def test_a_table_is_copied_from_a_mapped_file_chunk_by_chunk(tmp_path: Path) -> None:
    table = torch.arange(LARGE, dtype=torch.float32)[:, None].expand(LARGE, WIDTH).contiguous()
    torch.save({"puzzle_emb.weights": table}, tmp_path / "theirs.pt")
    done = subprocess.run(
        [sys.executable, "-c", STREAM, tmp_path / "theirs.pt", tmp_path], capture_output=True, text=True, check=True
    )
    opened = PuzzleTable(tmp_path / TABLE_FILE)
    assert opened.rows(KnownProblem(LARGE - 1, 1, "")).tolist() == [[LARGE - 1.0] * WIDTH]
    assert int(done.stdout) * 1000 < 1.3 * table.nbytes  # the mapped file itself, and a chunk
