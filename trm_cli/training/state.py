"""Exact resume: everything that decides how a run goes on, in a folder that appears at once.

    step-00001200/state.json             step, seconds, number of workers
                  shared.safetensors     weights, EMA weights, optimizers
                  worker-0.safetensors   rolling batch, sums, random generators; one a worker

A state is written beside the others, flushed to the disk and renamed; then the older ones go. What
follows from the recipe, the data and the seed is not in it: schedule, examples, symmetries.
To look for a state needs no torch, which is imported where tensors are read or written.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import UsageError
from trm_cli.files import flush

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.training.step import Trainer

FORMAT = 1
FIELDS: dict[str, Any] = {  # of state.json
    "step": int,
    "seconds": float,
    "reported": float,
    "workers": int,
    "device": str,
    "evaluated": int,
}
PARTIAL = ".partial"


@dataclass(frozen=True)
class SavedState:
    """A state on the disk."""

    folder: Path
    step: int
    seconds: float  # of training before it
    reported: float  # seconds at which the sums for the next report began
    workers: int
    device: str  # type of the device that its generators belong to
    evaluated: int  # step of the last evaluation


def newest_state(parent: Path) -> SavedState | None:
    """The newest of the states in a folder, if there is one; raises UsageError where it is damaged."""
    states = sorted(parent.glob("step-*/state.json"))
    return read_state(states[-1].parent) if states else None


def read_state(folder: Path) -> SavedState:
    """The state in a folder of its own; raises UsageError where it is damaged."""
    try:
        known = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if known["format"] != FORMAT:
            raise UsageError(f"{folder}: a state of format {known['format']}; this trm reads {FORMAT}")
        return SavedState(folder, **{name: kind(known[name]) for name, kind in FIELDS.items()})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: damaged ({error}); give another state to --resume") from error


def save_state(parent: Path, trainer: "Trainer") -> None:
    """Write the trainer's state into a folder of states and drop the older ones.

    Every worker calls it at the same step. Raises OSError where the disk takes no more; the last
    state is intact then.
    """
    import torch

    workers = trainer.workers
    partial = parent / PARTIAL
    try:
        if workers.is_first:
            parent.mkdir(exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        workers.wait()
        generators = {"random.batch": trainer.generator.get_state(), "random.cpu": torch.get_rng_state()}
        if trainer.device.type == "cuda":
            generators["random.cuda"] = torch.cuda.get_rng_state(trainer.device)
        _write_tensors(partial / f"worker-{workers.rank}.safetensors", _carried(trainer) | generators)
        if workers.is_first:
            shared = _weights(trainer) | _moments(trainer)
            _write_tensors(partial / "shared.safetensors", shared)
            known = {name: getattr(trainer, name) for name in ("step", "seconds", "reported", "evaluated")}
            known |= {"format": FORMAT, "workers": workers.count, "device": trainer.device.type}
            (partial / "state.json").write_text(json.dumps(known) + "\n", encoding="utf-8")
            flush(partial / "state.json")
        workers.wait()
        if workers.is_first:
            flush(partial)
            folder = parent / f"step-{trainer.step:08}"
            if folder.exists():  # saved before an evaluation that has been made since
                folder.rename(folder.with_name(f"{folder.name}.old"))
            partial.rename(folder)
            flush(parent)
            keep_only(folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def keep_only(folder: Path) -> None:
    """Remove the other states of a run: older ones, or those of a future that was given up."""
    for other in folder.parent.glob("step-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def load_state(state: SavedState, trainer: "Trainer") -> None:
    """Bring a trainer to a saved state; raises UsageError where they do not fit together."""
    import torch

    workers = trainer.workers
    if state.workers != workers.count:
        raise UsageError(
            f"{state.folder}: saved by {state.workers} workers, not {workers.count}; resume with --gpus {state.workers}"
        )
    if state.device != trainer.device.type:
        raise UsageError(
            f"{state.folder}: saved on {state.device}, not on {trainer.device.type}; "
            f"resume with --device {state.device}"
        )
    shared = _read_tensors(state.folder / "shared.safetensors")
    own = _read_tensors(state.folder / f"worker-{workers.rank}.safetensors")
    moments = {name: shared.pop(name) for name in list(shared) if name.startswith("optimizer.")}
    generators = {name: own.pop(name) for name in list(own) if name.startswith("random.")}
    _copy(shared, _weights(trainer), state)
    _copy(own, _carried(trainer), state)
    for path, value in moments.items():
        _, number, key, name = path.split(".", 3)
        param = trainer.network.get_parameter(name)
        trainer.optimizers[int(number)].state[param][key] = value.to(trainer.device)
    trainer.step, trainer.seconds, trainer.reported = state.step, state.seconds, state.reported
    trainer.evaluated = state.evaluated
    trainer.fill_working_copy()
    for other in (trainer.working, trainer.ema.model):  # the fixed starts, which are not trained
        other.load_state_dict(dict(trainer.network.named_buffers()), strict=False)
    trainer.generator.set_state(generators["random.batch"])
    torch.set_rng_state(generators["random.cpu"])
    if "random.cuda" in generators and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(generators["random.cuda"], trainer.device)


def _weights(trainer: "Trainer") -> dict[str, "Tensor"]:
    """Raw weights, EMA weights and the table of puzzles, the same in every worker."""
    return {
        **{f"network.{name}": tensor for name, tensor in trainer.network.state_dict().items()},
        **{f"averaged.{name}": tensor for name, tensor in trainer.ema.model.state_dict().items()},
        **({} if trainer.table is None else {"table": trainer.table}),
    }


def _moments(trainer: "Trainer") -> dict[str, "Tensor"]:
    """What the optimizers remember of each parameter, the same in every worker."""
    names: dict[Tensor, str] = {param: name for name, param in trainer.network.named_parameters()}
    return {
        f"optimizer.{number}.{key}.{names[param]}": value
        for number, optimizer in enumerate(trainer.optimizers)
        for param, values in optimizer.state.items()
        for key, value in values.items()
    }


def _carried(trainer: "Trainer") -> dict[str, "Tensor"]:
    """What one worker carries from step to step."""
    batches = trainer.batches.items()
    carried = {f"{name}.{field}": getattr(batch, field) for name, batch in batches for field in batch.CARRIED}
    return carried | {"sums": trainer.sums}


def _copy(saved: dict[str, "Tensor"], current: dict[str, "Tensor"], state: SavedState) -> None:
    """Copy tensors into those of the same names; raises UsageError where names or shapes differ."""
    import torch

    for name in sorted(saved.keys() | current.keys()):
        theirs = list(saved[name].shape) if name in saved else "missing"
        ours = list(current[name].shape) if name in current else "not there"
        if theirs != ours:
            raise UsageError(
                f"{state.folder}: of another architecture or batch: {name} is {theirs} there and "
                f"{ours} here; resume with the recipe that the run was begun with"
            )
    with torch.no_grad():
        for name, tensor in saved.items():
            current[name].copy_(tensor)


def _write_tensors(path: Path, tensors: dict[str, "Tensor"]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(whole, path)
    except SafetensorError as error:
        raise OSError(None, str(error), str(path)) from error
    flush(path)


def _read_tensors(path: Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: damaged ({error}); give another state to --resume") from error
    return tensors
