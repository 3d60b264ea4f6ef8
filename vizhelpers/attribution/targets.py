"""Targets of an attribution: which class, or which function of the scores, for each image.

Checks what was asked for and counts forward and backward passes; `cam` and `saliency` make maps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import index, itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, is_float, select, to_model, what_it_holds

Target = Callable[[Tensor], Tensor]


class Scores(nn.Module):
    """The model as captum and pytorch-grad-cam want it: one tensor of scores; and counted."""

    def __init__(self, model: nn.Module, output: Output | None) -> None:
        super().__init__()
        self.model, self.output = model, output
        self.forward_images = self.backward_images = 0
        # pytorch-grad-cam asks the first parameter for the device; a model may have none.
        self.place = nn.Parameter(to_model(model, torch.empty(0)), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """The class scores in what the model answers."""
        self.forward_images += len(images)
        # A copy: the model may write into its input, which for FullGrad is a leaf. And captum's
        # noise and ScoreCAM's images are always float32.
        answer = self.model(to_model(self.model, images.clone()))
        scores = as_float(checked_scores(select(answer, self.output), len(images)))
        if scores.requires_grad:
            scores.register_hook(self._count)  # type: ignore[no-untyped-call]
        return scores

    def _count(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)


def checked_scores(scores: Any, count: int) -> Tensor:
    """What a model answers, if that is one tensor with a row for each of so many images."""
    if not is_float(scores):
        kind = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(
            f"the model returns {kind}, not a tensor of scores. "
            f"{what_it_holds(scores, 'are the scores')}"
        )
    if not scores.ndim or len(scores) != count:
        raise ValueError(
            f"for {count} images the model returns scores of the shape {list(scores.shape)}: the "
            "first dimension must be the number of images. output= can bring it there."
        )
    return scores


def as_float(tensor: Tensor) -> Tensor:
    """float32 where it is less exact, for NumPy, which knows no bfloat16."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def asked_for(targets: Any, scores: Tensor, count: int) -> Tensor | tuple[Target, ...] | None:
    """The targets, one for each image; None for the predictions.

    Args:
        targets: What the caller gave.
        scores: What the model answers to some image.
        count: How many images there are.
    """
    values = targets.tolist() if hasattr(targets, "tolist") else targets
    items = list(values) if isinstance(values, list | tuple | range) else [values] * count
    if len(items) != count:
        raise ValueError(
            f"{len(items)} targets for {count} images. Give one class for all of them, or a "
            "class for each."
        )
    if items and all(callable(item) for item in items):
        return tuple(items)
    if scores.ndim != 2 or not scores.numel():
        raise ValueError(
            f"the scores have the shape {list(scores.shape)}, not [N, classes]: no class can be "
            "taken from them. Use a function from an image's scores to a number."
        )
    if values is None:
        return None
    try:
        classes = [index(item) for item in items]
    except TypeError:
        raise TypeError(f"targets are classes (integers) or functions, got {targets!r}.") from None
    if wrong := [c for c in classes if not 0 <= c < scores.shape[1]]:
        raise ValueError(
            f"there is no class {wrong[0]}: the model has classes 0 to {scores.shape[1] - 1}."
        )
    return torch.tensor(classes)


def as_functions(asked: Tensor | tuple[Target, ...]) -> list[Target]:
    """What `asked_for` returns, as functions from an image's scores to a number."""
    each = map(itemgetter, asked.tolist()) if isinstance(asked, Tensor) else asked
    return [partial(one_number, target) for target in each]


def one_number(target: Target, scores: Tensor) -> Tensor:
    """What a target makes of one image's scores, if that is a number that autograd can follow."""
    value = target(scores)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(f"a target must return a tensor with one number, it returned {value!r}.")
    if scores.requires_grad and not value.requires_grad:
        raise TypeError(
            "what the target returned has no gradient. It must follow from the scores without "
            "detach(), item(), argmax() or torch.no_grad() on the way."
        )
    return value.reshape(())
