"""The figures beside a board: where the recursion is, and how far it has come."""

from collections.abc import Callable, Iterator

from rich.text import Text

from trm_cli.display.dots import heat_map
from trm_cli.display.lines import rows_of
from trm_cli.display.palette import NEW, SURE, WRONG, written
from trm_cli.display.sparkline import area
from trm_cli.display.views import Look
from trm_cli.solving.frames import Frame, Header

LABELS, VALUES = 10, 8  # columns
LEAST_WIDTH = 24  # columns with room for a sparkline; below it, values alone
MOST_PITCH = 3  # columns of one step in a sparkline
NOTHING = "-"  # where there is no value yet
HALTING, HOT, CALM = "#35b37e", written(WRONG), written(SURE)
HOTTEST = 1.0  # heat drawn at its brightest; vectors of unit root mean square move by 2 at most


def readings(frame: Frame, header: Header, look: Look, *, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` columns about one puzzle."""
    charts = list(_charts(frame, header, look, width, rows=1))
    lines = [*_step(frame, header, width, look), *charts, *_ending(frame, header)]
    taller = 1 + (height - len(lines) - _inner_rows(frame)) // 5
    if taller > 1 and width >= LEAST_WIDTH:
        charts = list(_charts(frame, header, look, width, rows=min(4, taller)))
        lines = [*_step(frame, header, width, look), Text(), *charts, *_ending(frame, header)]
    if frame.update is not None or header.inner:
        lines += _inner(frame, header, look, width, height - len(lines))
    return lines[:height]


def _step(frame: Frame, header: Header, width: int, look: Look) -> Iterator[Text]:
    of = f" of {header.max_steps}"
    yield Text.assemble(("step".ljust(LABELS), "dim"), (str(frame.step), "bold"), (of, "dim"))
    if width >= LEAST_WIDTH:
        done = round(width * frame.step / header.max_steps)
        full, rest = ("=", "-") if look.ascii_only else ("━", "─")
        yield Text.assemble((full * done, CALM), (rest * (width - done), "dim"))


def _charts(frame: Frame, header: Header, look: Look, width: int, rows: int) -> Iterator[Text]:
    """One line, or more where there is room, for each figure that changes from step to step."""
    update = frame.update
    moved = {} if update is None else {update.stream: update.change}
    figures: list[tuple[str, str, str, Callable[[Frame], float | None]]] = [
        ("halt", _percent(_latest_halt(frame)), HALTING, lambda f: f.halt_probability),
        ("changed", str(len(frame.changed)), written(NEW), lambda f: len(f.changed)),
        ("violated", str(len(frame.violated)), HOT, lambda f: len(f.violated)),
        ("change y", _norm(moved.get("y", frame.change_y)), CALM, lambda f: f.change_y),
        ("change z", _norm(moved.get("z", frame.change_z)), CALM, lambda f: f.change_z),
    ]
    pitch = max(1, min(MOST_PITCH, (width - LABELS - VALUES - 2) // max(1, header.max_steps)))
    for name, value, style, of in figures:
        label = Text.assemble((name.ljust(LABELS), "dim"), (value.rjust(VALUES), "bold"))
        if width < LEAST_WIDTH:
            yield Text.assemble((name.ljust(LABELS), "dim"), (value, "bold"))
            continue
        series = [of(step) for step in frame.history for _ in range(pitch)]
        known = [value for value in series if value is not None]
        bounds = (0.0, 1.0 if name == "halt" else max(known, default=0.0) or 1.0)
        drawn = area(series, width=width - LABELS - VALUES - 2, height=rows,
                     ascii_only=look.ascii_only, bounds=bounds)  # fmt: skip
        indent = " " * (LABELS + VALUES + 2)
        yield from (Text(indent).append(row, style) for row in drawn[:-1])
        yield label.append("  ").append(drawn[-1], style)


def _ending(frame: Frame, header: Header) -> Iterator[Text]:
    sure = None if frame.confidence is None else float(frame.confidence.mean())
    yield Text.assemble(("confident".ljust(LABELS), "dim"), (_percent(sure).rjust(VALUES), "bold"))
    yield Text.assemble(("attempt".ljust(LABELS), "dim"), str(frame.attempt + 1).rjust(VALUES))
    yield Text.assemble(("time".ljust(LABELS), "dim"), f"{frame.seconds:.2f} s".rjust(VALUES))


def _inner_rows(frame: Frame) -> int:
    return 0 if frame.update is None else frame.puzzle.height + 2


def _inner(frame: Frame, header: Header, look: Look, width: int, height: int) -> list[Text]:
    """Which call of the net it was, and how far it moved each cell."""
    update = frame.update
    if update is None or height < 2:
        return []
    call = "z = net(x, y, z)" if update.stream == "z" else "y = net(y, z)"
    where = f"recursion {update.recursion}/{header.T}  call {update.number}/{header.n + 1}  "
    if len(where) + len(call) > width:
        where = f"{update.recursion}/{header.T} {update.number}/{header.n + 1}  "
    room = Look(width, height - 2, ascii_only=look.ascii_only, marks=look.marks)
    heat = heat_map(update.heat / HOTTEST, frame.puzzle.height, frame.puzzle.width, room)
    return [Text(), Text.assemble((where, "dim"), (call, "bold")), *rows_of(heat)]


def _latest_halt(frame: Frame) -> float | None:
    """The halt probability after the latest finished step."""
    return frame.history[-1].halt_probability if frame.history else None


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _norm(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def verdict(frame: Frame) -> Text:
    """How one puzzle stands, plainly."""
    if frame.step == 0:
        return Text("not begun", "dim")
    steps = "1 step" if frame.step == 1 else f"{frame.step} steps"
    if frame.solved and frame.is_last:
        return Text.assemble(("solved", "bold green"), f" in {steps}")
    cells = len(frame.violated)
    broken = "1 cell breaks a rule" if cells == 1 else f"{cells} cells break a rule"
    if frame.is_last:
        return Text.assemble(("not solved", "bold red"), f": {broken} after {steps}")
    return Text("the rules hold" if frame.solved else broken, "dim")
