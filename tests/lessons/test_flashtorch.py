"""FlashTorch repaired: for every repair, FlashTorch alone doing it wrong, and this doing it right.

Where FlashTorch's own half of a pair fails one day, an upgrade has mended it.
"""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
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
from vizhelpers.attribution.saliency import saliency_maps
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


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def an_image(side: int = 16, channels: int = 3) -> Tensor:
    return seeded(lambda: torch.randn(1, channels, side, side))


@cache  # nothing here may change it
def network(name: str, **options: Any) -> nn.Module:
    return seeded(
        lambda: getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
    )


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy on which FlashTorch's and captum's hooks can work."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


def by_autograd(model: nn.Module, image: Tensor, target: int) -> Tensor:
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad(scores_of(model, leaf.clone())[target], leaf)[0][0]


def scores_of(model: nn.Module, image: Tensor) -> Tensor:
    with preserve_state(model):
        return model.eval()(image)[0]


def captums_guided(model: nn.Module, image: Tensor, target: int) -> Tensor:
    from captum.attr import GuidedBackprop

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GuidedBackprop(out_of_place(model)).attribute(
            image.detach().clone().requires_grad_(), target=target
        )[0]


def other_than_best(model: nn.Module, image: Tensor) -> int:
    """A class that is not predicted."""
    return int(scores_of(model, image).argsort()[-2])


# -- the same calls ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "methods"),
    [
        (Backprop, Theirs, ("__init__", "calculate_gradients", "visualize")),
        (GradientAscent, TheirAscent, ("__init__", "optimize", "visualize", "deepdream")),
    ],
)
def test_calls_are_flashtorchs(ours: type, theirs: type, methods: tuple[str, ...]) -> None:
    assert issubclass(ours, theirs)
    for name in methods:
        wanted = inspect.signature(getattr(theirs, name)).parameters.values()
        given = list(inspect.signature(getattr(ours, name)).parameters.values())
        for before, now in zip(wanted, given, strict=False):
            assert (now.name, now.kind) == (before.name, before.kind)
            if (name, now.name) != ("visualize", "lr"):  # None: as far as the object says
                assert now.default == before.default
        assert len(given) >= len(wanted)
        assert all(p.default is not inspect.Parameter.empty for p in given[len(wanted) :])


def test_flashtorch_itself_is_left_alone() -> None:
    code = (
        "import sys, vizhelpers\n"
        "assert 'flashtorch' not in sys.modules\n"
        "import inspect, flashtorch.saliency, flashtorch.activmax, flashtorch.utils as utils\n"
        "def parts():\n"
        "    for holder in (flashtorch.saliency, flashtorch.activmax, utils,\n"
        "                   flashtorch.saliency.Backprop, flashtorch.activmax.GradientAscent,\n"
        "                   inspect.getmodule(flashtorch.saliency.Backprop),\n"
        "                   inspect.getmodule(flashtorch.activmax.GradientAscent)):\n"
        "        for name, value in vars(holder).items():\n"
        "            if not name.startswith('__') or name == '__init__':\n"
        "                yield str(holder), name, value, getattr(value, '__code__', None)\n"
        "before = list(parts())\n"
        "from vizhelpers.lessons.lesson_05 import flashtorch as flash\n"
        "after = list(parts())\n"
        "assert len(before) > 30\n"
        "assert before == after\n"
        "assert flashtorch.saliency.Backprop is not flash.Backprop\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


FAMILIES = {
    "alexnet": 64,
    "vgg11": 32,
    "resnet18": 32,
    "squeezenet1_1": 32,
    "densenet121": 32,
    "mobilenet_v2": 32,
    "googlenet": 32,
    "inception_v3": 75,
}
EXTRA: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
}


@pytest.mark.filterwarnings("ignore::vizhelpers.attribution.guided.NothingToGuideWarning")
@pytest.mark.parametrize(("name", "side"), FAMILIES.items())
def test_every_family_of_torchvision(name: str, side: int) -> None:
    model = network(name, **EXTRA.get(name, {})).train()
    image = an_image(side)
    backprop = Backprop(model)
    gradients = backprop.calculate_gradients(image, 3)
    assert gradients.shape == (3, side, side)
    if name != "squeezenet1_1":  # it ends in a ReLU
        assert gradients.any()
    assert backprop.calculate_gradients(image, 3, take_max=True).shape == (1, side, side)
    assert backprop.calculate_gradients(image, 3, guided=True).shape == (3, side, side)
    first = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    steps = GradientAscent(model, img_size=side).optimize(first, 1, num_iter=2)
    assert [step.shape for step in steps] == [(1, 3, side, side)] * 2
    assert model.training


