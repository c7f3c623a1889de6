"""From what a user calls a model to a folder that holds it, and the list of all that can be named."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import ModelError, did_you_mean
from trm_cli.weights.card import card, licence
from trm_cli.weights.checkpoint import BUNDLED, CONFIG_FILE, WEIGHTS_FILE, Checkpoint, bundled_checkpoints, read_config
from trm_cli.weights.facts import Measurement, measurements_of, record_of
from trm_cli.weights.hub import Known, cached_models, fetch_model, known_models, looks_like_hub_name

if TYPE_CHECKING:
    import torch

    from trm_cli.weights.tensors import LoadedModel

ATTEMPTS = re.compile(r"\b(\d{1,9}) attempts")  # in the name of a measurement
STEPS = re.compile(r"at most (\d{1,9}) steps")
PUBLISHED = re.compile(r"(?P<percent>\d+(?:\.\d+)?)% of (?P<data>\S+)(?: \(.*?(?P<vote>pass@\d+)?\))?")
TREE = "best-first"  # of `--search`
OFFICIAL_STEPS = 16  # of the official evaluation's one attempt, which never halts earlier


@dataclass(frozen=True)
class Found:
    """A checkpoint's folder, what its config says, and where it comes from."""

    folder: Path
    checkpoint: Checkpoint
    source: str  # "bundled", or the model as the user wrote it


def find_model(name: str | None, *, task: str, num_cells: int | None = None, revision: str | None = None) -> Found:
    """The checkpoint of that name; without a name, the bundled one of the task and size.

    num_cells  of a board; None takes a checkpoint of whatever size.
    Raises ModelError where there is none, or where it is for another task or size.
    """
    if name is None:
        if revision is not None:
            raise ModelError("--revision: which model? Give --model OWNER/NAME with it")
        return _default(task, num_cells)
    found = find_by_name(name, revision)
    theirs = found.checkpoint
    if theirs.task != task:
        raise ModelError(f"model {theirs.name!r} is for {theirs.task}, not for {task}")
    refuse_board(theirs, num_cells)
    return found


def refuse_board(checkpoint: Checkpoint, num_cells: int | None) -> None:
    """Raise ModelError where the weights of a checkpoint are not for boards of so many cells."""
    if not checkpoint.model.fits(num_cells):
        raise ModelError(
            f"model {checkpoint.name!r} is for grids of {checkpoint.model.board} cells, the puzzles have "
            f"{num_cells} cells; choose another with --model"
        )


def _default(task: str, num_cells: int | None) -> Found:
    """The bundled checkpoint of the task and size; the one named after the task comes first.

    One that is for several sizes comes after those that are for this one alone.
    """
    bundled = bundled_checkpoints()
    known = []
    for name in sorted(bundled, key=lambda name: (name != task, name)):
        found = Found(bundled[name], read_config(bundled[name]), BUNDLED)
        if found.checkpoint.task == task:
            if found.checkpoint.model.num_cells == (num_cells or found.checkpoint.model.num_cells):
                return found
            known.append(found)
    for found in known:
        if found.checkpoint.model.fits(num_cells):
            return found
    boards = ", ".join(f"{found.checkpoint.name} ({found.checkpoint.model.board})" for found in known)
    what = f"no bundled {task} model for puzzles of {num_cells} cells, only {boards}"
    what = what if known else f"no {task} model is bundled"
    raise ModelError(f"{what}; train one with `trm train {task}` and give its folder with --model")


def find_by_name(name: str, revision: str | None = None) -> Found:
    """The checkpoint of that name: bundled, a local folder or file, or one of the Hub.

    A run's folder means its checkpoint. A file of another layout is converted into the cache.
    Raises ModelError where there is none.
    """
    bundled = bundled_checkpoints()
    path = Path(name)
    is_local, is_of_hub = name in bundled or os.path.exists(name), looks_like_hub_name(name)
    if revision is not None and (is_local or not is_of_hub):
        raise ModelError(f"--revision: {name!r} is no model of the Hub; leave it out")
    if name in bundled:
        return Found(bundled[name], read_config(bundled[name]), BUNDLED)
    if not is_local and not is_of_hub:
        raise ModelError(
            f"no model {name!r}: neither a folder nor one of the bundled {', '.join(bundled)}, nor a file, "
            f"nor OWNER/NAME on the Hub{did_you_mean(name, [*bundled, *known_models()])}"
        )
    path = path if is_local else fetch_model(name, revision)
    if os.path.isdir(path):  # which a folder without permission does not stop
        folder = path / "checkpoint" if os.path.exists(path / "checkpoint" / CONFIG_FILE) else path
    elif path.name == WEIGHTS_FILE and os.path.exists(path.parent / CONFIG_FILE):
        folder = path.parent
    else:
        from trm_cli.weights.convert import Source, converted

        folder = converted(Source(path, name, revision), converted_root())
    return Found(folder, read_config(folder), name if revision is None else f"{name}@{revision}")


