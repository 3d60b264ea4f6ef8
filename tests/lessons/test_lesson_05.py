"""What lesson 05 measures of saliency maps, against a calculation of its own."""

import torch

import vizhelpers as vh
from vizhelpers.lessons.lesson_05 import saliency_measurements as measurements


def test_sums_are_those_of_a_walk_in_small_steps() -> None:
    scenes, model = vh.load_scenes(), vh.load_model("resnet18")
    image, label, mask = vh.normalize(scenes.images[6:7]), scenes.labels[6:7], scenes.masks[6:7]
    found = measurements.sums_of_scenes(model, image, label, mask)
    alpha = (torch.arange(40) + 0.5) / 40
    path = (alpha[:, None, None, None] * image).requires_grad_()
    (gradients,) = torch.autograd.grad(model(path)[:, label].sum(), path)
    values = (gradients.mean(0) * image[0]).sum(0)
    with torch.no_grad():
        gap = (model(image) - model(0 * image))[0, label]
    assert torch.allclose(found.gaps, gap, atol=1e-4)
    assert torch.allclose(values.sum(), gap, atol=0.1)  # the walk itself is right
    assert torch.allclose(found.totals, values.sum(), atol=0.3)  # 16 steps only
    share = (values * (mask[0] > 0.5)).sum() / values.sum()
    assert torch.allclose(found.shares, share, atol=0.1)


def test_a_random_last_layer_is_only_lent() -> None:
    scenes, model = vh.load_scenes(), vh.load_model("resnet18")
    image, label = vh.normalize(scenes.images[6:7]), scenes.labels[6:7]
    before = model.get_parameter("fc.weight").detach().clone()
    trained = measurements.all_maps(model, image, label)
    broken = measurements.with_random_last_layer(model, image, label)
    assert torch.equal(model.get_parameter("fc.weight"), before)
    same = measurements.alike(trained, broken)
    assert same["GuidedBackprop"] > 0.9
    assert same["IntegratedGradients"].abs() < 0.5
