"""Class activation maps: equal to the library and to autograd, also where it alone goes wrong."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.models import ALL, CLASSES, Residual, ResidualBlock
from support.portrait import portrait
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig

from vizhelpers.attribution.cam import METHODS, choose_target_layer, class_maps
from vizhelpers.hooks import capture
from vizhelpers.layers import get_layer
from vizhelpers.zoo.loading import load_model

GRADIENT = ("GradCAM", "HiResCAM", "GradCAMPlusPlus", "XGradCAM", "LayerCAM")
COURSE = {"alexnet": "features.11", "vgg11": "features.19", "resnet18": "layer4"}


@pytest.fixture(scope="module")
def images() -> Tensor:
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes

    return normalize(load_scenes("grid", limit=4).images)


def library(model: nn.Module, images: Tensor, layer: str, classes: list[int], method: str) -> Any:
    """The library as its documentation shows it."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = getattr(pytorch_grad_cam, method)(model, [get_layer(model, layer)])
    return cam(images, [ClassifierOutputTarget(c) for c in classes])


def by_hand(model: nn.Module, images: Tensor, layer: str, classes: list[int]) -> Tensor:
    """Grad-CAM in three lines."""
    score = torch.arange(len(classes)), torch.tensor(classes)
    seen = capture(model.eval(), images, layer, gradients=lambda output: output[score].sum())
    weights = seen.gradients[layer][0].mean((2, 3), keepdim=True)
    return (weights * seen[layer][0]).sum(1).clamp(min=0)


class NothingInPlace(ResidualBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + x)


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy that overwrites nothing, with which the library alone is right."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, ResidualBlock):
            module.__class__ = NothingInPlace
    return model


def seeded_vit() -> tuple[nn.Module, Tensor]:
    """torchvision draws its head as zeros, with which no gradient goes anywhere."""
    model, (images,) = ALL["vit"].build()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        nn.init.normal_(model.heads.head.weight)
    return model, images


# -- equal to what they should be -----------------------------------------------------------------


def test_cam_from_scratch_is_grad_cam_up_to_a_factor(images: Tensor) -> None:
    model = load_model("resnet18")
    maps = capture(model, images, "layer4")["layer4"][0]
    cam = torch.einsum("nchw,c->nhw", maps, model.fc.weight[3]).clamp(min=0)
    assert torch.allclose(class_maps(model, images, 3).raw, (cam / 64).detach(), atol=1e-5)


@pytest.mark.parametrize(("name", "layer"), COURSE.items())
def test_grad_cam_from_scratch_is_the_librarys(name: str, layer: str, images: Tensor) -> None:
    model = load_model(name)
    found = class_maps(model, images, [0, 3, 5, 9])
    assert found.layer == layer
    assert found.raw.abs().max() > 0.01
    assert torch.allclose(found.raw, by_hand(model, images, layer, [0, 3, 5, 9]), atol=1e-5)