def open_model(
    name: str | None,
    *,
    task: str,
    num_cells: int | None = None,
    device: "torch.device",
    dtype: "torch.dtype | None" = None,
    compiles: bool = False,
    revision: str | None = None,
) -> "LoadedModel":
    """Find a checkpoint and load it, ready to run; raises ModelError where it cannot.

    num_cells  of a board; None leaves a checkpoint at its own size, whatever it is.
    dtype      that it computes in; what it is fastest in if nothing is said.
    compiles   torch.compile the net: the first step takes a minute, every other one less.
    """
    from trm_cli.model.network import compile_network
    from trm_cli.model.number_types import compute_in
    from trm_cli.weights.tensors import load_checkpoint

    found = find_model(name, task=task, num_cells=num_cells, revision=revision)
    loaded = load_checkpoint(found.folder, source=found.source, device=device, num_cells=num_cells)
    compute_in(loaded.network, dtype)
    if compiles:
        compile_network(loaded.network)
    return loaded


@dataclass(frozen=True)
class Entry:
    """One model of `trm models list`.

    solved         share of the puzzles that its default settings solve, as measured or published.
    attempts       at each puzzle, at most; None where answers are voted on, a tree is searched, or nothing is known.
    searches       whether a tree is searched, bounded by its steps.
    max_steps      of an attempt, at most.
    mean_steps     of all attempts at a puzzle.
    first_attempt  share solved by one attempt, of the same data.
    """

    name: str
    where: str  # bundled, cached or known
    task: str
    size: str
    accuracy: str  # in words: what is solved of which data
    licence: str
    source: str
    tried: bool = True  # here, by the authors of this program
    solved: float | None = None
    attempts: int | None = None
    searches: bool = False
    max_steps: int | None = None
    mean_steps: float | None = None
    first_attempt: float | None = None
    data: str | None = None
    puzzles: int | None = None
    vote: str | None = None  # such as pass@2, of answers that are voted on


def listing() -> list[Entry]:
    """Every model that can be named, without asking the network.

    Of the Hub's cache: checkpoints of ours, known files, or what is neither; then what was converted.
    """
    bundled = [of_checkpoint(name, BUNDLED, folder, "comes with trm") for name, folder in bundled_checkpoints().items()]
    cached = []
    for repo in cached_models():
        found = []
        for path in repo.files:
            if path.name == CONFIG_FILE and os.path.exists(path.with_name(WEIGHTS_FILE)):
                with suppress(ModelError):  # someone else's config.json
                    found.append(of_checkpoint(repo.repo, "cached", path.parent, repo.repo))
        for known in known_models().values():
            if known.repo == repo.repo and any(path.as_posix().endswith(f"/{known.file}") for path in repo.files):
                found.append(_of_known(known, "cached"))
        if repo.files and not found:
            found = [Entry(repo.repo, "cached", "?", _size(repo.num_bytes), "?", "?", repo.repo, tried=False)]
        cached += found
    for folder, origin in conversions():
        is_of_hub = looks_like_hub_name(origin) and not os.path.exists(origin)  # then it is listed with its repository
        if origin and not is_of_hub:
            with suppress(ModelError):
                cached.append(of_checkpoint(origin, "cached", folder, str(folder)))
    names = {entry.name for entry in cached}
    public = [_of_known(known, "known") for known in known_models().values() if known.alias not in names]
    return [*bundled, *cached, *public]


