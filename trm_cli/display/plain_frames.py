"""Moments where no screen can be drawn: one plain frame a step, marks in place of colours."""

from collections.abc import Iterator

from rich.text import Text

from trm_cli.display.boards import board_text, view_of
from trm_cli.display.dots import heat_map
from trm_cli.display.lines import beside, rows_of
from trm_cli.display.readings import HOTTEST, mean_confidence, percent, verdict
from trm_cli.display.views import Look
from trm_cli.solving.frames import Frame, Header, Moment

LEGEND = "! breaks a rule   * changed since the step before"
GAP = 3  # columns between boards


def plain_lines(moment: Moment, header: Header, *, ascii_only: bool) -> Iterator[str]:
    """The lines of one moment: the questions as text, or what a step made of them."""
    at_once = header.rows * header.columns
    numbers = [moment.page * at_once + place + 1 for place in range(len(moment.frames))]
    if moment.is_question:
        if moment.page == 0:
            yield f"trm watch {header.task.name}   {LEGEND}"
        for number, frame in zip(numbers, moment.frames, strict=True):
            yield f"puzzle {number} of {header.num_puzzles}  {frame.puzzle.place}"
            yield header.task.write(frame.puzzle.tokens)
        yield ""
        return
    look = Look(ascii_only=ascii_only, in_a_list=True, marks=True)
    moved = [(numbers[place], moment.frames[place]) for place in sorted(moment.moved)]
    for first in range(0, len(moved), header.columns):
        row = moved[first : first + header.columns]
        blocks = [_block(number, frame, header, look) for number, frame in row]
        yield from (line.plain.rstrip() for line in beside(blocks, GAP))
        yield ""


def _block(number: int, frame: Frame, header: Header, look: Look) -> list[Text]:
    told = _figures(frame, header)
    if header.rows * header.columns > 1:
        told = [f"puzzle {number}", *told]
    board = rows_of(board_text(header.task.name, view_of(frame), look))
    if frame.update is not None:
        heat = heat_map(frame.update.heat / HOTTEST, frame.puzzle.height, frame.puzzle.width, look)
        board = beside([board, [Text(f"{frame.update.stream} moved"), *rows_of(heat)]], GAP)
    ending = [verdict(frame)] if frame.is_last else []
    return [*(Text(line) for line in told), *board, *ending]


def _figures(frame: Frame, header: Header) -> list[str]:
    step = f"step {frame.step} of {frame.max_steps}  attempt {frame.attempt + 1}"
    update = frame.update
    if update is not None:
        step += f"  recursion {update.recursion}/{header.T} call {update.number}/{header.n + 1}"
    counts = f"changed {len(frame.changed)}  violated {len(frame.violated)}"
    if frame.is_inside and update is not None:
        return [step, f"{counts}  change {update.stream} {update.change:.3f}"]
    moved = f"change y {frame.change_y:.3f}  change z {frame.change_z:.3f}"
    return [
        f"{step}  {frame.seconds:.2f} s",
        f"{counts}  halt {percent(frame.halt_probability)}",
        f"sure {percent(mean_confidence(frame))}  {moved}",
    ]
