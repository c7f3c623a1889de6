"""Resuming through the command line: after SIGKILL, signals, full disks and damage."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from trm_cli.cli.app import app
from trm_cli.errors import TrainingError
from trm_cli.files import locked
from trm_cli.schema import parse_json
from trm_cli.tasks.base import Dataset
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.training.run import Options, find_state, open_run

STEPS = 60
SETTINGS = {
    "model.height": 4,
    "model.width": 4,
    "model.box_height": 2,
    "model.box_width": 2,
    "model.vocab_size": 6,
    "model.N_sup": 4,
    "train.batch_size": 8,
    "train.steps": STEPS,
    "train.validation": 10,
    "train.report_every": 1,
    "train.evaluate_every": 20,
    "train.save_minutes": 0,
}


@pytest.fixture(scope="module")
def data_file(small_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "small.csv"
    path.write_bytes(dataset_bytes(small_data, Sudoku(), gzipped=False))
    return path


def train_words(data: Path, folder: Path) -> list[str]:
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return ["train", "sudoku", "-r", "tiny", *settings, "-d", str(data), "--run", str(folder)]


def start(words: list[str], limit_file_size: int | None = None) -> subprocess.Popen[str]:
    """Start `trm` with the given words."""

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_size, limit_file_size))  # type: ignore[arg-type] # set where it is called

    return subprocess.Popen(
        [sys.executable, "-m", "trm_cli", *words],
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=limit if limit_file_size else None,
    )


def wait_for_step(folder: Path, step: int) -> None:
    """Wait until a state of at least that step lies in the run's folder."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        names = [path.name for path in folder.glob("state/step-*")]
        if any(int(name.removeprefix("step-")) >= step for name in names):
            return
        time.sleep(0.01)
    raise AssertionError("the run did not come so far")


