"""Exercises of lesson 01, print vs torchinfo."""

from functools import cache
from typing import Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    exercise,
    expect,
    nearest_mistake,
    number,
    prediction,
    right,
    wrong,
)
from vizhelpers.exercises.trials import Trial, try_out

PICTURES, SIDE, CLASSES = 2, 128, 10  # what `mend` tries a network on, and expects from it
SMALL_SIDE, MOST_PARAMETERS, LEAST_WORK = 64, 10_000, 30_000_000  # what `open` asks for


@cache
def _layer(network: str, name: str) -> Any:
    """A layer of torchvision's network without its numbers: shapes are enough."""
    import torch
    import torchvision

    with torch.device("meta"):
        return torchvision.models.get_model(network).get_submodule(name)


def _outputs(layer: Any, side: int) -> int:
    """How many positions each output channel has for an image of that side."""
    import torch

    return layer(torch.empty(1, layer.in_channels, side, side, device="meta"))[0, 0].numel()


@exercise("01.parameters")
def parameters(answer: object) -> Outcome:
    """How many parameters does `features.3` of VGG11 have?"""
    layer = _layer("vgg11", "features.3")
    kernels, biases = layer.weight.numel(), layer.bias.numel()
    one_kernel = layer.weight[0].numel()
    one_plane_each = kernels // layer.in_channels
    mistakes = {
        kernels: "bias",
        kernels + layer.in_channels: "bias_of_input",
        one_plane_each: "one_plane",
        one_plane_each + biases: "one_plane",
        one_kernel: "one_kernel",
        one_kernel + 1: "one_kernel",
    }
    given = number(answer)
    if given == kernels + biases:
        return right(one_kernel=one_kernel, biases=biases, total=kernels + biases)
    return wrong(nearest_mistake(given, mistakes), inputs=layer.in_channels, biases=biases)


@exercise("01.mult_adds")
def mult_adds(answer: object) -> Outcome:
    """How many mult-adds does `conv1` of ResNet18 take for one 128 × 128 picture?"""
    conv = _layer("resnet18", "conv1")
    weights, positions, pixels = conv.weight.numel(), _outputs(conv, 128), 128 * 128
    expected = weights * positions
    mistakes = {
        weights: "parameters",
        weights * _outputs(conv, 224): "size",
        weights * pixels: "stride",
        2 * expected: "flops",
        expected // conv.out_channels: "one_kernel",
        expected // conv.in_channels: "one_plane",
    }
    given = number(answer)
    if given == expected:
        return right(weights=weights, positions=positions, total=expected)
    key = nearest_mistake(given, mistakes)
    return wrong(key, weights=weights, positions=positions, pixels=pixels)


@exercise("01.mend")
def mend(answer: object) -> Outcome:
    """Give the network with the wrong `Linear` a right one."""
    from torch import nn

    model = expect(answer, "module", nn.Module)
    arrivals: list[tuple[Any, Any]] = []
    with vh.preserve_state(model):
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(
                    lambda linear, inputs: arrivals.append((linear, inputs[0].shape))
                )
        trial = _try_on(model, (PICTURES, 3, SIDE, SIDE))
    return _judge_network(arrivals, trial.found, trial.problem)


def _try_on(model: Any, shape: tuple[int, ...]) -> Trial:
    """What a network makes of pictures of zeros, of its own type and on its own device."""
    import torch

    like = next(model.parameters(), torch.empty(0))
    with vh.preserve_state(model):
        return try_out(model.eval(), torch.zeros(shape, device=like.device, dtype=like.dtype))


def _judge_network(arrivals: list[tuple[Any, Any]], output: Any, problem: str) -> Outcome:
    """By what arrives at the first `Linear`, what leaves the network, and its error."""
    from torch import Tensor

    if not arrivals:
        return wrong("fails", problem=problem) if problem else wrong("no_linear")
    linear, found = arrivals[0]
    if len(found) != 2 or found[0] != PICTURES:
        return wrong("batch", found=list(found))
    if problem:
        key = "fails" if linear.in_features == found[1] else "sizes"
        return wrong(key, arrives=found[1], takes=linear.in_features, problem=problem)
    if not isinstance(output, Tensor) or output.shape != (PICTURES, CLASSES):
        return wrong("classes", found=output)
    kept = 32 * (SIDE // 4) ** 2  # the lesson's convolutions and poolings hand on so many
    if found[1] != kept:
        return wrong("features", arrives=found[1], kept=kept)
    return right(kept=kept)


@exercise("01.open")
def hard_working(answer: object) -> Outcome:
    """Build a network with few parameters that does much work: it is measured."""
    from torch import Tensor, nn

    model = expect(answer, "module", nn.Module)
    trial = _try_on(model, (1, 3, SMALL_SIDE, SMALL_SIDE))
    if trial.problem:
        return wrong("fails", problem=trial.problem)
    if not isinstance(trial.found, Tensor) or trial.found.shape != (1, CLASSES):
        return wrong("shape", found=trial.found)
    budget = vh.inspection.layer_budget(model, (1, 3, SMALL_SIDE, SMALL_SIDE))
    found = {"parameters": budget.parameters, "work": budget.mult_adds}
    if budget.parameters >= MOST_PARAMETERS:
        return wrong("parameters", **found)
    if budget.mult_adds <= LEAST_WORK:
        return wrong("work", **found)
    uses = budget.mult_adds // max(budget.parameters, 1)
    return right(uses=uses, **found)


@prediction("01.p1")
def panels(found: str) -> str:
    """Which of the two panels shows the parameters, by the layer that has the most?"""
    return "a" if found.startswith("layer4") else "b"


@prediction("01.p2")
def rows(found: list[str]) -> tuple[str, dict[str, object]]:
    """Which rows does the summary of `Tricky` have?"""
    letter = "a" if "spare" in found else "c" if len(found) > 2 else "b"
    return letter, {"rows": " and ".join(f"`{name}`" for name in found)}


@prediction("01.p3")
def larger_pictures(found: tuple[float, float]) -> tuple[str, dict[str, object]]:
    """How many times as many parameters and mult-adds, at twice the width and height?"""
    parameters, work = found
    letter = "a" if parameters > 1 else "b" if work > 3 else "c"
    return letter, {"work": f"{work:.2f}"}
