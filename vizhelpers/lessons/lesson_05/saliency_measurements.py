"""What lesson 05 measures of saliency maps on many scenes, methods and networks at once."""

from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.attribution.methods import SALIENCY
from vizhelpers.scenes import Scene

# Cheaper than by default: of SmoothGrad, integrated gradients, and occlusion.
CHEAP = {"samples": 8, "steps": 8, "window": 32, "stride": 32}

_STEPS = 16  # where the values are added up: fewer leave gaps


def all_maps(model: nn.Module, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Make saliency maps by all six methods, with few copies and steps.

    Args:
        model: A classifier.
        images: `[N, 3, H, W]`, normalised.
        targets: `[N]`, the class that each map is to explain.

    Returns:
        Maps each method's name to maps `[N, H, W]`, 0 or more.
    """
    return {
        name: vh.saliency_maps(model, images, targets, method=name, **CHEAP).maps  # type: ignore[arg-type]
        for name in SALIENCY
    }


def on_object(maps: dict[str, Tensor], masks: Tensor) -> dict[str, Tensor]:
    """Which share of each map lies on the object: for each method, `[N]`."""
    return {name: vh.attribution.score_maps(each, masks).energy for name, each in maps.items()}


def with_random_last_layer(model: nn.Module, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """`all_maps` of the model with new random weights in its last layer; it is put back."""
    with vh.attribution.randomize_from_top(model) as layers:
        next(layers)
        return all_maps(model, images, targets)


def alike(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    """How far maps keep the order of their pixels: for each method the rank correlations `[N]`."""
    return {
        name: vh.attribution.rank_correlation(maps[: len(after[name])], after[name]).nan_to_num()
        for name, maps in before.items()
    }


class Sums(NamedTuple):
    """What maps of integrated gradients add up to, for N scenes.

    Attributes:
        gaps: `[N]`, the score of the picture less that of grey.
        totals: `[N]`, the sum of all values.
        shares: `[N]`, which share of that sum lies on the object.
    """

    gaps: Tensor
    totals: Tensor
    shares: Tensor


def sums_of_scenes(model: nn.Module, images: Tensor, targets: Tensor, masks: Tensor) -> Sums:
    """Add up the values of integrated gradients, over whole pictures and over their objects.

    Args:
        model: A classifier.
        images: `[N, 3, H, W]`, normalised.
        targets: `[N]`, classes.
        masks: `[N, H, W]` in [0, 1], the objects.
    """
    method = "IntegratedGradients"
    found = vh.saliency_maps(model, images, targets, method=method, steps=_STEPS)
    values = found.signed.sum(dim=1)
    totals = values.sum(dim=(1, 2))
    with torch.no_grad():
        rises = model(images) - model(torch.zeros_like(images[:1]))
    gaps = rises.gather(1, targets[:, None])[:, 0]
    return Sums(gaps, totals, (values * (masks > 0.5)).sum(dim=(1, 2)) / totals)


def explanation(model: nn.Module, scene: Scene, method: str, asked: str) -> tuple[Axes, str]:
    """Explain a network's score for one scene, for the lesson's picker.

    Args:
        model: A classifier of the ten classes.
        scene: What to look at.
        method: One of `SALIENCY`.
        asked: A class, or "predicted".

    Returns:
        The picture, beside its signed map, and a sentence on what the network says.
    """
    image = vh.normalize(scene.image)[None]
    target = None if asked == "predicted" else vh.CLASSES.index(asked)
    found = vh.saliency_maps(model, image, target, method=method, **CHEAP)  # type: ignore[arg-type]
    with torch.no_grad():
        probability, best = model(image).softmax(dim=1)[0].max(dim=0)
    signed = found.signed[0].sum(dim=0)
    signed = signed / (float(signed.abs().quantile(0.99)) or 1.0)
    explained = vh.CLASSES[int(found.targets[0])]  # type: ignore[arg-type]
    parts, title = ["photo", "heat"], f"{method}: for and against {explained}"
    ax = vh.overlay(scene.image, signed, mask=scene.mask, vmax=1, parts=parts, title=title)
    share = float(vh.attribution.score_maps(found.maps, scene.mask[None]).energy)
    says = f"The network says {vh.CLASSES[int(best)]}, {probability:.0%}."
    return ax, f"{says} Of what speaks for {explained}, {share:.0%} lies on the object."
