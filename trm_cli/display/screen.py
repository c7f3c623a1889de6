"""One moment of a run, laid out as a screen: a board with its figures beside it, or many as tiles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from trm_cli.display import boards
from trm_cli.display.boards import FLASH_STRONG, Look, board_text, heat_map, view_of, written
from trm_cli.display.lines import area, beside, clipped, fitting, spread, widest
from trm_cli.display.tree import course_of, is_searched, is_tree, names_of, outline, path_of
from trm_cli.solving.trace import Frame, Header, Moment
from trm_cli.tasks.base import Finding, Layout

LABELS, VALUES = 17, 6  # columns
CHARTS_FROM = LABELS + VALUES + 10  # columns that have room for sparklines; below it, values alone
LEAST_FIGURES, USUAL_FIGURES = 17, 26  # columns of a name and its value; more are not needed
ABBREVIATED = {"halt probability": "halt prob.", "change of": "change"}  # where there is no room
MOST_PITCH = 3  # columns of one step in a sparkline, at most
GAP = 3  # columns between a board and its figures, and between two columns of figures
EACH, GROUPS, NOWHERE = range(3)  # where there are empty lines
SIZES = ((3, EACH), (2, EACH), (1, EACH), (1, GROUPS), (1, NOWHERE))  # rows of a chart; empty lines
TOP = 8 / 7  # of a chart over its highest value, so that charts on neighbouring lines do not touch
HOTTEST = 1.5  # heat drawn at its brightest; vectors of unit root mean square move by 2 at most
LEAST_TREE, WIDE_TREE = 5, 8  # rows of a tree below the figures, below the board
TREE_SHARE = 3  # a tree gets one row in so many, if there is room
MOST_STEPS = 256  # that a chart shows, the latest; in a search, no more than it has columns
HALTS = 0.5  # the halt probability above which the halt head asks to stop


def short(name: str) -> str:
    """The name of a reading where there is no room for the whole."""
    for whole, part in ABBREVIATED.items():
        name = name.replace(whole, part)
    return name


@dataclass(frozen=True)
class Reading:
    """One figure about a puzzle, and the series behind it."""

    name: str
    value: str
    colour: str = ""
    after: Callable[[Frame], float | None] = lambda _: None  # the value after a step

    def line(self, width: int) -> Text:
        """The name at the left and the value at the right."""
        name = self.name if len(self.name) + len(self.value) < width else short(self.name)
        return spread(Text(name, "dim"), Text(self.value, "bold"), width)


def attempt_of(frame: Frame, header: Header) -> str:
    """Which attempt it is, and of how many at most where that is known."""
    return f"{frame.attempt + 1} of {header.num_attempts}" if header.num_attempts else str(frame.attempt + 1)


def node_of(frame: Frame) -> str:
    """Which node of a search it is; of how many, where the end of an earlier one is shown once more."""
    number = frame.attempt + 1
    return f"{number:,}" if number == frame.num_tried else f"{number:,} of {frame.num_tried:,}"


def named_attempt(frame: Frame, header: Header) -> tuple[str, str]:
    """What an attempt is called, and which one it is."""
    return ("node", node_of(frame)) if is_tree(header) else ("attempt", attempt_of(frame, header))


def readings(
    frame: Frame, header: Header, look: Look, *, width: int, height: int, draws_tree: bool = True
) -> list[Text]:
    """At most `height` lines of at most `width` columns about one puzzle: charts where they fit, else values.

    Below them, as far as they fit, the guesses of a search, the call of the net inside a step, and the tree.
    """
    shown = _readings(frame, header)
    columns = next(_columns(shown, width, height))
    guesses, called = guesses_line(frame, header, look, width), _call(frame, header, width)
    moved = moved_cells(frame, replace(look, max_width=width, max_height=None))
    insides = [[*guesses, *called, *moved], [*called, *moved], [*guesses, *called], guesses, []]
    least = max(LEAST_TREE, height // TREE_SHARE) if draws_tree and is_searched(frame, header) else 0
    choices = [(inside, room) for inside in insides for room in dict.fromkeys((least, min(least, LEAST_TREE), 0))]
    for inside, room in choices:
        for lines in _figures(shown, frame, look, columns, width=width):
            if len(lines) + len(inside) + room <= height:
                rest = height - len(lines) - len(inside)
                return [*lines, *inside, *(outline(frame, look, width=width, height=rest) if room else [])]
    return columns[:height]


def _figures(
    shown: list[Reading], frame: Frame, look: Look, columns: list[Text], *, width: int
) -> Iterator[list[Text]]:
    """All readings as charts, from the largest down, then as values."""
    for rows, gaps in SIZES if width >= CHARTS_FROM else ():
        lines = [*_charts(shown, frame, look, width=width, rows=rows, gaps=gaps)]
        yield [*lines, *[Text()] * (gaps != NOWHERE and frame.update is not None)]
    yield columns


def guesses_line(frame: Frame, header: Header, look: Look, width: int) -> list[Text]:
    """The depth of a node and its guesses, then those that it takes back; no line where nothing is searched."""
    if not is_searched(frame, header):
        return []
    depth = f"depth {frame.depth}  "
    label = (depth.ljust(LABELS) if width >= CHARTS_FROM else depth, "dim")
    path = path_of(frame, width=width - len(label[0]), ascii_only=look.ascii_only)
    line = Text.assemble(label, (path, written(boards.GUESS) if frame.guesses else "dim"))
    before = "  not " if look.is_plain else "  "
    for name in names_of(frame.taken_back, frame) if frame.step <= boards.TAKEN_BACK_STEPS else ():
        if line.cell_len + len(before) + len(name) <= width:
            line.append(before).append(name, "dim" if look.is_plain else "dim strike")
    return [line]


def _readings(frame: Frame, header: Header) -> list[Reading]:
    y, z = header.letters
    moved = {frame.update.stream: frame.update.change} if frame.update and frame.is_inside else {}
    halt = frame.latest.halt_probability  # of the latest whole step
    change_y, change_z = (figure(moved.get(name, getattr(frame, f"change_{name}")), ".3f") for name in "yz")
    certain, new, violated = map(written, (boards.CERTAIN, boards.NEW, boards.VIOLATION))
    return [
        Reading("step", f"{frame.step} of {frame.max_steps}"),
        Reading("halt probability", figure(halt, ".1%"), boards.HALTING, lambda f: f.halt_probability),
        Reading("confidence", figure(mean_confidence(frame), ".1%"), certain, mean_confidence),
        Reading("changed", str(len(frame.changed)), new, lambda f: len(f.changed)),
        Reading("violations", str(len(frame.violated)), violated, lambda f: len(f.violated)),
        Reading(f"change of {y}", change_y, boards.MOVING, lambda f: f.change_y),
        Reading(f"change of {z}", change_z, boards.MOVING, lambda f: f.change_z),
        Reading(*named_attempt(frame, header)),
        Reading("time", f"{frame.seconds:.2f} s"),
    ]


def _call(frame: Frame, header: Header, width: int) -> list[Text]:
    """The latest call of the net inside a step; no line where none is shown."""
    update = frame.update
    if update is None:
        return []
    call = update.call or ("z = net(x, y, z)" if update.stream == "z" else "y = net(y, z)")
    recursion, number = f"{update.recursion} of {header.T}", f"{update.number} of {header.n + 1}"
    shorter = f"recursion {update.recursion}, call {update.number}  "
    where = (f"recursion {recursion}, call {number}  ", shorter, "")
    return [Text.assemble((fitting(where, width - len(call)), "dim"), (call, "bold"))]


def _columns(shown: list[Reading], width: int, height: int) -> Iterator[list[Text]]:
    """Names and values, in as many columns as `height` asks for and `width` allows."""
    most = max(1, (width + GAP) // (LEAST_FIGURES + GAP))
    for count in range(1, most + 1):
        rows = -(-len(shown) // count)
        if rows <= height or count == most:
            each = min(USUAL_FIGURES, (width - GAP * (count - 1)) // count)
            lines = [reading.line(each) for reading in shown]
            yield beside([lines[first : first + rows] for first in range(0, len(lines), rows)], GAP)


def _charts(shown: list[Reading], frame: Frame, look: Look, *, width: int, rows: int, gaps: int) -> Iterator[Text]:
    """The step over a bar, a line or more for each reading that has a series, and the rest."""
    step, *charted, attempt, seconds = shown
    yield Text.assemble(_label(step.name), (step.value, "bold"))
    done = round(width * frame.step / frame.max_steps)
    full, rest = ("=", "-") if look.ascii_only else ("━", "─")
    yield Text.assemble((full * done, written(boards.CERTAIN)), (rest * (width - done), "dim"))
    if gaps != NOWHERE:
        yield Text()
    for place, reading in enumerate(charted):
        yield from _chart(reading, frame, look, width=width, rows=rows)
        if gaps == EACH or (gaps == GROUPS and place % 2):  # two are a group
            yield Text()
    at, took = Text.assemble(_label(attempt.name), attempt.value), Text.assemble(("time  ", "dim"), seconds.value)
    if at.cell_len + took.cell_len < width:
        yield spread(at, took, width)
    else:
        yield at
        yield Text.assemble(_label(seconds.name), seconds.value)


def _label(name: str) -> tuple[str, str]:
    return name.ljust(LABELS), "dim"


def _chart(reading: Reading, frame: Frame, look: Look, *, width: int, rows: int) -> Iterator[Text]:
    """The name, the value, and the series behind it, `rows` lines high; shares between 0 and 1."""
    room = width - LABELS - VALUES - 2
    series = [reading.after(step) for step in frame.recent(room if frame.guesses else MOST_STEPS)]
    columns = max(len(series), min(room, MOST_PITCH * len(series)))
    is_share = reading.value.endswith("%")
    most = 1.0 if is_share else max((each for each in series if each is not None), default=0.0) or 1.0
    spread_out = [series[column * len(series) // columns] for column in range(columns)]
    *above, last = area(spread_out, width=room, height=rows, ascii_only=look.ascii_only, bounds=(0.0, TOP * most))
    for row in above:
        yield Text(" " * (LABELS + VALUES + 2)).append(row, reading.colour)
    value = (reading.value.rjust(VALUES), "bold")
    yield Text.assemble(_label(reading.name), value, "  ", (last, reading.colour))


def moved_cells(frame: Frame, look: Look) -> list[Text]:
    """How far the latest call of the net moved each cell, with a scale; no lines where none is shown."""
    if frame.update is None:
        return []
    heat = list(heat_map(frame.update.heat / HOTTEST, frame.puzzle.height, frame.puzzle.width, look).split("\n"))
    bar = heat_map(np.linspace(1, 0, len(heat), dtype=np.float32), len(heat), 1, replace(look, max_height=None))
    ends = [f"{HOTTEST:g}", *[""] * (len(heat) - 2), "0"][: len(heat)]
    scale = [line.append(f" {end}", "dim") for line, end in zip(bar.split("\n"), ends, strict=True)]
    both = beside([heat, scale], 2)
    return both if look.has_room(widest(both), 0) else heat


def mean_confidence(frame: Frame) -> float | None:
    """Over all cells, 0 to 1; None before the first answer."""
    return None if frame.confidence is None else float(frame.confidence.mean())


def figure(value: float | None, form: str) -> str:
    """A number in that form; a dash where there is none yet."""
    return "-" if value is None else format(value, form)


def verdict(frame: Frame, header: Header) -> Text:
    """How one puzzle stands, plainly, and what is waited for."""
    praise, broken = frame.task.praise, broken_rules(len(frame.violated))
    stands = praise if frame.solved else broken
    if frame.confidence is None:
        return Text("not begun" if frame.step == 0 else "no answer yet", "dim")
    if frame.is_last:
        steps = "1 step" if frame.step == 1 else f"{frame.step} steps"
        course = f"{steps} (attempt {frame.attempt + 1})" if frame.attempt else steps
        if is_tree(header) and frame.num_tried > 1:
            course = course_of(frame)
        if frame.solved:
            return Text.assemble((praise, "bold green"), f" in {course}")
        if frame.finding and frame.finding is not Finding.UNKNOWN:
            return Text.assemble((f"not {praise}", "bold red"), f" in {course}: {frame.finding.value}")
        also = ", the halt head fired" if halt_fired(frame) else ""
        return Text.assemble((f"not {praise}", "bold red"), f": {broken} after {course}{also}")
    if frame.is_inside:
        return Text(stands, "dim")
    if frame.halted or frame.step == frame.max_steps:
        return Text(f"{named_attempt(frame, header)[0]} {frame.attempt + 1:,} ended: {stands}", "dim")
    if frame.solved:
        waits = "going on" if header.halt == "never" else "waiting for the halt head"
        return Text.assemble((praise, "green"), (f", {waits}", "dim"))
    return Text(f"halt head fired, {broken}, going on" if halt_fired(frame) else broken, "dim")


def halt_fired(frame: Frame) -> bool:
    """Whether the halt head asks to stop after this step."""
    return frame.halt_probability is not None and frame.halt_probability > HALTS


def broken_rules(cells: int) -> str:
    """How many cells break a rule, in words."""
    return "1 violation" if cells == 1 else f"{cells} violations"


def standing(frame: Frame) -> Text:
    """In two or three words how a puzzle of several stands."""
    if frame.solved:
        return Text(frame.task.praise, "bold green" if frame.is_last else "green")
    if frame.is_last:
        return Text(f"not {frame.task.praise}", "bold red")
    return Text("no answer yet" if frame.confidence is None else broken_rules(len(frame.violated)))


def tally(frames: Sequence[Frame]) -> Text:
    """How several puzzles stand."""
    praise = frames[0].task.praise
    solved = sum(frame.solved and frame.is_last for frame in frames)
    running = sum(not frame.is_last for frame in frames)
    text = Text.assemble((f"{solved} of {len(frames)} {praise}", "bold green" if solved else "bold"))
    if failed := len(frames) - solved - running:
        text.append(", ").append(f"{failed} not {praise}", "bold red")
    return text.append(f", {running} running" if running else "", "dim")


def meanings(header: Header) -> list[tuple[str, str]]:
    """What each reading means, in one line; what comes after a semicolon can be left out."""
    y, z = header.letters
    attempts = [("attempt", "a new start if the last failed; of so many at most")]
    if is_tree(header):
        attempts = [
            ("node", "a set of guesses that is tried; the cheapest comes next"),
            ("depth", "guesses of this node, from the root down; r4c5=7 is a 7 in row 4, column 5"),
        ]
    recursions = "1 recursion of" if header.T == 1 else f"{header.T} recursions, each of"
    return [
        ("step", f"one refinement of the answer; {recursions} {header.n + 1} calls"),
        ("halt probability", "halt head: the answer is right; above 50 % it asks to stop"),
        ("confidence", "mean probability of the cells; that of each is its colour"),
        ("changed", "cells unlike the step before; they flash"),
        ("violations", "cells that break a rule; the rules decide what is solved"),
        (f"change of {y}", f"how far {y}, the answer, moved; relative to its norm"),
        (f"change of {z}", f"how far {z}, the latent, moved; relative to its norm"),
        *attempts,
        ("time", "seconds of computation; drawing is not counted"),
    ]


def signs(header: Header, look: Look) -> list[tuple[Text, str]]:
    """What colours and marks on the board mean, each shown as itself."""
    violated = (Text("!"), "violation") if look.is_plain else (Text("red", boards.VIOLATION_STYLE), "violation")
    changed = (Text("*"), "changed") if look.is_plain else (Text("yellow", boards.FLASHES[FLASH_STRONG]), "changed")
    told = [(violated[0], "a violation"), (changed[0], "changed in this step; underlined from then on")]
    if header.task.layout is Layout.BLOCKS:
        told = told if look.is_plain else [(Text(boards.CROSS), told[0][1]), (Text(boards.DOT), "changed in this step")]
    elif not look.is_plain:
        sure = Text.assemble(("grey", written(boards.UNSURE)), " to ", ("blue", written(boards.CERTAIN)))
        told = [(Text("bold", "bold"), "given by the puzzle"), (sure, "unsure, up to certain; the confidence"), *told]
    if is_tree(header):
        filled = Text("?") if look.is_plain else Text("purple", boards.GUESS_STYLE)
        taken = Text("~") if look.is_plain else Text("dark", f"on {boards.TAKEN_BACK_PAPER}")
        told += [(filled, "a guess: a blank that the search filled in"), (taken, "its guess was taken back just now")]
    if header.inner:
        warm = (
            Text("dark to bright")
            if look.is_plain
            else Text.assemble(
                *(
                    (letter, f"on {written(boards.between(boards.HEAT, place / 13))}")
                    for place, letter in enumerate("dark to bright")
                )
            )
        )
        told.append((warm, f"how far each cell moved; root mean square, 0 to {HOTTEST:g}"))
    return told


KEYS = (
    ("space", "pause and go on; q quits"),
    ("arrows", "a step back or forth; Home and End: the first, the latest"),
    ("+ and -", "faster and slower"),
)

CAPTION = 15  # columns of a gap and the words beside a tile
MOST_FIGURES = 60  # columns of the figures beside a board
WIDE_FIGURES = CHARTS_FROM  # columns that figures take from a board that could be larger
AIRY_HEIGHT = 23  # rows of a terminal that has room for empty lines
NO_ROOM = "the terminal is too small for the board"


@dataclass(frozen=True)
class Scene:
    """A moment as a screen of any size; Rich draws it, and so do the exports."""

    moment: Moment
    header: Header
    look: Look = field(default_factory=Look)
    state: str = ""  # what the player does: paused, the speed
    keys: Sequence[str] = ()  # what can be pressed, the most important first
    is_help: bool = False  # what is on the screen is explained instead

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(options.max_width, options.height or console.size.height)

    def lines(self, width: int, height: int) -> list[Text]:
        """At most `height` lines of at most `width` columns."""
        inside = width - 2
        is_airy = height >= AIRY_HEIGHT and (len(self.moment.frames) == 1 or self.is_help)
        body = self._body(inside, height - 5) if is_airy else None
        if body is None:
            body = self._body(inside, height - 3)
        frames = self.moment.frames
        told = verdict(frames[0], self.header) if len(frames) == 1 else tally(frames)
        if body is None:
            body = self._without_boards(inside, height - 3)
            told.append(f", {NO_ROOM}{'s' * (len(frames) > 1)}", "dim")
        between = [Text()] if len(body) + 5 <= height else []
        lines = [self._title(inside), *between, *body, *between, told, self._footer(inside)]
        lines = [clipped(line, inside) for line in lines]
        return [Text(" ", no_wrap=True, overflow="ignore").append_text(line) for line in lines[:height]]

    def _title(self, width: int) -> Text:
        header, shown = self.header, numbers(self.moment, self.header)
        left = Text.assemble(("trm watch ", "dim"), (header.task.name, "bold"))
        if header.num_puzzles > 1:
            which = f"puzzles {shown[0]} to {shown[-1]}" if len(shown) > 1 else f"puzzle {shown[0]}"
            left.append(f"  {which} of {header.num_puzzles}", "dim")
        models = (f"{header.model}, {header.num_parameters:,} parameters", header.model, "")
        return spread(left, Text(fitting(models, width - left.cell_len - 2), "dim"), width)

    def _footer(self, width: int) -> Text:
        state, keys = Text(self.state, "bold"), ["any key: back"] if self.is_help else list(self.keys)
        while keys and len("  ".join(keys)) + 1 + state.cell_len > width:
            keys.pop()
        return spread(Text("  ".join(keys), "dim"), state, width)

    def _body(self, width: int, height: int) -> list[Text] | None:
        """At most `height` lines; None where the boards do not fit."""
        if self.is_help:
            return self._help(width, height)
        return self._one(width, height) if len(self.moment.frames) == 1 else self._tiles(width, height)

    def _help(self, width: int, height: int) -> list[Text]:
        """What is on the screen, a line each; the last groups are left out where there is no room."""
        groups: list[list[tuple[Text, str]]] = [
            [(Text(name, "dim"), meaning) for name, meaning in meanings(self.header)],
            signs(self.header, self.look),
            [(Text(key, "dim"), meaning) for key, meaning in KEYS],
        ]
        room = width - LABELS - 1
        while len(groups) > 1 and sum(map(len, groups)) > height:
            groups.pop()
        gap = [Text()] * (sum(map(len, groups)) + len(groups) - 1 <= height)
        lines: list[Text] = []
        for group in groups:
            lines += gap if lines else []
            for name, meaning in group:
                lines.append(Text.assemble(name, " " * (width - room - name.cell_len), clipped(Text(meaning), room)))
        return lines[: max(0, height)]

    def _one(self, width: int, height: int) -> list[Text] | None:
        frame = self.moment.frames[0]
        board = larger = self._board(frame, self.look, width - LEAST_FIGURES - GAP, height)
        if larger is None or widest(larger) > width - WIDE_FIGURES - GAP:
            board = self._board(frame, self.look, width - WIDE_FIGURES - GAP, height)
            if larger and (board is None or len(board) < min(frame.puzzle.height, len(larger))):
                board = larger  # digits are worth more than charts
        if board is None or 2 * height >= width:
            below = -(-len(_readings(frame, self.header)) // max(1, (width + GAP) // (LEAST_FIGURES + GAP)))
            above = self._board(frame, self.look, width, height - below)  # with the figures below
            if above and len(above) > len(board or ()):
                return [*above, *readings(frame, self.header, self.look, width=width, height=height - len(above))]
        if board is None:
            return None
        room, below = min(width - widest(board) - GAP, MOST_FIGURES), height - len(board) - 1
        figures = partial(readings, frame, self.header, self.look, width=room, height=height)
        if is_searched(frame, self.header) and below >= WIDE_TREE and widest(board) >= CHARTS_FROM:
            tree = outline(frame, self.look, width=widest(board), height=below)
            return beside([[*board, Text(), *tree], figures(draws_tree=False)], GAP)
        return beside([board, figures()], GAP)

    def _board(self, frame: Frame, look: Look, width: int, height: int) -> list[Text] | None:
        """The lines of a board; None where no size of it fits."""
        lines = list(board_text(view_of(frame), replace(look, max_width=width, max_height=height)).split("\n"))
        return lines if widest(lines) <= width and len(lines) <= height else None

    def _tiles(self, width: int, height: int) -> list[Text] | None:
        columns = self.header.columns
        num_rows = -(-len(self.moment.frames) // columns)
        tile_width, tile_height = (width + 2) // columns - 2, height // num_rows
        gap = 1 if tile_height >= 6 else 0
        tiles = [self._tile(place, tile_width, tile_height - gap) for place in range(len(self.moment.frames))]
        lines: list[Text] = []
        for first in range(0, len(tiles), columns):
            row = [tile for tile in tiles[first : first + columns] if tile is not None]
            if len(row) < len(tiles[first : first + columns]):
                return None
            lines += [*beside(row, 2), *[Text()] * gap]
        return lines[: len(lines) - gap]

    def _tile(self, place: int, width: int, height: int) -> list[Text] | None:
        """A small board with a caption at its right or, in one line, below it; None where neither fits."""
        frame = self.moment.frames[place]
        look = self.look if place in self.moment.moved else replace(self.look, flash=0)
        if board := self._board(frame, look, width - CAPTION, height):
            lines = beside([board, self._caption(place, width - widest(board) - 1)[:height]], 1)
        elif board := self._board(frame, look, width, height - 1):
            lines = [*board, self._short_caption(place, width)]
        else:
            return None
        for line in lines:
            line.truncate(width, pad=True)
        return lines

    def _caption(self, place: int, width: int) -> list[Text]:
        """What is told beside a tile."""
        frame, number = self.moment.frames[place], numbers(self.moment, self.header)[place]
        attempt, told = attempt_of(frame, self.header), [Text(f"puzzle {number}", "bold")]
        told.append(Text(f"step {frame.step} of {frame.max_steps}", "dim"))
        if frame.attempt and is_tree(self.header):
            node = f"node {node_of(frame)}"
            told.append(Text(fitting((f"{node}, depth {frame.depth}", node), width), "dim"))
        elif frame.attempt:
            told.append(Text(fitting((f"attempt {attempt}", f"attempt {frame.attempt + 1}"), width), "dim"))
        if (halt := frame.latest.halt_probability) is not None:
            names = [f"{name} " for name in ("halt probability", "halt prob.", "halt")]
            told.append(Text(f"{fitting(names, width - len('100%'))}{halt:.0%}", "dim"))
        return [*told, *([standing(frame)] if frame.step else [])]

    def _short_caption(self, place: int, width: int) -> Text:
        """What is told below a tile, in one line."""
        frame, number = self.moment.frames[place], numbers(self.moment, self.header)[place]
        step = f"step {frame.step}"
        running = Text(fitting((f"{step} of {frame.max_steps}", step), width - len(f"{number} ")), "dim")
        told = Text.assemble((f"{number} ", "bold"), standing(frame) if frame.is_last else running)
        return clipped(told, width)

    def _without_boards(self, width: int, height: int) -> list[Text]:
        """What is told of the puzzles where their boards do not fit."""
        frames = self.moment.frames
        if len(frames) == 1:
            return readings(frames[0], self.header, self.look, width=width, height=height)
        columns = max(1, (width + GAP) // (USUAL_FIGURES + GAP))
        told = [self._short_caption(place, USUAL_FIGURES) for place in range(len(frames))]
        rows = -(-len(told) // columns)
        return beside([told[first : first + rows] for first in range(0, len(told), rows)], GAP)[: max(0, height)]


def numbers(moment: Moment, header: Header) -> range:
    """Which of the run's puzzles a moment shows, counted from 1."""
    first = moment.page * header.rows * header.columns + 1
    return range(first, first + len(moment.frames))
