"""Keeping a watched run: a trace, an animated SVG or GIF that looks like the terminal, or a page."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.color import Color, blend_rgb, parse_rgb_hex
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from trm_cli.display.boards import FLASH_SOFT, FLASH_STRONG, Look, between, board_text, view_of, written
from trm_cli.display.charts import plain
from trm_cli.display.lines import widest
from trm_cli.display.page import STEP_SECONDS, page_of
from trm_cli.display.screen import CAPTION, GAP, Scene
from trm_cli.display.tree import is_searched, is_tree
from trm_cli.display.tree_chart import draw_tree
from trm_cli.display.watch import FLASH_SECONDS, INNER_SHARE
from trm_cli.errors import UsageError
from trm_cli.files import write_whole
from trm_cli.solving.trace import Frame, Header, Moment, trace_lines
from trm_cli.tasks.base import Colour

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

DRAWN = (".svg", ".png")  # kinds of files that a tree is drawn in
LEAST_SIZE, LARGEST_TILE = (80, 24), (30, 15)  # columns and rows of a picture, of a board of several
FIGURES = 38  # columns beside a board
TREE_ROWS = 13  # below it, where there is a search to show
LAST_SECONDS = 3.0  # that the end stays before it begins anew
PAPER, INK = (13, 17, 23), (214, 220, 228)
NAMED = ("484f58", "e5534b", "57ab5a", "c69026", "539bf5", "b083f0", "39c5cf", "909dab")  # black to white
THEME = TerminalTheme(PAPER, INK, list(map(parse_rgb_hex, NAMED)))

LINES = "─│┌┐└┘├┤┬┴┼╭╮╰╯╴╶╵╷━┃┏┓┗┛┣┫┳┻╋┯┷┿┠┨╂╸╺╹╻"
REACH = """1100 0011 0101 1001 0110 1010 0111 1011 1101 1110 1111 0101 1001 0110 1010 1000 0100 0010 0001
2200 0022 0202 2002 0220 2020 0222 2022 2202 2220 2222 2201 2210 2211 0122 1022 1122 2000 0200 0020 0002"""
ARMS = dict(zip(LINES, REACH.split(), strict=True))  # from the middle: left, right, up, down; 2 is heavy
BLOCKS = {mark: (1 - (level + 1) / 8, 1.0) for level, mark in enumerate("▁▂▃▄▅▆▇█")}
BLOCKS["▀"] = (0.0, 0.5)  # from and to which height it is filled
SHADED = {"░": 0.25, "▒": 0.5, "▓": 0.75}  # how much of it is filled
LIGHT, HEAVY = 0.07, 0.17  # thickness of lines, of a character's height

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom; 0 to 1 of a character


@dataclass(frozen=True)
class Glyph:
    """A run of characters of one style, on one row of a screen."""

    column: int
    text: str
    ink: Colour
    paper: Colour | None  # None is the screen's own
    is_bold: bool
    is_underlined: bool

    def shapes(self, aspect: float) -> list[Rectangle]:
        """Its lines and blocks, in characters from its column; those side by side are one."""
        found = [
            (left + place, top, right + place, bottom)
            for place, character in enumerate(self.text)
            for left, top, right, bottom in rectangles(character, aspect)
        ]
        merged: list[Rectangle] = []
        for left, top, right, bottom in sorted(found, key=lambda shape: (shape[1], shape[3], shape)):
            before = merged[-1] if merged else None
            if before and before[1::2] == (top, bottom) and before[2] >= left - 1e-6:
                merged[-1] = (before[0], top, max(right, before[2]), bottom)
            else:
                merged.append((left, top, right, bottom))
        return merged

    @property
    def letters(self) -> str:
        """Its text, with spaces for lines and blocks."""
        return "".join(" " if rectangles(character, 1.0) else character for character in self.text)


@dataclass(frozen=True)
class Shot:
    """One picture of an animation: rows of glyphs, and how long they stay."""

    rows: tuple[tuple[Glyph, ...], ...]
    seconds: float

    def size(self, cell_width: int, cell_height: int, margin: int) -> tuple[int, int]:
        """Width and height in pixels, if a character and the margin have that many."""
        columns = sum(len(glyph.text) for glyph in self.rows[0])
        return columns * cell_width + 2 * margin, len(self.rows) * cell_height + 2 * margin


def film(header: Header, moments: list[Moment], seconds: float) -> list[Shot]:
    """The pictures of a run, all of one size, without the empty rows below them.

    Each step stays for `seconds`, its flash included; the last stays for longer.
    """
    is_search = any(is_searched(frame, header) for moment in moments for frame in moment.new_frames)
    width, height = _size(header, moments[0].frames[0], tree_rows=TREE_ROWS if is_search else 0)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    options = console.options.update(width=width, height=height)
    shots = []
    for moment in moments:
        stays = seconds * (INNER_SHARE if moment.is_inside else 1)
        stays = max(stays, LAST_SECONDS) if moment is moments[-1] else stays
        is_still = moment.is_inside or not any(frame.changed for frame in moment.new_frames)
        flash_seconds = 0.0 if is_still else min(FLASH_SECONDS, stays / 4)
        for flash in (0,) if is_still else (FLASH_STRONG, FLASH_SOFT, 0):
            lines = console.render_lines(Scene(moment, header, Look(flash=flash)), options)
            rows = tuple(tuple(glyphs_of(line)) for line in lines)
            shots.append(Shot(rows, flash_seconds if flash else stays - 2 * flash_seconds))
    used = 1 + max(
        row for shot in shots for row in range(height) if any(one.paper or one.text.strip() for one in shot.rows[row])
    )
    return [Shot(shot.rows[:used], shot.seconds) for shot in shots]


def _size(header: Header, question: Frame, *, tree_rows: int) -> tuple[int, int]:
    """Columns and rows with room for the boards, as large as they can be, and for what is told of them."""
    is_one = header.rows * header.columns == 1
    drawn = board_text(view_of(question), Look() if is_one else Look(*LARGEST_TILE)).split("\n")
    width, height = widest(list(drawn)), len(drawn)
    if is_one:
        return max(LEAST_SIZE[0], width + GAP + FIGURES + 2), max(LEAST_SIZE[1], height + 5) + tree_rows
    return max(LEAST_SIZE[0], header.columns * (width + CAPTION + 3)), header.rows * (height + 1) + 3


def glyphs_of(line: list[Segment]) -> Iterator[Glyph]:
    """What one row of a screen is made of."""
    column = 0
    for text, style, _ in line:
        style = style or Style()
        ink = (style.color or Color.default()).get_truecolor(THEME)
        paper = style.bgcolor and style.bgcolor.get_truecolor(THEME, foreground=False)
        if style.dim:
            ink = blend_rgb(ink, paper or ColorTriplet(*PAPER), 0.45)
        if style.reverse:
            ink, paper = paper or ColorTriplet(*PAPER), ink
        for _, run in groupby(text, SHADED.get):  # each as dense as one of its marks says
            marks = "".join(run)
            yield Glyph(column, marks, ink, paper, bool(style.bold), bool(style.underline))
            column += len(marks)


def rectangles(character: str, aspect: float) -> list[Rectangle]:
    """What a line or block of a width to a height, `aspect`, is made of, as thick across as down; none for a letter."""
    if character in SHADED:
        return [(0.0, 0.0, 1.0, 1.0)]
    if character in BLOCKS:
        top, bottom = BLOCKS[character]
        return [(0.0, top, 1.0, bottom)]
    if character not in ARMS:
        return []
    left, right, up, down = ((0, LIGHT, HEAVY)[int(arm)] / 2 for arm in ARMS[character])
    across = max(up, down, LIGHT / 2) / aspect * bool(up or down)  # half the thickness of the upright, in widths
    along = max(left, right, LIGHT / 2) * bool(left or right)  # of the level, in heights
    found = [
        (left, (0.0, 0.5 - left, 0.5 + across, 0.5 + left)),
        (right, (0.5 - across, 0.5 - right, 1.0, 0.5 + right)),
        (up, (0.5 - up / aspect, 0.0, 0.5 + up / aspect, 0.5 + along)),
        (down, (0.5 - down / aspect, 0.5 - along, 0.5 + down / aspect, 1.0)),
    ]
    return [shape for thickness, shape in found if thickness]


CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 9, 19, 15  # pixels; a monospaced letter is 0.6 of its size
MARGIN, BASELINE = 12, 0.72  # pixels; of a character's height
FONTS = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
STYLE = f"""
text {{ font: {FONT_SIZE}px {FONTS}; white-space: pre; }}
.b {{ font-weight: bold; }}
.u {{ text-decoration: underline; }}
"""

Interval = tuple[int, int]  # of pictures: the first, and the first that is not in it


def animated_svg(header: Header, moments: list[Moment], seconds: float) -> bytes:
    """The document; `seconds` is how long each step stays."""
    shots = film(header, moments, seconds)
    width, height = shots[0].size(CELL_WIDTH, CELL_HEIGHT, MARGIN)
    drawn = _by_interval(shots)
    always = "".join(drawn.pop((0, len(shots)), []))
    groups = "\n".join(
        f'<g class="s s{first}-{last}">{"".join(parts)}</g>' for (first, last), parts in sorted(drawn.items())
    )
    title = plain(f"trm watch {header.task.name}: the network's answer after each step")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title">\n'
        f'<title id="title">{title}</title>\n'
        f"<style>{STYLE}{_timing(shots, sorted(drawn))}</style>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="{written(PAPER)}"/>\n'
        f'<g transform="translate({MARGIN} {MARGIN})" xml:space="preserve" fill="{written(INK)}">\n'
        f"{always}\n{groups}\n</g>\n</svg>\n"
    ).encode()


def _by_interval(shots: list[Shot]) -> dict[Interval, list[str]]:
    """What is drawn, by the pictures that show it."""
    drawn: dict[Interval, list[str]] = {}
    for number in range(len(shots[0].rows)):
        since: dict[Glyph, int] = {}  # glyphs of the picture before, and when they came
        for place in range(len(shots) + 1):
            now = set(shots[place].rows[number]) if place < len(shots) else set()
            for glyph in sorted(since.keys() - now, key=lambda glyph: glyph.column):
                if parts := _drawn(glyph, number):
                    drawn.setdefault((since[glyph], place), []).extend(parts)
            since = {glyph: since.get(glyph, place) for glyph in now}
    return drawn


def _timing(shots: list[Shot], intervals: list[Interval]) -> str:
    """When each interval is seen; where nothing may move, the last picture alone."""
    *starts, length = accumulate((shot.seconds for shot in shots), initial=0.0)
    rules = [f".s {{ visibility: hidden; animation: {length:.2f}s step-end infinite; }}"]
    for first, last in intervals:
        hides = "" if last == len(shots) else f" {100 * starts[last] / length:.3f}% {{ visibility: hidden; }}"
        shows = f"{100 * starts[first] / length:.3f}% {{ visibility: visible; }}"
        rules.append(f"@keyframes s{first}-{last} {{ {shows}{hides} }}")
        rules.append(f".s{first}-{last} {{ animation-name: s{first}-{last}; }}")
    ending = ", ".join(f".s{first}-{last}" for first, last in intervals if last == len(shots))
    shown = f"{ending} {{ visibility: visible; }} " if ending else ""
    return "\n".join([*rules, f"@media (prefers-reduced-motion: reduce) {{ .s {{ animation: none; }} {shown}}}"])


def _drawn(glyph: Glyph, number: int) -> list[str]:
    """Paper, then lines and blocks as one path, then the letters as text."""
    parts = []
    if glyph.paper is not None:
        paper = _outline(glyph.column, number, (0, 0, len(glyph.text), 1))
        parts.append(f'<path d="{paper}" fill="{written(glyph.paper)}"/>')
    if shapes := glyph.shapes(CELL_WIDTH / CELL_HEIGHT):
        shade = SHADED.get(glyph.text[0], 1.0)
        path = "".join(_outline(glyph.column, number, shape) for shape in shapes)
        faint = f' opacity="{shade}"' if shade < 1 else ""
        parts.append(f'<path d="{path}" fill="{written(glyph.ink)}"{faint}/>')
    if word := glyph.letters.strip():
        x = (glyph.column + glyph.letters.index(word)) * CELL_WIDTH
        y = (number + BASELINE) * CELL_HEIGHT
        classes = " ".join(["b"] * glyph.is_bold + ["u"] * glyph.is_underlined)
        style = f' class="{classes}"' if classes else ""
        fill = "" if glyph.ink == INK else f' fill="{written(glyph.ink)}"'
        length = len(word) * CELL_WIDTH
        parts.append(f'<text x="{x}" y="{y:.1f}" textLength="{length}"{style}{fill}>{plain(word)}</text>')
    return parts


def _outline(column: int, number: int, shape: Rectangle) -> str:
    """A rectangle of a character's place, as a path."""
    left, top, right, bottom = shape
    x, y = (column + left) * CELL_WIDTH, (number + top) * CELL_HEIGHT
    width, height = (right - left) * CELL_WIDTH, (bottom - top) * CELL_HEIGHT
    return f"M{x:.4g} {y:.4g}h{width:.4g}v{height:.4g}h{-width:.4g}z"