def of_checkpoint(name: str, where: str, folder: Path, source: str) -> Entry:
    """An entry with the last measurement by the default settings, or what was published of converted weights."""
    checkpoint = read_config(folder)
    record, measured = record_of(checkpoint), measurements_of(checkpoint)
    if measured:
        figures = _measured(checkpoint, measured)
        words = f"{figures['solved']:.2%} of {figures['data']}"
    else:
        published = record.converted.published if record.converted else None
        words, figures = published or "not measured", _published(published or "")
    try:
        size = _size((folder / WEIGHTS_FILE).stat().st_size)
    except OSError as error:
        raise ModelError(f"{folder / WEIGHTS_FILE}: cannot be read ({error.strerror}); download it again") from error
    return Entry(name, where, checkpoint.task, size, words, licence(record), source, **figures)


def _of_known(known: Known, where: str) -> Entry:
    figures = _published(known.accuracy)
    return Entry(
        known.alias, where, known.task, known.size, known.accuracy, known.licence, known.source, tried=False, **figures
    )


def _measured(checkpoint: Checkpoint, measured: dict[str, Measurement]) -> dict[str, Any]:
    """The figures of the last measurement that made as many attempts as are usual, or else of the last one."""
    usual = checkpoint.solving.get("attempts", 1) if checkpoint.solving.get("search") != TREE else None
    known = [(name, _attempts(name)) for name in measured]
    name, attempts = next((one for one in reversed(known) if one[1] == usual), known[-1])
    whole, within = measured[name].whole, measured[name].solved_within_steps
    steps = STEPS.search(name)
    first_attempt = within[-1] / whole.puzzles if within else whole.verified if attempts == 1 else None
    return {
        "solved": whole.verified,
        "attempts": attempts,
        "searches": attempts is None,
        "max_steps": int(steps[1]) if steps else checkpoint.model.N_sup,
        "mean_steps": whole.mean_steps,
        "first_attempt": first_attempt,
        "data": name.split(",")[0].split(".")[0],  # without the ending of a file's name
        "puzzles": whole.puzzles,
    }


def _attempts(measurement: str) -> int | None:
    """At a puzzle, at most; None where a tree was searched."""
    found = ATTEMPTS.search(measurement)
    return None if f"{TREE} search" in measurement else int(found[1]) if found else 1


def _published(accuracy: str) -> dict[str, Any]:
    """The figures in words such as "79.37% of Sudoku-Extreme"; where no vote is named, the official evaluation's."""
    found = PUBLISHED.fullmatch(accuracy)
    if found is None:
        return {}
    share, data, vote = float(found["percent"]) / 100, found["data"], found["vote"]
    if vote:
        return {"solved": share, "data": data, "vote": vote}
    return {"solved": share, "attempts": 1, "max_steps": OFFICIAL_STEPS, "first_attempt": share, "data": data}


def _size(num_bytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1000:.0f} kB"


def conversions() -> Iterator[tuple[Path, str]]:
    """Every folder of the cache that holds a converted checkpoint, and what it was converted from."""
    for config in sorted(converted_root().glob(f"*/{CONFIG_FILE}")):
        with suppress(ModelError):
            converted = record_of(read_config(config.parent)).converted
            yield config.parent, converted.origin if converted else ""


def converted_root() -> Path:
    """Where converted files are kept."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "trm" / "converted"


def described(found: Found) -> dict[str, Any]:
    """All that is known of a model, and its card; ModelError where its weights do not load."""
    from trm_cli.weights.tensors import load_checkpoint

    load_checkpoint(found.folder, source=found.source)
    text = card(found.checkpoint)
    return {"folder": str(found.folder), "source": found.source, **asdict(found.checkpoint), "card": text}


def remove_model(name: str) -> int:
    """Delete what the cache holds of a model and what was converted from it; returns the bytes.

    name  of the Hub, of a known model, or a local file that was converted into the cache.
    Raises ModelError where there is nothing to delete.
    """
    if name in bundled_checkpoints():
        raise ModelError(f"{name}: comes with trm; only what the cache holds can be removed")
    known = known_models().get(name)
    repo = known.repo if known else name.split(":")[0]
    names = {name, *(entry.alias for entry in known_models().values() if entry.repo == repo)}
    freed = 0
    for folder, origin in conversions():
        if origin in names or origin.split(":")[0] == repo:
            freed += sum(file.stat().st_size for file in folder.iterdir())
            shutil.rmtree(folder)
    for cached in cached_models():
        if cached.repo == repo and cached.files and not os.path.exists(name):
            freed += cached.num_bytes
            shutil.rmtree(cached.folder)
    if not freed:
        raise ModelError(f"{name}: not in the cache; see `trm models list`")
    return freed
