"""Targets of an attribution: which class, or which function of the scores, for each image.

Checks what was asked for and counts forward and backward passes; `cam` and `saliency` make maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from operator import index, itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import (
    Output,
    select,
    what_it_holds,
)

Target = Callable[[Tensor], Tensor]


class Scores(nn.Module):
    """The model as captum and pytorch-grad-cam want it: one tensor of scores; and counted."""

    def __init__(self, model: nn.Module, output: Output | None) -> None:
        super().__init__()
        self.model, self.output = model, output
        self.forward_images = self.backward_images = 0

    def forward(self, images: Tensor) -> Any:
        """What the model answers: the class scores, if they are one tensor."""
        self.forward_images += len(images)
        # A copy: the model may write into its input, which for FullGrad is a leaf.
        scores = select(self.model(images.clone()), self.output)
        if scores.requires_grad:
            scores.register_hook(self._count)
        return scores

    def _count(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)


def asked_for(targets: Any, scores: Any, count: int) -> Tensor | tuple[Target, ...] | None:
    """The targets, one for each image; None for the predictions."""
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"the model returns {type(scores).__name__}, not a tensor of scores. "
            f"{what_it_holds(scores, 'are the scores')}"
        )
    values = targets.tolist() if hasattr(targets, "tolist") else targets
    items = list(values) if isinstance(values, list | tuple | range) else [values] * count
    if len(items) != count:
        raise ValueError(
            f"{len(items)} targets for {count} images. Give one class for all of them, or a "
            "class for each."
        )
    if items and all(callable(item) for item in items):
        return tuple(items)
    if scores.ndim != 2:
        raise ValueError(
            f"the scores of one image have the shape {list(scores.shape)}, not [1, classes]: no "
            "class can be taken from them. Use a function from an image's scores to a number."
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


def check_method(method: str, methods: Iterable[str]) -> None:
    """Refuse a method's name that is none of these."""
    names = list(methods)
    if method not in names:
        near = get_close_matches(method, names, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no method {method!r}. {hint}There is {', '.join(names)}.")


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
