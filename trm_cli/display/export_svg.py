"""A watched run as an animated SVG that looks like the terminal: no script, no font, no network.

Whatever stays in its place for several pictures is drawn once, and shown for as long.
"""

from trm_cli.display.palette import written
from trm_cli.display.screen import (
    INK,
    PAPER,
    SHADED,
    Glyph,
    Rectangle,
    Shot,
    film,
    rectangles,
)
from trm_cli.display.svg import plain
from trm_cli.solving.frames import Header, Moment

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 9, 19, 15  # pixels; a monospaced letter is 0.6 of its size
MARGIN = 12
BASELINE = 0.72  # of a character's height
FONTS = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
STYLE = f"""
text {{ font: {FONT_SIZE}px {FONTS}; white-space: pre; }}
.b {{ font-weight: bold; }}
.u {{ text-decoration: underline; }}
"""

Interval = tuple[int, int]  # of pictures: the first, and the first that is not in it


def animated_svg(header: Header, moments: list[Moment], seconds: float) -> bytes:
    """The document; `seconds` is how long each step stays."""
    shown = film(header, moments, seconds)
    shots = shown.shots
    width, height = (count * size + 2 * MARGIN for count, size in
                     ((shown.columns, CELL_WIDTH), (shown.rows, CELL_HEIGHT)))  # fmt: skip
    drawn = _by_interval(shots)
    always = drawn.pop((0, len(shots)), [])
    groups = [f'<g class="s {_name(interval)}">{"".join(parts)}</g>'
              for interval, parts in sorted(drawn.items())]  # fmt: skip
    joined = "\n".join(groups)
    name = f"trm watch {header.task.name}: the network's answer after each step"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title">\n'
        f'<title id="title">{plain(name)}</title>\n'
        f"<style>{STYLE}{_timing(shots, sorted(drawn))}</style>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="{written(PAPER)}"/>\n'
        f'<g transform="translate({MARGIN} {MARGIN})" fill="{written(INK)}">\n'
        f"{''.join(always)}\n{joined}\n</g>\n</svg>\n"
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


def _name(interval: Interval) -> str:
    return f"s{interval[0]}-{interval[1]}"


def _timing(shots: list[Shot], intervals: list[Interval]) -> str:
    """When each interval is seen; where nothing may move, the last picture alone."""
    ends = [0.0]
    for shot in shots:
        ends.append(ends[-1] + shot.seconds)
    rules = [f".s {{ visibility: hidden; animation: {ends[-1]:.2f}s step-end infinite; }}"]
    for first, last in intervals:
        name = _name((first, last))
        start, stop = (100 * ends[place] / ends[-1] for place in (first, last))
        is_last = last == len(shots)
        hides = "" if is_last else f" {stop:.3f}% {{ visibility: hidden; }}"
        rules.append(f"@keyframes {name} {{ {start:.3f}% {{ visibility: visible; }}{hides} }}")
        rules.append(f".{name} {{ animation-name: {name}; }}")
    ending = ", ".join("." + _name(interval) for interval in intervals if interval[1] == len(shots))
    shown = f"{ending} {{ visibility: visible; }} " if ending else ""
    still = "@media (prefers-reduced-motion: reduce)"
    return "\n".join([*rules, f"{still} {{ .s {{ animation: none; }} {shown}}}"])


def _drawn(glyph: Glyph, number: int) -> list[str]:
    """Paper, then lines and blocks as one path, then the letters as text."""
    parts = []
    if glyph.paper is not None:
        paper = _outline(glyph.column, number, (0, 0, len(glyph.text), 1))
        parts.append(f'<path d="{paper}" fill="{written(glyph.paper)}"/>')
    shapes: list[Rectangle] = []
    letters = ""
    for place, character in enumerate(glyph.text):
        found = rectangles(character, CELL_WIDTH / CELL_HEIGHT)
        letters += character if found is None else " "
        shapes += [(left + place, top, right + place, bottom)
                   for left, top, right, bottom in found or []]  # fmt: skip
    if shapes:
        path = "".join(_outline(glyph.column, number, shape) for shape in _merged(shapes))
        faint = f' opacity="{SHADED[glyph.text[0]]}"' if glyph.text[0] in SHADED else ""
        parts.append(f'<path d="{path}" fill="{written(glyph.ink)}"{faint}/>')
    if word := letters.strip():
        parts.append(_text(glyph, letters.index(word), word, number))
    return parts


def _merged(shapes: list[Rectangle]) -> list[Rectangle]:
    """Rectangles of one height that touch or overlap, side by side, as one."""
    merged: list[Rectangle] = []
    for left, top, right, bottom in sorted(shapes, key=lambda shape: (shape[1], shape[3], shape)):
        before = merged[-1] if merged else None
        if before and before[1::2] == (top, bottom) and before[2] >= left - 1e-6:
            merged[-1] = (before[0], top, max(right, before[2]), bottom)
        else:
            merged.append((left, top, right, bottom))
    return merged


def _text(glyph: Glyph, first: int, word: str, number: int) -> str:
    x = (glyph.column + first) * CELL_WIDTH
    y = (number + BASELINE) * CELL_HEIGHT
    classes = " ".join(["b"] * glyph.is_bold + ["u"] * glyph.is_underlined)
    style = f' class="{classes}"' if classes else ""
    fill = "" if glyph.ink == INK else f' fill="{written(glyph.ink)}"'
    length = len(word) * CELL_WIDTH
    return f'<text x="{x}" y="{y:.1f}" textLength="{length}"{style}{fill}>{plain(word)}</text>'


def _outline(column: int, number: int, shape: Rectangle) -> str:
    """A rectangle of a character's place, as a path."""
    left, top, right, bottom = shape
    x, y = (column + left) * CELL_WIDTH, (number + top) * CELL_HEIGHT
    width, height = (right - left) * CELL_WIDTH, (bottom - top) * CELL_HEIGHT
    return f"M{x:.4g} {y:.4g}h{width:.4g}v{height:.4g}h{-width:.4g}z"
