"""The pictures that the networks of lesson 06 learn from."""

from __future__ import annotations

import torch
from torch import Tensor

import vizhelpers as vh
from vizhelpers._utils.progress_bar import with_progress

LIVING = ("fish", "cactus", "cat", "mushroom", "penguin")
SIDE = 32


def draw_pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a data set: small pictures of the ten classes in turn, on all backgrounds.

    Args:
        count: How many.
        seed: Of the first picture; each has its own, so that two sets share none.

    Returns:
        Pictures ``[count, 3, 32, 32]`` in [0, 1], and the numbers of their classes ``[count]``.

    Example:
        >>> pictures, classes = draw_pictures(20, seed=0)
        >>> pictures.shape
        torch.Size([20, 3, 32, 32])
    """
    images = []
    for i in with_progress(range(count), "pictures"):
        background = vh.scenes.BACKGROUNDS[(i + 3 * (i // 10)) % 10]
        scene = vh.draw_scene(
            vh.CLASSES[i % 10], background, seed=seed + i, size=SIDE, position=(0.5, 0.5), scale=0.8
        )
        images.append(scene.image)
    return torch.stack(images), torch.arange(count) % 10


def is_living(classes: Tensor) -> Tensor:
    """For each class number: 1 for a living thing, 0 for what was made; float64."""
    return torch.tensor([name in LIVING for name in vh.CLASSES])[classes].double()
