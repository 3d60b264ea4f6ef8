"""A PyTorch data set of drawn scenes."""

from typing import NamedTuple

import torch
from torch.utils.data import Dataset

from .render import Recipe
from .tensors import picture, shares


class SceneItem(NamedTuple):
    """One scene as tensors.

    Attributes:
        image: float32 `[3, H, W]` in [0, 1], RGB.
        label: index in `CLASSES`.
        background: index in `BACKGROUNDS`.
        mask: float32 `[H, W]` in [0, 1], how much of each pixel the visible object covers.
        parts: uint8 `[H, W]`, index in `PARTS`.
    """

    image: torch.Tensor
    label: int
    background: int
    mask: torch.Tensor
    parts: torch.Tensor


class SceneDataset(Dataset[SceneItem]):
    """Scenes that are drawn when they are asked for.

    Item `i` depends on the options and on `i` alone, so shuffling and `DataLoader` workers
    change nothing, and no global random number generator is used. Labels take turns. Two data
    sets that differ only in `correlation` or `swapped` show the same objects on other
    backgrounds.

    Args:
        n: number of scenes.
        seed: integer from 0.
        correlation: probability that the background is the class's own; otherwise it is one
            of all ten, so that a share of `correlation + (1 - correlation) / 10` is on its own.
        swapped: every background is one of the other nine.
        hard: objects are small, cut off or partly hidden.
        size: side of the picture in pixels.

    Raises:
        ValueError: if an option is out of range, or `swapped` comes with a correlation.
    """

    def __init__(
        self,
        n: int,
        *,
        seed: int = 0,
        correlation: float = 0.0,
        swapped: bool = False,
        hard: bool = False,
        size: int = 128,
    ) -> None:
        self.recipe = Recipe(n, seed, correlation, swapped, hard, size)

    def __len__(self) -> int:
        return self.recipe.n

    def __getitem__(self, index: int) -> SceneItem:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"There is no scene {index}: the data set holds {len(self)}.")
        scene = self.recipe.scene(position)
        return SceneItem(
            image=picture(scene.image),
            label=self.recipe.label(position),
            background=self.recipe.background(position),
            mask=shares(scene.mask),
            parts=torch.from_numpy(scene.parts),
        )
