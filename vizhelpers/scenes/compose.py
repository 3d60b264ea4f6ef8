"""Puts an object on a background, with its shadow, clutter, light and camera noise: a scene."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from . import backgrounds as _backgrounds  # noqa: F401  (registers the backgrounds)
from . import objects as _objects  # noqa: F401  (registers the objects)
from .canvas import (
    ByteArray,
    Canvas,
    Drawing,
    FloatArray,
    smooth_outline,
    to_bytes,
)
from .dice import Dice, Palette, Stream, shade
from .registry import (
    BACKGROUND_ARTISTS,
    OBJECT_ARTISTS,
    background_names,
    check_name,
    class_names,
)
from .textures import clouds, coordinates, noise, wave

CLASSES = class_names()
BACKGROUNDS = background_names()

_SIZES = range(32, 1025)


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A drawn picture and the truth about it.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        mask: uint8 `[H, W]`, how much of each pixel the visible object covers, 0..255.
        parts: uint8 `[H, W]`, which part of the object is seen, index in `PARTS` (0: none).
        object: name of the object, None for an empty background.
        background: name of the background.
    """

    image: ByteArray
    mask: ByteArray
    parts: ByteArray
    object: str | None
    background: str

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"Scene({self.object or 'nothing'} on {self.background}, {height}×{width})"


@dataclass(frozen=True, eq=False, repr=False)
class PairScene:
    """A drawn picture with two objects.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        mask_a: uint8 `[H, W]`, how much of each pixel the first object visibly covers, 0..255.
        mask_b: the same for the second object.
        object_a: name of the first object.
        object_b: name of the second object.
        background: name of the background.
    """

    image: ByteArray
    mask_a: ByteArray
    mask_b: ByteArray
    object_a: str
    object_b: str
    background: str

    def __repr__(self) -> str:
        height, width = self.mask_a.shape
        names = f"{self.object_a} and {self.object_b} on {self.background}"
        return f"PairScene({names}, {height}×{width})"


