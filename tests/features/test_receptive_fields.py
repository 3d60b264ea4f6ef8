"""Receptive fields: against published values, and against every pixel changed in turn."""

import random
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.models import ALL
from torch import Tensor, nn
from torchvision.models import vgg

from vizhelpers.features.receptive_fields import Box, receptive_field
from vizhelpers.layers import get_layer, list_layers
from vizhelpers.zoo.loading import load_model

# -- the reference: which numbers change when a pixel does? -----------------------------------


def changes(
    model: nn.Module, layers: Sequence[str], shape: tuple[int, ...], parts: list[Tensor]
) -> list[Tensor]:
    """For each unit of each layer's map and each part, whether one changes with the other."""
    model = model.double().eval()
    found: dict[str, Tensor] = {}  # what the first call of each layer returned

    def keep(layer: str, module: nn.Module, args: object, output: Tensor) -> None:
        found.setdefault(layer, output.clone())

    handles = [
        get_layer(model, layer).register_forward_hook(partial(keep, layer)) for layer in layers
    ]
    dice = torch.Generator().manual_seed(0)
    image = torch.rand(1, *shape[1:], generator=dice, dtype=torch.double)
    seen: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with torch.no_grad():
        for part in (None, *parts):
            maps: dict[str, list[Tensor]] = {layer: [] for layer in layers}
            for strength in (1, -1, 30, -30):  # so that a ReLU or a maximum lets some of it pass
                noise = torch.rand(1, *shape[1:], generator=dice, dtype=torch.double)
                found.clear()
                model(image if part is None else image + strength * noise * part)
                for layer in layers:
                    maps[layer].append(found[layer])
            for layer in layers:
                seen[layer].append(torch.stack(maps[layer]))
    for handle in handles:
        handle.remove()
    return [
        torch.stack([((a - before).abs() > 1e-13).any(0).any(0).any(0) for a in after], dim=-1)
        for before, *after in seen.values()
    ]


def boxes_by_brute_force(
    model: nn.Module, layers: Sequence[str], shape: tuple[int, ...]
) -> list[list[list[Box]]]:
    """What each unit of each layer sees, by changing every pixel of the image."""
    height, width = shape[2:]
    pixels = list(torch.eye(height * width, dtype=torch.bool).view(-1, height, width))
    return [
        [[box_around(unit) for unit in row] for row in seen.unflatten(-1, (height, width))]
        for seen in changes(model, layers, shape, pixels)
    ]


def box_around(seen: Tensor) -> Box:
    if not seen.any():
        return 0, 0, 0, 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


# -- kinds of layers, and what a forward method may do ----------------------------------------


class Do(nn.Module):
    def __init__(self, what: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.what, self.layers = what, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.what(x, *self.layers)


def write(x: Tensor, conv: nn.Module) -> Tensor:
    x = x.clone()
    x[:, :2] = conv(x[:, :2])
    return x


def add_to_a_chunk(x: Tensor, conv: nn.Module) -> Tensor:
    y = x.clone()
    y.narrow(1, 0, 2).add_(conv(y[:, 2:]))
    return y


def fill(x: Tensor, conv: nn.Module) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :2] = conv(x[:, :2])
    return y


def shift(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :2, :, 1:] = x[:, :2, :, :-1]
    return y


def per_token(x: Tensor, linear: nn.Module) -> Tensor:
    return linear(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


def windows(x: Tensor) -> Tensor:
    """As in Swin: what is in one window of 2×2 is mixed."""
    tiles = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)).unfold(2, 2, 2).unfold(3, 2, 2)
    return x + F.interpolate(tiles.mean((4, 5)), scale_factor=2)[:, :, : x.shape[2], : x.shape[3]]


