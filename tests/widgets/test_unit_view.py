"""The linked view without a browser: widgets call back at once when their value is set."""

import io
import re
from html import unescape

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import nn

from vizhelpers.features import unit_plot
from vizhelpers.features.receptive_fields import receptive_field
from vizhelpers.features.unit_plot import show_unit
from vizhelpers.figures import to_png
from vizhelpers.widgets import unit_view as module
from vizhelpers.widgets.unit_view import linked_view

IMAGE = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) / 2
MAPS = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(1))
MAPS[5, 2, 6] = 9.0  # the largest of all
MAPS[7] = 0
FIELD = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 16, 8, 4)), "0", (1, 3, 64, 64))


def pixels(png):
    picture = png if isinstance(png, Image.Image) else Image.open(io.BytesIO(png))
    return np.asarray(picture.convert("RGB")).astype(int)


def colour(value, low, high, name="viridis"):
    return 255 * np.array(colormaps[name]((value - low) / (high - low))[:3])


def text(view):
    return unescape(re.sub(r"<[^>]*>", "", view.status.value))


@pytest.fixture
def view():
    return linked_view(IMAGE, MAPS, field=FIELD, title="conv1")


# -- the picture of one unit ------------------------------------------------------------------


def parts(picture):
    """The two panels of a square image's picture: map and image, without the white around."""
    sheet, top, side = pixels(picture), unit_plot.TOP, unit_plot.PANEL
    right = unit_plot.EDGE + side + unit_plot.GAP
    rows = slice(top, top + side)
    return sheet[rows, unit_plot.EDGE : unit_plot.EDGE + side], sheet[rows, right : right + side]


def test_the_map_covers_the_image_and_every_value_is_a_block():
    black = torch.zeros(3, 64, 64)
    left, right = parts(show_unit(black, MAPS, 3, position=(0, 0)))
    for row, column in ((1, 0), (4, 7), (7, 2)):
        block = left[32 * row + 5 : 32 * row + 27, 32 * column + 5 : 32 * column + 27]
        expected = 0.7 * colour(float(MAPS[3, row, column]), 0, 9)  # the scale of all maps
        assert np.abs(block - expected).max() <= 2
    assert (right == 0).all()


def test_negative_values_have_zero_in_the_middle():
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0], maps[0, 3, 3] = -4, 1
    left, _ = parts(show_unit(torch.zeros(3, 64, 64), maps, 0))
    assert np.abs(left[150, 30] - 0.7 * 255).max() <= 2  # zero is white
    assert np.abs(left[30, 30] - 0.7 * colour(-4, -4, 4, "bwr")).max() <= 2


def frame_of(panel):
    """The smallest box around what differs from black: top, left, bottom, right."""
    rows, columns = np.nonzero(panel.sum(axis=2))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("position", [None, (4, 1), (7, 3)])
def test_the_frame_surrounds_the_receptive_field(position):
    _, right = parts(show_unit(torch.zeros(3, 64, 64), MAPS, 5, position=position, field=FIELD))
    box = FIELD.box(*(position or (2, 6)))
    edges = np.array(box) * unit_plot.PANEL / 64
    white = edges + np.array([-2, -2, 2, 2])  # two white pixels around it
    assert (frame_of(right) == white.clip(0, unit_plot.PANEL)).all()


def test_the_strongest_unit_is_marked_unless_another_is_chosen():
    black = torch.zeros(3, 64, 64)
    for position, (row, column) in ((None, (2, 6)), ((4, 1), (4, 1))):
        left, _ = parts(show_unit(black, MAPS, 5, position=position))
        white = (left == 255).all(axis=2)
        rows, columns = np.nonzero(white)
        assert (rows.min(), columns.min()) == (32 * row - 2, 32 * column - 2)
        assert (rows.max(), columns.max()) == (32 * row + 33, 32 * column + 33)


def test_what_the_unit_sees_is_enlarged():
    image = torch.zeros(3, 64, 64)
    top, left, bottom, right = FIELD.box(3, 3)
    image[0, top:bottom, left:right] = 1  # red, and nothing else is
    sheet = pixels(show_unit(image, MAPS, 3, position=(3, 3), field=FIELD))
    corner = unit_plot.EDGE + unit_plot.PANEL + unit_plot.GAP
    cut = sheet[unit_plot.TOP + unit_plot.PANEL + 12 :][
        : unit_plot.CUT, corner : corner + unit_plot.CUT
    ]
    assert (cut == (255, 0, 0)).all()


