"""Ways to feed a network colours: with the transform of its training, and with others."""

from collections.abc import Callable

from torch import Tensor

import vizhelpers as vh
from vizhelpers.lessons.lesson_08.networks import half

TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean 0.5, std 0.5": half,
    "none: 0 to 1": lambda images: images,
    "ImageNet's mean and std": vh.normalize,
    "mean 0.5, std 0.5, twice": lambda images: (half(images) - 0.5) / 0.5,
    "0 to 255": lambda images: images * 255,
    "blue first": lambda images: half(images).flip(1),
}
"""Functions of pictures `[N, 3, H, W]` in [0, 1], by what they do. None of them fails."""