# -- Backprop: the gradients -----------------------------------------------------------------------


def test_the_class_that_is_asked_for() -> None:
    model, image = ALL["plain"].build()[0].eval(), an_image()
    best, wanted = int(model(image).argmax()), other_than_best(model, image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Backprop(model).calculate_gradients(image, wanted)
    assert torch.equal(found, by_autograd(model, image, wanted))
    with pytest.warns(UserWarning, match="does not.*equal the target class"):
        theirs = Theirs(out_of_place(model)).calculate_gradients(
            image.clone().requires_grad_(), wanted
        )
    assert torch.equal(theirs, by_autograd(model, image, best))
    assert not torch.equal(theirs, found)


def test_no_class_is_the_predicted_one() -> None:
    for name in ("plain", "residual", "functional", "vit", "attention"):
        model, (images,) = ALL[name].build()
        best = int(scores_of(model, images[:1]).argmax())
        found = Backprop(model).calculate_gradients(images[:1])
        assert torch.equal(found, by_autograd(model, images[:1], best))


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_plain_is_autograd_bit_for_bit_also_after_guided(name: str) -> None:
    model, image = network(name), an_image(64)
    best = int(scores_of(model, image).argmax())
    expected = by_autograd(model, image, best)
    backprop = Backprop(model)
    assert torch.equal(backprop.calculate_gradients(image, best), expected)
    backprop.calculate_gradients(image, best, guided=True)
    assert torch.equal(backprop.calculate_gradients(image, best), expected)
    assert torch.equal(by_autograd(model, image, best), expected)


def test_flashtorch_stays_guided() -> None:
    model, image = out_of_place(ALL["plain"].build()[0]), an_image().requires_grad_()
    theirs = Theirs(model)
    plain = theirs.calculate_gradients(image).clone()
    theirs.calculate_gradients(image, guided=True)
    assert not torch.allclose(theirs.calculate_gradients(image), plain)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_guided_is_captums(name: str) -> None:
    model, image = network(name), an_image(64)
    best = int(scores_of(model, image).argmax())
    expected = captums_guided(model, image, best)
    found = Backprop(model).calculate_gradients(image, best, guided=True)
    theirs = Theirs(out_of_place(model)).calculate_gradients(
        image.clone().requires_grad_(), best, guided=True
    )

    def likeness(gradients: Tensor) -> float:
        flat, right = gradients.double().flatten(), expected.double().flatten()
        return float(torch.cosine_similarity(flat / flat.norm(), right / right.norm(), dim=0))

    assert likeness(found) > 0.9999
    assert likeness(theirs) < 0.99  # it multiplies by what the ReLU let through


def test_guided_is_that_of_saliency_maps() -> None:
    model, (images,) = ALL["functional"].build()
    found = Backprop(model).calculate_gradients(images[:1], 2, guided=True)
    assert torch.equal(
        found, saliency_maps(model, images[:1], 2, method="GuidedBackprop").signed[0]
    )
    with pytest.warns(NothingToGuideWarning, match="no ReLU") as seen:
        Backprop(ALL["keywords"].build()[0]).calculate_gradients(images[:1], guided=True)
    assert seen[0].filename == __file__


def test_of_two_equal_scores_one_is_explained() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    found = Backprop(model).calculate_gradients(torch.zeros(1, 3, 2, 2))
    assert any(torch.equal(found.flatten(), weights) for weights in model[1].weight)


def test_largest_over_the_channels() -> None:
    model, (images,) = ALL["residual"].build()
    backprop = Backprop(model)
    whole = backprop.calculate_gradients(images[:1], 1)
    largest = backprop.calculate_gradients(images[:1], 1, take_max=True)
    assert torch.equal(largest, whole.amax(0, keepdim=True))
    assert torch.equal(backprop.gradients, whole[None])  # as FlashTorch keeps them
    theirs = Theirs(out_of_place(model))
    theirs.calculate_gradients(images[:1].clone().requires_grad_())
    assert theirs.gradients.shape == backprop.gradients.shape


def test_one_output_is_a_class_by_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))
    for target in (None, 0):
        assert Backprop(model).calculate_gradients(an_image(), target).any()


