"""Guided backpropagation for any ReLU: modules, `F.relu`, in place, shared."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.graph import Node

# What autograd calls the activations that the guided rule, which is about ReLUs, leaves alone.
_OTHER_ACTIVATIONS = {
    "HardtanhBackward": "ReLU6 or Hardtanh",
    "ClampMinBackward": "clamp",
    "ClampBackward": "clamp",
    "LeakyReluBackward": "LeakyReLU",
    "PreluKernelBackward": "PReLU",
    "EluBackward": "ELU or SELU",
    "CeluBackward": "CELU",
    "GeluBackward": "GELU",
    "SiluBackward": "SiLU",
    "MishBackward": "Mish",
    "SoftplusBackward": "Softplus",
    "HardswishBackward": "Hardswish",
    "HardsigmoidBackward": "Hardsigmoid",
    "SigmoidBackward": "sigmoid",
    "TanhBackward": "tanh",
    "DifferentiableGraphBackward": "a scripted part, which hides what is inside",
}


# Modules whose lines a warning does not name: FlashTorch's and contextlib's stand between ours.
_OURS = ("vizhelpers.", "flashtorch.", "contextlib")


class NothingToGuideWarning(UserWarning):
    """A guided gradient that is wholly or partly a plain one."""


def guided_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Take the gradient by guided backpropagation: at every ReLU, negative gradients become 0.

    From Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net",
    arXiv:1412.6806. The ReLUs are found on autograd's own records of the pass and not among the
    modules: so `F.relu`, a ReLU that is used twice and one that works in place are all guided,
    and no hook is put on the model. Where a network has nothing but `nn.ReLU` modules this is
    captum's `GuidedBackprop`.

    Args:
        scores: `[N]`, or one number, computed from `images` just before.
        images: the tensor to differentiate by, of any shape; it requires a gradient.

    Returns:
        The gradient of the sum of the scores, of the shape of `images`.

    Raises:
        RuntimeError: the scores do not depend on the images, says autograd.

    Warns:
        NothingToGuideWarning: there is no ReLU, so that this is the plain gradient; or there are
            other activations, which are left as they are.
    """
    nodes = list(_records(scores))
    relus = [node for node in nodes if node.name().startswith("ReluBackward")]
    for node in relus:
        node.register_prehook(_positive_part)
    _warn_of_others(len(relus), nodes)
    return torch.autograd.grad(scores.sum(), images)[0]


def _positive_part(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if each is None else each.clamp(min=0) for each in gradients)


def _records(result: Tensor) -> Iterator[Node]:
    """Every step that autograd has recorded on the way to a result."""
    waiting = [result.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
            yield node


def _warn_of_others(relus: int, nodes: list[Node]) -> None:
    names = [node.name().rstrip("0123456789") for node in nodes]
    others = sorted({_OTHER_ACTIVATIONS[name] for name in names if name in _OTHER_ACTIVATIONS})
    if relus and not others:
        return
    what = (
        "there is no ReLU on the way to this score, so the guided gradient is the plain one"
        if not relus
        else f"only the {relus} ReLUs of this network are guided"
    )
    left = f"; left as they are: {', '.join(others)}" if others else ""
    warnings.warn(f"{what}{left}.", NothingToGuideWarning, stacklevel=callers_level())


def callers_level() -> int:
    """The `stacklevel` at which a warning names the line that called this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].startswith(_OURS):
        level, frame = level + 1, frame.f_back
    return level
