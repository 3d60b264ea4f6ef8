"""Receptive fields: against known values and against where gradients really arrive."""

import copy
import random
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.models import ALL
from torch import Tensor, nn

from vizhelpers.features.receptive_fields import ReceptiveField, receptive_field
from vizhelpers.layers import get_layer, list_layers
from vizhelpers.zoo.loading import load_model

Box = tuple[int, int, int, int]


class Reached(Exception):  # noqa: N818
    pass


def gradients(
    model: nn.Module, layer: str, shape: tuple[int, ...], units: list[tuple[int, int]]
) -> list[Tensor]:
    """The reference: d unit / d pixel, where all weights are positive and pools are sums."""
    model = copy.deepcopy(model).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1 / max(1, parameter[0].numel()))
    found: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> None:
        found.append(output)
        raise Reached

    def sums(x, size, stride=None, padding=0, dilation=1, ceil_mode=False, **_):  # noqa: PLR0917
        if ceil_mode:
            return F.avg_pool2d(x, size, stride, padding, ceil_mode)
        window = x.new_ones(x.shape[1], 1, *nn.modules.utils._pair(size))
        return F.conv2d(x, window, None, stride or size, padding, dilation, x.shape[1])

    get_layer(model, layer).register_forward_hook(keep)
    image = torch.zeros(shape, dtype=torch.double).add(0.1).requires_grad_()
    with patch.object(F, "max_pool2d", sums), pytest.raises(Reached):
        model(image)
    total = found[0].sum((0, 1))
    return [torch.autograd.grad(total[u], image, retain_graph=True)[0][0].sum(0) for u in units]


def support(gradient: Tensor) -> Box:
    """The smallest box around all pixels that a gradient reaches."""
    rows, columns = gradient.nonzero().unbind(1)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def corners_and_middle(field: ReceptiveField) -> list[tuple[int, int]]:
    rows, columns = field.map_shape
    return [(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1), (0, columns - 1)]


def agrees(model: nn.Module, layer: str, shape: tuple[int, ...]) -> ReceptiveField:
    field = receptive_field(model, layer, shape)
    units = corners_and_middle(field)
    for unit, gradient in zip(units, gradients(model, layer, shape, units), strict=True):
        assert support(gradient) == field.box(*unit), (layer, unit)
    return field


@pytest.fixture(scope="module")
def alexnet() -> nn.Module:
    return torchvision.models.alexnet()


@pytest.mark.parametrize(
    ("layer", "size", "stride"),
    [
        ("features.0", 11, 4),
        ("features.2", 19, 8),
        ("features.3", 51, 8),
        ("features.5", 67, 16),
        ("features.6", 99, 16),
        ("features.8", 131, 16),
        ("features.10", 163, 16),
        ("features.12", 195, 32),
    ],
)
def test_alexnet_has_the_published_values(
    alexnet: nn.Module, layer: str, size: int, stride: int
) -> None:
    field = receptive_field(alexnet, layer, (1, 3, 224, 224))
    assert (field.size, field.stride) == ((size, size), (stride, stride))


def test_vgg16_and_resnet18_have_the_published_values() -> None:
    shape = (1, 3, 224, 224)
    vgg = receptive_field(torchvision.models.vgg16(), "features.30", shape)
    assert (vgg.size, vgg.stride, vgg.map_shape) == ((212, 212), (32, 32), (7, 7))
    resnet = receptive_field(torchvision.models.resnet18(), "layer4", shape)
    assert (resnet.size, resnet.stride, resnet.start) == ((435, 435), (32, 32), (-217, -217))


