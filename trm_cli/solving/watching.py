"""The engine's steps as moments to watch, and the calls of the net inside each step.

Shapes: R puzzles running, L cells, S symbols, P prefix positions, D channels.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count, islice

import torch
from torch import Tensor, nn

from trm_cli.config import SolveConfig
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.solving.engine import Solution, Step, run
from trm_cli.solving.search import WayBack
from trm_cli.solving.trace import Frame, Header, Moment, Update
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Puzzle, Task
from trm_cli.weights.tensors import LoadedModel

DECIMALS = 4  # of every figure: a trace holds the same values, written short


@dataclass(frozen=True)
class Call:
    """One call of the net: what it revised, before and after, each [R, *state_shape]."""

    stream: str  # z, of three streams, or y, of two
    before: Tensor
    after: Tensor


def header_of(
    loaded: LoadedModel,
    settings: SolveConfig,
    *,
    num_puzzles: int,
    shape: tuple[int, int] = (1, 1),
    inner: bool = False,
) -> Header:
    """What holds for a whole run of that network; `shape` is rows and columns of puzzles."""
    config = loaded.network.config
    return Header(
        task=get_task(loaded.checkpoint.task),
        model=loaded.checkpoint.name,
        num_parameters=sum(weight.numel() for weight in loaded.network.parameters()),
        n=config.n,
        T=config.T,
        halt=settings.halt,
        num_puzzles=num_puzzles,
        rows=shape[0],
        columns=shape[1],
        inner=inner,
    )


@contextmanager
def observed(network: TinyRecursiveModel) -> Iterator[list[Call]]:
    """Note every call of the net; whoever reads the list empties it.

    The recursion knows nothing of it, and without an observer not a line more is run.
    """
    calls: list[Call] = []

    def note(_net: nn.Module, streams: tuple[Tensor, ...], out: Tensor) -> None:
        stream = "z" if len(streams) == 3 else "y"  # z = net(x, y, z); y = net(y, z)
        calls.append(Call(stream, streams[-1] if stream == "z" else streams[0], out))

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
) -> Iterator[Moment]:
    """Yield what there is to see, `at_once` puzzles at a time: each question, then each step.

    inner  also yield a moment after every call of the net inside a step.
    """
    coming = iter(puzzles)
    for page in count():
        if not (group := list(islice(coming, at_once))):
            return
        yield from _page(network, task, page, group, settings=settings, inner=inner)


def _page(
    network: TinyRecursiveModel, task: Task, page: int, group: list[Puzzle], *, settings: SolveConfig, inner: bool
) -> Iterator[Moment]:
    frames = [Frame(puzzle, task, 0, puzzle.tokens, settings.steps_of(0)) for puzzle in group]
    yield Moment(page, tuple(frames), frozenset(range(len(frames))))
    steps = run(
        network,
        task,
        (puzzle.tokens for puzzle in group),
        batch_size=len(group),
        settings=settings,
        details=True,
        ahead=False,
    )
    observer: AbstractContextManager[list[Call]] = observed(network) if inner else nullcontext([])
    with observer as calls:
        seconds, began = 0.0, time.perf_counter()
        for step in steps:
            seconds += time.perf_counter() - began
            rows, ended = [attempt.row for attempt in step.attempts], step.solutions
            finished = [_after(frames[row], step, index, seconds, ended.get(row)) for index, row in enumerate(rows)]
            assert step.details is not None
            before = [frames[row] for row in rows]
            for inside in _inside(network, calls, before, finished, step.details.way_back):
                yield _moment(page, frames, rows, inside)
            calls.clear()
            if others := [row for row in ended if not frames[row].is_last]:
                chosen = [_chosen(frames[row], ended[row]) for row in others]
                yield _moment(page, frames, others, chosen)
            began = time.perf_counter()


def _chosen(last: Frame, solution: Solution) -> Frame:
    """The end of the attempt whose answer is taken, once more, after that of the last attempt."""
    of_attempt = next(frame for frame in reversed(last.history) if frame.attempt == solution.chosen.number)
    return replace(of_attempt, previous=last, seconds=last.seconds, is_last=True)


def _moment(page: int, frames: list[Frame], rows: list[int], new: list[Frame]) -> Moment:
    """Put new frames in their rows' places; the others stay as they were."""
    for row, frame in zip(rows, new, strict=True):
        frames[row] = frame
    return Moment(page, tuple(frames), frozenset(rows))


def _after(frame: Frame, step: Step, index: int, seconds: float, solution: Solution | None) -> Frame:
    """The frame that follows when a supervision step is over; the last if its answer is taken."""
    assert step.details is not None
    attempt = step.attempts[index]
    return Frame(
        puzzle=frame.puzzle,
        task=frame.task,
        step=attempt.steps,
        answer=attempt.answer,
        max_steps=attempt.max_steps,
        previous=frame,
        confidence=step.details.confidence[index].round(DECIMALS),
        halt_probability=round(attempt.halt_probability, DECIMALS),
        change_y=round(float(step.details.change_y[index]), DECIMALS),
        change_z=round(float(step.details.change_z[index]), DECIMALS),
        seconds=round(seconds, DECIMALS),
        attempt=attempt.number,
        halted=bool(step.halted[index]),
        is_last=solution is not None and solution.chosen is attempt,
    )


@torch.inference_mode()
def _inside(
    network: TinyRecursiveModel, calls: list[Call], before: list[Frame], finished: list[Frame], way_back: WayBack
) -> Iterator[list[Frame]]:
    """The frames [R] after each call of the net in a step; the last ones are the step's own."""
    frames = [
        replace(old, step=new.step, max_steps=new.max_steps, attempt=new.attempt, previous=old, halt_probability=None)
        for old, new in zip(before, finished, strict=True)
    ]
    n = network.config.n
    for place, call in enumerate(calls):
        moved = (call.after - call.before).float()
        heat = way_back.place(_by_cell(network, moved).cpu().numpy()).round(DECIMALS)
        change = moved.flatten(1).norm(dim=1) / call.after.float().flatten(1).norm(dim=1)
        recursion, number = place // (n + 1) + 1, place % (n + 1) + 1
        updates = [
            Update(call.stream, recursion, number, heat[row], round(far, DECIMALS))
            for row, far in enumerate(change.tolist())
        ]
        if place == len(calls) - 1:
            frames = finished
        elif call.stream == "y":
            frames = _revised(network, call.after, frames, way_back)
        yield [replace(frame, update=update) for frame, update in zip(frames, updates, strict=True)]
    if not calls:
        yield finished


def _revised(network: TinyRecursiveModel, y: Tensor, frames: list[Frame], way_back: WayBack) -> list[Frame]:
    """Frames with the answers that can be read off y [R, *state_shape]."""
    logits = network.read_answer(y)
    likeliest = logits.softmax(-1).max(-1)
    answers = way_back.undo(likeliest.indices.byte().cpu().numpy())
    confidence = way_back.place(likeliest.values.cpu().numpy()).round(DECIMALS)
    return [
        replace(frame, answer=answer, confidence=sure)
        for frame, answer, sure in zip(frames, answers, confidence, strict=True)
    ]


def _by_cell(network: TinyRecursiveModel, state: Tensor) -> Tensor:
    """Root mean square of each cell's vectors, [R, L]: its channels, and its symbols if it has."""
    squares = state.square().mean(-1)  # [R, S, L] or [R, P+L]
    by_cell = squares.mean(1) if squares.dim() == 3 else squares[:, network.config.num_prefix :]
    return by_cell.sqrt()
