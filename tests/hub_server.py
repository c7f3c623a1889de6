"""A Hugging Face Hub of our own for tests: the HTTP that the real client speaks, and its faults.

with HubServer([Repo("owner/name", {"train.csv": b"..."}, lfs={"train.csv"})]) as server:
    server.faults = [Fault("owner/name", status=429)]
    ...  # HF_ENDPOINT=server.endpoint
    server.requests

Paths, where KIND is datasets or models, and a model's file has no /datasets before it:

    /api/KIND/OWNER/NAME/revision/REVISION         JSON: commit and names of the files
    /datasets/OWNER/NAME/resolve/REVISION/PATH     a file, or 302 to the storage for an LFS file
    /lfs/KIND/OWNER/NAME/SHA256                    the storage: another host, knows no tokens
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import unquote, urlsplit

API = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/revision/([^/]+))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
OPTIONS = (  # of Python: all warnings are errors but one about how the client itself uploads
    "-Werror",
    "-Wignore::DeprecationWarning:httpx._models",
    "-Wignore::DeprecationWarning:httpx2._models",
)
THEIRS = ("HF_", "HUGGING", "TRANSFORMERS")  # variables that the client reads


@dataclass(frozen=True)
class Repo:
    """A repository: the files of its main branch, and of further branches or tags."""

    id: str
    files: Mapping[str, bytes]
    kind: Literal["dataset", "model"] = "dataset"
    lfs: Set[str] = frozenset()  # names of the files that lie in the storage
    revisions: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    def find(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """Commit and files of a branch, tag or commit."""
        for name, files in {"main": self.files, **self.revisions}.items():
            if revision in (name, commit_of(files)):
                return commit_of(files), files
        return None


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the requests whose path contains `path`."""

    path: str
    status: int = 200
    error_code: str = ""  # the Hub's X-Error-Code: RepoNotFound, GatedRepo, EntryNotFound, ...
    cut_at: int | None = None  # bodies that start before this byte of the file end there
    body: bytes | None = None  # an answer of something that is no Hub
    etag: str = ""  # announced instead of the true one
    pause: float = 0.0  # seconds between two pieces of a body


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    authorization: str | None
    range: str | None


def commit_of(files: Mapping[str, bytes]) -> str:
    """Forty hex digits that depend on names and contents."""
    digest = hashlib.sha1()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


class HubServer:
    """Serves repositories on 127.0.0.1 until the `with` block ends."""

    def __init__(self, repos: Sequence[Repo]) -> None:
        self.repos: dict[tuple[str, str], Repo] = {(repo.kind, repo.id): repo for repo in repos}
        self.faults: list[Fault] = []  # the first that fits counts
        self.requests: list[Request] = []
        self.stored: dict[str, bytes] = {}  # uploaded, by SHA-256
        handler = type("Handler", (_Handler,), {"hub": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        front, storage = (server.server_port for server in self._servers)
        self.endpoint = f"http://127.0.0.1:{front}"
        self.storage = f"http://localhost:{storage}"  # another host, as clients compare names

    def __enter__(self) -> "HubServer":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def environment(self, home: Path, **variables: str) -> dict[str, str]:
        """The environment of a client, its cache at `home`, with only these of its variables."""
        others = {key: os.environ[key] for key in os.environ if not key.startswith(THEIRS)}
        ours = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home)}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost"}
        return others | ours | quiet | variables

    def run(self, program: str, *arguments: str, home: Path, **variables: str) -> list[str]:
        """The lines that a Python program prints, with only these variables of the Hub set.

        home  where the client keeps its cache.
        """
        command = [sys.executable, *OPTIONS, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment(home, **variables))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert variables.get("HF_TOKEN", "no token") not in done.stdout + done.stderr
        return done.stdout.splitlines()


