"""Data sets of the Hub, through the real client, from a server of our own.

The client reads its variables when it is imported, so each scenario is a process of its own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub_server import Fault, HubServer, Repo, commit_of
from trm_cli.errors import UsageError
from trm_cli.weights.hub import download_dataset

PROGRAM = """
import json, sys, time
time.sleep = lambda seconds: None  # the client waits between its attempts
from trm_cli.errors import TRMError
from trm_cli.weights.hub import download_dataset
for name in sys.argv[1:]:
    try:
        path, commit = download_dataset(name)
        print(json.dumps([str(path), commit]))
    except TRMError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""

TOKEN = "hf_" + "secret" * 5
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
CHUNK = 10 * 1024 * 1024  # bytes that the client reads before it writes
TRAIN, TEST, OLD = b"question,answer\n" * 100, b"question,answer\n", b"quizzes,solutions\n"
PUZZLES = Repo(
    "owner/puzzles",
    {"README.md": b"# Puzzles", "test.csv": TEST, "train.csv": TRAIN},
    lfs={"train.csv"},
    revisions={"refs/pr/1": {"old/hard.csv": OLD}},
)
MODEL = Repo("owner/model", {"config.json": b"{}", "w.bin": b"12"}, kind="model", lfs={"w.bin"})
OTHERS = {
    "folder": {"data/train.csv.gz": TRAIN, "data/test.csv": TEST},
    "top": {"train.csv": TRAIN, "small/train.csv": TEST},
    "single": {"data/Sudoku.CSV": TRAIN, "notes.txt": TEST},
    "several": {"easy.csv": TEST, "hard.csv.gz": TEST, "x/y.csv": TEST, "notes.txt": TEST},
    "twice": {"train.csv": TEST, "train.csv.gz": TEST},
    "many": {f"{number:02}.csv": TEST for number in range(12)},
    "none": {"train.parquet": TEST},
    "large": {"train.csv": bytes(CHUNK + 1)},
    "evil": {"../train.csv": TEST},
}


