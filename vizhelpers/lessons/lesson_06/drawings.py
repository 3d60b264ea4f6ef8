"""What lesson 06 draws: the way of a number, curves, bands and gradients read from event files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

import vizhelpers as vh
from vizhelpers import charts
from vizhelpers.figures import COLOURS, MUTED, NORMAL, SMALL, Picture
from vizhelpers.tensorboard.events import Bins

Array = NDArray[np.float64]
# The shares of all values below the lines of the tab Distributions: as of a bell curve's 0, ±0.5,
# ±1 and ±1.5 standard deviations, and the two ends.
LEVELS = (0, 0.0668, 0.1587, 0.3085, 0.5, 0.6915, 0.8413, 0.9332, 1)
PARTS = {"train": "--", "val": "-"}


class Step(NamedTuple):
    """One box on the way of a number: what it is, and an example."""

    name: str
    example: str


WAY = (
    Step("your script", 'add_scalar("loss", 0.3, step)'),
    Step("an event file", "runs/first/events.out.…"),
    Step("the server", "tensorboard --logdir runs"),
    Step("the page", "http://localhost:6006"),
)
ARROWS = ("writes", "is read by", "is asked by")


def draw_way() -> Picture:
    """Draw how a number gets from a script to the page in the browser."""
    figure = vh.new_figure(10.4, 2)
    ax = figure.subplots()
    for place, step in enumerate(WAY):
        box = {"boxstyle": "round,pad=0.9", "facecolor": "white", "edgecolor": COLOURS[place]}
        ax.text(place, 0.62, step.name, ha="center", va="center", fontsize=15, bbox=box)
        ax.text(place, 0.12, step.example, ha="center", fontsize=SMALL, family="monospace")
    for place, words in enumerate(ARROWS):
        start, end = (place + 0.36, 0.62), (place + 0.64, 0.62)
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 2})
        ax.text(place + 0.5, 0.76, words, ha="center", fontsize=SMALL, color=MUTED)
    ax.set(xlim=(-0.5, 3.5), ylim=(0, 1))
    ax.set_axis_off()
    return figure


def draw_curves(
    folder: str | Path, tag: str, runs: Sequence[str], *, guess: float | None = None
) -> Picture:
    """Draw a tag of several trainings from their event files, side by side on one scale.

    Args:
        folder: The folder of all runs.
        tag: What was logged, in ``run/train``, ``run/val`` or both.
        runs: The names of the trainings.
        guess: What guessing would reach: a dotted line.
    """
    figure = vh.new_figure(10.4 if len(runs) > 1 else 6.4, 3.2)
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for ax, run in zip(axes, runs, strict=True):
        curves = vh.tensorboard.read_scalars(Path(folder, run))
        for (part, style), colour in zip(PARTS.items(), COLOURS, strict=False):
            if tag in curves.get(part, {}):
                ax.plot(*curves[part][tag], style, color=colour, label=part, lw=2)
        if guess is not None:
            ax.axhline(guess, color=MUTED, linestyle=":", label="guessing")
        _label(ax, f"{run}: {tag}", "epoch" if tag != "loss" else "step")
    axes[0].legend(fontsize=SMALL, frameon=False)
    return figure


def two_losses(epochs: int) -> dict[str, list[float]]:
    """Make up the loss of training and of validation: the one falls, the other turns."""
    falls = [0.9**epoch for epoch in range(epochs)]
    return {"train": falls, "val": [loss + 0.02 * epoch for epoch, loss in enumerate(falls)]}


def draw_toy_losses(folder: str | Path) -> Picture:
    """Draw the tag ``loss`` of ``one writer`` beside that of ``two writers/train`` and ``val``."""
    curves = vh.tensorboard.read_scalars(folder)
    two = {part: curves[f"two writers/{part}"]["loss"] for part in PARTS}
    return draw_lines(
        {"one writer: loss": {"one writer": curves["one writer"]["loss"]}, "two writers: loss": two}
    )


def draw_lines(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], xlabel: str = "step"
) -> Picture:
    """Draw panels side by side: a mapping from a title to labelled (steps, values)."""
    figure = vh.new_figure(10.4, 3.2)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for (label, curve), colour in zip(curves.items(), COLOURS, strict=False):
            ax.plot(*curve, color=colour, label=label, lw=1.8)
        _label(ax, title, xlabel)
        ax.legend(fontsize=SMALL, frameon=False)
    return figure


def smooth(values: ArrayLike, weight: float) -> Array:
    """Smooth a curve as the slider of TensorBoard's page does.

    Args:
        values: The logged curve, [N].
        weight: Where the slider stands, from 0 to less than 1.

    Returns:
        The strong line of the page, [N].

    Example:
        >>> smooth([1.0, 0.0], 0.5).round(2).tolist()
        [1.0, 0.33]
    """
    smoothed, last = [], 0.0
    for n, value in enumerate(np.asarray(values, dtype=np.float64), start=1):
        last = weight * last + (1 - weight) * value
        smoothed.append(last / (1 - weight**n))  # makes up for the start at 0
    return np.array(smoothed)


def draw_smoothed(values: ArrayLike, weights: Sequence[float], title: str = "") -> Picture:
    """Draw a curve pale, as logged, and strong as the page smooths it."""
    figure = vh.new_figure(9, 3.6)
    ax = figure.subplots()
    ax.plot(values, color="0.7", lw=1.2, label="as logged")
    for weight, colour in zip(weights, COLOURS[1:], strict=False):
        ax.plot(smooth(values, weight), color=colour, lw=2.2, label=f"smoothing {weight}")
    _label(ax, title, "step")
    ax.legend(fontsize=SMALL, frameon=False, loc="upper right")
    return figure


def known_curves() -> dict[str, Array]:
    """Make four losses of 200 steps whose truth is known: what hides behind their noise?"""
    step, noise = np.arange(200), np.random.default_rng(0).normal(0, 0.06, 200)
    fall = 0.2 + 0.8 * np.exp(-step / 40)
    turn = np.where(step < 150, fall, fall[150] + 0.012 * (step - 150))
    return {
        "falls": fall + noise,
        "stops falling at 60": np.maximum(fall, fall[60]) + noise,
        "one step explodes": fall + noise + 2.0 * (step == 120),
        "rises from 150 on": turn + noise,
    }


def percentiles(bins: Bins) -> Array:
    """Estimate the nine lines of the tab Distributions from the counts in a file."""
    shares = np.append(0, bins.counts.cumsum()) / bins.counts.sum()
    return np.interp(LEVELS, shares, bins.edges)


def draw_ridges_and_bands(every: Sequence[Bins], title: str = "") -> Picture:
    """Draw logged histograms twice: as ridges (Histograms) and from above (Distributions)."""
    figure = vh.new_figure(10.4, 4.2)
    left, right = figure.subplots(1, 2)
    for place, bins in enumerate(every):
        middles, height = _even_bins(bins)
        top = 3 * height / height.max() - place
        left.fill_between(middles, -place, top, color=COLOURS[4], ec="white", lw=0.8)
    left.set_yticks([-place for place in range(0, len(every), 5)], range(0, len(every), 5))
    left.set(ylabel="step")
    _label(left, f"{title}: ridges, one a step", "value")
    bands = np.array([percentiles(bins) for bins in every])
    for i in range(4):
        lower, upper = bands[:, i], bands[:, 8 - i]
        right.fill_between(range(len(every)), lower, upper, color=COLOURS[4], alpha=0.25, lw=0)
    right.plot(bands[:, 4], color=COLOURS[1], lw=2)
    right.set_ylabel("value")
    _label(right, f"{title}: the same from above", "step")
    return figure


def _even_bins(bins: Bins, count: int = 30) -> tuple[Array, Array]:
    """Count anew in bins of one width, as the page does: those in the file are narrow near 0."""
    edges = np.linspace(bins.edges[0], bins.edges[-1], count + 1)
    below = np.interp(edges, bins.edges, np.append(0, bins.counts.cumsum()))
    return (edges[:-1] + edges[1:]) / 2, np.diff(below)


def typical_size(bins: Bins) -> float:
    """Estimate the mean absolute value from a logged histogram."""
    middles = (bins.edges[:-1] + bins.edges[1:]) / 2
    return float((abs(middles) * bins.counts).sum() / bins.counts.sum())


def gradient_sizes(folder: str | Path, run: str) -> dict[str, list[float]]:
    """Read the typical size of each layer's gradient at each epoch: {layer: [size, …]}."""
    tags = vh.tensorboard.read_histograms(Path(folder, run, "train"))["."]
    return {
        tag.removeprefix("gradients/"): [typical_size(bins) for bins in every]
        for tag, every in tags.items()
        if tag.startswith("gradients/")
    }