def conv(channels: int = 4, **options: object) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, **{"padding": 1} | options)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "strides": lambda: nn.Conv2d(4, 4, (3, 2), (2, 1), (0, 1)),
    "dilation": lambda: conv(dilation=2, padding=2),
    "groups": lambda: conv(groups=2),
    "same padding": lambda: nn.Conv2d(4, 4, (4, 3), padding="same"),
    "circular padding": lambda: conv(padding_mode="circular"),
    "reflect padding": lambda: conv(padding_mode="reflect"),
    "replicate padding": lambda: conv(padding_mode="replicate"),
    "uneven padding": lambda: nn.ZeroPad2d((2, 1, 3, 0)),
    "transposed convolution": lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
    "upsampling": lambda: nn.Upsample(scale_factor=2),
    "maximum": lambda: nn.MaxPool2d(3, 2, 1),
    "average": lambda: nn.AvgPool2d(2, ceil_mode=True),
    "uneven average": lambda: nn.AdaptiveAvgPool2d((4, 5)),
    "uneven maximum": lambda: nn.AdaptiveMaxPool2d((3, 4)),
    "write into channels": lambda: Do(write, conv(2)),
    "add_ on a chunk": lambda: Do(add_to_a_chunk, conv(2)),
    "filled in pieces": lambda: Do(fill, conv(2)),
    "shift by slices": lambda: Do(shift),
    "roll": lambda: Do(lambda x: x.roll(2, 3)),
    "flip": lambda: Do(lambda x: x.flip(2)),
    "rows and columns swapped": lambda: Do(lambda x: x.transpose(2, 3)),
    "every second row": lambda: Do(lambda x: x[:, :, ::2, 1:]),
    "Linear per token": lambda: Do(per_token, nn.Linear(4, 4)),
    "unfold": lambda: Do(lambda x: F.unfold(x, 3, padding=1).unflatten(2, x.shape[2:])[:, ::3]),
    "squeeze": lambda: Do(lambda x: x.squeeze(0)[None]),
    "image by image": lambda: Do(lambda x, c: torch.cat([c(one[None]) for one in x]), conv()),
    "windows": lambda: Do(windows),
    "gate": lambda: Do(lambda x, c: x * torch.sigmoid(c(x)), conv()),
    "residual": lambda: Do(lambda x, c: x + c(F.pad(x, (0, 0, 0, 1))), nn.Conv2d(4, 4, (2, 1))),
    "squeeze and excite": lambda: Do(lambda x: x * x.mean((2, 3), keepdim=True)),
    "channel norm": lambda: Do(lambda x: F.normalize(x, dim=1)),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "frozen BatchNorm": lambda: nn.BatchNorm2d(4),
    "ReLU in place": lambda: nn.LeakyReLU(0.1, inplace=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_equals_brute_force(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, (1, 2), (1, 2)), KINDS[kind](), nn.LazyConv2d(4, 2))
    shape = (1, 3, 9, 10)
    model(torch.rand(shape))
    fields = [receptive_field(model, layer, shape) for layer in ("1", "2")]
    found = [[list(row) for row in field.boxes] for field in fields]
    assert found == boxes_by_brute_force(model, ("1", "2"), shape)


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_equal_brute_force(seed: int) -> None:
    dice = random.Random(seed)
    torch.manual_seed(seed)
    # Without what multiplies: zeros of the padding times anything are zero, NaN or not.
    names = dice.sample([name for name in KINDS if name not in ("unfold", "squeeze and excite")], 3)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), *(KINDS[name]() for name in names))
    shape = (1, 3, dice.randint(8, 12), dice.randint(8, 12))
    field = receptive_field(model, "3", shape)
    (truth,) = boxes_by_brute_force(model, ["3"], shape)
    assert [list(row) for row in field.boxes] == truth, names
    if field.stride is not None:  # then one formula must hold for all
        for row, boxes in enumerate(truth):
            for column, found in enumerate(boxes):
                top, left, bottom, right = field.box(row, column, clip=False)
                if top >= 0 and left >= 0 and bottom <= shape[2] and right <= shape[3]:
                    assert (top, left, bottom, right) == found


