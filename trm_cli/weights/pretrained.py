"""`from trm_cli import TRM`: a network in Python, from and to folders and the Hub.

model = TRM.from_pretrained("sudoku")        # bundled, folder, file, OWNER/NAME[:PATH]
x, (y, z) = model.embed(tokens), model.starting_state(len(tokens))
y, z, logits, halt = model(x, y, z)          # one supervision step
model.save_pretrained("folder")
"""

import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from trm_cli.config import ModelConfig
from trm_cli.errors import PuzzleError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks import loadable_tasks
from trm_cli.weights.card import write_card
from trm_cli.weights.catalogue import find_by_name
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.hub import Pushed, push
from trm_cli.weights.tensors import load_checkpoint, save_checkpoint


class TRM(TinyRecursiveModel):
    """A Tiny Recursive Model with what is known about it; calling it takes a supervision step."""

    def __init__(self, config: ModelConfig, checkpoint: Checkpoint | None = None) -> None:
        super().__init__(config)
        self.checkpoint = checkpoint or Checkpoint("trm", _task_of(config), config)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, device: str | torch.device = "cpu"
    ) -> "TRM":
        """Load whatever `--model` takes, in float32, without gradients.

        Raises ModelError where there is no such model, where a tensor is missing, unexpected or of
        another shape, and where a file is unsafe. Nothing is printed.
        """
        found = find_by_name(str(name), revision)
        loaded = load_checkpoint(found.folder, source=found.source)
        with torch.random.fork_rng(devices=[]):
            model = cls(loaded.checkpoint.model, loaded.checkpoint)
        model.load_state_dict(loaded.network.state_dict())
        return model.to(device).eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors (in float32) and the card."""
        save_checkpoint(Path(folder), self.checkpoint, self)
        write_card(Path(folder), self.checkpoint)

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> Pushed:
        """Upload config, weights and card to OWNER/NAME; returns where they are now."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, private=private)


def _task_of(config: ModelConfig) -> str:
    """The task with such boards and as many tokens; `unknown` where there is none."""
    board = (config.height, config.width, config.box_height, config.box_width)
    for task in loadable_tasks():
        with suppress(PuzzleError):
            if task.boxes(config.num_cells) == board and task.vocab_size(config.num_cells) == config.vocab_size:
                return task.name
    return "unknown"
