"""Drawings of lesson 04. They only draw: every number in them is given to them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import vizhelpers as vh

BLUE, RED, GREY = "#0072B2", "#D55E00", "0.6"


def weighted_sum(maps: Tensor, weights: Tensor, shown: Sequence[int], total: Tensor) -> Figure:
    """Draw weight × map + weight × map + … = class activation map, as an equation of pictures.

    Args:
        maps: `[C, h, w]`, zero or above.
        weights: `[C]`, one for each map.
        shown: The channels that are drawn; the others are only counted.
        total: `[h, w]`, the sum over all channels: red for, blue against.
    """
    figure = vh.new_figure(10.4, 2.4)
    ax = figure.subplots()
    brightest, largest = float(maps[list(shown)].max()), float(total.abs().max())
    x = 0.0
    for channel in shown:
        sign = "+ " if x else ""
        x = _words(ax, x, f"{sign}{weights[channel]:.2f} ×")
        x = _picture(ax, maps[channel], x, ("viridis", 0, brightest), f"map {channel}")
    x = _words(ax, x, f"+ {len(maps) - len(shown)} more =")
    x = _picture(ax, total, x, ("bwr", -largest, largest), "the sum: CAM")
    ax.set(xlim=(-0.1, x + 0.1), ylim=(-0.15, 2.4), aspect="equal")
    ax.axis("off")
    return figure


def _words(ax: Axes, x: float, words: str) -> float:
    """Write between two pictures; returns where the next one begins."""
    width = 0.14 * len(words) + 0.15
    ax.text(x + width / 2, 1, words, fontsize=13, ha="center", va="center")
    return x + width


def _picture(
    ax: Axes, values: Tensor, x: float, colours: tuple[str, float, float], title: str
) -> float:
    """Draw a map two units wide, with a title; returns where it ends."""
    cmap, low, high = colours
    ax.imshow(values, cmap, vmin=low, vmax=high, extent=(x, x + 2, 0, 2))
    ax.add_patch(Rectangle((x, 0), 2, 2, fill=False, edgecolor=GREY))  # pale values end here
    ax.text(x + 1, 2.1, title, fontsize=11, ha="center", va="bottom")
    return x + 2.0


def bootstrap(hits: Tensor, draws: Tensor, interval: tuple[float, float], *, rows: int) -> Figure:
    """Draw what a bootstrap does: measured dots, the same dots drawn again, and the means.

    Args:
        hits: `[N]`, 1 for a hit and 0 for a miss: what was measured.
        draws: `[repeats, N]`, which of the measured dots were drawn each time.
        interval: The ends of the middle 95 % of the means.
        rows: How many of the repeats are drawn as dots.
    """
    figure = vh.new_figure(10.4, 3.8)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (3, 2), "wspace": 0.12})
    places = torch.arange(len(hits))
    drawn = [places, *draws[:rows]]
    for row, chosen in enumerate(drawn):
        down = row + 0.7 * (row > 0)
        values = hits[chosen]
        colours = [BLUE if hit else "white" for hit in values]
        left.scatter(places, [down] * len(hits), s=95, c=colours, edgecolors=BLUE)
        words = f"{values.mean():.0%}"
        left.text(len(hits) + 0.2, down, words, va="center", fontsize=11)
    left.set_yticks([0, 2.7], ["measured", "drawn again\n(with repeats)"], fontsize=11)
    left.set(xlim=(-0.8, len(hits) + 2), ylim=(len(drawn) + 0.3, -0.6), xticks=[])
    left.set_title("● a hit   ○ a miss", loc="left", fontsize=11)
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    means, counts = np.unique(hits[draws].mean(dim=1).numpy(), return_counts=True)
    shades = [BLUE if interval[0] <= mean <= interval[1] else "0.75" for mean in means]
    right.bar(means, counts, width=0.8 / len(hits), color=shades)
    right.axvline(hits.mean(), color=RED, linewidth=2)
    ends = f"{interval[0]:.0%} to {interval[1]:.0%}"
    right.set_title(f"{len(draws):,} means; blue, the interval: {ends}", loc="left", fontsize=11)
    right.set_xlabel("mean of a draw; orange line: the measured one")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.set_yticks([])
    right.spines[["top", "right", "left"]].set_visible(False)
    return figure


def right_by_background(tables: Mapping[str, Tensor]) -> Figure:
    """Draw which objects a network gets right on which backgrounds, one square a network.

    Args:
        tables: Maps a network's name to the share of right answers, `[classes, backgrounds]`.
    """
    figure = vh.new_figure(10.4, 4.5)
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for ax, (name, share) in zip(axes, tables.items(), strict=True):
        ax.imshow(share, "cividis", vmin=0, vmax=1, interpolation="nearest")
        ax.set_xticks(range(len(vh.scenes.BACKGROUNDS)), vh.scenes.BACKGROUNDS, rotation=90)
        ax.tick_params(length=0, labelsize=10)
        ax.set_title(name, loc="left", fontsize=11)
    axes[0].set_yticks(range(len(vh.CLASSES)), vh.CLASSES)
    axes[0].set_ylabel("object")
    axes[len(axes) // 2].set_xlabel("background (yellow: right, dark: wrong; the diagonal is home)")
    return figure


def curves(shares: Tensor, found: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw deletion and insertion: the probability while pixels go, and while they come.

    Args:
        shares: `[S]`, which share of the pixels was exchanged.
        found: Maps what the pixels were ordered by to the mean probabilities, `[S]` each, of
            deletion and of insertion.
    """
    figure = vh.new_figure(10.4, 3.9)
    axes = figure.subplots(1, 2, sharey=True)
    colours = (BLUE, RED, GREY)
    for (name, pair), colour, mark in zip(found.items(), colours, "osD", strict=False):
        for ax, probability in zip(axes, pair, strict=True):
            ax.plot(shares, probability, f"{mark}-", color=colour, label=name, markersize=7)
    for ax, title in zip(axes, ("deletion: low is good", "insertion: high is good"), strict=True):
        ax.set_title(title, loc="left", fontsize=11)
        ax.set(xlabel="share of the pixels", ylim=(0, 1.02))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("probability of the right class")
    axes[1].legend(frameon=False, loc="lower right")
    return figure


def brightness(maps: Mapping[str, Tensor]) -> Figure:
    """Draw colour maps and how bright they look from the smallest value to the largest.

    Args:
        maps: Maps the name of a colour map to its colours, `[N, 3]` in [0, 1].
    """
    figure = vh.new_figure(10.4, 3.4)
    rows = figure.subplots(2, len(maps), gridspec_kw={"height_ratios": (1, 4)})
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)  # of red, green and blue
    for (bar, ax), (name, colours) in zip(rows.T, maps.items(), strict=True):
        bar.imshow(colours[None], aspect="auto")
        bar.set_title(name, loc="left", fontsize=11)
        bar.axis("off")
        ax.plot(torch.linspace(0, 1, len(colours)), colours.double() @ weights, color="black")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="value of the heatmap")
        ax.spines[["top", "right"]].set_visible(False)
    rows[1, 0].set_ylabel("brightness")
    return figure
