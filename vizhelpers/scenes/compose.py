"""Compose a scene: an object on a background, with shadow, clutter, light and camera noise."""

from dataclasses import dataclass

import numpy as np

from . import backgrounds as _backgrounds  # noqa: F401  (registers the backgrounds)
from . import objects as _objects  # noqa: F401  (registers the objects)
from .canvas import ByteArray, FloatArray, to_bytes
from .clutter import scatter_clutter
from .occlusion import draw_hard
from .poses import draw_object, put, random_pose
from .registry import (
    BACKGROUND_ARTISTS,
    OBJECT_ARTISTS,
    background_names,
    check_name,
    class_names,
)
from .rng import Dice, Stream

CLASSES = class_names()
BACKGROUNDS = background_names()

_SIZES = range(32, 1025)


@dataclass(frozen=True, eq=False, repr=False)
class ComposedScene:
    """A drawn picture and the truth about it, as bytes.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        mask: uint8 `[H, W]`, how much of each pixel the visible object covers, 0..255.
        parts: uint8 `[H, W]`, which part of the object is seen, index in `PARTS` (0: none).
    """

    image: ByteArray
    mask: ByteArray
    parts: ByteArray


@dataclass(frozen=True, eq=False, repr=False)
class ComposedPair:
    """A drawn picture with two objects, as bytes.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        mask_a: uint8 `[H, W]`, how much of each pixel the first object visibly covers, 0..255.
        mask_b: the same for the second object.
    """

    image: ByteArray
    mask_a: ByteArray
    mask_b: ByteArray


def compose_scene(
    obj: str | None,
    background: str,
    *,
    seed: int,
    size: int = 128,
    hard: bool = False,
    position: tuple[float, float] | None = None,
    scale: float | None = None,
) -> ComposedScene:
    """Draw one object, or none, on a background; `draw_scene` explains the arguments."""
    _check(obj, background, seed, size)
    if scale is not None and not 0 < scale <= 2:
        raise ValueError(f"scale is a share of the picture's side, above 0 to 2, found {scale!r}.")
    picture = _empty(background, seed, size)
    if obj is None:
        nothing = np.zeros((size, size), dtype=np.uint8)
        return ComposedScene(_photograph(picture, seed), nothing, nothing.copy())

    pose = random_pose(Dice(seed, Stream.POSE, 0))
    if scale is not None:
        pose = pose._replace(scale=scale)
    if position is not None:
        pose = pose._replace(x=position[0], y=position[1])
    if hard:
        drawing, cover = draw_hard(obj, pose, seed, size)
    else:
        drawing, cover = draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size), None

    picture = put(picture, drawing)
    coverage, parts = drawing.coverage, drawing.parts
    if cover is not None:
        picture = put(picture, cover)
        coverage = coverage * (1 - cover.coverage)
        parts = np.where(cover.coverage < 0.5, parts, 0).astype(np.uint8)
    return ComposedScene(_photograph(picture, seed), to_bytes(coverage * 255), parts)


def compose_two(
    obj_a: str, obj_b: str, background: str, *, seed: int, size: int = 128
) -> ComposedPair:
    """Draw two objects side by side; `draw_two` explains the arguments."""
    for obj in (obj_a, obj_b):
        _check(obj, background, seed, size)
    swap_sides = Dice(seed, Stream.POSE, 2).chance(0.5)
    drawings = []
    for index, obj in enumerate((obj_a, obj_b)):
        dice = Dice(seed, Stream.POSE, index)
        pose = random_pose(dice)
        left = (index == 0) != swap_sides
        pose = pose._replace(
            scale=dice.uniform(0.42, 0.52),
            x=dice.uniform(0.24, 0.29) if left else dice.uniform(0.71, 0.76),
            y=dice.uniform(0.3, 0.7),
        )
        drawings.append(draw_object(obj, pose, Dice(seed, Stream.LOOK, index), size))
    picture = _empty(background, seed, size)
    for drawing in drawings:
        picture = put(picture, drawing)
    back, front = (drawing.coverage for drawing in drawings)
    mask_a, mask_b = to_bytes(back * (1 - front) * 255), to_bytes(front * 255)
    return ComposedPair(_photograph(picture, seed), mask_a, mask_b)


def _check(obj: str | None, background: str, seed: int, size: int) -> None:
    if obj is not None:
        check_name(obj, OBJECT_ARTISTS, "object")
    check_name(background, BACKGROUND_ARTISTS, "background")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, found {type(seed).__name__}.")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, found {seed}.")
    if size not in _SIZES:
        raise ValueError(f"size must be an integer from 32 to 1024, found {size!r}.")


def _empty(background: str, seed: int, size: int) -> FloatArray:
    picture = BACKGROUND_ARTISTS[background](Dice(seed, Stream.BACKGROUND), size)
    return scatter_clutter(picture, Dice(seed, Stream.CLUTTER))


def _photograph(picture: FloatArray, seed: int) -> ByteArray:
    """Contrast, brightness and sensor noise of the camera: uint8 `[S, S, 3]`."""
    dice = Dice(seed, Stream.CAMERA)
    size = picture.shape[0]
    contrast, brightness = dice.uniform(0.8, 1.15), dice.uniform(-18, 18)
    strength = dice.uniform(0, 9)
    grain = dice.bytes(size * 3, size).reshape(size, size, 3).astype(np.float32) / 255 - 0.5
    exposed = (picture - 128) * np.float32(contrast) + np.float32(128 + brightness)
    return to_bytes(exposed + grain * np.float32(2 * strength))
