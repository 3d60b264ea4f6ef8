"""Saliency maps: equal to autograd, to sums by hand and to captum alone; nothing left behind."""

from __future__ import annotations

import copy
import gc
import itertools
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torchvision
from support.models import ALL as ZOO
from support.models import BROKEN, CLASSES, Plain, Residual, ResidualBlock
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn

from vizhelpers.attribution.guided import NothingToGuideWarning, guided_gradient
from vizhelpers.attribution.saliency import METHODS, saliency_maps
from vizhelpers.zoo.loading import load_model

COURSE = ("alexnet", "vgg11", "resnet18")
# Small enough for images of 16×16.
SMALL: dict[str, Any] = {"window": 6, "stride": 4, "samples": 3, "steps": 3}
PATCHES = 4 * 4  # of 6×6 pixels, 4 apart; those at the lower and right edge are cut off
BY_GRADIENT = tuple(name for name in METHODS if name != "Occlusion")
# torchvision draws the head of a transformer as zeros, with which no gradient goes anywhere.
ALL = {**ZOO, "vit": ZOO["vit"]._replace(make=lambda: with_a_head(ZOO["vit"].make()))}
# The models of the zoo that take a batch of images, and how their scores are reached.
OUTPUT: dict[str, Any] = {
    "dict_output": lambda out: out["logits"],
    "tuple_output": lambda out: out[0],
    "named_tuple_output": lambda out: out.logits,
}
PICTURES = tuple(name for name in ALL if name not in ("words", "two_inputs"))
WITHOUT_RELU = ("inner_dict", "recurrent", "control_flow", "keywords", "attention", "one_layer")

pytestmark = pytest.mark.filterwarnings(
    "ignore::vizhelpers.attribution.guided.NothingToGuideWarning"
)


def with_a_head(model: nn.Module) -> nn.Module:
    nn.init.normal_(model.heads.head.weight)
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes

    return normalize(load_scenes("grid", limit=2).images)


def by_autograd(model: nn.Module, images: Tensor, classes: list[int]) -> Tensor:
    leaf = images.clone().requires_grad_()
    scores = model(leaf.clone())
    score = scores[torch.arange(len(classes)), torch.tensor(classes)].sum()
    return torch.autograd.grad(score, leaf)[0]


