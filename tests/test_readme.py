"""What README and examples promise holds: commands parse, examples end as their names say."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trm_cli.cli.app import app

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?:^|\| |\$ )(trm [^|\n#]+)", README, flags=re.MULTILINE)
ENDINGS = {
    "4x4.txt": 0,
    "6x6.txt": 0,
    "easy.txt": 0,
    "maze-15x15.txt": 0,
    "maze-30x30.txt": 0,
    "maze-7-steps.txt": 0,
    "maze-9x9.txt": 0,
    "maze-no-way.txt": 2,
    "medium.txt": 0,
    "minimal.txt": 0,
    "no-solution.txt": 1,
    "repeated-given.txt": 2,
    "spellings.txt": 0,
}


def test_the_readme_shows_every_command() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"solve", "train", "eval", "data"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_parses(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined] # a group's


@pytest.mark.parametrize("name", sorted(path.name for path in (TOP / "examples").iterdir()))
def test_every_example_ends_as_its_name_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_MODEL", raising=False)
    task = "maze" if name.startswith("maze") else "sudoku"
    done = CliRunner().invoke(app, ["solve", task, str(TOP / "examples" / name)])
    assert done.exit_code == ENDINGS[name]
    if task == "maze":
        return
    answers = [line for line in done.stdout.splitlines() if "#" not in line]
    if name == "spellings.txt":
        assert len(answers) == 4
        assert len(set(answers)) == 1
    elif ENDINGS[name] == 0:
        assert len(answers) == 5


def test_files_that_the_readme_names_exist() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)|(examples/\S+\.txt)", README):
        assert (TOP / (name[0] or name[1])).exists()
