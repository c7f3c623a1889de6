"""The figures beside a board: where the recursion is, and how far it has come."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rich.text import Text

from trm_cli.display.dots import heat_map
from trm_cli.display.lines import rows_of
from trm_cli.display.palette import HALTING, MOVING, NEW, SURE, WRONG, written
from trm_cli.display.sparkline import area
from trm_cli.display.views import Look
from trm_cli.solving.frames import Frame, Header

LABELS, VALUES = 9, 7  # columns
CHARTS_FROM = 24  # columns that have room for sparklines; below it, values alone
MOST_PITCH = 3  # columns of one step in a sparkline, at most
EACH, GROUPS, NOWHERE = range(3)  # where there are empty lines
SIZES = ((3, EACH), (2, EACH), (1, EACH), (1, GROUPS), (1, NOWHERE))  # rows of a chart; empty lines
TOP = 8 / 7  # of a chart over its highest value, so that charts on neighbouring lines do not touch
NOTHING = "-"  # where there is no value yet
HOTTEST = 1.5  # heat drawn at its brightest; vectors of unit root mean square move by 2 at most


@dataclass(frozen=True)
class Reading:
    """One figure, and the series that it is the end of."""

    name: str
    value: str
    colour: str
    of: Callable[[Frame], float | None]  # its value after an earlier step
    is_share: bool = False  # drawn between 0 and 1
    ends_group: bool = False


def readings(frame: Frame, header: Header, look: Look, *, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` columns about one puzzle."""
    inside = _inside(frame, header, replace(look, max_width=width, max_height=None), width)
    for rows, gaps in SIZES:
        if width < CHARTS_FROM and gaps == EACH:
            continue
        lines = list(_figures(frame, look, width=width, rows=rows, gaps=gaps))
        if gaps != NOWHERE and inside:
            lines.append(Text())
        if len(lines) + len(inside) <= height:
            break
    return [*lines, *inside][:height]


def _figures(frame: Frame, look: Look, *, width: int, rows: int,
             gaps: int) -> Iterator[Text]:  # fmt: skip
    of = " of " if width >= CHARTS_FROM else "/"
    yield Text.assemble(
        _label("step"), (str(frame.step), "bold"), (f"{of}{frame.max_steps}", "dim")
    )
    if width >= CHARTS_FROM:
        yield _progress(frame.step / frame.max_steps, width, look)
    if gaps != NOWHERE:
        yield Text()
    for reading in _readings(frame):
        if width < CHARTS_FROM:
            yield Text.assemble(_label(reading.name), (reading.value, "bold"))
        else:
            yield from _chart(reading, frame.history, look, width=width, rows=rows)
        if gaps == EACH or (gaps == GROUPS and reading.ends_group):
            yield Text()
    attempt = Text.assemble(_label("attempt"), str(frame.attempt + 1))
    seconds = f"{frame.seconds:.2f} s"
    if width < CHARTS_FROM:
        yield from (attempt, Text.assemble(_label("time"), seconds))
    else:
        attempt.pad_right(LABELS + VALUES + 2 - attempt.cell_len)
        yield attempt.append("time ", "dim").append(seconds)


def _label(name: str) -> tuple[str, str]:
    return name.ljust(LABELS), "dim"


def _progress(share: float, width: int, look: Look) -> Text:
    done = round(width * share)
    full, rest = ("=", "-") if look.ascii_only else ("━", "─")
    return Text.assemble((full * done, written(SURE)), (rest * (width - done), "dim"))


def _readings(frame: Frame) -> list[Reading]:
    """From the top down; inside a step, the halt probability is that of the step before."""
    update = frame.update
    moved = {update.stream: update.change} if update and frame.is_inside else {}
    halt = frame.history[-1].halt_probability if frame.history else None
    sure, new, wrong = written(SURE), written(NEW), written(WRONG)
    return [
        Reading("halt", percent(halt), HALTING, lambda f: f.halt_probability, is_share=True),
        Reading("sure", percent(mean_confidence(frame)), sure, mean_confidence,
                is_share=True, ends_group=True),
        Reading("changed", str(len(frame.changed)), new, lambda f: len(f.changed)),
        Reading("violated", str(len(frame.violated)), wrong, lambda f: len(f.violated),
                ends_group=True),
        Reading("change y", _norm(moved.get("y", frame.change_y)), MOVING, lambda f: f.change_y),
        Reading("change z", _norm(moved.get("z", frame.change_z)), MOVING, lambda f: f.change_z,
                ends_group=True),
    ]  # fmt: skip


def _chart(reading: Reading, history: tuple[Frame, ...], look: Look, *, width: int,
           rows: int) -> Iterator[Text]:  # fmt: skip
    """The name, the value, and the series behind it, `rows` lines high."""
    room = width - LABELS - VALUES - 2
    values = [reading.of(step) for step in history]
    columns = max(len(values), min(room, MOST_PITCH * len(values)))
    series = [values[column * len(values) // columns] for column in range(columns)]
    most = max((value for value in series if value is not None), default=0.0)
    bounds = (0.0, TOP * (1.0 if reading.is_share else most or 1.0))
    drawn = area(series, width=room, height=rows, ascii_only=look.ascii_only, bounds=bounds)
    for row in drawn[:-1]:
        yield Text(" " * (LABELS + VALUES + 2)).append(row, reading.colour)
    yield Text.assemble(_label(reading.name), (reading.value.rjust(VALUES), "bold"), "  ",
                        (drawn[-1], reading.colour))  # fmt: skip


def _inside(frame: Frame, header: Header, look: Look, width: int) -> list[Text]:
    """Which call of the net it was, and how far it moved each cell."""
    update = frame.update
    if update is None:
        return []
    call = "z = net(x, y, z)" if update.stream == "z" else "y = net(y, z)"
    places = f"{update.recursion}/{header.T}", f"{update.number}/{header.n + 1}"
    where = f"recursion {places[0]} call {places[1]}  "
    if len(where) + len(call) > width:
        where = f"{places[0]} {places[1]}  "
    heat = heat_map(update.heat / HOTTEST, frame.puzzle.height, frame.puzzle.width, look)
    return [Text.assemble((where, "dim"), (call, "bold")), *rows_of(heat)]


def mean_confidence(frame: Frame) -> float | None:
    """Over all cells, 0 to 1; None before the first answer."""
    return None if frame.confidence is None else float(frame.confidence.mean())


def percent(share: float | None) -> str:
    """A share to a tenth of a percent; a dash for none."""
    return NOTHING if share is None else f"{share:.1%}"


def _norm(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def verdict(frame: Frame) -> Text:
    """How one puzzle stands, plainly."""
    if frame.confidence is None:
        return Text("not begun" if frame.step == 0 else "thinking", "dim")
    steps = "1 step" if frame.step == 1 else f"{frame.step} steps"
    if frame.solved and frame.is_last:
        return Text.assemble((frame.task.praise, "bold green"), f" in {steps}")
    cells = len(frame.violated)
    broken = "1 cell breaks a rule" if cells == 1 else f"{cells} cells break a rule"
    if frame.is_last:
        failure = f"not {frame.task.praise}"
        return Text.assemble((failure, "bold red"), f": {broken} after {steps}")
    return Text("the rules hold" if frame.solved else broken, "dim")
