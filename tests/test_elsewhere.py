"""A task from a package of its own: installed, and served by the unchanged `trm` from data to evaluation."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_cli import Finished, trm
from trm_cli.errors import UsageError
from trm_cli.tasks import added_tasks, get_task, loadable_tasks, task_names
from trm_cli.tasks.base import Task
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.training.recipes import general_recipe, get_recipe

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "tests" / "elsewhere"
TUTORIAL = (TOP / "docs" / "new-task.md").read_text(encoding="utf-8")
SMALL = {  # words that make a command of the tutorial short
    "data": "--generate 80 --size 4 --walls 60-75",
    "train": "--data puzzles.csv --max-steps 60 --quiet --set model.height=4 --set model.width=4 --set model.n=2 "
    "--set model.hidden_size=16 --set model.channel_width=32 --set train.validation=20 --set train.ema_decay=0.8",
    "watch": "one.txt --max-steps 2 --save run.html --save run.jsonl",
}


def blocks(language: str) -> list[str]:
    """The tutorial's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TUTORIAL, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """The lines of a text that are not empty."""
    return [line for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of an environment in which the package is installed."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, PACKAGE], check=True, timeout=120)
    return os.pathsep.join([str(target), str(TOP)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the tutorial's commands run."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "one.txt").write_text("#...\n..3.\n....\n..2#\n")
        yield folder


@pytest.fixture(scope="module")
def done(paths: str, folder: Path) -> dict[str, Finished]:
    """How each command of the tutorial ended, made short."""
    ended = {}
    for line in "".join(blocks("sh")).splitlines():
        if line.startswith("trm "):
            command, *words = shlex.split(line, comments=True)[1:]
            ended[command] = trm(command, *words, *shlex.split(SMALL.get(command, "")), PYTHONPATH=paths)
    return ended


def test_the_code_of_the_tutorial_is_the_code_of_the_package() -> None:
    assert code("".join(blocks("python"))) == code((PACKAGE / "light_up.py").read_text(encoding="utf-8"))
    assert code("".join(blocks("toml"))) == code((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_holds_for_every_task_holds_for_it(paths: str) -> None:
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", "light-up", str(TOP / "tests" / "test_tasks.py")]
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-m", "pytest", *words]
    found = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout
    assert found.stdout.count(".") >= 10  # one test, one dot


def test_data_are_generated_as_its_own_option_says(done: dict[str, Finished], folder: Path) -> None:
    assert done["data"].returncode == 0, done["data"].stderr
    header, *rows = (folder / "puzzles.csv").read_text().splitlines()
    assert header == "source,question,answer,rating"
    assert len(set(rows)) == 80
    shares = [sum(letter in "#01234" for letter in row.split(",")[1]) / 16 for row in rows]
    assert 0.55 < sum(shares) / len(shares) < 0.85


def test_its_own_recipe_trains_a_network_that_solves_some(done: dict[str, Finished], folder: Path) -> None:
    assert done["train"].returncode == 0, done["train"].stderr
    config = json.loads((folder / "runs/light-up/fast-1/config.json").read_text())["recipe"]
    assert (config["task"], config["name"], config["model"]["mixer"]) == ("light-up", "fast", "convolution")
    assert "light-up" in (folder / "runs/light-up/fast-1/checkpoint" / "README.md").read_text()
    assert done["solve"].returncode == 1, done["solve"].stderr  # not all of them
    solved = re.fullmatch(r"(\d+) of 80 solved in .*", done["solve"].stderr.splitlines()[-1])
    assert solved
    assert int(solved[1]) > 0


def test_its_answers_are_written_in_its_own_letters(done: dict[str, Finished], paths: str, folder: Path) -> None:
    first, *others = done["solve"].stdout.split("\n\n")
    assert len(others) >= 79
    assert set("".join(first.splitlines()[:4])) <= set("#01234o-")
    again = trm(
        "solve",
        "light-up",
        folder / "puzzles.csv",
        "--model",
        "runs/light-up/fast-1/checkpoint",
        "--json",
        PYTHONPATH=paths,
    )
    answers = [json.loads(line) for line in again.stdout.splitlines()]
    assert {answer["task"] for answer in answers} == {"light-up"}
    wrong = next(answer for answer in answers if not answer["solved"])
    assert {"row", "column", "rule"} <= set(wrong["violations"][0])


def test_its_boards_are_watched_and_kept(done: dict[str, Finished], paths: str, folder: Path) -> None:
    assert done["watch"].returncode in (0, 1), done["watch"].stderr  # solved or not, by so short a training
    board = done["watch"].stdout.split("step 1 of 2")[1].splitlines()[4:10]
    assert board[0] == "┌─────────┐"
    assert all(row.startswith("│ ") and row.endswith("│") and len(row) == 11 for row in board[1:5])
    assert "<svg" in (folder / "new-task.svg").read_text()
    assert "light-up" in (folder / "run.html").read_text()
    replayed = trm("watch", "--replay", "run.jsonl", PYTHONPATH=paths)
    assert replayed.stdout == done["watch"].stdout


def test_it_is_evaluated(done: dict[str, Finished]) -> None:
    assert done["eval"].returncode == 0, done["eval"].stderr
    assert re.match(r"fast-1 solves \d+\.\d\d% of puzzles\.csv \(\d+ of 80, ", done["eval"].stdout)


def declare(folder: Path, name: str, target: str) -> None:
    """A package that is installed in a folder and adds one task."""
    about = folder / f"{name}-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[trm_cli.tasks]\n{name} = {target}\n")


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose packages are installed while a test runs."""
    monkeypatch.syspath_prepend(tmp_path)
    added_tasks.cache_clear()
    yield tmp_path
    added_tasks.cache_clear()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("missing_module:Task", "cannot be loaded (ModuleNotFoundError: No module named 'missing_module')"),
        ("json:Task", "cannot be loaded (AttributeError: module 'json' has no attribute 'Task')"),
        ("trm_cli.tasks.base:Task", "cannot be loaded (TypeError: Can't instantiate abstract class Task"),
        ("builtins:dict", "is no trm_cli.tasks.base.Task of that name; correct the package"),
        ("trm_cli.tasks.sudoku:Sudoku", "is no trm_cli.tasks.base.Task of that name; correct the package"),
    ],
)
def test_a_task_that_cannot_be_loaded_is_one_line(added: Path, target: str, reason: str) -> None:
    declare(added, "broken", target)
    with pytest.raises(UsageError) as caught:
        get_task("broken")
    assert str(caught.value).startswith(f"task broken: {target} {reason}")
    assert "\n" not in str(caught.value)


def test_a_broken_package_stands_in_the_way_of_no_other_task(added: Path) -> None:
    declare(added, "broken", "missing_module:Task")
    done = trm("data", "sudoku", "--generate", 1, "--size", 4, PYTHONPATH=os.pathsep.join([str(added), str(TOP)]))
    assert done.returncode == 0, done.stderr
    assert [task.name for task in loadable_tasks()] == ["sudoku", "maze", "arc"]
    refused = trm("data", "broken", "--generate", 1, PYTHONPATH=os.pathsep.join([str(added), str(TOP)]))
    assert refused.returncode == 2
    assert refused.stderr.startswith("trm: task broken: missing_module:Task cannot be loaded")
    assert refused.stderr.count("\n") == 1


def test_no_package_replaces_a_task_that_comes_with_trm(added: Path) -> None:
    declare(added, "sudoku", "missing_module:Task")
    assert type(get_task("sudoku")) is Sudoku
    assert task_names().count("sudoku") == 1


class Plain(Sudoku):
    """A task that brings no recipe."""

    name = "plain"


class Bringing(Plain):
    """A task whose recipes are data."""

    recipes = {"deep": {"model": {"n": 9}, "data": {"most_givens": 30}}, "typo": {"model": {"depth": 9}}}  # noqa: RUF012


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Task] = {"plain": Plain(), "bringing": Bringing()}
    monkeypatch.setattr("trm_cli.training.recipes.get_task", known.__getitem__)


@pytest.mark.usefixtures("tasks")
def test_a_task_without_recipes_has_the_general_one() -> None:
    recipe = get_recipe("plain", "fast")
    assert recipe == general_recipe(Plain())
    assert (recipe.model.height, recipe.model.box_width, recipe.model.vocab_size) == (9, 3, 11)
    assert recipe.data == Sudoku().usual(9)
    with pytest.raises(UsageError, match="'tiny' is not a recipe of plain; choose from: fast"):
        get_recipe("plain", "tiny")


@pytest.mark.usefixtures("tasks")
def test_a_recipe_of_a_task_is_the_general_one_but_for_what_it_says() -> None:
    recipe, general = get_recipe("bringing", "deep"), general_recipe(Bringing())
    assert (recipe.name, recipe.model.n, recipe.train) == ("deep", 9, general.train)
    assert recipe.model.hidden_size == general.model.hidden_size
    assert recipe.data is not None
    assert recipe.data.described(9) == "puzzles of 9x9, 24 to 30 givens"
    with pytest.raises(UsageError, match=r"recipe typo of bringing: no model.depth; did you mean model.*\?"):
        get_recipe("bringing", "typo")
