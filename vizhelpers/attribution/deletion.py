"""Deletion and insertion metrics: do the pixels that a heatmap marks matter to the network?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import check_model, to_model
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.metrics import (
    _BATCH,
    Array,
    _check_shape,
    _checked,
    _checked_maps,
    _with_interval,
)
from vizhelpers.state import preserve_state


@dataclass(frozen=True, eq=False, repr=False)
class Curves:
    """What becomes of a class's probability while pixels go or come, strongest in the map first.

    Attributes:
        shares: float32 `[S]`, which share of the pixels was exchanged, from 0 to 1.
        deletion: float32 `[N, S]`, probability while pixels are removed from the image.
        insertion: float32 `[N, S]`, probability while pixels are put into the fill.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def areas(self) -> tuple[Tensor, Tensor]:
        """Areas under deletion (low is good) and insertion (high is good), `[N]` each."""
        deletion = torch.trapezoid(self.deletion, self.shares)
        return deletion, torch.trapezoid(self.insertion, self.shares)

    def __str__(self) -> str:
        deletion, insertion = map(_with_interval, self.areas)
        count = f"{len(self.deletion)} images, {len(self.shares) - 1} steps"
        return f"deletion {deletion}  insertion {insertion}  ({count})"

    __repr__ = __str__


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    maps: Array,
    targets: int | Tensor,
    *,
    fill: float | Tensor,
    steps: int = 16,
    output: Callable[[Any], Tensor] | None = None,
) -> Curves:
    """Test maps on the network itself: do the pixels they call important matter to it?

    From Petsiuk et al. 2018, "RISE": in the order of the map, pixels are exchanged for those of
    `fill` (deletion), or the other way round (insertion). Pixels of equal value go in one random
    order, the same at every call.

    What is tested is the map as an account of *this network*, so a map that points at a
    background can rightly win. But half-removed images look like nothing that the network was
    trained on: its answer may be to the hole's edge or shape, or to grey itself. With drawn
    scenes, the same scene without its object is the most honest fill, and the exact mask as map
    is what a perfect finder of the object would get.

    Args:
        model: classifier, run in eval mode and left as it was.
        images: `[N, 3, H, W]`, normalised as the network takes them.
        maps: `[N, H, W]`, 0 or more, of the images' size.
        targets: the class whose probability is followed: one, or int64 `[N]`.
        fill: what stands where pixels are removed: images like `images`, or one number (0 is
            the mean colour of the training images). Normalised, too.
        steps: how often pixels are exchanged, an equal share each time.
        output: picks the class scores `[N, classes]` out of what the model returns, if that
            is not a tensor.

    Raises:
        TypeError: the model is no module, it returns no tensor, or an argument is of a wrong
            kind.
        ValueError: shapes do not match, there is no such class, or `steps` is below 1.
    """
    check_model(model)
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}.")
    inputs = _checked("images", images, 4, "[N, 3, H, W]")
    values = _checked_maps(maps)
    _check_shape(values, inputs[:, 0].shape)
    order, other = _order(values), _checked_fill(fill, inputs)
    classes = _checked_targets(targets, len(inputs))
    shares = torch.linspace(0, 1, steps + 1)
    found: list[Tensor] = []
    with preserve_state(model), torch.no_grad():
        model.eval()
        for share in with_progress(shares.tolist(), "deletion and insertion"):
            exchanged = (order < round(share * order[0].numel()))[:, None]
            for old, new in ((inputs, other), (other, inputs)):
                mixed = torch.where(exchanged, new, old)
                found.append(_probabilities(model, mixed, classes, output))
    return Curves(shares, torch.stack(found[::2], dim=1), torch.stack(found[1::2], dim=1))


def _order(maps: Tensor) -> Tensor:
    """Give every pixel its place in its map's order, the strongest pixel 0: int64 [N, H, W]."""
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    # A stable sort leaves equal values as they stand, which is shuffled: not from the top down.
    strongest = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return strongest.argsort(dim=1).view_as(maps)


def _probabilities(
    model: nn.Module, images: Tensor, classes: Tensor, output: Callable[[Any], Tensor] | None
) -> Tensor:
    """Probability of each image's class: [N]."""
    found = []
    for start in range(0, len(images), _BATCH):
        answer = model(to_model(model, images[start : start + _BATCH]))
        scores = answer if output is None else output(answer)
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            cure = "Say where they are: output=lambda answer: answer['logits']"
            raise TypeError(f"class scores must be a tensor [N, classes], got {got}. {cure}")
        found.append(scores.float().softmax(1).cpu())
    probabilities = torch.cat(found)
    count, low, high = probabilities.shape[1], int(classes.min()), int(classes.max())
    if low < 0 or high >= count:
        raise ValueError(f"the classes are 0 to {count - 1}, but targets are {low} to {high}.")
    return probabilities.gather(1, classes[:, None])[:, 0]


def _checked_fill(fill: float | Tensor, images: Tensor) -> Tensor:
    other = torch.as_tensor(fill, dtype=torch.float32).detach().cpu()
    if other.ndim and other.shape != images.shape:
        shapes = f"{list(images.shape)}, got {list(other.shape)}"
        raise ValueError(f"fill must be one number or images of the shape {shapes}.")
    return other.expand_as(images)


def _checked_targets(targets: int | Tensor, count: int) -> Tensor:
    if not isinstance(targets, int | Sequence | Tensor | np.ndarray) or isinstance(targets, str):
        raise TypeError(f"targets must be one class or one for each image, got {targets!r}.")
    classes = torch.as_tensor(targets).cpu()
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise TypeError(f"targets must be integers, got {classes.dtype}.")
    if classes.ndim and classes.shape != (count,):
        shapes = f"[{count}], got {list(classes.shape)}"
        raise ValueError(f"targets must be one class or one for each image, {shapes}.")
    return classes.long().expand(count)
