"""Class activation maps: equal to the library and to autograd, and safe where it alone is not."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.models import ALL, CLASSES, Residual, ResidualBlock
from support.portrait import portrait, some_grads
from torch import Tensor, nn

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
    name = {"ScoreCAM": "resnet18", "AblationCAM": "alexnet"}.get(method, "vgg11")
    model = load_model(name)
    alone = library(out_of_place(model), images[:2], COURSE[name], [4, 1], method)
    found = class_maps(model, images[:2], [4, 1], method=method)
    assert torch.allclose(found.maps, torch.from_numpy(alone), atol=1e-4)
    assert found.maps.shape == (2, 128, 128)
    assert found.maps.dtype == torch.float32


@pytest.mark.parametrize("name", COURSE)
def test_hirescam_is_gradcam_where_the_gradient_is_even(name: str, images: Tensor) -> None:
    """Behind global pooling it is the same at all places; behind AlexNet's and VGG's it is not."""
    model = load_model(name)
    grad, hires = (class_maps(model, images, 1, method=m).maps for m in ("GradCAM", "HiResCAM"))
    assert ((grad - hires).abs().max() < 1e-4) == (name == "resnet18")


@pytest.mark.parametrize("method", METHODS)
def test_what_the_table_of_methods_says(method: str, images: Tensor) -> None:
    model = load_model("resnet18")
    one, two = (class_maps(model, images[:1], c, method=method) for c in (0, 7))
    assert METHODS[method].gradients == (one.backward_images > 0)
    assert METHODS[method].asks_class != torch.equal(one.maps, two.maps)
    assert METHODS[method].idea
    assert METHODS[method].paper


def test_passes_are_counted(images: Tensor) -> None:
    model = load_model("resnet18")
    counts = {}
    for method in ("GradCAM", "EigenCAM", "ScoreCAM", "AblationCAM", "FullGrad"):
        found = class_maps(model, images[:2], 0, method=method)
        counts[method] = (found.forward_images, found.backward_images)
    assert counts == {
        "GradCAM": (2, 2),
        "EigenCAM": (2, 0),
        "ScoreCAM": (2 * (1 + 128), 0),
        "AblationCAM": (2 * (2 + 128), 0),
        "FullGrad": (2, 2),
    }


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


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method: str) -> None:
    model, (images,) = ALL["frozen_backbone"].build()
    model.conv.bias = nn.Parameter(torch.zeros(6))
    some_grads(model)
    before, random = portrait(model), torch.get_rng_state()
    class_maps(model, images, 1, method=method)
    assert portrait(model) == before
    assert torch.equal(torch.get_rng_state(), random)
    alone = copy.deepcopy(model)
    before = portrait(alone)
    library(alone, images, "relu", [1, 1], method)
    assert portrait(alone) != before


def broken(scores: Tensor) -> Tensor:
    raise RuntimeError("a target with a bug")


@pytest.mark.parametrize("method", METHODS)
def test_no_graph_waits_for_the_garbage_collector(method: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    outputs = []
    model.register_forward_hook(lambda _, __, output: outputs.append(weakref.ref(output)))
    gc.collect()
    gc.disable()
    try:
        class_maps(model, torch.rand(2, 3, 8, 8), 1, method=method)
        assert outputs
        assert all(output() is None for output in outputs)
    finally:
        gc.enable()


@pytest.mark.parametrize("method", ["GradCAM", "ScoreCAM", "AblationCAM", "FullGrad"])
def test_nothing_is_left_behind_after_an_error(method: str) -> None:
    model, (images,) = ALL["residual"].build()
    before = portrait(model)
    with pytest.raises(RuntimeError, match="a bug"):
        class_maps(model, images, broken, method=method)
    assert portrait(model) == before
    assert torch.backends.mha.get_fastpath_enabled()


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


def test_frozen_models() -> None:
    model, (images,) = ALL["frozen_everything"].build()
    with pytest.raises(RuntimeError, match="does not require grad"):
        library(model, images, "relu", [0, 0], "GradCAM")
    free, _ = ALL["batch_norm"].build()
    for method in METHODS:
        frozen, thawed = (class_maps(m, images, 0, method=method) for m in (model, free))
        assert torch.equal(frozen.maps, thawed.maps)
        assert not frozen.empty.all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_autograd(mode: Callable[[], Any]) -> None:
    model, (images,) = ALL["residual"].build()
    expected = class_maps(model, images, 0).maps
    with mode():
        with pytest.raises(RuntimeError):
            library(model, images, "layer1", [0, 0], "GradCAM")
        assert torch.equal(class_maps(model, images.clone(), 0).maps, expected)
        assert choose_target_layer(model, images.clone()).name == "layer1"


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


class Tokens(nn.Module):
    """A transformer as timm builds it: norms in a list of blocks, tokens in front, no pooling."""

    def __init__(self, extra: int, mean: bool) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.front = nn.Parameter(torch.randn(1, extra, 8))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, CLASSES)
        self.mean = mean

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.front.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.mean else x[:, 0])


@pytest.mark.parametrize(
    ("extra", "mean", "name"),
    [(1, False, "blocks.1.norm1"), (5, False, "blocks.1.norm1"), (0, True, "norm")],
)
def test_other_transformers(extra: int, mean: bool, name: str) -> None:
    torch.manual_seed(0)
    model, images = Tokens(extra, mean), torch.rand(2, 3, 16, 12)
    target = choose_target_layer(model, images)
    assert (target.name, target.map_shape) == (name, (4, 3))
    for method in METHODS:
        assert class_maps(model, images, 0, method=method).maps.shape == (2, 16, 12)
    assert class_maps(model, images, 0, layer=name).layer == name


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


def test_fullgrad_needs_biases_in_order() -> None:
    model, (images,) = ALL["residual"].build()
    found = class_maps(model, images, method="FullGrad", layer="layer1")
    assert found.raw is None
    assert found.layer == "all biases"
    assert "all 5 Conv2d and BatchNorm2d" in found.reason
    for name in ("shared_conv", "recurrent"):
        model, (images,) = ALL[name].build()
        with pytest.raises(ValueError, match="exactly once"):
            class_maps(model, images, method="FullGrad")


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


def test_a_compiled_model_is_run_uncompiled() -> None:
    model, (images,) = ALL["residual"].build()
    compiled = torch.compile(model, backend="eager")
    assert choose_target_layer(compiled, images).name == "layer1"
    assert torch.equal(class_maps(compiled, images).maps, class_maps(model, images).maps)


def test_wrong_kinds() -> None:
    model, (small,) = ALL["residual"].build()
    for wrong in (
        lambda: class_maps(model, small.numpy()),
        lambda: class_maps(model, small.long()),
    ):
        with pytest.raises(TypeError, match="floats"):
            wrong()
    with pytest.raises(ValueError, match=r"image\[None\]"):
        class_maps(model, small[0])
    with pytest.raises(TypeError, match="targets are classes"):
        class_maps(model, small, "cat")
    with pytest.raises(TypeError, match="targets are classes"):
        class_maps(model, small, [0.5, 1.0])
    with pytest.raises(TypeError, match="Module"):
        class_maps("resnet18", small)


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


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet50", "layer4"),
        ("densenet121", "features"),
        ("mobilenet_v2", "features"),
        ("squeezenet1_1", "classifier.2"),
        ("googlenet", "inception5b"),
        ("convnext_tiny", "features"),
        ("swin_t", "permute"),
    ],
)
def test_the_layer_that_is_chosen_in_known_networks(name: str, layer: str) -> None:
    import torchvision

    kwargs = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(**kwargs)
    assert choose_target_layer(model, torch.rand(1, 3, 64, 64)).name == layer


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
