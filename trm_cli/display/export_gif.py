"""A watched run as an animated GIF that looks like the terminal. Needs Pillow, an option."""

import io
from typing import TYPE_CHECKING

from trm_cli.display.screen import PAPER, SHADED, Film, Glyph, Shot, film, rectangles
from trm_cli.errors import UsageError
from trm_cli.solving.frames import Header, Moment

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 10, 21, 16  # pixels; a monospaced letter is 0.6 of its size
MARGIN = 14
COLOURS = 255  # of a GIF, less one for what stays as it was
FONTS = (  # monospaced, plain and bold, where systems keep them
    ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    ("Menlo.ttc", "Menlo.ttc"),
    ("consola.ttf", "consolab.ttf"),
    ("LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"),
)


def animated_gif(header: Header, moments: list[Moment], seconds: float) -> bytes:
    """The file; `seconds` is how long each step stays. Raises UsageError without Pillow."""
    require_pillow()
    from PIL import Image

    shown = film(header, moments, seconds)
    painter = Painter(shown)
    pictures = [painter.paint(shot) for shot in shown.shots]
    palette = _palette(pictures)
    first, *others = [
        picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
    ]
    content = io.BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, loop=0, optimize=False,
               duration=[round(1000 * shot.seconds) for shot in shown.shots])  # fmt: skip
    return content.getvalue()


def require_pillow() -> None:
    """Raise UsageError where Pillow is not installed."""
    try:
        import PIL  # noqa: F401 - whether it is there is all that matters
    except ImportError:
        raise UsageError(
            "a GIF needs Pillow: install it with `pip install pillow`, or save .svg or .html"
        ) from None


def _palette(pictures: "list[Image]") -> "Image":
    """One palette for every picture, so that what stays the same is stored once."""
    from PIL import Image

    width, height = pictures[0].size
    shown = pictures[:: max(1, len(pictures) // 12)]
    together = Image.new("RGB", (width, height * len(shown)))
    for place, picture in enumerate(shown):
        together.paste(picture, (0, place * height))
    return together.quantize(colors=COLOURS, dither=Image.Dither.NONE)


class Painter:
    """Paints the pictures of a film."""

    def __init__(self, shown: Film) -> None:
        self.size = (shown.columns * CELL_WIDTH + 2 * MARGIN, shown.rows * CELL_HEIGHT + 2 * MARGIN)
        self.plain, self.bold = _fonts()

    def paint(self, shot: Shot) -> "Image":
        """One picture."""
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", self.size, PAPER)
        draw = ImageDraw.Draw(picture)
        for number, row in enumerate(shot.rows):
            for glyph in row:
                if not glyph.is_blank:
                    self._glyph(draw, glyph, MARGIN + number * CELL_HEIGHT)
        return picture

    def _glyph(self, draw: "ImageDraw", glyph: Glyph, y: int) -> None:
        x = MARGIN + glyph.column * CELL_WIDTH
        if glyph.paper is not None:
            right = x + len(glyph.text) * CELL_WIDTH
            draw.rectangle((x, y, right - 1, y + CELL_HEIGHT - 1), fill=glyph.paper)
        for place, character in enumerate(glyph.text):
            self._character(draw, character, glyph, x + place * CELL_WIDTH, y)

    def _character(self, draw: "ImageDraw", character: str, glyph: Glyph, x: int, y: int) -> None:
        shapes = rectangles(character, CELL_WIDTH / CELL_HEIGHT)
        if shapes is None:
            if not character.isspace():
                middle = (x + CELL_WIDTH / 2, y + CELL_HEIGHT * 0.74)
                font = self.bold if glyph.is_bold else self.plain
                draw.text(middle, character, fill=glyph.ink, font=font, anchor="ms")
            if glyph.is_underlined:
                low = y + CELL_HEIGHT - 3
                draw.line((x, low, x + CELL_WIDTH - 1, low), fill=glyph.ink, width=1)
            return
        share = SHADED.get(character, 1.0)
        behind = glyph.paper or PAPER
        ink = tuple(round(low + (high - low) * share)
                    for low, high in zip(behind, glyph.ink, strict=True))  # fmt: skip
        for left, top, right, bottom in shapes:
            edges = (x + round(left * CELL_WIDTH), y + round(top * CELL_HEIGHT),
                     x + round(right * CELL_WIDTH), y + round(bottom * CELL_HEIGHT))  # fmt: skip
            draw.rectangle((*edges[:2], max(edges[0], edges[2] - 1), max(edges[1], edges[3] - 1)),
                           fill=ink)  # fmt: skip


def _fonts() -> "tuple[Font, Font]":
    """The first monospaced font that is there; Pillow's own where none is."""
    from PIL import ImageFont

    for plain, bold in FONTS:
        try:
            return ImageFont.truetype(plain, FONT_SIZE), ImageFont.truetype(bold, FONT_SIZE)
        except OSError:
            continue
    own = ImageFont.load_default(FONT_SIZE - 1)
    return own, own
