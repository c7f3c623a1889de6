"""What a shell is told when Tab is pressed: the protocol of each shell, and bash and zsh themselves where they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from trm_cli.cli.app import app
from trm_cli.config import SolveConfig, words_of
from trm_cli.training.recipes import recipe_names
from trm_cli.weights.checkpoint import bundled_checkpoints


def completed(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    environment = {"_TRM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, [], prog_name="trm", env=environment).output.split()


def test_commands_tasks_and_options_are_completed() -> None:
    assert {"solve", "watch", "doctor", "models"} <= set(completed("trm "))
    assert completed("trm models li") == ["list"]
    assert completed("trm solve su") == ["sudoku"]
    assert set(completed("trm train ")) == {"sudoku", "maze", "arc"}
    assert completed("trm solve sudoku --max") == ["--max-steps"]
    assert set(completed("trm models convert x --task ")) == {"sudoku", "maze", "arc"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trm solve sudoku --halt ", words_of(SolveConfig, "halt")),
        ("trm watch maze --select ", words_of(SolveConfig, "select")),
        ("trm eval maze --starts ", words_of(SolveConfig, "starts")),
        ("trm solve sudoku --device ", ("auto", "cpu", "cuda", "mps")),
        ("trm solve sudoku --dtype ", ("auto", "float32", "bfloat16", "int8")),
        ("trm models export sudoku --format ", ("onnx", "trm", "html")),
        ("trm models export sudoku --storage b", ("bfloat16",)),
        ("trm train sudoku --log-to ", ("tensorboard", "wandb")),
    ],
)
def test_the_words_that_an_option_takes_are_completed(line: str, words: tuple[str, ...]) -> None:
    assert completed(line) == list(words)


def test_models_are_completed_of_the_task_and_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--me--my-maze" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert set(bundled_checkpoints()) <= set(completed("trm models show "))
    found = completed("trm solve maze -m ")
    assert {"maze", "me/my-maze", "alphaxiv/maze"} <= set(found)
    assert "sudoku" not in found
    assert completed("trm solve sudoku --model sudoku-m") == ["sudoku-mlp"]
    assert completed("trm train maze --init me") == ["me/my-maze"]


def test_recipes_are_completed_of_the_task() -> None:
    names = completed("trm train maze --recipe ")
    assert sorted(names) == sorted(recipe_names("maze"))
    assert "mlp" not in names
    assert completed("trm bench train sudoku -r ml") == ["mlp", "mlp-large"]


def test_files_are_left_to_the_shell() -> None:
    assert completed("trm solve sudoku exam") == []
    assert completed("trm solve sudoku -o ") == []
    assert completed("trm solve sudoku -m runs/") == []


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """Variables under which a shell finds `trm`."""
    script = tmp_path / "trm"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m trm_cli "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}


def test_bash_completes(on_path: dict[str, str]) -> None:
    script = """
        eval "$(_TRM_COMPLETE=source_bash trm)"
        complete -p trm
        COMP_WORDS=(trm solve maze --halt v); COMP_CWORD=4
        _trm_completion trm
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "-c", script], env=on_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["complete -o default -F _trm_completion trm", "verified"]


def test_zsh_is_told_what_it_asks_for() -> None:
    environment = {"_TRM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "trm solve sudoku --halt "}
    done = CliRunner().invoke(app, [], prog_name="trm", env=environment)
    assert done.output.splitlines() == ['_arguments \'*: :(("verified"', '"q"', '"never"))\'']


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes(on_path: dict[str, str]) -> None:
    script = """
        compdef() { print -r -- compdef "$@" }
        _arguments() { print -r -- "$@" }
        eval "$(_TRM_COMPLETE=source_zsh trm)"
        words=(trm solve maze --halt v); CURRENT=5
        _trm_completion
    """
    done = subprocess.run(["zsh", "-f", "-c", script], env=on_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["compdef _trm_completion trm", '*: :(("verified"))']


def test_completion_needs_no_torch() -> None:
    code = (
        "import os, sys\n"
        "os.environ |= {'_TRM_COMPLETE': 'complete_bash', 'COMP_WORDS': 'trm solve maze -m ', 'COMP_CWORD': '4'}\n"
        "from trm_cli.cli.app import app\n"
        "try: app(prog_name='trm')\n"
        "except SystemExit: print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "maze" in done.stdout.split()
    assert done.stdout.endswith("False\n")
