"""Drawings of lesson 01: a convolution, the shapes on a network's way, the tree of its modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import log2, prod
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import nn

from vizhelpers.figures import Picture, new_figure
from vizhelpers.inspection._calls import Call, random_inputs, record_calls

BLUE, ORANGE, GREEN, RED = "#1f77b4", "#e08214", "#2a8f57", "#d62728"
INK, MUTED, PAPER = "#222222", "#666666", "#f2f4f7"


def _canvas(width: float, height: float) -> tuple[Picture, Axes]:
    """A figure whose coordinates are inches, y downwards."""
    figure = new_figure(width, height)
    figure.set_layout_engine(None)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return figure, ax


def _write(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    ax.text(x, y, text, parse_math=False, **{"ha": "center", "va": "center", "color": INK, **style})


# --- A convolution ------------------------------------------------------------------------------


def draw_convolution(layer: nn.Conv2d, side: int) -> Picture:
    """Draw what a convolution learns and how often it uses it: kernel × channels × places.

    Above, the picture, one kernel on it, all kernels, and the maps that come out. Below, the
    same four things as factors of the layer's parameters and of its mult-adds.

    Args:
        layer: A convolution with groups=1.
        side: Height and width of the picture, in pixels.

    Example:
        ``draw_convolution(model.conv1, 224)``
    """
    meta = torch.empty(1, layer.in_channels, side, side, device="meta")
    with torch.no_grad():
        down, across = nn.functional.conv2d(
            meta, layer.weight.to("meta"), None, layer.stride, layer.padding, layer.dilation
        ).shape[2:]
    figure, ax = _canvas(9.6, 4.55)
    _draw_stacks(ax, layer, side, (down, across))
    _write_factors(ax, layer, (down, across))
    ax.set_title(
        f"a convolution: {layer.out_channels} kernels, {down * across} places", visible=False
    )
    return figure


def _draw_stacks(ax: Axes, layer: nn.Conv2d, side: int, places: tuple[int, int]) -> None:
    channels, kernels = layer.in_channels, layer.out_channels
    height, width = layer.kernel_size
    corner = _planes(ax, (0.35, 0.75), 1.7, min(channels, 3), BLUE)
    window = [min(1.2, max(0.16, 1.7 * size / side)) for size in (width, height)]
    ax.add_patch(Rectangle((corner[0] + 0.3, corner[1] + 0.3), *window, fc=ORANGE, ec=INK))
    _write(ax, 1.4, 0.35, f"in: {channels} channels of {side} × {side}", color=BLUE)
    for index, x in enumerate((3.55, 5.15)):
        corner = _planes(ax, (x, 1.05), 0.85, min(channels, 3), ORANGE)
        _grid(ax, corner, 0.85, (height, width))
        number = index if index == 0 else kernels - 1
        _write(ax, x + 0.55, 2.65, f"kernel {number}", color=GREEN)
    _write(ax, 4.93, 1.6, "…", fontsize=20, color=GREEN)
    _write(ax, 4.85, 0.35, f"{kernels} kernels, each {height} × {width} × {channels}", color=GREEN)
    corner = _planes(ax, (7.1, 0.85), 1.45, 4, RED)
    one = [max(0.08, 1.45 / count) for count in reversed(places)]
    ax.add_patch(Rectangle((corner[0] + 0.3, corner[1] + 0.3), *one, fc=ORANGE, ec=INK))
    text = f"out: {kernels} maps of {places[0]} × {places[1]}"
    _write(ax, 8.05, 0.35, text, color=RED)
    for x in (2.75, 6.55):
        ax.annotate("", (x + 0.42, 1.6), (x, 1.6), arrowprops={"arrowstyle": "-|>", "lw": 1.4})
    _write(ax, 4.8, 3.0, "one kernel at one place gives one number", color=MUTED, fontsize=9)


def _planes(
    ax: Axes, corner: tuple[float, float], size: float, count: int, colour: str
) -> tuple[float, float]:
    """Squares behind each other; return the corner of the foremost."""
    x, y = corner
    for index in range(count):
        x, y = corner[0] + 0.13 * index, corner[1] + 0.13 * index
        ax.add_patch(Rectangle((x, y), size, size, fc=PAPER, ec=colour, lw=1.6))
    return x, y


def _grid(ax: Axes, corner: tuple[float, float], size: float, cells: tuple[int, int]) -> None:
    """The numbers of one plane of a kernel, as cells."""
    (x, y), (rows, columns) = corner, cells
    ax.hlines([y + size * row / rows for row in range(1, rows)], x, x + size, ORANGE, lw=0.7)
    ax.vlines([x + size * col / columns for col in range(1, columns)], y, y + size, ORANGE, lw=0.7)


def _write_factors(ax: Axes, layer: nn.Conv2d, places: tuple[int, int]) -> None:
    """The product, a factor at a time, each with its name below it."""
    height, width = layer.kernel_size
    learned = [
        (height, "kernel\nheight", ORANGE),
        (width, "kernel\nwidth", ORANGE),
        (layer.in_channels, "channels\nin", BLUE),
        (layer.out_channels, "kernels", GREEN),
    ]
    used = [(places[0], "places\ndown", RED), (places[1], "places\nacross", RED)]
    x, y = 0.5, 3.65
    for index, (number, name, colour) in enumerate(learned):
        _factor(ax, (x + 0.9 * index, y), number, name, colour, first=index == 0)
    parameters = layer.weight.numel()
    _result(ax, (4.0, y), parameters, "parameters")
    for index, (number, name, colour) in enumerate(used):
        _factor(ax, (5.85 + 0.95 * index, y), number, name, colour)
    _result(ax, (7.5, y), parameters * prod(places), "mult-adds")
    if layer.bias is not None:
        text = f"and {layer.bias.numel()} biases, one for each kernel"
        _write(ax, 4.0, y + 0.72, text, fontsize=9, ha="left", color=MUTED)


def _result(ax: Axes, at: tuple[float, float], number: int, name: str) -> None:
    _write(ax, at[0] - 0.25, at[1], "=", fontsize=15)
    _write(ax, *at, f"{number:,}", fontsize=15, ha="left")
    _write(ax, at[0], at[1] + 0.45, name, fontsize=9, ha="left")


def _factor(
    ax: Axes, at: tuple[float, float], number: int, name: str, colour: str, *, first: bool = False
) -> None:
    if not first:
        _write(ax, at[0] - 0.47, at[1], "×", fontsize=15)
    _write(ax, *at, f"{number}", fontsize=17, color=colour, weight="bold")
    _write(ax, at[0], at[1] + 0.3, name, fontsize=9, color=colour, va="top")


# --- Shapes on the way --------------------------------------------------------------------------


def draw_shapes(model: nn.Module, input_size: Sequence[int]) -> Picture:
    """Draw the shape of a picture after each layer, as far as the model gets.

    A box for each tensor: its height stands for pixels, its width for channels (on a
    logarithmic scale). Where the forward pass stops, the layer is red, with what it was given
    and what it takes.

    Args:
        model: Any module whose layers run one after the other.
        input_size: Shape of the input, batch included, such as ``(1, 3, 128, 128)``.

    Example:
        ``draw_shapes(model, (1, 3, 128, 128))``
    """
    with record_calls(model) as calls, torch.no_grad():
        model.eval()
        with suppress(RuntimeError):  # where it stops is what the picture is to show
            model(*random_inputs(model, input_size))
        layers = [call for call in calls if not call.module._modules]
    tensors = [("input", tuple(input_size))]
    tensors += [(_heading(call), call.outputs[0]) for call in layers if call.returned]
    stopped = next((call for call in layers if not call.returned), None)
    widths = [_width(shape) for _, shape in tensors]
    gap = 0.62
    total = sum(widths) + gap * (len(widths) + 1) + (1.7 if stopped else 0)
    figure, ax = _canvas(max(total, 3), 3.1)
    tallest = max(shape[2] for _, shape in tensors if len(shape) == 4)
    x = gap
    for (name, shape), width in zip(tensors, widths, strict=True):
        _draw_tensor(ax, (x, width), name, shape, tallest)
        x += width + gap
    if stopped:
        _draw_stop(ax, x, stopped)
    ax.set_title(f"shapes of {len(tensors)} tensors", visible=False)
    return figure


def _heading(call: Call) -> str:
    return f"{call.name}\n{type(call.module).__name__}"


def _width(shape: Sequence[int]) -> float:
    return 0.12 * log2(shape[1]) if len(shape) > 1 and shape[1] > 1 else 0.12


def _draw_tensor(
    ax: Axes, place: tuple[float, float], name: str, shape: Sequence[int], tallest: int
) -> None:
    x, width = place
    height = 1.5 * shape[2] / tallest if len(shape) == 4 else 0.12
    ax.add_patch(Rectangle((x, 1.5 - height / 2), width, height, fc="#a6cee8", ec="0.35"))
    middle = x + width / 2
    _write(ax, middle, 0.35, name, fontsize=8.5)
    _write(ax, middle, 2.62, "×\n".join(map(str, shape[1:])), fontsize=9, color=MUTED)
    ax.annotate(
        "", (x - 0.06, 1.5), (x - 0.42, 1.5), arrowprops={"arrowstyle": "-|>", "color": "0.35"}
    )


def _draw_stop(ax: Axes, x: float, call: Call) -> None:
    _write(ax, x + 0.7, 0.35, _heading(call), fontsize=8.5, color=RED)
    box = FancyBboxPatch((x + 0.05, 1.0), 1.3, 1.0, boxstyle="round,pad=0", fc="#fde0dd", ec=RED)
    ax.add_patch(box)
    takes = getattr(call.module, "in_features", getattr(call.module, "in_channels", "?"))
    _write(ax, x + 0.7, 1.5, f"gets {call.inputs[0][1]:,}\ntakes {takes:,}", color=RED)
    ax.annotate(
        "", (x - 0.02, 1.5), (x - 0.42, 1.5), arrowprops={"arrowstyle": "-|>", "color": RED}
    )


# --- The tree of modules ------------------------------------------------------------------------


@dataclass
class _Node:
    """A module in the tree: its dotted name, and the row and column where it stands."""

    name: str
    module: nn.Module
    column: int
    row: float
    parent: _Node | None


def draw_tree(model: nn.Module, path: str = "", *, levels: int = 2) -> Picture:
    """Draw the modules of a model as a tree, and the way to one of them in red.

    Each column is one level down: what ``children()`` of the module to the left gives.

    Args:
        model: Any module.
        path: Dotted name of the module whose way is marked, such as ``"features.3"``.
        levels: How many levels below the model are drawn.

    Example:
        ``draw_tree(torchvision.models.vgg11(), "features.3")``
    """
    nodes = list(_place(model, levels))
    rows = max(node.row for node in nodes) + 1
    figure, ax = _canvas(0.4 + 3.1 * (levels + 1), 0.235 * rows + 1.1)
    for node in nodes:
        chosen = path == node.name or path.startswith(node.name + ".") or not node.name
        _draw_node(ax, node, chosen=bool(path) and chosen)
    for column in range(levels + 1):
        count = sum(node.column == column for node in nodes)
        words = ("the model itself", f"its children: {count}", f"their children: {count}")
        text = words[min(column, 2)]
        _write(ax, 0.2 + 3.1 * column, 0.25, text, ha="left", color=MUTED, fontsize=10)
    _draw_brace(ax, 0.235 * rows + 0.68, f"modules(): all {len(list(model.modules()))}")
    ax.set_title(f"tree of {len(nodes)} modules", visible=False)
    return figure


def _draw_brace(ax: Axes, y: float, words: str) -> None:
    """A bracket below all columns."""
    right = ax.get_xlim()[1] - 0.7
    ax.plot([0.2, 0.2, right, right], [y - 0.07, y, y, y - 0.07], color=MUTED, lw=1)
    _write(ax, (0.2 + right) / 2, y + 0.2, words, color=MUTED, fontsize=10)


def _place(model: nn.Module, levels: int) -> Iterator[_Node]:
    """The nodes of the tree; a module stands in the middle of the rows of what it holds."""
    free = 0  # the next empty row

    def visit(name: str, module: nn.Module, column: int, parent: _Node | None) -> list[_Node]:
        nonlocal free
        node = _Node(name, module, column, free, parent)
        found = [node]
        inside = list(module.named_children()) if column < levels else []
        for key, child in inside:
            found += visit(f"{name}.{key}".strip("."), child, column + 1, node)
        if inside:
            own = [each.row for each in found[1:] if each.parent is node]
            node.row = (own[0] + own[-1]) / 2
        else:
            free += 1
        return found

    yield from visit("", model, 0, None)


def _draw_node(ax: Axes, node: _Node, *, chosen: bool) -> None:
    x, y = 0.2 + 3.1 * node.column, 0.6 + 0.235 * node.row
    colour, weight = (RED, "bold") if chosen else (INK, "normal")
    label = _label(node)
    _write(ax, x, y, label, ha="left", color=colour, weight=weight, family="monospace", fontsize=9)
    if node.parent:
        left = 0.36 + 3.1 * node.parent.column + 0.0753 * len(_label(node.parent))
        top = 0.6 + 0.235 * node.parent.row
        turn = x - 0.35
        style = {"color": RED, "lw": 1.6} if chosen else {"color": "0.75", "lw": 0.8}
        ax.plot([left, turn, turn, x - 0.08], [top, top, y, y], zorder=1 + chosen, **style)  # type: ignore[arg-type]


def _label(node: _Node) -> str:
    return f"{node.name or 'model'}  {type(node.module).__name__}"
