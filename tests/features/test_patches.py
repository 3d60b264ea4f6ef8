"""Top patches: against a search by hand; part shares: against scenes made by hand."""

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binom
from support.models import ALL
from torch import Tensor, nn

from vizhelpers.features.patches import TopPatches, top_patches
from vizhelpers.features.receptive_fields import receptive_field
from vizhelpers.lessons.lesson_02.part_shares import part_shares
from vizhelpers.scenes import CLASSES, PARTS

CAR, WHEEL = CLASSES.index("car"), PARTS.index("wheel")


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 5, stride=2, padding=2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(5),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 6),
    )


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(11, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("layer", "batch_size"), [(0, 1), (3, 4), (3, 50)])
def test_patches_are_where_the_maxima_are(pictures: Tensor, layer: int, batch_size: int) -> None:
    model = small_network().eval()
    field = receptive_field(model, str(layer), (1, 3, 16, 16))
    patches = top_patches(model, str(layer), pictures, count=3, batch_size=batch_size)
    with torch.no_grad():
        # Nothing in place after the layer can spoil these.
        maps = model[: layer + 1](pictures).clone()
    for channel in range(maps.shape[1]):
        strongest = [(float(maps[i, channel].max()), i) for i in range(len(pictures))]
        strongest.sort(reverse=True)
        assert patches.images[channel].tolist() == [i for _, i in strongest[:3]]
        for k, (value, i) in enumerate(strongest[:3]):
            row, column = patches.positions[channel, k].tolist()
            assert patches.values[channel, k] == pytest.approx(value, rel=1e-5)
            assert float(maps[i, channel, row, column]) == pytest.approx(value, rel=1e-5)
            assert patches.boxes[channel, k].tolist() == list(field.box(row, column))


def test_vectors_have_the_whole_image_as_their_patch(pictures: Tensor) -> None:
    patches = top_patches(small_network(), "6", pictures, count=2)
    assert patches.values.shape == (6, 2)
    assert patches.boxes.unique(dim=0).flatten(0, 1).unique(dim=0).tolist() == [[0, 0, 16, 16]]
    torch.testing.assert_close(patches.crops(pictures, 5), pictures[patches.images[5]])


def test_of_equal_responses_the_first_counts() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    patches = top_patches(model, "1", torch.rand(7, 3, 8, 8), count=4, batch_size=3)
    assert patches.images.tolist() == [[0, 1, 2, 3]] * 2
    assert patches.positions.count_nonzero() == 0


class ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


def test_maps_may_have_their_channels_last(pictures: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), ChannelsLast())
    first, last = (top_patches(model, layer, pictures, count=2) for layer in ("0", "1"))
    for part in ("values", "images", "positions", "boxes"):
        assert torch.equal(getattr(first, part), getattr(last, part))


def test_crops_show_the_field_and_grey_outside() -> None:
    model = nn.Conv2d(3, 2, 5, stride=2, padding=2)
    nn.init.zeros_(model.bias)
    nn.init.ones_(model.weight)
    pictures = torch.zeros(3, 3, 16, 16)
    pictures[0, :, 0, 0] = 1.0  # seen by unit (0, 0), first of several
    pictures[1, :, 8, 10] = 0.9  # first by unit (3, 4), which begins at (4, 6)
    pictures[2, :, 15, 15] = 0.8  # first by unit (7, 7)
    patches = top_patches(model, "", pictures, count=3)
    assert patches.positions[1].tolist() == [[0, 0], [3, 4], [7, 7]]
    crops = patches.crops(pictures, 1)
    assert crops.shape == (3, 3, 5, 5)
    padded = F.pad(pictures, (2, 2, 2, 2), value=0.5)
    torch.testing.assert_close(crops[0], padded[0, :, 0:5, 0:5])
    torch.testing.assert_close(crops[1], padded[1, :, 6:11, 8:13])
    torch.testing.assert_close(crops[2], padded[2, :, 14:19, 14:19])


def test_crops_of_a_field_larger_than_the_image_keep_its_place() -> None:
    model = nn.Conv2d(3, 1, 21, stride=8, padding=10)
    pictures = torch.rand(2, 3, 16, 16)
    patches = top_patches(model, "", pictures, count=1)
    (crop,) = patches.crops(pictures, 0)
    top, left, bottom, right = patches.boxes[0, 0].tolist()
    assert crop.shape == (3, 16, 16)
    seen = torch.zeros(16, 16, dtype=torch.bool)
    seen[top:bottom, left:right] = True
    torch.testing.assert_close(crop[:, seen], pictures[patches.images[0, 0]][:, seen])
    assert (crop[:, ~seen] == 0.5).all()


