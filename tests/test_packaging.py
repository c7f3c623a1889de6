"""The package as users get it: built, checked, installed by each installer where nothing else is."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each installer fetches torch

TOP = Path(__file__).parents[1]


def run(*words: object, cwd: Path | None = None, **environment: object) -> str:
    """Run a program to its end and return what it printed."""
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TRM_MODEL")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=outside | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution; both pass the index's checks."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, TOP)
    run(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())
    return next(folder.glob("*.whl"))


def watches_a_sudoku(program: Path, folder: Path) -> bool:
    """Whether an installed `trm` shows the network solving its example, without a network and without a cache."""
    shown = run(program, "watch", "sudoku", cwd=folder, HF_HUB_OFFLINE=1, HF_HOME=folder / "empty")
    return shown.rstrip().splitlines()[-1].startswith("solved in ")


def test_the_wheel_runs_where_pip_installs_it(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    run(tmp_path / "venv/bin/pip", "install", "--quiet", wheel)
    assert watches_a_sudoku(tmp_path / "venv/bin/trm", tmp_path)


@pytest.mark.skipif(shutil.which("pipx") is None, reason="no pipx")
def test_the_wheel_runs_where_pipx_installs_it(wheel: Path, tmp_path: Path) -> None:
    run("pipx", "install", wheel, PIPX_HOME=tmp_path / "pipx", PIPX_BIN_DIR=tmp_path / "bin")
    assert watches_a_sudoku(tmp_path / "bin/trm", tmp_path)


@pytest.mark.skipif(shutil.which("uv") is None, reason="no uv")
def test_the_wheel_runs_where_uv_installs_it(wheel: Path, tmp_path: Path) -> None:
    folders = {"UV_TOOL_DIR": tmp_path / "tools", "UV_TOOL_BIN_DIR": tmp_path / "bin"}
    run("uv", "tool", "install", "--python", sys.executable, wheel, **folders)
    assert watches_a_sudoku(tmp_path / "bin/trm", tmp_path)


def test_the_source_distribution_has_what_its_tests_need(wheel: Path) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    folders = ("checkpoints", "docs", "examples", "tests", "trm_cli")
    needed = run("git", "ls-files", *folders, "README.md", "CONTRIBUTING.md", "mkdocs.yml", cwd=TOP).split()
    assert set(needed) - names == set()
