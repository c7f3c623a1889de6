"""What the cells of a board are, and the styles that say so: one palette for every drawing.

The colours are of middle lightness, so that they can be read on dark and on light terminals; Rich
takes the nearest there is where a terminal has fewer. What changed is said in yellow, what breaks a
rule in red, and how sure the network is by how blue a digit is: grey is a guess.
"""

from functools import cache

GIVEN, FILLED, EMPTY, VIOLATED = "given", "filled", "empty", "violated"
WALL, OPEN, PATH, START, GOAL = "wall", "open", "path", "start", "goal"
INKED = tuple(f"colour{number}" for number in range(10))  # ARC's colours
ROLES = (GIVEN, FILLED, EMPTY, VIOLATED, WALL, OPEN, PATH, START, GOAL, *INKED)

Colour = tuple[int, int, int]

INKS: tuple[Colour, ...] = (  # as the official viewer of ARC draws them
    (0x00, 0x00, 0x00), (0x00, 0x74, 0xD9), (0xFF, 0x41, 0x36), (0x2E, 0xCC, 0x40),
    (0xFF, 0xDC, 0x00), (0xAA, 0xAA, 0xAA), (0xF0, 0x12, 0xBE), (0xFF, 0x85, 0x1B),
    (0x7F, 0xDB, 0xFF), (0x87, 0x0C, 0x25),
)  # fmt: skip
ON_BLACK, ON_INK = "#5a5a5a", "#101010"  # marks on a black cell, and on all others

LINES = "#7d8590"  # of a board
HALTING = "#35b37e"  # the halt probability
MOVING = "#a58fe0"  # how far y and z moved
GUESSED: Colour = (0x86, 0x8B, 0x94)
SURE: Colour = (0x0F, 0xB2, 0xDC)
WRONG: Colour = (0xA3, 0x2F, 0x3F)
NEW: Colour = (0xF2, 0xC0, 0x37)
GUESS, CERTAINTY = 0.3, 0.98  # confidence at which a digit is all grey, all blue
SHADES = 8  # between the two
FLASH_STRONG, FLASH_SOFT = 2, 1  # how brightly a change is shown; 0 when it is over

ROLE_STYLES = {
    GIVEN: "bold",
    EMPTY: "dim",
    VIOLATED: "#ffe9e9 on #a32f3f",
    WALL: LINES,
    OPEN: "",
    START: "bold green",
    GOAL: "bold magenta",
}
FLASHES = {FLASH_STRONG: "bold #1c1c1c on #f2c037", FLASH_SOFT: "#f2c037 on #4d4017"}
ROLE_COLOURS: dict[str, Colour] = {  # where a cell is no more than a dot of colour
    GIVEN: (0xB4, 0xBA, 0xC2),
    EMPTY: (0x30, 0x36, 0x3D),
    VIOLATED: WRONG,
    WALL: (0x6E, 0x76, 0x81),
    OPEN: (0x22, 0x27, 0x2E),
    START: (0x2D, 0xA4, 0x4E),
    GOAL: (0xB0, 0x5C, 0xD6),
    **dict(zip(INKED, INKS, strict=True)),
}
HEAT: tuple[Colour, ...] = (  # from nothing to most: after matplotlib's inferno, not so dark
    (0x26, 0x21, 0x4A), (0x57, 0x15, 0x6D), (0x8F, 0x26, 0x69), (0xC7, 0x3E, 0x4C),
    (0xED, 0x69, 0x25), (0xFB, 0xA4, 0x1A), (0xFC, 0xFF, 0xA4),
)  # fmt: skip


def cell_style(role: str, confidence: float | None, *, changed: bool, flash: int) -> str:
    """The style of a cell's glyph.

    confidence  0 to 1; None where the network has said nothing.
    flash       how brightly a cell that changed is shown, 0 to 2; then it stays underlined.
    """
    if changed and flash:
        return FLASHES[flash]
    style = ROLE_STYLES[role] if role in ROLE_STYLES else _filled(confidence)
    return f"{style} underline" if changed else style


def _filled(confidence: float | None) -> str:
    return "cyan" if confidence is None else written(shade(confidence))


def dot_colour(role: str, confidence: float | None, *, changed: bool, flash: int) -> Colour:
    """The colour of a cell that is no more than a dot."""
    if changed and flash:
        return NEW
    return ROLE_COLOURS[role] if role in ROLE_COLOURS else shade(confidence)


def shade(confidence: float | None) -> Colour:
    """From grey to blue, in steps, as confidence rises."""
    sure = 1.0 if confidence is None else (confidence - GUESS) / (CERTAINTY - GUESS)
    return between((GUESSED, SURE), round(min(1.0, max(0.0, sure)) * SHADES) / SHADES)


def between(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at a place of a row of colours, 0 to 1."""
    place = min(1.0, max(0.0, share)) * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    low, high, rest = colours[first], colours[first + 1], place - first
    return (
        round(low[0] + (high[0] - low[0]) * rest),
        round(low[1] + (high[1] - low[1]) * rest),
        round(low[2] + (high[2] - low[2]) * rest),
    )


@cache
def written(colour: Colour) -> str:
    """A colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