# -- nothing is left behind ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::vizhelpers.attribution.guided.NothingToGuideWarning")
@pytest.mark.parametrize("name", ["plain", "residual", "batch_norm", "frozen_backbone", "vit"])
def test_backprop_leaves_nothing_behind(name: str) -> None:
    model, (images,) = ALL[name].build()
    some_grads(model)
    image = images[:1]
    before, numbers, untouched = portrait(model), random_numbers(), image.clone()
    backprop = Backprop(model)
    backprop.calculate_gradients(image, 1)
    backprop.calculate_gradients(image, 1, guided=True)
    backprop.visualize(image, 1, guided=True)
    assert portrait(model) == before
    assert random_numbers() == numbers
    assert torch.equal(image, untouched)
    assert not image.requires_grad
    assert image.grad is None


def test_flashtorch_leaves_hooks_mode_and_gradients() -> None:
    model, (images,) = ALL["plain"].build()
    before = portrait(model)
    Theirs(model).calculate_gradients(images[:1].requires_grad_(), guided=True)
    after = portrait(model)
    changed = {key.rpartition(" ")[2] for key in before if before[key] != after[key]}
    assert {"mode", "hooks", "grad"} <= changed
    assert images.grad is None  # of a slice; the parameters have theirs


def test_backprop_leaves_nothing_behind_after_an_error() -> None:
    for model, error in (
        (BROKEN["refuses"].build()[0], "never answers"),
        (BROKEN["wrong_linear"].build()[0], "shapes"),
        (ALL["batch_norm"].build()[0], "no class 77"),
    ):
        some_grads(model)
        before, numbers = portrait(model), random_numbers()
        for call in (Backprop(model).calculate_gradients, Backprop(model).visualize):
            with pytest.raises((RuntimeError, ValueError), match=error):
                call(an_image(), 77, guided=True)
        assert portrait(model) == before
        assert random_numbers() == numbers
        assert not plt.get_fignums()


def test_frozen_models_and_images_of_all_kinds() -> None:
    frozen, (images,) = ALL["frozen_everything"].build()
    image = images[:1]
    expected = Backprop(ALL["batch_norm"].build()[0]).calculate_gradients(image, 1)
    backprop = Backprop(frozen)
    assert torch.equal(backprop.calculate_gradients(image, 1), expected)
    wanted = image.clone().requires_grad_()
    assert torch.equal(backprop.calculate_gradients(wanted, 1), expected)
    assert wanted.grad is None
    with torch.no_grad():
        assert torch.equal(backprop.calculate_gradients(image, 1), expected)
    with torch.inference_mode():
        # Made here, autograd wants to know nothing of it.
        assert torch.equal(backprop.calculate_gradients(image.clone(), 1), expected)
        backprop.visualize(image.clone(), 1, guided=True)
    frozen.double()
    found = backprop.calculate_gradients(image, 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-6)
    backprop.visualize(image.bfloat16(), 1)