def target(path: str) -> tuple[str, str, str, str] | None:
    """Kind, id, revision and file that a path means; the file is empty for the API."""
    if api := API.fullmatch(path):
        return api[1].removesuffix("s"), api[2], unquote(api[3] or "main"), ""
    if file := FILE.fullmatch(path):
        return "dataset" if file[1] else "model", file[2], unquote(file[3]), unquote(file[4])
    return None


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; `do_GET` and `do_HEAD` are what http.server calls."""

    hub: HubServer

    def do_GET(self) -> None:
        path, headers = urlsplit(self.path).path, self.headers
        self.hub.requests.append(Request(self.command, unquote(path), headers["Authorization"], headers["Range"]))
        fault = self._fault()
        if fault and fault.body is not None:
            self._send(200, {}, fault.body)
        elif fault and fault.status != 200:
            self._refuse(fault.status, fault.error_code)
        elif path.startswith("/lfs/"):
            self._serve_stored(*path.removeprefix("/lfs/").rsplit("/", 1))
        else:
            self._answer(path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        """Keep what is uploaded to the storage."""
        path = urlsplit(self.path).path
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.requests.append(Request("PUT", path, self.headers["Authorization"], None))
        self.hub.stored[path.rsplit("/", 1)[1]] = content
        fault = self._fault()
        self._send(fault.status if fault else 200, {}, b"")

    def do_POST(self) -> None:
        """Make a repository, or take a commit in the steps that the client does it in."""
        path = urlsplit(self.path).path
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.hub.requests.append(Request("POST", path, self.headers["Authorization"], None))
        fault = self._fault()
        if fault and fault.status != 200:
            self._refuse(fault.status, fault.error_code)
            return
        answer = self._take(path, content)
        self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _take(self, path: str, content: bytes) -> dict[str, object]:
        if path.endswith("/validate-yaml"):
            return {"errors": [], "warnings": []}
        if path.endswith("/create"):
            asked = json.loads(content)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.hub.repos.setdefault(("model", name), Repo(name, {}, kind="model"))
            return {"url": f"{self.hub.endpoint}/{name}", "name": name}
        if "/preupload/" in path:
            files = json.loads(content)["files"]
            return {
                "files": [
                    {
                        "path": file["path"],
                        "shouldIgnore": False,
                        "uploadMode": "lfs" if file["path"].endswith("safetensors") else "regular",
                    }
                    for file in files
                ]
            }
        if path.endswith("/objects/batch"):
            objects = json.loads(content)["objects"]
            return {
                "transfer": "basic",
                "objects": [
                    {**wanted, "actions": {"upload": {"href": f"{self.hub.storage}/lfs/up/{oid}"}}}
                    for wanted in objects
                    for oid in [wanted["oid"]]
                ],
            }
        return self._commit(path.split("/")[3:5], content)

    def _commit(self, name: list[str], content: bytes) -> dict[str, object]:
        repo_id = "/".join(name)
        files: dict[str, bytes] = {}
        for line in content.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        lfs = {path for path in files if path.endswith("safetensors")}
        self.hub.repos["model", repo_id] = Repo(repo_id, files, kind="model", lfs=lfs)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{commit_of(files)}"
        return {"commitUrl": url, "commitOid": commit_of(files), "pullRequestUrl": None}

    def _fault(self) -> Fault | None:
        return next((fault for fault in self.hub.faults if fault.path in self.path), None)

    def _answer(self, path: str) -> None:
        kind, repo_id, revision, name = target(path) or ("", "", "", "")
        repo = self.hub.repos.get((kind, repo_id))
        found = repo.find(revision) if repo else None
        if not repo:
            self._refuse(404, "RepoNotFound")
        elif not found:
            self._refuse(404, "RevisionNotFound")
        elif not name:
            self._describe(repo, *found)
        elif name in found[1]:
            self._resolve(repo, *found, name=name)
        else:
            self._refuse(404, "EntryNotFound")

    def _describe(self, repo: Repo, commit: str, files: Mapping[str, bytes]) -> None:
        siblings = [{"rfilename": name} for name in files]
        description = {"id": repo.id, "sha": commit, "siblings": siblings}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(description).encode())

    def _resolve(self, repo: Repo, commit: str, files: Mapping[str, bytes], *, name: str) -> None:
        content = files[name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if name in repo.lfs:
            sha256 = hashlib.sha256(content).hexdigest()
            fault = self._fault()
            announced = fault.etag if fault and fault.etag else sha256
            headers |= {"X-Linked-Etag": f'"{announced}"', "X-Linked-Size": str(len(content))}
            location = f"{self.hub.storage}/lfs/{repo.kind}/{repo.id}/{sha256}"
            self._send(302, headers | {"Location": location}, b"")
        else:
            self._send_part(headers, content)

    def _serve_stored(self, place: str, sha256: str) -> None:
        kind, repo_id = place.split("/", 1)
        repo = self.hub.repos[kind, repo_id]
        files = [file for group in (repo.files, *repo.revisions.values()) for file in group.values()]
        self._send_part({}, next(f for f in files if hashlib.sha256(f).hexdigest() == sha256))

    def _refuse(self, status: int, error_code: str) -> None:
        self._send(status, {"X-Error-Code": error_code} if error_code else {}, b"")

    def _send_part(self, headers: Mapping[str, str], content: bytes) -> None:
        """Send the file, or what of it the request's Range asks for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        first, size = int(asked[1]) if asked else 0, len(content)
        span = {"Content-Range": f"bytes {first}-{size - 1}/{size}"} if asked else {}
        self._send(206 if asked else 200, {**headers, **span}, content[first:], first=first)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, *, first: int = 0) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        fault = self._fault()
        if fault and fault.cut_at is not None and first < fault.cut_at:
            body = body[: fault.cut_at - first]
        if self.command == "HEAD":
            return
        size = max(len(body) // 4, 1) if fault and fault.pause else len(body) or 1
        for start in range(0, len(body), size):
            time.sleep(fault.pause if fault else 0)
            self.wfile.write(body[start : start + size])

    def log_message(self, *_: object) -> None:
        """Nothing on stderr: the log is `HubServer.requests`."""
