"""Mosaics, overlays and PNG bytes: every value is looked for at the place where it belongs."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from vizhelpers.figures import new_figure, to_png
from vizhelpers.plotting import describe, mosaic, outlined, overlay, show_mosaic

NAN = float("nan")


def rgb(png):
    """The picture's pixels, [height, width, 3], 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def on_screen(ax, *places):
    """The colours that the finished picture has at places given in the axes' units."""
    pixels = rgb(to_png(ax))
    return [
        pixels[int(len(pixels) - up), int(across)] for across, up in ax.transData.transform(places)
    ]


def colour(name, share):
    return np.array(colormaps[name](float(share))[:3]) * 255


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


# -- mosaic -----------------------------------------------------------------------------------


def test_mosaic_by_hand():
    tiles = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]])
    expected = [
        [1, 2, 0, 5, 6],
        [3, 4, 0, 7, 8],
        [0, 0, 0, 0, 0],
        [9, 10, 0, 0, 0],
        [11, 12, 0, 0, 0],
    ]
    sheet = mosaic(tiles, columns=2, fill=0)
    np.testing.assert_array_equal(sheet, expected)
    assert sheet.dtype == np.float32


def test_mosaic_gaps_are_nan_by_default():
    sheet = mosaic(torch.ones(3, 2, 2), columns=2)
    assert np.isnan(sheet).sum() == sheet.size - 3 * 4


@pytest.mark.parametrize(
    ("count", "height", "width", "columns", "pad"),
    [(1, 3, 4, None, 1), (7, 3, 4, 3, 2), (64, 7, 7, 9, 1), (5, 1, 1, 5, 0), (4, 2, 3, 1, (5, 2))],
)
def test_every_tile_is_at_its_place(count, height, width, columns, pad):
    tiles = random(count, height, width)
    sheet = mosaic(tiles, columns=columns, pad=pad)
    down, across = pad if isinstance(pad, tuple) else (pad, pad)
    for index, tile in enumerate(tiles.numpy()):
        row, column = divmod(index, columns or 1)
        top, left = row * (height + down), column * (width + across)
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], tile)


def test_colour_tiles_keep_their_channels():
    tiles = random(3, 3, 4, 5)
    sheet = mosaic(tiles, columns=2)
    assert sheet.shape == (9, 11, 3)
    np.testing.assert_array_equal(sheet[5:, :5], tiles[2].permute(1, 2, 0))
    np.testing.assert_array_equal(sheet[5:, 6:], 1)  # no fourth tile: white


def test_default_columns_make_about_a_square():
    high, wide = mosaic(torch.zeros(100, 8, 8)).shape
    assert high == wide
    high, wide = mosaic(torch.zeros(12, 4, 40)).shape
    assert 1 / 3 < high / wide < 3


def test_mosaic_takes_what_a_network_gives():
    tiles = random(2, 1, 3, 3).requires_grad_()
    np.testing.assert_array_equal(mosaic(tiles, columns=2)[:, :3], tiles.detach()[0, 0])
    np.testing.assert_array_equal(
        mosaic(tiles.bfloat16()[:1]), tiles[0, 0].detach().bfloat16().float()
    )
    np.testing.assert_array_equal(mosaic(np.array([[[True, False]]])), [[1, 0]])
    photo = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    np.testing.assert_array_equal(mosaic(photo), np.ones((2, 2, 3)))


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((4,), "plain numbers"),
        ((4, 4), r"tiles\[None\]"),
        ((1, 64, 7, 7), r"maps\[0\]"),
        ((1, 2, 3, 4, 5), "not"),
        ((0, 4, 4), "nothing to draw"),
    ],
)
def test_wrong_shapes_are_explained(shape, hint):
    with pytest.raises(ValueError, match=hint):
        mosaic(torch.zeros(shape))


@pytest.mark.parametrize("tiles", [None, "maps", [[object()]], torch.zeros(1, 2, 2) * 1j])
def test_wrong_kinds_are_explained(tiles):
    with pytest.raises(TypeError, match="tensor or an array of real numbers"):
        mosaic(tiles)


@pytest.mark.parametrize("options", [{"columns": 0}, {"pad": -1}])
def test_impossible_layout(options):
    with pytest.raises(ValueError, match="columns must be 1 or more"):
        mosaic(torch.zeros(2, 2, 2), **options)


