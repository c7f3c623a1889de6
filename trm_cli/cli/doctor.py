"""`trm doctor`: whether this installation can do what it should, check by check, and what to do where it cannot."""

import json as json_module
import os
import platform
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from typer import Option

from trm_cli import __version__
from trm_cli.cli import options
from trm_cli.cli.commands import known_variables
from trm_cli.cli.help import INPUT_OUTPUT
from trm_cli.errors import ModelError, TRMError, did_you_mean, printable

OK, WARNING, FAILS = "ok", "warning", "fails"  # of a check
COLOURS = {OK: "green", WARNING: "yellow", FAILS: "bold red"}
ALL_WELL, NOT_WELL = 0, ModelError.exit_code
GIGABYTE = 10**9
STATE_WIDTH, NAME_WIDTH, LEAST_WIDTH = 9, 28, 30  # of the columns on screen
LEAST_FREE = GIGABYTE  # bytes that a download may need
HUB_SECONDS = 5.0  # that the Hub may take to answer
MOST_STEPS = 128  # of a network at its example, which takes far fewer
REINSTALL = "install trm again: pip install --force-reinstall trm-cli"
OPTIONAL = {  # packages that trm works without, and what they are for
    "onnxruntime": "running what `trm models export` writes: pip install 'trm-cli[onnx]'",
    "onnxscript": "`trm models export --format onnx`: pip install 'trm-cli[onnx]'",
    "tensorboard": "`trm train --log-to tensorboard`: pip install tensorboard",
    "wandb": "`trm train --log-to wandb`: pip install wandb",
}


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do where it is not well."""

    name: str
    state: str
    says: str
    todo: str = ""


def doctor(
    ctx: typer.Context,
    online: bool = Option(False, "--online", help="Also ask the Hub for an answer.", rich_help_panel=INPUT_OUTPUT),
    json: options.Json = False,
) -> None:
    """Check this installation; solve a puzzle with each bundled network.

    Torch, devices, threads, weights, the cache, the Hub, variables and optional packages are looked at.

    A warning is something that trm works without. Nothing is asked of the network without --online. With --json one
    object: `ok`, and `checks`, each with a name, a state (ok, warning, fails), what it says and what to do.

    Exit code: 0 all is well, perhaps with warnings; 3 something fails.

    Example: trm doctor
    """
    checks = []
    for check in examine(known_variables(ctx.find_root().command), online=online):
        checks.append(check)
        if not json:
            _show(check)
    count = {state: sum(check.state == state for check in checks) for state in COLOURS}
    if json:
        typer.echo(json_module.dumps({"ok": not count[FAILS], "checks": [asdict(check) for check in checks]}))
    elif count[FAILS]:
        typer.echo(f"\nfailures: {count[FAILS]}, warnings: {count[WARNING]}")
    else:
        typer.echo("\nall is well" + (f", with warnings: {count[WARNING]}" if count[WARNING] else ""))
    raise typer.Exit(NOT_WELL if count[FAILS] else ALL_WELL)


def _show(check: Check) -> None:
    """Print a check: how it is, what was looked at, and beside these what it says."""
    from rich.text import Text

    from trm_cli.display.console import answers_console

    console, colour = answers_console(), COLOURS[check.state]
    width = max(LEAST_WIDTH, console.width - STATE_WIDTH - NAME_WIDTH) if console.is_terminal else sys.maxsize
    said = [Text(line) for line in textwrap.wrap(printable(check.says), width)]
    said += [Text(line, colour) for line in textwrap.wrap(f"to do: {printable(check.todo)}", width) if check.todo]
    for number, line in enumerate(said):
        state, name = ("", "") if number else (check.state, printable(check.name))
        console.print(Text.assemble((f"{state:{STATE_WIDTH}}", colour), f"{name:{NAME_WIDTH}}", line))


def examine(variables: set[str], *, online: bool = False) -> Iterator[Check]:
    """Every check in turn; what a broken one raises becomes its failure.

    variables  the names of those that trm reads.
    online     also ask the Hub for an answer.
    """
    parts: dict[str, Callable[[], Iterator[Check]]] = {
        "trm": check_python,
        "torch": check_torch,
        "devices": check_devices,
        "weights": check_weights,
        "puzzles": check_puzzles,
        "cache": check_cache,
        "Hub": lambda: check_hub(online=online),
        "variables": lambda: check_variables(variables),
        "added tasks": check_added_tasks,
        "optional": check_optional,
    }
    for name, check in parts.items():
        try:
            yield from check()
        except TRMError as error:
            yield Check(name, FAILS, str(error))
        except Exception as error:  # whatever is broken: finding that is what this command is for
            yield Check(name, FAILS, f"{type(error).__name__}: {error}", REINSTALL)


def check_python() -> Iterator[Check]:
    """The versions of trm, Python and the system."""
    where = Path(__file__).resolve().parents[1]
    yield Check("trm", OK, f"{__version__}, in {where}")
    yield Check("Python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def check_torch() -> Iterator[Check]:
    """The build of torch, and how many threads it computes in."""
    import torch

    libraries = {"MKL": torch.backends.mkl, "oneDNN": torch.backends.mkldnn, "OpenMP": torch.backends.openmp}
    there = [name for name, library in libraries.items() if library.is_available()]
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    yield Check("torch", OK, f"{torch.__version__}, {built}; {', '.join(there) or 'no fast library'}")
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    says = f"{threads} of torch, {cores} cores"
    if threads > cores:
        yield Check("threads", WARNING, says, f"more threads than cores are slow; give --threads {cores}")
    else:
        yield Check("threads", OK, says)


def check_devices() -> Iterator[Check]:
    """Where torch can compute, each tried with a small sum."""
    import torch

    memory = "memory unknown"
    if hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= os.sysconf_names.keys():
        memory = _gigabytes(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    yield Check("cpu", OK, f"{torch.backends.cpu.get_cpu_capability()}, {memory}")
    found = {}
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            found[f"cuda:{number}"] = f"{about.name}, {_gigabytes(about.total_memory)}"
    elif torch.version.cuda:
        yield Check("cuda", WARNING, "no GPU found, though torch is built for them", "see whether nvidia-smi finds one")
    elif shutil.which("nvidia-smi"):
        yield Check("cuda", WARNING, "torch is built without CUDA, yet nvidia-smi is here", "install torch for CUDA")
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    for name, says in found.items():
        try:
            torch.ones(2, device=name).sum().item()
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            yield Check(name, FAILS, f"{says}: {first}", "use --device cpu, or install a torch for this device")
        else:
            yield Check(name, OK, says)


def check_weights() -> Iterator[Check]:
    """Every bundled network: its SHA-256, and whether it loads."""
    from trm_cli.model.network import count_parameters
    from trm_cli.weights.checkpoint import BUNDLED, bundled_checkpoints
    from trm_cli.weights.tensors import load_checkpoint

    bundled = bundled_checkpoints()
    if not bundled:
        yield Check("weights", FAILS, "no bundled network is there", REINSTALL)
    for name, folder in bundled.items():
        try:
            loaded = load_checkpoint(folder, source=BUNDLED)
        except ModelError as error:
            yield Check(f"{name} weights", FAILS, str(error), REINSTALL)
        else:
            says = f"{count_parameters(loaded.checkpoint.model):,} parameters, SHA-256 {loaded.sha256[:12]} as listed"
            yield Check(f"{name} weights", OK, says)


def check_puzzles() -> Iterator[Check]:
    """An example of every task that has some, solved by its bundled network and checked by its rules."""
    import torch

    from trm_cli.config import SolveConfig
    from trm_cli.solving.engine import solve_stream
    from trm_cli.tasks import loadable_tasks
    from trm_cli.weights.catalogue import open_model

    for task in loadable_tasks():
        puzzle = next(iter(task.read(task.examples.splitlines(), "example")), None) if task.examples else None
        if puzzle is None:
            continue
        name = f"{task.name} puzzle"
        began = time.perf_counter()
        try:
            loaded = open_model(None, task=task.name, num_cells=puzzle.tokens.size, device=torch.device("cpu"))
            settings = SolveConfig(**{**loaded.checkpoint.solving, "step_limit": MOST_STEPS})
            (solution,) = solve_stream(
                loaded.network, task, puzzle.tokens[None], batch_size=1, settings=settings, stops=lambda: False
            )
        except ModelError as error:
            yield Check(name, FAILS, str(error), REINSTALL)
            continue
        seconds = time.perf_counter() - began
        if solution.solved:
            yield Check(name, OK, f"solved in {seconds:.1f} s, the rules hold")
        else:
            yield Check(name, FAILS, f"not solved in {seconds:.1f} s, though it should be", REINSTALL)


def check_cache() -> Iterator[Check]:
    """The Hub's cache: where it is, what models it holds, whether there is room and it can be written."""
    import tempfile

    from huggingface_hub import constants

    from trm_cli.weights.hub import cached_models

    cache = Path(constants.HF_HUB_CACHE)
    cached = list(cached_models())
    size = _gigabytes(sum(repo.num_bytes for repo in cached))
    says = f"{cache}: {len(cached)} models, {size}"
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        todo = "models of the Hub cannot be kept; set HF_HOME to a folder that you can write to"
        yield Check("cache", WARNING, f"{says}; cannot be written ({error.strerror})", todo)
        return
    says = f"{says}; {_gigabytes(free)} free"
    yield Check("cache", *((WARNING, says, "free some space") if free < LEAST_FREE else (OK, says)))


