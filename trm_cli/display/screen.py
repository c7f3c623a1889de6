"""Scenes as screens of coloured characters, and characters as shapes: what pictures are made of.

Lines and blocks are drawn as rectangles, not as letters, so that they join whatever the font.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from rich.color import Color, blend_rgb
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from trm_cli.display.palette import FLASH_SOFT, FLASH_STRONG
from trm_cli.display.player import FLASH_SECONDS, INNER_SHARE
from trm_cli.display.scene import Scene
from trm_cli.display.views import Look
from trm_cli.solving.frames import Header, Moment

ONE_SIZE, MANY_SIZE = (80, 24), (112, 42)  # columns and rows of a picture of one puzzle, of several
LAST_SECONDS = 3.0  # that the end stays before it begins anew
PAPER, INK = (13, 17, 23), (214, 220, 228)
THEME = TerminalTheme(
    PAPER, INK,
    [(72, 79, 88), (229, 83, 75), (87, 171, 90), (198, 144, 38),
     (83, 155, 245), (176, 131, 240), (57, 197, 207), (144, 157, 171)],
)  # fmt: skip

# How far a line reaches from the middle of its character: left, right, up, down; 2 is heavy.
ARMS = {
    "─": "1100", "│": "0011", "┌": "0101", "┐": "1001", "└": "0110", "┘": "1010", "├": "0111",
    "┤": "1011", "┬": "1101", "┴": "1110", "┼": "1111", "╭": "0101", "╮": "1001", "╰": "0110",
    "╯": "1010", "╴": "1000", "╶": "0100", "╵": "0010", "╷": "0001",
    "━": "2200", "┃": "0022", "┏": "0202", "┓": "2002", "┗": "0220", "┛": "2020", "┣": "0222",
    "┫": "2022", "┳": "2202", "┻": "2220", "╋": "2222", "┯": "2201", "┷": "2210", "┿": "2211",
    "┠": "0122", "┨": "1022", "╂": "1122", "╸": "2000", "╺": "0200", "╹": "0020", "╻": "0002",
}  # fmt: skip
BLOCKS = {mark: (1 - (level + 1) / 8, 1.0) for level, mark in enumerate("▁▂▃▄▅▆▇█")}
BLOCKS["▀"] = (0.0, 0.5)  # from and to which height it is filled
SHADED = {"░": 0.25, "▒": 0.5, "▓": 0.75}  # how much of it is filled
LIGHT, HEAVY = 0.07, 0.17  # thickness of lines, of a character's height

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom; 0 to 1 of a character
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Glyph:
    """A run of characters of one style, on one row of a screen."""

    column: int
    text: str
    ink: RGB
    paper: RGB | None  # None is the screen's own
    is_bold: bool
    is_underlined: bool

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to draw but the paper."""
        return self.paper is None and not self.text.strip()


Row = tuple[Glyph, ...]


@dataclass(frozen=True)
class Shot:
    """One picture of an animation: rows of glyphs, and how long they stay."""

    rows: tuple[Row, ...]
    seconds: float


@dataclass(frozen=True)
class Film:
    """The pictures of a run, all of one size in characters."""

    shots: list[Shot]
    columns: int
    rows: int


def film(header: Header, moments: list[Moment], seconds: float) -> Film:
    """The pictures of a run, `seconds` a step, without the empty rows below them."""
    columns, height = ONE_SIZE if header.rows * header.columns == 1 else MANY_SIZE
    shots = list(_shots(header, moments, seconds, (columns, height)))
    rows = max(number for shot in shots for number in range(height)
               if not all(glyph.is_blank for glyph in shot.rows[number]))  # fmt: skip
    return Film([Shot(shot.rows[: rows + 1], shot.seconds) for shot in shots], columns, rows + 1)


def _shots(header: Header, moments: list[Moment], seconds: float,
           size: tuple[int, int]) -> Iterator[Shot]:  # fmt: skip
    """Each moment with its flash, and the last for longer."""
    width, height = size
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True,
                      color_system="truecolor", legacy_windows=False)  # fmt: skip
    for place, moment in enumerate(moments):
        stays = seconds * (INNER_SHARE if moment.is_inside else 1)
        stays = max(stays, LAST_SECONDS) if place == len(moments) - 1 else stays
        changes = any(frame.changed for frame in moment.new_frames)
        flashes = (FLASH_STRONG, FLASH_SOFT) if changes and not moment.is_inside else ()
        flash_seconds = min(FLASH_SECONDS, stays / 4)
        for flash in flashes:
            rows = _rows(console, Scene(moment, header, Look(flash=flash)))
            yield Shot(rows, flash_seconds)
        rows = _rows(console, Scene(moment, header))
        yield Shot(rows, stays - flash_seconds * len(flashes))


def _rows(console: Console, scene: Scene) -> tuple[Row, ...]:
    width, height = console.size
    options = console.options.update(width=width, height=height)
    return tuple(tuple(_glyphs(line)) for line in console.render_lines(scene, options))


def _glyphs(line: list[Segment]) -> Iterator[Glyph]:
    column = 0
    for text, style, _ in line:
        ink, paper = _colours(style or Style())
        shown = style or Style()
        yield Glyph(column, text, ink, paper, bool(shown.bold), bool(shown.underline))
        column += len(text)


def _colours(style: Style) -> tuple[RGB, RGB | None]:
    ink = _rgb(style.color, INK)
    paper = None if style.bgcolor is None else _rgb(style.bgcolor, PAPER)
    if style.reverse:
        ink, paper = paper or PAPER, ink
    if style.dim:
        ink = _triple(blend_rgb(ColorTriplet(*ink), ColorTriplet(*(paper or PAPER)), 0.45))
    return ink, paper


def _rgb(colour: Color | None, default: RGB) -> RGB:
    if colour is None or colour.is_default:
        return default
    return _triple(colour.get_truecolor(THEME))


def _triple(colour: ColorTriplet) -> RGB:
    return colour.red, colour.green, colour.blue


def rectangles(character: str, aspect: float) -> list[Rectangle] | None:
    """The rectangles that a line or block character is made of; None for a letter.

    aspect  width of a character over its height, so that lines across and down are as thick.
    """
    if character in SHADED:
        return [(0.0, 0.0, 1.0, 1.0)]
    if character in BLOCKS:
        top, bottom = BLOCKS[character]
        return [(0.0, top, 1.0, bottom)]
    arms = ARMS.get(character)
    if arms is None:
        return None
    left, right, up, down = ((0, LIGHT, HEAVY)[int(arm)] / 2 for arm in arms)
    across = max(up, down, LIGHT / 2) / aspect  # half the thickness of the upright, in widths
    along = max(left, right, LIGHT / 2)  # of the level, in heights
    found = []
    if left:
        found.append((0.0, 0.5 - left, 0.5 + across * bool(up or down), 0.5 + left))
    if right:
        found.append((0.5 - across * bool(up or down), 0.5 - right, 1.0, 0.5 + right))
    if up:
        found.append((0.5 - up / aspect, 0.0, 0.5 + up / aspect, 0.5 + along * bool(left or right)))
    if down:
        found.append((0.5 - down / aspect, 0.5 - along * bool(left or right), 0.5 + down / aspect,
                      1.0))  # fmt: skip
    return found
