"""Commands as processes of their own that fork off one Python, which has imported torch already."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROGRAM = """
import contextlib, importlib, json, os, pathlib, sys, tempfile, time
for name in ("torch", "trm_cli.weights.catalogue", "trm_cli.solving.engine", "trm_cli.cli.app",
             "typer._adapters", "httpx2", "httpx", "yaml", "tqdm.auto"):  # once for all
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
from trm_cli.__main__ import main
time.sleep = lambda seconds: None  # the Hub's client waits between its attempts
sys.path[0] = os.getcwd()
for line in sys.stdin:
    arguments, folder, variables = json.loads(line)
    streams = [tempfile.mkstemp() for _ in range(2)]
    child = os.fork()
    if not child:
        for number, (stream, _) in enumerate(streams, 1):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv[1:] = arguments
        if arguments[0] == "-c":
            exec(arguments[1])
            sys.exit()
        main()
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [pathlib.Path(path).read_text() for _, path in streams]
    print(json.dumps([exit_code, *texts]), flush=True)
"""


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class Forked:
    """Runs `trm` with arguments, or a program after -c."""

    def __init__(self, *options: str) -> None:
        """options  of Python."""
        self.process = subprocess.Popen(
            [sys.executable, *options, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def run(self, arguments: list[str], *, folder: Path, variables: Mapping[str, str]) -> Done:
        """One command in that folder, with these environment variables and no others."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([arguments, str(folder), dict(variables)]) + "\n")
        self.process.stdin.flush()
        return Done(*json.loads(self.process.stdout.readline()))
