"""Configs and recipes, and changing their numbers by settings and files."""

import os
from pathlib import Path

import pytest

from trm_cli.config import apply, as_toml, differences, override, read_toml
from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.training.recipes import RECIPES, Recipe, get_recipe


def changed(*settings: str) -> Recipe:
    return override(get_recipe("sudoku", "fast"), list(settings))


def test_a_recipe_is_overridden_by_name_and_type() -> None:
    recipe = changed("model.n=2", "train.compile=TRUE", "train.muon_lr=1e-3", "data.puzzles=7")
    assert recipe.model.n == 2
    assert recipe.train.compile is True
    assert recipe.train.muon_lr == 1e-3
    assert recipe.wanted.puzzles == 7
    assert changed() == get_recipe("sudoku", "fast")


def test_settings_that_only_fit_together_are_taken_together() -> None:
    recipe = changed("model.height=4", "model.width=4", "model.box_height=2", "model.box_width=2")
    assert recipe.model.num_cells == 16


WRONG = [
    ("train.batchsize=3", "did you mean train.batch_size"),
    ("modle.n=3", "write model.NAME=VALUE"),
    ("train.batch_size", "write model.NAME=VALUE"),
    ("train.batch_size=many", "expected a whole number, got 'many'"),
    ("train.compile=maybe", "expected true or false"),
    ("train.batch_size=0", "train.batch_size: expected 1 to"),
    ("train.validation=0", "train.validation: expected 1 to"),
    ("train.warmup_steps=-5", "train.warmup_steps: expected 0 to"),
    ("train.muon_lr=nan", "train.muon_lr: expected 0 or more, got nan"),
    ("train.adamw_lr=inf", "train.adamw_lr: expected 0 or more, got inf"),
    ("train.clip=-1", "train.clip: expected 0 or more"),
    ("train.ema_decay=2", "train.ema_decay: expected 0 to 1"),
    ("train.precision=float16", "train.precision: expected one of auto, float32, bfloat16"),
    ("data.puzzles=0", "data.puzzles: expected 1 to"),
    ("model.mixer=magic", "expected one of mlp, attention"),
    ("train.cuda_graphs=true", "train.cuda_graphs: needs train.compile"),
    ("model.num_puzzles=1", "model.num_puzzles: needs model.num_prefix"),
]


@pytest.mark.parametrize(("setting", "message"), WRONG)
def test_a_wrong_override_says_what_is_right(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changed(setting)


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="choose from: fast, hrm, hrm-tiny, large, mlp, mlp-large, paper, sizes, tiny"):
        get_recipe("sudoku", "huge")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_what_is_printed_as_toml_reads_back_as_the_same_recipe(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(as_toml(recipe, title="a recipe"))
    other = get_recipe(recipe.task, "paper" if recipe.name == "tiny" else "tiny")
    read = read_toml(other, path)
    assert (read.model, read.train, read.data) == (recipe.model, recipe.train, recipe.data)


FILES = {
    "[train]\nbatch_size = 64.5\n": r"train\.batch_size: expected a whole number, got 64\.5",
    "[train]\nbatch_size = true\n": r"train\.batch_size: expected a whole number, got True",
    '[train]\nmuon_lr = "fast"\n': r"train\.muon_lr: expected a number, got 'fast'",
    "[train]\nbatchsize = 64\n": r"no train\.batchsize; did you mean train\.batch_size\?",
    "[trian]\nbatch_size = 64\n": r"trian is no section; choose \[model\], \[train\], \[data\]",
    "batch_size = 64\n": r"batch_size is no section",
    "[train\n": "not TOML",
    f"[train]\nclip = {'9' * 400}\n": "a number is too large",
    "a = " + "[" * 3000: "not TOML",
    "a = " + "9" * 5000: "not TOML .a number of too many digits",
    "[model]\nn = 0\n": r"model\.n: expected 1 to",
}


@pytest.mark.parametrize(("text", "message"), FILES.items())
def test_a_wrong_config_file_is_named_with_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"^{path}: .*{message}"):
        read_toml(get_recipe("sudoku", "fast"), path)


def test_a_config_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_toml(get_recipe("sudoku", "fast"), tmp_path / "none.toml")
    (tmp_path / "zip.toml").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text at byte 1"):
        read_toml(get_recipe("sudoku", "fast"), tmp_path / "zip.toml")


def test_an_integer_stands_for_a_float() -> None:
    recipe = apply(get_recipe("sudoku", "fast"), {"train": {"clip": 2}}, "here")
    assert isinstance(recipe.train.clip, float)


def test_differences_are_named_with_both_values() -> None:
    assert differences(changed(), changed("train.batch_size=32", "model.n=4")) == [
        "model.n is 3, not 4",
        "train.batch_size is 64, not 32",
    ]


def test_the_paper_s_recipe_has_the_paper_s_network_and_numbers() -> None:
    recipe = get_recipe("sudoku", "paper")
    network = TinyRecursiveModel(recipe.model)
    learned = sum(p.numel() for p in network.parameters())
    official, second_halt_logit, puzzle_row = 5_028_866, 512 + 1, 512  # there it is a buffer
    assert learned == official - second_halt_logit + puzzle_row
    assert (recipe.model.T, recipe.model.n, recipe.model.N_sup) == (3, 6, 16)
    train = recipe.train
    assert (train.optimizer, train.loss, train.schedule) == ("adam_atan2", "stablemax", "constant")
    assert (train.batch_size, train.adamw_lr, train.warmup_steps) == (768, 1e-4, 2000)
    assert (train.ema_decay, train.exploration, train.halt_weight) == (0.999, 0.1, 0.5)


def test_a_pipe_is_no_config_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # that nobody writes to
    with pytest.raises(UsageError, match="pipe: a device or a pipe, not a file; give a TOML file"):
        read_toml(get_recipe("sudoku", "fast"), tmp_path / "pipe")