@pytest.mark.parametrize("seed", range(30))
def test_random_chains_agree_with_gradients(seed: int) -> None:
    dice = random.Random(seed)
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(dice.randint(1, 4)):
        kernel = (dice.randint(1, 4), dice.randint(1, 4))
        stride = (dice.randint(1, 3), dice.randint(1, 3))
        dilation = (dice.randint(1, 2), dice.randint(1, 3))
        padding = (dice.randint(0, kernel[0] // 2), dice.randint(0, kernel[1] // 2))
        layers += dice.choice(
            [
                [nn.Conv2d(channels, 3, kernel, stride, padding, dilation), nn.ReLU(inplace=True)],
                [nn.MaxPool2d(kernel, stride, padding, dilation)],
                [nn.AvgPool2d(kernel, stride, padding, ceil_mode=dice.random() < 0.5)],
                [nn.BatchNorm2d(channels)],
                [nn.ZeroPad2d((2, 1, 3, 0))],
            ]
        )
        channels = 3 if isinstance(layers[-1], nn.ReLU) else channels
    model, name, shape = nn.Sequential(*layers), str(len(layers) - 1), (1, 2, 140, 131)
    field = receptive_field(model, name, shape)
    rows, columns = field.map_shape
    units = [
        (r, c) for r in range(0, rows, 1 + rows // 7) for c in range(0, columns, 1 + columns // 7)
    ]
    exact = 0
    for unit, gradient in zip(units, gradients(model, name, shape, units), strict=True):
        if gradient.count_nonzero():  # else a unit in the padding, which sees nothing
            top, left, bottom, right = field.box(*unit)
            found = support(gradient)
            assert top <= found[0] < found[2] <= bottom
            assert left <= found[1] < found[3] <= right
            # Across the edge, holes in a field (dilation, strides) may leave its border unseen.
            if field.box(*unit, clip=False) == field.box(*unit):
                assert found == field.box(*unit)
                exact += 1
    assert exact


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_course_networks_agree_with_gradients(name: str) -> None:
    model = load_model(name)
    layers = [n for n in list_layers(model, (nn.Conv2d, nn.MaxPool2d)) if "layer3" not in n]
    for layer in [*layers[::2], layers[-1]]:
        agrees(model, layer, (1, 3, 128, 128))


IMAGE_MODELS = [name for name in ALL if name not in ("words", "two_inputs")]


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_awkward_models_agree_with_gradients_and_stay_as_they_were(name: str) -> None:
    model, (image,) = ALL[name].build()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    checked = 0
    for layer in list_layers(model):
        try:
            field = receptive_field(model, layer, image.shape)
        except ValueError as error:
            assert "never called" in str(error)
            continue
        if field.map_shape == (1, 1):
            assert field.whole
        else:
            agrees(model, layer, tuple(image.shape))
        checked += 1
    assert checked
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class Branches(nn.Module):
    """Concatenation, a gate of means, and a residual around a window that is not centred."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Conv2d(1, 2, 1)
        self.large = nn.Conv2d(1, 2, 5, padding=2)
        self.joined = nn.Identity()
        self.shifted = nn.Conv2d(4, 4, (2, 1))
        self.summed = nn.Identity()
        self.gated = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.joined(torch.cat([self.small(x), self.large(x)], dim=1))
        x = self.summed(x + self.shifted(F.pad(x, (0, 0, 0, 1))))
        return self.gated(x * torch.sigmoid(x.mean((2, 3), keepdim=True)))


def test_branches_see_what_any_of_them_sees() -> None:
    shape = (1, 1, 20, 24)
    joined = agrees(Branches(), "joined", shape)
    assert (joined.size, joined.start) == ((5, 5), (-2, -2))
    summed = agrees(Branches(), "summed", shape)
    assert (summed.size, summed.start) == ((6, 5), (-2, -2))
    assert agrees(Branches(), "gated", shape).whole


@pytest.mark.parametrize(
    ("layer", "whole"),
    [
        (nn.GroupNorm(1, 4), True),
        (nn.InstanceNorm2d(4), True),
        (nn.AdaptiveAvgPool2d(1), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(4 * 16 * 16, 3)), True),
        (nn.Hardswish(inplace=True), False),
        (nn.PReLU(), False),
        (nn.Dropout(), False),
        (nn.ChannelShuffle(2), False),
        (nn.LeakyReLU(0.1, inplace=True), False),
    ],
)
def test_what_mixes_positions_sees_everything(layer: nn.Module, whole: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer)
    field = receptive_field(model, "1", (1, 3, 16, 16))
    assert field.whole == whole
    assert field.size == ((16, 16) if whole else (3, 3))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Upsample(scale_factor=2), "upsample"),
        (nn.ConvTranspose2d(4, 4, 2, 2), "transposed"),
        (nn.AdaptiveAvgPool2d(7), "uneven"),
        (nn.PixelShuffle(2), "pixel_shuffle"),
    ],
)
def test_what_cannot_be_followed_is_said_and_not_guessed(layer: nn.Module, reason: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer, nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(ValueError, match=f"cannot be followed to '1': .*{reason}"):
        receptive_field(model, "1", (1, 3, 16, 16))
    assert receptive_field(model, "0", (1, 3, 16, 16)).size == (3, 3)
    assert receptive_field(model, "3", (1, 3, 16, 16)).whole


def test_boxes_are_cut_at_the_image_and_counted_from_zero() -> None:
    field = receptive_field(nn.Conv2d(3, 4, 5, stride=4, padding=2), "", (8, 3, 16, 32))
    assert field.map_shape == (4, 8)
    assert field.box(0, 0) == (0, 0, 3, 3)
    assert field.box(0, 0, clip=False) == (-2, -2, 3, 3)
    assert field.box(1, 7) == (2, 26, 7, 31)
    with pytest.raises(ValueError, match=r"4 rows and 8 columns.*no unit \(4, 0\)"):
        field.box(4, 0)
    with pytest.raises(ValueError, match="no unit"):
        field.box(0, -1)


def test_text_is_one_sentence() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten())
    assert str(receptive_field(model, "0", (1, 3, 16, 16))) == (
        "0: every unit sees 3×3 pixels of the 16×16 image; neighbouring fields start 2×2 pixels "
        "apart, the first at row -1, column -1."
    )
    assert str(receptive_field(model, "1", (1, 3, 16, 16))) == (
        "1: every unit sees the whole 16×16 image."
    )


def test_layer_may_be_the_module_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert receptive_field(model, model[0]) == receptive_field(model, "0")


def test_several_outputs_with_different_fields_are_refused() -> None:
    model, (image,) = ALL["inner_dict"].build()
    with pytest.raises(ValueError, match="'pyramid' returns several tensors"):
        receptive_field(model, "pyramid", image.shape)


def test_broken_inputs_are_explained() -> None:
    model, (image,) = ALL["listed"].build()
    with pytest.raises(ValueError, match=r"never called 'heads\.unused'"):
        receptive_field(model, "heads.unused", image.shape)
    with pytest.raises(ValueError, match="has no layer 'nothing'"):
        receptive_field(model, "nothing", image.shape)
    with pytest.raises(ValueError, match="input_shape must be"):
        receptive_field(model, "convs.0", (3, 16, 16))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        receptive_field(F.relu, "convs.0")  # type: ignore[arg-type]


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean() + self.conv(torch.ones(1, 3, 8, 8))


def test_a_layer_that_never_sees_the_image_is_said() -> None:
    with pytest.raises(ValueError, match="does not depend on the image"):
        receptive_field(Constant(), "conv", (1, 3, 8, 8))
