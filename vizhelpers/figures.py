"""Figures outside pyplot, one look for all of them, and bytes that are the same every time."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from vizhelpers._utils.arrays import pixel_array
from vizhelpers._utils.clear_errors import clear_errors

DPI = 100
PACKED = 4  # of 9: a third of the usual time for a photo, and hardly more bytes
QUALITY, WORTH_IT = 70, 0.8  # of a JPEG, and the share of a PNG's bytes that it may have
PAGE, HIGH = 1080, 640  # screen pixels that JupyterLab's page has, and that one look takes in
TINY, SMALL, NORMAL = 9, 10, 12  # font sizes in points: inside a tile, notes, titles
LINE = 18  # screen pixels that a line of small text takes
SIGNED_MAP, PLAIN_MAP, HEAT_MAP = "bwr", "viridis", "inferno"
# Series are told apart by both: colours of Okabe and Ito, which the colour-blind can tell, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")
MUTED, FAINT = "0.35", "0.85"  # greys of notes and of lines that only guide the eye


class Picture(Figure):
    """A figure outside pyplot, which a notebook shows once where a cell ends with it."""

    def _ipython_display_(self) -> None:
        from IPython.display import display

        titles = [ax.get_title(side) for ax in self.axes for side in ("left", "center")]
        text = f"<Picture {', '.join(title for title in titles if title)}>"
        display({"image/png": to_png(self), "text/plain": text}, raw=True)


class PictureAxes(Axes):
    """Axes that show their figure, not their address, where a cell ends with them."""

    def _ipython_display_(self) -> None:
        figure = self.figure
        if isinstance(figure, Picture):
            figure._ipython_display_()


@clear_errors
def new_figure(width: float = 6.4, height: float = 4.0) -> Picture:
    """Make an empty figure, ``width`` × ``height`` inches, for a drawing of one's own.

    Unlike ``plt.figure()`` it appears only where a cell ends with it and never piles up:
    ``figure = new_figure(); left, right = figure.subplots(1, 2); …; figure``.

    Example:
        >>> figure = new_figure(8, 3)
        >>> left, right = figure.subplots(1, 2)
        >>> figure  # as the last line of a cell, it is shown
        <Picture size 800x300 with 2 Axes>
    """
    return Picture(figsize=(width, height), dpi=DPI, layout="constrained")


@clear_errors
def to_png(picture: Figure | Axes | Image.Image | ArrayLike | Tensor) -> bytes:
    """Turn any picture into the bytes of a PNG file, the same ones every time.

    Args:
        picture: A figure, an axes (its whole figure), a Pillow image, or pixels: [3, H, W] as a
            tensor, [H, W, 3] as an array, [H, W] for grey; uint8, or floats in [0, 1].

    Raises:
        TypeError: it is none of these.
        ValueError: pixels of another shape or range; `show_mosaic` draws any numbers.
    """
    if isinstance(picture, Axes):
        figure = picture.get_figure(root=True)
        if figure is None:
            raise ValueError("these axes were removed from their figure.")
        picture = figure
    if isinstance(picture, Figure):
        picture = _pixels_of(picture)
    elif not isinstance(picture, Image.Image):
        picture = Image.fromarray(pixel_array(picture))
    file = io.BytesIO()
    picture.save(file, format="png", compress_level=PACKED)
    return file.getvalue()


def compressed(png: bytes) -> tuple[str, bytes]:
    """Exchange a PNG for a JPEG where that is clearly smaller: photos and maps, not charts.

    Args:
        png: A whole PNG file. One that can be seen through, or has a palette, stays.

    Returns:
        ("image/png" or "image/jpeg", the bytes of the file).
    """
    picture = Image.open(io.BytesIO(png))
    seen_through = picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255)
    if picture.mode in ("RGB", "RGBA") and not seen_through:
        jpeg = io.BytesIO()
        # Progressive saves a tenth. For it, Pillow reserves a byte a pixel, which noise needs
        # nearly, and with colours at full resolution exceeds; black letters are sharp all the same.
        settings = {"quality": QUALITY, "subsampling": "4:2:0", "progressive": True}
        picture.convert("RGB").save(jpeg, "jpeg", **settings)
        if jpeg.tell() < WORTH_IT * len(png):
            return "image/jpeg", jpeg.getvalue()
    return "image/png", png


def number_text(value: float) -> str:
    """Three digits and a typographer's minus."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


@cache
def letters(points: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's letters for Pillow, which writes a hundred numbers in a few milliseconds."""
    return ImageFont.truetype(findfont("DejaVu Sans"), points * DPI / 72)


@cache
def numeral(number: int, *, dark: bool) -> tuple[Image.Image, Image.Image]:
    """A number in white edged with black, or the other way round, and the mask to paste it with.

    The mask is all or nothing: mixed with a map's colours, the edge would need a palette of its
    own for each of them.
    """
    words, font = str(number), letters(TINY)
    size = int(font.getlength(words)) + 4, TINY * 2
    face, mask = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(face).text((1, 0), words, 255, font)
    ImageDraw.Draw(mask).text((1, 0), words, 255, font, stroke_width=1)
    face = ImageOps.invert(face) if dark else face
    return face.convert("RGB"), mask.point([0] * 64 + [255] * 192)


def _pixels_of(figure: Figure) -> Image.Image:
    """The finished figure as an image, with a palette where 256 colours do."""
    if figure.get_layout_engine() is not None:
        for _ in range(2):  # with pictures in it, a layout settles in its third round
            figure.draw_without_rendering()
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=DPI)  # half the time of a PNG that is read again
    wide, count = figure.get_figwidth() * DPI, file.tell() // 4
    # Of what is nearly whole, Matplotlib takes the whole, some older releases one less.
    wide = next(size for size in (int(wide + 1e-8), int(wide)) if count % size == 0)
    image = Image.frombytes("RGBA", (wide, count // wide), file.getvalue())
    return _few_colours(image.convert("RGB"))


def _few_colours(image: Image.Image) -> Image.Image:
    """The image with a palette where 256 colours do, which makes its file three times smaller.

    Colours are rounded to multiples of 5 (of 255), which nobody sees; an image with more
    colours, such as a photo, is left as it is.
    """
    levels = (np.asarray(image).astype(np.int32) + 2) // 5  # 0 to 51
    codes = (levels[:, :, 0] * 52 + levels[:, :, 1]) * 52 + levels[:, :, 2]
    present = np.zeros(52**3, dtype=bool)
    present[codes] = True
    colours = np.flatnonzero(present)
    if len(colours) > 256:
        return image
    index = np.zeros(52**3, dtype=np.uint8)
    index[colours] = np.arange(len(colours))
    indexed = Image.fromarray(index[codes])
    palette = np.stack(np.unravel_index(colours, (52, 52, 52)), axis=1) * 5
    indexed.putpalette(palette.astype(np.uint8).tobytes())
    return indexed
