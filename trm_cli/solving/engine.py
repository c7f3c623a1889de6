"""The engine: supervision steps over a rolling batch, each attempt halting by itself; and what there is to watch.

Deep supervision at solving time: y and z are carried from step to step; after each step the halt
head is read and the answer is checked against the rules. An attempt that halts leaves the batch,
and the next one takes its place: at the same puzzle or at another (see solving/search.py).
`run` yields the steps, `solve_stream` the solutions that they come to, and `moments` what there is
to see of them, down to the calls of the net inside each step.
Shapes: R attempts running at a time, L cells, V tokens, S symbols, P prefix positions, D channels.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trm_cli.config import ModelConfig, SolveConfig
from trm_cli.errors import ModelError, UsageError
from trm_cli.model.faults import CompilerError, compiler_translated, faults_translated
from trm_cli.model.machine import Reading, free_memory, to_device
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.slices import SlicedNetwork, widest_activations
from trm_cli.solving.search import Attempt, Examine, Outcome, Search, Views
from trm_cli.solving.trace import DECIMALS, Frame, Header, Moment, Update
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task, Tokens, rules_of
from trm_cli.weights.tensors import LoadedModel

CPU_BATCH, ACCELERATOR_BATCH = 8, 512  # puzzles solved together if nothing is said, if memory suffices
MEMORY_SHARE = 0.5  # of what a GPU has free, to be filled by a batch
ALIVE = 6  # tensors as large as the widest activations that a step has at a time, its streams among them
CHECK_SECONDS = 2.0  # that counting the solutions of one puzzle may take
Stops = Callable[[], bool]
Call = tuple[tuple[Tensor, ...], Tensor]  # of the net: the streams that it added, and what it made of them


def never() -> bool:
    """No reason to stop early."""
    return False


def unseen(_searched: int) -> None:
    """Nobody looks."""


def batch_size_for(network: TinyRecursiveModel) -> int:
    """Puzzles to solve together: few on a CPU, where a batch should stay in its cache; a power of two on a GPU."""
    device = network.y_init.device
    if device.type == "cpu":
        return CPU_BATCH
    if device.type != "cuda":
        return ACCELERATOR_BATCH
    room = int(MEMORY_SHARE * free_memory(device)) // (ALIVE * widest_activations(network))
    most_that_fit: int = 2 ** (room.bit_length() - 1) if room else 1
    return min(ACCELERATOR_BATCH, most_that_fit)


def num_batches(device: torch.device) -> int:
    """How many batches take turns: while a GPU computes one, the CPU looks at what another has come to."""
    return 2 if device.type == "cuda" else 1


def examiner(task: Task) -> Examine:
    """What looks at a puzzle that was not solved, to say why; bounded in time."""
    return partial(rules_of(task).examine, seconds=CHECK_SECONDS)


@dataclass(frozen=True)
class Details:
    """What only a watcher asks of a step."""

    confidence: NDArray[np.float32]  # [R, L] softmax of the decoded token
    change_y: NDArray[np.float32]  # [R] norm of the change in y, over the norm of the new y
    change_z: NDArray[np.float32]  # [R] the same of z
    views: Views  # that the attempts see


@dataclass(frozen=True)
class Step:
    """What one supervision step left: the attempts that took it know their answers."""

    attempts: list[Attempt]  # [R]
    halted: NDArray[np.bool_]  # [R] the halt criterion is met
    solutions: dict[int, Outcome]  # of the puzzles that ended in it, by row
    searched: int = 0  # puzzles under way that are tried again
    details: Details | None = None  # if it is watched


class Batch:
    """Attempts come in, take steps together, and leave; their x, y and z, [R, *state] each.

    What is drawn by lot follows from the seed, the puzzle, the attempt and the step alone: the same
    puzzle gets the same draws in any batch and at any place of a file.
    """

    def __init__(self, network: TinyRecursiveModel, settings: SolveConfig, compute: SlicedNetwork) -> None:
        self.network, self.settings, self.compute = network, settings, compute
        self.generator = torch.Generator(network.y_init.device)
        self.start = network.starting_state(1, self.generator.manual_seed(settings.seed))  # [1, *state] each
        self.attempts: list[Attempt] = []
        self.y, self.z = self.start[0][:0], self.start[1][:0]
        self.x = self.y

    def add(self, fresh: list[Attempt]) -> None:
        """Let attempts in, each at its start."""
        if not fresh:
            return
        shown = np.stack([attempt.shown for attempt in fresh]).astype(np.int64)
        x = self.network.embed(to_device(shown, self.z.device))
        self.x = torch.cat([self.x, x])
        self.y = torch.cat([self.y, self.start[0].expand_as(x)])
        is_random = self.settings.starts == "random"
        starts = [self._normal(a.key) if a.number and is_random else self.start[1] for a in fresh]
        self.z = torch.cat([self.z, *starts])
        self.attempts = self.attempts + fresh

    def begin(self) -> "Begun":
        """Begin a supervision step of all; a GPU goes on with it by itself."""
        y, z, scale = self.y, self.z, self.settings.noise
        if scale and any(attempt.number for attempt in self.attempts):  # the first attempt has none
            still = torch.zeros_like(self.start[1])
            noise = [self._normal(a.key + a.steps + 1) * scale if a.number else still for a in self.attempts]
            z = z + torch.cat(noise)
        before = self.z
        self.y, self.z, logits, halt = self.compute(self.x, y, z)
        change = root_mean_square(self.y - y)
        scores = _scores(self.settings.select, logits, halt, change)
        asked = [logits.argmax(-1).to(torch.uint8), halt.float(), scores.float()]
        if self.settings.guesses:
            asked.append(logits.softmax(-1))
        return Begun(self, before, logits, change, Reading(asked))

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Let all attempts out but the chosen ones [R]."""
        if chosen.all():
            return
        rows = np.flatnonzero(chosen)
        kept = to_device(rows, self.z.device)
        self.x, self.y, self.z = self.x[kept], self.y[kept], self.z[kept]
        self.attempts = [self.attempts[row] for row in rows]

    def _normal(self, key: int) -> Tensor:
        self.generator.manual_seed(key)
        shape = (1, *self.network.z_shape)
        return torch.randn(shape, generator=self.generator, device=self.z.device).to(self.z)


