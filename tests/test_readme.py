"""What the documents and the examples promise holds: commands parse, examples end as their names say."""

import re
import shlex
from dataclasses import fields
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import sudokus
from trm_cli.cli.app import app
from trm_cli.config import SolveConfig, override, parse_duration
from trm_cli.errors import TRMError
from trm_cli.tasks import get_task
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes, read_dataset
from trm_cli.training.recipes import get_recipe
from trm_cli.weights.checkpoint import bundled_checkpoints

TOP = Path(__file__).parents[1]
ELSEWHERE = "new-task.md"  # its commands need the package that it builds
DOCUMENTS = {
    path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8")
    for path in (TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md")))
    if path.name != ELSEWHERE
}
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
HELP = {"-h", "--help", "--version"}
REFUSALS: tuple[Any, ...] = (AssertionError, TRMError, ValueError, *typer.BadParameter.__bases__)


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a document that are in one of the languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in languages]


def commands_of(block: str) -> list[str]:
    """Every call of `trm` in a block of shell, variables filled in, without what runs it."""
    variables: dict[str, str] = {}
    commands = []
    for line in block.replace("\\\n", " ").splitlines():
        if assigned := re.fullmatch(r'(\w+)="(.*)"', line):
            variables[assigned[1]] = assigned[2]
            continue
        lexer = shlex.shlex(Template(line).safe_substitute(variables), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;<>"):
                words.append(word)
                continue
            start = next((place for place, w in enumerate(words[:-1]) if Path(w).name in ("trm", "trm_cli")), None)
            if start is not None:
                commands.append(shlex.join(["trm", *words[start + 1 :]]))
            words = []
    return commands


COMMANDS = [
    (name, command) for name, text in DOCUMENTS.items() for b in blocks(text, "sh") for command in commands_of(b)
]
SHOWN = [
    (name, command)
    for name, text in DOCUMENTS.items()
    for block in blocks(text, "console")
    for command in commands_of("\n".join(re.findall(r"^\$ (.*)", block, flags=re.MULTILINE)))
]
FRAGMENTS = [
    (name, " ".join(command.split()))
    for name, text in DOCUMENTS.items()
    for command in re.findall(r"`(trm\s[^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
]


def parse(command: str, *, is_fragment: bool = False) -> None:
    """Read a command as `trm` does before it opens a file; raises one of REFUSALS where it would be refused.

    is_fragment  words may be missing at the end, as in a sentence that names `trm solve`.
    """
    found: Any = typer.main.get_command(app)
    arguments = shlex.split(command)[1:]
    while hasattr(found, "commands"):
        if set(arguments[:1]) & HELP or (is_fragment and not arguments):
            return
        assert arguments, f"{command}: no sub-command"
        assert arguments[0] in found.commands, f"{command}: no sub-command {arguments[0]}"
        found, arguments = found.commands[arguments[0]], arguments[1:]
    try:
        context = found.make_context(found.name, arguments)
    except typer.Exit:  # of --help
        return
    except REFUSALS as refusal:
        if is_fragment and type(refusal).__name__ == "MissingParameter":
            return
        raise
    check_values(context.params)


def check_values(given: dict[str, Any]) -> None:
    """Raise one of REFUSALS where the value of an option is none that the command knows."""
    task = get_task(given["task"]) if given.get("task") else None
    if task is not None and "recipe" in given:
        override(get_recipe(task.name, given["recipe"] or "fast"), given["settings"] or [])
    for name in ("model", "init", "compare"):
        if (model := given.get(name)) and "/" not in model:
            assert model in bundled_checkpoints(), f"no bundled model {model}"
    if "halt" in given:
        SolveConfig(**{f.name: given[f.name] for f in fields(SolveConfig) if given.get(f.name) is not None})
    for name in ("time_limit", "max_time", "seconds"):
        parse_duration(given.get(name))
    for option in task.data_options if task is not None else ():
        value = given.get(option.flag.strip("-").replace("-", "_"))
        for text in value if isinstance(value, list | tuple) else [value] if value else []:
            option.read(str(text))


def test_the_documents_show_every_command() -> None:
    shown = {shlex.split(command)[1] for _, command in COMMANDS}
    assert shown == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group's


@pytest.mark.parametrize(("document", "command"), COMMANDS + SHOWN)
def test_every_command_of_the_documents_parses(document: str, command: str) -> None:
    parse(command)


@pytest.mark.parametrize(("document", "command"), FRAGMENTS)
def test_every_command_in_a_sentence_parses_as_far_as_it_goes(document: str, command: str) -> None:
    parse(command, is_fragment=True)


@pytest.mark.parametrize(
    "command",
    [
        "trm nonsense",
        "trm models",
        "trm models nonsense",
        "trm models list --nonsense",
        "trm models show nonsense",
        "trm solve chess puzzles.txt",
        "trm solve sudoku x.txt --model nonsense",
        "trm solve sudoku x.txt --halt nonsense",
        "trm solve sudoku x.txt --attempts few",
        "trm solve sudoku x.txt --time-limit soon",
        "trm eval sudoku",
        "trm eval sudoku --data x.csv --compare nonsense",
        "trm train sudoku --recipe nonsense",
        "trm train sudoku --set model.nonsense=3",
        "trm train sudoku --set train.batch_size=many",
        "trm train sudoku --init nonsense",
        "trm train sudoku --max-time soon",
        "trm data sudoku --generate 10 --givens some",
        "trm data maze --generate 10 --givens 24-34",
        "trm bench train sudoku --bogus 3",
        "trm bench train sudoku --recipe nonsense",
        "trm bench train sudoku --set model.nonsense=3",
        "trm bench train chess",
    ],
)
def test_a_command_that_trm_would_refuse_does_not_parse(command: str) -> None:
    with pytest.raises(REFUSALS):
        parse(command)


def test_the_calls_in_a_block_are_found() -> None:
    block = (
        'C="--threads 1"\ncat x.txt | trm solve sudoku  # trm as a filter\n'
        "/usr/bin/time -v .venv/bin/trm train maze $C \\\n  --run 'runs/a b' && echo trm > trm.txt\n"
        "torchrun -m -- trm_cli train sudoku\ncd trm\n"
    )
    assert commands_of(block) == ["trm solve sudoku", "trm train maze --threads 1 --run 'runs/a b'", "trm train sudoku"]


@pytest.mark.parametrize("block", blocks(DOCUMENTS["README.md"], "console"))
def test_a_command_whose_output_the_readme_shows_prints_it(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    command, expected = block.split("\n", 1)
    assert CliRunner().invoke(app, shlex.split(command)[2:]).output == expected


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_python_in_the_documents_imports_exists(document: str) -> None:
    for block in blocks(DOCUMENTS[document], "python"):
        compile(block, document, "exec")
        exec("\n".join(re.findall(r"^(?:from|import) .*", block, flags=re.MULTILINE)), {})


def test_python_in_the_documents_takes_the_validation_set_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks(DOCUMENTS["docs/solving.md"], "python")
    monkeypatch.chdir(tmp_path)
    data = sudokus(510, side=4, givens=(5, 8))
    Path("hard_train.csv.gz").write_bytes(dataset_bytes(data, Sudoku(), gzipped=True))
    exec(block, {})
    assert len(read_dataset(Path("validation.csv.gz"), Sudoku())) == 500


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_the_documents_name_exist(document: str) -> None:
    text, folder = DOCUMENTS[document], (TOP / document).parent
    for name in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (folder / name).exists(), name
    for name in re.findall(
        r"\b(?:examples/[\w-]+\.txt|(?:tests|trm_cli)/[\w/]+\.\w+)", text.replace("tests/test_X.py", "")
    ):
        assert (TOP / name).exists(), name