# -- show_mosaic ------------------------------------------------------------------------------


def test_every_tile_of_the_finished_picture():
    values = torch.arange(1, 13.0)
    ax = show_mosaic(values.view(12, 1, 1).expand(12, 20, 20), columns=5)
    assert len(ax.images) == 1  # one image for all tiles
    place = ax.images[0].get_array()
    cell = (place.shape[0] + 2) / 3  # three rows with gaps of two
    places = [((i % 5 + 0.5) * cell, (i // 5 + 0.5) * cell) for i in range(15)]
    found = on_screen(ax, *places)
    np.testing.assert_allclose(found[:12], [colour("viridis", v / 12) for v in values], atol=4)
    np.testing.assert_array_equal(found[12:], 255)  # unused places are white


@pytest.mark.parametrize("size", [3, 7, 31])
def test_each_value_is_a_square_of_whole_pixels(size):
    board = (torch.arange(size)[:, None] + torch.arange(size)) % 2
    ax = show_mosaic(board[None].float(), colorbar=False)
    pixels = rgb(to_png(ax))
    dark = (np.abs(pixels - colour("viridis", 0)).max(axis=2) < 5).astype(int)
    for line in (dark[len(dark) // 2], dark[:, 8 + size // 2]):
        changes = np.flatnonzero(np.diff(line))
        assert len(changes) >= size - 1
        assert len(set(np.diff(changes))) == 1


def test_shared_scale_lets_tiles_be_compared():
    tiles = torch.stack([torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 4.0]])])
    image = show_mosaic(tiles).images[0]
    assert image.get_clim() == (0, 4)
    assert set(np.unique(image.get_array().compressed())) == {0, 1, 4}


def test_each_scale_stretches_and_says_so():
    tiles = torch.stack([torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 4.0]])])
    ax = show_mosaic(tiles, scale="each")
    assert set(np.unique(ax.images[0].get_array().compressed())) == {0, 1}
    assert "each tile is stretched to its own range" in ax.get_xlabel()
    signed = show_mosaic(torch.tensor([[[-2.0, 1.0]], [[-1.0, 8.0]]]), scale="each").images[0]
    assert set(np.unique(signed.get_array().compressed())) == {-1, 0.5, -0.125, 1}
    assert signed.get_clim() == (-1, 1)


def test_positive_values_start_at_zero_unless_told_otherwise():
    tiles = random(4, 5, 5) + 3
    assert show_mosaic(tiles).images[0].get_clim() == (0, pytest.approx(tiles.max().item()))
    assert show_mosaic(tiles, vmin=3, vmax=4).images[0].get_clim() == (3, 4)


def test_values_with_a_sign_are_centred_on_zero():
    tiles = torch.tensor([[[-1.0, 0.0, 3.0]]])
    ax = show_mosaic(tiles, title="weights")
    assert ax.images[0].get_clim() == (-3, 3)
    side = ax.images[0].get_array().shape[1] / 3
    seen = on_screen(ax, *((side * (i + 0.5), side / 2) for i in range(3)))
    np.testing.assert_allclose(seen, [colour("bwr", s) for s in (1 / 3, 0.5, 1)], atol=4)
    assert show_mosaic(tiles.abs(), center_zero=True).images[0].get_clim() == (-3, 3)
    assert show_mosaic(tiles, center_zero=False).images[0].get_clim() == (-1, 3)
    assert show_mosaic(tiles, vmax=5).images[0].get_clim() == (-5, 5)


def test_colour_bar_names_its_ends():
    ax = show_mosaic(torch.tensor([[[-0.25, 0.5]]]))
    bar = ax.child_axes[0]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["−0.5", "0", "0.5"]
    assert not show_mosaic(torch.ones(1, 2, 2), colorbar=False).child_axes


def test_tile_numbers_add_up():
    texts = {text.get_text(): text.get_position() for text in show_mosaic(random(12, 8, 8)).texts}
    assert set(texts) == {"0", "4", "8", "+0", "+1", "+2", "+3"}
    assert texts["0"][1] < texts["4"][1] < texts["8"][1]  # downwards
    assert texts["+0"][0] < texts["+1"][0] < texts["+3"][0]
    one_row = show_mosaic(random(3, 8, 8), columns=3)
    assert [text.get_text() for text in one_row.texts] == ["0", "1", "2"]
    assert not show_mosaic(random(12, 8, 8), labels=False).texts


