"""Help as it is read: whole sentences, options in groups, real defaults; and one line where words are wrong."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from trm_cli.cli.app import app
from trm_cli.cli.commands import known_variables
from trm_cli.cli.help import GENERAL, GROUPS, WIDEST
from trm_cli.weights.checkpoint import bundled_checkpoints, read_config

ROOT: Any = typer.main.get_command(app)
EXAMPLE = Path(__file__).parents[1] / "examples" / "4x4.txt"
LONGEST_SENTENCE = 68  # beside the name of a command at 80 columns
LONGEST_HELP = 110  # characters: two lines beside the longest names at 80 columns


def trm(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, arguments, prog_name="trm", env={"COLUMNS": "80", **environment})


def commands_of(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*names, name), command
        if hasattr(command, "commands"):
            yield from commands_of(command, *names, name)


COMMANDS = dict(commands_of(ROOT))


def test_the_first_page_shows_every_command_in_whole_sentences_three_examples_and_where_to_go_next() -> None:
    page = trm("-h").output
    assert "..." not in page
    for name, command in ROOT.commands.items():
        sentence = " ".join(command.help.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        assert sentence in " ".join(page.split())
        assert f"\n  {name} " in page
    examples = page.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in examples] == ["trm"] * 3
    assert "Where to go next:\n" in page


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("names", [(), *COMMANDS], ids=" ".join)
def test_help_fits_its_columns(names: tuple[str, ...], columns: int) -> None:
    done = trm(*names, "-h", COLUMNS=str(columns))
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= min(columns, WIDEST) + 2
    assert "<" not in done.output  # <int range>


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_option_has_a_metavar_a_group_and_one_or_two_lines(names: tuple[str, ...]) -> None:
    for param in COMMANDS[names].params:
        assert param.metavar or getattr(param, "is_flag", False), param.name
        assert 0 < len(param.help) <= LONGEST_HELP or param.param_type_name == "argument", param.name
        assert getattr(param, "rich_help_panel", None) in (None, *GROUPS)


def test_options_stand_in_groups_and_each_once() -> None:
    page = trm("solve", "-h").output
    headings = [line[:-1] for line in page.splitlines() if line.endswith(":") and not line.startswith(" ")]
    groups = [heading for heading in headings if heading in (*GROUPS, GENERAL)]
    assert groups == [group for group in (*GROUPS, GENERAL) if group in groups]
    assert {"Input and output", "Model", "Search", "Hardware", "General"} <= set(groups)
    for param in COMMANDS["solve",].params:
        if param.param_type_name == "option":
            assert sum(f" {param.opts[0]}" in line[:29] for line in page.splitlines()) == 1, param.name


def test_defaults_are_those_of_the_bundled_models() -> None:
    page = " ".join(trm("solve", "-h").output.split())
    for name, folder in bundled_checkpoints().items():
        if attempts := read_config(folder).solving.get("attempts"):
            default = page.partition("--attempts N")[2].partition("]")[0]
            shown = default.partition(f"{attempts} (")[2].partition(")")[0]
            assert name in shown.split(", ")
    assert "the model's own" not in page


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_the_first_sentence_of_a_command_fits_on_a_line(names: tuple[str, ...]) -> None:
    assert 0 < len(COMMANDS[names].get_short_help_str()) <= LONGEST_SENTENCE


def test_help_of_a_command_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from trm_cli.cli.app import app; app(['solve', '-h'], standalone_mode=False); "
        "print(sys.modules.keys() & {'torch', 'numpy', 'matplotlib', 'huggingface_hub', 'rich'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_no_words_and_the_word_help_show_help() -> None:
    for words in ((), ("help",)):
        assert (trm(*words).exit_code, trm(*words).output) == (0, trm("-h").output)
    assert trm("models").output == trm("models", "-h").output
    assert trm("help", "models", "list").output == trm("models", "list", "-h").output
    assert trm("help", "slove").exit_code == 2


WRONG_WORDS = {
    "sovle": "'sovle' is not a command of trm; did you mean solve?",
    "models lst": "'lst' is not a command of trm models; did you mean list?",
    "bench x": "'x' is not a command of trm bench; choose from: train, solve, watch, start",
    "eval --atempts=3": "no such option: --atempts; did you mean --attempts? See `trm eval -h`",
    "eval --xyzzy": "no such option: --xyzzy; see `trm eval -h`",
    "eval": "missing argument TASK; see `trm eval -h`",
    "train sudko": (
        "'sudko' is not a task; choose from: arc, maze, sudoku, or install the package that adds it; "
        "did you mean sudoku?"
    ),
    "bench train maze -r tniy": (
        "'tniy' is not a recipe of maze; choose from: attention, fast, hrm, hrm-tiny, large, paper, tiny; "
        "did you mean tiny?"
    ),
    "models show sudoku-mpl": (
        "no model 'sudoku-mpl': neither a folder nor one of the bundled maze, sudoku, sudoku-4x4, sudoku-6x6, "
        "sudoku-large-boards, sudoku-mlp, sudoku-small, nor a file, nor OWNER/NAME on the Hub; did you mean sudoku-mlp?"
    ),
    "eval maze --data x.csv -q -v": "--quiet and --verbose exclude each other; drop one",
}


@pytest.mark.parametrize(("words", "line"), WRONG_WORDS.items())
def test_a_wrong_word_is_one_line_with_what_was_meant(words: str, line: str) -> None:
    done = trm(*words.split())
    assert (done.exit_code, done.stdout, done.stderr) == (3 if "show" in words else 2, "", f"trm: {line}\n")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--max-steps", "0", "1 or more"),
        ("--max-steps", "1e3", "a whole number"),
        ("--threads", "9999", "4,096 or less"),
        ("--noise", "much", "a number"),
    ],
)
def test_a_value_that_is_none_is_one_line(flag: str, value: str, expected: str) -> None:
    done = trm("solve", "sudoku", flag, value)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f'trm: {flag}: expected {expected}, got "{value}"; see `trm solve -h`\n'


def test_a_variable_stands_for_an_option_and_what_is_typed_counts_more() -> None:
    printed = ["train", "sudoku", "--print-config"]
    assert "\nsteps = 9\n" in trm(*printed, TRM_TRAIN_SET="train.steps=9").output
    assert "\nsteps = 7\n" in trm(*printed, "--set=train.steps=7", TRM_TRAIN_SET="train.steps=9").output
    tiny = trm("train", "sudoku", TRM_TRAIN_PRINT_CONFIG="1", TRM_TRAIN_RECIPE="tiny").output
    assert tiny == trm("train", "sudoku", "--print-config", "--recipe", "tiny").output


def test_a_variable_of_one_command_counts_more_than_one_of_all() -> None:
    done = trm("solve", "sudoku", str(EXAMPLE), TRM_SOLVE_DEVICE="one", TRM_DEVICE="two")
    assert done.stderr == "trm: --device one: choose auto, cpu, cuda or mps (from the variable TRM_SOLVE_DEVICE)\n"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TRM_THREADS", "many", "--threads many (from the variable TRM_THREADS): "),
        ("TRM_SOLVE_THREADS", "0", "--threads 0 (from the variable TRM_SOLVE_THREADS): "),
        ("TRM_SOLVE_HALT", "soon", "(from the variable TRM_SOLVE_HALT)"),
        ("TRM_MODEL", "nowhere", "(from the variable TRM_MODEL)"),
        ("TRM_DEVICE", "tpu", "(from the variable TRM_DEVICE)"),
    ],
)
def test_an_error_about_a_value_from_a_variable_names_that(variable: str, value: str, says: str) -> None:
    done = trm("solve", "sudoku", str(EXAMPLE), **{variable: value})
    assert done.exit_code == (3 if variable == "TRM_MODEL" else 2)
    assert says in done.stderr


def test_an_error_about_what_was_typed_names_no_variable() -> None:
    done = trm("solve", "sudoku", str(EXAMPLE), "--halt", "soon", TRM_MODEL="nowhere", TRM_SOLVE_HALT="never")
    assert done.stderr == "trm: --halt: expected one of verified, q, never, got 'soon'\n"


def test_a_number_from_a_variable_is_not_blamed_for_every_number_in_a_message() -> None:
    done = trm("solve", "sudoku", "11" + "." * 79, TRM_SOLVE_SEED="1")
    assert done.stderr == "trm: puzzle:1:2: row 1 has the given 1 twice, first at 1:1; correct one of them\n"


def test_variables_are_named_after_commands_and_options() -> None:
    known = known_variables(ROOT)
    assert {"TRM_MODEL", "TRM_DEVICE", "TRM_SOLVE_MODEL", "TRM_SOLVE_MAX_STEPS", "TRM_BENCH_TRAIN_RECIPE"} <= known
    assert "TRM_RECIPE" not in known
    assert "TRM_SOLVE_TASK" not in known
