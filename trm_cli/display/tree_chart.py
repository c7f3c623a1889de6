"""The tree of a search as a picture, with what its nodes cost below it."""

import sys
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from trm_cli.display.charts import (
    AXIS,
    BETWEEN,
    FAINT,
    GREEN,
    LEFT,
    LINE,
    PANEL_WIDTH,
    PAPER,
    PURPLE,
    TOP,
    WIDTH,
    Curve,
    Panel,
    draw_panel,
    entitle,
    matplotlib_styled,
    render,
)
from trm_cli.display.tree import Place, course_of, path_of, places
from trm_cli.solving.trace import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TREE_ROW, CELL_ROW = 80.0, 18.0  # from depth to depth; below a node, where the cell stands that was branched
LARGEST_NODE, LEAST_LETTERED = 13.0, 5.0  # radius of a node, and of one with a letter in it
TREE_HEADING = "Nodes by depth: the symbol guessed last, and below a node the cell that was branched"
SMALL_HEADING = "Nodes by depth, and the guesses of the strong path"
COST_HEADING = "Cost of the nodes, -log of the beliefs in their guesses, as they were tried"


def draw_tree(frame: Frame, *, title: str, network: str, suffix: str = ".svg") -> bytes:
    """The search up to a frame: its tree, and what the nodes cost in the order in which they were tried."""
    tree = places(frame)
    ends = list(accumulate(place.node.step for place in tree))
    costs = [(float(end), place.node.cost) for end, place in zip(ends, tree, strict=True)]
    top = max([1.0, *(cost for _, cost in costs)])
    curve = Curve("cost", costs, PURPLE, "{:.2f}".format, "thin")
    panel = Panel(COST_HEADING, [curve], ends[-1], 130, (0.0, 1.05 * top), "steps of all nodes")
    ending = frame.task.praise if frame.solved else f"not {frame.task.praise}"
    subtitle = f"{ending} in {course_of(frame)}; network {network}"
    figure = _draw_tree_figure(title, subtitle, tree, panel)
    words = f"{subtitle}. The guesses of its last node: {path_of(frame, width=sys.maxsize)}; cost {frame.cost:.2f}."
    return render(figure, title, words, suffix)


@matplotlib_styled()
def _draw_tree_figure(title: str, subtitle: str, tree: list[Place], panel: Panel) -> "Figure":
    """A tree as wide as the figure, with a panel below it."""
    from matplotlib.figure import Figure

    depth = max(place.node.depth for place in tree)
    tree_height = depth * TREE_ROW + 2 * LARGEST_NODE + 14
    height = TOP + tree_height + BETWEEN + panel.height + AXIS + 20
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    entitle(figure, title, subtitle, height)
    width = WIDTH - LEFT - 24
    axes = figure.add_axes((LEFT / WIDTH, 1 - (TOP + tree_height) / height, width / WIDTH, tree_height / height))
    _draw_tree(axes, tree, width, tree_height)
    axes = figure.add_axes((LEFT / WIDTH, (AXIS + 20) / height, PANEL_WIDTH / WIDTH, panel.height / height))
    draw_panel(axes, panel)
    return figure


def _draw_tree(axes: "Axes", tree: list[Place], width: float, height: float) -> None:
    """Nodes by depth: circles with the symbol guessed in them, and the cell that is branched below; in points."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.spines["bottom"].set_visible(False)
    pitch = width / (1 + max(place.x for place in tree))
    radius = max(1.2, min(LARGEST_NODE, 0.42 * pitch))
    has_letters = radius >= LEAST_LETTERED
    axes.set_title(TREE_HEADING if has_letters else SMALL_HEADING)
    spots = [((place.x + 0.5) * pitch, LARGEST_NODE + 2 + place.node.depth * TREE_ROW) for place in tree]
    named = [place.next_cell if has_letters else place.last_guess * place.is_on_path for place in tree]
    for is_on_path, colour, thickness in ((False, LINE, 0.8), (True, PURPLE, 2.5)):
        ways: list[tuple[float, float]] = []
        for place, (x, y) in zip(tree, spots, strict=True):
            if place.parent is not None and place.is_on_path == is_on_path:
                left, top = spots[place.parent]
                top += radius + CELL_ROW if named[place.parent] else 0
                middle = (top + y) / 2
                ways += [(left, top), (left, middle), (x, middle), (x, y)]
        if ways:
            codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4] * (len(ways) // 4)
            axes.add_patch(PathPatch(Outline(ways, codes), facecolor="none", edgecolor=colour, linewidth=thickness))
    for place, cell, (x, y) in zip(tree, named, spots, strict=True):
        paper, ink, edge = (PAPER, PURPLE, PURPLE) if place.is_on_path else (PAPER, FAINT, LINE)
        if place.node.solved:
            paper, ink, edge = GREEN, PAPER, GREEN
        style: Any = {"markerfacecolor": paper, "markeredgecolor": edge, "markeredgewidth": 1 + place.is_on_path}
        axes.plot(x, y, "o", markersize=2 * radius, **style)
        weight = "bold" if place.is_on_path else "normal"
        if place.last_guess and has_letters:
            symbol = place.last_guess.partition("=")[2]
            axes.text(x, y, symbol, size=1.2 * radius, weight=weight, color=ink, ha="center", va="center_baseline")
        if cell:
            axes.text(x, y + radius + CELL_ROW - 5, cell, size=9, color=ink, ha="center", va="baseline")
    for depth in range(1 + max(place.node.depth for place in tree)):
        look: Any = {"color": FAINT, "va": "center", "ha": "right", "annotation_clip": False}
        y = LARGEST_NODE + 2 + depth * TREE_ROW
        axes.annotate(str(depth), (0, y), (-8, 0), "data", "offset points", **look)
