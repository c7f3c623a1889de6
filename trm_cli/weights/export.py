"""Writing a model for others: as ONNX, or as a smaller checkpoint with what that costs.

The ONNX graph is one supervision step: tokens [B, L] int64, y and z [B, ...] in; y, z, logits
[B, L, V] and halt [B] out; B is free. The start of y and z goes beside it, in NAME.npz.
"""

import json
import logging
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trm_cli.errors import UsageError
from trm_cli.files import writing_whole
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import generator_of, rules_of
from trm_cli.weights.card import write_card
from trm_cli.weights.catalogue import Found
from trm_cli.weights.tensors import load_checkpoint, save_checkpoint, task_of

NEEDED = ("onnx", "onnxscript")
INPUTS, OUTPUTS = ("tokens", "y", "z"), ("y_next", "z_next", "logits", "halt")


class Step(nn.Module):
    """One supervision step, the embedding included."""

    def __init__(self, network: TinyRecursiveModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Return y, z, logits and halt after the step."""
        after: tuple[Tensor, ...] = self.network(self.network.embed(tokens), y, z)
        return after


def start_file(path: Path) -> Path:
    """Where the start of y and z lies, beside a graph."""
    return path.with_name(f"{path.name}.npz")


def export_onnx(found: Found, path: Path, *, replaces: bool = True) -> None:
    """Write PATH, the graph, and PATH.npz, the start of y and z for one puzzle.

    replaces  files that are there by then; else that raises FileExistsError.
    Raises UsageError where the extra `onnx` is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"--format onnx: needs {', '.join(missing)}; pip install 'trm-cli[onnx]'")
    network = load_checkpoint(found.folder, source=found.source).network
    tokens = torch.ones(2, network.config.num_cells, dtype=torch.int64)
    y, z = network.starting_state(2, torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        for talker in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(talker).setLevel(logging.ERROR)
        program = torch.onnx.export(
            Step(network).eval(),
            (tokens, y.contiguous(), z.contiguous()),
            dynamo=True,
            verbose=False,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: batch} for name in INPUTS},
        )
    assert program is not None
    program.model.metadata_props["trm"] = json.dumps({"task": found.checkpoint.task})
    with writing_whole(path, replaces=replaces) as graph, writing_whole(start_file(path), replaces=replaces) as start:
        graph.write(program.model_proto.SerializeToString())
        np.savez(start, y=y[0].numpy(), z=z[0].numpy())


def export_checkpoint(found: Found, folder: Path, storage: str, *, num_puzzles: int, command: str) -> str:
    """Write a checkpoint in another storage, its card saying what that changes; returns the words.

    num_puzzles  generated puzzles that both are run on for all their steps.
    command      what measured the difference, so that a reader can repeat it.
    """
    loaded = load_checkpoint(found.folder, source=found.source)
    task = task_of(loaded.checkpoint)
    size = loaded.network.config.height
    wanted = replace(generator_of(task).usual(size), puzzles=num_puzzles)
    data = generator_of(task).generate(wanted, size=size, seed=0)
    save_checkpoint(folder, loaded.checkpoint, loaded.network, storage=storage)
    puzzles = torch.from_numpy(data.puzzles.astype(np.int64))
    networks = (loaded.network, load_checkpoint(folder).network)
    first, last = zip(*(_logits(network, puzzles) for network in networks), strict=True)
    answers = [logits.argmax(-1).to(torch.uint8).numpy() for logits in last]
    solved = [int(rules_of(task).rules_hold(data.puzzles, answer).sum()) for answer in answers]
    words = (
        f"Weights kept in {storage}. On {len(data):,} generated puzzles, {loaded.network.config.N_sup} steps each, "
        f"it solves {solved[1]:,}, the original {solved[0]:,}; {float((answers[0] == answers[1]).mean()):.2%} of the "
        f"cells are equal. After one step the logits are within {float((first[0] - first[1]).abs().max()):.2g}."
    )
    facts = {"storage": f"{words} Measured by `{command}`."}
    checkpoint = replace(loaded.checkpoint, training=loaded.checkpoint.training | facts, measured={})
    save_checkpoint(folder, checkpoint, loaded.network, storage=storage)
    write_card(folder, checkpoint)
    return words


@torch.inference_mode()
def _logits(network: TinyRecursiveModel, puzzles: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [N, L, V] after the first and after the last step, from the same start for all."""
    x = network.embed(puzzles)
    y, z = network.starting_state(len(puzzles), torch.Generator().manual_seed(0))
    y, z, first, _ = network(x, y, z)
    last = first
    for _ in range(network.config.N_sup - 1):
        y, z, last, _ = network(x, y, z)
    return first, last