class InPlace(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


def test_a_model_that_writes_into_its_input() -> None:
    model, image = seeded(InPlace), an_image()
    untouched = image.clone()
    assert Backprop(model).calculate_gradients(image, 1).any()
    assert GradientAscent(model).optimize("features.0", 1, image, num_iter=1)
    assert torch.equal(image, untouched)


def test_a_compiled_model() -> None:
    model, (images,) = ALL["plain"].build()
    compiled = torch.compile(model, backend="eager")
    expected = Backprop(model).calculate_gradients(images[:1], 1)
    assert torch.equal(Backprop(compiled).calculate_gradients(images[:1], 1), expected)
    ascent = GradientAscent(compiled, img_size=16)
    assert len(ascent.optimize(model.features[3], 1, num_iter=1)) == 1


# -- Backprop: the picture -------------------------------------------------------------------------


@pytest.mark.parametrize("needs_grad", [True, False])
def test_flashtorchs_picture_fails(needs_grad: bool) -> None:
    model, (images,) = ALL["plain"].build()
    image = images[:1].clone().requires_grad_(needs_grad)
    message = "Unbind is a view" if needs_grad else "'NoneType' object has no attribute 'shape'"
    with pytest.raises((RuntimeError, AttributeError), match=message):
        Theirs(out_of_place(model)).visualize(image, None)


@pytest.mark.parametrize("needs_grad", [True, False])
@pytest.mark.parametrize("guided", [True, False])
def test_the_picture(needs_grad: bool, guided: bool) -> None:
    model, (images,) = ALL["plain"].build()
    image = images[:1].clone().requires_grad_(needs_grad)
    backprop = Backprop(model)
    assert backprop.visualize(image, 2, guided=guided) is None
    plt.close("all")
    gradients, largest = backprop.visualize(
        image, 2, guided=guided, cmap="magma", alpha=0.3, figsize=(8, 2), return_output=True
    )
    assert torch.equal(gradients, backprop.calculate_gradients(image, 2, guided=guided))
    assert torch.equal(largest, gradients.amax(0, keepdim=True))
    assert len(plt.get_fignums()) == 1
    figure = plt.gcf()
    assert figure.get_size_inches().tolist() == [8, 2]
    assert [axes.get_title() for axes in figure.axes] == [
        "Input image",
        "Gradients across RGB channels",
        "Max gradients",
        "Overlay",
    ]
    photo = format_for_plotting(denormalize(image.detach()))
    colours = format_for_plotting(standardize_and_clip(gradients))
    one = format_for_plotting(standardize_and_clip(largest))
    drawn = [[layer.get_array() for layer in axes.images] for axes in figure.axes]
    for layers, expected in zip(drawn, ([photo], [colours], [one], [photo, one]), strict=True):
        for layer, pixels in zip(layers, expected, strict=True):
            np.testing.assert_array_equal(layer, pixels.numpy())
    assert figure.axes[2].images[0].get_cmap().name == "magma"
    assert figure.axes[3].images[1].get_alpha() == 0.3
    assert image.requires_grad == needs_grad


def test_grey_images_are_drawn_grey() -> None:
    model, (images,) = ALL["one_channel"].build()
    gradients, largest = Backprop(model).visualize(images[:1], 1, return_output=True)
    assert torch.equal(gradients, largest)
    panels = plt.gcf().axes
    assert [[layer.get_cmap().name for layer in panel.images] for panel in panels] == [
        ["gray"],
        ["gray"],
        ["viridis"],
        ["gray", "viridis"],
    ]


def test_two_channels_have_gradients_but_no_picture() -> None:
    model, image = seeded(lambda: Plain(channels=2)), an_image(channels=2)
    assert Backprop(model).calculate_gradients(image, 1).shape == (2, 16, 16)
    with pytest.raises(ValueError, match="2 channels cannot be drawn"):
        Backprop(model).visualize(image, 1)


# -- Backprop: what cannot be ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (torch.rand(2, 3, 16, 16), ValueError, r"one image at a time.*images\[\[i\]\]"),
        (torch.rand(0, 3, 16, 16), ValueError, "one image at a time"),
        (torch.rand(3, 16, 16), ValueError, r"lacks its first dimension: image\[None\]"),
        (torch.ones(1, 3, 16, 16, dtype=torch.uint8), TypeError, "floats.*torch.uint8"),
        (np.ones((1, 3, 16, 16)), TypeError, "got ndarray.*apply_transforms"),
        (torch.rand(1, 1, 16, 16), ValueError, r"1 channels, but the model takes 3.*expand"),
        (torch.rand(1, 4, 16, 16), ValueError, "4 channels, but the model takes 3"),
    ],
)
def test_images_that_do_not_fit(image: Any, kind: type[Exception], message: str) -> None:
    model, _ = ALL["plain"].build()
    with pytest.raises(kind, match=message):
        Backprop(model).calculate_gradients(image, 1)
    with pytest.raises(kind):
        Backprop(model).visualize(image, 1)
    with pytest.raises(kind, match=message):
        GradientAscent(model).optimize("features.0", 1, image, num_iter=1)


def test_classes_that_do_not_fit() -> None:
    model, (images,) = ALL["plain"].build()
    backprop = Backprop(model)
    expected = backprop.calculate_gradients(images[:1], 2)
    for same in (np.int64(2), torch.tensor(2)):
        assert torch.equal(backprop.calculate_gradients(images[:1], same), expected)
    for wrong in (CLASSES, -1):
        with pytest.raises(ValueError, match=f"no class {wrong}: .* 0 to {CLASSES - 1}"):
            backprop.calculate_gradients(images[:1], wrong)
    for kind in (1.5, "cat", [1]):
        with pytest.raises(TypeError, match="target_class must be an integer"):
            backprop.calculate_gradients(images[:1], kind)


