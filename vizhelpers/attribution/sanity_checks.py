"""Sanity checks for heatmaps: randomise the weights from the top, compare by rank correlation.

From Adebayo et al. 2018, "Sanity checks for saliency maps": does a heatmap depend on what the
network has learned at all?
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.checks import check_model
from vizhelpers.state import preserve_state

Array: TypeAlias = Tensor | NDArray[Any]


@contextmanager
def randomize_from_top(model: nn.Module, *, seed: int = 0) -> Iterator[Iterator[str]]:
    """Draw a model's weights anew, layer after layer from the output to the input.

    The cascading randomisation of Adebayo et al. After each step, all layers from the output
    down to the one named are random and those before it are still trained. At the end of the
    block the model is as it was, weights included, also after a `break` or an error:

        >>> with randomize_from_top(model) as layers:
        ...     for name in layers:
        ...         print(name, rank_correlation(before, maps_of(model)).nanmean())

    A step is one layer with weights of its own, such as a convolution or a BatchNorm, which
    also forgets its running statistics; its `reset_parameters` says how they are drawn. Where
    a layer has none (the position embedding of a ViT), they become normal numbers with the
    mean and the standard deviation that they have. The order is the reverse of that in which
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
    check_model(model)
    if any(map(is_lazy, model.parameters())):
        raise ValueError("some layers do not know their shape yet: run the model once before.")
    layers = [(name, layer) for name, layer in model.named_modules() if _has_learned(layer)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no weights that could be drawn anew.")
    with preserve_state(model, weights=True), closing(_steps(layers[::-1], seed)) as steps:
        yield steps


def _has_learned(layer: nn.Module) -> bool:
    statistics = getattr(layer, "running_mean", None) is not None
    return statistics or any(True for _ in layer.parameters(recurse=False))


def _steps(layers: list[tuple[str, nn.Module]], seed: int) -> Generator[str, None, None]:
    state = torch.Generator().manual_seed(seed).get_state()
    for name, layer in layers:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(state)
            _draw_anew(layer)
            state = torch.get_rng_state()
        yield name


def _draw_anew(layer: nn.Module) -> None:
    weights = list(layer.parameters(recurse=False))
    memories = [weight.data for weight in weights]
    for weight in weights:  # drawn on the CPU, where they come out the same for every device
        weight.data = weight.data.cpu()
    if callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
    else:
        for weight in weights:
            weight.normal_(float(weight.mean()), float(weight.std(correction=0)))
    for weight, memory in zip(weights, memories, strict=True):
        weight.data = memory.copy_(weight.data)


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
        ValueError: they are no maps of the same shape, or there are NaN among the values.
    """
    first, second = _ranks("maps_a", maps_a), _ranks("maps_b", maps_b)
    if first.shape != second.shape:
        raise ValueError(f"maps_a is {list(np.shape(maps_a))}, maps_b {list(np.shape(maps_b))}.")
    lengths = first.norm(dim=1) * second.norm(dim=1)
    return ((first * second).sum(1) / lengths).float()


def _ranks(name: str, maps: Array) -> Tensor:
    """Return the rank of every pixel in its map, less the mean: float64 [N, H * W]."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    if not isinstance(maps, Tensor | np.ndarray):
        raise TypeError(f"{name} must be a tensor or array, got {type(maps).__name__}.")
    values = torch.as_tensor(maps).detach().cpu()
    if values.ndim != 3 or values.numel() == 0 or values.isnan().any():
        raise ValueError(f"{name} must be [N, H, W] without NaN, got {list(values.shape)}.")
    ranks = torch.from_numpy(rankdata(values.flatten(1).double().numpy(), axis=1))
    return ranks - ranks.mean(dim=1, keepdim=True)
