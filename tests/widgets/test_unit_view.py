"""The linked view without a browser: widgets call back at once when their value is set."""

import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn

from vizhelpers.features.receptive_fields import ReceptiveField, receptive_field
from vizhelpers.features.unit_plot import show_unit
from vizhelpers.figures import to_png
from vizhelpers.widgets import unit_view as module
from vizhelpers.widgets.unit_view import LinkedView, linked_view

IMAGE = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) / 2
MAPS = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(1))
MAPS[5, 2, 6] = 9.0  # the largest of all
MAPS[7] = 0
FIELD = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 16, 8, 4)), "0", (1, 3, 64, 64))


@pytest.fixture
def view() -> LinkedView:
    return linked_view(IMAGE, MAPS, field=FIELD, title="conv1")


def assert_shows(
    view: LinkedView,
    channel: int,
    position: tuple[int, int] | None = None,
    *,
    maps: Tensor = MAPS,
    field: ReceptiveField | None = FIELD,
    title: str = "conv1",
) -> None:
    """Against `show_unit`, by default at the channel's strongest unit."""
    expected = show_unit(IMAGE, maps, channel, position=position, field=field, title=title)
    assert view.last_error is None
    assert view.picture == to_png(expected)
    assert view.channel == view.number.value == view.mosaic.chosen == channel
    assert view.shown == f"channel {channel} of {title}".removesuffix(" of ")
    if maps[channel].any():
        strongest = divmod(int(maps[channel].argmax()), maps.shape[2])
        row, column = view.position = position or strongest
        assert view.image.chosen == row * maps.shape[2] + column
        assert view.image.home == strongest[0] * maps.shape[2] + strongest[1]