GIF_CELL_WIDTH, GIF_CELL_HEIGHT, GIF_MARGIN = 10, 21, 14  # pixels
GIF_FONT_SIZE = 16  # of which a monospaced letter has 0.6
COLOURS = 255  # of a GIF, less one for what stays as it was
GIF_FONTS = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")  # as matplotlib brings them


def animated_gif(header: Header, moments: list[Moment], seconds: float) -> bytes:
    """The file; `seconds` is how long each step stays."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fonts = [ImageFont.truetype(str(folder / name), GIF_FONT_SIZE) for name in GIF_FONTS]
    shots = film(header, moments, seconds)
    size = width, height = shots[0].size(GIF_CELL_WIDTH, GIF_CELL_HEIGHT, GIF_MARGIN)

    def picture(shot: Shot) -> "Image.Image":
        drawn = Image.new("RGB", size, PAPER)
        for number, row in enumerate(shot.rows):
            for glyph in row:
                _paint(ImageDraw.Draw(drawn), glyph, number, fonts)
        return drawn

    # One palette for all, so that what stays the same is stored once.
    samples = shots[:: max(1, len(shots) // 12)]
    together = Image.new("RGB", (width, height * len(samples)))
    for place, shot in enumerate(samples):
        together.paste(picture(shot), (0, place * height))
    palette = together.quantize(colors=COLOURS, dither=Image.Dither.NONE)
    first, *others = [picture(shot).quantize(palette=palette, dither=Image.Dither.NONE) for shot in shots]
    content = io.BytesIO()
    lengths = [round(1000 * shot.seconds) for shot in shots]
    first.save(content, "GIF", save_all=True, append_images=others, loop=0, optimize=False, duration=lengths)
    return content.getvalue()


def _paint(draw: "ImageDraw.ImageDraw", glyph: Glyph, number: int, fonts: "list[ImageFont.FreeTypeFont]") -> None:
    def box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        x, across = round(left * GIF_CELL_WIDTH), round(right * GIF_CELL_WIDTH)
        y, down = round(top * GIF_CELL_HEIGHT), round(bottom * GIF_CELL_HEIGHT)
        return x0 + x, y0 + y, x0 + max(x, across - 1), y0 + max(y, down - 1)

    x0, y0 = GIF_MARGIN + glyph.column * GIF_CELL_WIDTH, GIF_MARGIN + number * GIF_CELL_HEIGHT
    if glyph.paper is not None:
        draw.rectangle(box(0, 0, len(glyph.text), 1), fill=glyph.paper)
    ink = between((glyph.paper or PAPER, glyph.ink), SHADED.get(glyph.text[0], 1.0))
    for shape in glyph.shapes(GIF_CELL_WIDTH / GIF_CELL_HEIGHT):
        draw.rectangle(box(*shape), fill=ink)
    for place, letter in enumerate(glyph.letters):
        if not letter.isspace():
            middle = (x0 + (place + 0.5) * GIF_CELL_WIDTH, y0 + GIF_CELL_HEIGHT * 0.74)
            draw.text(middle, letter, fill=glyph.ink, font=fonts[glyph.is_bold], anchor="ms")
    if glyph.is_underlined and glyph.letters.strip():
        low = y0 + GIF_CELL_HEIGHT - 3
        draw.line((x0, low, x0 + len(glyph.text) * GIF_CELL_WIDTH - 1, low), fill=glyph.ink, width=1)


def save_run(path: Path, header: Header, moments: list[Moment], *, pause: float | None) -> None:
    """Write a run as its file's name asks for; a step stays for `pause` seconds, or as long as is easy to follow."""
    _write(path, WRITERS[path.suffix](header, moments, pause or STEP_SECONDS))


