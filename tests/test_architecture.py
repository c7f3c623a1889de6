"""The floors of the package: a module imports only from floors below its own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "trm_cli"
FLOORS = {
    "errors": -0.5,
    "files": 0,
    "schema": 0,
    "config": 0.5,
    "tasks": 1,
    "model": 2,
    "weights": 3,
    "solving": 4,
    "training": 5,
    "display": 6,
    "api": 6.5,
    "cli": 7,
    "__version__": -1,
    "__main__": 8,
    "__init__": -1,
}


def floor(module: str) -> float:
    """The floor of `trm_cli.X...`; the bare package is below everything."""
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 else FLOORS["__init__"]


def imports(path: Path) -> list[str]:
    """Modules of our own that a file imports, wherever in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = node.module == "trm_cli"
            names += [f"trm_cli.{a.name}" for a in node.names] if inside else [node.module or ""]
    return [name for name in names if name.split(".")[0] == "trm_cli"]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    own = ".".join(part for part in parts if part != "__init__")
    if own == "trm_cli":  # offers TRM, which it imports when asked; the next test sees to that
        return
    for name in imports(path):
        same_folder = name.split(".")[:2] == own.split(".")[:2]
        assert same_folder or floor(name) < floor(own), f"{own} imports {name}, which is above it"


@pytest.mark.parametrize(
    "code",
    [
        "import trm_cli.tasks, trm_cli.tasks.tables, trm_cli.config, trm_cli.cli.app",
        "from trm_cli.cli.app import app; app(['train', 'sudoku', '--print-config'], standalone_mode=False)",
    ],
    ids=["the two lowest floors and the help", "printing a recipe"],
)
def test_torch_is_not_imported_for(code: str) -> None:
    code = f"import sys; {code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_the_help_needs_no_numpy() -> None:
    code = "import sys, trm_cli.cli.app; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


PUZZLES = {"sudoku", "sudokus", "maze", "mazes", "arc"}
MAY_NAME_PUZZLES = ("tasks/", "training/recipes.py", "training/problems.py")


def words_of(path: Path) -> set[str]:
    """The words in a module's identifiers, imports and string constants, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    texts: list[str] = []
    for node in ast.walk(tree):
        if id(node) not in docstrings:
            values = [value for _, value in ast.iter_fields(node)]
            texts += [value for value in values if isinstance(value, str)]
            texts += [name for value in values if isinstance(value, list) for name in value if isinstance(name, str)]
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", " ".join(texts))  # readSudoku, read_sudoku
    return {word.lower() for word in re.findall(r"[A-Za-z]+", apart)}


def test_only_tasks_and_their_recipes_name_a_puzzle() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): words_of(path) & PUZZLES for path in PACKAGE.rglob("*.py")}
    assert not {name: words for name, words in found.items() if words and not name.startswith(MAY_NAME_PUZZLES)}