@dataclass
class Client:
    """Runs the client in processes that share a cache."""

    server: HubServer
    home: Path

    def fetch(self, *names: str, **variables: str) -> list[tuple[str, str]]:
        """For each name, path and commit, or kind and text of the error."""
        lines = self.server.run(PROGRAM, *names, home=self.home, **variables)
        return [tuple(json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    others = [Repo(f"owner/{name}", files) for name, files in OTHERS.items()]
    faulty = [Repo(f"owner/{name}", {"train.csv": TRAIN}, lfs={"train.csv"}) for name in FAULTS]
    with HubServer([PUZZLES, MODEL, *others, *faulty]) as hub:
        yield hub


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Client:
    server.faults.clear()
    server.requests.clear()
    return Client(server, tmp_path / "home")


def test_the_training_file_comes_from_the_storage_which_sees_no_token(client: Client) -> None:
    ((path, commit),) = client.fetch("owner/puzzles", HF_TOKEN=TOKEN)
    assert Path(path).read_bytes() == TRAIN
    assert Path(path).parts[-3:] == ("snapshots", commit_of(PUZZLES.files), "train.csv")
    assert commit == commit_of(PUZZLES.files)
    seen = [(r.method, r.path.split("/")[1], r.authorization) for r in client.server.requests]
    known = f"Bearer {TOKEN}"
    assert seen == [("GET", "api", known), ("HEAD", "datasets", known), ("GET", "lfs", None)]


def test_a_revision_and_a_file_can_be_named(client: Client) -> None:
    names = ["@refs/pr/1:old/hard.csv", "@refs/pr/1", f"@{commit_of(PUZZLES.files)}:test.csv"]
    first, found, second = client.fetch(*(f"owner/puzzles{name}" for name in names))
    assert first == found
    assert first[1] == commit_of({"old/hard.csv": OLD})
    assert second[1] == commit_of(PUZZLES.files)
    assert [Path(path).read_bytes() for path, _ in (first, second)] == [OLD, TEST]


def test_what_was_fetched_once_is_found_where_the_hub_cannot_be_asked(client: Client) -> None:
    names = ["owner/puzzles", "owner/single", "owner/puzzles@refs/pr/1", "owner/puzzles:test.csv"]
    online = client.fetch(*names)
    client.server.requests.clear()
    assert client.fetch(*names, HF_HUB_OFFLINE="1") == online
    assert client.server.requests == []
    assert client.fetch(*names, HF_ENDPOINT="http://127.0.0.1:1") == online
    client.server.faults = [Fault("owner/", 503)]
    assert client.fetch(*names) == online


def test_offline_a_name_never_fetched_is_refused(client: Client) -> None:
    outcomes = client.fetch("owner/puzzles", "owner/puzzles:train.csv", HF_HUB_OFFLINE="1")
    assert set(outcomes) == {
        ("UsageError", "hub:owner/puzzles: not in the cache, and HF_HUB_OFFLINE is set; download it once without that")
    }
    assert client.server.requests == []


CHOSEN = {"folder": "data/train.csv.gz", "top": "train.csv", "single": "data/Sudoku.CSV"}
UNDECIDED = {
    "several": "which CSV file? choose with hub:owner/several:FILE; there are easy.csv, hard.csv.gz, x/y.csv",
    "twice": "which CSV file? choose with hub:owner/twice:FILE; there are train.csv, train.csv.gz",
    "many": "which CSV file? choose with hub:owner/many:FILE; there are 00.csv, 01.csv, "
    "02.csv, 03.csv, 04.csv, 05.csv, 06.csv, 07.csv, 08.csv, 09.csv and 2 more",
    "none": "no CSV file among its files; choose with hub:owner/none:FILE",
}


def test_the_file_is_chosen_only_where_there_is_no_doubt(client: Client) -> None:
    outcomes = client.fetch(*(f"owner/{name}" for name in [*CHOSEN, *UNDECIDED]))
    for (path, commit), file in zip(outcomes, CHOSEN.values(), strict=False):
        assert path.endswith(f"/snapshots/{commit}/{file}")
        assert Path(path).read_bytes() == TRAIN
    assert outcomes[len(CHOSEN) :] == [
        ("UsageError", f"hub:owner/{name}: {message}") for name, message in UNDECIDED.items()
    ]


def test_a_path_that_the_server_makes_up_is_not_asked_for(client: Client) -> None:
    assert client.fetch("owner/evil") == [
        ("UsageError", "hub:owner/evil:../train.csv: leads out of the repository; name a file inside it")
    ]
    assert [request.path for request in client.server.requests] == ["/api/datasets/owner/evil"]


def test_what_is_not_there_is_named(client: Client) -> None:
    missing = f"missing, or closed to you (HTTP 404); check the name, or {LOG_IN}"
    messages = {
        "owner/nothing": f": {missing}",
        "owner/nothing:train.csv": f": {missing}",
        "owner/puzzles@v9": ": there is no such revision; check the branch, tag or commit",
        "owner/puzzles@v9:train.csv": ": there is no such revision; check the branch, tag or commit",
        "owner/puzzles:x.csv": ": there is no file x.csv; check what follows the :",
        "owner/two--dashes": ": no name that the Hub allows; check OWNER/NAME",
    }
    assert client.fetch(*messages) == [
        ("UsageError", f"hub:{name.split(':')[0]}{message}") for name, message in messages.items()
    ]


FAILED = "HOST failed (HTTP 500); try again later"
CLOSED = f"missing, or closed to you (HTTP 401); check the name, or {LOG_IN}"
FAULTS = {
    "unknown": (Fault("owner/unknown", 401), "UsageError", CLOSED),
    "forbidden": (Fault("owner/forbidden", 403), "UsageError", CLOSED.replace("401", "403")),
    "gated": (
        Fault("owner/gated", 403, "GatedRepo"),
        "UsageError",
        f"gated; ask for access on its page, then {LOG_IN}",
    ),
    "busy": (
        Fault("owner/busy", 429),
        "TrainingError",
        f"too many requests (HTTP 429); wait some minutes, or {LOG_IN}",
    ),
    "down": (Fault("owner/down", 500), "TrainingError", FAILED),
    "half": (Fault("owner/half/resolve/", 500), "TrainingError", FAILED),
    "stuck": (Fault("lfs/dataset/owner/stuck", 500), "TrainingError", FAILED),
    "hotel": (
        Fault("owner/hotel", body=b"<html>Log in to this hotel"),
        "TrainingError",
        "the answer of HOST is not the Hub's; check HF_ENDPOINT and the network (proxy, log-in page)",
    ),
    "cut": (
        Fault("lfs/dataset/owner/cut", cut_at=700),
        "TrainingError",
        "no connection to HOST, "
        "or it broke off (peer closed connection without sending complete message body "
        "(received 700 bytes, expected 1600)); check the network and try again",
    ),
}


def test_each_failure_is_one_line_and_leaves_nothing_broken(client: Client) -> None:
    client.server.faults = [fault for fault, _, _ in FAULTS.values()]
    chosen = client.fetch(*(f"owner/{name}" for name in FAULTS), HF_TOKEN=TOKEN)
    named = client.fetch(*(f"owner/{name}:train.csv" for name in FAULTS), HF_TOKEN=TOKEN)
    host = client.server.endpoint.removeprefix("http://")
    assert chosen == [
        (kind, f"hub:owner/{name}: {message.replace('HOST', host)}") for name, (_, kind, message) in FAULTS.items()
    ]
    assert named == chosen
    assert [file for file in client.home.rglob("blobs/*") if file.is_file()] == []
    client.server.faults.clear()
    for path, _ in client.fetch(*(f"owner/{name}" for name in FAULTS)):
        assert Path(path).read_bytes() == TRAIN


def test_a_download_that_breaks_off_goes_on_where_it_was(client: Client) -> None:
    client.server.faults = [Fault("owner/large", cut_at=CHUNK)]
    ((path, _),) = client.fetch("owner/large:train.csv")
    assert Path(path).read_bytes() == OTHERS["large"]["train.csv"]
    assert [r.range for r in client.server.requests] == [None, None, f"bytes={CHUNK}-"]


def test_without_a_network_or_a_place_to_write_the_cause_is_named(client: Client) -> None:
    ((kind, message),) = client.fetch("owner/puzzles", HF_ENDPOINT="http://me:secret@127.0.0.1:1")
    assert kind == "TrainingError"
    assert message.startswith("hub:owner/puzzles: no connection to 127.0.0.1:1, or it broke off ([")
    client.home.write_text("no folder")
    assert client.fetch("owner/puzzles") == [
        (
            "TrainingError",
            f"hub:owner/puzzles: cannot be kept in {client.home}/hub (Not a directory); free space or set HF_HOME",
        )
    ]


@pytest.mark.parametrize(
    "name", ["", "puzzles", "a/b/c", "/a/b", "a/b@", "a/b:", "a/b@x:", "a/b@x y", "a/b@../x", "ä/b"]
)
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        download_dataset(name)
    assert str(caught.value) == (
        f"hub:{name}: no name of a data set; write hub:OWNER/NAME, with @REVISION and :FILE behind it as needed"
    )


@pytest.mark.parametrize("file", ["../x.csv", "a/../../x", "/etc/x", "a\\..\\x", "C:x", "a/D:\\x"])
def test_a_path_out_of_the_repository_is_refused(file: str) -> None:
    with pytest.raises(UsageError) as caught:
        download_dataset(f"owner/name:{file}")
    assert str(caught.value) == (f"hub:owner/name:{file}: leads out of the repository; name a file inside it")


def test_the_client_is_imported_only_when_something_is_fetched(client: Client) -> None:
    code = "import sys, trm_cli.weights.hub; print('huggingface_hub' in sys.modules)"
    assert client.server.run(code, home=client.home) == ["False"]


def test_the_server_has_models_too(client: Client) -> None:
    code = "import huggingface_hub as hub; print(hub.hf_hub_download('owner/model', 'w.bin'))"
    (path,) = client.server.run(code, home=client.home)
    assert Path(path).read_bytes() == MODEL.files["w.bin"]
