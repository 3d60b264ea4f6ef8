"""Contact sheet: every class on every background, with labels, on one picture."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vizhelpers._utils.paths import written_beside

from .compose import BACKGROUNDS, CLASSES, compose_scene

_PAPER, _INK = (255, 255, 255), (30, 30, 30)
_HEADER, _GAP = 22, 3


def contact_sheet(
    *, seed: int = 0, size: int = 128, backgrounds: Sequence[str] = BACKGROUNDS
) -> Image.Image:
    """Draw every class (columns) on every background (rows).

    Down a column, one object stays the same on all backgrounds.

    Args:
        seed: integer from 0.
        size: side of each picture in pixels.
        backgrounds: which rows; by default all ten.

    Raises:
        ValueError: if a background is unknown.
    """
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
            sheet.paste(Image.fromarray(scene.image), (left + column * step, top))
    return sheet


def write_contact_sheet(path: str | Path, *, seed: int = 0) -> Path:
    """Write the contact sheet as an image file (the ending decides the format)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as draft:
        contact_sheet(seed=seed).save(draft)
    return path
