"""Exact resume: everything that decides how a run goes on, in a folder that appears at once.

    step-00001200/state.json             step, seconds, number of workers; checksums of all the rest
                  shared.safetensors     weights, EMA weights, optimizers
                  worker-0.safetensors   rolling batch, sums, random generators; one a worker

A state is written beside the others, flushed to the disk and renamed; then the older ones go. What
follows from the recipe, the data and the seed is not in it: schedule, examples, symmetries.
Nothing of a state is used before all of it is known to be what was saved, and to fit the trainer.
To look for a state needs no torch, which is imported where tensors are read or written.
"""

import json
import math
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from trm_cli.config import MOST_STEPS, ModelConfig
from trm_cli.errors import FileError, TrainingError, UsageError, first_line
from trm_cli.files import GIBIBYTE, flush, read_text, sha256_of
from trm_cli.schema import CHECKSUM, checked, parse_json, sealed, unsealed

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trm_cli.training.step import Trainer

FORMAT = 1
STATE_FILE, SHARED_FILE = "state.json", "shared.safetensors"
PARTIAL = ".partial"
MOST_SECONDS = 10**10  # of a run: three centuries
MOST_WORKERS = 1 << 16
LARGEST_FILE = 64 * GIBIBYTE  # ten times what the largest published table of puzzles takes
MOST_COUNTED = 1 << 24  # steps that an optimizer counts in float32
COUNTS = ("steps", "halted", "halted_right")  # among the sums
SQUARES = ("exp_avg_sq", "square")  # moments that are never negative
ROUNDED = 1.001  # a float32 over the number that it stands for, at most
OS_ERROR = re.compile(r"os error (\d+)")  # as safetensors words what the system says
ANOTHER = "give another state to --resume"
Seconds = Annotated[float, (0, MOST_SECONDS)]


@dataclass(frozen=True)
class _Known:
    """The format of a state, which says what else there is."""

    format: int


@dataclass(frozen=True)
class _Record(_Known):
    """What state.json holds."""

    step: Annotated[int, (0, MOST_STEPS)]
    seconds: Seconds  # of training before it
    reported: Seconds  # at which the sums for the next report began
    workers: Annotated[int, (1, MOST_WORKERS)]
    device: Annotated[str, ("cpu", "cuda", "mps")]  # that its generators belong to
    evaluated: Annotated[int, (0, MOST_STEPS)]  # step of the last evaluation
    sha256: dict[str, str] = field(default_factory=dict)  # of its other files; none in those of 0.1.0
    config_sha256: str = ""  # of the run's config.json


@dataclass(frozen=True)
class SavedState(_Record):
    """A state on the disk."""

    folder: Path = Path()


def newest_state(parent: Path) -> SavedState | None:
    """The newest of the states in a folder, if there is one.

    Raises TrainingError where it is damaged, OSError where the folder cannot be read.
    """
    names = sorted(os.listdir(parent)) if parent.exists() else []
    states = [parent / name for name in names if name.startswith("step-") and (parent / name / STATE_FILE).exists()]
    return read_state(states[-1]) if states else None


def read_state(folder: Path) -> SavedState:
    """The state in a folder of its own; raises TrainingError where it is damaged."""
    path = folder / STATE_FILE
    try:
        content = parse_json(read_text(path))
        version = checked(content, _Known).format
        if version != FORMAT:
            raise TrainingError(f"{path}: a state of format {version}; this trm reads {FORMAT}")
        record = checked(unsealed(content), _Record)
        if record.evaluated > record.step:
            raise FileError(f"evaluated at step {record.evaluated:,}, after its own")
        if record.sha256 and CHECKSUM not in content:
            raise FileError("its own checksum is missing")
    except FileError as error:
        raise TrainingError(f"{path}: damaged: {error}; {ANOTHER}") from error
    return SavedState(**vars(record), folder=folder)


