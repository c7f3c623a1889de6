"""Answers on stdout: drawn on a terminal, one line each on a pipe, JSON lines if asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from trm_cli.display.boards import BLACK, BoardView, Look, block, board_text, halves
from trm_cli.display.console import answers_console, has_colour, is_ascii
from trm_cli.display.screen import beside, rows_of
from trm_cli.solving.search import Guess, Solution
from trm_cli.solving.voting import ATTEMPTS, Ballot, VoteScores
from trm_cli.tasks.base import BLANK, Puzzle, Task, Violation, rules_of
from trm_cli.tasks.problems import Demonstrated, Grid, Problem, key
from trm_cli.weights.tensors import LoadedModel

SCHEMA = 1  # of every line of JSON here
GAP = 3  # columns between two pictures


def _model_json(loaded: LoadedModel) -> dict[str, str]:
    return {"name": loaded.checkpoint.name, "source": loaded.source, "sha256": loaded.sha256}


@dataclass(frozen=True)
class Style:
    """How the grids of a problem are drawn."""

    coloured: bool
    is_wide: bool = True  # two columns a cell
    ascii_only: bool = False


Picture = list[Text]  # a title, and the lines under it


def grid_lines(task: Demonstrated, grid: Grid, style: Style) -> list[Text]:
    """A grid as lines of text."""
    height, width = grid.shape
    side = max(grid.shape)
    board = task.encode(grid, side=side)
    cells = np.array(task.cells(board, board), object).reshape(side, side)[:height, :width]
    if not style.coloured:
        between = " " if style.is_wide else ""
        return [Text(between.join(cell.glyph for cell in row)) for row in cells]
    colours = [[task.roles[cell.role].colour or BLACK for cell in row] for row in cells]
    if style.is_wide:
        return [Text.assemble(*map(block, row)) for row in colours]
    return rows_of(halves([colour for row in colours for colour in row], width))


def _pair(task: Demonstrated, name: str, pair: tuple[Grid, Grid], style: Style) -> Picture:
    """Input, an arrow, output; each in the middle of their height."""
    arrow = [Text(" > " if style.ascii_only else " → ")]
    blocks = [grid_lines(task, pair[0], style), arrow, grid_lines(task, pair[1], style)]
    height = max(map(len, blocks))
    return [Text(name, "dim"), *beside([[Text()] * ((height - len(lines)) // 2) + lines for lines in blocks], 0)]


def _test(task: Demonstrated, problem: Problem, test: int, ballot: Ballot, style: Style) -> list[Picture]:
    """The test and the attempts at it, each with what can be said of it."""
    answer = problem.answers[test]
    pictures = [[Text(f"test {test + 1}", "dim"), *grid_lines(task, problem.tests[test], style)]]
    for number, one in enumerate(ballot.attempts(), 1):
        title = Text.assemble((f"attempt {number}", "dim"))
        if answer is not None:
            title.append(*((": right", "bold green") if key(one.grid) == key(answer) else (": wrong", "bold red")))
        title.append(f", {one.votes} of {ballot.predictions} votes", "dim")
        pictures.append([title, *grid_lines(task, one.grid, style)])
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


def _width(picture: Picture) -> int:
    return max(line.cell_len for line in picture)


def _bands(pictures: list[Picture], width: int) -> Iterator[Text]:
    """Pictures side by side, as many in a band as fit, each band under an empty line."""
    bands: list[list[Picture]] = [[]]
    for picture in pictures:
        if bands[-1] and sum(_width(before) + GAP for before in bands[-1]) + _width(picture) > width:
            bands.append([])
        bands[-1].append(picture)
    for band in bands:
        yield Text()
        for line in beside(band, GAP):
            line.rstrip()
            line.no_wrap = True
            yield line


def draw_problem(console: Console, task: Demonstrated, problem: Problem, ballots: list[Ballot]) -> None:
    """Demonstrations, then each test with the attempts at it, as wide as the console allows."""

    def groups(style: Style) -> list[list[Picture]]:
        shown = [_pair(task, f"demonstration {at}", pair, style) for at, pair in enumerate(problem.demonstrations, 1)]
        return [shown, *(_test(task, problem, test, ballot, style) for test, ballot in enumerate(ballots))]

    style = Style(has_colour(console), ascii_only=is_ascii(console))
    drawn = groups(style)
    if max(_width(picture) for group in drawn for picture in group) > console.width:
        drawn = groups(replace(style, is_wide=False))
    console.print(Text(f"task {problem.name}", "bold"))
    for group, remark in zip(drawn, ["", *map(_remark, ballots)], strict=True):
        for line in _bands(group, console.width):
            console.print(line)
        if remark:
            console.print(Text(remark, "dim"))


@dataclass(frozen=True)
class ProblemAnswer:
    """What came of one problem."""

    task: Demonstrated
    problem: Problem
    ballots: list[Ballot]  # of its tests
    adapted: dict[str, Any] | None  # steps, seconds, cell accuracy; None where the model knew it
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether every test has an attempt that is right, or any where its answer is unknown."""
        return all(
            _is_right(ballot, answer) if answer is not None else bool(ballot.grids)
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
                "model": _model_json(loaded),
            }
        )

    def draw(self, console: Console) -> None:
        """Draw it, with an empty line behind."""
        draw_problem(console, self.task, self.problem, self.ballots)
        console.print()


