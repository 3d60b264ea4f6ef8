"""The kernel slider without a browser; what its page computes is compared in tests/browser."""

import io
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from vizhelpers.images import normalize
from vizhelpers.widgets.kernel_slider import KernelSlider, kernel_slider
from vizhelpers.widgets.kernel_slider_plot import draw_kernel

PICTURE = torch.rand(3, 14, 17, generator=torch.Generator().manual_seed(0))
CONVOLUTIONS: list[dict[str, Any]] = [
    {"out_channels": 4, "kernel_size": 3},
    {"out_channels": 4, "kernel_size": 7, "stride": 2, "padding": 3, "bias": False},
    {"out_channels": 2, "kernel_size": (1, 4), "stride": (2, 3), "padding": (0, 2)},
    {"out_channels": 2, "kernel_size": (4, 3), "dilation": (2, 3), "padding": 1},
    {"out_channels": 2, "kernel_size": (4, 3), "dilation": (1, 2), "padding": "same"},
    {"out_channels": 2, "kernel_size": 1, "padding": "valid"},
    {"out_channels": 4, "kernel_size": 3, "in_channels": 1, "padding_mode": "reflect"},
    {"out_channels": 8, "kernel_size": 3, "in_channels": 8, "groups": 8, "padding": 1},
    {"out_channels": 6, "kernel_size": 5, "in_channels": 9, "groups": 3, "stride": 3},
]


def convolution(**options: Any) -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(**{"in_channels": 3, **options})


def seen_by(conv: nn.Conv2d) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(conv.in_channels, 14, 17)


