"""Drawings of lesson 05, second part: how a climb works, waves, made pictures beside real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor

from vizhelpers.figures import (
    COLOURS,
    MARKERS,
    NORMAL,
    PLAIN_MAP,
    SIGNED_MAP,
    SMALL,
    Picture,
    new_figure,
    number_text,
)

LINEAR = 1.0  # up to here the axis of `draw_stars` is linear, from here on logarithmic


def draw_one_step(numbers: Tensor, maps: Tensor, filter: int, gradient: Tensor) -> Picture:
    """Draw one step of activation maximisation: forward to one number, back to every pixel.

    Args:
        numbers: [1, 3, H, W], without bounds; a sigmoid makes the picture of them.
        maps: [1, C, h, w], what the layer makes of the picture.
        filter: Whose map it is.
        gradient: [1, 3, H, W], how the map's mean changes with each of the numbers.

    Example:
        >>> numbers, maps = torch.randn(1, 3, 8, 8), torch.randn(1, 4, 3, 3)
        >>> figure = draw_one_step(numbers, maps, 2, torch.randn(1, 3, 8, 8))
    """
    # Noise is drawn in blocks of 2 × 2, or the file would be large.
    numbers, chosen = F.avg_pool2d(numbers.detach()[0].float(), 2), maps.detach()[0, filter].float()
    change = F.avg_pool2d(gradient.detach()[0].float(), 2).mean(0)
    figure = new_figure(10.6, 3.3)
    axes = figure.subplots(1, 4)
    for ax, values in ((axes[0], numbers.mean(0)), (axes[3], change)):
        reach = float(values.abs().quantile(0.995)) or 1.0
        ax.imshow(values, SIGNED_MAP, vmin=-reach, vmax=reach)
    axes[1].imshow(numbers.sigmoid().permute(1, 2, 0))
    axes[2].imshow(chosen, PLAIN_MAP)
    titles = (
        "1 · numbers without bounds",
        "2 · sigmoid: a picture",
        f"3 · map of filter {filter}",
        "4 · back: the gradient",
    )
    below = (
        "red above zero, blue below",
        "every value from 0 to 1",
        f"its mean is to grow: {number_text(float(chosen.mean()))}",
        "red: more here raises the mean",
    )
    for ax, title, text in zip(axes, titles, below, strict=True):
        _bare(ax, title)
        ax.set_xlabel(text, fontsize=SMALL)
    return figure


def draw_shifts(shares: Mapping[str, Sequence[float]], *, unit: str = "pixels") -> Picture:
    """Draw which share of the activation is left when pictures are shifted further and further.

    Args:
        shares: For each picture's name the shares, for shifts by 0, 1, 2, … pixels.
        unit: Of the shifts.

    Example:
        >>> figure = draw_shifts({"plain": [1, 0.7, 0.5], "with jitter": [1, 0.99, 0.97]})
    """
    figure = new_figure(9, 3.6)
    ax = figure.subplots()
    highest = max(values[-1] for values in shares.values())
    for (name, values), colour, marker in zip(shares.items(), COLOURS, MARKERS, strict=False):
        ax.plot(range(len(values)), values, color=colour, marker=marker, linewidth=2)
        place = len(values) - 1, values[-1]
        # Names of lines that end near each other would overlap.
        up = 0 if len(shares) == 1 else 9 if values[-1] == highest else -9
        ax.annotate(
            name, place, (8, up), textcoords="offset points", va="center", color=colour,
            fontsize=NORMAL,
        )  # fmt: skip
    ax.set(ylim=(0, 1.08), xlabel=f"shifted to the right by … {unit}")
    ax.set_title("share of the activation that is left", loc="left", fontsize=NORMAL)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.grid(axis="y", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_waves(picture: Tensor, counts: Sequence[int]) -> Picture:
    """Draw a picture as a sum of waves: its strongest waves alone, and the sums of so many.

    Args:
        picture: [3, H, W] from 0 to 1.
        counts: How many of the slowest waves are added up, up and to the right.

    Example:
        >>> figure = draw_waves(torch.rand(3, 16, 16), [1, 2, 4])
    """
    mean = picture.detach().float().mean((1, 2), keepdim=True)
    spectrum = torch.fft.fft2(picture.detach().float() - mean)
    rows, columns = (torch.fft.fftfreq(side) * side for side in picture.shape[1:])
    slowness = torch.maximum(rows.abs()[:, None], columns.abs()[None])
    figure = new_figure(10.6, 4.9)
    axes = figure.subplots(2, len(counts), squeeze=False)
    for ax_above, ax_below, count in zip(*axes, counts, strict=True):
        alone = _strongest_wave(spectrum, slowness == count)
        ax_above.imshow((0.5 + alone / (2 * float(alone.abs().max()))).permute(1, 2, 0))
        _bare(ax_above, "once" if count == 1 else "twice" if count == 2 else f"{count} times")
        added = torch.fft.ifft2(spectrum * (slowness <= count)).real + mean
        ax_below.imshow(added.clamp(0, 1).permute(1, 2, 0))
        _bare(ax_below, f"all up to {count}")
    return figure


def _strongest_wave(spectrum: Tensor, among: Tensor) -> Tensor:
    """The strongest wave of a spectrum [3, H, W] among some, around zero, in a size of its own."""
    place = int((spectrum.abs().sum(0) * among).argmax())
    row, column = divmod(place, spectrum.shape[2])
    alone = torch.zeros_like(spectrum)
    alone[:, row, column] = spectrum[:, row, column]
    return torch.fft.ifft2(alone).real


def draw_stars(real: Tensor, made: Tensor, filters: Sequence[int]) -> Picture:
    """Draw how far each picture that was made drives its filter, beside all real ones.

    Each row is a filter, each dot a real picture, the star the made one. 1 is the strongest real
    picture; to the right of it the axis is logarithmic.

    Args:
        real: [N, K], what N real pictures make of the K filters.
        made: [K], what the picture made for each of them does.
        filters: Their numbers.

    Example:
        >>> figure = draw_stars(torch.rand(20, 3), torch.tensor([3.0, 5.0, 2.0]), [2, 5, 7])
    """
    best = real.amax(0)
    figure = new_figure(10, 0.5 * len(filters) + 1.5)
    ax = figure.subplots()
    random = torch.Generator().manual_seed(0)
    for place in range(len(filters)):
        up = place + 0.5 * (torch.rand(len(real), generator=random) - 0.5)
        values = real[:, place] / best[place]
        ax.scatter(values, up, s=9, color=COLOURS[0], alpha=0.35, linewidths=0)
        times = float(made[place] / best[place])
        ax.scatter(times, place, s=230, marker="*", color=COLOURS[1], edgecolor="black", zorder=3)
        ax.annotate(
            f"{times:.1f} ×", (times, place), (12, 0), textcoords="offset points", va="center",
            fontsize=SMALL,
        )  # fmt: skip
    ax.axvline(1, color="black", linestyle=":")
    ax.set_xscale("symlog", linthresh=LINEAR)
    lowest = min(-1.0, float((real / best).min()))
    ax.set_xlim(1.2 * lowest, 2.2 * float((made / best).max()))
    ticks = [tick for tick in (-10, -1, 0, 1, 2, 5, 10, 20) if tick >= 1.2 * lowest]
    ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
    ax.set_yticks(range(len(filters)), [f"filter {each}" for each in filters], fontsize=NORMAL)
    ax.invert_yaxis()
    ax.set_xlabel("activation; 1 is the strongest real picture", fontsize=NORMAL)
    ax.set_title("dots: real pictures · star: the picture that was made", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _bare(ax: Axes, title: str) -> None:
    """No ticks, a title."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title, fontsize=NORMAL)