@dataclass(frozen=True)
class Begun:
    """A supervision step that a GPU may still be computing."""

    batch: Batch
    before: Tensor  # z, [R, *state]
    logits: Tensor  # [R, L, V]
    change: Tensor  # [R] root mean square of the change in y
    reading: Reading  # tokens [R, L], halt logits [R], scores [R]; and shares [R, L, V] where guesses follow from them


@contextmanager
def solving_translated() -> Iterator[None]:
    """Turn what fails where a network computes into an error that says what to do."""
    with faults_translated(ModelError, "give a smaller --batch-size, or a smaller model"):
        try:
            with compiler_translated():
                yield
        except CompilerError as error:
            raise UsageError(f"--compile: {error}, or leave the option out") from error


def root_mean_square(state: Tensor) -> Tensor:
    """Of each attempt's numbers, [R], from [R, *state]."""
    numbers = state.flatten(1).float()
    norms: Tensor = torch.linalg.vector_norm(numbers, dim=1)
    return norms / math.sqrt(numbers.shape[1])


@torch.inference_mode()
def run(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveConfig,
    stops: Stops = never,
    examine: Examine | None = None,
    watched: bool = False,
) -> Iterator[Step]:
    """Yield the steps of a rolling batch until every puzzle [L] of the stream is done.

    examine  asked about a puzzle that attempt 0 has not solved; if the puzzle is at fault, that was all.
    stops    asked before every step; once it says yes, a last, empty step ends what was begun.
    watched  have every step carry its details, which cost a little; begin no attempt at a puzzle
             while an earlier one runs.
    """
    if settings.search != "none" and not task.has_blanks:
        raise UsageError(f"--search {settings.search} fills blanks, and a {task.name} has none; drop it")
    rules = rules_of(task)
    views = Views(task, network.config.num_cells, wanted=settings.views, seed=settings.seed)
    search = Search(puzzles, views, settings, rules.legal_tokens, examine=examine, ahead=not watched)
    compute = SlicedNetwork(network, whole=watched)
    count = 1 if watched else min(batch_size, num_batches(network.y_init.device))
    batches = [Batch(network, settings, compute) for _ in range(count)]
    share = math.ceil(batch_size / count)
    begun = deque[Begun]()
    while not stops():
        with solving_translated():
            for batch in batches:
                if all(one.batch is not batch for one in begun):
                    batch.add(search.take(share - len(batch.attempts)))
                    if batch.attempts:
                        begun.append(batch.begin())
            if not begun:
                return
            step = begun.popleft()
            tokens, halts, scored, *shares = step.reading.wait()

        batch, attempts = step.batch, step.batch.attempts
        seen = [attempt.view for attempt in attempts]
        answers = views.undo(tokens, seen)
        holds = rules.rules_hold(np.stack([attempt.puzzle for attempt in attempts]), answers)
        probability = torch.from_numpy(halts).double().sigmoid().numpy()
        noted = zip(attempts, answers, holds.tolist(), probability.tolist(), scored.tolist(), strict=True)
        for attempt, answer, is_right, halting, score in noted:
            attempt.note(answer, holds=is_right, halt_probability=halting, score=score)

        fires = probability > 0.5
        halted = {"verified": fires & holds, "q": fires, "never": np.zeros_like(fires)}[settings.halt]
        ends = halted | np.array([attempt.steps >= attempt.max_steps for attempt in attempts])
        solutions = {}
        for index in np.flatnonzero(ends).tolist():
            attempt = attempts[index]
            beliefs = shares[0][index] if search.wants_beliefs(attempt) else None
            if solution := search.end(attempt, beliefs):
                solutions[attempt.row] = solution

        told = None
        if watched:
            confidence = views.place(step.logits.softmax(-1).amax(-1).float().cpu().numpy(), seen)
            change_y = step.change / root_mean_square(batch.y)
            change_z = root_mean_square(batch.z - step.before) / root_mean_square(batch.z)
            told = Details(confidence, change_y.cpu().numpy(), change_z.cpu().numpy(), views)
        yield Step(attempts, halted, solutions, search.searched, told)
        batch.keep(np.array([attempt.is_running for attempt in attempts]))
    yield Step([], np.empty(0, bool), search.give_up())


