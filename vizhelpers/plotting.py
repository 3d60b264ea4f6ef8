"""Plot feature maps and heatmaps: mosaics of many maps, overlays on photos, one honest scale.

Pure functions that draw what they are given, never through pyplot. What compares numbers by colour
is drawn on one scale with a colour bar, centred on zero where values have a sign, and says in words
where something is empty, left out or stretched.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from vizhelpers._utils.arrays import Floats, as_numbers, is_bytes, photo, shaped
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import (
    DPI,
    HEAT_MAP,
    HIGH,
    LINE,
    NORMAL,
    PAGE,
    PLAIN_MAP,
    SIGNED_MAP,
    SMALL,
    Picture,
    PictureAxes,
    number_text,
    numeral,
)

Pixels = NDArray[np.uint8]  # [N, H, W, 3]
GAP_COLOUR = 191  # a grey that is neither the white of zero in SIGNED_MAP nor in PLAIN_MAP
COARSE = 64  # up to so many values a side, each is drawn as a square of whole screen pixels
MAX_TILE, ENOUGH = 320, 220  # screen pixels of a tile: never more; so many before rows get short
MOST = 0.8  # of a photo is covered by full heat, so that one sees what lies below
INPUT, BAR, APART = 256, 14, 24  # input picture, colour bar, and what keeps the first off the maps


@clear_errors
def show_mosaic(
    tiles: ArrayLike | Tensor,
    *,
    image: ArrayLike | Tensor | None = None,
    labels: bool | Sequence[str] = True,
    columns: int | None = None,
    title: str = "",
    scale: Literal["shared", "each"] = "shared",
    center_zero: bool | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar: bool = True,
    max_tiles: int = 100,
    ax: Axes | None = None,
) -> Axes:
    """Show many feature maps, or a few photos with a caption each, as one picture on one scale.

    It fills the page. Maps and kernels of up to 64 × 64 values are enlarged to squares of whole
    pixels, larger tiles smoothly. Tiles of zeros or with NaN are crossed out, and a line below
    counts them. Colour tiles outside [0, 1], such as kernels, are drawn with grey as zero.

    Args:
        tiles: [N, H, W] for maps (one image's channels, say), [N, 3, H, W] for colour.
        image: [3, H, W] in [0, 1], the network's input, drawn at the left of its maps.
        labels: ``True`` writes each tile's index into its corner, ``False`` nothing; a list
            holds one caption for each tile.
        columns: How many tiles stand side by side; by default what makes them large.
        title: Stands above.
        scale: ``"shared"`` lets tiles be compared; ``"each"`` stretches every tile to its own
            range, and says so.
        center_zero: Put zero in the middle of the colours; by default where a value is negative,
            unless ``vmin`` and ``vmax`` put it elsewhere.
        cmap: A colour map; by default ``bwr`` around zero, else ``viridis``.
        vmin: Value of the lowest colour, to compare with another picture.
        vmax: Value of the highest colour.
        colorbar: Whether to draw one (maps only).
        max_tiles: Draw only the first so many, and say so.
        ax: Where to draw; by default a new figure as wide as needed.

    Returns:
        The axes drawn on (in screen pixels). A cell that ends with them shows the picture.

    Raises:
        TypeError: ``tiles`` is neither a tensor nor an array of numbers.
        ValueError: a shape, scale or number of labels that does not fit.

    Example:
        >>> show_mosaic(capture(model, images, "layer1").map, image=scene.image)
        >>> show_mosaic(scenes.images[:3], labels=["cat", "dog", "fish"])
    """
    array = _tile_array(tiles)
    _check_scale(scale, vmin, vmax)
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
    bar = _Bar(limits, colours_of(cmap, limits), scale) if colorbar and array.ndim == 3 else None
    if scale == "each":
        shown, limits = _stretch_each(shown, limits)
    beside = None if image is None else photo(image)
    captions = None if isinstance(labels, bool) else labels[: len(shown)]

    grid = _fit(
        len(shown), shown.shape[-2:], columns, ax, bar=bar, captions=captions, beside=beside
    )
    if array.ndim == 3 and max(grid.height / shown.shape[-2], grid.width / shown.shape[-1]) < 1:
        notes.append("drawn smaller: one point is the mean of several values")
    pixels = _enlarged(_painted(_smooth(shown, grid), limits, colours_of(cmap, limits)), grid)
    sheet = _Sheet(grid, pixels, bar, beside, captions, void, numbers=labels is True)
    return sheet.draw(ax, title, notes)


@clear_errors
def overlay(
    image: ArrayLike | Tensor,
    heat: ArrayLike | Tensor,
    *,
    mask: ArrayLike | Tensor | None = None,
    labels: Sequence[str] | None = None,
    parts: Sequence[str] = ("overlay",),
    columns: int | None = None,
    title: str = "",
    scale: Literal["shared", "each"] = "shared",
    vmax: float | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Lay heat maps, such as Grad-CAM's or saliency, over the photos that they explain.

    The stronger the heat, the less is seen of the photo; where there is none, the photo is left
    as it is. Maps with negative values are red (for) and blue (against) on a pale grey photo.
    The colour bar has the maps' own values.

    Args:
        image: [3, H, W] or [N, 3, H, W] in [0, 1]; a network's input goes through `denormalize`
            first. One image can have many maps.
        heat: [h, w] or [N, h, w], usually much smaller than the image; resized smoothly.
        mask: [H, W] or [N, H, W] in [0, 1]; its outline at 0.5 is drawn in white on black.
        labels: One caption for each map.
        parts: What is shown, of ``"photo"``, ``"heat"`` (its values as blocks) and
            ``"overlay"``: for one map side by side, for several images a row of each.
        columns: How many panels stand side by side; by default what makes them large.
        title: Stands above.
        scale: ``"shared"`` lets maps be compared; ``"each"`` stretches every map to its own
            largest value, and says so.
        vmax: Value of full heat; by default the largest of all maps.
        colorbar: Whether to draw one.
        ax: Where to draw; by default a new figure as wide as needed.

    Returns:
        The axes drawn on (in screen pixels). A cell that ends with them shows the picture.

    Raises:
        TypeError: an argument is neither a tensor nor an array of numbers.
        ValueError: a shape or range that does not fit, or parts that do not exist.

    Example:
        >>> maps, names = class_maps(model, images).maps, scenes.names[:4]
        >>> overlay(scenes.images[0], maps[0], parts=["photo", "heat", "overlay"])
        >>> overlay(scenes.images[:4], maps, mask=scenes.masks[:4], labels=names)
    """
    _check_scale(scale, None, vmax)
    if isinstance(parts, str) or not parts or not set(parts) <= {"photo", "heat", "overlay"}:
        raise ValueError(f'parts must be a list of "photo", "heat", "overlay", not {parts!r}.')
    photos, values, masks = _photos_and_maps(image, heat, mask)
    if labels is not None and len(labels) != len(values):
        raise ValueError(f"there are {len(values)} maps but {len(labels)} labels.")
    limits = scale_of(values, vmax=vmax)
    _, notes = _empty_tiles(values, labels)
    notes = _scale_notes(limits, scale, colour=False) + notes
    bar = _Bar(limits, _heat_colours(limits), scale) if colorbar else None
    values = np.nan_to_num(values, posinf=limits.high, neginf=limits.low)
    if scale == "each":
        values, limits = _stretch_each(values, limits)
    shares = (values / limits.high).clip(-1, 1)

    captions: list[str] = []
    for part in parts:
        alone = part == "photo" and len(photos) == 1
        captions += ["input"] if alone else list(labels or [part] * len(values))
    if columns is None and len(parts) > 1 and len(photos) > 1:
        columns = len(photos)
    shown = captions if labels or len(parts) > 1 else None
    grid = _fit(len(captions), photos.shape[2:], columns, ax, bar=bar, captions=shown)
    pixels = [_panels(part, photos, shares, limits, grid) for part in parts]
    ax = _Sheet(grid, np.concatenate(pixels), bar, None, shown, []).draw(ax, title, notes)
    first = 0
    for part, panels in zip(parts, pixels, strict=True):
        if masks is not None and part != "photo":
            _draw_outlines(ax, grid, np.broadcast_to(masks, (len(values), *masks.shape[1:])), first)
        first += len(panels)
    return ax


@clear_errors
def describe(values: ArrayLike | Tensor, name: str = "") -> str:
    """Say a picture's key numbers in one line: shape, range, mean, share of zeros, arg-max.

    ``describe(maps, "features.0")`` is, say, ``features.0 [64, 31, 31]: 0.000 to 3.214, mean
    0.412, 38.1 % zeros, largest at [12, 4, 30]``. NaN and infinities are counted and left out
    of the rest.

    Example:
        >>> describe(torch.eye(3), "eye")
        'eye [3, 3]: 0.000 to 1.000, mean 0.333, 66.7 % zeros, largest at [0, 0]'
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


def _check_scale(scale: str, vmin: float | None, vmax: float | None) -> None:
    if scale not in ("shared", "each"):
        raise ValueError(f'scale must be "shared" or "each", not {scale!r}.')
    if scale == "each" and (vmin is not None or vmax is not None):
        raise ValueError('vmin and vmax set a shared scale; leave them out with scale="each".')


def _scale_notes(limits: Limits, scale: str, *, colour: bool) -> list[str]:
    if scale == "each":
        return ["each tile is stretched to its own range: do not compare tiles"]
    if colour and limits[:2] != (0, 1):
        grey = "grey is 0, " if limits.signed else ""
        low, high = map(number_text, limits[:2])
        return [f"{grey}black {low}, white {high} in every tile"]
    return []


def _empty_tiles(array: Floats, labels: Sequence[str] | None = None) -> tuple[list[int], list[str]]:
    """Which tiles have nothing to show, and what to say below about them."""
    flat = array.reshape(len(array), -1)
    zero, broken = (flat == 0).all(axis=1), ~np.isfinite(flat).all(axis=1)
    level = (flat == flat[:, :1]).all(axis=1) & ~zero & ~broken & (flat.shape[1] > 1)
    kinds = {"all zero": zero, "NaN or infinity": broken, "one value everywhere": level}
    notes = []
    for words, flags in kinds.items():
        which = [labels[i] if labels else str(i) for i in np.flatnonzero(flags).tolist()]
        names = ", ".join(which[:8]) + (", …" if len(which) > 8 else "")
        if which:
            notes.append(words if len(flat) == 1 else f"{words}: {len(which)} ({names})")
    return np.flatnonzero(zero | broken).tolist(), notes


def colours_of(cmap: str | Colormap | None, limits: Limits) -> Colormap:
    """The colour map that is asked for, or the one that fits the scale."""
    chosen = cmap or (SIGNED_MAP if limits.signed else PLAIN_MAP)
    return colormaps[chosen] if isinstance(chosen, str) else chosen


# -- overlays ---------------------------------------------------------------------------------


def _photos_and_maps(
    image: ArrayLike | Tensor, heat: ArrayLike | Tensor, mask: ArrayLike | Tensor | None
) -> tuple[Floats, Floats, Floats | None]:
    """[1 or N, 3, H, W] in [0, 1], [N, h, w] and, if there is one, [1 or N, H, W]."""
    batch = _batch(image, "image", 3)
    photos = np.stack([photo(one) for one in batch])
    values = _batch(heat, "heat", 2)
    masks = None if mask is None else _batch(mask, "mask", 2)
    for name, given in (("images", photos), ("masks", masks)):
        if given is not None and len(given) not in (1, len(values)):
            raise ValueError(f"there are {len(values)} maps but {len(given)} {name}.")
    if masks is not None and masks.shape[1:] != photos.shape[2:]:
        raise ValueError(
            f"mask must be as large as the image, {list(photos.shape[2:])}, "
            f"not {list(masks.shape[1:])}."
        )
    return photos, values, masks


def _batch(values: ArrayLike | Tensor, name: str, dimensions: Literal[2, 3]) -> Floats:
    """The same with a first dimension, if it had none."""
    array = as_numbers(values)
    if array.ndim == dimensions + 1 and len(array):
        shaped(array[0], name, dimensions)
        return array
    return shaped(array, name, dimensions)[None]


def _heat_colours(limits: Limits) -> Colormap:
    return colormaps[SIGNED_MAP if limits.signed else HEAT_MAP]


def _panels(part: str, photos: Floats, shares: Floats, limits: Limits, grid: _Grid) -> Pixels:
    """Photos, maps in blocks, or maps over photos; ``shares`` are of full heat, -1 to 1."""
    size = grid.height, grid.width
    colours = _heat_colours(limits)
    if part == "heat":
        blocks = torch.from_numpy(shares)[:, None]
        coarse = max(shares.shape[1:]) <= COARSE
        mode = "nearest-exact" if coarse else "bilinear"
        values = F.interpolate(blocks, size, mode=mode)[:, 0].numpy()
        return _painted(values, Limits(-1.0 if limits.signed else 0.0, 1, limits.signed), colours)
    below = _enlarged(_painted(_smooth(photos, grid), Limits(0, 1, False), colours), grid)
    if part == "photo":
        return below
    heat = F.interpolate(torch.from_numpy(shares)[:, None], size, mode="bilinear")[:, 0].numpy()
    if limits.signed:
        # Luma as in ITU-R BT.601, lightened, so that both colours stand out.
        below = (191 + 0.25 * (below @ np.array([0.299, 0.587, 0.114])))[..., None]
        above = np.where(heat[..., None] < 0, colours(0.0)[:3], colours(1.0)[:3])
    else:
        above = colours(heat)[..., :3]
    alpha = MOST * np.abs(heat)[..., None]
    return (below + alpha * (255 * above - below)).round().astype(np.uint8)


def _draw_outlines(ax: Axes, grid: _Grid, masks: Floats, first: int) -> None:
    """Outline objects in the tiles from the first one on."""
    size = grid.height, grid.width
    edges = F.interpolate(torch.from_numpy(masks.copy())[:, None], size, mode="bilinear")[:, 0]
    limits = ax.get_xlim(), ax.get_ylim()
    for index, edge in enumerate(edges.numpy(), first):
        left, top, *_ = grid.box(index)
        across, down = np.arange(grid.width) + left, np.arange(grid.height) + top
        for colour, thickness in (("black", 3.5), ("white", 1.5)):
            ax.contour(across, down, edge, [0.5], colors=colour, linewidths=thickness)
    ax.set(xlim=limits[0], ylim=limits[1])  # contours move them


# -- drawing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Where the tiles of a mosaic lie, in screen pixels of the whole sheet."""

    count: int
    columns: int
    height: int
    width: int
    down: int  # gap between rows
    across: int  # gap between columns
    left: int  # of the first tile
    top: int

    @property
    def size(self) -> tuple[int, int]:
        """Bottom and right end of all tiles, with the line around them."""
        rows = math.ceil(self.count / self.columns)
        return (
            self.top + rows * (self.height + self.down) - self.down + 1,
            self.left + self.columns * (self.width + self.across) - self.across + 1,
        )

    def box(self, index: int) -> tuple[int, int, int, int]:
        """First column and row of a tile, and the first ones beyond it."""
        row, column = divmod(index, self.columns)
        left = self.left + column * (self.width + self.across)
        top = self.top + row * (self.height + self.down)
        return left, top, left + self.width, top + self.height


@dataclass(frozen=True)
class _Bar:
    """A colour bar: what its colours mean."""

    limits: Limits
    colours: Colormap
    scale: str

    @property
    def names(self) -> list[str]:
        """From the lowest colour to the highest, evenly spaced."""
        low, high, signed = self.limits
        if self.scale == "each":
            return (
                ["\N{MINUS SIGN}max", "0", "max"] if signed else ["0" if low == 0 else "min", "max"]
            )
        return [number_text(value) for value in ([low, 0.0, high] if signed else [low, high])]

    @property
    def room(self) -> int:
        """Screen pixels that the names take at the right."""
        return 9 * max(map(len, self.names)) + 6


def _fit(
    count: int,
    shape: tuple[int, ...],
    columns: int | None,
    ax: Axes | None,
    *,
    bar: _Bar | None,
    captions: Sequence[str] | None,
    beside: Floats | None = None,
) -> _Grid:
    """The grid that makes tiles of a shape as large as the page, or the given axes, allows."""
    if ax is None:
        wide, high = PAGE - 16 - (bar.room if bar else 0), HIGH
    else:
        box = ax.get_window_extent()
        wide, high = int(box.width), int(box.height)
    down = across = 2 if 15 < max(shape) <= COARSE else 6
    if captions is not None:
        down, across = LINE + 6, 10
    left = 1 if beside is None else _input_size(beside, wide)[1] + APART
    top = 1 if captions is None and beside is None else LINE
    wide, high = wide - left - 1 - (2 * BAR if bar else 0), high - top - 1

    def tile(columns: int) -> tuple[int, int]:
        rows = math.ceil(count / columns)
        room = (high + down) // rows - down, (wide + across) // columns - across
        zoom = min(room[0] / shape[0], room[1] / shape[1], MAX_TILE / max(shape))
        if max(shape) <= COARSE and zoom >= 1:
            zoom = int(zoom)
        return max(1, int(shape[0] * zoom)), max(1, int(shape[1] * zoom))

    def worth(columns: int) -> tuple[int, int, int]:
        rows = math.ceil(count / columns)
        return min(max(tile(columns)), ENOUGH), count - rows * columns, -rows

    columns = max(range(1, count + 1), key=worth) if columns is None else min(columns, count)
    return _Grid(count, columns, *tile(columns), down, across, left, top)


def _input_size(image: Floats, wide: int) -> tuple[int, int]:
    """Height and width of the input picture beside its maps."""
    zoom = min(INPUT, wide // 4) / max(image.shape[1:])
    return max(1, round(image.shape[1] * zoom)), max(1, round(image.shape[2] * zoom))


def _smooth(array: Floats, grid: _Grid) -> Floats:
    """[N, …, h, w] resized to tiles where values are not to be seen as squares."""
    size, given = (grid.height, grid.width), array.shape[-2:]
    if max(given) <= COARSE and size[0] >= given[0] and size[1] >= given[1]:
        return array
    return _resized(array, size)


def _resized(array: Floats, size: tuple[int, int]) -> Floats:
    layers = torch.from_numpy(np.ascontiguousarray(array)).reshape(-1, 1, *array.shape[-2:])
    resized = F.interpolate(layers, size, mode="bilinear", antialias=True)
    return resized.numpy().reshape(*array.shape[:-2], *size)


def _painted(array: Floats, limits: Limits, colours: Colormap) -> Pixels:
    """Colours of [N, h, w] by a map, of [N, 3, h, w] from black to white."""
    scaled = (array - limits.low) / (limits.high - limits.low)
    if array.ndim == 4:
        scaled = np.nan_to_num(scaled, nan=1.0).clip(0, 1).transpose(0, 2, 3, 1)
        return (255 * scaled).round().astype(np.uint8)
    colours = colours.with_extremes(bad=(GAP_COLOUR / 255,) * 3)
    return colours(np.ma.masked_invalid(scaled), bytes=True)[..., :3]


def _enlarged(pixels: Pixels, grid: _Grid) -> Pixels:
    """Each pixel as a square, if they do not fill the tiles yet."""
    return pixels.repeat(grid.height // pixels.shape[1], 1).repeat(grid.width // pixels.shape[2], 2)


@dataclass(frozen=True)
class _Sheet:
    """All pixels of a mosaic, composed as one image, which is much faster than an axes each."""

    grid: _Grid
    tiles: Pixels
    bar: _Bar | None
    image: Floats | None
    captions: Sequence[str] | None
    void: Sequence[int]  # tiles to cross out
    numbers: bool = False

    def draw(self, ax: Axes | None, title: str, notes: Sequence[str]) -> Axes:
        """Draw it with all that is written around it."""
        pixels = self._pixels(0 if ax is None else int(ax.get_window_extent().width))
        high, wide = pixels.shape[:2]
        title = textwrap.fill(title, PAGE // 10)
        words = "\n".join(textwrap.fill(note, PAGE // 8) for note in notes)
        if ax is None:
            ax = _exact_axes(high, wide, title, words, self.bar.room if self.bar else 0)
            ax.set_aspect("equal")
            ax.add_image(_Pixels(ax, pixels))
        else:
            ax.imshow(pixels)
        ax.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5), xticks=[], yticks=[])
        ax.set_frame_on(False)
        ax.set_title(title, loc="left", fontsize=NORMAL, parse_math=False)
        ax.set_xlabel(words, loc="left", fontsize=SMALL, parse_math=False)
        self._write_captions(ax)
        if self.bar:
            self._write_bar(ax, wide)
        return ax

    def _pixels(self, wide: int) -> Pixels:
        grid = self.grid
        high, right = grid.size
        if self.image is not None:
            size = _input_size(self.image, wide or PAGE)
            high = max(high, LINE + size[0])
        sheet = np.full((high, right + (2 * BAR if self.bar else 0), 3), 255, dtype=np.uint8)
        if self.image is not None:
            photo_ = _painted(
                _resized(self.image, size)[None], Limits(0, 1, False), colormaps["gray"]
            )
            sheet[LINE : LINE + size[0], : size[1]] = photo_[0]
        for index, tile in enumerate(self.tiles):
            left, top, end, bottom = grid.box(index)
            sheet[top - 1 : bottom + 1, left - 1 : end + 1] = GAP_COLOUR  # a line around it
            sheet[top:bottom, left:end] = tile
        if self.bar:
            ramp = np.linspace(1, 0, grid.size[0] - grid.top - 1)[:, None]
            sheet[grid.top : grid.size[0] - 1, -BAR:] = self.bar.colours(ramp, bytes=True)[..., :3]
        picture = Image.fromarray(sheet)
        self._mark(picture)
        return np.asarray(picture)

    def _mark(self, picture: Image.Image) -> None:
        """Cross out what is empty and number the tiles, seen on any colour."""
        pen = ImageDraw.Draw(picture)
        for index in self.void:
            left, top, right, bottom = self.grid.box(index)
            for colour, width in (("white", 6), ("black", 2)):
                pen.line((left, top, right - 1, bottom - 1), colour, width)
                pen.line((left, bottom - 1, right - 1, top), colour, width)
        if self.numbers and len(self.tiles) > 1 and min(self.grid.height, self.grid.width) >= 20:
            for index, tile in enumerate(self.tiles):
                left, top, *_ = self.grid.box(index)
                face, outline = numeral(index, dark=bool(tile[:15, :20].mean() > 150))
                picture.paste(face, (left + 2, top + 1), outline)

    def _write_captions(self, ax: Axes) -> None:
        if self.image is not None:
            ax.text(0, LINE - 4, "input", fontsize=SMALL)
        for index, text in enumerate(self.captions or []):
            left, top, *_ = self.grid.box(index)
            ax.text(left, top - 5, text, fontsize=SMALL, parse_math=False)

    def _write_bar(self, ax: Axes, wide: int) -> None:
        top, bottom = self.grid.top, self.grid.size[0] - 1
        names = self.bar.names if self.bar else []
        for place, name in enumerate(names):
            share = place / (len(names) - 1)
            where = "bottom" if place == 0 else "top" if share == 1 else "center"
            ax.text(wide + 4, bottom + share * (top - bottom), name, fontsize=SMALL, va=where)


class _Pixels(AxesImage):
    """An image that is copied, not resampled, where each of its pixels is one of the screen's."""

    def __init__(self, ax: Axes, pixels: Pixels) -> None:
        super().__init__(ax, origin="upper")
        self.set_data(pixels)
        self.set_clip_path(ax.patch)
        self._pixels = pixels

    def make_image(
        self, renderer: RendererBase, magnification: float = 1, unsampled: bool = False
    ) -> tuple[Pixels, float, float, Affine2D]:
        """As Matplotlib's, in half the time of the whole figure."""
        high, wide = self._pixels.shape[:2]
        place = self.axes.get_window_extent(renderer)
        if magnification != 1 or not np.allclose((place.width, place.height), (wide, high)):
            return super().make_image(renderer, magnification, unsampled)
        opaque = np.full((high, wide, 4), 255, dtype=np.uint8)
        opaque[::-1, :, :3] = self._pixels
        return opaque, place.x0, place.y0, Affine2D()


def _exact_axes(high: int, wide: int, title: str, words: str, room: int) -> Axes:
    """Axes of a new figure on which one data unit is one screen pixel."""
    lines = [10 * len(line) for line in title.splitlines()]
    lines += [8 * len(line) for line in words.splitlines()]
    width = max(wide + room + 16, *lines, 0)
    top = 8 + (22 * len(title.splitlines()) + 4 if title else 0)
    height = top + high + 8 + LINE * len(words.splitlines())
    figure = Picture(figsize=(width / DPI, height / DPI), dpi=DPI)
    place = (8 / width, (height - top - high) / height, wide / width, high / height)
    return figure.add_axes(place, axes_class=PictureAxes)
