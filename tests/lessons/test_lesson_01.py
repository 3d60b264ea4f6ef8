"""Lesson 01: its drawings say what is true of the network that they draw."""

import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vizhelpers.lessons.lesson_01.drawings import draw_convolution, draw_shapes, draw_tree


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(3, 8, (7, 5), stride=2, padding=3), nn.Conv2d(6, 4, 3, dilation=2, bias=False)],
)
def test_a_convolution_is_drawn_with_its_parameters_and_mult_adds(layer):
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, layer.in_channels, 20, 20))
    said = texts(draw_convolution(layer, 20))
    assert f"{layer.weight.numel():,}" in said
    assert f"{counter.get_total_flops() // 2:,}" in said
    assert any("biases" in text for text in said) == (layer.bias is not None)


def test_shapes_are_drawn_up_to_the_layer_that_fails_and_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(99, 2), nn.ReLU()).train()
    said = texts(draw_shapes(model, (2, 3, 8, 8)))
    assert {"3×\n8×\n8", "4×\n6×\n6", "144", "gets 144\ntakes 99"} <= set(said)
    assert not any("ReLU" in text for text in said)
    assert model.training and not any(layer._forward_hooks for layer in model)


def test_the_tree_names_every_module_once():
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(1, 1)), nn.ReLU())
    figure = draw_tree(model, "0.1")
    named = {text.split("  ")[0] for text in texts(figure) if re.match(r"\d|model", text)}
    assert named == {name or "model" for name, _ in model.named_modules()}
    red = {t.get_text().split("  ")[0] for t in figure.axes[0].texts if t.get_color() == "#d62728"}
    assert red == {"model", "0", "0.1"}
