"""Plot one unit: its feature map over the image, and its receptive field enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from vizhelpers import plotting
from vizhelpers._utils import arrays
from vizhelpers._utils.arrays import Floats
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.features.receptive_fields import Box, Pair, ReceptiveField
from vizhelpers.figures import NORMAL, SMALL, letters, number_text, numeral
from vizhelpers.plotting import Limits

# In screen pixels: the longer side of a panel, of what is enlarged and of a mosaic; gaps.
PANEL, CUT, MOSAIC, GAP, EDGE, TOP = 256, 96, 440, 24, 8, 46

# Of cells in rows: left and top of the first, from one to the next across and down, width and
# height, how many columns, how many cells. In pixels of their picture.
Grid = list[float]


@clear_errors
def show_unit(
    image: ArrayLike | Tensor,
    maps: ArrayLike | Tensor,
    channel: int,
    *,
    position: Pair | None = None,
    field: ReceptiveField | None = None,
    title: str = "",
) -> Image.Image:
    """Draw one map over the image, mark a unit in it, and show what that unit sees.

    On the left the map covers a grey copy of the image. Every value is a block, and the colours
    have one scale for all maps, centred on zero where any value is negative. On the right the
    unit's receptive field is framed in the image itself; below, what lies inside is enlarged.
    Drawn with Pillow, several times as fast as Matplotlib.

    Args:
        image: [3, H, W] in [0, 1]; a network's input goes through `denormalize` first.
        maps: [C, h, w], what one layer makes of this image.
        channel: Which of the maps.
        position: Row and column of the unit; by default where the map's value is largest.
        field: What the layer's units see, from `receptive_field`; without it, only the map is
            explained.
        title: Stands above, before the channel.

    Returns:
        The picture. A notebook cell that ends with it shows it.

    Raises:
        TypeError: the image or the maps are no numbers.
        ValueError: a shape or range that does not fit; there is no such channel or position;
            the field belongs to other maps or to an image of another size.
    """
    pixels = arrays.photo(image)
    stack = _stack(maps)
    shapes = stack.shape[1:], pixels.shape[1:]
    spot = _spot(stack, channel, position)
    if field is not None and (field.map_shape, field.image_shape) != shapes:
        found = "maps {} of an image {}".format(*shapes)
        raise ValueError(f"this is the field of {field.layer!r}, {field}; here are {found}.")
    limits = plotting.scale_of(stack)
    photo = Image.fromarray((255 * pixels).round().astype(np.uint8).transpose(1, 2, 0))
    panel = ImageOps.contain(photo, (PANEL, PANEL), Image.Resampling.BOX)
    blocks = Image.fromarray(_coloured(stack[channel], limits)).resize(panel.size, 0)
    covered = Image.blend(panel.convert("L").convert("RGB"), blocks, 0.7)

    right, below = EDGE + panel.width + GAP, TOP + panel.height + 12
    sheet = Image.new("RGB", (right + panel.width + EDGE, below + CUT + EDGE), "white")
    sheet._repr_jpeg_ = None  # type: ignore[assignment]  # a notebook would store both
    sheet.paste(covered, (EDGE, TOP))
    sheet.paste(panel, (right, TOP))
    pen = ImageDraw.Draw(sheet)
    pen.text((EDGE, 6), f"{title}  channel {channel}".strip(), "black", letters(NORMAL))
    pen.font = letters(SMALL)
    size = "its map, {} × {}, over the image".format(*shapes[0])
    pen.text((EDGE, TOP - 18), size, "black")
    what = "what the marked unit sees" if field and spot else "the image"
    pen.text((right, TOP - 18), what, "black")
    _draw_scale(sheet, pen, (EDGE, below, panel.width), limits)
    if spot is None:
        pen.text((EDGE + 8, TOP + 6), _emptiness(stack[channel]), "white")
        return sheet
    row, column = spot
    _frame(pen, (row, column, row + 1, column + 1), shapes[0], (EDGE, TOP, *panel.size))
    if field is not None:
        box = field.box(row, column)
        _frame(pen, box, shapes[1], (right, TOP, *panel.size))
        _draw_cut(sheet, pen, (right, below), photo, box)
    return sheet


def unit_grid(picture: Image.Image, rows: int, columns: int) -> Grid:
    """Where the units lie in the picture of `show_unit`, as `Grid`."""
    across = (picture.width - 2 * EDGE - GAP) / 2 / columns
    down = (picture.height - TOP - 12 - CUT - EDGE) / rows
    return [EDGE, TOP, across, down, across, down, columns, rows * columns]


def draw_maps(maps: Floats, title: str, max_tiles: int) -> tuple[Image.Image, Grid]:
    """A small mosaic, each tile with its channel's number, and where its tiles lie, as `Grid`."""
    tiles, limits = maps[:max_tiles], plotting.scale_of(maps)
    columns = math.ceil(math.sqrt(len(tiles)))
    rows, gap = math.ceil(len(tiles) / columns), 3
    width = MOSAIC // columns - gap
    height = max(1, round(width * maps.shape[1] / maps.shape[2]))
    across, down = width + gap, height + gap
    sheet = Image.new("RGB", (2 * EDGE + columns * across, TOP + rows * down + EDGE), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((EDGE, 6), title, "black", letters(NORMAL))
    few = f"the first {len(tiles)} of {len(maps)} maps" if len(tiles) < len(maps) else ""
    pen.text((EDGE, TOP - 18), few or f"its {len(maps)} maps", "black", letters(SMALL))
    for index, values in enumerate(tiles):
        x, y = EDGE + index % columns * across, TOP + index // columns * down
        tile = Image.fromarray(_coloured(values, limits))
        sheet.paste(tile.resize((width, height), Image.Resampling.BOX), (x, y))
        if min(width, height) > 25:
            face, outline = numeral(index, dark=False)
            sheet.paste(face, (x + 1, y), outline)
    return sheet, [EDGE, TOP, across, down, width, height, columns, len(tiles)]


def _stack(maps: ArrayLike | Tensor) -> Floats:
    """[C, h, w], or an error that says which index is missing."""
    array = arrays.as_numbers(maps)
    if array.ndim != 3 or array.size == 0:
        hint = " Choose one image's maps: maps[0]." if array.ndim == 4 else ""
        raise ValueError(f"maps must have the shape [C, h, w], not {list(array.shape)}.{hint}")
    return array


def strongest_map(maps: Floats) -> int:
    """The channel with the largest finite value."""
    return int(np.where(np.isfinite(maps), maps, -np.inf).max(axis=(1, 2)).argmax())


def _spot(maps: Floats, channel: int, position: Pair | None) -> Pair | None:
    """The position, or that of the largest value; None in a map where nothing stands out."""
    count, rows, columns = maps.shape
    if not 0 <= channel < count:
        raise ValueError(f"there are channels 0 to {count - 1}, not {channel}.")
    if position is None:
        known = np.where(np.isfinite(maps[channel]), maps[channel], -np.inf)
        return None if _emptiness(maps[channel]) else divmod(int(known.argmax()), columns)
    if not (0 <= position[0] < rows and 0 <= position[1] < columns):
        raise ValueError(f"a map of {rows} × {columns} values has no unit {position}.")
    return position


def _emptiness(values: Floats) -> str:
    """Why nothing stands out in a map, if that is so."""
    if not np.isfinite(values).any():
        return "no finite value"
    return "" if values.any() else "zero everywhere"


def _sentence(maps: Floats, channel: int, spot: Pair | None, field: ReceptiveField | None) -> str:
    values, text = maps[channel], f"Channel {channel} of {len(maps)}: "
    if spot is None:
        return f"{text}{_emptiness(values)}, so no unit is the strongest."
    text += "{} at row {}, column {}".format(number_text(float(values[spot])), *spot)
    text += " (its strongest)" if spot == _spot(maps, channel, None) else ""
    if field is not None:
        top, left, bottom, right = field.box(*spot)
        text += f", which sees pixel rows {top}–{bottom - 1}, columns {left}–{right - 1}"
    return f"{text}; {100 * (values == 0).mean():.0f} % of the map is zero."


def _coloured(values: Floats, limits: Limits) -> NDArray[np.uint8]:
    """[h, w, 3]; grey where a value is not finite."""
    colours = _colours(limits)
    scaled = (values - limits.low) / (limits.high - limits.low)
    return colours(np.ma.masked_invalid(scaled), bytes=True)[:, :, :3]


@lru_cache(8)
def _colours(limits: Limits) -> Colormap:
    return plotting.colours_of(None, limits).with_extremes(bad="0.75")  # a copy, made anew


def _draw_scale(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, place: tuple[int, int, int], limits: Limits
) -> None:
    """The colour bar, with its ends and its middle named: zero where values have a sign."""
    left, top, width = place
    ramp = np.linspace(limits.low, limits.high, width, dtype=np.float32)[None]
    sheet.paste(Image.fromarray(_coloured(ramp, limits)).resize((width, 12)), (left, top))
    for index, anchor in enumerate(("la", "ma", "ra")):
        value = limits.low + (limits.high - limits.low) * index / 2
        spot = (left + width * index // 2, top + 16)
        pen.text(spot, number_text(value), "black", anchor=anchor)
    pen.text((left, top + 36), "one scale for all maps", "black")


def _draw_cut(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: Pair, photo: Image.Image, box: Box
) -> None:
    """What lies inside the receptive field, enlarged."""
    top, left, bottom, right = box
    if top == bottom or left == right:
        pen.text(corner, "only padding", "black")
        return
    cut = photo.crop((left, top, right, bottom))
    cut = ImageOps.contain(cut, (CUT, CUT), Image.Resampling.BOX)
    sheet.paste(cut, corner)
    words = f"{bottom - top} × {right - left} pixels"
    pen.text((corner[0] + cut.width + EDGE, corner[1]), words, "black")


def _frame(pen: ImageDraw.ImageDraw, box: Box, shape: Sequence[int], place: Box) -> None:
    """A white line between black ones around a box of an array drawn at a place."""
    x, y, width, height = place
    down, across = height / shape[0], width / shape[1]
    left, top = x + round(box[1] * across), y + round(box[0] * down)
    right, bottom = x + round(box[3] * across) - 1, y + round(box[2] * down) - 1
    for grow, colour in ((3, "black"), (2, "white"), (1, "white"), (0, "black")):
        pen.rectangle((left - grow, top - grow, right + grow, bottom + grow), outline=colour)
