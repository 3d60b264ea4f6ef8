"""Clutter in the background: small things that belong to no class."""

import math

from .canvas import Canvas, FloatArray, smooth_outline
from .rng import Color, Dice, shade


def scatter_clutter(picture: FloatArray, dice: Dice) -> FloatArray:
    """Add up to five of them, so that "something small is there" says nothing about the class."""
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


def _ball(canvas: Canvas, color: Color) -> None:
    canvas.ellipse(0, 0, 1, 0.8, color)
    canvas.ellipse(-0.25, -0.25, 0.4, 0.3, shade(color, 1.3))


def _crate(canvas: Canvas, color: Color) -> None:
    canvas.rectangle(-1, -0.7, 1, 0.7, color)
    canvas.rectangle(-0.7, -0.4, 0.7, 0.4, shade(color, 0.7))


def _leaf(canvas: Canvas, color: Color) -> None:
    canvas.polygon(smooth_outline((-1.1, 0), (0, -0.55), (1.1, 0), (0, 0.55)), color)
    canvas.line([(-1, 0), (1.3, 0)], 0.16, shade(color, 0.7))


def _star(canvas: Canvas, color: Color) -> None:
    angles = [tip * math.pi / 5 for tip in range(10)]
    radii = [1.1 if tip % 2 == 0 else 0.45 for tip in range(10)]
    corners = [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, angles, strict=True)]
    canvas.polygon(corners, color)
