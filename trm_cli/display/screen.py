"""One moment of a run, laid out as a screen: a board with its figures beside it, or many as tiles."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from statistics import fmean

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from trm_cli.display import boards
from trm_cli.display.boards import Look, board_text, heat_map, view_of, written
from trm_cli.solving.trace import Frame, Header, Moment


def spread(left: Text, right: Text, width: int) -> Text:
    """Two texts on one line, the second at its right end."""
    return Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)


def beside(blocks: list[list[Text]], gap: int) -> list[Text]:
    """Blocks of lines side by side, each as wide as its widest line, `gap` columns between."""
    ends = [*(widest(block) + gap for block in blocks[:-1]), 0]
    lines = []
    for row in zip_longest(*blocks, fillvalue=Text()):
        joined = Text()
        for line, end in zip(row, ends, strict=True):
            joined.append_text(line).append(" " * (end - line.cell_len))
        lines.append(joined)
    return lines


def widest(lines: list[Text]) -> int:
    """Columns of the widest line."""
    return max((line.cell_len for line in lines), default=0)


BLOCKS = " ▁▂▃▄▅▆▇█"  # each fills one more eighth of its cell
ASCII_BLOCKS = " .:+#"

Series = Sequence[float | None]  # None where nothing was measured


def area(
    values: Series, *, width: int, height: int = 1, ascii_only: bool = False, bounds: tuple[float, float] | None = None
) -> list[str]:
    """A series as a filled curve between its lowest and its highest value, or between two bounds.

    Returns the rows, the upper first, of at most `width` columns: a longer series is averaged down.
    The lowest value still shows as the smallest mark.
    """
    shown = fit(values, width)
    known = [value for value in shown if value is not None]
    if not known:
        return [""] * height
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    least, most = bounds or (min(known), max(known))
    top = height * (len(symbols) - 1)  # the highest level
    levels = [
        0 if value is None else top // 2 if most <= least else 1 + round((value - least) / (most - least) * (top - 1))
        for value in shown
    ]
    return _stacked(levels, height, symbols)


def bars(counts: Sequence[int], *, width: int, height: int, ascii_only: bool = False) -> list[str]:
    """Counts as bars from zero, side by side in at most `width` columns; one still shows, however high the others are.

    Returns the rows, the upper first.
    """
    pitch = max(1, min(4, width // max(1, len(counts))))  # columns from one bar to the next
    symbols = ASCII_BLOCKS if ascii_only else BLOCKS
    top, most = height * (len(symbols) - 1), max(counts, default=0) or 1
    rows = _stacked([math.ceil(count / most * top) for count in counts], height, symbols)
    return ["".join((mark * max(1, pitch - 1)).ljust(pitch) for mark in row) for row in rows]


def fit(values: Series, width: int) -> list[float | None]:
    """At most `width` values: neighbours are averaged where there are more."""
    if len(values) <= width:
        return list(values)
    edges = [column * len(values) // width for column in range(width + 1)]
    known = [[value for value in values[first:last] if value is not None] for first, last in pairwise(edges)]
    return [fmean(group) if group else None for group in known]


def _stacked(levels: list[int], height: int, symbols: str) -> list[str]:
    """Rows of cells: those below a level's own cell are full, those above it empty."""
    full = len(symbols) - 1
    rows = reversed(range(height))
    return ["".join(symbols[min(full, max(0, level - row * full))] for level in levels) for row in rows]


LABELS, VALUES = 11, 7  # columns
CHARTS_FROM = 26  # columns that have room for sparklines; below it, values alone
MOST_PITCH = 3  # columns of one step in a sparkline, at most
EACH, GROUPS, NOWHERE = range(3)  # where there are empty lines
SIZES = ((3, EACH), (2, EACH), (1, EACH), (1, GROUPS), (1, NOWHERE))  # rows of a chart; empty lines
TOP = 8 / 7  # of a chart over its highest value, so that charts on neighbouring lines do not touch
HOTTEST = 1.5  # heat drawn at its brightest; vectors of unit root mean square move by 2 at most


