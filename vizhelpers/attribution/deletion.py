"""Deletion and insertion metrics: do the pixels that a heatmap marks matter to the network?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, check_images, select, to_model, whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.metrics import Array, check_shape, checked_maps, with_interval
from vizhelpers.attribution.targets import as_functions, asked_for, checked_scores
from vizhelpers.state import preserve_state

Activation = Literal["softmax", "sigmoid", "none"]

_BATCH = 50


@dataclass(frozen=True, eq=False, repr=False)
class Curves:
    """What becomes of a class's probability while pixels go or come, strongest in the map first.

    Attributes:
        shares: float32 `[S]`, which share of the pixels was exchanged, from 0 to 1.
        deletion: float32 `[N, S]`, probability while pixels are removed from the image.
        insertion: float32 `[N, S]`, probability while pixels are put into the fill.
        activation: What made probabilities of the model's scores; "none" if they were used as
            they are.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor
    activation: Activation = "softmax"

    @property
    def areas(self) -> tuple[Tensor, Tensor]:
        """Areas under deletion (low is good) and insertion (high is good), `[N]` each."""
        deletion = torch.trapezoid(self.deletion, self.shares)
        return deletion, torch.trapezoid(self.insertion, self.shares)

    def __str__(self) -> str:
        deletion, insertion = map(with_interval, self.areas)
        count = f"{len(self.deletion)} images, {len(self.shares) - 1} steps"
        used = "" if self.activation == "softmax" else f", activation {self.activation}"
        return f"deletion {deletion}  insertion {insertion}  ({count}{used})"

    __repr__ = __str__


@clear_errors
def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    maps: Array,
    targets: int | Sequence[int] | Tensor,
    *,
    fill: float | Tensor,
    steps: int = 16,
    output: Output | None = None,
    activation: Activation | None = None,
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
        images: `[N, C, H, W]`, normalised as the network takes them.
        maps: `[N, H, W]`, 0 or more, of the images' size.
        targets: the class whose probability is followed: one, or one for each image.
        fill: what stands where pixels are removed: images like `images`, or one number (0 is
            the mean colour of the training images). Normalised, too.
        steps: how often pixels are exchanged, an equal share each time.
        output: picks the class scores `[N, classes]` out of what the model returns, if that
            is not a tensor.
        activation: "softmax" or "sigmoid" where the model returns logits, "none" where it
            returns probabilities (or what is to be followed as it is). By default softmax for
            several logits, and none for rows in [0, 1] that add up to 1.

    Raises:
        TypeError: the model is no module, it returns no tensor, or an argument is of a wrong
            kind.
        ValueError: shapes do not match, there is no such class, `steps` is below 1, or
            `activation` is needed to know what the scores are.
    """
    model = check_images(model, images)
    if whole("steps", steps) < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}.")
    if targets is None:
        raise TypeError("targets must be the class to follow, or one for each image; got None.")
    if activation is not None and activation not in get_args(Activation):
        raise ValueError(f"activation is one of {get_args(Activation)}; got {activation!r}.")
    values = checked_maps(maps)
    check_shape(values, images[:, 0].shape)
    images, order = images.detach().cpu(), _order(values)
    other = _checked_fill(fill, images)
    shares = torch.linspace(0, 1, steps + 1)
    found: list[Tensor] = []
    with preserve_state(model), torch.no_grad():
        model.eval()
        first = _scores(model, images[:_BATCH], output)
        asked = asked_for(targets, first, len(images))
        assert asked is not None  # there are targets
        goals = as_functions(asked)
        used = activation or _activation_of(first)
        for share in with_progress(shares.tolist(), "deletion and insertion"):
            exchanged = (order < round(share * order[0].numel()))[:, None]
            for old, new in ((images, other), (other, images)):
                scores = _scores(model, torch.where(exchanged, new, old), output)
                rows = zip(goals, _probabilities(scores, used), strict=True)
                found.append(torch.stack([goal(row) for goal, row in rows]))
    return Curves(shares, torch.stack(found[::2], 1), torch.stack(found[1::2], 1), used)


def _order(maps: Tensor) -> Tensor:
    """Give every pixel its place in its map's order, the strongest pixel 0: int64 [N, H, W]."""
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    # A stable sort leaves equal values as they stand, which is shuffled: not from the top down.
    strongest = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return strongest.argsort(dim=1).view_as(maps)


def _scores(model: nn.Module, images: Tensor, output: Output | None) -> Tensor:
    """What the model answers: float32 [N, classes], on the CPU."""
    found = []
    for some in torch.split(images, _BATCH):
        answer = select(model(to_model(model, some.clone())), output)
        found.append(checked_scores(answer, len(some)).float().cpu())
    return torch.cat(found)


def _activation_of(scores: Tensor) -> Activation:
    """What makes probabilities of these scores, as far as the numbers tell."""
    within = bool(((scores >= 0) & (scores <= 1)).all())
    if within and scores.shape[1] > 1 and (scores.sum(1) - 1).abs().max() < 0.01:
        return "none"
    if within or scores.shape[1] == 1:
        raise ValueError(
            f"what the scores are cannot be told: {scores.shape[1]} for each image, from "
            f"{scores.min():.3g} to {scores.max():.3g}. If they are probabilities, say "
            'activation="none"; if they are logits of classes that exclude each other, '
            'activation="softmax"; of classes that do not, or of one alone, activation="sigmoid".'
        )
    return "softmax"


def _probabilities(scores: Tensor, activation: Activation) -> Tensor:
    if activation == "softmax":
        return scores.softmax(1)
    return scores.sigmoid() if activation == "sigmoid" else scores


def _checked_fill(fill: float | Tensor, images: Tensor) -> Tensor:
    other = torch.as_tensor(fill, dtype=images.dtype).detach().cpu()
    if other.ndim and other.shape != images.shape:
        shapes = f"{list(images.shape)}, got {list(other.shape)}"
        raise ValueError(f"fill must be one number or images of the shape {shapes}.")
    return other.expand_as(images)