@pytest.mark.parametrize("name", COURSE)
def test_captum_says_the_same(name: str, images: Tensor) -> None:
    from captum.attr import LayerGradCam

    model = out_of_place(load_model(name))
    cam = LayerGradCam(model, get_layer(model, COURSE[name]))
    expected = cam.attribute(images, target=2, relu_attributions=True)[:, 0].detach()
    assert torch.allclose(class_maps(model, images, 2).raw, expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_the_library_alone(method: str, images: Tensor) -> None:
    slow = method in ("ScoreCAM", "AblationCAM")
    name, some = ("alexnet", images[:1]) if slow else ("vgg11", images[:2])
    model, goals = load_model(name), [4, 1][: len(some)]
    alone = library(out_of_place(model), some, COURSE[name], goals, method)
    found = class_maps(model, some, goals, method=method)
    assert torch.allclose(found.maps, torch.from_numpy(alone), atol=1e-4)
    assert found.maps.shape == (len(some), 128, 128)
    assert found.maps.dtype == torch.float32


@pytest.mark.parametrize("name", COURSE)
def test_hirescam_is_gradcam_where_the_gradient_is_even(name: str, images: Tensor) -> None:
    """Behind global pooling it is the same at all places; behind AlexNet's and VGG's it is not."""
    model = load_model(name)
    grad, hires = (class_maps(model, images, 1, method=m).maps for m in ("GradCAM", "HiResCAM"))
    assert ((grad - hires).abs().max() < 1e-4) == (name == "resnet18")


@pytest.mark.parametrize("method", METHODS)
def test_what_the_table_of_methods_says(method: str) -> None:
    model, (images,) = ALL["residual"].build()
    one, two = (class_maps(model, images, c, method=method) for c in (0, 3))
    assert METHODS[method].gradients == (one.backward_images > 0)
    assert METHODS[method].asks_class != torch.equal(one.maps, two.maps)
    passes = {"ScoreCAM": 1 + 8, "AblationCAM": 2 + 8}.get(method, 1)  # it has 8 channels
    assert one.forward_images == 2 * passes
    assert one.backward_images == 2 * METHODS[method].gradients
    assert METHODS[method].idea
    assert METHODS[method].paper


def test_batches_change_nothing(images: Tensor) -> None:
    model = load_model("resnet18")
    many = images.repeat(5, 1, 1, 1)[:18]  # more than go through at a time
    found = class_maps(model, many, [0, 1, 2, 3] * 4 + [5, 6])
    assert len(found.maps) == len(found.raw) == len(found.targets) == 18
    assert torch.allclose(found.raw[16:], class_maps(model, images[:2], [5, 6]).raw, atol=1e-5)


def test_raw_tells_a_weak_map_from_a_strong_one(images: Tensor) -> None:
    model = load_model("resnet18")
    strong, weak = class_maps(model, images, 0), class_maps(model, images / 3, 0)
    assert torch.allclose(strong.maps.amax((1, 2)), torch.ones(4), atol=1e-3)
    assert strong.raw.shape == (4, 8, 8)
    small = strong.raw[0] - strong.raw[0].min()
    grown = F.interpolate((small / small.max())[None, None], (128, 128), mode="bilinear")[0, 0]
    assert (grown - strong.maps[0]).abs().max() < 0.02
    assert weak.raw.amax() != strong.raw.amax()


def test_a_map_without_anything_is_zero_and_says_so() -> None:
    model, (images,) = ALL["residual"].build()
    with torch.no_grad():
        model.fc.weight.copy_(-model.fc.weight.abs())
    for method in ("GradCAM", "LayerCAM", "XGradCAM", "GradCAMPlusPlus"):
        found = class_maps(model, images, 0, method=method)
        assert found.empty.all(), method
        assert (found.maps == 0).all(), method
    with torch.no_grad():
        model.fc.weight.abs_()
    assert not class_maps(model, images, 0).empty.any()


def test_division_by_a_score_of_zero() -> None:
    model, (images,) = ALL["residual"].build()
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = class_maps(model, images, 0, method="AblationCAM")
    assert found.empty.all()
    assert (found.maps == 0).all()
    assert (found.raw == 0).all()


# -- where the library alone goes wrong -----------------------------------------------------------


def broken(scores: Tensor) -> Tensor:
    raise RuntimeError("a target with a bug")


def test_no_graph_waits_for_the_garbage_collector() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    outputs = []
    model.register_forward_hook(lambda _, __, output: outputs.append(weakref.ref(output)))
    gc.collect()
    gc.disable()
    try:
        for method in METHODS:
            class_maps(model, torch.rand(2, 3, 8, 8), 1, method=method)
            assert outputs
            assert all(output() is None for output in outputs), method
    finally:
        gc.enable()


def test_a_layer_that_the_library_replaced_is_put_back_after_an_error() -> None:
    from pytorch_grad_cam import AblationCAM

    def fails_later(scores: Tensor) -> Tensor:
        calls.append(1)
        return broken(scores) if len(calls) > 4 else scores[0]

    model, (images,) = ALL["residual"].build()
    layer = model.layer1
    for run in (
        lambda: class_maps(model, images, fails_later, method="AblationCAM"),
        lambda: AblationCAM(model, [layer])(images, [fails_later] * 2),
    ):
        assert model.layer1 is layer
        calls: list[int] = []
        with pytest.raises(RuntimeError, match="a bug"):
            run()
    assert model.layer1 is not layer  # the library alone


def test_a_model_in_training_mode() -> None:
    """BatchNorm cannot train on one vector, and one image is all that the choice of layer needs."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, CLASSES)),
    )
    images = torch.rand(3, 3, 16, 16)
    training = class_maps(model.train(), images, 0)
    assert torch.equal(training.maps, class_maps(model.eval(), images, 0).maps)


def under(mode: Callable[[], Any]) -> Callable[[nn.Module, Tensor, str], Any]:
    def run(model: nn.Module, images: Tensor, method: str) -> Any:
        with mode():
            return class_maps(model, images.clone(), 0, method=method)

    return run


@pytest.mark.parametrize(
    "run",
    [
        lambda model, images, method: class_maps(
            model.requires_grad_(False), images, 0, method=method
        ),
        under(torch.no_grad),
        under(torch.inference_mode),
        lambda model, images, method: class_maps(
            torch.compile(model, backend="eager"), images, 0, method=method
        ),
        lambda model, images, method: class_maps(
            model, images.clone().requires_grad_(), 0, method=method
        ),
    ],
    ids=["frozen", "no_grad", "inference_mode", "compiled", "images require grad"],
)
def test_the_same_maps_in_other_circumstances(run: Callable[..., Any]) -> None:
    model, (images,) = ALL["batch_norm"].build()
    for method in METHODS:
        expected = class_maps(model, images, 0, method=method)
        assert not expected.empty.all()
        assert torch.equal(run(model, images, method).maps, expected.maps), method


@pytest.mark.parametrize("name", ["layer1.0.bn1", "layer1", None])
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_image_gets_no_gradient(method: str, name: str | None) -> None:
    model, (images,) = ALL["residual"].build()
    images.requires_grad_()
    class_maps(model, images, 0, layer=name, method=method)
    assert images.grad is None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, "autocast"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision(method: str, kind: Any) -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = class_maps(model, images, method=method)
    if kind == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = class_maps(model, images, expected.targets, method=method)
    else:
        found = class_maps(model.to(kind), images, expected.targets, method=method)
        assert {weight.dtype for weight in model.parameters()} == {kind}
    assert found.maps.dtype == torch.float32
    if method != "EigenCAM":  # whose sign is arbitrary
        assert (found.maps - expected.maps).abs().mean() < 0.03


def test_models_without_weights_or_with_a_child_that_is_none() -> None:
    model, (images,) = ALL["residual"].build()
    for method in METHODS:
        expected = class_maps(model, images, 0, method=method).maps
        model.stem.norm = None
        assert torch.equal(class_maps(model, images, 0, method=method).maps, expected), method
        del model.stem.norm
    bare = nn.Sequential(nn.AvgPool2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert not class_maps(bare, images, 0).empty.any()


@pytest.mark.parametrize(
    ("name", "advice", "output"),
    [
        ("dict_output", "out['logits']", lambda out: out["logits"]),
        ("tuple_output", "out[0]", lambda out: out[0]),
        ("named_tuple_output", "out.logits", lambda out: out.logits),
    ],
)
def test_models_that_return_more_than_scores(name: str, advice: str, output: Any) -> None:
    plain, (images,) = ALL["plain"].build()
    model, _ = ALL[name].build()
    with pytest.raises((TypeError, AttributeError, RuntimeError, IndexError)):
        library(model, images, "features.4", [0, 0], "GradCAM")
    with pytest.raises(TypeError) as error:
        class_maps(model, images, 0)
    assert f"output=lambda out: {advice}" in str(error.value)
    for method in METHODS:
        found = class_maps(model, images, 0, method=method, output=output)
        assert torch.equal(found.maps, class_maps(plain, images, 0, method=method).maps)


def test_a_transformer() -> None:
    model, images = seeded_vit()
    target = choose_target_layer(model, images)
    assert target.name == "encoder.layers.encoder_layer_1.ln_1"
    assert target.map_shape == (2, 2)
    with pytest.raises(Exception, match="shape"):
        library(model, images, target.name, [0, 3], "GradCAM")
    seen = capture(model.eval(), images, target.name, gradients=lambda out: out[0, 0] + out[1, 3])
    tokens, gradient = (where[target.name][0][:, 1:] for where in (seen, seen.gradients))
    expected = (gradient.mean(1, keepdim=True) * tokens).sum(2).clamp(min=0).reshape(2, 2, 2)
    found = class_maps(model, images, [0, 3])
    assert expected.any()
    assert torch.allclose(found.raw, expected, atol=1e-5)
    assert found.maps.shape == (2, 16, 16)
    for method in METHODS:
        assert class_maps(model, images, 0, method=method).maps.isfinite().all()
    nn.init.zeros_(model.heads.head.weight)
    with pytest.raises(ValueError, match="no map changes the scores of this VisionTransformer"):
        class_maps(model, images)
    assert class_maps(model, images, layer=target.name).empty.all()


class Tokens(nn.Module):
    """A transformer as timm builds it: norms in a list of blocks, tokens in front, no pooling."""

    def __init__(
        self, extra: int = 0, *, mean: bool = True, batch_first: bool = True, width: int = 16
    ) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.front = nn.Parameter(torch.randn(1, extra, 8))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, width, batch_first=batch_first, norm_first=True)
            for _ in range(2)
        )
        self.norm, self.attend = nn.LayerNorm(8), nn.Dropout(0.1)
        self.head = nn.Linear(8, CLASSES)
        self.mean, self.batch_first = mean, batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.front.expand(len(x), -1, -1), x], 1)
        x = x if self.batch_first else x.transpose(0, 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        x = x if self.batch_first else x.transpose(0, 1)
        # As attention written out has it: [N, heads, T, T].
        weights = self.attend((x @ x.transpose(1, 2)).softmax(-1)[:, None].repeat(1, 3, 1, 1))
        x = weights.mean(1) @ x
        return self.head(x.mean(1) if self.mean else x[:, 0])


class ChannelsLast(nn.Module):
    """As Swin: patches stay a grid [N, h, w, C], which is halved once; or tokens [N, T, C]."""

    def __init__(self, channels: int = 6, *, tokens: bool = False) -> None:
        super().__init__()
        self.patch, self.norm1 = nn.Conv2d(3, channels, 4, 4), nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 8), nn.GELU(), nn.Linear(8, channels))
        self.merge, self.norm = nn.Linear(4 * channels, channels), nn.LayerNorm(channels)
        self.act, self.head, self.tokens = nn.GELU(), nn.Linear(channels, CLASSES), tokens

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        x = x + self.mlp(self.norm1(x))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)
        x = self.merge(x.flatten(1, 2) if self.tokens else x)
        return self.head(self.act(self.norm(x)).flatten(1, -2).mean(1))


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm, self.linear = nn.LayerNorm(channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(self.norm(self.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def convnext(channels: int = 6) -> nn.Module:
    blocks = nn.Sequential(nn.Conv2d(3, channels, 4, 4), ConvNeXtBlock(channels), nn.Identity())
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(channels)
    return nn.Sequential(blocks, *head, nn.Linear(channels, CLASSES))


def grad_cam(
    model: nn.Module, images: Tensor, layer: str, as_maps: Callable[[Tensor], Tensor]
) -> tuple[int, Tensor]:
    """Grad-CAM by autograd alone, told how to make maps: of the first class that has any."""
    kept: list[Tensor] = []
    handle = get_layer(model, layer).register_forward_hook(lambda *given: kept.append(given[2]))
    scores = model.eval()(images)
    handle.remove()
    for goal in range(CLASSES):
        (gradient,) = torch.autograd.grad(scores[:, goal].sum(), kept[0], retain_graph=True)
        weights = as_maps(gradient).mean((2, 3), keepdim=True)
        cam = (weights * as_maps(kept[0])).sum(1).clamp(min=0).detach()
        if cam.any():
            return goal, cam
    raise AssertionError("all maps are empty")


def patches(tokens: Tensor) -> Tensor:
    """[N, 4 · 3 + any, D], the patches at the end, as maps."""
    return tokens[:, -12:].transpose(1, 2).unflatten(2, (4, 3))


def last_to_front(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2)


# A network, the layer that is chosen or one that is asked for, its maps, what the reason says.
Layout = tuple[Callable[[], nn.Module], str | None, str, Callable[[Tensor], Tensor], str]
LAYOUTS: dict[str, Layout] = {
    "class token": (lambda: Tokens(1, mean=False), None, "norm", patches, "behind 1 other token"),
    "registers": (lambda: Tokens(5), None, "norm", patches, "behind 5 other tokens"),
    "patches only": (Tokens, None, "norm", patches, "those of 'patch'"),
    "as wide as the patches": (
        lambda: Tokens(1, width=12),
        *("blocks.0.linear1", "blocks.0.linear1", patches, "behind 1 other token"),
    ),
    "inside": (Tokens, "blocks.0.linear1", "blocks.0.linear1", patches, "those of 'patch'"),
    "tokens first": (
        lambda: Tokens(1, batch_first=False),
        *(None, "norm", lambda out: patches(out.transpose(0, 1)), "behind 1 other token"),
    ),
    "grid": (ChannelsLast, None, "act", last_to_front, "6 of 2×2 positions"),
    "grid, early": (ChannelsLast, "mlp", "mlp", last_to_front, "channels come last: 4×4"),
    "norm of a grid": (ChannelsLast, "norm1", "norm1", last_to_front, "channels come last: 4×4"),
    "a norm tells": (lambda: ChannelsLast(4), "norm1", "norm1", last_to_front, "come last: 4×4"),
    "ConvNeXt": (convnext, None, "0", lambda out: out, "6 of 4×4 positions"),
    "inside ConvNeXt": (convnext, "0.1.linear", "0.1.linear", last_to_front, "come last: 4×4"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised(name: str) -> None:
    make, layer, taken, as_maps, words = LAYOUTS[name]
    torch.manual_seed(0)
    model = make()
    images = torch.rand(2, 3, 16, 12 if isinstance(model, Tokens) else 16)
    goal, expected = grad_cam(model, images, taken, as_maps)
    found = class_maps(model, images, goal, layer=layer)
    assert found.layer == taken
    assert words in found.reason
    assert torch.allclose(found.raw, expected, atol=1e-6)
    for method in METHODS:
        if method == "AblationCAM" and name == "tokens first":
            with pytest.raises(ValueError, match="AblationCAM needs the channels"):
                class_maps(model, images, 1, layer=layer, method=method)
        elif method != "FullGrad":
            assert class_maps(model, images, 1, layer=layer, method=method).layer == taken


# A network and a layer whose shape may mean two things, and what is meant.
UNCLEAR: dict[str, tuple[Callable[[], nn.Module], str, Callable[[Tensor], Tensor], str]] = {
    "a cube": (lambda: ChannelsLast(4), "mlp", last_to_front, r"\[1, 4, 4, 4\].*first or last"),
    "a cube in ConvNeXt": (lambda: convnext(4), "0.2", lambda out: out, ".*first or last"),
    "merged tokens": (
        lambda: ChannelsLast(tokens=True),
        *("norm", lambda out: out.transpose(1, 2).unflatten(2, (2, 2)), r"\[1, 4, 6\].*reshape="),
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_layouts_that_cannot_be_told_are_asked_back(name: str) -> None:
    make, layer, as_maps, words = UNCLEAR[name]
    torch.manual_seed(0)
    model, images = make(), torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match=f"no map can be made at '{layer}': it returns {words}"):
        class_maps(model, images, 1, layer=layer)
    goal, expected = grad_cam(model, images, layer, as_maps)
    found = class_maps(model, images, goal, layer=layer, reshape=as_maps)
    assert torch.allclose(found.raw, expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"must make \[1, C, h, w\].* it made \["):
        class_maps(model, images, 1, layer=layer, reshape=lambda out: out.flatten(1))
    with pytest.raises(ValueError, match="say which, layer="):
        class_maps(model, images, 1, reshape=as_maps)


def test_an_early_layer_is_not_taken_for_the_last() -> None:
    for model in (convnext(4), ChannelsLast(tokens=True)):
        with pytest.raises(ValueError, match=r"are known, but later on .* or say another") as said:
            choose_target_layer(model, torch.rand(1, 3, 16, 16))
        # The layer to ask about is the last of those that are unclear.
        last = "act" if isinstance(model, ChannelsLast) else "0"
        assert f"with layer='{last}'" in str(said.value)


class Windows(nn.Module):
    """Tokens that stand window after window, each of 2x2 patches, as inside Hiera."""

    def __init__(self, *, ordered: bool = False) -> None:
        super().__init__()
        order = torch.arange(16).view(4, 4)
        windows = order.view(2, 2, 2, 2).transpose(1, 2)
        self.order = (order if ordered else windows).flatten()
        self.patches, self.block = nn.Conv2d(3, 6, 4, stride=4), nn.LayerNorm(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.fc(self.block(tokens[:, self.order]).relu().mean(1))

    def as_maps(self, tokens: Tensor) -> Tensor:
        return tokens[:, self.order.argsort()].transpose(1, 2).unflatten(2, (4, 4))


def test_tokens_in_another_order_are_asked_back() -> None:
    torch.manual_seed(0)
    model, images = Windows(), torch.rand(2, 3, 16, 16)
    goal, expected = grad_cam(model, images, "block", model.as_maps)
    with pytest.raises(ValueError, match="tokens of 'block' lie in the image cannot be told"):
        class_maps(model, images, goal, layer="block")
    found = class_maps(model, images, goal, layer="block", reshape=model.as_maps)
    assert torch.allclose(found.raw, expected, atol=1e-6)
    model = Windows(ordered=True)
    goal, expected = grad_cam(model, images, "block", model.as_maps)
    assert torch.allclose(class_maps(model, images, goal, layer="block").raw, expected, atol=1e-6)


class Folded(nn.Module):
    """Makes several images of each one, which go through as one batch."""

    def __init__(self, fold: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fold, self.conv, self.fc = fold, nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.conv(self.fold(x))).mean((2, 3))
        return self.fc(maps.view(len(x), -1, 8).amax(1))


@pytest.mark.parametrize(
    "fold",
    [
        lambda x: x.unfold(2, 8, 8).permute(0, 2, 1, 4, 3).flatten(0, 1),  # tiles
        lambda x: torch.cat([x, x / 2]),  # views
        lambda x: x if len(x) == 1 else torch.cat([x, x]),  # one image alone is not folded
    ],
)
def test_the_first_dimension_must_be_the_images(fold: Callable[[Tensor], Tensor]) -> None:
    model, images = Folded(fold), torch.rand(2, 3, 16, 16)
    for layer in ("conv", None):
        with pytest.raises(ValueError, match=r"for one image|no layer|not the number of images"):
            class_maps(model, images, 1, layer=layer)


def test_behind_the_last_attention_a_transformers_map_is_empty() -> None:
    model, images = seeded_vit()
    assert class_maps(model, images, layer="encoder.ln").empty.all()


def test_one_class_for_all_images() -> None:
    model, (images,) = ALL["residual"].build()
    alone = library(model, images, "layer1", [2], "GradCAM")
    each = class_maps(model, images, [2, 2])
    assert each.maps[1].any()
    assert not alone[1].any()
    for targets in (2, np.int64(2), torch.tensor(2), torch.tensor([2, 2]), np.array([2, 2])):
        found = class_maps(model, images, targets)
        assert torch.equal(found.maps, each.maps)
        assert torch.equal(found.targets, torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="3 targets for 2 images"):
        class_maps(model, images, [1, 2, 3])


def test_the_predicted_class() -> None:
    model, (images,) = ALL["residual"].build()
    predicted = model.eval()(images).argmax(1)
    found = class_maps(model, images)
    assert torch.equal(found.targets, predicted)
    assert torch.equal(found.maps, class_maps(model, images, predicted).maps)


def test_a_class_that_does_not_exist() -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, (images,) = ALL["residual"].build()
    with GradCAM(model, [model.layer1]) as cam:
        cam(images, [ClassifierOutputTarget(CLASSES)] * 2)
        raise AssertionError("the library swallows the IndexError")
    for wrong in (CLASSES, -1, [0, 99]):
        with pytest.raises(ValueError, match=f"classes 0 to {CLASSES - 1}"):
            class_maps(model, images, wrong)


@pytest.mark.parametrize(
    ("name", "layer"), [("inplace_relu", "features.3"), ("residual", "layer1.1.bn2")]
)
def test_a_layer_that_is_overwritten_is_recorded_before(name: str, layer: str) -> None:
    model, (images,) = ALL[name].build()
    found = class_maps(model, images, [0, 1], layer=layer)
    assert torch.allclose(found.raw, by_hand(model, images, layer, [0, 1]), atol=1e-5)
    alone = library(model, images, layer, [0, 1], "GradCAM")
    assert np.abs(found.maps.numpy() - alone).max() > 0.05
    for method in METHODS:
        right = library(out_of_place(model), images, layer, [0, 1], method)
        found = class_maps(model, images, [0, 1], layer=layer, method=method)
        assert np.abs(found.maps.numpy() - right).max() < 1e-4, method


def test_a_layer_that_is_called_twice() -> None:
    model, (images,) = ALL["residual"].build()
    with pytest.raises(ValueError, match=r"called 2 times.* such as 'layer1\.0'"):
        class_maps(model, images, layer="layer1.0.relu")
    assert library(model, images, "layer1.0.relu", [0, 0], "GradCAM").any()
    model, (images,) = ALL["shared_relu"].build()
    with pytest.raises(ValueError, match=r"called 2 times.* such as 'conv2'"):
        class_maps(model, images, layer=model.relu)


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("residual", "layer2", "Did you mean 'layer1'"),
        ("residual", "fc", r"returns \[1, 5\].*'layer1'"),
        ("attention", "attention", "not return a single tensor.*'patches'"),
        ("control_flow", "dark", "was not called.*'bright'"),
    ],
)
def test_layers_without_a_map(name: str, layer: str, message: str) -> None:
    model, (images,) = ALL[name].build()
    with pytest.raises(ValueError, match=message):
        class_maps(model, images, layer=layer)


def test_a_layer_that_does_not_lead_to_the_scores() -> None:
    class Cut(Residual):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.stem(x)
            return self.fc(self.layer1(x).mean((2, 3)))

    images = torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"no_grad.*'layer1'"):
        class_maps(Cut(), images, layer="stem")
    assert class_maps(Cut(), images).layer == "layer1"


def test_one_channel() -> None:
    model, (images,) = ALL["one_channel"].build()
    for method in METHODS:
        assert class_maps(model, images, method=method).maps.shape == (2, 16, 16)


def test_the_library_is_kept_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    import tqdm
    from pytorch_grad_cam import score_cam

    model, (images,) = ALL["residual"].build()
    for method in METHODS:
        class_maps(model, images, method=method, layer="layer1")
    assert capfd.readouterr() == ("", "")
    assert score_cam.tqdm is tqdm
    library(model, images, "layer1", [0, 0], "FullGrad")
    library(model, images, "layer1", [0, 0], "ScoreCAM")
    printed = capfd.readouterr()
    assert "Warning" in printed.out
    assert "%" in printed.err


# -- what can be asked for ------------------------------------------------------------------------


def test_targets_of_ones_own() -> None:
    model, (images,) = ALL["residual"].build()

    def difference(scores: Tensor) -> Tensor:
        return scores[1] - scores[3]

    found = class_maps(model, images, difference)
    assert found.targets == (difference, difference)
    seen = capture(
        model.eval(), images, "layer1", gradients=lambda out: (out[:, 1] - out[:, 3]).sum()
    )
    weights = seen.gradients["layer1"][0].mean((2, 3), keepdim=True)
    expected = (weights * seen["layer1"][0]).sum(1).clamp(min=0)
    assert torch.allclose(found.raw, expected, atol=1e-6)
    two = class_maps(model, images, [difference, lambda scores: scores[1]])
    assert torch.equal(two.raw[0], found.raw[0])
    assert not torch.equal(two.raw[1], found.raw[1])
    with pytest.raises(TypeError, match="one number"):
        class_maps(model, images, lambda scores: scores)
    with pytest.raises(TypeError, match="has no gradient"):
        class_maps(model, images, lambda scores: scores[0].detach())


def test_a_map_of_scores_needs_a_function() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1))
    images = torch.rand(2, 3, 16, 16)
    assert choose_target_layer(model, images).name == "1"
    with pytest.raises(ValueError, match="Use a function"):
        class_maps(model, images, 0)
    assert class_maps(model, images, lambda scores: scores[0].mean()).maps.shape == (2, 16, 16)


def test_fullgrad_adds_up_all_biases() -> None:
    model, (images,) = ALL["residual"].build()
    found = class_maps(model, images, method="FullGrad", layer="layer1")
    assert found.raw is None
    assert found.layer == "all biases"
    assert "all 5 Conv2d and BatchNorm2d" in found.reason


class Places(nn.Module):
    """Two convolutions and one of the places, as some transformers have; declared in any order."""

    def __init__(self, order: Sequence[str]) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = {
            "first": nn.Conv2d(3, 4, 3, padding=1),
            "places": nn.Conv2d(1, 4, 3, padding=1),
            "second": nn.Conv2d(4, 5, 3, padding=1),
            "unused": nn.Conv2d(3, 4, 3),
        }
        for name in order:
            self.add_module(name, layers[name])

    def forward(self, x: Tensor) -> Tensor:
        places = self.places(torch.arange(64.0).view(1, 1, 8, 8) / 64)
        return self.second(F.relu(self.first(x) + places)).mean((2, 3))


def test_fullgrad_knows_biases_in_any_order() -> None:
    from pytorch_grad_cam import FullGrad
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    # The library alone is right where weights need gradients and the order is that of the calls.
    with FullGrad(Places(["places", "first", "second"]), []) as cam:
        expected = torch.from_numpy(cam(images.clone(), [ClassifierOutputTarget(2)]))
    model = Places(["unused", "second", "first", "places"]).requires_grad_(False)
    found = class_maps(model, images, 2, method="FullGrad")
    assert "all 3 Conv2d" in found.reason
    assert torch.allclose(found.maps, expected, atol=1e-6)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


class OtherConv(nn.Conv2d):
    """As timm's and others': the library passes over it."""


def test_what_fullgrad_cannot_add_up_is_said() -> None:
    head = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(256, 5), nn.Flatten())
    tiles = Folded(lambda x: x.unfold(2, 8, 8).permute(0, 2, 1, 4, 3).flatten(0, 1))
    for model, words in (
        (ALL["shared_conv"].build()[0], "'first' is called 2 times"),
        (nn.Sequential(OtherConv(3, 3, 3), *head), "'0' is one of another kind, OtherConv"),
        (tokens, "this model calls none"),
        (tiles, r"'conv' returns \[2, 8, 8, 16\] for one image"),
    ):
        with pytest.raises(ValueError, match=rf"{words}.* such as 'GradCAM'"):
            class_maps(model, torch.rand(1, 3, 16, 16), method="FullGrad")


def test_other_methods_of_the_library() -> None:
    from pytorch_grad_cam import GradCAMElementWise, RandomCAM

    model, (images,) = ALL["residual"].build()
    for method in (GradCAMElementWise, RandomCAM):
        random = np.random.get_state()[1].copy()
        assert class_maps(model, images, method=method).method == method.__name__
        assert (np.random.get_state()[1] == random).all()
    with pytest.raises(ValueError, match="Did you mean 'GradCAM'"):
        class_maps(model, images, method="gradcam")
    with pytest.raises(TypeError, match="method"):
        class_maps(model, images, method=nn.ReLU)


def test_wrong_kinds() -> None:
    model, (small,) = ALL["residual"].build()
    with pytest.raises(ValueError, match=r"image\[None\]"):
        class_maps(model, small[0])
    for wrong in ("cat", [0.5, 1.0]):
        with pytest.raises(TypeError, match="targets are classes"):
            class_maps(model, small, wrong)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("plain", "features.4"),
        ("residual", "layer1"),
        ("inner_dict", "pyramid.coarse"),
        ("shared_relu", "conv2"),
        ("batch_norm", "relu"),
        ("functional", "conv"),
        ("control_flow", "bright"),
        ("attention", "patches"),
        ("listed", "convs.1"),
        ("dict_output", "features.4"),
    ],
)
def test_the_layer_that_is_chosen(name: str, layer: str) -> None:
    model, (images,) = ALL[name].build()
    before = portrait(model)
    target = choose_target_layer(model, images)
    assert target.name == layer
    assert repr(layer) in target.reason
    assert capture(model, images, layer)[layer][0].shape[2:] == target.map_shape
    assert portrait(model) == before


def small_swin() -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4])


def small_convnext() -> nn.Module:
    sizes = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return torchvision.models.ConvNeXt(sizes)


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (torchvision.models.mobilenet_v2, "features"),
        (torchvision.models.squeezenet1_1, "classifier.2"),
        (partial(torchvision.models.googlenet, init_weights=False), "inception5b"),
        (small_convnext, "features"),
        (small_swin, "permute"),
    ],
)
def test_the_layer_that_is_chosen_in_known_networks(
    make: Callable[[], nn.Module], layer: str
) -> None:
    assert choose_target_layer(make(), torch.rand(1, 3, 64, 64)).name == layer


@pytest.mark.parametrize("name", ["shared_conv", "recurrent", "one_layer"])
def test_models_without_a_map(name: str) -> None:
    model, (images,) = ALL[name].build()
    with pytest.raises(ValueError, match=r"The layers return:\n.*\[1, "):
        choose_target_layer(model, images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(images: Tensor) -> None:
    model = load_model("resnet18")
    expected = {method: class_maps(model, images[:2], 1, method=method) for method in METHODS}
    model.cuda()
    for method, cpu in expected.items():
        for where in ("cpu", "cuda"):
            found = class_maps(model, images[:2].to(where), 1, method=method)
            assert found.maps.device.type == "cpu"
            assert torch.allclose(found.maps, cpu.maps, atol=0.02), method
