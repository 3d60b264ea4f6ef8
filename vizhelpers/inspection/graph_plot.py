"""Plot the graph of a model with Matplotlib: boxes in layers, arrows for tensors."""

from __future__ import annotations

from typing import Any

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Line
from matplotlib.textpath import TextPath

from vizhelpers.figures import DPI, Picture, PictureAxes

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


_ROW, _BOX, _GAP, _MARGIN = 0.4, 0.24, 0.6, 0.12  # inches


_FONT = 8.5  # points


_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 8, "color": "0.35"}


def draw_graph(graph: nx.DiGraph, ax: Axes | None = None) -> Axes:
    """Draw a graph from `module_graph` from top to bottom, shortcuts as curves.

    Every box says in words what it is: name, class or function, shape of the output. The
    colours only help to see at a glance what is alike.

    Args:
        graph: From `module_graph`.
        ax: Where to draw; by default a new figure of the size that the text needs. One unit
            of the data is an inch, and a row of boxes takes 0.4 of them.

    Returns:
        The axes drawn on. A cell that ends with them shows the picture.

    Raises:
        TypeError: The graph is no networkx.DiGraph.
        ValueError: It is empty, or not made by `module_graph`.
    """
    if not isinstance(graph, nx.DiGraph):
        raise TypeError(f"graph must be what module_graph returns, got {type(graph).__name__}.")
    if not graph or not all({"kind", "shapes"} <= data.keys() for _, data in graph.nodes.items()):
        raise ValueError("graph must come from module_graph: it is empty or tells no kinds.")
    layout = _Layout(graph)
    if ax is None:
        figure = Picture(figsize=layout.size, dpi=DPI)
        ax = figure.add_axes((0, 0, 1, 1), axes_class=PictureAxes)
    ax.set(xlim=(0, layout.size[0]), ylim=(layout.size[1], 0))
    ax.axis("off")
    for edge in graph.edges:
        ax.add_patch(FancyArrowPatch(path=layout.route(*edge), **_ARROW))
    for node in graph:
        _draw_box(ax, layout, node)
    _draw_legend(ax, graph)
    # What a notebook says in words in place of the picture.
    ax.set_title(f"graph: {len(graph)} boxes, {graph.size()} arrows", visible=False)
    return ax


class _Layout:
    """Where everything goes, in inches from the top left corner."""

    def __init__(self, graph: nx.DiGraph) -> None:
        self.graph = graph
        self.places = _places(graph)
        self.texts = {node: _texts(data) for node, data in graph.nodes.items()}
        widths = [
            max(map(_text_width, column)) for column in zip(*self.texts.values(), strict=True)
        ]
        self.stops = [sum(w + _MARGIN for w in widths[:i] if w) + _MARGIN for i in range(4)]
        self.width = self.stops[3]
        columns, rows = (max(numbers) + 1 for numbers in zip(*self.places.values(), strict=True))
        legend = max(map(_text_width, _legend_words(graph).values()), default=0) + 0.7
        self.size = (columns * (self.width + _GAP) + legend, rows * _ROW + 2 * _MARGIN)

    def corner(self, node: str) -> tuple[float, float]:
        """Top left corner of a node's box."""
        column, row = self.places[node]
        return _MARGIN + column * (self.width + _GAP), _MARGIN + row * _ROW + (_ROW - _BOX) / 2

    def route(self, source: str, target: str) -> Line:
        """From box to box: straight down, around boxes in between, or into another column."""
        (x1, y1), (x2, y2) = self.corner(source), self.corner(target)
        (column1, row1), (column2, row2) = self.places[source], self.places[target]
        middle, right = self.width / 2, self.width
        passed = [(column1, row) for row in range(row1 + 1, row2)]
        if column1 == column2 and not set(passed) & set(self.places.values()):
            return Line([(x1 + middle, y1 + _BOX), (x2 + middle, y2)])
        start, end = (x1 + right, y1 + _BOX / 2), (x2 + right, y2 + _BOX / 2)
        if column1 == column2:
            bulge = min(0.25 + 0.06 * len(passed), 0.68)
            turns = [(x1 + right + bulge, start[1]), (x1 + right + bulge, end[1])]
            return Line([start, *turns, end], [Line.MOVETO, *[Line.CURVE4] * 3])
        rounding = min(0.15, (row2 - row1) * _ROW - _BOX / 2)
        if column1 < column2:  # to the right, then down
            turn, end = (x2 + middle, start[1]), (x2 + middle, y2)
            corner = [(turn[0] - rounding, turn[1]), turn, (turn[0], turn[1] + rounding)]
        else:  # down, then to the left
            start, turn = (x1 + middle, y1 + _BOX), (x1 + middle, end[1])
            corner = [(turn[0], turn[1] - rounding), turn, (turn[0] - rounding, turn[1])]
        codes = [Line.MOVETO, Line.LINETO, Line.CURVE3, Line.CURVE3, Line.LINETO]
        return Line([start, *corner, end], codes)


