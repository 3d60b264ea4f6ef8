"""The picture of one unit, pixel by pixel: its map over the image, what it sees enlarged."""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from vizhelpers.features import unit_plot
from vizhelpers.features.receptive_fields import receptive_field
from vizhelpers.features.unit_plot import show_unit

Pixels = NDArray[np.int64]
IMAGE = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) / 2
MAPS = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(1))
MAPS[5, 2, 6] = 9.0  # the largest of all
MAPS[7] = 0
FIELD = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 16, 8, 4)), "0", (1, 3, 64, 64))


def pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB")).astype(int)


def colour(value: float, low: float, high: float, name: str = "viridis") -> Pixels:
    return 255 * np.array(colormaps[name]((value - low) / (high - low))[:3])


def parts(picture: Image.Image) -> tuple[Pixels, Pixels]:
    """The two panels of a square image's picture: map and image, without the white around."""
    sheet, top, side = pixels(picture), unit_plot.TOP, unit_plot.PANEL
    right = unit_plot.EDGE + side + unit_plot.GAP
    rows = slice(top, top + side)
    return sheet[rows, unit_plot.EDGE : unit_plot.EDGE + side], sheet[rows, right : right + side]


def test_the_map_covers_the_image_and_every_value_is_a_block() -> None:
    black = torch.zeros(3, 64, 64)
    left, right = parts(show_unit(black, MAPS, 3, position=(0, 0)))
    for row, column in ((1, 0), (4, 7), (7, 2)):
        block = left[32 * row + 5 : 32 * row + 27, 32 * column + 5 : 32 * column + 27]
        expected = 0.7 * colour(float(MAPS[3, row, column]), 0, 9)  # the scale of all maps
        assert np.abs(block - expected).max() <= 2
    assert (right == 0).all()


def test_negative_values_have_zero_in_the_middle() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0], maps[0, 3, 3] = -4, 1
    left, _ = parts(show_unit(torch.zeros(3, 64, 64), maps, 0))
    assert np.abs(left[150, 30] - 0.7 * 255).max() <= 2  # zero is white
    assert np.abs(left[30, 30] - 0.7 * colour(-4, -4, 4, "bwr")).max() <= 2


def frame_of(panel: Pixels) -> tuple[int, int, int, int]:
    """The smallest box around what differs from black: top, left, bottom, right."""
    rows, columns = np.nonzero(panel.sum(axis=2))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("position", [None, (4, 1), (7, 3)])
def test_the_frame_surrounds_the_receptive_field(position: tuple[int, int] | None) -> None:
    _, right = parts(show_unit(torch.zeros(3, 64, 64), MAPS, 5, position=position, field=FIELD))
    box = FIELD.box(*(position or (2, 6)))
    edges = np.array(box) * unit_plot.PANEL / 64
    white = edges + np.array([-2, -2, 2, 2])  # two white pixels around it
    assert (frame_of(right) == white.clip(0, unit_plot.PANEL)).all()


def test_the_strongest_unit_is_marked_unless_another_is_chosen() -> None:
    black = torch.zeros(3, 64, 64)
    for position, (row, column) in ((None, (2, 6)), ((4, 1), (4, 1))):
        left, _ = parts(show_unit(black, MAPS, 5, position=position))
        white = (left == 255).all(axis=2)
        rows, columns = np.nonzero(white)
        assert (rows.min(), columns.min()) == (32 * row - 2, 32 * column - 2)
        assert (rows.max(), columns.max()) == (32 * row + 33, 32 * column + 33)


def test_what_the_unit_sees_is_enlarged() -> None:
    image = torch.zeros(3, 64, 64)
    top, left, bottom, right = FIELD.box(3, 3)
    image[0, top:bottom, left:right] = 1  # red, and nothing else is
    sheet = pixels(show_unit(image, MAPS, 3, position=(3, 3), field=FIELD))
    corner = unit_plot.EDGE + unit_plot.PANEL + unit_plot.GAP
    cut = sheet[unit_plot.TOP + unit_plot.PANEL + 12 :][
        : unit_plot.CUT, corner : corner + unit_plot.CUT
    ]
    assert (cut == (255, 0, 0)).all()


def test_the_image_itself_is_on_the_right() -> None:
    image = (255 * IMAGE).round() / 255
    _, right = parts(show_unit(image, MAPS, 7))
    expected = (255 * image).round().int().permute(1, 2, 0).numpy()
    assert (right == expected.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_nan_is_grey_and_no_strongest() -> None:
    maps = MAPS.clone()
    maps[0, 0, 0] = float("nan")
    left, _ = parts(show_unit(torch.zeros(3, 64, 64), maps, 0, position=(4, 4)))
    assert np.abs(left[10, 10] - 0.7 * 0.75 * 255).max() <= 2


@pytest.mark.parametrize("shape", [(48, 64), (64, 20), (300, 400)])
def test_images_of_any_shape(shape: tuple[int, int]) -> None:
    picture = show_unit(torch.rand(3, *shape), MAPS, 3)
    zoom = unit_plot.PANEL / max(shape)
    around = unit_plot.TOP + 12 + unit_plot.CUT + unit_plot.EDGE
    assert picture.height == round(shape[0] * zoom) + around
    assert picture.width == 2 * round(shape[1] * zoom) + 2 * unit_plot.EDGE + unit_plot.GAP


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channel": 12}, "channels 0 to 11, not 12"),
        ({"channel": -1}, "channels 0 to 11, not -1"),
        ({"position": (8, 0)}, r"8 × 8 values has no unit \(8, 0\)"),
        ({"position": (0, -1)}, "has no unit"),
        ({"maps": MAPS[None]}, r"maps\[0\]"),
        ({"maps": torch.zeros(0, 8, 8)}, "must have the shape"),
        ({"image": IMAGE * 5}, "denormalize"),
        ({"image": IMAGE[None]}, r"image\[0\]"),
        ({"maps": MAPS[:, :4], "field": FIELD}, "field of '0'"),
        ({"image": IMAGE[:, :32], "field": FIELD}, "here are maps"),
    ],
)
def test_what_does_not_fit_is_explained(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show_unit(**{"image": IMAGE, "maps": MAPS, "channel": 0} | changed)
