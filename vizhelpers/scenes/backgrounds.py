"""The ten backgrounds, and two neutral ones that are no label: one function each.

To add one, write a function with `@background(label=...)`; nothing else has to change.
"""

import math

import numpy as np

from .canvas import Canvas, FloatArray, Outline
from .registry import background
from .rng import Color, Dice, hsv, mix, shade
from .textures import add_gray, blend, clouds, coordinates, gradient, noise, rgb, wave

GREENISH = np.array([0.8, 1.0, 0.5], dtype=np.float32)


@background(label=0)
def sky(dice: Dice, size: int) -> FloatArray:
    """White clouds in the blue."""
    zenith = dice.color((0.54, 0.62), (0.45, 0.85), (0.6, 0.95))
    haze = dice.color((0.5, 0.6), (0.1, 0.35), (0.9, 1.0))
    picture = gradient(size, [(0, zenith), (1, haze)])
    density = clouds(dice, size, 3, 5) - dice.uniform(0.45, 0.56)
    cover = np.clip(density * dice.uniform(5, 9), 0, 1)
    picture = blend(picture, (255, 255, 255), cover * np.float32(dice.uniform(0.75, 1)))
    underside = np.roll(cover, -4, axis=0) * cover
    return add_gray(picture, -12 * underside)


@background(label=1)
def sea(dice: Dice, size: int) -> FloatArray:
    """Open water with waves, under a strip of sky."""
    horizon, hue = dice.uniform(0.22, 0.42), dice.uniform(0.5, 0.63)
    haze = dice.color((0.5, 0.62), (0.1, 0.4), (0.85, 1.0))
    far = hsv(hue, dice.uniform(0.5, 0.9), dice.uniform(0.45, 0.75))
    near = hsv(hue + 0.02, dice.uniform(0.7, 1.0), dice.uniform(0.2, 0.5))
    sky_above = [(0.0, hsv(0.56, 0.5, 0.9)), (horizon - 0.001, haze)]
    picture = gradient(size, [*sky_above, (horizon, far), (1.0, near)])
    waves = 0.6 * noise(dice, size, 5, 34) + 0.4 * noise(dice, size, 12, 64)
    water = _below(size, horizon)
    picture = add_gray(picture, (waves - 0.5) * 90 * water)
    foam = np.clip((waves - 0.68) * 8, 0, 1) * water
    return blend(picture, (245, 250, 255), foam * np.float32(0.8))


@background(label=2)
def road(dice: Dice, size: int) -> FloatArray:
    """Asphalt with lane marks, a town at the horizon."""
    horizon, asphalt = dice.uniform(0.2, 0.38), int(dice.uniform(70, 125))
    picture = gradient(size, [(0, hsv(0.57, 0.3, 0.95)), (horizon, (225, 230, 235))])
    canvas = Canvas(size, picture)
    _town(canvas, dice, horizon)
    gray = (asphalt, asphalt, asphalt + 4)
    canvas.rectangle(-0.1, horizon, 1.1, horizon + 0.05, hsv(0.3, 0.3, 0.5))
    canvas.rectangle(-0.1, horizon + 0.05, 1.1, 1.1, gray)
    canvas.rectangle(-0.1, horizon + 0.05, 1.1, horizon + 0.09, shade(gray, 1.4))
    _lane_marks(canvas, dice.uniform(0.2, 0.8), horizon)
    grain = (noise(dice, size, size) - 0.5) * 34
    return add_gray(canvas.picture(), grain * _below(size, horizon + 0.05))


def _town(canvas: Canvas, dice: Dice, horizon: float) -> None:
    left = 0.0
    while left < 1:
        width, height = dice.uniform(0.07, 0.18), dice.uniform(0.05, 0.2)
        wall = dice.color(saturation=(0, 0.25), value=(0.4, 0.75))
        canvas.rectangle(left, horizon - height, left + width, 1, wall)
        left += width * dice.uniform(0.8, 1.2)


