"""Draw a scene as tensors: a picture, and the mask that nobody has to guess."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors

from .canvas import ByteArray
from .compose import compose_scene, compose_two


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A drawn picture and the truth about it.

    Attributes:
        image: float32 `[3, H, W]` in [0, 1], RGB.
        mask: float32 `[H, W]` in [0, 1], how much of each pixel the visible object covers.
        parts: uint8 `[H, W]`, which part of the object is seen, index in `PARTS` (0: none).
        object: name of the object, None for an empty background.
        background: name of the background.
    """

    image: Tensor
    mask: Tensor
    parts: Tensor
    object: str | None
    background: str

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"Scene({self.object or 'nothing'} on {self.background}, {height}×{width})"


@dataclass(frozen=True, eq=False, repr=False)
class PairScene:
    """A drawn picture with two objects.

    Attributes:
        image: float32 `[3, H, W]` in [0, 1], RGB.
        mask_a: float32 `[H, W]` in [0, 1], how much the first object visibly covers.
        mask_b: the same for the second object.
        object_a: name of the first object.
        object_b: name of the second object.
        background: name of the background.
    """

    image: Tensor
    mask_a: Tensor
    mask_b: Tensor
    object_a: str
    object_b: str
    background: str

    def __repr__(self) -> str:
        height, width = self.mask_a.shape
        names = f"{self.object_a} and {self.object_b} on {self.background}"
        return f"PairScene({names}, {height}×{width})"


@clear_errors
def draw_scene(
    obj: str | None,
    background: str,
    *,
    seed: int,
    size: int = 128,
    hard: bool = False,
    position: tuple[float, float] | None = None,
    scale: float | None = None,
) -> Scene:
    """Draw one object, or none, on a background.

    One seed means one cat and one sea: `draw_scene("cat", "sea", seed=3)` and
    `draw_scene("cat", "space", seed=3)` show the same cat at the same place, and
    `draw_scene("car", "sea", seed=3)` the same sea.

    Args:
        obj: a name in `CLASSES`, or None for an empty background.
        background: a name in `BACKGROUNDS`, or "plain" or "gratings".
        seed: integer from 0; decides everything that is random.
        size: side of the picture in pixels, 32 to 1024.
        hard: make the object small, cut off by the border, or partly hidden; overrides `scale`
            or `position` where it has to.
        position: centre of the object as shares (x, y) of the side, instead of a random one.
        scale: size of the object as a share of the side (otherwise 0.48 to 0.80).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a name is unknown (the nearest are named) or a number out of range.

    Example:
        >>> scene = draw_scene("cat", "sea", seed=3)
        >>> scene.image.shape, scene.mask.shape
        (torch.Size([3, 128, 128]), torch.Size([128, 128]))
    """
    drawn = compose_scene(
        obj, background, seed=seed, size=size, hard=hard, position=position, scale=scale
    )
    parts = torch.from_numpy(drawn.parts)
    return Scene(picture(drawn.image), shares(drawn.mask), parts, obj, background)


@clear_errors
def draw_two(obj_a: str, obj_b: str, background: str, *, seed: int, size: int = 128) -> PairScene:
    """Draw two objects side by side, smaller than in a scene with one.

    Args:
        obj_a: a name in `CLASSES`; it stands behind.
        obj_b: a name in `CLASSES`; it may overlap the first a little.
        background: a name in `BACKGROUNDS`, or "plain" or "gratings".
        seed: integer from 0; decides everything that is random, also who stands left.
        size: side of the picture in pixels, 32 to 1024.

    Raises:
        ValueError: if a name is unknown (the nearest are named) or a number out of range.
    """
    drawn = compose_two(obj_a, obj_b, background, seed=seed, size=size)
    masks = shares(drawn.mask_a), shares(drawn.mask_b)
    return PairScene(picture(drawn.image), *masks, obj_a, obj_b, background)


def picture(pixels: ByteArray) -> Tensor:
    """Bytes `[…, H, W, 3]` as floats `[…, 3, H, W]` in [0, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).contiguous().float() / 255


def shares(coverage: ByteArray) -> Tensor:
    """Bytes as floats in [0, 1]."""
    return torch.from_numpy(coverage).float() / 255