def quietly(model: nn.Module) -> nn.Module:
    """A copy that autograd can be asked about without touching the original."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def every(model: nn.Module, images: Tensor, target: Any = 1, **options: Any) -> dict[str, Any]:
    return {m: saliency_maps(model, images, target, method=m, **SMALL | options) for m in METHODS}


# -- equal to what they should be -----------------------------------------------------------------


@pytest.mark.parametrize("name", COURSE)
def test_gradient_is_autograds_bit_for_bit(name: str, images: Tensor) -> None:
    model = load_model(name)
    found = saliency_maps(model, images, [3, 8])
    expected = by_autograd(quietly(model), images, [3, 8])
    assert expected.any()
    assert torch.equal(found.signed, expected)
    assert torch.equal(found.maps, expected.abs().amax(1))


@pytest.mark.parametrize("name", PICTURES)
def test_gradient_times_input(name: str) -> None:
    model, (images,) = ALL[name].build()
    goal: Any = (lambda scores: scores[0].mean()) if name == "one_layer" else [2, 2]
    options = {"output": OUTPUT.get(name)}
    gradient = saliency_maps(model, images, goal, **options).signed
    found = saliency_maps(model, images, goal, method="GradientXInput", **options)
    assert gradient.any()
    assert torch.equal(found.signed, gradient * images)
    assert torch.equal(found.maps, (gradient * images).sum(1).clamp(min=0))


def baselines(images: Tensor) -> dict[str, tuple[Any, Tensor]]:
    """What may be given, and the same as an image for each image."""
    mean = images.mean(0)
    return {
        "zero": (0.0, torch.zeros_like(images)),
        "number": (0.25, torch.full_like(images, 0.25)),
        "image": (mean, mean.expand_as(images)),
        "each": (images.flip(0), images.flip(0)),
    }


@pytest.mark.parametrize("kind", ["zero", "number", "image", "each"])
def test_integrated_gradients_by_hand(kind: str) -> None:
    model, (images,) = ALL["residual"].build()
    given, base = baselines(images)[kind]
    places, weights = np.polynomial.legendre.leggauss(5)  # on [-1, 1]; the way is [0, 1]
    alone = quietly(model)
    mean = sum(
        weight / 2 * by_autograd(alone, base + (place + 1) / 2 * (images - base), [1, 4])
        for place, weight in zip(places, weights, strict=True)
    )
    found = saliency_maps(
        model, images, [1, 4], method="IntegratedGradients", steps=5, baseline=given
    )
    assert torch.allclose(found.signed, (images - base) * mean, atol=1e-6)
    assert torch.allclose(found.maps, found.signed.sum(1).clamp(min=0))


@pytest.mark.parametrize("kind", ["zero", "number", "image", "each"])
def test_integrated_gradients_are_complete(kind: str) -> None:
    """They add up to what the score gained on the way."""
    model, (images,) = ALL["plain"].build()
    given, base = baselines(images)[kind]
    alone = quietly(model).double()
    gained = (alone(images.double()) - alone(base.double()))[:, 3]
    errors = []
    for steps in (1, 200):
        found = saliency_maps(
            model, images, 3, method="IntegratedGradients", steps=steps, baseline=given
        )
        errors.append((found.signed.sum((1, 2, 3)) - gained).abs().max())
    assert gained.abs().min() > 0.001
    assert errors[1] < 1e-4
    assert errors[0] > 5 * errors[1]


class Squares(nn.Module):
    """score_c = c · Σ x² + Σ x, whose integrated gradients are known: c · x² + x."""

    def forward(self, x: Tensor) -> Tensor:
        factors = torch.arange(3, dtype=x.dtype)
        return x.square().sum((1, 2, 3))[:, None] * factors + x.sum((1, 2, 3))[:, None]


def test_closed_forms_on_a_model_without_weights() -> None:
    x = torch.rand(2, 3, 16, 16)
    found = every(Squares(), x, 2, noise=0.0, window=4)
    assert torch.allclose(found["Gradient"].signed, 4 * x + 1)
    assert torch.allclose(found["SmoothGrad"].signed, 4 * x + 1)
    assert torch.allclose(found["GradientXInput"].signed, 4 * x * x + x)
    assert torch.allclose(found["IntegratedGradients"].signed, 2 * x * x + x, atol=1e-5)
    patches = nn.functional.avg_pool2d((2 * x * x + x).sum(1, keepdim=True), 4) * 16
    shares = patches.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, 0]
    assert torch.allclose(found["Occlusion"].maps, shares, rtol=1e-3)


def test_smooth_grad_is_the_mean_gradient_of_noisy_copies() -> None:
    model, (images,) = ALL["residual"].build()
    images[1] *= 3  # a wider range
    found = saliency_maps(model, images, [0, 4], method="SmoothGrad", samples=7, noise=0.2, seed=5)
    alone = quietly(model)
    for index, (image, goal) in enumerate(zip(images, [0, 4], strict=True)):
        deviation = 0.2 * (image.max() - image.min())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            noisy = image + torch.normal(torch.zeros(7, 3, 16, 16), float(deviation))
        mean = by_autograd(alone, noisy, [goal] * 7).mean(0)
        assert torch.allclose(found.signed[index], mean, atol=1e-6)
    assert torch.equal(found.maps, found.signed.abs().amax(1))


def test_smooth_grad_without_noise_is_the_gradient(images: Tensor) -> None:
    model = load_model("resnet18")
    plain = saliency_maps(model, images, 2).signed
    same = saliency_maps(model, images, 2, method="SmoothGrad", samples=2, noise=0).signed
    assert torch.allclose(same, plain, atol=1e-5)


def test_smooth_grad_is_repeatable_and_settles() -> None:
    model, (images,) = ALL["plain"].build()
    smooth = partial(saliency_maps, model, images, 1, method="SmoothGrad")
    first = smooth(samples=4, seed=1).signed
    torch.rand(3)
    assert torch.equal(smooth(samples=4, seed=1).signed, first)
    few, many = (
        (smooth(samples=n, seed=1).signed - smooth(samples=n, seed=2).signed).norm()
        for n in (4, 256)
    )
    assert few > 0
    assert many < few / 4  # the error halves when the number of samples is four times larger


@pytest.mark.parametrize("kind", ["zero", "number", "image", "each"])
@pytest.mark.parametrize(("window", "stride"), [(6, 4), (5, 5), (16, 3), (3, 1)])
def test_occlusion_by_hand(kind: str, window: int, stride: int) -> None:
    """The mean loss over the patches that cover a pixel."""
    model, (images,) = ALL["residual"].build()
    images = images[..., :12, :] if window < 12 else images  # not square
    given, base = baselines(images)[kind]
    alone = quietly(model)
    before = alone(images)[:, 2]
    height, width = images.shape[2:]
    total, times = torch.zeros(2, height, width), torch.zeros(height, width)

    def starts(side: int) -> range:
        return range(0, side - window + stride, stride)

    for top, left in itertools.product(starts(height), starts(width)):
        patch = (..., slice(top, top + window), slice(left, left + window))
        covered = images.clone()
        covered[patch] = base[patch]
        total[patch] += (before - alone(covered)[:, 2])[:, None, None]
        times[patch] += 1
    found = saliency_maps(
        model, images, 2, method="Occlusion", window=window, stride=stride, baseline=given
    )
    assert times.min() > 0
    assert torch.allclose(found.signed.sum(1), total / times, atol=1e-6)
    assert torch.equal(found.maps, found.signed.sum(1).clamp(min=0))
    patches = len(starts(height)) * len(starts(width))
    assert (found.forward_images, found.backward_images) == (2 * (1 + patches), 0)


# -- guided backpropagation ------------------------------------------------------------------------


class SeparateBlock(ResidualBlock):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.second = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.second(self.bn2(self.conv2(out)) + x)


class SeparateResidual(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(SeparateBlock(8), SeparateBlock(8))


def separate_shared(model: nn.Module) -> nn.Module:
    return nn.Sequential(
        *(model.conv1, nn.ReLU(), model.conv2, nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc),
    )


class Scale(nn.Module):
    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def separate_functional(model: nn.Module) -> nn.Module:
    return nn.Sequential(
        *(model.conv, nn.ReLU(), nn.MaxPool2d(2), Scale(model.scale.detach())),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc, nn.LogSoftmax(1)),
    )


def separate_residual(model: nn.Module) -> nn.Module:
    other = SeparateResidual()
    other.load_state_dict(model.state_dict())
    return other


def as_captum_needs_it(model: nn.Module) -> nn.Module:
    """Every ReLU out of place; torchvision's ResNets call theirs twice, so they get two."""
    model = quietly(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, torchvision.models.resnet.BasicBlock):
            module.add_module("second", nn.ReLU())
            module.forward = partial(basic_block, module)  # type: ignore[method-assign]
    return model


