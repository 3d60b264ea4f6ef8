"""Draw shapes with soft edges: colours, coverage and part ids. It knows no object."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from .rng import Color, Dice

FloatArray = npt.NDArray[np.floating]
ByteArray = npt.NDArray[np.uint8]
Outline = npt.NDArray[np.float64]
Points = Sequence[tuple[float, float]] | Outline
Pattern = Literal["columns", "rows", "dots"]

PATTERNS: tuple[Pattern, ...] = ("columns", "rows", "dots")

PARTS = (
    "none",
    "body",
    "wheel",
    "window",
    "eye",
    "wing",
    "tail",
    "roof",
    "door",
    "sail",
    "spot",
    "ear",
    "leg",
    "flame",
    "beak",
    "flower",
)

# Shapes are drawn this many times larger and then averaged: soft edges without Pillow's own.
OVERSAMPLING = 3


class Drawing(NamedTuple):
    """What was drawn on a canvas.

    Attributes:
        color: float32 `[S, S, 3]`, 0..255, already multiplied by the coverage.
        coverage: float32 `[S, S]`, 0..1.
        parts: uint8 `[S, S]`, index in `PARTS`.
    """

    color: FloatArray
    coverage: FloatArray
    parts: ByteArray


class Canvas:
    """Draws filled shapes and remembers which pixels belong to which part.

    Coordinates are in units that `place` chooses, y down. At first the unit is the side of
    the picture: (0, 0) top left, (1, 1) bottom right. Every shape ends as a polygon with
    whole-number corners, because Pillow's thin lines and ellipses differ between its versions.

    Args:
        size: side of the picture in pixels.
        picture: float `[S, S, 3]`, 0..255, to draw on; black when not given.
    """

    def __init__(self, size: int, picture: FloatArray | None = None) -> None:
        side = (size * OVERSAMPLING, size * OVERSAMPLING)
        if picture is None:
            self._image = Image.new("RGB", side)
        else:
            self._image = Image.fromarray(to_bytes(picture)).resize(side, Image.Resampling.NEAREST)
        self._parts = Image.new("L", side)
        self._pen = ImageDraw.Draw(self._image)
        self._part_pen = ImageDraw.Draw(self._parts)
        self.place(0.0, 0.0, size)

    def place(
        self,
        x: float,
        y: float,
        unit: float,
        *,
        rotation: float = 0.0,
        flip: bool = False,
        stretch: float = 1.0,
        shear: float = 0.0,
    ) -> None:
        """Put the origin at pixel (x, y); one unit is `unit` pixels long; rotation in radians."""
        self._unit = unit * OVERSAMPLING
        cosine, sine = math.cos(rotation) * self._unit, math.sin(rotation) * self._unit
        across = -stretch if flip else stretch
        self._x_axis = (cosine * across, sine * across)
        self._y_axis = (cosine * shear - sine, sine * shear + cosine)
        self._origin = (x * OVERSAMPLING, y * OVERSAMPLING)

    def polygon(self, points: Points, color: Color, part: str = "body") -> None:
        """Fill the outline through the points."""
        self._fill(self._to_pixels(points), color, part)

    def rectangle(  # noqa: PLR0917  (four numbers and a colour, as in every drawing library)
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        color: Color,
        part: str = "body",
    ) -> None:
        """Fill the box between two corners."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color, part)

    def ellipse(  # noqa: PLR0917
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        color: Color,
        part: str = "body",
        *,
        rotation: float = 0.0,
    ) -> None:
        """Fill an ellipse around (x, y)."""
        self.polygon(ellipse_outline(x, y, radius_x, radius_y, rotation), color, part)

    def line(
        self,
        points: Points,
        width: float,
        color: Color,
        part: str = "body",
        *,
        round_ends: bool = True,
    ) -> None:
        """Draw a line of the given width through the points, with round joints."""
        corners = self._to_pixels(points)
        half_width = max(width * self._unit, 1.5) / 2
        for start, end in pairwise(corners):
            along = end - start
            length = math.sqrt(float(along[0] * along[0] + along[1] * along[1])) or 1.0
            side = np.array([-along[1], along[0]]) * (half_width / length)
            self._fill(np.stack([start + side, end + side, end - side, start - side]), color, part)
        if half_width > 1:
            for joint in corners if round_ends else corners[1:-1]:
                self._fill(_DISC * half_width + joint, color, part)

    def pattern(self, dice: Dice, outline: Points, kind: Pattern, color: Color, count: int) -> None:
        """Colour what is already drawn inside the outline with stripes or dots; parts stay."""
        shape = np.asarray(outline, dtype=np.float64)
        inside = self._blank([shape])
        marks = self._blank(_pattern_shapes(dice, shape, kind, count))
        drawn = self._parts.point(_ANY_PART)
        stencil = ImageChops.multiply(ImageChops.multiply(inside, marks), drawn)
        self._image.paste(color, mask=stencil)

    def picture(self) -> FloatArray:
        """The colours alone: float32 `[S, S, 3]`, 0..255."""
        return np.asarray(self._image.reduce(OVERSAMPLING)).astype(np.float32)

    def drawing(self) -> Drawing:
        """Colours, coverage and parts."""
        coverage = np.asarray(self._parts.point(_ANY_PART).reduce(OVERSAMPLING))
        middle = slice(OVERSAMPLING // 2, None, OVERSAMPLING)
        parts = np.asarray(self._parts)[middle, middle]
        return Drawing(self.picture(), coverage.astype(np.float32) / 255, parts.copy())

    def _to_pixels(self, points: Points) -> Outline:
        given = np.asarray(points, dtype=np.float64)
        # Written out, because a matrix product rounds differently from one BLAS to another.
        return given[:, :1] * self._x_axis + given[:, 1:] * self._y_axis + self._origin

    def _fill(self, corners: Outline, color: Color, part: str) -> None:
        flat = _whole(corners)
        self._pen.polygon(flat, fill=color)
        self._part_pen.polygon(flat, fill=PARTS.index(part))

    def _blank(self, shapes: Sequence[Outline]) -> Image.Image:
        """A stencil that is white inside the shapes."""
        stencil = Image.new("L", self._image.size)
        pen = ImageDraw.Draw(stencil)
        for shape in shapes:
            pen.polygon(_whole(self._to_pixels(shape)), fill=255)
        return stencil


def smooth_outline(*points: tuple[float, float], steps: int = 8) -> Outline:
    """A closed smooth curve through the points (uniform Catmull-Rom spline)."""
    here = np.asarray(points, dtype=np.float64)
    before, after, beyond = np.roll(here, 1, 0), np.roll(here, -1, 0), np.roll(here, -2, 0)
    share = (np.arange(steps) / steps)[:, None, None]
    linear = (after - before) * share
    square = (2 * before - 5 * here + 4 * after - beyond) * share * share
    cube = (3 * here - before - 3 * after + beyond) * share * share * share
    curve = 0.5 * (2 * here + linear + square + cube)
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def ellipse_outline(
    x: float, y: float, radius_x: float, radius_y: float, rotation: float = 0.0
) -> Outline:
    """28 points around an ellipse."""
    wide, high = _CIRCLE[:, :1] * radius_x, _CIRCLE[:, 1:] * radius_y
    cosine, sine = math.cos(rotation), math.sin(rotation)
    return wide * (cosine, sine) - high * (sine, -cosine) + (x, y)


def arc(  # noqa: PLR0917
    x: float, y: float, radius_x: float, radius_y: float, start: float, end: float
) -> Outline:
    """24 points along an ellipse, from one angle to another (radians, clockwise from +x)."""
    angles = np.linspace(start, end, 24)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def to_bytes(picture: FloatArray) -> ByteArray:
    """Round 0..255 to uint8."""
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def _circle(corners: int) -> Outline:
    angles = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _whole(corners: Outline) -> list[int]:
    return np.rint(corners).astype(np.int64).ravel().tolist()


def _pattern_shapes(dice: Dice, shape: Outline, kind: Pattern, count: int) -> list[Outline]:
    low, high = shape.min(axis=0), shape.max(axis=0)
    extent = high - low
    if kind == "dots":
        radius = float(extent.min()) / count * 0.62
        centers = [(dice.uniform(), dice.uniform()) for _ in range(3 * count)]
        return [
            _CIRCLE * radius + [low[0] + x * extent[0], low[1] + y * extent[1]] for x, y in centers
        ]
    axis = 0 if kind == "columns" else 1
    stripes = []
    for index in range(count):
        corners = np.array([low, low, high, high])
        corners[[1, 3], 1 - axis] = [high[1 - axis], low[1 - axis]]
        corners[:2, axis] = low[axis] + extent[axis] * (index + 0.25) / count
        corners[2:, axis] = low[axis] + extent[axis] * (index + 0.70) / count
        stripes.append(corners)
    return stripes


_CIRCLE = _circle(28)
_DISC = _circle(12)
_ANY_PART = [0] + [255] * 255
