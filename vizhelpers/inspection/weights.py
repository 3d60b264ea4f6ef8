"""Statistics of weights: of a model, a state dict, or a file alone without its model class."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from html import escape
from math import isnan, nan, sqrt
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.progress_bar import with_progress
from vizhelpers._utils.weight_files import read_state_dict, state_dict_in

BINS, PIECE = 100, 1 << 22  # bins of a histogram; how many numbers are looked at together
CONV_AXES = ("kernel_number", "kernel_channel", "kernel_depth", "kernel_height", "kernel_width")
LINEAR_AXES = ("out_features", "in_features")
_COLUMNS = ("mean", "std", "min", "max", "norm", "zeros")


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
        tensors = state_dict_in(source).items()
    elif isinstance(source, str | os.PathLike):
        tensors = read_state_dict(Path(source))
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


# -- measuring --------------------------------------------------------------------------------


def _why_not(value: object) -> str:
    """Why there are no statistics of a value; empty where there are."""
    if not isinstance(value, Tensor):
        return f"no tensor but {type(value).__name__}"
    reasons = {
        "not made yet, a lazy layer makes it when the model first runs": is_lazy(value),
        "on the meta device, with a shape but no numbers": value.is_meta,
        "complex numbers": value.is_complex(),
        "integers": not (value.is_floating_point() or value.is_quantized),
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