def basic_block(block: Any, x: Tensor) -> Tensor:
    identity = x if block.downsample is None else block.downsample(x)
    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    return block.second(out + identity)


def captums_guided(model: nn.Module, images: Tensor, classes: list[int]) -> Tensor:
    from captum.attr import GuidedBackprop

    leaf = images.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GuidedBackprop(model).attribute(leaf, target=classes)


@pytest.mark.parametrize("name", COURSE)
def test_guided_is_captums_on_the_courses_networks(name: str, images: Tensor) -> None:
    model = load_model(name)
    expected = captums_guided(as_captum_needs_it(model), images, [3, 8])
    found = saliency_maps(model, images, [3, 8], method="GuidedBackprop")
    assert expected.any()
    assert torch.allclose(found.signed, expected, atol=1e-6 * float(expected.abs().max()))
    assert not torch.allclose(found.signed, saliency_maps(model, images, [3, 8]).signed)


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v2", "mobilenet_v3_small"])
def test_guided_is_captums_on_torchvisions_networks(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(weights=None, num_classes=10)
        image = torch.randn(1, 3, 64, 64)
    best = int(quietly(model)(image).argmax())  # SqueezeNet ends in a ReLU: others may be 0
    # The gradients of untrained MobileNets are about 1e-11.
    expected = captums_guided(as_captum_needs_it(model), image, [best]).double().flatten()
    found = saliency_maps(model, image, method="GuidedBackprop").signed.double().flatten()
    plain = saliency_maps(model, image).signed.double().flatten()
    expected, found, plain = (each / each.abs().max() for each in (expected, found, plain))
    assert torch.cosine_similarity(found, expected, dim=0) > 0.9999
    relus = name != "mobilenet_v2"  # it has ReLU6 alone
    assert (torch.cosine_similarity(found, plain, dim=0) < 0.999) == relus


@pytest.mark.parametrize(
    ("name", "rebuilt"),
    [
        ("functional", separate_functional),
        ("shared_relu", separate_shared),
        ("residual", separate_residual),
    ],
)
def test_guided_relus_that_captum_cannot_see(
    name: str, rebuilt: Callable[[nn.Module], nn.Module]
) -> None:
    model, (images,) = ALL[name].build()
    expected = captums_guided(rebuilt(quietly(model)).eval(), images, [0, 3])
    found = saliency_maps(model, images, [0, 3], method="GuidedBackprop")
    assert expected.any()
    assert torch.allclose(found.signed, expected, atol=1e-7)
    assert not torch.allclose(found.signed, saliency_maps(model, images, [0, 3]).signed)


def test_captum_alone_sees_only_modules() -> None:
    model, (images,) = ALL["functional"].build()
    wrong = captums_guided(quietly(model), images, [0, 3])
    assert torch.equal(wrong, saliency_maps(model, images, [0, 3]).signed)


def test_guided_gradient_of_a_score_of_ones_own() -> None:
    x = torch.tensor([2.0, 3.0, -1.0], requires_grad=True)
    hidden = torch.relu(x)
    score = hidden[0] - hidden[1] + hidden[2]
    assert guided_gradient(score, x).tolist() == [1, 0, 0]
    hidden = torch.relu(x)  # the next pass is not guided
    plain = torch.autograd.grad(hidden[0] - hidden[1] + hidden[2], x)[0]
    assert plain.tolist() == [1, -1, 0]
    with pytest.raises(RuntimeError, match="grad"), warnings.catch_warnings():
        guided_gradient(torch.tensor(1.0), x)


def net(*activations: nn.Module) -> nn.Module:
    convs = [(nn.Conv2d(3, 3, 3), activation) for activation in activations]
    return nn.Sequential(*itertools.chain(*convs), nn.Flatten(), nn.LazyLinear(4))


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        ([nn.GELU()], r"^there is no ReLU .*plain one; left as they are: GELU\.$"),
        ([nn.ReLU6(), nn.ReLU6()], "no ReLU .*: ReLU6 or Hardtanh"),
        ([nn.Identity()], r"no ReLU on the way .* is the plain one\.$"),
        (
            [nn.ReLU(), nn.SiLU(), nn.ReLU(), nn.LeakyReLU()],
            r"^only the 2 ReLUs of this network are guided; left .*: LeakyReLU, SiLU\.$",
        ),
    ],
)
def test_what_is_not_guided_is_said(activations: list[nn.Module], message: str) -> None:
    images = torch.rand(2, 3, 16, 16)
    model = net(*activations)
    model(images)
    with pytest.warns(NothingToGuideWarning, match=message) as seen:
        saliency_maps(model, images, 1, method="GuidedBackprop")
    assert len(seen) == 1
    assert seen[0].filename == __file__  # the line of whoever asked
    leaf = images.clone().requires_grad_()
    score = model(leaf)[:, 1]
    with pytest.warns(NothingToGuideWarning, match=message) as seen:
        guided_gradient(score, leaf)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (nn.Hardtanh(), "Hardtanh"),
        (nn.LeakyReLU(), "LeakyReLU"),
        (nn.PReLU(), "PReLU"),
        (nn.ELU(), "ELU"),
        (nn.SELU(), "SELU"),
        (nn.CELU(), "CELU"),
        (nn.GELU(), "GELU"),
        (nn.SiLU(), "SiLU"),
        (nn.Mish(), "Mish"),
        (nn.Softplus(), "Softplus"),
        (nn.Hardswish(), "Hardswish"),
        (nn.Hardsigmoid(), "Hardsigmoid"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Tanh(), "tanh"),
    ],
)
def test_other_activations_are_known_by_name(activation: nn.Module, name: str) -> None:
    """Autograd's names for them are nothing that PyTorch promises."""
    leaf = torch.rand(4, requires_grad=True)
    with pytest.warns(NothingToGuideWarning, match=f"left as they are: .*{name}"):
        guided_gradient(activation(leaf).sum(), leaf)


