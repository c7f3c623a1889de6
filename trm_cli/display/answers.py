"""Answers on stdout: drawn on a terminal, one line each on a pipe, JSON lines if asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from trm_cli.display.boards import INKS, ON_BLACK, BoardView, Look, board_text, written
from trm_cli.display.console import answers_console, has_colour
from trm_cli.solving.engine import Solution
from trm_cli.solving.search import Guess
from trm_cli.solving.voting import ATTEMPTS, Ballot, VoteScores
from trm_cli.tasks.base import BLANK, Puzzle, Task, rules_of
from trm_cli.tasks.problems import Demonstrated, Grid, Problem, key
from trm_cli.weights.tensors import LoadedModel

COLOURS = tuple(written(ink) for ink in INKS)
GAP = 3  # columns between two pictures
RIGHT, WRONG = Text(": right", "bold green"), Text(": wrong", "bold red")
ARROW, ASCII_ARROW = " → ", " > "


@dataclass(frozen=True)
class Style:
    """How grids are drawn."""

    coloured: bool
    is_wide: bool = True  # two columns a cell
    ascii_only: bool = False

    @property
    def arrow(self) -> str:
        """Between the two sides of a pair."""
        return ASCII_ARROW if self.ascii_only else ARROW


@dataclass(frozen=True)
class Picture:
    """Lines under a title."""

    title: Text
    lines: list[Text]

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return max([self.title.cell_len, *(line.cell_len for line in self.lines)])


def grid_lines(grid: Grid, style: Style) -> list[Text]:
    """A grid as lines of text."""
    rows: list[list[int]] = grid.tolist()
    if not style.coloured:
        between = " " if style.is_wide else ""
        return [Text(between.join(map(str, row))) for row in rows]
    if style.is_wide:
        return [Text.assemble(*(_wide(colour) for colour in row)) for row in rows]
    halves = zip_longest(rows[::2], rows[1::2])
    return [_half(upper, lower) for upper, lower in halves]


def _wide(colour: int) -> tuple[str, str]:
    """A cell; one of black holds a dot, or it would not be seen on a black terminal."""
    return ("  " if colour else "· "), f"{ON_BLACK} on {COLOURS[colour]}"


def _half(upper: list[int], lower: list[int] | None) -> Text:
    """Two rows in one line, the upper in the foreground and the lower behind it."""
    if lower is None:
        return Text.assemble(*(("▀", COLOURS[colour]) for colour in upper))
    pairs = zip(upper, lower, strict=True)
    return Text.assemble(*(("▀", f"{COLOURS[up]} on {COLOURS[low]}") for up, low in pairs))


def draw_task(console: Console, task: Problem, ballots: list[Ballot]) -> None:
    """Demonstrations, then each test with the attempts at it, as wide as the console allows."""
    encoding = (console.encoding or "ascii").lower()
    style = Style(has_colour(console), ascii_only=not encoding.startswith("utf"))
    if max(picture.width for picture in _all(task, ballots, style)) > console.width:
        style = replace(style, is_wide=False)
    console.print(Text(f"task {task.name}", "bold"))
    demonstrations = [
        _pair(f"demonstration {number}", pair, style) for number, pair in enumerate(task.demonstrations, 1)
    ]
    for line in _flow(demonstrations, console.width):
        console.print(line)
    for test, ballot in enumerate(ballots):
        for line in _flow(_test(task, test, ballot, style), console.width):
            console.print(line)
        if remark := _remark(ballot):
            console.print(Text(remark, "dim"))


def _all(task: Problem, ballots: list[Ballot], style: Style) -> Iterator[Picture]:
    for pair in task.demonstrations:
        yield _pair("", pair, style)
    for test, ballot in enumerate(ballots):
        yield from _test(task, test, ballot, style)


def _pair(name: str, pair: tuple[Grid, Grid], style: Style) -> Picture:
    """Input, an arrow, output; both in the middle of their height."""
    sides = [grid_lines(grid, style) for grid in pair]
    height = max(map(len, sides))
    first, second = (_centred(lines, height) for lines in sides)
    width = max(line.cell_len for line in first)
    lines = []
    for number, (left, right) in enumerate(zip(first, second, strict=True)):
        left = left.copy()
        left.append(" " * (width - left.cell_len))
        left.append(style.arrow if number == (height - 1) // 2 else " " * len(style.arrow))
        lines.append(left.append_text(right))
    return Picture(Text(name, "dim"), lines)


def _centred(lines: list[Text], height: int) -> list[Text]:
    above = (height - len(lines)) // 2
    return [Text()] * above + lines + [Text()] * (height - len(lines) - above)


def _test(task: Problem, test: int, ballot: Ballot, style: Style) -> list[Picture]:
    """The test and the attempts at it, each with what can be said of it."""
    answer = task.answers[test]
    pictures = [Picture(Text(f"test {test + 1}", "dim"), grid_lines(task.tests[test], style))]
    for number, one in enumerate(ballot.attempts(), 1):
        verdict = Text()
        if answer is not None:
            verdict = RIGHT if key(one.grid) == key(answer) else WRONG
        votes = f", {one.votes} of {ballot.predictions} votes"
        title = Text.assemble((f"attempt {number}", "dim"), verdict, (votes, "dim"))
        pictures.append(Picture(title, grid_lines(one.grid, style)))
    return pictures


def _remark(ballot: Ballot) -> str:
    """What was odd about the votes."""
    said = []
    if not ballot.grids:
        said.append("no attempt: no prediction holds a grid")
    elif ballot.empty:
        said.append(f"{ballot.empty} predictions hold no grid")
    if ballot.malformed:
        said.append(f"{ballot.malformed} lack end markers")
    return "; ".join(said)


def _flow(pictures: list[Picture], width: int) -> Iterator[Text]:
    """Pictures side by side, as many in a band as fit, each band under its titles."""
    band: list[Picture] = []
    for picture in pictures:
        if band and sum(p.width + GAP for p in band) + picture.width > width:
            yield from _band(band)
            band = []
        band.append(picture)
    yield from _band(band)


def _band(band: list[Picture]) -> Iterator[Text]:
    yield Text()
    columns = [[picture.title, *picture.lines] for picture in band]
    for cells in zip_longest(*columns, fillvalue=Text()):
        line = Text(no_wrap=True)
        for picture, cell in zip(band, cells, strict=True):
            line.append_text(cell)
            line.append(" " * (picture.width + GAP - cell.cell_len))
        line.rstrip()
        yield line


SCHEMA = 1


@dataclass(frozen=True)
class ProblemAnswer:
    """What came of one task."""

    task: Demonstrated
    problem: Problem
    ballots: list[Ballot]  # of its tests
    adapted: dict[str, Any] | None  # steps, seconds, cell accuracy; None where the model knew it
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether every test has an attempt that is right, or any where its answer is unknown."""
        return all(
            is_right(ballot, answer) if answer is not None else bool(ballot.grids)
            for ballot, answer in zip(self.ballots, self.problem.answers, strict=True)
        )

    def as_json(self, index: int, loaded: LoadedModel) -> str:
        """One line; the fields stand in docs/arc.md."""
        tests = zip(self.ballots, self.problem.answers, strict=True)
        return json.dumps(
            {
                "schema": SCHEMA,
                "task": self.task.name,
                "index": index,
                "name": self.problem.name,
                "tests": [_test_json(ballot, answer) for ballot, answer in tests],
                "adapted": self.adapted,
                "seconds": round(self.seconds, 2),
                "model": {"name": loaded.checkpoint.name, "source": loaded.source, "sha256": loaded.sha256},
            }
        )

    def draw(self, console: Console) -> None:
        """Draw it, with an empty line behind."""
        draw_task(console, self.problem, self.ballots)
        console.print()


