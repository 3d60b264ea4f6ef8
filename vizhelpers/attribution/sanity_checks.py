"""Sanity checks for heatmaps: randomise the weights from the top, compare by rank correlation.

From Adebayo et al. 2018, "Sanity checks for saliency maps": does a heatmap depend on what the
network has learned at all?
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.checks import check_hookable
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.attribution.metrics import Array, checked
from vizhelpers.state import preserve_state


@contextmanager
def randomize_from_top(model: nn.Module, *, seed: int = 0) -> Iterator[Iterator[str]]:
    """Draw a model's weights anew, layer after layer from the output to the input.

    The cascading randomisation of Adebayo et al. After each step, all layers from the output
    down to the one named are random and those before it are still trained. At the end of the
    block the model is as it was, weights included, also after a `break` or an error:

        >>> before = class_maps(model, images, 3).maps
        >>> with randomize_from_top(model) as layers:
        ...     for name in layers:
        ...         break
        ...     after = class_maps(model, images, 3).maps
        >>> name, rank_correlation(before, after).nanmean() < 0.9
        ('fc', tensor(True))

    A step is one layer with weights of its own, such as a convolution or a BatchNorm, which
    also forgets its running statistics; its `reset_parameters` says how they are drawn. What
    that does not change (the position embedding of a ViT; a weight under weight or spectral
    norm or pruning) becomes normal numbers with the mean and the standard deviation that it
    has. The order is the reverse of that in which
    layers were declared, which is nearly always that in which they run.

    Args:
        model: any module; frozen weights are drawn anew, too.
        seed: decides the new weights, which are the same on every device.

    Yields:
        The names of the layers (`""` for weights of the model itself); going on to the next one
        randomises it.

    Raises:
        TypeError: the model is no module.
        ValueError: it has no weights.
    """
    check_hookable(model)
    layers = [(name, layer) for name, layer in model.named_modules() if _has_learned(layer)]
    if any(is_lazy(weight) for _, layer in layers for weight in layer._parameters.values()):
        raise ValueError("some layers do not know their shape yet: run the model once before.")
    if not layers:
        raise ValueError(f"{type(model).__name__} has no weights that could be drawn anew.")
    with preserve_state(model, weights=True), closing(_steps(layers[::-1], seed)) as steps:
        yield steps


def _has_learned(layer: nn.Module) -> bool:
    # Not parameters(): a model may override that.
    statistics = getattr(layer, "running_mean", None) is not None
    return statistics or any(weight is not None for weight in layer._parameters.values())


def _steps(layers: list[tuple[str, nn.Module]], seed: int) -> Generator[str, None, None]:
    state = torch.Generator().manual_seed(seed).get_state()
    for name, layer in layers:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(state)
            _draw_anew(layer)
            state = torch.get_rng_state()
        yield name


def _draw_anew(layer: nn.Module) -> None:
    """Replace a layer's own numbers, through `.data`, of which autograd takes no notice.

    So a backward pass through what was computed before still works. They are drawn in a twin, on
    the CPU, where they come out the same for every device.
    """
    # All that it holds, also a `weight` that is no parameter, because it is made of others.
    twin = object.__new__(type(layer))
    vars(twin).update({name: _cpu_copy(value) for name, value in vars(layer).items()})
    new: dict[str, Any] = vars(twin)
    for tensors in ("_parameters", "_buffers"):
        new[tensors] = {name: _cpu_copy(tensor) for name, tensor in new[tensors].items()}
    if callable(reset := getattr(twin, "reset_parameters", None)):
        reset()
    for name, weight in layer._parameters.items():
        if weight is not None:
            weight.data.copy_(_changed(new["_parameters"][name], weight))
    for name, buffer in layer._buffers.items():
        if buffer is not None and not torch.equal(new["_buffers"][name], buffer.cpu()):
            buffer.data.copy_(new["_buffers"][name])


def _cpu_copy(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    copied = value.detach().to("cpu", copy=True)
    return nn.Parameter(copied, value.requires_grad) if isinstance(value, nn.Parameter) else copied


def _changed(new: Tensor, old: Tensor) -> Tensor:
    """The new numbers; where the layer left the old ones alone, others of the same spread.

    It does so where `weight` is made of other parameters (weight or spectral norm, pruning), or
    where it does not know how to draw them.
    """
    spread = float(new.std(correction=0))
    if spread == 0 or not torch.equal(new, old.cpu()):
        return new
    return torch.empty_like(new).normal_(float(new.mean()), spread)


@clear_errors
def rank_correlation(maps_a: Array, maps_b: Array) -> Tensor:
    """Compare maps by the order of their pixels: Spearman's rank correlation, image by image.

    1 means the same order, 0 none in common, -1 the opposite one. Pixels of equal value share
    their mean rank. Neighbouring pixels go together, so the thousands of pixels of a map say
    nothing about chance: compare with what other images' maps give.

    Args:
        maps_a: `[N, H, W]`, of any scale and sign.
        maps_b: the same shape.

    Returns:
        float32 `[N]`; NaN where one of the two maps is constant and so has no order.

    Raises:
        TypeError: one of the two is neither a tensor nor an array.
        ValueError: they are no maps of the same shape, or there are NaN or infinite values.
    """
    from scipy.stats import ConstantInputWarning, spearmanr  # type: ignore[import-untyped]

    first, second = (
        checked(name, maps, 3, "[N, H, W]").flatten(1)
        for name, maps in (("maps_a", maps_a), ("maps_b", maps_b))
    )
    if np.shape(maps_a) != np.shape(maps_b):
        raise ValueError(f"maps_a is {list(np.shape(maps_a))}, maps_b {list(np.shape(maps_b))}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # the result is NaN
        found = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    return torch.tensor(found, dtype=torch.float32)