def losses(folder: Path) -> list[tuple[Any, ...]]:
    """Every report's and evaluation's figures, but for what the clock decides."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        (e["step"], e["loss"], e["gradient_norm"], e["halting_histogram"])
        if e["kind"] == "report"
        else (e["step"], e["scores"])
        for e in entries
    ]


@pytest.fixture(scope="module")
def whole(data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = CliRunner().invoke(app, [*train_words(data_file, folder), "--quiet"])
    assert done.exit_code == 0, done.output
    return folder


def test_runs_killed_at_random_moments_give_the_losses_of_one_that_was_not(
    data_file: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 # shown if the test fails
    rng = random.Random(seed)
    process = start(train_words(data_file, folder))
    for least in (1, 20, 40):
        wait_for_step(folder, least + rng.randrange(8))
        time.sleep(rng.random() * 0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        process = start(["train", "sudoku", "--resume", str(folder)])
    _, remarks = process.communicate()
    assert process.returncode == 0, remarks
    assert losses(folder) == losses(whole)
    for kind in ("checkpoint", "checkpoint-raw"):
        weights = [run / kind / "model.safetensors" for run in (folder, whole)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    assert [path.name for path in (folder / "state").iterdir()] == [f"step-{STEPS:08}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_prints_the_line_to_resume(
    number: signal.Signals, data_file: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(train_words(data_file, folder))
    wait_for_step(folder, 3)
    process.send_signal(number)
    answers, remarks = process.communicate()
    assert process.returncode == 130, remarks
    assert answers == ""
    line = f"trm train sudoku --resume {folder}"
    assert line in remarks
    assert (folder / "checkpoint" / "model.safetensors").is_file()
    done = CliRunner().invoke(app, [*line.split()[1:], "--quiet"])
    assert done.exit_code == 0, done.output
    assert losses(folder) == losses(whole)


def test_a_full_disk_ends_the_run_in_one_line_and_leaves_the_last_state(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(5, data_file, folder)
    state = folder / "state" / "step-00000005"
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    process = start(["train", "sudoku", "--resume", str(folder)], limit_file_size=20_000)
    _, remarks = process.communicate()
    last = remarks.splitlines()[-1]
    assert process.returncode == 3, remarks
    assert last.startswith(f"trm: {folder}/")
    assert last.endswith("see to it, then resume: what was saved before is intact")
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before
    assert [path.name for path in state.parent.iterdir()] == [state.name]
    again = CliRunner().invoke(app, ["train", "sudoku", "--resume", str(folder), "-q"])
    assert again.exit_code == 0, again.output


@pytest.fixture(scope="module")
def begun(data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that stands at step 2."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    run_to(2, data_file, folder)
    return folder


def run_to(step: int, data: Path, folder: Path) -> None:
    """Train a new run to a step."""
    words = [*train_words(data, folder), "-q", "--max-steps", str(step)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


def refused(words: list[str], exit_code: int = 2) -> str:
    done = CliRunner().invoke(app, ["train", "sudoku", *words])
    assert done.exit_code == exit_code, done.output
    return done.stderr.strip().splitlines()[-1]


def test_what_contradicts_a_run_that_is_resumed_is_refused(whole: Path, tmp_path: Path) -> None:
    resume = ["--resume", str(whole)]
    begun = f"trm: {whole}: was begun with"
    fewer = tmp_path / "fewer.csv"
    data = Path(json.loads((whole / "config.json").read_text())["plan"]["sources"][0])
    fewer.write_text("".join(data.read_text().splitlines(keepends=True)[:-1]))
    assert refused([*resume, "--set", "model.n=5"]) == (
        f"{begun} other numbers: model.n is 3, not 5; a resumed run keeps its own"
    )
    assert refused([*resume, "-r", "fast"]) == f"{begun} --recipe tiny; leave the option out"
    assert refused([*resume, "--seed", "7"]) == f"{begun} --seed 0; leave the option out"
    assert f"{whole}: was trained on other puzzles" in refused([*resume, "-d", str(fewer)])
    assert "leave --run out" in refused([*resume, "--run", str(tmp_path / "b")])
    assert refused([*resume, "--init", "sudoku"]).startswith("trm: --init: a run that is resumed")
    assert refused(resume) == f"trm: {whole}: has had its 60 steps; there is nothing to resume"
    none = refused(["--resume", str(tmp_path)])
    assert none == (f"trm: {tmp_path}: no saved state in it; give the folder of a run, or leave out --resume")
    assert "no such folder" in refused(["--resume", str(tmp_path / "none")])


def test_a_damaged_state_is_named_and_the_run_is_left_as_it_was(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(2, data_file, folder)
    log = (folder / "log.jsonl").read_bytes()
    path = folder / "state" / "step-00000002" / "shared.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert refused(["--resume", str(folder)], 3).startswith(f"trm: {path}: damaged: ")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert refused(["--resume", str(folder)], 3) == (
        f"trm: {path}: damaged: its SHA-256 is not the one in state.json; give another state to --resume"
    )
    (path.parent / "state.json").write_text("{")
    assert refused(["--resume", str(folder)], 3).startswith(f"trm: {path.parent / 'state.json'}: damaged: not JSON (")
    assert (folder / "log.jsonl").read_bytes() == log
    assert not (folder / ".lock").exists()


RECIPE = ("recipe", "model", "n")
CONFIGS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "a list": ((), [], "no config of a run: expected an object, got []"),
    "nested": ((), json.loads("[" * 70 + "]" * 70), "no config of a run: expected an object"),
    "unknown task": (("recipe", "task"), "chess", "'chess' is not a task"),
    "unknown recipe": (("recipe", "name"), "x" * 5_000, "'xxxxx"),
    "no section": (("recipe", "model"), [], "recipe.model: expected an object, got []"),
    "a text for a number": (RECIPE, "3", "model.n: expected a whole number, got '3'"),
    "a huge number": (RECIPE, 10**30, "model.n: expected 1 to"),
    "half a character": (("plan", "sources"), ["\ud800"], "plan.sources[0]: holds half a character"),
    "a negative seed": (("plan", "seed"), -1, "plan.seed: expected a whole number from 0 up, got -1"),
    "no sources": (("plan", "sources"), "x.csv", 'plan.sources: expected a list, got "x.csv"'),
    "other facts": (("training", "puzzles"), None, "training.puzzles: expected a whole number"),
    "no data": (("training", "data"), {"a": 1}, "training.data: expected a list"),
}


@pytest.mark.parametrize(("place", "value", "message"), CONFIGS.values(), ids=CONFIGS.keys())
def test_a_config_that_cannot_be_is_refused_in_one_line(
    place: tuple[str, ...], value: Any, message: str, begun: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(begun, tmp_path / "run"))
    state, path = folder / "state" / "step-00000002" / "state.json", folder / "config.json"
    known = json.loads(state.read_text())
    state.write_text(json.dumps({n: known[n] for n in known.keys() - {"sha256", "config_sha256", "checksum"}}))
    config = json.loads(path.read_text())
    inner = config
    for name in place[:-1]:
        inner = inner[name]
    if place:
        inner[place[-1]] = value
    path.write_text(json.dumps(config if place else value))
    line = refused(["--resume", str(folder)], 3)
    assert line.startswith(f"trm: {path}: ")
    assert message in line
    assert len(line) < 600


def test_a_config_that_was_changed_since_a_state_was_saved_is_refused(begun: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(begun, tmp_path / "run"))
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"n": 3', '"n": 2'))
    assert refused(["--resume", str(folder)], 3) == (
        f"trm: {path}: no config of a run: its SHA-256 is not the one in state.json; give another folder"
    )


@pytest.mark.parametrize("what", ["pipe", "folder", "zeros", "huge"])
def test_files_of_a_run_that_are_none_are_refused(what: str, begun: Path, tmp_path: Path) -> None:
    for name in (
        "config.json",
        "log.jsonl",
        "state/step-00000002/state.json",
        "state/step-00000002/worker-0.safetensors",
    ):
        folder = tmp_path / name.replace("/", "-")
        path = shutil.copytree(begun, folder) / name
        path.unlink()
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "zeros":
            path.symlink_to("/dev/zero")
        else:
            path.touch()
            os.truncate(path, 1 << 40)
        assert f"{path}: " in refused(["--resume", str(folder)], 3)


def test_where_there_is_no_run_there_is_nothing_to_resume(begun: Path, tmp_path: Path) -> None:
    ends = "give the folder of a run, or leave out --resume"
    assert refused(["--resume", "/dev/zero"]) == f"trm: /dev/zero: a file; {ends}"
    assert refused(["--resume", str(begun / "config.json")]) == f"trm: {begun / 'config.json'}: a file; {ends}"
    assert refused(["--resume", str(begun / "state")]) == f"trm: {begun / 'state'}: no saved state in it; {ends}"
    assert "cannot be read (File name too long)" in refused(["--resume", "x" * 300])
    assert "cannot be made (File name too long)" in refused(["-r", "tiny", "--run", "x" * 300])
    assert refused(["-r", "tiny", "--run", "-"]) == "trm: --run -: a run is a folder, not a stream; give its name"
    ends = ": a name that is not UTF-8, which cards and logs are; rename it"
    for words in (["--run", "a\udcff"], ["-d", "a\udcff.csv"]):
        assert refused(["-r", "tiny", *words]).endswith(ends)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_going_on_is_not_begun_or_resumed_again(begun: Path, data_file: Path, tmp_path: Path) -> None:
    folder, new = Path(shutil.copytree(begun, tmp_path / "run")), tmp_path / "new"
    new.mkdir()
    for busy in (folder, new):
        with locked(busy / ".lock"):
            words = ["--resume", str(folder)] if busy == folder else train_words(data_file, new)[2:]
            line = f"trm: {busy}: is being trained by process {os.getpid()}; wait for it, or stop it"
            assert refused(words, 3) == line
    assert refused(train_words(data_file, folder)[2:]).startswith(f"trm: {folder}: exists already; ")
    assert list(new.iterdir()) == []
    done = CliRunner().invoke(app, ["train", "sudoku", "--resume", str(folder), "-q", "--max-steps", "3"])
    assert done.exit_code == 0, done.output


def test_two_runs_at_the_same_moment_get_folders_of_their_own(
    data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = Options("sudoku", recipe="tiny", data=[str(data_file)])
    wanted = replace(typed, run=Path("mine"))
    with (
        open_run(typed, None, launches=False, rank=None) as one,
        open_run(typed, None, launches=True, rank=None) as other,
        open_run(wanted, None, launches=True, rank=None) as launcher,
        open_run(wanted, None, launches=False, rank=0) as worker,
        open_run(wanted, None, launches=False, rank=1) as second,
        pytest.raises(TrainingError, match=f"^mine: is being trained by process {os.getpid()}; "),
        open_run(wanted, None, launches=False, rank=None),
    ):
        pass
    assert (one.folder, other.folder) == (Path("runs/sudoku/tiny-1"), Path("runs/sudoku/tiny-2"))
    assert launcher.folder == worker.folder == second.folder == Path("mine")
    assert list(tmp_path.iterdir()) == []  # none of them has begun


def test_what_a_run_that_never_began_leaves_is_not_in_the_way(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    assert "cannot be read" in refused(["-r", "tiny", "-d", "none.csv", "--run", str(folder)])
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / ".lock").write_text("1")  # as after SIGKILL
    run_to(1, data_file, folder)
    assert not (folder / ".lock").exists()


@pytest.mark.parametrize(
    ("setting", "minutes", "every"), [("train.muon_lr=1e30", 0, 7), ("train.adamw_lr=1e38", 60, 1)]
)
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_state(
    setting: str, minutes: int, every: int, data_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = [*train_words(data_file, folder)[2:], "--set", setting]
    words += ["--set", f"train.save_minutes={minutes}", "--set", f"train.report_every={every}"]
    assert "the loss is no number at step" in refused(words, 3)
    state = find_state(folder)
    assert state.step < 8
    for line in (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").exists() else []:
        parse_json(line)
    tensors = load_file(state.folder / "shared.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_run_is_resumed_from_any_folder_with_its_data_there_or_moved(
    data_file: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    moved = shutil.copy(data_file, home / "small.csv")
    monkeypatch.chdir(home)
    run_to(2, Path("small.csv"), Path("my run"))
    monkeypatch.chdir(tmp_path)
    on = ["train", "sudoku", "--resume", "home/my run", "-q", "--max-steps"]
    assert CliRunner().invoke(app, [*on, "4"]).exit_code == 0
    Path(moved).rename(tmp_path / "elsewhere.csv")
    assert "small.csv: cannot be read" in refused([*on[2:], "6"])
    done = CliRunner().invoke(app, [*on, "60", "-d", "elsewhere.csv"])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(app, ["train", "sudoku", "--resume", "home/my run", "--print-config"])
    assert "# sudoku, recipe tiny" in shown.stdout
    assert "hidden_size = 16" in shown.stdout
    ours = [entry for entry in losses(home / "my run") if entry[0] > 4]
    assert ours == [entry for entry in losses(whole) if entry[0] > 4]


def test_damaged_lines_of_a_log_are_left_out(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(2, data_file, folder)
    log = folder / "log.jsonl"
    wrong = [
        b"[1]",
        b'{"step": "x"}',
        b"\xff",
        b'{"kind": "report", "step": 1e99, "seconds": 1}',
        b'{"kind": "report", "step": 1, "seconds": 1, "loss": 1' + b"0" * 400 + b"}",
        b'{"a": ' + b"[" * 9_999,
    ]
    wrong += [
        b'{"kind": "evaluation", "step": 1, "seconds": 1, "scores": {"exact": "all"}}',
        b'{"step": NaN}',
        b"{" * 2**21,
    ]
    log.write_bytes(b"\n".join([*wrong, b""]) + log.read_bytes() + b'{"kind": "repo')
    on = ["train", "sudoku", "--resume", str(folder), "-q", "--max-steps", "3"]
    assert CliRunner().invoke(app, on).exit_code == 0
    assert [entry[0] for entry in losses(folder)] == [1, 2, 2, 3, 3]


def test_going_back_to_an_older_state_gives_up_what_came_after_it(data_file: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(4, data_file, folder)
    older = folder / "state" / "step-00000004"
    copy = shutil.copytree(older, tmp_path / "copy")
    on = ["train", "sudoku", "--resume", str(folder), "-q", "--max-steps"]
    assert CliRunner().invoke(app, [*on, "9"]).exit_code == 0
    shutil.copytree(copy, older)
    on[3] = str(older)
    done = CliRunner().invoke(app, [*on, "5"])
    assert done.exit_code == 0, done.output
    assert [path.name for path in older.parent.iterdir()] == ["step-00000005"]
    steps = [entry[0] for entry in losses(folder)]
    assert steps == [1, 2, 3, 4, 4, 5, 5]  # each part ends with an evaluation


def test_resume_alone_means_the_run_saved_last(
    data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no saved state below runs/sudoku" in refused(["--resume"])
    words = train_words(data_file, Path("unused"))[:-2]
    for _ in range(2):
        assert CliRunner().invoke(app, [*words, "--max-steps", "1", "-q"]).exit_code == 0
    done = CliRunner().invoke(app, ["train", "sudoku", "--resume", "--max-steps", "3", "-q"])
    assert done.exit_code == 0, done.output
    assert not Path("runs/sudoku/tiny-1/state/step-00000003").exists()
    assert Path("runs/sudoku/tiny-2/state/step-00000003").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_any_puzzle_is_read(data_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "run", Path("/proc/run")):
        words = ["-r", "tiny", "-d", "none.csv", "--run", str(folder)]
        assert refused(words).startswith(f"trm: {folder}: cannot be made")
    assert refused(["--run", str(tmp_path)]) == (
        f"trm: {tmp_path}: exists already; choose another folder for --run, or go on with --resume"
    )


def test_a_run_that_cannot_save_its_first_state_leaves_nothing(data_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(train_words(data_file, folder), limit_file_size=8_000)
    _, remarks = process.communicate()
    assert process.returncode == 3, remarks
    last = remarks.splitlines()[-1]
    assert last.endswith(" cannot be written (File too large); see to it, then begin again: nothing was saved")
    assert list(tmp_path.iterdir()) == []
