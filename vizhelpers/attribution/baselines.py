"""Baseline heatmaps that know nothing of the network: a centre blob, edges, noise."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.attribution.metrics import Array, checked

Baseline = Literal["centre", "edges", "random", "whole"]


@clear_errors
def baseline_maps(images: Array, kind: Baseline, *, seed: int = 0) -> Tensor:
    """Make maps that know nothing of the network: what a method has to beat.

    Args:
        images: `[N, C, H, W]` in [0, 1], before they were normalised.
        kind: "centre", a round blob in the middle, its standard deviation a fifth of the side;
            "edges", how steep the brightness is (Sobel), blurred by two pixels; "random",
            another noise for each image, 8×8 and enlarged as a class activation map is;
            "whole", 1 everywhere.
        seed: of "random"; the global random numbers are left alone.

    Returns:
        float32 `[N, H, W]` in [0, 1], the largest value of each being 1; where a picture has no
        edges, "edges" are 0.

    Raises:
        TypeError: `images` is neither a tensor nor an array.
        ValueError: it has another shape or values outside [0, 1], or `kind` is unknown.
    """
    pictures = checked("images", images, 4, "[N, C, H, W]")
    if pictures.min() < 0 or pictures.max() > 1:
        found = f"{pictures.min():.3g} to {pictures.max():.3g}"
        raise ValueError(f"images must be in [0, 1], found {found}. Use denormalize(images).")
    if kind == "centre":
        maps = _blob(*pictures.shape[2:]).expand(len(pictures), -1, -1)
    elif kind == "edges":
        maps = _edges(pictures.mean(1))
    elif kind == "random":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(len(pictures), 1, 8, 8, generator=generator)
        maps = F.interpolate(noise, pictures.shape[2:], mode="bilinear")[:, 0]
    elif kind == "whole":
        maps = torch.ones_like(pictures[:, 0])
    else:
        raise ValueError(f"kind must be one of {', '.join(get_args(Baseline))}; got {kind!r}.")
    # Where all is 0, the smallest number keeps it so.
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _blob(height: int, width: int) -> Tensor:
    y, x = (torch.linspace(-0.5, 0.5, n) for n in (height, width))
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.2**2))


def _edges(grey: Tensor) -> Tensor:
    from scipy.ndimage import gaussian_filter, sobel  # type: ignore[import-untyped]

    def steepness(picture: NDArray[Any]) -> NDArray[Any]:
        # "nearest" continues the picture, so that its border is no edge.
        down, across = (sobel(picture, axis, mode="nearest") for axis in (0, 1))
        return gaussian_filter(np.hypot(down, across), 2)

    return torch.from_numpy(np.stack([steepness(picture) for picture in grey.numpy()]))
