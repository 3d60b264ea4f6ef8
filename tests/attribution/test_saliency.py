"""Saliency maps: equal to autograd, to sums by hand and to captum alone, on any model."""

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

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.models import ALL as ZOO
from support.models import CLASSES, Plain, Residual, ResidualBlock
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
NOT_ONLY_RELU = (
    *("inner_dict", "recurrent", "control_flow", "keywords", "attention", "one_layer", "vit"),
)

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


class Squares(nn.Module):
    """score_c = c · Σ x² + Σ x, whose integrated gradients are known: c · x² + x."""

    def forward(self, x: Tensor) -> Tensor:
        factors = torch.arange(3, dtype=x.dtype)
        return x.square().sum((1, 2, 3))[:, None] * factors + x.sum((1, 2, 3))[:, None]


def test_integrated_gradients_are_complete() -> None:
    """They add up to what the score gained on the way."""
    model, (images,) = ALL["plain"].build()
    base, alone = images.flip(0), quietly(model).double()
    gained = (alone(images.double()) - alone(base.double()))[:, 3]
    few, many = (
        saliency_maps(model, images, 3, method="IntegratedGradients", steps=n, baseline=base)
        for n in (1, 200)
    )
    few, many = ((found.signed.sum((1, 2, 3)) - gained).abs().max() for found in (few, many))
    assert gained.abs().min() > 0.001
    assert many < 1e-4
    assert few > 5 * many


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


@pytest.mark.parametrize(
    ("kind", "window", "stride"),
    [("zero", 6, 4), ("number", 5, 5), ("image", 16, 3), ("each", 3, 1)],
)
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


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v3_small"])
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
    assert torch.cosine_similarity(found, plain, dim=0) < 0.999


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
    with pytest.raises(ValueError, match="do not depend on the images"):
        guided_gradient(torch.ones(1, requires_grad=True).sum(), x)


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


