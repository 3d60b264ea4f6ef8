"""The door: what cannot be looked into is refused in the same words everywhere, untouched."""

import copy
import warnings

import pytest
import torch
from support.portrait import portrait
from torch import nn

from vizhelpers.attribution import class_maps, saliency_maps
from vizhelpers.features import maximize_activation, top_patches
from vizhelpers.hooks import capture
from vizhelpers.state import preserve_state

IMAGES = torch.rand(2, 3, 8, 8)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network())


def traced_inside() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(torch.jit.trace(network(), IMAGES), nn.Linear(5, 2))


def on_meta() -> nn.Module:
    return network().to("meta")


def made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return network()


EXPLAIN = {
    "capture": lambda m, x: capture(m, x, "0", gradients=True),
    "class_maps": lambda m, x: class_maps(m, x, 1),
    "saliency_maps": lambda m, x: saliency_maps(m, x, 1),
    "maximize_activation": lambda m, x: maximize_activation(m, "0", 0, shape=(3, 8, 8), steps=1),
}
FUNCTIONS = {**EXPLAIN, "top_patches": lambda m, x: top_patches(m, "0", x, count=1)}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (scripted, TypeError, r"no hook fires .* as it was before torch\.jit"),
        (traced_inside, TypeError, r"no hook fires .* its layer '0' is one"),
        (on_meta, ValueError, "shapes but no numbers"),
        (lambda: nn.Linear, TypeError, r"model must be a torch\.nn\.Module, got type"),
    ],
)
def test_what_cannot_be_looked_into_is_refused(function, make, error, words):
    model = make()
    mode = getattr(model, "training", None)
    with pytest.raises(error, match=words):
        FUNCTIONS[function](model, IMAGES)
    assert getattr(model, "training", None) == mode
    if make in (scripted, traced_inside):
        assert model(IMAGES).shape[0] == 2, "it can still be called"


@pytest.mark.parametrize("function", EXPLAIN)
def test_weights_made_in_inference_mode_are_refused_for_gradients(function):
    model = made_in_inference_mode()
    before = portrait(model)
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(model\)"):
        EXPLAIN[function](model, IMAGES)
    assert portrait(model) == before
    EXPLAIN[function](copy.deepcopy(model), IMAGES)  # the cure


@pytest.mark.parametrize("function", ["class_maps", "saliency_maps", "top_patches"])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_images_that_are_not_finite_are_refused(function, number):
    images = IMAGES.clone()
    images[1, 0, 2, 2] = number
    with pytest.raises(ValueError, match="NaN or infinity"):
        FUNCTIONS[function](network(), images)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_integer_weights_and_methods_without_a_result_do_no_harm(function):
    class Odd(nn.Sequential):
        """Its first parameter is an integer, and its train() returns nothing."""

        def __init__(self, *layers: nn.Module) -> None:
            super().__init__(*layers)
            step = nn.Parameter(torch.tensor(0), requires_grad=False)
            self._parameters = {"step": step, **self._parameters}

        def train(self, mode: bool = True) -> None:
            super().train(mode)

    odd, plain = Odd(*network()), network()
    odd.load_state_dict(plain.state_dict(), strict=False)
    nn.Module.train(odd, False)
    for model in (odd, plain):
        FUNCTIONS[function](model, IMAGES)


def test_preserve_state_refuses_before_it_touches():
    model = scripted()
    with pytest.raises(TypeError, match="no hook fires"):
        preserve_state(model)
    assert model(IMAGES).shape == (2, 5)