def numbers(view: KernelSlider, name: str) -> np.ndarray:
    return np.frombuffer(getattr(view.image, name), dtype="<f4")


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_every_number_of_every_map_is_the_convolutions_own_number(
    options: dict[str, Any],
) -> None:
    conv = convolution(**options)
    image = seen_by(conv)
    with warnings.catch_warnings(action="ignore"):  # PyTorch's, of an even kernel's "same"
        expected = conv(image[None])[0].detach()
    view = kernel_slider(image, conv)
    size = view._conv.geometry
    for channel in range(len(expected)):
        view.channel = channel
        np.testing.assert_allclose(numbers(view, "map"), expected[channel].flatten(), atol=1e-6)
        for place in list(itertools.product(*map(range, expected[channel].shape)))[::7]:
            view.at = place
            assert view.value == pytest.approx(float(expected[channel][place]), abs=1e-6)
            patch, weight = view._kernel.patch(size, place), view._kernel.weight
            total = float((patch * weight).sum()) + (view._kernel.bias or 0)
            assert total == pytest.approx(view.value, abs=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_products_keep_to_their_one_scale(options: dict[str, Any]) -> None:
    conv = convolution(**options)
    image = seen_by(conv)
    view = kernel_slider(image, conv, 1)
    windows = F.unfold(
        F.pad(image, _sides(conv)), conv.kernel_size, conv.dilation, stride=conv.stride
    ).reshape(conv.groups, conv.in_channels // conv.groups, *conv.kernel_size, -1)
    group = 1 // (conv.out_channels // conv.groups)
    products = (windows[group] * conv.weight[1, ..., None]).detach()
    expected = [products.sum(0).abs().max(), *products.abs().amax((1, 2, 3))]
    np.testing.assert_allclose(view.image.reaches, expected, rtol=1e-5)


def _sides(conv: nn.Conv2d) -> list[int]:
    """For `torch.nn.functional.pad`, from PyTorch's own record of them."""
    if conv.padding == "valid" or conv.padding_mode != "zeros":
        return [0] * 4
    return list(conv._reversed_padding_repeated_twice)


def test_it_begins_where_the_map_is_farthest_from_zero_and_inside() -> None:
    conv = convolution(out_channels=2, kernel_size=3, padding=1)
    with torch.no_grad():
        conv.weight.fill_(-1)
        conv.bias.fill_(100)  # so that the edge, which reads zeros, is farthest from zero
    inside = conv(PICTURE[None])[0, 1, 1:-1, 1:-1].detach()
    row, column = divmod(int(inside.argmax()), inside.shape[1])
    assert kernel_slider(PICTURE, conv, 1).at == (row + 1, column + 1)


def test_what_the_page_gets_is_the_kernels_own_group() -> None:
    conv = convolution(in_channels=9, out_channels=6, kernel_size=3, groups=3)
    image = seen_by(conv)
    view = kernel_slider(image, conv, 4)
    np.testing.assert_array_equal(numbers(view, "planes"), image[6:].flatten())
    np.testing.assert_array_equal(numbers(view, "kernel"), conv.weight[4].detach().flatten())
    assert view.image.bias == float(conv.bias.detach()[4])
    assert view.image.plane == int(conv.weight[4].abs().sum((1, 2)).argmax())


@pytest.mark.parametrize(
    ("image", "given", "expected"),
    [
        (PICTURE, None, PICTURE),
        (normalize(PICTURE), None, PICTURE),
        (PICTURE * 2 - 1, PICTURE, PICTURE),
        (PICTURE * 20, None, None),
    ],
)
def test_colours(image: Tensor, given: Tensor | None, expected: Tensor | None) -> None:
    view = kernel_slider(image, convolution(out_channels=1, kernel_size=3), picture=given)
    pixels = np.frombuffer(view.image.photo, np.uint8)
    if expected is None:
        assert (pixels.size, view.image.plane >= 0) == (0, True)
    else:
        np.testing.assert_array_equal(pixels, (255 * expected.permute(1, 2, 0)).round().flatten())
        assert view.image.plane == -1


@pytest.mark.parametrize(
    ("image", "name"),
    [(PICTURE[:1], "gray"), (PICTURE[[0, 1]], "viridis"), (PICTURE[:1] - 1, "bwr")],
)
def test_a_picture_of_one_channel_is_grey(image: Tensor, name: str) -> None:
    view = kernel_slider(image, nn.Conv2d(len(image), 1, 3))
    table = np.frombuffer(view.image.colours, np.uint8).reshape(256, 3)
    np.testing.assert_allclose(table, 255 * colormaps[name](range(256))[:, :3], atol=0.51)
    picture = draw_kernel(view._conv, view._kernel, view.at, 0).axes[0].images[0]
    assert picture.get_cmap().name == name


def test_channel_and_place_from_the_page_and_from_python() -> None:
    conv = convolution(out_channels=5, kernel_size=3)
    view = kernel_slider(PICTURE, conv, channel=2)
    assert view.channel == view.image.channel == 2
    view.image.asked, view.image.at = 4, [3, 7]  # as the browser sets them
    assert (view.channel, view.at) == (4, (3, 7))
    assert view.value == pytest.approx(conv(PICTURE[None])[0, 4, 3, 7].item(), abs=1e-6)
    assert repr(view) == "<KernelSlider: channel 4 at row 3, column 7 shown>"
    view.image.asked = 9
    assert (view.channel, type(view.last_error)) == (4, ValueError)
    assert "output channels 0 to 4, not 9" in view.text
    view.image.asked = 4
    assert (view.last_error, view.text[:24]) == (None, "Output channel 4 of 5: a")
    for wrong in (12, 0), (-1, 0), (0, 15):
        with pytest.raises(ValueError, match="rows 0 to 11 and columns 0 to 14"):
            view.at = wrong
    with pytest.raises(TypeError, match="a row and a column"):
        view.at = 3  # type: ignore[assignment]
    assert view.at == (3, 7)


def test_the_picture_shows_the_numbers() -> None:
    conv = convolution(out_channels=2, kernel_size=3, stride=2, padding=1)
    view = kernel_slider(normalize(PICTURE), conv, 1)
    view.at = 0, 4
    expected = conv(normalize(PICTURE)[None])[0, 1].detach()
    figure = draw_kernel(view._conv, view._kernel, view.at, 0)
    shown = {ax.get_title(loc="left"): [i.get_array() for i in ax.images] for ax in figure.axes}
    np.testing.assert_allclose(shown["feature map"][0], expected, atol=1e-6)
    patch = F.pad(normalize(PICTURE), (1, 1, 1, 1))[0, 0:3, 8:11]
    np.testing.assert_allclose(shown["patch"][0], patch, atol=1e-6)
    weight = conv.weight[1, 0].detach()
    np.testing.assert_allclose(shown["× kernel"][0], weight, atol=1e-6)
    np.testing.assert_allclose(shown["= products"][0], patch * weight, atol=1e-6)
    words = " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    assert f"= {float(expected[0, 4]):.3f}".replace("-", "−") in words
    assert "row 0, column 4" in words
    before = view.picture
    assert view._repr_mimebundle_()["image/png"] == before
    assert Image.open(io.BytesIO(before)).width > 1000
    view.image.plane = 2
    assert view.picture != before


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_kinds_of_numbers(kind: torch.dtype) -> None:
    conv = convolution(out_channels=2, kernel_size=3).to(kind)
    image = PICTURE.to(kind)
    expected = F.conv2d(image.float(), conv.weight.float(), conv.bias.float())[0]
    view = kernel_slider(image[None], conv)
    np.testing.assert_allclose(numbers(view, "map"), expected.detach().flatten(), atol=1e-5)


def test_nothing_is_changed_and_nothing_left_behind() -> None:
    conv = convolution(out_channels=2, kernel_size=3)
    called: list[object] = []
    conv.register_forward_hook(lambda *given: called.append(given))
    image = PICTURE.clone().requires_grad_()
    widgets, random = set(_instances), torch.get_rng_state()
    view = kernel_slider(image, conv)
    view.channel = 1
    assert view.picture
    assert (called, conv.weight.grad, image.grad) == ([], None, None)
    assert torch.equal(torch.get_rng_state(), random)
    view.close()
    assert set(_instances) == widgets
    assert repr(view) == "<KernelSlider: closed>"


REFLECTING = convolution(out_channels=1, kernel_size=3, padding=1, padding_mode="reflect")
PLAIN = convolution(out_channels=4, kernel_size=3)
BROKEN = convolution(out_channels=1, kernel_size=3)
nn.init.constant_(BROKEN.weight, torch.nan)


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        ((PICTURE, nn.Linear(3, 3)), {}, TypeError, "a torch.nn.Conv2d, got Linear"),
        ((PICTURE, nn.Sequential(PLAIN)), {}, TypeError, "get_layer"),
        ((PICTURE, None), {}, TypeError, "got NoneType"),
        ((PICTURE, nn.LazyConv2d(3, 3)), {}, ValueError, "no weights yet"),
        ((PICTURE, nn.Conv2d(3, 3, 3, device="meta")), {}, ValueError, "no numbers"),
        ((PICTURE, REFLECTING), {}, ValueError, "padding_mode='reflect'"),
        ((PICTURE.numpy(), PLAIN), {}, TypeError, "got ndarray"),
        ((PICTURE.byte(), PLAIN), {}, TypeError, "got torch.uint8"),
        ((PICTURE[:1], PLAIN), {}, ValueError, "reads 3 channels"),
        ((PICTURE[0], PLAIN), {}, ValueError, r"\[C, H, W\], not \[14, 17\]"),
        ((torch.stack([PICTURE] * 2), PLAIN), {}, ValueError, r"image\[0\]"),
        ((PICTURE[:, :2], PLAIN), {}, ValueError, "2 × 17 pixels, and the kernel spans 3 × 3"),
        ((torch.zeros(3, 1200, 1200), PLAIN), {}, ValueError, "too many for a page"),
        ((PICTURE / 0, PLAIN), {}, ValueError, "NaN or infinity"),
        ((PICTURE, BROKEN), {}, ValueError, "look at the weights"),
        ((PICTURE, PLAIN, 4), {}, ValueError, "output channels 0 to 3, not 4"),
        ((PICTURE, PLAIN, -1), {}, ValueError, "not -1"),
        ((PICTURE, PLAIN, 1.5), {}, TypeError, "channel must be an integer"),
        ((PICTURE, PLAIN), {"picture": PICTURE[:, 1:]}, ValueError, "of one size"),
        ((PICTURE, PLAIN), {"picture": PICTURE * 255}, ValueError, r"must lie in \[0, 1\]"),
        ((PICTURE[:1], nn.Conv2d(1, 1, 3)), {"picture": PICTURE}, ValueError, "Leave picture out"),
    ],
)
def test_what_does_not_fit_is_refused(
    given: tuple[Any, ...], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    widgets = set(_instances)
    with pytest.raises(error, match=words):
        kernel_slider(*given, **options)
    assert set(_instances) == widgets
