"""Textures over a whole picture: noise, clouds, gradients and waves."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from .canvas import FloatArray
from .rng import Color, Dice

_OCTAVE_WEIGHTS = (1.0, 0.55, 0.3025, 0.166375, 0.09150625)
_WAVE_STEPS = 4096
# A table of rounded values, because sin() of an array differs between CPUs in the last bit.
_WAVE = (
    np.rint(np.sin(np.arange(_WAVE_STEPS) * (2 * np.pi / _WAVE_STEPS)) * 32768) / 32768
).astype(np.float32)


@lru_cache(maxsize=4)
def coordinates(size: int) -> tuple[FloatArray, FloatArray]:
    """X `[1, S]` and y `[S, 1]`, from 0 to just below 1 (read-only: they are shared)."""
    steps = (np.arange(size) / size).astype(np.float32)
    steps.flags.writeable = False
    return steps[None, :], steps[:, None]


def noise(dice: Dice, size: int, columns: int, rows: int | None = None) -> FloatArray:
    """Smooth noise in [0, 1], `[S, S]`, with about so many bumps across and down."""
    rows = columns if rows is None else rows
    grid = Image.fromarray(dice.bytes(rows + 2, columns + 2))
    box = (0.5, 0.5, columns + 1.5, rows + 1.5)
    smooth = grid.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(smooth).astype(np.float32) / np.float32(255)


def clouds(dice: Dice, size: int, bumps: int = 3, octaves: int = 4) -> FloatArray:
    """Noise of several sizes added up, in [0, 1], `[S, S]`."""
    weights = _OCTAVE_WEIGHTS[:octaves]
    total = np.zeros((size, size), dtype=np.float32)
    for octave, weight in enumerate(weights):
        total += noise(dice, size, bumps << octave) * np.float32(weight)
    return total / np.float32(sum(weights))


def wave(turns: FloatArray) -> FloatArray:
    """Sine of an angle given in full turns."""
    return _WAVE[np.rint(turns * np.float32(_WAVE_STEPS)).astype(np.int32) & (_WAVE_STEPS - 1)]


def gradient(size: int, stops: Sequence[tuple[float, Color]]) -> FloatArray:
    """Colours from top to bottom, `[S, S, 3]`; stops are (height from 0 to 1, colour)."""
    heights = [height for height, _ in stops]
    y = np.linspace(0, 1, size)
    channels = [np.interp(y, heights, [color[i] for _, color in stops]) for i in range(3)]
    # Rounded to 1/256, because a fused multiply-add inside interp may differ in the last bit.
    column = (np.rint(np.stack(channels, axis=1) * 256) / 256).astype(np.float32)
    return np.repeat(column[:, None, :], size, axis=1)


def blend(picture: FloatArray, color: Color, share: FloatArray) -> FloatArray:
    """The picture with `share` `[S, S]` of a colour mixed in."""
    return picture + (np.asarray(color, dtype=np.float32) - picture) * share[..., None]


def add_gray(picture: FloatArray, amount: FloatArray) -> FloatArray:
    """The picture with the same `amount` `[S, S]` added to red, green and blue."""
    return picture + amount[..., None]


def rgb(color: Color) -> FloatArray:
    """A colour as float32 `[3]`, 0..255."""
    return np.array(color, dtype=np.float32)
