"""Commands as processes of their own that fork off one Python, which has imported torch already."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROGRAM = """
import contextlib, functools, gc, importlib, json, os, pathlib, resource, signal, sys, tempfile, threading, time
for name in sys.argv.pop().split():  # once for all
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
import typer
from trm_cli.__main__ import main
from trm_cli.cli.app import app
typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(app)
if "httpx" in sys.modules:
    time.sleep = lambda seconds: None  # the Hub's client waits between its attempts
sys.path[0] = os.getcwd()
gc.freeze()
for line in sys.stdin:
    arguments, folder, variables, text, limits = json.loads(line)
    streams = [tempfile.mkstemp() for _ in range(3)]
    child = os.fork()
    if not child:
        signal.alarm(limits["seconds"])
        if limits["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"],) * 2)
        os.write(streams[0][0], text.encode())
        os.lseek(streams[0][0], 0, os.SEEK_SET)
        for number, (stream, _) in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv[1:] = arguments
        code = 1
        try:
            if arguments[0] == "-c":
                exec(arguments[1])
            else:
                main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # to clean up would touch, and so copy, every page of memory
    if limits["kill_after"] is not None:
        timer = threading.Timer(limits["kill_after"], os.kill, (child, signal.SIGKILL))
        timer.start()
    _, status, usage = os.wait4(child, 0)
    if limits["kill_after"] is not None:
        timer.cancel()
        timer.join()
    texts = [pathlib.Path(path).read_text(errors="replace") for _, path in streams[1:]]
    for stream, path in streams:
        os.close(stream)
        os.unlink(path)
    print(json.dumps([os.waitstatus_to_exitcode(status), *texts, usage.ru_maxrss // 1024]), flush=True)
"""
COMMANDS = (
    "torch",
    "typer._adapters",  # imports pydantic where that is installed
    "trm_cli.cli.app",
    "trm_cli.tasks.arc",
    "trm_cli.tasks.inputs",
    "trm_cli.tasks.maze",
    "trm_cli.tasks.sudoku",
    "trm_cli.weights.catalogue",
    "trm_cli.solving.engine",
    "trm_cli.display.console",
)
HUB = (*COMMANDS, "httpx2", "httpx", "yaml", "tqdm.auto")
TRAINING = (
    *COMMANDS,
    "torch._dynamo",
    "trm_cli.training.loop",
    "trm_cli.display.training",
    "trm_cli.display.answers",
    "trm_cli.display.watch",
    "trm_cli.solving.replay",
    "trm_cli.weights.card",
    "trm_cli.display.report",
    "trm_cli.display.export",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
)


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str
    megabytes: int = 0  # that it took at most, with what is imported


class Forked:
    """Runs `trm` with arguments, or a program after -c."""

    def __init__(self, imports: tuple[str, ...], *options: str, **environment: str) -> None:
        """imports  of modules, made once; options  of Python; environment  in which it starts."""
        words = [sys.executable, *options, "-c", PROGRAM, " ".join(imports)]
        variables = {**os.environ, **environment}
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def run(
        self,
        arguments: list[str],
        *,
        folder: Path,
        variables: Mapping[str, str],
        stdin: str = "",
        seconds: int = 300,
        file_bytes: int | None = None,
        kill_after: float | None = None,
    ) -> Done:
        """One command in that folder, with these environment variables and no others.

        seconds     after which SIGALRM ends it.
        file_bytes  of the largest file that it can write, as on a full disk.
        kill_after  seconds after which SIGKILL ends it.
        """
        assert self.process.stdin
        assert self.process.stdout
        limits = {"seconds": seconds, "file_bytes": file_bytes, "kill_after": kill_after}
        self.process.stdin.write(json.dumps([arguments, str(folder), dict(variables), stdin, limits]) + "\n")
        self.process.stdin.flush()
        return Done(*json.loads(self.process.stdout.readline()))
