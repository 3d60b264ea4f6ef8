"""One scene explained, for the picker of lesson 04."""

from typing import TYPE_CHECKING, Any

import vizhelpers as vh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn


def explained(
    model: "nn.Module", scene: Any, *, layer: str, asked: str, method: str
) -> "tuple[Axes, str]":
    """Draw the photo and its class activation map, and tell how strong it is.

    Args:
        model: A classifier of `vh.CLASSES`.
        scene: One drawn scene, with `image` and `mask`.
        layer: Name of the layer; FullGrad uses all of them.
        asked: One of `vh.CLASSES`, or "predicted".
        method: One of `vh.attribution.cam.METHODS`.

    Returns:
        The picture, and one line of text: the answer, the raw maximum as a share of that of the
        predicted class, and the energy on the object.
    """
    import torch

    batch = vh.normalize(scene.image)[None]
    best = vh.class_maps(model, batch, method=method, layer=layer)
    said = vh.CLASSES[int(torch.as_tensor(best.targets)[0])]
    if asked in ("predicted", said):
        found = best
    else:
        goal = vh.CLASSES.index(asked)
        found = vh.class_maps(model, batch, goal, method=method, layer=layer)
    scores = vh.attribution.score_maps(found.maps, scene.mask[None])
    words = f"says {said}"
    if found.raw is None or best.raw is None:  # FullGrad
        heat = found.maps[0]
    else:
        heat = found.raw[0]
        if not best.empty[0]:
            share = found.raw.max() / best.raw.max()
            words += f"; raw maximum: {share:.0%} of the predicted class's"
    words += f"; energy on the object {scores.energy[0]:.0%}"
    parts = ["photo", "overlay"]
    return vh.overlay(scene.image, heat, mask=scene.mask, parts=parts, colorbar=False), words
