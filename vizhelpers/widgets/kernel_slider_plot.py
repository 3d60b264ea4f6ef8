"""The arithmetic of the kernel slider, and its picture for whoever runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from vizhelpers._utils.arrays import Floats, shaped, unit_range
from vizhelpers._utils.checks import is_float, whole
from vizhelpers.figures import Picture, new_figure
from vizhelpers.images import denormalize
from vizhelpers.plotting import NORMAL, PLAIN_MAP, SIGNED_MAP, SMALL, Limits, scale_of

MOST = 4_000_000  # numbers of an image that go into a page: 16 MB
FRAME = "#e65100"  # around what is chosen, as in every widget
PADDING = "0.82"  # what is not in the picture

Place = tuple[int, int]


class Geometry(NamedTuple):
    """Which pixels a kernel reads at which place; all in pixels, as the page gets it."""

    channels: int  # that one kernel reads
    height: int
    width: int
    tall: int  # the kernel
    wide: int
    step_down: int  # stride
    step_across: int
    spread_down: int  # dilation
    spread_across: int
    top: int  # padding
    bottom: int
    left: int
    right: int
    rows: int  # the feature map
    columns: int

    @property
    def window(self) -> Place:
        """Height and width of what a kernel spans."""
        return (
            self.spread_down * (self.tall - 1) + 1,
            self.spread_across * (self.wide - 1) + 1,
        )

    def corner(self, place: Place) -> Place:
        """The row and column of the picture at which the window begins; in padding, below zero."""
        return place[0] * self.step_down - self.top, place[1] * self.step_across - self.left

    def inside(self) -> NDArray[np.bool_]:
        """[rows, columns], where a kernel reads no padding."""
        (y, x), (tall, wide) = self.corner((0, 0)), self.window
        down = y + self.step_down * np.arange(self.rows)
        across = x + self.step_across * np.arange(self.columns)
        fits_down = (down >= 0) & (down + tall <= self.height)
        fits_across = (across >= 0) & (across + wide <= self.width)
        return fits_down[:, None] & fits_across


@dataclass(frozen=True)
class Kernel:
    """One output channel of a convolution."""

    channel: int
    planes: Floats  # [C, H, W], what it reads, without padding
    weight: Floats  # [C, tall, wide]
    bias: float | None
    map: Floats  # [rows, columns]

    def strongest(self, geometry: Geometry) -> Place:
        """Where the map is farthest from zero, if possible where no padding is read."""
        strength, inside = np.abs(self.map), geometry.inside()
        if inside.any():
            strength = np.where(inside, strength, -1)
        row, column = divmod(int(strength.argmax()), geometry.columns)
        return row, column

    def heaviest(self) -> int:
        """The input channel whose weights are farthest from zero."""
        return int(np.abs(self.weight).sum(axis=(1, 2)).argmax())

    def reaches(self, geometry: Geometry) -> list[float]:
        """How far from zero a product comes: added up over the channels, then for each of them.

        Of a large map a grid of places is looked at.
        """
        size = geometry
        padded = self.padded(size)
        few = max(1, max(size.rows, size.columns) // 32)
        down, across = (
            np.arange(0, places, few) * step
            for places, step in ((size.rows, size.step_down), (size.columns, size.step_across))
        )
        reaches = np.zeros(size.channels + 1)
        for j in range(size.tall):
            for i in range(size.wide):
                read = padded[:, down + j * size.spread_down][:, :, across + i * size.spread_across]
                products = read * self.weight[:, j, i, None, None]
                found = np.concatenate([products.sum(axis=0, keepdims=True), products])
                reaches = np.maximum(reaches, np.abs(found).max(axis=(1, 2)))
        return [float(reach) or 1.0 for reach in reaches]

    def padded(self, geometry: Geometry) -> Floats:
        """[C, H, W] with the zeros around it."""
        around = (0, 0), (geometry.top, geometry.bottom), (geometry.left, geometry.right)
        return np.pad(self.planes, around)

    def patch(self, geometry: Geometry, place: Place) -> Floats:
        """[C, tall, wide], what it reads at a place: zero where that is padding."""
        y, x = place[0] * geometry.step_down, place[1] * geometry.step_across
        tall, wide = geometry.window
        window = self.padded(geometry)[:, y : y + tall, x : x + wide]
        return window[:, :: geometry.spread_down, :: geometry.spread_across]


@dataclass(frozen=True)
class Convolution:
    """A convolution with what it gets and makes, as float32 on the CPU."""

    image: Floats  # [C, H, W]
    weight: Floats  # [out, C / groups, tall, wide]
    bias: Floats | None
    maps: Floats  # [out, rows, columns]
    groups: int
    geometry: Geometry
    photo: NDArray[np.uint8] | None  # [H, W, 3], the image's colours
    limits: Limits  # one scale for all channels of the image

    @property
    def colours(self) -> str:
        """The colour map of an input channel: a picture of one channel is grey."""
        if self.limits.signed:
            return SIGNED_MAP
        return "gray" if len(self.image) == 1 else PLAIN_MAP

    def kernel(self, channel: int) -> Kernel:
        """One output channel, or an error that says which there are."""
        if not 0 <= channel < len(self.maps):
            raise ValueError(f"there are output channels 0 to {len(self.maps) - 1}, not {channel}.")
        first = channel // (len(self.maps) // self.groups) * self.geometry.channels
        return Kernel(
            channel,
            self.image[first : first + self.geometry.channels],
            self.weight[channel],
            None if self.bias is None else float(self.bias[channel]),
            self.maps[channel],
        )

    def place(self, place: Any) -> Place:
        """Row and column as integers, or an error that says which there are."""
        rows, columns = self.geometry.rows, self.geometry.columns
        try:
            row, column = place
        except (TypeError, ValueError):
            raise TypeError(f"at must be a row and a column, got {place!r}.") from None
        row, column = whole("the row", row), whole("the column", column)
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"there is no row {row}, column {column}: the feature map has rows 0 to "
                f"{rows - 1} and columns 0 to {columns - 1}."
            )
        return row, column

    def sentence(self, channel: int) -> str:
        """What one of its kernels is, in words."""
        size = self.geometry
        reads = f"for each of {size.channels} input channels"
        if size.channels == 1:
            reads = "for its input channel"
        places = f"{size.rows} × {size.columns} places"
        around = size.top + size.bottom + size.left + size.right
        padding = " What is hatched is padding: it counts as zero." if around else ""
        return (
            f"Output channel {channel} of {len(self.maps)}: a kernel of {size.tall} × {size.wide} "
            f"weights {reads}. It stops at {places}, and each gives one number of the feature map."
            f"{padding}"
        )


def read_convolution(image: Any, conv: Any, picture: Any) -> Convolution:
    """Check what `kernel_slider` is given, and run the convolution once.

    Neither its hooks are called nor is it changed; gradients are not followed.
    """
    _check_convolution(conv)
    pixels = _check_image(image, conv)
    weight = conv.weight.detach().to("cpu", torch.float32)
    bias = None if conv.bias is None else conv.bias.detach().to("cpu", torch.float32)
    top, bottom, left, right = _padding(conv)
    padded = F.pad(pixels, (left, right, top, bottom))
    maps = F.conv2d(padded, weight, bias, conv.stride, 0, conv.dilation, conv.groups).numpy()
    if not np.isfinite(maps).all():
        raise ValueError("the feature maps hold NaN or infinity: look at the weights.")
    values = pixels.numpy()
    return Convolution(
        image=values,
        weight=weight.numpy(),
        bias=None if bias is None else bias.numpy(),
        maps=maps,
        groups=conv.groups,
        geometry=_geometry(conv, values, maps),
        photo=_photo(values, conv, picture),
        limits=scale_of(values),
    )


def _check_convolution(conv: Any) -> None:
    if not isinstance(conv, nn.Conv2d):
        advice = ""
        if isinstance(conv, nn.Module):
            advice = " Take one out of a model: vh.get_layer(model, 'conv1')."
        raise TypeError(f"conv must be a torch.nn.Conv2d, got {type(conv).__name__}.{advice}")
    if is_lazy(conv.weight):
        raise ValueError("conv has no weights yet: run the model once on an image.")
    if conv.weight.is_meta:
        raise ValueError("the weights of conv have shapes but no numbers (they are on meta).")
    if conv.padding_mode != "zeros" and any(_padding(conv)):
        raise ValueError(
            f"conv pads with padding_mode={conv.padding_mode!r}, and only zeros are shown here: "
            "pad the image yourself (torch.nn.functional.pad), and show a copy of conv with "
            "padding 0."
        )


def _check_image(image: Any, conv: nn.Conv2d) -> Tensor:
    """[C, H, W], float32 on the CPU."""
    if not is_float(image):
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"image must be a tensor [C, H, W] of floats, got {kind}.")
    shape = list(image.shape)
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or not image.numel():
        hint = " Choose one of the batch: image[0]." if image.ndim == 4 and len(image) else ""
        raise ValueError(f"image must have the shape [C, H, W], not {shape}.{hint}")
    if len(image) != conv.in_channels:
        raise ValueError(
            f"conv reads {conv.in_channels} channels, but image {shape} has {len(image)}. Give "
            "what this layer gets: the maps of the layer before it, or the network's own input."
        )
    if image.numel() > MOST:
        raise ValueError(
            f"image {shape} holds {image.numel():,} numbers, too many for a page (at most "
            f"{MOST:,}). Make it smaller: vh.load_image(path, size=224)."
        )
    pixels = image.detach().to("cpu", torch.float32)
    if not pixels.isfinite().all():
        raise ValueError("image holds NaN or infinity: look at where it comes from.")
    top, bottom, left, right = _padding(conv)
    tall, wide = _window(conv)
    down, across = pixels.shape[1] + top + bottom, pixels.shape[2] + left + right
    if down < tall or across < wide:
        raise ValueError(
            f"image is too small: with its padding it has {down} × {across} pixels, and the "
            f"kernel spans {tall} × {wide}."
        )
    return pixels


def _geometry(conv: nn.Conv2d, values: Floats, maps: Floats) -> Geometry:
    top, bottom, left, right = _padding(conv)
    return Geometry(
        channels=conv.in_channels // conv.groups,
        height=values.shape[1],
        width=values.shape[2],
        tall=conv.kernel_size[0],
        wide=conv.kernel_size[1],
        step_down=conv.stride[0],
        step_across=conv.stride[1],
        spread_down=conv.dilation[0],
        spread_across=conv.dilation[1],
        top=top,
        bottom=bottom,
        left=left,
        right=right,
        rows=maps.shape[1],
        columns=maps.shape[2],
    )


def _window(conv: nn.Conv2d) -> Place:
    """Height and width of what a kernel spans."""
    tall, wide = (
        spread * (size - 1) + 1
        for spread, size in zip(conv.dilation, conv.kernel_size, strict=True)
    )
    return tall, wide


def _padding(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Rows of zeros above and below, columns to the left and right."""
    around: list[int] = []
    for axis in range(2):
        if conv.padding == "same":  # the odd one of an even kernel's comes after
            total = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
            around += [total // 2, total - total // 2]
        else:
            size = 0 if conv.padding == "valid" else conv.padding[axis]
            around += [int(size)] * 2
    top, bottom, left, right = around
    return top, bottom, left, right


def _photo(values: Floats, conv: nn.Conv2d, picture: Any) -> NDArray[np.uint8] | None:
    """[H, W, 3], the colours of what the convolution gets; None where it has no colours."""
    has_colours = len(values) == 3 and conv.groups == 1
    if picture is not None:
        if not has_colours:
            raise ValueError(
                f"picture= gives an image of three channels its colours; conv reads "
                f"{conv.in_channels} in groups of {conv.in_channels // conv.groups}, which are "
                "shown one at a time. Leave picture out."
            )
        colours = shaped(picture, "picture", 3)
        if colours.shape != values.shape:
            raise ValueError(
                f"picture {list(colours.shape)} and image {list(values.shape)} must be of one size."
            )
        advice = "denormalize(image) makes a picture of a network's input."
        colours = unit_range(colours, "picture", advice)
    elif not has_colours:
        return None
    else:
        tried = values, denormalize(torch.from_numpy(values)).numpy()
        fitting = [some for some in tried if some.min() >= -0.02 and some.max() <= 1.02]
        if not fitting:
            return None
        colours = fitting[0].clip(0, 1)
    return (255 * colours).round().astype(np.uint8).transpose(1, 2, 0)


def colour_table(name: str) -> bytes:
    """A colour map as 256 colours, [256, 3], from the lowest value to the highest."""
    colours = colormaps[name](np.arange(256))[:, :3]
    return (255 * colours).round().astype(np.uint8).tobytes()


# -- the picture for whoever runs nothing ---------------------------------------------------------


def draw_kernel(conv: Convolution, kernel: Kernel, place: Place, plane: int) -> Picture:
    """Draw the picture, the patch, the kernel, the products and the whole map.

    Args:
        conv: The convolution.
        kernel: One of its kernels.
        place: Row and column of the map.
        plane: The input channel that is shown; -1 for the three as colours.
    """
    figure = new_figure(10.6, 4.0)
    figure.set_layout_engine("constrained", w_pad=0.07, h_pad=0.05)
    panels = figure.subplot_mosaic("PPABMM\nPPCTMM")
    for ax in panels.values():
        ax.set(xticks=[], yticks=[])
    products = kernel.patch(conv.geometry, place) * kernel.weight
    shown = products.sum(axis=0) if plane < 0 else products[plane]
    _draw_picture(panels["P"], conv, kernel, place, plane)
    _draw_patch(panels["A"], conv, kernel, place, plane)
    _draw_weights(panels["B"], kernel, plane)
    _draw_signed(panels["C"], "= products", shown, kernel.reaches(conv.geometry)[plane + 1])
    _write_sum(panels["T"], products, kernel, place, plane)
    _draw_signed(panels["M"], "feature map", kernel.map, float(np.abs(kernel.map).max()))
    panels["M"].add_patch(_frame(place[1] - 1, place[0] - 1, 2, 2))
    return figure


def _draw_picture(ax: Axes, conv: Convolution, kernel: Kernel, place: Place, plane: int) -> None:
    size = conv.geometry
    _draw_pixels(ax, conv, kernel.planes, conv.photo, plane)
    (y, x), (tall, wide) = size.corner(place), size.window
    ax.add_patch(_frame(x - 0.5, y - 0.5, wide, tall))
    ax.set(
        xlim=(-0.5 - size.left, size.width + size.right - 0.5),
        ylim=(size.height + size.bottom - 0.5, -0.5 - size.top),
        facecolor=PADDING,
    )
    _head(ax, "picture" if plane < 0 or size.channels == 1 else f"input channel {plane}")


def _draw_patch(ax: Axes, conv: Convolution, kernel: Kernel, place: Place, plane: int) -> None:
    size = conv.geometry
    (y, x), (tall, wide) = size.corner(place), size.window
    down = np.arange(y, y + tall, size.spread_down)
    across = np.arange(x, x + wide, size.spread_across)
    rows, columns = down.clip(0, size.height - 1), across.clip(0, size.width - 1)
    photo = None if conv.photo is None else conv.photo[rows][:, columns]
    _draw_pixels(ax, conv, kernel.patch(size, place), photo, plane)
    outside = (rows != down)[:, None] | (columns != across)
    ax.imshow(np.where(outside, float(PADDING), np.nan), cmap="gray", vmin=0, vmax=1)
    _head(ax, "patch")


def _draw_pixels(
    ax: Axes,
    conv: Convolution,
    planes: Floats,
    photo: NDArray[np.uint8] | None,
    plane: int,
) -> None:
    """The colours, or one channel on the scale of all."""
    low, high, _ = conv.limits
    if plane < 0 and photo is not None:
        ax.imshow(photo, interpolation="nearest")
    else:
        ax.imshow(planes[plane], cmap=conv.colours, vmin=low, vmax=high, interpolation="nearest")


def _draw_weights(ax: Axes, kernel: Kernel, plane: int) -> None:
    reach = float(np.abs(kernel.weight).max()) or 1.0
    if plane >= 0:
        _draw_signed(ax, "× kernel", kernel.weight[plane], reach)
    else:
        ax.imshow(0.5 + 0.5 * kernel.weight.transpose(1, 2, 0) / reach, interpolation="nearest")
        _head(ax, "× kernel (grey: 0)")


def _draw_signed(ax: Axes, title: str, values: Floats, reach: float) -> None:
    reach = reach or 1.0
    ax.imshow(values, cmap=SIGNED_MAP, vmin=-reach, vmax=reach, interpolation="nearest")
    _head(ax, title)


def _write_sum(ax: Axes, products: Floats, kernel: Kernel, place: Place, plane: int) -> None:
    ax.axis("off")
    shown = products if plane < 0 else products[plane]
    here, others = float(shown.sum()), len(products) - 1
    lines = [f"{_text(here)}  {shown.size} products"]
    if plane >= 0 and others:
        rest = _text(float(products.sum()) - here, sign=True)
        lines.append(f"{rest}  {others} other channels")
    if kernel.bias is not None:
        lines.append(f"{_text(kernel.bias, sign=True)}  bias")
    _head(ax, "added up")
    ax.text(0, 0.97, "\n".join(lines), va="top", fontsize=SMALL)
    ax.text(0, 0.45, f"= {_text(float(kernel.map[place]))}", va="top", fontsize=16)
    ax.text(0, 0.2, "→ row {}, column {}".format(*place), va="top", fontsize=SMALL)


def _head(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=NORMAL)


def _text(value: float, *, sign: bool = False) -> str:
    """As the page writes it."""
    digits = f"{abs(value):.{1 if abs(value) >= 100 else 3}f}"
    minus = value < 0 and float(digits) != 0
    return ("−" if minus else "+" if sign else "") + digits


def _frame(x: float, y: float, width: float, height: float) -> Rectangle:
    return Rectangle((x, y), width, height, fill=False, edgecolor=FRAME, linewidth=2)
