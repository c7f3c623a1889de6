"""ARC's grids in its ten colours: demonstrations, then each test beside the attempts at it.

    demonstration 1       demonstration 2       test 1    attempt 1, 9 of 12 votes
    ▒▒██  ->  ██▒▒        ██░░  ->  ░░██        ▒▒░░      ░░▒▒

A cell takes two columns; one, and half a row, where a pair is too wide for the terminal. Without
colours it is a digit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from trm_cli.display.console import has_colour
from trm_cli.display.palette import INKS, ON_BLACK, written
from trm_cli.solving.voting import Ballot
from trm_cli.tasks.arc_files import ArcTask
from trm_cli.tasks.arc_grid import Grid, key

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


def draw_task(console: Console, task: ArcTask, ballots: list[Ballot]) -> None:
    """Demonstrations, then each test with the attempts at it, as wide as the console allows."""
    encoding = (console.encoding or "ascii").lower()
    style = Style(has_colour(console), ascii_only=not encoding.startswith("utf"))
    if max(picture.width for picture in _all(task, ballots, style)) > console.width:
        style = replace(style, is_wide=False)
    console.print(Text(f"task {task.name}", "bold"))
    demonstrations = [_pair(f"demonstration {number}", pair, style)
                      for number, pair in enumerate(task.demonstrations, 1)]  # fmt: skip
    for line in _flow(demonstrations, console.width):
        console.print(line)
    for test, ballot in enumerate(ballots):
        for line in _flow(_test(task, test, ballot, style), console.width):
            console.print(line)
        if remark := _remark(ballot):
            console.print(Text(remark, "dim"))


def _all(task: ArcTask, ballots: list[Ballot], style: Style) -> Iterator[Picture]:
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


def _test(task: ArcTask, test: int, ballot: Ballot, style: Style) -> list[Picture]:
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