def test_interpolation_sees_what_it_reads_with_a_coefficient_of_zero() -> None:
    model, shape = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")), (1, 3, 5, 6)
    boxes, (truth,) = (
        receptive_field(model, "0", shape).boxes,
        boxes_by_brute_force(model, "0", shape),
    )
    assert [row[1:-1] for row in boxes[1:-1]] == [tuple(row[1:-1]) for row in truth[1:-1]]
    assert (truth[0][0], boxes[0][0]) == ((0, 0, 1, 1), (0, 0, 2, 2))


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("words", "two_inputs")])
def test_awkward_models_equal_changed_rows_and_columns(name: str) -> None:
    model, (image,) = ALL[name].build()
    lines = torch.eye(16, dtype=torch.bool)
    parts = [*lines[:, :, None].expand(-1, -1, 16), *lines[:, None].expand(-1, 16, -1)]
    layers, fields, checked = list_layers(model), {}, 0
    for layer in {*layers[:2], *layers[-2:]}:
        try:
            field = receptive_field(model, layer, image.shape)
        except ValueError as error:
            assert "never called" in str(error)
            continue
        checked += 1
        if field.map_shape == (1, 1):
            assert field.whole
        else:
            fields[layer] = [list(row) for row in field.boxes]
    assert checked
    for boxes, seen in zip(
        fields.values(), changes(model, list(fields), tuple(image.shape), parts), strict=True
    ):
        sides = seen.unflatten(-1, (2, 16))
        assert boxes == [[box_around(rows[:, None] & cols) for rows, cols in r] for r in sides]


# -- published values -------------------------------------------------------------------------


