"""Weights as they are: their statistics from a file alone, and pictures of them.

Belongs here: what reads a state dict, measures its tensors one at a time, and draws them. No
network is built or run; what a layer answers to an image is in other rooms.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from html import escape
from math import isnan, nan, sqrt
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers.pictures import Picture, new_figure, show_mosaic
from vizhelpers.waiting import with_progress

PLAIN, CHOSEN, MUTED = "#1f77b4", "#d62728", "0.45"
BINS, PIECE = 100, 1 << 22  # bins of a histogram; how many numbers are looked at together
MAX_ROWS = 60  # of a picture
CONV_AXES = ("kernel_number", "kernel_channel", "kernel_depth", "kernel_height", "kernel_width")
LINEAR_AXES = ("out_features", "in_features")
_COLUMNS = ("mean", "std", "min", "max", "norm", "zeros")
_LAST_PARTS = ("weight", "bias", "running_mean", "running_var")  # a layer's tensors, in order


class Histogram(NamedTuple):
    """How many values lie between neighbouring edges: ``counts`` [100], ``edges`` [101]."""

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeightRow:
    """One tensor's statistics, computed in float64 from its finite values.

    Attributes:
        name: Its key in the state dict.
        shape: Its shape.
        kind: The last part of the name: ``"weight"``, ``"bias"``, ``"running_mean"``, …
        meaning: The same in words, as far as names and shapes tell: ``"conv, no bias"``.
        axes: What each dimension of a weight counts; empty for everything else.
        count: How many numbers it has.
        mean: Their mean.
        std: Their standard deviation, with ``count - 1`` below the line (as `torch.std`); NaN
            for a single number.
        min: The smallest.
        max: The largest.
        norm: Their L2 norm: the root of the sum of their squares.
        zeros: Share that is exactly zero, 0 to 1.
        nonfinite: How many are NaN or infinite.
        histogram: From `min` to `max`.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    meaning: str
    axes: tuple[str, ...]
    count: int
    mean: float
    std: float
    min: float
    max: float
    norm: float
    zeros: float
    nonfinite: int
    histogram: Histogram = field(repr=False)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{c} {t}" for c, t in zip(_COLUMNS, _texts(self), strict=True))
        return f"{self.name} {list(self.shape)} {self.meaning}: {numbers}"


