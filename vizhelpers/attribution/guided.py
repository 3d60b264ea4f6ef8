"""Guided backpropagation for any ReLU: modules, `F.relu`, in place, shared, ReLU6."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import callers_level

# What the guided rule, which is about ReLUs, has nothing to say to, by autograd's names: sums,
# rearrangements, poolings, normalisations, and products of which one factor is a constant.
_PRODUCTS = {"Addbmm", "Addmm", "Baddbmm", "Bmm", "Convolution", "Div", "Mm", "Mul", "Mv"}
_PLAIN = {
    *_PRODUCTS,
    *("AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "Add", "Alias", "AsStrided", "AvgPool2D", "Cat"),
    *("Clone", "ConstantPadNd", "Copy", "CudnnBatchNorm", "CudnnConvolution", "Detach"),
    *("Diagonal", "Expand", "Flip", "Index", "IndexSelect", "LogSoftmax"),
    *("MaxPool2DWithIndices", "Mean", "MiopenBatchNorm", "MkldnnConvolution", "MkldnnLinear"),
    *("NativeBatchNorm", "NativeGroupNorm", "NativeLayerNorm", "Neg", "Permute", "PixelShuffle"),
    *("PixelUnshuffle", "ReflectionPad2D", "Relu", "Repeat", "ReplicationPad2D", "ReshapeAlias"),
    *("Roll", "Rsub", "Select", "Slice", "Softmax", "Split", "SplitWithSizes", "Squeeze"),
    *("Stack", "Sub", "Sum", "T", "ToCopy", "Transpose", "Unbind", "Unfold", "UnsafeSplit"),
    *("UnsafeView", "Unsqueeze", "UpsampleBicubic2D", "UpsampleBilinear2D", "UpsampleNearest2D"),
    "View",
}
_IN_OTHER_WORDS = {"CopySlices": "a change in place of a view (inplace=False helps)"}


class NothingToGuideWarning(UserWarning):
    """A guided gradient that is wholly or partly a plain one."""


@clear_errors
def guided_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Take the gradient by guided backpropagation: at every ReLU, negative gradients become 0.

    From Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net",
    arXiv:1412.6806. The ReLUs are found on autograd's own records of the pass and not among the
    modules: so `F.relu`, ReLU6, a ReLU that is used twice and one that works in place are all
    guided, and no hook is put on the model. Where a network has nothing but `nn.ReLU` modules
    this is captum's `GuidedBackprop`.

    Args:
        scores: `[N]`, or one number, computed from `images` just before.
        images: the tensor to differentiate by, of any shape; it requires a gradient.

    Returns:
        The gradient of the sum of the scores, of the shape of `images`.

    Raises:
        ValueError: the scores do not depend on the images, or these require no gradient.

    Warns:
        NothingToGuideWarning: there is no ReLU, so that this is the plain gradient; or there is
            something else that is not linear, such as another activation or a ReLU that is
            written in another way, and is left as it is.
    """
    nodes = _between(scores, images)
    if not nodes:
        raise ValueError("the scores do not depend on the images, or those require no gradient.")
    relus = [node for node in nodes if _kind(node) == "Relu"]
    for node in relus:
        node.register_prehook(_positive_part)
    _warn_of_others(len(relus), nodes)
    return torch.autograd.grad(scores.sum(), images)[0]


def _positive_part(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if each is None else each.clamp(min=0) for each in gradients)


def _between(result: Tensor, start: Tensor) -> set[Node]:
    """Every step that autograd has recorded on the way from one tensor to another."""
    users: dict[Node | None, list[Node]] = defaultdict(list)
    for node in _reached(
        result.grad_fn, lambda node: [before for before, _ in node.next_functions]
    ):
        for before, _ in node.next_functions:
            users[before].append(node)
    first = get_gradient_edge(start).node if start.requires_grad else None
    return _reached(first if first in users else None, lambda node: users[node])


def _inputs(node: Node) -> list[Node | None]:
    return [before for before, _ in node.next_functions]


def _reached(first: Node | None, following: Callable[[Node], Iterable[Node | None]]) -> set[Node]:
    waiting, seen = [first], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += following(node)
    return seen


def _kind(node: Node) -> str:
    """Such as `Relu` or `Mul`; ReLU6, to autograd a Hardtanh from 0, is a `Relu`."""
    name = node.name().removeprefix("torch::autograd::").partition("Backward")[0]
    if name == "Hardtanh" and getattr(node, "_saved_min_val", None) == 0:
        return "Relu"
    own = isinstance(node, torch.autograd.function.BackwardCFunction)
    return f"the function {name}" if own else name


def _not_linear(node: Node, nodes: set[Node]) -> str:
    """What a step is called if it is neither a ReLU nor linear in the image, else nothing."""
    kind = _kind(node)
    if kind not in _PLAIN:
        return _IN_OTHER_WORDS.get(kind, kind)
    if kind in _PRODUCTS:
        if sum(before in nodes for before in _inputs(node)) > 1:
            return f"{kind} of two activations"
        factors = (getattr(node, name, None) for name in ("_saved_self", "_saved_other"))
        if any(isinstance(factor, Tensor) and _is_mask(factor) for factor in factors):
            return "a mask of zeros and ones"
    return ""


def _is_mask(factor: Tensor) -> bool:
    zero = factor == 0
    return bool(zero.any() and (zero | (factor == 1)).all() and factor.numel() > 1)


def _warn_of_others(relus: int, nodes: set[Node]) -> None:
    others = sorted({_not_linear(node, nodes) for node in nodes} - {"", "AccumulateGrad"})
    if relus and not others:
        return
    what = (
        "there is no ReLU on the way to this score, so the guided gradient is the plain one"
        if not relus
        else f"only the {relus} ReLUs of this network are guided"
    )
    left = f"; left as they are: {', '.join(others)}" if others else ""
    warnings.warn(f"{what}{left}.", NothingToGuideWarning, stacklevel=callers_level())
