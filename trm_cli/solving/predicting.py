"""What a network says of boards when it always takes all its steps, as ARC is answered."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trm_cli.model.network import TinyRecursiveModel
from trm_cli.tasks.base import Tokens

SEED = 0  # of random starts


@dataclass(frozen=True)
class Prediction:
    """The answers to one board, step after step."""

    answers: Tokens  # [N_sup, L]
    halt_probabilities: tuple[float, ...]  # after each step

    @property
    def answer(self) -> Tokens:
        """The answer after the last step, [L]."""
        last: Tokens = self.answers[-1]
        return last

    @property
    def halt_probability(self) -> float:
        """How sure the halt head is of it."""
        return self.halt_probabilities[-1]


@torch.inference_mode()
def predict(network: TinyRecursiveModel, boards: Tokens, rows: Tensor) -> list[Prediction]:
    """Answers to boards [B, L] of puzzles whose rows of the table are `rows` [B, D].

    Every board gets N_sup steps: none halts, as in the official evaluation.
    """
    device = network.y_init.device
    tokens = torch.from_numpy(boards.astype(np.int64)).to(device)
    x = network.embed(tokens, rows.to(device))
    y, z = network.starting_state(len(boards), torch.Generator(device).manual_seed(SEED))
    answers, halts = [], []
    for _ in range(network.config.N_sup):
        y, z, logits, halt = network(x, y, z)
        answers.append(logits.argmax(-1).to(torch.uint8))
        halts.append(halt.double().sigmoid())
    by_board = torch.stack(answers, 1).cpu().numpy()  # [B, N_sup, L]
    probabilities = torch.stack(halts, 1).cpu().tolist()
    return [Prediction(answer, tuple(p)) for answer, p in zip(by_board, probabilities, strict=True)]
