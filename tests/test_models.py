"""`trm models` and `--model OWNER/NAME`, through the real client, from a server of our own."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.hub_server import Fault, HubServer, Repo
from tests.test_foreign import weights
from trm_cli import TRM
from trm_cli.cli.app import app
from trm_cli.errors import ModelError
from trm_cli.weights.card import hub_card
from trm_cli.weights.catalogue import bundled_checkpoints
from trm_cli.weights.registry import BY_ALIAS, KNOWN

OURS = bundled_checkpoints()["sudoku-4x4"]
FILES = {path.name: path.read_bytes() for path in OURS.iterdir()}
LFS = frozenset(["model.safetensors"])
PUZZLE = "1234341221434321"
TOKEN = "hf_" + "secret" * 5
PROGRAM = """
import json, os, pathlib, sys, tempfile, time
import torch  # once for all: each command is a process that forks off here
from trm_cli.__main__ import main
time.sleep = lambda seconds: None  # the client waits between its attempts
for line in sys.argv[1:]:
    streams = [tempfile.mkstemp() for _ in range(2)]
    child = os.fork()
    if not child:
        for number, (stream, _) in enumerate(streams, 1):
            os.dup2(stream, number)
        sys.argv[1:] = json.loads(line)
        main()
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [pathlib.Path(path).read_text() for _, path in streams]
    print(json.dumps([exit_code, *texts]))
