"""One screen of `trm watch`: a board with its figures beside it, or many boards as tiles."""

from dataclasses import dataclass, field, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from trm_cli.display.boards import board_text, view_of
from trm_cli.display.lines import beside, rows_of, spread
from trm_cli.display.readings import readings, verdict
from trm_cli.display.views import Look
from trm_cli.solving.frames import Frame, Header, Moment

GAP = 3  # columns between a board and its figures
LEAST_FIGURES, MOST_FIGURES = 14, 60  # columns of the figures
WIDE_FIGURES = 28  # columns that figures take from a board that could be larger
FIGURE_LINES = 9  # rows of figures below a board
CAPTION = 11  # columns beside a tile
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
        below = [*between, self._verdict(), self._footer(inside)]
        lines = [self._title(inside), *between, *body, *below]
        for line in lines:
            line.truncate(inside)
        return [
            Text(" ", no_wrap=True, overflow="ignore").append_text(line) for line in lines[:height]
        ]

    def _title(self, width: int) -> Text:
        header, frames = self.header, self.moment.frames
        first = self.moment.page * self.at_once + 1
        number = str(first) if len(frames) == 1 else f"{first} to {first + len(frames) - 1}"
        right = f"{header.model}, {header.num_parameters:,} parameters"
        left = Text.assemble(("trm watch ", "dim"), (header.task.name, "bold"))
        if header.num_puzzles > 1:
            left.append(f"  {number} of {header.num_puzzles}", "dim")
        if left.cell_len + len(right) + 2 > width:
            right = header.model
        return spread(left, Text(right, "dim"), width)

    @property
    def at_once(self) -> int:
        """Puzzles on a full screen."""
        return self.header.rows * self.header.columns

    def _one(self, width: int, height: int) -> list[Text]:
        frame = self.moment.frames[0]
        board = larger = self._board(frame, width - LEAST_FIGURES - GAP, height)
        if _width(larger) > width - WIDE_FIGURES - GAP:
            board = self._board(frame, width - WIDE_FIGURES - GAP, height)
            if len(board) < min(frame.puzzle.height, len(larger)):
                board = larger  # digits are worth more than charts
        if 2 * height > width:
            above = self._board(frame, width, height - FIGURE_LINES)  # with the figures below
            board = above if len(above) > len(board) else board
        room = width - _width(board) - GAP
        if room >= LEAST_FIGURES:
            told = readings(frame, self.header, self.look,
                            width=min(room, MOST_FIGURES), height=height)  # fmt: skip
            return beside([board, told], GAP)
        told = readings(frame, self.header, self.look, width=width, height=height - len(board))
        return [*board, *told]

    def _board(self, frame: Frame, width: int, height: int) -> list[Text]:
        look = replace(self.look, max_width=width, max_height=height)
        return rows_of(board_text(self.header.task.name, view_of(frame), look))

    def _tiles(self, width: int, height: int) -> list[Text]:
        columns = self.header.columns
        frames = self.moment.frames
        num_rows = -(-len(frames) // columns)
        tile_width, tile_height = (width + 2) // columns - 2, height // num_rows
        gap = 1 if tile_height >= 6 else 0
        tiles = [self._tile(index, frame, tile_width, tile_height - gap)
                 for index, frame in enumerate(frames)]  # fmt: skip
        lines: list[Text] = []
        for first in range(0, len(tiles), columns):
            lines += beside(tiles[first : first + columns], 2)
            lines += [Text()] * gap
        return lines[:-gap] if gap else lines

    def _tile(self, index: int, frame: Frame, width: int, height: int) -> list[Text]:
        """A small board with a caption at its right, every line as wide as the tile."""
        look = replace(self.look, max_width=width - CAPTION, max_height=height)
        if index not in self.moment.moved:
            look = replace(look, flash=0)
        board = rows_of(board_text(self.header.task.name, view_of(frame), look))[:height]
        number = self.moment.page * self.at_once + index + 1
        lines = beside([board, _caption(number, frame)], 2)[: max(height, 1)]
        for line in lines:
            line.truncate(width)
            line.pad_right(width - line.cell_len)
        return lines

    def _verdict(self) -> Text:
        frames = self.moment.frames
        if len(frames) == 1:
            return verdict(frames[0])
        praise = frames[0].task.praise
        solved = sum(frame.solved and frame.is_last for frame in frames)
        running = sum(not frame.is_last for frame in frames)
        text = Text.assemble((f"{solved} {praise}", "bold green" if solved else "bold"))
        failed = len(frames) - solved - running
        if failed:
            text.append("  ").append(f"{failed} not {praise}", "bold red")
        return text.append(f"  {running} still thinking" if running else "", "dim")

    def _footer(self, width: int) -> Text:
        return spread(Text(self.keys, "dim"), Text(self.state, "bold"), width)


def _width(lines: list[Text]) -> int:
    return max(line.cell_len for line in lines)


def _caption(number: int, frame: Frame) -> list[Text]:
    halt = frame.history[-1].halt_probability if frame.history else None
    told = [
        Text(f"puzzle {number}", "bold"),
        Text(f"step {frame.step}", "dim"),
        Text("" if halt is None else f"halt {halt:.0%}", "dim"),
    ]
    if frame.is_last and frame.solved:
        told.append(Text(frame.task.praise, "bold green"))
    elif frame.step:
        told.append(Text(f"{len(frame.violated)} wrong", "bold red" if frame.is_last else ""))
    return told
