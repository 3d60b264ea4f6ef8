"""What the tools of the clinic draw. It only draws: every number is given to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

import vizhelpers as vh
from vizhelpers.charts import draw_confusion
from vizhelpers.figures import COLOURS, FAINT, MARKERS, MUTED, NORMAL, SMALL, Picture, number_text
from vizhelpers.lessons.lesson_07.case import History

ByLayer = Mapping[str, float]
CHANNELS = {"red": "#C1272D", "green": "#3A7D2C", "blue": "#0072B2"}
STYLES = ("-", "--", ":")


def draw_inputs(photos: Tensor, seen: Tensor, names: Sequence[str], inputs: Tensor) -> Picture:
    """Draw photos above what a network gets of them, and how its numbers are distributed.

    Args:
        photos: ``[N, 3, H, W]`` in [0, 1].
        seen: ``[N, 3, h, w]`` in [0, 1].
        names: What the labels say.
        inputs: ``[M, 3, h, w]``, the numbers that go in.
    """
    figure = vh.new_figure(10.8, 8.2)
    grid = figure.add_gridspec(3, len(photos), height_ratios=(1, 1, 0.75))
    sides = [f"{each.shape[-2]} × {each.shape[-1]}" for each in (photos, seen)]
    words = (f"photos, {sides[0]}, and their labels", f"as the network gets them, {sides[1]}")
    for row, (images, title) in enumerate(zip((photos, seen), words, strict=True)):
        for place, image in enumerate(images):
            ax = figure.add_subplot(grid[row, place])
            ax.imshow(image.permute(1, 2, 0).numpy())
            ax.set(xticks=[], yticks=[])
            if row == 0:
                ax.set_xlabel(names[place], fontsize=NORMAL)
            if place == 0:
                ax.set_title(title, loc="left", fontsize=NORMAL)
    ax = figure.add_subplot(grid[2, :])
    _draw_channels(ax, inputs)
    _draw_key(figure, ax)
    return figure


def _draw_channels(ax: Axes, inputs: Tensor) -> None:
    low, high = (float(value) for value in inputs.aminmax())
    edges = np.linspace(min(low, -2.3), max(high, 2.8), 80)
    for (name, colour), style, values in zip(
        CHANNELS.items(), STYLES, inputs.double().unbind(1), strict=True
    ):
        heights, _ = np.histogram(values.flatten(), edges, density=True)
        mean, std = (number_text(float(each)) for each in (values.mean(), values.std()))
        label = f"{name}: mean {mean}, std {std}"
        ax.plot((edges[:-1] + edges[1:]) / 2, heights, style, color=colour, lw=2, label=label)
    ax.axvspan(-1, 1, color=FAINT, zorder=0)
    _finish(ax, "values that go in (grey: −1 to 1)", "value")
    ax.set_yticks([])


def draw_by_layer(
    numbers: Mapping[str, Mapping[str, ByLayer]], *, shares: str | None = None
) -> Picture:
    """Draw numbers by layer, from the first on top to the last: a panel for each kind of number.

    The axes are logarithmic, with words at their ends: for 0 and for no number at all at the left,
    for the infinite at the right.

    Args:
        numbers: A panel's title → a series' name → a layer's name → the number.
        shares: The title of a panel with shares from 0 to 1, on an even axis.
    """
    names = list(dict.fromkeys(name for s in numbers.values() for v in s.values() for name in v))
    figure = vh.new_figure(10.8, 1.1 + 0.27 * len(names))
    axes = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for ax, (title, series) in zip(axes, numbers.items(), strict=True):
        low, high = _ends([value for values in series.values() for value in values.values()])
        for which, (label, values) in enumerate(series.items()):
            places = {names.index(name): value for name, value in values.items()}
            if title != shares:
                _draw_special(ax, places, which, (low, high))
                places = {at: v if 0 < v < math.inf else math.nan for at, v in places.items()}
            style = f"{MARKERS[which]}{STYLES[which]}"
            drawn = list(places.values()), list(places)
            ax.plot(*drawn, style, color=COLOURS[which], lw=1.5, ms=7, label=label)
        if title == shares:
            ax.set_xlim(-0.03, 1.03)
        else:
            ax.set_xscale("log")
            ax.set_xlim(low / 1.5, high * 1.5)
        ax.grid(color=FAINT)
        ax.set_axisbelow(True)
        _finish(ax, title, "")
    axes[0].set_yticks(range(len(names)), names, fontsize=SMALL, parse_math=False)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    _draw_key(figure, axes[0])
    return figure


def _ends(every: Sequence[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis, at least a factor of 100 apart."""
    known = [value for value in every if 0 < value < math.inf] or [1.0]
    low, high = min(known) / 3, max(known) * 3
    return min(low, high / 100), high


