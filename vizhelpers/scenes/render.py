"""Render many scenes at once into arrays: the images of a data set."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from .canvas import ByteArray
from .compose import BACKGROUNDS, CLASSES, ComposedScene, compose_scene
from .rng import Dice, Stream

# Scenes of different data set seeds stay different up to this many of them.
MAX_SCENES = 10_000_000


class SceneArrays(NamedTuple):
    """Scenes as arrays, in a quarter of the memory of tensors in [0, 1].

    Attributes:
        images: uint8 `[N, 3, H, W]`, RGB.
        labels: int64 `[N]`, index in `CLASSES`.
        backgrounds: int64 `[N]`, index in `BACKGROUNDS`.
        masks: uint8 `[N, H, W]`, 0..255.
        parts: uint8 `[N, H, W]`, index in `PARTS`.
    """

    images: ByteArray
    labels: npt.NDArray[np.int64]
    backgrounds: npt.NDArray[np.int64]
    masks: ByteArray
    parts: ByteArray


@dataclass(frozen=True)
class Recipe:
    """Which scenes a data set holds: scene `i` depends on these options and on `i` alone.

    Labels take turns, so that every class is equally frequent. Two recipes that differ only in
    `correlation` or `swapped` show the same objects on other backgrounds.

    Attributes:
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

    n: int
    seed: int = 0
    correlation: float = 0.0
    swapped: bool = False
    hard: bool = False
    size: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.n <= MAX_SCENES:
            raise ValueError(f"n must be from 1 to {MAX_SCENES:,}, found {self.n!r}.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, found {self.seed!r}.")
        if not 0 <= self.correlation <= 1:
            raise ValueError(
                f"correlation is a probability from 0 to 1, found {self.correlation!r}."
            )
        if self.swapped and self.correlation > 0:
            raise ValueError(
                "swapped=True never shows a class on its own background, so it cannot be "
                f"combined with correlation={self.correlation}. Leave one of them out."
            )

    def label(self, index: int) -> int:
        """Index in `CLASSES` of scene `index`."""
        return index % len(CLASSES)

    def background(self, index: int) -> int:
        """Index in `BACKGROUNDS` of scene `index`."""
        dice = Dice(self._scene_seed(index), Stream.PLAN)
        label, count = self.label(index), len(BACKGROUNDS)
        if self.swapped:
            return (label + 1 + dice.below(count - 1)) % count
        own, other = dice.chance(self.correlation), dice.below(count)
        return label if own else other

    def scene(self, index: int) -> ComposedScene:
        """Draw scene `index`."""
        return compose_scene(
            CLASSES[self.label(index)],
            BACKGROUNDS[self.background(index)],
            seed=self._scene_seed(index),
            size=self.size,
            hard=self.hard,
        )

    def _scene_seed(self, index: int) -> int:
        return self.seed * MAX_SCENES + index


def render_arrays(recipe: Recipe, *, workers: int = 1, progress: bool = True) -> SceneArrays:
    """Draw all scenes of a recipe.

    Args:
        recipe: what to draw.
        workers: number of processes; the pixels do not depend on it. With more than one, the
            calling script needs the usual `if __name__ == "__main__":`.
        progress: show a progress bar, if there is a terminal.
    """
    n, size = recipe.n, recipe.size
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    masks = np.empty((n, size, size), dtype=np.uint8)
    parts = np.empty((n, size, size), dtype=np.uint8)
    scenes = _draw_all(recipe, workers)
    # None: tqdm itself finds out whether there is a terminal.
    hidden = None if progress else True
    for i, scene in enumerate(tqdm(scenes, "drawing scenes", n, unit="scene", disable=hidden)):
        images[i] = scene.image.transpose(2, 0, 1)
        masks[i], parts[i] = scene.mask, scene.parts
    labels = np.array([recipe.label(i) for i in range(n)], dtype=np.int64)
    backgrounds = np.array([recipe.background(i) for i in range(n)], dtype=np.int64)
    return SceneArrays(images, labels, backgrounds, masks, parts)


def _draw_all(recipe: Recipe, workers: int) -> Iterator[ComposedScene]:
    if workers <= 1:
        yield from map(recipe.scene, range(recipe.n))
        return
    # spawn, because it is the one start method that every system has.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(recipe.scene, range(recipe.n), chunksize=32)
