"""Plot weights: kernels as pictures, and the distribution of every tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vizhelpers._utils.arrays import Floats, as_numbers
from vizhelpers._utils.checks import whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import did_you_mean
from vizhelpers.figures import (
    COLOURS,
    MUTED,
    NORMAL,
    SIGNED_MAP,
    SMALL,
    TINY,
    Picture,
    new_figure,
    number_text,
)
from vizhelpers.inspection.weights import (
    Source,
    statistics_of,
    tensors_of,
    values_of,
)
from vizhelpers.plotting import show_mosaic

PLAIN, CHOSEN = COLOURS[:2]
MAX_ROWS = 60  # of a picture


@clear_errors
def show_weight_stats(
    source: Source, *, names: Sequence[str] | None = None, title: str = ""
) -> Picture:
    """Draw the distribution of many tensors below each other, on one axis centred on zero.

    Of more than 60 tensors only the first are drawn, and that is said.

    Args:
        source: A model, a state dict or the path of a file, as for `weight_stats`.
        names: Which tensors; by default the weights of convolutions and linear layers.
        title: Stands above.

    Raises:
        ValueError: There is no tensor of a name, or nothing to draw.
    """
    tensors = dict(tensors_of(source))
    table = statistics_of(tensors.items())
    if names is None:
        names = table.index[table["what it is"].str.match("conv|linear")].tolist()
    if not names:
        raise ValueError("there are no weights to draw in this source; choose with names=…")
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in table.index:
            hint = did_you_mean(name, table.index)
            raise ValueError(f"there is no tensor {name!r} to draw. {hint}".rstrip())
    table = table.loc[names[:MAX_ROWS]]
    notes = ["each hill is drawn to its own height; the line below it is mean ± std"]
    far = table[["min", "max"]].abs().max(axis=None)
    # A single far value would press all hills into lines.
    reach = min(far, 7 * table["std"].max()) or far
    if far > reach:
        notes.append(f"values up to {far:.3g} lie beyond the axis")
    if len(names) > MAX_ROWS:
        notes.append(f"only the first {MAX_ROWS} of {len(names)} tensors")
    figure = new_figure(10.8, 0.22 * len(table) + 1.1)
    ax = figure.subplots()
    for place, name in enumerate(table.index):
        _draw_hill(ax, values_of(tensors[name]), place)
    _write_columns(ax, table)
    reach = reach if reach > 0 else 1.0  # zeros only, or not one finite number
    ax.set(xlim=(-reach, reach), ylim=(len(table) - 0.88, -0.88))
    ax.set_xlabel("; ".join(notes), fontsize=TINY, color=MUTED)
    ax.set_title(title or "weights", loc="left", fontsize=NORMAL, parse_math=False)
    return figure


def _draw_hill(ax: Axes, values: NDArray[np.float64], place: int) -> None:
    counts, edges = np.histogram(values[np.isfinite(values)], 100)
    # A far value is a thin line, so that the ends of a row can be seen.
    heights = np.maximum(0.78 * counts / max(counts.max(), 1), 0.05 * (counts > 0))
    ax.stairs(place - heights, edges, baseline=place, fill=True, color=PLAIN)


def _write_columns(ax: Axes, table: pd.DataFrame) -> None:
    """Names on the left, numbers on the right, and mean ± std below each hill."""
    places = np.arange(len(table))
    low, high = table["mean"] - table["std"], table["mean"] + table["std"]
    ax.hlines(places + 0.04, low, high, colors="black", linewidth=1.2)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.tick_params(labelsize=TINY)
    beside = ax.secondary_yaxis("right")
    numbers = zip(table["std"], table["zeros"], strict=True)
    texts = [f"{number_text(std)}, {zeros:.1%}" for std, zeros in numbers]
    for axis, labels in ((ax, table.index), (beside, texts)):
        axis.set_yticks(places, labels, fontsize=TINY, va="bottom", parse_math=False)
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "left", "right"]].set_visible(False)
    beside.set_ylabel("std, share of zeros", fontsize=TINY, color=MUTED)


@clear_errors
def show_kernels(
    weight: ArrayLike | Tensor, *, channel: int | None = None, title: str = ""
) -> Picture:
    """Draw kernels beside the distribution of the layer's weights.

    With ``channel``, the planes of that kernel, one per input channel, in colours that mean the
    same for every kernel of the layer. Without, all kernels at once where that can be done: as
    colours where they look at three channels, as planes where they look at one; else kernel 0.
    A linear layer, or one of 1×1 kernels, is one matrix, in which ``channel`` marks a row.

    Args:
        weight: [out, in, height, width] or [out, in].
        channel: Which kernel: an output channel of the layer.
        title: The layer's name, say.

    Raises:
        TypeError: ``weight`` is no tensor of numbers, or ``channel`` no integer.
        ValueError: Another shape, or no such channel.

    Example:
        >>> picture = show_kernels(model.conv1.weight, title="conv1")
        >>> picture = show_kernels(model.layer1[0].conv1.weight, channel=5)  # one kernel's planes
    """
    values = as_numbers(weight)
    shape = list(values.shape)
    if values.ndim not in (2, 4) or not values.size:
        hint = " Of a Conv1d: weight[:, :, None]." if values.ndim == 3 else ""
        raise ValueError(
            f"weight must be [out, in, height, width] or [out, in], not {shape}.{hint}"
        )
    if channel is not None and not 0 <= whole("channel", channel) < len(values):
        raise ValueError(f"channel must be 0 to {len(values) - 1}, not {channel}.")
    reach = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
    figure = new_figure(10.8, 6.4)
    figure.set_layout_engine(None)
    ax = figure.add_axes((0.05, 0.07, 0.58, 0.81), anchor="NW")
    if values[0, 0].size == 1:
        _draw_matrix(ax, values.reshape(shape[:2]), channel, reach)
    else:
        channel = _draw_planes(ax, values, channel, reach)
    _draw_distribution(figure.add_axes((0.745, 0.3, 0.21, 0.5)), values, channel, reach)
    figure.text(0.01, 0.985, title, fontsize=NORMAL, va="top", weight="bold", parse_math=False)
    return figure


def _draw_planes(ax: Axes, values: Floats, channel: int | None, reach: float) -> int | None:
    """Draw one kernel, or all where a tile can hold one; return which one is drawn."""
    count, depth = values.shape[:2]
    if channel is None and depth in (1, 3):
        how = "in colour" if depth == 3 else "one plane each"
        tiles, words = values, f"all {count} kernels, {how}"
    else:
        channel = channel or 0
        tiles = values[channel]
        words = f"kernel {channel} of {count}: a plane per input channel"
    show_mosaic(tiles, ax=ax, vmax=reach, center_zero=True, title=words, max_tiles=256)
    return channel


def _draw_matrix(ax: Axes, matrix: Floats, channel: int | None, reach: float) -> None:
    ax.imshow(matrix, SIGNED_MAP, vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
    ax.set_title("a row per output, a column per input", loc="left", fontsize=NORMAL)
    if channel is not None:
        ax.text(-0.5, channel, f"{channel} ▶", ha="right", va="center", color=CHOSEN)
        ax.set_yticks([])


def _draw_distribution(ax: Axes, values: Floats, channel: int | None, reach: float) -> None:
    edges = np.linspace(-reach, reach, 62 if values[0].size >= 300 else 22)
    parts = {"whole layer": values}
    if channel is not None:
        what = "row" if values[0, 0].size == 1 else "kernel"
        parts[f"{what} {channel}"] = values[channel]
    for (name, part), colour in zip(parts.items(), ("0.75", CHOSEN), strict=False):
        known = pd.Series(part[np.isfinite(part)])
        shares = np.histogram(known, edges)[0] / max(known.size, 1)
        label = f"{name}: std {number_text(known.std())}"
        ax.stairs(shares, edges, fill=part is values, color=colour, label=label)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.1, 1), frameon=False, fontsize=SMALL)
    ax.set(xlim=(-reach, reach), yticks=[])
    ax.set_xticks([-reach, 0, reach], [number_text(x) for x in (-reach, 0, reach)], fontsize=SMALL)
    ax.set_xlabel("value of a weight", fontsize=SMALL)
    ax.set_ylabel("share of the weights", fontsize=SMALL)
    ax.spines[["top", "left", "right"]].set_visible(False)
