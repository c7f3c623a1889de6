"""Writing a model for others: as ONNX, or as a smaller checkpoint with what that costs.

The ONNX graph is one supervision step: tokens [B, L] int64, y and z [B, ...] in; y, z, logits
[B, L, V] and halt [B] out; B is free. The start of y and z goes beside it, in NAME.npz.
"""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trm_cli.errors import UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.weights.card import write_card
from trm_cli.weights.catalogue import Found
from trm_cli.weights.store import load_checkpoint, save_checkpoint

NEEDED = ("onnx", "onnxscript")
INPUTS, OUTPUTS = ("tokens", "y", "z"), ("y_next", "z_next", "logits", "halt")
PROBES = 32  # random boards that two storages are compared on
CPU = torch.device("cpu")


class Step(nn.Module):
    """One supervision step, the embedding included."""

    def __init__(self, network: TinyRecursiveModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Return y, z, logits and halt after the step."""
        after: tuple[Tensor, ...] = self.network(self.network.embed(tokens), y, z)
        return after


def export_onnx(found: Found, path: Path) -> None:
    """Write PATH, the graph, and PATH.npz, the start of y and z for one puzzle.

    Raises UsageError where the extra `onnx` is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"--format onnx: needs {', '.join(missing)}; pip install 'trm-cli[onnx]'")
    network = load_checkpoint(found.folder, source=found.source, device=CPU).network
    tokens = torch.ones(2, network.config.num_cells, dtype=torch.int64)
    y, z = network.starting_state(2, torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        Step(network).eval(), (tokens, y.contiguous(), z.contiguous()), dynamo=True, verbose=False,
        input_names=list(INPUTS), output_names=list(OUTPUTS),
        dynamic_shapes={name: {0: batch} for name in INPUTS},
    )  # fmt: skip
    assert program is not None
    program.model.metadata_props["trm"] = json.dumps({"task": found.checkpoint.task})
    program.save(str(path), external_data=False)
    with path.with_name(f"{path.name}.npz").open("wb") as file:
        np.savez(file, y=y[0].numpy(), z=z[0].numpy())


def export_checkpoint(found: Found, folder: Path, storage: str) -> str:
    """Write a checkpoint in another storage, its card saying how its logits differ; returns that.

    Logits are compared after one step, answers after the last; `trm eval` measures accuracy.
    """
    loaded = load_checkpoint(found.folder, source=found.source, device=CPU)
    save_checkpoint(folder, loaded.checkpoint, loaded.network, storage=storage)
    smaller = load_checkpoint(folder, source=str(folder), device=CPU)
    largest, same = _difference(loaded.network, smaller.network)
    words = (
        f"weights kept in {storage}: on {PROBES} random boards, {loaded.network.config.N_sup} "
        f"steps, {same:.2%} of the cells read as in the original; after one step the logits are "
        f"within {largest:.2g}"
    )
    training = loaded.checkpoint.training | {"storage": words}
    checkpoint = replace(loaded.checkpoint, training=training, measured={})
    save_checkpoint(folder, checkpoint, loaded.network, storage=storage)
    write_card(folder, checkpoint)
    return words


@torch.inference_mode()
def _difference(one: TinyRecursiveModel, other: TinyRecursiveModel) -> tuple[float, float]:
    """Largest difference of logits after one step; share of equal answers after the last one."""
    config = one.config
    generator = torch.Generator().manual_seed(0)
    shape = (PROBES, config.num_cells)
    tokens = torch.randint(1, config.vocab_size, shape, generator=generator)
    start = one.starting_state(PROBES, generator)
    states = [start, (other.y_init.expand_as(start[0]), start[1])]
    largest, same = 0.0, 0.0
    for step in range(config.N_sup):
        logits = []
        for place, network in enumerate((one, other)):
            y, z, answer, _ = network(network.embed(tokens), *states[place])
            states[place] = (y, z)
            logits.append(answer)
        if step == 0:
            largest = float((logits[0] - logits[1]).abs().max())
        same = float((logits[0].argmax(-1) == logits[1].argmax(-1)).float().mean())
    return largest, same