def _draw_special(
    ax: Axes, places: Mapping[int, float], which: int, ends: tuple[float, float]
) -> None:
    """Write what has no place on a logarithmic axis: 0, no number, and the infinite."""
    for place, value in places.items():
        if 0 < value < math.inf:
            continue
        far = value == math.inf
        words = "no such name in the start" if far else "none" if math.isnan(value) else "0"
        ax.plot(ends[far], place, "x", color=COLOURS[which], ms=9, mew=2.5)
        shift, side = (-9, "right") if far else (9 + 34 * which, "left")
        ax.annotate(
            words,
            (ends[far], place),
            (shift, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=SMALL,
            color=COLOURS[which],
        )


def draw_curves(histories: Mapping[str, History]) -> Picture:
    """Draw loss and accuracies during the training, of one network or of two on one scale."""
    figure = vh.new_figure(10.8, 4)
    left, right = figure.subplots(1, 2)
    for which, (who, history) in enumerate(histories.items()):
        colour = COLOURS[which]
        left.plot(*history["loss"], color=colour, lw=1.8, label=who)
        for part, style in (("training", "-"), ("validation", "--")):
            if curve := history.get(f"accuracy, {part}"):
                right.plot(*curve, style, color=colour, lw=2, label=f"{who}, {part}")
    losses = [value for history in histories.values() for value in history["loss"][1]]
    if max(losses) > 50:
        left.set_yscale("log")
    else:
        left.set_ylim(bottom=0)
    right.set_ylim(-0.03, 1.03)
    _finish(left, "loss on the training's batches", "step")
    _finish(right, "accuracy", "step")
    for ax in (left, right):
        ax.grid(color=FAINT)
        ax.legend(fontsize=SMALL, frameon=False)
    return figure


def draw_mistakes(
    confusion: Tensor, classes: Sequence[str], photos: Tensor, names: Sequence[str], share: float
) -> Picture:
    """Draw how often each class (row) was called each class (column), and wrong answers.

    Args:
        confusion: int64 ``[C, C]``.
        classes: The classes' names.
        photos: ``[N, 3, H, W]`` in [0, 1], up to four that were wrong.
        names: What stands below them.
        share: Of all answers that are right.
    """
    figure = vh.new_figure(10.8, 5.2)
    grid = figure.add_gridspec(2, 4)
    ax = figure.add_subplot(grid[:, :2])
    draw_confusion(ax, confusion, classes, truth="the label says")
    ax.tick_params(labelsize=SMALL)
    ax.set_title(f"{100 * share:.0f} % are right", loc="left", fontsize=NORMAL)
    for place, (photo, name) in enumerate(zip(photos, names, strict=True)):
        ax = figure.add_subplot(grid[place // 2, 2 + place % 2])
        ax.imshow(photo.permute(1, 2, 0).numpy())
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, loc="left", fontsize=SMALL)
    if not names:
        ax = figure.add_subplot(grid[:, 2:])
        ax.text(0.5, 0.5, "no picture is wrong", ha="center", fontsize=NORMAL, color=MUTED)
        ax.set_axis_off()
    return figure


def _draw_key(figure: Picture, ax: Axes) -> None:
    """Write below everything which line is which."""
    handles, labels = ax.get_legend_handles_labels()
    place: Any = "outside lower left"
    figure.legend(handles, labels, loc=place, ncols=4, frameon=False, fontsize=SMALL)


def say(words: str, *, size: float = NORMAL, lines: int = 1) -> Picture:
    """Draw words alone, for a tool that has nothing else to show; and tables made of letters."""
    figure = vh.new_figure(10.8, 0.5 + 0.19 * lines)
    family = "monospace" if lines > 1 else "sans-serif"
    figure.text(0.01, 0.5, words, va="center", fontsize=size, family=family, parse_math=False)
    return figure


def _finish(ax: Axes, title: str, xlabel: str) -> None:
    ax.set_title(title, fontsize=NORMAL, loc="left")
    ax.set_xlabel(xlabel)
    ax.spines[["top", "right"]].set_visible(False)
