"""Plot the graph of a model with Matplotlib: a box per call, from top to bottom, arrows between."""

from __future__ import annotations

from math import sqrt
from typing import Any

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Line

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import Picture, new_figure

# After the colour-blind safe set of Okabe and Ito, so light that black text stands out.
_COLOURS = {
    "convolution": "#a6cee8",
    "linear": "#f2c894",
    "embedding": "#d9c3a5",
    "normalization": "#dcdcdc",
    "activation": "#b5e0c8",
    "pooling": "#f6efa0",
    "attention": "#e9bfd6",
    "recurrent": "#d8b4b4",
    "block": "#cfcbee",
}
# What is no layer is white, with an outline of its own.
_OUTLINES = {"operation": "--", "parameter": ":"}
_IN_WORDS = {"operation": "function, no layer", "parameter": "weight of no layer"}
_ROW, _BOX, _MARGIN, _LETTER = 0.47, 0.3, 0.15, 0.0925  # inches
_FONT: dict[str, Any] = {"family": "monospace", "size": 11}  # of letters so wide


@clear_errors
def draw_graph(graph: nx.DiGraph) -> Picture:
    """Draw a graph from `module_graph`: a box per call, in the order in which they run.

    An arrow to the next box is straight, any other one, such as a shortcut, is a curve on the
    right. Every box says in words what it is: name, class or function, shape of the output. The
    colours only help to see at a glance what is alike.

    Args:
        graph: From `module_graph`.

    Returns:
        The picture. A cell that ends with it shows it.

    Raises:
        TypeError: The graph is no networkx.DiGraph.
        ValueError: It is empty, or not made by `module_graph`.
    """
    if not isinstance(graph, nx.DiGraph):
        raise TypeError(f"graph must be what module_graph returns, got {type(graph).__name__}.")
    if not graph or not all({"kind", "shapes"} <= data.keys() for _, data in graph.nodes.items()):
        raise ValueError("graph must come from module_graph: it is empty or tells no kinds.")
    texts = _texts(graph)
    wide = len(texts[0]) * _LETTER + 2 * _MARGIN
    rows = {node: row for row, node in enumerate(graph)}
    steps = [(rows[source], rows[target]) for source, target in graph.edges]
    reach = max(_reach(last - first) for first, last in steps or [(0, 1)])
    kinds = dict.fromkeys(kind for _, kind in graph.nodes(data="kind"))
    legend = {kind: _IN_WORDS.get(kind, kind) for kind in kinds if kind not in ("input", "output")}
    beside = max(map(len, legend.values()), default=0) * _LETTER + 0.9
    width, height = wide + reach + beside + 3 * _MARGIN, len(rows) * _ROW + 2 * _MARGIN
    figure = new_figure(width, max(height, 0.32 * len(legend) + 2 * _MARGIN))
    figure.set_layout_engine(None)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))  # inches
    ax.axis("off")
    for first, last in steps:
        _draw_arrow(ax, first, last, wide)
    for (node, row), text in zip(rows.items(), texts, strict=True):
        style = _style(graph.nodes[node]["kind"])
        corner, top = (_MARGIN, _middle(row) - _BOX / 2), _middle(row)
        round_ = "round,pad=0,rounding_size=0.06"
        ax.add_patch(FancyBboxPatch(corner, wide, _BOX, boxstyle=round_, **style))
        ax.text(2 * _MARGIN, top, text, va="center_baseline", parse_math=False, **_FONT)
    patches = [Patch(label=words, **_style(kind)) for kind, words in legend.items()]
    if patches:
        ax.legend(handles=patches, loc="upper right", frameon=False, prop=_FONT)
    # What a notebook says in words in place of the picture.
    ax.set_title(f"graph: {len(graph)} boxes, {graph.size()} arrows", visible=False)
    return figure


def _texts(graph: nx.DiGraph) -> list[str]:
    """What stands in the boxes, in three columns: name, class or function, shapes."""
    lines = []
    for data in graph.nodes.values():
        shapes = ["×".join(map(str, shape)) or "one number" for shape in data["shapes"]]
        words = ", ".join(shapes) if len(shapes) <= 2 else f"{len(shapes)} tensors"
        lines.append((data["layer"], data["label"], words))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    used = [place for place, width in enumerate(widths) if width]
    return ["  ".join(line[place].ljust(widths[place]) for place in used) for line in lines]


def _middle(row: int) -> float:
    return _MARGIN + (row + 0.5) * _ROW


def _reach(rows: int) -> float:
    """How far a curve over so many rows goes to the right: longer ones pass outside."""
    return 0.2 * sqrt(rows) if rows > 1 else 0.0


def _draw_arrow(ax: Axes, first: int, last: int, wide: float) -> None:
    """From row to row: straight to the next, a curve around what lies between."""
    if last == first + 1:
        x = _MARGIN + wide / 2
        line = Line([(x, _middle(first) + _BOX / 2), (x, _middle(last) - _BOX / 2)])
    else:
        right, (start, end) = _MARGIN + wide, (_middle(first), _middle(last))
        turn = right + _reach(last - first) / 0.75  # the middle of a curve comes so near to it
        corners = [(right, start), (turn, start), (turn, end), (right, end)]
        line = Line(corners, [Line.MOVETO, *[Line.CURVE4] * 3])
    ax.add_patch(FancyArrowPatch(path=line, arrowstyle="-|>", mutation_scale=8, color="0.35"))


def _style(kind: str) -> dict[str, Any]:
    outline = _OUTLINES.get(kind, "-")
    return {"facecolor": _COLOURS.get(kind, "white"), "edgecolor": "0.35", "linestyle": outline}