def check_hub(*, online: bool) -> Iterator[Check]:
    """How the Hub is reached; a token is not shown."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # of requests, httpx

    endpoint = _without_password(constants.ENDPOINT)
    try:
        token = "a token" if huggingface_hub.get_token() else "no token"
    except OSError as error:
        token = f"no readable token ({error.strerror})"
    says = f"{endpoint}, {token}"
    if constants.HF_HUB_OFFLINE:
        state, todo = (FAILS, "unset HF_HUB_OFFLINE to reach it") if online else (OK, "")
        yield Check("Hub", state, f"{says}; HF_HUB_OFFLINE is set, so only the cache is read", todo)
    elif not online:
        yield Check("Hub", OK, f"{says}; not asked, see --online")
    else:
        began = time.perf_counter()
        try:
            huggingface_hub.get_session().get(
                f"{constants.ENDPOINT}/api/models?limit=1", timeout=HUB_SECONDS
            ).raise_for_status()
        except (HTTPError, OSError, ValueError) as error:
            reason = _without_password(str(error).splitlines()[0] if str(error) else type(error).__name__)
            todo = "check the network, HTTPS_PROXY and HF_ENDPOINT"
            yield Check("Hub", FAILS, f"{says}; no answer ({reason})", todo)
        else:
            yield Check("Hub", OK, f"{says}; answered in {time.perf_counter() - began:.1f} s")


def check_variables(known: set[str]) -> Iterator[Check]:
    """Variables that stand for options; one that trm does not read is probably misspelled."""
    from trm_cli.tasks import loadable_tasks

    added = [option.flag for task in loadable_tasks() for option in task.data_options]
    known = known | {f"TRM_DATA_{flag.strip('-').replace('-', '_').upper()}" for flag in added}
    typed = {name: value for name, value in sorted(os.environ.items()) if name.startswith("TRM_")}
    yield Check("variables", OK, ", ".join(f"{name}={value}" for name, value in typed.items()) or "none is set")
    for name in typed.keys() - known:
        yield Check(name, WARNING, f"no option of trm is called so{did_you_mean(name, known)}", "correct or unset it")


def check_added_tasks() -> Iterator[Check]:
    """Tasks of other packages; one that cannot be loaded is a warning."""
    from trm_cli.tasks import added_tasks, get_task

    for name, entry in added_tasks().items():
        try:
            get_task(name)
        except TRMError as error:
            yield Check(f"{name} task", WARNING, str(error), "update or uninstall the package that adds it")
        else:
            yield Check(f"{name} task", OK, f"added by {entry.value}")


def check_optional() -> Iterator[Check]:
    """Packages that only some commands need."""
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the time that help takes

    for name, purpose in OPTIONAL.items():
        try:
            yield Check(name, OK, version(name))
        except PackageNotFoundError:
            yield Check(name, OK, f"not installed; only for {purpose}")


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / GIGABYTE:.1f} GB"


def _without_password(text: str) -> str:
    """An address without what stands before its @."""
    return re.sub(r"//[^/@\s]*@", "//", text)
