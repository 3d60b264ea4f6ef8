"""Plot weights: kernels as pictures, and the distribution of every tensor."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from operator import index
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vizhelpers.figures import Picture, new_figure
from vizhelpers.inspection.weights import (
    WeightRow,
    WeightTable,
    _number,
    _share,
    _shorten,
)
from vizhelpers.plotting import show_mosaic

PLAIN, CHOSEN, MUTED = "#1f77b4", "#d62728", "0.45"


MAX_ROWS = 60  # of a picture


def show_weight_stats(
    table: WeightTable, *, names: Sequence[str] | None = None, title: str = ""
) -> Picture:
    """Draw the distribution of many tensors below each other, on one axis centred on zero.

    Of more than 60 tensors only the first are drawn, and that is said.

    Args:
        table: From `weight_stats`.
        names: Which tensors; by default the weights of convolutions and linear layers.
        title: Stands above.

    Raises:
        ValueError: A name is not in the table, or there is nothing to draw.
    """
    rows = [row for row in table if row.axes] if names is None else [table[n] for n in names]
    if not rows:
        raise ValueError("there are no weights to draw in this table; choose tensors with names=…")
    shown, left_out = rows[:MAX_ROWS], len(rows) - MAX_ROWS
    notes = ["each hill is drawn to its own height; the line below it is mean ± std"]
    # A single far value would press all hills into lines.
    far = max([0.0, *(max(-row.min, row.max) for row in shown if row.count > row.nonfinite)])
    reach = min(far, 7 * max([0.0, *(row.std for row in shown if row.std > 0)])) or far or 1.0
    if far > reach:
        notes.append(f"values up to {far:.3g} lie beyond the axis")
    if left_out > 0:
        notes.append(f"only the first {MAX_ROWS} of {len(rows)} tensors")
    width, height = 900, 20 * len(shown) + 110
    figure = new_figure(width / 100, height / 100)
    figure.set_layout_engine(None)
    labels = [_shorten(row.name, 36) for row in shown]
    left = (max(map(len, labels)) * 6.6 + 20) / width
    box = (left, 65 / height, 1 - left - 130 / width, 20 * len(shown) / height)
    ax = figure.add_axes(box)
    _draw_hills(ax, shown, reach)
    _write_columns(ax, shown, labels)
    ax.set_xlabel("; ".join(notes), fontsize=8, color=MUTED)
    figure.text(8 / width, 1 - 8 / height, title or "weights", fontsize=11, va="top")
    return figure


def _draw_hills(ax: Axes, rows: Sequence[WeightRow], reach: float) -> None:
    hills, lines = [], []
    for place, row in enumerate(rows):
        counts, edges = row.histogram
        # A far value is a thin line, so that the ends of a row can be seen.
        heights = np.maximum(0.78 * counts / max(counts.max(), 1), 0.05 * (counts > 0))
        xs = np.concatenate([edges[:1], edges.repeat(2)[1:-1], edges[-1:]])
        ys = np.concatenate([[0], heights.repeat(2), [0]])
        hills.append(np.column_stack([xs, place + 0.88 - ys]))
        lines.append([(row.mean - row.std, place + 0.92), (row.mean + row.std, place + 0.92)])
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.add_collection(PolyCollection(hills, facecolors=PLAIN, linewidths=0), autolim=False)
    ax.add_collection(LineCollection(lines, colors="black", linewidths=1.2), autolim=False)
    ax.set(xlim=(-reach, reach), ylim=(len(rows), 0), yticks=[])
    ax.tick_params(labelsize=8)
    ax.spines[["top", "left", "right"]].set_visible(False)


def _write_columns(ax: Axes, rows: Sequence[WeightRow], labels: Sequence[str]) -> None:
    place = ax.get_yaxis_transform()
    pixels = ax.get_window_extent().width
    columns = (-8 / pixels, 1 + 55 / pixels, 1 + 118 / pixels)
    for x, head in zip(columns[1:], ("std", "zeros"), strict=True):
        ax.text(x, -0.1, head, transform=place, ha="right", fontsize=8, color=MUTED)
    middle: dict[str, Any] = {"ha": "right", "va": "center"}
    for down, (row, label) in enumerate(zip(rows, labels, strict=True)):
        zeros = _share(row.zeros)
        for x, text in zip(columns, (label, _number(row.std), zeros), strict=True):
            colour = CHOSEN if text == zeros and row.zeros >= 0.01 else "black"
            ax.text(x, down + 0.6, text, transform=place, fontsize=8, color=colour, **middle)


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
    """
    values = _kernels(weight)
    if channel is not None and not 0 <= index(channel) < len(values):
        raise ValueError(f"channel must be 0 to {len(values) - 1}, not {channel}.")
    finite = values[np.isfinite(values)]
    reach = float(np.abs(finite).max(initial=0)) or 1.0
    figure = new_figure(9, 6.4)
    figure.set_layout_engine(None)
    ax = figure.add_axes((0.05, 0.07, 0.58, 0.81), anchor="NW")
    if values.ndim == 2:
        _draw_matrix(ax, values, channel, reach)
    else:
        channel = _draw_planes(ax, values, channel, reach)
    beside = figure.add_axes((0.745, 0.3, 0.21, 0.5))
    _draw_distribution(beside, finite, values, channel, reach)
    heading = f"{title}  {list(np.shape(weight))}".strip()
    figure.text(0.01, 0.985, heading, fontsize=12, va="top", weight="bold")
    return figure


