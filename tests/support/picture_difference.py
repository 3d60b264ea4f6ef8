"""Tells whether two pictures show the same. Thin differences of antialiasing do not count.

Text inside a picture is mostly too small to be noticed: lessons print the numbers that matter.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# How many grey levels (of 255) a pixel may lie outside the range of the other picture's 3 × 3
# neighbourhood: as it is, and after a light blur. It must exceed both to count as different.
RAW_LEVELS = 24
BLURRED_LEVELS = 32
# The share of such pixels that is allowed, and the number of solid 3 × 3 blocks of them:
# antialiasing differs along thin lines, a missing marker is solid.
SHARE = 0.002
SOLID_BLOCKS = 2
# bbox_inches="tight" moves the edge by a pixel or two between versions of a font library.
SIZE_SLACK = 2

Pixels = NDArray[np.int16]


@dataclass(frozen=True)
class Difference:
    """What `compare` found.

    Attributes:
        same: Whether the pictures show the same.
        text: The difference in words and numbers.
        bad: True where pixels differ, `[H, W]`; None where the sizes cannot be compared.
    """

    same: bool
    text: str
    bad: NDArray[np.bool_] | None = None


def compare(stored: bytes, computed: bytes) -> Difference:
    """Compare two encoded pictures (PNG or JPEG)."""
    if stored == computed:  # on one machine always so, and it costs nothing
        return Difference(True, "identical")
    a, b = _pixels(stored), _pixels(computed)
    if max(abs(m - n) for m, n in zip(a.shape, b.shape, strict=True)) > SIZE_SLACK:
        sizes = (f"{p.shape[1]} × {p.shape[0]}" for p in (a, b))
        return Difference(False, "size {} stored, {} computed".format(*sizes))
    height, width = np.minimum(a.shape, b.shape)[:2]
    a, b = a[:height, :width], b[:height, :width]
    bad = (_distance(a, b) > RAW_LEVELS) & (_distance(_blur(a), _blur(b)) > BLURRED_LEVELS)
    share, blocks = float(bad.mean()), int(np.logical_and.reduce(_shifted(bad)).sum())
    text = (
        f"{share:.2%} of the pixels differ (limit {SHARE:.2%}), "
        f"{blocks} solid blocks of them (limit {SOLID_BLOCKS})"
    )
    return Difference(share <= SHARE and blocks <= SOLID_BLOCKS, text, bad)


def _pixels(encoded: bytes) -> Pixels:
    """Decode to `[H, W, 3]`, transparent parts on white as Jupyter shows them."""
    picture = Image.open(io.BytesIO(encoded)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB")).astype(np.int16)


def _shifted(a: NDArray) -> list[NDArray]:
    """Return the nine views of `a` that start at each offset of a 3 × 3 neighbourhood."""
    height, width = a.shape[0] - 2, a.shape[1] - 2
    return [a[y : y + height, x : x + width] for y in range(3) for x in range(3)]


def _distance(a: Pixels, b: Pixels) -> Pixels:
    """Measure per pixel how far each picture lies outside the other's neighbourhood, `[H, W]`."""
    return np.maximum(_outside(a, b), _outside(b, a))


def _outside(a: Pixels, b: Pixels) -> Pixels:
    around = _shifted(np.pad(b, ((1, 1), (1, 1), (0, 0)), mode="edge"))
    low, high = np.minimum.reduce(around), np.maximum.reduce(around)
    return np.maximum(np.maximum(low - a, a - high), 0).max(axis=2)


def _blur(a: Pixels) -> Pixels:
    """Blur with the weights 1 2 1 in both directions."""
    p = np.pad(a, ((1, 1), (0, 0), (0, 0)), mode="edge")
    a = (p[:-2] + 2 * p[1:-1] + p[2:]) // 4
    p = np.pad(a, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) // 4