def _lane_marks(canvas: Canvas, vanishing_x: float, horizon: float) -> None:
    """Dashes that run together at the horizon."""
    near = 1 - horizon - 0.09
    # (k/6)**1.6 for k = 0, 0.5, 1 ... 5.5, written out: pow() is not the same on every machine.
    depths = (0.0, 0.0188, 0.0569, 0.1088, 0.1724, 0.2464, 0.3299, 0.4221, 0.5227, 0.6311, 0.7469, 0.8699)  # fmt: skip # noqa: E501
    for start, end in zip(depths[::2], depths[1::2], strict=True):
        top, bottom = horizon + 0.09 + near * start, horizon + 0.09 + near * end
        for lane, color in (
            (-0.9, (235, 235, 235)),
            (0.0, (235, 225, 150)),
            (0.9, (235, 235, 235)),
        ):
            corners = [(-0.03, top), (0.03, top), (0.03, bottom), (-0.03, bottom)]
            canvas.polygon(
                [(vanishing_x + (lane + offset) * (y - horizon), y) for offset, y in corners], color
            )


@background(label=3)
def reef(dice: Dice, size: int) -> FloatArray:
    """Under water: light from above, weeds, bubbles."""
    hue = dice.uniform(0.46, 0.55)
    surface, middle, deep = (
        hsv(hue, 0.5, 0.95),
        hsv(hue + 0.03, 0.85, 0.55),
        hsv(hue + 0.05, 0.9, 0.3),
    )
    picture = gradient(size, [(0, surface), (0.7, middle), (1, deep)])
    x, y = coordinates(size)
    bend = x * np.float32(dice.uniform(2.9, 5.1)) + y * np.float32(dice.uniform(-1.4, 1.4))
    rays = wave(bend + 0.64 * noise(dice, size, 3))
    picture = add_gray(picture, np.clip(rays, 0, 1) * (1 - y) * 50)
    picture = add_gray(picture, (clouds(dice, size, 4, 3) - 0.5) * 50)

    canvas = Canvas(size, picture)
    canvas.polygon(_hill(dice, 0.93, 0.025), hsv(0.12, 0.3, 0.75))
    for _ in range(4 + dice.below(6)):
        _weed(canvas, dice)
    for _ in range(8 + dice.below(10)):
        x_bubble, y_bubble, radius = dice.uniform(), dice.uniform(), dice.uniform(0.008, 0.025)
        canvas.ellipse(x_bubble, y_bubble, radius, radius, (190, 240, 245))
        canvas.ellipse(x_bubble, y_bubble, radius * 0.65, radius * 0.65, hsv(hue, 0.5, 0.8))
    return canvas.picture()


def _weed(canvas: Canvas, dice: Dice) -> None:
    foot, height, width = dice.uniform(), dice.uniform(0.15, 0.45), dice.uniform(0.012, 0.03)
    hue = dice.uniform(0.2, 0.45) if dice.chance(0.6) else dice.uniform(0.9, 1.05)
    color = hsv(hue, 0.7, dice.uniform(0.3, 0.8))
    steps = [step / 8 for step in range(9)]
    sway = [0.03 * math.sin(step * 9 + foot * 20) for step in steps]
    stem = [(foot + x, 1 - height * step) for x, step in zip(sway, steps, strict=True)]
    canvas.line(stem, width, color)


