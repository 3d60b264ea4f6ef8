"""Charts of scores: what came out, how sure that is, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10, sqrt
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from torch import Tensor

from vizhelpers._utils.arrays import as_numbers
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import (
    COLOURS,
    DPI,
    FAINT,
    LINE,
    MARKERS,
    MUTED,
    NORMAL,
    SMALL,
    Picture,
    PictureAxes,
    number_text,
)

WIDE, LEVEL = 760, 0.95  # screen pixels of a chart without its legend; of an interval


class Score(NamedTuple):
    """A value and the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


@clear_errors
def show_scores(
    scores: Mapping[str, Any],
    *,
    reference: Mapping[str, float] | None = None,
    percent: bool = False,
    title: str = "",
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Compare scores: a chart with a dot and an interval for each, on one axis (forest plot).

    From top to bottom in the order given, with the value written beside each dot. Series differ
    in colour and in the shape of their dots.

    Args:
        scores: A name for each score, which is a number, ``(value, low, high)``, or an array of
            four measurements or more: their mean with a 95 % interval (bootstrap; for booleans,
            such as right or wrong, Wilson's, which is honest even where all are right). For
            several series, a mapping from a series' name to such a mapping.
        reference: Values to compare with, by name; each becomes a dotted line.
        percent: Write 0.9 as 90 %.
        title: Stands above.
        xlabel: What is measured: stands below.
        ax: Where to draw; by default a new figure, as high as needed.

    Returns:
        The axes drawn on. A cell that ends with them shows the chart.

    Raises:
        TypeError: ``scores`` is no mapping, or a score is no number.
        ValueError: there are no scores, or one has another form or lies outside its interval.

    Example:
        >>> show_scores({"Grad-CAM": (0.95, 0.88, 1), "centre": 0.68}, reference={"chance": 0.2})
        >>> show_scores({"trained": {"all": torch.rand(20)}, "untrained": {"all": torch.rand(20)}})
    """
    series = _series(scores)
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    present = [[key for key in series if name in series[key]] for name in names]
    heights = [LINE * len(keys) + 14 for keys in present]
    lines = dict(reference or {})
    if ax is None:
        ax = _new_axes(sum(heights), names, title, xlabel, levels=len(lines), keys=list(series))
    middles = np.cumsum(heights) - np.array(heights) / 2
    for name, keys, middle in zip(names, present, middles, strict=True):
        for place, key in enumerate(keys):
            down = middle + LINE * (place - (len(keys) - 1) / 2)
            _draw_score(ax, series[key][name], down, list(series).index(key), percent)
    ax.set_ylim(sum(heights), 0)
    ax.set_yticks(middles, names, fontsize=SMALL, parse_math=False)
    _set_range(ax, [score for values in series.values() for score in values.values()], lines)
    _draw_references(ax, lines, percent)
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.tick_params(labelsize=SMALL, length=0)
    ax.grid(axis="x", color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(xlabel, fontsize=SMALL, parse_math=False)
    above = LINE * _levels(ax, lines) + 8
    ax.set_title(title, loc="left", fontsize=NORMAL, pad=above * 72 / DPI, parse_math=False)
    if list(series) != [""]:
        _draw_legend(ax, list(series))
    return ax


def draw_confusion(ax: Axes, counts: Tensor, names: Sequence[str], *, truth: str = "it is") -> None:
    """Draw a confusion matrix: how often each class (row) was called each class (column).

    Args:
        ax: Where to draw.
        counts: int64 ``[C, C]``.
        names: The classes' names.
        truth: What the rows are.
    """
    ax.imshow(counts.numpy(), cmap="Blues", vmin=0)
    for row, column in counts.nonzero().tolist():
        count = int(counts[row, column])
        colour = "white" if count > 0.6 * float(counts.max()) else "black"
        ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=SMALL)
    ax.set_xticks(range(len(names)), names, rotation=60)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="the network says", ylabel=truth)


def bootstrap_interval(values: NDArray[Any], level: float = LEVEL) -> tuple[float, float]:
    """The percentile bootstrap (Efron 1979) of a mean, with random numbers of its own."""
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=2000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return float(low), float(high)


# -- from what was given to scores ------------------------------------------------------------


def _series(scores: Mapping[str, Any]) -> dict[str, dict[str, Score]]:
    """Scores by series and name; a series without a name is the only one."""
    if not isinstance(scores, Mapping):
        given = type(scores).__name__
        raise TypeError(f'scores must be a mapping such as {{"Grad-CAM": 0.9}}, not {given}.')
    nested = [isinstance(value, Mapping) for value in scores.values()]
    if any(nested) and not all(nested):
        raise ValueError("scores must be all series (mappings) or all values, not both.")
    groups = scores if any(nested) else {"": scores}
    series = {
        str(key): {str(name): _score(name, value) for name, value in values.items()}
        for key, values in groups.items()
    }
    if not any(series.values()):
        raise ValueError("there are no scores to draw.")
    if len(series) > len(COLOURS):
        raise ValueError(f"{len(series)} series cannot be told apart; {len(COLOURS)} can.")
    return series


def _score(name: str, given: Any) -> Score:
    numbers = as_numbers(given).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"the score of {name!r} must be finite, got {given}.")
    if numbers.ndim == 0:
        return Score(float(numbers), float("nan"), float("nan"))
    if numbers.ndim == 1 and len(numbers) > 3:
        kind = given.dtype if isinstance(given, Tensor) else np.asarray(given).dtype
        yes_or_no = str(kind).endswith("bool")
        ends = _wilson(numbers) if yes_or_no else bootstrap_interval(numbers)
        return Score(float(numbers.mean()), *ends)
    if numbers.shape != (3,):
        raise ValueError(
            f"the score of {name!r} must be a number, (value, low, high) or four measurements or "
            f"more in one dimension, not {list(numbers.shape)}."
        )
    score = Score(*numbers.tolist())
    if not score.low <= score.value <= score.high:
        raise ValueError(f"the score of {name!r} must be (value, low, high), got {given}.")
    return score


def _wilson(hits: NDArray[np.float64]) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share: 20 of 20 may be 84 % of all."""
    count, share, z = len(hits), float(hits.mean()), 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return max(0.0, middle - reach), min(1.0, middle + reach)


# -- drawing ----------------------------------------------------------------------------------


def _new_axes(
    height: int, names: Sequence[str], title: str, xlabel: str, *, levels: int, keys: Sequence[str]
) -> Axes:
    """Axes of a new figure with room for all that stands around them."""
    left = 8 * max(map(len, names)) + 16
    right = 60 + (8 * max(map(len, keys)) + 62 if list(keys) != [""] else 0)
    top = 12 + LINE * levels + (26 if title else 0)
    bottom = 26 + (LINE if xlabel else 0)
    wide, high = left + max(WIDE - left, 320) + right, top + height + bottom
    figure = Picture(figsize=(wide / DPI, high / DPI), dpi=DPI)
    place = (left / wide, bottom / high, (wide - left - right) / wide, height / high)
    return figure.add_axes(place, axes_class=PictureAxes)


def _draw_score(ax: Axes, score: Score, down: float, which: int, percent: bool) -> None:
    """A line from end to end, a dot on it, and its value at the right of both."""
    colour, marker = COLOURS[which], MARKERS[which]
    ax.plot([score.low, score.high], [down, down], color=colour, linewidth=2.5)
    ax.plot([score.value], [down], marker, color=colour, markersize=7.5, markeredgecolor="white")
    end = np.nanmax([score.value, score.high])
    ax.annotate(
        _text(score, percent),
        (end, down),
        (7, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=SMALL,
        color=colour,
        annotation_clip=False,
    )


def _text(score: Score, percent: bool) -> str:
    """The value; if it is small beside its interval, only with the digits that mean something."""
    value, width = score.value, score.high - score.low
    if percent:
        return f"{value:.0%}".replace("%", " %")
    if abs(value) < width / 10:  # false where there is no interval
        value = round(value, 1 - floor(log10(width))) + 0.0  # no "−0"
    return number_text(value)


def _set_range(ax: Axes, scores: Sequence[Score], lines: Mapping[str, float]) -> None:
    """All of it; shares and the like from 0 to 1, so that small differences look small."""
    every = np.array([*np.ravel(scores), *lines.values()], dtype=np.float64)
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    if low >= 0 and 0.5 <= high <= 1:
        low, high = 0.0, 1.0
    margin = 0.03 * (high - low) or 0.5
    ax.set_xlim(low - margin, high + margin)


def _levels(ax: Axes, lines: Mapping[str, float]) -> int:
    return 1 + max(_heights(ax, lines).values(), default=-1)


def _heights(ax: Axes, lines: Mapping[str, float]) -> dict[str, int]:
    """In which line above the axes each reference's name stands, so that none covers another."""
    ends: list[float] = []  # of the names in each line
    found = {}
    for name, value in sorted(lines.items(), key=lambda item: item[1]):
        middle, reach = ax.transData.transform((value, 0))[0], 4.5 * len(name)
        free = [level for level, end in enumerate(ends) if end < middle - reach]
        level = free[0] if free else len(ends)
        ends[level : level + 1] = [middle + reach]
        found[name] = level
    return found


def _draw_references(ax: Axes, lines: Mapping[str, float], percent: bool) -> None:
    for name, level in _heights(ax, lines).items():
        value = lines[name]
        ax.axvline(value, color=MUTED, linestyle=":", linewidth=1.5, zorder=1)
        ax.annotate(
            name,
            (value, 1),
            (0, (4 + LINE * level) * 72 / DPI),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
            color=MUTED,
            parse_math=False,
        )


def _draw_legend(ax: Axes, keys: Sequence[str]) -> None:
    for which, key in enumerate(keys):
        style = {"color": COLOURS[which], "marker": MARKERS[which]}
        ax.plot([], [], linewidth=2.5, markersize=7.5, label=key, **style)  # type: ignore[arg-type]
    beside = 1 + 52 / ax.get_window_extent().width, 1  # the values' texts stand before it
    ax.legend(
        loc="upper left", bbox_to_anchor=beside, borderaxespad=0, frameon=False, fontsize=SMALL
    )
