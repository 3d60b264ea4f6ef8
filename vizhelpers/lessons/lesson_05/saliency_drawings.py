"""Drawings of lesson 05, saliency. They only draw: every number in them is given to them."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import vizhelpers as vh
from vizhelpers.figures import COLOURS, FAINT, MUTED, NORMAL, SIGNED_MAP, SMALL, number_text

BLUE, RED, GREEN = COLOURS[:3]


def slope(
    steps: Tensor, scores: Tensor, gradient: float, image: Tensor, place: tuple[int, int]
) -> Figure:
    """Draw the score as one value of a pixel changes, and the gradient as a straight line.

    Args:
        steps: `[N]`, by how much the value was changed; 0 is among them.
        scores: `[N]`, the score for each.
        gradient: The score's derivative by that value.
        image: `[3, H, W]` in [0, 1], drawn beside it.
        place: Row and column of the pixel, which gets a circle.
    """
    start = float(scores[steps.abs().argmin()])
    figure = vh.new_figure(10.4, 3.3)
    photo, ax = figure.subplots(1, 2, width_ratios=(1, 2.2))
    photo.imshow(image.permute(1, 2, 0))
    photo.plot(place[1], place[0], "o", color="none", markeredgecolor="white", markersize=16)
    photo.axis("off")
    _only_left_and_below(ax)
    ax.plot(steps, scores, color=BLUE, linewidth=2.5, label="the score, measured")
    line = f"the gradient's straight line: slope {number_text(gradient)}"
    ax.plot(steps, start + gradient * steps, "--", color=RED, linewidth=2, label=line)
    ax.plot([0], [start], "o", color="black", markersize=8, label="the picture as it is")
    ax.set_xlabel("change of this one number (normalised)", fontsize=SMALL)
    ax.set_ylabel("score for cat", fontsize=SMALL)
    ax.legend(frameon=False, fontsize=SMALL)
    return figure


def there_and_back(image: Tensor, gradient: Tensor, score: float) -> Figure:
    """Draw picture → layers → score, and the way back from the score to every pixel.

    Args:
        image: `[3, H, W]` in [0, 1].
        gradient: `[H, W]`, signed.
        score: What the forward pass ends with.
    """
    figure = vh.new_figure(10, 4.8)
    ax = figure.add_subplot()
    reach = float(gradient.abs().quantile(0.995))
    ax.imshow(image.permute(1, 2, 0), extent=(0, 3, 3.4, 6.4))
    ax.imshow(gradient, SIGNED_MAP, vmin=-reach, vmax=reach, extent=(0, 3, 0, 3))
    for place, height in enumerate((2.6, 2.1, 1.6, 1.1)):  # the layers: fewer, smaller maps
        for middle, colour in ((4.9, BLUE), (1.5, RED)):
            corner = 4.2 + 1.1 * place, middle - height / 2
            ax.add_patch(_box(corner, 0.5, height, colour))
    for middle, colour, ahead in ((4.9, BLUE, True), (1.5, RED, False)):
        ends = [(3.1 + 1.1 * place, 4.1 + 1.1 * place) for place in range(5)]
        for left, right in (
            (first + 0.6 * (place > 0), last) for place, (first, last) in enumerate(ends)
        ):
            tip, tail = (right, left) if ahead else (left, right)
            arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2}
            ax.annotate("", (tip, middle), (tail, middle), arrowprops=arrow)
    _say(ax, 10, 4.9, f"score for cat\n{number_text(score)}", BLUE)
    _say(ax, 10, 1.5, "how much would\nthe score change?", RED)
    _say(ax, 6.1, 6.5, "one forward pass", BLUE)
    _say(ax, 6.1, 3.1, "one backward pass", RED)
    ax.set(xlim=(0, 11.6), ylim=(0, 6.8), aspect="equal")
    ax.axis("off")
    return figure


def walk(alpha: Tensor, scores: Tensor, running: Tensor) -> Figure:
    """Draw the score on the way from grey to the picture, and the running sum of what pixels add.

    Args:
        alpha: `[N]`, how far on the way, from 0 to 1.
        scores: `[N]`, the score there.
        running: `[N]`, what all steps until there have added to the score of grey.
    """
    figure, ax = _plain(9.6, 4.2)
    floor, half = float(running[0]), (alpha[1] - alpha[0]) / 2
    ends = alpha + half  # of the steps; a sum is there when its last step is done
    ax.fill_between(ends, floor, running, color=RED, alpha=0.25, linewidth=0)
    ax.plot(ends, running, color=RED, linewidth=5, alpha=0.5, label="grey + running sum of shares")
    ax.plot(alpha, scores, color=BLUE, linewidth=2, label="the score, measured")
    for height, name in ((floor, "grey"), (float(scores[-1]), "the picture")):
        ax.axhline(height, color=MUTED, linestyle=":", linewidth=1.5)
        ax.annotate(name, (1.04, height), va="center", fontsize=SMALL, annotation_clip=False)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xlabel("how far from grey to the picture", fontsize=SMALL)
    ax.set_ylabel("score for cat", fontsize=SMALL)
    ax.legend(frameon=False, fontsize=SMALL, loc="center left")
    return figure


def sums_and_gaps(gaps: Tensor, sums: Tensor) -> Figure:
    """Draw what integrated gradients add up to over what the score gains, a dot for each scene.

    Args:
        gaps: `[N]`, the score of the picture less that of its baseline.
        sums: `[N]`, the sum of all values of the map.
    """
    figure, ax = _plain(5.4, 5)
    ends = [min(float(gaps.min()), 0) - 0.3, float(gaps.max()) + 0.5]
    ax.plot(ends, ends, color=MUTED, linestyle=":", linewidth=1.5)
    ax.plot(gaps, sums, "o", color=BLUE, markersize=6, alpha=0.7, markeredgecolor="white")
    ax.annotate("equal", (ends[1], ends[1]), ha="right", va="bottom", fontsize=SMALL)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set_xlabel("score of the picture − score of grey", fontsize=SMALL)
    ax.set_ylabel("sum of the map", fontsize=SMALL)
    return figure


def spread(values: Tensor, *, area: Tensor, xlabel: str) -> Figure:
    """Draw one dot for each scene, the median, the quartiles and, in words, both extremes.

    Args:
        values: `[N]`, the object's share of each scene's sum.
        area: `[N]`, the object's share of the pixels.
        xlabel: What the values are.
    """
    low, first, middle, third, high = values.quantile(
        torch.tensor([0, 0.25, 0.5, 0.75, 1])
    ).tolist()
    figure, ax = _plain(10, 3)
    ax.axvspan(first, third, color=FAINT, linewidth=0)
    ax.axvline(middle, color=RED, linewidth=2)
    ax.axvline(float(area.median()), color=MUTED, linestyle=":", linewidth=1.5)
    order = values.argsort()
    levels = torch.arange(len(values)) % 6  # so that dots at the same place can be seen
    ax.plot(
        values[order], levels, "o", color=BLUE, markersize=7, alpha=0.8, markeredgecolor="white"
    )
    said = f"median {middle:.2f}, half of all from {first:.2f} to {third:.2f}"
    ax.set_title(said, loc="left", fontsize=NORMAL)
    for value, level in ((low, int(levels[0])), (high, int(levels[-1]))):
        words = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
        ax.annotate(words, (value, level + 0.4), ha="center", fontsize=SMALL)
    ax.annotate(" area", (float(area.median()), 5.9), fontsize=SMALL, color=MUTED)
    ax.set(yticks=(), ylim=(-0.8, 6.6))
    ax.set_xlabel(xlabel, fontsize=SMALL)
    return figure


def _plain(width: float, height: float) -> tuple[Figure, Axes]:
    figure = vh.new_figure(width, height)
    ax = figure.add_subplot()
    _only_left_and_below(ax)
    return figure, ax


def _only_left_and_below(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=SMALL)


def _box(corner: tuple[float, float], width: float, height: float, colour: str) -> Rectangle:
    return Rectangle(corner, width, height, facecolor=colour, alpha=0.35, edgecolor=colour)


def _say(ax: Axes, x: float, y: float, words: str, colour: str) -> None:
    ax.text(x, y, words, color=colour, fontsize=NORMAL, ha="center", va="center")
