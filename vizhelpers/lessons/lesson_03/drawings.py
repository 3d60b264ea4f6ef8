"""Drawings of lesson 03. They only draw: every number in them is given to them."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor

import vizhelpers as vh

BLUE, RED, GREY, GREEN = "tab:blue", "tab:red", "0.6", "tab:green"


def answer_bars(rows: Mapping[str, Tensor], truth: str, *, title: str = "") -> Figure:
    """Draw the probability of one class, a bar a row, and what the network says instead.

    Args:
        rows: Maps what was done to the probabilities of `vh.CLASSES`, `[10]`.
        truth: The class whose probability is drawn. A bar is red where it is not the answer.
        title: Stands above.
    """
    figure = vh.new_figure(9, 1.1 + 0.36 * len(rows))
    ax = figure.subplots()
    for row, probabilities in enumerate(rows.values()):
        value, says = float(probabilities[vh.CLASSES.index(truth)]), int(probabilities.argmax())
        right = vh.CLASSES[says] == truth
        ax.barh(row, value, color=BLUE if right else RED, height=0.7)
        words = f"{value:.0%}" if right else f"{value:.0%}, says {vh.CLASSES[says]}"
        ax.text(value + 0.01, row, words, va="center", fontsize=10)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), xticklabels=("0 %", "50 %", "100 %"))
    ax.set_xlabel(f"probability of {truth}")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def lost_by_brightness(lost: Tensor, brightness: Tensor) -> Figure:
    """Draw what each channel's absence costs, over the rank of its map by brightness.

    Args:
        lost: `[N, C]`, percentage points lost without a channel, a row for each picture.
        brightness: `[N, C]`, how bright the maps are.
    """
    order = brightness.argsort(dim=1, descending=True)
    figure = vh.new_figure(9.5, 4)
    ax = figure.subplots()
    shift = torch.linspace(-0.3, 0.3, len(lost))  # side by side, so that points can be seen
    for rank, points in enumerate(lost.gather(1, order).T, start=1):
        needed = points == lost.amax(dim=1)
        for chosen, colour in ((~needed, GREY), (needed, RED)):
            ax.scatter(rank + shift[chosen], points[chosen], s=14, color=colour, alpha=0.7)
    ax.set_xticks(range(1, lost.shape[1] + 1))
    ax.set(xlabel="rank of the map by brightness (1: the brightest)", ylabel="points lost")
    ax.set_title("red: the channel that its picture needs most", loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def worked_example(picture: Tensor, kernels: Tensor, maps: Tensor, output: Tensor) -> Figure:
    """Draw picture ∗ kernel → map → largest value, with every number.

    Args:
        picture: `[4, 4]`.
        kernels: `[2, 3, 3]`.
        maps: `[2, 2, 2]`.
        output: `[2]`, the largest value of each map.
    """
    figure = vh.new_figure(9.5, 4.4)
    ax = figure.subplots()
    _grid(ax, picture, (0, 2.1), marked=(3, 3))
    _word(ax, 2, 6.5, "picture")
    for row, (kernel, values, largest) in enumerate(zip(kernels, maps, output, strict=True)):
        y = 0.1 + 4.4 * row
        _grid(ax, kernel, (6, y), marked=(3, 3))
        _grid(ax, values, (11.4, y + 0.5), marked=(1, 1))
        _grid(ax, largest.reshape(1, 1), (16.2, y + 1))
        for x, sign in ((5, "∗"), (10.2, "="), (14.8, "→")):
            _word(ax, x, y + 1.5, sign, size=18)
    for x, word in ((7.5, "kernels"), (12.4, "feature maps"), (16.7, "output")):
        _word(ax, x, 8.2, word)
    ax.set(xlim=(-0.3, 18.3), ylim=(8.7, -0.3), aspect="equal")
    ax.axis("off")
    return figure


def _grid(
    ax: Axes, numbers: Tensor, corner: tuple[float, float], marked: tuple[int, int] = (0, 0)
) -> None:
    """Numbers in squares; the first rows and columns, as many as marked says, are orange."""
    for row, values in enumerate(numbers.tolist()):
        for column, value in enumerate(values):
            x, y = corner[0] + column, corner[1] + row
            face = "#ffdcb0" if row < marked[0] and column < marked[1] else "white"
            ax.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="0.3"))
            _word(ax, x + 0.5, y + 0.5, f"{value:g}")


def _word(
    ax: Axes, x: float, y: float, text: str, *, size: int = 11, colour: str = "black"
) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)


def chain(
    values: Mapping[str, float], gradients: Mapping[str, float], steps: Sequence[str]
) -> Figure:
    """Draw x → y → z with its values, and the gradients that come back below.

    Args:
        values: Name of each quantity, and what it is.
        gradients: Of the last quantity with respect to each; one that is left out is not kept.
        steps: What leads from each to the next, in words.
    """
    figure = vh.new_figure(9, 2.9)
    ax = figure.subplots()
    for place, (name, value) in enumerate(values.items()):
        x = 3 * place
        box = FancyBboxPatch((x - 0.6, 0.7), 1.2, 0.6, "round,pad=0.1", fc="#dceaf7", ec=BLUE)
        ax.add_patch(box)
        _word(ax, x, 1, f"{name} = {value:g}", size=13)
        kept = f"gradient {gradients[name]:g}" if name in gradients else "gradient: not kept"
        _word(ax, x, -0.4, kept, size=12, colour=RED if name in gradients else GREY)
    for place, step in enumerate(steps):
        x = 3 * place
        for y, ends, colour in ((1, (x + 0.75, x + 2.25), BLUE), (-0.4, (x + 2, x + 1), RED)):
            start, end = (ends[0], y), (ends[1], y)
            ax.add_patch(
                FancyArrowPatch(start, end, arrowstyle="->", mutation_scale=18, color=colour)
            )
        _word(ax, x + 1.5, 1.3, step, size=12)
    ax.set(xlim=(-1.1, 3 * len(values) - 1.9), ylim=(-0.9, 1.7))
    ax.axis("off")
    return figure


def timelines(events: Mapping[str, Sequence[str]], *, marked: str) -> Figure:
    """Draw in which order things happened, one column for each way to do it.

    Args:
        events: Maps the title of a column to what happened, in order.
        marked: The event that is drawn in red.
    """
    figure = vh.new_figure(9.5, 0.9 + 0.42 * max(map(len, events.values())))
    for ax, (title, happened) in zip(
        figure.subplots(1, len(events), squeeze=False)[0], events.items(), strict=True
    ):
        ax.plot([0, 0], [0, len(happened) - 1], color="0.8", linewidth=3, zorder=0)
        for place, event in enumerate(happened):
            colour = RED if event == marked else BLUE
            ax.scatter(0, place, s=260, color=colour)
            _word(ax, 0, place, str(place + 1), colour="white")
            ax.text(0.25, place, event, va="center", fontsize=11, color=colour)
        ax.set(xlim=(-0.3, 4), ylim=(len(happened) - 0.4, -0.6))
        ax.set_title(title, loc="left", fontsize=11)
        ax.axis("off")
    return figure
