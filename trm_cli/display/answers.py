"""Answers on stdout: drawn on a terminal, one line each on a pipe, JSON lines if asked for."""

import json
from typing import IO, Any

import numpy as np
from rich.text import Text

from trm_cli.display.boards import board_text
from trm_cli.display.console import answers_console, has_colour
from trm_cli.display.views import BoardView, Look
from trm_cli.solving.engine import Solution
from trm_cli.solving.guesses import Guess
from trm_cli.tasks.base import BLANK, Puzzle, Task
from trm_cli.weights.store import LoadedModel

SCHEMA = 1
REMARKS = 4  # lines that stand around a drawn grid
SHOWN_VIOLATIONS = 3  # listed under a drawn grid; the rest is counted


class AnswerWriter:
    """Writes each answer as it comes."""

    def __init__(
        self, task: Task, model: LoadedModel, *, as_json: bool, file: IO[str] | None
    ) -> None:
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
        remark = _unsolved(solution, len(self.task.violations(puzzle.tokens, solution.answer)))
        return f"{text}{remark}\n" if "\n" in text else f"{text} # {remark}"

    def _json(self, index: int, puzzle: Puzzle, solution: Solution) -> str:
        violations = self.task.violations(puzzle.tokens, solution.answer)
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "task": self.task.name,
            "index": index,
            "puzzle": self.task.write(puzzle.tokens),
            "answer": self.task.write(solution.answer),
            "solved": solution.solved,
            "violations": [{"row": v.row, "column": v.column, "rule": v.rule} for v in violations],
            **self.task.details(puzzle.tokens, solution.answer),
            "steps": solution.steps,
            "halted": solution.halted,
            "halt_probability": round(solution.halt_probability, 6),
            "attempt": solution.attempt,
            "seconds": round(solution.seconds, 4),
            "model": {
                "name": self.model.checkpoint.name,
                "source": self.model.source,
                "sha256": self.model.sha256,
            },
            "view": solution.view,
            "guess": self._guess(puzzle, solution.guess),
            "attempts": len(solution.outcomes),
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
        violations = self.task.violations(puzzle.tokens, solution.answer)
        cells = {(v.row - 1) * puzzle.width + v.column - 1 for v in violations}
        boxes = self.task.boxes(len(puzzle.tokens))
        self.console.print(f"puzzle {index + 1}  {puzzle.place}", style="dim")
        ascii_only = not self.console.encoding.lower().startswith("utf")
        view = BoardView(puzzle.tokens, solution.answer, *boxes, cells)
        look = Look(self.console.width, self.console.height - REMARKS, ascii_only=ascii_only,
                    in_a_list=True, marks=not has_colour(self.console))  # fmt: skip
        self.console.print(board_text(self.task.name, view, look))
        verdict = _verdict(solution, len(violations), puzzle.width)
        self.console.print(verdict.append(f"  model {self.model.checkpoint.name}", "dim"))
        for violation in violations[:SHOWN_VIOLATIONS]:
            self.console.print(
                f"  row {violation.row}, column {violation.column}: {violation.rule}", style="red"
            )
        if len(violations) > SHOWN_VIOLATIONS:
            self.console.print(
                f"  and {len(violations) - SHOWN_VIOLATIONS} more cells", style="red"
            )
        self.console.print()


def _unsolved(solution: Solution, broken: int) -> str:
    if not solution.total_steps:
        return "not solved: no time was left for it"
    return f"not solved: {broken} {'cell breaks' if broken == 1 else 'cells break'} a rule"


def _verdict(solution: Solution, broken: int, width: int) -> Text:
    verdict = (
        ("solved", "bold green") if solution.solved else (_unsolved(solution, broken), "bold red")
    )
    return Text.assemble(
        verdict,
        (f"  {_course(solution, width)}  halt probability {solution.halt_probability:.1%}  "
         f"{solution.seconds:.2f} s", "dim"),
    )  # fmt: skip


def _course(solution: Solution, width: int) -> str:
    """Which attempt the answer comes from, in how many steps, and what it varied."""
    steps = "1 step" if solution.steps == 1 else f"{solution.steps} steps"
    if len(solution.outcomes) == 1:
        return steps
    made = "" if solution.solved else f" of {len(solution.outcomes)}"
    parts = [f"attempt {solution.attempt + 1}{made}"]
    if solution.view:
        parts.append(f"view {solution.view}")
    if solution.guess:
        row, column = divmod(solution.guess.cell, width)
        parts.append(f"guess at row {row + 1}, column {column + 1}")
    return f"{steps} ({', '.join(parts)})"