class _Pose(NamedTuple):
    """Where an object is and how it is turned. Lengths are shares of the picture's side."""

    x: float
    y: float
    scale: float
    rotation: float
    flip: bool
    stretch: float
    shear: float


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
        seed: whole number from 0; decides everything that is random.
        size: side of the picture in pixels, 32 to 1024.
        hard: make the object small, cut off by the border, or partly hidden; overrides `scale`
            or `position` where it has to.
        position: centre of the object as shares (x, y) of the side, instead of a random one.
        scale: size of the object as a share of the side (otherwise 0.48 to 0.80).

    Raises:
        ValueError: if a name is unknown (the nearest are named) or a number out of range.
    """
    _check(obj, background, seed, size)
    if scale is not None and not 0 < scale <= 2:
        raise ValueError(f"scale is a share of the picture's side, above 0 to 2, found {scale!r}.")
    picture = _empty(background, seed, size)
    if obj is None:
        nothing = np.zeros((size, size), dtype=np.uint8)
        return Scene(_photograph(picture, seed), nothing, nothing.copy(), None, background)

    pose = _random_pose(Dice(seed, Stream.POSE, 0))
    if scale is not None:
        pose = pose._replace(scale=scale)
    if position is not None:
        pose = pose._replace(x=position[0], y=position[1])
    if hard:
        drawing, cover = _draw_hard(obj, pose, seed, size)
    else:
        drawing, cover = _draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size), None

    picture = _put(picture, drawing)
    coverage, parts = drawing.coverage, drawing.parts
    if cover is not None:
        picture = _put(picture, cover)
        coverage = coverage * (1 - cover.coverage)
        parts = np.where(cover.coverage < 0.5, parts, 0).astype(np.uint8)
    return Scene(_photograph(picture, seed), to_bytes(coverage * 255), parts, obj, background)


def draw_two(obj_a: str, obj_b: str, background: str, *, seed: int, size: int = 128) -> PairScene:
    """Draw two objects side by side, smaller than in a scene with one.

    Args:
        obj_a: a name in `CLASSES`; it stands behind.
        obj_b: a name in `CLASSES`; it may overlap the first a little.
        background: a name in `BACKGROUNDS`, or "plain" or "gratings".
        seed: whole number from 0; decides everything that is random, also who stands left.
        size: side of the picture in pixels, 32 to 1024.

    Raises:
        ValueError: if a name is unknown (the nearest are named) or a number out of range.
    """
    for obj in (obj_a, obj_b):
        _check(obj, background, seed, size)
    swap_sides = Dice(seed, Stream.POSE, 2).chance(0.5)
    drawings = []
    for index, obj in enumerate((obj_a, obj_b)):
        dice = Dice(seed, Stream.POSE, index)
        pose = _random_pose(dice)
        left = (index == 0) != swap_sides
        pose = pose._replace(
            scale=dice.uniform(0.42, 0.52),
            x=dice.uniform(0.24, 0.29) if left else dice.uniform(0.71, 0.76),
            y=dice.uniform(0.3, 0.7),
        )
        drawings.append(_draw_object(obj, pose, Dice(seed, Stream.LOOK, index), size))
    picture = _empty(background, seed, size)
    for drawing in drawings:
        picture = _put(picture, drawing)
    back, front = (drawing.coverage for drawing in drawings)
    mask_a, mask_b = to_bytes(back * (1 - front) * 255), to_bytes(front * 255)
    return PairScene(_photograph(picture, seed), mask_a, mask_b, obj_a, obj_b, background)


def _check(obj: str | None, background: str, seed: int, size: int) -> None:
    if obj is not None:
        check_name(obj, OBJECT_ARTISTS, "object")
    check_name(background, BACKGROUND_ARTISTS, "background")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be a whole number, found {type(seed).__name__}.")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, found {seed}.")
    if size not in _SIZES:
        raise ValueError(f"size must be a whole number from 32 to 1024, found {size!r}.")


def _empty(background: str, seed: int, size: int) -> FloatArray:
    picture = BACKGROUND_ARTISTS[background](Dice(seed, Stream.BACKGROUND), size)
    return _scatter_clutter(picture, Dice(seed, Stream.CLUTTER))


def _scatter_clutter(picture: FloatArray, dice: Dice) -> FloatArray:
    """Up to five small things that belong to no class: "something is there" must say nothing."""
    count = dice.below(6)
    if count == 0:
        return picture
    size = picture.shape[0]
    canvas = Canvas(size, picture)
    for _ in range(count):
        x, y, unit = dice.uniform(), dice.uniform(), dice.uniform(0.015, 0.06)
        color = dice.color(value=(0.15, 1))
        rotation, stretch = dice.uniform(0, 2 * math.pi), dice.uniform(0.6, 1.6)
        canvas.place(x * size, y * size, unit * size, rotation=rotation, stretch=stretch)
        dice.choice((_ball, _crate, _leaf, _star))(canvas, color)
    return canvas.picture()


def _ball(canvas: Canvas, color: tuple[int, int, int]) -> None:
    canvas.ellipse(0, 0, 1, 0.8, color)
    canvas.ellipse(-0.25, -0.25, 0.4, 0.3, shade(color, 1.3))


def _crate(canvas: Canvas, color: tuple[int, int, int]) -> None:
    canvas.rectangle(-1, -0.7, 1, 0.7, color)
    canvas.rectangle(-0.7, -0.4, 0.7, 0.4, shade(color, 0.7))


def _leaf(canvas: Canvas, color: tuple[int, int, int]) -> None:
    canvas.polygon(smooth_outline((-1.1, 0), (0, -0.55), (1.1, 0), (0, 0.55)), color)
    canvas.line([(-1, 0), (1.3, 0)], 0.16, shade(color, 0.7))


def _star(canvas: Canvas, color: tuple[int, int, int]) -> None:
    angles = [tip * math.pi / 5 for tip in range(10)]
    radii = [1.1 if tip % 2 == 0 else 0.45 for tip in range(10)]
    corners = [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, angles, strict=True)]
    canvas.polygon(corners, color)


def _random_pose(dice: Dice) -> _Pose:
    scale = dice.uniform(0.48, 0.80)
    margin = min(scale * 0.45, 0.46)
    return _Pose(
        x=dice.uniform(margin, 1 - margin),
        y=dice.uniform(margin, 1 - margin),
        scale=scale,
        rotation=dice.uniform(-0.38, 0.38),
        flip=dice.chance(0.5),
        stretch=dice.uniform(0.85, 1.15),
        shear=dice.uniform(-0.12, 0.12),
    )


def _draw_object(obj: str, pose: _Pose, dice: Dice, size: int) -> Drawing:
    canvas = Canvas(size)
    canvas.place(
        pose.x * size,
        pose.y * size,
        pose.scale / 2 * size,
        rotation=pose.rotation,
        flip=pose.flip,
        stretch=pose.stretch,
        shear=pose.shear,
    )
    OBJECT_ARTISTS[obj](canvas, dice, Palette.draw(dice))
    drawing = canvas.drawing()
    lit = drawing.color * _light(pose, dice, size)[..., None]
    texture = _surface(dice, size) * drawing.coverage
    return drawing._replace(color=lit + texture[..., None])


def _light(pose: _Pose, dice: Dice, size: int) -> FloatArray:
    """Brighter on one side of the object than on the other: factors `[S, S]` around 1."""
    x, y = coordinates(size)
    angle, strength = dice.uniform(0, 2 * math.pi), dice.uniform(0.08, 0.3)
    half = pose.scale / 2
    across, down = math.cos(angle) / half, math.sin(angle) / half
    towards_light = (x - np.float32(pose.x)) * np.float32(across)
    towards_light = towards_light + (y - np.float32(pose.y)) * np.float32(down)
    return 1 + np.float32(strength) * np.clip(towards_light, -1.2, 1.2)


def _surface(dice: Dice, size: int) -> FloatArray:
    """A texture laid over the object, `[S, S]` around 0: clouds, a weave, grain or nothing."""
    kind, strength = dice.below(4), np.float32(dice.uniform(10, 55))
    if kind == 0:
        return (clouds(dice, size, 4 + dice.below(8), 3) - 0.5) * strength
    if kind == 1:
        x, y = coordinates(size)
        angle, frequency = dice.uniform(0, math.pi), dice.uniform(7, 30)
        across, down = math.cos(angle) * frequency, math.sin(angle) * frequency
        return wave(x * np.float32(across) + y * np.float32(down)) * np.float32(0.35) * strength
    if kind == 2:
        return (noise(dice, size, size // 2) - 0.5) * np.float32(0.7) * strength
    return np.zeros((size, size), dtype=np.float32)


def _put(picture: FloatArray, drawing: Drawing) -> FloatArray:
    """Lay a drawing over the picture; it throws a soft shadow down and to the right."""
    size = picture.shape[0]
    down, blur = size * 3 // 100 + 1, max(1, size * 3 // 128)
    right = down // 2
    moved = np.zeros((size, size), dtype=np.uint8)
    moved[down:, right:] = to_bytes(drawing.coverage * 255)[: size - down, : size - right]
    soft = Image.fromarray(moved).filter(ImageFilter.BoxBlur(blur))
    shadow = np.asarray(soft).astype(np.float32) / np.float32(255)
    light = (1 - np.float32(0.35) * shadow) * (1 - drawing.coverage)
    return picture * light[..., None] + drawing.color


def _draw_hard(obj: str, pose: _Pose, seed: int, size: int) -> tuple[Drawing, Drawing | None]:
    """The object made hard to recognise, and what stands in front of it, if anything does."""
    dice = Dice(seed, Stream.HARD)
    kind = dice.choice(("small", "cut", "hidden"))
    if kind == "small":
        pose = pose._replace(scale=dice.uniform(0.14, 0.21))
    drawing = _draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size)
    if kind == "cut":
        pose = _cut_off(pose, drawing.coverage, dice)
        drawing = _draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size)
    cover = _draw_cover(drawing.coverage, dice) if kind == "hidden" else None
    return drawing, cover


def _cut_off(pose: _Pose, coverage: FloatArray, dice: Dice) -> _Pose:
    """Move the object over one of the borders, so that a quarter to 45 % of its area is left."""
    size = coverage.shape[0]
    axis, low_border = dice.below(2), dice.chance(0.5)
    left_over = dice.uniform(0.25, 0.45)
    cut = _cut_at(coverage, axis, 1 - left_over if low_border else left_over) / size
    shift = -cut if low_border else 1 - cut
    return pose._replace(x=pose.x + shift) if axis == 0 else pose._replace(y=pose.y + shift)


def _cut_at(coverage: FloatArray, axis: int, share: float) -> int:
    """The column (axis 0) or row (axis 1) before which `share` of the object's area lies."""
    # Whole numbers, because the order in which floats are added differs between processors.
    so_far = np.cumsum(to_bytes(coverage * 255).astype(np.int64).sum(axis=axis))
    return int(np.searchsorted(so_far, share * int(so_far[-1])))


