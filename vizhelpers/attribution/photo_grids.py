"""The grid pointing game: several photos in one picture, so that the right place is known.

From Böhle, Fritz and Schiele, "Convolutional Dynamic Alignment Networks for Interpretable
Classifications" (CVPR 2021, arXiv:2104.00032): asked for the class of one photo, does a map stay
in its cell?
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.attribution.metrics import Array, check_shape, checked


class PhotoGrid(NamedTuple):
    """One picture made of several, numbered row by row.

    Attributes:
        image: float32 `[3, rows * H, cols * W]`, the picture.
        labels: int64 `[rows * cols]`, the class that each cell shows.
        cells: bool `[rows * cols, rows * H, cols * W]`, where each cell is.
    """

    image: Tensor
    labels: Tensor
    cells: Tensor


@clear_errors
def photo_grid(images: Tensor, labels: Tensor, *, rows: int = 2, cols: int = 2) -> PhotoGrid:
    """Put photos side by side into one picture, for `grid_pointing`.

    They keep their size: a convolutional network takes the larger picture, too, and sees each
    object as large as it saw it alone.

    Args:
        images: `[rows * cols, 3, H, W]`; the first fill the first row.
        labels: int64 `[rows * cols]`, the class of each.
        rows: How many photos stand one above the other.
        cols: How many stand side by side.

    Raises:
        TypeError: The images are neither a tensor nor an array.
        ValueError: Their number is not that of the cells.

    Example:
        >>> photos = load_photos("cat", "espresso", "motorcycle", "palace")
        >>> grid = photo_grid(photos.images, photos.labels)
        >>> grid.image.shape, grid.cells.shape
        (torch.Size([3, 448, 448]), torch.Size([4, 448, 448]))
        >>> knowing_nothing = torch.ones(4, 448, 448)
        >>> grid_pointing(knowing_nothing, grid.cells)
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    pictures = checked("images", images, 4, "[N, 3, H, W]")
    classes = torch.as_tensor(labels)
    count, channels, height, width = pictures.shape
    if rows < 1 or cols < 1 or rows * cols != count or classes.shape != (count,):
        raise ValueError(
            f"{rows} × {cols} cells need as many images and labels; got {count} images and labels "
            f"{list(classes.shape)}."
        )
    by_cell = pictures.reshape(rows, cols, channels, height, width)
    image = by_cell.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, cols * width)
    number = torch.arange(count).reshape(rows, cols)
    number = number.repeat_interleave(height, 0).repeat_interleave(width, 1)
    return PhotoGrid(image, classes, number == torch.arange(count)[:, None, None])


@clear_errors
def grid_pointing(maps: Array, cells: Array) -> Tensor:
    """Score maps by the grid pointing game: the share of each map's sum in its own cell.

    What is negative speaks against the class and is left out. A map that knows nothing scores 1
    over the number of cells by chance, so 0.25 in a grid of 2 × 2. Other than a peak, which is
    right or wrong, the share also falls where much of the map is elsewhere.

    Args:
        maps: `[N, H, W]`, the map of each asked class, of any scale.
        cells: bool `[N, H, W]`, the cell in which that class is: `PhotoGrid.cells`.

    Returns:
        float32 `[N]` from 0 to 1; NaN for a map that is nowhere above 0, so that it has no share.

    Raises:
        TypeError: One of the two is neither a tensor nor an array.
        ValueError: The shapes do not match, or values are not finite.
    """
    positive = checked("maps", maps, 3, "[N, H, W]").clamp(min=0)
    inside = checked("cells", cells, 3, "[N, H, W]")
    check_shape(positive, inside.shape)
    return (positive * inside).sum((1, 2)) / positive.sum((1, 2))