def test_models_that_do_not_fit() -> None:
    for kind in (Backprop, GradientAscent):
        with pytest.raises(TypeError, match="Module"):
            kind("alexnet")
    with pytest.raises(TypeError, match=r"returns dict.*Wrap it"):
        Backprop(ALL["dict_output"].build()[0]).calculate_gradients(an_image(), 1)
    with pytest.raises(ValueError, match=r"must be \[1, classes\]"):
        Backprop(ALL["one_layer"].build()[0]).calculate_gradients(an_image(), 1)

    class Deaf(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    for guided in (True, False):
        with pytest.raises(ValueError, match="does not depend on the image"):
            Backprop(Deaf()).calculate_gradients(an_image(), 1, guided=guided)
    with pytest.raises(ValueError, match="does not depend on the image"):
        GradientAscent(Deaf()).optimize("features.0", 1, an_image(), num_iter=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there() -> None:
    model, (images,) = ALL["plain"].build()
    expected = Backprop(model).calculate_gradients(images[:1], 1)
    ascent = GradientAscent(model, img_size=16, use_gpu=True)
    calls: list[Callable[[], Any]] = [
        lambda: Backprop(model).calculate_gradients(images[:1], 1, use_gpu=True),
        lambda: Backprop(model).visualize(images[:1], 1, use_gpu=True),
        lambda: ascent.optimize("features.0", 1, num_iter=1),
        lambda: ascent.visualize("features.0", 1, num_iter=1),
        lambda: ascent.deepdream(Image.new("RGB", (16, 16)), "features.0", 1, num_iter=1),
    ]
    answers = []
    for call in calls:
        with pytest.warns(UserWarning, match="finds no CUDA device") as seen:
            answers.append(call())
        mine = [one for one in seen if "CUDA" in str(one.message)]
        assert {one.filename for one in mine} == {__file__}  # the line of whoever asked
    assert torch.equal(answers[0], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    model, (images,) = ALL["plain"].build()
    before = portrait(model)
    cpu = Backprop(model).calculate_gradients(images[:1], 1)
    gpu = Backprop(model).calculate_gradients(images[:1], 1, use_gpu=True)
    assert gpu.device.type == "cpu"
    assert torch.allclose(cpu, gpu, atol=1e-3)
    steps = GradientAscent(model, 16, use_gpu=True).optimize("features.3", 1, num_iter=2)
    expected = GradientAscent(model, 16).optimize("features.3", 1, num_iter=2)
    assert torch.allclose(steps[-1], expected[-1], atol=0.05)
    assert portrait(model) == before
    model.cuda()
    assert torch.allclose(Backprop(model).calculate_gradients(images[:1], 1), cpu, atol=1e-3)


# -- GradientAscent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"), [("alexnet", "0"), ("alexnet", "6"), ("vgg11", "8"), ("vgg11", "3")]
)
def test_climbs_as_flashtorch_does(name: str, layer: str) -> None:
    features = network(name).features.eval()
    start = an_image(64)
    other = out_of_place(features)
    theirs = TheirAscent(other, 64, lr=0.7).optimize(
        other[int(layer)], 5, start.clone().requires_grad_(), num_iter=4
    )
    ours = GradientAscent(features, 64, lr=0.7).optimize(features[int(layer)], 5, start, num_iter=4)
    assert len(ours) == len(theirs) == 4
    for mine, step in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, step.detach(), atol=1e-3)
        assert not mine.requires_grad
    assert not torch.allclose(ours[0], ours[1], atol=1e-2)


def ascent(name: str = "plain", **options: Any) -> GradientAscent:
    return GradientAscent(ALL[name].build()[0], **{"img_size": 16} | options)


def test_noise_comes_from_the_seed_alone() -> None:
    first = ascent().optimize("features.3", 1, num_iter=2)
    np.random.seed(3)
    torch.manual_seed(3)
    numbers = random_numbers()
    assert torch.equal(ascent().optimize("features.3", 1, num_iter=2)[-1], first[-1])
    assert random_numbers() == numbers
    assert not torch.equal(ascent(seed=1).optimize("features.3", 1, num_iter=2)[-1], first[-1])
    model = out_of_place(ALL["plain"].build()[0])
    one, two = (TheirAscent(model, 16).optimize(model.features[3], 1)[-1] for _ in range(2))
    assert not torch.equal(one, two)


def filters_drawn() -> list[int]:
    return [int(axes.get_title().split()[1]) for axes in plt.gcf().axes[1:]]


def test_random_filters_are_different_ones_that_the_seed_chooses() -> None:
    ascent().visualize("features.0", num_iter=1, num_subplots=8)
    assert sorted(filters_drawn()) == list(range(8))
    drawn = []
    for seed in (0, 0, 1):
        ascent(seed=seed).visualize("features.3", num_iter=1)
        drawn.append(filters_drawn())
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 4
    model = out_of_place(ALL["plain"].build()[0])
    np.random.seed(0)
    TheirAscent(model, 16).visualize(model.features[0], num_iter=1, num_subplots=8)
    assert len(set(filters_drawn())) < 8  # FlashTorch draws some of them twice


def test_more_random_filters_than_there_are() -> None:
    found = ascent().visualize("features.0", num_iter=1, num_subplots=30, return_output=True)
    assert len(found) == 8
    with pytest.raises(ValueError, match="num_subplots must be 1 or more"):
        ascent().visualize("features.0", num_subplots=0)


def test_filters_that_do_not_exist() -> None:
    model, _ = ALL["plain"].build()
    theirs = out_of_place(model)
    with pytest.raises(IndexError):
        TheirAscent(theirs, 16).optimize(theirs.features[0], 8)
    for wrong in (8, -1, 99):
        with pytest.raises(ValueError, match=f"no filter {wrong}: this layer has 0 to 7"):
            ascent().optimize("features.0", wrong)
        with pytest.raises(ValueError, match="0 to 7"):
            ascent().visualize("features.0", [0, wrong])
    for kind in (1.0, "1", None, [1]):
        with pytest.raises(TypeError, match="a filter must be an integer"):
            ascent().optimize("features.0", kind)
    with pytest.raises(TypeError, match="a filter must be an integer"):
        ascent().visualize("features.0", {1, 2})
    with pytest.raises(ValueError, match="no filter is named"):
        ascent().visualize("features.0", [])
    assert not plt.get_fignums()


def test_the_step_is_what_was_said() -> None:
    start = an_image()

    def length(steps: list[Tensor]) -> float:
        return float((steps[1] - steps[0]).square().mean().sqrt())

    one = ascent(lr=0.25)
    assert length(one.optimize("features.0", 1, start, num_iter=2)) == pytest.approx(0.25, rel=0.01)
    found = one.visualize("features.0", 1, num_iter=2, return_output=True)
    assert length(found) == pytest.approx(0.25, rel=0.01)
    found = one.visualize("features.0", 1, lr=0.5, num_iter=2, return_output=True)
    assert length(found) == pytest.approx(0.5, rel=0.01)
    photo = Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    found = one.deepdream(photo, "features.0", 1, num_iter=2, return_output=True)
    assert length(found) == pytest.approx(0.1, rel=0.01)
    assert one.lr == 0.25
    with pytest.raises(ValueError, match="num_iter"):
        one.visualize("features.0", 1, lr=3, num_iter=0)
    assert one.lr == 0.25
    one.lr = 2.0
    assert length(one.optimize("features.0", 1, start, num_iter=2)) == pytest.approx(2, rel=0.01)
    model = out_of_place(ALL["plain"].build()[0])
    theirs = TheirAscent(model, 16, lr=0.25)
    theirs.visualize(model.features[0], 1, num_iter=1)
    assert theirs.lr == 1


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("residual", "layer1.1.conv2"),
        ("batch_norm", "conv"),
        ("frozen_backbone", "conv"),
        ("frozen_everything", "conv"),
        ("functional", "conv"),
    ],
)
def test_ascent_leaves_nothing_behind(name: str, layer: str) -> None:
    model, (images,) = ALL[name].build()
    some_grads(model)
    before, numbers = portrait(model), random_numbers()
    start = images[:1].clone()
    one = GradientAscent(model, 16)
    one.optimize(layer, 1, start, num_iter=2)
    one.visualize(layer, [0, 1], num_iter=1)
    one.visualize(layer, num_iter=1)
    one.deepdream(Image.new("RGB", (20, 16), "red"), layer, 0, num_iter=1)
    with pytest.raises(ValueError, match="channels"):
        one.optimize(layer, 1, an_image(channels=7))
    assert portrait(model) == before
    assert random_numbers() == numbers
    assert torch.equal(start, images[:1])
    assert one.handlers == []