def _draw_cover(coverage: FloatArray, dice: Dice) -> Drawing:
    """A board or a fence in front of the object, sized so that a part of it stays visible."""
    size = coverage.shape[0]
    rows = np.flatnonzero(coverage.max(axis=1))
    columns = np.flatnonzero(coverage.max(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    canvas = Canvas(size)
    canvas.place(0, 0, 1)
    color = dice.color(saturation=(0.1, 0.6), value=(0.3, 0.8))
    if dice.chance(0.5):
        _board(canvas, coverage, box, color, dice)
    else:
        _fence(canvas, box, color, dice)
    drawing = canvas.drawing()
    grain = (noise(dice, size, 6, size // 2) - 0.5) * 40 * drawing.coverage
    return drawing._replace(color=drawing.color + grain[..., None])


def _board(
    canvas: Canvas,
    coverage: FloatArray,
    box: tuple[int, int, int, int],
    color: tuple[int, int, int],
    dice: Dice,
) -> None:
    """Hide a chosen share of the object's area, from one of four sides."""
    left, top, right, bottom = (box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3)
    upright, from_start = dice.chance(0.5), dice.chance(0.5)
    hidden = dice.uniform(0.58, 0.74)
    share = hidden if from_start else 1 - hidden
    edge = _cut_at(coverage, 0 if upright else 1, share)
    if upright:
        left, right = (left, edge) if from_start else (edge, right)
    else:
        top, bottom = (top, edge) if from_start else (edge, bottom)
    canvas.rectangle(left, top, right, bottom, color)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    canvas.pattern(dice, corners, "rows", shade(color, 0.85), 3 + dice.below(4))


def _fence(
    canvas: Canvas, box: tuple[int, int, int, int], color: tuple[int, int, int], dice: Dice
) -> None:
    """Pales in front of the object, with gaps between them."""
    left, top, right, bottom = box
    upright, count = dice.chance(0.5), 3 + dice.below(3)
    filled, phase = dice.uniform(0.55, 0.68), dice.uniform(-0.4, 0.0)
    start, end = (left, right) if upright else (top, bottom)
    step = (end - start) / count
    for index in range(count + 1):
        near = start + (index + phase) * step
        far = near + filled * step
        pale = shade(color, 0.9 + 0.1 * (index % 3))
        if upright:
            canvas.rectangle(near, top - 4, far, bottom + 4, pale)
        else:
            canvas.rectangle(left - 4, near, right + 4, far, pale)


def _photograph(picture: FloatArray, seed: int) -> ByteArray:
    """Contrast, brightness and sensor noise of the camera: uint8 `[S, S, 3]`."""
    dice = Dice(seed, Stream.CAMERA)
    size = picture.shape[0]
    contrast, brightness = dice.uniform(0.8, 1.15), dice.uniform(-18, 18)
    strength = dice.uniform(0, 9)
    grain = dice.bytes(size * 3, size).reshape(size, size, 3).astype(np.float32) / 255 - 0.5
    exposed = (picture - 128) * np.float32(contrast) + np.float32(128 + brightness)
    return to_bytes(exposed + grain * np.float32(2 * strength))
