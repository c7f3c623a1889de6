"""Answers on stdout: drawn on a terminal, one line each on a pipe, JSON lines if asked for."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from trm_cli.display.boards import BLACK, BoardView, Look, block, board_text, halves, look_of
from trm_cli.display.console import answers_console
from trm_cli.display.lines import beside, widest
from trm_cli.display.screen import broken_rules
from trm_cli.display.tree import course, guesses_of
from trm_cli.solving.search import Outcome
from trm_cli.solving.voting import ATTEMPTS, Ballot, VoteScores
from trm_cli.tasks.base import Puzzle, Task, rules_of
from trm_cli.tasks.problems import Demonstrated, Grid, Problem
from trm_cli.weights.tensors import LoadedModel

SCHEMA = 1  # of every line of JSON here
GAP = 3  # columns between two pictures


def _model_json(loaded: LoadedModel) -> dict[str, str]:
    return {"name": loaded.checkpoint.name, "source": loaded.source, "sha256": loaded.sha256}


Picture = list[Text]  # a title, and the lines under it


def grid_lines(task: Demonstrated, grid: Grid, look: Look, columns: int = 2) -> list[Text]:
    """A grid as lines of text, one or two columns a cell."""
    height, width = grid.shape
    side = max(grid.shape)
    board = task.encode(grid, side=side)
    cells = np.array(task.cells(board, board), object).reshape(side, side)[:height, :width]
    if look.is_plain:
        return [Text((" " * (columns - 1)).join(cell.glyph for cell in row)) for row in cells]
    colours = [[task.roles[cell.role].colour or BLACK for cell in row] for row in cells]
    if columns == 2:
        return [Text.assemble(*map(block, row)) for row in colours]
    return list(halves(chain.from_iterable(colours), width).split("\n"))


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


def _bands(pictures: list[Picture], width: int) -> Iterator[Text]:
    """Pictures side by side, as many in a band as fit, each band under an empty line."""
    bands: list[list[Picture]] = [[]]
    for picture in pictures:
        if bands[-1] and sum(widest(one) + GAP for one in bands[-1]) + widest(picture) > width:
            bands.append([])
        bands[-1].append(picture)
    for band in bands:
        yield Text()
        for line in beside(band, GAP):
            line.rstrip()
            line.no_wrap = True
            yield line


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
        tests = zip(self.ballots, self.problem.answers, strict=True)
        return all(ballot.is_right(answer) if answer is not None else ballot.grids for ballot, answer in tests)

    def as_json(self, index: int, loaded: LoadedModel) -> str:
        """One line; the fields stand in docs/arc.md."""
        tests = []
        for ballot, answer in zip(self.ballots, self.problem.answers, strict=True):
            best = ballot.attempts()
            grids = [one.grid.tolist() for one in best] + [None] * (ATTEMPTS - len(best))
            told: dict[str, Any] = {f"attempt_{number}": grid for number, grid in enumerate(grids, 1)}
            told["solved"] = None if answer is None else ballot.is_right(answer)
            told["votes"] = [one.votes for one in best]
            told["halt_probability"] = [round(one.halt_probability, 4) for one in best]
            told |= {"predictions": ballot.predictions, "malformed": ballot.malformed, "empty": ballot.empty}
            tests.append(told)
        told = {"schema": SCHEMA, "task": self.task.name, "index": index, "name": self.problem.name, "tests": tests}
        told |= {"adapted": self.adapted, "seconds": round(self.seconds, 2), "model": _model_json(loaded)}
        return json.dumps(told)

    def draw(self, console: Console) -> None:
        """Demonstrations, then each test with the attempts at it, as wide as the console allows."""
        look = look_of(console)
        drawn = self._pictures(look, 2)
        if max(widest(picture) for group in drawn for picture in group) > console.width:
            drawn = self._pictures(look, 1)
        console.print(Text(f"task {self.problem.name}", "bold"))
        for group, remark in zip(drawn, ["", *map(_remark, self.ballots)], strict=True):
            for line in _bands(group, console.width):
                console.print(line)
            if remark:
                console.print(Text(remark, "dim"))
        console.print()

    def _pictures(self, look: Look, columns: int) -> list[list[Picture]]:
        """The demonstrations, then each test with the attempts at it; so many columns a cell."""

        def drawn(grid: Grid) -> list[Text]:
            return grid_lines(self.task, grid, look, columns)

        arrow = Text(" > " if look.ascii_only else " → ")
        shown: list[list[Picture]] = [[]]
        for number, pair in enumerate(self.problem.demonstrations, 1):
            before, after = map(drawn, pair)
            height = max(len(before), len(after))
            blocks = [[Text()] * ((height - len(lines)) // 2) + lines for lines in (before, [arrow], after)]
            shown[0].append([Text(f"demonstration {number}", "dim"), *beside(blocks, 0)])
        tests = zip(self.problem.tests, self.problem.answers, self.ballots, strict=True)
        for place, (test, answer, ballot) in enumerate(tests, 1):
            pictures = [[Text(f"test {place}", "dim"), *drawn(test)]]
            for number, one in enumerate(ballot.attempts(), 1):
                title = Text.assemble((f"attempt {number}", "dim"))
                if answer is not None:
                    is_right = ballot.place_of(answer) == number
                    title.append(*((": right", "bold green") if is_right else (": wrong", "bold red")))
                title.append(f", {one.votes} of {ballot.predictions} votes", "dim")
                pictures.append([title, *drawn(one.grid)])
            shown.append(pictures)
        return shown


def votes_json(scores: VoteScores, loaded: LoadedModel, data: str) -> str:
    """An evaluation of votes as one line of JSON."""
    counted = asdict(scores)
    told = {"schema": SCHEMA, "task": loaded.checkpoint.task, "data": data, "pass": counted.pop("passes")}
    return json.dumps({**told, **counted, "model": _model_json(loaded)})


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


REMARKS, SHOWN_VIOLATIONS = 4, 3  # lines around a drawn grid; listed under it, the rest is counted


@dataclass(frozen=True)
class AnswerWriter:
    """Writes each answer as it comes."""

    task: Task
    model: LoadedModel
    as_json: bool
    file: IO[str] | None
    console: Console = field(default_factory=answers_console)

    @property
    def on_screen(self) -> bool:
        """Whether answers are seen on a terminal."""
        return self.file is None and self.console.is_terminal

    def write(self, index: int, puzzle: Puzzle, solution: Outcome) -> None:
        """Write one answer."""
        if self.on_screen and not self.as_json:
            self._draw(index, puzzle, solution)
            return
        line = self._json(index, puzzle, solution) if self.as_json else self._line(puzzle, solution)
        if self.on_screen:
            self.console.print(Text(line))  # above a bar
            return
        sink = self.file or self.console.file
        sink.write(f"{line}\n")
        sink.flush()

    def _line(self, puzzle: Puzzle, solution: Outcome) -> str:
        """The answer as its task writes it; an unsolved one is marked by a comment after it."""
        text = self.task.write_rows(solution.answer)
        if solution.solved:
            return text
        remark = _unsolved(solution, len(rules_of(self.task).violations(puzzle.tokens, solution.answer)))
        return f"{text}{remark}\n" if "\n" in text else f"{text} # {remark}"

    def _json(self, index: int, puzzle: Puzzle, solution: Outcome) -> str:
        violations = rules_of(self.task).violations(puzzle.tokens, solution.answer)
        guesses = [asdict(guess) for guess in guesses_of(solution.chosen.guesses, self.task, puzzle)]
        told = {
            "schema": SCHEMA,
            "task": self.task.name,
            "index": index,
            "puzzle": self.task.write(puzzle.tokens),
            "answer": self.task.write(solution.answer),
            "solved": solution.solved,
            "why": solution.why,
            "violations": [asdict(violation) for violation in violations],
            **self.task.details(puzzle.tokens, solution.answer),
            "steps": solution.chosen.steps,
            "halted": solution.chosen.halt_probability > 0.5,
            "halt_probability": round(solution.chosen.halt_probability, 6),
            "attempt": solution.chosen.number,
            "seconds": round(solution.seconds, 4),
            "model": _model_json(self.model),
            "view": solution.chosen.view,
            "guess": guesses[-1] if guesses else None,
            "guesses": guesses,
            "depth": solution.depth,
            "nodes": len(solution.attempts),
            "attempts": len(solution.attempts),
            "total_steps": solution.total_steps,
            "source": puzzle.source,
            "line": puzzle.line,
        }
        return json.dumps(told)

    def _draw(self, index: int, puzzle: Puzzle, solution: Outcome) -> None:
        console, violations = self.console, rules_of(self.task).violations(puzzle.tokens, solution.answer)
        cells = {(v.row - 1) * puzzle.width + v.column - 1 for v in violations}
        look = replace(look_of(console), max_width=console.width, max_height=console.height - REMARKS, in_a_list=True)
        console.print(f"puzzle {index + 1}  {puzzle.place}", style="dim")
        guessed = frozenset(guess.cell for guess in solution.chosen.guesses)
        view = BoardView(self.task, puzzle.tokens, solution.answer, cells, guessed=guessed)
        console.print(board_text(view, look))
        halt = f"halt probability {solution.chosen.halt_probability:.1%}"
        if solution.chosen.halt_probability > 0.5 and not solution.solved:
            halt += ", yet the rules do not hold"
        verdict = "solved" if solution.solved else _unsolved(solution, len(violations))
        style = "bold green" if solution.solved else "bold red"
        took = f" in {_course(solution)}" if solution.solved else f"  {_course(solution)}"
        told = f"{took}  {halt}  {solution.seconds:.2f} s  model {self.model.checkpoint.name}"
        console.print(Text.assemble((verdict, style), (told, "dim")))
        if solution.finding and solution.finding.is_hopeless:
            console.print("  the puzzle is at fault, so it was not tried again; --no-check tries on", style="dim")
        for violation in violations[:SHOWN_VIOLATIONS]:
            console.print(f"  row {violation.row}, column {violation.column}: {violation.rule}", style="red")
        if len(violations) > SHOWN_VIOLATIONS:
            console.print(f"  and {len(violations) - SHOWN_VIOLATIONS} more cells", style="red")
        console.print()


def _unsolved(solution: Outcome, broken: int) -> str:
    """Why a puzzle is not solved, and what is wrong with the answer."""
    said = [solution.reason] if solution.reason else []
    said += [broken_rules(broken)] if solution.total_steps else []
    return f"not solved: {'; '.join(said)}"


def _course(solution: Outcome) -> str:
    """What the answer took; of attempts that guess nothing, which one it comes from and what it varied."""
    chosen, made = solution.chosen, len(solution.attempts)
    view = [f"view {chosen.view}"] if chosen.view else []
    if solution.depth:
        return ", ".join([course(solution.total_steps, made, solution.depth), *view])
    steps = "1 step" if chosen.steps == 1 else f"{chosen.steps} steps"
    which = f"attempt {chosen.number + 1}" + ("" if solution.solved else f" of {made}")
    return steps if made == 1 else f"{steps} ({', '.join([which, *view])})"
