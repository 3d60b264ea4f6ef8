"""Seeded random numbers and colours, the same on every machine."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
Range = tuple[float, float]
Choice = TypeVar("Choice")

ANY: Range = (0.0, 1.0)


class Stream(IntEnum):
    """What a stream of random numbers decides.

    Each purpose has a stream of its own, so that another background leaves the object as it
    was, and another object leaves the background as it was.
    """

    BACKGROUND = 1
    CLUTTER = 2
    POSE = 3
    LOOK = 4
    CAMERA = 5
    HARD = 6
    PLAN = 7


class Dice:
    """Random draws that come out the same on every machine.

    Only `Generator.random` and `Generator.integers` of a PCG64 are used: their streams are
    simple, and no other distribution's algorithm can change under us.
    """

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(list(key)))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * float(self._generator.random())

    def below(self, count: int) -> int:
        """An integer from 0 to `count - 1`."""
        return int(self._generator.integers(count))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def choice(self, options: Sequence[Choice]) -> Choice:
        """One of the options."""
        return options[self.below(len(options))]

    def bytes(self, rows: int, columns: int) -> npt.NDArray[np.uint8]:
        """Values 0..255, uint8 `[rows, columns]`."""
        return self._generator.integers(0, 256, (rows, columns), dtype=np.uint8)

    def color(self, hue: Range = ANY, saturation: Range = ANY, value: Range = ANY) -> Color:
        """A colour whose hue, saturation and value lie in the given ranges."""
        return hsv(self.uniform(*hue), self.uniform(*saturation), self.uniform(*value))


class Palette(NamedTuple):
    """The four colours of an object. They are random: colour carries no label."""

    main: Color
    second: Color
    light: Color
    dark: Color

    @classmethod
    def draw(cls, dice: Dice) -> "Palette":
        """Two hues that differ, one light and one dark colour."""
        hue = dice.uniform()
        main = hsv(hue, dice.uniform(0.15, 0.9), dice.uniform(0.45, 1.0))
        second = dice.color((hue + 0.15, hue + 0.85), (0.2, 0.9), (0.4, 1.0))
        light = dice.color(saturation=(0.0, 0.25), value=(0.75, 1.0))
        dark = dice.color(saturation=(0.0, 0.5), value=(0.05, 0.3))
        return cls(main, second, light, dark)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """RGB (0..255) of a hue in turns (any real number) and saturation, value in [0, 1]."""
    sector = (hue % 1.0) * 6.0
    index = int(sector)
    fraction = sector - index
    low = value * (1 - saturation)
    falling = value * (1 - saturation * fraction)
    rising = value * (1 - saturation * (1 - fraction))
    red, green, blue = (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )[index % 6]
    return int(255 * red + 0.5), int(255 * green + 0.5), int(255 * blue + 0.5)


def shade(color: Color, factor: float) -> Color:
    """The colour made darker (`factor` < 1) or lighter (> 1)."""
    red, green, blue = (min(255, int(channel * factor + 0.5)) for channel in color)
    return red, green, blue


def mix(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first."""
    red, green, blue = (int(a + (b - a) * share + 0.5) for a, b in zip(first, second, strict=True))
    return red, green, blue
