"""Hard scenes: the object is small, cut off by the border, or partly hidden."""

import numpy as np

from .canvas import Canvas, Drawing, FloatArray, to_bytes
from .poses import Pose, draw_object
from .rng import Color, Dice, Stream, shade
from .textures import noise

Box = tuple[int, int, int, int]


def draw_hard(obj: str, pose: Pose, seed: int, size: int) -> tuple[Drawing, Drawing | None]:
    """The object made hard to recognise, and what stands in front of it, if anything does."""
    dice = Dice(seed, Stream.HARD)
    kind = dice.choice(("small", "cut", "hidden"))
    if kind == "small":
        pose = pose._replace(scale=dice.uniform(0.32, 0.42))
    drawing = draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size)
    if kind == "cut":
        pose = _cut_off(pose, drawing.coverage, dice)
        drawing = draw_object(obj, pose, Dice(seed, Stream.LOOK, 0), size)
    cover = _draw_cover(drawing.coverage, dice) if kind == "hidden" else None
    return drawing, cover


def _cut_off(pose: Pose, coverage: FloatArray, dice: Dice) -> Pose:
    """Move the object over one of the borders, so that 62 to 80 % of its area is left."""
    size = coverage.shape[0]
    axis, low_border = dice.below(2), dice.chance(0.5)
    left_over = dice.uniform(0.62, 0.80)
    cut = _cut_at(coverage, axis, 1 - left_over if low_border else left_over) / size
    shift = -cut if low_border else 1 - cut
    return pose._replace(x=pose.x + shift) if axis == 0 else pose._replace(y=pose.y + shift)


def _cut_at(coverage: FloatArray, axis: int, share: float) -> int:
    """The column (axis 0) or row (axis 1) before which `share` of the object's area lies."""
    # Integers, because the order in which floats are added differs between CPUs.
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
    box: Box,
    color: Color,
    dice: Dice,
) -> None:
    """Hide a chosen share of the object's area, from one of four sides."""
    left, top, right, bottom = (box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3)
    upright, from_start = dice.chance(0.5), dice.chance(0.5)
    hidden = dice.uniform(0.35, 0.50)
    share = hidden if from_start else 1 - hidden
    edge = _cut_at(coverage, 0 if upright else 1, share)
    if upright:
        left, right = (left, edge) if from_start else (edge, right)
    else:
        top, bottom = (top, edge) if from_start else (edge, bottom)
    canvas.rectangle(left, top, right, bottom, color)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    canvas.pattern(dice, corners, "rows", shade(color, 0.85), 3 + dice.below(4))


def _fence(canvas: Canvas, box: Box, color: Color, dice: Dice) -> None:
    """Pales in front of the object, with gaps between them."""
    left, top, right, bottom = box
    upright, count = dice.chance(0.5), 3 + dice.below(3)
    filled, phase = dice.uniform(0.30, 0.42), dice.uniform(-0.4, 0.0)
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