def _is_right(ballot: Ballot, answer: Grid) -> bool:
    """Whether one of the attempts is the answer."""
    return any(key(one.grid) == key(answer) for one in ballot.attempts())


def _test_json(ballot: Ballot, answer: Grid | None) -> dict[str, Any]:
    best = ballot.attempts()
    tried = [one.grid.tolist() for one in best] + [None] * (ATTEMPTS - len(best))
    return {
        **{f"attempt_{number}": grid for number, grid in enumerate(tried, 1)},
        "solved": None if answer is None else _is_right(ballot, answer),
        "votes": [one.votes for one in best],
        "halt_probability": [round(one.halt_probability, 4) for one in best],
        "predictions": ballot.predictions,
        "malformed": ballot.malformed,
        "empty": ballot.empty,
    }


def votes_json(scores: VoteScores, loaded: LoadedModel, data: str) -> str:
    """An evaluation of votes as one line of JSON."""
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
            "model": _model_json(loaded),
        }
    )


def show_votes(console: Console, scores: VoteScores) -> None:
    """An evaluation of votes as lines to read."""
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
        sink = self.file or self.console.file
        sink.write((self._json(index, puzzle, solution) if self.as_json else self._line(puzzle, solution)) + "\n")
        sink.flush()

    def _violations(self, puzzle: Puzzle, solution: Solution) -> list[Violation]:
        return rules_of(self.task).violations(puzzle.tokens, solution.answer)

    def _line(self, puzzle: Puzzle, solution: Solution) -> str:
        """The answer as its task writes it; an unsolved one is marked by a comment after it."""
        text = self.task.write_rows(solution.answer)
        if solution.solved:
            return text
        remark = _unsolved(solution, len(self._violations(puzzle, solution)))
        return f"{text}{remark}\n" if "\n" in text else f"{text} # {remark}"

    def _json(self, index: int, puzzle: Puzzle, solution: Solution) -> str:
        violations = self._violations(puzzle, solution)
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
            "halted": solution.chosen.halt_probability > 0.5,
            "halt_probability": round(solution.chosen.halt_probability, 6),
            "attempt": solution.chosen.number,
            "seconds": round(solution.seconds, 4),
            "model": _model_json(self.model),
            "view": solution.chosen.view,
            "guess": self._guess(puzzle, solution.chosen.guess),
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
        violations = self._violations(puzzle, solution)
        cells = {(v.row - 1) * puzzle.width + v.column - 1 for v in violations}
        self.console.print(f"puzzle {index + 1}  {puzzle.place}", style="dim")
        view = BoardView(self.task, puzzle.tokens, solution.answer, cells)
        look = Look(
            self.console.width,
            self.console.height - REMARKS,
            ascii_only=is_ascii(self.console),
            in_a_list=True,
            marks=not has_colour(self.console),
        )
        self.console.print(board_text(view, look))
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
        (f"  {_course(solution, width)}  halt probability {solution.chosen.halt_probability:.1%}", "dim"),
        (f"  {solution.seconds:.2f} s", "dim"),
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
    if solution.chosen.guess:
        row, column = divmod(solution.chosen.guess.cell, width)
        parts.append(f"guess at row {row + 1}, column {column + 1}")
    return f"{steps} ({', '.join(parts)})"
