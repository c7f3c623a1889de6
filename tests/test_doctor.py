"""`trm doctor` on an installation that is well, and on every kind that is not."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from trm_cli.cli import doctor
from trm_cli.cli.app import app
from trm_cli.tasks import loadable_tasks
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.weights import checkpoint
from trm_cli.weights.checkpoint import bundled_checkpoints

Checks = dict[str, dict[str, str]]


def examined(*options: str, exit_code: int = 0, **environment: str) -> Checks:
    """The checks by name."""
    done = CliRunner().invoke(app, ["doctor", "--json", *options], env=environment)
    assert done.exit_code == exit_code, done.output
    told = json.loads(done.stdout)
    assert told["ok"] == (exit_code == 0)
    assert all(check["state"] in ("ok", "warning", "fails") for check in told["checks"])
    assert all(check["todo"] for check in told["checks"] if check["state"] != "ok")
    return {check["name"]: check for check in told["checks"]}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leaves out every check but some."""

    def leave(*names: str) -> None:
        for name in (name for name in dir(doctor) if name.startswith("check_") and name not in names):
            monkeypatch.setattr(doctor, name, lambda *_, **__: iter(()))

    return leave


def test_all_is_well_here() -> None:
    checks = examined()
    assert {f"{name} weights" for name in bundled_checkpoints()} <= checks.keys()
    for task in loadable_tasks():
        if task.examples:
            assert checks[f"{task.name} puzzle"]["says"].startswith("solved in ")
    assert {"trm", "Python", "torch", "threads", "cpu", "cache", "Hub", "variables", "wandb"} <= checks.keys()


def test_a_person_reads_one_line_a_check_and_how_it_is_in_all(only: Any) -> None:
    only("check_python", "check_variables")
    done = CliRunner().invoke(app, ["doctor"], env={"TRM_DEVIC": "cpu"})
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["ok", "trm"], ["ok", "Python"], ["ok", "variables"]]
    assert lines[3].split()[:2] == ["warning", "TRM_DEVIC"]
    assert lines[3].endswith("did you mean TRM_DEVICE?")
    assert lines[4].split() == ["to", "do:", "correct", "or", "unset", "it"]
    assert lines[-1] == "all is well, with warnings: 1"


def test_variables_that_trm_reads_are_no_mistake(only: Any) -> None:
    only("check_variables")
    checks = examined(TRM_SOLVE_SEED="3", TRM_THREADS="1", TRM_DATA_GIVENS="30", TRM_BENCH_TRAIN_TIME="1s")
    assert list(checks) == ["variables"]
    assert "TRM_SOLVE_SEED=3" in checks["variables"]["says"]


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled checkpoints, in the place of the true ones."""
    (root,) = {folder.parent for folder in bundled_checkpoints().values()}
    shutil.copytree(root, tmp_path / "checkpoints")
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path)
    return tmp_path / "checkpoints"


def test_damaged_weights_fail_and_the_puzzle_that_needs_them(bundled: Path, only: Any) -> None:
    only("check_weights", "check_puzzles")
    weights = bundled / "maze" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    checks = examined(exit_code=3)
    assert {name for name, check in checks.items() if check["state"] == "fails"} == {"maze weights", "maze puzzle"}
    assert "SHA-256" in checks["maze weights"]["says"]
    assert checks["sudoku weights"]["state"] == checks["sudoku puzzle"]["state"] == "ok"


def test_a_config_that_is_no_json_fails_alone(bundled: Path, only: Any) -> None:
    only("check_weights")
    (bundled / "maze" / "config.json").write_text("{")
    checks = examined(exit_code=3)
    assert [name for name, check in checks.items() if check["state"] == "fails"] == ["maze weights"]


def test_no_checkpoints_at_all_fail(bundled: Path, only: Any) -> None:
    only("check_weights", "check_puzzles")
    shutil.rmtree(bundled)
    checks = examined(exit_code=3)
    assert checks["weights"]["says"] == "no bundled network is there"


def test_a_network_that_solves_nothing_fails(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only("check_puzzles")
    monkeypatch.setattr(Sudoku, "rules_hold", lambda _task, puzzles, _answers: np.zeros(len(puzzles), bool))
    assert "not solved" in examined(exit_code=3)["sudoku puzzle"]["says"]


def test_whatever_a_check_raises_is_its_failure_and_the_others_go_on(
    only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("check_python")

    def broken() -> Iterator[doctor.Check]:
        raise ImportError("libtorch.so: cannot open\nshared object")

    monkeypatch.setattr(doctor, "check_torch", broken)
    checks = examined(exit_code=3)
    assert checks["torch"]["says"].startswith("ImportError: libtorch.so")
    assert checks["Python"]["state"] == "ok"


def test_a_cache_that_cannot_be_written_is_a_warning(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only("check_cache")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/dev/null/hub")
    cache = examined()["cache"]
    assert cache["state"] == "warning"
    assert "HF_HOME" in cache["todo"]


def test_a_token_and_a_password_are_never_shown(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only("check_hub")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", "http://me:hidden@localhost:9")
    for checks in (examined(), examined("--online", exit_code=3)):
        assert "http://localhost:9, a token" in checks["Hub"]["says"]
        assert not re.search("hf_secret|hidden", json.dumps(checks))


def test_the_hub_is_asked_only_if_wanted(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only("check_hub")
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "not asked" in examined()["Hub"]["says"]
    assert asked == []
    assert "answered in" in examined("--online")["Hub"]["says"]
    assert asked == ["/api/models?limit=1"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert examined("--online", exit_code=3)["Hub"]["state"] == "fails"
    assert examined()["Hub"]["state"] == "ok"
    server.shutdown()
    server.server_close()