def test_a_text_for_each_tile():
    names = ["cat", "dog", "fish"]
    ax = show_mosaic(random(3, 3, 20, 20), labels=names)
    assert [text.get_text() for text in ax.texts] == names
    with pytest.raises(ValueError, match="3 tiles but 1 labels"):
        show_mosaic(random(3, 4, 4), labels=["cat"])


def test_no_text_is_cut_off():
    weights = random(40, 5, 5) * 2e-4 - 1e-4
    weights[3] = 0
    pictures = [
        show_mosaic(weights, title="features.denseblock1.denselayer2.conv1", max_tiles=30),
        show_mosaic(random(4, 3, 40, 40), labels=["a", "b", "c", "d"], columns=2),
        show_mosaic(weights[:1], title="a title that is much longer than one small tile is wide"),
        show_mosaic(random(2, 30, 30), scale="each"),
        overlay(random(3, 24, 24), random(3, 3) - 0.5, title="Grad-CAM"),
    ]
    for ax in pictures:
        figure = ax.figure
        box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()


def test_empty_tiles_are_crossed_out_and_counted():
    tiles = random(6, 5, 5)
    tiles[1], tiles[4], tiles[5, 2, 2], tiles[2] = 0, 0, NAN, 0.5
    ax = show_mosaic(tiles)
    crosses = [item for item in ax.collections if isinstance(item, LineCollection)]
    assert [len(item.get_segments()) for item in crosses] == [6, 6]  # white below black
    assert ax.get_xlabel().splitlines() == [
        "all zero: 2 (1, 4)",
        "NaN or infinity: 1 (5)",
        "one value everywhere: 1 (2)",
    ]
    plain = show_mosaic(random(6, 5, 5))
    assert plain.get_xlabel() == ""
    assert sum(len(item.get_segments()) for item in plain.collections) == 0


def test_single_values_are_not_called_empty():
    assert show_mosaic(torch.tensor([[[2.0]], [[3.0]]])).get_xlabel() == ""


def test_the_colours_of_a_scale_that_is_given_do_not_depend_on_the_values():
    tiles = torch.tensor([[[-1.0, 0.0, 3.0]]])

    def drawn(values, **limits):
        image = show_mosaic(values, **limits).images[0]
        return image.get_clim(), image.get_cmap().name

    assert drawn(tiles.abs(), vmin=-3, vmax=3) == drawn(tiles, vmin=-3, vmax=3) == ((-3, 3), "bwr")
    # Zero is not in the middle, so that white would be another number.
    assert drawn(tiles, vmin=-1, vmax=3) == ((-1, 3), "viridis")
    assert drawn(tiles, vmin=0) == ((0, 3), "viridis")
    kernels = tiles.expand(1, 3, 1, 3)
    note = show_mosaic(kernels, vmin=-1, vmax=3).get_xlabel()
    assert note == "black −1, white 3 in every tile"
    assert show_mosaic(kernels, vmin=-3, vmax=3).get_xlabel().startswith("grey is 0, black −3")


@pytest.mark.parametrize("value", [0.0, -2.0, NAN, float("inf")])
def test_degenerate_values_can_be_drawn(value):
    assert to_png(show_mosaic(torch.full((2, 4, 4), value)))


def test_many_tiles_are_cut_with_a_note_but_share_the_whole_scale():
    tiles = random(30, 4, 4)
    tiles[29] = 7
    ax = show_mosaic(tiles, max_tiles=20, title="layer4")
    assert "only the first 20 of 30 tiles" in ax.get_xlabel()
    assert ax.get_title("left") == "layer4  [30, 4, 4]"
    assert ax.images[0].get_clim() == (0, 7)


def test_photos_keep_their_colours():
    photos = random(2, 3, 1, 1).expand(2, 3, 30, 30)
    ax = show_mosaic(photos, columns=2)
    side = ax.images[0].get_array().shape[0]
    found = on_screen(ax, (side * 0.5, side / 2), (side * 1.5, side / 2))
    np.testing.assert_allclose(found, photos[:, :, 0, 0] * 255, atol=3)


def test_a_dark_photo_stays_dark():
    ax = show_mosaic(torch.full((1, 3, 8, 8), 0.2))
    np.testing.assert_allclose(on_screen(ax, (20, 20)), [[51, 51, 51]], atol=3)