def save_state(parent: Path, trainer: "Trainer", config_sha256: str = "") -> None:
    """Write the trainer's state into a folder of states and drop the older ones.

    Every worker calls it at the same step. Raises OSError where the disk takes no more; the last
    state is intact then.
    config_sha256  of the config that the run goes on with.
    """
    workers, partial = trainer.workers, parent / PARTIAL
    try:
        if workers.is_first:
            parent.mkdir(exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        workers.wait()
        own = _carried(trainer) | {name: source.get_state() for name, source in _generators(trainer).items()}
        written = _write_tensors(partial / worker_file(workers.rank), own)
        sha256 = {SHARED_FILE: ""}
        if workers.is_first:
            sha256[SHARED_FILE] = _write_tensors(partial / SHARED_FILE, _weights(trainer) | _moments(trainer))
        sha256 |= {worker_file(rank): one for rank, one in enumerate(_digests(trainer, written))}
        if workers.is_first:  # all have written theirs
            known = {name: getattr(trainer, name) for name in ("step", "seconds", "reported", "evaluated")}
            known |= {"format": FORMAT, "workers": workers.count, "device": trainer.device.type}
            known |= {"sha256": sha256, "config_sha256": config_sha256}
            (partial / STATE_FILE).write_text(json.dumps(sealed(known)) + "\n", encoding="utf-8")
            flush(partial / STATE_FILE)
            flush(partial)
            folder = parent / f"step-{trainer.step:08}"
            if folder.exists():  # saved before an evaluation that has been made since
                folder.rename(folder.with_name(f"{folder.name}.old"))
            partial.rename(folder)
            flush(parent)
            keep_only(folder)
    finally:
        if workers.is_first:
            shutil.rmtree(partial, ignore_errors=True)


def worker_file(rank: int) -> str:
    """Where a worker's part of a state lies."""
    return f"worker-{rank}.safetensors"


def _digests(trainer: "Trainer", own: str) -> list[str]:
    """The SHA-256 of what each worker has written, which is waited for."""
    import torch

    digest = torch.tensor(list(bytes.fromhex(own)), dtype=torch.uint8, device=trainer.device)
    gathered = trainer.workers.gathered(digest).view(-1, len(digest)).tolist()
    return [bytes(one).hex() for one in gathered]


def keep_only(folder: Path) -> None:
    """Remove the other states of a run: older ones, or those of a future that was given up."""
    for other in folder.parent.glob("step-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def refuse_other_config(state: SavedState, model: ModelConfig, batch_size: int) -> None:
    """Raise UsageError where a state is of another network or batch than a config says.

    Nothing of their size is made before that is known.
    """
    import torch

    from trm_cli.model.network import TinyRecursiveModel
    from trm_cli.training.step import SUMS

    files = (SHARED_FILE, worker_file(0))
    saved = {name: one for file in files for name, one in _map_tensors(state, file).items()}
    slots = torch.empty(batch_size // state.workers, dtype=torch.long, device="meta")
    expected = {name: slots for name in saved if name.startswith("batch") and name.endswith(".steps")}
    with torch.device("meta"):
        expected["sums"] = torch.empty(len(SUMS) + model.N_sup)
        if model.looks_up_puzzles:
            expected["table"] = torch.empty(model.num_puzzles, model.hidden_size)
        if model.num_layers < len(saved):  # to list more would take long
            network = TinyRecursiveModel(model).state_dict()
            expected |= {f"{kind}.{name}": one for kind in ("network", "averaged") for name, one in network.items()}
    known = {name: one for name, one in saved.items() if name in expected or name.startswith(("network.", "averaged."))}
    try:
        _refuse_others(state, known, expected)
    except UsageError:
        for file in files:  # what is damaged is no other's
            _refuse_changed(state, file)
        raise


def load_state(state: SavedState, trainer: "Trainer") -> None:
    """Bring a trainer to a saved state.

    Raises UsageError where they do not fit together, TrainingError where the state is damaged; the
    trainer is as before then.
    """
    import torch

    from trm_cli.training.optim import MOMENTS

    workers, device = trainer.workers, trainer.device
    if state.workers != workers.count:
        raise UsageError(
            f"{state.folder}: saved by {state.workers} workers, not {workers.count}; resume with --gpus {state.workers}"
        )
    if state.device != device.type:
        raise UsageError(
            f"{state.folder}: saved on {state.device}, not on {device.type}; resume with --device {state.device}"
        )
    generators, parameters = _generators(trainer), _parameters(trainer)
    shared, own = _weights(trainer), _carried(trainer)
    moments = {
        f"optimizer.{number}.{key}.{name}": torch.zeros(()) if key == "step" else param
        for number, name, param in (parameters if state.step else [])
        for key in MOMENTS[type(trainer.optimizers[number])]
    }
    saved = _read_tensors(state, SHARED_FILE, shared | moments)
    carried = _read_tensors(
        state, worker_file(workers.rank), own | {name: source.get_state() for name, source in generators.items()}
    )
    _refuse_values(state, trainer, saved | carried)
    with torch.no_grad():
        for name, tensor in (shared | own).items():
            tensor.copy_((saved | carried)[name])
    for number, name, param in parameters if state.step else []:
        optimizer = trainer.optimizers[number]
        remembered = {key: saved[f"optimizer.{number}.{key}.{name}"] for key in MOMENTS[type(optimizer)]}
        if remembered:
            optimizer.state[param] = {key: value.to(device, copy=True) for key, value in remembered.items()}
    trainer.step, trainer.seconds, trainer.reported = state.step, state.seconds, state.reported
    trainer.evaluated = state.evaluated
    trainer.fill_working_copy()
    for other in (trainer.working, trainer.ema.model):  # the fixed starts, which are not trained
        other.load_state_dict(dict(trainer.network.named_buffers()), strict=False)
    for name, source in generators.items():
        source.set_state(carried[name])


def is_finite(trainer: "Trainer") -> bool:
    """Whether all that a state would hold are numbers."""
    import torch

    tensors = (_weights(trainer) | _moments(trainer) | _carried(trainer)).values()
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _weights(trainer: "Trainer") -> dict[str, "Tensor"]:
    """Raw weights, EMA weights and the table of puzzles, the same in every worker."""
    return {
        **{f"network.{name}": tensor for name, tensor in trainer.network.state_dict().items()},
        **{f"averaged.{name}": tensor for name, tensor in trainer.ema.model.state_dict().items()},
        **({} if trainer.table is None else {"table": trainer.table}),
    }


def _parameters(trainer: "Trainer") -> list[tuple[int, str, "Tensor"]]:
    """Every parameter with its name, after the number of the optimizer that updates it."""
    names = {param: name for name, param in trainer.network.named_parameters()}
    groups = [(number, group) for number, one in enumerate(trainer.optimizers) for group in one.param_groups]
    return [(number, names[param], param) for number, group in groups for param in group["params"]]


def _moments(trainer: "Trainer") -> dict[str, "Tensor"]:
    """What the optimizers remember of each parameter, the same in every worker."""
    return {
        f"optimizer.{number}.{key}.{name}": value
        for number, name, param in _parameters(trainer)
        for key, value in trainer.optimizers[number].state.get(param, {}).items()
    }


def _carried(trainer: "Trainer") -> dict[str, "Tensor"]:
    """What one worker carries from step to step."""
    batches = trainer.batches.items()
    carried = {f"{name}.{field}": getattr(batch, field) for name, batch in batches for field in batch.CARRIED}
    return carried | {"sums": trainer.sums}


def _generators(trainer: "Trainer") -> dict[str, "Generator"]:
    """What draws random numbers in one worker."""
    import torch

    generators = {"random.batch": trainer.generator, "random.cpu": torch.default_generator}
    if trainer.device.type == "cuda":
        number = torch.cuda.current_device() if trainer.device.index is None else trainer.device.index
        generators["random.cuda"] = torch.cuda.default_generators[number]
    return generators


def _refuse_others(state: SavedState, saved: dict[str, "Tensor"], expected: dict[str, "Tensor"]) -> None:
    """Raise UsageError where tensors are missing, unexpected, of other shapes or of other kinds of numbers."""
    for name in sorted(saved.keys() | expected.keys()):
        theirs = str(list(saved[name].shape)) if name in saved else "missing"
        ours = str(list(expected[name].shape)) if name in expected else "not there"
        if theirs == ours:
            theirs, ours = (str(known[name].dtype).removeprefix("torch.") for known in (saved, expected))
        if theirs != ours:
            raise UsageError(
                f"{state.folder}: of another architecture or batch: {name:.60} is {theirs} there and "
                f"{ours} here; resume with the recipe that the run was begun with"
            )


def _refuse_values(state: SavedState, trainer: "Trainer", saved: dict[str, "Tensor"]) -> None:
    """Raise TrainingError where a state holds what no run comes to."""
    import torch

    from trm_cli.training.step import SUMS

    ranges, sums = _ranges(state, trainer), saved["sums"]
    counts = torch.cat([sums[place : place + 1] for place, name in enumerate(SUMS) if name in COUNTS])
    for name, tensor in {**saved, "counts": torch.cat([counts, sums[len(SUMS) :]])}.items():
        least, most = ranges.get(name, (-math.inf, math.inf))
        numbers = tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
        low, high = (end.item() for end in numbers.aminmax()) if tensor.numel() else (0, 0)
        if not (least <= low <= high <= most and math.isfinite(low) and math.isfinite(high)):
            held = f"{low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else "what is no number"
            raise TrainingError(f"{state.folder}: damaged: {name:.60} holds {held}; {ANOTHER}")
    for name, source in _generators(trainer).items():
        try:
            torch.Generator(source.device).set_state(saved[name])
        except RuntimeError as error:
            raise TrainingError(f"{state.folder}: damaged: {name} is no state of a generator; {ANOTHER}") from error


def _ranges(state: SavedState, trainer: "Trainer") -> dict[str, tuple[float, float]]:
    """The least and the largest number that some tensors can hold."""
    counted = min(state.step, MOST_COUNTED)
    ranges: dict[str, tuple[float, float]] = {"counts": (0, math.inf)}
    for number, name, _ in _parameters(trainer):
        ranges[f"optimizer.{number}.step.{name}"] = (counted, counted)
        ranges |= {f"optimizer.{number}.{square}.{name}": (0, math.inf) for square in SQUARES}
    for name, batch in trainer.batches.items():
        token = batch.examples.symbols.shape[1] - 1
        most: dict[str, float] = {
            "puzzles": token,
            "answers": token,
            "steps": batch.N_sup,
            "least_steps": max(batch.N_sup, 2),
        }
        most |= {"noise": ROUNDED * batch.config.latent_noise, "halted": 1}
        most |= {"ids": len(trainer.table) - 1} if trainer.table is not None else {}
        ranges |= {f"{name}.{field}": (0, largest) for field, largest in most.items()}
    return ranges


def _write_tensors(path: Path, tensors: dict[str, "Tensor"]) -> str:
    """Write tensors and have the disk keep them; returns the SHA-256 of the file."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(whole, path)
    except SafetensorError as error:
        number = OS_ERROR.search(str(error))
        reason = os.strerror(int(number[1])) if number else str(error)
        raise OSError(number and int(number[1]), reason, str(path)) from error
    with ThreadPoolExecutor(1) as pool:  # while the disk is waited for
        digest = pool.submit(sha256_of, path)
        flush(path)
        return digest.result()


def _read_tensors(state: SavedState, name: str, expected: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The tensors of a file, which are those that are expected: their names, shapes and kinds of numbers."""
    saved = _map_tensors(state, name)
    _refuse_changed(state, name)
    _refuse_others(state, saved, expected)
    return saved


def _refuse_changed(state: SavedState, name: str) -> None:
    """Raise TrainingError unless a file is what was written, if it is known what was."""
    path = state.folder / name
    if state.sha256 and sha256_of(path) != state.sha256.get(name):
        raise TrainingError(f"{path}: damaged: its SHA-256 is not the one in {STATE_FILE}; {ANOTHER}")


def _map_tensors(state: SavedState, name: str) -> dict[str, "Tensor"]:
    """The tensors of a file, of which nothing is read before it is used."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from trm_cli.weights.tensors import read_header

    path = state.folder / name
    try:
        read_header(path, LARGEST_FILE)
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, FileError, SafetensorError, MemoryError) as error:
        raise TrainingError(f"{path}: damaged: {first_line(error).removeprefix('damaged: ')}; {ANOTHER}") from error
    return tensors
