"""FlashTorch repaired: for every repair, FlashTorch alone doing it wrong, and this doing it right.

Where FlashTorch's own half of a pair fails one day, an upgrade has mended it. The gradients are
those of `saliency_maps`, which is tested on all kinds of models and images elsewhere.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flashtorch.activmax
import flashtorch.saliency
import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torchvision
from captum.attr import GuidedBackprop
from flashtorch.utils import (
    apply_transforms,
    denormalize,
    format_for_plotting,
    standardize_and_clip,
)
from PIL import Image
from support.models import ALL, BROKEN, CLASSES, Plain
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn

from vizhelpers.attribution.guided import NothingToGuideWarning
from vizhelpers.lessons.lesson_05.flashtorch import Backprop, GradientAscent
from vizhelpers.state import preserve_state

Theirs = flashtorch.saliency.Backprop
TheirAscent = flashtorch.activmax.GradientAscent

pytestmark = [
    # FlashTorch registers hooks of a kind that PyTorch has given up.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # FlashTorch gives tensors to matplotlib.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    yield
    plt.close("all")


def seeded(make: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def an_image(side: int = 16, channels: int = 3) -> Tensor:
    return seeded(lambda: torch.randn(1, channels, side, side))


def built(name: str) -> nn.Module:
    return ALL[name].build()[0]


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy on which FlashTorch's and captum's hooks can work."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


def by_autograd(model: nn.Module, image: Tensor, target: int | None = None) -> Tensor:
    """The gradient of a class score, by default of the predicted class."""
    leaf = image.detach().clone().requires_grad_()
    with preserve_state(model):
        scores = model.eval()(leaf.clone())[0]
        return torch.autograd.grad(scores.max() if target is None else scores[target], leaf)[0][0]


# -- the same calls ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "methods"),
    [
        (Backprop, Theirs, ("__init__", "calculate_gradients", "visualize")),
        (GradientAscent, TheirAscent, ("__init__", "optimize", "visualize", "deepdream")),
    ],
)
def test_calls_are_flashtorchs_which_itself_is_left_alone(
    ours: type, theirs: type, methods: tuple[str, ...]
) -> None:
    assert issubclass(ours, theirs)
    home = Path(inspect.getfile(flashtorch.saliency)).parent.parent
    for name in methods:
        assert home in Path(getattr(theirs, name).__code__.co_filename).parents
        wanted = inspect.signature(getattr(theirs, name)).parameters.values()
        given = list(inspect.signature(getattr(ours, name)).parameters.values())
        for before, now in zip(wanted, given, strict=False):
            assert (now.name, now.kind) == (before.name, before.kind)
            if (name, now.name) != ("visualize", "lr"):  # None: as far as the object says
                assert now.default == before.default
        assert all(p.default is not inspect.Parameter.empty for p in given[len(wanted) :])


# -- Backprop: the gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "residual", "vit"])
def test_plain_is_autograd_bit_for_bit_also_after_guided(name: str) -> None:
    model, image = built(name), an_image()
    backprop = Backprop(model)
    assert torch.equal(backprop.calculate_gradients(image), by_autograd(model, image))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingToGuideWarning)
        backprop.calculate_gradients(image, 1, guided=True)
    found = backprop.calculate_gradients(image, 1)
    assert torch.equal(found, by_autograd(model, image, 1))
    assert torch.equal(backprop.gradients, found[None])  # as FlashTorch keeps them
    largest = backprop.calculate_gradients(image, 1, take_max=True)
    assert torch.equal(largest, found.amax(0, keepdim=True))


def test_flashtorch_explains_another_class_and_stays_guided() -> None:
    model, image = out_of_place(built("plain")), an_image()
    theirs, wanted = Theirs(model), int(model(image).argmin())
    with pytest.warns(UserWarning, match="does not.*equal the target class"):
        found = theirs.calculate_gradients(image.requires_grad_(), wanted).clone()
    assert torch.equal(found, by_autograd(model, image))
    assert not torch.equal(found, by_autograd(model, image, wanted))
    theirs.calculate_gradients(image, guided=True)
    assert not torch.allclose(theirs.calculate_gradients(image), found)


def test_guided_is_captums() -> None:
    model, leaf = built("plain").eval(), an_image().requires_grad_()
    best = int(model(leaf).argmax())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it will set hooks
        expected = GuidedBackprop(out_of_place(model)).attribute(leaf, target=best)[0]
    found = Backprop(model).calculate_gradients(leaf, best, guided=True)
    theirs = Theirs(out_of_place(model)).calculate_gradients(leaf, best, guided=True)
    assert torch.allclose(found, expected, atol=1e-6)
    # FlashTorch multiplies by what the ReLU let through.
    assert torch.cosine_similarity(theirs.flatten(), expected.flatten(), dim=0) < 0.99


def test_a_network_without_relus_is_told_so_in_the_callers_line() -> None:
    with pytest.warns(NothingToGuideWarning, match="no ReLU") as seen:
        Backprop(built("keywords")).calculate_gradients(an_image(), guided=True)
    assert seen[0].filename == __file__


def test_one_output_is_a_class_by_itself_and_of_two_equal_ones_one_is_explained() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))
    for target in (None, 0):
        assert Backprop(model).calculate_gradients(an_image(), target).any()
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    found = Backprop(model).calculate_gradients(torch.zeros(1, 3, 2, 2))
    assert any(torch.equal(found.flatten(), weights) for weights in model[1].weight)


# -- nothing is left behind ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::vizhelpers.attribution.guided.NothingToGuideWarning")
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *(("plain", "features.3"), ("residual", "layer1.1.conv2"), ("functional", "conv")),
        *(("frozen_backbone", "conv"), ("frozen_everything", "conv")),
    ],
)
def test_nothing_is_left_behind_not_even_after_an_error(name: str, layer: str) -> None:
    model, (images,) = ALL[name].build()
    some_grads(model)
    image = images[:1].clone()
    before, numbers = portrait(model), random_numbers()
    Backprop(model).visualize(image, 1, guided=True)
    ascent = GradientAscent(model, 16)
    ascent.optimize(layer, 1, image, num_iter=2)
    ascent.visualize(layer, [0, 1], num_iter=1)
    ascent.visualize(layer, num_iter=1)
    ascent.deepdream(Image.new("RGB", (20, 16), "red"), layer, 0, num_iter=1)
    with pytest.raises(ValueError, match="no class 77"):
        Backprop(model).visualize(image, 77, guided=True)
    with pytest.raises(ValueError, match="channels"):
        ascent.optimize(layer, 1, an_image(channels=7))
    assert portrait(model) == before
    assert random_numbers() == numbers
    assert torch.equal(image, images[:1])
    assert not image.requires_grad
    assert ascent.handlers == []


def test_flashtorch_leaves_hooks_mode_gradients_and_statistics() -> None:
    model = built("residual")
    before = portrait(model)
    Theirs(out := out_of_place(model)).calculate_gradients(an_image().requires_grad_(), guided=True)
    assert any(module._backward_hooks for module in out.modules())
    assert out.stem.weight.grad is not None
    model = out_of_place(model).train()
    before = portrait(model)
    TheirAscent(model, 16).optimize(model.layer1[0].conv1, 1, num_iter=1)
    changed = {key for key, value in portrait(model).items() if before[key] != value}
    expected = {"layer1.0.bn1.running_mean values", "layer1.0.conv1 hooks", "stem.weight grad"}
    assert expected <= changed


def test_a_model_that_fails_comes_back_as_it_was() -> None:
    model, _ = BROKEN["refuses"].build()
    before = portrait(model)
    late = nn.Sequential(model, nn.Conv2d(4, 4, 3))
    for call in (
        lambda: Backprop(model).visualize(an_image(), 1),
        lambda: GradientAscent(late, 16).visualize("1", 1),
    ):
        with pytest.raises(RuntimeError, match="never answers"):
            call()
    assert portrait(model) == before
    assert not plt.get_fignums()
    # What is behind the layer does not run.
    assert len(GradientAscent(late, 16).optimize("0.conv", 1, num_iter=1)) == 1


# -- the pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("needs_grad", [True, False])
def test_the_picture_is_flashtorchs_own_which_alone_fails(needs_grad: bool) -> None:
    model, image = built("plain"), (0.1 * an_image()).requires_grad_(needs_grad)
    message = "Unbind is a view" if needs_grad else "'NoneType' object has no attribute 'shape'"
    with pytest.raises((RuntimeError, AttributeError), match=message):
        Theirs(out_of_place(model)).visualize(image, None)
    backprop = Backprop(model)
    options = {"guided": True, "cmap": "magma", "alpha": 0.3, "figsize": (8, 2)}
    gradients, largest = backprop.visualize(image, 2, return_output=True, **options)
    assert torch.equal(gradients, backprop.calculate_gradients(image, 2, guided=True))
    assert torch.equal(largest, gradients.amax(0, keepdim=True))
    (figure,) = map(plt.figure, plt.get_fignums())
    assert figure.get_size_inches().tolist() == [8, 2]
    titles = ["Input image", "Gradients across RGB channels", "Max gradients", "Overlay"]
    assert [axes.get_title() for axes in figure.axes] == titles
    photo = format_for_plotting(denormalize(image.detach()))
    colours, one = (format_for_plotting(standardize_and_clip(g)) for g in (gradients, largest))
    panels = [[layer.get_array() for layer in axes.images] for axes in figure.axes]
    for layers, expected in zip(panels, ([photo], [colours], [one], [photo, one]), strict=True):
        for layer, pixels in zip(layers, expected, strict=True):
            np.testing.assert_array_equal(layer, pixels.numpy())
    assert figure.axes[2].images[0].get_cmap().name == "magma"
    assert figure.axes[3].images[1].get_alpha() == 0.3
    assert backprop.visualize(image.bfloat16(), 2) is None


def test_grey_images_are_drawn_grey_and_two_channels_not_at_all() -> None:
    Backprop(built("one_channel")).visualize(an_image(channels=1), 1)
    panels = [[layer.get_cmap().name for layer in panel.images] for panel in plt.gcf().axes]
    assert panels == [["gray"], ["gray"], ["viridis"], ["gray", "viridis"]]
    model, image = seeded(lambda: Plain(channels=2)), an_image(channels=2)
    assert Backprop(model).calculate_gradients(image, 1).shape == (2, 16, 16)
    with pytest.raises(ValueError, match="2 channels cannot be drawn"):
        Backprop(model).visualize(image, 1)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (torch.rand(2, 3, 16, 16), ValueError, r"one image at a time.*images\[\[i\]\]"),
        (torch.rand(3, 16, 16), ValueError, r"becomes a batch with image\[None\]"),
        (torch.ones(1, 3, 16, 16, dtype=torch.uint8), TypeError, "floats.*torch.uint8"),
        (np.ones((1, 3, 16, 16)), TypeError, "got ndarray"),
        (torch.rand(1, 1, 16, 16), ValueError, r"1 channels, but the model takes 3.*expand"),
    ],
)
def test_images_that_do_not_fit(image: Any, kind: type[Exception], message: str) -> None:
    model = built("plain")
    for call in (Backprop(model).calculate_gradients, Backprop(model).visualize):
        with pytest.raises(kind, match=message):
            call(image, 1)
    with pytest.raises(kind, match=message):
        GradientAscent(model).optimize("features.0", 1, image, num_iter=1)


def test_classes_and_models_that_do_not_fit() -> None:
    backprop, image = Backprop(built("plain")), an_image()
    expected = backprop.calculate_gradients(image, 2)
    assert torch.equal(backprop.calculate_gradients(image, torch.tensor(2)), expected)
    for wrong in (CLASSES, -1):
        with pytest.raises(ValueError, match=f"no class {wrong}: .* 0 to {CLASSES - 1}"):
            backprop.calculate_gradients(image, wrong)
    with pytest.raises(TypeError, match=r"classes \(integers\).* 1.5"):
        backprop.calculate_gradients(image, 1.5)
    for kind in (Backprop, GradientAscent):
        with pytest.raises(TypeError, match="Module"):
            kind("alexnet")
    with pytest.raises(TypeError, match=r"returns dict.*Wrap it"):
        Backprop(built("dict_output")).calculate_gradients(image, 1)
    with pytest.raises(ValueError, match=r"the scores .*have the shape"):
        Backprop(built("one_layer")).calculate_gradients(image, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    model, image = built("plain"), an_image()
    before = portrait(model)
    cpu = Backprop(model).calculate_gradients(image, 1)
    gpu = Backprop(model).calculate_gradients(image, 1, use_gpu=True)
    assert gpu.device.type == "cpu"
    assert torch.allclose(cpu, gpu, atol=1e-3)
    steps = GradientAscent(model, 16, use_gpu=True).optimize("features.3", 1, num_iter=2)
    expected = GradientAscent(model, 16).optimize("features.3", 1, num_iter=2)
    assert torch.allclose(steps[-1], expected[-1], atol=0.05)
    assert portrait(model) == before
    model.cuda()
    assert torch.allclose(Backprop(model).calculate_gradients(image, 1), cpu, atol=1e-3)


# -- GradientAscent --------------------------------------------------------------------------------


def ascent(name: str = "plain", **options: Any) -> GradientAscent:
    return GradientAscent(built(name), **{"img_size": 16} | options)


def rises(steps: list[Tensor]) -> float:
    """How far the second step went."""
    return float((steps[1] - steps[0]).square().mean().sqrt())


@pytest.mark.parametrize("layer", ["0", "6"])
def test_climbs_as_flashtorch_does(layer: str) -> None:
    features = seeded(torchvision.models.alexnet).features.eval()
    start, other = an_image(64), out_of_place(features)
    theirs = TheirAscent(other, 64, lr=0.7).optimize(
        other[int(layer)], 5, start.clone().requires_grad_(), num_iter=3
    )
    climber = GradientAscent(features, 64, lr=0.7)
    ours = climber.optimize(features[int(layer)], 5, start, num_iter=3)
    for mine, step in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, step.detach(), atol=1e-3)
        assert not mine.requires_grad
    assert not torch.allclose(ours[0], ours[1], atol=1e-2)
    named = climber.optimize(layer, 5, start, num_iter=1)
    assert torch.equal(named[0], ours[0])
    with torch.inference_mode():
        assert torch.equal(climber.optimize(layer, 5, start.clone(), 3)[-1], ours[-1])
    features.double()
    assert torch.allclose(climber.optimize(layer, 5, start, 1)[0], ours[0], atol=1e-3)


def filters_drawn() -> list[int]:
    return [int(axes.get_title().split()[1]) for axes in plt.gcf().axes[1:]]


def test_noise_and_random_filters_come_from_the_seed_alone() -> None:
    pictures, drawn = [], []
    for seed in (0, 0, 1):
        torch.manual_seed(len(drawn))
        np.random.seed(len(drawn))
        pictures.append(ascent(seed=seed).optimize("features.3", 1, num_iter=1)[0])
        ascent(seed=seed).visualize("features.3", num_iter=1)
        drawn.append(filters_drawn())
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert drawn[0] == drawn[1] != drawn[2]
    found = ascent().visualize("features.0", num_iter=1, num_subplots=30, return_output=True)
    assert len(found) == 8
    assert sorted(filters_drawn()) == list(range(8))
    model = out_of_place(built("plain"))
    one, two = (TheirAscent(model, 16).optimize(model.features[3], 1)[-1] for _ in range(2))
    assert not torch.equal(one, two)
    np.random.seed(0)
    TheirAscent(model, 16).visualize(model.features[0], num_iter=1, num_subplots=8)
    assert len(set(filters_drawn())) < 8  # FlashTorch draws some of them twice


def test_the_step_is_what_was_said() -> None:
    climber = ascent(lr=0.25)
    photo = Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    options = {"num_iter": 2, "return_output": True}
    for length, steps in (
        (0.25, climber.optimize("features.0", 1, num_iter=2)),
        (0.25, climber.visualize("features.0", 1, **options)),
        (0.5, climber.visualize("features.0", 1, lr=0.5, **options)),
        (0.1, climber.deepdream(photo, "features.0", 1, **options)),
    ):
        assert rises(steps) == pytest.approx(length, rel=0.01)
        assert climber.lr == 0.25
    with pytest.raises(ValueError, match="num_iter must be 1 or more, got 0"):
        climber.visualize("features.0", 1, lr=3, num_iter=0)
    assert climber.lr == 0.25
    climber.lr = 2.0
    assert rises(climber.optimize("features.0", 1, num_iter=2)) == pytest.approx(2, rel=0.01)
    model = out_of_place(built("plain"))
    theirs = TheirAscent(model, 16, lr=0.25)
    theirs.visualize(model.features[0], 1, num_iter=1)
    assert theirs.lr == 1


def test_layers_and_filters_that_do_not_exist() -> None:
    climber, theirs = ascent(), out_of_place(built("plain"))
    with pytest.raises(IndexError):
        TheirAscent(theirs, 16).optimize(theirs.features[0], 8)
    for wrong in (8, -1):
        with pytest.raises(ValueError, match=f"no filter {wrong}: this layer has 0 to 7"):
            climber.optimize("features.0", wrong)
        with pytest.raises(ValueError, match="0 to 7"):
            climber.visualize("features.0", [0, wrong])
    for kind in (1.0, "1", None, [1]):
        with pytest.raises(TypeError, match="a filter must be an integer"):
            climber.optimize("features.0", kind)
    for options in ({"filter_idxs": []}, {"num_subplots": 0}):
        with pytest.raises(ValueError, match="no filter is named"):
            climber.visualize("features.0", **options)
    with pytest.raises(ValueError, match="Did you mean 'features"):
        climber.optimize("feature.3", 2)
    with pytest.raises(ValueError, match="another"):
        climber.optimize(copy.deepcopy(climber.model).features[3], 2)
    for wrong_layer in ("classifier", "features.1", climber.model.features):
        with pytest.raises(TypeError, match="must be a Conv2d"):
            climber.visualize(wrong_layer, 2)
    with pytest.raises(ValueError, match=r"3 channels, but the model takes 1.*input_"):
        ascent("one_channel").optimize("features.0", 1)
    (found,) = ascent("one_channel").optimize("features.0", 1, an_image(channels=1), num_iter=1)
    assert found.shape == (1, 1, 16, 16)
    assert not plt.get_fignums()


def test_unusual_models() -> None:
    class Mine(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul_(2))

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.relu(self.first(x)))

    model, start = seeded(Backwards), an_image()
    (found,) = GradientAscent(model).optimize("second", 1, start, num_iter=1)
    leaf = start.clone().requires_grad_()
    gradient = torch.autograd.grad(model(leaf)[:, 1].mean(), leaf)[0]
    expected = start + gradient / (gradient.square().mean().sqrt() + 1e-5)
    assert torch.allclose(found, expected, atol=1e-3)
    (theirs,) = TheirAscent(model).optimize(
        model.second, 1, start.clone().requires_grad_(), num_iter=1
    )
    assert torch.equal(theirs, start)  # FlashTorch adds zeros
    # A subclass of Conv2d, which writes into its input, in a compiled model.
    odd, untouched = nn.Sequential(Mine(3, 4, 3)), start.clone()
    compiled = torch.compile(odd, backend="eager")
    assert GradientAscent(compiled).optimize("0", 1, start, num_iter=1)
    assert torch.equal(start, untouched)
    with pytest.raises(TypeError):
        TheirAscent(odd, 16).optimize(odd[0], 1)
    with pytest.raises(ValueError, match="does not depend on the image"):
        GradientAscent(nn.Sequential(Deaf(), nn.Conv2d(3, 1, 3))).optimize("1", 0, start)


class Deaf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def drawn_as(image: Tensor) -> Any:
    return format_for_plotting(standardize_and_clip(image, saturation=0.15, brightness=0.7)).numpy()


def test_filters_in_every_form_and_flashtorchs_pictures_of_them() -> None:
    climber = ascent()
    expected = climber.optimize("features.3", 3, num_iter=2)
    options = {"num_iter": 2, "figsize": (3, 2), "title": "three", "return_output": True}
    for single in (3, np.int64(3), torch.tensor(3)):
        found = climber.visualize("features.3", single, **options)
        assert torch.equal(found[-1], expected[-1])
        (axes,) = plt.gcf().axes
        assert axes.get_title() == "three"
        assert plt.gcf().get_size_inches().tolist() == [3, 2]
        np.testing.assert_array_equal(axes.images[0].get_array(), drawn_as(found[-1]))
    for several in ([1, 3], range(1, 4, 2), torch.tensor([1, 3])):
        found = climber.visualize("features.3", several, **options)
        assert torch.equal(found[1][-1], expected[-1])
        assert filters_drawn() == [1, 3]
        for axes, steps in zip(plt.gcf().axes[1:], found, strict=True):
            np.testing.assert_array_equal(axes.images[0].get_array(), drawn_as(steps[-1]))
    assert climber.visualize("features.3", 3, num_iter=1) is None


def test_deepdream_starts_from_a_photo_upright_and_of_any_depth(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    photo, path, turned = Image.fromarray(pixels), tmp_path / "a.png", tmp_path / "turned.png"
    photo.save(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.rotate(90, expand=True).save(turned, exif=exif)
    climber = ascent(lr=0.1)
    expected = climber.optimize("features.3", 2, apply_transforms(photo, 16), num_iter=2)
    for source in (path, str(path), photo, turned):
        found = climber.deepdream(source, "features.3", 2, num_iter=2, return_output=True)
        assert torch.equal(found[-1], expected[-1])
        (axes,) = plt.gcf().axes
        assert axes.get_title() == "DeepDream"
        np.testing.assert_array_equal(axes.images[0].get_array(), drawn_as(found[-1]))
    assert climber.deepdream(path, "features.3", 2, num_iter=1) is None
    model = out_of_place(climber.model)
    theirs = TheirAscent(model, 16).deepdream(
        str(path), model.features[3], 2, num_iter=2, return_output=True
    )
    assert torch.allclose(theirs[-1].detach(), expected[-1], atol=1e-3)
    load = flashtorch.activmax.gradient_ascent.load_image
    assert load(turned).size == (16, 20)  # FlashTorch leaves it lying
    grey = np.linspace(0, 65535, 400).reshape(20, 20)
    deep, flat = tmp_path / "deep.png", Image.fromarray((grey / 257).round().astype(np.uint8))
    Image.fromarray(grey.astype(np.uint16)).save(deep)
    one, other = (
        climber.deepdream(source, "features.3", 2, num_iter=1, return_output=True)[0]
        for source in (deep, flat)
    )
    assert torch.allclose(one, other, atol=0.05)
    assert (np.asarray(load(deep)) == 255).mean() > 0.9  # FlashTorch makes it white
    with pytest.raises(FileNotFoundError, match=r"There is no '.*b\.jpg'"):
        climber.deepdream(tmp_path / "b.jpg", "features.3", 2)
