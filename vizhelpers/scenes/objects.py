"""The ten objects: one function each, between -1 and 1 on both axes, in the colours it is given.

To add one, write a function with `@scene_object(label=...)`; nothing else has to change.
"""

import math

import numpy as np

from .canvas import PATTERNS, Canvas, Outline, arc, ellipse_outline, smooth_outline
from .registry import scene_object
from .rng import Dice, Palette, hsv, shade

BOTH_SIDES = (-1, 1)


@scene_object(label=0)
def airplane(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """An airliner that flies to the right."""
    far_wing = [(-0.15, -0.1), (0.2, -0.1), (-0.25, -0.55), (-0.42, -0.55)]
    fin = [(-0.95, -0.12), (-0.62, -0.14), (-0.78, -0.6), (-1.0, -0.6)]
    canvas.polygon(far_wing, shade(colors.main, 0.7), "wing")
    canvas.polygon(fin, colors.second, "tail")

    fuselage = smooth_outline(
        (-1.02, -0.16), (-0.5, -0.2), (0.5, -0.2), (0.85, -0.1), (1.0, 0.03),
        (0.8, 0.15), (0.3, 0.19), (-0.4, 0.15), (-0.9, 0.0),
    )  # fmt: skip
    canvas.polygon(fuselage, colors.main)
    if dice.chance(0.7):
        belly = [(-1.0, 0.0), (0.95, 0.02), (0.95, 0.2), (-1.0, 0.2)]
        canvas.pattern(dice, belly, "rows", colors.second, 2)

    tip = dice.uniform(0.5, 0.75)
    near_wing = [(-0.1, 0.06), (0.28, 0.06), (-0.3, tip), (-0.52, tip)]
    tailplane = [(-0.95, -0.06), (-0.7, -0.06), (-0.95, 0.12), (-1.1, 0.12)]
    canvas.polygon(near_wing, shade(colors.main, 0.82), "wing")
    canvas.polygon(tailplane, shade(colors.second, 0.8), "tail")
    if dice.chance(0.6):
        canvas.ellipse(0.0, 0.3, 0.14, 0.07, colors.dark)

    for index in range(4 + dice.below(4)):
        canvas.ellipse(-0.5 + 0.16 * index, -0.08, 0.045, 0.05, colors.light, "window")
    cockpit = [(0.68, -0.13), (0.86, -0.08), (0.88, -0.02), (0.7, -0.03)]
    canvas.polygon(cockpit, colors.dark, "window")


@scene_object(label=1)
def sailboat(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A boat with two sails and a pennant."""
    canvas.line([(0, 0.45), (0, -1)], 0.06, colors.dark)
    main_sail = [(0.07, -0.92), (dice.uniform(0.6, 0.85), 0.32), (0.07, 0.38)]
    fore_sail = [(-0.07, -0.75), (-dice.uniform(0.45, 0.75), 0.33), (-0.07, 0.36)]
    canvas.polygon(main_sail, colors.light, "sail")
    canvas.polygon(fore_sail, shade(colors.second, 1.15), "sail")
    if dice.chance(0.7):
        canvas.pattern(dice, main_sail, dice.choice(PATTERNS), colors.second, 3 + dice.below(4))

    hull = smooth_outline(
        (-0.9, 0.42), (-0.5, 0.44), (0.5, 0.44), (0.95, 0.38),
        (0.65, 0.78), (0.3, 0.86), (-0.4, 0.86), (-0.72, 0.74),
    )  # fmt: skip
    canvas.polygon(hull, colors.main)
    gunwale = [(-1.0, 0.42), (1.0, 0.42), (1.0, 0.6), (-1.0, 0.6)]
    canvas.pattern(dice, gunwale, "rows", colors.second, 1)

    pennant = [(0.0, -1.0), (0.28, -0.93), (0.0, -0.84)]
    canvas.polygon(pennant, colors.second, "sail")
    if dice.chance(0.6):
        for x in (-0.35, -0.05, 0.25):
            canvas.ellipse(x, 0.64, 0.06, 0.06, colors.dark, "window")


@scene_object(label=2)
def car(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A car that drives to the right."""
    height = dice.uniform(0.35, 0.6)
    rear, front = dice.uniform(-0.6, -0.45), dice.uniform(0.25, 0.5)
    cabin = [
        (rear - 0.12, 0.0),
        (rear + 0.1, -height),
        (front - 0.12, -height),
        (front + 0.22, 0.02),
    ]
    canvas.polygon(cabin, shade(colors.main, 0.92), "roof")
    top = -height + 0.08
    rear_window = [(rear + 0.02, -0.02), (rear + 0.15, top), (-0.08, top), (-0.08, -0.02)]
    front_window = [(0.0, -0.02), (0.0, top), (front - 0.16, top), (front + 0.1, -0.02)]
    canvas.polygon(rear_window, colors.light, "window")
    canvas.polygon(front_window, colors.light, "window")

    body = smooth_outline(
        (-0.98, 0.08), (-0.8, -0.03), (0.5, -0.04), (0.9, 0.05), (1.0, 0.25),
        (0.95, 0.42), (-0.95, 0.42), (-1.02, 0.25),
    )  # fmt: skip
    canvas.polygon(body, colors.main)
    if dice.chance(0.6):
        canvas.rectangle(-0.95, 0.2, 0.95, 0.28, colors.second)
    headlight, tail_light = (255, 250, 190), (220, 40, 40)
    canvas.ellipse(0.9, 0.15, 0.08, 0.07, headlight)
    canvas.ellipse(-0.95, 0.16, 0.05, 0.08, tail_light)
    canvas.line([(-0.04, 0.02), (-0.04, 0.38)], 0.025, shade(colors.main, 0.6), "door")
    canvas.rectangle(0.05, 0.08, 0.2, 0.12, colors.dark, "door")

    radius = dice.uniform(0.2, 0.27)
    rubber = (25, 25, 28)
    for x in (-0.55, 0.55):
        for share, color in ((1.0, rubber), (0.52, shade(colors.light, 0.8)), (0.2, colors.dark)):
            canvas.ellipse(x, 0.42, radius * share, radius * share, color, "wheel")


@scene_object(label=3)
def fish(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A fish that swims to the right."""
    thick = dice.uniform(0.36, 0.55)
    upper, lower = dice.uniform(0.35, 0.55), dice.uniform(0.35, 0.55)
    tail = [(-0.45, 0.0), (-1.0, -upper), (-0.82, 0.0), (-1.0, lower)]
    back_fin = smooth_outline(
        (-0.3, -thick * 0.7), (0.0, -thick - 0.32), (0.3, -thick * 0.8), (0.1, -thick * 0.4)
    )
    belly_fin = smooth_outline((-0.2, thick * 0.7), (-0.15, thick + 0.25), (0.1, thick * 0.8))
    canvas.polygon(tail, colors.second, "tail")
    canvas.polygon(back_fin, colors.second, "wing")
    canvas.polygon(belly_fin, colors.second, "wing")

    body = smooth_outline(
        (-0.62, 0.0), (-0.2, -thick * 0.85), (0.35, -thick), (0.8, -thick * 0.45),
        (0.98, 0.05), (0.75, thick * 0.55), (0.3, thick), (-0.25, thick * 0.8),
    )  # fmt: skip
    canvas.polygon(body, colors.main)
    if dice.chance(0.75):
        skin = body * (0.86, 0.9)
        canvas.pattern(dice, skin, dice.choice(PATTERNS), colors.second, 4 + dice.below(4))

    side_fin = smooth_outline((0.1, 0.02), (-0.18, 0.22), (-0.05, 0.32), (0.2, 0.16))
    canvas.polygon(side_fin, shade(colors.main, 0.7), "wing")
    canvas.ellipse(0.62, -0.12, 0.13, 0.13, (250, 250, 250), "eye")
    canvas.ellipse(0.65, -0.12, 0.065, 0.07, (15, 15, 15), "eye")
    canvas.line([(0.92, 0.16), (0.72, 0.17)], 0.035, colors.dark)


@scene_object(label=4)
def house(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A house with a gable roof, a door and two windows."""
    half_width, eaves = dice.uniform(0.6, 0.8), dice.uniform(-0.2, 0.0)
    if dice.chance(0.7):
        chimney = dice.uniform(-0.5, 0.4)
        canvas.rectangle(chimney, -0.85, chimney + 0.2, -0.2, shade(colors.second, 0.7), "roof")

    canvas.rectangle(-half_width, eaves, half_width, 0.85, colors.main)
    if dice.chance(0.5):
        wall = [(-half_width, eaves), (half_width, eaves), (half_width, 0.85), (-half_width, 0.85)]
        canvas.pattern(dice, wall, "rows", shade(colors.main, 0.85), 8)

    overhang = half_width + dice.uniform(0.08, 0.2)
    ridge = (dice.uniform(-0.12, 0.12), dice.uniform(-0.95, -0.7))
    roof = [(-overhang, eaves + 0.05), ridge, (overhang, eaves + 0.05)]
    canvas.polygon(roof, colors.second, "roof")
    if dice.chance(0.7):
        canvas.pattern(dice, roof, "rows", shade(colors.second, 0.8), 5)

    door = dice.uniform(-0.35, 0.35)
    canvas.rectangle(door - 0.14, 0.32, door + 0.14, 0.85, colors.dark, "door")
    canvas.ellipse(door + 0.08, 0.6, 0.03, 0.03, (240, 210, 80), "door")
    for x in (door - 0.42, door + 0.42):
        if abs(x) < half_width - 0.1:
            _cross_window(canvas, x, eaves + 0.34, colors)


def _cross_window(canvas: Canvas, x: float, y: float, colors: Palette) -> None:
    canvas.rectangle(x - 0.15, y - 0.16, x + 0.15, y + 0.16, colors.light, "window")
    canvas.rectangle(x - 0.015, y - 0.16, x + 0.015, y + 0.16, colors.dark, "window")
    canvas.rectangle(x - 0.15, y - 0.015, x + 0.15, y + 0.015, colors.dark, "window")


@scene_object(label=5)
def cactus(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A column cactus with one or two arms."""
    width = dice.uniform(0.34, 0.46)
    groove = shade(colors.main, 0.68)
    for side in BOTH_SIDES:
        elbow, reach = dice.uniform(-0.15, 0.35), side * dice.uniform(0.5, 0.72)
        top = elbow - dice.uniform(0.35, 0.65)
        if side == 1 or dice.chance(0.85):
            arm = [(0.0, elbow), (reach, elbow), (reach, top)]
            canvas.line(arm, width * 0.62, shade(colors.main, 0.88))
            canvas.line([(reach, elbow - 0.05), (reach, top)], 0.03, groove)

    canvas.line([(0.0, 0.9), (0.0, -0.72)], width, colors.main)
    for column in (-1, 0, 1):
        x = column * width * 0.28
        canvas.line([(x, 0.95), (x, -0.72)], 0.03, groove)
    count = 10 + dice.below(8)
    for index in range(count):
        x, y = dice.uniform(-0.12, 0.12), -0.8 + 1.65 * (index + dice.uniform()) / count
        spines = [(x - 0.06, y - 0.04), (x, y), (x + 0.06, y - 0.04)]
        canvas.line(spines, 0.025, colors.light)

    if dice.chance(0.7):
        for petal in range(5):
            angle = petal * 1.257
            x, y = 0.1 * math.cos(angle), -0.97 + 0.1 * math.sin(angle)
            canvas.ellipse(x, y, 0.09, 0.09, colors.second, "flower")
        canvas.ellipse(0.0, -0.97, 0.07, 0.07, (250, 220, 80), "flower")


@scene_object(label=6)
def cat(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A sitting cat, seen from the front."""
    canvas.line(_cat_tail(dice.uniform(0.75, 1.0)), 0.16, shade(colors.main, 0.85), "tail")
    body = smooth_outline(
        (-0.42, 0.9), (-0.5, 0.45), (-0.3, -0.05), (0.25, -0.05), (0.5, 0.45), (0.48, 0.9)
    )
    canvas.polygon(body, colors.main)
    fur = dice.below(4)
    if fur < 3:
        canvas.pattern(dice, body * (0.9, 1.0), PATTERNS[fur], colors.second, 5 + dice.below(3))
    canvas.ellipse(-0.05, 0.5, 0.22, 0.34, colors.light)
    for x in (-0.26, 0.16):
        canvas.ellipse(x, 0.86, 0.17, 0.1, shade(colors.main, 1.1), "leg")
    _cat_head(canvas, dice, colors, striped=fur < 2)


def _cat_tail(reach: float) -> Outline:
    """A cubic Bezier curve from the cat's back to the tip of its tail."""
    start, first, second, end = np.array(
        [(0.3, 0.8), (1.1, 0.95), (reach, 0.1), (reach - 0.1, -0.2)]
    )
    share = np.linspace(0, 1, 12)[:, None]
    rest = 1 - share
    curve: Outline = (
        rest * rest * rest * start
        + 3 * share * rest * rest * first
        + 3 * share * share * rest * second
        + share * share * share * end
    )
    return curve


def _cat_head(canvas: Canvas, dice: Dice, colors: Palette, *, striped: bool) -> None:
    x, y = -0.05, -0.42
    for side in BOTH_SIDES:
        outer = [(side * 0.46, -0.02), (side * 0.44, -0.6), (side * 0.08, -0.32)]
        inner = [(side * 0.39, -0.14), (side * 0.39, -0.46), (side * 0.17, -0.3)]
        canvas.polygon([(x + dx, y + dy) for dx, dy in outer], colors.main, "ear")
        canvas.polygon([(x + dx, y + dy) for dx, dy in inner], colors.second, "ear")
    canvas.ellipse(x, y, 0.5, 0.42, shade(colors.main, 1.06))
    if striped:
        for offset in (-0.12, 0.0, 0.12):
            canvas.line([(x + offset, y - 0.38), (x + offset, y - 0.2)], 0.05, colors.second)

    iris = hsv(dice.uniform(), 0.7, 0.95)
    for side in BOTH_SIDES:
        canvas.ellipse(x + side * 0.2, y - 0.04, 0.11, 0.1, iris, "eye")
        canvas.ellipse(x + side * 0.2, y - 0.04, 0.04, 0.09, (10, 10, 10), "eye")
    nose = [(x - 0.07, y + 0.12), (x + 0.07, y + 0.12), (x, y + 0.2)]
    canvas.polygon(nose, (235, 120, 140))
    for side in BOTH_SIDES:
        for slope in (-0.09, 0.0, 0.09):
            whisker = [(x + side * 0.1, y + 0.2), (x + side * 0.62, y + 0.18 + slope)]
            canvas.line(whisker, 0.02, colors.light, round_ends=False)


@scene_object(label=7)
def rocket(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A rocket that flies up."""
    reach = dice.uniform(0.7, 1.0)
    flame = smooth_outline(
        (-0.2, 0.6), (0.0, 0.55), (0.2, 0.6), (0.1, 0.8), (0.0, reach + 0.1), (-0.1, 0.8)
    )
    core = smooth_outline((-0.1, 0.6), (0.1, 0.6), (0.0, reach - 0.02))
    canvas.polygon(flame, (255, 140, 30), "flame")
    canvas.polygon(core, (255, 235, 120), "flame")
    for side in BOTH_SIDES:
        fin = [(side * 0.25, 0.15), (side * 0.66, 0.55), (side * 0.6, 0.82), (side * 0.22, 0.58)]
        canvas.polygon(fin, colors.second, "wing")

    body = smooth_outline(
        (-0.26, 0.62), (-0.34, 0.1), (-0.26, -0.45), (0.0, -1.0), (0.0, -1.0),
        (0.26, -0.45), (0.34, 0.1), (0.26, 0.62),
    )  # fmt: skip
    canvas.polygon(body, colors.main)
    if dice.chance(0.7):
        band = [(-0.33, 0.15), (0.33, 0.15), (0.3, 0.6), (-0.3, 0.6)]
        canvas.pattern(dice, band, dice.choice(PATTERNS[:2]), colors.second, 3 + dice.below(2))

    nose = smooth_outline((-0.2, -0.6), (0.0, -1.0), (0.0, -1.0), (0.2, -0.6))
    canvas.polygon(nose, colors.second, "roof")
    canvas.ellipse(0.0, -0.22, 0.19, 0.19, colors.dark, "window")
    canvas.ellipse(0.0, -0.22, 0.135, 0.135, colors.light, "window")
    canvas.rectangle(-0.06, 0.2, 0.06, 0.75, shade(colors.second, 0.7), "wing")


@scene_object(label=8)
def mushroom(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A mushroom with a spotted or striped cap."""
    foot = dice.uniform(0.2, 0.32)
    stem = smooth_outline(
        (-foot, -0.05), (-foot * 0.9, 0.5), (-foot * 1.35, 0.9),
        (foot * 1.35, 0.9), (foot * 0.9, 0.5), (foot, -0.05),
    )  # fmt: skip
    canvas.polygon(stem, colors.light, "leg")
    if dice.chance(0.5):
        canvas.ellipse(0.0, 0.22, foot * 1.3, 0.09, shade(colors.light, 0.8), "leg")

    wide, high = dice.uniform(0.75, 1.0), dice.uniform(0.65, 0.95)
    gills = shade(colors.light, 0.65)
    canvas.ellipse(0.0, 0.0, wide * 0.95, 0.17, gills)
    dome = arc(0.0, 0.0, wide, high, math.pi, 2 * math.pi)
    rim = arc(0.0, 0.0, wide, 0.1, 0.0, math.pi)
    cap = np.concatenate([dome, rim])
    canvas.polygon(cap, colors.main, "roof")
    if dice.chance(0.25):
        canvas.pattern(dice, cap, "rows", colors.second, 4)
        return
    for _ in range(5 + dice.below(5)):
        x = dice.uniform(-0.75, 0.75)
        y = -dice.uniform(0.08, 0.82) * math.sqrt(1 - x * x)
        radius_x, radius_y = dice.uniform(0.07, 0.14), dice.uniform(0.06, 0.12)
        canvas.ellipse(x * wide, y * high, radius_x, radius_y, colors.second, "spot")


@scene_object(label=9)
def penguin(canvas: Canvas, dice: Dice, colors: Palette) -> None:
    """A penguin, seen from the front, sometimes with a scarf."""
    for side in BOTH_SIDES:
        canvas.ellipse(side * 0.22, 0.9, 0.2, 0.09, colors.second, "leg")
    lift = dice.uniform(0.1, 0.6)
    for side in BOTH_SIDES:
        x = side * (0.5 + 0.15 * lift)
        flipper = shade(colors.main, 0.75)
        canvas.ellipse(x, 0.15, 0.13, 0.46, flipper, "wing", rotation=-side * lift)

    body = smooth_outline(
        (-0.42, 0.86), (-0.55, 0.35), (-0.36, -0.2), (0.0, -0.35),
        (0.36, -0.2), (0.55, 0.35), (0.42, 0.86), (0.0, 0.95),
    )  # fmt: skip
    canvas.polygon(body, colors.main)
    canvas.ellipse(0.0, 0.4, 0.36, 0.48, colors.light)
    if dice.chance(0.4):
        belly = ellipse_outline(0.0, 0.4, 0.3, 0.4)
        canvas.pattern(dice, belly, dice.choice(PATTERNS), colors.second, 5)

    canvas.ellipse(0.0, -0.55, 0.36, 0.37, colors.main)
    for side in BOTH_SIDES:
        canvas.ellipse(side * 0.14, -0.52, 0.17, 0.2, colors.light)
    for side in BOTH_SIDES:
        canvas.ellipse(side * 0.13, -0.58, 0.06, 0.07, (12, 12, 14), "eye")
    canvas.polygon([(-0.13, -0.44), (0.13, -0.44), (0.0, -0.24)], colors.second, "beak")
    if dice.chance(0.4):
        canvas.rectangle(-0.34, -0.26, 0.34, -0.14, colors.second)
        canvas.rectangle(0.12, -0.18, 0.26, 0.12, shade(colors.second, 0.85))
