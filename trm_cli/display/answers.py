"""Answers on stdout: drawn on a terminal, one line each on a pipe, JSON lines if asked for."""

import json
from typing import IO, Any

from rich.text import Text

from trm_cli.display.boards import board_text
from trm_cli.display.console import answers_console, has_colour
from trm_cli.display.views import BoardView, Look
from trm_cli.solving.engine import Solution
from trm_cli.tasks.base import Puzzle, Task
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
        remark = unsolved(len(self.task.violations(puzzle.tokens, solution.answer)))
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
            "attempt": 0,
            "seconds": round(solution.seconds, 4),
            "model": {
                "name": self.model.checkpoint.name,
                "source": self.model.source,
                "sha256": self.model.sha256,
            },
        }
        return json.dumps(result)

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
        self.console.print(_verdict(solution, len(violations), self.model.checkpoint.name))
        for violation in violations[:SHOWN_VIOLATIONS]:
            self.console.print(
                f"  row {violation.row}, column {violation.column}: {violation.rule}", style="red"
            )
        if len(violations) > SHOWN_VIOLATIONS:
            self.console.print(
                f"  and {len(violations) - SHOWN_VIOLATIONS} more cells", style="red"
            )
        self.console.print()


def unsolved(broken: int) -> str:
    """What is said of an answer some cells of which break a rule."""
    return f"not solved: {broken} {'cell breaks' if broken == 1 else 'cells break'} a rule"


def _verdict(solution: Solution, broken: int, model: str) -> Text:
    verdict = ("solved", "bold green") if solution.solved else (unsolved(broken), "bold red")
    steps = "1 step" if solution.steps == 1 else f"{solution.steps} steps"
    return Text.assemble(
        verdict,
        (f"  {steps}  halt probability {solution.halt_probability:.1%}  "
         f"{solution.seconds:.2f} s  model {model}", "dim"),
    )  # fmt: skip