def is_right(ballot: Ballot, answer: Grid) -> bool:
    """Whether one of the attempts is the answer."""
    return any(key(one.grid) == key(answer) for one in ballot.attempts())


def _test_json(ballot: Ballot, answer: Grid | None) -> dict[str, Any]:
    best = ballot.attempts()
    tried = [one.grid.tolist() for one in best] + [None] * (ATTEMPTS - len(best))
    return {
        **{f"attempt_{number}": grid for number, grid in enumerate(tried, 1)},
        "solved": None if answer is None else is_right(ballot, answer),
        "votes": [one.votes for one in best],
        "halt_probability": [round(one.halt_probability, 4) for one in best],
        "predictions": ballot.predictions,
        "malformed": ballot.malformed,
        "empty": ballot.empty,
    }


def scores_json(scores: VoteScores, loaded: LoadedModel, data: str) -> str:
    """An evaluation as one line of JSON."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "task": loaded.checkpoint.task,
            "data": data,
            "tasks": scores.tasks,
            "tests": scores.tests,
            "pass": {str(most): mean for most, mean in scores.passes.items()},
            "predictions": scores.predictions,
            "malformed": scores.malformed,
            "empty": scores.empty,
            "model": {"name": loaded.checkpoint.name, "source": loaded.source, "sha256": loaded.sha256},
        }
    )


def show_votes(console: Console, scores: VoteScores) -> None:
    """An evaluation as lines to read."""
    for most, mean in scores.passes.items():
        console.print(f"pass@{most:<5} {mean:7.2%}")
    if not scores.passes:
        console.print("no answer is known: nothing to score")
    console.print(
        f"{scores.tasks:,} tasks with known answers, {scores.tests:,} tests; "
        f"{scores.predictions:,} predictions, of which {scores.malformed:,} lack end markers and "
        f"{scores.empty:,} hold no grid"
    )


REMARKS = 4  # lines that stand around a drawn grid
SHOWN_VIOLATIONS = 3  # listed under a drawn grid; the rest is counted


class AnswerWriter:
    """Writes each answer as it comes."""

    def __init__(self, task: Task, model: LoadedModel, *, as_json: bool, file: IO[str] | None) -> None:
        self.task = task
        self.model = model
        self.as_json = as_json
        self.file = file
        self.console = answers_console()
        self.on_screen = file is None and self.console.is_terminal
        self.draws = self.on_screen and not as_json

    def write(self, index: int, puzzle: Puzzle, solution: Solution) -> None:
        """Write one answer."""
        if self.draws:
            self._draw(index, puzzle, solution)
            return
        line = self._json(index, puzzle, solution) if self.as_json else self._line(puzzle, solution)
        self.console.file.write(line + "\n") if self.file is None else self.file.write(line + "\n")
        (self.file or self.console.file).flush()

    def _line(self, puzzle: Puzzle, solution: Solution) -> str:
        """The answer as its task writes it; an unsolved one is marked by a comment after it."""
        text = self.task.write_rows(solution.answer)
        if solution.solved:
            return text
        remark = _unsolved(solution, len(rules_of(self.task).violations(puzzle.tokens, solution.answer)))
        return f"{text}{remark}\n" if "\n" in text else f"{text} # {remark}"

    def _json(self, index: int, puzzle: Puzzle, solution: Solution) -> str:
        violations = rules_of(self.task).violations(puzzle.tokens, solution.answer)
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "task": self.task.name,
            "index": index,
            "puzzle": self.task.write(puzzle.tokens),
            "answer": self.task.write(solution.answer),
            "solved": solution.solved,
            "violations": [{"row": v.row, "column": v.column, "rule": v.rule} for v in violations],
            **self.task.details(puzzle.tokens, solution.answer),
            "steps": solution.chosen.steps,
            "halted": solution.halted,
            "halt_probability": round(solution.chosen.halt_probability, 6),
            "attempt": solution.chosen.number,
            "seconds": round(solution.seconds, 4),
            "model": {"name": self.model.checkpoint.name, "source": self.model.source, "sha256": self.model.sha256},
            "view": solution.chosen.view,
            "guess": self._guess(puzzle, solution.guess),
            "attempts": len(solution.attempts),
            "total_steps": solution.total_steps,
        }
        return json.dumps(result)

    def _guess(self, puzzle: Puzzle, guess: Guess | None) -> dict[str, Any] | None:
        if guess is None:
            return None
        alone = np.full_like(puzzle.tokens, BLANK)
        alone[guess.cell] = guess.token
        row, column = divmod(guess.cell, puzzle.width)
        symbol = self.task.write(alone)[guess.cell]
        return {"row": row + 1, "column": column + 1, "symbol": symbol}

    def _draw(self, index: int, puzzle: Puzzle, solution: Solution) -> None:
        violations = rules_of(self.task).violations(puzzle.tokens, solution.answer)
        cells = {(v.row - 1) * puzzle.width + v.column - 1 for v in violations}
        boxes = self.task.boxes(len(puzzle.tokens))
        self.console.print(f"puzzle {index + 1}  {puzzle.place}", style="dim")
        ascii_only = not self.console.encoding.lower().startswith("utf")
        view = BoardView(puzzle.tokens, solution.answer, *boxes, cells)
        look = Look(
            self.console.width,
            self.console.height - REMARKS,
            ascii_only=ascii_only,
            in_a_list=True,
            marks=not has_colour(self.console),
        )
        self.console.print(board_text(self.task.name, view, look))
        verdict = _verdict(solution, len(violations), puzzle.width)
        self.console.print(verdict.append(f"  model {self.model.checkpoint.name}", "dim"))
        for violation in violations[:SHOWN_VIOLATIONS]:
            self.console.print(f"  row {violation.row}, column {violation.column}: {violation.rule}", style="red")
        if len(violations) > SHOWN_VIOLATIONS:
            self.console.print(f"  and {len(violations) - SHOWN_VIOLATIONS} more cells", style="red")
        self.console.print()


def _unsolved(solution: Solution, broken: int) -> str:
    if not solution.total_steps:
        return "not solved: no time was left for it"
    return f"not solved: {broken} {'cell breaks' if broken == 1 else 'cells break'} a rule"


def _verdict(solution: Solution, broken: int, width: int) -> Text:
    verdict = ("solved", "bold green") if solution.solved else (_unsolved(solution, broken), "bold red")
    return Text.assemble(
        verdict,
        (
            f"  {_course(solution, width)}  halt probability {solution.chosen.halt_probability:.1%}"
            f"  {solution.seconds:.2f} s",
            "dim",
        ),
    )


def _course(solution: Solution, width: int) -> str:
    """Which attempt the answer comes from, in how many steps, and what it varied."""
    steps = "1 step" if solution.chosen.steps == 1 else f"{solution.chosen.steps} steps"
    if len(solution.attempts) == 1:
        return steps
    made = "" if solution.solved else f" of {len(solution.attempts)}"
    parts = [f"attempt {solution.chosen.number + 1}{made}"]
    if solution.chosen.view:
        parts.append(f"view {solution.chosen.view}")
    if solution.guess:
        row, column = divmod(solution.guess.cell, width)
        parts.append(f"guess at row {row + 1}, column {column + 1}")
    return f"{steps} ({', '.join(parts)})"