def readings(frame: Frame, header: Header, look: Look, *, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` columns about one puzzle."""
    inside = moved_cells(frame, replace(look, max_width=width, max_height=None))
    if update := frame.update:
        call = update.call or ("z = net(x, y, z)" if update.stream == "z" else "y = net(y, z)")
        recursion, number = f"{update.recursion}/{header.T}", f"{update.number}/{header.n + 1}"
        where = f"recursion {recursion} call {number}  "
        if len(where) + len(call) > width:
            where = f"{recursion} {number}  "
        inside.insert(0, Text.assemble((where, "dim"), (call, "bold")))
    for rows, gaps in SIZES:
        if width < CHARTS_FROM and gaps == EACH:
            continue
        lines = list(_figures(frame, header, look, width=width, rows=rows, gaps=gaps))
        if gaps != NOWHERE and inside:
            lines.append(Text())
        if len(lines) + len(inside) <= height:
            break
    return [*lines, *inside][:height]


def _figures(frame: Frame, header: Header, look: Look, *, width: int, rows: int, gaps: int) -> Iterator[Text]:
    is_wide = width >= CHARTS_FROM
    yield Text.assemble(
        _label("step"), (str(frame.step), "bold"), (f"{' of ' if is_wide else '/'}{frame.max_steps}", "dim")
    )
    if is_wide:
        done = round(width * frame.step / frame.max_steps)
        full, rest = ("=", "-") if look.ascii_only else ("━", "─")
        yield Text.assemble((full * done, written(boards.CERTAIN)), (rest * (width - done), "dim"))
    if gaps != NOWHERE:
        yield Text()
    moved = {frame.update.stream: frame.update.change} if frame.update and frame.is_inside else {}
    halt = figure(frame.history[-1].halt_probability if frame.history else None, ".1%")  # of the latest whole step
    confidence = figure(mean_confidence(frame), ".1%")
    change_y, change_z = (figure(moved.get(name, getattr(frame, f"change_{name}")), ".3f") for name in "yz")
    certain, new, wrong = map(written, (boards.CERTAIN, boards.NEW, boards.VIOLATION))
    shown: list[tuple[str, str, str, Callable[[Frame], float | None]]] = [  # the last is the value after a step
        ("halt", halt, boards.HALTING, lambda f: f.halt_probability),
        ("confidence", confidence, certain, mean_confidence),
        ("changed", str(len(frame.changed)), new, lambda f: len(f.changed)),
        ("violations", str(len(frame.violated)), wrong, lambda f: len(f.violated)),
        (f"change {header.letters[0]}", change_y, boards.MOVING, lambda f: f.change_y),
        (f"change {header.letters[1]}", change_z, boards.MOVING, lambda f: f.change_z),
    ]
    for place, (name, value, colour, after) in enumerate(shown):
        if is_wide:
            series = [after(step) for step in frame.history]
            yield from _chart(name, value, series, colour, look, width=width, rows=rows)
        else:
            yield Text.assemble(_label(name), (value, "bold"))
        if gaps == EACH or (gaps == GROUPS and place % 2):  # two are a group
            yield Text()
    attempt, seconds = str(frame.attempt + 1), f"{frame.seconds:.2f} s"
    if is_wide:
        yield Text.assemble(_label("attempt"), f"{attempt:{VALUES + 2}}", ("time ", "dim"), seconds)
    else:
        yield from (Text.assemble(_label("attempt"), attempt), Text.assemble(_label("time"), seconds))


def _label(name: str) -> tuple[str, str]:
    return name.ljust(LABELS), "dim"


def _chart(name: str, value: str, series: Series, colour: str, look: Look, *, width: int, rows: int) -> Iterator[Text]:
    """The name, the value, and the series behind it, `rows` lines high; shares between 0 and 1."""
    room = width - LABELS - VALUES - 2
    columns = max(len(series), min(room, MOST_PITCH * len(series)))
    most = 1.0 if value.endswith("%") else max((each for each in series if each is not None), default=0.0) or 1.0
    spread_out = [series[column * len(series) // columns] for column in range(columns)]
    *above, last = area(spread_out, width=room, height=rows, ascii_only=look.ascii_only, bounds=(0.0, TOP * most))
    for row in above:
        yield Text(" " * (LABELS + VALUES + 2)).append(row, colour)
    yield Text.assemble(_label(name), (value.rjust(VALUES), "bold"), "  ", (last, colour))


def moved_cells(frame: Frame, look: Look) -> list[Text]:
    """How far the latest call of the net moved each cell; no lines where none is shown."""
    if frame.update is None:
        return []
    return list(heat_map(frame.update.heat / HOTTEST, frame.puzzle.height, frame.puzzle.width, look).split("\n"))


def mean_confidence(frame: Frame) -> float | None:
    """Over all cells, 0 to 1; None before the first answer."""
    return None if frame.confidence is None else float(frame.confidence.mean())


def figure(value: float | None, form: str) -> str:
    """A number in that form; a dash where there is none yet."""
    return "-" if value is None else format(value, form)


def verdict(frame: Frame) -> Text:
    """How one puzzle stands, plainly."""
    if frame.confidence is None:
        return Text("not begun" if frame.step == 0 else "thinking", "dim")
    steps = "1 step" if frame.step == 1 else f"{frame.step} steps"
    if frame.solved and frame.is_last:
        return Text.assemble((frame.task.praise, "bold green"), f" in {steps}")
    broken = broken_rules(len(frame.violated))
    if frame.is_last:
        return Text.assemble((f"not {frame.task.praise}", "bold red"), f": {broken} after {steps}")
    return Text("the rules hold" if frame.solved else broken, "dim")


def broken_rules(cells: int) -> str:
    """How many cells break a rule, in words."""
    return "1 cell breaks a rule" if cells == 1 else f"{cells} cells break a rule"


GAP, CAPTION = 3, 15  # columns between a board and its figures, and beside a tile
LEAST_FIGURES, MOST_FIGURES = 17, 60  # columns of the figures
WIDE_FIGURES = 30  # columns that figures take from a board that could be larger
FIGURE_LINES = 9  # rows of figures below a board
AIRY_HEIGHT = 23  # rows of a terminal that has room for empty lines


@dataclass(frozen=True)
class Scene:
    """A moment as a screen of any size; Rich draws it, and so do the exports."""

    moment: Moment
    header: Header
    look: Look = field(default_factory=Look)
    state: str = ""  # what the player does: paused, the speed
    keys: str = ""  # what can be pressed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(options.max_width, options.height or console.size.height)

    def lines(self, width: int, height: int) -> list[Text]:
        """At most `height` lines of at most `width` columns."""
        inside = width - 2
        if len(self.moment.frames) == 1:
            room = height - (5 if height >= AIRY_HEIGHT else 3)
            body = self._one(inside, room)[:room]
        else:
            body = self._tiles(inside, height - 3)[: height - 3]
        between = [Text()] if len(body) + 5 <= height else []
        footer = spread(Text(self.keys, "dim"), Text(self.state, "bold"), inside)
        lines = [self._title(inside), *between, *body, *between, self._verdict(), footer]
        for line in lines:
            line.truncate(inside)
        return [Text(" ", no_wrap=True, overflow="ignore").append_text(line) for line in lines[:height]]

    def _title(self, width: int) -> Text:
        header, shown = self.header, numbers(self.moment, self.header)
        right = f"{header.model}, {header.num_parameters:,} parameters"
        left = Text.assemble(("trm watch ", "dim"), (header.task.name, "bold"))
        if header.num_puzzles > 1:
            several = f" to {shown[-1]}" if len(shown) > 1 else ""
            left.append(f"  {shown[0]}{several} of {header.num_puzzles}", "dim")
        if left.cell_len + len(right) + 2 > width:
            right = header.model
        return spread(left, Text(right, "dim"), width)

    def _one(self, width: int, height: int) -> list[Text]:
        frame = self.moment.frames[0]
        board = larger = self._board(frame, self.look, width - LEAST_FIGURES - GAP, height)
        if widest(larger) > width - WIDE_FIGURES - GAP:
            board = self._board(frame, self.look, width - WIDE_FIGURES - GAP, height)
            if len(board) < min(frame.puzzle.height, len(larger)):
                board = larger  # digits are worth more than charts
        if 2 * height > width:
            above = self._board(frame, self.look, width, height - FIGURE_LINES)  # with the figures below
            board = above if len(above) > len(board) else board
        room = min(width - widest(board) - GAP, MOST_FIGURES)
        if room >= LEAST_FIGURES:
            return beside([board, readings(frame, self.header, self.look, width=room, height=height)], GAP)
        return [*board, *readings(frame, self.header, self.look, width=width, height=height - len(board))]

    def _board(self, frame: Frame, look: Look, width: int, height: int) -> list[Text]:
        return list(board_text(view_of(frame), replace(look, max_width=width, max_height=height)).split("\n"))

    def _tiles(self, width: int, height: int) -> list[Text]:
        columns = self.header.columns
        num_rows = -(-len(self.moment.frames) // columns)
        tile_width, tile_height = (width + 2) // columns - 2, height // num_rows
        gap = 1 if tile_height >= 6 else 0
        tiles = [self._tile(place, tile_width, tile_height - gap) for place in range(len(self.moment.frames))]
        lines: list[Text] = []
        for first in range(0, len(tiles), columns):
            lines += [*beside(tiles[first : first + columns], 2), *[Text()] * gap]
        return lines[: len(lines) - gap]

    def _tile(self, place: int, width: int, height: int) -> list[Text]:
        """A small board with a caption at its right, every line as wide as the tile."""
        frame = self.moment.frames[place]
        look = self.look if place in self.moment.moved else replace(self.look, flash=0)
        board = self._board(frame, look, width - CAPTION, height)[:height]
        halt = frame.history[-1].halt_probability if frame.history else None
        told = [
            Text(f"puzzle {numbers(self.moment, self.header)[place]}", "bold"),
            Text(f"step {frame.step}", "dim"),
            Text("" if halt is None else f"halt {halt:.0%}", "dim"),
        ]
        if frame.is_last and frame.solved:
            told.append(Text(frame.task.praise, "bold green"))
        elif frame.step:
            wrong = len(frame.violated)
            told.append(Text(f"{wrong} violation{'s' * (wrong != 1)}", "bold red" if frame.is_last else ""))
        lines = beside([board, told], 2)[: max(height, 1)]
        for line in lines:
            line.truncate(width, pad=True)
        return lines

    def _verdict(self) -> Text:
        frames = self.moment.frames
        if len(frames) == 1:
            return verdict(frames[0])
        praise = frames[0].task.praise
        solved = sum(frame.solved and frame.is_last for frame in frames)
        running = sum(not frame.is_last for frame in frames)
        text = Text.assemble((f"{solved} {praise}", "bold green" if solved else "bold"))
        if failed := len(frames) - solved - running:
            text.append("  ").append(f"{failed} not {praise}", "bold red")
        return text.append(f"  {running} still thinking" if running else "", "dim")


def numbers(moment: Moment, header: Header) -> range:
    """Which of the run's puzzles a moment shows, counted from 1."""
    first = moment.page * header.rows * header.columns + 1
    return range(first, first + len(moment.frames))
