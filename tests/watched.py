"""A short run to watch, made by hand: a 4x4 Sudoku that takes three steps."""

from dataclasses import replace

import numpy as np

from trm_cli.solving.search import Guess
from trm_cli.solving.trace import Frame, Header, Moment, Update
from trm_cli.tasks.base import Puzzle, Tokens
from trm_cli.tasks.sudoku import Sudoku

TASK = Sudoku()
HEADER = Header(TASK, "tiny", 1234, n=1, T=1, halt="verified", num_puzzles=1, num_attempts=2)
MAX_STEPS = 4
QUESTION = "1..4..1..1..4..1"
ANSWERS = ("1334341231244221", "1234341231244221", "1234341221434321")


def tokens(text: str) -> Tokens:
    """A grid as tokens, right or wrong."""
    return np.array([1 if mark == "." else int(mark) + 1 for mark in text], np.uint8)


def question(line: int = 1) -> Frame:
    """The puzzle before the first step."""
    given = tokens(QUESTION)
    return Frame(Puzzle(given, 4, 4, "puzzles.txt", line), TASK, 0, given, MAX_STEPS)


def steps(first: Frame) -> list[Frame]:
    """The three frames that follow."""
    frames = [first]
    for number, answer in enumerate(ANSWERS, 1):
        frames.append(
            Frame(
                first.puzzle,
                TASK,
                number,
                tokens(answer),
                MAX_STEPS,
                previous=frames[-1],
                confidence=np.linspace(0.25 * number, 1.0, 16, dtype=np.float32).round(4),
                halt_probability=(0.01, 0.25, 0.9)[number - 1],
                change_y=1.5 / number,
                change_z=round(1 / number, 4),
                seconds=number / 8,
                halted=number == 3,
                is_last=number == 3,
            )
        )
    return frames[1:]


def run_of_one() -> list[Moment]:
    """The question, then three steps."""
    first = question()
    return [Moment(0, (frame,), frozenset({0})) for frame in (first, *steps(first))]


def run_inside() -> list[Moment]:
    """The same with an update of z, then of y, in every step."""
    first, *others = run_of_one()
    moments = [first]
    for moment in others:
        frame, before = moment.frames[0], moments[-1].frames[0]
        heat = np.linspace(0, 1.5, 16, dtype=np.float32).round(4)
        thinking = replace(
            before, step=frame.step, previous=before, halt_probability=None, update=Update("z", 1, 1, heat, 0.5)
        )
        revised = replace(frame, previous=before, update=Update("y", 1, 2, heat[::-1].copy(), 0.25))
        moments += [Moment(0, (each,), frozenset({0})) for each in (thinking, revised)]
    return moments


def run_of_two() -> list[Moment]:
    """Two puzzles side by side, of which the first halts after two steps."""
    first, second = question(1), question(2)
    one, two = steps(first), steps(second)
    early = replace(one[2], step=2, previous=one[0])
    return [
        Moment(0, (first, second), frozenset({0, 1})),
        Moment(0, (one[0], two[0]), frozenset({0, 1})),
        Moment(0, (early, two[1]), frozenset({0, 1})),
        Moment(0, (early, two[2]), frozenset({1})),
    ]


HEADER_OF_SEARCH = replace(HEADER, search="best-first", num_attempts=1000)
BRANCHES = ((None, ()), (0, ((1, 3),)), (0, ((1, 4),)), (1, ((1, 3), (4, 2))), (2, ((1, 4), (4, 3))))
TRIED = (0, 0, 1, 1, 2)  # which answer each node comes to: the last one is right


def run_of_search(
    nodes: tuple[tuple[int | None, tuple[tuple[int, int], ...]], ...] = BRANCHES, answers: tuple[int, ...] = TRIED
) -> list[Moment]:
    """A search of two steps a node: the parent and the guesses of each, and which of ANSWERS it comes to."""
    frames = [question()]
    for attempt, ((parent, guesses), place) in enumerate(zip(nodes, answers, strict=True)):
        for step in (1, 2):
            last = frames[-1]
            is_end = step == 2 and attempt == len(nodes) - 1
            frames.append(
                replace(
                    steps(frames[0])[place],
                    step=step,
                    max_steps=2,
                    previous=last,
                    attempt=attempt,
                    parent=parent,
                    guesses=tuple(Guess(cell, symbol + 1) for cell, symbol in guesses),
                    cost=0.5 * attempt,
                    halted=is_end,
                    is_last=is_end,
                    tree=last.tree,
                )
            )
    return [Moment(0, (frame,), frozenset({0})) for frame in frames]


HEADER_OF_TWO = replace(HEADER, num_puzzles=2, columns=2)
HEADER_INSIDE = replace(HEADER, inner=True)
