"""The ground that figures are drawn on: an SVG document, text in it, scales and their ticks.

One style serves light and dark. The colours are told apart by colour-blind readers, too: those of
Okabe and Ito, "Color Universal Design", darkened or lightened until they are readable as text.
"""

import itertools
import math
import re
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 900  # of a document, in pixels, as all lengths here
LEFT = 64  # margin of titles and panels
NUM_COLOURS = 6
LONGEST_TITLE = 72  # letters
NEARLY = 1.000001  # a value so little beyond a tick counts as on it
Ends = tuple[float, float]
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  "Liberation Sans", sans-serif; font-size: 12px; fill: #57606a; }
.title { font-size: 18px; font-weight: 600; fill: #1f2328; }
.heading { font-size: 13px; font-weight: 600; fill: #1f2328; }
.subtitle { font-size: 13px; }
.value { font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #ffffff; }
.frame { fill: none; }
.grid { stroke: #e6e8eb; }
.axis { stroke: #8c959f; }
.curve { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.thin { stroke-width: 1; }
.dashed { stroke-dasharray: 7 4; }
.raw { fill: none; stroke: currentColor; stroke-width: 2.4; stroke-linecap: round; opacity: .25; }
.leader { fill: none; stroke: currentColor; opacity: .5; }
.far { stroke-dasharray: 1 4; }
.mark { fill: currentColor; stroke: #ffffff; stroke-width: 1.5; }
.label { fill: currentColor; }
.colour0 { color: #0b66a8; } .colour1 { color: #c04a00; } .colour2 { color: #007a5a; }
.colour3 { color: #a0457f; } .colour4 { color: #856404; } .colour5 { color: #5b6570; }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1; }
  .title, .heading { fill: #f0f6fc; }
  .paper { fill: #0d1117; }
  .grid { stroke: #21262d; }
  .axis { stroke: #6e7681; }
  .mark { stroke: #0d1117; }
  .colour0 { color: #58b2f0; } .colour1 { color: #ff8f52; } .colour2 { color: #35c79b; }
  .colour3 { color: #e59ac8; } .colour4 { color: #e3c04f; } .colour5 { color: #a9b3bd; }
}
"""


def document(title: str, description: str, body: str, height: float) -> str:
    """A figure of its own: a file, or an image in a page.

    description  for those who cannot see it.
    body         SVG elements, below the title.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-labelledby="title description">\n'
        f'<title id="title">{plain(title)}</title>\n'
        f'<desc id="description">{plain(description)}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="8"/>\n'
        f"{text(24, 38, shorten(title, LONGEST_TITLE), 'title')}\n{body}\n</svg>\n"
    )


def text(x: float, y: float, content: str, style: str = "") -> str:
    """One line of text; `style` names its classes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{plain(content)}</text>'


def line(x: tuple[float, float], y: tuple[float, float], style: str) -> str:
    """A straight line between two corners."""
    return (
        f'<line x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]:.1f}" y2="{y[1]:.1f}" class="{style}"/>'
    )


def plain(content: str) -> str:
    """Any string as XML text: escaped, on one line, without what XML cannot hold."""
    return escape(" ".join(NO_XML.sub("", content).split()))


def shorten(content: str, letters: int) -> str:
    """The beginning of a text that is too long."""
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"


@dataclass(frozen=True)
class Scale:
    """Places values between two pixels, linearly or by their logarithm."""

    least: float
    most: float
    first: float  # pixel of the least value
    last: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; of the nearest end, if it lies outside."""
        least, most, inside = self.least, self.most, min(self.most, max(self.least, value))
        if self.is_log:
            least, most, inside = math.log(least), math.log(most), math.log(inside)
        share = (inside - least) / (most - least) if most > least else 0.5
        return self.first + share * (self.last - self.first)


def ticks_between(least: float, most: float, num_most: int = 6) -> list[float]:
    """Round values at even distances, from at or below `least` to at or above `most`."""
    spread = (most - least) or abs(most) or 1.0
    for exponent in itertools.count(math.floor(math.log10(spread)) - 1):
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
            if last - first <= num_most:
                return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]
    raise AssertionError("some distance is wide enough")


def log_ticks(least: float, most: float, num_most: int = 7) -> tuple[Ends, list[float]]:
    """A round range around two positive values, and ticks in it: one digit, or powers of ten."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    round_values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(value for value in round_values if value <= least * NEARLY)
    last = min(value for value in round_values if value * NEARLY >= most)
    ticks = [value for value in round_values if first <= value <= last]
    if len(ticks) > num_most:
        ticks = [10.0**decade for decade in decades if first <= 10.0**decade <= last]
    return (first, last), ticks[:: -(-len(ticks) // num_most)]


def written(value: float) -> str:
    """A tick's value."""
    return f"{value:,.12g}"
