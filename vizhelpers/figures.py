"""Figures outside pyplot, and PNG bytes that are the same every time."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from vizhelpers._utils.arrays import pixel_array
from vizhelpers._utils.clear_errors import clear_errors

DPI = 100


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
    file = io.BytesIO()
    if isinstance(picture, Axes):
        figure = picture.get_figure(root=True)
        if figure is None:
            raise ValueError("these axes were removed from their figure.")
        picture = figure
    if isinstance(picture, Figure):
        if picture.get_layout_engine() is not None:
            for _ in range(2):  # with pictures in it, a layout settles in its third round
                picture.draw_without_rendering()
        picture.savefig(file, format="png", dpi=DPI, pil_kwargs={"compress_level": 0})
        picture = _few_colours(Image.open(file).convert("RGB"))
    elif not isinstance(picture, Image.Image):
        picture = Image.fromarray(pixel_array(picture))
    file = io.BytesIO()
    picture.save(file, format="png")
    return file.getvalue()


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