def test_flashtorchs_ascent_changes_batchnorm_and_leaves_hooks_and_gradients() -> None:
    model, _ = ALL["residual"].build()
    model = out_of_place(model).train()
    before = portrait(model)
    TheirAscent(model, 16).optimize(model.layer1[0].conv1, 1, num_iter=1)
    after = portrait(model)
    changed = {key for key in before if before[key] != after[key]}
    assert "layer1.0.bn1.running_mean values" in changed
    assert "layer1.0.conv1 hooks" in changed
    assert "stem.weight grad" in changed


def test_after_an_error_in_the_model() -> None:
    model, _ = BROKEN["refuses"].build()
    before = portrait(model)

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.late = model, nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.late(self.body(x))

    with pytest.raises(RuntimeError, match="never answers"):
        GradientAscent(Late(), 16).optimize("late", 1)
    assert portrait(model) == before
    assert len(GradientAscent(Late(), 16).optimize("body.conv", 1, num_iter=1)) == 1


def test_layers_by_name_and_as_modules() -> None:
    one = ascent()
    model = one.model
    named = one.optimize("features.3", 2, num_iter=1)
    assert torch.equal(one.optimize(model.features[3], 2, num_iter=1)[0], named[0])
    with pytest.raises(ValueError, match="Did you mean 'features"):
        one.optimize("feature.3", 2)
    with pytest.raises(ValueError, match="another"):
        one.optimize(copy.deepcopy(model).features[3], 2)
    for wrong in ("classifier", "features.1", model.features):
        with pytest.raises(TypeError, match="must be a Conv2d"):
            one.visualize(wrong, 2)
    with pytest.raises(ValueError, match=r"never called 'bright'|never called 'dark'"):
        for layer in ("bright", "dark"):
            ascent("control_flow").optimize(layer, 1, num_iter=1)


