"""What the page says of a puzzle is what Python says: every spelling, every message, every rule."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests import test_inputs, test_maze, test_sudoku
from tests.browser import browsing, find_browser
from tests.conftest import ANSWER, PUZZLE, sudokus
from trm_cli.display.boards import BoardView
from trm_cli.display.live import TASK_SCRIPTS
from trm_cli.display.page import read_parts
from trm_cli.errors import TRMError
from trm_cli.tasks import BUILT_IN, get_task
from trm_cli.tasks.base import PADDING, Rules, Task, Tokens
from trm_cli.tasks.inputs import Source, read_puzzles, tasks_of
from trm_cli.tasks.maze import Maze
from trm_cli.tasks.maze_generator import GOAL, OPEN, PATH, START, WantedMazes, generate_mazes
from trm_cli.tasks.sudoku import Sudoku

EXAMPLES = Path(__file__).parents[1] / "examples"
TASKS = ("sudoku", "maze")
LETTERS = "0123456789.._*ABGPQabgSSGG##█ o  \t,;|\"'-+=[]{}:\\/nx½²١९𝟑é😀│┼─"
RARE = "\0\b\v\f\x1c\x1f\x85\xa0\u2028\u2029\u3000\u200b\ufeff\ud800\ue000\U000e0001\r"
ENDS = ("\n", "\r\n", "\r", "\n\n", "\n \n", "\v", "\x1c", "\x85", "\u2028", " # easy\n", "\t\n", "")

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
Evaluate = Callable[[str, Any], Any]
JSON = r"""
[ { {" {"a" {"a": {"a":1 {"a":1, {a:1} [1 [,] []x [nul] [tru] [-] [01] [1.] [1e] [1e5] [NaN] [NaN [Infinity
[-Infinity] [-0] ["ab ["\x"] ["\ ["\u12"] ["\u12g4"] ["\u1234 ["\ud83d\ude00"] ["\ud800"] ["\/"] [1,2] [true] [null]
[[true]] [[null]] [[]] [] [[],[]] [{}] {} [[{}]] [[1.5]] [[1e999]] [[-1e999]] [[1e22]] [[1e16]] [[1e-5]] [[100000]]
[[-1]] [[-1.0]] [[-0.0]] [[123456.0]] [[123456789012345680.0]] [[10,1],[1,1]] [[NaN,1],[1,1]] [1.5] [1e999] [-0.0]
[1e-7] [["it's"]] [["a\"b"]] [["'\""]] [["\u0007\n\\"]] [["\u0661\u0660",1],[1,1]] [["",1]] {"puzzle":5}
{"puzzle":null} {"quiz":1} {"puzzles":["12"]} {"constructor":1}
"""
INSERTED = ("", "# x", "-----", "[State]", "a,b", " | ", "  ")
HEADERS = ("question\n", "id,Puzzle\n", '"quizzes",solutions\n', "a,b\n", "\n", "\ufeff")


@pytest.fixture(scope="module")
def evaluate() -> Iterator[Evaluate]:
    """Calls a JavaScript function, beside the page's scripts, with a value of JSON; gives its value."""
    assert BROWSER is not None
    with browsing(BROWSER) as tab:
        tab.page.add_script_tag(content=read_parts(*TASK_SCRIPTS))

        def call(function: str, argument: Any) -> Any:
            text = tab.page.evaluate(f"(text) => JSON.stringify(({function})(JSON.parse(text)))", json.dumps(argument))
            return json.loads(text)

        yield call


def right_texts() -> list[str]:
    """Puzzles as people write them."""
    line = "".join(test_maze.MAZE.splitlines())
    mazes = [
        test_maze.MAZE,
        test_maze.MAZE.replace(" ", "."),
        test_maze.MAZE.replace("#", "█"),
        "\n".join([test_maze.MAZE] * 3),
        f"{line}\n{line}\n\n{line}",
        f'"source","question"\n"x","{line}"\n',
        f"question,answer\n{line},{line}\n",
        json.dumps(test_maze.MAZE.splitlines()),
        json.dumps([list(row) for row in test_maze.MAZE.splitlines()]),
        json.dumps({"puzzle": line}),
        "S  \n   \n  G",
        "   \nS G\n   ",
    ]
    large = json.loads(test_sudoku.large_spellings(12)["JSON"])
    whole = Sudoku().write(sudokus(1, side=16, givens=(256, 256)).puzzles[0])
    others = [
        whole.replace("G", "0"),
        json.dumps([["𝟙" + chr(ord("𝟘") + cell - 10) if cell > 9 else cell for cell in row] for row in large]),
        "\n".join(["1004000000004001"] * 16),
    ]
    return [
        *(path.read_text("utf-8") for path in sorted(EXAMPLES.glob("*.txt"))),
        *test_sudoku.SPELLINGS.values(),
        *(text for side in (12, 16) for text in test_sudoku.large_spellings(side).values()),
        *test_inputs.SPELLINGS.values(),
        *mazes,
        *others,
    ]


def wrong_texts() -> list[str]:
    """What people write who err, or mean harm."""
    mixed = [
        "".join(f"{json.dumps({'index': i, 'puzzle': PUZZLE})}\n" for i in range(3)),
        f"{PUZZLE}\n1..4........4..1\nnonsense",
        f"question\n{PUZZLE}\n1..4........4..1\n",
        f"question,answer\n{PUZZLE}\n\n# x\n{ANSWER},\n",
        f'note,puzzle\n"a,b""c",{PUZZLE[:5]}x{PUZZLE[6:]}\n',
        f'question\n"{PUZZLE}"x\n',
        "question,answer,Solution,SOLUTION\n",
        f"{PUZZLE}\n" + "\n" * 70_000,
        f"question\n{PUZZLE}\n" + "# x\n" * 70_000 + PUZZLE,
        '{"trace": 1, "task": "sudoku"}\n',
        '\n \n {"trace": x',
        test_inputs.ARC,
        test_maze.ANSWER,
        "##\n" * 100,
        "S" + "#" * 20 + "G\n" * 3,
        "0" * 100 + "A" * 10 + "." * 515,
        "1..4..A..B....G......P...\n" * 25,
        "\n".join([",".join(map(str, range(1, 26)))] * 25),
        "\n".join(["1..4........4..1"] * 20),
        "\n".join([PUZZLE[:16]] * 16),
        ",".join(["1", "2", "", "16"] * 4),
        "1" * 64,
        "1" * 70_000,
        "[" * 5000,
        "12",
        "hello",
    ]
    values = [
        *JSON.split(),
        *("[1 2]", "[] []", '{"a" 1}', '["ab", 5]', '["a\tb"]', "[\n", "[\n[1\n", "[" + "1" * 5000 + "]"),
        *("[[" + "1" * 4000 + "]]", '[["' + "1" * 5000 + '"]]', json.dumps([[1] * 70_000])),
        f'[]\n["{PUZZLE}",\n"{PUZZLE[:80]}"]',
        f'["{PUZZLE}"]\n\ufeff[]',
        f'[\n"{PUZZLE}",\n"{PUZZLE}\n"]',
        json.dumps(PUZZLE[:80]).join("[]"),
        json.dumps([PUZZLE] * 9, indent=1)[:300],
        json.dumps(test_inputs.NUMBERS).replace("0", "NaN"),
        json.dumps([{"puzzle": PUZZLE, "puzzles": 1}, PUZZLE, test_inputs.ROWS, test_inputs.NUMBERS]),
        json.dumps([test_inputs.NUMBERS]).replace("0", "NaN"),
        json.dumps(["1234", "3412", "2143", "4321"]),
        json.dumps(["1..4........4..1"] * 16),
    ]
    refused = [text for text, _ in test_maze.BAD_MAZES.values()]
    return ["", " \n\t\n", *RARE, *LETTERS, *test_sudoku.MISTAKES, *refused, *mixed, *values]


def changed(text: str, rng: Random) -> str:
    """A text with a mistake in it, or in another dress."""
    lines = text.split("\n")
    place, row = rng.randrange(len(text) + 1), rng.randrange(len(lines))
    letter = rng.choice(RARE if rng.random() < 0.2 else LETTERS)
    dress = rng.choice(("{}", " {}", "{} ", "|{}|", "{},", '"{}"', "#{}"))
    values = (lines, {"puzzle": text}, [text, lines], [list(line) for line in lines])
    changes: tuple[Callable[[], str], ...] = (
        lambda: text[:place] + letter + text[place + 1 :],
        lambda: text[:place] + letter + text[place:],
        lambda: text[:place] + text[place + 1 :],
        lambda: text[:place],
        lambda: text[place:],
        lambda: text.replace("\n", rng.choice(ENDS)),
        lambda: "\n".join(lines[:row] + lines[row + 1 :]),
        lambda: "\n".join([*lines[:row], rng.choice(INSERTED), *lines[row:]]),
        lambda: "\n".join([*lines[:row], lines[row], *lines[row:]]),
        lambda: "".join(lines),
        lambda: f"{text}\n{text}",
        lambda: "\n".join(map(dress.format, lines)),
        lambda: rng.choice(HEADERS) + text,
        lambda: f'question,id\n"{text}",1\n',
        lambda: json.dumps(rng.choice(values)),
        lambda: text.replace(rng.choice(text or "."), letter),
        lambda: rng.choice((",", ";", "\t", " ", ", ")).join(text),
        lambda: text.swapcase(),
    )
    return rng.choice(changes)()


def texts() -> list[str]:
    """Right ones, wrong ones, and right ones with mistakes in them."""
    rng = Random(0)
    right = right_texts()
    short = [text for text in right if len(text) < 1500]
    wrong = [rng.choice(short) for _ in range(1500)]
    for _ in range(3):
        wrong = [changed(text, rng) if rng.random() < 0.7 else text for text in wrong]
    return [*right, *wrong_texts(), *wrong]


def read(name: str, text: str) -> Any:
    """The puzzles of a text, or what is said of it."""
    try:
        found = read_puzzles(get_task(name), Source("puzzle", text=text))
    except TRMError as error:
        return str(error)
    return [[puzzle.height, puzzle.width, puzzle.line, puzzle.tokens.tolist()] for puzzle in found]


def test_every_text_is_read_or_refused_as_by_python(evaluate: Evaluate) -> None:
    cases = [(name, text) for text in texts() for name in TASKS]
    expected = [read(*case) for case in cases]
    found = evaluate(
        """(cases) => cases.map(([name, text]) => {
          try {
            const puzzles = readPuzzles(TASKS[name], text);
            return puzzles.map(({ height, width, line, tokens }) => [height, width, line, Array.from(tokens)]);
          } catch (error) {
            return error instanceof PuzzleError ? error.message : `${error.stack}`;
          }
        })""",
        cases,
    )
    differ = [
        (case, ours, theirs)
        for case, ours, theirs in zip(cases, found, expected, strict=True)
        if ours != theirs and not _is_of_another_python(theirs)
    ]
    assert not differ, f"{len(differ)} of {len(cases)}, such as {differ[:3]!r}"
    assert sum(isinstance(outcome, list) for outcome in expected) > 300
    assert len({str(outcome).split(":")[-1] for outcome in expected if isinstance(outcome, str)}) > 150


def _is_of_another_python(outcome: Any) -> bool:
    """Whether a library of a later Python has other words than the one that the page quotes."""
    return sys.version_info >= (3, 13) and "Illegal trailing comma" in str(outcome)


def test_the_tasks_of_a_text_are_those_that_python_sees(evaluate: Evaluate) -> None:
    cases = texts()
    expected = [[task.name for task in tasks_of(text) if task.name in BUILT_IN] for text in cases]
    assert evaluate("(texts) => texts.map((text) => tasksOf(text).map((task) => task.name))", cases) == expected
    assert {tuple(names) for names in expected} >= {(), ("sudoku",), ("maze",), ("arc",)}


def answers() -> list[tuple[str, Tokens, Tokens]]:
    """Answers to puzzles, right, wrong in a few cells, and drawn at random."""
    rng = np.random.default_rng(0)
    found: list[tuple[str, Tokens, Tokens]] = []
    for side, givens in ((4, 6), (6, 12), (9, 28), (12, 80), (16, 150)):
        data = sudokus(3, side=side, givens=(givens, givens), seed=side)
        found += [("sudoku", *both) for both in zip(data.puzzles, data.answers, strict=True)]
    for side in (3, 9, 15, 30):
        mazes = generate_mazes(WantedMazes(4), size=side, seed=side)
        found += [("maze", *both) for both in zip(mazes.puzzles, mazes.answers, strict=True)]
    corrupted = []
    for name, puzzle, answer in found:
        highest = get_task(name).vocab_size(len(puzzle))
        for count in (0, 1, 2, 5, len(puzzle)):
            other, cells = answer.copy(), rng.choice(len(puzzle), size=min(count, len(puzzle)), replace=False)
            other[cells] = rng.integers(PADDING, highest, size=len(cells))
            corrupted.append((name, puzzle, other))
        moved = answer.copy()
        moved[rng.choice(len(puzzle), 2, replace=False)] = answer[rng.choice(len(puzzle), 2, replace=False)]
        corrupted += [(name, puzzle, moved), (name, puzzle, puzzle)]
    for text, *_ in test_maze.WRONG_ANSWERS.values():
        corrupted.append(("maze", test_maze.tokens(test_maze.MAZE), test_maze.tokens(text)))
    ring, empty = "SG   \n#####\nooo  \no o  \nooo  \n", "SG   \n#####\n     \n     \n     \n"
    corrupted.append(("maze", test_maze.tokens(empty), test_maze.tokens(ring)))
    for _ in range(40):  # on boards without walls, any walk that does not touch itself is a path
        puzzle, answer = _wandering(rng)
        corrupted.append(("maze", puzzle, answer))
    return corrupted


def _wandering(rng: np.random.Generator, side: int = 5) -> tuple[Tokens, Tokens]:
    """An open maze, and an answer that takes a walk there."""
    way = [int(rng.integers(side * side))]
    for _ in range(int(rng.integers(3, 15))):
        row, column = divmod(way[-1], side)
        near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [r * side + c for r, c in near if 0 <= r < side and 0 <= c < side]
        free = [cell for cell in inside if cell not in way]
        way += [int(rng.choice(free))] if free else []
    puzzle = np.full(side * side, OPEN, np.uint8)
    puzzle[way[0]], puzzle[way[-1]] = START, GOAL
    answer = puzzle.copy()
    answer[way[1:-1]] = PATH
    return puzzle, answer


def judged(task: Task, puzzle: Tokens, answer: Tokens) -> dict[str, Any]:
    """All that is said of an answer."""
    assert isinstance(task, Rules)
    width, vocab_size = task.boxes(len(puzzle))[1], task.vocab_size(len(puzzle))
    return {
        "written": task.write(answer),
        "cells": [[cell.glyph, cell.role] for cell in task.cells(puzzle, answer)],
        "violations": [[(v.row - 1) * width + v.column - 1, v.rule] for v in task.violations(puzzle, answer)],
        "holds": bool(task.rules_hold(puzzle[None], answer[None])[0]),
        "vocabSize": vocab_size,
        "legal": np.flatnonzero(~task.legal_tokens(puzzle, vocab_size)).tolist(),
        "shape": list(BoardView(task, puzzle, answer).shape),
        "hasBlanks": task.has_blanks,
    }


def test_every_answer_is_judged_and_drawn_as_by_python(evaluate: Evaluate) -> None:
    cases = [case for case in answers() if _is_written(*case)]
    expected = [judged(get_task(name), puzzle, answer) for name, puzzle, answer in cases]
    found = evaluate(
        """(cases) => cases.map(([name, ...both]) => {
          const task = TASKS[name];
          const [puzzle, answer] = both.map((tokens) => Uint8Array.from(tokens));
          const vocabSize = task.vocabSize(puzzle.length);
          const legal = task.legalTokens(puzzle, vocabSize);
          return {
            written: task.write(answer),
            cells: task.cells(puzzle, answer).map(({ glyph, role }) => [glyph, role]),
            violations: task.violations(puzzle, answer).map(({ cell, rule }) => [cell, rule]),
            holds: task.rulesHold(puzzle, answer),
            vocabSize,
            legal: [...legal.keys()].filter((place) => !legal[place]),
            shape: task.shape(puzzle.length),
            hasBlanks: task.hasBlanks,
          };
        })""",
        [(name, puzzle.tolist(), answer.tolist()) for name, puzzle, answer in cases],
    )
    differ = [(case, *both) for case, *both in zip(cases, found, expected, strict=True) if both[0] != both[1]]
    assert not differ, f"{len(differ)} of {len(cases)}, such as {differ[:1]!r}"
    assert {outcome["holds"] for outcome in expected} == {False, True}
    rules = " ".join(rule for outcome in expected for _, rule in outcome["violations"])
    for words in (
        "no digit",
        "twice in box",
        "given",
        "branches",
        "breaks off",
        "ring",
        "moves, the shortest",
        "two paths",
    ):
        assert words in rules


def _is_written(name: str, puzzle: Tokens, answer: Tokens) -> bool:
    """Whether all tokens are of the task's vocabulary."""
    return int(max(puzzle.max(), answer.max())) < get_task(name).vocab_size(len(puzzle))


def test_solutions_are_counted_as_by_python(evaluate: Evaluate) -> None:
    rng = np.random.default_rng(1)
    puzzles: list[tuple[str, Tokens]] = []
    for side, givens in ((4, 5), (6, 10), (9, 26), (12, 70), (16, 140)):
        data = sudokus(4, side=side, givens=(givens, givens), seed=side)
        for puzzle, answer in zip(data.puzzles, data.answers, strict=True):
            fewer, wrong = puzzle.copy(), puzzle.copy()
            fewer[rng.choice(np.flatnonzero(puzzle > 1), 2, replace=False)] = 1
            cell = int(rng.choice(np.flatnonzero(puzzle == 1)))
            wrong[cell] = 2 + (answer[cell] - 1) % side  # another digit than the solution's
            puzzles += [("sudoku", one) for one in (puzzle, answer, fewer, wrong)]
    puzzles += [("sudoku", Sudoku().read_one("." * 81, 1, "").tokens)]
    puzzles += [("sudoku", _example("no-solution.txt")), ("maze", test_maze.tokens(test_maze.MAZE))]
    tasks: dict[str, Rules] = {"sudoku": Sudoku(), "maze": Maze()}
    expected = [tasks[name].examine(puzzle, seconds=60).name.lower() for name, puzzle in puzzles]
    examine = "(cases) => cases.map(([name, tokens]) => TASKS[name].examine(Uint8Array.from(tokens), SECONDS))"
    cases = [(name, puzzle.tolist()) for name, puzzle in puzzles]
    assert evaluate(examine.replace("SECONDS", "60"), cases) == expected
    assert set(expected) == {"no_solution", "one_solution", "several_solutions", "some_solution"}
    assert evaluate(examine.replace("SECONDS", "-1"), cases[:1]) == ["unknown"]


def _example(name: str) -> Tokens:
    return read_puzzles(Sudoku(), Source("puzzle", text=(EXAMPLES / name).read_text("utf-8"))).first.tokens


def test_no_board_has_another_number_of_cells(evaluate: Evaluate) -> None:
    for name, task in (("sudoku", Sudoku()), ("maze", Maze())):
        with pytest.raises(TRMError) as refused:
            task.boxes(10)
        shape = "(name) => { try { return TASKS[name].shape(10); } catch (error) { return error.message; } }"
        assert evaluate(shape, name) == str(refused.value)
