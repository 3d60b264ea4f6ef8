"""Drawings of lesson 02: kernels plane by plane, sums of maps, patches with hits framed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from vizhelpers.features.patches import TopPatches
from vizhelpers.figures import Picture, new_figure
from vizhelpers.plotting import NORMAL, PLAIN_MAP, SIGNED_MAP, SMALL, number_text
from vizhelpers.scenes import CLASSES

HIT, MISS = "#00b050", "0.8"
SIGN = 22  # font size of + and =


def draw_planes(weight: Tensor, kernels: Sequence[int]) -> Picture:
    """Draw kernels of a first layer in colour, then their red, green and blue plane.

    All are drawn on one scale, that of the whole layer: zero is mid grey in colour, and white in
    a plane.

    Args:
        weight: [out, 3, height, width].
        kernels: Which of them, a row each.

    Example:
        >>> import torch
        >>> figure = draw_planes(torch.randn(8, 3, 5, 5), [2, 7])
    """
    values = weight.detach().cpu()
    reach = float(values.abs().max()) or 1.0
    figure = new_figure(10, 2.45 * len(kernels) + 0.3)
    rows = figure.subplots(len(kernels), 4, squeeze=False)
    names = ("in colour", "red plane", "green plane", "blue plane")
    for number, (kernel, row) in enumerate(zip(kernels, rows, strict=True)):
        row[0].imshow((0.5 + values[kernel] / (2 * reach)).permute(1, 2, 0))
        row[0].set_ylabel(f"kernel {kernel}", fontsize=NORMAL)
        for ax, plane in zip(row[1:], values[kernel], strict=True):
            drawn = ax.imshow(plane, SIGNED_MAP, vmin=-reach, vmax=reach)
        for ax, name in zip(row, names, strict=True):
            _bare(ax, "" if number else name)
    _signed_bar(figure, drawn, rows, reach)
    return figure


def draw_plane_sum(maps: Tensor, planes: Tensor, made: Tensor, channels: Sequence[int]) -> Picture:
    """Draw how a kernel of a deeper layer works: each plane reads one map, the results are added.

    Args:
        maps: [n, H, W], maps of the layer before.
        planes: [n, h, w], the planes with which the kernel reads them.
        made: [n, H, W], what each plane makes of its map.
        channels: The maps' numbers.

    Example:
        >>> import torch
        >>> maps, planes = torch.rand(3, 9, 9), torch.randn(3, 3, 3)
        >>> figure = draw_plane_sum(maps, planes, maps, [0, 4, 7])
    """
    count = len(channels)
    figure = new_figure(10.6, 7.2)
    axes = figure.subplots(3, count + 1)
    total = made.sum(0)
    # One scale for the planes, one for all that is added up and the sum.
    groups = planes, torch.cat([made, total[None]])
    heights = [float(group.abs().max()) or 1.0 for group in groups]
    for j, channel in enumerate(channels):
        axes[0, j].imshow(maps[j], PLAIN_MAP, vmin=0, vmax=float(maps.max()))
        _bare(axes[0, j], f"map {channel} of the layer before")
        axes[1, j].imshow(planes[j], SIGNED_MAP, vmin=-heights[0], vmax=heights[0])
        _write_numbers(axes[1, j], planes[j], heights[0])
        _bare(axes[1, j], f"plane {channel} of the kernel")
        axes[2, j].imshow(made[j], SIGNED_MAP, vmin=-heights[1], vmax=heights[1])
        _bare(axes[2, j], f"what plane {channel} makes of it")
        sign = "=" if j == count - 1 else "+"
        axes[2, j].text(1.04, 0.5, sign, transform=axes[2, j].transAxes, fontsize=SIGN, va="center")
    axes[2, count].imshow(total, SIGNED_MAP, vmin=-heights[1], vmax=heights[1])
    _bare(axes[2, count], "added up")
    for ax in axes[:2, count]:
        ax.set_axis_off()
    words = "slide each plane\nover its own map,\nthen add\nplace by place"
    axes[1, count].text(0.5, 0.35, words, ha="center", va="center", fontsize=NORMAL)
    return figure


def draw_weight_table(weight: Tensor, kernel: int, channel: int, *, kernels: int = 8) -> Picture:
    """Draw a layer's planes as a table, a row for each kernel and a column for each channel.

    One kernel (a row) and one channel (a column) are framed.

    Args:
        weight: [out, in, height, width].
        kernel: The row to frame.
        channel: The column to frame.
        kernels: So many rows are drawn.

    Example:
        >>> import torch
        >>> figure = draw_weight_table(torch.randn(8, 6, 3, 3), 2, 4)
    """
    values = weight.detach().cpu()[:kernels]
    count, depth, rows, columns = values.shape
    step_y, step_x = rows + 1, columns + 1
    sheet = values.new_full((count, depth, step_y, step_x), float("nan"))
    sheet[:, :, :rows, :columns] = values
    sheet = sheet.permute(0, 2, 1, 3).reshape(count * step_y, depth * step_x)
    reach = float(values.abs().max()) or 1.0
    figure = new_figure(10, 0.4 + 10 * count * step_y / (depth * step_x))
    ax = figure.subplots()
    ax.imshow(sheet, SIGNED_MAP, vmin=-reach, vmax=reach, interpolation="nearest")
    ax.set_xticks(
        [j * step_x + (columns - 1) / 2 for j in range(depth)], list(map(str, range(depth)))
    )
    ax.set_yticks([i * step_y + (rows - 1) / 2 for i in range(count)], list(map(str, range(count))))
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set(xlabel="channel that is read, j", ylabel="kernel, i", xlim=(-1.2, depth * step_x - 0.8))
    ax.set_ylim(count * step_y - 0.6, -1.2)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    left, top = channel * step_x - 1, kernel * step_y - 1
    for corner, wide, high, colour, line in (
        ((-1, top), depth * step_x, step_y, "black", 2.5),
        ((left, -1), step_x, count * step_y, "#e08000", 2.5),
        ((left, top), step_x, step_y, HIT, 4),
    ):
        frame = Rectangle(corner, wide, high, fill=False, edgecolor=colour, linewidth=line)
        ax.add_patch(frame)
    return figure


def draw_patches(
    found: TopPatches,
    kernel: int,
    pictures: Tensor,
    labels: Tensor,
    *,
    hits: Tensor | None = None,
) -> Picture:
    """Draw the patches to which a kernel answers most strongly, each with its class below it.

    Args:
        found: From `top_patches`.
        kernel: Which kernel of that layer.
        pictures: [N, 3, H, W] in [0, 1], in which the patches were found.
        labels: int64 [N], index in `CLASSES`.
        hits: bool, one for each patch: those that hit are framed in green, and counted.

    Example:
        >>> found = vh.features.top_patches(model, "layer1", vh.normalize(scenes.images), count=5)
        >>> figure = draw_patches(found, 3, scenes.images, scenes.labels)
    """
    patches = found.crops(pictures, kernel)
    captions = [CLASSES[label] for label in labels[found.images[kernel]].tolist()]
    columns = min(len(patches), 5)
    rows = -(-len(patches) // columns)
    figure = new_figure(10, 2.25 * rows + 0.4)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[len(patches) :]:
        ax.set_axis_off()
    for number, (ax, patch, caption) in enumerate(zip(axes, patches, captions, strict=False)):
        ax.imshow(patch.permute(1, 2, 0), interpolation="nearest")
        hit = hits is not None and bool(hits[number])
        _bare(ax, f"✓ {caption}" if hit else caption)
        if hits is not None:
            ax.spines[:].set(color=HIT if hit else MISS, linewidth=6 if hit else 1.5)
    count = "" if hits is None else f": {int(hits.sum())} of {len(patches)} hit"
    heading = f"{found.layer}, kernel {kernel}{count}"
    figure.suptitle(heading, x=0.01, ha="left", fontsize=NORMAL, weight="bold")
    return figure


def draw_old_and_new(old: Sequence[int], new: Sequence[int], *, most: int = 9) -> Picture:
    """Draw hits on new pictures against hits on those by which the claim was chosen.

    Each kernel is counted at its place; the area of a dot says how many kernels lie there.

    Args:
        old: For each kernel its hits on the pictures from which its claim was chosen.
        new: Its hits on new pictures.
        most: So many hits there can be.

    Example:
        >>> figure = draw_old_and_new([9, 8, 8], [7, 8, 1])
    """
    figure = new_figure(6.4, 5.6)
    ax = figure.subplots()
    ax.plot([0, most], [0, most], ":", color="0.5")
    ax.text(most, most + 0.12, "as many as before", ha="right", fontsize=SMALL, color="0.4")
    places = Counter(zip(old, new, strict=True))
    for (x, y), count in places.items():
        ax.scatter(x, y, s=110 * count, color="#1f77b4" if y >= x else "#d62728", alpha=0.75)
        ax.text(x, y, str(count), ha="center", va="center", fontsize=SMALL, color="white")
    ax.set(xlim=(-0.5, most + 0.5), ylim=(-0.5, most + 0.6), aspect="equal")
    ax.set_xticks(range(most + 1))
    ax.set_yticks(range(most + 1))
    ax.set_xlabel(f"hits of {most} on the pictures that the claim was chosen from")
    ax.set_ylabel(f"hits of {most} on new pictures")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _bare(ax: Axes, title: str) -> None:
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=SMALL + 1, loc="left")


def _write_numbers(ax: Axes, plane: Tensor, reach: float) -> None:
    for row, numbers in enumerate(plane.tolist()):
        for column, value in enumerate(numbers):
            text, colour = f"{round(value, 2) + 0.0:.2f}".replace("-", "−"), "black"
            if value < -0.7 * reach:  # on dark blue
                colour = "white"
            ax.text(column, row, text, ha="center", va="center", color=colour)


def _signed_bar(figure: Picture, drawn: object, axes: object, reach: float) -> None:
    bar = figure.colorbar(drawn, ax=axes, fraction=0.02, pad=0.015)  # type: ignore[arg-type]
    names = [number_text(value) for value in (-reach, 0.0, reach)]
    bar.set_ticks([-reach, 0.0, reach], labels=names, fontsize=SMALL)
    bar.outline.set_visible(False)
