"""Log images to TensorBoard so that they look right: range, channels, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD, denormalize, load_image
from vizhelpers.tensorboard.events import Pixels

# A picture whose brightest pixel is below is hardly meant; a mask or a map of classes often is.
_MOST_CLASSES = 20
Normalized = bool | tuple[Sequence[float], Sequence[float]]


@clear_errors
def log_images(
    writer: Any,
    tag: str,
    images: Any,
    step: int,
    *,
    normalized: Normalized = False,
) -> None:
    """Give a SummaryWriter one image or several, so that TensorBoard shows what they are.

    ``add_image`` must be told the order of the dimensions, takes any numbers and goes by their
    dtype alone: what is not in [0, 1] comes out white or black (with tensorboardX in wild
    colours). Here the order is told from the shape, floats are rounded to 0…255, and what could
    mean two things is refused.

    [3, H, W] is one RGB image. Three maps of a layer have that shape, too: log them, like any
    other number of maps, as ``maps[:, None]``, [3, 1, H, W].

    Args:
        writer: Of torch.utils.tensorboard or tensorboardX.
        tag: The name on the page. Several images become one, eight to a row, as ``add_images``
            does.
        images: [H, W], [C, H, W] or [H, W, C]; several as [N, C, H, W], [N, H, W, C] or a list
            of images of one size. Tensors, arrays or Pillow images with one or three channels;
            floats in [0, 1], uint8 or bool. Never changed in place.
        step: Where they belong on the slider.
        normalized: ``True`` where ImageNet's mean and standard deviation were taken out (by
            `normalize`, say), or ``(mean, std)``: they are put back first.

    Raises:
        TypeError: ``writer`` has no ``add_images``, or ``images`` are of another kind.
        ValueError: a shape, dtype or range that is no image, or may be two different ones.
    """
    if not hasattr(writer, "add_images"):
        raise TypeError(f"writer must be a SummaryWriter, not {type(writer).__name__}.")
    if isinstance(images, list | tuple):
        several = [_pixels(image, normalized) for image in images]
        if len({image.shape for image in several}) != 1 or several[0].ndim != 3:
            raise ValueError(
                f"a list must hold images, all of one size, not {[i.shape for i in several]}. "
                "Resize them, or log each with a tag of its own. A batch goes without a list."
            )
        pixels = np.stack(several)
    else:
        pixels = _pixels(images, normalized)
    if pixels.ndim == 3:
        writer.add_image(tag, pixels, step, dataformats="HWC")
    else:
        writer.add_images(tag, pixels, step, dataformats="NHWC")


def _pixels(images: Any, normalized: Normalized) -> Pixels:
    """uint8 [H, W, 3] or [N, H, W, 3]."""
    if isinstance(images, Image.Image):
        images = load_image(images)
    if isinstance(images, np.ndarray) and images.dtype.kind in "biuf":
        images = torch.from_numpy(images.copy())  # may be read-only or flipped
    if not isinstance(images, Tensor) or images.is_complex():
        raise TypeError(
            "images must be a tensor, an array, a Pillow image or a list of these, "
            f"not {getattr(images, 'dtype', type(images).__name__)}."
        )
    values = _channels_first(images.detach().cpu())
    if normalized is not False:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalized is True else normalized
        values = denormalize(values, mean, std)
    values = _bytes(values)
    return values.expand(*values.shape[:-3], 3, -1, -1).movedim(-3, -1).contiguous().numpy()


def _channels_first(images: Tensor) -> Tensor:
    """[C, H, W] or [N, C, H, W] with one or three channels, told from the shape alone."""
    shape = list(images.shape)
    if not images.numel() or images.ndim not in (2, 3, 4):
        raise ValueError(f"images must be [H, W], [C, H, W] or [N, C, H, W], not {shape}.")
    if images.ndim == 2:
        return images[None]
    first, last = shape[-3] in (1, 3), shape[-1] in (1, 3)
    if first != last:
        return images if first else images.movedim(-1, -3)
    one = images.ndim == 3
    if first:
        call, orders = ("add_image", "CHW or HWC") if one else ("add_images", "NCHW or NHWC")
        raise ValueError(
            f"in {shape} the channels may come first or last. Tell the writer itself: "
            f"writer.{call}(tag, images, step, dataformats=…) with {orders}."
        )
    raise ValueError(
        f"images have one or three channels, first or last; {shape} has neither. A layer's maps "
        f"are grey images, one each: {'maps' if one else 'maps[0]'}[:, None]. Of RGBA, leave out A."
    )


def _bytes(values: Tensor) -> Tensor:
    """uint8 from bool, uint8 or floats in [0, 1]."""
    if values.dtype == torch.bool:
        return values.to(torch.uint8) * 255
    if not values.is_floating_point() and 0 < (most := int(values.max())) <= _MOST_CLASSES:
        raise ValueError(
            f"these integers end at {most}, so as pixels of 0 to 255 they would be black. A mask: "
            "images.bool(). Numbers of classes: images / images.max()."
        )
    if values.dtype == torch.uint8:
        return values
    if not values.is_floating_point():
        raise ValueError(
            f"images must be uint8 or floats in [0, 1], not {values.dtype}. If they go from 0 to "
            "255, convert them: images.to(torch.uint8), of an array images.astype(np.uint8)."
        )
    values = values.float() * 255
    low, high = values.aminmax()
    if not (low >= -0.5 and high <= 255.5):  # what rounds to 0 or 255 may stay
        raise ValueError(
            f"floats must be in [0, 1], but these go from {low / 255:.3g} to {high / 255:.3g}. "
            "A network's input: say normalized=True, or (mean, std). 0 to 255: divide by 255. Too "
            "bright: .clamp(0, 1). A layer's maps: scale them, (x - x.min()) / (x.max() - x.min())."
        )
    return values.round().clamp(0, 255).to(torch.uint8)
