"""Convert tensors and arrays to NumPy pixels, with errors that say what was given."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.float32]


def as_numbers(values: ArrayLike | Tensor) -> Floats:
    """float32 on the CPU, or an error that says what was given instead of numbers."""
    if isinstance(values, Tensor) and not values.is_complex():
        return values.detach().to("cpu", torch.float32).numpy()
    array = np.asarray(None if isinstance(values, Tensor) else values)
    if array.dtype.kind not in "biuf":
        kind = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"a tensor or an array of real numbers is needed, not {kind}.")
    return array.astype(np.float32)


def is_bytes(values: object) -> bool:
    return getattr(values, "dtype", None) in (torch.uint8, np.uint8)


def shaped(values: ArrayLike | Tensor, name: str, dimensions: Literal[2, 3]) -> Floats:
    array = as_numbers(values)
    fits = array.ndim == dimensions and array.size and (dimensions == 2 or len(array) == 3)
    if not fits:
        hint = f" Choose one of the batch: {name}[0]." if array.ndim == dimensions + 1 else ""
        shape = "[3, H, W]" if dimensions == 3 else "[height, width]"
        raise ValueError(f"{name} must have the shape {shape}, not {list(array.shape)}.{hint}")
    return array


def photo(image: ArrayLike | Tensor) -> Floats:
    """[3, H, W] in [0, 1], or an error that says what to do about it."""
    advice = "A network's input needs denormalize(image), an optimised image .clamp(0, 1)."
    return unit_range(shaped(image, "image", 3), "image", advice)


def unit_range(array: Floats, name: str, advice: str) -> Floats:
    low, high = array.min(), array.max()
    if not (low >= -0.001 and high <= 1.001):  # rounding is forgiven, and NaN is not
        raise ValueError(
            f"{name} must lie in [0, 1], but goes from {low:.3g} to {high:.3g}. {advice}"
        )
    return array.clip(0, 1)


def pixel_array(values: ArrayLike | Tensor) -> NDArray[np.uint8]:
    """uint8 [H, W] or [H, W, 3] from a tensor's [3, H, W] or an array's [H, W, 3]."""
    array = as_numbers(values)
    if isinstance(values, Tensor) and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"{list(array.shape)} is not the shape of a picture; try show_mosaic.")
    if not is_bytes(values):
        array = 255 * unit_range(array, "a picture", "show_mosaic draws any numbers.")
    return array.round().astype(np.uint8)