# Shapes as they come, also with more rows than columns.
@pytest.mark.parametrize("shape", [(48, 31, 31), (7, 5, 9), (5, 9, 4), (100, 62, 62), (3, 1, 1)])
def test_every_tile_lies_where_the_grid_says(shape: tuple[int, int, int]) -> None:
    count = shape[0]
    values = torch.arange(1, count + 1).float()
    view = linked_view(IMAGE, values[:, None, None].expand(shape).clone(), title="conv1")
    left, top, across, down, width, height, columns, tiles = view.mosaic.grid
    sheet = np.asarray(Image.open(io.BytesIO(view.mosaic.png)).convert("RGB")).astype(int)
    assert tiles == count
    for index in range(count):
        row, column = divmod(index, columns)
        y, x = top + row * down, left + column * across
        tile = sheet[y : y + height, x : x + width]
        assert tile.shape[:2] == (height, width)
        below_its_number = tile[min(20, height // 2) :]
        expected = 255 * np.array(colormaps["viridis"]((index + 1) / count)[:3])
        assert np.abs(below_its_number - expected).max() <= 2
    assert (sheet[top + rows_of(count, columns) * down :] == 255).all(), "nothing below"


def rows_of(count: int, columns: int) -> int:
    return -(-count // columns)


def test_the_largest_value_is_shown_first(view: LinkedView) -> None:
    assert_shows(view, 5)
    assert view.text == (
        "Channel 5 of 12: 9 at row 2, column 6 (its strongest), which sees pixel rows 12–27, "
        "columns 44–59; 0 % of the map is zero."
    )
    assert FIELD.box(2, 6) == (12, 44, 28, 60)
    broken = MAPS.clone()
    broken[0, 0, 0] = float("nan")
    assert linked_view(IMAGE, broken).channel == 5


@pytest.mark.parametrize("way", ["mosaic", "number", "python"])
def test_choosing_a_channel(view: LinkedView, way: str) -> None:
    if way == "mosaic":
        view.mosaic.chosen = 3  # what the browser sets
    elif way == "number":
        view.number.value = 3
    else:
        view.choose(3)
    assert_shows(view, 3)
    assert view.mosaic.kept == (way == "number")


def test_choosing_a_unit_and_the_way_home(view: LinkedView) -> None:
    view.image.kept = True
    view.image.chosen = 4 * 8 + 1
    assert_shows(view, 5, (4, 1))
    assert "its strongest" not in view.text
    assert view.image.kept
    view.mosaic.chosen = 3  # another map begins with its strongest unit
    assert_shows(view, 3)
    assert not view.image.kept
    view.choose(3, (0, 7))
    assert_shows(view, 3, (0, 7))


def test_every_choice_is_drawn_once(view: LinkedView, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def note(image: Tensor, maps: Tensor, channel: int, **options: object) -> Image.Image:
        drawn.append(channel)
        return show_unit(image, maps, channel, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "show_unit", note)
    view.mosaic.chosen = 3
    view.number.value = 4
    view.choose(8)
    view.image.chosen = 9
    view.number.value = 12  # there is none
    view.number.value = 8
    assert drawn == [3, 4, 8, 8, 8]


def test_units_lie_where_the_grid_says(view: LinkedView) -> None:
    left, top, across, down, width, height, columns, count = view.image.grid
    assert (columns, count) == (8, 64)
    assert (across, down) == (width, height) == (32, 32)
    black = linked_view(torch.zeros(3, 64, 64), MAPS)
    sheet = np.asarray(Image.open(io.BytesIO(black.picture)).convert("RGB")).astype(int)
    y, x = int(top + 2 * down), int(left + 6 * across)
    brightest = 0.7 * 255 * np.array(colormaps["viridis"](1.0)[:3])
    assert np.abs(sheet[y + 4 : y + 28, x + 4 : x + 28] - brightest).max() <= 5
    assert (sheet[y - 1, x : x + 32] == 255).all(), "its frame"


def test_a_dead_map_says_so(view: LinkedView) -> None:
    view.choose(7)
    assert view.position is None
    assert view.image.chosen == view.image.home == -1
    assert view.text == "Channel 7 of 12: zero everywhere, so no unit is the strongest."
    view.image.chosen = 9  # its units see something all the same
    assert_shows(view, 7, (1, 1))
    assert "no finite value" in linked_view(IMAGE, torch.full((1, 2, 2), torch.nan)).text


def test_a_wrong_number_is_said_and_the_picture_stays(view: LinkedView) -> None:
    before = view.picture
    view.number.value = 12
    assert "channels 0 to 11, not 12" in view.text
    assert "still that of channel 5 of conv1" in view.text
    assert view.picture == before
    view.number.value = 5
    assert_shows(view, 5)
    with pytest.raises(ValueError, match="channels 0 to 11"):
        view.choose(12)
    with pytest.raises(ValueError, match="has no unit"):
        view.choose(1, (9, 9))


def test_layers_to_choose_from() -> None:
    few = MAPS[:4, :3, :5] - 0.5

    def maps_of(name: str) -> object:
        return (MAPS, FIELD) if name == "conv1" else few

    view = linked_view(IMAGE, maps_of, layers=["conv1", "conv2"], max_tiles=6)
    assert_shows(view, 5)
    assert view.mosaic.grid[-1] == 6
    view.number.value = 11  # the box reaches those that are not in the mosaic
    assert_shows(view, 11)
    view.layers.value = "conv2"
    assert_shows(view, int(few.amax(dim=(1, 2)).argmax()), maps=few, field=None, title="conv2")
    assert view.mosaic.grid[-1] == 4
    assert "sees" not in view.text, "without a field only the map is explained"


def test_what_is_not_seen_is_said(view: LinkedView) -> None:
    assert view.mosaic.alt == "12 maps of conv1"
    assert view.image.alt == f"channel 5 of conv1: {view.text}"
    assert (view.mosaic.label, view.image.label) == ("Channel", "Unit of the map")


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="maps must be a function"):
        linked_view(IMAGE, MAPS, layers=["conv1"])
    with pytest.raises(TypeError, match="maps must be a function"):
        linked_view(IMAGE, lambda name: MAPS)
    with pytest.raises(ValueError, match="must have the shape"):
        linked_view(IMAGE, MAPS[None])