def test_the_image_itself_is_on_the_right():
    image = (255 * IMAGE).round() / 255
    _, right = parts(show_unit(image, MAPS, 7))
    expected = (255 * image).round().int().permute(1, 2, 0).numpy()
    assert (right == expected.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_nan_is_grey_and_no_strongest():
    maps = MAPS.clone()
    maps[0, 0, 0] = float("nan")
    left, _ = parts(show_unit(torch.zeros(3, 64, 64), maps, 0, position=(4, 4)))
    assert np.abs(left[10, 10] - 0.7 * 0.75 * 255).max() <= 2
    assert linked_view(IMAGE, maps).channel == 5


@pytest.mark.parametrize("shape", [(48, 64), (64, 20), (300, 400)])
def test_images_of_any_shape(shape):
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
def test_what_does_not_fit_is_explained(changed, message):
    with pytest.raises(ValueError, match=message):
        show_unit(**{"image": IMAGE, "maps": MAPS, "channel": 0} | changed)


def test_a_picture_of_words_is_refused():
    with pytest.raises(TypeError, match="real numbers"):
        show_unit("image", MAPS, 0)


# -- the mosaic -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48, 31, 31), (7, 5, 9), (1, 4, 4), (100, 62, 62), (3, 1, 1)])
def test_every_tile_lies_where_the_grid_says(shape):
    count = shape[0]
    values = torch.arange(1, count + 1).float()
    view = linked_view(IMAGE, values[:, None, None].expand(shape).clone(), title="conv1")
    left, top, across, down, width, height, columns, tiles = view.mosaic.grid
    sheet = pixels(view.mosaic.png)
    assert tiles == count
    for index in range(count):
        row, column = divmod(index, columns)
        y, x = round(top + row * down), round(left + column * across)
        tile = sheet[y : y + height, x : x + width]
        assert tile.shape[:2] == (height, width)
        assert np.abs(tile - colour(index + 1, 0, count)).max() <= 5  # what to_png rounds
    assert sheet.shape[1] <= 36 + module.MOSAIC + 200


def test_only_the_first_tiles_are_shown_and_the_box_reaches_the_others():
    view = linked_view(IMAGE, MAPS, max_tiles=6)
    assert view.mosaic.grid[-1] == 6
    view.number.value = 11
    assert view.channel == view.mosaic.chosen == 11


# -- the widget -------------------------------------------------------------------------------


def assert_shows(view, channel, position=None, *, maps=MAPS, field=FIELD, title="conv1"):
    expected = show_unit(IMAGE, maps, channel, position=position, field=field, title=title)
    assert view.last_error is None
    assert view.picture == to_png(expected)
    assert view.channel == view.number.value == view.mosaic.chosen == channel
    assert f'data-unit="{channel}:' in view.status.value
    if view.position is not None:
        row, column = view.position
        assert view.unit.chosen == row * maps.shape[2] + column


def test_the_largest_value_is_shown_first(view):
    assert_shows(view, 5)
    assert view.position == (2, 6)
    assert text(view) == (
        "Channel 5 of 12: 9 at row 2, column 6 (its strongest), which sees pixel rows 12–27, "
        "columns 44–59; 0 % of the map is zero."
    )
    assert FIELD.box(2, 6) == (12, 44, 28, 60)


@pytest.mark.parametrize("way", ["mosaic", "number", "python"])
def test_choosing_a_channel(view, way):
    if way == "mosaic":
        view.mosaic.chosen = 3  # what the browser sets
    elif way == "number":
        view.number.value = 3
    else:
        view.choose(3)
    row, column = divmod(int(MAPS[3].argmax()), 8)
    assert_shows(view, 3)
    assert view.position == (row, column)
    assert view.mosaic.kept == (way == "number")


def test_choosing_a_unit_and_the_way_home(view):
    view.unit.kept = True
    view.unit.chosen = 4 * 8 + 1
    assert_shows(view, 5, (4, 1))
    assert "its strongest" not in text(view)
    assert view.unit.home == 2 * 8 + 6
    assert view.unit.kept
    view.mosaic.chosen = 3  # another map begins with its strongest unit
    assert_shows(view, 3)
    assert not view.unit.kept
    view.choose(3, (0, 7))
    assert_shows(view, 3, (0, 7))


def test_every_choice_is_drawn_once(view, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        module,
        "show_unit",
        lambda *given, **more: drawn.append(given[2]) or show_unit(*given, **more),
    )
    view.mosaic.chosen = 3
    view.number.value = 4
    view.choose(8)
    view.unit.chosen = 9
    assert drawn == [3, 4, 8, 8]


def test_units_lie_where_the_grid_says(view):
    view.choose(5)
    left, top, across, down, width, height, columns, count = view.unit.grid
    assert (columns, count) == (8, 64)
    assert (across, down) == (width, height) == (32, 32)
    black = linked_view(torch.zeros(3, 64, 64), MAPS)
    sheet = pixels(black.picture)
    y, x = int(top + 2 * down), int(left + 6 * across)
    inside = sheet[y + 4 : y + 28, x + 4 : x + 28]
    assert np.abs(inside - 0.7 * colour(9, 0, 9)).max() <= 5
    assert (sheet[y - 1, x : x + 32] == 255).all()


def test_a_dead_map_says_so(view):
    view.choose(7)
    assert view.position is None
    assert view.unit.chosen == view.unit.home == -1
    assert text(view) == "Channel 7 of 12: zero everywhere, so no unit is the strongest."
    view.unit.chosen = 9  # its units see something all the same
    assert_shows(view, 7, (1, 1))
    maps = torch.full((1, 2, 2), float("nan"))
    assert "no finite value" in text(linked_view(IMAGE, maps))


def test_without_a_field_only_the_map_is_explained():
    view = linked_view(IMAGE, MAPS)
    assert_shows(view, 5, field=None, title="")
    assert "sees" not in text(view)


def test_a_wrong_number_is_said_and_the_picture_stays(view):
    before = view.picture
    view.number.value = 12
    assert "channels 0 to 11, not 12" in text(view)
    assert "still that of channel 5" in text(view)
    assert isinstance(view.last_error, ValueError)
    assert view.picture == before
    view.number.value = 2
    assert_shows(view, 2)


def test_python_is_told_at_once(view):
    with pytest.raises(ValueError, match="channels 0 to 11"):
        view.choose(12)
    with pytest.raises(ValueError, match="has no unit"):
        view.choose(1, (9, 9))
    with pytest.raises(ValueError, match="must have the shape"):
        linked_view(IMAGE, MAPS[None])


# -- layers -----------------------------------------------------------------------------------


def layered(name):
    if name == "broken":
        raise RuntimeError("no <maps> here")
    return (MAPS, FIELD) if name == "conv1" else MAPS[:4, :3, :5] - 0.5


def test_layers_to_choose_from():
    view = linked_view(IMAGE, layered, layers=["conv1", "conv2"])
    assert_shows(view, 5)
    view.layers.value = "conv2"
    maps = MAPS[:4, :3, :5] - 0.5
    channel = int(maps.amax(dim=(1, 2)).argmax())
    assert_shows(view, channel, maps=maps, field=None, title="conv2")
    assert view.mosaic.grid[-1] == 4
    assert 'data-layer="conv2"' in view.status.value
    assert repr(view) == f"<LinkedView: channel {channel} of conv2 shown>"


def test_an_error_of_a_layer_is_said_and_escaped():
    view = linked_view(IMAGE, layered, layers=["conv1", "broken"])
    before = view.picture, view.mosaic.png
    view.layers.value = "broken"
    assert isinstance(view.last_error, RuntimeError)
    assert "broken could not be drawn. RuntimeError: no <maps> here" in text(view)
    assert "<maps>" not in view.status.value
    assert (view.picture, view.mosaic.png) == before
    assert view.layer == "conv1"
    view.mosaic.chosen = 2
    assert_shows(view, 2)


def test_layers_need_a_function():
    with pytest.raises(TypeError, match="maps must be a function"):
        linked_view(IMAGE, MAPS, layers=["conv1"])
    with pytest.raises(TypeError, match="maps must be a function"):
        linked_view(IMAGE, layered)


# -- in a page --------------------------------------------------------------------------------


def test_text_for_a_page_without_a_kernel(view):
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"] == repr(view) == "<LinkedView: channel 5 of conv1 shown>"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_what_is_not_seen_is_said(view):
    assert view.mosaic.alt == "12 maps of conv1"
    assert view.unit.alt == text(view)
    assert (view.mosaic.label, view.unit.label) == ("Channel", "Unit of the map")


def test_nothing_is_left_behind(view):
    image, maps = IMAGE.clone(), MAPS.clone()
    view.choose(1)
    view.choose(2, (3, 3))
    assert torch.equal(image, IMAGE)
    assert torch.equal(maps, MAPS)
    assert plt.get_fignums() == []
