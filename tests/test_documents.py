"""What the documents promise holds: commands parse, files exist, what is shown is printed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.arc_tasks import made_tasks
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
ELSEWHERE = "new-task.md"  # its commands need the package that it builds: tests/test_elsewhere.py
FOLLOWED = {"docs/checkpoints.md"}  # with a Hub of our own: tests/test_models.py
TAKES = {"hours": r"\b(hour|hours|day|days)\b", "GPU": r"\bGPU", "Hub": r"\bthe Hub\b", "minutes": r"\bminutes?\b"}
DOCUMENTS = {
    path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8")
    for path in (TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md")))
    if path.name != ELSEWHERE
}
MOST_WORDS = 900  # of the README; the rest stands in docs/
HELP = {"-h", "--help", "--version", "--install-completion"}
REFUSALS: tuple[Any, ...] = (AssertionError, TRMError, ValueError, *typer.BadParameter.__bases__)


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a document that are in one of the languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in languages]


@dataclass(frozen=True)
class Call:
    """A call of `trm` in a document, without what runs it."""

    words: tuple[str, ...]
    takes: str = ""  # what a test run does not have, by the comment beside or above it
    reads: str = ""  # the file on its stdin
    writes: str = ""  # the file that its stdout goes to

    @property
    def command(self) -> str:
        return shlex.join(["trm", *self.words])


def taken(comment: str) -> str:
    """What a comment says that a command takes: hours, a GPU, the Hub, minutes, or nothing of that kind."""
    return next((word for word, said in TAKES.items() if re.search(said, comment)), "")


def calls_of(block: str) -> list[Call]:
    """Every call of `trm` in a block of shell, variables filled in. A line of comment holds for all below it."""
    variables: dict[str, str] = {}
    calls: list[Call] = []
    above = ""
    for line in block.replace("\\\n", " ").splitlines():
        comment = re.search(r"(?:^|\s)# (.*)", line)
        if comment and not line[: comment.start()].strip():
            above = taken(comment[1])
            continue
        if assigned := re.fullmatch(r'(\w+)="(.*)"', line):
            variables[assigned[1]] = assigned[2]
            continue
        takes = above or taken(comment[1] if comment else "")
        lexer = shlex.shlex(Template(line).safe_substitute(variables), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        reads = ""
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;<>"):
                words.append(word)
                continue
            start = next((place for place, w in enumerate(words[:-1]) if Path(w).name in ("trm", "trm_cli")), None)
            if start is not None:
                calls.append(Call(tuple(words[start + 1 :]), takes, reads))
            elif calls and line.count(">") and words:
                calls[-1] = replace(calls[-1], writes=words[0])
            reads = words[1] if words[:1] == ["cat"] else ""
            words = []
    return calls


CALLS = [(name, call) for name, text in DOCUMENTS.items() for block in blocks(text, "sh") for call in calls_of(block)]
COMMANDS = [(name, call.command) for name, call in CALLS]
SHOWN = [
    (name, call.command)
    for name, text in DOCUMENTS.items()
    for block in blocks(text, "console")
    for call in calls_of("\n".join(re.findall(r"^\$ (.*)", block, flags=re.MULTILINE)))
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
    named = given.get("task") or next((word for word in (given.get("words") or [])[:1] if word.isalpha()), None)
    task = get_task(named) if named else None
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


def test_the_readme_is_short() -> None:
    assert len(DOCUMENTS["README.md"].split()) <= MOST_WORDS


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
    commands = [call.command for call in calls_of(block)]
    assert commands == ["trm solve sudoku", "trm train maze --threads 1 --run 'runs/a b'", "trm train sudoku"]


def test_what_a_call_takes_reads_and_writes_is_found() -> None:
    block = "cat x | trm solve sudoku\ntrm eval maze  # minutes\ntrm data maze > y\n# hours\ntrm train maze\n"
    assert calls_of(block) == [
        Call(("solve", "sudoku"), reads="x"),
        Call(("eval", "maze"), takes="minutes"),
        Call(("data", "maze"), writes="y"),
        Call(("train", "maze"), takes="hours"),
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, and with what the documents call your own data."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "examples").symlink_to(TOP / "examples")
    (folder / "docs").mkdir()
    for name, data in (
        ("puzzles.csv.gz", sudokus(16, side=9, givens=(34, 50))),
        ("hard_train.csv.gz", sudokus(510, side=4, givens=(5, 8))),
    ):
        (folder / name).write_bytes(dataset_bytes(data, Sudoku(), gzipped=True))
    tasks = made_tasks(3, seed=1, largest=4)
    (folder / "training.json").write_text(json.dumps({"one": tasks["task0"]}))
    (folder / "evaluation.json").write_text(json.dumps({"two": tasks["task1"]}))
    (folder / "task.json").write_text(json.dumps(tasks["task0"]))
    (folder / "new.json").write_text(json.dumps(tasks["task2"]))
    return folder


def follow(document: str, *, in_full: bool) -> None:
    """Do what a document says, from its beginning to its end, in the current folder.

    in_full  training takes all its steps, and what takes minutes is done; else training takes a few.
    """
    steps = 0
    variables: dict[str, Any] = {}
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENTS[document], flags=re.MULTILINE | re.DOTALL):
        if language == "console":
            command, expected = block.split("\n", 1)
            assert CliRunner().invoke(app, shlex.split(command)[2:]).output == expected
        elif language == "python":
            exec("\n".join(line for line in block.splitlines() if not re.search("#.*the Hub", line)), variables)
        for call in calls_of(block) if language == "sh" else ():
            words = list(call.words)
            if not in_full and words[0] == "train" and "--print-config" not in words and call.takes in ("", "minutes"):
                steps += 2
                words += ["--max-steps", str(steps)]
                words += [] if "--resume" in words else ["--set", "train.validation=8"]
                words += [] if {"--resume", "--data", "-d"} & set(words) else ["--set", "data.puzzles=40"]
            elif call.takes and (call.takes != "minutes" or not in_full):
                continue
            if call.reads:  # a pipe, which only a process has
                run = [sys.executable, "-m", "trm_cli", *words]
                with Path(call.reads).open() as stdin:
                    subprocess.run(run, stdin=stdin, env=os.environ | {"PYTHONPATH": str(TOP)}, check=True)
                continue
            done = CliRunner().invoke(app, words)
            if call.writes:
                Path(call.writes).write_text(done.stdout)
            is_untrained = any(word.startswith("runs/") for word in words)
            assert done.exit_code in ((0, 1) if is_untrained else (0,)), f"{call.command}: {done.output}"


def follow_in(folder: Path, prepared: Path, document: str, monkeypatch: pytest.MonkeyPatch, *, in_full: bool) -> None:
    """Follow a document in a copy of the prepared folder."""
    shutil.copytree(prepared, folder, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TRM_MODEL", raising=False)
    follow(document, in_full=in_full)


PAGES = sorted(set(DOCUMENTS) - FOLLOWED)


@pytest.mark.parametrize("document", PAGES)
def test_a_document_can_be_followed(
    document: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_in(tmp_path, prepared, document, monkeypatch, in_full=False)


@pytest.mark.slow
@pytest.mark.parametrize("document", sorted({name for name, call in CALLS if call.takes == "minutes"}))
def test_what_takes_minutes_in_a_document_can_be_followed(
    document: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_in(tmp_path, prepared, document, monkeypatch, in_full=True)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_python_in_the_documents_imports_exists(document: str) -> None:
    for block in blocks(DOCUMENTS[document], "python"):
        compile(block, document, "exec")
        exec("\n".join(re.findall(r"^(?:from|import) .*", block, flags=re.MULTILINE)), {})


def test_python_in_the_documents_takes_the_validation_set_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks(DOCUMENTS["docs/attempts.md"], "python")
    monkeypatch.chdir(tmp_path)
    data = sudokus(510, side=4, givens=(5, 8))
    Path("hard_train.csv.gz").write_bytes(dataset_bytes(data, Sudoku(), gzipped=True))
    exec(block, {})
    assert len(read_dataset(Path("validation.csv.gz"), Sudoku())) == 500


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_the_documents_name_exist(document: str) -> None:
    text, folder = DOCUMENTS[document], (TOP / document).parent
    for name in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (folder / name).exists(), name
    for name in re.findall(
        r"\b(?:examples/[\w-]+\.txt|(?:tests|trm_cli)/[\w/]+\.\w+)", text.replace("tests/test_X.py", "")
    ):
        assert (TOP / name).exists(), name