class WheelDetector(nn.Module):
    """Channel 0 is the red of the image, channel 1 the green, channel 2 silent."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        nn.init.zeros_(self.conv.weight)
        self.conv.weight.data[0, 0, 1, 1] = self.conv.weight.data[1, 1, 1, 1] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


def wheels(bright: int) -> tuple[TopPatches, Tensor, Tensor]:
    """Ten cars with a wheel at (5, 5); red there in the first so many, else on the background.

    Green lies on the background in all of them.
    """
    images, parts = torch.zeros(10, 3, 10, 10), torch.zeros(10, 10, 10, dtype=torch.uint8)
    parts[:, 5, 5] = WHEEL
    parts[:, 6:8, 2:8] = PARTS.index("body")
    images[:bright, 0, 5, 5] = 1
    images[bright:, 0, 0, 9] = 1
    images[:, 1, 1, 1] = 1
    labels = torch.full((10,), CAR)
    return top_patches(WheelDetector(), "relu", images, count=10), parts, labels


def test_part_shares_name_what_a_channel_responds_to() -> None:
    patches, parts, labels = wheels(bright=8)
    shares = part_shares(patches, parts, labels)
    assert shares.names == ("background", "body of a car", "wheel of a car")
    torch.testing.assert_close(shares.base_rates, torch.tensor([0.87, 0.12, 0.01]).double())
    assert shares.hits.tolist() == [[2, 0, 8], [10, 0, 0], [0, 0, 0]]
    assert shares.counts.tolist() == [10, 10, 0]  # a silent channel has no patches
    framed = shares.patches_with(0, "wheel of a car")
    assert set(patches.images[0, framed].tolist()) == set(range(8))
    best, *others = shares.ranked()
    assert (best.channel, best.part, best.hits, best.count) == (0, "wheel of a car", 8, 10)
    assert best.chance == pytest.approx(9 * binom.sf(7, 10, 0.01))
    assert [share.chance for share in others] == [1, 1]
    assert str(best).startswith("channel 0: wheel of a car 8 of 10, 1.00% of all pixels, by ch")


def test_one_claim_is_checked_without_correction() -> None:
    shares = part_shares(*wheels(bright=3))
    share = shares.share(0, "wheel of a car")
    assert (share.hits, share.count) == (3, 10)
    assert share.chance == pytest.approx(binom.sf(2, 10, 0.01))
    assert shares.share(2, "wheel of a car").chance == 1
    with pytest.raises(ValueError, match="wheel of a car"):
        shares.share(0, "wing of a car")
    with pytest.raises(ValueError, match="channels 0 to 2"):
        shares.share(3, "background")


def test_the_middle_of_a_field_at_the_edge_stays_in_the_image() -> None:
    images = torch.zeros(1, 3, 10, 10)
    images[0, :, 9, 9] = 1
    model = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ZeroPad2d(3), nn.MaxPool2d(2, 2))
    nn.init.ones_(model[0].weight)
    parts = torch.arange(100).reshape(1, 10, 10).eq(99).to(torch.uint8) * WHEEL
    patches = top_patches(model, "2", images, count=1)
    assert patches.positions.tolist() == [[[6, 6]]]  # pixels 9 and 10, and 10 is padding
    assert part_shares(patches, parts, torch.tensor([CAR])).share(0, "wheel of a car").hits == 1


class Twice(nn.Module):
    """Two views of each image, which go through as one batch."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x / 2])


def test_broken_inputs_are_explained(pictures: Tensor) -> None:
    model = small_network()
    with pytest.raises(TypeError, match="images must be a tensor"):
        top_patches(model, "0", [pictures])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[12 or more, 3, H, W\]; got \[11, 3, 16, 16\]"):
        top_patches(model, "0", pictures, count=12)
    with pytest.raises(ValueError, match="must be 1 or more"):
        top_patches(model, "0", pictures, count=0)
    with pytest.raises(ValueError, match="has no layer 'conv1'"):
        top_patches(model, "conv1", pictures)
    pictures[3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        top_patches(model, "0", pictures)
    twice = nn.Sequential(Twice(), nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match=r"for 2 images '1' returns 4 maps: its first"):
        top_patches(twice, "1", torch.rand(3, 3, 16, 16), count=3, batch_size=2)
    vit, _ = ALL["vit"].build()
    with pytest.raises(ValueError, match="patches need maps"):
        top_patches(vit, "encoder.ln", pictures)


def test_crops_and_parts_must_be_of_the_same_scenes(pictures: Tensor) -> None:
    patches = top_patches(small_network(), "0", pictures, count=11)
    with pytest.raises(ValueError, match="16×16 images"):
        patches.crops(pictures[:, :, :8], 0)
    with pytest.raises(ValueError, match="at least 11 of them"):
        patches.crops(pictures[:5], 0)
    with pytest.raises(ValueError, match="channels 0 to 4"):
        patches.crops(pictures, 5)
    labels, parts = torch.zeros(11, dtype=torch.int64), torch.zeros(11, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="in which the patches were found"):
        part_shares(patches, parts[:4], labels[:4])
    with pytest.raises(ValueError, match="in which the patches were found"):
        part_shares(patches, parts[:, :4], labels)
    with pytest.raises(ValueError, match="no middle"):
        part_shares(top_patches(small_network(), "6", pictures), parts, labels)