@background(label=4)
def meadow(dice: Dice, size: int) -> FloatArray:
    """Green hills with grass and flowers."""
    horizon, hue = dice.uniform(0.25, 0.45), dice.uniform(0.22, 0.34)
    picture = gradient(size, [(0, hsv(0.57, 0.45, 0.95)), (horizon, hsv(0.55, 0.15, 1))])
    canvas = Canvas(size, picture)
    for nearness in range(3):
        green = hsv(hue + 0.02 * nearness, dice.uniform(0.45, 0.75), 0.75 - 0.1 * nearness)
        canvas.polygon(_hill(dice, horizon + 0.1 * nearness, 0.03), green)
    blades = (noise(dice, size, size // 2, size // 6) - 0.5) * 60 * _below(size, horizon + 0.03)
    picture = canvas.picture() + blades[..., None] * GREENISH

    canvas = Canvas(size, picture)
    for _ in range(10 + dice.below(30)):
        x, y = dice.uniform(), dice.uniform(horizon + 0.15, 1)
        radius = 0.006 + 0.012 * (y - horizon)
        canvas.ellipse(x, y, radius, radius, dice.color(saturation=(0.1, 0.8), value=(1, 1)))
    return canvas.picture()


@background(label=5)
def desert(dice: Dice, size: int) -> FloatArray:
    """Rippled dunes, sometimes a low sun."""
    horizon, hue = dice.uniform(0.25, 0.45), dice.uniform(0.07, 0.12)
    zenith = hsv(dice.uniform(0.05, 0.15), 0.35, 0.98)
    canvas = Canvas(size, gradient(size, [(0, zenith), (horizon, hsv(0.11, 0.2, 1))]))
    if dice.chance(0.6):
        canvas.ellipse(
            dice.uniform(0.1, 0.9), dice.uniform(0.05, horizon), 0.07, 0.07, (255, 245, 200)
        )
    picture = canvas.picture()
    x, y = coordinates(size)
    for nearness in range(4):
        dune = Canvas(size)
        dune.polygon(_hill(dice, horizon + 0.14 * nearness, 0.04), (255, 255, 255))
        across, down = np.float32(dice.uniform(-4, 4)), np.float32(dice.uniform(9.5, 17.5))
        ripples = wave(y * down + x * across + 0.8 * noise(dice, size, 4))
        grain = noise(dice, size, size) - 0.5
        sand = rgb(hsv(hue, dice.uniform(0.4, 0.6), 0.95 - 0.1 * nearness))
        sand = sand + (ripples * 9 + grain * 16)[..., None]
        picture = picture + (sand - picture) * dune.drawing().coverage[..., None]
    return picture


@background(label=6)
def room(dice: Dice, size: int) -> FloatArray:
    """Wallpaper, a wooden floor, sometimes a picture on the wall."""
    floor = dice.uniform(0.6, 0.8)
    paper = dice.color(saturation=(0.08, 0.4), value=(0.75, 0.97))
    print_color = mix(paper, dice.color(saturation=(0.2, 0.6), value=(0.5, 0.95)), 0.55)
    picture = np.zeros((size, size, 3), dtype=np.float32) + rgb(paper)
    canvas = Canvas(size, blend(picture, print_color, _wallpaper(dice, size)))
    wood = dice.color((0.04, 0.1), (0.3, 0.7), (0.35, 0.75))
    if dice.chance(0.6):
        _framed_picture(canvas, dice, shade(wood, 0.7))

    canvas.rectangle(-0.1, floor, 1.1, 1.1, wood)
    canvas.rectangle(-0.1, floor - 0.03, 1.1, floor, (240, 238, 230))
    gap = shade(wood, 0.6)
    depth = (1 - floor) / 6
    for board in range(6):
        y, shift = floor + depth * board, dice.uniform()
        canvas.line([(0, y), (1, y)], 0.006, gap, round_ends=False)
        for x in (shift - 0.4, shift, shift + 0.4):
            canvas.line([(x, y), (x, y + depth)], 0.006, gap, round_ends=False)
    grain = (noise(dice, size, 6, size) - 0.5) * 34
    return add_gray(canvas.picture(), grain * _below(size, floor))


def _wallpaper(dice: Dice, size: int) -> FloatArray:
    """How much of the print colour shows, 0..1: stripes, dots, lozenges or a grid."""
    x, y = coordinates(size)
    repeats, kind = np.float32(dice.uniform(8, 16)), dice.below(4)
    across, down = wave(x * repeats), wave(y * repeats)
    design: FloatArray
    if kind == 0:
        design = across + 0 * down
    elif kind == 1:
        design = np.minimum(across, down) * 1.5
    elif kind == 2:
        diagonal = np.float32(0.7) * repeats
        design = wave((x + y) * diagonal) * wave((x - y) * diagonal) * 2
    else:
        design = np.maximum(across - 0.6, down - 0.6) * 3
    return np.clip(design * 3 + 0.5, 0, 1)


def _framed_picture(canvas: Canvas, dice: Dice, frame: Color) -> None:
    left, top = dice.uniform(0.05, 0.6), dice.uniform(0.05, 0.3)
    width, height = dice.uniform(0.18, 0.32), dice.uniform(0.15, 0.28)
    right, bottom = left + width, top + height
    canvas.rectangle(left, top, right, bottom, frame)
    paint = hsv(dice.uniform(), 0.4, 0.9)
    canvas.rectangle(left + 0.02, top + 0.02, right - 0.02, bottom - 0.02, paint)
    middle = ((left + right) / 2, (top + bottom) / 2)
    canvas.ellipse(*middle, width * 0.25, height * 0.25, hsv(dice.uniform(), 0.6, 0.8))


@background(label=7)
def space(dice: Dice, size: int) -> FloatArray:
    """Nebulae, stars, sometimes a planet."""
    night = hsv(dice.uniform(0.6, 0.85), 0.6, 0.1)
    picture = np.zeros((size, size, 3), dtype=np.float32) + rgb(night)
    for _ in range(2):
        nebula = np.clip((clouds(dice, size, 2, 5) - 0.45) * 3, 0, 1)
        glow = hsv(dice.uniform(0.5, 1.05), 0.75, dice.uniform(0.3, 0.6))
        picture = picture + nebula[..., None] * rgb(glow)

    canvas = Canvas(size, picture)
    for _ in range(60 + dice.below(60)):
        draw = dice.uniform()
        radius = 0.002 + 0.006 * draw * draw * draw
        star = dice.color(saturation=(0, 0.25), value=(0.6, 1))
        canvas.ellipse(dice.uniform(), dice.uniform(), radius, radius, star)
    if dice.chance(0.5):
        _planet(canvas, dice)
    return canvas.picture()


def _planet(canvas: Canvas, dice: Dice) -> None:
    x, y, radius = dice.uniform(), dice.uniform(), dice.uniform(0.05, 0.16)
    color = hsv(dice.uniform(), 0.5, 0.8)
    canvas.ellipse(x, y, radius, radius, color)
    canvas.ellipse(
        x - radius * 0.2, y - radius * 0.2, radius * 0.72, radius * 0.72, shade(color, 1.2)
    )
    if dice.chance(0.5):
        ring = [(x - radius * 1.7, y + radius * 0.4), (x + radius * 1.7, y - radius * 0.4)]
        canvas.line(ring, radius * 0.14, shade(color, 0.8))


@background(label=8)
def forest(dice: Dice, size: int) -> FloatArray:
    """Tree trunks in a green dusk."""
    hue = dice.uniform(0.24, 0.4)
    light, dusk, soil = (
        hsv(hue, 0.5, dice.uniform(0.35, 0.7)),
        hsv(hue, 0.6, 0.25),
        hsv(0.08, 0.5, 0.25),
    )
    picture = gradient(size, [(0, light), (0.7, dusk), (1, soil)])
    leaves = (clouds(dice, size, 6, 4) - 0.5) * 120
    canvas = Canvas(size, picture + leaves[..., None] * GREENISH)
    for _ in range(5 + dice.below(6)):
        _trunk(canvas, dice)
    ground = dice.color((0.06, 0.3), (0.5, 0.5), (0.28, 0.28))
    canvas.polygon(_hill(dice, 0.82, 0.02), ground)
    litter = (noise(dice, size, size // 3) - 0.5) * 70
    return add_gray(canvas.picture(), litter * _below(size, 0.78))


def _trunk(canvas: Canvas, dice: Dice) -> None:
    x, nearness, lean = dice.uniform(-0.05, 1.05), dice.uniform(), dice.uniform(-0.04, 0.04)
    width, foot = 0.02 + 0.06 * nearness, 0.65 + 0.2 * nearness
    bark = hsv(dice.uniform(0.05, 0.1), dice.uniform(0.3, 0.6), 0.2 + 0.3 * nearness)
    top = x + lean
    trunk = [(top - width / 2, -0.1), (top + width / 2, -0.1), (x + width * 0.7, foot), (x - width * 0.7, foot)]  # fmt: skip # noqa: E501
    canvas.polygon(trunk, bark)
    canvas.line([(top, -0.05), (x + 0.1 * width, foot - 0.02)], 0.006, shade(bark, 0.6))
    canvas.line([(top - width * 0.25, -0.05), (x - width * 0.3, foot)], 0.006, shade(bark, 0.7))


@background(label=9)
def snow(dice: Dice, size: int) -> FloatArray:
    """White slopes, firs, falling flakes."""
    horizon = dice.uniform(0.3, 0.5)
    zenith = hsv(0.58, dice.uniform(0.1, 0.3), dice.uniform(0.6, 0.85))
    canvas = Canvas(size, gradient(size, [(0, zenith), (horizon, (225, 232, 242))]))
    for _ in range(4 + dice.below(6)):
        _fir(canvas, dice, horizon + 0.08)
    for nearness in range(3):
        white = 250 - 12 * nearness
        slope = (white - 14, white - 6, min(255, white + 5))
        canvas.polygon(_hill(dice, horizon + 0.12 * nearness, 0.03), slope)
    drifts = (clouds(dice, size, 4, 4) - 0.5) * 36 * _below(size, horizon)

    canvas = Canvas(size, add_gray(canvas.picture(), drifts))
    for _ in range(20 + dice.below(50)):
        radius = dice.uniform(0.003, 0.011)
        canvas.ellipse(dice.uniform(), dice.uniform(), radius, radius, (255, 255, 255))
    return canvas.picture()


def _fir(canvas: Canvas, dice: Dice, foot: float) -> None:
    x, size = dice.uniform(), dice.uniform(0.08, 0.2)
    green = dice.color((0.35, 0.5), (0.35, 0.35), (0.25, 0.5))
    for tier in range(3):
        half_width, y = size * 0.35 * (1 - 0.22 * tier), foot - size * 0.42 * tier
        canvas.polygon([(x - half_width, y), (x + half_width, y), (x, y - size * 0.65)], green)


@background(label=None)
def plain(dice: Dice, size: int) -> FloatArray:
    """Two colours that run into each other, with soft spots: says nothing about the class."""
    top = dice.color(saturation=(0, 0.7), value=(0.2, 1))
    bottom = dice.color(saturation=(0, 0.7), value=(0.2, 1))
    spots = clouds(dice, size, 2 + dice.below(6), 3) - 0.5
    return add_gray(
        gradient(size, [(0, top), (1, bottom)]), spots * np.float32(dice.uniform(0, 90))
    )


@background(label=None)
def gratings(dice: Dice, size: int) -> FloatArray:
    """Coloured waves in one or two directions over a plain background."""
    picture = plain(dice, size)
    x, y = coordinates(size)
    for _ in range(1 + dice.below(2)):
        angle, frequency = dice.uniform(0, math.pi), dice.uniform(3, 24)
        across, down = math.cos(angle) * frequency, math.sin(angle) * frequency
        phase = np.float32(dice.uniform()) + 0.5 * noise(dice, size, 3)
        stripes = wave(x * np.float32(across) + y * np.float32(down) + phase)
        tint = rgb(hsv(dice.uniform(), dice.uniform(), 1)) / 255
        picture = picture + (stripes * np.float32(dice.uniform(20, 60)))[..., None] * tint
    return picture


def _hill(dice: Dice, top: float, height: float) -> Outline:
    """A rolling line across the picture and everything below it."""
    x = np.linspace(-0.05, 1.05, 26)
    slow, fast, ripple = (dice.uniform(0, 2 * math.pi) for _ in range(3))
    roll = np.sin(x * dice.uniform(3, 6) + slow) + 0.5 * np.sin(x * dice.uniform(7, 12) + fast)
    y = top + height * (roll + 0.2 * np.sin(x * 25 + ripple))
    crest = np.stack([x, y], axis=1)
    return np.concatenate([crest, [(1.05, 1.1), (-0.05, 1.1)]])


def _below(size: int, height: float) -> FloatArray:
    """1 below the given height, 0 above: float32 `[S, 1]`."""
    _, y = coordinates(size)
    return (y > height).astype(np.float32)