def test_kernels_are_grey_at_zero():
    kernel = torch.zeros(1, 3, 1, 3)
    kernel[0, :, 0, 0], kernel[0, :, 0, 2] = -0.4, 0.4
    ax = show_mosaic(kernel)
    side = ax.images[0].get_array().shape[0]
    seen = on_screen(ax, *((side * (i + 0.5), side / 2) for i in range(3)))
    np.testing.assert_allclose(seen, [[0] * 3, [128] * 3, [255] * 3], atol=3)
    assert ax.get_xlabel() == "grey is 0, black −0.4, white 0.4 in every tile"


def test_too_many_values_for_the_screen_are_averaged_with_a_note():
    fine = random(2, 901, 901)
    ax = show_mosaic(fine, columns=1, colorbar=False)
    drawn = ax.images[0].get_array()
    assert drawn.shape == (2 * 226 + 2, 226)  # blocks of 4, the last one cut off
    np.testing.assert_allclose(
        drawn[:225, :225],
        np.asarray(fine[0, :900, :900]).reshape(225, 4, 225, 4).mean(axis=(1, 3)),
        atol=1e-6,
    )
    np.testing.assert_allclose(drawn[-1, -1], fine[1, 900, 900])
    assert "one point is the mean of 4 × 4 values" in ax.get_xlabel()
    assert max(rgb(to_png(ax)).shape) < 700


def test_given_axes_are_used_and_returned():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert show_mosaic(random(4, 6, 6), ax=left) is left
    assert overlay(random(3, 8, 8), random(2, 2), ax=right) is right
    assert to_png(figure) == to_png(left)


def test_wrong_scales_are_refused():
    with pytest.raises(ValueError, match='"shared" or "each"'):
        show_mosaic(random(2, 4, 4), scale="all")
    with pytest.raises(ValueError, match="leave them out"):
        show_mosaic(random(2, 4, 4), scale="each", vmax=1)
    with pytest.raises(ValueError, match="must rise"):
        show_mosaic(random(2, 4, 4), vmin=2, vmax=1)
    with pytest.raises(ValueError, match="not in the middle"):
        show_mosaic(random(2, 4, 4), center_zero=True, vmin=-1, vmax=3)


@pytest.mark.parametrize("options", [{"columns": 0}, {"max_tiles": 0}])
def test_a_mosaic_of_nothing_is_refused(options):
    with pytest.raises(ValueError, match="must be 1 or more"):
        show_mosaic(random(2, 4, 4), **options)


# -- overlay ----------------------------------------------------------------------------------


def test_heat_lies_where_it_belongs():
    heat = torch.zeros(4, 4)
    heat[1, 2] = 5
    ax = overlay(torch.full((3, 64, 64), 0.5), heat, alpha=1)
    drawn = ax.images[-1]
    assert drawn.get_clim() == (0, 5)  # the map's own values, not stretched to 1
    high, wide = drawn.get_array().shape
    peak, corner = on_screen(ax, (wide * 2.5 / 4, high * 1.5 / 4), (5, high - 5))
    np.testing.assert_allclose(peak, colour("viridis", 1), atol=12)
    np.testing.assert_allclose(corner, colour("viridis", 0), atol=4)


