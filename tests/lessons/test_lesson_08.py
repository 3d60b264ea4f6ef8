"""Lesson 08: its six models, its measurements, and the checklist before one believes a map."""

import pytest
import torch
from torch import nn

import vizhelpers as vh
from vizhelpers.lessons.lesson_08 import checklist
from vizhelpers.lessons.lesson_08.checklist import before_you_believe
from vizhelpers.lessons.lesson_08.measurements import (
    answers_right,
    sure_of,
    token_changes,
    where_tools_apply,
)
from vizhelpers.lessons.lesson_08.mystery import mystery_network
from vizhelpers.lessons.lesson_08.networks import (
    OWN_MODEL,
    Segmenter,
    Subject,
    grey,
    grey_twin,
    half,
    own_network,
    small,
    vision_transformer,
)
from vizhelpers.lessons.lesson_08.transforms import TRANSFORMS

CAT = vh.CLASSES.index("cat")


@pytest.fixture(scope="module")
def expert():
    return vh.load_model("efficientnet_lite0")


def test_the_mean_over_all_places_of_the_segmentation_network_is_the_classifiers_score(
    resnet, scenes
):
    batch, segmenter = vh.normalize(scenes.images[:3]), Segmenter(resnet).eval()
    with torch.no_grad():
        found = segmenter(batch)
        expected = resnet(batch)
    assert torch.allclose(segmenter.head(found["features"]).mean(dim=(2, 3)), expected, atol=1e-4)
    assert found["out"].shape == (3, 10, 128, 128)


def test_the_network_for_grey_pictures_answers_as_the_colour_network_to_grey(expert):
    photos = grey(vh.zoo.load_photos("cat", "palace").images)
    before = expert.conv_stem.weight.clone()
    with torch.no_grad():
        found = grey_twin(expert)(half(photos))
        expected = expert(half(photos.expand(-1, 3, -1, -1)))
    assert torch.allclose(found, expected, atol=1e-3)
    assert torch.equal(expert.conv_stem.weight, before)


def test_the_strangers_network_knows_the_scenes_and_its_file_does_not_fit_as_it_is(scenes):
    some = slice(0, 200, 4)
    icons, labels = vh.normalize(small(scenes.images[some])), scenes.labels[some]
    assert answers_right(own_network(), icons, labels).float().mean() > 0.85
    network = f"{OWN_MODEL / 'resnet_cifar.py'}:ResNetCifar"
    with pytest.raises(ValueError, match=r"All 44 names begin with 'module\.'"):
        vh.zoo.load_your_model(network, weights=OWN_MODEL / "checkpoint.pth")
    assert answers_right(vh.zoo.load_your_model(network), icons, labels).float().mean() < 0.5


def test_the_unknown_network_is_the_photo_network_under_another_transform(expert):
    photos = vh.zoo.load_photos("cat", "espresso")
    found = sure_of(mystery_network(), photos.images, photos.labels, TRANSFORMS)
    right = sure_of(expert, photos.images, photos.labels, {"half": half})["half"]
    assert torch.allclose(found["ImageNet's mean and std"], right, atol=1e-3)
    assert max(found, key=lambda name: found[name].mean()) == "ImageNet's mean and std"


def test_one_patch_changes_its_own_token_before_the_first_block_and_all_behind_it():
    vit, before = vision_transformer(), torch.rand(1, 3, 224, 224)
    after = before.clone()
    after[:, :, 32:48, 160:176] = 0
    moved = token_changes(vit, before, after, ["patch_embed", "blocks.0"])
    assert moved["patch_embed"].nonzero().tolist() == [[2, 10]]
    assert (moved["blocks.0"] > 0).all()
    assert int(moved["blocks.0"].argmax()) == 2 * 14 + 10


def fails(checked):
    """The numbers of the lines that do not pass."""
    return [number for number, line in enumerate(checked.lines) if not line.passes]


def test_the_checklist_passes_a_good_map_and_finds_out_three_others(resnet, scenes, monkeypatch):
    for name, fewer in {"DRAWS": 1, "RANDOM_MAPS": 1, "STEPS": 2}.items():  # which is faster
        monkeypatch.setattr(checklist, name, fewer)
    picture = scenes["cat_on_room_0"].image
    given = picture, vh.normalize(picture)[None], CAT
    cats = {"others": vh.normalize(scenes.images[scenes.labels == CAT])}
    cheat = vh.load_model("resnet18", twin="shortcut")
    weights = resnet.fc.weight.clone()
    good = before_you_believe(resnet, *given, **cats)
    assert fails(good) == []
    assert good.lines[5].measured == "100% of 20 right"
    assert torch.equal(good.heat, vh.class_maps(resnet, given[1], CAT).maps[0])
    assert fails(before_you_believe(cheat, *given, **cats)) == [5]
    assert fails(before_you_believe(resnet, *given, **cats, method="EigenCAM")) == [2, 3]
    in_training = vh.load_model("resnet18").train()
    careless = before_you_believe(in_training, picture, picture[None], CAT)
    assert {0, 1} <= set(fails(careless))
    assert careless.lines[5].passes is None
    assert torch.equal(resnet.fc.weight, weights)
    assert in_training.training
    for name, value in resnet.state_dict().items():
        assert torch.equal(in_training.state_dict()[name], value), name


def test_tools_are_counted_by_the_layers_that_they_apply_to():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    ).eval()
    (found,) = where_tools_apply({"small": Subject(model, torch.rand(1, 3, 16, 16))}).values()
    assert found["Kernels"][1] == 5
    assert found["Kernels"][0] == 2  # the convolution and the linear layer
    assert found["Class activation map"][0] == 2  # the others have no places