def _scores(select: str, logits: Tensor, halt: Tensor, change: Tensor) -> Tensor:
    """What a way to select compares, [R]; the largest is best."""
    if select == "margin":
        best = logits.topk(2, dim=-1).values
        return (best[..., 0] - best[..., 1]).mean(-1)
    return -change if select == "residual" else halt


def solve_stream(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Tokens],
    *,
    batch_size: int,
    settings: SolveConfig,
    stops: Stops = never,
    examine: Examine | None = None,
    searching: Callable[[int], None] = unseen,
) -> Iterator[Outcome]:
    """Solve puzzles [L] of one size as they come, `batch_size` at a time, in order.

    examine  as in `run`.
    stops  once it says yes, the rest gets no further step: what was begun is given with what its
           attempts have come to, what was not comes back as it was, unsolved, after 0 steps.
    searching  told after every step how many puzzles under way are tried again.
    """
    waiting = iter(puzzles)
    done: dict[int, Outcome] = {}  # solutions that wait for an earlier puzzle's
    following = 0  # the next row to yield
    steps = run(network, task, waiting, batch_size=batch_size, settings=settings, stops=stops, examine=examine)
    for step in steps:
        searching(step.searched)
        done |= step.solutions
        while following in done:
            yield done.pop(following)
            following += 1
    for puzzle in waiting:
        untouched = Attempt.begin(following, puzzle, settings)
        yield Outcome((untouched,), untouched, 0.0)


