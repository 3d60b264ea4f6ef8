"""Plot feature maps and heatmaps: mosaics of many maps, overlays on an image, one honest scale.

Pure functions that draw what they are given, never through pyplot. What compares numbers by colour
is drawn on one scale with a colour bar, centred on zero where values have a sign, and says in words
where something is empty, left out or stretched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor

from vizhelpers._utils.arrays import Floats, as_numbers, is_bytes, photo, shaped
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import DPI, Picture, PictureAxes

SIGNED_MAP, PLAIN_MAP = "bwr", "viridis"
GAP_COLOUR = "0.75"  # neither the white that is zero in SIGNED_MAP nor a colour of PLAIN_MAP
SMALL, NORMAL = 9, 11  # font sizes in points
LINE = 17  # screen pixels that a line of small text takes
MAX_SIDE, MAX_TILE = 600, 300  # screen pixels: a whole mosaic, one tile


@clear_errors
def mosaic(
    tiles: ArrayLike | Tensor,
    *,
    columns: int | None = None,
    pad: int | tuple[int, int] = 1,
    fill: float | None = None,
) -> Floats:
    """Lay many small pictures out as one array, row by row.

    Tile ``i`` starts at row ``i // columns * (H + pad)`` and column ``i % columns * (W + pad)``.

    Args:
        tiles: [N, H, W] (or [N, 1, H, W]) for maps, [N, 3, H, W] for colour pictures.
        columns: How many tiles stand side by side; by default about as many as make a square.
        pad: Pixels between tiles: one number, or (between rows, between columns).
        fill: What stands there and in unused places: NaN by default, 1 (white) in colour.

    Returns:
        float32, [H', W'] for maps, [H', W', 3] for colour pictures.

    Raises:
        TypeError: ``tiles`` is neither a tensor nor an array of numbers.
        ValueError: the shape is another one, or ``columns`` or ``pad`` is impossible.
    """
    array = _tile_array(tiles)
    colour = array.ndim == 4
    if not colour:
        array = array[:, None]
    count, channels, height, width = array.shape
    down, across = pad if isinstance(pad, tuple) else (pad, pad)
    columns = _default_columns(array) if columns is None else columns
    if columns < 1 or min(down, across) < 0:
        raise ValueError(f"columns must be 1 or more and pad 0 or more, not {columns} and {pad}.")
    rows = math.ceil(count / columns)
    if fill is None:
        fill = 1.0 if colour else math.nan
    shape = (rows * columns, channels, height + down, width + across)
    cells = np.full(shape, fill, dtype=np.float32)
    cells[:count, :, :height, :width] = array
    sheet = cells.reshape(rows, columns, *shape[1:]).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * shape[2], columns * shape[3], channels)
    sheet = sheet[: rows * shape[2] - down, : columns * shape[3] - across]
    return sheet if colour else sheet[:, :, 0]


@clear_errors
def show_mosaic(
    tiles: ArrayLike | Tensor,
    *,
    columns: int | None = None,
    ax: Axes | None = None,
    scale: Literal["shared", "each"] = "shared",
    center_zero: bool | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str = "",
    labels: bool | Sequence[str] = True,
    colorbar: bool = True,
    max_tiles: int = 100,
) -> Axes:
    """Draw many maps or small colour pictures as one image with one scale.

    Tiles of zeros or with NaN are crossed out, and a line below counts them. Colour tiles
    outside [0, 1], such as kernels, are drawn with grey as zero.

    Args:
        tiles: [N, H, W] for maps (one image's channels, say), [N, 3, H, W] for colour.
        columns: How many tiles stand side by side.
        ax: Where to draw; by default a new figure in which each value is a square of whole
            screen pixels.
        scale: ``"shared"`` lets tiles be compared; ``"each"`` stretches every tile to its own
            range, and says so.
        center_zero: Put zero in the middle of the colours; by default where a value is negative,
            unless ``vmin`` and ``vmax`` put it elsewhere.
        cmap: A colour map; by default ``bwr`` around zero, else ``viridis``.
        vmin: Value of the lowest colour, to compare with another picture.
        vmax: Value of the highest colour.
        title: Stands before the shape, which is always given.
        labels: ``True`` numbers rows and columns (a tile's index is their sum), ``False``
            does not; a list holds one text for each tile.
        colorbar: Whether to draw one (maps only).
        max_tiles: Draw only the first so many, and say so.

    Returns:
        The axes drawn on (in screen pixels). A cell that ends with them shows the picture.

    Raises:
        TypeError: ``tiles`` is neither a tensor nor an array of numbers.
        ValueError: a shape, scale or number of labels that does not fit.
    """
    array = _tile_array(tiles)
    if scale not in ("shared", "each"):
        raise ValueError(f'scale must be "shared" or "each", not {scale!r}.')
    if scale == "each" and (vmin is not None or vmax is not None):
        raise ValueError('vmin and vmax set a shared scale; leave them out with scale="each".')
    if max_tiles < 1 or (columns is not None and columns < 1):
        raise ValueError(f"columns and max_tiles must be 1 or more, not {columns}, {max_tiles}.")
    if not isinstance(labels, bool) and len(labels) != len(array):
        raise ValueError(f"there are {len(array)} tiles but {len(labels)} labels.")
    shown = array[:max_tiles]
    limits = scale_of(array, center_zero, vmin, vmax)
    void, notes = _empty_tiles(shown)
    notes = _scale_notes(limits, scale, colour=array.ndim == 4) + notes
    if len(shown) < len(array):
        notes.append(f"only the first {len(shown)} of {len(array)} tiles")
    if scale == "each":
        shown, limits = _stretch_each(shown, limits)

    heading = f"{title}  {list(array.shape)}".strip()
    bar = colorbar and array.ndim == 3
    shown, grid, more = fit_tiles(shown, columns, ax, texts=not isinstance(labels, bool))
    notes += more
    if ax is None:
        ax = _exact_axes(grid, heading, notes, numbers=labels is True, bar=bar)
    _draw_sheet(ax, grid, shown, limits, colours_of(cmap, limits))
    if bar:
        _add_colorbar(ax, ax.images[-1], limits, words=scale == "each")
    _cross_out(ax, [grid.box(index) for index in void])
    _label(ax, grid, labels)
    return _finish(ax, grid, heading, notes, lines_above=labels is True and grid.columns > 1)


@clear_errors
def overlay(
    image: ArrayLike | Tensor,
    heat: ArrayLike | Tensor,
    *,
    ax: Axes | None = None,
    alpha: float = 0.6,
    center_zero: bool | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    mask: ArrayLike | Tensor | None = None,
    title: str = "",
    colorbar: bool = True,
) -> Axes:
    """Lay a heat map over the image that it explains.

    The map is resized to the image (bilinear) and drawn over a grey copy of it, so that its
    colours can be told from the image's own. The colour bar has the map's own values: nothing
    is stretched unless ``vmin`` and ``vmax`` say so.

    Args:
        image: [3, H, W] in [0, 1]; a network's input goes through `denormalize` first.
        heat: [h, w], usually much smaller than the image.
        ax: Where to draw; by default a new figure.
        alpha: How much of the map covers the image, 0 to 1.
        center_zero: Put zero in the middle of the colours; by default where a value is negative.
        cmap: A colour map; by default ``bwr`` around zero, else ``viridis``.
        vmin: Value of the lowest colour; 0 by default, or minus ``vmax`` around zero.
        vmax: Value of the highest colour; the map's largest by default.
        mask: [H, W] in [0, 1]; its outline at 0.5 is drawn in white on black.
        title: Stands above.
        colorbar: Whether to draw one.

    Returns:
        The axes drawn on. A notebook cell that ends with them shows the picture.

    Raises:
        TypeError: an argument is neither a tensor nor an array of numbers.
        ValueError: a shape or range that does not fit.
    """
    pixels = photo(image)
    values = shaped(heat, "heat", 2)
    limits = scale_of(values, center_zero, vmin, vmax)
    outline = None if mask is None else shaped(mask, "mask", 2)
    if outline is not None and outline.shape != pixels.shape[1:]:
        raise ValueError(
            f"mask must be as large as the image, {list(pixels.shape[1:])}, "
            f"not {list(outline.shape)}."
        )
    _, notes = _empty_tiles(values[None])
    # Luma as in ITU-R BT.601, one tile of a mosaic.
    luma = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey, grid, _ = fit_tiles(np.tensordot(luma, pixels, 1)[None], 1, ax)
    if ax is None:
        ax = _exact_axes(grid, title, notes, numbers=False, bar=colorbar)
    _draw_sheet(ax, grid, grey, Limits(0, 1, False), colormaps["gray"])
    drawn = ax.imshow(
        _resize(values, grid.size),
        colours_of(cmap, limits),
        vmin=limits.low,
        vmax=limits.high,
        alpha=alpha,
    )
    if colorbar:
        _add_colorbar(ax, drawn, limits)
    if outline is not None:
        edge = _resize(outline, grid.size)
        for colour, thickness in (("black", 3.5), ("white", 1.5)):
            ax.contour(edge, [0.5], colors=colour, linewidths=thickness)
    return _finish(ax, grid, title, notes)


@clear_errors
def outlined(maps: ArrayLike | Tensor, masks: ArrayLike | Tensor) -> Tensor:
    """Colour maps as small pictures for `show_mosaic`, each with a white line round its object.

    Args:
        maps: [N, H, W] in [0, 1]; values outside get the colour of the nearer end.
        masks: [N, H, W] in [0, 1], or [1, H, W] for all; the line runs where they cross 0.5.

    Returns:
        float32 [N, 3, H, W] in [0, 1], in viridis, where dark is 0 and yellow is 1.

    Raises:
        TypeError: one of the two is neither a tensor nor an array of numbers.
        ValueError: shapes that do not match.
    """
    values, outlines = as_numbers(maps), as_numbers(masks)
    if values.ndim != 3 or outlines.shape not in (values.shape, (1, *values.shape[1:])):
        raise ValueError(
            f"maps must be [N, H, W] and masks the same or [1, H, W]; got {list(values.shape)} "
            f"and {list(outlines.shape)}."
        )
    inside = torch.from_numpy(outlines > 0.5)[:, None].float()
    edge = (F.max_pool2d(inside, 3, stride=1, padding=1) > inside)[:, 0]  # just round the object
    colours = torch.from_numpy(colormaps[PLAIN_MAP](values)[..., :3]).float()
    colours[edge.expand(len(values), -1, -1)] = 1
    return colours.permute(0, 3, 1, 2)


@clear_errors
def describe(values: ArrayLike | Tensor, name: str = "") -> str:
    """Say a picture's key numbers in one line: shape, range, mean, share of zeros, arg-max.

    ``describe(maps, "features.0")`` is, say, ``features.0 [64, 31, 31]: 0.000 to 3.214, mean
    0.412, 38.1 % zeros, largest at [12, 4, 30]``. NaN and infinities are counted and left out
    of the rest.
    """
    array = as_numbers(values)
    head = f"{name} {list(array.shape)}".strip()
    finite = np.isfinite(array)
    if not finite.any():
        return f"{head}: no finite values"
    known = array[finite]
    largest = np.unravel_index(np.argmax(np.where(finite, array, -np.inf)), array.shape)
    digits = ".3f" if np.abs(known).max() >= 0.1 else ".2e"
    parts = [
        f"{known.min():{digits}} to {known.max():{digits}}",
        f"mean {known.mean(dtype=np.float64):{digits}}",
        f"{100 * (known == 0).mean():.1f} % zeros",
        f"largest at {[int(index) for index in largest]}",
    ]
    if known.size < array.size:
        parts.append(f"{array.size - known.size} not finite")
    return f"{head}: {', '.join(parts)}"


# -- from what was given to arrays ------------------------------------------------------------


def _tile_array(tiles: ArrayLike | Tensor) -> Floats:
    """[N, H, W] or [N, 3, H, W]; an error says which index is missing."""
    array = as_numbers(tiles)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.size == 0:
        raise ValueError(f"there is nothing to draw in the shape {list(array.shape)}.")
    if array.ndim == 3:
        return array
    if array.ndim == 4 and array.shape[1] == 3:
        return array / np.float32(255) if is_bytes(tiles) else array
    hint = {
        1: "These are plain numbers: values[None, None] is one tile, one pixel high.",
        2: "This is one tile: write tiles[None].",
        4: "Choose one image's maps, maps[0], or one kernel's planes, weight[0].",
    }.get(array.ndim, "")
    raise ValueError(
        f"tiles must have the shape [N, H, W] or [N, 3, H, W], not {list(array.shape)}. {hint}"
    )


# -- scales and what to say about them --------------------------------------------------------


class Limits(NamedTuple):
    """The values of the lowest and the highest colour, and whether zero is in their middle."""

    low: float
    high: float
    signed: bool


def scale_of(
    array: Floats,
    center_zero: bool | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Limits:
    """One scale for the whole array, with zero in it unless ``vmin`` says otherwise."""
    finite = array[np.isfinite(array)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    uneven = vmin is not None and vmax is not None and vmin != -vmax
    signed = center_zero
    if signed is None:
        signed = (least if vmin is None else vmin) < 0 and not uneven
    if signed and uneven:
        raise ValueError(f"zero is not in the middle of vmin {vmin} and vmax {vmax}: give one.")
    if array.ndim == 4:
        most = max(most, 0.0 if signed else 1.0)  # a dark photo stays dark
    if signed:
        reach = max(-least, most) or 1.0
        high = vmax if vmax is not None else (-vmin if vmin is not None else reach)
        low = -high
    else:
        low = vmin if vmin is not None else min(least, 0.0)
        high = vmax if vmax is not None else (most if most > low else low + 1)
    if not low < high:
        raise ValueError(f"the scale must rise, but vmin is {low:.3g} and vmax {high:.3g}.")
    return Limits(low, high, signed)


def _stretch_each(array: Floats, limits: Limits) -> tuple[Floats, Limits]:
    """Every tile to [0, 1], or to [-1, 1] around zero."""
    signed = limits.signed
    stretched = np.empty_like(array)
    for tile, out in zip(array, stretched, strict=True):
        low, high, _ = scale_of(tile, signed)
        out[:] = tile / high if signed else (tile - low) / (high - low)
    return stretched, Limits(-1.0 if signed else 0.0, 1.0, signed)


def _scale_notes(limits: Limits, scale: str, *, colour: bool) -> list[str]:
    if scale == "each":
        return ["each tile is stretched to its own range: do not compare tiles"]
    if colour and limits[:2] != (0, 1):
        grey = "grey is 0, " if limits.signed else ""
        low, high = map(number_text, limits[:2])
        return [f"{grey}black {low}, white {high} in every tile"]
    return []


def _empty_tiles(array: Floats) -> tuple[list[int], list[str]]:
    """Which tiles have nothing to show, and what to say below about them."""
    flat = array.reshape(len(array), -1)
    zero, broken = (flat == 0).all(axis=1), ~np.isfinite(flat).all(axis=1)
    level = (flat == flat[:, :1]).all(axis=1) & ~zero & ~broken & (flat.shape[1] > 1)
    kinds = {"all zero": zero, "NaN or infinity": broken, "one value everywhere": level}
    notes = []
    for words, flags in kinds.items():
        which = [str(index) for index in np.flatnonzero(flags)]
        names = ", ".join(which[:8]) + (", …" if len(which) > 8 else "")
        if which:
            notes.append(words if len(flat) == 1 else f"{words}: {len(which)} ({names})")
    return np.flatnonzero(zero | broken).tolist(), notes


def number_text(value: float) -> str:
    """Three digits and a typographer's minus."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def colours_of(cmap: str | Colormap | None, limits: Limits) -> Colormap:
    """The colour map that is asked for, or the one that fits the scale."""
    chosen = cmap or (SIGNED_MAP if limits.signed else PLAIN_MAP)
    return colormaps[chosen] if isinstance(chosen, str) else chosen


# -- drawing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Where the tiles of a mosaic lie, in screen pixels."""

    count: int
    columns: int
    height: int
    width: int
    down: int  # gap between rows
    across: int  # gap between columns
    head: int  # room above the first row

    @property
    def rows(self) -> int:
        return math.ceil(self.count / self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of all tiles together."""
        return (
            self.rows * (self.height + self.down) - self.down,
            self.columns * (self.width + self.across) - self.across,
        )

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of a tile."""
        row, column = divmod(index, self.columns)
        left = column * (self.width + self.across) - 0.5
        top = row * (self.height + self.down) - 0.5
        return left, top, left + self.width, top + self.height


def _default_columns(array: Floats) -> int:
    count, height, width = len(array), *array.shape[-2:]
    return min(count, math.ceil(math.sqrt(count * (height + 1) / (width + 1))))


def fit_tiles(
    array: Floats, columns: int | None, ax: Axes | None, *, texts: bool = False
) -> tuple[Floats, _Grid, list[str]]:
    """The tiles in whole screen pixels, the grid they make, and a note if they were shrunk."""
    count, height, width = len(array), *array.shape[-2:]
    columns = _default_columns(array) if columns is None else min(columns, count)
    rows = math.ceil(count / columns)
    thin = 2 if max(height, width) > 15 else 6  # many values need room, few need a clear cut
    down, across = (LINE, 8) if texts else (thin, thin)
    if ax is None:
        high, wide = MAX_SIDE, MAX_SIDE
    else:
        box = ax.get_window_extent()
        high, wide = int(box.height), int(box.width)
    # What one tile may take, at least one pixel.
    high, wide = max(1, high // rows - down), max(1, wide // columns - across)
    notes = []
    if height > high or width > wide:
        block = max(math.ceil(height / high), math.ceil(width / wide))
        tiles = torch.from_numpy(array.reshape(-1, 1, height, width))
        small = F.avg_pool2d(tiles, block, ceil_mode=True)[:, 0].numpy()
        array = small.reshape(*array.shape[:-2], *small.shape[-2:])
        notes = [f"drawn smaller: one point is the mean of {block} × {block} values"]
    else:
        zoom = min(high // height, wide // width, max(1, MAX_TILE // max(height, width)))
        array = array.repeat(zoom, axis=-2).repeat(zoom, axis=-1)
    height, width = array.shape[-2:]
    head = down if texts else 0
    return array, _Grid(count, columns, height, width, down, across, head), notes


def _exact_axes(
    grid: _Grid, heading: str, notes: Sequence[str], *, numbers: bool, bar: bool
) -> Axes:
    """Axes of a new figure on which one data unit is one screen pixel."""
    high, wide = grid.size[0] + grid.head, grid.size[1]
    left, right = 36 if numbers and grid.rows > 1 else 8, 90 if bar else 8
    top, bottom = 46 if numbers and grid.columns > 1 else 28, 8 + LINE * len(notes)
    words = max(9 * len(heading), *(7.5 * len(note) for note in notes), 0) + 16
    width, height = max(left + wide + right, round(words)), top + high + bottom
    figure = Picture(figsize=(width / DPI, height / DPI), dpi=DPI)
    place = (left / width, bottom / height, wide / width, high / height)
    return figure.add_axes(place, axes_class=PictureAxes)


def _resize(values: Floats, size: tuple[int, int]) -> Floats:
    tensor = torch.from_numpy(values)[None, None]
    return F.interpolate(tensor, size, mode="bilinear")[0, 0].numpy()


def _draw_sheet(ax: Axes, grid: _Grid, tiles: Floats, limits: Limits, colours: Colormap) -> None:
    sheet = mosaic(tiles, columns=grid.columns, pad=(grid.down, grid.across), fill=math.nan)
    if sheet.ndim == 3:
        sheet = np.nan_to_num((sheet - limits.low) / (limits.high - limits.low), nan=1.0)
        ax.imshow(sheet.clip(0, 1), interpolation="nearest")
    else:
        colours = colours.with_extremes(bad="white" if grid.head else GAP_COLOUR)
        ax.imshow(sheet, colours, vmin=limits.low, vmax=limits.high, interpolation="nearest")
    last = grid.box(grid.count - 1)
    rest = (last[2], last[1]), grid.size[1] - last[2], grid.height
    ax.add_patch(Rectangle(*rest, color="white", linewidth=0))
    ax.set(xticks=[], yticks=[], frame_on=False)


def _add_colorbar(ax: Axes, image: ScalarMappable, limits: Limits, *, words: bool = False) -> None:
    """A bar beside the axes that names its two ends, and zero between them."""
    values = [limits.low, 0.0, limits.high] if limits.signed else [limits.low, limits.high]
    thick = 14 / ax.get_window_extent().width
    place = ax.inset_axes((1 + thick * 0.7, 0, thick, 1))
    bar = ax.figure.colorbar(image, cax=place)
    names = [number_text(value) for value in values]
    if words:
        names = ["\N{MINUS SIGN}max", "0", "max"] if limits.signed else ["0 or min", "max"]
    bar.set_ticks(values, labels=names, fontsize=SMALL)
    place.set_frame_on(False)


def _cross_out(ax: Axes, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    lines = []
    for left, top, right, bottom in boxes:
        lines += [[(left, top), (right, bottom)], [(left, bottom), (right, top)]]
    for colour, width in (("white", 2.5), ("black", 1.0)):  # seen on any colour
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=width), autolim=False)


def _label(ax: Axes, grid: _Grid, labels: bool | Sequence[str]) -> None:
    """One text above each tile, or numbers at the sides whose sum is a tile's index.

    Plain texts: a hundred of Matplotlib's ticks take longer than all the rest.
    """
    texts: list[tuple[float, float, str, str, str]] = []
    if not isinstance(labels, bool):
        for index in range(grid.count):
            left, top, *_ = grid.box(index)
            texts.append((left, top - 2, labels[index], "left", "bottom"))
    elif labels and grid.count > 1:
        sign = "+" if grid.rows > 1 else ""
        for column in range(0, grid.columns, math.ceil(30 / grid.width)):
            left, top, right, _ = grid.box(column)
            texts.append(((left + right) / 2, top - 4, f"{sign}{column}", "center", "bottom"))
        for row in range(0, grid.rows if grid.rows > 1 else 0, math.ceil(16 / grid.height)):
            index = row * grid.columns
            left, top, _, bottom = grid.box(index)
            texts.append((left - 4, (top + bottom) / 2, str(index), "right", "center"))
    for x, y, text, across, down in texts:
        ax.text(x, y, text, fontsize=SMALL, ha=across, va=down)


def _finish(
    ax: Axes, grid: _Grid, heading: str, notes: Sequence[str], *, lines_above: int = 0
) -> Axes:
    # Last, because contours and collections move the limits.
    ax.set(xlim=(-0.5, grid.size[1] - 0.5), ylim=(grid.size[0] - 0.5, -0.5 - grid.head))
    points = 72 / DPI
    ax.set_title(heading, loc="left", fontsize=NORMAL, pad=(8 + LINE * lines_above) * points)
    ax.set_xlabel("\n".join(notes), loc="left", fontsize=SMALL)
    return ax
