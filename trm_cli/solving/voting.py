"""A vote over views, where rules cannot decide: a task is looked at in many ways.

The grid that most ways agree on comes first; among as many, the one whose halt head was surer on
average. Every board gets all N_sup steps: none halts, as in the official evaluation.
Source: evaluators/arc.py of github.com/SamsungSAILMontreal/TinyRecursiveModels.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trm_cli.config import SolveConfig
from trm_cli.errors import FileError, ModelError, PuzzleError, UsageError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.number_types import type_of
from trm_cli.solving.engine import solving_translated
from trm_cli.tasks.base import Tokens
from trm_cli.tasks.problems import Decoded, Demonstrated, Grid, Problem, ProblemData, View, key
from trm_cli.weights.catalogue import open_model
from trm_cli.weights.checkpoint import TABLE_FILE
from trm_cli.weights.puzzle_table import KnownProblem, PuzzleTable, Register
from trm_cli.weights.tensors import LoadedModel

PASSES = (1, 2, 5, 10, 100, 1000)  # K of pass@K
ATTEMPTS = 2  # that ARC Prize takes
NO_GRID = [[0]]  # in a submission, which must say something
SEED = 0  # of random starts

HEEDED = ("views", "seed")  # of a SolveConfig
Prediction = tuple[Tokens, list[float]]  # of one board: answers [N_sup, L], and halt probabilities, after each step
Submission = dict[str, list[dict[str, list[list[int]]]]]


def refuse_attempts(task: Demonstrated, given: Mapping[str, Any]) -> None:
    """Raise UsageError where a setting was given that says nothing about a vote, as all about attempts does."""
    plain = asdict(SolveConfig())
    for name, value in given.items():
        if name not in HEEDED and (name not in plain or value != plain[name]):
            flag = "time-limit" if name == "breadth_first" else name.replace("_", "-")
            raise UsageError(f"--{flag}: answers to {task.name} are voted on, in all views; drop it")


@dataclass(frozen=True)
class Candidate:
    """A grid that was voted for."""

    grid: Grid
    votes: int
    halt_probability: float  # mean over its votes


@dataclass
class Ballot:
    """The votes on one test of a task."""

    grids: dict[bytes, Grid] = field(default_factory=dict)
    probabilities: dict[bytes, list[float]] = field(default_factory=dict)
    malformed: int = 0  # predictions with a grid that lacks some of its end markers; they count
    empty: int = 0  # predictions without any grid; they cannot

    def add(self, decoded: Decoded, view: View, halt_probability: float) -> None:
        """Count the grid that a network gave for the test in a view."""
        if decoded.grid is None:
            self.empty += 1
            return
        self.malformed += not decoded.is_whole
        grid = view.undo(decoded.grid)
        self.grids[key(grid)] = grid
        self.probabilities.setdefault(key(grid), []).append(halt_probability)

    @property
    def predictions(self) -> int:
        """How many were counted."""
        return self.empty + sum(len(given) for given in self.probabilities.values())

    def ranked(self) -> list[Candidate]:
        """The candidates, best first; those that nothing tells apart as they came."""
        found = [Candidate(self.grids[name], len(given), fmean(given)) for name, given in self.probabilities.items()]
        return sorted(found, key=lambda one: (one.votes, one.halt_probability), reverse=True)

    def attempts(self) -> list[Candidate]:
        """The candidates that are tried, best first; fewer where there are no more."""
        return self.ranked()[:ATTEMPTS]

    def is_right(self, answer: Grid) -> bool:
        """Whether one of the candidates that are tried is the answer."""
        return self.place_of(answer) in range(1, ATTEMPTS + 1)

    def place_of(self, answer: Grid) -> float:
        """The place of an answer among the candidates, from 1; infinite where nothing said it."""
        ranked = [key(one.grid) for one in self.ranked()]
        return ranked.index(key(answer)) + 1 if key(answer) in ranked else math.inf


@dataclass(frozen=True)
class VoteScores:
    """What came of evaluation tasks; shares are 0 to 1."""

    tasks: int  # of which an answer is known
    tests: int
    predictions: int
    malformed: int
    empty: int
    passes: dict[int, float]  # by K: the mean over tasks of the share of their tests answered


def score_votes(voted: Iterable[tuple[Problem, list[Ballot]]]) -> VoteScores:
    """Count tasks with the votes on their tests; tests without a known answer are not scored."""
    ballots: list[Ballot] = []
    shares: list[dict[int, float]] = []
    for task, of_task in voted:
        ballots += of_task
        if known := passes(task, of_task):
            shares.append(known)
    means = {most: fmean(share[most] for share in shares) for most in PASSES} if shares else {}
    counts = {name: sum(getattr(one, name) for one in ballots) for name in ("predictions", "malformed", "empty")}
    return VoteScores(len(shares), len(ballots), passes=means, **counts)


def passes(task: Problem, ballots: list[Ballot]) -> dict[int, float]:
    """For each K, the share of a task's tests whose answer is among the first K candidates.

    Empty where no answer is known.
    """
    known = [(ballot, answer) for ballot, answer in zip(ballots, task.answers, strict=True) if answer is not None]
    places = [ballot.place_of(answer) for ballot, answer in known]
    return {most: sum(place <= most for place in places) / len(places) for most in PASSES} if places else {}


def submission(voted: Iterable[tuple[Problem, list[Ballot]]]) -> Submission:
    """What submission.json holds: for each task, two attempts at each of its tests.

    Where all agree, the one candidate is given twice.
    """
    told: Submission = {}
    for task, ballots in voted:
        told[task.name] = []
        for ballot in ballots:
            best = [one.grid.tolist() for one in ballot.attempts()] or [NO_GRID]
            filled = best + best[:1] * (ATTEMPTS - len(best))
            told[task.name].append({f"attempt_{number}": grid for number, grid in enumerate(filled, 1)})
    return told


@torch.inference_mode()
def predict(network: TinyRecursiveModel, boards: Tokens, rows: Tensor) -> list[Prediction]:
    """Answers to boards [B, L] of puzzles whose rows of the table are `rows` [B, D].

    Every board gets N_sup steps: none halts, as in the official evaluation.
    Raises ModelError where there is too little memory for so many, or the device fails.
    """
    with solving_translated():
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
    return list(zip(by_board, probabilities, strict=True))


@dataclass(frozen=True)
class ProblemRows:
    """How a network knows a problem."""

    rows: Tensor  # [K, D] of its table
    views: list[View]  # K views, in which the rows redraw the problem


def register_of(task: Demonstrated, data: ProblemData) -> Register:
    """What the rows of a network that is trained on a data set stand for.

    Raises UsageError where the names of the data set do not say it.
    """
    known = {problem.name: problem.digest for problem in data.tests}
    try:
        return Register.of_rows(*task.split_names(data.names), {**known, **data.facts.get("tasks", {})})
    except FileError as error:
        raise UsageError(f"{data.folder}: {error}; make the data set again") from error


@dataclass(frozen=True)
class Voter:
    """A network, and the table of the problems that it knows."""

    task: Demonstrated
    loaded: LoadedModel
    table: PuzzleTable

    @classmethod
    def open(
        cls,
        task: Demonstrated,
        name: str | None,
        revision: str | None,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> "Voter":
        """Open a checkpoint and its table; raises ModelError where it has none, or they do not fit."""
        return cls.of(task, open_model(name, task=task.name, device=device, dtype=dtype, revision=revision))

    @classmethod
    def of(cls, task: Demonstrated, loaded: LoadedModel) -> "Voter":
        """A network that is open, with its table; raises ModelError as `open` does."""
        config = loaded.network.config
        if not config.looks_up_puzzles:
            raise ModelError(f"model {loaded.checkpoint.name!r} knows no puzzles; choose another")
        if type_of(loaded.network) == torch.int8:
            raise UsageError("--dtype int8: problems can be learned, which 8-bit integers cannot; leave it out")
        table = PuzzleTable(loaded.folder / TABLE_FILE, (config.num_puzzles, config.hidden_size))
        return cls(task, loaded, table)

    @property
    def side(self) -> int:
        """Of its boards."""
        return self.loaded.network.config.height

    def refuse_large(self, problem: Problem) -> None:
        """Raise PuzzleError where a grid of a problem does not fit on the network's boards."""
        if problem.largest > self.side:
            raise PuzzleError(
                f"{problem.source}: task {problem.name}: a grid with a side of {problem.largest}; this model's "
                f"boards are {self.side}x{self.side}, choose another with --model"
            )

    def refuse_unknown(self, problems: list[Problem], model: str | None = None) -> None:
        """Raise ModelError, with what to type, where the network was not trained on a problem's demonstrations."""
        named = f" --model {model}" if model else ""
        for problem in self.unknown(problems):
            raise ModelError(
                f"{problem.source}: task {problem.name}: this model was not trained on its demonstrations, so it "
                f"cannot know it; let it learn: trm solve {self.task.name} {problem.source}{named} --adapt 500"
            )

    def unknown(self, problems: list[Problem]) -> list[Problem]:
        """The problems whose demonstrations the network was not trained on."""
        return [problem for problem in problems if self.table.of_digest(problem.digest) is None]

    def known(self, problem: Problem, most: int | None) -> KnownProblem:
        """Which rows stand for a problem that the network knows, `most` of them."""
        registered = self.table.of_digest(problem.digest)
        assert registered is not None
        return replace(registered, count=min(registered.count, most or registered.count))

    def read(self, known: KnownProblem) -> ProblemRows:
        """The rows of a problem, and their views; raises ModelError where the table holds none such."""
        rows, views = self.table.read(known)
        try:
            return ProblemRows(rows, self.task.views_of(views))
        except FileError as error:
            raise ModelError(f"{self.table.path}: {error}; download or train it again") from error

    def vote(
        self,
        problem: Problem,
        known: ProblemRows,
        *,
        batch_size: int,
        network: TinyRecursiveModel | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Ballot]:
        """The votes on each test of a problem.

        network   that has learned the problem; the voter's own where none is given.
        progress  called with the number of boards that were looked at since the last call.
        """
        ballots = [Ballot() for _ in problem.tests]
        looks = list(product(range(len(ballots)), range(len(known.views))))
        for begin in range(0, len(looks), batch_size):
            chosen = looks[begin : begin + batch_size]
            seen = [known.views[row].apply(problem.tests[test]) for test, row in chosen]
            boards = np.stack([self.task.encode(grid, side=self.side) for grid in seen])
            rows = known.rows[[row for _, row in chosen]]
            predictions = predict(network or self.loaded.network, boards, rows)
            for (test, row), (answers, probabilities) in zip(chosen, predictions, strict=True):
                ballots[test].add(self.task.decode(answers[-1]), known.views[row], probabilities[-1])
            if progress:
                progress(len(chosen))
        return ballots