@dataclass(frozen=True, repr=False, eq=False)
class WeightTable(Sequence[WeightRow]):
    """Statistics of many tensors; shows itself as text or, in a notebook, as a table.

    ``table[0]`` is a row, ``table[:5]`` a shorter table, ``table["conv1.weight"]`` the row of that
    name. ``WeightTable([row for row in table if row.axes])`` keeps the weights only.

    Attributes:
        rows: One for each tensor that holds real numbers.
        skipped: Names of all others, and why they have no statistics.
        notes: What else is to be known; shown below the table.
    """

    rows: Sequence[WeightRow]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The rows' names."""
        return [row.name for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> WeightRow: ...
    @overload
    def __getitem__(self, key: slice) -> WeightTable: ...
    def __getitem__(self, key: int | str | slice) -> WeightRow | WeightTable:
        """Return one row by place or name, or some rows; ValueError where no tensor is so named."""
        if isinstance(key, slice):
            return WeightTable(self.rows[key])
        if isinstance(key, int):
            return self.rows[key]
        if key in self.skipped:
            raise ValueError(f"{key!r} has no statistics: {self.skipped[key]}.")
        if key not in self.names:
            near = ", ".join(get_close_matches(key, self.names, cutoff=0.0))
            raise ValueError(f"no tensor {key!r} in this table; the nearest: {near or 'none'}.")
        return self.rows[self.names.index(key)]

    def __repr__(self) -> str:
        names = [_shorten(row.name, 28) for row in self.rows]
        wide = max(map(len, [*names, "name"]))
        lines = [_line("name", wide, "shape", "what it is", _COLUMNS)]
        for name, row in zip(names, self.rows, strict=True):
            lines.append(_line(name, wide, _shape(row), row.meaning, _texts(row)))
        return "\n".join([*lines, *_remarks(self)])

    def _repr_html_(self) -> str:
        titles = ["Tensor", "Shape", "What it is", "From min to max", *_COLUMNS]
        head = "".join(_cell(title, "th", left=i in (0, 2, 3)) for i, title in enumerate(titles))
        rows = []
        for row in self.rows:
            cells = [_cell(f"<b>{escape(row.name)}</b>", left=True)]
            cells += [_cell(_shape(row)), _cell(row.meaning, left=True)]
            cells += [_cell(_sparkline(row.histogram), left=True), *map(_cell, _texts(row))]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        foot = "<br>".join(f"<i>{escape(remark)}</i>" for remark in _remarks(self))
        return (
            '<div style="overflow: auto; max-height: 40em"><table style="margin-left: 0">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            f"<p>{foot}</p></div>"
        )


def weight_stats(
    source: nn.Module | Mapping[str, Any] | str | os.PathLike[str],
) -> WeightTable:
    """Measure every tensor of a model, a state dict or a file; no model class is needed.

    Rows come in the order of the state dict: that in which the layers were declared, usually the
    one in which they run. A .safetensors file does not keep it; its rows are sorted by name.
    One tensor is held as float64 at a time, in pieces. What a tensor is, is told from names and
    shapes alone, so a matrix of an embedding passes for a linear layer, and a transposed
    convolution for a plain one (its first two axes are really the other way round).

    Args:
        source: A model; a state dict, or a checkpoint that holds one; or the path of a
            .safetensors, .pth or .pt file. A file is read without running code that it may hold.

    Raises:
        TypeError: ``source`` is something else.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds no state dict; the message says what to do.
    """
    tensors: Iterable[tuple[str, Any]]
    notes = []
    if isinstance(source, nn.Module):
        tensors = source.state_dict().items()
    elif isinstance(source, Mapping):
        tensors = _state_dict_in(source).items()
    elif isinstance(source, str | os.PathLike):
        tensors = _read(Path(source))
        if Path(source).suffix == ".safetensors":
            notes.append(
                "A .safetensors file keeps names sorted, not the order of the layers; "
                "a model's state_dict() has that."
            )
    else:
        raise TypeError(
            "source must be a model, a state dict or the path of a file, "
            f"not {type(source).__name__}."
        )
    measured, skipped = {}, {}
    for name, value in with_progress(tensors, "weights"):
        if reason := _why_not(value):
            skipped[name] = reason
        else:
            measured[name] = tuple(value.shape), _measure(value)
    shapes = {name: shape for name, (shape, _) in measured.items()}
    rows = []
    for name, (shape, numbers) in measured.items():
        meaning, axes = _meaning(name, shapes)
        rows.append(WeightRow(name, shape, name.rpartition(".")[2], meaning, axes, *numbers))
    return WeightTable(tuple(rows), skipped, tuple(notes))


# -- reading ----------------------------------------------------------------------------------


def _read(path: Path) -> Iterable[tuple[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, zip, pickle: each has its own kinds
        raise ValueError(f"{path.name} {_what_is_wrong(path, error)}") from error
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{path.name} holds no state dict but a {type(state).__name__}. "
            "Make one with torch.save(model.state_dict(), path)."
        )
    return _state_dict_in(state).items()


def _from_safetensors(path: Path) -> Iterable[tuple[str, Tensor]]:
    from safetensors import safe_open

    file: Any = safe_open(path, "pt")
    return ((name, file.get_tensor(name)) for name in sorted(file.keys(), key=_by_number))


def _by_number(name: str) -> tuple[list[str | int], int, str]:
    """Sort ``features.3`` before ``features.10``, and a layer's weight before its bias."""
    layer, _, last = name.rpartition(".")
    parts = [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", layer)]
    return parts, _LAST_PARTS.index(last) if last in _LAST_PARTS else len(_LAST_PARTS), last


def _what_is_wrong(path: Path, error: Exception) -> str:
    if "Unsupported global" in str(error) or "TorchScript" in str(error):
        return (
            "holds a whole model, which is a program, and was not opened. Where the model can be "
            "loaded, save its numbers alone: torch.save(model.state_dict(), path)."
        )
    what = "is damaged, cut short or no weights file" if path.stat().st_size else "is empty"
    return f"{what}. Copy or download it again."


def _state_dict_in(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping itself, or the one inside it that holds tensors (a checkpoint)."""
    inner = {
        key: value
        for key, value in mapping.items()
        if isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())
    }
    for key in ("state_dict", "model_state_dict", "model"):
        if key in inner:
            return inner[key]
    if any(isinstance(value, Tensor) for value in mapping.values()):
        return mapping
    if len(inner) == 1:
        return next(iter(inner.values()))
    what = "several state dicts; pass one of them" if inner else "no tensors"
    raise ValueError(f"this checkpoint holds {what}. Its keys: {', '.join(map(str, mapping))}.")


# -- measuring --------------------------------------------------------------------------------


def _why_not(value: object) -> str:
    """Why there are no statistics of a value; empty where there are."""
    if not isinstance(value, Tensor):
        return f"no tensor but {type(value).__name__}"
    reasons = {
        "not made yet, a lazy layer makes it when the model first runs": is_lazy(value),
        "on the meta device, with a shape but no numbers": value.is_meta,
        "complex numbers": value.is_complex(),
        "whole numbers": not (value.is_floating_point() or value.is_quantized),
    }
    found = next((reason for reason, is_so in reasons.items() if is_so), "")
    return found or ("" if value.numel() else "empty")


def _measure(
    tensor: Tensor,
) -> tuple[int, float, float, float, float, float, float, int, Histogram]:
    """Everything from `WeightRow.count` on, in two passes over finite values as float64."""
    flat: Any = tensor.detach().cpu()
    flat = flat.dequantize() if flat.is_quantized else flat.to_dense()
    flat, count = flat.reshape(-1), flat.numel()

    def pieces() -> Iterator[NDArray[np.float64]]:
        for piece in flat.split(PIECE):
            numbers = piece.double().numpy()
            finite = np.isfinite(numbers)
            yield numbers if finite.all() else numbers[finite]

    known, zeros, total, low, high = 0, 0, 0.0, np.inf, -np.inf
    for piece in pieces():
        known, zeros, total = (
            known + piece.size,
            zeros + int((piece == 0).sum()),
            total + piece.sum(),
        )
        low, high = min(low, piece.min(initial=np.inf)), max(high, piece.max(initial=-np.inf))
    if not known:
        empty = Histogram(np.zeros(BINS, dtype=np.int64), np.linspace(-0.5, 0.5, BINS + 1))
        return count, nan, nan, nan, nan, nan, 0.0, count, empty
    mean, squares = total / known, 0.0
    span = (low, high) if low < high else (low - 0.5, high + 0.5)
    edges = np.linspace(*span, BINS + 1)
    counts = np.zeros(BINS, dtype=np.int64)
    for piece in pieces():
        squares += ((piece - mean) ** 2).sum()
        counts += np.histogram(piece, BINS, span)[0]
    std = sqrt(squares / (known - 1)) if known > 1 else nan
    norm = sqrt(squares + known * mean**2)
    numbers = (float(mean), std, float(low), float(high), norm)
    return count, *numbers, zeros / count, count - known, Histogram(counts, edges)


def _meaning(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, tuple[str, ...]]:
    """What a tensor is, from its name, its shape and its neighbours; and a weight's axes."""
    parent, _, kind = name.rpartition(".")
    prefix = f"{parent}." if parent else ""
    size, weight, bias = len(shapes[name]), f"{prefix}weight", f"{prefix}bias"
    # A normalisation's weight is a vector with a bias or running statistics beside it.
    scales = len(shapes.get(weight, ())) == 1 and (
        bias in shapes or f"{prefix}running_var" in shapes
    )
    if scales and name in (weight, bias):
        return ("γ, scale" if name == weight else "β, shift"), ()
    if "weight" in kind and 2 <= size <= 5:
        alone = "" if prefix + kind.replace("weight", "bias") in shapes else ", no bias"
        if size == 2:
            return f"linear{alone}", LINEAR_AXES
        return f"conv{alone}", CONV_AXES[:2] + CONV_AXES[2 - size :]
    words = {"running_mean": "running mean", "running_var": "running var"}
    return words.get(kind, kind), ()


# -- as text ----------------------------------------------------------------------------------


def _texts(row: WeightRow) -> list[str]:
    numbers = [row.mean, row.std, row.min, row.max, row.norm]
    return [*map(_number, numbers), _share(row.zeros)]


def _number(value: float) -> str:
    if isnan(value):
        return "–"
    size = abs(value)
    if size >= 1e4 or 0 < size < 0.001:
        return f"{value:.{1 if value > 0 else 0}e}"  # as much as a column holds
    return f"{value:.{0 if size >= 100 else 2 if size >= 1 else 4}f}" if value else "0"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or not share else "<0.1%"


def _shape(row: WeightRow) -> str:
    return "×".join(map(str, row.shape)) or "one number"


def _shorten(name: str, length: int) -> str:
    """Leave out the middle of a long name: its layer is at the front, its kind at the end."""
    half = length // 2
    return name if len(name) <= length else f"{name[: half - 1]}…{name[half - length :]}"


def _line(name: str, wide: int, shape: str, meaning: str, numbers: Iterable[str]) -> str:
    return f"{name:<{wide}} {shape:>12}  {meaning:<13}" + "".join(f"{n:>8}" for n in numbers)


def _remarks(table: WeightTable) -> list[str]:
    broken = [row for row in table if row.nonfinite]
    remarks = [f"{r.name}: {r.nonfinite} of {r.count} are NaN or infinite" for r in broken]
    reasons = defaultdict(list)
    for name, reason in table.skipped.items():
        reasons[reason].append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        remarks.append(f"Without statistics: {names[0]}{more} ({reason}).")
    return [*remarks, *table.notes]


def _cell(text: str, tag: str = "td", *, left: bool = False) -> str:
    align = "left" if left else "right"
    return f'<{tag} style="text-align: {align}; white-space: nowrap">{text}</{tag}>'


def _sparkline(histogram: Histogram) -> str:
    heights = histogram.counts.reshape(10, -1).sum(axis=1)
    levels = np.ceil(7 * heights / max(heights.max(), 1)).astype(int)
    return "".join(" ▁▂▃▄▅▆▇"[level] if level else "\N{EN SPACE}" for level in levels)


# -- as pictures ------------------------------------------------------------------------------


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
        TypeError: ``weight`` is no tensor of numbers, or ``channel`` no whole number.
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
