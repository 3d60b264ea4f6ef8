"""Place one object: position, size, rotation, light, and how it is laid over a picture."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas, Drawing, FloatArray, to_bytes
from .registry import OBJECT_ARTISTS
from .rng import Dice, Palette
from .textures import clouds, coordinates, noise, wave


class Pose(NamedTuple):
    """Where an object is and how it is turned. Lengths are shares of the picture's side."""

    x: float
    y: float
    scale: float
    rotation: float
    flip: bool
    stretch: float
    shear: float


def random_pose(dice: Dice) -> Pose:
    """Somewhere inside the picture, half to four fifths of it, a little turned."""
    scale = dice.uniform(0.48, 0.80)
    margin = min(scale * 0.45, 0.46)
    return Pose(
        x=dice.uniform(margin, 1 - margin),
        y=dice.uniform(margin, 1 - margin),
        scale=scale,
        rotation=dice.uniform(-0.38, 0.38),
        flip=dice.chance(0.5),
        stretch=dice.uniform(0.85, 1.15),
        shear=dice.uniform(-0.12, 0.12),
    )


def draw_object(obj: str, pose: Pose, dice: Dice, size: int) -> Drawing:
    """Draw an object in its pose, in random colours, lit from a side, with a surface."""
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


def _light(pose: Pose, dice: Dice, size: int) -> FloatArray:
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


def put(picture: FloatArray, drawing: Drawing) -> FloatArray:
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