def test_other_ways_to_cut_at_zero_are_known_by_name() -> None:
    leaf = torch.rand(4, requires_grad=True)
    for value in (leaf.clamp(min=0), leaf.clamp(0, 6)):
        with pytest.warns(NothingToGuideWarning, match="left as they are: clamp"):
            guided_gradient(value.sum(), leaf)


@pytest.mark.parametrize("name", PICTURES)
def test_networks_of_nothing_but_relus_are_not_warned_about(name: str) -> None:
    model, (images,) = ALL[name].build()
    goal: Any = (lambda scores: scores[0].mean()) if name == "one_layer" else 0
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        saliency_maps(model, images, goal, method="GuidedBackprop", output=OUTPUT.get(name))
    assert [w.category for w in seen] == [NothingToGuideWarning] * (name in (*WITHOUT_RELU, "vit"))


# -- any model, and nothing left behind ------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_every_method_on_every_model(name: str) -> None:
    model, (images,) = ALL[name].build()
    some_grads(model)
    goal: Any = (lambda scores: scores[0].mean()) if name == "one_layer" else [1, 3]
    before, untouched, numbers = portrait(model), images.clone(), random_numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NothingToGuideWarning)
        found = every(model, images, goal, output=OUTPUT.get(name))
    assert portrait(model) == before
    assert random_numbers() == numbers
    assert torch.equal(images, untouched)
    assert not images.requires_grad
    for method, each in found.items():
        assert each.method == method
        assert each.signed.shape == images.shape
        assert each.signed.any()
        assert each.maps.shape == (2, 16, 16)
        assert each.maps.min() >= 0
        rule = (
            each.signed.sum(1).clamp(min=0)
            if METHODS[method].adds_up
            else each.signed.abs().amax(1)
        )
        assert torch.equal(each.maps, rule)
        for tensor in (each.maps, each.signed):
            assert tensor.dtype == torch.float32
            assert tensor.device.type == "cpu"
            assert not tensor.requires_grad
    assert {m: (f.forward_images, f.backward_images) for m, f in found.items()} == {
        "Gradient": (2, 2),
        "GuidedBackprop": (2, 2),
        "SmoothGrad": (2 * 3, 2 * 3),
        "GradientXInput": (2, 2),
        "IntegratedGradients": (2 * 3, 2 * 3),
        "Occlusion": (2 * (1 + PATCHES), 0),
    }


