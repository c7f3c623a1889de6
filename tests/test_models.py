"""`trm models` and `--model OWNER/NAME`, through the real client, from a server of our own."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.forked import HUB, Done, Forked
from tests.hub_server import OPTIONS, Fault, HubServer, Repo
from tests.official import official_weights
from tests.terminal import STYLES, Terminal
from tests.test_upstream import weights
from trm_cli.weights.catalogue import of_checkpoint
from trm_cli.weights.checkpoint import CONFIG_FILE, bundled_checkpoints
from trm_cli.weights.hub import known_models

Run = Callable[..., list[Done]]
TOP = Path(__file__).parents[1]
OURS = bundled_checkpoints()["sudoku-4x4"]
FILES = {path.name: path.read_bytes() for path in OURS.iterdir()}
LFS = frozenset(["model.safetensors"])
TOKEN = "hf_" + "secret" * 5
KNOWN = known_models()["alphaxiv/sudoku-mlp"]


def file_of(tensors: dict[str, torch.Tensor], folder: Path) -> bytes:
    torch.save({f"_orig_mod.model.inner.{name}": tensor for name, tensor in tensors.items()}, folder / "w")
    return (folder / "w").read_bytes()


def for_9x9() -> dict[str, torch.Tensor]:
    """An official network for boards of 9x9, untrained."""
    shapes = {name: list(tensor.shape) for name, tensor in weights("sudoku-mlp").items()}
    for name, shape in shapes.items():
        wrong, right = (6, 11) if "embed_tokens" in name or "lm_head" in name else (32, 97)
        if "mlp_t" in name or right == 11:
            shapes[name] = [right if size == wrong else size for size in shape]
    return official_weights(shapes)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    foreign = file_of(weights("sudoku-mlp"), tmp_path_factory.mktemp("official"))
    names = ["good", "unknown", "gone", "busy", "down", "cut", "etag", "slow"]
    repos = [Repo(f"owner/{name}", FILES, kind="model", lfs=LFS) for name in names]
    versions = Repo(
        "owner/versions", {"a/" + k: v for k, v in FILES.items()}, kind="model", revisions={"old": {"step_9": foreign}}
    )
    named = Repo("owner/name", {}, kind="model", revisions={"v1": FILES})
    several = Repo("owner/several", {"a.pt": foreign, "b.pt": foreign}, kind="model")
    evil = Repo("owner/evil", {"../a.pt": foreign}, kind="model")
    none = Repo("owner/none", {"README.md": b""}, kind="model")
    large = file_of(for_9x9(), tmp_path_factory.mktemp("large"))
    known = Repo(KNOWN.repo, {KNOWN.file: large}, kind="model", lfs={KNOWN.file})
    with HubServer([*repos, versions, named, several, evil, none, known]) as hub:
        yield hub


@pytest.fixture
def home(server: HubServer, tmp_path: Path) -> Path:
    server.faults.clear()
    server.requests.clear()
    return tmp_path / "home"


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    with Forked(HUB, *OPTIONS) as forked:
        yield forked


@pytest.fixture
def run(server: HubServer, home: Path, forked: Forked) -> Run:
    """Run each command as a process of its own."""

    def all_of(*commands: str | list[str], folder: Path = TOP, **variables: str) -> list[Done]:
        environment = server.environment(home, **variables)
        outcomes = []
        for command in commands:
            arguments = shlex.split(command) if isinstance(command, str) else command
            outcomes.append(forked.run(arguments, folder=folder, variables=environment))
            assert "Traceback" not in outcomes[-1].stderr
            assert TOKEN not in outcomes[-1].stdout + outcomes[-1].stderr
        return outcomes

    return all_of


def test_the_list_is_a_table_of_what_each_model_solves_with_how_many_attempts(run: Run, home: Path) -> None:
    done, told = run("models list", "models list --json", HF_HUB_OFFLINE="1")
    entries = {entry["name"]: entry for entry in map(json.loads, told.stdout.splitlines())}
    bundled, public = done.stdout.split("\n\n")
    for title, section, where in (("Bundled", bundled, "bundled"), ("On the Hub", public, "known")):
        head, upper, lower, *rows = section.splitlines()
        assert head.startswith(title)
        assert upper.split() == ["attempts", "one"]
        assert lower.split() == ["name", "task", "size", "solved", "x", "steps", "attempt", "data", "licence"]
        assert [row.split()[0] for row in rows] == [e["name"] for e in entries.values() if e["where"] == where]
        assert max(map(len, section.splitlines())) <= 100
        assert len({row.rindex("%") for row in rows if "%" in row and "pass@" not in row}) == 1  # below each other
    measured = json.loads((bundled_checkpoints()["sudoku-6x6"] / CONFIG_FILE).read_text())["measured"]
    search = "best-first search of at most 10,000 steps, --retry-steps 6, --starts fixed"
    whole = measured[f"minimal-6x6.csv, 200 puzzles, at most 16 steps, {search}"]
    assert (whole["groups"][0]["verified"], whole["solved_within_budgets"][:2]) == (1.0, [198, 200])
    assert re.search(
        r"^sudoku-6x6 +sudoku +28 kB +100\.0% +search +99\.0% +minimal-6x6 +apache-2\.0$", bundled, re.MULTILINE
    )
    assert re.search(r"^arcprize/arc-1 +arc +1\.8 GB +40\.0% +pass@2 +- +ARC-AGI-1 +MIT$", public, re.MULTILINE)
    assert re.search(r"^trelis/arc-2 +arc +2\.5 GB +- +- +- +- +unstated$", public, re.MULTILINE)


def test_a_measurement_with_the_default_attempts_is_listed_before_later_ones(tmp_path: Path) -> None:
    def group(share: float) -> dict[str, object]:
        shares = dict.fromkeys(("cell", "exact", "verified", "fired", "precision"), share)
        return {"kind": "all", "group": "all", "puzzles": 10, "mean_steps": 3.5, **shares}

    config = json.loads((OURS / CONFIG_FILE).read_text())
    config["solving"] = {"attempts": 8}
    config["measured"] = {
        "a.csv.gz, 10 puzzles, at most 12 steps, 8 attempts, --search flat": {
            "command": "trm eval",
            "groups": [group(0.5)],
            "solved_within_steps": [1, 2, 3],
        },
        "b.csv, 10 puzzles, at most 16 steps": {"command": "trm eval", "groups": [group(0.2)]},
    }
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(json.dumps(config).encode() if name == CONFIG_FILE else content)
    entry = of_checkpoint("mine", "cached", tmp_path, "mine")
    assert (entry.solved, entry.attempts, entry.max_steps, entry.first_attempt) == (0.5, 8, 12, 0.3)
    assert (entry.accuracy, entry.data, entry.puzzles, entry.mean_steps) == ("50.00% of a", "a", 10, 3.5)


def test_a_card_is_drawn_on_a_terminal_and_markdown_on_a_pipe(run: Run, home: Path) -> None:
    card = (OURS / "README.md").read_text()
    (piped,) = run("models show sudoku-4x4")
    assert piped.stdout == card
    terminal = Terminal("models", "show", "sudoku-4x4")
    assert terminal.end() == 0
    drawn = STYLES.sub("", terminal.written)
    terminal.close()
    assert drawn.lstrip().startswith("sudoku-4x4: a Tiny Recursive Model for sudoku")
    assert not [mark for mark in ("---", "##", "license:", "|", "`") if mark in drawn]
    assert "• seed 0" in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_a_model_is_pulled_solved_with_offline_listed_and_removed(
    run: Run, server: HubServer, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "puzzles.txt").write_text("1...\n..1.\n.1..\n...1\n")
    solve = f"solve sudoku {tmp_path}/puzzles.txt --model owner/good --seed 0 -q"
    pulled, online = run("models pull owner/good", solve)
    assert pulled.exit_code == 0
    assert (Path(pulled.stdout.strip()) / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert "\x1b" not in pulled.stderr
    server.requests.clear()
    offline, listed, removed, gone, nothing = run(
        solve, "models list --json", "models remove owner/good", solve, "models remove owner/good", HF_HUB_OFFLINE="1"
    )
    assert server.requests == []
    assert offline[:3] == online[:3]
    assert online.exit_code in (0, 1)
    entries = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [e["task"] for e in entries if e["name"] == "owner/good"] == ["sudoku"]
    assert "bytes freed" in removed.stderr
    assert gone.exit_code == nothing.exit_code == 3
    assert "not in the cache, and HF_HUB_OFFLINE is set" in gone.stderr
    assert nothing.stderr == "trm: owner/good: not in the cache; see `trm models list`\n"


def test_a_known_model_is_fetched_and_converted_once(run: Run, server: HubServer, home: Path) -> None:
    solve = f"solve sudoku examples/easy.txt --model {KNOWN.alias} --max-steps 2 --json"
    online, again = run(solve, solve, f"models pull {KNOWN.alias}")[:2]
    assert online.exit_code == 1  # untrained
    fields = json.loads(online.stdout.splitlines()[0])["model"]
    assert (fields["name"], fields["source"]) == ("alphaxiv-sudoku-mlp", KNOWN.alias)
    server.requests.clear()
    offline, listed, shown, removed, left = run(
        solve,
        "models list --json",
        f"models show {KNOWN.alias}",
        f"models remove {KNOWN.alias}",
        "models list --json",
        HF_HUB_OFFLINE="1",
    )
    assert server.requests == []
    answers = [[json.loads(line)["answer"] for line in done.stdout.splitlines()] for done in (online, again, offline)]
    assert answers[0] == answers[1] == answers[2]
    entries = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(e["where"], e["tried"]) for e in entries if e["name"] == KNOWN.alias] == [("cached", False)]
    assert "published accuracy, not measured here: 79.37% of Sudoku-Extreme" in shown.stdout
    assert removed.exit_code == 0
    assert not list((home / "trm" / "converted").iterdir())
    assert '"cached"' not in left.stdout


def test_a_folder_a_revision_and_a_foreign_file_can_be_named(
    run: Run, server: HubServer, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    folder, old, absent, unneeded, ours = run(
        "models pull owner/versions:a -q",
        f"models convert owner/versions --revision old -o {out} -q",
        "models pull owner/versions --revision v9 -q",
        "models pull sudoku --revision old",
        f"models convert owner/good -o {out}2",
    )
    assert folder.exit_code == old.exit_code == 0
    assert "official layout: sudoku on 4x4 cells, mixer mlp" in old.stderr
    facts = json.loads((out / CONFIG_FILE).read_text())["training"]["converted_from"]
    assert (facts["origin"], facts["revision"]) == ("owner/versions", "old")
    assert absent.exit_code == unneeded.exit_code == 3
    assert "there is no such revision; check the branch" in absent.stderr
    assert ours.exit_code == 2
    assert "is a checkpoint of trm already" in ours.stderr


def test_what_cannot_be_chosen_or_leads_out_is_refused(run: Run, server: HubServer, home: Path) -> None:
    refused = {
        "several": "which file of weights? choose with owner/several:FILE; there are a.pt, b.pt",
        "evil": "leads out of the repository",
        "none": "no file of weights",
        "good:../x": "leads out of the repository",
        "good:/etc/passwd": "leads out of the",
        "good:C:x": "leads out of the repository",
        "good:x.pt": "there is no file x.pt",
        "good --revision ../x": "names no branch, tag or commit",
    }
    outcomes = run(*(f"models pull owner/{name} -q" for name in refused))
    for done, words in zip(outcomes, refused.values(), strict=True):
        assert (done.exit_code, done.stdout) == (3, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(home.rglob("a.pt"))


FAULTS = {
    "unknown": (Fault("owner/unknown", 401), "missing, or closed to you (HTTP 401)"),
    "gone": (Fault("owner/gone", 404), "missing, or closed to you (HTTP 404)"),
    "busy": (Fault("owner/busy", 429), "too many requests (HTTP 429)"),
    "down": (Fault("owner/down", 500), "failed (HTTP 500)"),
    "cut": (Fault("lfs/model/owner/cut", cut_at=700), "or it broke off"),
    "etag": (Fault("owner/etag/resolve", etag="0" * 64), "another SHA-256 than announced"),
}


def test_each_failure_is_one_line_and_passes_with_its_cause(run: Run, server: HubServer, home: Path) -> None:
    server.faults = [fault for fault, _ in FAULTS.values()]
    pulls = [f"models pull owner/{name} -q" for name in FAULTS]
    for done, (_, words) in zip(run(*pulls, HF_TOKEN=TOKEN), FAULTS.values(), strict=True):
        assert (done.exit_code, done.stdout) == (3, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    server.faults = [Fault("lfs/model/owner/slow", pause=0.1)]
    again = run(*pulls[-2:], "models pull owner/slow -q")
    assert [done.exit_code for done in again] == [0] * len(again)


def siblings(*listed: object) -> bytes:
    return json.dumps({"id": "owner/good", "sha": "a" * 40, "siblings": listed}).encode()


LISTINGS = {
    "null": siblings(None),
    "a number": siblings({"rfilename": 3}),
    "half a character": siblings({"rfilename": "\ud800.pt"}),
    "storage": siblings({"rfilename": "a.pt", "lfs": 3}),
    "no object": b"[1]",
    "no number": b"NaN",
    "nested": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("body", LISTINGS.values(), ids=LISTINGS.keys())
def test_a_listing_that_is_none_is_one_line(body: bytes, run: Run, server: HubServer, home: Path) -> None:
    server.faults = [Fault("/api/", body=body)]
    (done,) = run("models pull owner/good -q")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "is not the Hub's; check HF_ENDPOINT" in done.stderr


def test_control_characters_in_a_listing_reach_no_terminal(run: Run, server: HubServer, home: Path) -> None:
    server.faults = [Fault("/api/", body=siblings({"rfilename": "a\x1b[2J.pt"}, {"rfilename": "b\n.pt"}))]
    (done,) = run("models pull owner/good -q")
    assert done.exit_code == 3
    assert "there are a?[2J.pt, b?.pt" in done.stderr


def test_what_is_pushed_can_be_loaded_again(run: Run, server: HubServer, home: Path) -> None:
    (dry,) = run("models push sudoku-4x4 me/mine --dry-run")
    assert server.requests == []
    assert dry.exit_code == 0
    assert "model.safetensors  28,124 bytes" in dry.stderr
    variables = {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    pushed, again = run("models push sudoku-4x4 me/mine", "models pull me/mine -q", **variables)
    assert (pushed.exit_code, pushed.stdout) == (0, f"{server.endpoint}/me/mine\n")
    files = server.repos["model", "me/mine"].files
    assert set(files) == {"config.json", "model.safetensors", "README.md"}
    assert files["README.md"].decode() == dry.stdout
    assert files["model.safetensors"] == FILES["model.safetensors"]
    assert again.exit_code == 0
    server.faults = [Fault("/api/repos/create", 401)]
    refused, malformed = run("models push sudoku-4x4 me/other -q", "models push sudoku-4x4 mine", **variables)
    server.faults = [Fault("/lfs/up/", 403)]
    (closed,) = run("models push sudoku-6x6 me/mine -q", **variables)
    assert [done.exit_code for done in (refused, malformed, closed)] == [3, 3, 3]
    assert "(HTTP 401)" in refused.stderr
    assert "(HTTP 403)" in closed.stderr
    assert "write OWNER/NAME" in malformed.stderr


def test_the_page_on_checkpoints_can_be_followed_word_by_word(
    run: Run, server: HubServer, home: Path, tmp_path: Path
) -> None:
    page = (TOP / "docs" / "checkpoints.md").read_text()
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page, flags=re.DOTALL)
    commands = [
        shlex.split(line, comments=True) for kind, block in blocks if kind == "sh" for line in block.splitlines()
    ]
    programs = [["-c", block] for kind, block in blocks if kind == "python"]
    (tmp_path / "step_16275").write_bytes(server.repos["model", KNOWN.repo].files[KNOWN.file])
    (tmp_path / "examples").symlink_to(TOP / "examples")
    (tmp_path / "runs" / "sudoku").mkdir(parents=True)
    (tmp_path / "runs" / "sudoku" / "fast-1").mkdir()
    (tmp_path / "runs" / "sudoku" / "fast-1" / "checkpoint").symlink_to(OURS)
    outcomes = run(
        *(command[1:] for command in commands), *programs, folder=tmp_path, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1"
    )
    assert len(programs) == 1
    assert {command[2] for command in commands if command[1] == "models"} >= {
        "list",
        "show",
        "pull",
        "convert",
        "push",
        "export",
        "remove",
    }
    for command, done in zip([*commands, *programs], outcomes, strict=True):
        untrained = int(command[1] == "solve")  # what the server has for 9x9 solves nothing
        assert done.exit_code == untrained, (command, done.stderr)
    assert outcomes[-1].stdout == ""
    assert ("model", "me/my-sudoku") in server.repos
