"""The graph of a model: what is computed from what, functional calls and shortcuts included.

What traces a model into a graph, and what draws that graph, belongs here. Both are pure Python:
torch.fx follows the forward method, networkx holds the graph, matplotlib draws it.
"""

from __future__ import annotations

import inspect
import operator
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Line
from matplotlib.textpath import TextPath
from torch import Tensor, fx, nn

from vizhelpers.layers import check_model, tensor_shapes
from vizhelpers.pictures import DPI, Picture, PictureAxes
from vizhelpers.state import preserve_state

# Kinds of layers, by the file of torch.nn that defines them.
_KIND_OF_FILE = {
    "conv": "convolution",
    "linear": "linear",
    "sparse": "embedding",
    "batchnorm": "normalization",
    "instancenorm": "normalization",
    "normalization": "normalization",
    "activation": "activation",
    "pooling": "pooling",
    "rnn": "recurrent",
}
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


def module_graph(
    model: nn.Module, example_input: Any = None, *, depth: int | None = None
) -> nx.DiGraph:
    """Trace a model into a graph whose nodes are layers and functional calls.

    `torch.fx` runs the forward method once with stand-ins for tensors. Each call becomes a
    node, so a layer that is called twice has two. Nodes carry

    - `kind`: "input", "output", "operation" (a function or method: add, flatten), "parameter"
      (a weight used directly), "block" (a module with modules inside, shown as one), or a
      kind of layer: "convolution", "linear", "normalization", "activation", "pooling",
      "attention", "recurrent", "embedding", "other layer";
    - `layer`: its dotted name, or "" where it is no layer;
    - `label`: its class, or the name of the function;
    - `shape`: the shape of its output, [] where it is no tensor or no input was given.

    Args:
        model: Any module that `torch.fx` can follow.
        example_input: A tensor, a tuple of tensors, or a dictionary by argument names. With
            it, shapes are known, and what computes no tensor (such as `x.size(0)`) is left out.
        depth: How many levels of modules to open; everything deeper is one "block". All, if
            not given.

    Raises:
        TypeError: The model is no module.
        ValueError: The depth is below 1, or the model's path depends on the numbers in its
            input, so that there is no one graph.
        RuntimeError: The model failed on the example.
    """
    check_model(model)
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be 1 (the outermost modules) or more, got {depth}.")
    given = _arguments(model, example_input)
    with preserve_state(model), torch.no_grad():
        model.eval()
        traced = _trace(model, depth, given)
        if given:
            _note_shapes(traced, given)
    return _as_graph(traced)


def _arguments(model: nn.Module, example: Any) -> dict[str, Any]:
    """The example's parts by the names that the model's forward method gives them."""
    if example is None:
        return {}
    signature = inspect.signature(model.forward)
    if isinstance(example, Mapping):
        return dict(signature.bind(**example).arguments)
    inputs = example if isinstance(example, tuple | list) else (example,)
    return dict(signature.bind(*inputs).arguments)


class _Tracer(fx.Tracer):
    """Opens modules down to a depth; the layers of torch.nn are never opened."""

    def __init__(self, depth: int | None) -> None:
        super().__init__()
        self.depth = depth

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        too_deep = self.depth is not None and module_qualified_name.count(".") + 1 >= self.depth
        return too_deep or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module, depth: int | None, given: dict[str, Any]) -> fx.GraphModule:
    # Arguments that are left at their default (`mask=None`) are no inputs of the graph.
    signature = inspect.signature(model.forward).parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    fixed = {name: value for name, value in defaults.items() if name not in given}
    try:
        return fx.GraphModule(model, _Tracer(depth).trace(model, fixed))
    except Exception as error:  # fx runs the model's own code, which may raise anything
        raise ValueError(_why_not(model, error)) from error


def _why_not(model: nn.Module, error: Exception) -> str:
    torch_folder = Path(torch.__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    own = [f for f in frames if torch_folder not in Path(f.filename).parents]
    place = f" It stopped at\n    {own[-1].line}" if own else ""
    return (
        f"torch.fx cannot follow {type(model).__name__} with stand-ins for tensors.{place}\n"
        f"{type(error).__name__}: {error}\n"
        "A path that depends on the numbers in the input has no single graph. depth=1 keeps the "
        "inner modules closed, which helps if this is inside one of them. The other way is "
        "TensorBoard's add_graph (lesson 06): it draws the path that one example takes."
    )


class _Shapes(fx.Interpreter):
    """Runs a traced model and notes at every node what it returned."""

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except Exception as error:
            raise RuntimeError(
                f"the model fails on this example at {n.name!r}: {error}\nsummarize(model, "
                "input_data=…) shows the shapes up to there."
            ) from error
        n.meta["shapes"] = tensor_shapes(result)
        n.meta["is_tensor"] = isinstance(result, Tensor)
        return result


def _note_shapes(traced: fx.GraphModule, given: dict[str, Any]) -> None:
    values: list[Any] = []
    for node in traced.graph.find_nodes(op="placeholder"):
        if node.target.startswith("*"):
            values.extend(given.get(node.target.lstrip("*"), ()))
        else:
            values.append(given.get(node.target, *node.args))
    runner = _Shapes(traced)
    runner.extra_traceback = False  # its own message says it in fewer words
    runner.run(*values)


def _as_graph(traced: fx.GraphModule) -> nx.DiGraph:
    graph = nx.DiGraph()
    for node in traced.graph.nodes:
        graph.add_node(node.name, **_attributes(node, traced), shapes=node.meta.get("shapes", []))
        graph.add_edges_from((source.name, node.name) for source in _sources(node))
    # Checks and sizes lead nowhere, except to the shape of a tensor that comes from elsewhere.
    leads_to_output = nx.ancestors(graph, "output") | {"output"}
    return graph.subgraph(n for n in graph if n in leads_to_output).copy()


def _sources(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes whose tensors go into a node, past what only computes or picks them out."""
    for source in node.all_input_nodes:
        if not source.meta.get("shapes", True):
            continue  # a number, such as x.size(0)
        picks = source.target is operator.getitem and isinstance(source.args[0], fx.Node)
        if picks and not source.args[0].meta.get("is_tensor", True):  # type: ignore[union-attr]
            yield from _sources(source)  # one of several outputs
        else:
            yield source


def _attributes(node: fx.Node, traced: fx.GraphModule) -> dict[str, str]:
    """Kind, layer name and label of one node."""
    target = str(node.target)
    if node.op == "call_module":
        module = traced.get_submodule(target)
        return {"kind": _kind(module), "layer": target, "label": type(module).__name__}
    if node.op == "get_attr":
        return {"kind": "parameter", "layer": "", "label": target}
    if node.op in ("placeholder", "output"):
        kind = "input" if node.op == "placeholder" else "output"
        return {"kind": kind, "layer": "", "label": target.lstrip("*")}
    name = target if node.op == "call_method" else getattr(node.target, "__name__", target)
    # x[0] is operator.getitem, and x.add_(y) an addition like any other.
    label = "index" if name == "getitem" else name.strip("_")
    return {"kind": "operation", "layer": "", "label": label}


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    for base in type(module).__mro__:
        package, _, file = base.__module__.rpartition(".")
        if package == "torch.nn.modules" and file in _KIND_OF_FILE and base is not nn.Identity:
            return _KIND_OF_FILE[file]
    return "block" if module._modules else "other layer"


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