@pytest.mark.parametrize("name", PICTURES)
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    model, (images,) = ALL[name].build()
    goal: Any = (lambda scores: scores[0].mean()) if name == "one_layer" else 1
    ask = partial(every, model, target=goal, output=OUTPUT.get(name))
    together, first, second = ask(images=images), ask(images=images[:1]), ask(images=images[1:])
    for method, found in together.items():
        alone = torch.cat([first[method].signed, second[method].signed])
        assert torch.allclose(found.signed, alone, atol=1e-6), method


@pytest.mark.parametrize("method", ["Gradient", "GuidedBackprop", "Occlusion"])
def test_more_images_than_go_through_at_a_time(method: str) -> None:
    model, _ = ALL["residual"].build()
    many = torch.rand(18, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    goals = [0, 1, 2, 3, 4, 0] * 3
    ask = partial(saliency_maps, model, method=method, **SMALL)
    found = ask(many, goals)
    assert len(found.maps) == 18
    assert torch.allclose(found.signed[15:], ask(many[15:], goals[15:]).signed, atol=1e-7)
    predicted = ask(many).targets
    assert torch.equal(predicted, quietly(model)(many).argmax(1))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind_after_an_error(method: str) -> None:
    def fails(scores: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("a target with a bug")
        return scores[0]

    model, (images,) = ALL["batch_norm"].build()
    some_grads(model)
    before, numbers = portrait(model), random_numbers()
    calls: list[int] = []
    for message, wrong in (("a bug", fails), ("no class 99", 99)):
        with pytest.raises((RuntimeError, ValueError), match=message):
            saliency_maps(model, images, wrong, method=method, **SMALL)
        assert portrait(model) == before
        assert random_numbers() == numbers
    broken, (images,) = BROKEN["refuses"].build()
    before = portrait(broken)
    with pytest.raises(RuntimeError, match="never answers"):
        saliency_maps(broken, images, 0, method=method, **SMALL)
    assert portrait(broken) == before
    assert random_numbers() == numbers


def test_seeding_does_not_reach_the_graphics_cards() -> None:
    """Where CUDA is not in use yet, a seed for it would wait until it is, and win."""
    model, (images,) = ALL["plain"].build()
    with mock.patch("torch.cuda.manual_seed_all") as seeded:
        saliency_maps(model, images, 0, method="SmoothGrad")
        assert not seeded.called
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
        assert seeded.called


@pytest.mark.parametrize("method", METHODS)
def test_no_graph_waits_for_the_garbage_collector(method: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    outputs = []
    model.register_forward_hook(lambda _, __, output: outputs.append(weakref.ref(output)))
    saliency_maps(model, torch.rand(2, 3, 8, 8), 1, method=method, **SMALL)  # imports captum
    outputs.clear()
    gc.collect()
    gc.disable()
    try:
        saliency_maps(model, torch.rand(2, 3, 8, 8), 1, method=method, **SMALL)
        assert outputs
        assert all(output() is None for output in outputs)
    finally:
        gc.enable()


def test_frozen_models() -> None:
    frozen, (images,) = ALL["frozen_everything"].build()
    free, _ = ALL["batch_norm"].build()
    for one, other in zip(
        every(frozen, images).values(), every(free, images).values(), strict=True
    ):
        assert torch.equal(one.signed, other.signed)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_autograd(mode: Callable[[], Any]) -> None:
    model, (images,) = ALL["residual"].build()
    base = images.mean(0)
    expected = every(model, images, baseline=base)
    with mode():
        # Made here, they are tensors of which autograd wants to know nothing.
        found = every(model, images.clone(), baseline=base.clone())
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    for method in METHODS:
        assert torch.equal(found[method].signed, expected[method].signed)


def test_images_that_require_a_gradient() -> None:
    model, (images,) = ALL["residual"].build()
    expected = every(model, images)
    wanted = images.clone().requires_grad_()
    for method, found in every(model, wanted).items():
        assert torch.equal(found.signed, expected[method].signed)
    assert wanted.requires_grad
    assert wanted.grad is None


class InPlace(Plain):
    """Normalises its input where it lies."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).mul_(2))


def test_a_model_that_writes_into_its_input() -> None:
    model, (images,) = ALL["plain"].build()
    writer = InPlace()
    writer.load_state_dict(model.state_dict())
    untouched = images.clone()
    expected = saliency_maps(model, (images - 0.5) * 2, 1).signed * 2
    for found in every(writer, images).values():
        assert torch.equal(images, untouched)
        assert found.signed.any()
    assert torch.allclose(saliency_maps(writer, images, 1).signed, expected)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.double, 1e-5), (torch.bfloat16, 0.2)])
def test_models_of_other_number_types(kind: torch.dtype, tolerance: float) -> None:
    model, (images,) = ALL["plain"].build()
    expected = every(model, images)
    model.to(kind)
    for method, found in every(model, images).items():
        exact = expected[method].signed
        assert found.signed.dtype == torch.float32
        assert (found.signed - exact).norm() < tolerance * exact.norm(), method
    assert model.classifier.weight.dtype == kind


def test_a_compiled_model_is_run_uncompiled() -> None:
    model, (images,) = ALL["residual"].build()
    compiled = torch.compile(model, backend="eager")
    for one, other in zip(
        every(compiled, images).values(), every(model, images).values(), strict=True
    ):
        assert torch.equal(one.signed, other.signed)


def test_small_images_need_a_small_patch_only_where_there_is_one() -> None:
    model, (images,) = ALL["residual"].build()
    small = images[..., :8, :8]
    for method in BY_GRADIENT:
        assert saliency_maps(model, small, 0, method=method).maps.shape == (2, 8, 8)
    with pytest.raises(ValueError, match=r"≤ 8; got stride 8 and window 16"):
        saliency_maps(model, small, 0, method="Occlusion")


# -- what can be asked for -------------------------------------------------------------------------


def test_classes_in_every_form() -> None:
    model, (images,) = ALL["residual"].build()
    for method in METHODS:
        ask = partial(saliency_maps, model, images, method=method, **SMALL)
        each = ask([2, 2])
        for targets in (2, np.int64(2), torch.tensor(2), torch.tensor([2, 2]), np.array([2, 2])):
            found = ask(targets)
            assert torch.equal(found.signed, each.signed)
            assert torch.equal(found.targets, torch.tensor([2, 2]))
        predicted = quietly(model)(images).argmax(1)
        found = ask()
        assert torch.equal(found.targets, predicted)
        assert torch.equal(found.signed, ask(predicted).signed)
        assert not torch.equal(ask([2, 3]).signed[1], each.signed[1])


def test_targets_of_ones_own() -> None:
    model, (images,) = ALL["residual"].build()

    def difference(scores: Tensor) -> Tensor:
        return scores[1] - scores[3]

    def first(scores: Tensor) -> Tensor:
        return scores[:1]

    for method in METHODS:
        ask = partial(saliency_maps, model, images, method=method, **SMALL)
        found = ask(difference)
        assert found.targets == (difference, difference)
        if method != "GuidedBackprop":  # the others are linear in the score
            assert torch.allclose(found.signed, ask(1).signed - ask(3).signed, atol=1e-6)
        two = ask([difference, first])
        assert torch.equal(two.signed[0], found.signed[0])
        assert torch.equal(two.signed[1], ask(0).signed[1])


def test_targets_that_are_no_score() -> None:
    model, (images,) = ALL["residual"].build()
    for method in METHODS:
        with pytest.raises(TypeError, match="one number"):
            saliency_maps(model, images, lambda scores: scores, method=method, **SMALL)
    for method in BY_GRADIENT:
        with pytest.raises(TypeError, match="has no gradient"):
            saliency_maps(model, images, lambda s: s[0].detach(), method=method, **SMALL)


def test_a_map_of_scores_needs_a_function() -> None:
    model, (images,) = ALL["one_layer"].build()
    with pytest.raises(ValueError, match="Use a function"):
        saliency_maps(model, images, 0)
    found = saliency_maps(model, images, lambda scores: scores[0, 7, 7])
    assert found.maps.nonzero().amin(0).tolist() == [0, 7, 7]
    assert found.maps.nonzero().amax(0).tolist() == [1, 9, 9]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dict_output", "out['logits']"),
        ("tuple_output", "out[0]"),
        ("named_tuple_output", "out.logits"),
    ],
)
def test_models_that_return_more_than_scores(name: str, advice: str) -> None:
    plain, (images,) = ALL["plain"].build()
    model, _ = ALL[name].build()
    with pytest.raises(TypeError) as error:
        saliency_maps(model, images, 0)
    assert f"output=lambda out: {advice}" in str(error.value)
    expected = every(plain, images)
    for method, found in every(model, images, output=OUTPUT[name]).items():
        assert torch.equal(found.signed, expected[method].signed)


@dataclass
class Answer:
    logits: Tensor


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (Answer, r"returns Answer, .*It holds {'\.logits': \[1, 5\]}.*lambda out: out\.logits$"),
        (lambda scores: "cat", r"returns str, .* It holds no tensor of floats\.$"),
        (lambda scores: [scores.argmax(1)], r"returns list, .* It holds no tensor of floats\.$"),
    ],
)
def test_what_the_model_returns_instead_of_scores_is_said(
    wrap: Callable[[Tensor], Any], message: str
) -> None:
    model, (images,) = ALL["plain"].build()
    model.register_forward_hook(lambda _, __, scores: wrap(scores))
    with pytest.raises(TypeError, match=message):
        saliency_maps(model, images, 0)


class Deaf(nn.Module):
    """Has weights, but answers the same whatever it is shown."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.fc, self.detached = nn.Linear(3, CLASSES), detached

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.detach().mean((2, 3)) if self.detached else torch.ones(len(x), 3))


@pytest.mark.parametrize("detached", [True, False])
def test_a_score_that_does_not_depend_on_the_image(detached: bool) -> None:
    model, images = Deaf(detached), torch.rand(2, 3, 16, 16)
    before = portrait(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in BY_GRADIENT:
            with pytest.raises(ValueError, match="does not depend on the image"):
                saliency_maps(model, images, 1, method=method, **SMALL)
    assert portrait(model) == before
    found = saliency_maps(model, images, 1, method="Occlusion", **SMALL)
    assert found.signed.any() == detached  # needs no gradient


def test_the_table_names_what_there_is() -> None:
    model, (images,) = ALL["plain"].build()
    for method, found in every(model, images).items():
        assert found.method == method
        assert repr(found) == f"SaliencyMaps({method}: 2 of 16×16)"
        assert METHODS[method].idea
        assert METHODS[method].paper
    assert [name for name, what in METHODS.items() if what.adds_up] == [
        "GradientXInput",
        "IntegratedGradients",
        "Occlusion",
    ]
    with pytest.raises(ValueError, match=", ".join(METHODS)):
        saliency_maps(model, images, method="")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Saliency", "Gradient"),
        ("InputXGradient", "GradientXInput"),
        ("NoiseTunnel", "SmoothGrad"),
    ],
)
def test_names_of_the_library(theirs: str, ours: str) -> None:
    model, (images,) = ALL["plain"].build()
    found = saliency_maps(model, images, 0, method=theirs, **SMALL)
    assert found.method == ours
    assert torch.equal(found.maps, saliency_maps(model, images, 0, method=ours, **SMALL).maps)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("gradient", "Gradient"),
        ("Guided", "GuidedBackprop"),
        ("integrated_gradients", "IntegratedGradients"),
        ("Occlude", "Occlusion"),
        ("Smoothgrad", "SmoothGrad"),
    ],
)
def test_a_method_that_does_not_exist(wrong: str, near: str) -> None:
    model, (images,) = ALL["plain"].build()
    with pytest.raises(ValueError, match=f"Did you mean '{near}'"):
        saliency_maps(model, images, method=wrong)