def in_place(of: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A ReLU in place, on a part of what it is given or on a view of it."""

    def activation(x: Tensor) -> Tensor:
        x = x.clone()
        F.relu_(of(x))
        return x

    return activation


# Ways to write a ReLU, and other activations. Which name of autograd's the warning has.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (F.relu, ""),
    "relu_": (lambda x: F.relu_(x.clone()), ""),
    "relu of a view": (lambda x: F.relu(x.flatten(1)).view_as(x), ""),
    "relu_ on a view": (
        in_place(lambda x: x.flatten(1)),
        r"change in place of a view \(inplace=False helps\)",
    ),
    "relu_ on a slice": (
        in_place(lambda x: x[:, :2]),
        r"change in place of a view \(inplace=False helps\)",
    ),
    "threshold": (lambda x: F.threshold(x, 0.0, 0.0), "Threshold"),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), "Maximum"),
    "fmax": (lambda x: torch.fmax(x, torch.zeros_like(x)), "Fmax"),
    "where": (lambda x: torch.where(x > 0, x, 0.0), "Where"),
    "mask": (lambda x: x * (x > 0), "a mask of zeros and ones"),
    "float mask": (lambda x: (x > 0).float() * x, "a mask of zeros and ones"),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), "MaskedFill"),
    "abs": (lambda x: (x + x.abs()) / 2, "Abs"),
    "amax": (lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0), "Amax"),
    "own function": (OwnRelu.apply, "the function OwnRelu"),
    "clamp": (lambda x: x.clamp(min=0), "Clamp"),
    "square": (lambda x: x * x, "Mul of two activations"),
    "gate": (lambda x: x * x.sigmoid(), "Mul of two activations, Sigmoid"),
    "relu6": (F.relu6, ""),
    "hardtanh": (F.hardtanh, "Hardtanh"),
    **{
        name: (getattr(F, name), "")
        for name in ("leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus")
    },
    **{name: (getattr(F, name), "") for name in ("hardswish", "hardsigmoid", "tanh", "logsigmoid")},
}


class Written(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.b(self.activation(self.a(x)))).mean((2, 3)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_guided_is_said(name: str) -> None:
    """Either the map is that of a network with `F.relu` there, or a warning names what is not."""
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    activation, words = ACTIVATIONS[name]
    right, found = (
        lambda f=f: saliency_maps(Written(f), images, 1, method="GuidedBackprop").signed
        for f in (F.relu, activation)
    )
    if name in ("relu", "relu_", "relu of a view", "relu6"):  # no activation here reaches 6
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.allclose(found(), right(), atol=1e-6)
        return
    words = rf"^only the 1 ReLUs of this network are guided; left as they are: .*{words}\.$"
    with pytest.warns(NothingToGuideWarning, match=words) as seen:
        assert not torch.allclose(found(), right(), atol=1e-6)
    assert [warning.filename for warning in seen] == [__file__]  # the line of whoever asked


def test_a_network_without_a_relu() -> None:
    leaf = torch.rand(4, requires_grad=True)
    with pytest.warns(NothingToGuideWarning, match=r"no ReLU .* the plain one\.$"):
        guided_gradient((2 * leaf).sum(), leaf)
    with pytest.warns(NothingToGuideWarning, match="plain one; left as they are: Tanh"):
        guided_gradient(leaf.tanh().sum(), leaf)
    weight = torch.rand(4, requires_grad=True)  # what happens to weights is no activation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guided_gradient((F.relu(leaf) * weight.exp()).sum(), leaf)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet", "shufflenet_v2_x0_5"])
def test_nothing_is_said_where_all_is_relu_and_linear(name: str) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saliency_maps(model, torch.rand(1, 3, 64, 64), 0, method="GuidedBackprop")


# -- any model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_every_method_on_every_model(name: str) -> None:
    model, (images,) = ALL[name].build()
    some_grads(model)
    one_layer = name == "one_layer"
    goals: Any = [lambda scores: scores[0].mean()] * 2 if one_layer else [1, 3]
    before, untouched, numbers = portrait(model), images.clone(), random_numbers()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = every(model, images, goals, output=OUTPUT.get(name))
    assert [w.category for w in said] == [NothingToGuideWarning] * (name in NOT_ONLY_RELU)
    second = every(model, images[1:], goals[1:], output=OUTPUT.get(name))
    assert (portrait(model), random_numbers()) == (before, numbers)
    assert torch.equal(images, untouched)
    assert torch.equal(found["GradientXInput"].signed, found["Gradient"].signed * images)
    for method, each in found.items():
        assert each.method == method
        assert repr(each) == f"SaliencyMaps({method}: 2 of 16×16)"
        assert each.signed.shape == images.shape
        assert each.signed.any()
        adds_up, signed = METHODS[method].adds_up, each.signed
        rule = signed.sum(1).clamp(min=0) if adds_up else signed.abs().amax(1)
        assert torch.equal(each.maps, rule)
        # An image does not depend on its batch.
        assert torch.allclose(signed[1:], second[method].signed, atol=1e-6), method
        for tensor in (each.maps, each.signed):
            kind = (tensor.dtype, tensor.device.type, tensor.requires_grad)
            assert kind == (torch.float32, "cpu", False)
    assert {m: (f.forward_images, f.backward_images) for m, f in found.items()} == {
        "Gradient": (2, 2),
        "GuidedBackprop": (2, 2),
        "SmoothGrad": (2 * 3, 2 * 3),
        "GradientXInput": (2, 2),
        "IntegratedGradients": (2 * 3, 2 * 3),
        "Occlusion": (2 * (1 + PATCHES), 0),
    }


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


def test_no_graph_waits_for_the_garbage_collector() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    outputs = []
    model.register_forward_hook(lambda _, __, output: outputs.append(weakref.ref(output)))
    every(model, torch.rand(2, 3, 8, 8), window=4)  # imports captum
    outputs.clear()
    gc.collect()
    gc.disable()
    try:
        for method in METHODS:
            saliency_maps(model, torch.rand(2, 3, 8, 8), 1, method=method, **SMALL)
            assert outputs
            assert all(output() is None for output in outputs), method
    finally:
        gc.enable()


def frozen(model: nn.Module, images: Tensor) -> dict[str, Any]:
    return every(model.requires_grad_(False), images)


def under(mode: Callable[[], Any]) -> Callable[[nn.Module, Tensor], dict[str, Any]]:
    def run(model: nn.Module, images: Tensor) -> dict[str, Any]:
        with mode():  # what is made here are tensors of which autograd wants to know nothing
            return every(model, images.clone(), baseline=torch.zeros(3, 16, 16))

    return run


def with_numpy_numbers(model: nn.Module, images: Tensor) -> dict[str, Any]:
    return every(model, images, **{name: np.int64(value) for name, value in SMALL.items()})


@pytest.mark.parametrize(
    "run",
    [
        frozen,
        under(torch.no_grad),
        under(torch.inference_mode),
        lambda model, images: every(torch.compile(model, backend="eager"), images),
        lambda model, images: every(model, images.clone().requires_grad_()),
        with_numpy_numbers,
    ],
    ids=["frozen", "no_grad", "inference_mode", "compiled", "images require grad", "numpy"],
)
def test_the_same_maps_in_other_circumstances(
    run: Callable[[nn.Module, Tensor], dict[str, Any]],
) -> None:
    model, (images,) = ALL["batch_norm"].build()
    expected = every(model, images)
    for method, found in run(model, images).items():
        assert torch.equal(found.signed, expected[method].signed), method


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


@dataclass
class Answer:
    logits: Tensor


@pytest.mark.parametrize(
    ("wrap", "message", "output"),
    [
        (lambda s: {"logits": s}, r"lambda out: out\['logits'\]$", lambda out: out["logits"]),
        (lambda s: (s, 1), r"returns tuple, .*lambda out: out\[0\]$", lambda out: out[0]),
        (Answer, r"returns Answer, .*It holds {'\.logits'.*out\.logits$", lambda out: out.logits),
        (lambda scores: "cat", r"returns str, .* It holds no tensor of floats\.$", None),
        (lambda scores: scores.argmax(1), r"returns torch\.int64, .* no tensor of floats", None),
    ],
)
def test_models_that_return_more_than_scores(
    wrap: Callable[[Tensor], Any], message: str, output: Any
) -> None:
    model, (images,) = ALL["plain"].build()
    expected = every(model, images)
    model.register_forward_hook(lambda _, __, scores: wrap(scores))
    with pytest.raises(TypeError, match=message):
        saliency_maps(model, images, 0)
    for method, found in every(model, images, output=output).items() if output else ():
        assert torch.equal(found.signed, expected[method].signed)


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


def test_names_of_methods() -> None:
    model, (images,) = ALL["plain"].build()
    theirs = {"Saliency": "Gradient", "InputXGradient": "GradientXInput"}
    for name, ours in (theirs | {"NoiseTunnel": "SmoothGrad"}).items():
        assert saliency_maps(model, images, 0, method=name, **SMALL).method == ours
    for wrong, near in (("gradient", "Gradient"), ("Occlude", "Occlusion")):
        with pytest.raises(ValueError, match=f"Did you mean '{near}'.* There is Gradient, Guided"):
            saliency_maps(model, images, method=wrong)
    with pytest.raises(TypeError, match="method is the name"):
        saliency_maps(model, images, method=nn.ReLU)


def test_wrong_targets_and_images() -> None:
    model, (images,) = ALL["plain"].build()
    for wrong in (CLASSES, -1, [0, 99]):
        with pytest.raises(ValueError, match=f"classes 0 to {CLASSES - 1}"):
            saliency_maps(model, images, wrong)
    with pytest.raises(ValueError, match="3 targets for 2 images"):
        saliency_maps(model, images, [1, 2, 3])
    for kind in ("cat", [0.5, 1.0]):
        with pytest.raises(TypeError, match="targets are classes"):
            saliency_maps(model, images, kind)
    for shape in (images[0], images[:0], images[None]):
        with pytest.raises(ValueError, match=r"image\[None\]"):
            saliency_maps(model, shape)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda scores: scores.sum(), r"for 1 images .* shape \[\]"),
        (lambda scores: scores.repeat(3, 1), r"for 1 images .* shape \[3, 5\]"),
        (lambda scores: scores[:, :0], r"shape \[1, 0\], not \[N, classes\]"),
    ],
)
def test_scores_that_are_not_a_row_for_each_image(
    answer: Callable[[Tensor], Tensor], message: str
) -> None:
    model, (images,) = ALL["plain"].build()
    with pytest.raises(ValueError, match=message):
        saliency_maps(model, images, 0, output=answer)


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
