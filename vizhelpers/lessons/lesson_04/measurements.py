"""What lesson 04 measures on many pictures at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import vizhelpers as vh


def peak_hits(
    model: nn.Module, images: Tensor, masks: Tensor, classes: Tensor | None = None, **options: Any
) -> Tensor:
    """Play the pointing game: does the peak of each class activation map lie on the object?

    Args:
        model: A classifier.
        images: `[N, 3, H, W]`, normalised.
        masks: `[N, H, W]` in [0, 1], where the objects are.
        classes: `[N]`, the classes that are asked about; by default the predicted ones.
        options: Passed on to `vh.class_maps`, such as `method="LayerCAM"` or `layer="layer3"`.

    Returns:
        float32 `[N]`: 1 for a hit, 0 for a miss, a share where several places tie.

    Example:
        >>> peak_hits(model, normalize(scenes.images[:4]), scenes.masks[:4])
        tensor([1., 1., 1., 1.])
    """
    maps = vh.class_maps(model, images, classes, **options).maps
    return vh.attribution.score_maps(maps, masks).pointing


def three_scores(maps: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Score heatmaps against the objects' outlines: pointing, energy and IoU, `[N]` each.

    Args:
        maps: `[N, H, W]`, 0 or more.
        masks: `[N, H, W]` in [0, 1].
    """
    found = vh.attribution.score_maps(maps, masks)
    return {"pointing": found.pointing, "energy": found.energy, "IoU": found.iou}


def emptied(scenes: Any, some: slice) -> Tensor:
    """Draw shipped scenes again, without their objects: what a deleted pixel can become.

    Args:
        scenes: Of `vh.load_scenes()`.
        some: Which of them.

    Returns:
        `[N, 3, H, W]` in [0, 1]. Off the object, and off its shadow, they are the scenes.
    """
    numbers = range(len(scenes.names))[some]
    backgrounds = [vh.scenes.BACKGROUNDS[place] for place in scenes.backgrounds[some]]
    pairs = zip(numbers, backgrounds, strict=True)
    seed = vh.scenes.GRID_SEED
    drawn = [vh.draw_scene(None, place, seed=seed + number) for number, place in pairs]
    return torch.stack([scene.image for scene in drawn])


def deleted(image: Tensor, heat: Tensor, fill: Tensor, shares: Sequence[float]) -> Tensor:
    """Replace the strongest pixels of a heatmap in a picture, a share of them at a time.

    Args:
        image: `[3, H, W]`.
        heat: `[H, W]`, what the pixels are ordered by.
        fill: `[3, H, W]`, what takes their place.
        shares: Which shares of the pixels, each from 0 to 1.

    Returns:
        `[len(shares), 3, H, W]`.
    """
    order = heat.flatten().argsort(descending=True, stable=True).argsort().view_as(heat)
    counts = [round(share * heat.numel()) for share in shares]
    return torch.stack([torch.where(order < count, fill, image) for count in counts])


def cascade(
    model: nn.Module, images: Tensor, classes: Tensor, methods: Sequence[str], steps: Sequence[str]
) -> dict[str, dict[str, Tensor]]:
    """Randomise a model from its last layer down, and make class activation maps on the way.

    Args:
        model: It is as before afterwards.
        images: `[N, 3, H, W]`, normalised.
        classes: `[N]`, the classes that are asked about.
        methods: Names of methods.
        steps: Names of layers: when all from the last layer down to this one are random, maps
            are made.

    Returns:
        For each method, the maps `[N, H, W]` by step, "trained" first.
    """

    def made(method: str) -> Tensor:
        return vh.class_maps(model, images, classes, method=method).maps

    found = {method: {"trained": made(method)} for method in methods}
    with vh.attribution.randomize_from_top(model) as layers:
        for layer in layers:
            if layer in steps:
                for method in methods:
                    found[method][layer] = made(method)
    return found
