"""What lesson 03 measures, against the same done one by one on small networks."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.lessons.lesson_03 import measurements

LABELS = torch.tensor([0, 1, 1, 0, 2, 1])


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = OrderedDict(
            conv=nn.Conv2d(3, 4, 3, padding=1),
            relu=nn.ReLU(inplace=True),
            flat=nn.Flatten(),
            fc=nn.Linear(4 * 6 * 6, 3),
        )
        return nn.Sequential(layers).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def by_hand(model: nn.Module, image: Tensor, *off: int) -> Tensor:
    """Probabilities without channels of `relu`, with no hook."""
    with torch.no_grad():
        maps = model.conv(image).relu()
        maps[:, list(off)] = 0
        return model.fc(maps.flatten(1)).softmax(dim=1)


def test_channels_are_switched_off_one_by_one_and_together(
    model: nn.Module, images: Tensor
) -> None:
    rows = measurements.without_each(model, "relu", images[:1])
    expected = torch.cat([by_hand(model, images[:1], channel) for channel in range(4)])
    torch.testing.assert_close(rows, expected)
    with torch.no_grad(), model.relu.register_forward_hook(measurements.channels_off(1, 3)):
        torch.testing.assert_close(model(images).softmax(1), by_hand(model, images, 1, 3))
    torch.testing.assert_close(model(images).softmax(1), by_hand(model, images))


def test_needed_channels_are_of_the_pictures_that_were_right(
    model: nn.Module, images: Tensor
) -> None:
    needs = measurements.needed_channels(model, "relu", images, LABELS)
    before = by_hand(model, images)
    right = [i for i in range(6) if before[i].argmax() == LABELS[i]]
    assert 0 < len(right) < 6, "or half of it is not tested"
    for row, i in enumerate(right):
        maps = model.conv(images[i]).relu()
        assert torch.allclose(needs.brightness[row], maps.mean((1, 2)), atol=1e-6)
        assert torch.allclose(needs.peak[row], maps.amax((1, 2)), atol=1e-6)
        for channel in range(4):
            after = by_hand(model, images[i : i + 1], channel)[0, LABELS[i]]
            lost = 100 * (before[i, LABELS[i]] - after)
            assert needs.lost[row, channel] == pytest.approx(float(lost), abs=1e-3)


def test_response_on_the_object_is_one_where_maps_are_blind(images: Tensor) -> None:
    masks = torch.zeros(6, 6, 6)
    masks[:, :2, :3] = 1
    blind, sharp = nn.Conv2d(3, 1, 1), nn.Identity()
    nn.init.zeros_(blind.weight)
    nn.init.ones_(blind.bias)
    model = nn.Sequential(OrderedDict(blind=blind))
    assert measurements.on_object(model, ["blind"], images, masks)["blind"] == (1, 1, 1)
    model = nn.Sequential(OrderedDict(sharp=sharp))
    found = measurements.on_object(model, ["sharp"], masks[:, None] - 0.5, masks)
    assert found["sharp"] == pytest.approx((6, 6, 6))  # all of it on a sixth of the picture


def test_grey_elsewhere_is_as_large_on_the_object_and_beside_the_part() -> None:
    cat = vh.load_scenes(limit=7).images  # any pictures would do
    parts = torch.zeros(128, 128, dtype=torch.uint8)
    parts[20:26, 30:34] = parts[20:26, 50:54] = vh.scenes.PARTS.index("eye")
    mask = torch.zeros(128, 128)
    mask[10:90, 20:80] = 1
    grey, elsewhere, only = measurements.grey_part(cat[0], mask, parts, "eye")
    eyes, other = (
        (picture == 0.5).all(0) & (cat[0] != 0.5).any(0) for picture in (grey, elsewhere)
    )
    assert torch.equal(eyes, parts > 0)
    assert other.sum() == eyes.sum()
    assert not (other & eyes).any()
    assert (mask[other] == 1).all()
    hidden = (mask == 1) & (parts == 0)
    assert torch.equal(only, torch.where(hidden, 0.5, cat[0]))


def test_backward_hooks_are_refused_before_an_in_place_relu(
    model: nn.Module, images: Tensor
) -> None:
    refused = measurements.refuses_backward_hook(model, images[:1])
    assert refused.tolist() == [True, True, False, False]
    assert not any(each._backward_hooks for each in model.modules())
    model.relu.inplace = False
    assert not measurements.refuses_backward_hook(model, images[:1]).any()


def test_memory_of_kept_outputs_is_what_autograd_has_saved(
    model: nn.Module, images: Tensor
) -> None:
    one = images[:1]
    sizes = measurements.graph_memory(model, [one, one], lambda output: output)
    picture, maps, output = one.nbytes, 4 * 4 * 6 * 6, 4 * 3  # what conv, relu and fc go back by
    assert sizes == pytest.approx(
        [(picture + maps + output) / 1e6, 2 * (picture + maps + output) / 1e6]
    )
    sizes = measurements.graph_memory(model, [one, one], torch.detach)
    assert sizes == pytest.approx([output / 1e6, 2 * output / 1e6])


def test_sigmoids_take_the_place_of_all_relus(model: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        expected = model.fc(model.conv(images).sigmoid().flatten(1))
        found = measurements.with_sigmoids(nn.Sequential(model, nn.Sequential(nn.ReLU())))(images)
    torch.testing.assert_close(found, expected.sigmoid())
