"""Images: from a photo on disk to the tensor that a network takes, and back.

Belongs here: reading a file into a tensor, normalising and its inverse. An image is
float32 in [0, 1], RGB, shape [3, H, W] or [N, 3, H, W]; only ``normalize`` makes
anything else of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# The training set's mean and standard deviation per channel, as torchvision's weights use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(
    images: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Turn images into what a network takes: ``(images - mean) / std`` for each channel.

    Args:
        images: Floats in [0, 1], shape [..., C, H, W]. Never changed in place.
        mean: One number per channel. ImageNet's by default.
        std: One number per channel, above zero. ImageNet's by default.

    Returns:
        A new tensor of the same shape, dtype and device; gradients flow through it.

    Raises:
        TypeError: ``images`` is not a tensor of floats.
        ValueError: values lie clearly outside [0, 1], or the channels do not match ``mean``.
    """
    shift, scale = _per_channel(images, mean, std)
    if images.numel() and not images.is_meta:
        low, high = (float(value) for value in images.detach().aminmax())
        # A resized or perturbed image may overshoot a little; 0…255 or a second
        # normalisation overshoots by far more.
        if not (low >= -0.1 and high <= 1.1):
            raise ValueError(
                f"normalize needs images in [0, 1], but these go from {low:.3g} to {high:.3g}. "
                + _out_of_range_advice(low, high)
            )
    return (images - shift) / scale


def denormalize(
    images: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Undo `normalize`, so that the image can be looked at: ``images * std + mean``.

    Nothing is clamped: an image that an optimiser has pushed outside [0, 1] stays visible
    as such, and gradients flow through. To draw it, add ``.detach().clamp(0, 1)``.

    Args:
        images: Floats, shape [..., C, H, W]. Never changed in place.
        mean: The mean that `normalize` was given.
        std: The standard deviation that `normalize` was given.

    Returns:
        A new tensor of the same shape, dtype and device.

    Raises:
        TypeError: ``images`` is not a tensor of floats.
        ValueError: the channels do not match ``mean``.
    """
    shift, scale = _per_channel(images, mean, std)
    return images * scale + shift


def _per_channel(
    images: Tensor, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Mean and std as [C, 1, 1] tensors that fit ``images``; errors say what does not fit."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a tensor, not {type(images).__name__}. "
            "load_image(path) makes one from a file."
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images must be floats in [0, 1], but these are {images.dtype}. "
            "If they go from 0 to 255, write images.float() / 255."
        )
    if images.ndim < 3:
        raise ValueError(
            f"images must have the shape [C, H, W] or [N, C, H, W], not {list(images.shape)}."
        )
    if len(mean) != len(std):
        raise ValueError(f"mean has {len(mean)} numbers and std has {len(std)}; they must match.")
    if min(std) <= 0:
        raise ValueError(f"every std must be above zero, but std is {tuple(std)}.")
    channels = images.shape[-3]
    if channels != len(mean):
        hint = ""
        if images.shape[-1] == len(mean):
            hint = " The channels seem to come last: move them with images.movedim(-1, -3)."
        elif channels == 1:
            hint = " For a grey image, repeat its channel: images.expand(..., 3, -1, -1)."
        raise ValueError(
            f"images {list(images.shape)} have {channels} channels (third dimension from the "
            f"end), but mean and std are for {len(mean)}.{hint}"
        )
    shape = (-1, 1, 1)
    shift = torch.tensor(mean, dtype=images.dtype, device=images.device).view(shape)
    scale = torch.tensor(std, dtype=images.dtype, device=images.device).view(shape)
    return shift, scale


def _out_of_range_advice(low: float, high: float) -> str:
    if math.isnan(low):
        return "They contain NaN: look at where they come from."
    if low >= 0 and high > 2:
        return "They look like 0 to 255: divide by 255 first."
    if low < 0:
        return "They look normalised already: normalising twice is a common bug."
    return "Clamp or rescale them first."