def check_tree_name(path: Path) -> None:
    """Raises UsageError for a file of no kind that a tree can be drawn in."""
    if path.suffix not in DRAWN:
        raise UsageError(f"--tree {path}: name a file ending in {' or '.join(DRAWN)}")


def check_tree(path: Path, header: Header) -> None:
    """Raises UsageError where a run leaves no tree to draw, or where the file is of no kind that can be drawn."""
    check_tree_name(path)
    if not is_tree(header):
        raise UsageError(f"--tree {path}: this run guesses nothing (--search none), so that it has no tree")
    if header.num_puzzles > 1:
        raise UsageError(f"--tree {path}: a tree is of one puzzle, and there are {header.num_puzzles:,}; give one")


def save_tree(path: Path, header: Header, moments: list[Moment]) -> None:
    """Draw the tree of a run, as far as it came, in a file that `check_tree` allows."""
    title = f"Search tree of one puzzle, {header.task.name}"
    frame = moments[-1].frames[0].latest
    if frame.step == 0:
        raise UsageError(f"--tree {path}: the run ended before its first step")
    _write(path, draw_tree(frame, title=title, network=header.model, suffix=path.suffix))


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error


def check_names(paths: list[Path]) -> list[Path]:
    """The paths themselves; raises UsageError where one is of no kind that can be written here."""
    for path in paths:
        if path.suffix not in WRITERS:
            raise UsageError(f"--save {path}: name a file ending in {', '.join(WRITERS)}")
        if path.suffix == ".gif" and find_spec("PIL") is None:
            raise UsageError(f"--save {path}: a GIF needs Pillow; pip install pillow")
    return paths


def _page(header: Header, moments: list[Moment], seconds: float) -> bytes:
    return page_of(header, moments, pause=seconds).encode()


def _trace(header: Header, moments: list[Moment], _seconds: float) -> bytes:
    return "".join(f"{line}\n" for line in trace_lines(header, moments)).encode()


WRITERS: dict[str, Callable[[Header, list[Moment], float], bytes]] = {
    ".jsonl": _trace,
    ".gif": animated_gif,
    ".svg": animated_svg,
    ".html": _page,
}