def test_heat_is_resized_bilinearly():
    heat = torch.tensor([[0.0, 1.0]])
    drawn = overlay(torch.zeros(3, 4, 4), heat).images[-1].get_array()
    middle = drawn[0, drawn.shape[1] // 2 - 1 : drawn.shape[1] // 2 + 1].mean()
    assert middle == pytest.approx(0.5)
    assert (np.diff(drawn[0]) >= 0).all()
    assert np.diff(drawn[0]).max() < 0.1  # no step
    assert (drawn[0, 0], drawn[0, -1]) == (0, 1)


def test_the_image_shows_through_in_grey():
    for channel, share in enumerate((0.299, 0.587, 0.114)):  # ITU-R BT.601
        image = torch.zeros(3, 8, 8)
        image[channel] = 1
        seen = on_screen(overlay(image, torch.zeros(2, 2), alpha=0), (40, 40))
        np.testing.assert_allclose(seen, [[share * 255] * 3], atol=4)


def test_signed_heat_is_centred_on_zero():
    ax = overlay(torch.zeros(3, 8, 8), torch.tensor([[-1.0, 4.0]]))
    assert ax.images[-1].get_clim() == (-4, 4)
    assert ax.images[-1].get_cmap().name == "bwr"


def test_the_outline_follows_the_mask():
    mask = torch.zeros(10, 10)
    mask[2:6, 3:8] = 1
    ax = overlay(torch.zeros(3, 10, 10), torch.zeros(2, 2), mask=mask)
    points = np.concatenate([path.vertices for path in ax.collections[-1].get_paths()])
    side = ax.images[-1].get_array().shape[0]
    assert ax.get_xlim() == (-0.5, side - 0.5)  # the outline has not moved the picture
    zoom = side / 10
    left, top = points.min(axis=0) / zoom
    right, bottom = points.max(axis=0) / zoom
    np.testing.assert_allclose([left, top, right, bottom], [3, 2, 8, 6], atol=0.1)


def test_an_empty_map_is_said():
    ax = overlay(random(3, 8, 8), torch.zeros(2, 2))
    assert ax.get_xlabel() == "all zero"


@pytest.mark.parametrize(
    ("image", "heat", "mask", "hint"),
    [
        ((1, 3, 8, 8), (2, 2), None, r"images?\[0\]"),
        ((1, 8, 8), (2, 2), None, r"\[3, H, W\]"),
        ((3, 8, 8), (1, 2, 2), None, r"heat\[0\]"),
        ((3, 8, 8), (2, 2), (4, 4), r"as large as the image, \[8, 8\]"),
    ],
)
def test_wrong_shapes_in_an_overlay(image, heat, mask, hint):
    with pytest.raises(ValueError, match=hint):
        overlay(torch.zeros(image), torch.zeros(heat), mask=mask and torch.zeros(mask))


@pytest.mark.parametrize("values", [torch.full((3, 4, 4), -2.0), torch.full((3, 4, 4), 128.0)])
def test_normalised_images_are_refused_with_advice(values):
    with pytest.raises(ValueError, match="denormalize"):
        overlay(values, torch.zeros(2, 2))


# -- outlined ---------------------------------------------------------------------------------


def test_a_white_line_just_round_the_object_and_viridis_elsewhere():
    maps, masks = random(2, 5, 6), torch.zeros(2, 5, 6)
    masks[0, 2, 2] = 1  # one pixel, so the line is its eight neighbours
    masks[1, :2, 4:] = 0.6  # in a corner, where the line ends at the edge
    masks[1, 4, 0] = 0.4
    white = torch.zeros(2, 5, 6, dtype=torch.bool)
    white[0, 1:4, 1:4] = True
    white[0, 2, 2] = False
    white[1, :3, 3] = white[1, 2, 3:] = True
    tiles = outlined(maps, masks)
    assert tiles.shape == (2, 3, 5, 6)
    assert tiles.dtype == torch.float32
    assert torch.equal((tiles == 1).all(1), white)
    for image, row, column in (~white).nonzero().tolist():
        expected = colour("viridis", maps[image, row, column]) / 255
        np.testing.assert_allclose(tiles[image, :, row, column], expected, atol=1e-6)


def test_one_mask_for_all_maps_and_values_outside():
    maps, mask = np.array([[[-9.0, 0, 1, 9]], [[1, 0, 0, 0]]]), np.array([[[0, 0, 0, 255]]])
    tiles = outlined(maps, mask)
    dark, yellow = (torch.tensor(colormaps["viridis"](end)[:3]) for end in (0.0, 1.0))
    assert torch.equal(tiles, outlined(maps, np.repeat(mask, 2, 0)))
    assert (tiles[..., 2] == 1).all()
    for (image, column), end in (
        *(((0, 0), dark), ((0, 1), dark), ((0, 3), yellow)),
        *(((1, 0), yellow), ((1, 1), dark), ((1, 3), dark)),
    ):
        torch.testing.assert_close(tiles[image, :, 0, column], end.float())


@pytest.mark.parametrize(
    ("maps", "masks"),
    [
        (random(4, 4), random(4, 4)),
        (random(3, 4, 4), random(4, 4)),
        (random(3, 4, 4), random(2, 4, 4)),
        (random(3, 4, 4), random(3, 4, 5)),
        (random(3, 1, 4, 4), random(3, 1, 4, 4)),
        (1.0, 1.0),
    ],
)
def test_outlines_that_do_not_fit(maps, masks):
    with pytest.raises(ValueError, match=r"maps must be \[N, H, W\] and masks the same or"):
        outlined(maps, masks)


# -- PNG bytes --------------------------------------------------------------------------------


def test_arrays_and_tensors_come_back_from_the_png():
    photo = (random(3, 5, 7) * 255).round()
    pixels = photo.permute(1, 2, 0).numpy()
    for given in (photo / 255, photo.byte(), pixels / 255, pixels.astype(np.uint8)):
        np.testing.assert_array_equal(rgb(to_png(given)), pixels)
    np.testing.assert_array_equal(rgb(to_png(photo[0] / 255))[:, :, 0], photo[0])
    np.testing.assert_array_equal(rgb(to_png(Image.fromarray(pixels.astype(np.uint8)))), pixels)


@pytest.mark.parametrize("values", [torch.zeros(4, 5, 5), torch.zeros(3), torch.full((2, 2), 9.0)])
def test_what_is_no_picture_is_refused(values):
    with pytest.raises(ValueError, match="show_mosaic"):
        to_png(values)
    with pytest.raises(TypeError, match="real numbers"):
        to_png("picture.png")


def test_same_picture_same_bytes_and_no_traces():
    first, second = (to_png(show_mosaic(random(20, 9, 9), title="conv")) for _ in range(2))
    assert first == second
    assert not Image.open(io.BytesIO(first)).text  # no version, no date


def test_png_is_the_picture_that_matplotlib_draws():
    ax = show_mosaic(random(16, 12, 12) - 0.5, title="conv")
    file = io.BytesIO()
    ax.figure.savefig(file, dpi=100)
    assert np.abs(rgb(to_png(ax)) - rgb(file.getvalue())).max() <= 2


@pytest.mark.parametrize("width", [333.7, 509, 510, 511.5])
def test_png_has_the_size_of_the_figure(width):
    figure = Figure(figsize=(width / 100, 2.3), dpi=72)
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    assert rgb(to_png(figure)).shape == rgb(file.getvalue()).shape


def test_pictures_stay_small():
    smooth = torch.nn.functional.interpolate(random(1, 64, 6, 6), size=31, mode="bicubic")[0]
    assert len(to_png(show_mosaic(smooth, title="features.0"))) < 60_000
    assert len(to_png(show_mosaic(random(64, 3, 7, 7) - 0.5))) < 60_000


# -- key numbers ------------------------------------------------------------------------------


def test_describe_by_hand():
    values = torch.tensor([[0.0, 2.5], [0.0, -1.0]])
    expected = "relu [2, 2]: -1.000 to 2.500, mean 0.375, 50.0 % zeros, largest at [0, 1]"
    assert describe(values, "relu") == expected
    values[1, 1] = NAN
    assert describe(values).endswith("largest at [0, 1], 1 not finite")
    assert describe(torch.tensor([1e-5, 3e-5])).startswith("[2]: 1.00e-05 to 3.00e-05, mean 2.00e-")
    assert describe(torch.tensor([NAN])) == "[1]: no finite values"


# -- in a notebook ----------------------------------------------------------------------------


def test_a_cell_shows_a_picture_exactly_once_without_pyplot():
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import sys, torch\nfrom vizhelpers import new_figure, show_mosaic",
        "maps = torch.eye(3).expand(2, 3, 3)",
        "show_mosaic(maps)",
        "show_mosaic(maps).figure",
        "ax = show_mosaic(maps)",
        "figure = new_figure(); a, b = figure.subplots(1, 2); show_mosaic(maps, ax=a); figure",
        "assert 'matplotlib.pyplot' not in sys.modules",
        "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
        "show_mosaic(maps)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    shown = [
        [output.data["image/png"] for output in cell.outputs if "image/png" in output.data]
        for cell in notebook.cells
    ]
    assert [len(pictures) for pictures in shown] == [0, 0, 1, 1, 0, 1, 0, 1, 1]
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 0, 1, 1, 0, 1, 0, 1, 1]
    expected = to_png(show_mosaic(torch.eye(3).expand(2, 3, 3)))
    for index in (2, 3, 8):  # with and without pyplot: the same bytes
        assert base64.b64decode(shown[index][0]) == expected


def test_new_figure_takes_any_drawing():
    figure = new_figure(4, 2)
    figure.subplots().plot([1, 2])
    assert rgb(to_png(figure)).shape == (200, 400, 3)