def test_wrong_methods_targets_and_images() -> None:
    model, (images,) = ALL["plain"].build()
    with pytest.raises(TypeError, match="method is the name"):
        saliency_maps(model, images, method=nn.ReLU)
    for wrong in (CLASSES, -1, [0, 99]):
        with pytest.raises(ValueError, match=f"classes 0 to {CLASSES - 1}"):
            saliency_maps(model, images, wrong)
    with pytest.raises(ValueError, match="3 targets for 2 images"):
        saliency_maps(model, images, [1, 2, 3])
    for kind in ("cat", [0.5, 1.0]):
        with pytest.raises(TypeError, match="targets are classes"):
            saliency_maps(model, images, kind)
    for no_images in (images.numpy(), images.long(), [1, 2]):
        with pytest.raises(TypeError, match="floats"):
            saliency_maps(model, no_images)
    for shape in (images[0], images[:0], images[None]):
        with pytest.raises(ValueError, match=r"image\[None\]"):
            saliency_maps(model, shape)
    with pytest.raises(TypeError, match="Module"):
        saliency_maps("resnet18", images)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"samples": 0}, ValueError, "samples must be 1 or more, got 0"),
        ({"steps": -1}, ValueError, "steps must be 1 or more, got -1"),
        ({"stride": 0}, ValueError, "stride must be 1 or more"),
        ({"samples": 2.5}, TypeError, "samples must be an integer, got 2.5"),
        ({"steps": "many"}, TypeError, "steps must be an integer, got 'many'"),
        ({"window": 3.0}, TypeError, "window must be an integer"),
        ({"noise": -0.1}, ValueError, "noise must be 0 or more"),
        ({"noise": float("nan")}, ValueError, "noise must be 0 or more"),
        ({"stride": 7}, ValueError, "not jump over pixels.*got stride 7 and window 6"),
        ({"window": 17}, ValueError, "fit the image.* ≤ 16; got stride 4 and window 17"),
        ({"baseline": torch.zeros(3)}, ValueError, r"\[3, 16, 16\].*\[2, 3, 16, 16\].*got \[3\]"),
        ({"baseline": torch.zeros(1, 16, 16)}, ValueError, r"got \[1, 16, 16\]"),
        ({"baseline": torch.zeros(3, 3, 16, 16)}, ValueError, r"got \[3, 3, 16, 16\]"),
    ],
)
def test_options_that_do_not_fit(options: Any, kind: type[Exception], message: str) -> None:
    model, (images,) = ALL["plain"].build()
    with pytest.raises(kind, match=message):
        saliency_maps(model, images, 0, method="Occlusion", **SMALL | options)


def test_options_as_numpy_numbers() -> None:
    model, (images,) = ALL["plain"].build()
    numbers = {name: np.int64(value) for name, value in SMALL.items()}
    for method, found in every(model, images).items():
        other = saliency_maps(model, images, 1, method=method, **numbers)
        assert torch.equal(other.signed, found.signed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(images: Tensor) -> None:
    model = load_model("resnet18")
    options = {"window": 32, "stride": 32, "noise": 0.0}
    expected = every(model, images, **options)
    model.cuda()
    for where in ("cpu", "cuda"):
        state = torch.cuda.get_rng_state()
        for method, found in every(model, images.to(where), **options).items():
            assert found.maps.device.type == "cpu"
            exact = expected[method].signed
            assert (found.signed - exact).norm() < 0.05 * exact.norm(), method
        assert torch.equal(torch.cuda.get_rng_state(), state)
