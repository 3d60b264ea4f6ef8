"""Contact sheet: every class on every background, with labels, on one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .canvas import ByteArray
from .compose import BACKGROUNDS, CLASSES, ComposedScene, compose_scene

Show = Literal["images", "outlines", "masks"]

_PAPER, _INK, _OUTLINE = (255, 255, 255), (30, 30, 30), (255, 255, 0)
_HEADER, _GAP = 22, 3


def contact_sheet(
    *,
    seed: int = 0,
    size: int = 128,
    show: Show = "images",
    backgrounds: Sequence[str] = BACKGROUNDS,
) -> Image.Image:
    """Draw every class (columns) on every background (rows).

    Down a column, one object stays the same on all backgrounds.

    Args:
        seed: integer from 0.
        size: side of each picture in pixels.
        show: "images", the images with "outlines" around the objects, or their "masks".
        backgrounds: which rows; by default all ten.

    Raises:
        ValueError: if `show` is none of the three, or a background is unknown.
    """
    if show not in ("images", "outlines", "masks"):
        raise ValueError(f'show must be "images", "outlines" or "masks", found {show!r}.')
    font = ImageFont.load_default(size=min(14, size // 5))  # a word as wide as its column at most
    left = 12 + max(int(font.getlength(name)) for name in backgrounds)
    step = size + _GAP
    sheet = Image.new(
        "RGB", (left + step * len(CLASSES), _HEADER + step * len(backgrounds)), _PAPER
    )
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(CLASSES):
        middle = (left + column * step + size / 2, _HEADER / 2)
        pen.text(middle, name, fill=_INK, font=font, anchor="mm")
    for row, background in enumerate(backgrounds):
        top = _HEADER + row * step
        pen.text((left - 6, top + size / 2), background, fill=_INK, font=font, anchor="rm")
        for column, name in enumerate(CLASSES):
            scene = compose_scene(name, background, seed=seed * 1000 + column, size=size)
            sheet.paste(Image.fromarray(_cell(scene, show)), (left + column * step, top))
    return sheet


def write_contact_sheet(path: str | Path, *, seed: int = 0, show: Show = "images") -> Path:
    """Write the contact sheet as an image file (the ending decides the format)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(seed=seed, show=show).save(path)
    return path


def _cell(scene: ComposedScene, show: Show) -> ByteArray:
    if show == "images":
        return scene.image
    if show == "masks":
        return np.repeat(scene.mask[..., None], 3, axis=2)
    image = scene.image.copy()
    image[_edge(scene.mask >= 128)] = _OUTLINE
    return image


def _edge(
    inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Pixels outside that touch the inside."""
    padded = np.pad(inside, 1)
    neighbours = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return neighbours & ~inside
