"""Mosaics, overlays and PNG bytes: every value is looked for at the place where it belongs."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from vizhelpers.figures import DPI, PAGE, letters, new_figure, to_png
from vizhelpers.plotting import describe, overlay, show_mosaic

NAN = float("nan")


def rgb(png):
    """The picture's pixels, [height, width, 3], 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colour(name, share):
    return np.array(colormaps[name](float(share))[:3]) * 255


def where(ax, shade, near=4):
    """Where the finished picture has a colour: [height, width]."""
    return np.abs(rgb(to_png(ax)) - shade).max(axis=2) <= near


def frame(flags):
    """First row and column, and the first ones beyond, of what is true."""
    rows, columns = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def texts(ax):
    return [text.get_text() for text in ax.texts]


def written(text):
    """The text in white on black, as large as a tile's number."""
    image = Image.new("L", (int(letters(9).getlength(text)), 15))
    ImageDraw.Draw(image).text((0, 0), text, 255, letters(9))
    return image


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def plain(*values, size=20):
    """A tile of one value each."""
    return torch.tensor(values)[:, None, None].expand(-1, size, size)


RED, GREEN, BLUE = torch.eye(3)[:, :, None, None].expand(3, 3, 100, 100)


# -- show_mosaic ------------------------------------------------------------------------------