def header_of(
    loaded: LoadedModel, settings: SolveConfig, num_puzzles: int, shape: tuple[int, int] = (1, 1), inner: bool = False
) -> Header:
    """What holds for a whole run of that network; `shape` is rows and columns of puzzles."""
    task, model, config = get_task(loaded.checkpoint.task), loaded.checkpoint.name, loaded.network.config
    counts = (loaded.network.num_parameters, config.n, config.T, settings.halt, num_puzzles)
    return Header(task, model, *counts, *shape, inner, letters_of(config), settings.num_attempts, settings.search)


def letters_of(config: ModelConfig) -> tuple[str, str]:
    """What y and z are called: of two nets, as in HRM."""
    return ("z_H", "z_L") if config.num_nets == 2 else ("y", "z")


def spelled(config: ModelConfig, streams: int, number: int) -> str:
    """A call of the net with so many streams, the one of that number in its recursion, in letters."""
    y, z = letters_of(config)
    f_H, f_L = ("f_H", "f_L") if config.num_nets == 2 else ("net", "net")
    if config.recursion == "single_z":
        return "y = net(y, x)" if streams == 2 else "y = net(y)"
    if config.recursion == "multi_z":
        added = f"{z}_1 + ... + {z}_{config.n}"
        return f"{z}_{number} = {f_L}(x, {y}, {added})" if streams == 3 else f"{y} = {f_H}({y}, {added})"
    return f"{z} = {f_L}(x, {y}, {z})" if streams == 3 else f"{y} = {f_H}({y}, {z})"


@contextmanager
def observed(network: TinyRecursiveModel) -> Iterator[list[Call]]:
    """Note every call of the net; whoever reads the list empties it.

    The recursion knows nothing of it, and without an observer not a line more is run.
    """
    calls: list[Call] = []

    def note(_net: nn.Module, streams: tuple[Tensor, ...], out: Tensor) -> None:
        calls.append((streams, out))

    hook = network.net.register_forward_hook(note)
    try:
        yield calls
    finally:
        hook.remove()


def moments(
    network: TinyRecursiveModel,
    task: Task,
    puzzles: Iterable[Puzzle],
    *,
    settings: SolveConfig,
    at_once: int = 1,
    inner: bool = False,
    examine: Examine | None = None,
) -> Iterator[Moment]:
    """Yield what there is to see, `at_once` puzzles at a time: each question, then each step.

    examine  as in `run`.
    inner  also yield a moment after every call of the net inside a step.
    """
    coming = iter(puzzles)
    for page, group in enumerate(iter(lambda: list(islice(coming, at_once)), [])):
        frames = [Frame(puzzle, task, 0, puzzle.tokens, settings.steps_of(0)) for puzzle in group]
        yield Moment(page, tuple(frames), frozenset(range(len(frames))))
        tokens = (puzzle.tokens for puzzle in group)
        steps = run(network, task, tokens, batch_size=len(group), settings=settings, examine=examine, watched=True)
        observer: AbstractContextManager[list[Call]] = observed(network) if inner else nullcontext([])
        with observer as calls:
            seconds, began = 0.0, time.perf_counter()
            for step in steps:
                seconds += time.perf_counter() - began
                for new in _new_frames(network, step, calls, frames, seconds):
                    frames = [new.get(row, frame) for row, frame in enumerate(frames)]
                    yield Moment(page, tuple(frames), frozenset(new))
                calls.clear()
                began = time.perf_counter()


