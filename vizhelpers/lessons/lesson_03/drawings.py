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
        words = f"{100 * value:.0f} %" + ("" if right else f", says {vh.CLASSES[says]}")
        ax.text(value + 0.01, row, words, va="center", fontsize=10)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), xticklabels=("0 %", "50 %", "100 %"))
    ax.set_xlabel(f"probability of {truth}")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def most_needed_by_brightness(lost: Tensor, brightness: Tensor) -> Figure:
    """Draw how often the brightest map, the second brightest, … is the one that is needed most.

    Args:
        lost: `[N, C]`, percentage points lost without a channel, a row for each picture.
        brightness: `[N, C]`, how bright the maps are.
    """
    count, channels = lost.shape
    needed = lost.argmax(dim=1, keepdim=True)
    ranks = 1 + (brightness > brightness.gather(1, needed)).sum(dim=1)
    much = lost.amax(dim=1) > 10
    figure = vh.new_figure(9.5, 3.6)
    ax = figure.subplots()
    below = torch.zeros(channels)
    for chosen, colour, word in ((much, RED, "more than"), (~much, "#f2b8b5", "at most")):
        scenes = torch.bincount(ranks[chosen] - 1, minlength=channels)
        label = f"its absence costs {word} 10 points"
        ax.bar(range(1, channels + 1), scenes, bottom=below, color=colour, label=label)
        below += scenes
    ax.axhline(count / channels, color="0.4", linestyle=":")
    ax.text(channels + 0.5, count / channels, "guessing", ha="right", va="bottom", color="0.4")
    ax.set_xticks(range(1, channels + 1))
    ax.set_xlabel("place of the most needed map by brightness (1: the brightest)")
    ax.set_ylabel("scenes")
    ax.legend(frameon=False)
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
        _word(ax, 14.8, y + 0.9, "largest")
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


def chain(tensors: Mapping[str, Tensor], steps: Sequence[str]) -> Figure:
    """Draw x → y → z with its values, and the gradients that have come back below.

    Args:
        tensors: Name of each, and the tensor, with one number. A gradient is drawn where one
            was kept.
        steps: What leads from each to the next, in words.
    """
    figure = vh.new_figure(9, 2.3)
    ax = figure.subplots()
    for place, (name, tensor) in enumerate(tensors.items()):
        x = 3 * place
        box = FancyBboxPatch((x - 0.6, 0.7), 1.2, 0.6, "round,pad=0.1", fc="#dceaf7", ec=BLUE)
        ax.add_patch(box)
        _word(ax, x, 1, f"{name} = {tensor.item():g}", size=13)
        kept = tensor.is_leaf or tensor.retains_grad
        word = f"gradient {tensor.grad.item():g}" if kept and tensor.grad is not None else ""
        _word(ax, x, 0, word or "not kept", size=12, colour=RED if word else GREY)
    for place, step in enumerate(steps):
        x = 3 * place
        for y, ends, colour in ((1, (x + 0.75, x + 2.25), BLUE), (0, (x + 2.1, x + 0.9), RED)):
            start, end = (ends[0], y), (ends[1], y)
            ax.add_patch(
                FancyArrowPatch(start, end, arrowstyle="->", mutation_scale=18, color=colour)
            )
        _word(ax, x + 1.5, 1.3, step, size=12)
    ax.set(xlim=(-1.1, 3 * len(tensors) - 1.9), ylim=(-0.3, 1.6))
    ax.axis("off")
    return figure


def timelines(
    events: Mapping[str, Sequence[str]], *, marked: str, turn: str = "the way back"
) -> Figure:
    """Draw in which order things happened, one column for each way to do it.

    Args:
        events: Maps the title of a column to what happened, in order.
        marked: The event that is drawn in red.
        turn: The event that only says that the backward pass begins; it gets no number.
    """
    longest = max(map(len, events.values()))
    figure = vh.new_figure(4.7 * len(events), 0.7 + 0.42 * longest)
    axes = figure.subplots(1, len(events), squeeze=False)[0]
    for ax, (title, happened) in zip(axes, events.items(), strict=True):
        ax.plot([0, 0], [0, len(happened) - 1], color="0.85", linewidth=3, zorder=0)
        number = 0
        for place, event in enumerate(happened):
            if event == turn:
                ax.axhline(place, color="0.6", linestyle=":")
                ax.text(3.9, place - 0.1, turn, ha="right", fontsize=10, color="0.35")
                continue
            number += 1
            colour = RED if event == marked else BLUE
            ax.scatter(0, place, s=260, color=colour)
            _word(ax, 0, place, str(number), colour="white")
            ax.text(0.3, place, event, va="center", fontsize=11, color=colour)
        ax.set(xlim=(-0.3, 4), ylim=(len(happened) - 0.4, -0.6))
        ax.set_title(title, loc="left", fontsize=11)
        ax.axis("off")
    return figure


def gradient_sizes(sizes: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the mean size of the gradient layer by layer, on a logarithmic scale.

    Args:
        sizes: Maps the name of a network to a size for each layer, from the first to the last.
    """
    figure = vh.new_figure(9.5, 4)
    ax = figure.subplots()
    for (name, found), colour, mark in zip(sizes.items(), (BLUE, RED, GREEN), "osD", strict=False):
        ax.semilogy(list(found), list(found.values()), f"{mark}-", color=colour, markersize=8)
        last = list(found.values())[-1]
        ax.text(len(found) - 0.8, last, name, color=colour, va="center", fontsize=11)
    ax.set(xlabel="layer, from the first to the last", ylabel="mean size of the gradient")
    ax.set_xlim(-0.3, len(found) + 0.3)
    ax.grid(axis="y", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def memory_lines(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """Draw how memory grows with the number of outputs that are kept.

    Args:
        sizes: Maps what is kept to megabytes, after one output, two, and so on.
    """
    figure = vh.new_figure(9, 3.4)
    ax = figure.subplots()
    for (name, found), colour in zip(sizes.items(), (RED, BLUE), strict=False):
        ax.plot(range(1, len(found) + 1), found, "o-", color=colour, markersize=8)
        ax.text(len(found) + 0.1, found[-1], name, color=colour, va="center", fontsize=11)
    ax.set(xlabel="outputs that are kept", ylabel="megabytes", xlim=(0.8, len(found) + 1.2))
    ax.set_xticks(range(1, len(found) + 1))
    ax.spines[["top", "right"]].set_visible(False)
    return figure
