"""Thousands of hostile inputs for everything that reads: no traceback, no false "solved", bounded time and memory.

A slice runs with all tests, the same inputs every time; `pytest -m campaign` makes 20,000 others.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.campaign.readers import READERS, Files, Reader
from tests.forked import Done
from tests.test_cli import forked

SLICE, CAMPAIGN = 500, 20_000  # inputs of all readers together
SECONDS, MEGABYTES = 60, 600  # for each input
SHARES = sum(reader.share for reader in READERS)
COUNTS = [pytest.param(SLICE, id="slice"), pytest.param(CAMPAIGN, id="campaign", marks=pytest.mark.campaign)]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.mark.parametrize("total", COUNTS)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_whatever_is_read_ends_in_one_line(reader: Reader, total: int, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    reader.prepare(before)
    is_slice = total == SLICE
    quiet = settings(
        max_examples=max(1, round(total * reader.share / SHARES)),
        derandomize=is_slice,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,) if is_slice else (Phase.generate, Phase.shrink),
        print_blob=True,
    )

    @quiet
    @given(reader.inputs(before))
    def try_one(files: Files) -> None:
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)
        for name, content in files.items():
            (folder / name).unlink(missing_ok=True)
            if content is not None:
                (folder / name).write_bytes(content)
        done = forked().run(list(reader.words), folder=folder, variables=ENVIRONMENT, seconds=SECONDS)
        judge(reader, done)

    try_one()


def judge(reader: Reader, done: Done) -> None:
    """Fail where a command did not end as it may."""
    assert "Traceback" not in done.stderr, done.stderr
    assert done.exit_code in reader.codes, done
    assert done.megabytes < MEGABYTES, done
    if done.exit_code > 1:
        assert done.stderr.startswith("trm: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.strip("\n").isprintable(), done.stderr
        assert not done.stdout or "--replay" in reader.words, done.stdout
    for line in done.stdout.splitlines():
        if line.startswith('{"schema"') and (answer := json.loads(line)).get("solved"):
            assert is_solved(answer["task"], answer["puzzle"], answer["answer"]), line


def is_solved(task: str, puzzle: str, answer: str) -> bool:
    """Whether an answer solves a puzzle, without the code that said so."""
    if task == "maze":
        return is_way(rows(puzzle), rows(answer))
    side = len(rows(puzzle))
    grid = np.array(list(answer)).reshape(side, side)
    height = {4: 2, 6: 2, 9: 3, 12: 3, 16: 4}[side]
    boxes = grid.reshape(side // height, height, height, side // height).swapaxes(1, 2).reshape(side, side)
    symbols = set("123456789ABCDEFG"[:side])
    kept = all(given in (".", cell) for given, cell in zip(puzzle, answer, strict=True))
    return kept and all(set(unit) == symbols for unit in (*grid, *grid.T, *boxes))


def is_way(maze: list[str], drawn: list[str]) -> bool:
    """Whether the marked cells lead from S to G, one after another, with walls where they were."""
    marks = {(row, column): mark for row, line in enumerate(drawn) for column, mark in enumerate(line)}
    known = {(row, column): mark for row, line in enumerate(maze) for column, mark in enumerate(line)}
    place, seen = next(place for place, mark in marks.items() if mark == "S"), set()
    while marks[place] != "G":
        seen.add(place)
        row, column = place
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        onward = [one for one in around if marks.get(one) in ("o", "G") and one not in seen]
        if len(onward) != 1:
            return False
        (place,) = onward
    unchanged = all(mark == known[place] or (mark, known[place]) == ("o", " ") for place, mark in marks.items())
    return unchanged and sum(mark == "o" for mark in marks.values()) == len(seen) - 1


def rows(text: str) -> list[str]:
    """A square board that is written in one piece, row by row."""
    side = round(len(text) ** 0.5)
    return [text[start : start + side] for start in range(0, len(text), side)]