def _new_frames(
    network: TinyRecursiveModel, step: Step, calls: list[Call], frames: list[Frame], seconds: float
) -> Iterator[dict[int, Frame]]:
    """What a step adds to what is seen, by row: its calls of the net, then its end, each with the last call.

    Where a puzzle ends and an earlier attempt is chosen, the end of that one is shown once more.
    """
    rows = [attempt.row for attempt in step.attempts]
    before = [frames[row] for row in rows]
    ends = [_end(frame, step, index, round(seconds, DECIMALS)) for index, frame in enumerate(before)]
    for now in _inside(network, step, calls, before, ends) if calls else [ends]:
        yield dict(zip(rows, now, strict=True))
    chosen = {}
    for row, last in zip(rows, now, strict=True):
        if (solution := step.solutions.get(row)) and not last.is_last:
            end = last.tree.ends[solution.chosen.number]
            chosen[row] = replace(end, previous=last, seconds=last.seconds, is_last=True, finding=solution.finding)
    if chosen:
        yield chosen


def _end(frame: Frame, step: Step, index: int, seconds: float) -> Frame:
    """The frame that follows when a supervision step is over; the last if its answer is taken."""
    attempt, details = step.attempts[index], step.details
    assert details is not None
    solution = step.solutions.get(attempt.row)
    return Frame(
        puzzle=frame.puzzle,
        task=frame.task,
        step=attempt.steps,
        answer=attempt.answer,
        max_steps=attempt.max_steps,
        previous=frame,
        confidence=details.confidence[index].round(DECIMALS),
        halt_probability=round(attempt.halt_probability, DECIMALS),
        change_y=round(float(details.change_y[index]), DECIMALS),
        change_z=round(float(details.change_z[index]), DECIMALS),
        seconds=seconds,
        attempt=attempt.number,
        guesses=attempt.guesses,
        parent=attempt.node.parent if attempt.node else None,
        cost=round(attempt.node.cost, DECIMALS) if attempt.node else 0.0,
        tree=frame.tree,
        halted=bool(step.halted[index]),
        is_last=solution is not None and solution.chosen is attempt,
        finding=solution.finding if solution else None,
    )


@torch.inference_mode()
def _inside(
    network: TinyRecursiveModel, step: Step, calls: list[Call], before: list[Frame], ends: list[Frame]
) -> Iterator[list[Frame]]:
    """The frames [R] after each call of the net in a step; the last ones are the step's own."""
    assert step.details is not None
    views, seen, n = step.details.views, [attempt.view for attempt in step.attempts], network.config.n
    begun = ("step", "max_steps", "attempt", "guesses", "parent", "cost")
    frames = [
        replace(old, previous=old, halt_probability=None, **{name: getattr(new, name) for name in begun})
        for old, new in zip(before, ends, strict=True)
    ]
    followed = [*calls[1:], calls[-1]]
    for place, ((streams, out), (following, _)) in enumerate(zip(calls, followed, strict=True)):
        recursion, number = place // (n + 1) + 1, place % (n + 1) + 1
        stream, call = "z" if len(streams) == 3 else "y", spelled(network.config, len(streams), number)
        moved = (following[-1] - streams[-1] if stream == "z" else out - streams[0]).float()
        change = moved.flatten(1).norm(dim=1) / out.float().flatten(1).norm(dim=1)
        squares = moved.square().mean(-1)  # [R, S, L] or [R, P+L]
        by_cell = squares.mean(1) if squares.dim() == 3 else squares[:, network.config.num_prefix :]
        heat = views.place(by_cell.sqrt().cpu().numpy(), seen).round(DECIMALS)

        if place == len(calls) - 1:
            frames = ends
        elif stream == "y":
            likeliest = network.read_answer(out).softmax(-1).max(-1)
            answers = views.undo(likeliest.indices.byte().cpu().numpy(), seen)
            confidence = views.place(likeliest.values.cpu().numpy(), seen).round(DECIMALS)
            revised = zip(frames, answers, confidence, strict=True)
            frames = [replace(frame, answer=answer, confidence=sure) for frame, answer, sure in revised]
        yield [
            replace(frame, update=Update(stream, recursion, number, warm, round(far, DECIMALS), call))
            for frame, warm, far in zip(frames, heat, change.tolist(), strict=True)
        ]
