"""Lesson 04: what it measures on many pictures, its wrong inputs, and its picker's words."""

import pytest
import torch

import vizhelpers as vh
from vizhelpers.lessons.lesson_04.explained import explained
from vizhelpers.lessons.lesson_04.measurements import cascade, deleted, emptied, peak_hits
from vizhelpers.lessons.lesson_04.wrong_inputs import six_wrong_inputs


def test_a_peak_is_a_hit_where_the_object_is(resnet, scenes):
    some = slice(15, 21)  # one of them is a miss
    images, masks = vh.normalize(scenes.images[some]), scenes.masks[some]
    peaks = vh.class_maps(resnet, images).maps.flatten(1).argmax(1)
    expected = masks.flatten(1).gather(1, peaks[:, None])[:, 0] > 0.5
    assert 0 < expected.sum() < 6
    assert torch.equal(peak_hits(resnet, images, masks) > 0.5, expected)


def test_the_strongest_pixels_are_deleted_first():
    image, fill = torch.zeros(3, 4, 5), torch.ones(3, 4, 5)
    heat = torch.randperm(20, generator=torch.Generator().manual_seed(0)).view(4, 5)
    none, some, everything = deleted(image, heat.float(), fill, [0, 0.25, 1])
    assert torch.equal(none, image)
    assert torch.equal(everything, fill)
    assert torch.equal(some, (heat >= 15).float().expand(3, -1, -1))


def test_an_emptied_scene_has_lost_its_object_and_nothing_else(scenes):
    some = slice(6, 9)
    change = (emptied(scenes, some) - scenes.images[some]).abs().amax(1)
    masks = scenes.masks[some]
    assert (change[masks == 1] > 0.02).float().mean() > 0.9
    assert (change[masks == 0] == 0).float().mean() > 0.85  # the rest is the object's shadow


def test_only_what_a_wrong_input_names_is_wrong(scenes):
    images, masks, labels = scenes.images[:5], scenes.masks[:5], scenes.labels[:5]
    fed = six_wrong_inputs(images, masks, labels)
    assert torch.equal(fed["right"].batch, vh.normalize(images))
    assert torch.equal(fed["BGR"].shown, images[:, [2, 1, 0]])
    assert torch.equal(fed["not normalised"].batch, images)
    assert fed["bytes // 255"].shown.unique().tolist() == [0, 1]
    numbers = fed["another list's class"].classes
    names = [sorted(vh.CLASSES)[number] for number in numbers]
    assert names == [vh.CLASSES[label] for label in labels]
    assert not torch.equal(numbers, labels)
    for name, area in {"squashed": 1 / 2, "screenshot": 1 / 4}.items():
        assert float(fed[name].masks.mean()) == pytest.approx(area * float(masks.mean()), rel=1e-3)
        assert fed[name].shown.shape == images.shape


def test_a_cascade_begins_with_the_trained_network_and_gives_it_back(resnet, scenes):
    images, labels = vh.normalize(scenes.images[:2]), scenes.labels[:2]
    before = {name: values.clone() for name, values in resnet.state_dict().items()}
    found = cascade(resnet, images, labels, ["GradCAM", "EigenCAM"], ["fc", "conv1"])
    assert torch.equal(found["GradCAM"]["trained"], vh.class_maps(resnet, images, labels).maps)
    assert list(found["EigenCAM"]) == ["trained", "fc", "conv1"]
    assert torch.equal(found["EigenCAM"]["fc"], found["EigenCAM"]["trained"])
    assert not torch.equal(found["GradCAM"]["fc"], found["GradCAM"]["trained"])
    assert all(torch.equal(values, before[name]) for name, values in resnet.state_dict().items())


@pytest.mark.parametrize("method", ["GradCAM", "FullGrad"])
def test_the_picker_tells_how_strong_a_map_is(method, resnet, scenes):
    options = {"layer": "layer4", "method": method}
    _, own = explained(resnet, scenes["cat_on_sky_0"], asked="predicted", **options)
    _, other = explained(resnet, scenes["cat_on_sky_0"], asked="penguin", **options)
    assert own.startswith("says cat")
    assert ("100% of the predicted" in own) == ("10% of the predicted" in other)
    assert ("raw maximum" in own) == (method == "GradCAM")