def narrow_resnet18() -> nn.Module:
    """A sixteenth of the channels: it has the same fields in a hundredth of the time."""
    model = torchvision.models.resnet18()
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(module, name, nn.BatchNorm2d(layer.num_features // 16))
            elif isinstance(layer, nn.Conv2d):
                sizes = max(3, layer.in_channels // 16), layer.out_channels // 16
                options = layer.kernel_size, layer.stride, layer.padding
                setattr(module, name, nn.Conv2d(*sizes, *options))
    return model


def narrow_vgg16() -> nn.Module:
    return vgg.make_layers([c if c == "M" else int(c) // 16 for c in vgg.cfgs["D"]])


@pytest.mark.parametrize(
    ("make", "layer", "size", "stride", "start"),
    [
        (lambda: load_model("alexnet"), "features.5", 67, 16, -18),
        (lambda: load_model("alexnet"), "features.12", 195, 32, -66),
        (narrow_vgg16, "30", 212, 32, -90),
        (narrow_resnet18, "layer2", 99, 8, -49),
        (narrow_resnet18, "layer4", 435, 32, -217),  # larger than the image
    ],
)
def test_published_values(
    make: Callable[[], nn.Module], layer: str, size: int, stride: int, start: int
) -> None:
    model, calls = make(), []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    field = receptive_field(model, layer, (1, 3, 224, 224))
    assert (field.size, field.stride, field.start) == ((size,) * 2, (stride,) * 2, (start,) * 2)
    assert field.box(0, 0) == (0, 0, start + size, start + size)
    assert len(calls) < 200  # one for each row and column would be 448


def test_transform_input_leaves_positions_alone() -> None:
    model = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False)
    assert receptive_field(model, "conv1", (1, 3, 32, 32)).size == (7, 7)


def test_fields_that_are_all_cut_at_the_edge() -> None:
    small = receptive_field(nn.Conv2d(3, 1, 5, stride=4, padding=2), "", (1, 3, 8, 8))
    assert (small.size, small.stride, small.start) == ((5, 5), (4, 4), (-2, -2))
    large = nn.Conv2d(3, 1, 25, stride=8, padding=12)
    field = receptive_field(large, "", (1, 3, 16, 16))
    assert (field.size, field.stride, field.start) == ((25, 25), (8, 8), (-12, -12))
    # In a longer image this one sees something else, so that tells nothing about it.
    fixed = nn.Sequential(Do(lambda x: F.interpolate(x, 16)), large)
    field = receptive_field(fixed, "1", (1, 3, 16, 16))
    assert (field.size, field.stride, field.box(0, 0)) == ((16, 16), None, (0, 0, 13, 13))


# -- other things a field can be of -----------------------------------------------------------


def test_random_numbers_and_writing_into_the_image_do_no_harm() -> None:
    noisy = Do(lambda x: x.sub_(0.5) + torch.rand_like(x))
    assert receptive_field(nn.Sequential(noisy, conv(3)), "1", (1, 3, 8, 8)).size == (3, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)).to(dtype)
    assert receptive_field(model, "1", (1, 3, 16, 16)).size == (5, 5)
    assert model[0].weight.dtype == dtype


def test_maps_with_channels_last_are_recognised() -> None:
    model = nn.Sequential(conv(3), Do(lambda x: x.permute(0, 2, 3, 1)), nn.LayerNorm(3))
    first = receptive_field(model, "0", (1, 3, 6, 8))
    last = receptive_field(model, "2", (1, 3, 6, 8))
    assert last.channels_last and not first.channels_last
    assert (last.map_shape, last.boxes) == (first.map_shape, first.boxes) == ((6, 8), first.boxes)
    mixed = nn.Sequential(
        nn.GroupNorm(1, 3), Do(lambda x: x.repeat(1, 9, 1, 1).permute(0, 2, 3, 1))
    )
    whole = receptive_field(mixed, "1", (1, 3, 6, 8))
    assert (whole.map_shape, whole.whole, whole.channels_last) == ((6, 8), True, True)


def test_what_is_no_map_is_one_unit() -> None:
    part = nn.Sequential(Do(lambda x: x[:, :, 2:5, 1:3]), nn.Flatten(), nn.LazyLinear(2))
    part(torch.rand(1, 3, 8, 8))
    field = receptive_field(part, "2", (1, 3, 8, 8))
    assert (field.map_shape, field.size, field.box(0, 0)) == ((1, 1), (3, 2), (2, 1, 5, 3))


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
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Upsample(16), nn.Flatten())
    assert str(receptive_field(model, "0", (1, 3, 16, 16))) == (
        "0: every unit sees 3×3 pixels of the 16×16 image; neighbouring fields start 2×2 pixels "
        "apart, the first at row -1, column -1."
    )
    assert str(receptive_field(model, "1", (1, 3, 16, 16))) == (
        "1: a unit sees up to 3×3 pixels of the 16×16 image; sizes or distances differ, "
        "box(row, column) tells them."
    )
    assert str(receptive_field(model, model[2], (1, 3, 16, 16))) == (
        "2: every unit sees the whole 16×16 image."
    )


# -- refusals ---------------------------------------------------------------------------------


def raises_on_nan(x: Tensor) -> Tensor:
    if x.isnan().any():
        raise ArithmeticError("the input is broken")
    return x


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        (Do(lambda x: torch.where(x > 0, x, 0)), ValueError, "turns NaN into numbers"),
        (Do(raises_on_nan), ValueError, "fails on it.*the input is broken"),
        (Do(lambda x: x.log()), ValueError, "for a random image is NaN"),
        (Do(lambda x: x.argmax(1)), ValueError, "no floats"),
        (Do(torch.ones_like), ValueError, "does not depend on the image"),
        (nn.Embedding(4, 4), RuntimeError, "fails on an image of random floats.*indices"),
        (nn.Conv2d(9, 4, 1), RuntimeError, "fails on an image.*9 channels"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    layer: nn.Module, error: type[Exception], words: str
) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), layer)
    with pytest.raises(error, match=words):
        receptive_field(model, "1", (1, 3, 8, 8))
    assert receptive_field(model, "0", (1, 3, 8, 8)).size == (3, 3)


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
    model, (image,) = ALL["inner_dict"].build()
    with pytest.raises(ValueError, match="'pyramid' returns several tensors"):
        receptive_field(model, "pyramid", image.shape)