def test_a_subclass_of_conv2d() -> None:
    class Mine(nn.Conv2d):
        pass

    model = nn.Sequential(Mine(3, 4, 3))
    assert len(GradientAscent(model, 16).optimize("0", 1, num_iter=1)) == 1
    with pytest.raises(TypeError):
        TheirAscent(model, 16).optimize(model[0], 1)


def test_what_is_behind_the_layer_does_not_run() -> None:
    one = ascent()
    ran = []
    handle = one.model.features[4].register_forward_hook(lambda *_: ran.append(1))
    one.optimize("features.3", 1, num_iter=2)
    assert not ran
    handle.remove()
    # So what follows need not even fit the picture.
    assert GradientAscent(network("alexnet"), 48).optimize("features.3", 1, num_iter=1)


class Backwards(nn.Module):
    """What is registered first is called last."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(3, 5, 3)
        self.first = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def test_convolutions_registered_in_another_order() -> None:
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


def test_one_channel_needs_a_start() -> None:
    with pytest.raises(ValueError, match=r"3 channels, but the model takes 1.*input_"):
        ascent("one_channel").optimize("features.0", 1)
    (found,) = ascent("one_channel").optimize("features.0", 1, an_image(channels=1), num_iter=1)
    assert found.shape == (1, 1, 16, 16)


def test_no_steps() -> None:
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"num_iter must be 1 or more, got {wrong}"):
            ascent().optimize("features.0", 1, num_iter=wrong)
    with pytest.raises(ValueError, match="num_iter"):
        ascent().visualize("features.0", 1, num_iter=0)
    assert not plt.get_fignums()


def test_number_types_and_inference_mode() -> None:
    one = ascent()
    start = an_image()
    expected = one.optimize("features.3", 1, start, num_iter=2)[-1]
    with torch.inference_mode():
        assert torch.equal(one.optimize("features.3", 1, start.clone(), 2)[-1], expected)
    one.model.double()
    found = one.optimize("features.3", 1, start, num_iter=2)[-1]
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-3)


# -- GradientAscent: the pictures ------------------------------------------------------------------


def test_filters_in_every_form() -> None:
    one = ascent()
    expected = one.optimize("features.3", 3, num_iter=2)

    def draw(filters: Any) -> Any:
        return one.visualize("features.3", filters, num_iter=2, return_output=True)

    for single in (3, np.int64(3), torch.tensor(3), np.array(3)):
        found = draw(single)
        assert [step.shape for step in found] == [(1, 3, 16, 16)] * 2
        assert torch.equal(found[-1], expected[-1])
        assert len(plt.gcf().axes) == 1
    for several in ([1, 3], (1, 3), range(1, 4, 2), np.array([1, 3]), torch.tensor([1, 3])):
        found = draw(several)
        assert [len(steps) for steps in found] == [2, 2]
        assert torch.equal(found[1][-1], expected[-1])
        assert [axes.get_title() for axes in plt.gcf().axes] == ["Conv2d", "filter 1", "filter 3"]
    assert [len(steps) for steps in draw([3])] == [2]
    assert [len(steps) for steps in draw(None)] == [2] * 4
    assert one.visualize("features.3", 3, num_iter=1) is None
    assert torch.equal(one.output[0], expected[0])


def drawn(axes: Any) -> Any:
    (picture,) = axes.images
    return picture.get_array()


def as_drawn(image: Tensor) -> Any:
    return format_for_plotting(standardize_and_clip(image, saturation=0.15, brightness=0.7)).numpy()


def test_the_pictures_are_flashtorchs() -> None:
    one = ascent()
    found = one.visualize(
        "features.3", 3, num_iter=2, figsize=(3, 2), title="three", return_output=True
    )
    (axes,) = plt.gcf().axes
    assert axes.get_title() == "three"
    assert plt.gcf().get_size_inches().tolist() == [3, 2]
    np.testing.assert_array_equal(drawn(axes), as_drawn(found[-1]))
    several = one.visualize("features.3", [3, 5], num_iter=2, return_output=True)
    for axes, steps in zip(plt.gcf().axes[1:], several, strict=True):
        np.testing.assert_array_equal(drawn(axes), as_drawn(steps[-1]))


@pytest.fixture
def photo() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_deepdream_starts_from_a_photo(photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photo.save(path)
    one = ascent()
    start = apply_transforms(photo, 16)
    one.lr = 0.1
    expected = one.optimize("features.3", 2, start, num_iter=3)
    for source in (path, str(path), photo):
        found = one.deepdream(source, "features.3", 2, num_iter=3, return_output=True)
        assert len(found) == 3
        assert torch.equal(found[-1], expected[-1])
        (axes,) = plt.gcf().axes
        assert axes.get_title() == "DeepDream"
        np.testing.assert_array_equal(drawn(axes), as_drawn(found[-1]))
    assert one.deepdream(path, "features.3", 2, num_iter=1) is None
    model = out_of_place(one.model)
    theirs = TheirAscent(model, 16).deepdream(
        str(path), model.features[3], 2, num_iter=3, return_output=True
    )
    assert torch.allclose(theirs[-1].detach(), found[-1], atol=1e-3)


def test_deepdream_on_a_rotated_photo(photo: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    path = tmp_path / "rotated.png"
    photo.save(path, exif=exif)
    upright = photo.rotate(-90, expand=True)
    one = ascent()
    found, expected = (
        one.deepdream(source, "features.3", 2, num_iter=1, return_output=True)[0]
        for source in (path, upright)
    )
    assert torch.equal(found, expected)
    theirs = flashtorch.activmax.gradient_ascent.load_image(path)
    assert theirs.size == photo.size  # FlashTorch leaves it lying


def test_deepdream_on_sixteen_bits(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 400).reshape(20, 20)
    deep, flat = tmp_path / "deep.png", Image.fromarray((grey / 257).round().astype(np.uint8))
    Image.fromarray(grey.astype(np.uint16)).save(deep)
    one = ascent()
    found, expected = (
        one.deepdream(source, "features.3", 2, num_iter=1, return_output=True)[0]
        for source in (deep, flat)
    )
    assert torch.allclose(found, expected, atol=0.05)
    theirs = np.asarray(flashtorch.activmax.gradient_ascent.load_image(deep))
    assert (theirs == 255).mean() > 0.9  # FlashTorch makes it white


def test_deepdream_without_a_photo(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG and nothing more")
    one = ascent()
    with pytest.raises(FileNotFoundError, match=r"There is no '.*broken\.jpg'.*broken\.png"):
        one.deepdream(tmp_path / "broken.jpg", "features.3", 2)
    with pytest.raises(ValueError, match=r"broken\.png"):
        one.deepdream(broken, "features.3", 2)
    with pytest.raises(TypeError, match="path or a Pillow image"):
        one.deepdream(an_image(), "features.3", 2)
    assert one.lr == 1
    assert not plt.get_fignums()
