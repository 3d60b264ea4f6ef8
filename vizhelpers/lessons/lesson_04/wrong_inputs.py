"""Six ways to feed a network wrongly, none of which raises an error."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import vizhelpers as vh


class Fed(NamedTuple):
    """What a network is given.

    Attributes:
        batch: `[N, 3, H, W]`, what goes into the network.
        shown: `[N, 3, H, W]` in [0, 1], what it looks like.
        masks: `[N, H, W]`, where the objects are in it.
        classes: `[N]`, the classes that are asked for.
    """

    batch: Tensor
    shown: Tensor
    masks: Tensor
    classes: Tensor


def six_wrong_inputs(images: Tensor, masks: Tensor, labels: Tensor) -> dict[str, Fed]:
    """Pictures as they should be fed, and with six usual mistakes.

    Args:
        images: `[N, 3, H, W]` in [0, 1].
        masks: `[N, H, W]` in [0, 1].
        labels: `[N]`, the objects' classes, as in `vh.CLASSES`.

    Returns:
        What is fed, by what was done to it; "right" comes first.
    """
    normal, whole = vh.normalize(images), ((255 * images).byte() // 255).float()
    narrow, page = _squashed(images), _screenshot(images, page=0.95, bar=0.3)
    alphabet = sorted(vh.CLASSES)
    other = torch.tensor([alphabet.index(vh.CLASSES[label]) for label in labels])
    squashed_masks = _squashed(masks[:, None], mode="constant")[:, 0]
    page_masks = _screenshot(masks[:, None], page=0, bar=0)[:, 0]
    return {
        "right": Fed(normal, images, masks, labels),
        "BGR": Fed(vh.normalize(images.flip(1)), images.flip(1), masks, labels),
        "bytes // 255": Fed(vh.normalize(whole), whole, masks, labels),
        "not normalised": Fed(images, images, masks, labels),
        "another list's class": Fed(normal, images, masks, other),
        "squashed": Fed(vh.normalize(narrow), narrow, squashed_masks, labels),
        "screenshot": Fed(vh.normalize(page), page, page_masks, labels),
    }


def _squashed(pictures: Tensor, mode: str = "replicate") -> Tensor:
    """A picture that was twice as wide, forced into a square."""
    height, width = pictures.shape[2:]
    wide = F.pad(pictures, (width // 2, width // 2, 0, 0), mode=mode)
    return F.interpolate(wide, (height, width), mode="area")


def _screenshot(pictures: Tensor, *, page: float, bar: float) -> Tensor:
    """A picture in half its size on a page, below a title bar."""
    height, width = pictures.shape[2:]
    small = F.interpolate(pictures, (height // 2, width // 2), mode="area")
    above = height * 5 // 16
    sides = (width // 4, width // 4, above, height - height // 2 - above)
    shot = F.pad(small, sides, value=page)
    shot[:, :, : height // 9] = bar
    return shot