"""


def official(tmp_path: Path) -> bytes:
    torch.save(weights(), tmp_path / "w")
    return (tmp_path / "w").read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    foreign = official(tmp_path_factory.mktemp("official"))
    names = ["good", "unknown", "gone", "busy", "down", "cut", "etag", "slow"]
    repos = [Repo(f"owner/{name}", FILES, kind="model", lfs=LFS) for name in names]
    versions = Repo("owner/versions", {"a/" + k: v for k, v in FILES.items()}, kind="model",
                    revisions={"old": {"step_9": foreign}})  # fmt: skip
    several = Repo("owner/several", {"a.pt": foreign, "b.pt": foreign}, kind="model")
    evil = Repo("owner/evil", {"../a.pt": foreign}, kind="model")
    none = Repo("owner/none", {"README.md": b""}, kind="model")
    with HubServer([*repos, versions, several, evil, none]) as hub:
        yield hub


@pytest.fixture
def home(server: HubServer, tmp_path: Path) -> Path:
    server.faults.clear()
    server.requests.clear()
    return tmp_path / "home"


def run(server: HubServer, home: Path, *commands: str, **variables: str) -> list[list[object]]:
    """Exit code, stdout and stderr of each command."""
    lines = [json.dumps(command.split()) for command in commands]
    printed = server.run(PROGRAM, *lines, home=home, **variables)
    return [json.loads(line) for line in printed]


def test_a_model_is_pulled_solved_with_offline_listed_and_removed(
    server: HubServer, home: Path, tmp_path: Path
) -> None:
    puzzles = tmp_path / "puzzles.txt"
    puzzles.write_text("1...\n..1.\n.1..\n...1\n")
    solve = f"solve sudoku {puzzles} --model owner/good --seed 0 -q"
    pulled, online = run(server, home, "models pull owner/good -q", solve)
    assert pulled[0] == 0
    assert (Path(str(pulled[1]).strip()) / "model.safetensors").read_bytes() == FILES[
        "model.safetensors"
    ]
    server.requests.clear()
    offline, listed, removed, gone = run(
        server, home, solve, "models list --json", "models remove owner/good", solve,
        HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert server.requests == []
    assert offline[:2] == online[:2]
    assert online[0] in (0, 1)
    entries = [json.loads(line) for line in str(listed[1]).splitlines()]
    assert [e["task"] for e in entries if e["name"] == "owner/good"] == ["sudoku"]
    assert "bytes freed" in str(removed[2])
    assert gone[0] == 3
    assert "not in the cache, and HF_HUB_OFFLINE is set" in str(gone[2])


def test_a_folder_a_revision_and_a_foreign_file_can_be_named(
    server: HubServer, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    folder, old, absent, unneeded = run(
        server, home, "models pull owner/versions:a -q",
        f"models convert owner/versions --revision old --task sudoku -o {out} -q",
        "models pull owner/versions --revision v9 -q", "models pull sudoku --revision old",
    )  # fmt: skip
    assert folder[0] == 0
    assert old[0] == 0
    assert json.loads((out / "config.json").read_text())["model"]["height"] == 4
    assert absent[0] == 3
    assert "there is no such revision; check --revision" in str(absent[2])
    assert unneeded[0] == 3


def test_what_cannot_be_chosen_or_leads_out_is_refused(server: HubServer, home: Path) -> None:
    outcomes = run(server, home, *(f"models pull owner/{name} -q" for name in
                   ("several", "evil", "none", "good:../x", "good:x.pt")))  # fmt: skip
    assert [outcome[0] for outcome in outcomes] == [3] * 5
    words = ["which file of weights?", "leads out of the repository", "no file of weights",
             "leads out of the repository", "there is no file x.pt"]  # fmt: skip
    for outcome, word in zip(outcomes, words, strict=True):
        assert word in str(outcome[2])
        assert str(outcome[2]).count("\n") == 1
    assert not list(home.rglob("a.pt"))


FAULTS = {
    "unknown": (Fault("owner/unknown", 401), "missing, or closed to you (HTTP 401)"),
    "gone": (Fault("owner/gone", 404), "missing, or closed to you (HTTP 404)"),
    "busy": (Fault("owner/busy", 429), "too many requests (HTTP 429)"),
    "down": (Fault("owner/down", 500), "failed (HTTP 500)"),
    "cut": (Fault("lfs/model/owner/cut", cut_at=700), "or it broke off"),
    "etag": (Fault("owner/etag/resolve", etag="0" * 64), "another SHA-256 than announced"),
}


def test_each_failure_is_one_line_with_exit_code_3(server: HubServer, home: Path) -> None:
    server.faults = [fault for fault, _ in FAULTS.values()]
    outcomes = run(server, home, *(f"models pull owner/{name} -q" for name in FAULTS),
                   HF_TOKEN=TOKEN)  # fmt: skip
    for (exit_code, stdout, stderr), (_, words) in zip(outcomes, FAULTS.values(), strict=True):
        assert (exit_code, stdout) == (3, "")
        assert words in str(stderr)
        assert str(stderr).count("\n") == 1
    server.faults.clear()
    again = run(server, home, *(f"models pull owner/{name} -q" for name in FAULTS))
    assert [outcome[0] for outcome in again] == [0] * len(FAULTS)


def test_slow_bytes_arrive_too(server: HubServer, home: Path) -> None:
    server.faults = [Fault("lfs/model/owner/slow", pause=0.1)]
    assert run(server, home, "models pull owner/slow -q")[0][0] == 0


def test_what_is_pushed_can_be_loaded_again(server: HubServer, home: Path) -> None:
    dry, pushed = run(
        server, home, "models push sudoku-4x4 me/mine --dry-run",
        "models push sudoku-4x4 me/mine -q",
        HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1",
    )  # fmt: skip
    assert dry[0] == 0
    assert "model-index:" in str(dry[1])
    assert pushed[:2] == [0, f"{server.endpoint}/me/mine\n"]
    repo = server.repos["model", "me/mine"]
    assert set(repo.files) == {"config.json", "model.safetensors", "README.md"}
    assert repo.files["README.md"].decode() == dry[1]
    assert run(server, home, "models pull me/mine -q")[0][0] == 0


def test_a_dry_run_asks_nothing_of_the_network(server: HubServer, home: Path) -> None:
    assert run(server, home, "models push sudoku-4x4 me/other --dry-run")[0][0] == 0
    assert server.requests == []


def test_the_card_holds_metrics_with_their_command() -> None:
    yaml = pytest.importorskip("yaml")
    model = TRM.from_pretrained("sudoku-4x4")
    front = yaml.safe_load(hub_card(model.checkpoint, "me/mine").split("---\n")[1])
    (result, *_) = front["model-index"][0]["results"]
    assert front["library_name"] == "trm-cli"
    assert "sudoku" in front["tags"]
    assert [metric["type"] for metric in result["metrics"]] == ["exact_match", "rules_hold"]
    assert "trm train sudoku" in result["metrics"][0]["args"]["command"]


def test_a_network_in_python_is_saved_loaded_and_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = TRM.from_pretrained("sudoku-4x4")
    model.save_pretrained(tmp_path)
    again = TRM.from_pretrained(tmp_path)
    assert again.checkpoint == model.checkpoint
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    (tmp_path / "model.safetensors").write_bytes(FILES["model.safetensors"][:-8])
    with pytest.raises(ModelError, match="damaged"):
        TRM.from_pretrained(tmp_path)
    assert capsys.readouterr().out == ""


def test_bundled_weights_of_another_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sudoku-4x4"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    sums = (OURS.parent / "SHA256SUMS").read_text()
    (tmp_path / "SHA256SUMS").write_text(sums)
    monkeypatch.setattr("trm_cli.weights.catalogue.bundled_checkpoints", lambda: {"s": folder})
    TRM.from_pretrained("s")
    changed = bytearray(FILES["model.safetensors"])
    changed[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(changed))
    with pytest.raises(ModelError, match="its SHA-256 is not the one in SHA256SUMS"):
        TRM.from_pretrained("s")


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a\\b", "\x1b[2J", ""])
def test_a_config_with_a_path_in_it_is_refused(name: str, tmp_path: Path) -> None:
    config = json.loads(FILES["config.json"]) | {"name": name}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(FILES["model.safetensors"])
    with pytest.raises(ModelError, match="no plain name"):
        TRM.from_pretrained(tmp_path)


@pytest.mark.parametrize("change", [{"height": 1 << 20, "box_height": 1}, {"num_layers": 1 << 20}])
def test_a_config_that_asks_for_a_terabyte_is_refused(
    change: dict[str, int], tmp_path: Path
) -> None:
    config = json.loads(FILES["config.json"])
    config["model"] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(FILES["model.safetensors"])
    with pytest.raises(ModelError, match="more than these weights are for"):
        TRM.from_pretrained(tmp_path)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_a_smaller_storage_says_what_it_costs(storage: str, tmp_path: Path) -> None:
    command = ["models", "export", "sudoku-4x4", "--format", "trm", "--storage", storage]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "small")])
    assert done.exit_code == 0, done.stderr
    weights_file = tmp_path / "small" / "model.safetensors"
    assert weights_file.stat().st_size < 0.7 * len(FILES["model.safetensors"])
    assert f"weights kept in {storage}" in (tmp_path / "small" / "README.md").read_text()
    whole, small = TRM.from_pretrained("sudoku-4x4"), TRM.from_pretrained(tmp_path / "small")
    for name, tensor in whole.state_dict().items():
        error = (tensor - small.state_dict()[name]).abs().max()
        assert error <= tensor.abs().max() / 100


def test_show_prints_the_card_and_list_names_everything() -> None:
    shown = CliRunner().invoke(app, ["models", "show", "sudoku-4x4"])
    assert shown.stdout.strip() == FILES["README.md"].decode().strip()
    listed = CliRunner().invoke(app, ["models", "list"]).stdout
    assert all(name in listed for name in [*bundled_checkpoints(), *BY_ALIAS])
    assert listed.count("(untested)") >= sum(not known.tried for known in KNOWN)


def test_the_package_and_the_help_stay_light(server: HubServer, home: Path) -> None:
    code = (
        "import sys, trm_cli; assert 'torch' not in sys.modules;"
        "trm_cli.TRM; print('torch' in sys.modules)"
    )
    assert server.run(code, home=home) == ["True"]
    assert "torch" in sys.modules