def _kernels(weight: ArrayLike | Tensor) -> NDArray[np.float32]:
    """[out, in, height, width], or [out, in] of linear layers and 1×1 kernels."""
    if isinstance(weight, Tensor) and not weight.is_complex():
        weight = weight.detach().cpu().float().numpy()
    array = np.asarray(None if isinstance(weight, Tensor) else weight)
    if array.dtype.kind not in "biuf":
        raise TypeError("weight must be a tensor or an array of real numbers: layer.weight, say.")
    if array.ndim not in (2, 4) or not array.size:
        hint = " Of a Conv1d: weight[:, :, None]." if array.ndim == 3 else ""
        raise ValueError(
            f"weight must be [out, in, height, width] or [out, in], not {list(array.shape)}.{hint}"
        )
    array = array.astype(np.float32)
    return array[:, :, 0, 0] if array.shape[2:] == (1, 1) else array


def _draw_planes(
    ax: Axes, values: NDArray[np.float32], channel: int | None, reach: float
) -> int | None:
    """Draw one kernel, or all where a tile can hold one; return which one is drawn."""
    count, depth = values.shape[:2]
    if channel is None and depth in (1, 3):
        how = "in colour" if depth == 3 else "one plane each"
        tiles, words = values if depth == 3 else values[:, 0], f"all {count} kernels, {how}"
    else:
        channel = channel or 0
        tiles = values[channel]
        words = f"kernel {channel} of {count}: a plane per input channel"
    show_mosaic(tiles, ax=ax, vmax=reach, center_zero=True, title=words, max_tiles=256)
    return channel


def _draw_matrix(ax: Axes, values: NDArray[np.float32], channel: int | None, reach: float) -> None:
    wide, high = values.shape[1], len(values)
    # A row of a matrix that is much wider than high is too thin to be seen.
    rows = values.repeat(max(1, wide // (2 * high)) if wide < 500 else 1, axis=0)
    show_mosaic(rows[None], ax=ax, vmax=reach, center_zero=True)
    ax.set_title("a row per output, a column per input", loc="left", fontsize=11)
    if channel is not None:
        height = ax.get_ylim()[0] + 0.5
        where = (-0.5, (channel + 0.5) / high * height - 0.5)
        ax.annotate(f"{channel} ▶", where, ha="right", va="center", color=CHOSEN)


def _draw_distribution(
    ax: Axes,
    finite: NDArray[np.float32],
    values: NDArray[np.float32],
    channel: int | None,
    reach: float,
) -> None:
    edges = np.linspace(-reach, reach, 62 if values[0].size >= 300 else 22)
    shares = [np.histogram(finite, edges)[0] / max(finite.size, 1)]
    ax.stairs(shares[0], edges, fill=True, color="0.75")
    words = [f"whole layer: std {_number(_std(finite))}"]
    if channel is not None:
        shares.append(np.histogram(values[channel], edges)[0] / values[channel].size)
        ax.stairs(shares[1], edges, color=CHOSEN)
        what = "row" if values.ndim == 2 else "kernel"
        words.append(f"{what} {channel}: std {_number(_std(values[channel]))}")
    for down, (text, colour) in enumerate(zip(words, (MUTED, CHOSEN), strict=False)):
        ax.text(0, 1.1 - 0.06 * down, text, transform=ax.transAxes, fontsize=9, color=colour)
    ax.set(xlim=(-reach, reach), yticks=[], ylim=(0, None), xticks=[-reach, 0, reach])
    ax.set_xticklabels([f"−{reach:.3g}", "0", f"{reach:.3g}"], fontsize=9)
    ax.set_xlabel("value of a weight", fontsize=9)
    ax.set_ylabel("share of the weights", fontsize=9)
    ax.spines[["top", "left", "right"]].set_visible(False)


def _std(values: NDArray[np.float32]) -> float:
    """As in the table."""
    return float(values.std(ddof=1, dtype=np.float64)) if values.size > 1 else nan