def _places(graph: nx.DiGraph) -> dict[str, tuple[int, int]]:
    """Column and row of every node: the longest path is column 0, branches stand beside it."""
    rows: dict[str, int] = {}
    for node in nx.topological_sort(graph):
        rows[node] = max((rows[before] + 1 for before in graph.predecessors(node)), default=0)
    for node in graph:  # a second input or a weight stands right above where it is used
        if graph.in_degree(node) == 0 and graph.out_degree(node):
            rows[node] = min(rows[after] for after in graph.successors(node)) - 1
    places = {node: (0, rows[node]) for node in nx.dag_longest_path(graph)}
    branches = [node for node in nx.topological_sort(graph) if node not in places]
    owners: dict[tuple[int, int], str] = {}
    for node in sorted(branches, key=lambda node: graph.in_degree(node) == 0):
        before, after = set(graph.predecessors(node)), set(graph.successors(node))
        near = {node} | before | after
        column = max(1, min((places[n][0] for n in before or after if n in places), default=1))
        # Its arrow runs down its column to the row where it turns off: that must be free, too.
        last = max((rows[n] for n in after), default=rows[node])
        while any(
            owners.get((column, row), node) not in near for row in range(rows[node], last + 1)
        ):
            column += 1
        owners |= {(column, row): node for row in range(rows[node], last + 1)}
        places[node] = (column, rows[node])
    return places


def _texts(data: dict[str, Any]) -> tuple[str, str, str]:
    """What stands in a box: name, class or function, shapes."""
    shapes = ["×".join(map(str, shape)) or "one number" for shape in data["shapes"]]
    words = ", ".join(shapes) if len(shapes) <= 2 else f"{len(shapes)} tensors"
    return data["layer"], data["label"], words


def _text_width(text: str) -> float:
    return TextPath((0, 0), text, size=_FONT).get_extents().width / 72 if text.strip() else 0.0


def _draw_box(ax: Axes, layout: _Layout, node: str) -> None:
    (x, y), kind = layout.corner(node), layout.graph.nodes[node]["kind"]
    ax.add_patch(
        FancyBboxPatch(
            (x, y), layout.width, _BOX, boxstyle="round,pad=0,rounding_size=0.06", **_style(kind)
        )
    )
    for text, stop in zip(layout.texts[node], layout.stops, strict=False):
        ax.text(x + stop, y + _BOX / 2, text, size=_FONT, va="center_baseline", color="black")


def _style(kind: str) -> dict[str, Any]:
    outline = _OUTLINES.get(kind, "-")
    return {"facecolor": _COLOURS.get(kind, "white"), "edgecolor": "0.35", "linestyle": outline}


def _legend_words(graph: nx.DiGraph) -> dict[str, str]:
    """The kinds in a graph that need explaining, in the order in which they appear."""
    kinds = dict.fromkeys(kind for _, kind in graph.nodes(data="kind"))
    return {kind: _IN_WORDS.get(kind, kind) for kind in kinds if kind not in ("input", "output")}


def _draw_legend(ax: Axes, graph: nx.DiGraph) -> None:
    patches = [Patch(label=words, **_style(kind)) for kind, words in _legend_words(graph).items()]
    if patches:
        ax.legend(
            handles=patches, loc="upper right", fontsize=_FONT, frameon=False, labelcolor="black"
        )