def draw_gradients(folder: str | Path, runs: Sequence[str], epochs: tuple[int, int]) -> Picture:
    """Draw the gradients' typical size from the first layer to the last, a panel for each run.

    Args:
        folder: The folder of all runs.
        runs: The names of the trainings.
        epochs: Drawn as a solid and as a dashed line.
    """
    figure = vh.new_figure(10.4, 3.4)
    for ax, run, colour in zip(
        figure.subplots(1, len(runs), sharey=True), runs, COLOURS, strict=False
    ):
        sizes = gradient_sizes(folder, run)
        names = [name.removesuffix(".0") for name in sizes]
        for epoch, style in zip(epochs, ("o-", "o--"), strict=True):
            heights = [each[epoch] for each in sizes.values()]
            ax.semilogy(names, heights, style, color=colour, lw=2, label=f"epoch {epoch}")
        ax.yaxis.set_minor_locator(NullLocator())  # a hundred small ticks would take two seconds
        ax.tick_params(axis="x", rotation=60)
        ax.grid(axis="y", color="0.88")
        ax.legend(fontsize=SMALL, frameon=False)
        _label(ax, f"{run}: size of the gradients", "")
    return figure


def on_the_page(folder: str | Path, tags: Sequence[str]) -> Tensor:
    """Read images of one size back, the last of each tag: [N, 3, H, W] in [0, 1]."""
    found = vh.tensorboard.read_images(folder)["."]
    images = [torch.from_numpy(found[tag][-1].image) for tag in tags]
    return torch.stack(images).permute(0, 3, 1, 2) / 255


def principal(points: Tensor, count: int) -> Tensor:
    """Project points [N, D] on the directions in which they differ most (PCA): [N, count]."""
    centred = points.double() - points.double().mean(dim=0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:count]
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return centred @ (directions * largest.sign()).T  # which end is up is chance, so choose


def draw_confusion(confusion: Tensor, names: Sequence[str]) -> Picture:
    """Draw how often each class (row) was called each class (column)."""
    figure = vh.new_figure(6.8, 5.4)
    charts.draw_confusion(figure.subplots(), confusion, names)
    return figure


def _label(ax: Axes, title: str, xlabel: str) -> None:
    ax.set_title(title, fontsize=NORMAL, loc="left")
    ax.set_xlabel(xlabel)
    if xlabel in ("step", "epoch"):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