def test_every_tile_is_at_its_place_with_its_own_number():
    values = [i / 12 for i in range(1, 13)]
    named = show_mosaic(plain(*values), columns=5, vmax=1, colorbar=False)
    bare = show_mosaic(plain(*values), columns=5, vmax=1, colorbar=False, labels=False)
    pixels, frames = rgb(to_png(named)), []
    for index, value in enumerate(values):
        shade = colour("viridis", value)
        top, left, bottom, right = frame(where(bare, shade))
        frames.append((top, left, bottom, right))
        seen = pixels[top:bottom, left:right]
        letter = np.asarray(written(str(index)))
        high, wide = letter.shape
        corner = seen[1 : 1 + high, 3 : 3 + wide]
        digits = corner[letter > 200]  # white on dark tiles, black on light ones
        assert (digits.min() > 150) if shade.mean() < 150 else (digits.max() < 105), index
        near = np.abs(seen - shade).max(axis=2) > 4  # whatever is drawn on the tile
        assert 0 < near.sum() < 300
        assert not near[15:].any()
        assert not near[:, 22:].any()
    tops, lefts, bottoms, rights = np.array(frames).T
    assert set(bottoms - tops) == set(rights - lefts) == {200}  # ten whole pixels a value
    step = lefts[1] - lefts[0]
    np.testing.assert_array_equal(lefts, [8 + 1 + i % 5 * step for i in range(12)])
    np.testing.assert_array_equal(tops - tops[0], [i // 5 * step for i in range(12)])


def test_one_tile_needs_no_number():
    assert to_png(show_mosaic(plain(1.0), colorbar=False)) == to_png(
        show_mosaic(plain(1.0), colorbar=False, labels=False)
    )


@pytest.mark.parametrize("size", [3, 7, 31])
def test_each_value_is_a_square_of_whole_pixels(size):
    board = (torch.arange(size)[:, None] + torch.arange(size)) % 2
    ax = show_mosaic(board[None].float(), colorbar=False)
    dark = where(ax, colour("viridis", 0)).astype(int)
    top, left, bottom, right = frame(dark)
    for line in (dark[top + 2, left:right], dark[top:bottom, left + 2]):
        changes = np.flatnonzero(np.diff(line))
        assert len(changes) == size - 1
        assert set(np.diff(changes)) == {(bottom - top) // size}


def test_photos_and_large_maps_are_enlarged_smoothly():
    ramp = torch.linspace(0, 1, 100).expand(100, 100)
    for tiles in (ramp[None], ramp.expand(1, 3, 100, 100)):
        sheet = np.asarray(show_mosaic(tiles, colorbar=False).images[0].get_array())
        assert sheet.shape == (322, 322, 3)
        assert len(np.unique(sheet[100], axis=0)) > 150  # of 100 values


def test_photos_fill_the_page_beside_each_other():
    ax = show_mosaic(torch.stack([RED, GREEN, BLUE, RED / 2]), labels=["a", "b", "c", "d"])
    frames = [frame(where(ax, shade)) for shade in ([255, 0, 0], [0, 255, 0], [0, 0, 255])]
    tops, lefts, bottoms, rights = np.array(frames).T
    assert len(set(tops)) == 1
    assert (rights - lefts).min() >= 250
    assert (bottoms - tops).min() >= 250
    assert (lefts[1:] > rights[:-1]).all()
    assert PAGE - 40 < ax.figure.get_figwidth() * DPI <= PAGE
    assert texts(ax) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("count", "size"), [(100, 56), (64, 8), (16, 32), (512, 4), (3, 200)])
def test_a_mosaic_is_large_but_not_larger_than_the_page(count, size):
    figure = show_mosaic(random(count, size, size), title="layer").figure
    wide, high = figure.get_size_inches() * DPI
    assert wide <= PAGE
    assert high < 720
    assert max(wide / PAGE, high / 680) > 0.85


def test_the_input_stands_left_of_its_maps():
    ax = show_mosaic(plain(*[1.0] * 9), image=RED, title="layer1")
    top, left, bottom, right = frame(where(ax, [255, 0, 0]))
    assert (bottom - top, right - left) == (256, 256)
    maps = frame(where(ax, colour("viridis", 1)))
    assert maps[1] > right
    assert maps[0] == top
    assert texts(ax)[0] == "input"
    assert ax.get_title("left") == "layer1"
    with pytest.raises(ValueError, match="denormalize"):
        show_mosaic(random(2, 4, 4), image=RED - 2)


def test_shared_scale_lets_tiles_be_compared_and_each_says_so():
    tiles = torch.tensor([[[0.0, 1.0]], [[0.0, 4.0]]])

    def areas(scale):
        ax = show_mosaic(tiles, scale=scale, colorbar=False, labels=False)
        return [where(ax, colour("viridis", share)).sum() for share in (0, 0.25, 1)], ax

    (dark, middle, bright), ax = areas("shared")
    assert dark == 2 * middle == 2 * bright > 0
    assert ax.get_xlabel() == ""
    (dark, middle, bright), ax = areas("each")
    assert dark == bright > middle == 0
    assert "each tile is stretched to its own range" in ax.get_xlabel()


def bar(ax):
    """What stands beside the colour bar, and its colours from bottom to top."""
    sheet = np.asarray(ax.images[0].get_array()).astype(int)
    return texts(ax), sheet[-3:0:-1, -5]


@pytest.mark.parametrize(
    ("values", "options", "names", "cmap"),
    [
        ([3.0, 4.0], {}, ["0", "4"], "viridis"),
        ([3.0, 4.0], {"vmin": 3, "vmax": 4}, ["3", "4"], "viridis"),
        ([-1.0, 3.0], {}, ["−3", "0", "3"], "bwr"),
        ([1.0, 3.0], {"center_zero": True}, ["−3", "0", "3"], "bwr"),
        ([-1.0, 3.0], {"center_zero": False}, ["−1", "3"], "viridis"),
        ([-1.0, 3.0], {"vmax": 5}, ["−5", "0", "5"], "bwr"),
        ([-1.0, 3.0], {"vmin": -1, "vmax": 3}, ["−1", "3"], "viridis"),  # white would not be 0
        ([-1.0, 3.0], {"vmin": 0}, ["0", "3"], "viridis"),
        ([1.0, 3.0], {"vmin": -3, "vmax": 3}, ["−3", "0", "3"], "bwr"),
        ([1.0, 3.0], {"scale": "each"}, ["0", "max"], "viridis"),
        ([-1.0, 3.0], {"scale": "each"}, ["−max", "0", "max"], "bwr"),
        ([1.0, 3.0], {"cmap": "gray"}, ["0", "3"], "gray"),
    ],
)
def test_the_colour_bar_has_the_scale(values, options, names, cmap):
    found, colours = bar(show_mosaic(plain(*values), labels=False, **options))
    assert found == names
    for share in (0, 0.25, 0.5, 1):
        seen = colours[round(share * (len(colours) - 1))]
        np.testing.assert_allclose(seen, colour(cmap, share), atol=6)


def test_values_with_a_sign_are_white_at_zero():
    ax = show_mosaic(torch.tensor([[[-1.0, 0.0, 3.0]]]), colorbar=False, cmap=None)
    sheet = np.asarray(ax.images[0].get_array()).astype(int)
    side = sheet.shape[1] / 3
    seen = [sheet[sheet.shape[0] // 2, int(side * (i + 0.5))] for i in range(3)]
    np.testing.assert_allclose(seen, [colour("bwr", s) for s in (1 / 3, 0.5, 1)], atol=4)


def test_a_text_for_each_tile():
    with pytest.raises(ValueError, match="3 tiles but 1 labels"):
        show_mosaic(random(3, 4, 4), labels=["cat"])
    assert texts(show_mosaic(random(3, 4, 4), labels=["$a", "b", "c"], colorbar=False))[0] == "$a"


def test_no_text_is_cut_off():
    weights = random(40, 5, 5) * 2e-4 - 1e-4
    weights[3] = 0
    heat = random(2, 3, 3) - 0.5
    pictures = [
        show_mosaic(weights, title="features.denseblock1.denselayer2.conv1", max_tiles=30),
        show_mosaic(random(4, 3, 40, 40), labels=["a", "b", "c", "d"], columns=2),
        show_mosaic(weights[:1], title="a title that is much longer than one small tile is wide"),
        show_mosaic(weights[:2], title="as long as a sentence " * 12, image=RED),
        show_mosaic(random(2, 30, 30), scale="each"),
        overlay(random(3, 24, 24), heat[0], title="Grad-CAM"),
        overlay(random(2, 3, 24, 24), heat * 1e-5, labels=["one", "two"], scale="each"),
    ]
    for ax in pictures:
        figure = ax.figure
        box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()


def test_empty_tiles_are_crossed_out_and_counted():
    tiles = random(6, 5, 5) + 0.1
    tiles[1], tiles[4], tiles[5, 2, 2], tiles[2] = 0, 0, NAN, 0.5
    ax = show_mosaic(tiles, labels=False, columns=3, colorbar=False)
    assert ax.get_xlabel().splitlines() == [
        "all zero: 2 (1, 4)",
        "NaN or infinity: 1 (5)",
        "one value everywhere: 1 (2)",
    ]
    sheet = np.asarray(ax.images[0].get_array()).astype(int)
    high, wide = sheet.shape[0] // 2, sheet.shape[1] // 3
    crossed = []
    for index in range(6):
        row, column = divmod(index, 3)
        y, x = int((row + 0.5) * high), int((column + 0.5) * wide)
        middle = sheet[y - 10 : y + 10, x - 10 : x + 10].sum(axis=2)  # where two lines cross
        crossed.append(bool((middle == 0).any() and (middle == 3 * 255).any()))
    assert crossed == [False, True, False, False, True, True]
    assert show_mosaic(random(6, 5, 5)).get_xlabel() == ""
    assert show_mosaic(torch.tensor([[[2.0]], [[3.0]]])).get_xlabel() == ""  # single values


@pytest.mark.parametrize("value", [0.0, -2.0, NAN, float("inf")])
def test_degenerate_values_can_be_drawn(value):
    assert to_png(show_mosaic(torch.full((2, 4, 4), value)))


def test_many_tiles_are_cut_with_a_note_but_share_the_whole_scale():
    tiles = random(30, 4, 4)
    tiles[29] = 7
    ax = show_mosaic(tiles, max_tiles=20, title="layer4")
    assert "only the first 20 of 30 tiles" in ax.get_xlabel()
    assert ax.get_title("left") == "layer4"  # no shape
    assert texts(ax) == ["0", "7"]


def test_kernels_are_grey_at_zero_and_dark_photos_dark():
    kernel = torch.zeros(1, 3, 1, 3)
    kernel[0, :, 0, 0], kernel[0, :, 0, 2] = -0.4, 0.4
    ax = show_mosaic(kernel)
    assert where(ax, [0] * 3, 1).sum() >= where(ax, [128] * 3, 3).sum() > 100**2
    assert ax.get_xlabel() == "grey is 0, black −0.4, white 0.4 in every tile"
    assert show_mosaic(kernel, vmin=-1, vmax=3).get_xlabel() == "black −1, white 3 in every tile"
    assert where(show_mosaic(torch.full((1, 3, 8, 8), 0.2)), [51] * 3, 3).sum() >= 320**2


def test_too_many_values_for_the_screen_are_averaged_with_a_note():
    fine = (torch.arange(900)[:, None] + torch.arange(900)) % 2
    ax = show_mosaic(fine[None].float(), colorbar=False)
    assert ax.get_xlabel() == "drawn smaller: one point is the mean of several values"
    assert where(ax, colour("viridis", 0.5), 12).sum() > 300**2
    assert max(rgb(to_png(ax)).shape) < 700


def test_given_axes_are_used_and_returned():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert show_mosaic(random(4, 6, 6), ax=left, image=RED) is left
    assert overlay(random(3, 8, 8), random(2, 2), ax=right, mask=random(8, 8)) is right
    assert rgb(to_png(figure)).shape == rgb(to_png(left)).shape == (480, 640, 3)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match='"shared" or "each"'):
        show_mosaic(random(2, 4, 4), scale="all")
    with pytest.raises(ValueError, match="leave them out"):
        show_mosaic(random(2, 4, 4), scale="each", vmax=1)
    with pytest.raises(ValueError, match="must rise"):
        show_mosaic(random(2, 4, 4), vmin=2, vmax=1)
    with pytest.raises(ValueError, match="not in the middle"):
        show_mosaic(random(2, 4, 4), center_zero=True, vmin=-1, vmax=3)
    for options in ({"columns": 0}, {"max_tiles": 0}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            show_mosaic(random(2, 4, 4), **options)


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
        show_mosaic(torch.zeros(shape))


@pytest.mark.parametrize("tiles", [None, "maps", [[object()]], torch.zeros(1, 2, 2) * 1j])
def test_wrong_kinds_are_explained(tiles):
    with pytest.raises(TypeError, match="tensor or an array of real numbers"):
        show_mosaic(tiles)


def test_a_mosaic_takes_what_a_network_gives():
    tiles = random(2, 1, 3, 3).requires_grad_()
    assert to_png(show_mosaic(tiles)) == to_png(show_mosaic(tiles.detach()[:, 0].numpy()))
    photo = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert to_png(show_mosaic(photo)) == to_png(show_mosaic(torch.ones(1, 3, 2, 2)))
    assert to_png(show_mosaic(tiles.bfloat16())) == to_png(show_mosaic(tiles.bfloat16().float()))


# -- overlay ----------------------------------------------------------------------------------


def panels(ax, count):
    """The panels of one row, cut out of the sheet: [count, side, side, 3]."""
    sheet = np.asarray(ax.images[0].get_array()).astype(int)
    side = (sheet.shape[1] - 2 + 10) // count - 10 if count > 1 else sheet.shape[1] - 2
    bottom = sheet.shape[0] - 1
    return np.stack(
        [sheet[bottom - side : bottom, 1 + i * (side + 10) :][:, :side] for i in range(count)]
    )


def test_where_there_is_no_heat_the_photo_is_untouched_and_strong_heat_covers_it():
    image, heat = random(3, 40, 40), torch.zeros(8, 8)
    heat[2:4, 4:6] = 5
    ax = overlay(image, heat, parts=["photo", "overlay"], colorbar=False)
    photo, covered = panels(ax, 2)
    side = len(photo)
    untouched = np.ones((side, side), dtype=bool)
    untouched[side * 3 // 16 : side * 9 // 16, side * 7 // 16 : side * 13 // 16] = False
    assert (covered != photo).any(axis=2).sum() > 0.9 * (~untouched).sum()
    np.testing.assert_array_equal(covered[untouched], photo[untouched])
    spot = side * 3 // 8, side * 5 // 8
    expected = 0.2 * photo[spot] + 0.8 * colour("inferno", 1)
    np.testing.assert_allclose(covered[spot], expected, atol=4)
    half = overlay(image, heat, parts=["photo", "overlay"], colorbar=False, vmax=10)
    expected = 0.6 * photo[spot] + 0.4 * colour("inferno", 0.5)
    np.testing.assert_allclose(panels(half, 2)[1][spot], expected, atol=4)
    assert bar(overlay(image, heat))[0] == ["0", "5"]  # the map's own values


def test_heat_is_resized_bilinearly_and_shown_alone_in_blocks():
    heat = torch.tensor([[0.0, 1.0]])
    ax = overlay(torch.ones(3, 40, 40), heat, parts=["heat", "overlay"], colorbar=False)
    blocks, smooth = panels(ax, 2)
    np.testing.assert_array_equal(np.unique(blocks[100].sum(axis=1)).size, 2)
    levels = smooth[100, :, 2]  # white turns into yellow
    assert (np.diff(levels) <= 0).sum() > 0.9 * len(levels)
    assert np.abs(np.diff(levels)).max() < 12  # no step
    assert levels[0] == 255


def test_signed_heat_is_red_for_and_blue_against_on_pale_grey():
    image = torch.tensor([0.9, 0.2, 0.4])[:, None, None].expand(3, 30, 30)
    ax = overlay(image, torch.tensor([[-2.0, 0.0, 1.0]]).repeat_interleave(9, 1))
    names, _ = bar(ax)
    assert names == ["−2", "0", "2"]
    (shown,) = panels(overlay(image, torch.tensor([[-2.0, 0.0, 1.0]]), colorbar=False), 1)
    pale = 191 + 0.25 * 255 * (0.299 * 0.9 + 0.587 * 0.2 + 0.114 * 0.4)  # luma of ITU-R BT.601
    side = len(shown)
    against, nothing, for_it = (shown[side // 2, int(side * x)] for x in (0.02, 0.5, 0.98))
    np.testing.assert_allclose(nothing, [pale] * 3, atol=2)
    np.testing.assert_allclose(against, [0.2 * pale, 0.2 * pale, 0.2 * pale + 204], atol=3)
    np.testing.assert_allclose(for_it, [0.6 * pale + 102, 0.6 * pale, 0.6 * pale], atol=3)


def test_the_outline_follows_the_mask_white_on_black():
    mask = torch.zeros(100, 100)
    mask[20:60, 30:80] = 1
    ax = overlay(torch.full((3, 100, 100), 0.5), torch.zeros(2, 2), mask=mask, colorbar=False)
    pixels = rgb(to_png(ax))
    panel, zoom = pixels[9 : 9 + 320, 9 : 9 + 320], 3.2
    white = (panel > 230).all(axis=2)
    np.testing.assert_allclose(np.array(frame(white)) / zoom, [20, 30, 60, 80], atol=0.8)
    dark = np.array(frame((panel < 90).all(axis=2))) / zoom
    assert (dark[:2] < [20, 30]).all()
    assert (dark[2:] > [60, 80]).all()
    both = overlay(RED, torch.zeros(2, 2), mask=mask, parts=["photo", "overlay"], colorbar=False)
    edge = where(both, [255] * 3, 20)
    middle = edge.shape[1] // 2
    assert edge[60:250, middle + 40 : -40].any()
    assert not edge[60:250, 40 : middle - 40].any()  # the plain photo stays plain


def test_many_overlays_each_with_its_own_image_and_caption():
    images, heats = torch.stack([RED, GREEN, BLUE]), torch.zeros(3, 2, 2)
    heats[1] = 4
    heats[2] = 2
    ax = overlay(images, heats, labels=["r", "g", "b"], colorbar=False)
    assert texts(ax) == ["r", "g", "b"]
    middles = panels(ax, 3)[:, 100, 100]
    expected = [0.2 * np.array([0, 255, 0]) + 0.8 * colour("inferno", 1)]
    expected += [0.6 * np.array([0, 0, 255]) + 0.4 * colour("inferno", 0.5)]
    np.testing.assert_allclose(middles, [[255, 0, 0], *expected], atol=3)
    assert ax.get_xlabel().splitlines() == ["all zero: 1 (r)", "one value everywhere: 2 (g, b)"]
    each = overlay(images, heats, scale="each", colorbar=False, labels=["r", "g", "b"])
    expected[1] = 0.2 * np.array([0, 0, 255]) + 0.8 * colour("inferno", 1)
    np.testing.assert_allclose(panels(each, 3)[:, 100, 100], [[255, 0, 0], *expected], atol=3)
    assert "do not compare" in each.get_xlabel()


def test_parts_stand_side_by_side_or_in_rows():
    one = overlay(RED, random(2, 2), parts=["photo", "heat", "overlay"], title="Grad-CAM")
    assert texts(one)[:3] == ["input", "heat", "overlay"]
    assert len({text.get_position()[1] for text in one.texts[:3]}) == 1
    many = overlay(RED, random(3, 2, 2), parts=["photo", "overlay"], labels=["a", "b", "c"])
    assert texts(many)[:4] == ["input", "a", "b", "c"]
    images = torch.stack([RED, GREEN])
    rows = overlay(images, random(2, 2, 2), parts=["photo", "overlay"], labels=["a", "b"])
    places = [text.get_position() for text in rows.texts[:4]]
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1]
    assert [x for x, _ in places[:2]] == [x for x, _ in places[2:]]


@pytest.mark.parametrize(
    ("image", "heat", "mask", "hint"),
    [
        ((1, 8, 8), (2, 2), None, r"\[3, H, W\]"),
        ((1, 1, 3, 8, 8), (2, 2), None, r"\[3, H, W\]"),
        ((3, 8, 8), (1, 1, 2, 2), None, r"heat must have"),
        ((3, 8, 8), (2, 2), (4, 4), r"as large as the image, \[8, 8\]"),
        ((2, 3, 8, 8), (3, 2, 2), None, "3 maps but 2 images"),
        ((3, 8, 8), (3, 2, 2), (2, 8, 8), "3 maps but 2 masks"),
    ],
)
def test_wrong_shapes_in_an_overlay(image, heat, mask, hint):
    with pytest.raises(ValueError, match=hint):
        overlay(torch.zeros(image), torch.zeros(heat), mask=mask and torch.zeros(mask))


def test_other_wrong_arguments_of_an_overlay():
    with pytest.raises(ValueError, match=r'a list of "photo", "heat", "overlay"'):
        overlay(RED, random(2, 2), parts="photo")
    with pytest.raises(ValueError, match="1 maps but 2 labels"):
        overlay(RED, random(2, 2), labels=["a", "b"])
    for values in (RED - 2, RED * 128):
        with pytest.raises(ValueError, match="denormalize"):
            overlay(values, torch.zeros(2, 2))


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
